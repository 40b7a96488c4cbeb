#include "random_features/width_path.hpp"

#include <algorithm>
#include <cmath>

#include "core/blas.hpp"

namespace pyphenom {
namespace {

using M = Matrix<double>;
using CM = Matrix<const double>;

constexpr Index primal_block = 64;
constexpr Index largest_dual_block = 128;
constexpr Index panel = 32;  // columns of one block reflector

// A second orthogonalisation is due where the first left less than this share of a column's norm: what is left is
// then orthogonal to no better than epsilon / share.
constexpr double reorthogonalise_below = 0.1;
// A sample with 1 - leverage below this is interpolated by a feature of its own; see leave_one_out_primal.
constexpr double pinned_below = 1e-11;
// Start in the dual, which is the cheaper stage, where its condition number sqrt(|Z|^2 / P) stays below 1e4.
constexpr double dual_start_ratio = 1e-8;
// Recompute the working vectors once the diagonal of K^-1 fell by this factor: bounds the cancellation.
constexpr double refresh_below = 1e-3;

double dot(const double* a, const double* b, Index n) {
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;  // four chains hide the latency of the addition
    Index i = 0;
    for (; i + 4 <= n; i += 4) {
        s0 += a[i] * b[i];
        s1 += a[i + 1] * b[i + 1];
        s2 += a[i + 2] * b[i + 2];
        s3 += a[i + 3] * b[i + 3];
    }
    for (; i < n; ++i) s0 += a[i] * b[i];
    return (s0 + s1) + (s2 + s3);
}

double squared_norm(const double* a, Index n) { return dot(a, a, n); }

void axpy(double s, const double* x, double* y, Index n) {
    for (Index i = 0; i < n; ++i) y[i] += s * x[i];
}

double squared_distance(const double* a, const double* b, Index n) {
    double s = 0;
    for (Index i = 0; i < n; ++i) s += (a[i] - b[i]) * (a[i] - b[i]);
    return s;
}

void copy(CM A, M B) {
    for (Index j = 0; j < A.cols; ++j) std::copy_n(A.col(j), A.rows, B.col(j));
}

void copy_upper(CM A, M B) {
    for (Index j = 0; j < A.cols; ++j) std::copy_n(A.col(j), std::min(j + 1, A.rows), B.col(j));
}

// B <- A^T, in tiles that keep both sides in cache.
void transpose(CM A, M B) {
    constexpr Index tile = 32;
    for (Index jj = 0; jj < A.cols; jj += tile)
        for (Index ii = 0; ii < A.rows; ii += tile)
            for (Index j = jj; j < std::min(jj + tile, A.cols); ++j)
                for (Index i = ii; i < std::min(ii + tile, A.rows); ++i) B(j, i) = A(i, j);
}

void zero(M A) {
    for (Index j = 0; j < A.cols; ++j) std::fill_n(A.col(j), A.rows, 0.0);
}

void zero_below_diagonal(M A) {
    for (Index j = 0; j < A.cols; ++j) std::fill(A.col(j) + std::min(j + 1, A.rows), A.col(j) + A.rows, 0.0);
}

}  // namespace

WidthPath::WidthPath(CM y, CM y_test, Index max_width, double penalty, double tolerance)
    : n_(y.rows),
      m_(y_test.rows),
      targets_(y.cols),
      max_width_(max_width),
      capacity_(std::min(y.rows, max_width)),
      penalty_(penalty),
      tolerance_(tolerance),
      y_(n_ * targets_),
      y_test_(m_ * targets_),
      predictions_(m_ * targets_, 0.0),
      norm2_(targets_, 0.0),
      coefficient_norm2_(targets_, 0.0),
      C_(capacity_ * (m_ + targets_)) {
    require(n_ > 0, "y", "empty", "at least one sample");
    require(targets_ > 0, "y", "without columns", "at least one target");
    require(max_width > 0, "max_width", std::to_string(max_width), "at least 1");
    require(y_test.cols == targets_, "y_test", std::to_string(y_test.cols) + " targets wide",
            "as many targets as `y`");
    require(penalty >= 0.0 && std::isfinite(penalty), "penalty", std::to_string(penalty), "a finite number >= 0");
    copy(y, M(y_.data(), n_, targets_));
    copy(y_test, M(y_test_.data(), m_, targets_));
    R_.resize(capacity_ * n_);
}

void WidthPath::append(CM Z, CM Z_test, const PathRows& rows) {
    const Index b = Z.rows;
    require(Z.cols == n_, "Z", std::to_string(Z.cols) + " samples long", "as many samples as `y`");
    require(Z_test.cols == m_ && Z_test.rows == b, "Z_test", "of another shape", "one row a feature of the block");
    require(width_ + b <= max_width_, "Z", "more features than announced", "at most max_width in all");
    if (stage_ == Stage::unset) choose_first_stage(Z);
    Index at = 0;
    while (at < b) {
        const CM z = Z.block(at, 0, b - at, n_), z_test = Z_test.block(at, 0, b - at, m_);
        switch (stage_) {
            case Stage::primal:
                at += append_primal(z, z_test, rows, at);
                break;
            case Stage::rotated:
                at += append_rotated(z, z_test, rows, at);
                break;
            default: {
                const Index count = std::min(b - at, dual_block_);
                B_.resize(std::max<Index>(B_.size(), count * n_));
                copy(z.top(count), M(B_.data(), count, n_));
                append_working(z, z_test, rows, at, count);
                dual_block_ = std::min(largest_dual_block, 2 * dual_block_);
                at += count;
            }
        }
    }
}

void WidthPath::choose_first_stage(CM Z) {
    double norm2 = 0;
    for (Index i = 0; i < n_; ++i) norm2 += squared_norm(Z.col(i), Z.rows);
    norm2 *= static_cast<double>(max_width_) / static_cast<double>(Z.rows);
    if (penalty_ > 0 && max_width_ >= n_ && penalty_ >= dual_start_ratio * norm2) return start_dual_with_ridge();

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
    tau_.resize(std::max(capacity_, largest_dual_block));
    work_.resize(blas::work_for(std::max(n_, m_ + targets_)));
}

// ---- primal ---------------------------------------------------------------------------------------------------

// Takes features up to the end of the block, of the panel, or of the stage; returns how many.
Index WidthPath::append_primal(CM Z_all, CM Z_test_all, const PathRows& rows, Index at) {
    std::vector<double> norms;
    norms.reserve(primal_block);
    for (Index j = 0; j < std::min({Z_all.rows, primal_block, capacity_ - rank_}); ++j) {
        double s = 0;
        for (Index i = 0; i < n_; ++i) s += Z_all(j, i) * Z_all(j, i);
        if (s == 0.0 && penalty_ == 0) break;
        norms.push_back(std::sqrt(s + penalty_));
    }
    const Index r = rank_, b = static_cast<Index>(norms.size());
    if (b == 0) {
        // A feature that vanishes on the training set (a dead ReLU, say) gets the coefficient 0.
        repeat_row(Z_test_all, rows, at);
        return 1;
    }
    const CM Z = Z_all.top(b), Z_test = Z_test_all.top(b);

    // W <- [Z_b; 0; sqrt(P) I], in the next columns of Q
    const Index height = n_ + (penalty_ > 0 ? r + b : 0);
    const M Q(Q_.data(), height, r, q_rows_), W(Q_.data() + r * q_rows_, height, b, q_rows_);
    transpose(Z, W.top(n_));
    if (penalty_ > 0) {
        zero(W.block(n_, 0, r + b, b));
        for (Index j = 0; j < b; ++j) W(n_ + r + j, j) = std::sqrt(penalty_);
    }

    // H <- Q^T W,  W <- W - Q H,  W <- W R_b;  once more where much was lost
    const M H(H_.data(), r, b, std::max<Index>(r, 1)), H2(H2_.data(), r, b, std::max<Index>(r, 1));
    const M R_b(small_.data(), b, b), R_2(small2_.data(), b, b);
    const Index work_size = static_cast<Index>(work_.size());
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
    Index accepted = 0;
    while (accepted < b && (penalty_ > 0 || std::abs(R_b(accepted, accepted)) > tolerance_ * norms[accepted]))
        ++accepted;
    const Index a = accepted;

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
            axpy(c, u, predictions_.data() + t * m_, m_);
            axpy(c, column, coefficients_.data() + t * capacity_, r + j + 1);
        }
        for (Index i = 0; i < n_; ++i) leverage_[i] += q[i] * q[i];
        inverse_norm2_ += squared_norm(column, r + j + 1);
        count_norm(Z, j);
        ++rank_;
        ++width_;
        if (rank_ == n_ && penalty_ == 0) {
            // At the threshold every sample is interpolated and only the dual knows the leave-one-out residuals.
            enter_dual_from_primal();
            write_working_row(rows, at + j, 0);
            return a;
        }
        write_primal_row(rows, at + j);
    }
    if (rank_ == n_ && width_ < max_width_) {
        enter_dual_from_primal();
    } else if (a < b) {
        enter_rotated();
    }
    return a;
}

