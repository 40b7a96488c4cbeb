// Losses in closed form: value, gradient and Hessian in the outputs, summed over the samples.
//
//   squared               w/2 sum_c (f_c - y_c)^2                    Hessian w
//   cross_entropy         -w sum_c y_c log p_c, p = softmax(f)       Hessian w m (diag p - p p^T), m = sum_c y_c
//   binary_cross_entropy  w sum_c [log(1 + e^f_c) - y_c f_c]         Hessian w s(1 - s), s = sigmoid(f_c)
//
// `custom` leaves gradient and Hessian to the caller.
#pragma once

#include <string_view>
#include <vector>

#include "core/matrix.hpp"

namespace pyphenom::curvature {

enum class LossKind { squared, cross_entropy, binary_cross_entropy, custom };

LossKind parse_loss(std::string_view name);

template <class T>
class Loss {
  public:
    Loss() = default;
    // targets (samples, outputs), row-major, is copied.
    Loss(LossKind kind, double weight, const T* targets, Index samples, Index outputs);

    LossKind kind() const { return kind_; }
    // Of `count` samples from `first` on: linearises at their outputs `f`, returns the sum of their losses, writes the
    // gradients, and keeps what the Hessian needs.
    double linearize(Index first, Index count, const T* f, T* gradient);
    // u <- (loss Hessian) u for `sets` stacked blocks (count, outputs).
    void hessian(Index sets, Index first, Index count, T* u) const;

  private:
    LossKind kind_ = LossKind::custom;
    double weight_ = 1.0;
    Index samples_ = 0, outputs_ = 0;
    std::vector<T> targets_, state_;  // probabilities or second derivatives
    std::vector<double> mass_;        // w m, one a sample
};

}  // namespace pyphenom::curvature
