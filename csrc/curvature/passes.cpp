#include "curvature/passes.hpp"

#include "core/clones.hpp"

#define PYPHENOM_INLINE [[gnu::always_inline]] inline

namespace pyphenom::curvature {
namespace {

template <class T>
PYPHENOM_INLINE void push(const T* slope, const T* bias, const T* in, T* out, Index rows, Index cols) {
    if (!bias) {
#pragma omp simd
        for (Index i = 0; i < rows * cols; ++i) out[i] = slope[i] * in[i];
        return;
    }
    for (Index i = 0; i < rows * cols; i += cols) {
#pragma omp simd
        for (Index j = 0; j < cols; ++j) out[i + j] = slope[i + j] * (in[i + j] + bias[j]);
    }
}

template <class T>
PYPHENOM_INLINE void column_sums(const T* Y, double* sums, Index rows, Index cols) {
    for (Index i = 0; i < rows; ++i) {
        const T* y = Y + i * cols;
#pragma omp simd
        for (Index j = 0; j < cols; ++j) sums[j] += static_cast<double>(y[j]);
    }
}

template <class T>
PYPHENOM_INLINE void pull(const T* slope, const T* bend, const T* t, T* u, double* sums, Index rows, Index cols) {
    for (Index i = 0; i < rows * cols; i += cols) {
        if (bend) {
#pragma omp simd
            for (Index j = i; j < i + cols; ++j) u[j] = slope[j] * u[j] + bend[j] * t[j];
        } else {
#pragma omp simd
            for (Index j = i; j < i + cols; ++j) u[j] *= slope[j];
        }
        if (sums) column_sums(u + i, sums, 1, cols);  // while the row is in cache
    }
}

}  // namespace

#define PYPHENOM_PASSES(T)                                                                                       \
    PYPHENOM_CLONES void push_rows(const T* slope, const T* bias, const T* in, T* out, Index rows, Index cols) { \
        push(slope, bias, in, out, rows, cols);                                                                  \
    }                                                                                                            \
    PYPHENOM_CLONES void pull_rows(const T* slope, const T* bend, const T* t, T* u, double* sums, Index rows,    \
                                   Index cols) {                                                                 \
        pull(slope, bend, t, u, sums, rows, cols);                                                               \
    }                                                                                                            \
    PYPHENOM_CLONES void add_bias(const T* bias, T* Y, Index rows, Index cols) {                                 \
        for (Index i = 0; i < rows * cols; i += cols)                                                            \
            for (Index j = 0; j < cols; ++j) Y[i + j] += bias[j];                                                \
    }                                                                                                            \
    PYPHENOM_CLONES void add_column_sums(const T* Y, double* sums, Index rows, Index cols) {                     \
        column_sums(Y, sums, rows, cols);                                                                        \
    }                                                                                                            \
    PYPHENOM_CLONES void scale(const T* y, T* x, Index count) {                                                  \
        for (Index i = 0; i < count; ++i) x[i] *= y[i];                                                          \
    }                                                                                                            \
    PYPHENOM_CLONES void accumulate(const T* x, T* y, Index count) {                                             \
        for (Index i = 0; i < count; ++i) y[i] += x[i];                                                          \
    }
PYPHENOM_PASSES(float)
PYPHENOM_PASSES(double)
#undef PYPHENOM_PASSES

}  // namespace pyphenom::curvature
