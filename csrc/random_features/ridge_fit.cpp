#include "random_features/ridge_fit.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/blas.hpp"
#include "core/loops.hpp"

namespace pyphenom {
namespace {

using M = Matrix<double>;
using CM = Matrix<const double>;

constexpr double nearly_pinned_below = 1e-6;

double frobenius2(CM upper) {
    double s = 0;
    for (Index j = 0; j < upper.cols; ++j) s += squared_norm(upper.col(j), j + 1);
    return s;
}

}  // namespace

void ridge_fit(CM Z, CM y, CM Z_test, CM y_test, double penalty, const PathRows& rows) {
    const Index n = Z.cols, N = Z.rows, m = Z_test.cols, targets = y.cols;
    require(penalty > 0.0 && std::isfinite(penalty), "penalty", std::to_string(penalty), "a finite number > 0");
    require(y.rows == n, "y", std::to_string(y.rows) + " samples long", "as many samples as `Z`");
    require(Z_test.rows == N, "Z_test", std::to_string(Z_test.rows) + " features wide", "as many features as `Z`");
    require(y_test.rows == m && y_test.cols == targets, "y_test", "of another shape", "tests x targets");
    const bool primal = N < n;
    const Index r = std::min(n, N), height = n + N, rest = height - r;

    // A = [Z; sqrt(P) I] or [Z^T; sqrt(P) I] = Q R
    std::vector<double> A_(height * r, 0.0), tau(r), work(blas::work_for(std::max(r, targets)));
    const Index work_size = static_cast<Index>(work.size());
    const M A(A_.data(), height, r);
    for (Index j = 0; j < r; ++j) {
        for (Index i = 0; i < rest; ++i) A(i, j) = primal ? Z(j, i) : Z(i, j);
        A(rest + j, j) = std::sqrt(penalty);
    }
    blas::qr(A, tau.data(), work.data(), work_size);
    std::vector<double> R_(r * r, 0.0), inverse_(r * r);
    const M R(R_.data(), r, r), inverse(inverse_.data(), r, r);
    for (Index j = 0; j < r; ++j) std::copy_n(A.col(j), j + 1, R.col(j));
    inverse_ = R_;
    blas::invert_upper(inverse);

    std::vector<double> a_(N * targets, 0.0), alpha_, diag, residual(n * targets);
    const M a(a_.data(), N, targets);
    double df = 0;
    if (primal) {
        // c = Q^T [y; 0], a = R^-1 c; leverages from the rows of Q that belong to samples
        std::vector<double> rhs(height * targets, 0.0);
        for (Index t = 0; t < targets; ++t) std::copy_n(y.col(t), n, rhs.data() + t * height);
        blas::apply_qt(A, tau.data(), M(rhs.data(), height, targets), work.data(), work_size);
        const M c(rhs.data(), r, targets, height);
        blas::form_q(A, tau.data(), work.data(), work_size);
        for (Index t = 0; t < targets; ++t) std::copy_n(y.col(t), n, residual.data() + t * n);
        blas::gemm('N', 'N', -1.0, A.top(n), c, 1.0, M(residual.data(), n, targets));
        for (Index t = 0; t < targets; ++t) std::copy_n(c.col(t), r, a.col(t));
        blas::solve_upper('L', 'N', R, a);
        diag.assign(n, 1.0);  // 1 - h_i
        for (Index j = 0; j < r; ++j)
            for (Index i = 0; i < n; ++i) diag[i] -= A(i, j) * A(i, j);
        for (Index i = 0; i < n; ++i) df += 1.0 - diag[i];
    } else {
        // g = R^-T y, a = Q g (the rows of Q that belong to features), alpha = R^-1 g, residual = P alpha,
        // 1 - h_i = P (K^-1)_ii. Z^T alpha equals a too, but with the error of the squared condition number.
        alpha_.resize(n * targets);
        const M alpha(alpha_.data(), n, targets);
        for (Index t = 0; t < targets; ++t) std::copy_n(y.col(t), n, alpha.col(t));
        blas::solve_upper('L', 'T', R, alpha);
        blas::form_q(A, tau.data(), work.data(), work_size);
        blas::gemm('N', 'N', 1.0, A.top(N), alpha, 0.0, a);
        blas::solve_upper('L', 'N', R, alpha);
        for (Index i = 0; i < n * targets; ++i) residual[i] = penalty * alpha_[i];
        diag.assign(n, 0.0);
        for (Index j = 0; j < n; ++j)
            for (Index i = 0; i <= j; ++i) diag[i] += penalty * inverse(i, j) * inverse(i, j);
        for (Index i = 0; i < n; ++i) df += 1.0 - diag[i];
    }

    // Leave-one-out residual: e_i / (1 - h_i), from p = (I - Q Q^T) e_i where 1 - h_i has no digits left
    const auto left_out = [&](Index i, Index t) {
        if (!primal || diag[i] > nearly_pinned_below) return residual[i + t * n] / diag[i];
        std::vector<double> p(height, 0.0);
        p[i] = 1.0;
        for (int twice = 0; twice < 2; ++twice)
            for (Index j = 0; j < r; ++j) axpy(-dot(A.col(j), p.data(), height), A.col(j), p.data(), height);
        return dot(p.data(), y.col(t), n) / squared_norm(p.data(), height);
    };

    std::vector<double> f_(m * targets);
    blas::gemm('T', 'N', 1.0, Z_test, a, 0.0, M(f_.data(), m, targets));
    for (Index t = 0; t < targets; ++t) {
        const double *e = residual.data() + t * n, *f = f_.data() + t * m;
        double loo = 0, test = 0;
        for (Index i = 0; i < n; ++i) loo += left_out(i, t) * left_out(i, t);
        for (Index i = 0; i < m; ++i) test += (f[i] - y_test(i, t)) * (f[i] - y_test(i, t));
        rows.train_error(t, 0) = squared_norm(e, n) / static_cast<double>(n);
        rows.test_error(t, 0) = test / static_cast<double>(m);
        rows.coefficient_norm(t, 0) = std::sqrt(squared_norm(a.col(t), N));
        rows.leave_one_out_error(t, 0) = loo / static_cast<double>(n);
        if (rows.predictions) std::copy_n(f, m, rows.predictions + t * m);
    }
    rows.degrees_of_freedom[0] = df;
    rows.condition[0] = std::sqrt(frobenius2(R) * frobenius2(inverse));
    rows.rank[0] = static_cast<double>(r);
}

}  // namespace pyphenom
