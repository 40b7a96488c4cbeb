#include "curvature/passes.hpp"

#include "core/clones.hpp"

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
    Index i = 0;
    for (; i + 4 <= rows; i += 4) {  // four rows a pass: the sums are read and written a fourth as often
        const T *y0 = Y + i * cols, *y1 = y0 + cols, *y2 = y1 + cols, *y3 = y2 + cols;
#pragma omp simd
        for (Index j = 0; j < cols; ++j)
            sums[j] += (static_cast<double>(y0[j]) + static_cast<double>(y1[j])) +
                       (static_cast<double>(y2[j]) + static_cast<double>(y3[j]));
    }
    for (; i < rows; ++i) {
#pragma omp simd
        for (Index j = 0; j < cols; ++j) sums[j] += static_cast<double>(Y[i * cols + j]);
    }
}

template <class T>
PYPHENOM_INLINE void pull(const T* slope, const T* bend, const T* t, T* u, double* sums, Index rows, Index cols) {
    for (Index row = 0; row < rows; row += 4) {
        const Index height = rows - row < 4 ? rows - row : 4, end = (row + height) * cols;
        if (bend) {
#pragma omp simd
            for (Index j = row * cols; j < end; ++j) u[j] = slope[j] * u[j] + bend[j] * t[j];
        } else {
#pragma omp simd
            for (Index j = row * cols; j < end; ++j) u[j] *= slope[j];
        }
        if (sums) column_sums(u + row * cols, sums, height, cols);  // while the rows are in cache
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
