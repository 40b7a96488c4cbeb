// The passes over single entries that a network of Gaussian weights needs between its matrix products.
#pragma once

#include <cstdint>

#include "core/matrix.hpp"
#include "curvature/activation.hpp"

namespace pyphenom::pac_bayes {

// f, or the identity.
struct Activation {
    bool identity = false;
    curvature::Activation function;
};

// One normal a unit of a layer, a pure function of (seed, kind, repetition, layer, example, unit).
struct Noise {
    enum Kind : std::uint32_t { training = 1, certification = 2 };  // no draw of the one occurs in the other
    std::uint64_t seed = 0;
    Kind kind = training;
    std::uint32_t repetition = 0;  // the step of the optimiser, or the pass of a certificate

    std::uint32_t stream(Index layer) const { return static_cast<std::uint32_t>(kind) << 16 | layer; }
};

// normals <- those of the units first, first + 1, ...; `first` a multiple of 4. `words` has room for count + 3, normals
// too.
void draw_normals(const Noise& noise, Index layer, std::uint32_t example, Index first, Index count,
                  std::uint32_t* words, double* normals);

// z <- mean + bias + sqrt(variance + bias_variance) sign e, and ratio <- dz / d variance.
template <class T>
void pre_activate(Index count, const T* mean, const T* variance, const T* bias, const T* bias_variance, T sign,
                  const double* e, T* z, T* ratio);

// z <- f(z), square <- f(z)^2, slope <- f'(z); `unused` has room for count entries.
template <class T>
void activate(const Activation& activation, Index count, T* z, T* square, T* slope, T* unused);

// out <- a^2
template <class T>
void square(Index count, const T* a, T* out);

// From the gradients by mean and variance of the layer above, pulled back to its inputs a = f(z):
// g <- (g + 2 a dv) slope and dv <- g ratio; adds both to the sums for the biases.
template <class T>
void join_gradients(Index count, const T* a, const T* slope, const T* ratio, T* g, T* dv, double* g_sum,
                    double* dv_sum);

enum class Method { sgd, adam };

// How a parameter moves: along risk_weight d risk + kl_weight d KL.
struct Rule {
    Method method = Method::sgd;
    double risk_weight = 0.0, kl_weight = 0.0;
    double rate = 0.0, momentum = 0.0;     // momentum: beta_1 of Adam
    double second = 0.999, epsilon = 1e-8;  // of Adam
    double first_correction = 1.0, second_correction = 1.0;  // 1 - beta^t
    double log_variance = 0.0, next_log_variance = 0.0;  // of a prior with one scale, before and after the step
};

// Posterior N(mean, exp(2 log_scale)) and prior, entry by entry; all with room for every parameter of the network.
// `variance` is exp(2 log_scale). Without `prior_log_scale` the rule's log-variances count. A null gradient or moment
// is not kept.
template <class T>
struct Parameters {
    T *mean, *log_scale, *variance;
    T *mean_moment, *log_scale_moment;                // the first moments
    T *mean_second, *log_scale_second;                // the second moments of Adam
    const T *prior_mean, *prior_log_scale;
};

// What is summed over the parameters: KL = 1/2 sum phi + d^2 / v, and 1/2 sum (s / v + d^2 / v).
struct Sums {
    double kl = 0.0, scaled = 0.0;
    void operator+=(const Sums& other) {
        kl += other.kl;
        scaled += other.scaled;
    }
};

// Moves the parameters at, at + 1, ... by the gradients of the risk by mean and by variance, and returns the sums where
// they now stand.
template <class T>
Sums move(const Rule& rule, const Parameters<T>& p, Index at, Index count, const T* by_mean, const T* by_variance);

// The sums where the parameters at, at + 1, ... stand; sets their `variance`. With room for the gradients of KL by mean
// and by log-scale, also those.
template <class T>
Sums divergence(double log_variance, const Parameters<T>& p, Index at, Index count, T* by_mean, T* by_log_scale);

}  // namespace pyphenom::pac_bayes
