// The elementwise passes between two matrix products, each as few sweeps over memory as there are operands.
#pragma once

#include "core/matrix.hpp"

namespace pyphenom::curvature {

// out <- slope * (in + bias), one row of `slope` a row; bias null: without. `out` may be `in`.
void push_rows(const float* slope, const float* bias, const float* in, float* out, Index rows, Index cols);
void push_rows(const double* slope, const double* bias, const double* in, double* out, Index rows, Index cols);

// u <- slope * u + bend * t; bend null: without. sums (null: none) gains the column sums of u, in float64.
void pull_rows(const float* slope, const float* bend, const float* t, float* u, double* sums, Index rows, Index cols);
void pull_rows(const double* slope, const double* bend, const double* t, double* u, double* sums, Index rows,
               Index cols);

// Y <- Y + bias, a row of `bias` to each row.
void add_bias(const float* bias, float* Y, Index rows, Index cols);
void add_bias(const double* bias, double* Y, Index rows, Index cols);

// sums <- sums + column sums, in float64.
void add_column_sums(const float* Y, double* sums, Index rows, Index cols);
void add_column_sums(const double* Y, double* sums, Index rows, Index cols);

// x <- x * y
void scale(const float* y, float* x, Index count);
void scale(const double* y, double* x, Index count);

// y <- y + x
void accumulate(const float* x, float* y, Index count);
void accumulate(const double* x, double* y, Index count);

}  // namespace pyphenom::curvature
