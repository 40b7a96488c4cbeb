#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/bind.hpp"
#include "curvature/network.hpp"

namespace pyphenom {
namespace {

using curvature::Network;
using curvature::Windows;

template <class T>
const T* checked(const Array<T>& array, const char* name, std::initializer_list<Index> shape) {
    const bool fits = array.ndim() == static_cast<py::ssize_t>(shape.size()) &&
                      std::equal(shape.begin(), shape.end(), array.shape(),
                                 [](Index expected, Index found) { return expected < 0 || expected == found; });
    if (!fits || !(array.flags() & py::array::c_style)) {
        std::string expected = "a C-contiguous array (";
        for (const Index n : shape) expected += n < 0 ? "K, " : std::to_string(n) + ", ";
        expected.resize(expected.size() - 2);
        require(false, name, fits ? "not contiguous" : "of another shape", (expected + ")").c_str());
    }
    return array.data();
}

// A network with the arrays that it borrows, and the lock that keeps two products from sharing a workspace.
template <class T>
struct BoundNetwork {
    Array<T> X, reduced;
    Network<T> network;
    std::mutex busy;

    BoundNetwork(Array<T> X_, Index positions, Index channels, Index values, Index parameters, int threads,
                 Index workspace)
        : X(std::move(X_)),
          network(checked<T>(X, "X", {-1, positions, channels}), X.shape(0), positions, channels, values, parameters,
                  threads, workspace) {}

    Windows windows(const Array<std::int32_t>& table, Index positions_in, Index channels) const {
        require(table.ndim() == 2 && (table.flags() & py::array::c_style), "table", "of another shape",
                "a contiguous array (positions out, taps)");
        Windows w;
        w.table.assign(table.data(), table.data() + table.size());
        w.positions_in = positions_in;
        w.positions_out = table.shape(0);
        w.taps = table.shape(1);
        w.channels = channels;
        return w;
    }

    template <class F>
    void alone(const F& f) {
        py::gil_scoped_release release;
        const std::lock_guard<std::mutex> lock(busy);
        f();
    }

