// Descent of one fully connected network on batches of samples, its backward pass written out.
//
// Columns are samples: a layer of o outputs and i inputs makes Z (o x b) = f(W H + c 1^T) of H (i x b), and with
// D = dL/dZ * f' the gradients are D H^T and D 1, and W^T D goes on to the layer before. Entries lie row by row. All
// that a step touches stays in the cache, and each network has its own widths.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/matrix.hpp"

namespace pyphenom::training {

enum class Function { identity, relu, tanh };
enum class LossKind { squared, cross_entropy };
enum class Optimiser { sgd, adam };

Function parse_function(std::string_view name);
LossKind parse_loss(std::string_view name);
Optimiser parse_optimiser(std::string_view name);

// How a gradient g moves parameters w; first of all g <- g + decay w.
//   sgd:   v <- momentum v + g,                          w <- w - rate v
//   adam:  m <- .9 m + .1 g,  s <- .999 s + .001 g^2,    w <- w - rate (m / (1 - .9^t)) / (sqrt(s / (1 - .999^t)) +
//   1e-8)
struct Rule {
    LossKind loss;
    Optimiser optimiser;
    double momentum, decay;
};

// Parameters, and for each of them what the optimiser keeps (v, or m and s); rows are `stride` apart. Where there is a
// mask, parameters move only where it is not zero.
template <class T>
struct Parameters {
    Index rows, cols, stride;
    T *value, *first, *second;
    const T* mask;
};

template <class T>
struct Layer {
    Parameters<T> weights;  // outputs x inputs
    Parameters<T> biases;  // 1 x outputs
    Function after;
};

// n samples of d numbers, with a label each, or K targets.
template <class T>
struct Samples {
    Index count, size;
    const T* inputs;
    const std::int64_t* labels;
    const T* targets;
};

// The inputs of a batch, which several networks may see: in blocks of samples that go through the layers together, each
// filled up with zeros to whole vectors, both ways round.
template <class T>
class Batch {
  public:
    struct Block {
        Index from, count, filled;  // samples of the batch; with those that fill up
        const T* rows;  // filled x size()
        const T* columns;  // size() x filled
    };

    explicit Batch(Index inputs);
    // Picks the `count` samples with these indices, or all (null).
    void pick(const Samples<T>& samples, const std::int64_t* indices, Index count);

    Index count() const { return count_; }
    Index size() const { return size_; }
    Index sample(Index j) const { return indices_ ? indices_[j] : j; }
    const std::vector<Block>& blocks() const { return blocks_; }

  private:
    Index size_, count_ = 0;
    const std::int64_t* indices_ = nullptr;
    std::vector<T> rows_, columns_;
    std::vector<Block> blocks_;
};

template <class T>
class DenseDescent {
  public:
    DenseDescent(std::vector<Layer<T>> layers, Samples<T> samples, Rule rule);

    // A step along the gradient of the mean loss over a batch: the squared distance to the targets, or -log of the
    // softmax at the label.
    void step(const Batch<T>& batch, double rate);

  private:
    using Block = typename Batch<T>::Block;
    void forward(const Block& block);
    void slope_of_loss(const Batch<T>& batch, const Block& block);
    void backward(const Block& block, bool add);
    void move(double rate);

    std::vector<Layer<T>> layers_;
    Samples<T> samples_;
    Rule rule_;
    Index row_;  // size of a batch's inputs
    std::int64_t steps_ = 0;
    std::vector<std::vector<T>> values_;  // of each layer, outputs x b
    std::vector<T> slopes_, slopes_before_;
    std::vector<std::vector<T>> weight_gradients_, bias_gradients_;  // rows of the first `row_` apart, some transposed
    std::vector<T> scratch_;
};

}  // namespace pyphenom::training
