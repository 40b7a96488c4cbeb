// Numbers of about 106 bits, hi + lo with |lo| <= ulp(hi) / 2 (Dekker 1971; Hida, Li, Bailey 2001).
//
// The error terms are exact only where every operation is rounded on its own: a source that includes this is compiled
// without contraction into fused multiply-adds (see CMakeLists.txt). Products are split instead of fused, so that all
// processors give the same bits.
#pragma once

#include "core/clones.hpp"

namespace pyphenom {

struct DoubleDouble {
    double hi = 0, lo = 0;
};

// |a| >= |b|, or a = 0.
PYPHENOM_INLINE DoubleDouble ordered_sum(double a, double b) {
    const double s = a + b;
    return {s, b - (s - a)};
}

PYPHENOM_INLINE DoubleDouble exact_sum(double a, double b) {
    const double s = a + b, t = s - a;
    return {s, (a - (s - t)) + (b - t)};
}

// Exact while |a|, |b| < 2^996 and the product's error does not underflow.
PYPHENOM_INLINE DoubleDouble exact_product(double a, double b) {
    constexpr double split = 134217729;  // 2^27 + 1
    const double ta = split * a, tb = split * b;
    const double ah = ta - (ta - a), bh = tb - (tb - b);
    const double al = a - ah, bl = b - bh, p = a * b;
    return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

PYPHENOM_INLINE DoubleDouble operator-(DoubleDouble a) { return {-a.hi, -a.lo}; }

PYPHENOM_INLINE DoubleDouble operator+(DoubleDouble a, DoubleDouble b) {
    const DoubleDouble s = exact_sum(a.hi, b.hi), t = exact_sum(a.lo, b.lo);
    const DoubleDouble u = ordered_sum(s.hi, s.lo + t.hi);
    return ordered_sum(u.hi, u.lo + t.lo);
}

PYPHENOM_INLINE DoubleDouble operator-(DoubleDouble a, DoubleDouble b) { return a + (-b); }

PYPHENOM_INLINE DoubleDouble operator*(DoubleDouble a, DoubleDouble b) {
    const DoubleDouble p = exact_product(a.hi, b.hi);
    return ordered_sum(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

PYPHENOM_INLINE DoubleDouble operator/(DoubleDouble a, DoubleDouble b) {
    const double first = a.hi / b.hi;
    const DoubleDouble p = exact_product(b.hi, first);
    // a.hi - p.hi is exact: the two agree to an ulp or so.
    return ordered_sum(first, ((a.hi - p.hi) - p.lo + (a.lo - b.lo * first)) / b.hi);
}

// Exact for a power of two.
PYPHENOM_INLINE DoubleDouble scaled(DoubleDouble a, double power) { return {a.hi * power, a.lo * power}; }

PYPHENOM_INLINE DoubleDouble select(bool first, DoubleDouble a, DoubleDouble b) {
    return {first ? a.hi : b.hi, first ? a.lo : b.lo};
}

}  // namespace pyphenom