    // out (K, parameters) <- product of V (K, parameters)
    template <class F>
    Array<T> product(const Array<T>& V, bool reduce, const F& f) {
        const Index P = network.parameters(reduce);
        const T* v = checked<T>(V, "V", {-1, P});
        const Index K = V.shape(0);
        Array<T> out({K, P});
        T* r = out.mutable_data();
        alone([&] { f(K, v, r); });
        return out;
    }
};

template <class T>
void bind_network(py::module_& module, const char* name) {
    using Self = BoundNetwork<T>;
    const auto table = py::arg("table").noconvert();
    const auto V = py::arg("V").noconvert();
    const auto reduced = py::arg("reduced") = false;
    py::class_<Self>(module, name, "A feed-forward network linearised at one parameter vector on one batch.")
        .def(py::init<Array<T>, Index, Index, Index, Index, int, Index>(), py::arg("X").noconvert(),
             py::arg("positions"), py::arg("channels"), py::arg("values"), py::arg("parameters"), py::arg("threads"),
             py::arg("workspace"), "X (samples, positions, channels); workspace in bytes.")
        .def(
            "dense",
            [](Self& self, Index outputs, Index groups, Index weight_value, Index bias_value, Index weight,
               Index bias) { self.network.dense(outputs, groups, {weight_value, bias_value, weight, bias}); },
            py::arg("outputs"), py::arg("groups"), py::arg("weight_value"), py::arg("bias_value"), py::arg("weight"),
            py::arg("bias"), "A dense layer; where its weights and bias stand in values and directions, -1: nowhere.")
        .def(
            "unfold",
            [](Self& self, Array<std::int32_t> t, Index positions, Index channels) {
                self.network.unfold(self.windows(t, positions, channels));
            },
            table, py::arg("positions"), py::arg("channels"), "Patches: the first half of a convolution.")
        .def(
            "average",
            [](Self& self, Array<std::int32_t> t, Index positions, Index channels, std::vector<T> weights) {
                self.network.average(self.windows(t, positions, channels), std::move(weights));
            },
            table, py::arg("positions"), py::arg("channels"), py::arg("weights"), "Weighted sums over windows.")
        .def(
            "maximum",
            [](Self& self, Array<std::int32_t> t, Index positions, Index channels) {
                self.network.maximum(self.windows(t, positions, channels));
            },
            table, py::arg("positions"), py::arg("channels"), "The largest entry of each window.")
        .def(
            "flatten", [](Self& self) { self.network.flatten(); }, "One position, channel after channel.")
        .def(
            "activation",
            [](Self& self, const std::string& function, double a, double b) {
                self.network.activation(curvature::parse_activation(function, a, b));
            },
            py::arg("function"), py::arg("a") = 0.0, py::arg("b") = 0.0, "An elementwise activation.")
        .def(
            "loss",
            [](Self& self, const std::string& kind, double weight, Array<T> targets) {
                const T* y = checked<T>(targets, "targets", {self.network.samples(), self.network.outputs()});
                self.network.loss(curvature::parse_loss(kind), weight, y);
            },
            py::arg("kind"), py::arg("weight"), py::arg("targets").noconvert(), "targets (samples, outputs).")
        .def(
            "reduce",
            [](Self& self, Array<T> X) {
                const T* x = checked<T>(X, "X", {self.network.samples(), X.ndim() == 2 ? X.shape(1) : -1});
                self.network.reduce(x, X.shape(1));
                self.reduced = std::move(X);
            },
            py::arg("X").noconvert(), "X (samples, rank): the inputs in an orthonormal basis of their row space.")
        .def(
            "linearize",
            [](Self& self, Array<T> values) {
                const T* v = checked<T>(values, "values", {self.network.values()});
                self.alone([&] { self.network.linearize(v); });
            },
            py::arg("values").noconvert(), "Linearise at all parameters of the network, frozen ones included.")
        .def(
            "differentiate",
            [](Self& self, Array<T> gradients) {
                const T* g = checked<T>(gradients, "gradients", {self.network.samples(), self.network.outputs()});
                self.alone([&] { self.network.differentiate(g); });
            },
            py::arg("gradients").noconvert(), "Deltas of a custom loss from its gradients (samples, outputs).")
        .def_property_readonly("loss_value", [](const Self& self) { return self.network.loss_value(); })
        .def(
            "size", [](const Self& self, bool r) { return self.network.parameters(r); }, reduced)
        .def("outputs",
             [](const Self& self) {
                 return Array<T>({self.network.samples(), self.network.outputs()}, self.network.output());
             })
        .def(
            "gradient",
            [](Self& self, bool r) {
                Array<T> out(self.network.parameters(r));
                T* o = out.mutable_data();
                self.alone([&] { self.network.gradient(r, o); });
                return out;
            },
            reduced)
        .def(
            "hessian",
            [](Self& self, const Array<T>& v, bool r) {
                return self.product(v, r, [&](Index K, const T* x, T* y) { self.network.hessian(r, K, x, y); });
            },
            V, reduced)
        .def(
            "ggn",
            [](Self& self, const Array<T>& v, bool r) {
                return self.product(v, r, [&](Index K, const T* x, T* y) { self.network.gauss_newton(r, K, x, y); });
            },
            V, reduced)
        .def(
            "jacobian",
            [](Self& self, const Array<T>& v, bool r) {
                const T* x = checked<T>(v, "V", {-1, self.network.parameters(r)});
                const Index K = v.shape(0);
                Array<T> out({K, self.network.samples(), self.network.outputs()});
                T* u = out.mutable_data();
                self.alone([&] { self.network.jacobian(r, K, x, u); });
                return out;
            },
            V, reduced)
        .def(
            "jacobian_transpose",
            [](Self& self, const Array<T>& U, bool r) {
                const T* u = checked<T>(U, "U", {-1, self.network.samples(), self.network.outputs()});
                const Index K = U.shape(0);
                Array<T> out({K, self.network.parameters(r)});
                T* y = out.mutable_data();
                self.alone([&] { self.network.jacobian_transpose(r, K, u, y); });
                return out;
            },
            py::arg("U").noconvert(), reduced)
        .def(
            "custom_hessian",
            [](Self& self, const Array<T>& v, const Array<T>& U, bool r) {
                const T* u =
                    checked<T>(U, "U", {v.ndim() ? v.shape(0) : 0, self.network.samples(), self.network.outputs()});
                return self.product(v, r,
                                    [&](Index K, const T* x, T* y) { self.network.custom_hessian(r, K, x, u, y); });
            },
            V, py::arg("U").noconvert(), reduced, "Hessian product with a custom loss.");
}

}  // namespace

void bind_curvature(py::module_& module) {
    bind_network<float>(module, "Network32");
    bind_network<double>(module, "Network64");
}

}  // namespace pyphenom