void WidthPath::repeat_row(CM Z_test, const PathRows& rows, Index at) {
    (void)Z_test;  // its coefficient is 0
    ++width_;
    if (rank_ > 0) return write_primal_row(rows, at);
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
                     squared_norm(coefficients_.data() + t * capacity_, rank_), leave_one_out_primal(t));
}

bool WidthPath::pinned(Index sample) const { return !(1.0 - leverage_[sample] > pinned_below); }

// e_i / (1 - h_i). Where a sample is fitted whatever its label (h_i = 1), both vanish and the ratio tends to
// (K^+ y)_i / (K^+)_ii, with K^+ = (Z^+)^T Z^+ and Z^+ = R^-1 Q^T.
double WidthPath::leave_one_out_primal(Index target) {
    const double* e = residual_.data() + target * q_rows_;
    double sum = 0;
    for (Index i = 0; i < n_; ++i) {
        double loo;
        if (penalty_ == 0 && pinned(i)) {
            const double* a = coefficients_.data() + target * capacity_;
            double along = 0, norm2 = 0;
            for (Index k = 0; k < rank_; ++k) {
                double v = 0;
                for (Index l = k; l < rank_; ++l) v += R_inverse_[k + l * capacity_] * Q_[i + l * q_rows_];
                along += v * a[k];
                norm2 += v * v;
            }
            loo = along / norm2;
        } else {
            loo = e[i] / (1.0 - leverage_[i]);
        }
        sum += loo * loo;
    }
    return sum / static_cast<double>(n_);
}

