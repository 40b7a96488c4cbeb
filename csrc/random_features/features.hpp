// Random features Z = activation(X W / sqrt(d) + b).
//
// Feature i is a pure function of (seed, i): its weights are drawn from the Philox counter (k, stream, i), four
// normals a counter, in float64, and rounded to T at the end. Stream 0 holds weights, stream 1 the bias.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/matrix.hpp"
#include "random_features/activation.hpp"

namespace pyphenom {

enum class Distribution { gaussian, sphere };  // N(0, I_d), or uniform on the sphere of radius sqrt(d)

Distribution parse_distribution(std::string_view name);

struct FeatureLaw {
    Activation activation = Activation::relu;
    Distribution distribution = Distribution::gaussian;
    double bias_scale = 0.0;  // standard deviation of the bias; not used by cos, whose bias is uniform on [0, 2 pi)
    std::uint64_t seed = 0;

    bool has_bias() const { return activation == Activation::cos || bias_scale != 0.0; }
};

// Weights of the features first, first + 1, ...: one a column of W (d x width), biases in bias[width].
// Each weight is multiplied by `scale` before it is rounded (1/sqrt(d) spares the features a pass).
template <class T>
void draw_weights(const FeatureLaw& law, std::uint64_t first, double scale, Matrix<T> W, T* bias, int threads);

// Z <- activation(X W + bias) with Xt (d x n) the inputs, one sample a column: n x width with a feature a column,
// width x n with a feature a row. The product is one of BLAS, or `tiled` on `threads` of our own (a feature a column
// only): between other products of that kind, where the threads of a BLAS would still spin.
template <class T>
void features(Activation activation, Matrix<const T> Xt, Matrix<const T> W, const T* bias, Matrix<T> Z, Layout layout,
              bool tiled, int threads);

}  // namespace pyphenom
