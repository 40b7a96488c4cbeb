// Activations of random features, applied in place.
#pragma once

#include <string_view>

#include "core/matrix.hpp"

namespace pyphenom {

enum class Activation { relu, tanh, erf, sigmoid, sign, abs, identity, cos };

// Throws std::invalid_argument for an unknown name.
Activation parse_activation(std::string_view name);

// Where the features of a matrix lie: one a row (each column is a sample), or one a column.
enum class Layout { feature_a_row, feature_a_column };

// Z <- activation(Z + bias), one bias a feature, or none (null). cos is sqrt(2) cos, as in Rahimi and
// Recht (2007), so that the features' inner products average to the Gaussian kernel. sign(0) = 0.
template <class T>
void apply_activation(Activation activation, const T* bias, Matrix<T> Z, Layout layout, int threads);

extern template void apply_activation<float>(Activation, const float*, Matrix<float>, Layout, int);
extern template void apply_activation<double>(Activation, const double*, Matrix<double>, Layout, int);

}  // namespace pyphenom
