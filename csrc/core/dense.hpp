// The three products of a dense layer, row-major: A (r x k) its input, B (o x k) its weights, D (r x o) a delta.
//
// Small or thin ones run in plain loops, others in `tiles.hpp` where the processor has a version of it, or by BLAS.
// The strides are the distances between rows. `add` keeps what stands in C.
#pragma once

#include "core/matrix.hpp"
#include "core/tiles.hpp"

namespace pyphenom::dense {

struct Shape {
    Index r, o, k;
};

// Whether all products run on the calling thread; BLAS may start its own.
template <class T>
bool one_threaded();

// Any product, whatever its size, in tiles or by BLAS.
template <class T>
void multiply(const Product<T>& x);

// C (r x o) <- A B^T
template <class T>
void outputs_of(Shape s, const T* A, Index lda, const T* B, Index ldb, bool add, T* C, Index ldc);

// C (r x k) <- D B
template <class T>
void inputs_of(Shape s, const T* D, Index ldd, const T* B, Index ldb, bool add, T* C, Index ldc);

// C (o x k) <- D^T A
template <class T>
void weights_of(Shape s, const T* D, Index ldd, const T* A, Index lda, bool add, T* C, Index ldc);

}  // namespace pyphenom::dense
