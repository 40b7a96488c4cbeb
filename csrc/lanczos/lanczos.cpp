#include "lanczos/lanczos.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "core/blas.hpp"
#include "core/loops.hpp"
#include "lanczos/basis.hpp"
#include "lanczos/certificate.hpp"

namespace pyphenom {
namespace {

using M = Matrix<double>;
using CM = Matrix<const double>;

constexpr double hopeless = 0.9;  // a full basis that leaves this probability of a miss will not do much better again
constexpr Index search_room = 12;  // steps that a search for copies should find room for

template <class T>
class Solver {
  public:
    Solver(Matrix<T> basis, const BlockProduct& product, const LanczosOptions& options)
        : B_(basis), product_(product), options_(options), size_(basis.rows), capacity_(basis.cols) {
        const std::size_t square = static_cast<std::size_t>(capacity_ * capacity_);
        for (auto* matrix : {&t_, &c_, &y_, &h_, &small_}) matrix->assign(square, 0.0);
        values_.assign(capacity_, 0.0);
        norms_.assign(capacity_, 0.0);
        order_.assign(capacity_, 0);
        work_.assign(1 + 6 * capacity_ + 2 * capacity_ * capacity_, 0.0);
        integer_work_.assign(3 + 5 * capacity_, 0);
    }

    LanczosResult run(Index start) {
        adopt(start);
        while (waiting_ < options_.block && draw() > 0.0) {
        }
        Index unread = waiting_, next_check = 1;
        while (result_.products < options_.max_products) {
            if (waiting_ == 0 && !(draw() > 0.0)) {
                result_.miss_probability = 0.0;  // the basis spans the whole space
                break;
            }
            Index count = std::min({options_.block, waiting_, options_.max_products - result_.products});
            if (searching_)
                count = orient({direction_});
            else if (unread == 0 && count < waiting_)
                count = aim(count);
            multiply(count);
            unread = std::max<Index>(0, unread - count);
            bool sure = false;
            if (searching_) {
                continue_search();
                sure = missed() <= options_.miss_probability;
            }

            const bool full = used() + options_.block > capacity_;
            if (unread > 0 || (expanded_ < next_check && waiting_ <= options_.block && !sure && !full)) continue;
            const double worst = check();
            // No residual falls below the drift: rounding, noise or an operator that is not symmetric.
            if (result_.drift > options_.tolerance * std::max(result_.scale, largest_product_)) break;
            if (result_.converged < options_.wanted) {
                searching_ = false;
                missed_before_ = 1.0;
                if (full) restart(std::max(options_.wanted, expanded_ / 2 + 1));
            } else if (!search(full)) {
                break;
            }
            next_check = expanded_ + (worst > 30.0 * options_.tolerance ? std::max<Index>(1, expanded_ / 8) : 1);
        }
        return finish();
    }

  private:
    double& t(Index i, Index j) { return t_[i + j * capacity_]; }
    double& c(Index i, Index j) { return c_[i + j * capacity_]; }
    // What rounding leaves of a product that lies in the basis.
    double nothing() const { return 4.0 * std::numeric_limits<T>::epsilon() * largest_product_; }
    M matrix(std::vector<double>& room, Index rows, Index cols) const { return {room.data(), rows, cols, capacity_}; }
    Index used() const { return expanded_ + waiting_; }

    // Makes the columns [used, used + count) orthonormal to all before them; those that were dependent are left out.
    // Returns how many joined Q; C gets no entries.
    void adopt(Index count) {
        for (Index i = 0; i < count; ++i) {
            T* w = B_.col(i);
            double before = 0;
            orthogonalise<T>(B_.columns(0, 0), Matrix<T>(w, size_, 1), matrix(h_, 0, 1), &before, 1);
            finite(before, "v0");
            if (before > 0.0) scale(w, size_, 1.0 / before);
            if (before > 0.0 && append_normalised(i, 1e-6) > 0.0) continue;
        }
        // A start inside an invariant subspace would never leave it.
        if (waiting_ > 0) disturb();
    }

    // Orthonormalises column i >= used against everything before `used` and appends it to Q unless less than `least`
    // of its unit norm is left. Returns the norm left, 0 if dropped.
    double append_normalised(Index i, double least) {
        double norm = 1.0, total = 1.0;
        for (int repeat = 0; repeat < 3; ++repeat) {
            orthogonalise<T>(B_.columns(0, used()), B_.columns(i, 1), matrix(h_, used(), 1), &norm, options_.threads);
            total *= norm;
            if (!(total > least)) return 0.0;
            scale(B_.col(i), size_, 1.0 / norm);
            if (norm > 0.5) break;  // else rounding errors have grown with the normalisation
        }
        if (i != used()) std::copy_n(B_.col(i), size_, B_.col(used()));
        for (Index j = 0; j < expanded_; ++j) c(waiting_, j) = 0.0;
        ++waiting_;
        return total;
    }

