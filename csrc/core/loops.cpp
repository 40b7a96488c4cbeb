#include "core/loops.hpp"

#include <algorithm>
#include <cmath>

#include "core/clones.hpp"

namespace pyphenom {

PYPHENOM_CLONES double dot(const double* a, const double* b, Index n) {
    double s = 0;
#pragma omp simd reduction(+ : s)
    for (Index i = 0; i < n; ++i) s += a[i] * b[i];
    return s;
}

PYPHENOM_CLONES double squared_distance(const double* a, const double* b, Index n) {
    double s = 0;
#pragma omp simd reduction(+ : s)
    for (Index i = 0; i < n; ++i) s += (a[i] - b[i]) * (a[i] - b[i]);
    return s;
}

PYPHENOM_CLONES double squared_ratio(const double* a, const double* b, Index n) {
    double s = 0;
#pragma omp simd reduction(+ : s)
    for (Index i = 0; i < n; ++i) s += (a[i] / b[i]) * (a[i] / b[i]);
    return s;
}

PYPHENOM_CLONES void axpy(double s, const double* x, double* y, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) y[i] += s * x[i];
}

PYPHENOM_CLONES double add_squares(const double* x, double* y, Index n) {
    double s = 0;
#pragma omp simd reduction(+ : s)
    for (Index i = 0; i < n; ++i) {
        const double x2 = x[i] * x[i];
        y[i] += x2;
        s += x2;
    }
    return s;
}

PYPHENOM_CLONES void subtract_squares(const double* x, double* y, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) y[i] -= x[i] * x[i];
}

PYPHENOM_CLONES void rectify(float* z, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) z[i] = z[i] < 0.0f ? 0.0f : z[i];
}

PYPHENOM_CLONES void rectify(double* z, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) z[i] = z[i] < 0.0 ? 0.0 : z[i];
}

PYPHENOM_CLONES void raise_to_sizes(const double* x, double* largest, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) {
        const double size = std::fabs(x[i]);
        largest[i] = ((size > largest[i]) | (size != size)) ? size : largest[i];
    }
}

void copy(Matrix<const double> A, Matrix<double> B) {
    for (Index j = 0; j < A.cols; ++j) std::copy_n(A.col(j), A.rows, B.col(j));
}

void copy_upper(Matrix<const double> A, Matrix<double> B) {
    for (Index j = 0; j < A.cols; ++j) std::copy_n(A.col(j), std::min(j + 1, A.rows), B.col(j));
}

void transpose(Matrix<const double> A, Matrix<double> B) {
    constexpr Index lines = 8;  // eight columns of A give whole cache lines of B
    Index j = 0;
    for (; j + lines <= A.cols; j += lines)
        for (Index i = 0; i < A.rows; ++i)
            for (Index l = 0; l < lines; ++l) B(j + l, i) = A(i, j + l);
    for (; j < A.cols; ++j)
        for (Index i = 0; i < A.rows; ++i) B(j, i) = A(i, j);
}

void zero(Matrix<double> A) {
    for (Index j = 0; j < A.cols; ++j) std::fill_n(A.col(j), A.rows, 0.0);
}

void zero_below_diagonal(Matrix<double> A) {
    for (Index j = 0; j < A.cols; ++j) std::fill(A.col(j) + std::min(j + 1, A.rows), A.col(j) + A.rows, 0.0);
}

}  // namespace pyphenom
