#include "random_features/activation.hpp"

#include <cmath>
#include <string>

#include "core/loops.hpp"
#include "core/parallel.hpp"

namespace pyphenom {
namespace {

// Calls f(column, index) for every column of Z.
template <class T, class F>
void for_columns(Matrix<T> Z, int threads, F f) {
    constexpr Index worth_a_thread = 1 << 18;  // entries
    parallel_for(Z.cols, 1 + worth_a_thread / (Z.rows + 1), threads, [=](Index first, Index last) {
        for (Index j = first; j < last; ++j) f(Z.col(j), j);
    });
}

// NaN stays NaN, whatever the activation: an overflow in the product must not look like a feature.
template <class T, class F>
void transform(const T* bias, Matrix<T> Z, Layout layout, int threads, F f) {
    for_columns(Z, threads, [=](T* z, Index j) {
        if (bias && layout == Layout::feature_a_column) {
            const T b = bias[j];
            for (Index i = 0; i < Z.rows; ++i) z[i] = f(z[i] + b);
        } else if (bias) {
            for (Index i = 0; i < Z.rows; ++i) z[i] = f(z[i] + bias[i]);
        } else {
            for (Index i = 0; i < Z.rows; ++i) z[i] = f(z[i]);
        }
    });
}

}  // namespace

Activation parse_activation(std::string_view name) {
    if (name == "relu") return Activation::relu;
    if (name == "tanh") return Activation::tanh;
    if (name == "erf") return Activation::erf;
    if (name == "sigmoid") return Activation::sigmoid;
    if (name == "sign") return Activation::sign;
    if (name == "abs") return Activation::abs;
    if (name == "identity") return Activation::identity;
    if (name == "cos") return Activation::cos;
    throw std::invalid_argument("`activation` is '" + std::string(name) +
                                "'; expected one of relu, tanh, erf, sigmoid, sign, abs, identity, cos");
}

template <class T>
void apply_activation(Activation activation, const T* bias, Matrix<T> Z, Layout layout, int threads) {
    switch (activation) {
        case Activation::relu:
            if (!bias) return for_columns(Z, threads, [=](T* z, Index) { rectify(z, Z.rows); });
            return transform(bias, Z, layout, threads, [](T u) { return u < T(0) ? T(0) : u; });
        case Activation::tanh:
            return transform(bias, Z, layout, threads, [](T u) { return std::tanh(u); });
        case Activation::erf:
            return transform(bias, Z, layout, threads, [](T u) { return std::erf(u); });
        case Activation::sigmoid:
            // exp of a negative argument only: no overflow on either side.
            return transform(bias, Z, layout, threads, [](T u) {
                const T e = std::exp(-std::abs(u));
                return (u >= T(0) ? T(1) : e) / (T(1) + e);
            });
        case Activation::sign:
            return transform(bias, Z, layout, threads, [](T u) {
                return u > T(0) ? T(1) : u < T(0) ? T(-1) : u == T(0) ? T(0) : u;
            });
        case Activation::abs:
            return transform(bias, Z, layout, threads, [](T u) { return std::abs(u); });
        case Activation::identity:
            if (bias) transform(bias, Z, layout, threads, [](T u) { return u; });
            return;
        case Activation::cos:
            return transform(bias, Z, layout, threads, [](T u) { return T(1.4142135623730950488) * std::cos(u); });
    }
}

template void apply_activation<float>(Activation, const float*, Matrix<float>, Layout, int);
template void apply_activation<double>(Activation, const double*, Matrix<double>, Layout, int);

}  // namespace pyphenom
