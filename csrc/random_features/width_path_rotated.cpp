// The rotated stage: the dual recursion in the coordinates of a column space that grows.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/blas.hpp"
#include "core/loops.hpp"
#include "random_features/width_path.hpp"

namespace pyphenom {
namespace {

// A sample with 1 - leverage below this may be interpolated by a feature of its own.
constexpr double pinned_below = 1e-12;

}  // namespace

// Z = Q R_p, so (Q^T Z)^T = R_p^T = O R and C <- O^T Z_test^T. Working coordinates: Q^T of the samples.
void WidthPath::enter_rotated() {
    basis_condition_ = condition();
    stage_ = Stage::rotated;
    const Index r = rank_;
    if (r > 0) {
        std::vector<double> coordinates(r * r);
        const M A(coordinates.data(), r, r);
        blas::gemm('N', 'N', 1.0, CM(R_.data(), r, n_, capacity_), CM(Q_.data(), n_, r, q_rows_), 0.0, A);
        blas::qr(A, tau_.data(), work_.data(), static_cast<Index>(work_.size()));
        blas::apply_qt(A, tau_.data(), M(C_.data(), r, m_, capacity_), work_.data(), static_cast<Index>(work_.size()));
        zero_below_diagonal(A);
        copy(A, M(R_.data(), r, r, capacity_));
    }
    Buffer().swap(U_);
    Buffer().swap(R_inverse_);
    solve_working();
    invert_working();
}

Index WidthPath::append_rotated(CM Z_all, CM Z_test, const PathRows& rows, Index at) {
    const Index r = rank_;
    bool any_pinned = false;
    for (Index i = 0; i < n_; ++i) any_pinned = any_pinned || !(1.0 - leverage_[i] > pinned_below);
    const Index b = std::min(Z_all.cols, any_pinned ? Index{1} : dual_block_);  // their K^+ is known at a block's end

    // H <- Q^T Z_b; what is left outside the column space decides
    std::vector<double> W_(n_ * b), H_all(r * b), H_more(r * b);
    const M W(W_.data(), n_, b), H(H_all.data(), r, b), H2(H_more.data(), r, b);
    const CM Q(Q_.data(), n_, r, q_rows_);
    copy(Z_all.columns(0, b), W);
    if (r > 0) {
        blas::gemm('T', 'N', 1.0, Q, W, 0.0, H);
        blas::gemm('N', 'N', -1.0, Q, H, 1.0, W);
        blas::gemm('T', 'N', 1.0, Q, W, 0.0, H2);
        blas::gemm('N', 'N', -1.0, Q, H2, 1.0, W);
        for (Index j = 0; j < b; ++j) axpy(1.0, H2.col(j), H.col(j), r);
    }
    // A direction of Q was what some feature left of itself; rounding turned it by about eps times the condition
    // number, and features of the same space seem to leave it by as much.
    const double tolerance = std::max(tolerance_, 8 * std::numeric_limits<double>::epsilon() * basis_condition_);
    Index inside = 0;
    while (inside < b) {
        const double left = std::sqrt(squared_norm(W.col(inside), n_)), norm = std::sqrt(features2_[at + inside]);
        if (left > tolerance * norm) break;
        if (left > tolerance_ * norm) dropped2_ += left * left;
        ++inside;
    }
    if (inside > 0) {
        append_dual(H.columns(0, inside), Z_test.columns(0, inside), rows, at);
        return inside;
    }

    // A new direction q. With v = R^-T h, bordering K by it leaves K^-1 as it is and adds the entry (1 + |v|^2)/rho^2.
    dual_block_ = 1;
    const double rho = std::sqrt(squared_norm(W.col(0), n_));
    double* q = Q_.data() + r * q_rows_;
    for (Index i = 0; i < n_; ++i) q[i] = W(i, 0) / rho;
    add_squares(q, leverage_.data(), n_);
    for (Index t = 0; t < targets_; ++t) {
        double* e = residual_.data() + t * q_rows_;
        axpy(-dot(q, e, n_), q, e, n_);
    }
    std::copy_n(H.col(0), r, room(B_, r + 1));
    B_[r] = rho;
    if (r > 0) blas::solve_upper('L', 'T', CM(R_.data(), r, r, capacity_), H.columns(0, 1));
    state_.diagonal.push_back((1.0 + squared_norm(H.col(0), r)) / (rho * rho));
    state_.inverse_norm2 += state_.diagonal.back();
    diagonal_reference_.push_back(state_.diagonal.back());
    norm2_of_features_ += features2_[at];
    ++rank_;
    grow(Z_test, rows, at);
    return 1;
}

// Appends the row B_ = [h^T rho] that reaches the new, last working coordinate: [R 0; h^T rho] is made triangular.
void WidthPath::grow(CM Z_test, const PathRows& rows, Index at) {
    const Index r = rank_, nb = std::min(panel, r);
    const M R(R_.data(), r, r, capacity_), C(C_.data(), r, m_, capacity_), B(B_.data(), 1, r);
    zero(R.columns(r - 1, 1));
    for (Index j = 0; j < r; ++j) R(r - 1, j) = 0.0;
    for (Index j = 0; j < m_; ++j) C(r - 1, j) = 0.0;
    std::vector<double> T_all(nb * r), D_all(m_), work(nb * std::max(r, m_));
    const M T(T_all.data(), nb, r), D(D_all.data(), 1, m_);
    transpose(Z_test.columns(0, 1), D);
    blas::append_rows_qr(R, B, T, work.data());
    blas::append_rows_apply('T', B, T, C, D, work.data());
    ++width_;
    if (r == n_)
        enter_dual_from_rotated();
    else
        solve_working();
    basis_condition_ = std::max(basis_condition_, condition());
    write_working_row(rows, at);
}

// The column space is all of R^n: K = Q R^T R Q^T, so R Q^T = O R', C <- O^T C, and the samples are the coordinates.
void WidthPath::enter_dual_from_rotated() {
    stage_ = Stage::dual;
    Buffer product(n_ * n_);
    const M A(product.data(), n_, n_), R(R_.data(), n_, n_, capacity_);
    transpose(CM(Q_.data(), n_, n_, q_rows_), A);
    blas::multiply_upper('L', R, A);
    blas::qr(A, tau_.data(), work_.data(), static_cast<Index>(work_.size()));
    blas::apply_qt(A, tau_.data(), M(C_.data(), n_, m_, capacity_), work_.data(), static_cast<Index>(work_.size()));
    zero_below_diagonal(A);
    copy(A, R);
    y_working_ = y_;
    Buffer().swap(Q_);
    solve_working();
    invert_working();
}

}  // namespace pyphenom
