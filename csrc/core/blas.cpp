#include "core/blas.hpp"

#include <algorithm>
#include <limits>

#ifdef PYPHENOM_SYSTEM_BLAS
extern "C" {
#define PYPHENOM_BLAS_DECLARE(name, module, ...) void name##_(__VA_ARGS__);
PYPHENOM_BLAS_ROUTINES(PYPHENOM_BLAS_DECLARE)
#undef PYPHENOM_BLAS_DECLARE
}
#endif

namespace pyphenom {

BlasTable& blas_table() {
#ifdef PYPHENOM_SYSTEM_BLAS
#define PYPHENOM_BLAS_SET(name, module, ...) name##_,
    static BlasTable table{PYPHENOM_BLAS_ROUTINES(PYPHENOM_BLAS_SET)};
#undef PYPHENOM_BLAS_SET
#else
    static BlasTable table;
#endif
    return table;
}

namespace blas {
namespace {

// LAPACK takes pointers to non-const even for what it only reads.
template <class T>
T* mut(const T* p) {
    return const_cast<T*>(p);
}

int to_int(Index n) {
    if (n > std::numeric_limits<int>::max())
        throw std::length_error("a matrix dimension of " + std::to_string(n) +
                                " exceeds what a 32-bit BLAS can address; split the problem");
    return static_cast<int>(n);
}

template <class T>
int leading(Matrix<T> A) {
    return to_int(std::max<Index>(1, A.stride));
}

void succeeded(int info, const char* routine) {
    if (info != 0)
        throw std::runtime_error(std::string("LAPACK ") + routine + " returned info = " + std::to_string(info));
}

template <class T, class F>
void gemm_any(F routine, char transa, char transb, T alpha, Matrix<const T> A, Matrix<const T> B, T beta, Matrix<T> C) {
    int m = to_int(C.rows), n = to_int(C.cols), k = to_int(transa == 'N' ? A.cols : A.rows);
    if (m == 0 || n == 0) return;
    int lda = leading(A), ldb = leading(B), ldc = leading(C);
    routine(&transa, &transb, &m, &n, &k, &alpha, mut(A.data), &lda, mut(B.data), &ldb, &beta, C.data, &ldc);
}

}  // namespace

void gemm(char transa, char transb, double alpha, CM A, CM B, double beta, M C) {
    gemm_any(blas_table().dgemm, transa, transb, alpha, A, B, beta, C);
}

void gemm(char transa, char transb, float alpha, Matrix<const float> A, Matrix<const float> B, float beta,
          Matrix<float> C) {
    gemm_any(blas_table().sgemm, transa, transb, alpha, A, B, beta, C);
}

void multiply_symmetric(CM A, CM B, M C) {
    char side = 'L', uplo = 'U';
    int m = to_int(C.rows), n = to_int(C.cols), lda = leading(A), ldb = leading(B), ldc = leading(C);
    double one = 1.0, none = 0.0;
    blas_table().dsymm(&side, &uplo, &m, &n, &one, mut(A.data), &lda, mut(B.data), &ldb, &none, C.data, &ldc);
}

void subtract_square(CM B, M A) {
    char uplo = 'U', trans = 'N';
    int n = to_int(A.rows), k = to_int(B.cols), lda = leading(A), ldb = leading(B);
    double minus = -1.0, one = 1.0;
    blas_table().dsyrk(&uplo, &trans, &n, &k, &minus, mut(B.data), &ldb, &one, A.data, &lda);
}

void gram(CM B, M A) {
    char uplo = 'U', trans = 'T';
    int n = to_int(A.rows), k = to_int(B.rows), lda = leading(A), ldb = leading(B);
    double one = 1.0, none = 0.0;
    blas_table().dsyrk(&uplo, &trans, &n, &k, &one, mut(B.data), &ldb, &none, A.data, &lda);
}

void solve_upper(char side, char trans, CM A, M B) {
    char uplo = 'U', diag = 'N';
    int m = to_int(B.rows), n = to_int(B.cols), lda = leading(A), ldb = leading(B);
    double one = 1.0;
    if (m == 0 || n == 0) return;
    blas_table().dtrsm(&side, &uplo, &trans, &diag, &m, &n, &one, mut(A.data), &lda, B.data, &ldb);
}

void multiply_upper(char side, CM A, M B) {
    char uplo = 'U', trans = 'N', diag = 'N';
    int m = to_int(B.rows), n = to_int(B.cols), lda = leading(A), ldb = leading(B);
    double one = 1.0;
    if (m == 0 || n == 0) return;
    blas_table().dtrmm(&side, &uplo, &trans, &diag, &m, &n, &one, mut(A.data), &lda, B.data, &ldb);
}

void invert_upper(M A) {
    char uplo = 'U', diag = 'N';
    int n = to_int(A.rows), lda = leading(A), info = 0;
    if (n == 0) return;
    blas_table().dtrtri(&uplo, &diag, &n, A.data, &lda, &info);
    succeeded(info, "dtrtri");
}

void multiply_by_transpose(M A) {
    char uplo = 'U';
    int n = to_int(A.rows), lda = leading(A), info = 0;
    if (n == 0) return;
    blas_table().dlauum(&uplo, &n, A.data, &lda, &info);
    succeeded(info, "dlauum");
}

bool cholesky(M A) {
    char uplo = 'U';
    int n = to_int(A.rows), lda = leading(A), info = 0;
    blas_table().dpotrf(&uplo, &n, A.data, &lda, &info);
    return info == 0;
}

void eigen(M A, double* values, double* work, Index work_size, int* integer_work, Index integer_work_size) {
    char job = 'V', uplo = 'U';
    int n = to_int(A.rows), lda = leading(A), lwork = to_int(work_size), liwork = to_int(integer_work_size), info = 0;
    if (n == 0) return;
    blas_table().dsyevd(&job, &uplo, &n, A.data, &lda, values, work, &lwork, integer_work, &liwork, &info);
    succeeded(info, "dsyevd");
}

void qr(M A, double* tau, double* work, Index work_size) {
    int m = to_int(A.rows), n = to_int(A.cols), lda = leading(A), lwork = to_int(work_size), info = 0;
    blas_table().dgeqrf(&m, &n, A.data, &lda, tau, work, &lwork, &info);
    succeeded(info, "dgeqrf");
}

void form_q(M A, const double* tau, double* work, Index work_size) {
    int m = to_int(A.rows), n = to_int(A.cols), lda = leading(A), lwork = to_int(work_size), info = 0;
    blas_table().dorgqr(&m, &n, &n, A.data, &lda, mut(tau), work, &lwork, &info);
    succeeded(info, "dorgqr");
}

void apply_qt(CM reflectors, const double* tau, M C, double* work, Index work_size) {
    char side = 'L', trans = 'T';
    int m = to_int(C.rows), n = to_int(C.cols), k = to_int(std::min(reflectors.rows, reflectors.cols));
    int lda = leading(reflectors), ldc = leading(C), lwork = to_int(work_size), info = 0;
    if (m == 0 || n == 0) return;
    blas_table().dormqr(&side, &trans, &m, &n, &k, mut(reflectors.data), &lda, mut(tau), C.data, &ldc, work, &lwork,
                        &info);
    succeeded(info, "dormqr");
}

void rq(M A, M Q, double* tau, double* work, Index work_size) {
    int n = to_int(A.rows), lda = leading(A), ldq = leading(Q), lwork = to_int(work_size), info = 0;
    blas_table().dgerqf(&n, &n, A.data, &lda, tau, work, &lwork, &info);
    succeeded(info, "dgerqf");
    for (Index j = 0; j < A.cols; ++j) std::copy_n(A.col(j), A.rows, Q.col(j));
    blas_table().dorgrq(&n, &n, &n, Q.data, &ldq, tau, work, &lwork, &info);
    succeeded(info, "dorgrq");
}

void append_rows_qr(M R, M B, M T, double* work) {
    int m = to_int(B.rows), n = to_int(R.cols), l = 0, nb = to_int(T.rows);
    int lda = leading(R), ldb = leading(B), ldt = leading(T), info = 0;
    blas_table().dtpqrt(&m, &n, &l, &nb, R.data, &lda, B.data, &ldb, T.data, &ldt, work, &info);
    succeeded(info, "dtpqrt");
}

void append_rows_apply(char trans, CM reflectors, CM T, M C, M D, double* work) {
    char side = 'L';
    int m = to_int(D.rows), n = to_int(D.cols), k = to_int(reflectors.cols), l = 0, nb = to_int(T.rows);
    int ldv = leading(reflectors), ldt = leading(T), lda = leading(C), ldb = leading(D), info = 0;
    if (n == 0) return;
    blas_table().dtpmqrt(&side, &trans, &m, &n, &k, &l, &nb, mut(reflectors.data), &ldv, mut(T.data), &ldt, C.data,
                         &lda, D.data, &ldb, work, &info);
    succeeded(info, "dtpmqrt");
}

}  // namespace blas
}  // namespace pyphenom
