#include "implicit_bias/cnn_descent.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/clones.hpp"

namespace pyphenom::cnn {
namespace {

using Lanes = double __attribute__((vector_size(lanes * sizeof(double))));
using Bits = std::int64_t __attribute__((vector_size(lanes * sizeof(double))));

PYPHENOM_INLINE void load(const double* from, Lanes& to) { std::memcpy(&to, from, sizeof to); }
PYPHENOM_INLINE void store(const Lanes& from, double* to) { std::memcpy(to, &from, sizeof from); }

// z <- max(z, 0)^exponent, zero for z <= 0 whatever the exponent; NaN stays
PYPHENOM_INLINE void raise(Lanes& z, double exponent) {
    const Bits kept = ~(z <= 0);
    Lanes result = Lanes{} + 1.0;
    if (exponent == 1 || exponent == 2 || exponent == 3) {
        for (int i = 0; i < exponent; ++i) result *= z;
    } else if (exponent != 0) {
        for (Index l = 0; l < lanes; ++l) result[l] = z[l] <= 0 ? 0.0 : std::pow(z[l], exponent);
    }
    Bits bits;
    std::memcpy(&bits, &result, sizeof bits);
    bits &= kept;
    std::memcpy(&z, &bits, sizeof z);
}

// margins_i = y_i f(x_i)
PYPHENOM_CLONES void outputs(const Data& data, double power, Matrix<const double> Z, double* margins) {
    for (Index i = 0; i < data.patches.cols; ++i) {
        Lanes sum = {}, z, sign;
        for (Index p = 0; p < data.patches.rows; ++p) {
            const double* column = Z.col(data.patches(p, i));
            for (Index j = 0; j < Z.rows; j += lanes) {
                load(column + j, z);
                load(data.signs + j, sign);
                z *= data.orientation(p, i);
                raise(z, power);
                sum += sign * z;
            }
        }
        const double f = ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
        margins[i] = data.labels[i] * f;
    }
}

// G (F, N) <- the gradient by the activations, for example i times weights_i
PYPHENOM_CLONES void by_activations(const Data& data, double power, Matrix<const double> Z, const double* weights,
                                    Matrix<double> G) {
    std::fill_n(G.data, G.rows * G.cols, 0.0);
    for (Index i = 0; i < data.patches.cols; ++i) {
        for (Index p = 0; p < data.patches.rows; ++p) {
            const double* column = Z.col(data.patches(p, i));
            double* to = G.col(data.patches(p, i));
            const double turn = data.orientation(p, i), factor = -weights[i] * data.labels[i] * turn * power;
            Lanes z, sign, sum;
            for (Index j = 0; j < Z.rows; j += lanes) {
                load(column + j, z);
                load(data.signs + j, sign);
                load(to + j, sum);
                z *= turn;
                raise(z, power - 1);
                sum += factor * sign * z;
                store(sum, to + j);
            }
        }
    }
}

// P <- G K for symmetric K; returns the sum of the entries of G times those of P. Several columns at once hide the
// latency of the products.
PYPHENOM_CLONES double multiply(Matrix<const double> G, Matrix<const double> K, Matrix<double> P) {
    constexpr Index width = 4;
    const Index N = K.cols;
    Lanes inner = {}, g;
    for (Index j = 0; j < G.rows; j += lanes) {
        for (Index c = 0; c < N; c += width) {
            const Index count = std::min(width, N - c);
            const double* k[width];
            for (Index w = 0; w < width; ++w) k[w] = K.col(c + std::min(w, count - 1));
            Lanes sums[width] = {};
            for (Index b = 0; b < N; ++b) {
                load(G.col(b) + j, g);
                for (Index w = 0; w < width; ++w) sums[w] += k[w][b] * g;
            }
            for (Index w = 0; w < count; ++w) {
                store(sums[w], P.col(c + w) + j);
                load(G.col(c + w) + j, g);
                inner += g * sums[w];
            }
        }
    }
    return ((inner[0] + inner[4]) + (inner[2] + inner[6])) + ((inner[1] + inner[5]) + (inner[3] + inner[7]));
}

// A <- keep A - rate B
PYPHENOM_CLONES void move(Matrix<double> A, double keep, double rate, Matrix<const double> B) {
    const Index size = A.rows * A.cols;
#pragma omp simd
    for (Index i = 0; i < size; ++i) A.data[i] = keep * A.data[i] - rate * B.data[i];
}

// The basis by blocks of coordinates: the vectors that are not zero there, with their entries.
constexpr Index block = 4;
struct Blocks {
    std::vector<Index> start, vector;
    std::vector<double> entries;

