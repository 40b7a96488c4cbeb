// The dual stage: the recursion on R, which the rotated one runs too.
#include <algorithm>
#include <cmath>

#include "core/blas.hpp"
#include "core/loops.hpp"
#include "random_features/width_path.hpp"

namespace pyphenom {
namespace {

constexpr Index largest_block = 128;  // features
// The widths of a block share its errors, so a block through which an entry of the diagonal of K^-1 falls by more than
// this is done again in halves; and a diagonal that fell by as much since it was computed is computed afresh.
constexpr double fall = 1e-3;

}  // namespace

// Z^T (n x n, or stacked over sqrt(P) I) = O R,  C <- O^T Z_test^T. Working coordinates: the samples.
void WidthPath::enter_dual_from_primal() {
    stage_ = Stage::dual;
    const M R(R_.data(), n_, n_, capacity_), C(C_.data(), n_, m_, capacity_);
    blas::qr(R, tau_.data(), work_.data(), static_cast<Index>(work_.size()));
    blas::apply_qt(R, tau_.data(), C, work_.data(), static_cast<Index>(work_.size()));
    zero_below_diagonal(R);
    if (penalty_ > 0) {
        // n further features sqrt(P) e_i that vanish on the test set; the i-th meets only the columns from i on
        for (Index i = 0; i < n_; i += largest_block) {
            const Index b = std::min(largest_block, n_ - i), rest = n_ - i, nb = std::min(panel, rest);
            std::vector<double> B(b * rest, 0.0), D(b * m_, 0.0), T(nb * rest), work(nb * std::max(rest, m_));
            for (Index k = 0; k < b; ++k) B[k + k * b] = std::sqrt(penalty_);
            blas::append_rows_qr(R.block(i, i, rest, rest), M(B.data(), b, rest), M(T.data(), nb, rest), work.data());
            blas::append_rows_apply('T', CM(B.data(), b, rest), CM(T.data(), nb, rest), C.block(i, 0, rest, m_),
                                    M(D.data(), b, m_), work.data());
        }
        for (Index t = 0; t < targets_; ++t)
            coefficient_norm2_[t] = squared_norm(coefficients_.data() + t * capacity_, rank_);
    }
    y_working_ = y_;
    for (auto* buffer : {&Q_, &U_, &R_inverse_, &H_, &H2_}) Buffer().swap(*buffer);
    solve_working();
    invert_working();
}

// Appends features given by their working coordinates, rank x b.
void WidthPath::append_dual(CM coordinates, CM Z_test, const PathRows& rows, Index at) {
    const Index r = rank_, b = coordinates.cols, columns = m_ + targets_;
    if (r == 0) {
        for (Index j = 0; j < b; ++j, ++width_) write_zero_row(rows, at + j);
        return;
    }
    const Index nb = std::min(panel, r);
    const M R(R_.data(), r, r, capacity_), Cg(C_.data(), r, columns, capacity_), g = Cg.columns(m_, targets_);
    const M R_previous(room(R_previous_, capacity_ * n_), r, r, capacity_);
    const M C_previous(room(C_previous_, r * columns), r, columns);
    const M B(room(B_, b * r), b, r), T(room(T_, nb * r), nb, r), D(room(D_, b * columns), b, columns);
    const M E(room(E_, b * columns), b, columns), N_top(room(N_top_, r * b), r, b), k(room(k_, r * b), r, b);
    const M N_bottom(room(N_bottom_, b * b), b, b), O(room(small_, b * b), b, b);
    room(tau_, b);
    double* work = room(work_, std::max(blas::work_for(b), nb * std::max(columns, r)));

    // [R C g; B Z_test 0] -> [R' C' g'; 0 D]
    transpose(coordinates, B);
    transpose(Z_test, D.columns(0, m_));
    zero(D.columns(m_, targets_));
    copy_upper(R, R_previous);
    copy(Cg, C_previous);
    blas::append_rows_qr(R, B, T, work);
    blas::append_rows_apply('T', B, T, Cg, D, work);

    // The annihilated directions N (top: R's rows, bottom: the new ones); made nested, bottom upper triangular.
    zero(N_top);
    zero(N_bottom);
    for (Index j = 0; j < b; ++j) N_bottom(j, j) = 1.0;
    blas::append_rows_apply('N', B, T, N_top, N_bottom, work);
    blas::rq(N_bottom, O, tau_.data(), work, static_cast<Index>(work_.size()));
    blas::gemm('N', 'N', 1.0, O, D, 0.0, E);
    blas::gemm('N', 'T', 1.0, N_top, O, 0.0, k);
    blas::solve_upper('L', 'N', R_previous, k);  // k_j <- R^-1 N_top

    // The end of the block: by the recursion, or afresh where the recursion would cancel
    const State before = state_;
    for (Index j = 0; j < b; ++j) {
        subtract_squares(k.col(j), state_.diagonal.data(), r);
        for (Index t = 0; t < targets_; ++t) axpy(-E(j, m_ + t), k.col(j), state_.alpha.data() + t * r, r);
    }
    bool fell = false, worn = false;
    for (Index i = 0; i < r; ++i) {
        fell = fell || !(state_.diagonal[i] > fall * before.diagonal[i]);
        worn = worn || !(state_.diagonal[i] > fall * diagonal_reference_[i]);
    }
    if (fell && b > 1) {
        state_ = before;
        copy_upper(R_previous, R);
        copy(C_previous, Cg);
        dual_block_ = std::max<Index>(1, b / 2);
        append_dual(coordinates.columns(0, b / 2), Z_test.columns(0, b / 2), rows, at);
        append_dual(coordinates.columns(b / 2, b - b / 2), Z_test.columns(b / 2, b - b / 2), rows, at + b / 2);
        return;
    }
    dual_block_ = std::min(largest_block, 2 * dual_block_);
    if (worn) {
        solve_working();
        invert_working();
    } else {
        blas::gemm('T', 'N', 1.0, Cg.columns(0, m_), g, 0.0, M(state_.predictions.data(), m_, targets_));
        for (Index t = 0; t < targets_; ++t) state_.norm2[t] = squared_norm(g.col(t), r);
        state_.inverse_norm2 = 0;
        for (double d : state_.diagonal) state_.inverse_norm2 += d;
    }
    const M U(D_.data(), m_, b);  // f_j = f_{j-1} + u_j E_g[j] with u_j = -E_C[j]
    for (Index i = 0; i < m_; ++i)
        for (Index j = 0; j < b; ++j) U(i, j) = -E(j, i);
    fill_backwards(k, U, E.columns(m_, targets_), rows, at);
}

// g = R^-T y, alpha = R^-1 g and predictions C^T g, from R, C and y alone.
void WidthPath::solve_working() {
    const Index r = rank_;
    if (stage_ == Stage::rotated) {
        y_working_.assign(r * targets_, 0.0);
        if (r > 0)
            blas::gemm('T', 'N', 1.0, CM(Q_.data(), n_, r, q_rows_), CM(y_.data(), n_, targets_), 0.0,
                       M(y_working_.data(), r, targets_));
    }
    state_.alpha.assign(r * targets_, 0.0);
    std::fill(state_.predictions.begin(), state_.predictions.end(), 0.0);
    if (r == 0) return;
    const M R(R_.data(), r, r, capacity_), C(C_.data(), r, m_, capacity_);
    const M g(C_.data() + m_ * capacity_, r, targets_, capacity_), alpha(state_.alpha.data(), r, targets_);
    copy(CM(y_working_.data(), r, targets_), g);
    blas::solve_upper('L', 'T', R, g);
    copy(g, alpha);
    blas::solve_upper('L', 'N', R, alpha);
    for (Index t = 0; t < targets_; ++t) state_.norm2[t] = squared_norm(g.col(t), r);
    blas::gemm('T', 'N', 1.0, C, g, 0.0, M(state_.predictions.data(), m_, targets_));
}

// The diagonal of K^-1 = R^-1 R^-T, afresh.
void WidthPath::invert_working() {
    const Index r = rank_;
    R_previous_.resize(capacity_ * n_);
    const M inverse(R_previous_.data(), r, r, capacity_);
    copy_upper(M(R_.data(), r, r, capacity_), inverse);
    blas::invert_upper(inverse);
    state_.diagonal.assign(r, 0.0);
    state_.inverse_norm2 = 0;
    for (Index j = 0; j < r; ++j) state_.inverse_norm2 += add_squares(inverse.col(j), state_.diagonal.data(), j + 1);
    diagonal_reference_ = state_.diagonal;
}

}  // namespace pyphenom