    // A fresh random vector joins Q. Returns its share outside [V Q], as a norm; 0 where there is no room in the space.
    double draw() {
        for (int attempt = 0; attempt < 3 && used() < size_; ++attempt) {
            fill_normal(B_.col(used()), size_, options_.seed, draws_++);
            scale(B_.col(used()), size_, 1.0 / std::sqrt(static_cast<double>(size_)));
            const double left = append_normalised(used(), 1e-10);
            if (left > 0.0) return left;
        }
        return 0.0;
    }

    // Mixes a thousandth of a random vector into the first start vector: one that is an eigenvector already, or has no
    // part along the wanted one, would stop at once; a good one loses a millionth of its Rayleigh quotient.
    void disturb() {
        T *q = B_.col(0), *noise = B_.col(used());
        if (used() >= size_) return;
        fill_normal(noise, size_, options_.seed, draws_++);
        double norm = 0;
        orthogonalise<T>(B_.columns(0, used()), B_.columns(used(), 1), matrix(h_, used(), 1), &norm, options_.threads);
        if (!(norm > 0.0)) return;
        const double factor = 1e-3 / norm, shrink = 1.0 / std::sqrt(1.0 + 1e-6);
        for (Index i = 0; i < size_; ++i) q[i] = static_cast<T>((q[i] + factor * noise[i]) * shrink);
    }

    // Turns Q so that its first columns span the residuals of the first unconverged pairs. Returns how many they are.
    Index aim(Index count) {
        std::vector<std::vector<double>> residuals;
        for (Index r = 0; r < std::min(ritz_, options_.wanted); ++r) {
            if (residual(r) <= options_.tolerance * result_.scale) continue;
            std::vector<double> x(static_cast<std::size_t>(waiting_), 0.0);
            for (Index j = 0; j < ritz_; ++j)
                for (Index i = 0; i < waiting_; ++i) x[i] += c(i, j) * y_[j + order_[r] * capacity_];
            residuals.push_back(x);
            if (static_cast<Index>(residuals.size()) == count) break;
        }
        return std::max<Index>(1, orient(residuals));
    }

    // Q <- Q U, C <- U^T C with U orthogonal, its first columns spanning `directions`. Returns their rank.
    Index orient(const std::vector<std::vector<double>>& directions) {
        const Index b = waiting_;
        if (b == 1) return 1;
        std::vector<double> u_(static_cast<std::size_t>(b * b), 0.0);
        const M u(u_.data(), b, b);
        Index found = 0;
        const auto accept = [&](std::vector<double> x) {
            const double before = squared_norm(x.data(), b);
            for (int pass = 0; pass < 2; ++pass)
                for (Index k = 0; k < found; ++k) axpy(-dot(u.col(k), x.data(), b), u.col(k), x.data(), b);
            const double after = squared_norm(x.data(), b);
            if (!(after > 1e-16 * before)) return;
            for (Index i = 0; i < b; ++i) u(i, found) = x[i] / std::sqrt(after);
            ++found;
        };
        for (const auto& x : directions) accept(x);
        const Index rank = found;
        for (Index e = 0; e < b && found < b; ++e) {
            std::vector<double> unit(static_cast<std::size_t>(b), 0.0);
            unit[e] = 1.0;
            accept(unit);
        }
        turn(u);
        return rank;
    }

    void turn(M u) {
        rotate<T>(B_.columns(expanded_, waiting_), u, options_.threads);
        const M room = matrix(small_, u.cols, expanded_);
        blas::gemm('T', 'N', 1.0, u, matrix(c_, waiting_, expanded_), 0.0, room);
        for (Index j = 0; j < expanded_; ++j) std::copy_n(room.col(j), u.cols, c_.data() + j * capacity_);
        waiting_ = u.cols;
    }

