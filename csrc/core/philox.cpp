#include "core/philox.hpp"

#include <cmath>
#include <cstring>

#include "core/clones.hpp"

namespace pyphenom {
namespace {

// Polynomials instead of the C library's functions: they run in the vector units, and give the same weights to the bit
// on every platform. Both are truncated series whose first omitted term is below 1e-17 of the result.

// log(u) for normal u > 0: u = 2^e m with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh((m - 1) / (m + 1)).
inline double log_positive(double u) {
    std::uint64_t bits;
    std::memcpy(&bits, &u, sizeof bits);
    const std::uint64_t magic = 0x4330000000000000u;  // 2^52: an integer below it or-ed in becomes a double
    const std::uint64_t exponent_bits = magic | (bits >> 52);
    const std::uint64_t mantissa_bits = (bits & 0x000FFFFFFFFFFFFFu) | 0x3FF0000000000000u;
    double e, m;
    std::memcpy(&e, &exponent_bits, sizeof e);
    std::memcpy(&m, &mantissa_bits, sizeof m);
    const bool upper = m > 1.4142135623730951;
    m = upper ? 0.5 * m : m;
    e = e - 0x1p52 - (upper ? 1022.0 : 1023.0);
    const double s = (m - 1.0) / (m + 1.0), s2 = s * s;
    double p = 1.0 / 21;
    p = p * s2 + 1.0 / 19;
    p = p * s2 + 1.0 / 17;
    p = p * s2 + 1.0 / 15;
    p = p * s2 + 1.0 / 13;
    p = p * s2 + 1.0 / 11;
    p = p * s2 + 1.0 / 9;
    p = p * s2 + 1.0 / 7;
    p = p * s2 + 1.0 / 5;
    p = p * s2 + 1.0 / 3;
    return e * 0.6931471805599453094 + 2.0 * (s + s * s2 * p);
}

// sin and cos of 2 pi u, u in [0, 1): the nearest quarter turn, and series in what remains, |x| <= pi / 4.
inline void sin_cos_turn(double u, double& sine, double& cosine) {
    const double t = 4.0 * u;
    const int quarter = static_cast<int>(t + 0.5);
    const double x = (t - quarter) * 1.5707963267948966192, x2 = x * x;
    double s = 1.0 / 355687428096000;  // 1/17!
    s = s * x2 - 1.0 / 1307674368000;
    s = s * x2 + 1.0 / 6227020800;
    s = s * x2 - 1.0 / 39916800;
    s = s * x2 + 1.0 / 362880;
    s = s * x2 - 1.0 / 5040;
    s = s * x2 + 1.0 / 120;
    s = s * x2 - 1.0 / 6;
    s = x + x * x2 * s;
    double c = 1.0 / 20922789888000;  // 1/16!
    c = c * x2 - 1.0 / 87178291200;
    c = c * x2 + 1.0 / 479001600;
    c = c * x2 - 1.0 / 3628800;
    c = c * x2 + 1.0 / 40320;
    c = c * x2 - 1.0 / 720;
    c = c * x2 + 1.0 / 24;
    c = c * x2 - 0.5;
    c = 1.0 + x2 * c;
    const bool odd = (quarter & 1) != 0;
    const double plain_sine = odd ? c : s, plain_cosine = odd ? s : c;
    sine = (quarter & 2) != 0 ? -plain_sine : plain_sine;
    cosine = ((quarter + 1) & 2) != 0 ? -plain_cosine : plain_cosine;
}

}  // namespace

PYPHENOM_CLONES void draw_words(std::uint64_t seed, std::uint32_t first, std::uint32_t stream, std::uint64_t index,
                                std::ptrdiff_t count, std::uint32_t* words) {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
        const Words w = philox({first + static_cast<std::uint32_t>(i), stream, static_cast<std::uint32_t>(index),
                                static_cast<std::uint32_t>(index >> 32)},
                               seed);
        words[4 * i] = w[0];
        words[4 * i + 1] = w[1];
        words[4 * i + 2] = w[2];
        words[4 * i + 3] = w[3];
    }
}

PYPHENOM_CLONES void to_normals(const std::uint32_t* words, std::ptrdiff_t pairs, double* normals) {
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < pairs; ++i) {
        const double radius = std::sqrt(-2.0 * log_positive(uniform(words[2 * i])));
        double sine, cosine;
        sin_cos_turn(uniform(words[2 * i + 1]), sine, cosine);
        normals[2 * i] = radius * cosine;
        normals[2 * i + 1] = radius * sine;
    }
}

}  // namespace pyphenom
