// The ReLU network with 2n + d weights through n points (Zhang et al. 2017, Theorem 1), without its n x n system.
//
//   f(x) = sum_j v_j (a.x - b_j)_+,   z_j = a.x_j sorted,   b_1 < z_1 <= b_2 < z_2 <= ... <= b_n < z_n
//
// The matrix (z_i - b_j)_+ is lower triangular, and f is linear between its knots: with the slope S_j = v_1 + ... + v_j
// to the right of b_j, f = y_j + S_j (z - z_j) on [b_j, b_{j+1}]. The slopes follow from one another, a division each.
#pragma once

#include <cstdint>

#include "core/matrix.hpp"

namespace pyphenom {

// Z(i, k) = sum_l A(l, k) (X(l, i) - center_l) for samples X(:, i). The order of the additions is fixed: an entry
// depends to the bit on its sample and its direction alone, not on blocks, threads, the other directions or the
// processor. Slopes reach n^2 over the range of z, so that an error of one rounding would show at the data.
template <class T>
void project(Matrix<const T> X, const double* center, Matrix<const double> A, Matrix<double> Z, int threads);

// order(:, k) sorts Z(:, k) ascending, equal entries by index; gaps[k] is the smallest difference > 0 of neighbours
// over the range, infinity where there is none. Entries are finite; fewer than 2^32 of them.
void sort_projections(Matrix<const double> Z, Matrix<std::uint32_t> order, double* gaps, int threads);

// Knots b_j = z_{j-1} + position (z_j - z_{j-1}) after the first, which is given, and slopes (targets, n) for
// z strictly ascending and Y (targets, n). 0 <= position < 1.
void interpolate(const double* z, Matrix<const double> Y, double first_knot, double position, double* knots,
                 Matrix<double> slopes);

// out(:, i) = f at the projection q_i; at q_i = z_j it is Y(:, j) to the bit.
void evaluate(const double* q, const double* knots, const double* z, Matrix<const double> Y,
              Matrix<const double> slopes, Matrix<double> out, int threads);

}  // namespace pyphenom
