#include <pybind11/pybind11.h>

#include <string>

#include "bindings/arrays.hpp"
#include "bindings/bind.hpp"
#include "interpolation/relu_interpolant.hpp"

namespace pyphenom {
namespace {

// The entries of a contiguous vector of `length`.
template <class U>
auto entries(U& array, const char* name, Index length) {
    require(array.ndim() == 1 && array.shape(0) == length, name, "of another length",
            (std::to_string(length) + " entries").c_str());
    require(length <= 1 || array.strides(0) == array.itemsize(), name, "strided", "contiguous in memory");
    if constexpr (std::is_const_v<U>) {
        return array.data();
    } else {
        return array.mutable_data();
    }
}

template <class T>
void bind_project(py::module_& module) {
    module.def(
        "project",
        [](const Array<T> X, const Array<double> center, const Array<double> A, Array<double> Z, int threads) {
            const auto x = transposed_view<const T>(X, "X");
            const double* c = entries(center, "center", x.rows);
            const auto a = transposed_view<const double>(A, "A");
            const auto z = transposed_view<double>(Z, "Z");
            const py::gil_scoped_release release;
            project<T>(x, c, a, z, threads);
        },
        py::arg("X").noconvert(), py::arg("center").noconvert(), py::arg("A").noconvert(), py::arg("Z").noconvert(),
        py::arg("threads"), "Z (directions, n) <- A (X - center)^T, each entry with a fixed order of its additions.");
}

}  // namespace

void bind_interpolation(py::module_& module) {
    bind_project<float>(module);
    bind_project<double>(module);
    module.def(
        "sort_projections",
        [](const Array<double> Z, int threads) {
            const auto z = transposed_view<const double>(Z, "Z");
            Array<std::uint32_t> order({z.cols, z.rows});
            Array<double> gaps(z.cols);
            const Matrix<std::uint32_t> o(order.mutable_data(), z.rows, z.cols);
            double* g = gaps.mutable_data();
            {
                const py::gil_scoped_release release;
                sort_projections(z, o, g, threads);
            }
            return py::make_tuple(order, gaps);
        },
        py::arg("Z").noconvert(), py::arg("threads"),
        "For each row of Z (directions, n), finite: the stable order, and the smallest positive gap over the range.");
    module.def(
        "relu_interpolate",
        [](const Array<double> z, const Array<double> Y, double first_knot, double position) {
            const auto y = transposed_view<const double>(Y, "Y");
            const double* projections = entries(z, "z", y.cols);
            Array<double> knots(y.cols), slopes({y.cols, y.rows});
            double* b = knots.mutable_data();
            const Matrix<double> s(slopes.mutable_data(), y.rows, y.cols);
            {
                const py::gil_scoped_release release;
                interpolate(projections, y, first_knot, position, b, s);
            }
            return py::make_tuple(knots, slopes);
        },
        py::arg("z").noconvert(), py::arg("Y").noconvert(), py::arg("first_knot"), py::arg("position"),
        "Knots (n,) and slopes (n, targets) through Y (n, targets) at ascending projections z (n,).");
    module.def(
        "relu_evaluate",
        [](const Array<double> q, const Array<double> knots, const Array<double> z, const Array<double> Y,
           const Array<double> slopes, Array<double> out, int threads) {
            const auto y = transposed_view<const double>(Y, "Y");
            const auto s = transposed_view<const double>(slopes, "slopes");
            const auto o = transposed_view<double>(out, "out");
            const double *at = entries(q, "q", o.cols), *b = entries(knots, "knots", y.cols),
                         *projections = entries(z, "z", y.cols);
            const py::gil_scoped_release release;
            evaluate(at, b, projections, y, s, o, threads);
        },
        py::arg("q").noconvert(), py::arg("knots").noconvert(), py::arg("z").noconvert(), py::arg("Y").noconvert(),
        py::arg("slopes").noconvert(), py::arg("out").noconvert(), py::arg("threads"),
        "out (m, targets) <- the interpolant at projections q (m,).");
}

}  // namespace pyphenom
