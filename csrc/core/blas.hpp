// BLAS and LAPACK behind a table of function pointers, so that the library links none of them itself.
//
// Default build: the Python module fills the table at import from SciPy's capsules (bindings/blas_from_scipy.cpp).
// With -DPYPHENOM_BLAS=system the table is filled at link time. Fortran conventions: column-major, 32-bit integers.
#pragma once

#include "core/matrix.hpp"

namespace pyphenom {

// X(name, module, argument types). `s*` routines serve float32 features; factorisations run in float64.
#define PYPHENOM_BLAS_ROUTINES(X)                                                                                      \
    X(sgemm, cython_blas, char*, char*, int*, int*, int*, float*, float*, int*, float*, int*, float*, float*, int*)    \
    X(dgemm, cython_blas, char*, char*, int*, int*, int*, double*, double*, int*, double*, int*, double*, double*,     \
      int*)                                                                                                            \
    X(dtrsm, cython_blas, char*, char*, char*, char*, int*, int*, double*, double*, int*, double*, int*)               \
    X(dtrmm, cython_blas, char*, char*, char*, char*, int*, int*, double*, double*, int*, double*, int*)               \
    X(dsymm, cython_blas, char*, char*, int*, int*, double*, double*, int*, double*, int*, double*, double*, int*)     \
    X(dsyrk, cython_blas, char*, char*, int*, int*, double*, double*, int*, double*, double*, int*)                    \
    X(dgeqrf, cython_lapack, int*, int*, double*, int*, double*, double*, int*, int*)                                  \
    X(dorgqr, cython_lapack, int*, int*, int*, double*, int*, double*, double*, int*, int*)                            \
    X(dormqr, cython_lapack, char*, char*, int*, int*, int*, double*, int*, double*, double*, int*, double*, int*,     \
      int*)                                                                                                            \
    X(dgerqf, cython_lapack, int*, int*, double*, int*, double*, double*, int*, int*)                                  \
    X(dorgrq, cython_lapack, int*, int*, int*, double*, int*, double*, double*, int*, int*)                            \
    X(dtpqrt, cython_lapack, int*, int*, int*, int*, double*, int*, double*, int*, double*, int*, double*, int*)       \
    X(dtpmqrt, cython_lapack, char*, char*, int*, int*, int*, int*, int*, double*, int*, double*, int*, double*, int*, \
      double*, int*, double*, int*)                                                                                    \
    X(dtrtri, cython_lapack, char*, char*, int*, double*, int*, int*)                                                  \
    X(dlauum, cython_lapack, char*, int*, double*, int*, int*)                                                         \
    X(dsyevd, cython_lapack, char*, char*, int*, double*, int*, double*, double*, int*, int*, int*, int*)              \
    X(dpotrf, cython_lapack, char*, int*, double*, int*, int*)

struct BlasTable {
#define PYPHENOM_BLAS_MEMBER(name, module, ...) void (*name)(__VA_ARGS__) = nullptr;
    PYPHENOM_BLAS_ROUTINES(PYPHENOM_BLAS_MEMBER)
#undef PYPHENOM_BLAS_MEMBER
};

// The one table of the process; written once, before any kernel runs.
BlasTable& blas_table();

namespace blas {

using M = Matrix<double>;
using CM = Matrix<const double>;

// C <- alpha op(A) op(B) + beta C
void gemm(char transa, char transb, double alpha, CM A, CM B, double beta, M C);
void gemm(char transa, char transb, float alpha, Matrix<const float> A, Matrix<const float> B, float beta,
          Matrix<float> C);
// C <- A B, A symmetric, its upper triangle given.
void multiply_symmetric(CM A, CM B, M C);
// A <- A - B B^T, in the upper triangle.
void subtract_square(CM B, M A);
// A <- B^T B, in the upper triangle.
void gram(CM B, M A);
// B <- op(A)^-1 B (side 'L') or B op(A)^-1 (side 'R'); A upper triangular.
void solve_upper(char side, char trans, CM A, M B);
// B <- A B (side 'L') or B A (side 'R'), A upper triangular.
void multiply_upper(char side, CM A, M B);
// A <- A^-1, A upper triangular; the strictly lower part is not read.
void invert_upper(M A);
// A <- A A^T in the upper triangle, A upper triangular.
void multiply_by_transpose(M A);
// A = R^T R for symmetric positive definite A: R in the upper triangle; false where A is not.
bool cholesky(M A);
// A = Y diag(values) Y^T for symmetric A, its upper triangle given: A <- Y, values ascending. The work has room for
// 1 + 6 n + 2 n^2 doubles, the integer work for 3 + 5 n.
void eigen(M A, double* values, double* work, Index work_size, int* integer_work, Index integer_work_size);
// A = QR: R in the upper triangle, reflectors below it and in tau.
void qr(M A, double* tau, double* work, Index work_size);
// Turns the reflectors of `qr` into the explicit Q (A.cols columns).
void form_q(M A, const double* tau, double* work, Index work_size);
// C <- Q^T C with the reflectors of `qr`.
void apply_qt(CM reflectors, const double* tau, M C, double* work, Index work_size);
// A = RQ, square: R in the upper triangle; Q explicit in `Q`.
void rq(M A, M Q, double* tau, double* work, Index work_size);
// [R; B] = Q [R'; 0], R upper triangular: R <- R', B <- reflectors, T <- their block factors (panel x R.cols).
void append_rows_qr(M R, M B, M T, double* work);
// [C; D] <- Q^T [C; D] (trans 'T') or Q [C; D] (trans 'N') with the reflectors of `append_rows_qr`.
void append_rows_apply(char trans, CM reflectors, CM T, M C, M D, double* work);

// Work sizes in doubles for the routines above.
inline Index work_for(Index columns) { return 64 * (columns > 1 ? columns : 1); }

}  // namespace blas
}  // namespace pyphenom
