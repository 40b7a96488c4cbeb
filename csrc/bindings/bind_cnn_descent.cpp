#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/bind.hpp"
#include "core/parallel.hpp"
#include "implicit_bias/cnn_descent.hpp"

namespace pyphenom {
namespace {

using namespace cnn;

Method method_of(const std::string& name) {
    require(name == "descent" || name == "normalized" || name == "adam", "method", "'" + name + "'",
            "'descent', 'normalized' or 'adam'");
    return name == "adam" ? Method::adam : name == "normalized" ? Method::normalized : Method::descent;
}

// The matrices (runs, r, c) of C-ordered arrays, seen column-major. Data may be one for all runs; what a run writes is
// its own.
template <class T, class U>
Matrix<T> matrix_of_run(U& array, Index run, Index runs, Index rows, Index cols, const char* name) {
    require(array.ndim() == 3 && array.shape(1) == cols && array.shape(2) == rows &&
                (array.shape(0) == runs || (std::is_const_v<T> && array.shape(0) == 1)) &&
                (array.flags() & py::array::c_style),
            name, "of another shape",
            std::is_const_v<T> ? "a contiguous matrix a run, or one for all" : "a contiguous matrix a run");
    const Index offset = array.shape(0) == 1 ? 0 : run * rows * cols;
    if constexpr (std::is_const_v<T>) {
        return {array.data() + offset, rows, cols};
    } else {
        return {array.mutable_data() + offset, rows, cols};
    }
}

}  // namespace

void bind_cnn_descent(py::module_& module) {
    module.def(
        "cnn_advance",
        [](const Array<double> basis, const Array<double> gram, const Array<std::int32_t> patches,
           const Array<double> orientation, const Array<double> labels, const Array<double> signs,
           Array<double> activations, Array<double> coordinates, Array<double> weights, Array<double> first,
           Array<double> second, Array<double> scalars, Array<double> margins, const std::string& method, double power,
           double rate, double decay, double beta1, double beta2, double epsilon, double log_stop, std::int64_t until,
           int threads) {
            require(activations.ndim() == 3 && basis.ndim() == 3 && patches.ndim() == 3, "activations",
                    "of another shape", "(runs, N, filters)");
            const Index runs = activations.shape(0), N = activations.shape(1), F = activations.shape(2);
            const Index d = basis.shape(2), n = patches.shape(1), P = patches.shape(2);
            require(signs.ndim() == 1 && signs.shape(0) == F, "signs", "of another length", "one entry a filter");
            Update update;
            update.method = method_of(method);
            update.power = power;
            update.rate = rate;
            update.decay = decay;
            update.beta1 = beta1;
            update.beta2 = beta2;
            update.epsilon = epsilon;
            update.log_stop = log_stop;
            std::vector<Data> data(static_cast<std::size_t>(runs));
            std::vector<State> states(static_cast<std::size_t>(runs));
            for (Index r = 0; r < runs; ++r) {
                Data& run = data[static_cast<std::size_t>(r)];
                run.basis = matrix_of_run<const double>(basis, r, runs, d, N, "basis");
                run.gram = matrix_of_run<const double>(gram, r, runs, N, N, "gram");
                run.patches = matrix_of_run<const std::int32_t>(patches, r, runs, P, n, "patches");
                run.orientation = matrix_of_run<const double>(orientation, r, runs, P, n, "orientation");
                run.labels = matrix_of_run<const double>(labels, r, runs, n, 1, "labels").data;
                run.signs = signs.data();
                for (Index i = 0; i < n * P; ++i)
                    require(run.patches.data[i] >= 0 && run.patches.data[i] < N, "patches",
                            std::to_string(run.patches.data[i]), "an index of the basis");
                State& state = states[static_cast<std::size_t>(r)];
                state.activations = matrix_of_run<double>(activations, r, runs, F, N, "activations");
                if (coordinates.size() > 0) {
                    state.coordinates = matrix_of_run<double>(coordinates, r, runs, F, N, "coordinates");
                } else {
                    state.weights = matrix_of_run<double>(weights, r, runs, F, d, "weights");
                    if (update.method == Method::adam) {
                        state.first = matrix_of_run<double>(first, r, runs, F, d, "first");
                        state.second = matrix_of_run<double>(second, r, runs, F, d, "second");
                    }
                }
                state.margins = matrix_of_run<double>(margins, r, runs, n, 1, "margins").data;
                const double* from = matrix_of_run<double>(scalars, r, runs, 5, 1, "scalars").data;
                state.shrink = from[0];
                state.log_unit = from[1];
                state.log_loss = from[2];
                state.step = static_cast<std::int64_t>(from[3]);
                state.stopped = from[4] != 0;
            }
            double* scalar = scalars.mutable_data();
            const py::gil_scoped_release release;
            parallel_runs(runs, threads, [&](Index r) {
                advance(data[static_cast<std::size_t>(r)], update, states[static_cast<std::size_t>(r)], until);
            });
            for (Index r = 0; r < runs; ++r) {
                const State& state = states[static_cast<std::size_t>(r)];
                const double to[] = {state.shrink, state.log_unit, state.log_loss, static_cast<double>(state.step),
                                     state.stopped ? 1.0 : 0.0};
                std::copy_n(to, 5, scalar + 5 * r);
            }
        },
        py::arg("basis").noconvert(), py::arg("gram").noconvert(), py::arg("patches").noconvert(),
        py::arg("orientation").noconvert(), py::arg("labels").noconvert(), py::arg("signs").noconvert(), py::kw_only(),
        py::arg("activations").noconvert(), py::arg("coordinates").noconvert(), py::arg("weights").noconvert(),
        py::arg("first").noconvert(), py::arg("second").noconvert(), py::arg("scalars").noconvert(),
        py::arg("margins").noconvert(), py::arg("method"), py::arg("power"), py::arg("rate"), py::arg("decay"),
        py::arg("beta1"), py::arg("beta2"), py::arg("epsilon"), py::arg("log_stop"), py::arg("until"),
        py::arg("threads"),
        "Advance every run to step `until`; scalars (runs, 1, 5) hold shrink, log unit, log loss, step and stopped.");
}

}  // namespace pyphenom