    explicit Blocks(Matrix<const double> basis) {
        start.push_back(0);
        for (Index k = 0; k < basis.rows; k += block) {
            const Index count = std::min(block, basis.rows - k);
            for (Index b = 0; b < basis.cols; ++b) {
                const double* from = basis.col(b) + k;
                if (std::all_of(from, from + count, [](double x) { return x == 0; })) continue;
                vector.push_back(b);
                entries.insert(entries.end(), from, from + count);
                entries.resize(vector.size() * block);  // zeros beyond the last coordinate
            }
            start.push_back(static_cast<Index>(vector.size()));
        }
    }
};

constexpr double longest_fall = 350;  // of the logarithm of the moments' unit in a step: e^700 is a float

// By how much that may fall: what a step keeps of the moments stays below 1e150 and 1e300.
double room(const Update& update, const State& state) {
    double first = 0, second = 0;
    for (Index i = 0; i < state.first.rows * state.first.cols; ++i) {
        first = std::max(first, std::fabs(state.first.data[i]));
        second = std::max(second, state.second.data[i]);
    }
    const double kept = std::max(update.beta1 * first, std::sqrt(update.beta2 * second));
    return kept > 0 ? std::min(longest_fall, std::log(1e150) - std::log(kept)) : state.log_unit - state.log_loss;
}

// The logarithm of the unit in which the next gradient and Adam's moments are held: near the loss, which is up to
// e^-64 of it, so that a change is rare. Against moments that are too large to be held so the gradient is zero.
double next_unit(const Update& update, const State& state) {
    const double fall = state.log_unit - state.log_loss;
    if (state.step == 0 || fall < 0) return state.log_loss;
    return fall < 64 ? state.log_unit : state.log_unit - std::min(fall, room(update, state));
}

struct Adam {
    double keep_first, keep_second, add_first, add_second, root, epsilon;
};

// w <- the entries after Adam's step
PYPHENOM_INLINE void step_of_adam(const Adam& how, double rate, const Lanes& gradient, double* first, double* second,
                                  Lanes& w) {
    double g[lanes], step[lanes];
    store(gradient, g);
#pragma omp simd
    for (Index l = 0; l < lanes; ++l) {
        first[l] = how.keep_first * first[l] + how.add_first * g[l];
        second[l] = how.keep_second * second[l] + how.add_second * g[l] * g[l];
        const double size = std::sqrt(second[l]) * how.root + how.epsilon;
        step[l] = size > 0 ? rate * first[l] / size : 0.0;
    }
    Lanes taken;
    load(step, taken);
    w -= taken;
}

// One pass over the coordinates: gradient, step, and the activations of the new weights. `adam` is null for descent.
PYPHENOM_CLONES void step_in_full(const Blocks& blocks, Matrix<const double> G, double decay, double rate,
                                  const Adam* adam, State& state) {
    const Matrix<double> Z = state.activations, W = state.weights;
    std::fill_n(Z.data, Z.rows * Z.cols, 0.0);
    for (Index j = 0; j < G.rows; j += lanes) {
        for (Index q = 0, k = 0; k < W.cols; ++q, k += block) {
            const Index count = std::min(block, W.cols - k), first = blocks.start[q], last = blocks.start[q + 1];
            Lanes w[block] = {}, gradient[block], g, z;
            for (Index c = 0; c < count; ++c) load(W.col(k + c) + j, w[c]);
            for (Index c = 0; c < block; ++c) gradient[c] = decay * w[c];
            for (Index e = first; e < last; ++e) {
                load(G.col(blocks.vector[e]) + j, g);
                for (Index c = 0; c < block; ++c) gradient[c] += blocks.entries[block * e + c] * g;
            }
            for (Index c = 0; c < count; ++c) {
                if (adam)
                    step_of_adam(*adam, rate, gradient[c], state.first.col(k + c) + j, state.second.col(k + c) + j,
                                 w[c]);
                else
                    w[c] -= rate * gradient[c];
                store(w[c], W.col(k + c) + j);
            }
            for (Index e = first; e < last; ++e) {
                double* to = Z.col(blocks.vector[e]) + j;
                load(to, z);
                for (Index c = 0; c < block; ++c) z += blocks.entries[block * e + c] * w[c];
                store(z, to);
            }
        }
    }
}

// log of the mean of log(1 + e^-u)
double log_mean_loss(const double* margins, Index n) {
    const double least = *std::min_element(margins, margins + n);
    double sum = 0;
    if (!(least > 30)) {
        for (Index i = 0; i < n; ++i) sum += std::max(0.0, -margins[i]) + std::log1p(std::exp(-std::abs(margins[i])));
        return std::log(sum / static_cast<double>(n));
    }
    for (Index i = 0; i < n; ++i) sum += std::exp(least - margins[i]) * (1 - std::exp(-margins[i]) / 2);
    return std::log(sum / static_cast<double>(n)) - least;
}

// weights_i = 1 / (1 + e^u_i) / n, in units of e^log_unit
void example_weights(const double* margins, Index n, double log_unit, double* weights) {
    const double count = static_cast<double>(n), unit = log_unit + std::log(count);
    for (Index i = 0; i < n; ++i) {
        const double u = margins[i];
        weights[i] = log_unit == 0 ? 1 / ((1 + std::exp(u)) * count)
                                   : std::exp(std::min(0.0, -u) - std::log1p(std::exp(-std::abs(u))) - unit);
    }
}

}  // namespace

void advance(const Data& data, const Update& update, State& state, std::int64_t until) {
    const Index F = state.activations.rows, N = data.basis.cols, n = data.patches.cols;
    require(F % lanes == 0 && F > 0, "filters", std::to_string(F), "a multiple of eight");
    require(state.activations.cols == N && data.gram.cols == N, "basis", "of another size", "that of the activations");
    const bool in_span = state.coordinates.data != nullptr, adam = update.method == Method::adam;
    require(!(in_span && adam), "weights", "missing", "given: Adam leaves the span of the data");
    // Measured by the loss, a gradient stays a number where the loss does not; a weight decay has its own scale.
    const bool by_loss = update.method == Method::normalized || (adam && update.decay == 0);
    const bool watched = by_loss || update.log_stop > -std::numeric_limits<double>::infinity();

    const auto filters = static_cast<std::size_t>(F);
    std::vector<double> store(2 * filters * static_cast<std::size_t>(N)), weights(static_cast<std::size_t>(n));
    const Matrix<double> G(store.data(), F, N), P(store.data() + F * N, F, N);
    const Blocks blocks(in_span ? Matrix<const double>() : data.basis);

    for (;;) {
        outputs(data, update.power, state.activations, state.margins);
        const bool last = state.stopped || state.step >= until;
        if (watched || last) {
            state.log_loss = log_mean_loss(state.margins, n);
            state.stopped |= !(state.log_loss > update.log_stop && state.log_loss < 1e300);
        }
        if (last || state.stopped) return;
        const double log_unit = !by_loss ? 0.0 : adam ? next_unit(update, state) : state.log_loss;
        example_weights(state.margins, n, log_unit, weights.data());
        by_activations(data, update.power, state.activations, weights.data(), G);
        ++state.step;
        double rate = update.rate;
        if (in_span || update.method == Method::normalized) {
            const double square = multiply(G, data.gram, P);  // of the gradient by the weights
            if (update.method == Method::normalized) rate = square > 0 ? rate / std::sqrt(square) : 0;
        }
        if (in_span) {
            const double keep = 1 - rate * update.decay;
            move(state.activations, keep, rate, P);
            move(state.coordinates, keep, rate, G);
            state.shrink *= keep;
        } else if (adam) {
            const double t = static_cast<double>(state.step), fall = t > 1 ? state.log_unit - log_unit : 0,
                         change = std::exp(std::min(fall, longest_fall));
            const Adam how{update.beta1 * change,
                           update.beta2 * change * change,
                           1 - update.beta1,
                           1 - update.beta2,
                           1 / std::sqrt(1 - std::pow(update.beta2, t)),
                           update.epsilon > 0 ? update.epsilon * std::exp(-log_unit) : 0.0};
            step_in_full(blocks, G, update.decay, rate / (1 - std::pow(update.beta1, t)), &how, state);
            state.log_unit = log_unit;
        } else {
            step_in_full(blocks, G, update.decay, rate, nullptr, state);
        }
    }
}

}  // namespace pyphenom::cnn
