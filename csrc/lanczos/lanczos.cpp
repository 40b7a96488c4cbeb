#include "lanczos/lanczos.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "core/blas.hpp"
#include "core/loops.hpp"
#include "lanczos/basis.hpp"
#include "lanczos/certificate.hpp"
#include "lanczos/relation.hpp"

namespace pyphenom {
namespace {

using M = Matrix<double>;
using CM = Matrix<const double>;

constexpr double largest_noise = 0.03;
constexpr double hopeless = 0.9;  // a full basis that leaves this probability of a miss will not do much better again
constexpr Index search_room = 12;  // steps that a search for copies should find room for

template <class T>
class Solver {
  public:
    Solver(Matrix<T> basis, const BlockProduct& product, const LanczosOptions& options)
        : A_(basis, product, options.seed, options.threads), options_(options), basis_(basis) {
        const Index n = basis.cols;
        y_.assign(n * n, 0.0);
        values_.assign(n, 0.0);
        order_.assign(n, 0);
        work_.assign(1 + 6 * n + 2 * n * n, 0.0);
        integer_work_.assign(3 + 5 * n, 0);
    }

    LanczosResult run(Index start) {
        // A start vector may be an eigenvector of another eigenvalue, and would have no residual. Noise of norm e has
        // some e / sqrt(P) along the best eigenvector, no polynomial shrinks that before a Ritz value comes up there,
        // and at this size it keeps the residual above the tolerance. The limit keeps warm starts warm.
        const double size = static_cast<double>(A_.size());
        A_.adopt(start, std::min(largest_noise, 100.0 * std::sqrt(size) * options_.tolerance));
        while (A_.waiting() < options_.block && A_.draw() > 0.0) {
        }
        Index unread = A_.waiting(), next_check = 1;
        while (A_.products() < options_.max_products) {
            if (A_.waiting() == 0 && !(A_.draw() > 0.0)) {
                result_.miss_probability = 0.0;  // the basis spans the whole space
                searching_ = false;
                break;
            }
            Index count = std::min({options_.block, A_.waiting(), options_.max_products - A_.products()});
            if (searching_)
                count = A_.orient({direction_});
            else if (unread == 0 && count < A_.waiting())
                count = aim(count);
            A_.multiply(count);
            unread = std::max<Index>(0, unread - count);
            // A random vector may have to join before the next product.
            const bool full = may_fill() && A_.used() + options_.block + 1 > A_.capacity();
            if (searching_) {
                // Until its own Ritz values reach the wanted ones, the search changes none of them.
                const bool shown = follow(), sure = missed() <= options_.miss_probability;
                if (!shown && !sure && !full) continue;
            } else {
                const bool stale = A_.waiting() > options_.block;  // the next directions depend on the Ritz vectors
                if (unread > 0 || (A_.expanded() < next_check && !stale && !full)) continue;
            }
            const double worst = check();
            // No residual falls below the drift.
            if (A_.drift() > options_.tolerance * std::max(result_.scale, A_.largest_product())) break;
            if (result_.converged < options_.wanted) {
                searching_ = false;
                missed_before_ = 1.0;
                if (full) restart(std::max(options_.wanted, A_.expanded() / 2 + 1));
            } else if (!search(full)) {
                searching_ = false;
                break;
            }
            next_check =
                A_.expanded() + (worst > 30.0 * options_.tolerance ? std::max<Index>(1, A_.expanded() / 8) : 1);
        }
        return finish();
    }

  private:
    bool may_fill() const { return A_.capacity() < A_.size() + options_.block; }

    // Turns Q so that its first columns span the residuals of the first unconverged pairs. Returns how many they are.
    Index aim(Index count) {
        typename Relation<T>::Directions residuals;
        for (Index r = 0; r < std::min(ritz_, options_.wanted) && static_cast<Index>(residuals.size()) < count; ++r)
            if (residual(r) > options_.tolerance * result_.scale) residuals.push_back(coupling(r));
        return std::max<Index>(1, A_.orient(residuals));
    }

    // C y: the residual of the pair ranked r, in Q
    std::vector<double> coupling(Index r) const {
        const auto c = A_.c();
        const double* y = y_.data() + order_[r] * A_.capacity();
        std::vector<double> x(static_cast<std::size_t>(c.rows), 0.0);
        for (Index j = 0; j < ritz_; ++j) axpy(y[j], c.col(j), x.data(), c.rows);
        return x;
    }

    // |A V y - theta V y| of the pair ranked r
    double residual(Index r) const {
        const std::vector<double> x = coupling(r);
        return std::sqrt(A_.drift() * A_.drift() + squared_norm(x.data(), static_cast<Index>(x.size())));
    }

