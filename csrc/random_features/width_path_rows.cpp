// The rows of statistics, from the state at a width; and of a block of widths, from the state at its end.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/blas.hpp"
#include "core/loops.hpp"
#include "random_features/width_path.hpp"

namespace pyphenom {
namespace {

// Below this 1 - h_i is not the difference of 1 and the leverage: see add_left_out_squares.
constexpr double nearly_pinned_below = 1e-6;
// Relative error of predictions up to which a condition number says enough.
constexpr double promised = 1e-8;

double square(double x) { return x * x; }

}  // namespace

// No feature so far differs from zero on the training set.
void WidthPath::write_zero_row(const PathRows& rows, Index at) {
    for (Index t = 0; t < targets_; ++t) {
        const double e2 = squared_norm(y_.data() + t * n_, n_) / static_cast<double>(n_);
        write_errors(rows, at, t, e2, 0.0);
        rows.leave_one_out_error(t, at) = e2;
    }
    rows.degrees_of_freedom[at] = 0.0;
    rows.rank[at] = 0.0;
    rows.condition[at] = 1.0;
}

void WidthPath::write_primal_row(const PathRows& rows, Index at) {
    double df = 0;
    for (Index i = 0; i < n_; ++i) df += leverage_[i];
    rows.degrees_of_freedom[at] = penalty_ > 0 ? df : static_cast<double>(rank_);
    rows.rank[at] = static_cast<double>(penalty_ > 0 ? std::min(n_, width_) : rank_);
    rows.condition[at] = condition();
    leave_one_out_from_residual(rows.leave_one_out_error.col(at));
    for (Index t = 0; t < targets_; ++t)
        write_errors(rows, at, t, squared_norm(residual_.data() + t * q_rows_, n_) / static_cast<double>(n_),
                     squared_norm(coefficients_.data() + t * capacity_, rank_));
}

// Mean squares of e_i / (1 - h_i) for every target, with care where the leverage h_i comes close to 1.
void WidthPath::leave_one_out_from_residual(double* errors) {
    spare_.resize(n_);
    std::vector<Index> pinned;
    for (Index i = 0; i < n_; ++i) {
        spare_[i] = 1.0 - leverage_[i];
        if (!(spare_[i] > nearly_pinned_below)) {
            spare_[i] = std::numeric_limits<double>::infinity();
            pinned.push_back(i);
        }
    }
    for (Index t = 0; t < targets_; ++t) errors[t] = squared_ratio(residual_.data() + t * q_rows_, spare_.data(), n_);
    if (!pinned.empty()) add_left_out_squares(pinned, errors);
    for (Index t = 0; t < targets_; ++t) errors[t] /= static_cast<double>(n_);
}

// e_i / (1 - h_i) = p_i^T [y; 0] / |p_i|^2 with p_i = (I - Q Q^T) e_i, whose small norm cancels nothing once p_i is
// computed. Without a ridge p_i may vanish: the sample is fitted whatever its label. The ratio then tends to
// (K^+ y)_i / (K^+)_ii, with Z^+ = R^-1 Q^T in the primal and K^+ = Q (R^T R)^-1 Q^T in rotated coordinates.
void WidthPath::add_left_out_squares(const std::vector<Index>& samples, double* sums) {
    const Index height = n_ + (penalty_ > 0 ? rank_ : 0), r = rank_, count = static_cast<Index>(samples.size());
    const M P(room(P_, count * (height + r)), height, count), QtP(P_.data() + count * height, r, count);
    const CM Q(Q_.data(), height, r, q_rows_);
    zero(P);
    for (Index c = 0; c < count; ++c) P(samples[c], c) = 1.0;
    for (int twice = 0; twice < 2; ++twice) {
        blas::gemm('T', 'N', 1.0, Q, P, 0.0, QtP);
        blas::gemm('N', 'N', -1.0, Q, QtP, 1.0, P);
    }
    std::vector<double> v(r);
    for (Index c = 0; c < count; ++c) {
        const double* p = P.col(c);
        const double p2 = squared_norm(p, height);
        if (penalty_ > 0 || p2 > 1e-26) {
            for (Index t = 0; t < targets_; ++t) sums[t] += square(dot(p, y_.data() + t * n_, n_) / p2);
            continue;
        }
        const Index i = samples[c];
        if (stage_ == Stage::rotated) {  // v = R^-T Q^T e_i
            for (Index j = 0; j < r; ++j) v[j] = Q_[i + j * q_rows_];
            const std::vector<double> q = v;
            blas::solve_upper('L', 'T', CM(R_.data(), r, r, capacity_), M(v.data(), r, 1));
            for (Index t = 0; t < targets_; ++t)
                sums[t] += square(dot(q.data(), state_.alpha.data() + t * r, r) / squared_norm(v.data(), r));
        } else {
            std::fill(v.begin(), v.end(), 0.0);
            for (Index l = 0; l < r; ++l) axpy(Q_[i + l * q_rows_], R_inverse_.data() + l * capacity_, v.data(), l + 1);
            for (Index t = 0; t < targets_; ++t)
                sums[t] += square(dot(v.data(), coefficients_.data() + t * capacity_, r) / squared_norm(v.data(), r));
        }
    }
}

// From the state at the block's end back to its first feature; the end state is put back afterwards.
void WidthPath::fill_backwards(CM k, CM U, CM E_g, const PathRows& rows, Index at) {
    const Index r = rank_, b = k.cols;
    const State end = state_;
    std::vector<double> features2(b);
    for (Index j = 0; j < b; ++j) features2[j] = norm2_of_features_ += features2_[at + j];
    norm_change_.resize(b * targets_);
    width_ += b;
    for (Index j = b - 1; j >= 0; --j) {
        norm2_of_features_ = features2[j];
        write_working_row(rows, at + j);
        --width_;
        const double k2 = add_squares(k.col(j), state_.diagonal.data(), r);
        state_.inverse_norm2 += k2;
        for (Index t = 0; t < targets_; ++t) {
            const double e = E_g(j, t);
            state_.norm2[t] += e * e;
            axpy(e, k.col(j), state_.alpha.data() + t * r, r);
            axpy(-e, U.col(j), state_.predictions.data() + t * m_, m_);
            if (penalty_ > 0) {
                const double along = dot(k.col(j), state_.alpha.data() + t * r, r);  // with alpha before the feature
                norm_change_[j * targets_ + t] = e * (2 * penalty_ * along - e * (1 + penalty_ * k2));
            }
        }
    }
    state_ = end;
    norm2_of_features_ = features2[b - 1];
    width_ += b;
    if (penalty_ > 0) follow_coefficient_norms(rows, at, b);
}

// |a|^2 = |g|^2 - P |alpha|^2 cancels while the penalty dominates; the sum of its changes from feature to feature does
// not. Where it cancels write_working_row has left a NaN.
void WidthPath::follow_coefficient_norms(const PathRows& rows, Index at, Index b) {
    for (Index t = 0; t < targets_; ++t)
        for (Index j = 0; j < b; ++j) {
            double& norm = rows.coefficient_norm(t, at + j);
            if (std::isnan(norm)) {
                coefficient_norm2_[t] = std::max(0.0, coefficient_norm2_[t] + norm_change_[j * targets_ + t]);
                norm = std::sqrt(coefficient_norm2_[t]);
            } else {
                coefficient_norm2_[t] = norm * norm;
            }
        }
}

void WidthPath::write_working_row(const PathRows& rows, Index at) {
    rows.degrees_of_freedom[at] = penalty_ > 0
                                      ? std::max(0.0, static_cast<double>(n_) - penalty_ * state_.inverse_norm2)
                                      : static_cast<double>(rank_);
    rows.rank[at] = static_cast<double>(penalty_ > 0 ? std::min(n_, width_) : rank_);
    rows.condition[at] = condition();
    // What was dropped of dependent features is an error too, above rounding where their basis was ill-conditioned.
    const double dropped = std::sqrt(dropped2_ * state_.inverse_norm2);
    if (dropped > promised)
        rows.condition[at] = std::max(rows.condition[at], dropped / std::numeric_limits<double>::epsilon());
    for (Index t = 0; t < targets_; ++t) {
        double train = 0, norm2 = state_.norm2[t];
        if (penalty_ > 0) {  // residual = P alpha; [sqrt(P) alpha; a] has the norm of g
            const double virtual2 = penalty_ * squared_norm(state_.alpha.data() + t * rank_, rank_);
            train = penalty_ * virtual2;
            norm2 = virtual2 > 0.5 * norm2 ? std::numeric_limits<double>::quiet_NaN() : norm2 - virtual2;
        } else if (stage_ == Stage::rotated) {
            train = squared_norm(residual_.data() + t * q_rows_, n_);
        }
        write_errors(rows, at, t, train / static_cast<double>(n_), norm2);
    }
    leave_one_out_working(rows.leave_one_out_error.col(at));
}

// (K^-1 y)_i / (K^-1)_ii. In rotated coordinates K is singular, and the residuals tell.
void WidthPath::leave_one_out_working(double* errors) {
    if (stage_ == Stage::rotated) return leave_one_out_from_residual(errors);
    for (Index t = 0; t < targets_; ++t)
        errors[t] = squared_ratio(state_.alpha.data() + t * n_, state_.diagonal.data(), n_) / static_cast<double>(n_);
}

void WidthPath::write_errors(const PathRows& rows, Index at, Index t, double train, double norm2) const {
    const double* f = state_.predictions.data() + t * m_;
    rows.train_error(t, at) = train;
    rows.test_error(t, at) = squared_distance(f, y_test_.data() + t * m_, m_) / static_cast<double>(m_);
    rows.coefficient_norm(t, at) = std::sqrt(norm2);
    if (rows.predictions) std::copy_n(f, m_, rows.predictions + (at * targets_ + t) * m_);
}

// |A|_F |A^+|_F of what is factorised: A = [Z; sqrt(P) I_N] in the primal, [Z, sqrt(P) I_n] afterwards.
double WidthPath::condition() const {
    const double ridge2 = penalty_ * static_cast<double>(stage_ == Stage::primal ? width_ : n_);
    return std::max(std::sqrt((norm2_of_features_ + ridge2) * state_.inverse_norm2), 1.0);  // NaN stays
}

}  // namespace pyphenom
