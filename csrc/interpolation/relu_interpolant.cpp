#include "interpolation/relu_interpolant.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "core/buffer.hpp"
#include "core/clones.hpp"
#include "core/parallel.hpp"

// Compiled with -ffp-contract=off: a fused product would make a projection depend on the instruction set.
namespace pyphenom {
namespace {

// ---- projection

constexpr Index lanes = 8;
using Lanes = double __attribute__((vector_size(lanes * sizeof(double))));
using Floats = float __attribute__((vector_size(lanes * sizeof(float))));

PYPHENOM_INLINE void load(const double* from, Lanes& to) { std::memcpy(&to, from, sizeof to); }
PYPHENOM_INLINE void load(const float* from, Lanes& to) {
    Floats narrow;
    std::memcpy(&narrow, from, sizeof narrow);
    to = __builtin_convertvector(narrow, Lanes);
}

// `packed` holds the centre and K directions, each padded with zeros to `padded` entries.
template <int K, class T>
PYPHENOM_INLINE void project_rows(Matrix<const T> X, Index first, Index last, const double* packed, Index padded,
                                  Matrix<double> Z) {
    const Index d = X.rows, whole = d / lanes * lanes;
    for (Index i = first; i < last; ++i) {
        const T* x = X.col(i);
        Lanes sums[K] = {}, entry, center, weight;
        const auto add = [&](Index l) __attribute__((always_inline)) {
            load(packed + l, center);
            entry -= center;
            for (int k = 0; k < K; ++k) {
                load(packed + (k + 1) * padded + l, weight);
                sums[k] += weight * entry;
            }
        };
        for (Index l = 0; l < whole; l += lanes) {
            load(x + l, entry);
            add(l);
        }
        if (whole < d) {
            T rest[lanes] = {};
            for (Index l = whole; l < d; ++l) rest[l - whole] = x[l];
            load(rest, entry);
            add(whole);
        }
        for (int k = 0; k < K; ++k) {
            const Lanes& s = sums[k];
            Z(i, k) = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
        }
    }
}

// Clones cannot be templates.
#define PYPHENOM_PROJECT(name, K, T)                                                                          \
    PYPHENOM_CLONES void name(Matrix<const T> X, Index first, Index last, const double* packed, Index padded, \
                              Matrix<double> Z) {                                                             \
        project_rows<K, T>(X, first, last, packed, padded, Z);                                                \
    }
PYPHENOM_PROJECT(project_one, 1, float)
PYPHENOM_PROJECT(project_one, 1, double)
PYPHENOM_PROJECT(project_four, 4, float)
PYPHENOM_PROJECT(project_four, 4, double)

// ---- sorting

struct Keyed {
    std::uint64_t key;
    std::uint32_t index;
};

// The order of finite doubles is that of these integers.
std::uint64_t to_key(double z) {
    std::uint64_t bits;
    z += 0.0;  // -0 -> 0, for they are equal
    std::memcpy(&bits, &z, sizeof bits);
    return bits ^ (bits >> 63 ? ~std::uint64_t{0} : std::uint64_t{1} << 63);
}

// Radix sort from the lowest digit: stable, and of one speed whatever the law of z.
void sort_column(const double* z, Index n, std::uint32_t* order, double* gap, Keyed* from, Keyed* to) {
    constexpr int digit = 11, passes = 6;
    constexpr std::uint64_t mask = (std::uint64_t{1} << digit) - 1;
    std::array<std::array<std::uint32_t, mask + 1>, passes> start{};
    for (Index i = 0; i < n; ++i) {
        const std::uint64_t key = to_key(z[i]);
        from[i] = {key, static_cast<std::uint32_t>(i)};
        for (int p = 0; p < passes; ++p) ++start[p][key >> (digit * p) & mask];
    }
    for (int p = 0; p < passes; ++p) {
        if (start[p][from[0].key >> (digit * p) & mask] == n) continue;  // all share the digit
        std::uint32_t sum = 0;
        for (std::uint32_t& count : start[p]) {
            const std::uint32_t before = sum;
            sum += count;
            count = before;
        }
        for (Index i = 0; i < n; ++i) to[start[p][from[i].key >> (digit * p) & mask]++] = from[i];
        std::swap(from, to);
    }
    double smallest = std::numeric_limits<double>::infinity();
    for (Index i = 0; i < n; ++i) {
        order[i] = from[i].index;
        if (i && from[i].key != from[i - 1].key) smallest = std::min(smallest, z[order[i]] - z[order[i - 1]]);
    }
    const double range = z[order[n - 1]] - z[order[0]];
    *gap = range > 0 ? smallest / range : smallest;
}

// ---- evaluation

// A bisection waits for memory at every step; this many at a time wait together.
constexpr Index together = 64;

PYPHENOM_CLONES void count_below(const double* knots, Index n, const double* q, std::int64_t* count) {
    std::int64_t base[together] = {};
    for (Index length = n; length > 1;) {
        const Index half = length / 2;
        for (Index i = 0; i < together; ++i)
            base[i] += half & -static_cast<std::int64_t>(knots[base[i] + half - 1] < q[i]);
        length -= half;
    }
    for (Index i = 0; i < together; ++i) count[i] = base[i] + (knots[base[i]] < q[i]);
}

}  // namespace

template <class T>
void project(Matrix<const T> X, const double* center, Matrix<const double> A, Matrix<double> Z, int threads) {
    require(A.rows == X.rows, "A", std::to_string(A.rows) + " entries a direction", "as many as `X` has columns");
    require(Z.rows == X.cols && Z.cols == A.cols, "Z", "of another shape", "(directions, samples)");
    const Index d = X.rows, padded = (d + lanes - 1) / lanes * lanes;
    for (Index k = 0; k < A.cols;) {
        const Index left = A.cols - k, room = left > 1 ? 4 : 1, count = std::min(left, room);
        std::vector<double> packed(static_cast<std::size_t>((room + 1) * padded), 0.0);
        std::copy_n(center, d, packed.begin());
        for (Index c = 0; c < count; ++c) std::copy_n(A.col(k + c), d, packed.begin() + (c + 1) * padded);
        std::vector<double> spare(static_cast<std::size_t>(count < room ? room * X.cols : 0));
        const Matrix<double> out = count < room ? Matrix<double>(spare.data(), X.cols, room) : Z.columns(k, room);
        parallel_for(X.cols, 1 + 65536 / d, threads, [&](Index first, Index last) {
            if (room == 4)
                project_four(X, first, last, packed.data(), padded, out);
            else
                project_one(X, first, last, packed.data(), padded, out);
        });
        if (count < room)
            for (Index c = 0; c < count; ++c) std::copy_n(out.col(c), X.cols, Z.col(k + c));
        k += count;
    }
}

template void project(Matrix<const float>, const double*, Matrix<const double>, Matrix<double>, int);
template void project(Matrix<const double>, const double*, Matrix<const double>, Matrix<double>, int);

void sort_projections(Matrix<const double> Z, Matrix<std::uint32_t> order, double* gaps, int threads) {
    const Index n = Z.rows;
    require(n >= 1 && n <= Index{0xffffffff}, "Z", std::to_string(n) + " samples", "between 1 and 2^32 - 1");
    require(order.rows == n && order.cols == Z.cols, "order", "of another shape", "the shape of `Z`");
    const int shares = static_cast<int>(std::clamp<Index>(threads, 1, std::max<Index>(1, Z.cols)));
    std::vector<Keyed, HugePages<Keyed>> work(static_cast<std::size_t>(2 * n * shares));
    parallel_for(shares, 1, shares, [&](Index first, Index last) {
        for (Index share = first; share < last; ++share) {
            Keyed* room = work.data() + 2 * n * share;
            for (Index k = Z.cols * share / shares; k < Z.cols * (share + 1) / shares; ++k)
                sort_column(Z.col(k), n, order.col(k), gaps + k, room, room + n);
        }
    });
}

void interpolate(const double* z, Matrix<const double> Y, double first_knot, double position, double* knots,
                 Matrix<double> slopes) {
    const Index n = Y.cols, targets = Y.rows;
    require(slopes.rows == targets && slopes.cols == n, "slopes", "of another shape", "the shape of `Y`");
    require(n >= 1 && first_knot < z[0], "first_knot", std::to_string(first_knot), "a number below the projections");
    require(position >= 0 && position < 1, "position", std::to_string(position), "a number in [0, 1)");
    knots[0] = first_knot;
    for (Index t = 0; t < targets; ++t) slopes(t, 0) = Y(t, 0) / (z[0] - first_knot);
    for (Index j = 1; j < n; ++j) {
        if (!(z[j - 1] < z[j]))
            require(false, "z", "not ascending at " + std::to_string(j), "strictly ascending numbers");
        double knot = z[j - 1] + position * (z[j] - z[j - 1]);
        if (!(knot < z[j])) knot = z[j - 1];  // neighbours a rounding apart
        knots[j] = knot;
        const double before = knot - z[j - 1], behind = z[j] - knot;
        for (Index t = 0; t < targets; ++t) {
            double rise = Y(t, j) - Y(t, j - 1);
            if (before > 0) rise -= slopes(t, j - 1) * before;  // with knots at the data no division waits for another
            slopes(t, j) = rise / behind;
        }
    }
}

void evaluate(const double* q, const double* knots, const double* z, Matrix<const double> Y,
              Matrix<const double> slopes, Matrix<double> out, int threads) {
    const Index n = Y.cols, m = out.cols, targets = Y.rows;
    require(n >= 1 && slopes.rows == targets && slopes.cols == n, "slopes", "of another shape", "the shape of `Y`");
    require(out.rows == targets, "out", std::to_string(out.rows) + " targets wide", "as many targets as `Y`");
    parallel_for(m, 4096, threads, [&](Index first, Index last) {
        for (Index i = first; i < last; i += together) {
            const Index count = std::min(together, last - i);
            double query[together] = {};
            std::int64_t below[together];
            std::copy_n(q + i, count, query);
            count_below(knots, n, query, below);
            for (Index c = 0; c < count; ++c) {
                const Index j = below[c] - 1;
                for (Index t = 0; t < targets; ++t)
                    out(t, i + c) = j < 0 ? 0.0 : Y(t, j) + slopes(t, j) * (query[c] - z[j]);
            }
        }
    });
}

}  // namespace pyphenom
