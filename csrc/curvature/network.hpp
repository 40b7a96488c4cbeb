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
// fixed weights are one product of all K. Everything is the sum over the samples. Each worker of a team takes a share
// of the samples through the whole network, in blocks whose tangents stay in its cache.
#pragma once

#include <cstdint>
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
    // X (samples, positions, channels) is borrowed. A worker takes as many samples and directions at once as
    // `workspace` bytes hold, at least one direction and some hundred samples.
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
    double loss_value() const { return loss_value_; }
    const T* output() const { return layers_.empty() ? X_ : layers_.back().out.data(); }

    // R (parameters)
    void gradient(bool reduced, T* R);
    // V, R (K, parameters); U (K, samples, outputs)
    void hessian(bool reduced, Index K, const T* V, T* R);
    void gauss_newton(bool reduced, Index K, const T* V, T* R);
    void jacobian(bool reduced, Index K, const T* V, T* U);
    void jacobian_transpose(bool reduced, Index K, const T* U, T* R);
    // The Hessian product with a custom loss: U is the product of the loss's Hessian with `jacobian` of V.
    void custom_hessian(bool reduced, Index K, const T* V, const T* U, T* R);

  private:
    enum class Kind { dense, unfold, average, maximum, flatten, activation };
    struct Layer {
        Kind kind;
        Index rows, inputs, outputs;  // of one sample's matrix product or pass; `inputs` entries a row in
        Index entries_in, entries_out;  // of one sample
        Index groups = 1;
        DensePlaces places = {};
        Index sums = -1;  // where the sums for its bias stand in a worker's
        Windows windows = {};
        Activation function = {};
        Block<T> out = {}, first = {}, second = {}, delta = {}, weights = {};
        std::vector<std::int32_t> chosen = {};
    };
    struct Coordinates {
        const T* input;
        Index inputs, shift, parameters;
        Index at(Index place) const { return place == 0 ? 0 : place - shift; }
    };
    struct Samples {
        Index first, count;
    };
    // A job: directions V, or cotangents U at the outputs, to results R or images out; and which terms count.
    struct Job {
        Coordinates coordinates;
        const T* V = nullptr;
        const T* U = nullptr;
        T* image = nullptr;
        T* R = nullptr;
        bool curved = false, gradient = false;
    };
    struct Plan {
        Index workers = 1, samples = 1, sets = 1;  // of a block
    };
    struct Worker {
        Index sets = 0, samples = 0;  // reserved
        Block<T> memory, partial;
        std::vector<T*> tangents;  // one a layer
        T *u = nullptr, *other = nullptr;
        Block<double> sums;
        double loss = 0.0;
        T* R = nullptr;
        bool add = false;  // R holds earlier blocks
    };

    Coordinates coordinates(bool reduced) const;
    Layer& add(Kind kind, Index rows, Index inputs, Index outputs);
    void windowed(Kind kind, Windows windows);
    const T* input_of(Index layer, Index sample) const;
    bool in_place(Index layer) const;
    void measure();
    void reserve(Worker& w, Index sets, Index samples) const;
    Plan planned(Index K) const;
    template <class F>
    void team(const Plan& plan, Index sets, const F& f);

    void forward(Samples s, Index layer);
    void deltas(Worker& w, Samples s, const T* gradients);
    void work(const Job& job, Index K);
    void block(const Job& job, Worker& w, Index set, Index sets, Samples s);
    void push(const Job& job, Worker& w, Index sets, const T* V, Samples s);
    void push_dense(const Job& job, Worker& w, Index layer, Index sets, const T* V, Samples s);
    void push_activation(const Job& job, Worker& w, Index layer, Index sets, const T* V, Samples s);
    void pull(const Job& job, Worker& w, Index sets, const T* V, Samples s, bool record);
    void pull_dense(const Job& job, Worker& w, Index layer, Index sets, const T* V, Samples s);
    void pull_activation(const Job& job, Worker& w, Index layer, Index sets, Samples s);
    void gradient_block(const Job& job, Worker& w, Samples s);
    void collect(const Job& job, Index sets, Index workers, T* R);

    const T* X_;
    Index samples_, positions_, channels_;
    Index parameters_;
    int threads_;
    Index workspace_;
    const T* reduced_ = nullptr;
    Index rank_ = 0;
    std::vector<Layer> layers_;
    Block<T> values_;
    Loss<T> loss_;
    double loss_value_ = 0.0;

    Index first_ = -1;       // the first trainable layer
    Index sum_count_ = 0;    // bias entries of all dense layers
    Index tangent_size_ = 0, widest_ = 0;  // entries of one sample
    double operations_ = 0.0;  // of a Hessian product, one sample
    std::vector<Worker> workers_;
};

}  // namespace pyphenom::curvature
