// The inverse stage: the recursion on K^-1, and when its errors allow it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "core/blas.hpp"
#include "core/loops.hpp"
#include "random_features/width_path.hpp"

namespace pyphenom {
namespace {

// The inverse stage is entered where its error, about eps |Z|_F^2 / sigma_min^2, is below this.
constexpr double inverse_error = 1e-9;
// Blocks of the inverse stage between two computations of the state from K^-1 and S themselves.
constexpr Index refresh_state = 8;

}  // namespace

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

// Appends a block of features:
//     V = K^-1 Z,  L L^T = I + Z^T V,  k = V L^-T,  U = (Z_test - S^T Z) L^-T,
//     K^-1 <- K^-1 - k k^T,  S <- S + k U^T,  and column j of k and U belongs to the block's j-th feature.
// Of the symmetric K^-1 only the upper triangle is kept. The last two products may wait (`pending_`): K^-1 and S are
// then what was multiplied out before, corrected by the pending columns. That is cheaper while they are few and the
// first of all, since I / P and 0 multiply for nothing, or the last, since nobody asks for K^-1 and S afterwards.
void WidthPath::append_inverse(CM Z, CM Z_test, const PathRows& rows, Index at) {
    const Index b = Z.cols, height = n_ + m_;
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

}  // namespace pyphenom
