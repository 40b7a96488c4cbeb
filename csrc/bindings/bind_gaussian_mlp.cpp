#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/bind.hpp"
#include "bindings/interrupts.hpp"
#include "pac_bayes/gaussian_mlp_training.hpp"

namespace pyphenom {
namespace {

using namespace pac_bayes;

Architecture architecture_of(std::vector<Index> widths, const std::string& activation, double slope) {
    Architecture a;
    a.widths = std::move(widths);
    a.activation.identity = activation == "identity";
    if (!a.activation.identity) a.activation.function = curvature::parse_activation(activation, slope, 0.0);
    a.check();
    return a;
}

template <class T>
T* flat(Array<T>& array, const char* name, Index size) {
    require(array.ndim() == 1 && array.shape(0) == size && (array.flags() & py::array::c_style), name,
            "of another shape", "one contiguous entry a parameter");
    return array.mutable_data();
}

template <class T>
const T* flat(const Array<T>& array, const char* name, Index size) {
    return flat(const_cast<Array<T>&>(array), name, size);
}

template <class T>
T* flat(std::optional<Array<T>>& array, const char* name, Index size) {
    return array ? flat(*array, name, size) : nullptr;
}

template <class T>
Matrix<const T> inputs_of(const Array<T>& X, const Architecture& a) {
    const auto view = transposed_view<const T>(X, "X");
    require(view.rows == a.inputs(), "X", std::to_string(view.rows) + " inputs wide", "as wide as the network");
    require(view.cols >= 1 && view.cols < Index{1} << 32, "X", std::to_string(view.cols) + " rows long",
            "between 1 and 2^32 - 1 rows");
    return view;
}

template <class T>
Examples<T> examples_of(const Array<T>& X, const Array<std::int64_t>& y, const Architecture& a) {
    Examples<T> data{inputs_of(X, a), nullptr};
    require(y.ndim() == 1 && y.shape(0) == data.X.cols && (y.flags() & py::array::c_style), "y", "of another shape",
            "one contiguous label a row of `X`");
    data.y = y.data();
    for (Index i = 0; i < data.X.cols; ++i)
        require(data.y[i] >= 0 && data.y[i] < a.classes(), "y", std::to_string(data.y[i]) + " somewhere",
                "labels 0, ..., classes - 1");
    return data;
}

template <class T>
void bind_gaussian_mlp_of(py::module_& module) {
    const auto array = [](const char* name) { return py::arg(name).noconvert(); };
    module.def(
        "gaussian_mlp_train_epoch",
        [](const Architecture& a, const Array<T>& X, const Array<std::int64_t>& y, const Training& training,
           Progress& progress, Array<T> mean, Array<T> log_scale, Array<T> variance, Array<T> mean_moment,
           Array<T> log_scale_moment, std::optional<Array<T>> mean_second, std::optional<Array<T>> log_scale_second,
           Array<T> prior_mean, std::optional<Array<T>> prior_log_scale) {
            const Examples<T> data = examples_of(X, y, a);
            const Index P = a.parameters();
            const Parameters<T> p{flat(mean, "mean", P),
                                  flat(log_scale, "log_scale", P),
                                  flat(variance, "variance", P),
                                  flat(mean_moment, "mean_moment", P),
                                  flat(log_scale_moment, "log_scale_moment", P),
                                  flat(mean_second, "mean_second", P),
                                  flat(log_scale_second, "log_scale_second", P),
                                  flat(prior_mean, "prior_mean", P),
                                  flat(prior_log_scale, "prior_log_scale", P)};
            require(training.method == Method::sgd || (p.mean_second && p.log_scale_second), "mean_second", "None",
                    "second moments for Adam");
            require(training.batch >= 1, "batch", std::to_string(training.batch), "at least 1");
            const py::gil_scoped_release release;
            return train_epoch<T>(a, data, training, p, progress, Interrupts());
        },
        py::arg("architecture"), array("X"), array("y"), py::arg("training"), py::arg("progress"), array("mean"),
        array("log_scale"), array("variance"), array("mean_moment"), array("log_scale_moment"),
        py::arg("mean_second").none(true), py::arg("log_scale_second").none(true), array("prior_mean"),
        py::arg("prior_log_scale").none(true), "One epoch; changes the arrays and `progress` in place.");
    module.def(
        "gaussian_mlp_loss_gradient",
        [](const Architecture& a, const Array<T>& X, const Array<std::int64_t>& y, const Training& training,
           std::uint32_t step, const Array<T>& mean, const Array<T>& variance) -> py::tuple {
            const Examples<T> data = examples_of(X, y, a);
            const Index P = a.parameters();
            const T *m = flat(mean, "mean", P), *v = flat(variance, "variance", P);
            Array<T> by_mean(P), by_log_scale(P);
            T *g = by_mean.mutable_data(), *h = by_log_scale.mutable_data();
            Loss loss;
            {
                const py::gil_scoped_release release;
                loss = loss_gradient<T>(a, data, training, step, m, v, g, h);
            }
            return py::make_tuple(loss.sum / static_cast<double>(data.X.cols), by_mean, by_log_scale);
        },
        py::arg("architecture"), array("X"), array("y"), py::arg("training"), py::arg("step"), array("mean"),
        array("variance"), "The mean loss of X as one minibatch, and its gradients by mean and by log-scale.");
    module.def(
        "gaussian_mlp_draws",
        [](const Architecture& a, const Array<T>& X, const Array<std::int64_t>& y, const Array<T>& mean,
           const Array<T>& variance, double pmin, std::uint64_t seed, std::uint32_t first, Index passes, int threads,
           const std::optional<py::function>& progress) {
            const Examples<T> data = examples_of(X, y, a);
            const Index P = a.parameters();
            const T *m = flat(mean, "mean", P), *v = flat(variance, "variance", P);
            require(passes >= 1, "passes", std::to_string(passes), "at least 1");
            std::vector<Loss> losses(static_cast<std::size_t>(passes));
            {
                const py::gil_scoped_release release;
                Interrupts interrupts;
                Index told = -1;
                draw_losses<T>(a, data, m, v, pmin, seed, first, losses, threads, [&](Index from) {
                    interrupts();
                    if (!progress || from == told) return;
                    told = from;
                    const py::gil_scoped_acquire gil;
                    (*progress)(from, data.X.cols);
                });
            }
            Array<std::int64_t> errors(passes), not_finite(passes);
            Array<double> sums(passes);
            for (Index r = 0; r < passes; ++r) {
                errors.mutable_data()[r] = losses[r].errors;
                not_finite.mutable_data()[r] = losses[r].not_finite;
                sums.mutable_data()[r] = losses[r].sum;
            }
            return py::make_tuple(errors, sums, not_finite);
        },
        py::arg("architecture"), array("X"), array("y"), array("mean"), array("variance"), py::arg("pmin"),
        py::arg("seed"), py::arg("first"), py::arg("passes"), py::arg("threads"), py::arg("progress").none(true),
        "Errors, summed bounded cross-entropies and rows without finite outputs of each pass.");
    module.def(
        "gaussian_mlp_outputs",
        [](const Architecture& a, const Array<T>& X, const Array<T>& mean, const Array<T>& variance, std::uint64_t seed,
           std::uint32_t repetition, int threads) {
            const Matrix<const T> x = inputs_of(X, a);
            const Index P = a.parameters();
            const T *m = flat(mean, "mean", P), *v = flat(variance, "variance", P);
            Array<T> Z({x.cols, a.classes()});
            const Matrix<T> z(Z.mutable_data(), a.classes(), x.cols);
            {
                const py::gil_scoped_release release;
                Interrupts interrupts;
                draw_outputs<T>(a, x, m, v, seed, repetition, z, threads, [&](Index) { interrupts(); });
            }
            return py::array(Z);
        },
        py::arg("architecture"), array("X"), array("mean"), array("variance"), py::arg("seed"), py::arg("repetition"),
        py::arg("threads"), "Outputs (n, classes) of one repetition, a network of its own for each row.");
    module.def(
        "gaussian_mlp_divergence",
        [](Array<T> mean, Array<T> log_scale, Array<T> prior_mean, std::optional<Array<T>> prior_log_scale,
           double log_variance, const std::vector<Index>& cuts, bool gradient) -> py::tuple {
            const Index P = mean.size();
            Array<T> variance(P), by_mean(gradient ? P : 0), by_log_scale(gradient ? P : 0);
            const Parameters<T> p{flat(mean, "mean", P),
                                  flat(log_scale, "log_scale", P),
                                  variance.mutable_data(),
                                  nullptr,
                                  nullptr,
                                  nullptr,
                                  nullptr,
                                  flat(prior_mean, "prior_mean", P),
                                  flat(prior_log_scale, "prior_log_scale", P)};
            T *g = gradient ? by_mean.mutable_data() : nullptr, *h = gradient ? by_log_scale.mutable_data() : nullptr;
            Array<double> parts(static_cast<Index>(cuts.size()));
            Index from = 0;
            for (std::size_t i = 0; i < cuts.size(); from = cuts[i++]) {
                require(cuts[i] >= from && cuts[i] <= P, "cuts", "not increasing", "places among the parameters");
                parts.mutable_data()[i] =
                    divergence<T>(log_variance, p, from, cuts[i] - from, g ? g + from : g, h ? h + from : h).kl;
            }
            return py::make_tuple(parts, variance, by_mean, by_log_scale);
        },
        array("mean"), array("log_scale"), array("prior_mean"), py::arg("prior_log_scale").none(true),
        py::arg("log_variance"), py::arg("cuts"), py::arg("gradient"),
        "KL between the cuts, the variances, and the gradients of KL by mean and by log-scale.");
}

}  // namespace

void bind_gaussian_mlp(py::module_& module) {
    py::class_<Architecture>(module, "GaussianArchitecture", "Widths and activation of a network.")
        .def(py::init(&architecture_of), py::arg("widths"), py::arg("activation"), py::arg("slope"))
        .def_property_readonly("parameters", &Architecture::parameters);
    py::class_<Progress>(module, "GaussianProgress", "Where an optimisation stands, besides its arrays.")
        .def(py::init([](std::int64_t epoch, std::int64_t step, double lambda, double log_variance, double moment,
                         double second) { return Progress{epoch, step, lambda, log_variance, moment, second}; }),
             py::arg("epoch"), py::arg("step"), py::arg("lambda_"), py::arg("log_variance"),
             py::arg("log_variance_moment"), py::arg("log_variance_second"))
        .def_readonly("epoch", &Progress::epoch)
        .def_readonly("step", &Progress::step)
        .def_readonly("lambda_", &Progress::lambda)
        .def_readonly("log_variance", &Progress::log_variance)
        .def_readonly("log_variance_moment", &Progress::log_variance_moment)
        .def_readonly("log_variance_second", &Progress::log_variance_second);
    py::class_<Epoch>(module, "GaussianEpoch", "Means over the examples of an epoch.")
        .def_readonly("objective", &Epoch::objective)
        .def_readonly("risk", &Epoch::risk)
        .def_readonly("error", &Epoch::error)
        .def_readonly("kl", &Epoch::kl)
        .def_readonly("diverged", &Epoch::diverged);
    py::class_<Training>(module, "GaussianTraining", "How an optimisation runs.")
        .def(py::init([](const std::string& objective, double n, double delta, double catoni, bool adam, double rate,
                         double momentum, double pmin, Index batch, bool antithetic, std::uint64_t seed, int threads) {
                 Training t;
                 t.objective = {parse_objective(objective), n, delta, catoni};
                 t.method = adam ? Method::adam : Method::sgd;
                 t.rate = rate;
                 t.momentum = momentum;
                 t.pmin = pmin;
                 t.batch = batch;
                 t.antithetic = antithetic;
                 t.seed = seed;
                 t.threads = threads;
                 return t;
             }),
             py::arg("objective"), py::arg("n"), py::arg("delta"), py::arg("catoni"), py::arg("adam"), py::arg("rate"),
             py::arg("momentum"), py::arg("pmin"), py::arg("batch"), py::arg("antithetic"), py::arg("seed"),
             py::arg("threads"));
    module.def(
        "gaussian_mlp_objective",
        [](const std::string& objective, double n, double delta, double catoni, double risk, double kl, double lambda,
           double log_variance, double kl_by_log_variance) {
            const Slopes s = evaluate({parse_objective(objective), n, delta, catoni}, risk, kl, lambda, log_variance,
                                      kl_by_log_variance);
            return py::make_tuple(s.value, s.by_risk, s.by_kl, s.by_log_variance);
        },
        py::arg("objective"), py::arg("n"), py::arg("delta"), py::arg("catoni"), py::arg("risk"), py::arg("kl"),
        py::arg("lambda_"), py::arg("log_variance"), py::arg("kl_by_log_variance"),
        "The value of an objective and its slopes by risk, KL and log-variance of the prior.");
    module.def(
        "gaussian_mlp_order",
        [](std::uint64_t seed, std::int64_t epoch, Index n) {
            std::vector<std::uint32_t> order(static_cast<std::size_t>(n));
            draw_order(seed, epoch, order);
            return Array<std::uint32_t>(n, order.data());
        },
        py::arg("seed"), py::arg("epoch"), py::arg("n"), "The examples of an epoch in their order.");
    bind_gaussian_mlp_of<float>(module);
    bind_gaussian_mlp_of<double>(module);
}

}  // namespace pyphenom