// ---- changes of stage -----------------------------------------------------------------------------------------

// Z^T (n x n, or stacked over sqrt(P) I) = O R,  C <- O^T Z_test^T. Working coordinates: the samples.
void WidthPath::enter_dual_from_primal() {
    stage_ = Stage::dual;
    const Index r = rank_;
    const M R(R_.data(), r, n_, capacity_), C(C_.data(), r, m_, capacity_);
    blas::qr(R, tau_.data(), work_.data(), static_cast<Index>(work_.size()));
    blas::apply_qt(R, tau_.data(), C, work_.data(), static_cast<Index>(work_.size()));
    zero_below_diagonal(R);
    if (penalty_ > 0) {
        // n further features sqrt(P) e_i that vanish on the test set
        for (Index i = 0; i < n_; i += largest_dual_block) {
            const Index b = std::min(largest_dual_block, n_ - i), nb = std::min(panel, n_);
            std::vector<double> B(b * n_, 0.0), D(b * m_, 0.0), T(nb * n_), work(nb * std::max(n_, m_));
            for (Index k = 0; k < b; ++k) B[k + (i + k) * b] = std::sqrt(penalty_);
            blas::append_rows_qr(R, M(B.data(), b, n_), M(T.data(), nb, n_), work.data());
            blas::append_rows_apply('T', CM(B.data(), b, n_), CM(T.data(), nb, n_), C, M(D.data(), b, m_), work.data());
        }
    }
    for (Index t = 0; t < targets_; ++t)
        coefficient_norm2_[t] = squared_norm(coefficients_.data() + t * capacity_, rank_);
    y_working_ = y_;
    for (auto* buffer : {&Q_, &U_, &R_inverse_, &H_, &H2_}) std::vector<double>().swap(*buffer);
    restart_working();
}

