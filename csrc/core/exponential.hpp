// The exponential function without a branch or a call, so that a loop over it runs in vector registers.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/clones.hpp"

namespace pyphenom {

constexpr double inverse_factorial(int k) { return k == 0 ? 1.0 : inverse_factorial(k - 1) / k; }

// The terms k, ..., last of the series of e^r, over r^k.
template <int k, int last>
PYPHENOM_INLINE double exponential_series(double r) {
    constexpr double coefficient = inverse_factorial(k);
    if constexpr (k == last)
        return coefficient;
    else
        return coefficient + r * exponential_series<k + 1, last>(r);
}

// e^w for |w| <= 700. e^w = 2^k e^r with r in [-log(2)/2, log(2)/2], where 9 terms leave a relative error of 1e-11 and
// 13 none above rounding; the logarithm of 2 is in two parts, the product of the first with k exact.
template <int terms>
PYPHENOM_INLINE double exponential(double w) {
    constexpr double round = 0x1.8p52;  // adding it leaves an integer in the low bits
    const double shifted = w * 1.4426950408889634074 + round, k = shifted - round;
    const double r = (w - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;
    std::uint64_t bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 52) + 0x3ff0000000000000u;
    double power;
    std::memcpy(&power, &bits, sizeof power);
    return power * exponential_series<0, terms>(r);
}

// tanh z in float64 to the accuracy of float32: (e^2z - 1) / (e^2z + 1) keeps it down to 1e-4, where the series takes
// over. NaN stays.
PYPHENOM_INLINE double hyperbolic_tangent(float z) {
    const double x = static_cast<double>(z), bounded = x > 20.0 ? 20.0 : x < -20.0 ? -20.0 : x;
    const double e = exponential<9>(2.0 * bounded);
    return (x < 0 ? -x : x) < 1e-4 ? x - x * x * x / 3.0 : (e - 1.0) / (e + 1.0);
}

// The same to a few units of the last place of float64. Below 2/5, where e^2z - 1 would cancel, Lambert's continued
// fraction z / (1 + z^2 / (3 + z^2 / (5 + ...))), cut after 13, leaves 1e-17.
PYPHENOM_INLINE double hyperbolic_tangent(double x) {
    const double size = x < 0 ? -x : x, e = exponential<13>(2.0 * (size > 20.0 ? 20.0 : size)), s = x * x;
    const bool small = size < 0.4;
    const double above = small ? size * (135135.0 + s * (17325.0 + s * (378.0 + s))) : e - 1.0;
    const double below = small ? 135135.0 + s * (62370.0 + s * (3150.0 + s * 28.0)) : e + 1.0;
    return __builtin_copysign(above / below, x);
}

}  // namespace pyphenom