    // The first `count` directions of Q move to V; what is new in their products joins Q.
    void multiply(Index count) {
        const Index m = expanded_, before = used(), rest = waiting_ - count;
        product_(m, count, before);
        result_.products += count;
        const M h = matrix(h_, before, count);
        orthogonalise<T>(B_.columns(0, before), B_.columns(before, count), h, norms_.data(), options_.threads);
        double largest = 0;
        for (Index a = 0; a < count; ++a) {
            double total = norms_[a] * norms_[a], wrong = 0;
            for (Index i = 0; i < before; ++i) total += h(i, a) * h(i, a);
            finite(total, "a product of `operator`");
            largest = std::max(largest, std::sqrt(total));
            // V^T A q is known already: C^T. What differs is rounding, or an operator that is not symmetric.
            for (Index i = 0; i < m; ++i) {
                const double error = h(i, a) - c(a, i);
                wrong += error * error;
                t(i, m + a) = t(m + a, i) = c(a, i);
            }
            for (Index k = 0; k < count; ++k) {
                const double error = 0.5 * (h(m + k, a) - h(m + a, k));
                wrong += error * error;
                t(m + k, m + a) = 0.5 * (h(m + k, a) + h(m + a, k));
            }
            result_.drift = std::max(result_.drift, std::sqrt(wrong));
        }
        largest_product_ = std::max(largest_product_, largest);
        for (Index j = 0; j < m; ++j)
            for (Index r = 0; r < rest; ++r) c(r, j) = c(count + r, j);
        for (Index a = 0; a < count; ++a)
            for (Index r = 0; r < rest; ++r) c(r, m + a) = h(m + count + r, a);
        expanded_ += count;
        waiting_ = rest;
        // The new directions, orthonormalised one by one; a dependent one ends here.
        for (Index a = 0; a < count; ++a) {
            const Index others = waiting_ - rest;
            std::vector<double> r(static_cast<std::size_t>(others + 1), 0.0);
            double norm = norms_[a];
            if (others > 0)
                orthogonalise<T>(B_.columns(before, others), B_.columns(before + a, 1), M(r.data(), others, 1), &norm,
                                 options_.threads);
            for (Index k = 0; k < others; ++k) c(rest + k, m + a) = r[k];
            if (!(norm > nothing()) || used() == size_) {
                result_.drift = std::max(result_.drift, norm);
                continue;
            }
            scale(B_.col(before + a), size_, 1.0 / norm);
            if (norm < 0.5 * norms_[a] || norm < 1e-3 * largest_product_) {
                // Rounding errors along the basis have grown with the normalisation.
                const double left = append_normalised(before + a, 1e-3);
                if (left == 0.0) continue;
            } else {
                if (a != others) std::copy_n(B_.col(before + a), size_, B_.col(used()));
                for (Index j = 0; j < expanded_; ++j) c(waiting_, j) = 0.0;
                ++waiting_;
            }
            c(waiting_ - 1, m + a) = norm;
        }
    }

