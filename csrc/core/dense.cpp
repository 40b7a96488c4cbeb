#include "core/dense.hpp"

#include <algorithm>

#include "core/blas.hpp"
#include "core/clones.hpp"

namespace pyphenom::dense {
namespace {

bool small(Shape s) { return s.o == 1 || s.k == 1 || s.r * s.o * s.k <= 1 << 14; }

template <class T>
PYPHENOM_INLINE T inner(const T* x, const T* y, Index n) {
    T sum = T(0);
#pragma omp simd reduction(+ : sum)
    for (Index i = 0; i < n; ++i) sum += x[i] * y[i];
    return sum;
}

template <class T>
PYPHENOM_INLINE void clear(Index rows, Index cols, T* C, Index ldc) {
    for (Index i = 0; i < rows; ++i) std::fill_n(C + i * ldc, cols, T(0));
}

template <class T>
PYPHENOM_INLINE void add_multiple(T factor, const T* x, T* y, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) y[i] += factor * x[i];
}

template <class T>
PYPHENOM_INLINE void small_outputs(Shape s, const T* A, Index lda, const T* B, Index ldb, bool add, T* C, Index ldc) {
    for (Index i = 0; i < s.r; ++i) {
        T* c = C + i * ldc;
        const T* a = A + i * lda;
        if (s.k == 1 && ldb == 1 && add) {
            add_multiple(a[0], B, c, s.o);
        } else if (s.k == 1 && ldb == 1) {
            const T factor = a[0];
#pragma omp simd
            for (Index j = 0; j < s.o; ++j) c[j] = factor * B[j];
        } else {
            for (Index j = 0; j < s.o; ++j) c[j] = (add ? c[j] : T(0)) + inner(a, B + j * ldb, s.k);
        }
    }
}

// y <- y + sum of factor[i] times row i of X: four rows a pass, so that y is read and written a fourth as often.
template <class T>
PYPHENOM_INLINE void add_rows(Index rows, const T* factor, Index step, const T* X, Index ldx, T* y, Index n) {
    Index i = 0;
    for (; i + 4 <= rows; i += 4) {
        const T f0 = factor[i * step], f1 = factor[(i + 1) * step];
        const T f2 = factor[(i + 2) * step], f3 = factor[(i + 3) * step];
        const T *x0 = X + i * ldx, *x1 = x0 + ldx, *x2 = x1 + ldx, *x3 = x2 + ldx;
#pragma omp simd
        for (Index j = 0; j < n; ++j) y[j] += (f0 * x0[j] + f1 * x1[j]) + (f2 * x2[j] + f3 * x3[j]);
    }
    for (; i < rows; ++i) add_multiple(factor[i * step], X + i * ldx, y, n);
}

template <class T>
PYPHENOM_INLINE void small_inputs(Shape s, const T* D, Index ldd, const T* B, Index ldb, bool add, T* C, Index ldc) {
    if (s.k == 1 && ldb == 1) {
        for (Index i = 0; i < s.r; ++i) C[i * ldc] = (add ? C[i * ldc] : T(0)) + inner(D + i * ldd, B, s.o);
        return;
    }
    for (Index i = 0; i < s.r; ++i) {
        T* c = C + i * ldc;
        Index j = 0;
        if (!add) {
            const T factor = D[i * ldd];
#pragma omp simd
            for (Index l = 0; l < s.k; ++l) c[l] = factor * B[l];
            j = 1;
        }
        add_rows(s.o - j, D + i * ldd + j, Index{1}, B + j * ldb, ldb, c, s.k);
    }
}

template <class T>
PYPHENOM_INLINE void small_weights(Shape s, const T* D, Index ldd, const T* A, Index lda, bool add, T* C, Index ldc) {
    if (!add) clear(s.o, s.k, C, ldc);
    if (s.k == 1 && ldc == 1) return add_rows(s.r, A, lda, D, ldd, C, s.o);
    for (Index j = 0; j < s.o; ++j) add_rows(s.r, D + j, ldd, A, lda, C + j * ldc, s.k);
}

#define PYPHENOM_SMALL(T)                                                                                    \
    PYPHENOM_CLONES void outputs_loop(Shape s, const T* A, Index lda, const T* B, Index ldb, bool add, T* C, \
                                      Index ldc) {                                                           \
        small_outputs(s, A, lda, B, ldb, add, C, ldc);                                                       \
    }                                                                                                        \
    PYPHENOM_CLONES void inputs_loop(Shape s, const T* D, Index ldd, const T* B, Index ldb, bool add, T* C,  \
                                     Index ldc) {                                                            \
        small_inputs(s, D, ldd, B, ldb, add, C, ldc);                                                        \
    }                                                                                                        \
    PYPHENOM_CLONES void weights_loop(Shape s, const T* D, Index ldd, const T* A, Index lda, bool add, T* C, \
                                      Index ldc) {                                                           \
        small_weights(s, D, ldd, A, lda, add, C, ldc);                                                       \
    }
PYPHENOM_SMALL(float)
PYPHENOM_SMALL(double)
#undef PYPHENOM_SMALL

}  // namespace

