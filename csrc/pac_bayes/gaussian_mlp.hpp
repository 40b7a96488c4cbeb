// A fully connected network whose weights and biases are independent normals, w ~ N(mu, s).
//
// Given the input x of one example, the pre-activations of a layer are independent normals too, z = m + sqrt(v) e with
// m = x mu^T + b and v = x^2 s^T + s_b: they are drawn, and no weight ever is. That is a fresh network for every
// example. With g = dL/dz, the gradients are dL/dmu = g^T x and dL/ds = h^T x^2 with h = g e / (2 sqrt(v)), and
// dL/dx = g mu + 2 x (h s).
//
// A bound's loss is the bounded cross-entropy min(-ln p_y, ln 1/pmin) / ln 1/pmin, in [0, 1].
//
// Matrices are row-major, one example a row; all parameters lie in one array, layer by layer, weights (outputs x
// inputs) before biases. Results do not depend on the number of threads, to the bit where the products of
// curvature/tiles.hpp exist; noise never does.
#pragma once

#include <algorithm>
#include <vector>

#include "core/buffer.hpp"
#include "core/team.hpp"
#include "curvature/activation.hpp"
#include "pac_bayes/gaussian_mlp_entries.hpp"

namespace pyphenom::pac_bayes {

struct Architecture {
    std::vector<Index> widths;  // inputs, hidden layers, classes
    Activation activation;

    Index layers() const { return static_cast<Index>(widths.size()) - 1; }
    Index inputs() const { return widths.front(); }
    Index classes() const { return widths.back(); }
    Index weights_at(Index layer) const;
    Index biases_at(Index layer) const { return weights_at(layer) + widths[layer] * widths[layer + 1]; }
    Index parameters() const { return weights_at(layers()); }
    // Throws std::invalid_argument where a width is below 1, or there is no layer.
    void check() const;
};

// Examples, one a row of a row-major matrix, seen column-major; and their classes.
template <class T>
struct Examples {
    Matrix<const T> X;  // inputs x n
    const std::int64_t* y = nullptr;
};

struct Loss {
    double sum = 0.0;       // of the bounded cross-entropy, over rows
    Index errors = 0;       // rows whose largest output is not that of their class
    Index not_finite = 0;   // rows with an output that is no number
};

template <class T>
class GaussianPasses {
  public:
    // Room for `examples` rows at a time; twice as many with `antithetic`, which passes each example with the noise e
    // and again with -e. `backward` keeps what a gradient needs.
    GaussianPasses(const Architecture& architecture, Index examples, bool antithetic, bool backward, int threads);

    // Outputs for the rows chosen[0..count) of X. `again` takes the first layer's m and v from the last call, which
    // must have had the same rows and parameters.
    void forward(const T* mean, const T* variance, Matrix<const T> X, const std::uint32_t* chosen, Index count,
                 const Noise& noise, bool again = false);
    Index rows() const { return copies_ * count_; }
    const T* output(Index row) const { return outputs_.back().row(row); }

    // The loss of these outputs; with a backward pass also its gradient, divided by the number of rows.
    Loss loss(const std::int64_t* y, const std::uint32_t* chosen, double pmin);
    // The gradients of the mean loss by all means and all variances. `layer_done(first, last)` is called where those of
    // the parameters first, ..., last - 1 are complete and nothing reads these parameters any more.
    template <class F>
    void backward(const T* mean, const T* variance, T* by_mean, T* by_variance, const F& layer_done);
    // Calls f(range, worker) on shares of [0, units), on as many threads as the work is worth.
    template <class F>
    void side_by_side(Index units, double operations, const F& f);

    struct Range {
        Index first, last;
        Index size() const { return last - first; }
    };

  private:
    template <class U>
    struct Rows {
        std::vector<U, HugePages<U>> memory;
        Index width = 0, stride = 0;
        void reserve(Index rows, Index columns);
        U* row(Index i) { return memory.data() + i * stride; }
        const U* row(Index i) const { return memory.data() + i * stride; }
    };
    void gather(Matrix<const T> X, const std::uint32_t* chosen);
    void moments(Index layer, const T* mean, const T* variance, Range examples, Range columns);
    void activate(Index layer, const T* mean, const T* variance, const std::uint32_t* chosen, const Noise& noise,
                  Range examples, Range columns, Index worker);
    void pull(Index layer, const T* mean, const T* variance, Range columns);
    void weights(Index layer, Range columns, T* by_mean, T* by_variance);
    void fold();
    void backward_layer(Index layer, const T* mean, const T* variance, T* by_mean, T* by_variance);
    Index rows_of(Index layer) const { return layer == 0 ? count_ : rows(); }

    Architecture architecture_;
    Index copies_, count_ = 0, capacity_;
    bool keep_;
    Team team_;
    // A layer's inputs and their squares; its g and h, before that m and v; h / g, and f' where its outputs pass f.
    std::vector<Rows<T>> inputs_, squares_, outputs_, mean_part_, variance_part_, ratio_, slope_;
    std::vector<std::vector<double>> g_sum_, h_sum_;
    std::vector<Loss> row_loss_;
    struct Scratch {
        std::vector<std::uint32_t> words;
        std::vector<double> normals;
        std::vector<T> unused, unused_ratio;
    };
    std::vector<Scratch> scratch_;
};

template <class T>
template <class F>
void GaussianPasses<T>::side_by_side(Index units, double operations, const F& f) {
    constexpr double worth_a_thread = 1e5;
    const Index workers =
        std::clamp<Index>(static_cast<Index>(operations / worth_a_thread), 1, std::min(team_.size(), units));
    team_.run(workers, [&](Index w) { f(Range{units * w / workers, units * (w + 1) / workers}, w); });
}

template <class T>
template <class F>
void GaussianPasses<T>::backward(const T* mean, const T* variance, T* by_mean, T* by_variance, const F& layer_done) {
    for (Index l = architecture_.layers() - 1; l >= 0; --l) {
        backward_layer(l, mean, variance, by_mean, by_variance);
        layer_done(architecture_.weights_at(l), architecture_.weights_at(l + 1));
    }
}

}  // namespace pyphenom::pac_bayes