void WidthPath::start_dual_with_ridge() {
    stage_ = Stage::dual;
    rank_ = n_;
    const M R(R_.data(), n_, n_, capacity_);
    zero(R);
    for (Index i = 0; i < n_; ++i) R(i, i) = std::sqrt(penalty_);
    std::fill(C_.begin(), C_.end(), 0.0);
    y_working_ = y_;
    dual_block_ = largest_dual_block;
    restart_working();
}

// Z = Q R_p, so (Q^T Z)^T = R_p^T = O R and C <- O^T Z_test^T. Working coordinates: Q^T of the samples.
void WidthPath::enter_rotated() {
    stage_ = Stage::rotated;
    const Index r = rank_;
    if (r > 0) {
        const CM Q(Q_.data(), n_, r, q_rows_);
        std::vector<double> coordinates(r * r);
        const M A(coordinates.data(), r, r), R(R_.data(), r, r, capacity_);
        blas::gemm('N', 'N', 1.0, CM(R_.data(), r, n_, capacity_), Q, 0.0, A);
        blas::qr(A, tau_.data(), work_.data(), static_cast<Index>(work_.size()));
        blas::apply_qt(A, tau_.data(), M(C_.data(), r, m_, capacity_), work_.data(), static_cast<Index>(work_.size()));
        zero_below_diagonal(A);
        copy(A, R);
    }
    std::vector<double>().swap(U_);
    std::vector<double>().swap(R_inverse_);
    restart_working();
}

// The column space is all of R^n: K = Q R^T R Q^T, so R Q^T = O R', C <- O^T C, and the samples are the coordinates.
void WidthPath::enter_dual_from_rotated() {
    stage_ = Stage::dual;
    std::vector<double> product(n_ * n_);
    const M A(product.data(), n_, n_), R(R_.data(), n_, n_, capacity_);
    transpose(CM(Q_.data(), n_, n_, q_rows_), A);
    blas::multiply_upper(R, A);
    blas::qr(A, tau_.data(), work_.data(), static_cast<Index>(work_.size()));
    blas::apply_qt(A, tau_.data(), M(C_.data(), n_, m_, capacity_), work_.data(), static_cast<Index>(work_.size()));
    zero_below_diagonal(A);
    copy(A, R);
    y_working_ = y_;
    std::vector<double>().swap(Q_);
    restart_working();
}

