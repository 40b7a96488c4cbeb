// The hard-margin dual: min 1/2 a'Ka - 1'a over a >= 0, K = XX' the Gram matrix of the rows y_i x_i.
//
// Coordinate descent finds nearly all of the support; the dual active-set method of Goldfarb and Idnani (1983) goes on
// from there, one row in or out at a time on an updated Cholesky factor, and ends: at the solution, or at a direction
// u >= 0 with Ku = 0 along which the dual falls without bound, so that 0 is a positive combination of rows and no w
// separates them. The rows of the support stay independent, so that K may be singular.
#pragma once

#include <functional>

#include "core/matrix.hpp"

namespace pyphenom {

enum class HardMarginEnd { solved, inseparable, undecided };

struct HardMarginRun {
    HardMarginEnd end = HardMarginEnd::undecided;
    Index sweeps = 0;     // of coordinate descent
    Index exchanges = 0;  // of the active set
};

// alpha (n) <- the solution, with every (K alpha)_i >= 1 - tol as far as rounding lets it tell; or u where the rows are
// inseparable, or K has too few digits to tell; or the last point of `max_exchanges`. `check` is called between
// exchanges; what it throws ends the run.
HardMarginRun solve_hard_margin(Matrix<const double> K, double tol, Index max_exchanges, double* alpha,
                                const std::function<void()>& check);

}  // namespace pyphenom
