// The vector loops of the kernels, compiled for the instruction sets of the processor at hand where the compiler can.
#pragma once

#include "core/matrix.hpp"

namespace pyphenom {

double dot(const double* a, const double* b, Index n);
double squared_distance(const double* a, const double* b, Index n);
// sum of (a_i / b_i)^2
double squared_ratio(const double* a, const double* b, Index n);
// y <- y + s x
void axpy(double s, const double* x, double* y, Index n);
// y <- y + x^2 entrywise; returns the sum of x^2
double add_squares(const double* x, double* y, Index n);
// y <- y - x^2 entrywise
void subtract_squares(const double* x, double* y, Index n);

// largest <- max(largest, |x|) entrywise; NaN stays
void raise_to_sizes(const double* x, double* largest, Index n);

inline double squared_norm(const double* a, Index n) { return dot(a, a, n); }

// z <- max(z, 0); NaN stays
void rectify(float* z, Index n);
void rectify(double* z, Index n);

void copy(Matrix<const double> A, Matrix<double> B);
void copy_upper(Matrix<const double> A, Matrix<double> B);
// B <- A^T
void transpose(Matrix<const double> A, Matrix<double> B);
void zero(Matrix<double> A);
void zero_below_diagonal(Matrix<double> A);

}  // namespace pyphenom
