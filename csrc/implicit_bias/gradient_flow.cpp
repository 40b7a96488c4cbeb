#include "implicit_bias/gradient_flow.hpp"

#include <algorithm>
#include <cmath>

#include "core/blas.hpp"
#include "core/loops.hpp"

namespace pyphenom::implicit_bias {
namespace {

constexpr double rounding = 1e-14;   // a gradient that is this small against its terms is zero
constexpr double longest = 1000;     // the condition of the systems grows with the step
constexpr double relaxed = 40;       // the slowest rate, per unit of log t, at which only the minimiser is left
constexpr int newton_steps = 20;     // at most
constexpr double factorisation = 4;  // its work, in substeps

std::size_t size_of(Index entries) { return static_cast<std::size_t>(entries); }

}  // namespace

GradientFlow::GradientFlow(Loss loss, Matrix<const double> rows, const double* margins, double log_tau,
                           double tolerance, double unit)
    : loss_(loss),
      n_(rows.cols),
      r_(rows.rows),
      log_unit_(log_tau - std::log(static_cast<double>(rows.cols))),
      tolerance_(tolerance),
      unit_(unit),
      rows_(size_of(n_ * r_)),
      norms_(size_of(n_)),
      m_(margins, margins + n_),
      c_(size_of(r_)),
      slopes_(size_of(n_)),
      trial_(size_of(n_)),
      f_(size_of(r_)),
      start_(size_of(r_)),
      scaled_(size_of(n_ * r_)),
      gram_(size_of(r_ * r_)),
      factor_(size_of(r_ * r_)),
      table_(size_of(most * r_)) {
    for (Index i = 0; i < n_; ++i) {
        std::copy_n(rows.col(i), r_, rows_.data() + i * r_);
        norms_[size_of(i)] = std::sqrt(squared_norm(rows.col(i), r_));
    }
}

bool GradientFlow::advance(double u, Index steps) {
    for (Index k = 0; k < steps && u_ < u && !failed_; ++k) {
        if (!stationary_ && !stalled_) {
            failed_ = !linearise();
            if (failed_) return false;
            stalled_ = !settle() && drowned();
        }
        if (stationary_ || stalled_) {
            u_ = u;
            return true;
        }
        const double left = u - u_, proposed = h_;
        // The last step lands on u; two that remain are made even.
        const double h = h_ >= left ? left : h_ > left / 2 ? left / 2 : h_;
        if (!try_step(h)) continue;
        u_ = h == left ? u : u_ + h;
        ++steps_;
        if (h < proposed) h_ = std::max(h_, proposed);
    }
    return u_ >= u;
}

void GradientFlow::margins_at(const double* moved, double* m) const {
    for (Index i = 0; i < n_; ++i) m[i] = m_[size_of(i)] + dot(rows_.data() + i * r_, moved, r_);
}

double GradientFlow::allowed() const { return tolerance_ * std::max(unit_, std::sqrt(squared_norm(c_.data(), r_))); }

// f <- (t + tau) A^T p / n at the margins m, coordinates along V
void GradientFlow::gradient(double u, const double* m, double* f) {
    double* p = slopes_.data();
    loss_slopes(loss_, m, u + log_unit_, p, n_);
    const double scale = loss_ == Loss::squared ? std::exp(u + log_unit_) : 1.0;
    std::fill_n(f, r_, 0.0);
    for (Index i = 0; i < n_; ++i) axpy(scale * p[i], rows_.data() + i * r_, f, r_);
}

// f and the Hessian at m, times t + tau; whether they are in range.
bool GradientFlow::linearise() {
    gradient(u_, m_.data(), start_.data());
    const double scale = std::exp(u_ + log_unit_);
    double largest = 0;
    terms_ = 0;
    for (Index i = 0; i < n_; ++i) {
        const double m = m_[size_of(i)], p = slopes_[size_of(i)];
        double curvature = p;
        if (loss_ == Loss::logistic) curvature = p / (1 + std::exp(-m));
        if (loss_ == Loss::squared) curvature = scale;
        terms_ += norms_[size_of(i)] * (loss_ == Loss::squared ? scale * (1 + std::fabs(m)) : p);
        largest = std::max(largest, curvature);
        const double root = std::sqrt(curvature);
        for (Index k = 0; k < r_; ++k) scaled_[size_of(i + k * n_)] = root * rows_[size_of(k + i * r_)];
    }
    const double size = std::sqrt(squared_norm(start_.data(), r_));
    lost_ = size <= rounding * terms_;
    if (!(largest < 1e280 && size < 1e280)) return false;
    blas::gram(Matrix<const double>(scaled_.data(), n_, r_), Matrix<double>(gram_.data(), r_, r_));
    return true;
}

// factor <- the upper triangle of step * Hessian + diagonal, factorised
bool GradientFlow::factorise(double step, double diagonal) {
    const Matrix<double> factor(factor_.data(), r_, r_);
    for (Index j = 0; j < r_; ++j) {
        for (Index i = 0; i <= j; ++i) factor(i, j) = step * gram_[size_of(i + j * r_)];
        factor(j, j) += diagonal;
    }
    return blas::cholesky(factor);
}

void GradientFlow::solve(double* f) const {
    const Matrix<const double> factor(factor_.data(), r_, r_);
    const Matrix<double> right(f, r_, 1);
    blas::solve_upper('L', 'T', factor, right);
    blas::solve_upper('L', 'N', factor, right);
}

// Where every direction has relaxed to e^-relaxed of where it began, Newton's steps take w to the minimiser. On data
// that some w separates they find none.
bool GradientFlow::settle() {
    if (!factorise(1, -relaxed)) return false;
    saved_ = c_;
    saved_margins_ = m_;
    for (int k = 0; k < newton_steps; ++k) {
        if (!factorise(1, 0)) break;
        solve(start_.data());
        axpy(1, start_.data(), c_.data(), r_);
        margins_at(start_.data(), trial_.data());
        m_.swap(trial_);
        if (!linearise()) break;
        if (lost_) return stationary_ = true;
    }
    c_ = saved_;
    m_ = saved_margins_;
    linearise();
    return false;
}

// Whether rounding errors of the gradient move w by more than a step's error may be, in the flattest direction.
bool GradientFlow::drowned() {
    const double needed = 1e-16 * terms_ / (0.1 * allowed());
    return needed > 1 && !factorise(1, -needed);
}

// moved <- the change of c after `count` steps of the linearly implicit Euler method
bool GradientFlow::substeps(int count, double h, double* moved) {
    const double step = h / count;
    if (!factorise(step, 1)) return false;
    std::fill_n(moved, r_, 0.0);
    for (int k = 1; k <= count; ++k) {
        if (k == 1)
            std::copy_n(m_.data(), n_, trial_.data());
        else
            margins_at(moved, trial_.data());
        gradient(u_ + (k - 1) * step, trial_.data(), f_.data());
        axpy(step, start_.data(), f_.data(), r_);  // df/du = f: a straight solution is followed exactly at any step
        solve(f_.data());
        axpy(step, f_.data(), moved, r_);
    }
    return true;
}

// Accepts at the first column whose estimate is below the tolerance; the next step is that of the column which gets
// farthest for its work.
bool GradientFlow::try_step(double h) {
    const double limit = allowed();
    double work = 0, speed = 0, next = h / 4;
    for (int j = 0; j < most; ++j) {
        double* row = table_.data() + j * r_;
        if (!substeps(j + 1, h, row)) break;
        work += j + 1 + factorisation;
        // From row j downwards: the entry l becomes the value of rows l, ..., j (Aitken, Neville).
        for (int l = j; l > 0; --l) {
            const double weight = static_cast<double>(l) / (j + 1 - l);  // 1 / ((j + 1) / l - 1)
            double *above = row - (j - l + 1) * r_, *value = above + r_;
            for (Index k = 0; k < r_; ++k) above[k] = value[k] + (value[k] - above[k]) * weight;
        }
        if (j < 2) continue;
        const double* value = table_.data();
        const double estimate = std::sqrt(squared_distance(value, value + r_, r_));
        if (!std::isfinite(estimate)) break;
        const double factor = std::clamp(0.9 * std::pow(0.5 * limit / estimate, 1.0 / (j + 1)), 0.1, 4.0);
        if (factor / work > speed) {
            speed = factor / work;
            next = h * factor;
        }
        if (!(estimate <= limit)) continue;
        axpy(1, value, c_.data(), r_);
        margins_at(value, trial_.data());
        m_.swap(trial_);
        error_ += estimate;
        h_ = std::min(next, longest);
        return true;
    }
    h_ = std::min(next, 0.7 * h);
    failed_ = h_ < 1e-12 * (1 + u_);
    return false;
}

}  // namespace pyphenom::implicit_bias
