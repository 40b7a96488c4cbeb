// The order of the stages, and the primal one.
#include "random_features/width_path.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/blas.hpp"
#include "core/loops.hpp"

namespace pyphenom {
namespace {

constexpr Index primal_block = 64;

// A second orthogonalisation is due where the first left less than this share of a column's norm: what is left is
// then orthogonal to no better than epsilon / share.
constexpr double reorthogonalise_below = 0.1;
// With a ridge the inverse stage starts at width 1 where its error eps |Z|^2 / P stays below about 2e-9.
constexpr double inverse_start_ratio = 1e-7;
// Below this many samples the inverse stage saves nothing.
constexpr Index smallest_inverse = 64;
// A feature this much larger (squared) than all before it together makes a block of its own: K^-1 drops through it,
// and the widths before it would inherit its scale.
constexpr double outsized = 1e4;

// W <- Q with W = Q R, R upper triangular. By Cholesky factors of the Gram matrix, all matrix products, where a column
// keeps at least `independent` of its norm outside those before it; the second factor repairs what the first lost, up
// to `repairable`. By Householder reflections elsewhere.
void orthonormalise(Matrix<double> W, Matrix<double> R, Matrix<double> scratch, double* tau, Buffer& work) {
    constexpr double independent = 1e-3, repairable = 0.1;
    const Index b = W.cols;
    const auto cholesky = [&](Matrix<double> G) {
        blas::gram(W, G);
        for (Index j = 0; j < b; ++j) tau[j] = G(j, j);
        bool good = blas::cholesky(G);
        for (Index j = 0; j < b; ++j) good = good && G(j, j) >= independent * std::sqrt(tau[j]);
        return good;
    };
    const auto householder = [&](Matrix<double> factor) {
        blas::qr(W, tau, work.data(), static_cast<Index>(work.size()));
        copy_upper(W.top(b), factor);
        blas::form_q(W, tau, work.data(), static_cast<Index>(work.size()));
    };
    zero(R);
    if (!cholesky(R)) {
        zero(R);
        return householder(R);
    }
    blas::solve_upper('R', 'N', R, W);
    zero(scratch);
    bool good = cholesky(scratch);
    for (Index j = 0; j < b; ++j) good = good && std::abs(scratch(j, j) - 1.0) <= repairable;
    if (good)
        blas::solve_upper('R', 'N', scratch, W);
    else
        householder(scratch);
    blas::multiply_upper('L', scratch, R);
}

}  // namespace

WidthPath::WidthPath(CM y, CM y_test, Index max_width, double penalty, double tolerance, double norm2, int threads)
    : n_(y.rows),
      m_(y_test.rows),
      targets_(y.cols),
      max_width_(max_width),
      capacity_(std::min(y.rows, max_width)),
      penalty_(penalty),
      tolerance_(tolerance),
      announced_norm2_(norm2),
      // more would find no block of rows to work on
      threads_(std::clamp<int>(threads, 1, 1 + static_cast<int>((n_ + m_) / 64))),
      may_invert_(std::isfinite(norm2) && y.rows >= smallest_inverse),
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
    const Index b = Z.cols;
    require(b > 0, "Z", "empty", "at least one feature");
    require(Z.rows == n_, "Z", std::to_string(Z.rows) + " samples long", "as many samples as `y`");
    require(Z_test.rows == m_ && Z_test.cols == b, "Z_test", "of another shape", "the block's features at the tests");
    require(width_ + b <= max_width_, "Z", "more features than announced", "at most max_width in all");
    features2_.resize(b);
    for (Index j = 0; j < b; ++j) features2_[j] = squared_norm(Z.col(j), n_);
    if (stage_ == Stage::unset) choose_first_stage();
    std::optional<Team> team;  // not longer than this call: threads do not survive a fork
    Index at = 0;
    while (at < b) {
        // Features of this call that may share a block
        Index count = 1;
        double total = norm2_of_features_ + features2_[at];
        while (at + count < b && features2_[at + count] <= outsized * total) total += features2_[at + count++];
        const CM z = Z.columns(at, count), z_test = Z_test.columns(at, count);
        switch (stage_) {
            case Stage::primal:
                at += append_primal(z, z_test, rows, at);
                break;
            case Stage::rotated:
                at += append_rotated(z, z_test, rows, at);
                break;
            case Stage::inverse:
                count = std::min(count, inverse_block);
                if (!team) team.emplace(own_threads_ ? threads_ : 1);
                append_inverse(z.columns(0, count), z_test.columns(0, count), rows, at, *team);
                at += count;
                break;
            default:
                count = std::min(count, dual_block_);
                append_dual(z.columns(0, count), z_test.columns(0, count), rows, at);
                at += count;
                if (may_invert_ && width_ >= next_check_ && max_width_ - width_ > n_ / 2) {
                    next_check_ = width_ + std::max<Index>(1, n_ / 16);
                    if (inverse_is_safe()) enter_inverse();
                }
        }
    }
}