// From R, C and y alone: g, K^-1 y, the diagonal of K^-1, predictions; and the scratch of the dual recursion.
void WidthPath::restart_working() {
    const Index r = rank_, width = m_ + targets_;
    if (stage_ == Stage::rotated) {
        y_working_.assign(std::max<Index>(1, r * targets_), 0.0);
        if (r > 0)
            blas::gemm('T', 'N', 1.0, CM(Q_.data(), n_, r, q_rows_), CM(y_.data(), n_, targets_), 0.0,
                       M(y_working_.data(), r, targets_));
    }
    const M R(R_.data(), r, r, capacity_), C(C_.data(), r, m_, capacity_), g(C_.data() + m_ * capacity_, r, targets_, capacity_);
    copy(CM(y_working_.data(), r, targets_, std::max<Index>(1, r)), g);
    blas::solve_upper('L', 'T', R, g);
    alpha_.assign(r * targets_, 0.0);
    copy(g, M(alpha_.data(), r, targets_));
    blas::solve_upper('L', 'N', R, M(alpha_.data(), r, targets_));
    for (Index t = 0; t < targets_; ++t) norm2_[t] = squared_norm(g.col(t), r);
    if (r > 0)
        blas::gemm('T', 'N', 1.0, C, g, 0.0, M(predictions_.data(), m_, targets_));
    else
        std::fill(predictions_.begin(), predictions_.end(), 0.0);

    R_previous_.resize(std::max<Index>(capacity_ * r, 1));
    const M inverse(R_previous_.data(), r, r, capacity_);
    zero(inverse);
    copy_upper(R, inverse);
    blas::invert_upper(inverse);
    diag_.resize(r);
    std::fill(diag_.begin(), diag_.end(), 0.0);
    for (Index j = 0; j < r; ++j)
        for (Index i = 0; i <= j; ++i) diag_[i] += inverse(i, j) * inverse(i, j);
    diag_reference_ = diag_;
    inverse_norm2_ = 0;
    for (double d : diag_) inverse_norm2_ += d;

    const Index b = largest_dual_block, nb = std::min(panel, std::max<Index>(r, 1));
    T_.resize(nb * std::max<Index>(r, 1));
    work_.resize(std::max<Index>(blas::work_for(std::max(n_, width)), panel * std::max({width, b, n_})));
    tau_.resize(std::max<Index>(tau_.size(), std::max(b, capacity_)));
    D_.resize(b * width);
    D2_.resize(b * width);
    N_top_.resize(b * std::max<Index>(r, 1));
    N_nested_.resize(b * std::max<Index>(r, 1));
    N_bottom_.resize(b * b);
    small_.resize(std::max<Index>(b * b, small_.size()));
}

// ---- rotated --------------------------------------------------------------------------------------------------

Index WidthPath::append_rotated(CM Z_all, CM Z_test, const PathRows& rows, Index at) {
    const Index r = rank_;
    bool any_pinned = false;
    for (Index i = 0; i < n_; ++i) any_pinned = any_pinned || pinned(i);
    const Index b = std::min(Z_all.rows, any_pinned ? Index{1} : dual_block_);
    const CM Z = Z_all.top(b);

    // H <- Q^T Z_b, what is left outside the column space decides
    std::vector<double> W_(n_ * b), H_all(std::max<Index>(1, r * b)), H_more(std::max<Index>(1, r * b)), norms(b);
    const M W(W_.data(), n_, b), H(H_all.data(), r, b), H2(H_more.data(), r, b);
    const CM Q(Q_.data(), n_, r, q_rows_);
    transpose(Z, W);
    for (Index j = 0; j < b; ++j) norms[j] = std::sqrt(squared_norm(W.col(j), n_));
    if (r > 0) {
        blas::gemm('T', 'N', 1.0, Q, W, 0.0, H);
        blas::gemm('N', 'N', -1.0, Q, H, 1.0, W);
        blas::gemm('T', 'N', 1.0, Q, W, 0.0, H2);
        blas::gemm('N', 'N', -1.0, Q, H2, 1.0, W);
        for (Index j = 0; j < b; ++j) axpy(1.0, H2.col(j), H.col(j), r);
    }
    Index inside = 0;
    while (inside < b && !(std::sqrt(squared_norm(W.col(inside), n_)) > tolerance_ * norms[inside])) ++inside;
    if (inside > 0) {
        B_.resize(std::max<Index>(B_.size(), inside * std::max<Index>(r, 1)));
        transpose(H.columns(0, inside), M(B_.data(), inside, r));
        append_working(Z, Z_test, rows, at, inside);
        dual_block_ = std::min(largest_dual_block, 2 * dual_block_);
        return inside;
    }

    // A new direction q: [R 0; h^T rho] is made triangular again
    dual_block_ = 8;
    const double rho = std::sqrt(squared_norm(W.col(0), n_));
    double* q = Q_.data() + r * q_rows_;
    for (Index i = 0; i < n_; ++i) q[i] = W(i, 0) / rho;
    for (Index i = 0; i < n_; ++i) leverage_[i] += q[i] * q[i];
    for (Index t = 0; t < targets_; ++t) {
        double* e = residual_.data() + t * q_rows_;
        axpy(-dot(q, e, n_), q, e, n_);
    }
    B_.resize(std::max<Index>(B_.size(), r + 1));
    std::copy_n(H.col(0), r, B_.data());
    B_[r] = rho;
    rank_ = r + 1;
    count_norm(Z, 0);
    grow(Z_test, rows, at);
    return 1;
}

