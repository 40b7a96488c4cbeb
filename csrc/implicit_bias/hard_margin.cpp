#include "implicit_bias/hard_margin.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/blas.hpp"
#include "core/buffer.hpp"
#include "core/loops.hpp"

namespace pyphenom {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
// A row counts as dependent on the support where less than this part of its squared length stands out of its span.
constexpr double dependent = 1e-12;
constexpr Index most_sweeps = 200, calm_sweeps = 5;

// Moves alpha towards the solution until the support has not changed for some sweeps.
Index descend(Matrix<const double> K, double* alpha, const std::function<void()>& check) {
    const Index n = K.rows;
    std::vector<double> margin(static_cast<std::size_t>(n), 0.0);
    Index calm = 0, sweep = 0;
    while (sweep < most_sweeps && calm < calm_sweeps) {
        check();
        bool changed = false;
        for (Index i = 0; i < n; ++i) {
            const double to = std::max(0.0, alpha[i] + (1.0 - margin[i]) / K(i, i));
            if (to == alpha[i]) continue;
            changed |= (to > 0) != (alpha[i] > 0);
            axpy(to - alpha[i], K.col(i), margin.data(), n);
            alpha[i] = to;
        }
        calm = changed ? 0 : calm + 1;
        ++sweep;
    }
    return sweep;
}

// The support A with K_AA = R'R, R upper triangular, and alpha on it.
class ActiveSet {
  public:
    explicit ActiveSet(Matrix<const double> K)
        : K_(K), store_(static_cast<std::size_t>(K.rows * K.rows)), factor_(store_.data(), K.rows, K.rows) {
        const auto n = static_cast<std::size_t>(K.rows);
        for (std::vector<double>* part : {&alpha_, &column_, &work_}) part->reserve(n);
        members_.reserve(n);
    }

    const std::vector<Index>& members() const { return members_; }
    const std::vector<double>& alpha() const { return alpha_; }
    Index size() const { return static_cast<Index>(members_.size()); }

    // A <- the independent ones among `candidates`, earlier ones first, alpha <- K_AA^-1 1, without those whose alpha
    // is not positive.
    void start(std::vector<Index> candidates) {
        members_ = std::move(candidates);
        for (factorise(); !members_.empty(); factorise()) {
            solve_for_ones();
            std::vector<Index> kept;
            for (Index j = 0; j < size(); ++j)
                if (alpha_[j] > 0) kept.push_back(members_[j]);
            if (kept.size() == members_.size()) return;
            members_ = kept;
        }
        alpha_.clear();
    }

    // r <- K_AA^-1 K_Ap; returns the squared length of row p outside of the span of A, zero where it is dependent.
    double project(Index p, std::vector<double>& r) {
        r.resize(members_.size());
        for (Index j = 0; j < size(); ++j) r[j] = K_(members_[j], p);
        solve('T', r);
        column_ = r;
        solve('N', r);
        const double left = K_(p, p) - squared_norm(column_.data(), size());
        return left > dependent * K_(p, p) ? left : 0.0;
    }

    // Appends p, of which `project` has told `left`.
    void append(Index p, double left, double alpha) {
        const Index k = size();
        std::copy(column_.begin(), column_.end(), factor_.col(k));
        factor_(k, k) = std::sqrt(left);
        members_.push_back(p);
        alpha_.push_back(alpha);
    }

    // alpha <- alpha - t r
    void move(double t, const std::vector<double>& r) {
        for (std::size_t j = 0; j < r.size(); ++j) alpha_[j] = std::max(0.0, alpha_[j] - t * r[j]);
    }

    // Takes out the j-th: its column of R goes, and rotations restore the triangle.
    void remove(Index j) {
        const Index last = size() - 1;
        work_.resize(static_cast<std::size_t>(2 * (last - j)));
        for (Index c = j; c < last; ++c) {
            double* to = factor_.col(c);
            std::copy_n(factor_.col(c + 1), c + 2, to);
            for (Index i = j; i <= c; ++i) {
                double& cosine = work_[2 * (i - j)];
                double& sine = work_[2 * (i - j) + 1];
                if (i == c) {
                    const double length = std::hypot(to[i], to[i + 1]);
                    cosine = to[i] / length;
                    sine = to[i + 1] / length;
                }
                const double upper = to[i], lower = to[i + 1];
                to[i] = cosine * upper + sine * lower;
                to[i + 1] = cosine * lower - sine * upper;
            }
        }
        members_.erase(members_.begin() + j);
        alpha_.erase(alpha_.begin() + j);
    }

    // margin (n) <- K_:A alpha
    void margins(std::vector<double>& margin) const {
        std::fill(margin.begin(), margin.end(), 0.0);
        for (Index j = 0; j < size(); ++j) axpy(alpha_[j], K_.col(members_[j]), margin.data(), K_.rows);
    }

  private:
    void solve(char trans, std::vector<double>& b) {
        if (!b.empty()) blas::solve_upper('L', trans, factor_.block(0, 0, size(), size()), {b.data(), size(), 1});
    }

    void solve_for_ones() {
        alpha_.assign(members_.size(), 1.0);
        solve('T', alpha_);
        solve('N', alpha_);
    }

