// Ridge regression at one width, for penalties that change with the width (Mei and Montanari's scaling), where
// nested factorisations do not apply.
#pragma once

#include "core/matrix.hpp"
#include "random_features/width_path.hpp"

namespace pyphenom {

// One row (column 0 of the views in `rows`) for a = argmin |y - Z a|^2 + penalty |a|^2, penalty > 0.
// Z: N x n and Z_test: N x m, one feature a row. A QR factorisation of [Z; sqrt(P) I] (N < n) or of
// [Z^T; sqrt(P) I] (N > n): O((n + N) min(n, N)^2), backward stable.
void ridge_fit(Matrix<const double> Z, Matrix<const double> y, Matrix<const double> Z_test, Matrix<const double> y_test,
               double penalty, const PathRows& rows);

}  // namespace pyphenom