// Appends the row B_ that reaches the new, last working coordinate.
void WidthPath::grow(CM Z_test, const PathRows& rows, Index at) {
    const Index r = rank_, nb = std::min(panel, r);
    const M R(R_.data(), r, r, capacity_), C(C_.data(), r, m_, capacity_), B(B_.data(), 1, r);
    zero(R.columns(r - 1, 1));
    for (Index j = 0; j < r; ++j) R(r - 1, j) = 0.0;
    for (Index j = 0; j < m_; ++j) C(r - 1, j) = 0.0;
    T_.resize(std::max<Index>(T_.size(), nb * r));
    work_.resize(std::max<Index>(work_.size(), panel * std::max(r, m_)));
    const M T(T_.data(), nb, r), D(D_.data(), 1, m_);
    copy(Z_test.top(1), D);
    blas::append_rows_qr(R, B, T, work_.data());
    blas::append_rows_apply('T', B, T, C, D, work_.data());
    ++width_;
    if (r == n_) {
        enter_dual_from_rotated();
    } else {
        restart_working();
    }
    write_working_row(rows, at, 0);
}

// ---- dual recursion -------------------------------------------------------------------------------------------

// Appends the `count` features Z whose working coordinates are the rows of B_.
void WidthPath::append_working(CM Z, CM Z_test, const PathRows& rows, Index at, Index count) {
    const Index r = rank_, b = count, columns = m_ + targets_;
    const M R(R_.data(), r, r, capacity_), Cg(C_.data(), r, columns, capacity_), g = Cg.columns(m_, targets_);
    const M R_previous(R_previous_.data(), r, r, capacity_);
    const M B(B_.data(), b, r), T(T_.data(), std::min(panel, r), r);

    // [R C g; B Z_test 0] -> [R' C' g'; 0 D]
    const M D(D_.data(), b, columns), E(D2_.data(), b, columns);
    copy(Z_test.top(b), D.columns(0, m_));
    zero(D.columns(m_, targets_));
    copy_upper(R, R_previous);
    blas::append_rows_qr(R, B, T, work_.data());
    blas::append_rows_apply('T', B, T, Cg, D, work_.data());

    // The annihilated directions N (top: R's rows, bottom: the new ones); made nested, bottom upper triangular.
    const M N_top(N_top_.data(), r, b), N_bottom(N_bottom_.data(), b, b), N(N_nested_.data(), r, b), O(small_.data(), b, b);
    zero(N_top);
    zero(N_bottom);
    for (Index j = 0; j < b; ++j) N_bottom(j, j) = 1.0;
    blas::append_rows_apply('N', B, T, N_top, N_bottom, work_.data());
    blas::rq(N_bottom, O, tau_.data(), work_.data(), static_cast<Index>(work_.size()));
    blas::gemm('N', 'N', 1.0, O, D, 0.0, E);
    blas::gemm('N', 'T', 1.0, N_top, O, 0.0, N);
    blas::solve_upper('L', 'N', R_previous, N);  // k_j <- R^-1 N_top

    // End of the block: by the recursion, or afresh where the recursion would cancel
    for (Index j = 0; j < b; ++j) {
        const double* k = N.col(j);
        for (Index i = 0; i < r; ++i) diag_[i] -= k[i] * k[i];
        for (Index t = 0; t < targets_; ++t) axpy(-E(j, m_ + t), k, alpha_.data() + t * r, r);
    }
    bool fresh = false;
    for (Index i = 0; i < r; ++i) fresh = fresh || !(diag_[i] > refresh_below * diag_reference_[i]);
    if (fresh) {
        restart_working();
    } else {
        blas::gemm('T', 'N', 1.0, Cg.columns(0, m_), g, 0.0, M(predictions_.data(), m_, targets_));
        for (Index t = 0; t < targets_; ++t) norm2_[t] = squared_norm(g.col(t), r);
        inverse_norm2_ = 0;
        for (Index i = 0; i < r; ++i) inverse_norm2_ += diag_[i];
    }

    // Backwards through the block; its end state is put back afterwards
    const auto end_predictions = predictions_, end_alpha = alpha_, end_diag = diag_, end_norm2 = norm2_;
    const double end_inverse = inverse_norm2_;
    std::vector<double> norm2_of_features(b);
    for (Index j = 0; j < b; ++j) {
        count_norm(Z, j);
        norm2_of_features[j] = norm2_of_features_;
    }
    if (penalty_ > 0) follow_coefficient_norms(N, E.columns(m_, targets_));
    width_ += b;
    for (Index j = b - 1; j >= 0; --j) {
        norm2_of_features_ = norm2_of_features[j];
        write_working_row(rows, at + j, j);
        --width_;
        const double* k = N.col(j);
        double k2 = 0;
        for (Index i = 0; i < r; ++i) {
            diag_[i] += k[i] * k[i];
            k2 += k[i] * k[i];
        }
        inverse_norm2_ += k2;
        for (Index t = 0; t < targets_; ++t) {
            const double e = E(j, m_ + t);
            norm2_[t] += e * e;
            axpy(e, k, alpha_.data() + t * r, r);
            double* f = predictions_.data() + t * m_;
            for (Index i = 0; i < m_; ++i) f[i] += E(j, i) * e;
        }
    }
    predictions_ = end_predictions;
    alpha_ = end_alpha;
    diag_ = end_diag;
    norm2_ = end_norm2;
    inverse_norm2_ = end_inverse;
    norm2_of_features_ = norm2_of_features[b - 1];
    width_ += b;
    if (penalty_ > 0) std::copy_n(followed_norm2_.data() + (b - 1) * targets_, targets_, coefficient_norm2_.data());
}

