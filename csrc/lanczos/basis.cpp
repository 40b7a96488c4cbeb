#include "lanczos/basis.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/clones.hpp"
#include "core/parallel.hpp"
#include "core/philox.hpp"

namespace pyphenom {
namespace {

// Rows that are worked on at once. Long runs of a column let the processor fetch ahead: four pages of each, of some
// fifty columns, fill a second-level cache.
template <class T>
constexpr Index tile = 16384 / sizeof(T);
constexpr Index grain = 8192;      // rows a thread at least: fewer are done before it has started
constexpr Index drawn = 2048;      // random numbers at once
constexpr std::uint32_t start_stream = 0x4C41;

// h_j += v_j . w over the rows of a tile, four columns at a time, so that w is read once for four.
template <class T>
[[gnu::always_inline]] inline void project_any(const T* V, Index stride, Index columns, const T* w, Index rows,
                                               double* h) {
    Index j = 0;
    for (; j + 4 <= columns; j += 4) {
        const T *a = V + j * stride, *b = a + stride, *c = b + stride, *d = c + stride;
        double p = 0, q = 0, r = 0, s = 0;
#pragma omp simd reduction(+ : p, q, r, s)
        for (Index i = 0; i < rows; ++i) {
            const double x = w[i];
            p += a[i] * x;
            q += b[i] * x;
            r += c[i] * x;
            s += d[i] * x;
        }
        h[j] += p;
        h[j + 1] += q;
        h[j + 2] += r;
        h[j + 3] += s;
    }
    for (; j < columns; ++j) {
        const T* a = V + j * stride;
        double p = 0;
#pragma omp simd reduction(+ : p)
        for (Index i = 0; i < rows; ++i) p += a[i] * static_cast<double>(w[i]);
        h[j] += p;
    }
}

// x += sum_j f_j v_j over the rows of a tile
template <class T>
[[gnu::always_inline]] inline void combine_any(const T* V, Index stride, Index columns, const double* f, double* x,
                                               Index rows) {
    Index j = 0;
    for (; j + 4 <= columns; j += 4) {
        const T *a = V + j * stride, *b = a + stride, *c = b + stride, *d = c + stride;
        const double p = f[j], q = f[j + 1], r = f[j + 2], s = f[j + 3];
#pragma omp simd
        for (Index i = 0; i < rows; ++i) x[i] += (p * a[i] + q * b[i]) + (r * c[i] + s * d[i]);
    }
    for (; j < columns; ++j) {
        const T* a = V + j * stride;
        const double p = f[j];
#pragma omp simd
        for (Index i = 0; i < rows; ++i) x[i] += p * a[i];
    }
}

PYPHENOM_CLONES void project(const float* V, Index stride, Index columns, const float* w, Index rows, double* h) {
    project_any(V, stride, columns, w, rows, h);
}
PYPHENOM_CLONES void project(const double* V, Index stride, Index columns, const double* w, Index rows, double* h) {
    project_any(V, stride, columns, w, rows, h);
}
PYPHENOM_CLONES void combine(const float* V, Index stride, Index columns, const double* f, double* x, Index rows) {
    combine_any(V, stride, columns, f, x, rows);
}
PYPHENOM_CLONES void combine(const double* V, Index stride, Index columns, const double* f, double* x, Index rows) {
    combine_any(V, stride, columns, f, x, rows);
}

// f(first, rows, share) on tiles of rows; a share of the rows goes to one thread.
template <class T, class F>
void for_tiles(Index rows, Index shares, const F& f) {
    const auto work = [&](Index first_share, Index last_share) {
        for (Index share = first_share; share < last_share; ++share) {
            const Index end = rows * (share + 1) / shares;
            for (Index i = rows * share / shares; i < end; i += tile<T>) f(i, std::min(tile<T>, end - i), share);
        }
    };
    parallel_for(shares, 1, static_cast<int>(shares), work);
}

Index shares_of(Index rows, int threads) { return std::clamp<Index>(rows / grain, 1, std::max(1, threads)); }

}  // namespace

template <class T>
void orthogonalise(Matrix<const T> V, Matrix<T> W, Matrix<double> H, double* norms, int threads) {
    const Index n = V.cols, s = W.cols, shares = shares_of(W.rows, threads), each = n * s;
    std::vector<double> first(static_cast<std::size_t>(shares * each)), second(first.size()),
        squares(static_cast<std::size_t>(shares * s));
    const auto reduce = [&](std::vector<double>& sums) {
        for (Index share = 1; share < shares; ++share)
            for (Index i = 0; i < each; ++i) sums[i] += sums[share * each + i];
    };
    const auto subtract = [&](const double* h, Index i, Index rows, Index j) {
        double x[tile<T>], minus[tile<T>];
        T* w = W.col(j) + i;
        std::copy_n(w, rows, x);
        for (Index k = 0; k < n; k += tile<T>) {
            const Index count = std::min(tile<T>, n - k);
            std::transform(h + k, h + k + count, minus, [](double value) { return -value; });
            combine(V.col(k) + i, V.stride, count, minus, x, rows);
        }
        std::transform(x, x + rows, w, [](double value) { return static_cast<T>(value); });
    };
    for_tiles<T>(W.rows, shares, [&](Index i, Index rows, Index share) {
        for (Index j = 0; j < s; ++j)
            project(V.data + i, V.stride, n, W.col(j) + i, rows, first.data() + share * each + j * n);
    });
    reduce(first);
    for_tiles<T>(W.rows, shares, [&](Index i, Index rows, Index share) {
        for (Index j = 0; j < s; ++j) {
            subtract(first.data() + j * n, i, rows, j);
            project(V.data + i, V.stride, n, W.col(j) + i, rows, second.data() + share * each + j * n);
        }
    });
    reduce(second);
    for_tiles<T>(W.rows, shares, [&](Index i, Index rows, Index share) {
        for (Index j = 0; j < s; ++j) {
            subtract(second.data() + j * n, i, rows, j);
            project(W.col(j) + i, 0, 1, W.col(j) + i, rows, squares.data() + share * s + j);
        }
    });
    for (Index j = 0; j < s; ++j) {
        for (Index k = 0; k < n; ++k) H(k, j) = first[j * n + k] + second[j * n + k];
        double sum = 0;
        for (Index share = 0; share < shares; ++share) sum += squares[share * s + j];
        norms[j] = std::sqrt(sum);
    }
}

template <class T>
void rotate(Matrix<T> V, Matrix<const double> Y, int threads) {
    const Index shares = shares_of(V.rows, threads);
    std::vector<double> room(static_cast<std::size_t>(shares * tile<T> * Y.cols));
    for_tiles<T>(V.rows, shares, [&](Index i, Index rows, Index share) {
        double* result = room.data() + share * tile<T> * Y.cols;
        std::fill_n(result, rows * Y.cols, 0.0);
        for (Index j = 0; j < Y.cols; ++j) combine(V.data + i, V.stride, V.cols, Y.col(j), result + j * rows, rows);
        for (Index j = 0; j < Y.cols; ++j)
            std::transform(result + j * rows, result + (j + 1) * rows, V.col(j) + i,
                           [](double value) { return static_cast<T>(value); });
    });
}

template <class T>
void scale(T* x, Index n, double factor) {
    for (Index i = 0; i < n; ++i) x[i] = static_cast<T>(x[i] * factor);
}

template <class T>
void fill_normal(T* x, Index n, std::uint64_t seed, std::uint64_t index) {
    std::uint32_t words[drawn];
    double normals[drawn];
    for (Index i = 0; i < n; i += drawn) {
        const Index entries = std::min(drawn, n - i), counters = (entries + 3) / 4;
        draw_words(seed, static_cast<std::uint32_t>(i / 4), start_stream, index, counters, words);
        to_normals(words, 2 * counters, normals);
        std::transform(normals, normals + entries, x + i, [](double value) { return static_cast<T>(value); });
    }
}

#define PYPHENOM_INSTANTIATE(T)                                                               \
    template void orthogonalise<T>(Matrix<const T>, Matrix<T>, Matrix<double>, double*, int); \
    template void rotate<T>(Matrix<T>, Matrix<const double>, int);                            \
    template void scale<T>(T*, Index, double);                                                \
    template void fill_normal<T>(T*, Index, std::uint64_t, std::uint64_t);
PYPHENOM_INSTANTIATE(float)
PYPHENOM_INSTANTIATE(double)
#undef PYPHENOM_INSTANTIATE

}  // namespace pyphenom
