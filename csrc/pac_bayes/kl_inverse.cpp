// With phi(x) = x - ln(1 + x) >= 0 and d = p - q,
//
//   kl(q|p) = q phi(d/q) + (1-q) phi(-d/(1-q)),
//
// a sum of two positive terms: no cancellation. The upper inverse is solved for the distances d = p - a from a = q and
// v = 1 - p from 1, of which the smaller is the unknown and the other follows from d + v = b = 1 - q; so both ends keep
// their relative accuracy. The lower inverse is the same problem with a = 1 - q and b = q, whose v is the p asked for.
//
// Halley's steps in float64 bring the unknown to about 1e-13. The last step is Newton's with kl in double-double: kl is
// convex in p, so it ends above the root, by the square of that, and `margin` covers this and all rounding.
#include "pac_bayes/kl_inverse.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "core/clones.hpp"
#include "core/double_double.hpp"
#include "core/parallel.hpp"

namespace pyphenom {
namespace {

constexpr int steps = 3;  // two leave 1e-7, and the order is three
constexpr double margin = 0x1p-60;  // relative to p
constexpr double tiny = 1e-100;  // stands for any smaller q or c: no product of two such quantities underflows
constexpr double least_v = 1e-290;
constexpr double ln2 = 0.6931471805599453;
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

PYPHENOM_INLINE std::uint64_t bits(double x) {
    std::uint64_t u;
    std::memcpy(&u, &x, sizeof u);
    return u;
}

PYPHENOM_INLINE double from_bits(std::uint64_t u) {
    double x;
    std::memcpy(&x, &u, sizeof x);
    return x;
}

PYPHENOM_INLINE double smaller(double a, double b) { return a < b ? a : b; }
PYPHENOM_INLINE double larger(double a, double b) { return a > b ? a : b; }

// 2^k m = y with m in [sqrt(1/2), sqrt(2)), for a normal y > 0; `power` is 2^-k.
struct Split {
    double k, m, power;
};

PYPHENOM_INLINE Split split(double y) {
    constexpr std::uint64_t one = 0x3ff0000000000000, root = 0x3fe6a09e667f3bcd, magic = 0x4330000000000000;
    const std::uint64_t e = (bits(y) + (one - root)) >> 52;  // k + 1023
    Split r;
    r.k = from_bits(e | magic) - (0x1p52 + 1023);
    r.m = from_bits(bits(y) - (e << 52) + one);
    r.power = from_bits((2046 - e) << 52);
    return r;
}

// ln m = 2 (s + s^3/3 + s^5/5 + ...), s = (m-1)/(m+1), |s| < .172; the sum without its first term is s^3 tail(s^2).
// Terms in pairs and fours: a Horner scheme would wait for each of its steps.
PYPHENOM_INLINE double tail(double t) {
    const double t2 = t * t, t4 = t2 * t2;
    return (1 / 3. + t * (1 / 5.)) + t2 * (1 / 7. + t * (1 / 9.)) +
           t4 * ((1 / 11. + t * (1 / 13.)) + t2 * (1 / 15. + t * (1 / 17.)) + t4 * (1 / 19.));
}

PYPHENOM_INLINE DoubleDouble tail(DoubleDouble t) {
    const double h = t.hi, h2 = h * h, h4 = h2 * h2;
    const double rest = (1 / 7. + h * (1 / 9.)) + h2 * (1 / 11. + h * (1 / 13.)) +
                        h4 * ((1 / 15. + h * (1 / 17.)) + h2 * (1 / 19. + h * (1 / 21.)) +
                              h4 * ((1 / 23. + h * (1 / 25.)) + h2 * (1 / 27. + h * (1 / 29.))));
    const DoubleDouble third{1 / 3., 1.850371707708594e-17}, fifth{1 / 5., -1.1102230246251566e-17};
    return third + t * (fifth + DoubleDouble{h * rest, 0});
}

// ln y, where x = y - 1 is known without cancellation.
PYPHENOM_INLINE double ln(double y, double x) {
    const Split r = split(y);
    const double s = (r.k == 0 ? x : r.m - 1) / (r.m + 1);
    return r.k * ln2 + 2 * (s + s * s * s * tail(s * s));
}

// x - ln y. Where y is its own m, x - 2 s = x s exactly.
PYPHENOM_INLINE double phi(double y, double x) {
    const Split r = split(y);
    const double s = (r.k == 0 ? x : r.m - 1) / (r.m + 1);
    const double lead = r.k == 0 ? x * s : x - r.k * ln2 - 2 * s;
    return lead - 2 * s * s * s * tail(s * s);
}

PYPHENOM_INLINE DoubleDouble phi(DoubleDouble y, DoubleDouble x) {
    const Split r = split(y.hi);
    const DoubleDouble m = scaled(y, r.power), one{1, 0}, k_ln2 = exact_product(r.k, ln2);
    const DoubleDouble s = select(r.k == 0, x, m - one) / (m + one);
    const DoubleDouble far = x - DoubleDouble{k_ln2.hi, k_ln2.lo + r.k * 2.3190468138462996e-17} - scaled(s, 2);
    const DoubleDouble t = s * s;
    return select(r.k == 0, x * s, far) - scaled(s * t * tail(t), 2);
}

// a phi(d/a), where both d and a + d are known without cancellation.
PYPHENOM_INLINE double term(double a, double reciprocal, double d, double sum) {
    const bool near = std::fabs(d) < sum;
    const double r = (near ? d : sum) * reciprocal;
    return a * phi(near ? 1 + r : r, near ? r : r - 1);
}

PYPHENOM_INLINE DoubleDouble term(DoubleDouble a, DoubleDouble d, DoubleDouble sum) {
    const bool near = std::fabs(d.hi) < sum.hi;
    const DoubleDouble r = select(near, d, sum) / a, one{1, 0};
    return a * phi(select(near, r + one, r), select(near, r, r - one));
}

// e^x for x <= 0, to 3e-6; zero far out.
PYPHENOM_INLINE double exponential(double x) {
    const double z = larger(x, -690.0), shifted = z * (1 / ln2) + 0x1.8p52, k = shifted - 0x1.8p52;
    const double r = z - k * ln2, r2 = r * r;
    const double series = (1 + r) + r2 * ((1 / 2. + r * (1 / 6.)) + r2 * (1 / 24. + r * (1 / 120.)));
    return x < -690 ? 0 : series * from_bits((bits(shifted) + 1023) << 52);
}

// The root in a problem with a + b = 1: the unknown is `near ? d : v`, both positive, and the exact root lies `step`
// below it in d, and above it in v.
struct Root {
    double d, v, step;
    bool near;
};

PYPHENOM_INLINE Root solve(DoubleDouble a2, DoubleDouble b2, double c) {
    const double a = a2.hi, b = b2.hi, ra = 1 / a, rb = 1 / b;
    // Two upper bounds of d: kl >= d^2 / (2 b p), and kl >= a ln a + b ln b - b ln v.
    const double cb = c * b, pinsker = cb + std::sqrt(cb) * std::sqrt(cb + 2 * a);
    const double entropy = a * ln(a, a < 0.5 ? a - 1 : -b) + b * ln(b, b < 0.5 ? b - 1 : -a);
    double v = larger(exponential(smaller((entropy - c) * rb, 0.0)), least_v);
    // The second loses its digits where it is small; there the first is below b.
    const bool inside = v > 0.75 * b || pinsker < b - v;
    double d = inside ? pinsker : b - v;
    v = inside ? b - d : v;
    bool near = d <= v;
#pragma GCC unroll 3  // what is left of a loop inside would keep the loop over elements out of vector registers
    for (int i = 0; i < steps; ++i) {
        const double p = a + d;
        const double f = term(a, ra, d, p) + term(b, rb, -d, v) - c;
        const double newton = f * p * v / d;
        const double half = f * (a * v * v + b * p * p) / (2 * d * d);  // f f'' / (2 f'^2)
        const double step = newton / (1 - smaller(half, 0.5));
        d = larger(d - step, d / 8);
        v = larger(larger(v + step, v / 8), least_v);
        near = d <= v;
        d = near ? d : b - v;
        v = near ? b - d : v;
    }
    const DoubleDouble d2 = select(near, {d, 0}, b2 - DoubleDouble{v, 0});
    const DoubleDouble v2 = select(near, b2 - DoubleDouble{d, 0}, {v, 0});
    const DoubleDouble p2 = a2 + d2;
    const DoubleDouble f = term(a2, d2, p2) + term(b2, -d2, v2) - DoubleDouble{c, 0};
    return {d2.hi, v2.hi, f.hi * p2.hi * v2.hi / d2.hi, near};
}

// hi + lo rounded up, or down, by one ulp at most; hi > 0.
PYPHENOM_INLINE double rounded_up(DoubleDouble p) {
    const DoubleDouble s = exact_sum(p.hi, p.lo + p.hi * margin);
    return s.lo > 0 ? from_bits(bits(s.hi) + 1) : s.hi;
}

PYPHENOM_INLINE double rounded_down(DoubleDouble p) {
    const DoubleDouble s = exact_sum(p.hi, p.lo - p.hi * margin);
    return s.lo < 0 ? from_bits(bits(s.hi) - 1) : s.hi;
}

struct Slopes {
    double by_a, by_c;
};

PYPHENOM_INLINE Slopes slopes(double a, double b, const Root& r) {
    const double d = r.near ? r.d - r.step : b - (r.v + r.step), v = r.near ? b - d : r.v + r.step;
    const double x = d / a, y = v / b, by_c = (a + d) * v / d;
    return {(ln(1 + x, x) - ln(y, r.near ? -d / b : y - 1)) * by_c, by_c};
}

struct Inverse {
    double p, by_q, by_c;
};

// The edges of both sides: `far` is the value for an unbounded budget; at the other end the slope by q diverges.
template <bool gradient>
PYPHENOM_INLINE Inverse at_edges(Inverse r, double q, double c, double far, double sign) {
    const double steep = 1 - far;
    r.p = c == 0 ? q : (q == far || c == inf) ? far : r.p;
    const bool valid = q >= 0 && q <= 1 && c >= 0;
    r.p = valid ? r.p : nan;
    if (gradient) {
        r.by_q = q == steep ? inf : r.by_q;
        r.by_q = (q == far || c == inf) ? 0 : r.by_q;
        r.by_q = c == 0 ? 1 : r.by_q;
        r.by_c = c == 0 ? sign * inf : r.by_c;
        r.by_c = (q == far || c == inf) ? 0 : r.by_c;
        r.by_q = valid ? r.by_q : nan;
        r.by_c = valid ? r.by_c : nan;
    }
    return r;
}

PYPHENOM_INLINE double within(double c) { return smaller(larger(c, tiny), 1000.0); }

template <bool gradient>
PYPHENOM_INLINE Inverse upper(double q, double c) {
    const double a = larger(q, tiny);
    const DoubleDouble b = exact_sum(1, -a);
    const Root root = solve({a, 0}, b, within(c));
    const DoubleDouble p = select(root.near, exact_sum(a, root.d), exact_sum(1, -root.v));
    Inverse r{smaller(rounded_up({p.hi, p.lo - root.step}), 1.0), 0, 0};
    if (gradient) {
        const Slopes s = slopes(a, b.hi, root);
        r.by_q = s.by_a;
        r.by_c = s.by_c;
    }
    return at_edges<gradient>(r, q, c, 1, 1);
}

template <bool gradient>
PYPHENOM_INLINE Inverse lower(double q, double c) {
    const double b = larger(q, tiny), least = 2 * least_v;
    DoubleDouble a = exact_sum(1, -b);
    a.hi = larger(a.hi, tiny);
    const Root root = solve(a, {b, 0}, within(c));
    const DoubleDouble p = select(root.near, exact_sum(b, -root.d), {root.v, 0});
    const double rounded = rounded_down({p.hi, p.lo + root.step});
    Inverse r{q <= tiny || rounded < least ? 0 : rounded, 0, 0};
    if (gradient) {
        const Slopes s = slopes(a.hi, b, root);
        r.by_q = s.by_a;
        r.by_c = -s.by_c;
    }
    return at_edges<gradient>(r, q, c, 0, -1);
}

PYPHENOM_CLONES void upper_values(const double* q, const double* c, double* p, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) p[i] = upper<false>(q[i], c[i]).p;
}

PYPHENOM_CLONES void lower_values(const double* q, const double* c, double* p, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) p[i] = lower<false>(q[i], c[i]).p;
}

