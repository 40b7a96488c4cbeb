// Work on long vectors: everything in the eigensolver whose cost grows with their length P.
//
// V: P x n, one basis vector a column, float or double; every sum over P is accumulated in double, shares of rows go to
// threads, and the shares are added in order, so that a result depends on the number of threads but not on their speed.
#pragma once

#include <cstdint>

#include "core/matrix.hpp"

namespace pyphenom {

// W <- W - V (V^T W), twice (once leaves the rounding errors of what it subtracts), V orthonormal. H <- the sum of both
// coefficients V^T W, n x s; norms[j] <- |w_j| of what remains. Reads V three times, not four: a tile of rows is
// corrected by the first pass and projected for the second while it is in cache.
template <class T>
void orthogonalise(Matrix<const T> V, Matrix<T> W, Matrix<double> H, double* norms, int threads);

// The first Y.cols columns of V <- V Y, Y: V.cols x at most V.cols.
template <class T>
void rotate(Matrix<T> V, Matrix<const double> Y, int threads);

// x <- factor x
template <class T>
void scale(T* x, Index n, double factor);

// x <- standard normals, the draw number `index` of this seed.
template <class T>
void fill_normal(T* x, Index n, std::uint64_t seed, std::uint64_t index);

}  // namespace pyphenom
