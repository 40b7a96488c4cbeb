// The stages that follow the primal one: changes of stage, and the recursions on K.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/blas.hpp"
#include "core/loops.hpp"
#include "random_features/width_path.hpp"

namespace pyphenom {
namespace {

constexpr Index largest_block = 128;  // of the dual stage
constexpr Index panel = 32;  // columns of one block reflector

// A sample with 1 - leverage below this may be interpolated by a feature of its own.
constexpr double pinned_below = 1e-12;
// The widths of a block share its errors, so a block through which an entry of the diagonal of K^-1 falls by more than
// this is done again in halves; and a diagonal that fell by as much since it was computed is computed afresh.
constexpr double fall = 1e-3;
// The inverse stage is entered where its error, about eps |Z|_F^2 / sigma_min^2, is below this.
constexpr double inverse_error = 1e-9;
// Blocks of the inverse stage between two computations of the state from K^-1 and S themselves.
constexpr Index refresh_state = 8;

}  // namespace

// ---- changes of stage -----------------------------------------------------------------------------------------

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

// sigma_min of R by power steps on R^-1 R^-T, started where K^-1 has its largest diagonal entry.
bool WidthPath::inverse_is_safe() const {
    const double bound = inverse_error / std::numeric_limits<double>::epsilon();
    if (squared_norm(state_.diagonal.data(), n_) == 0.0) return false;
    const auto top = std::max_element(state_.diagonal.begin(), state_.diagonal.end());
    if (!(norm2_of_features_ * *top < bound)) return false;  // a lower bound already fails
    const CM R(R_.data(), n_, n_, capacity_);
    std::vector<double> x(n_, 0.0);
    x[static_cast<std::size_t>(top - state_.diagonal.begin())] = 1.0;
    double largest = 0;
    for (int step = 0; step < 4; ++step) {
        blas::solve_upper('L', 'T', R, M(x.data(), n_, 1));
        largest = squared_norm(x.data(), n_);
        blas::solve_upper('L', 'N', R, M(x.data(), n_, 1));
        const double norm = std::sqrt(squared_norm(x.data(), n_));
        for (double& v : x) v /= norm;
    }
    return norm2_of_features_ * 2.0 * largest < bound;  // 2: what four power steps may fall short by
}

// K^-1 = R^-1 R^-T,  S = R^-1 C.
void WidthPath::enter_inverse() {
    stage_ = Stage::inverse;
    const M R(R_.data(), n_, n_, capacity_), inverse(R_previous_.data(), n_, n_, capacity_);
    zero(inverse);
    copy_upper(R, inverse);
    blas::invert_upper(inverse);
    S_.resize(n_ * m_);
    const M S(S_.data(), n_, m_);
    copy(CM(C_.data(), n_, m_, capacity_), S);
    blas::multiply_upper('L', inverse, S);
    blas::multiply_by_transpose(inverse);
    copy_upper(inverse, R);
    for (auto* buffer : {&R_previous_, &C_previous_, &C_}) Buffer().swap(*buffer);
}

// No feature yet: K^-1 = I / P, S = 0.
void WidthPath::start_inverse_with_ridge() {
    stage_ = Stage::inverse;
    rank_ = n_;
    multiplied_out_ = false;
    Buffer().swap(C_);
    state_.alpha.resize(n_ * targets_);
    for (Index i = 0; i < n_ * targets_; ++i) state_.alpha[i] = y_[i] / penalty_;
    state_.diagonal.assign(n_, 1.0 / penalty_);
}

// K^-1 <- K^-1 - k k^T,  S <- S + k U^T  for the pending columns of k and U.
void WidthPath::multiply_out() {
    const M K_inverse(R_.data(), n_, n_, capacity_);
    if (!multiplied_out_) {
        for (Index j = 0; j < n_; ++j) std::fill_n(K_inverse.col(j), j, 0.0);
        for (Index i = 0; i < n_; ++i) K_inverse(i, i) = 1.0 / penalty_;
        S_.resize(n_ * m_);
    }
    const CM kU(kU_.data(), n_ + m_, pending_);
    blas::subtract_square(kU.top(n_), K_inverse);
    const double kept = multiplied_out_ ? 1.0 : 0.0;
    blas::gemm('N', 'T', 1.0, kU.top(n_), kU.block(n_, 0, m_, pending_), kept, M(S_.data(), n_, m_));
    multiplied_out_ = true;
    pending_ = 0;
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

// ---- rotated --------------------------------------------------------------------------------------------------

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
    const auto leaves = [&](Index j) {
        return std::sqrt(squared_norm(W.col(j), n_)) > tolerance * std::sqrt(features2_[at + j]);
    };
    Index inside = 0;
    while (inside < b && !leaves(inside)) ++inside;
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
    B_.resize(std::max<Index>(B_.size(), r + 1));
    std::copy_n(H.col(0), r, B_.data());
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

// ---- recursion on R -------------------------------------------------------------------------------------------

// Appends features given by their working coordinates, rank x b.
void WidthPath::append_dual(CM coordinates, CM Z_test, const PathRows& rows, Index at) {
    const Index r = rank_, b = coordinates.cols, columns = m_ + targets_;
    if (r == 0) {
        for (Index j = 0; j < b; ++j, ++width_) write_zero_row(rows, at + j);
        return;
    }
    const Index nb = std::min(panel, r);
    const auto room = [](Buffer& buffer, Index size) {
        buffer.resize(std::max<Index>(static_cast<Index>(buffer.size()), size));
        return buffer.data();
    };
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

// ---- recursion on K^-1 ----------------------------------------------------------------------------------------

// Appends a block of features:
//     V = K^-1 Z,  L L^T = I + Z^T V,  k = V L^-T,  U = (Z_test - S^T Z) L^-T,
//     K^-1 <- K^-1 - k k^T,  S <- S + k U^T,  and column j of k and U belongs to the block's j-th feature.
// Of the symmetric K^-1 only the upper triangle is kept. The last two products may wait (`pending_`): K^-1 and S are
// then what was multiplied out before, corrected by the pending columns. That is cheaper while they are few and the
// first of all, since I / P and 0 multiply for nothing, or the last, since nobody asks for K^-1 and S afterwards.
void WidthPath::append_inverse(CM Z, CM Z_test, const PathRows& rows, Index at) {
    const Index b = Z.cols, height = n_ + m_;
    const auto room = [](Buffer& buffer, Index size) {
        buffer.resize(std::max<Index>(static_cast<Index>(buffer.size()), size));
        return buffer.data();
    };
    const Index worth_waiting = multiplied_out_ ? 0 : n_ / 2, worth_leaving = (n_ + 2 * m_) / 4;
    if (kU_.empty()) kU_.resize(height * (std::max(worth_waiting, worth_leaving) + inverse_block));
    const M kU(room(kU_, height * (pending_ + b)) + height * pending_, height, b);
    const M k = kU.top(n_), U = kU.block(n_, 0, m_, b);
    const M L_t(room(small_, b * b), b, b), E_g(room(E_g_, b * targets_), b, targets_);
    const M K_inverse(R_.data(), n_, n_, capacity_), S(S_.data(), n_, m_);
    const CM y(y_.data(), n_, targets_);

    copy(Z_test, U);
    if (multiplied_out_) {
        blas::multiply_symmetric(K_inverse, Z, k);
        blas::gemm('T', 'N', -1.0, S, Z, 1.0, U);
    } else {
        for (Index j = 0; j < b; ++j)
            for (Index i = 0; i < n_; ++i) k(i, j) = Z(i, j) / penalty_;
    }
    if (pending_ > 0) {
        const M pending(kU_.data(), height, pending_), H(room(B_, pending_ * b), pending_, b);
        blas::gemm('T', 'N', 1.0, pending.top(n_), Z, 0.0, H);
        blas::gemm('N', 'N', -1.0, pending, H, 1.0, kU);
    }
    const Index half = b / 2;  // the upper triangle will do
    blas::gemm('T', 'N', 1.0, Z.columns(0, half), k.columns(0, half), 0.0, L_t.block(0, 0, half, half));
    blas::gemm('T', 'N', 1.0, Z, k.columns(half, b - half), 0.0, L_t.columns(half, b - half));
    for (Index j = 0; j < b; ++j) L_t(j, j) += 1.0;
    if (!blas::cholesky(L_t))
        throw std::runtime_error("the factorisation broke down: the features' sizes differ too much; scale them alike");
    blas::invert_upper(L_t);  // well-conditioned, and a product is faster than a solution
    blas::multiply_upper('R', L_t, kU);
    blas::gemm('T', 'N', 1.0, k, y, 0.0, E_g);

    pending_ += b;
    if (pending_ >= worth_waiting && max_width_ - width_ - b > worth_leaving) multiply_out();
    const M alpha(state_.alpha.data(), n_, targets_), predictions(state_.predictions.data(), m_, targets_);
    if (pending_ == 0 && inverse_blocks_++ % refresh_state == 0) {
        // afresh: a product with few columns costs as much as one with a block's
        blas::multiply_symmetric(K_inverse, y, alpha);
        blas::gemm('T', 'N', 1.0, M(S_.data(), n_, m_), y, 0.0, predictions);
    } else {
        blas::gemm('N', 'N', -1.0, k, E_g, 1.0, alpha);
        blas::gemm('N', 'N', 1.0, U, E_g, 1.0, predictions);
    }
    if (pending_ == 0)
        for (Index i = 0; i < n_; ++i) state_.diagonal[i] = K_inverse(i, i);
    else
        for (Index j = 0; j < b; ++j) subtract_squares(k.col(j), state_.diagonal.data(), n_);
    for (Index t = 0; t < targets_; ++t) state_.norm2[t] = dot(y.col(t), state_.alpha.data() + t * n_, n_);
    state_.inverse_norm2 = 0;
    for (double d : state_.diagonal) state_.inverse_norm2 += d;
    fill_backwards(k, U, E_g, rows, at);
}

// ---- rows of a block ------------------------------------------------------------------------------------------

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

}  // namespace pyphenom