// |a|^2 = |g|^2 - P |alpha|^2 cancels while the penalty dominates; the sum of its changes from feature to feature
// does not. Called with alpha at the end of the block; fills followed_norm2_, targets x b.
void WidthPath::follow_coefficient_norms(CM k, CM E_g) {
    const Index r = rank_, b = k.cols;
    followed_norm2_.resize(std::max<Index>(followed_norm2_.size(), b * targets_));
    std::vector<double> alpha(r);
    for (Index t = 0; t < targets_; ++t) {
        std::copy_n(alpha_.data() + t * r, r, alpha.data());
        double g2 = norm2_[t];
        std::vector<double> change(b), direct(b);
        std::vector<char> cancels(b);
        for (Index j = b - 1; j >= 0; --j) {
            const double e = E_g(j, t), virtual2 = penalty_ * squared_norm(alpha.data(), r);
            direct[j] = std::max(0.0, g2 - virtual2);
            cancels[j] = virtual2 > 0.5 * g2;
            axpy(e, k.col(j), alpha.data(), r);  // alpha before feature j
            change[j] = e * (2 * penalty_ * dot(k.col(j), alpha.data(), r) -
                             e * (1 + penalty_ * squared_norm(k.col(j), r)));
            g2 += e * e;
        }
        double norm2 = coefficient_norm2_[t];
        for (Index j = 0; j < b; ++j) {
            norm2 = cancels[j] ? std::max(0.0, norm2 + change[j]) : direct[j];
            followed_norm2_[j * targets_ + t] = norm2;
        }
    }
}