    // T = Y diag(values) Y^T, ranked; returns the largest relative residual of the wanted.
    double check() {
        ritz_ = expanded_;
        const M y = matrix(y_, ritz_, ritz_);
        for (Index j = 0; j < ritz_; ++j) std::copy_n(t_.data() + j * capacity_, ritz_, y.col(j));
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

    // |A V y - theta V y| of the pair ranked r
    double residual(Index r) const {
        const double* y = y_.data() + order_[r] * capacity_;
        double sum = result_.drift * result_.drift;
        for (Index i = 0; i < waiting_; ++i) {
            double s = 0;
            for (Index j = 0; j < ritz_; ++j) s += c_[i + j * capacity_] * y[j];
            sum += s * s;
        }
        return std::sqrt(sum);
    }

    // V <- the best `keep` Ritz vectors, or as many as leave room for two steps.
    void restart(Index keep) {
        ++result_.restarts;
        const Index least = std::min(options_.wanted, expanded_);
        keep = std::clamp<Index>(capacity_ - waiting_ - 2 * options_.block, least,
                                 std::max(least, std::min(keep, expanded_)));
        std::vector<double> chosen_(static_cast<std::size_t>(expanded_ * keep));
        const M chosen(chosen_.data(), expanded_, keep);
        for (Index r = 0; r < keep; ++r) std::copy_n(y_.data() + order_[r] * capacity_, expanded_, chosen.col(r));
        rotate<T>(B_.columns(0, expanded_), chosen, options_.threads);
        for (Index i = 0; i < waiting_; ++i) std::copy_n(B_.col(expanded_ + i), size_, B_.col(keep + i));
        const M room_c = matrix(small_, waiting_, keep);
        blas::gemm('N', 'N', 1.0, matrix(c_, waiting_, expanded_), chosen, 0.0, room_c);
        for (Index j = 0; j < keep; ++j) {
            std::copy_n(room_c.col(j), waiting_, c_.data() + j * capacity_);
            std::fill_n(t_.data() + j * capacity_, keep, 0.0);
            t(j, j) = values_[order_[j]];
        }
        expanded_ = keep;
        if (waiting_ > options_.block)
            prune(0.1 * options_.tolerance * result_.scale,
                  std::max<Index>(1, capacity_ - expanded_ - 2 * options_.block));
        check();
    }

    // Directions of Q whose couplings are at most `allowed` together, and as many more as leave only `most`, are
    // dropped; what they carried goes into the drift.
    void prune(double allowed, Index most) {
        const Index b = waiting_;
        if (b == 0) return;
        std::vector<double> g_(static_cast<std::size_t>(b * b)), sizes(b);
        const M g(g_.data(), b, b), couplings = matrix(c_, b, expanded_);
        blas::gemm('N', 'T', 1.0, couplings, couplings, 0.0, g);
        blas::eigen(g, sizes.data(), work_.data(), static_cast<Index>(work_.size()), integer_work_.data(),
                    static_cast<Index>(integer_work_.size()));
        Index dropped = 0;
        double lost = result_.drift * result_.drift;
        while (dropped < b && (lost + sizes[dropped] <= allowed * allowed || b - dropped > most))
            lost += std::max(0.0, sizes[dropped++]);
        if (dropped == 0) return;
        result_.drift = std::sqrt(lost);
        turn(g.columns(dropped, b - dropped));
    }

    // The values whose copies, if there were more, would have to be among the wanted.
    std::vector<double> better_than_the_last() const {
        std::vector<double> points;
        const double margin = options_.tolerance * result_.scale;
        double low = std::numeric_limits<double>::infinity(), high = -low, least = low;
        for (Index r = 0; r < options_.wanted; ++r) {
            const double value = values_[order_[r]];
            least = std::min(least, std::abs(value));
            if (options_.which == Which::smallest || (options_.which == Which::both && r % 2 == 1))
                high = std::max(high, value);  // the last of those taken from below
            else
                low = std::min(low, value);  // the last of those taken from above
        }
        for (Index r = 0; r < options_.wanted; ++r) {
            const double value = values_[order_[r]];
            const bool better = options_.which == Which::magnitude ? std::abs(value) > least + margin
                                                                   : value > low + margin || value < high - margin;
            if (better) points.push_back(value);
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
        if (capacity_ < size_ + options_.block && capacity_ - used() < std::min(search_room, capacity_ / 4))
            restart(std::max(options_.wanted, capacity_ / 3));
        const Index known = waiting_, complement = size_ - expanded_;
        if (complement == 0) {
            result_.miss_probability = 0.0;
            return false;
        }
        // Uniform on the sphere of the complement of V: rounding errors may have turned Q towards a copy.
        const double rest = draw() * std::sqrt(static_cast<double>(size_));
        direction_.assign(static_cast<std::size_t>(waiting_), rest);
        fill_normal(direction_.data(), known, options_.seed, draws_++);
        certificate_ = Certificate(better_than_the_last(), complement);
        known_.clear();
        for (Index r = 0; r < options_.wanted; ++r) known_.push_back(values_[order_[r]]);
        searching_ = true;
        return true;
    }

    void continue_search() {
        direction_.assign(&c(0, expanded_ - 1), &c(0, expanded_ - 1) + waiting_);
        const double beta = std::sqrt(squared_norm(direction_.data(), waiting_));
        certificate_.append(t(expanded_ - 1, expanded_ - 1), beta > nothing() ? beta : 0.0);
    }

    LanczosResult finish() {
        check();
        const Index k = std::min(options_.wanted, ritz_);
        std::vector<double> chosen_(static_cast<std::size_t>(ritz_ * k));
        const M chosen(chosen_.data(), ritz_, k);
        for (Index r = 0; r < k; ++r) {
            result_.values.push_back(values_[order_[r]]);
            result_.residuals.push_back(residual(r));
            std::copy_n(y_.data() + order_[r] * capacity_, ritz_, chosen.col(r));
        }
        rotate<T>(B_.columns(0, ritz_), chosen, options_.threads);
        return result_;
    }

    static void finite(double norm, const char* what) {
        if (!std::isfinite(norm)) throw std::domain_error(std::string(what) + " is not finite");
    }

    Matrix<T> B_;
    const BlockProduct& product_;
    LanczosOptions options_;
    Index size_, capacity_, expanded_ = 0, waiting_ = 0, ritz_ = 0;
    std::uint64_t draws_ = 0;
    std::vector<double> known_, direction_;  // the wanted values at the start of the search; where in Q it goes on
    std::vector<double> t_, c_, y_, h_, small_, values_, norms_, work_;
    std::vector<int> integer_work_;
    std::vector<Index> order_;
    double largest_product_ = 0, missed_before_ = 1.0;
    bool searching_ = false;
    Certificate certificate_{{}, 1};
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
