// A feed-forward network linearised at one parameter vector on one batch.
//
// `linearize` keeps the activations a_l, the derivatives of the activation functions and the back-propagated deltas
// d_l. A product then costs matrix products only; for a dense layer z = a W^T + b with the direction (V, v), a dot
// marking derivatives along it:
//
//   forward   dz = da W^T + a V^T + v,                  da' = f'(z) dz
//   backward  R_W = dd^T a + d^T da,  R_b = sum of dd,  dd' = dd W + d V,   dd = f'(z) dd' + f''(z) dz d'
//
// with the loss Hessian between the two. The Gauss-Newton product drops what holds d. The first trainable layer has
// neither da nor dd'. Layers of windows (convolutions are patches followed by a dense layer) only move entries.
//
// Matrices are row-major; K directions are stacked as (K, samples, positions, channels), so the products with the
// fixed weights are one product of all K. Everything is the sum over the samples.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/buffer.hpp"
#include "curvature/activation.hpp"
#include "curvature/loss.hpp"
#include "curvature/window.hpp"

namespace pyphenom::curvature {

template <class T>
using Block = std::vector<T, HugePages<T>>;

// Where a dense layer's weights (outputs, inputs / groups) and bias stand: in the values of all parameters, and in the
// parameter vector of the products; -1 for a bias that is not there, or a parameter that is held fixed.
struct DensePlaces {
    Index weight_value = 0, bias_value = -1, weight = -1, bias = -1;
};

template <class T>
class Network {
  public:
    // X (samples, positions, channels) is borrowed. A product works on as many directions at once as `workspace` bytes
    // hold, at least one.
    Network(const T* X, Index samples, Index positions, Index channels, Index values, Index parameters, int threads,
            Index workspace);

    // Layers, in order.
    void dense(Index outputs, Index groups, const DensePlaces& places);
    void unfold(Windows windows);
    void average(Windows windows, std::vector<T> weights);
    void maximum(Windows windows);
    void flatten();  // (positions, channels) -> channels * positions, the positions of one channel together
    void activation(const Activation& activation);
    void loss(LossKind kind, double weight, const T* targets);
    // X_r (samples, rank), borrowed: coordinates of the samples in an orthonormal basis of the row space of X. Products
    // with `reduced` take the first layer's weights (outputs, rank) in that basis. The first layer is dense, and
    // its weights start the parameter vector.
    void reduce(const T* X_r, Index rank);

    // Forward pass, and unless the loss is custom the loss and its deltas.
    void linearize(const T* values);
    // The deltas of a custom loss from its gradients (samples, outputs); once after each `linearize`.
    void differentiate(const T* gradients);

    Index samples() const { return samples_; }
    Index outputs() const { return positions_ * channels_; }
    Index parameters(bool reduced) const { return coordinates(reduced).parameters; }
    Index values() const { return static_cast<Index>(values_.size()); }
    Index block(Index directions) const;  // how many of them are worked on at once
    double loss_value() const { return loss_value_; }
    const T* output() const { return layers_.empty() ? X_ : layers_.back().out.data(); }
    LossKind loss_kind() const { return loss_.kind(); }

    // R (parameters)
    void gradient(bool reduced, T* R) const;
    // V, R (K, parameters); U (K, samples, outputs)
    void hessian(bool reduced, Index K, const T* V, T* R);
    void gauss_newton(bool reduced, Index K, const T* V, T* R);
    void jacobian(bool reduced, Index K, const T* V, T* U);
    void jacobian_transpose(bool reduced, Index K, const T* U, T* R);
    // The second half of a Hessian product with a custom loss: U is its Hessian's product with `jacobian` of the same
    // V, K <= block(K), called just before.
    void pull_back(bool reduced, Index K, const T* V, const T* U, T* R);

  private:
    static constexpr Index max_shares = 16;  // of the rows of a pass, each with its own sums

    enum class Kind { dense, unfold, average, maximum, flatten, activation };
    struct Layer {
        Kind kind;
        Index rows, inputs, outputs;  // of the matrix product or pass; `inputs` entries a row in
        Index entries_in, entries_out;
        Index groups = 1;
        DensePlaces places = {};
        Windows windows = {};
        Activation function = {};
        Block<T> out = {}, first = {}, second = {}, delta = {}, weights = {};
        std::vector<std::int32_t> chosen = {};
        T* tangent = nullptr;
    };
    struct Coordinates {
        const T* input;
        Index inputs, shift, parameters;
        Index at(Index place) const { return place == 0 ? 0 : place - shift; }
    };

    Coordinates coordinates(bool reduced) const;
    Index first_trainable() const;
    const T* input_of(Index layer) const { return layer == 0 ? X_ : layers_[layer - 1].out.data(); }
    void windowed(Kind kind, Windows windows);
    Layer& add(Kind kind, Index rows, Index inputs, Index outputs);
    void forward_layer(Index layer);
    void reserve(Index sets);
    void second_order(bool reduced, Index K, const T* V, T* R, bool curved);
    void push(const Coordinates& c, Index sets, const T* V);
    void push_dense(const Coordinates& c, Index layer, Index sets, const T* V);
    void pull(const Coordinates& c, Index sets, const T* V, T* R, bool curved, bool record);
    void pull_dense(const Coordinates& c, Index layer, Index sets, const T* V, T* R, bool curved);
    void pull_activation(const Coordinates& c, Index layer, Index sets, T* R, bool curved);
    const T* bias_direction(const Coordinates& c, Index layer, const T* V) const;
    void store_sums(const Coordinates& c, const Layer& dense, Index sets, Index shares, T* R);

    const T* X_;
    Index samples_, positions_, channels_;
    Index parameters_;
    int threads_;
    Index workspace_;
    Index first_ = -1;
    const T* reduced_ = nullptr;
    Index rank_ = 0;
    std::vector<Layer> layers_;
    Block<T> values_;
    Loss<T> loss_;
    double loss_value_ = 0.0;

    Index reserved_ = 0;
    Block<T> tangents_, back_[2];
    Block<double> sums_;
    T* u_ = nullptr;  // the half of `back_` that holds the current backward tangent
};

}  // namespace pyphenom::curvature