    // T = Y diag(values) Y^T, ranked; returns the largest relative residual of the wanted.
    double check() {
        ritz_ = A_.expanded();
        const M y(y_.data(), ritz_, ritz_, A_.capacity());
        copy(A_.t(), y);
        blas::eigen(y, values_.data(), work_.data(), static_cast<Index>(work_.size()), integer_work_.data(),
                    static_cast<Index>(integer_work_.size()));
        std::iota(order_.begin(), order_.begin() + ritz_, Index{0});  // ascending
        const auto first = order_.begin(), last = order_.begin() + ritz_;
        if (options_.which == Which::largest) std::reverse(first, last);
        if (options_.which == Which::magnitude)
            std::stable_sort(first, last, [&](Index a, Index b) {
                return std::abs(values_[a]) > std::abs(values_[b]) ||
                       (std::abs(values_[a]) == std::abs(values_[b]) && values_[a] > values_[b]);
            });
        if (options_.which == Which::both)
            for (Index i = 0; i < ritz_; ++i) order_[i] = i % 2 == 0 ? ritz_ - 1 - i / 2 : i / 2;
        for (Index i = 0; i < ritz_; ++i) result_.scale = std::max(result_.scale, std::abs(values_[i]));
        result_.converged = 0;
        double worst = ritz_ < options_.wanted ? 1.0 : 0.0;
        for (Index r = 0; r < std::min(ritz_, options_.wanted); ++r) {
            const double size = residual(r);
            result_.converged += size <= options_.tolerance * result_.scale;
            if (result_.scale > 0) worst = std::max(worst, size / result_.scale);
        }
        return worst;
    }

    // The Ritz vectors ranked first, as columns of coordinates in V.
    std::vector<double> best(Index count) const {
        std::vector<double> chosen(static_cast<std::size_t>(ritz_ * count));
        for (Index r = 0; r < count; ++r)
            std::copy_n(y_.data() + order_[r] * A_.capacity(), ritz_, chosen.data() + r * ritz_);
        return chosen;
    }

    // V <- the best `keep` Ritz vectors, or as many as leave room for two steps.
    void restart(Index keep) {
        ++result_.restarts;
        const Index least = std::min(options_.wanted, ritz_), room = A_.capacity() - 2 * options_.block;
        keep = std::clamp(room - A_.waiting(), least, std::max(least, std::min(keep, ritz_)));
        const std::vector<double> chosen = best(keep);
        std::vector<double> values(static_cast<std::size_t>(keep));
        for (Index r = 0; r < keep; ++r) values[r] = values_[order_[r]];
        A_.compress(CM(chosen.data(), ritz_, keep), values.data());
        if (A_.waiting() > options_.block)
            A_.prune(0.1 * options_.tolerance * result_.scale, std::max<Index>(1, room - keep));
        check();
    }

    // Beyond the last of the wanted: more than the first, or less than the second.
    std::pair<double, double> beyond() const {
        constexpr double infinity = std::numeric_limits<double>::infinity();
        const double margin = options_.tolerance * result_.scale;
        double low = infinity, high = -infinity, least = infinity;
        for (Index r = 0; r < options_.wanted; ++r) {
            const double value = values_[order_[r]];
            least = std::min(least, std::abs(value));
            if (options_.which == Which::smallest || (options_.which == Which::both && r % 2 == 1))
                high = std::max(high, value);  // the last of those taken from below
            else
                low = std::min(low, value);  // the last of those taken from above
        }
        if (options_.which == Which::magnitude) return {least + margin, -least - margin};
        return {low + margin, high - margin};
    }

    // The values whose copies, if there were more, would have to be among the wanted.
    std::vector<double> better_than_the_last() const {
        const auto [above, below] = beyond();
        std::vector<double> points;
        for (Index r = 0; r < options_.wanted; ++r) {
            const double value = values_[order_[r]];
            if (value > above || value < below) points.push_back(value);
        }
        return points;
    }

    // Whether the wanted values have changed since the search began.
    bool found_better() const {
        const double margin = options_.tolerance * result_.scale;
        for (Index r = 0; r < options_.wanted; ++r)
            if (std::abs(values_[order_[r]] - known_[r]) > margin) return true;
        return false;
    }

    double missed() const { return missed_before_ * certificate_.failure(); }

