// Full-batch descent of a linear model on the mean of losses of its margins m_i = <a_i, w>, a_i = y_i x_i, for
// millions of steps.
//
// Every method but Adam moves w in the span of the a_i: with w = w_0 + sum_i c_i a_i the margins are m_0 + K c,
// K_ij = <a_i, a_j>, and a step costs one product with K, n^2 instead of 2 n d. The coefficients are summed with
// compensation, and the margins are formed from them anew at every step, so that errors do not add up. Where K is near
// singular the coefficients may grow without bound though w does not (data that no w separates), and w is moved itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "implicit_bias/panels.hpp"

namespace pyphenom::implicit_bias {

enum class Loss { exponential, logistic, squared };
enum class Method { gradient, momentum, nesterov, normalized, accelerated, batch_norm, adam };

Loss parse_loss(const std::string& name);
Method parse_method(const std::string& name);

struct Rule {
    Method method = Method::gradient;
    Loss loss = Loss::exponential;
    double step = 1, decay = 0;  // eta_t = step (t + 1)^-decay
    double momentum = 0.9;
    double beta1 = 0.9, beta2 = 0.999, epsilon = 0;
};

// p_i <- -l'(m_i) e^shift
void loss_slopes(Loss loss, const double* m, double shift, double* p, Index n);

// One run. Its state is moved in place; nothing is allocated by `advance`.
class LinearDescent {
  public:
    // rows: a_i a column. K: their products, or nothing to move w itself; Adam always does.
    LinearDescent(const Rule& rule, Matrix<const double> rows, Matrix<const double> K, const double* w0, double gain);

    void advance(std::int64_t steps);

    Index rows() const { return n_; }
    Index columns() const { return d_; }
    double gain() const { return gain_; }  // of batch norm
    bool dual() const { return dual_; }
    const double* margins() const { return m_.data(); }  // n
    const double* coefficients() const { return c_.data(); }  // n, where `dual`
    const double* weights() const { return w_.data(); }  // d, where not

  private:
    void step();
    void direction(double eta);
    void normalized_weights();
    void batch_norm(double eta);
    void rescale_moments();
    void adam(double eta);

    Rule rule_;
    bool dual_;
    Index n_, d_;
    std::int64_t t_ = 0;
    double gain_, scale_ = 0;  // gradients are held times 2^scale
    SymmetricPanels gram_;
    RowPanels rows_;
    Lines m_, m0_, p_, velocity_, c_, rest_, w_, first_, second_;
};

}  // namespace pyphenom::implicit_bias
