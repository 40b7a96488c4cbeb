// Gradient flow of a linear model on the mean of losses of its margins, dw/dt = -grad L, to t = e^1000000 and beyond.
//
// With u = log(1 + t / tau) the flow on separable data is w(u) = u w_1 + w_2 + o(1), and all that grows or vanishes
// with t is the product (t + tau) l'(m), formed from logarithms. A step is taken by the linearly implicit Euler method
// with 1, 2, 3, ... substeps, extrapolated (Deuflhard 1985; Hairer, Wanner, Solving ODEs II, IV.9): order and step
// follow the error estimate, and the steps lengthen as the solution turns straight. w = w_0 + V c, V orthonormal, so
// that the linear systems are symmetric, no larger than the rank of the data, and errors of c are errors of w.
#pragma once

#include <vector>

#include "core/matrix.hpp"
#include "implicit_bias/linear_descent.hpp"

namespace pyphenom::implicit_bias {

class GradientFlow {
  public:
    // rows: V^T a_i a column; margins: at t = 0; log_tau: the unit of time; an accepted step's error in |w| is
    // estimated below tolerance * max(|w - w_0|, unit).
    GradientFlow(Loss loss, Matrix<const double> rows, const double* margins, double log_tau, double tolerance,
                 double unit);

    // At most `steps` steps towards u; whether it was reached. False for ever once `failed`.
    bool advance(double u, Index steps);

    Index dimension() const { return r_; }
    const double* coordinates() const { return c_.data(); }
    double error() const { return error_; }          // the sum of the estimates so far
    Index steps() const { return steps_; }           // accepted
    bool stationary() const { return stationary_; }  // w stands at the minimiser
    bool stalled() const { return stalled_; }        // w is held where rounding errors hide the gradient
    bool failed() const { return failed_; }          // no step is small enough

  private:
    static constexpr int most = 9;  // columns of the extrapolation

    bool try_step(double h);
    bool substeps(int count, double h, double* moved);
    void margins_at(const double* moved, double* m) const;
    void gradient(double u, const double* m, double* f);
    bool linearise();
    bool factorise(double step, double diagonal);
    void solve(double* f) const;
    bool settle();
    bool drowned();
    double allowed() const;

    Loss loss_;
    Index n_, r_;
    double log_unit_, tolerance_, unit_;  // log(tau / n)
    double u_ = 0, h_ = 0.1, error_ = 0, terms_ = 0;
    Index steps_ = 0;
    bool lost_ = false, stationary_ = false, stalled_ = false, failed_ = false;
    std::vector<double> rows_, norms_, m_, c_, slopes_, trial_, f_, start_, scaled_, gram_, factor_, table_, saved_,
        saved_margins_;
};

}  // namespace pyphenom::implicit_bias