PYPHENOM_CLONES void upper_slopes(const double* q, const double* c, double* p, double* by_q, double* by_c, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) {
        const Inverse r = upper<true>(q[i], c[i]);
        p[i] = r.p;
        by_q[i] = r.by_q;
        by_c[i] = r.by_c;
    }
}

PYPHENOM_CLONES void lower_slopes(const double* q, const double* c, double* p, double* by_q, double* by_c, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) {
        const Inverse r = lower<true>(q[i], c[i]);
        p[i] = r.p;
        by_q[i] = r.by_q;
        by_c[i] = r.by_c;
    }
}

PYPHENOM_CLONES void divergences(const double* q, const double* p, double* out, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) {
        const double a = q[i], s = p[i];
        const DoubleDouble one{1, 0}, d = exact_sum(s, -a);
        // A side without mass in q costs -ln of what p leaves to the other: its term is phi(d/a) a = d.
        const DoubleDouble left = term({larger(a, tiny), 0}, d, {s, 0});
        const DoubleDouble b = one - DoubleDouble{a, 0}, v = one - DoubleDouble{s, 0};
        const DoubleDouble right = term(b, -d, v);
        const double value = larger((select(a == 0, d, left) + select(a == 1, -d, right)).hi, 0.0);
        const bool valid = a >= 0 && a <= 1 && s >= 0 && s <= 1;
        const bool empty = (s == 0 && a > 0) || (s == 1 && a < 1);
        out[i] = !valid ? nan : a == s ? 0 : empty ? inf : value;
    }
}

constexpr Index grain = 8192;

}  // namespace

void kl_inverse(Side side, const double* q, const double* c, double* p, Index n, int threads) {
    parallel_for(n, grain, threads, [=](Index first, Index last) {
        (side == Side::upper ? upper_values : lower_values)(q + first, c + first, p + first, last - first);
    });
}

void kl_inverse_gradient(Side side, const double* q, const double* c, double* p, double* by_q, double* by_c, Index n,
                         int threads) {
    parallel_for(n, grain, threads, [=](Index first, Index last) {
        (side == Side::upper ? upper_slopes : lower_slopes)(q + first, c + first, p + first, by_q + first, by_c + first,
                                                            last - first);
    });
}

void kl_divergence(const double* q, const double* p, double* out, Index n, int threads) {
    parallel_for(n, grain, threads,
                 [=](Index first, Index last) { divergences(q + first, p + first, out + first, last - first); });
}

}  // namespace pyphenom
