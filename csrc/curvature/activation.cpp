#include "curvature/activation.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#include "core/clones.hpp"

namespace pyphenom::curvature {
namespace {

template <class T>
struct Jet {
    T value, first, second;
};

template <class T>
T logistic(T z) {
    const T e = std::exp(-std::abs(z));  // of a negative argument only: no overflow on either side
    return (z >= T(0) ? T(1) : e) / (T(1) + e);
}

template <class T>
Jet<T> gelu(T z) {
    const T density = T(0.398942280401432677939946059934) * std::exp(T(-0.5) * z * z);
    const T mass = T(0.5) * std::erfc(T(-0.707106781186547524400844362105) * z);
    return {z * mass, mass + z * density, density * (T(2) - z * z)};
}

// f = z (1 + tanh u) / 2 with u = c (z + 0.044715 z^3).
template <class T>
Jet<T> gelu_tanh(T z) {
    constexpr T c = T(0.797884560802865355879892119869), cubic = T(0.044715);
    const T u1 = c * (T(1) + T(3) * cubic * z * z), u2 = T(6) * c * cubic * z;
    const T t = std::tanh(c * (z + cubic * z * z * z)), slope = T(1) - t * t;
    const T t1 = slope * u1, t2 = slope * u2 - T(2) * t * t1 * u1;
    return {T(0.5) * z * (T(1) + t), T(0.5) * (T(1) + t + z * t1), t1 + T(0.5) * z * t2};
}

template <class T>
Jet<T> silu(T z) {
    const T s = logistic(z), slope = s * logistic(-z);
    return {z * s, s + z * slope, slope * (T(2) + z * (T(1) - T(2) * s))};
}

template <class T, class F>
void each(const T* z, T* value, T* first, T* second, Index count, F f) {
    for (Index i = 0; i < count; ++i) {
        const Jet<T> jet = f(z[i]);
        value[i] = jet.value;
        first[i] = jet.first;
        second[i] = jet.second;
    }
}

// In float64 and without a branch, so that the loop runs in vector registers: one call an entry of the library's
// function took two thirds of linearising. (e^2z - 1) / (e^2z + 1) keeps the accuracy of float32 down to 1e-4, where
// the series takes over. e^w = 2^k e^r with r in [-log(2)/2, log(2)/2], on which nine terms leave an error of 1e-11.
PYPHENOM_CLONES void tanh_all(const float* z, float* value, float* first, float* second, Index count) {
    constexpr double round = 0x1.8p52;  // adding it leaves an integer in the low bits
#pragma omp simd
    for (Index i = 0; i < count; ++i) {
        const double x = static_cast<double>(z[i]);
        const double bounded = x > 20.0 ? 20.0 : x < -20.0 ? -20.0 : x;  // NaN stays
        const double w = 2.0 * bounded, shifted = w * 1.4426950408889634074 + round;
        const double r = w - (shifted - round) * 0.69314718055994530942;
        double e = 1.0 / 362880;
        e = e * r + 1.0 / 40320;
        e = e * r + 1.0 / 5040;
        e = e * r + 1.0 / 720;
        e = e * r + 1.0 / 120;
        e = e * r + 1.0 / 24;
        e = e * r + 1.0 / 6;
        e = e * r + 0.5;
        e = e * r + 1.0;
        e = e * r + 1.0;
        std::uint64_t bits;
        std::memcpy(&bits, &shifted, sizeof bits);
        bits = (bits << 52) + 0x3ff0000000000000u;
        double power;
        std::memcpy(&power, &bits, sizeof power);
        e *= power;
        const double t = std::abs(x) < 1e-4 ? x - x * x * x / 3.0 : (e - 1.0) / (e + 1.0);
        value[i] = static_cast<float>(t);
        first[i] = static_cast<float>(1.0 - t * t);
        second[i] = static_cast<float>(-2.0 * t);
    }
}

// The same in float64, to a few units of its last place. Below 2/5, where e^2z - 1 would cancel, Lambert's continued
// fraction z / (1 + z^2 / (3 + z^2 / (5 + ...))), cut after 13, leaves 1e-17; beyond, thirteen terms of e^r and a
// logarithm of 2 in two parts, the product of the first with k exact.
PYPHENOM_CLONES void tanh_all(const double* z, double* value, double* first, double* second, Index count) {
    constexpr double round = 0x1.8p52;
#pragma omp simd
    for (Index i = 0; i < count; ++i) {
        const double x = z[i], size = std::abs(x), w = 2.0 * (size > 20.0 ? 20.0 : size);
        const double shifted = w * 1.4426950408889634074 + round, k = shifted - round;
        const double r = (w - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;
        double e = 1.0 / 6227020800;
        e = e * r + 1.0 / 479001600;
        e = e * r + 1.0 / 39916800;
        e = e * r + 1.0 / 3628800;
        e = e * r + 1.0 / 362880;
        e = e * r + 1.0 / 40320;
        e = e * r + 1.0 / 5040;
        e = e * r + 1.0 / 720;
        e = e * r + 1.0 / 120;
        e = e * r + 1.0 / 24;
        e = e * r + 1.0 / 6;
        e = e * r + 0.5;
        e = e * r + 1.0;
        e = e * r + 1.0;
        std::uint64_t bits;
        std::memcpy(&bits, &shifted, sizeof bits);
        bits = (bits << 52) + 0x3ff0000000000000u;
        double power;
        std::memcpy(&power, &bits, sizeof power);
        e *= power;
        const double s = x * x;
        const bool small = size < 0.4;
        const double above = small ? size * (135135.0 + s * (17325.0 + s * (378.0 + s))) : e - 1.0;
        const double below = small ? 135135.0 + s * (62370.0 + s * (3150.0 + s * 28.0)) : e + 1.0;
        const double t = std::copysign(above / below, x);
        value[i] = t;
        first[i] = 1.0 - t * t;
        second[i] = -2.0 * t;
    }
}

}  // namespace

Activation parse_activation(std::string_view name, double a, double b) {
    const auto make = [=](Function function) { return Activation{function, a, b}; };
    if (name == "relu") return make(Function::relu);
    if (name == "leaky_relu") return make(Function::leaky_relu);
    if (name == "tanh") return make(Function::tanh);
    if (name == "sigmoid") return make(Function::sigmoid);
    if (name == "gelu") return make(Function::gelu);
    if (name == "gelu_tanh") return make(Function::gelu_tanh);
    if (name == "silu") return make(Function::silu);
    if (name == "softplus") return make(Function::softplus);
    throw std::invalid_argument("`activation` is '" + std::string(name) +
                                "'; expected one of relu, leaky_relu, tanh, sigmoid, gelu, gelu_tanh, silu, softplus");
}

template <class T>
void evaluate(const Activation& activation, const T* z, T* value, T* first, T* second, Index count) {
    const auto all = [&](auto f) { each(z, value, first, second, count, f); };
    switch (activation.function) {
        case Function::relu:
        case Function::leaky_relu: {
            const T slope = activation.function == Function::relu ? T(0) : static_cast<T>(activation.a);
            for (Index i = 0; i < count; ++i) {
                const T u = z[i];
                first[i] = u > T(0) ? T(1) : slope;
                value[i] = u > T(0) || u != u ? u : slope * u;  // NaN stays NaN
            }
            return;
        }
        case Function::tanh:
            return tanh_all(z, value, first, second, count);
        case Function::sigmoid:
            return all([](T u) {
                const T s = logistic(u), rest = logistic(-u);
                return Jet<T>{s, s * rest, rest - s};
            });
        case Function::gelu:
            return all(gelu<T>);
        case Function::gelu_tanh:
            return all(gelu_tanh<T>);
        case Function::silu:
            return all(silu<T>);
        case Function::softplus: {
            const T beta = static_cast<T>(activation.a), threshold = static_cast<T>(activation.b);
            return all([=](T u) {
                const T v = beta * u;
                if (v > threshold) return Jet<T>{u, T(1), T(0)};
                const T soft = (v > T(0) ? v : T(0)) + std::log1p(std::exp(-std::abs(v)));
                return Jet<T>{soft / beta, logistic(v), beta * logistic(-v)};
            });
        }
    }
}

template void evaluate<float>(const Activation&, const float*, float*, float*, float*, Index);
template void evaluate<double>(const Activation&, const double*, double*, double*, double*, Index);

}  // namespace pyphenom::curvature
