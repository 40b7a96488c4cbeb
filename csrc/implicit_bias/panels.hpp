// Products of a small matrix that stays in the cache, a step of descent each.
//
// A matrix is held in panels of a few vector registers, one after another in the order in which a product reads them,
// padded with zeros. What bounds a step is the cache that holds the panels: each is read from it once.
#pragma once

#include <vector>

#include "core/clones.hpp"
#include "core/matrix.hpp"

namespace pyphenom::implicit_bias {

constexpr Index lanes = 8;

struct alignas(64) Line {
    double entry[lanes];
};

inline Index padded(Index n, Index to = lanes) { return (n + to - 1) / to * to; }

// Zeros in whole cache lines.
class Lines {
  public:
    explicit Lines(Index count = 0) : lines_(static_cast<std::size_t>(padded(count) / lanes)) {}
    double* data() { return lines_.empty() ? nullptr : lines_.front().entry; }
    const double* data() const { return lines_.empty() ? nullptr : lines_.front().entry; }

  private:
    std::vector<Line> lines_;
};

// A symmetric K (n x n) for y <- K x.
class SymmetricPanels {
  public:
    SymmetricPanels() = default;
    explicit SymmetricPanels(Matrix<const double> K);
    // Both of padded(n) entries in whole cache lines; what x holds beyond n is not read.
    void multiply(const double* x, double* y) const;

  private:
    Index n_ = 0;
    Lines panels_;
};

struct AdamRates {
    double step;             // eta / (1 - beta1^t)
    double second;           // 1 / (1 - beta2^t)
    double beta1, beta2, epsilon;
};

// The rows a_i of A (n x d) for w <- w + (A^T r, as a method changes it) and m <- A w, A read once.
class RowPanels {
  public:
    RowPanels() = default;
    // Given with one column a row a_i.
    explicit RowPanels(Matrix<const double> rows);
    Index weights() const { return padded(d_, width); }
    // w, first, second: weights() entries; r, m: padded(n).
    void add(const double* r, double* w, double* m);
    void adam(const double* r, const AdamRates& rates, double* w, double* first, double* second, double* m);

  private:
    static constexpr Index width = 2 * lanes;
    Index n_ = 0, d_ = 0;
    Lines panels_, sums_;
};

}  // namespace pyphenom::implicit_bias
