// The primal stage, and what all stages share. The working recursions live in width_path_dual.cpp.
#include "random_features/width_path.hpp"

#include <algorithm>
#include <cmath>

#include "core/blas.hpp"
#include "core/loops.hpp"

namespace pyphenom {
namespace {

constexpr Index primal_block = 64;
constexpr Index inverse_block = 128;

// A second orthogonalisation is due where the first left less than this share of a column's norm: what is left is
// then orthogonal to no better than epsilon / share.
constexpr double reorthogonalise_below = 0.1;
// Below this 1 - h_i is not the difference of 1 and the leverage: see left_out_residual.
constexpr double nearly_pinned_below = 1e-6;
// With a ridge the inverse stage starts at width 1 where its error eps |Z|^2 / P stays below about 2e-9.
constexpr double inverse_start_ratio = 1e-7;
// Below this many samples the inverse stage saves nothing.
constexpr Index smallest_inverse = 64;
// A feature this much larger (squared) than all before it together makes a block of its own: K^-1 drops through it,
// and the widths before it would inherit its scale.
constexpr double outsized = 1e4;

}  // namespace

WidthPath::WidthPath(CM y, CM y_test, Index max_width, double penalty, double tolerance, bool even)
    : n_(y.rows),
      m_(y_test.rows),
      targets_(y.cols),
      max_width_(max_width),
      capacity_(std::min(y.rows, max_width)),
      penalty_(penalty),
      tolerance_(tolerance),
      even_(even && y.rows >= smallest_inverse),
      y_(n_ * targets_),
      y_test_(m_ * targets_),
      coefficient_norm2_(targets_, 0.0) {
    require(n_ > 0, "y", "empty", "at least one sample");
    require(targets_ > 0, "y", "without columns", "at least one target");
    require(max_width > 0, "max_width", std::to_string(max_width), "at least 1");
    require(y_test.cols == targets_, "y_test", std::to_string(y_test.cols) + " targets wide", "as many targets as `y`");
    require(penalty >= 0.0 && std::isfinite(penalty), "penalty", std::to_string(penalty), "a finite number >= 0");
    copy(y, M(y_.data(), n_, targets_));
    copy(y_test, M(y_test_.data(), m_, targets_));
    state_.predictions.assign(m_ * targets_, 0.0);
    state_.norm2.assign(targets_, 0.0);
    R_.resize(capacity_ * n_);
    C_.resize(capacity_ * (m_ + targets_));
}

void WidthPath::append(CM Z, CM Z_test, const PathRows& rows) {
    const Index b = Z.rows;
    require(b > 0, "Z", "empty", "at least one feature");
    require(Z.cols == n_, "Z", std::to_string(Z.cols) + " samples long", "as many samples as `y`");
    require(Z_test.cols == m_ && Z_test.rows == b, "Z_test", "of another shape", "one row a feature of the block");
    require(width_ + b <= max_width_, "Z", "more features than announced", "at most max_width in all");
    features2_.assign(b, 0.0);
    for (Index i = 0; i < n_; ++i) add_squares(Z.col(i), features2_.data(), b);
    if (stage_ == Stage::unset) choose_first_stage(Z);
    Index at = 0;
    while (at < b) {
        // Features of this call that may share a block
        Index count = 1;
        double total = norm2_of_features_ + features2_[at];
        while (at + count < b && features2_[at + count] <= outsized * total) total += features2_[at + count++];
        const CM z = Z.block(at, 0, count, n_), z_test = Z_test.block(at, 0, count, m_);
        switch (stage_) {
            case Stage::primal:
                at += append_primal(z, z_test, rows, at);
                break;
            case Stage::rotated:
                at += append_rotated(z, z_test, rows, at);
                break;
            case Stage::inverse:
                count = std::min(count, inverse_block);
                append_inverse(z.top(count), z_test.top(count), rows, at);
                at += count;
                break;
            default:
                count = std::min(count, dual_block_);
                append_dual(z.top(count), z_test.top(count), rows, at);
                at += count;
                if (even_ && width_ >= next_check_ && max_width_ - width_ > n_ / 2) {
                    next_check_ = width_ + std::max<Index>(1, n_ / 16);
                    if (inverse_is_safe()) enter_inverse();
                }
        }
    }
}

void WidthPath::choose_first_stage(CM Z) {
    double norm2 = 0;
    for (double f2 : features2_) norm2 += f2;
    norm2 *= static_cast<double>(max_width_) / static_cast<double>(Z.rows);
    if (even_ && penalty_ > 0 && max_width_ >= n_ && penalty_ >= inverse_start_ratio * norm2)
        return start_inverse_with_ridge();

    stage_ = Stage::primal;
    q_rows_ = n_ + (penalty_ > 0 ? capacity_ : 0);
    Q_.assign(q_rows_ * capacity_, 0.0);
    U_.resize(m_ * capacity_);
    R_inverse_.assign(capacity_ * capacity_, 0.0);
    coefficients_.assign(capacity_ * targets_, 0.0);
    leverage_.assign(n_, 0.0);
    residual_.assign(q_rows_ * targets_, 0.0);
    copy(CM(y_.data(), n_, targets_), M(residual_.data(), n_, targets_, q_rows_));
    const Index b = std::min(primal_block, capacity_);
    H_.resize(capacity_ * b);
    H2_.resize(capacity_ * b);
    small_.resize(b * b);
    small2_.resize(b * b);
    tau_.resize(capacity_);
    work_.resize(blas::work_for(std::max(n_, m_ + targets_)));
}

// ---- primal ---------------------------------------------------------------------------------------------------

// Takes features up to the end of the block, of the panel, or of the stage; returns how many.
Index WidthPath::append_primal(CM Z_all, CM Z_test_all, const PathRows& rows, Index at) {
    std::vector<double> norms;
    norms.reserve(primal_block);
    for (Index j = 0; j < std::min({Z_all.rows, primal_block, capacity_ - rank_}); ++j) {
        if (features2_[at + j] == 0.0 && penalty_ == 0) break;
        norms.push_back(std::sqrt(features2_[at + j] + penalty_));
    }
    const Index r = rank_, b = static_cast<Index>(norms.size());
    if (b == 0) {  // a feature that vanishes on the training set (a dead ReLU, say) gets the coefficient 0
        ++width_;
        rank_ > 0 ? write_primal_row(rows, at) : write_zero_row(rows, at);
        return 1;
    }
    const CM Z = Z_all.top(b), Z_test = Z_test_all.top(b);

    // W <- [Z_b; 0; sqrt(P) I], in the next columns of Q
    const Index height = n_ + (penalty_ > 0 ? r + b : 0), work_size = static_cast<Index>(work_.size());
    const M Q(Q_.data(), height, r, q_rows_), W(Q_.data() + r * q_rows_, height, b, q_rows_);
    transpose(Z, W.top(n_));
    if (penalty_ > 0) {
        zero(W.block(n_, 0, r + b, b));
        for (Index j = 0; j < b; ++j) W(n_ + r + j, j) = std::sqrt(penalty_);
    }

    // H <- Q^T W,  W <- W - Q H,  W <- W R_b^-1;  once more where much was lost
    const M H(H_.data(), r, b, std::max<Index>(r, 1)), H2(H2_.data(), r, b, std::max<Index>(r, 1));
    const M R_b(small_.data(), b, b), R_2(small2_.data(), b, b);
    if (r > 0) {
        blas::gemm('T', 'N', 1.0, Q, W, 0.0, H);
        blas::gemm('N', 'N', -1.0, Q, H, 1.0, W);
    }
    blas::qr(W, tau_.data(), work_.data(), work_size);
    zero(R_b);
    copy_upper(W.top(b), R_b);
    blas::form_q(W, tau_.data(), work_.data(), work_size);
    double kept = 1.0;
    for (Index j = 0; j < b; ++j) kept = std::min(kept, std::abs(R_b(j, j)) / norms[j]);
    if (r > 0 && !(kept >= reorthogonalise_below)) {
        blas::gemm('T', 'N', 1.0, Q, W, 0.0, H2);
        blas::gemm('N', 'N', -1.0, Q, H2, 1.0, W);
        blas::gemm('N', 'N', 1.0, H2, R_b, 1.0, H);
        blas::qr(W, tau_.data(), work_.data(), work_size);
        zero(R_2);
        copy_upper(W.top(b), R_2);
        blas::form_q(W, tau_.data(), work_.data(), work_size);
        blas::multiply_upper(R_2, R_b);
    }
    Index a = 0;  // accepted: independent of those before
    while (a < b && (penalty_ > 0 || std::abs(R_b(a, a)) > tolerance_ * norms[a])) ++a;

    // Z^T and Z_test^T are kept for the change to the dual
    copy(Z.top(a), M(R_.data() + r, a, n_, capacity_));
    copy(Z_test.top(a), M(C_.data() + r, a, m_, capacity_));

    if (a > 0) {
        // U_b <- (Z_test,b - U H) R_b^-1
        const CM R_a = R_b.block(0, 0, a, a);
        const M H_a = H.columns(0, a), U_b(U_.data() + r * m_, m_, a);
        transpose(Z_test.top(a), U_b);
        if (r > 0) blas::gemm('N', 'N', -1.0, M(U_.data(), m_, r), H_a, 1.0, U_b);
        blas::solve_upper('R', 'N', R_a, U_b);
        // R^-1 gains the columns [-R^-1 H; I] R_b^-1
        const M inverse(R_inverse_.data(), capacity_, capacity_, capacity_);
        const M above = inverse.block(0, r, r, a), corner = inverse.block(r, r, a, a);
        for (Index j = 0; j < a; ++j)
            for (Index i = 0; i < r; ++i) above(i, j) = -H_a(i, j);
        if (r > 0) {
            blas::solve_upper('R', 'N', R_a, above);
            blas::multiply_upper(inverse.block(0, 0, r, r), above);
        }
        copy_upper(R_a, corner);
        blas::invert_upper(corner);
    }

    for (Index j = 0; j < a; ++j) {
        const double *q = W.col(j), *u = U_.data() + (r + j) * m_, *column = R_inverse_.data() + (r + j) * capacity_;
        for (Index t = 0; t < targets_; ++t) {
            double* e = residual_.data() + t * q_rows_;
            const double c = dot(q, e, height);
            axpy(-c, q, e, height);
            axpy(c, u, state_.predictions.data() + t * m_, m_);
            axpy(c, column, coefficients_.data() + t * capacity_, r + j + 1);
        }
        add_squares(q, leverage_.data(), n_);
        state_.inverse_norm2 += squared_norm(column, r + j + 1);
        norm2_of_features_ += features2_[at + j];
        ++rank_;
        ++width_;
        if (rank_ == n_) {
            // At the threshold every sample is (nearly) interpolated: the dual knows the leave-one-out residuals.
            enter_dual_from_primal();
            write_working_row(rows, at + j);
            if (penalty_ > 0)
                for (Index t = 0; t < targets_; ++t)
                    rows.coefficient_norm(t, at + j) = std::sqrt(coefficient_norm2_[t]);
            return a;
        }
        write_primal_row(rows, at + j);
    }
    if (a < b) enter_rotated();
    return a;
}

// No feature so far differs from zero on the training set.
void WidthPath::write_zero_row(const PathRows& rows, Index at) {
    for (Index t = 0; t < targets_; ++t) {
        const double e2 = squared_norm(y_.data() + t * n_, n_) / static_cast<double>(n_);
        write_errors(rows, at, t, e2, 0.0, e2);
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
    for (Index t = 0; t < targets_; ++t)
        write_errors(rows, at, t, squared_norm(residual_.data() + t * q_rows_, n_) / static_cast<double>(n_),
                     squared_norm(coefficients_.data() + t * capacity_, rank_), leave_one_out_from_residual(t));
}

// e_i / (1 - h_i), with care where the leverage h_i comes close to 1.
double WidthPath::leave_one_out_from_residual(Index target) const {
    const double* e = residual_.data() + target * q_rows_;
    double sum = 0;
    for (Index i = 0; i < n_; ++i) {
        const double spare = 1.0 - leverage_[i];
        const double loo = spare > nearly_pinned_below ? e[i] / spare : left_out_residual(i, target);
        sum += loo * loo;
    }
    return sum / static_cast<double>(n_);
}

// e_i / (1 - h_i) = p^T [y; 0] / |p|^2 with p = (I - Q Q^T) e_i, whose small norm cancels nothing once p is computed.
// Without a ridge p may vanish: the sample is fitted whatever its label. The ratio then tends to (K^+ y)_i / (K^+)_ii,
// with Z^+ = R^-1 Q^T in the primal and K^+ = Q (R^T R)^-1 Q^T in rotated coordinates.
double WidthPath::left_out_residual(Index sample, Index target) const {
    const Index height = n_ + (penalty_ > 0 ? rank_ : 0);
    std::vector<double> p(height, 0.0);
    p[sample] = 1.0;
    for (int twice = 0; twice < 2; ++twice)
        for (Index j = 0; j < rank_; ++j) {
            const double* q = Q_.data() + j * q_rows_;
            axpy(-dot(q, p.data(), height), q, p.data(), height);
        }
    const double p2 = squared_norm(p.data(), height);
    if (penalty_ > 0 || p2 > 1e-26) return dot(p.data(), y_.data() + target * n_, n_) / p2;

    std::vector<double> v(rank_, 0.0);
    if (stage_ == Stage::rotated) {  // v = R^-T Q^T e_i
        for (Index j = 0; j < rank_; ++j) v[j] = Q_[sample + j * q_rows_];
        const double along = dot(v.data(), state_.alpha.data() + target * rank_, rank_);
        blas::solve_upper('L', 'T', CM(R_.data(), rank_, rank_, capacity_), M(v.data(), rank_, 1));
        return along / squared_norm(v.data(), rank_);
    }
    for (Index l = 0; l < rank_; ++l)
        axpy(Q_[sample + l * q_rows_], R_inverse_.data() + l * capacity_, v.data(), l + 1);
    return dot(v.data(), coefficients_.data() + target * capacity_, rank_) / squared_norm(v.data(), rank_);
}

// ---- common ---------------------------------------------------------------------------------------------------

void WidthPath::write_errors(const PathRows& rows, Index at, Index t, double train, double norm2, double loo) const {
    const double* f = state_.predictions.data() + t * m_;
    rows.train_error(t, at) = train;
    rows.test_error(t, at) = squared_distance(f, y_test_.data() + t * m_, m_) / static_cast<double>(m_);
    rows.coefficient_norm(t, at) = std::sqrt(norm2);
    rows.leave_one_out_error(t, at) = loo;
    if (rows.predictions) std::copy_n(f, m_, rows.predictions + (at * targets_ + t) * m_);
}

// |A|_F |A^+|_F of what is factorised: A = [Z; sqrt(P) I_N] in the primal, [Z, sqrt(P) I_n] afterwards.
double WidthPath::condition() const {
    const double ridge2 = penalty_ * static_cast<double>(stage_ == Stage::primal ? width_ : n_);
    return std::max(1.0, std::sqrt((norm2_of_features_ + ridge2) * state_.inverse_norm2));
}

}  // namespace pyphenom
