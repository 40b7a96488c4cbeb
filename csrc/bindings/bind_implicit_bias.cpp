#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/bind.hpp"
#include "core/parallel.hpp"
#include "implicit_bias/gradient_flow.hpp"
#include "implicit_bias/linear_descent.hpp"

namespace pyphenom {
namespace {

using namespace implicit_bias;

const double* vector_of(const Array<double>& array, const char* name, Index length) {
    require(array.ndim() == 1 && array.shape(0) == length && (array.flags() & py::array::c_style), name,
            "of another shape", "one contiguous entry each");
    return array.data();
}

Array<double> copied(const double* from, Index length) {
    Array<double> array(length);
    std::copy_n(from, length, array.mutable_data());
    return array;
}

std::unique_ptr<LinearDescent> make_descent(const std::string& method, const std::string& loss, double step,
                                            double decay, double momentum, double beta1, double beta2, double epsilon,
                                            const Array<double>& A, const std::optional<Array<double>>& K,
                                            const Array<double>& initial, double gain) {
    const Rule rule{parse_method(method), parse_loss(loss), step, decay, momentum, beta1, beta2, epsilon};
    const auto rows = transposed_view<const double>(A, "A");
    const Matrix<const double> gram = K ? transposed_view<const double>(*K, "K") : Matrix<const double>();
    return std::make_unique<LinearDescent>(rule, rows, gram, vector_of(initial, "initial", rows.rows), gain);
}

}  // namespace

void bind_implicit_bias(py::module_& module) {
    const auto array = [](const char* name) { return py::arg(name).noconvert(); };
    py::class_<LinearDescent>(module, "LinearDescent", "A run of full-batch descent on the margins A w.")
        .def(py::init(&make_descent), py::arg("method"), py::arg("loss"), py::arg("step"), py::arg("decay"),
             py::arg("momentum"), py::arg("beta1"), py::arg("beta2"), py::arg("epsilon"), array("A"),
             py::arg("K").none(true), array("initial"), py::arg("gain"))
        .def_property_readonly("dual", &LinearDescent::dual)
        .def_property_readonly("gain", &LinearDescent::gain)
        .def("margins", [](const LinearDescent& run) { return copied(run.margins(), run.rows()); })
        .def(
            "position",
            [](const LinearDescent& run) {
                return run.dual() ? copied(run.coefficients(), run.rows()) : copied(run.weights(), run.columns());
            },
            "Coefficients of the rows, or weights.");
    module.def(
        "descend",
        [](const std::vector<LinearDescent*>& runs, std::int64_t steps, int threads) {
            const py::gil_scoped_release release;
            parallel_runs(static_cast<Index>(runs.size()), threads,
                          [&](Index i) { runs[static_cast<std::size_t>(i)]->advance(steps); });
        },
        py::arg("runs"), py::arg("steps"), py::arg("threads"), "Moves every run by so many steps.");

    py::class_<GradientFlow>(module, "GradientFlow", "A run of gradient flow on the margins A w.")
        .def(py::init([](const std::string& loss, const Array<double>& A, const Array<double>& margins, double log_tau,
                         double tolerance, double unit) {
                 const auto rows = transposed_view<const double>(A, "A");
                 return std::make_unique<GradientFlow>(parse_loss(loss), rows, vector_of(margins, "margins", rows.cols),
                                                       log_tau, tolerance, unit);
             }),
             py::arg("loss"), array("A"), array("margins"), py::arg("log_tau"), py::arg("tolerance"), py::arg("unit"))
        .def_property_readonly("error", &GradientFlow::error)
        .def_property_readonly("steps", &GradientFlow::steps)
        .def_property_readonly("stationary", &GradientFlow::stationary)
        .def_property_readonly("stalled", &GradientFlow::stalled)
        .def_property_readonly("failed", &GradientFlow::failed)
        .def("coordinates", [](const GradientFlow& run) { return copied(run.coordinates(), run.dimension()); });
    module.def(
        "flow",
        [](const std::vector<GradientFlow*>& runs, const std::vector<double>& until, Index steps, int threads) {
            require(until.size() == runs.size(), "until", "of another length", "one time a run");
            std::vector<char> reached(runs.size());
            {
                const py::gil_scoped_release release;
                parallel_runs(static_cast<Index>(runs.size()), threads, [&](Index run) {
                    const auto i = static_cast<std::size_t>(run);
                    reached[i] = runs[i]->advance(until[i], steps) || runs[i]->failed();
                });
            }
            return std::all_of(reached.begin(), reached.end(), [](char r) { return r != 0; });
        },
        py::arg("runs"), py::arg("until"), py::arg("steps"), py::arg("threads"),
        "Moves every run to u = until, by so many attempted steps at most; whether all are there, or have failed.");
}

}  // namespace pyphenom
