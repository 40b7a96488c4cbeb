// What a Krylov sequence says of the spectrum without its vectors: how likely an eigenvalue is still hidden, and
// whether one has come to light.
//
// The Krylov sequence of a vector r under a symmetric B has the orthonormal polynomials p_0, ..., p_j of the measure
// sum_i <r, z_i>^2 delta_{lambda_i}. Whatever else that measure is, its mass at a point x is at most
// 1 / sum_i p_i(x)^2 (Christoffel). For r uniform on the sphere of R^n, P(<r, z>^2 <= t) <= sqrt(2 n t / pi) for a
// fixed unit vector z, since the density of <r, z> is at most sqrt(n / (2 pi)). Hence an eigenvalue x of B has kept out
// of the sequence with at most this probability, and outside the Ritz values it falls geometrically.
#pragma once

#include <vector>

#include "core/matrix.hpp"

namespace pyphenom {

class Certificate {
  public:
    // For the eigenvalues `points` of an operator on a space of `dimension` dimensions.
    Certificate(std::vector<double> points, Index dimension);

    // B q_j = beta_{j-1} q_{j-1} + alpha_j q_j + beta_j q_{j+1}; beta_j = 0 where the sequence ends.
    void append(double alpha, double beta);

    // The largest probability over the points.
    double failure() const;

  private:
    std::vector<double> points_, before_, last_, sum_;  // p_{j-1}, p_j and the sum of squares at each point
    double beta_ = 0.0, dimension_;
    bool ended_ = false;
};

// How many eigenvalues of the tridiagonal matrix of such a sequence lie above a bound: as many as there are positive
// pivots (Sylvester), and with every step as many or one more.
class CountAbove {
  public:
    // With `sign` -1: of the negated matrix.
    CountAbove(double bound, double sign) : bound_(bound), sign_(sign) {}

    void append(double alpha, double beta);
    Index count() const { return count_; }

  private:
    double bound_, sign_, pivot_ = 1.0, beta_ = 0.0;
    Index count_ = 0;
};

}  // namespace pyphenom
