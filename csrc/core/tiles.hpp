// A matrix product on one thread, for the sample blocks that a team shares out.
//
// OpenBLAS threads itself: a product of a few microseconds then waits for the slowest of its threads, once a call.
#pragma once

#include "core/matrix.hpp"

namespace pyphenom::dense {

// C (rows x cols) <- A B, or C + A B where `add` is 1, or C - A B where it is -1; entry (i, j) of A is a[i * row_a + j
// * col_a], likewise B; the rows of C are contiguous, `ldc` apart.
template <class T>
struct Product {
    Index rows, cols, depth;
    const T* a;
    Index row_a, col_a;
    const T* b;
    Index row_b, col_b;
    int add;
    T* c;
    Index ldc;
};

// The version for the processor at hand; null where there is none worth having.
template <class T>
using TiledProduct = void (*)(const Product<T>&);
template <class T>
TiledProduct<T> tiled_product();

#if defined(__x86_64__) && defined(__GNUC__)
void product_avx2(const Product<float>&);
void product_avx2(const Product<double>&);
void product_avx512(const Product<float>&);
void product_avx512(const Product<double>&);
#endif

}  // namespace pyphenom::dense