    // R from K_AA at once; one by one, without the dependent ones, where that fails.
    void factorise() {
        const Index k = size();
        const auto square = factor_.block(0, 0, k, k);
        for (Index j = 0; j < k; ++j)
            for (Index i = 0; i <= j; ++i) square(i, j) = K_(members_[i], members_[j]);
        bool independent = k == 0 || blas::cholesky(square);
        for (Index j = 0; independent && j < k; ++j)
            independent = square(j, j) * square(j, j) > dependent * K_(members_[j], members_[j]);
        if (independent) return;
        const std::vector<Index> candidates = members_;
        std::vector<double> r;
        members_.clear();
        alpha_.clear();
        for (const Index p : candidates)
            if (const double left = project(p, r); left > 0) append(p, left, 0.0);
    }

    Matrix<const double> K_;
    Buffer store_;
    Matrix<double> factor_;
    std::vector<Index> members_;
    std::vector<double> alpha_, column_, work_;
};

// What rounding may feign in the margin of row i.
double rounding(Matrix<const double> K, const ActiveSet& active, Index i) {
    double size = 1;
    for (Index j = 0; j < active.size(); ++j) size += active.alpha()[j] * std::abs(K(active.members()[j], i));
    return 4 * std::numeric_limits<double>::epsilon() * size;
}

// The row that is violated most, by its distance; -1 where none is by more than tol and rounding.
Index most_violated(Matrix<const double> K, const ActiveSet& active, const std::vector<double>& margin, double tol) {
    Index worst = -1;
    double distance = 0;
    for (Index i = 0; i < K.rows; ++i) {
        const double violation = 1.0 - margin[i];
        if (!(violation > tol) || !(violation > distance * std::sqrt(K(i, i)))) continue;
        if (!(violation > rounding(K, active, i))) continue;
        worst = i;
        distance = violation / std::sqrt(K(i, i));
    }
    return worst;
}

}  // namespace

HardMarginRun solve_hard_margin(Matrix<const double> K, double tol, Index max_exchanges, double* alpha,
                                const std::function<void()>& check) {
    const Index n = K.rows;
    require(n >= 1 && K.cols == n, "K", "of another shape", "a square matrix of at least one row");
    HardMarginRun run;
    std::fill_n(alpha, n, 0.0);
    for (Index i = 0; i < n; ++i) {
        if (K(i, i) > 0) continue;
        alpha[i] = 1;  // a row of zeros is on no side
        run.end = HardMarginEnd::inseparable;
        return run;
    }
    run.sweeps = descend(K, alpha, check);

    std::vector<Index> order;
    for (Index i = 0; i < n; ++i)
        if (alpha[i] > 0) order.push_back(i);
    std::stable_sort(order.begin(), order.end(), [&](Index i, Index j) { return alpha[i] > alpha[j]; });
    ActiveSet active(K);
    active.start(order);

    const auto finish = [&](HardMarginEnd end) {
        std::fill_n(alpha, n, 0.0);
        for (Index j = 0; j < active.size(); ++j) alpha[active.members()[j]] = active.alpha()[j];
        run.end = end;
        return run;
    };
    std::vector<double> margin(static_cast<std::size_t>(n)), r;
    bool refined = false;
    while (run.exchanges < max_exchanges) {
        check();
        active.margins(margin);
        const Index p = most_violated(K, active, margin, tol);
        if (p < 0) {
            if (refined) {
                // Multipliers so large that margins of one are lost in rounding are a direction, not a solution.
                bool lost = false;
                for (const Index i : active.members()) lost |= rounding(K, active, i) > 0.1;
                return finish(lost ? HardMarginEnd::inseparable : HardMarginEnd::solved);
            }
            active.start(active.members());
            refined = true;
            continue;
        }
        refined = false;
        // alpha_p grows from zero while the margins of the support stay at one; who falls to zero on the way leaves.
        for (double left_to_one = 1.0 - margin[p], alpha_p = 0;;) {
            ++run.exchanges;
            const double left = active.project(p, r);
            double largest = 1;
            for (const double entry : r) largest = std::max(largest, std::abs(entry));
            const double full = left > 0 ? left_to_one / left : infinity;
            double t = full;
            Index blocking = -1;
            for (Index j = 0; j < active.size(); ++j) {
                if (!(r[j] > 1e-12 * largest) || !(active.alpha()[j] / r[j] < t)) continue;
                t = active.alpha()[j] / r[j];
                blocking = j;
            }
            if (t == infinity) {  // x_p = sum_j r_j x_j with no r_j > 0
                std::fill_n(alpha, n, 0.0);
                for (Index j = 0; j < active.size(); ++j) alpha[active.members()[j]] = std::max(0.0, -r[j]);
                alpha[p] = 1;
                run.end = HardMarginEnd::inseparable;
                return run;
            }
            active.move(t, r);
            alpha_p += t;
            if (blocking < 0) {
                active.append(p, left, alpha_p);
                break;
            }
            left_to_one -= t * left;
            active.remove(blocking);
        }
    }
    return finish(HardMarginEnd::undecided);
}

}  // namespace pyphenom
