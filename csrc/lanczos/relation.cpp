#include "lanczos/relation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "core/blas.hpp"
#include "core/loops.hpp"
#include "lanczos/basis.hpp"

namespace pyphenom {
namespace {

using M = Matrix<double>;
using CM = Matrix<const double>;

void check_finite(double norm, const char* what) {
    if (!std::isfinite(norm)) throw std::domain_error(std::string(what) + " is not finite");
}

}  // namespace

template <class T>
Relation<T>::Relation(Matrix<T> basis, const BlockProduct& product, std::uint64_t seed, int threads)
    : B_(basis), product_(product), seed_(seed), threads_(threads) {
    const std::size_t square = static_cast<std::size_t>(basis.cols * basis.cols);
    for (auto* matrix : {&t_, &c_, &room_}) matrix->assign(square, 0.0);
    norms_.assign(static_cast<std::size_t>(basis.cols), 0.0);
}

template <class T>
double Relation<T>::nothing() const {
    return 4.0 * std::numeric_limits<T>::epsilon() * largest_product_;
}

template <class T>
void Relation<T>::adopt(Index count) {
    for (Index i = 0; i < count; ++i) {
        T* w = B_.col(i);
        double before = 0;
        orthogonalise<T>(B_.columns(0, 0), Matrix<T>(w, B_.rows, 1), room(0, 1), &before, 1);
        check_finite(before, "v0");
        if (before > 0.0) scale(w, B_.rows, 1.0 / before);
        if (before > 0.0 && append_normalised(i, 1e-6) > 0.0) continue;
    }
    // A start inside an invariant subspace would never leave it.
    if (waiting_ > 0) disturb();
}

// Orthonormalises column i >= used against everything before `used` and appends it to Q unless less than `least`
// of its unit norm is left. Returns the norm left, 0 if dropped.
template <class T>
double Relation<T>::append_normalised(Index i, double least) {
    double norm = 1.0, total = 1.0;
    for (int repeat = 0; repeat < 3; ++repeat) {
        orthogonalise<T>(B_.columns(0, used()), B_.columns(i, 1), room(used(), 1), &norm, threads_);
        total *= norm;
        if (!(total > least)) return 0.0;
        scale(B_.col(i), B_.rows, 1.0 / norm);
        if (norm > 0.5) break;  // else rounding errors have grown with the normalisation
    }
    if (i != used()) std::copy_n(B_.col(i), B_.rows, B_.col(used()));
    for (Index j = 0; j < expanded_; ++j) c(waiting_, j) = 0.0;
    ++waiting_;
    return total;
}

template <class T>
double Relation<T>::draw() {
    for (int attempt = 0; attempt < 3 && used() < B_.rows; ++attempt) {
        fill_normal(B_.col(used()), B_.rows, seed_, draws_++);
        scale(B_.col(used()), B_.rows, 1.0 / std::sqrt(static_cast<double>(B_.rows)));
        const double left = append_normalised(used(), 1e-10);
        if (left > 0.0) return left;
    }
    return 0.0;
}

template <class T>
void Relation<T>::draw_normals(double* x, Index count) {
    fill_normal(x, count, seed_, draws_++);
}

// Mixes a thousandth of a random vector into the first start vector: one that is an eigenvector already, or has no
// part along the wanted one, would stop at once; a good one loses a millionth of its Rayleigh quotient.
template <class T>
void Relation<T>::disturb() {
    T *q = B_.col(0), *noise = B_.col(used());
    if (used() >= B_.rows) return;
    fill_normal(noise, B_.rows, seed_, draws_++);
    double norm = 0;
    orthogonalise<T>(B_.columns(0, used()), B_.columns(used(), 1), room(used(), 1), &norm, threads_);
    if (!(norm > 0.0)) return;
    const double factor = 1e-3 / norm, shrink = 1.0 / std::sqrt(1.0 + 1e-6);
    for (Index i = 0; i < B_.rows; ++i) q[i] = static_cast<T>((q[i] + factor * noise[i]) * shrink);
}

template <class T>
Index Relation<T>::orient(const Directions& directions) {
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

template <class T>
void Relation<T>::turn(CM u) {
    rotate<T>(B_.columns(expanded_, waiting_), u, threads_);
    const M turned = room(u.cols, expanded_);
    blas::gemm('T', 'N', 1.0, u, c(), 0.0, turned);
    for (Index j = 0; j < expanded_; ++j) std::copy_n(turned.col(j), u.cols, &c(0, j));
    waiting_ = u.cols;
}

template <class T>
void Relation<T>::multiply(Index count) {
    const Index m = expanded_, before = used(), rest = waiting_ - count;
    product_(m, count, before);
    products_ += count;
    const M h = room(before, count);
    orthogonalise<T>(B_.columns(0, before), B_.columns(before, count), h, norms_.data(), threads_);
    double largest = 0;
    for (Index a = 0; a < count; ++a) {
        double total = norms_[a] * norms_[a], wrong = 0;
        for (Index i = 0; i < before; ++i) total += h(i, a) * h(i, a);
        check_finite(total, "a product of `operator`");
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
        drift_ = std::max(drift_, std::sqrt(wrong));
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
                             threads_);
        for (Index k = 0; k < others; ++k) c(rest + k, m + a) = r[k];
        if (!(norm > nothing()) || used() == B_.rows) {
            drift_ = std::max(drift_, norm);
            continue;
        }
        scale(B_.col(before + a), B_.rows, 1.0 / norm);
        if (norm < 0.5 * norms_[a] || norm < 1e-3 * largest_product_) {
            // Rounding errors along the basis have grown with the normalisation.
            const double left = append_normalised(before + a, 1e-3);
            if (left == 0.0) continue;
        } else {
            if (a != others) std::copy_n(B_.col(before + a), B_.rows, B_.col(used()));
            for (Index j = 0; j < expanded_; ++j) c(waiting_, j) = 0.0;
            ++waiting_;
        }
        c(waiting_ - 1, m + a) = norm;
    }
}

template <class T>
void Relation<T>::compress(CM Y, const double* values) {
    const Index keep = Y.cols;
    rotate<T>(B_.columns(0, expanded_), Y, threads_);
    for (Index i = 0; i < waiting_; ++i) std::copy_n(B_.col(expanded_ + i), B_.rows, B_.col(keep + i));
    const M coupled = room(waiting_, keep);
    blas::gemm('N', 'N', 1.0, c(), Y, 0.0, coupled);
    for (Index j = 0; j < keep; ++j) {
        std::copy_n(coupled.col(j), waiting_, &c(0, j));
        std::fill_n(&t(0, j), keep, 0.0);
        t(j, j) = values[j];
    }
    expanded_ = keep;
}

template <class T>
void Relation<T>::prune(double allowed, Index most) {
    const Index b = waiting_;
    if (b == 0) return;
    std::vector<double> g_(static_cast<std::size_t>(b * b)), sizes(b), work(1 + 6 * b + 2 * b * b);
    std::vector<int> integer_work(3 + 5 * b);
    const M g(g_.data(), b, b);
    blas::gemm('N', 'T', 1.0, c(), c(), 0.0, g);
    blas::eigen(g, sizes.data(), work.data(), static_cast<Index>(work.size()), integer_work.data(),
                static_cast<Index>(integer_work.size()));
    Index dropped = 0;
    double lost = drift_ * drift_;
    while (dropped < b && (lost + sizes[dropped] <= allowed * allowed || b - dropped > most))
        lost += std::max(0.0, sizes[dropped++]);
    if (dropped == 0) return;
    drift_ = std::sqrt(lost);
    turn(g.columns(dropped, b - dropped));
}

template class Relation<float>;
template class Relation<double>;

}  // namespace pyphenom