void WidthPath::write_working_row(const PathRows& rows, Index at, Index in_block) {
    rows.degrees_of_freedom[at] =
        penalty_ > 0 ? static_cast<double>(n_) - penalty_ * inverse_norm2_ : static_cast<double>(rank_);
    rows.rank[at] = static_cast<double>(penalty_ > 0 ? std::min(n_, width_) : rank_);
    rows.condition[at] = condition();
    for (Index t = 0; t < targets_; ++t) {
        double train = 0, norm2 = norm2_[t];
        if (penalty_ > 0) {  // residual = P alpha
            train = penalty_ * penalty_ * squared_norm(alpha_.data() + t * rank_, rank_);
            norm2 = followed_norm2_[in_block * targets_ + t];
        } else if (stage_ == Stage::rotated) {
            train = squared_norm(residual_.data() + t * q_rows_, n_);
        }
        write_errors(rows, at, t, train / static_cast<double>(n_), norm2, leave_one_out_working(t));
    }
}

// (K^-1 y)_i / (K^-1)_ii. In rotated coordinates K is singular: e_i / (1 - h_i), save for pinned samples.
double WidthPath::leave_one_out_working(Index target) {
    const double* alpha = alpha_.data() + target * rank_;
    double sum = 0;
    if (stage_ == Stage::dual) {
        for (Index i = 0; i < n_; ++i) sum += (alpha[i] / diag_[i]) * (alpha[i] / diag_[i]);
        return sum / static_cast<double>(n_);
    }
    const double* e = residual_.data() + target * q_rows_;
    std::vector<double> v;
    for (Index i = 0; i < n_; ++i) {
        double loo = e[i] / (1.0 - leverage_[i]);
        if (pinned(i)) {
            v.resize(rank_);
            for (Index j = 0; j < rank_; ++j) v[j] = Q_[i + j * q_rows_];
            const double along = dot(v.data(), alpha, rank_);
            blas::solve_upper('L', 'T', CM(R_.data(), rank_, rank_, capacity_), M(v.data(), rank_, 1));
            loo = along / squared_norm(v.data(), rank_);
        }
        sum += loo * loo;
    }
    return sum / static_cast<double>(n_);
}

void WidthPath::write_errors(const PathRows& rows, Index at, Index t, double train, double norm2, double loo) {
    const double* f = predictions_.data() + t * m_;
    rows.train_error(t, at) = train;
    rows.test_error(t, at) = squared_distance(f, y_test_.data() + t * m_, m_) / static_cast<double>(m_);
    rows.coefficient_norm(t, at) = std::sqrt(norm2);
    rows.leave_one_out_error(t, at) = loo;
    if (rows.predictions) std::copy_n(f, m_, rows.predictions + (at * targets_ + t) * m_);
}

// ---- condition ------------------------------------------------------------------------------------------------

void WidthPath::count_norm(CM Z, Index j) {
    for (Index i = 0; i < n_; ++i) norm2_of_features_ += Z(j, i) * Z(j, i);
}

// |A|_F |A^+|_F of what is factorised: A = [Z; sqrt(P) I_N] in the primal, [Z, sqrt(P) I_n] in the dual.
double WidthPath::condition() const {
    const double ridge2 = penalty_ * static_cast<double>(stage_ == Stage::primal ? width_ : n_);
    return std::max(1.0, std::sqrt((norm2_of_features_ + ridge2) * inverse_norm2_));
}

}  // namespace pyphenom
