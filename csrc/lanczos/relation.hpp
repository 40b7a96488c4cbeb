// The relation that the eigensolver keeps: with orthonormal [V Q], V: P x m, Q: P x b,
//
//     A V = V T + Q C        T = V^T A V: m x m,  C: b x m
//
// V has been multiplied, Q is waiting.
#pragma once

#include <cstdint>
#include <vector>

#include "core/matrix.hpp"
#include "lanczos/lanczos.hpp"

namespace pyphenom {

template <class T>
class Relation {
  public:
    using Directions = std::vector<std::vector<double>>;

    // In the columns of `basis`; random vectors from `seed`.
    Relation(Matrix<T> basis, const BlockProduct& product, std::uint64_t seed, int threads);

    Index size() const { return B_.rows; }
    Index capacity() const { return B_.cols; }
    Index expanded() const { return expanded_; }
    Index waiting() const { return waiting_; }
    Index used() const { return expanded_ + waiting_; }
    Index products() const { return products_; }
    Matrix<const double> t() const { return {t_.data(), expanded_, expanded_, B_.cols}; }
    Matrix<const double> c() const { return {c_.data(), waiting_, expanded_, B_.cols}; }
    // By how much the relation is violated, as a norm: rounding, noise, or an operator that is not symmetric.
    double drift() const { return drift_; }
    // The largest |A q| so far, and what rounding leaves of a product that lies in the basis.
    double largest_product() const { return largest_product_; }
    double nothing() const;

    // Q <- the first `count` columns of the basis, orthonormalised; dependent ones are left out. For an empty basis.
    void adopt(Index count);
    // A fresh random vector joins Q. Returns its share outside [V Q], as a norm; 0 where there is no room in the space.
    double draw();
    // Standard normals from the same generator.
    void draw_normals(double* x, Index count);
    // Q <- Q U, C <- U^T C with U orthogonal, its first columns spanning `directions`. Returns their rank.
    Index orient(const Directions& directions);
    // The first `count` directions of Q move to V; what is new in their products joins Q.
    void multiply(Index count);
    // V <- V Y for orthonormal Y with T Y = Y diag(values).
    void compress(Matrix<const double> Y, const double* values);
    // Directions of Q whose couplings are at most `allowed` together, and as many more as leave only `most`, are
    // dropped; what they carried goes into the drift.
    void prune(double allowed, Index most);

  private:
    double& t(Index i, Index j) { return t_[i + j * B_.cols]; }
    double& c(Index i, Index j) { return c_[i + j * B_.cols]; }
    Matrix<double> room(Index rows, Index cols) { return {room_.data(), rows, cols, B_.cols}; }
    double append_normalised(Index i, double least);
    void disturb();
    void turn(Matrix<const double> U);

    Matrix<T> B_;
    const BlockProduct& product_;
    std::uint64_t seed_, draws_ = 0;
    int threads_;
    Index expanded_ = 0, waiting_ = 0, products_ = 0;
    double drift_ = 0, largest_product_ = 0;
    std::vector<double> t_, c_, room_, norms_;
};

}  // namespace pyphenom