template <class T>
TiledProduct<T> tiled_product() {
#ifdef PYPHENOM_X86_TILES
    static const TiledProduct<T> found = []() -> TiledProduct<T> {
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx512f")) return product_avx512;
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return product_avx2;
        return nullptr;
    }();
    return found;
#else
    return nullptr;
#endif
}

template <class T>
bool one_threaded() {
    return tiled_product<T>() != nullptr;
}

template <class T>
void multiply(const Product<T>& x) {
    if (const auto tiled = tiled_product<T>()) return tiled(x);
    // Row-major C = A B is column-major C^T = B^T A^T.
    const bool plain_b = x.col_b == 1 && x.row_b >= x.cols, plain_a = x.col_a == 1 && x.row_a >= x.depth;
    const Matrix<const T> B =
        plain_b ? Matrix<const T>(x.b, x.cols, x.depth, x.row_b) : Matrix<const T>(x.b, x.depth, x.cols, x.col_b);
    const Matrix<const T> A =
        plain_a ? Matrix<const T>(x.a, x.depth, x.rows, x.row_a) : Matrix<const T>(x.a, x.rows, x.depth, x.col_a);
    blas::gemm(plain_b ? 'N' : 'T', plain_a ? 'N' : 'T', T(x.add < 0 ? -1 : 1), B, A, T(x.add != 0),
               Matrix<T>(x.c, x.cols, x.rows, x.ldc));
}

template <class T>
void outputs_of(Shape s, const T* A, Index lda, const T* B, Index ldb, bool add, T* C, Index ldc) {
    if (small(s)) return outputs_loop(s, A, lda, B, ldb, add, C, ldc);
    if (const auto product = tiled_product<T>()) return product({s.r, s.o, s.k, A, lda, 1, B, 1, ldb, add, C, ldc});
    blas::gemm('T', 'N', T(1), Matrix<const T>(B, s.k, s.o, ldb), Matrix<const T>(A, s.k, s.r, lda), T(add),
               Matrix<T>(C, s.o, s.r, ldc));
}

template <class T>
void inputs_of(Shape s, const T* D, Index ldd, const T* B, Index ldb, bool add, T* C, Index ldc) {
    if (small(s)) return inputs_loop(s, D, ldd, B, ldb, add, C, ldc);
    if (const auto product = tiled_product<T>()) return product({s.r, s.k, s.o, D, ldd, 1, B, ldb, 1, add, C, ldc});
    blas::gemm('N', 'N', T(1), Matrix<const T>(B, s.k, s.o, ldb), Matrix<const T>(D, s.o, s.r, ldd), T(add),
               Matrix<T>(C, s.k, s.r, ldc));
}

template <class T>
void weights_of(Shape s, const T* D, Index ldd, const T* A, Index lda, bool add, T* C, Index ldc) {
    if (small(s)) return weights_loop(s, D, ldd, A, lda, add, C, ldc);
    if (const auto product = tiled_product<T>()) return product({s.o, s.k, s.r, D, 1, ldd, A, lda, 1, add, C, ldc});
    blas::gemm('N', 'T', T(1), Matrix<const T>(A, s.k, s.r, lda), Matrix<const T>(D, s.o, s.r, ldd), T(add),
               Matrix<T>(C, s.k, s.o, ldc));
}

#define PYPHENOM_INSTANTIATE(T)                                                            \
    template TiledProduct<T> tiled_product<T>();                                           \
    template bool one_threaded<T>();                                                       \
    template void multiply<T>(const Product<T>&);                                          \
    template void outputs_of<T>(Shape, const T*, Index, const T*, Index, bool, T*, Index); \
    template void inputs_of<T>(Shape, const T*, Index, const T*, Index, bool, T*, Index);  \
    template void weights_of<T>(Shape, const T*, Index, const T*, Index, bool, T*, Index);
PYPHENOM_INSTANTIATE(float)
PYPHENOM_INSTANTIATE(double)
#undef PYPHENOM_INSTANTIATE

}  // namespace pyphenom::dense
