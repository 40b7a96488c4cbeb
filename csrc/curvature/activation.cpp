#include "curvature/activation.hpp"

#include <cmath>
#include <string>

#include "core/clones.hpp"
#include "core/exponential.hpp"

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

// One call an entry of the library's function took two thirds of linearising.
template <class T>
PYPHENOM_INLINE void tanh_each(const T* z, T* value, T* first, T* second, Index count) {
#pragma omp simd
    for (Index i = 0; i < count; ++i) {
        const double t = hyperbolic_tangent(z[i]);
        value[i] = static_cast<T>(t);
        first[i] = static_cast<T>(1.0 - t * t);
        second[i] = static_cast<T>(-2.0 * t);
    }
}

PYPHENOM_CLONES void tanh_all(const float* z, float* value, float* first, float* second, Index count) {
    tanh_each(z, value, first, second, count);
}
PYPHENOM_CLONES void tanh_all(const double* z, double* value, double* first, double* second, Index count) {
    tanh_each(z, value, first, second, count);
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
