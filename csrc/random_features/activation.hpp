// Activations of random features, applied in place.
#pragma once

#include <string_view>

#include "core/matrix.hpp"

namespace pyphenom {

enum class Activation { relu, tanh, erf, sigmoid, sign, abs, identity, cos };

// Throws std::invalid_argument for an unknown name.
Activation parse_activation(std::string_view name);

// Z <- activation(Z + bias), the bias indexed by row (one feature a row). cos is sqrt(2) cos, as in Rahimi and
// Recht (2007), so that the features' inner products average to the Gaussian kernel. sign(0) = 0.
template <class T>
void apply_activation(Activation activation, const T* bias, Matrix<T> Z, int threads);

extern template void apply_activation<float>(Activation, const float*, Matrix<float>, int);
extern template void apply_activation<double>(Activation, const double*, Matrix<double>, int);

}  // namespace pyphenom