    // All wanted pairs have converged: starts the search for copies, lets it go on, or starts it again where the basis
    // is full. False where the computation is over.
    bool search(bool full) {
        const bool matter = !better_than_the_last().empty();
        if (searching_ && found_better()) {
            searching_ = false;
            missed_before_ = 1.0;
        }
        result_.miss_probability = !matter ? 0.0 : searching_ ? missed() : missed_before_;
        if (result_.miss_probability <= options_.miss_probability) return false;
        if (searching_ && !full) return true;
        if (searching_ && certificate_.failure() > hopeless) return false;
        missed_before_ = result_.miss_probability;
        if (may_fill() && A_.capacity() - A_.used() < std::max<Index>(2, std::min(search_room, A_.capacity() / 4)))
            restart(std::max(options_.wanted, A_.capacity() / 3));
        const Index known = A_.waiting(), complement = A_.size() - A_.expanded();
        if (complement == 0) {
            result_.miss_probability = 0.0;
            return false;
        }
        // Uniform on the sphere of the complement of V: rounding errors may have turned Q towards a copy.
        const double rest = A_.draw() * std::sqrt(static_cast<double>(A_.size()));
        direction_.assign(static_cast<std::size_t>(A_.waiting()), rest);
        A_.draw_normals(direction_.data(), known);
        certificate_ = Certificate(better_than_the_last(), complement);
        const auto [above, below] = beyond();
        above_ = CountAbove(above, 1.0);
        below_ = CountAbove(-below, -1.0);
        known_.clear();
        for (Index r = 0; r < options_.wanted; ++r) known_.push_back(values_[order_[r]]);
        searching_ = true;
        return true;
    }

    // After a product of the search: B q = beta' q' + alpha q + beta q'' in the complement of the V that it began with.
    // Returns whether another Ritz value of B has come out beyond the last of the wanted.
    bool follow() {
        const auto c = A_.c();
        const Index last = A_.expanded() - 1, before = above_.count() + below_.count();
        direction_.assign(c.col(last), c.col(last) + c.rows);
        const double alpha = A_.t()(last, last), norm = std::sqrt(squared_norm(c.col(last), c.rows));
        const double beta = norm > A_.nothing() ? norm : 0.0;
        certificate_.append(alpha, beta);
        above_.append(alpha, beta);
        below_.append(alpha, beta);
        return above_.count() + below_.count() > before;
    }

    LanczosResult finish() {
        check();
        if (searching_)  // the products are used up
            result_.miss_probability = result_.converged < options_.wanted || found_better() ? 1.0 : missed();
        const Index k = std::min(options_.wanted, ritz_);
        for (Index r = 0; r < k; ++r) {
            result_.values.push_back(values_[order_[r]]);
            result_.residuals.push_back(residual(r));
        }
        const std::vector<double> chosen = best(k);
        rotate<T>(basis_.columns(0, ritz_), CM(chosen.data(), ritz_, k), options_.threads);
        result_.products = A_.products();
        result_.drift = A_.drift();
        return result_;
    }

    Relation<T> A_;
    LanczosOptions options_;
    Matrix<T> basis_;
    Index ritz_ = 0;  // columns of V at the last check
    std::vector<double> y_, values_, work_;
    std::vector<int> integer_work_;
    std::vector<Index> order_;
    bool searching_ = false;
    std::vector<double> known_, direction_;  // the wanted values at the start of the search; where in Q it goes on
    double missed_before_ = 1.0;  // by searches that a full basis ended
    Certificate certificate_{{}, 1};
    CountAbove above_{0.0, 1.0}, below_{0.0, 1.0};
    LanczosResult result_;
};

}  // namespace

Index smallest_basis(Index size, Index wanted, Index start, Index block) {
    return std::min(size, std::max(wanted, start) + std::max(start, block) + block + 2) + block;
}

template <class T>
LanczosResult lanczos(Matrix<T> basis, Index start, const BlockProduct& product, const LanczosOptions& options) {
    require(options.wanted >= 1 && options.wanted <= basis.rows, "wanted", std::to_string(options.wanted),
            "between 1 and the size of the operator");
    require(options.block >= 1, "block", std::to_string(options.block), "at least 1");
    require(start >= 0 && start <= basis.rows, "start", std::to_string(start), "at most the size of the operator");
    require(basis.cols >= smallest_basis(basis.rows, options.wanted, start, options.block), "basis",
            std::to_string(basis.cols) + " columns wide", "as many as `smallest_basis` says");
    return Solver<T>(basis, product, options).run(start);
}

template LanczosResult lanczos<float>(Matrix<float>, Index, const BlockProduct&, const LanczosOptions&);
template LanczosResult lanczos<double>(Matrix<double>, Index, const BlockProduct&, const LanczosOptions&);

}  // namespace pyphenom
