#include "curvature/loss.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace pyphenom::curvature {

LossKind parse_loss(std::string_view name) {
    if (name == "squared") return LossKind::squared;
    if (name == "cross_entropy") return LossKind::cross_entropy;
    if (name == "binary_cross_entropy") return LossKind::binary_cross_entropy;
    if (name == "custom") return LossKind::custom;
    throw std::invalid_argument("`loss` is '" + std::string(name) +
                                "'; expected one of squared, cross_entropy, binary_cross_entropy, custom");
}

template <class T>
Loss<T>::Loss(LossKind kind, double weight, const T* targets, Index samples, Index outputs)
    : kind_(kind), weight_(weight), samples_(samples), outputs_(outputs) {
    if (kind == LossKind::custom) return;
    targets_.assign(targets, targets + samples * outputs);
    if (kind != LossKind::squared) state_.resize(targets_.size());
    if (kind != LossKind::cross_entropy) return;
    mass_.resize(static_cast<std::size_t>(samples));
    for (Index i = 0; i < samples; ++i) {
        double mass = 0.0;
        for (Index c = 0; c < outputs; ++c) mass += static_cast<double>(targets[i * outputs + c]);
        mass_[i] = weight * mass;
    }
}

template <class T>
double Loss<T>::linearize(Index first, Index count, const T* f, T* gradient) {
    double total = 0.0;
    const Index entries = count * outputs_, start = first * outputs_;
    const T* targets = targets_.data() + start;
    T* state = state_.data() + start;
    if (kind_ == LossKind::squared) {
        for (Index i = 0; i < entries; ++i) {
            const double difference = static_cast<double>(f[i]) - static_cast<double>(targets[i]);
            total += 0.5 * difference * difference;
            gradient[i] = static_cast<T>(weight_ * difference);
        }
        return weight_ * total;
    }
    if (kind_ == LossKind::binary_cross_entropy) {
        for (Index i = 0; i < entries; ++i) {
            const double z = static_cast<double>(f[i]), y = static_cast<double>(targets[i]);
            const double e = std::exp(-std::abs(z)), s = (z >= 0.0 ? 1.0 : e) / (1.0 + e);
            total += std::max(z, 0.0) + std::log1p(e) - y * z;
            gradient[i] = static_cast<T>(weight_ * (s - y));
            state[i] = static_cast<T>(weight_ * e / ((1.0 + e) * (1.0 + e)));
        }
        return weight_ * total;
    }
    for (Index i = 0; i < count; ++i) {
        const T* row = f + i * outputs_;
        const T* y = targets + i * outputs_;
        const double largest = static_cast<double>(*std::max_element(row, row + outputs_));
        double normalizer = 0.0;
        for (Index c = 0; c < outputs_; ++c) normalizer += std::exp(static_cast<double>(row[c]) - largest);
        for (Index c = 0; c < outputs_; ++c) {
            const double shifted = static_cast<double>(row[c]) - largest;
            const double p = std::exp(shifted) / normalizer;
            // A target of 0 asks nothing of an output, even of one at minus infinity.
            if (y[c] != T(0)) total -= static_cast<double>(y[c]) * (shifted - std::log(normalizer));
            state[i * outputs_ + c] = static_cast<T>(p);
            gradient[i * outputs_ + c] = static_cast<T>(mass_[first + i] * p - weight_ * static_cast<double>(y[c]));
        }
    }
    return weight_ * total;
}

template <class T>
void Loss<T>::hessian(Index sets, Index first, Index count, T* u) const {
    const Index entries = count * outputs_;
    const T* state = state_.data() + first * outputs_;
    if (kind_ == LossKind::squared) {
        if (weight_ == 1.0) return;
        const T weight = static_cast<T>(weight_);
        for (Index i = 0; i < sets * entries; ++i) u[i] *= weight;
    } else if (kind_ == LossKind::binary_cross_entropy) {
        for (Index s = 0; s < sets; ++s)
            for (Index i = 0; i < entries; ++i) u[s * entries + i] *= state[i];
    } else {
        for (Index i = 0; i < sets * count; ++i, u += outputs_) {
            const T* p = state + i % count * outputs_;
            double mean = 0.0;
            for (Index c = 0; c < outputs_; ++c) mean += static_cast<double>(p[c]) * static_cast<double>(u[c]);
            const double mass = mass_[first + i % count];
            for (Index c = 0; c < outputs_; ++c)
                u[c] = static_cast<T>(mass * static_cast<double>(p[c]) * (static_cast<double>(u[c]) - mean));
        }
    }
}

template class Loss<float>;
template class Loss<double>;

}  // namespace pyphenom::curvature
