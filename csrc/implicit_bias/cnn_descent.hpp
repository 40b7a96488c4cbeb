// Full-batch descent of the two-layer CNN f(x) = sum_j s_j sum_p a(<w_j, x_p>), a(u) = max(u, 0)^q, on the mean
// logistic loss, the signs s_j = +-1 or +-1/m fixed.
//
// Patches are +- vectors of a basis (a signal that all examples share is one vector), and so are gradients: descent
// runs in the coordinates of that span, on the activations alone, at N^2 products a filter and step instead of 2 N d.
// Adam acts entry by entry and stays in the full space, where one pass takes the gradient, the step and the next
// activations.
//
// Filters lie side by side in memory, their number a multiple of eight; those added for that have sign and weights
// zero.
#pragma once

#include <cstdint>

#include "core/matrix.hpp"

namespace pyphenom::cnn {

constexpr Index lanes = 8;

struct Data {
    Matrix<const double> basis;           // (d, N)
    Matrix<const double> gram;            // (N, N), of the basis
    Matrix<const std::int32_t> patches;   // (P, n): which vector patch p of example i is,
    Matrix<const double> orientation;     // (P, n): and its sign
    const double* labels = nullptr;       // (n), +-1
    const double* signs = nullptr;        // (F), of the filters
};

enum class Method { descent, normalized, adam };

struct Update {
    Method method = Method::descent;
    double power = 1, rate = 0, decay = 0;
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
    double log_stop = 0;  // the logarithm of the loss at which a run stops
};

// What a run carries from call to call; `until` in one call or in several gives the same bits.
struct State {
    Matrix<double> activations;         // (F, N): <w_j, b>
    Matrix<double> coordinates;         // (F, N): w_j = shrink w_j(0) + sum_b coordinates b; empty in the full space
    Matrix<double> weights;             // (F, d), and empty in coordinates
    Matrix<double> first, second;       // (F, d), moments of Adam in units of e^log_unit, and of its square
    double* margins = nullptr;          // (n): y f(x), at the end of the call
    double shrink = 1, log_unit = 0, log_loss = 0;
    std::int64_t step = 0;
    bool stopped = false;               // at the loss asked for, or where it is no number
};

// Steps until `until` or the stop. Normalised steps are `rate` long, along the gradient. Their gradient, and that of
// Adam without weight decay, is measured by the loss, so that both go on where loss and gradient are below the floats.
void advance(const Data& data, const Update& update, State& state, std::int64_t until);

}  // namespace pyphenom::cnn
