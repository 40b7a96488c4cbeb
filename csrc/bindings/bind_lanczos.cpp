#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "bindings/arrays.hpp"
#include "bindings/bind.hpp"
#include "lanczos/basis.hpp"
#include "lanczos/lanczos.hpp"

namespace pyphenom {
namespace {

Which parse_which(const std::string& name) {
    if (name == "LA") return Which::largest;
    if (name == "SA") return Which::smallest;
    if (name == "LM") return Which::magnitude;
    require(name == "BE", "which", "'" + name + "'", "one of 'LA', 'SA', 'LM', 'BE'");
    return Which::both;
}

template <class T>
void bind_lanczos_of(py::module_& module) {
    module.def(
        "lanczos",
        [](Array<T> basis, Index start, const py::function& product, Index wanted, const std::string& which,
           double tolerance, Index block, Index max_products, double miss_probability, std::uint64_t seed,
           int threads) {
            const auto view = transposed_view<T>(basis, "basis");
            LanczosOptions options{wanted,       parse_which(which), tolerance, block,
                                   max_products, miss_probability,   seed,      threads};
            // Python sees the columns as rows of its own array, so that a view it keeps stays valid.
            const BlockProduct multiply = [&](Index first, Index count, Index to) {
                const py::gil_scoped_acquire gil;
                const auto rows = [&](Index i) { return basis[py::slice(i, i + count, 1)]; };
                product(rows(first), rows(to));
                if (PyErr_CheckSignals() != 0) throw py::error_already_set();
            };
            LanczosResult result;
            {
                const py::gil_scoped_release release;
                result = lanczos<T>(view, start, multiply, options);
            }
            py::dict d;
            d["values"] = result.values;
            d["residuals"] = result.residuals;
            d["converged"] = result.converged;
            d["products"] = result.products;
            d["restarts"] = result.restarts;
            d["scale"] = result.scale;
            d["drift"] = result.drift;
            d["miss_probability"] = result.miss_probability;
            return d;
        },
        py::arg("basis").noconvert(), py::arg("start"), py::arg("product"), py::arg("wanted"), py::arg("which"),
        py::arg("tolerance"), py::arg("block"), py::arg("max_products"), py::arg("miss_probability"), py::arg("seed"),
        py::arg("threads"),
        "Extreme eigenpairs; basis (capacity, P) holds `start` start vectors, then the vectors. product(V, out): out "
        "<- "
        "V A for rows of the basis.");
    module.def(
        "orthogonalise",
        [](Array<T> V, Array<T> W, int threads) {
            const auto v = transposed_view<const T>(V, "V");
            const auto w = transposed_view<T>(W, "W");
            require(v.rows == w.rows, "W", std::to_string(w.rows) + " entries long", "as long as the rows of `V`");
            Array<double> H({w.cols, v.cols}), norms(w.cols);
            const Matrix<double> h(H.mutable_data(), v.cols, w.cols);
            double* lengths = norms.mutable_data();
            {
                const py::gil_scoped_release release;
                orthogonalise<T>(v, w, h, lengths, threads);
            }
            return py::make_tuple(H, norms);
        },
        py::arg("V").noconvert(), py::arg("W").noconvert(), py::arg("threads"),
        "W <- W - (W V^T) V, twice, for orthonormal rows V (n, P); returns W V^T (s, n) and the norms left (s,).");
}

}  // namespace

void bind_lanczos(py::module_& module) {
    bind_lanczos_of<float>(module);
    bind_lanczos_of<double>(module);
    module.def("smallest_basis", &smallest_basis, py::arg("size"), py::arg("wanted"), py::arg("start"),
               py::arg("block"), "The fewest rows of a basis that `lanczos` takes.");
}

}  // namespace pyphenom
