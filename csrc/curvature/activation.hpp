// Elementwise activations with their first two derivatives.
#pragma once

#include <string_view>

#include "core/matrix.hpp"

namespace pyphenom::curvature {

enum class Function { relu, leaky_relu, tanh, sigmoid, gelu, gelu_tanh, silu, softplus };

// `a` is the slope of leaky_relu and the beta of softplus, `b` the threshold of softplus.
struct Activation {
    Function function = Function::relu;
    double a = 0.0, b = 0.0;

    bool piecewise_linear() const { return function == Function::relu || function == Function::leaky_relu; }
    // Whether f'' / f' is bounded and cheap. The tangent before the activation is then not needed, for f'' dz is
    // (f'' / f') times the tangent behind it.
    bool has_ratio() const {
        return function == Function::tanh || function == Function::sigmoid || function == Function::softplus;
    }
};

Activation parse_activation(std::string_view name, double a, double b);

// For each of `count` entries z: value <- f(z), first <- f'(z), second <- f''(z), or f''(z) / f'(z) where has_ratio();
// `second` is not written where f is piecewise linear. `value` may be `z`.
template <class T>
void evaluate(const Activation& activation, const T* z, T* value, T* first, T* second, Index count);

}  // namespace pyphenom::curvature
