#include <pybind11/pybind11.h>

#include <string>

#include "bindings/arrays.hpp"
#include "bindings/bind.hpp"
#include "pac_bayes/kl_inverse.hpp"

namespace pyphenom {
namespace {

using Vector = Array<double>;

void same_lengths(const Vector& first, const Vector& other, const char* name) {
    require(first.ndim() == 1 && other.ndim() == 1 && first.shape(0) == other.shape(0), name, "of another length",
            "vectors of one length");
    const Index item = sizeof(double);
    require(first.strides(0) == item && other.strides(0) == item, name, "strided", "entries contiguous in memory");
}

Side parse_side(const std::string& side) {
    require(side == "upper" || side == "lower", "side", "'" + side + "'", "'upper' or 'lower'");
    return side == "upper" ? Side::upper : Side::lower;
}

}  // namespace

void bind_kl_inverse(py::module_& module) {
    module.def(
        "kl_inverse",
        [](Vector risk, Vector budget, Vector out, const std::string& side, int threads) {
            same_lengths(risk, budget, "budget");
            same_lengths(risk, out, "out");
            const Side s = parse_side(side);
            const double *q = risk.data(), *c = budget.data();
            double* p = out.mutable_data();
            py::gil_scoped_release release;
            kl_inverse(s, q, c, p, out.shape(0), threads);
        },
        py::arg("risk").noconvert(), py::arg("budget").noconvert(), py::arg("out").noconvert(), py::arg("side"),
        py::arg("threads"), "out <- the p beyond `risk` with kl(risk | p) = budget, rounded outwards.");

    module.def(
        "kl_inverse_gradient",
        [](Vector risk, Vector budget, Vector out, Vector by_risk, Vector by_budget, const std::string& side,
           int threads) {
            same_lengths(risk, budget, "budget");
            same_lengths(risk, out, "out");
            same_lengths(risk, by_risk, "by_risk");
            same_lengths(risk, by_budget, "by_budget");
            const Side s = parse_side(side);
            const double *q = risk.data(), *c = budget.data();
            double *p = out.mutable_data(), *by_q = by_risk.mutable_data(), *by_c = by_budget.mutable_data();
            py::gil_scoped_release release;
            kl_inverse_gradient(s, q, c, p, by_q, by_c, out.shape(0), threads);
        },
        py::arg("risk").noconvert(), py::arg("budget").noconvert(), py::arg("out").noconvert(),
        py::arg("by_risk").noconvert(), py::arg("by_budget").noconvert(), py::arg("side"), py::arg("threads"),
        "The inverse and its derivatives by risk and budget.");

    module.def(
        "kl_divergence",
        [](Vector q, Vector p, Vector out, int threads) {
            same_lengths(q, p, "p");
            same_lengths(q, out, "out");
            const double *first = q.data(), *second = p.data();
            double* values = out.mutable_data();
            py::gil_scoped_release release;
            kl_divergence(first, second, values, out.shape(0), threads);
        },
        py::arg("q").noconvert(), py::arg("p").noconvert(), py::arg("out").noconvert(), py::arg("threads"),
        "out <- kl(q | p).");
}

}  // namespace pyphenom
