#include "lanczos/certificate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace pyphenom {

Certificate::Certificate(std::vector<double> points, Index dimension)
    : points_(std::move(points)),
      before_(points_.size(), 0.0),
      last_(points_.size(), 1.0),
      sum_(points_.size(), 1.0),
      dimension_(static_cast<double>(dimension)) {}

void Certificate::append(double alpha, double beta) {
    ended_ = !(beta > 0.0);
    if (ended_) return;
    for (std::size_t i = 0; i < points_.size(); ++i) {
        const double next = ((points_[i] - alpha) * last_[i] - beta_ * before_[i]) / beta;
        before_[i] = last_[i];
        last_[i] = next;
        // inf * 0 would be NaN in the next step; a sum this large is certainty already.
        if (sum_[i] < 1e200) sum_[i] += next * next;
    }
    beta_ = beta;
}

void CountAbove::append(double alpha, double beta) {
    pivot_ = sign_ * alpha - bound_ - beta_ * beta_ / pivot_;
    if (pivot_ == 0.0) pivot_ = -std::numeric_limits<double>::min();
    count_ += pivot_ > 0.0;
    beta_ = beta;
}

double Certificate::failure() const {
    if (ended_) return 0.0;
    constexpr double two_over_pi = 0.63661977236758134308;
    double worst = 0.0;
    for (const double sum : sum_) worst = std::max(worst, std::min(1.0, std::sqrt(two_over_pi * dimension_ / sum)));
    return worst;
}

}  // namespace pyphenom
