#include <pybind11/pybind11.h>

#include "bindings/arrays.hpp"
#include "bindings/bind.hpp"
#include "bindings/interrupts.hpp"
#include "implicit_bias/hard_margin.hpp"

namespace pyphenom {

void bind_hard_margin(py::module_& module) {
    module.def(
        "hard_margin",
        [](const Array<double> K, double tol, Index max_exchanges) {
            const auto gram = transposed_view<const double>(K, "K");
            Array<double> alpha(gram.rows);
            double* a = alpha.mutable_data();
            HardMarginRun run;
            {
                const py::gil_scoped_release release;
                Interrupts interrupts;
                run = solve_hard_margin(gram, tol, max_exchanges, a, [&] { interrupts(); });
            }
            const char* end = run.end == HardMarginEnd::solved        ? "solved"
                              : run.end == HardMarginEnd::inseparable ? "inseparable"
                                                                      : "undecided";
            return py::make_tuple(alpha, end, run.sweeps, run.exchanges);
        },
        py::arg("K").noconvert(), py::arg("tol"), py::arg("max_exchanges"),
        "(alpha, end, sweeps, exchanges) of min 1/2 a'Ka - 1'a over a >= 0, K (n, n) symmetric.");
}

}  // namespace pyphenom