void WidthPath::choose_first_stage() {
    if (may_invert_ && penalty_ > 0 && max_width_ >= n_ && penalty_ >= inverse_start_ratio * announced_norm2_)
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
    small3_.resize(b * b);
    tau_.resize(capacity_);
    work_.resize(blas::work_for(std::max(n_, m_ + targets_)));
}

// Takes features up to the end of the block, of the panel, or of the stage; returns how many.
Index WidthPath::append_primal(CM Z_all, CM Z_test_all, const PathRows& rows, Index at) {
    std::vector<double> norms;
    norms.reserve(primal_block);
    for (Index j = 0; j < std::min({Z_all.cols, primal_block, capacity_ - rank_}); ++j) {
        if (features2_[at + j] == 0.0 && penalty_ == 0) break;
        norms.push_back(std::sqrt(features2_[at + j] + penalty_));
    }
    const Index r = rank_, b = static_cast<Index>(norms.size());
    if (b == 0) {  // a feature that vanishes on the training set (a dead ReLU, say) gets the coefficient 0
        ++width_;
        rank_ > 0 ? write_primal_row(rows, at) : write_zero_row(rows, at);
        return 1;
    }
    const CM Z = Z_all.columns(0, b), Z_test = Z_test_all.columns(0, b);

    // W <- [Z_b; 0; sqrt(P) I], in the next columns of Q
    const Index height = n_ + (penalty_ > 0 ? r + b : 0);
    const M Q(Q_.data(), height, r, q_rows_), W(Q_.data() + r * q_rows_, height, b, q_rows_);
    copy(Z, W.top(n_));
    if (penalty_ > 0) {
        zero(W.block(n_, 0, r + b, b));
        for (Index j = 0; j < b; ++j) W(n_ + r + j, j) = std::sqrt(penalty_);
    }

    // H <- Q^T W,  W <- W - Q H,  W <- W R_b^-1;  once more where much was lost
    const M H(H_.data(), r, b, std::max<Index>(r, 1)), H2(H2_.data(), r, b, std::max<Index>(r, 1));
    if (r > 0) {
        blas::gemm('T', 'N', 1.0, Q, W, 0.0, H);
        blas::gemm('N', 'N', -1.0, Q, H, 1.0, W);
    }
    const M R_b(small_.data(), b, b), R_2(small2_.data(), b, b), scratch(small3_.data(), b, b);
    orthonormalise(W, R_b, scratch, tau_.data(), work_);
    double kept = 1.0;
    for (Index j = 0; j < b; ++j) kept = std::min(kept, std::abs(R_b(j, j)) / norms[j]);
    if (r > 0 && !(kept >= reorthogonalise_below)) {
        blas::gemm('T', 'N', 1.0, Q, W, 0.0, H2);
        blas::gemm('N', 'N', -1.0, Q, H2, 1.0, W);
        blas::gemm('N', 'N', 1.0, H2, R_b, 1.0, H);
        orthonormalise(W, R_2, scratch, tau_.data(), work_);
        blas::multiply_upper('L', R_2, R_b);
    }
    Index a = 0;  // accepted: independent of those before
    while (a < b && (penalty_ > 0 || std::abs(R_b(a, a)) > tolerance_ * norms[a])) ++a;

    // Z^T and Z_test^T are kept for the change to the dual
    transpose(Z.columns(0, a), M(R_.data() + r, a, n_, capacity_));
    transpose(Z_test.columns(0, a), M(C_.data() + r, a, m_, capacity_));

    if (a > 0) {
        // U_b <- (Z_test,b - U H) R_b^-1
        const CM R_a = R_b.block(0, 0, a, a);
        const M H_a = H.columns(0, a), U_b(U_.data() + r * m_, m_, a);
        copy(Z_test.columns(0, a), U_b);
        if (r > 0) blas::gemm('N', 'N', -1.0, M(U_.data(), m_, r), H_a, 1.0, U_b);
        blas::solve_upper('R', 'N', R_a, U_b);
        // R^-1 gains the columns [-R^-1 H; I] R_b^-1
        const M inverse(R_inverse_.data(), capacity_, capacity_, capacity_);
        const M above = inverse.block(0, r, r, a), corner = inverse.block(r, r, a, a);
        for (Index j = 0; j < a; ++j)
            for (Index i = 0; i < r; ++i) above(i, j) = -H_a(i, j);
        if (r > 0) {
            blas::solve_upper('R', 'N', R_a, above);
            blas::multiply_upper('L', inverse.block(0, 0, r, r), above);
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

}  // namespace pyphenom
