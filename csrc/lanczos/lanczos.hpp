// Extreme eigenpairs of a symmetric operator A known by its product with a block of vectors: block Lanczos with full
// reorthogonalisation and thick restart.
//
// Throughout, with orthonormal [V Q], V: P x m, Q: P x b,
//
//     A V = V T + Q C        T = V^T A V: m x m,  C: b x m
//
// V has been multiplied, Q is waiting. A step multiplies one or more directions of Q and appends them to V; what is new
// in the product joins Q. A Ritz pair T y = theta y has the residual A V y - theta V y = Q C y, so that its norm |C y|
// needs no product. A restart replaces V by some of the V y. Start blocks of any size, fresh random vectors and blocks
// that lose rank are all the same to this relation; a single start vector makes it the textbook's.
//
// Copies of a multiple eigenvalue are orthogonal to every Krylov space of one vector. When the wanted pairs have
// converged, Lanczos goes on from a fresh random vector in the complement of V, where a copy is an eigenvector still,
// until a copy has shown itself or `Certificate` says that none is likely to hide.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/matrix.hpp"

namespace pyphenom {

enum class Which { largest, smallest, magnitude, both };  // LA, SA, LM, BE

struct LanczosOptions {
    Index wanted = 1;
    Which which = Which::largest;
    double tolerance = 1e-6;  // on the residual's norm, relative to the largest |Ritz value|
    Index block = 1;  // vectors a product
    Index max_products = 1000;
    double miss_probability = 1e-3;  // accepted that a copy stays unseen; 1: do not look
    std::uint64_t seed = 0;
    int threads = 1;
};

struct LanczosResult {
    std::vector<double> values, residuals;  // best first, as `which` ranks them
    Index converged = 0, products = 0, restarts = 0;
    double scale = 0;  // largest |Ritz value|
    double drift = 0;  // by how much the relation above is violated; inside every residual
    double miss_probability = 1;  // bound on it at the end
};

// Columns first, ..., first + count - 1 of the basis, times A, into columns to, ... of it.
using BlockProduct = std::function<void(Index first, Index count, Index to)>;

// basis: P x capacity, its first `start` columns the start block (0: random). On return its first values.size() columns
// are the vectors. Throws std::domain_error where a product is not finite.
template <class T>
LanczosResult lanczos(Matrix<T> basis, Index start, const BlockProduct& product, const LanczosOptions& options);

// The fewest columns that `lanczos` can work with.
Index smallest_basis(Index size, Index wanted, Index start, Index block);

}  // namespace pyphenom
