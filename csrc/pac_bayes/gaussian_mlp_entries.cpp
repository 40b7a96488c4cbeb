#include "pac_bayes/gaussian_mlp_entries.hpp"

#include <cmath>
#include <cstring>

#include "core/clones.hpp"
#include "core/philox.hpp"

namespace pyphenom::pac_bayes {
namespace {

struct Exponential {
    double value, minus_one, phi;  // e^u, e^u - 1, e^u - 1 - u
};

// e^u = 2^k (1 + r + q) with |r| <= log(2)/2 and q = e^r - 1 - r by its series. Where k = 0 nothing cancels, where it
// is not, nothing near zero is left over. NaN stays; beyond +-700, u is taken as +-700.
PYPHENOM_INLINE Exponential exponential(double u) {
    constexpr double round = 0x1.8p52;  // adding it leaves an integer in the low bits
    u = u > 700.0 ? 700.0 : u < -700.0 ? -700.0 : u;
    const double shifted = u * 1.4426950408889634074 + round, k = shifted - round;
    const double r = (u - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    double q = 1.0 / 87178291200;  // 1/14!
    q = q * r + 1.0 / 6227020800;
    q = q * r + 1.0 / 479001600;
    q = q * r + 1.0 / 39916800;
    q = q * r + 1.0 / 3628800;
    q = q * r + 1.0 / 362880;
    q = q * r + 1.0 / 40320;
    q = q * r + 1.0 / 5040;
    q = q * r + 1.0 / 720;
    q = q * r + 1.0 / 120;
    q = q * r + 1.0 / 24;
    q = q * r + 1.0 / 6;
    q = q * r + 0.5;
    q = q * r * r;
    std::uint64_t bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 52) + 0x3ff0000000000000u;
    double power;
    std::memcpy(&power, &bits, sizeof power);
    const double value = power * (1.0 + (r + q));
    return {value, k == 0.0 ? r + q : value - 1.0, k == 0.0 ? q : value - 1.0 - u};
}

template <class T>
PYPHENOM_INLINE void pre_activate_loop(Index count, const T* mean, const T* variance, const T* bias,
                                       const T* bias_variance, T sign, const double* e, T* z, T* ratio) {
#pragma omp simd
    for (Index i = 0; i < count; ++i) {
        const T scale = std::sqrt(variance[i] + bias_variance[i]), noise = sign * static_cast<T>(e[i]);
        const T slope = T(0.5) * noise / scale;
        z[i] = mean[i] + bias[i] + scale * noise;
        ratio[i] = scale == T(0) ? T(0) : slope;
    }
}

template <class T>
PYPHENOM_INLINE void square_loop(Index count, const T* a, T* out) {
#pragma omp simd
    for (Index i = 0; i < count; ++i) out[i] = a[i] * a[i];
}

// slope z below zero; NaN stays.
template <class T>
PYPHENOM_INLINE void rectify_loop(T slope, Index count, T* z, T* out, T* slopes) {
#pragma omp simd
    for (Index i = 0; i < count; ++i) {
        const T f = z[i] < T(0) ? slope : T(1), value = f * z[i];
        slopes[i] = f;
        z[i] = value;
        out[i] = value * value;
    }
}

template <class T>
PYPHENOM_INLINE void join_loop(Index count, const T* a, const T* slope, const T* ratio, T* g, T* dv, double* g_sum,
                               double* dv_sum) {
#pragma omp simd
    for (Index i = 0; i < count; ++i) {
        const T joined = (g[i] + T(2) * a[i] * dv[i]) * slope[i], spread = joined * ratio[i];
        g[i] = joined;
        dv[i] = spread;
        g_sum[i] += static_cast<double>(joined);
        dv_sum[i] += static_cast<double>(spread);
    }
}

template <class T, bool adam, bool scales>
PYPHENOM_INLINE Sums move_loop(const Rule& rule, const Parameters<T>& p, Index at, Index count, const T* by_mean,
                               const T* by_variance) {
    T* mean = p.mean + at;
    T* log_scale = p.log_scale + at;
    T* variance = p.variance + at;
    T* mean_moment = p.mean_moment + at;
    T* log_scale_moment = p.log_scale_moment + at;
    T* mean_second = adam ? p.mean_second + at : nullptr;
    T* log_scale_second = adam ? p.log_scale_second + at : nullptr;
    const T* prior_mean = p.prior_mean + at;
    const T* prior_log_scale = scales ? p.prior_log_scale + at : nullptr;
    const T risk = static_cast<T>(rule.risk_weight), kl = static_cast<T>(rule.kl_weight);
    const T rate = static_cast<T>(rule.rate), momentum = static_cast<T>(rule.momentum);
    const T fresh = static_cast<T>(1.0 - rule.momentum), second = static_cast<T>(rule.second);
    const T second_fresh = static_cast<T>(1.0 - rule.second), epsilon = static_cast<T>(rule.epsilon);
    const T adam_rate = static_cast<T>(rule.rate / rule.first_correction);
    const T root = static_cast<T>(1.0 / std::sqrt(rule.second_correction));
    const double one_precision = std::exp(-rule.log_variance), next_precision = std::exp(-rule.next_log_variance);
    const double next_variance = std::exp(rule.next_log_variance);
    double kl_sum = 0.0, scaled_sum = 0.0;
#pragma omp simd reduction(+ : kl_sum, scaled_sum)
    for (Index i = 0; i < count; ++i) {
        double log_variance = rule.next_log_variance, before = one_precision, after = next_precision,
               prior_variance = next_variance;
        if constexpr (scales) {
            log_variance = 2.0 * static_cast<double>(prior_log_scale[i]);
            prior_variance = exponential(log_variance).value;
            before = after = 1.0 / prior_variance;
        }
        const T precision = static_cast<T>(before), s = variance[i];
        const T g = risk * by_mean[i] + kl * (mean[i] - prior_mean[i]) * precision;
        const T h = risk * T(2) * s * by_variance[i] + kl * (s * precision - T(1));
        T m = momentum * mean_moment[i], l = momentum * log_scale_moment[i], w, r;
        if constexpr (adam) {
            m += fresh * g;
            l += fresh * h;
            const T m2 = second * mean_second[i] + second_fresh * g * g;
            const T l2 = second * log_scale_second[i] + second_fresh * h * h;
            mean_second[i] = m2;
            log_scale_second[i] = l2;
            w = mean[i] - adam_rate * m / (std::sqrt(m2) * root + epsilon);
            r = log_scale[i] - adam_rate * l / (std::sqrt(l2) * root + epsilon);
        } else {
            m += g;
            l += h;
            w = mean[i] - rate * m;
            r = log_scale[i] - rate * l;
        }
        mean_moment[i] = m;
        log_scale_moment[i] = l;
        mean[i] = w;
        log_scale[i] = r;
        const Exponential e = exponential(2.0 * static_cast<double>(r) - log_variance);
        const double d = static_cast<double>(w) - static_cast<double>(prior_mean[i]), far = d * d * after;
        variance[i] = static_cast<T>(prior_variance * e.value);
        kl_sum += e.phi + far;
        scaled_sum += e.value + far;
    }
    return {0.5 * kl_sum, 0.5 * scaled_sum};
}

template <class T>
PYPHENOM_INLINE Sums move_any(const Rule& rule, const Parameters<T>& p, Index at, Index count, const T* by_mean,
                              const T* by_variance) {
    if (rule.method == Method::adam)
        return p.prior_log_scale ? move_loop<T, true, true>(rule, p, at, count, by_mean, by_variance)
                                 : move_loop<T, true, false>(rule, p, at, count, by_mean, by_variance);
    return p.prior_log_scale ? move_loop<T, false, true>(rule, p, at, count, by_mean, by_variance)
                             : move_loop<T, false, false>(rule, p, at, count, by_mean, by_variance);
}

template <class T, bool scales, bool gradient>
PYPHENOM_INLINE Sums divergence_loop(double log_variance, const Parameters<T>& p, Index at, Index count, T* by_mean,
                                     T* by_log_scale) {
    const T *mean = p.mean + at, *log_scale = p.log_scale + at, *prior_mean = p.prior_mean + at;
    const T* prior_log_scale = scales ? p.prior_log_scale + at : nullptr;
    T* variance = p.variance + at;
    double kl_sum = 0.0, scaled_sum = 0.0;
#pragma omp simd reduction(+ : kl_sum, scaled_sum)
    for (Index i = 0; i < count; ++i) {
        const double prior = scales ? 2.0 * static_cast<double>(prior_log_scale[i]) : log_variance;
        const Exponential v = exponential(prior), e = exponential(2.0 * static_cast<double>(log_scale[i]) - prior);
        const double d = static_cast<double>(mean[i]) - static_cast<double>(prior_mean[i]), pull = d / v.value;
        variance[i] = static_cast<T>(v.value * e.value);
        if constexpr (gradient) {
            by_mean[i] = static_cast<T>(pull);
            by_log_scale[i] = static_cast<T>(e.minus_one);
        }
        kl_sum += e.phi + d * pull;
        scaled_sum += e.value + d * pull;
    }
    return {0.5 * kl_sum, 0.5 * scaled_sum};
}

template <class T>
PYPHENOM_INLINE Sums divergence_any(double log_variance, const Parameters<T>& p, Index at, Index count, T* by_mean,
                                    T* by_log_scale) {
    if (by_mean)
        return p.prior_log_scale ? divergence_loop<T, true, true>(log_variance, p, at, count, by_mean, by_log_scale)
                                 : divergence_loop<T, false, true>(log_variance, p, at, count, by_mean, by_log_scale);
    return p.prior_log_scale ? divergence_loop<T, true, false>(log_variance, p, at, count, by_mean, by_log_scale)
                             : divergence_loop<T, false, false>(log_variance, p, at, count, by_mean, by_log_scale);
}

#define PYPHENOM_LOOPS(T)                                                                                              \
    PYPHENOM_CLONES void pre_activate_of(Index count, const T* mean, const T* variance, const T* bias,                 \
                                         const T* bias_variance, T sign, const double* e, T* z, T* ratio) {            \
        pre_activate_loop(count, mean, variance, bias, bias_variance, sign, e, z, ratio);                              \
    }                                                                                                                  \
    PYPHENOM_CLONES void square_of(Index count, const T* a, T* out) { square_loop(count, a, out); }                    \
    PYPHENOM_CLONES void join_of(Index count, const T* a, const T* slope, const T* ratio, T* g, T* dv, double* g_sum,  \
                                 double* dv_sum) {                                                                     \
        join_loop(count, a, slope, ratio, g, dv, g_sum, dv_sum);                                                       \
    }                                                                                                                  \
    PYPHENOM_CLONES Sums move_of(const Rule& rule, const Parameters<T>& p, Index at, Index count, const T* by_mean,    \
                                 const T* by_variance) {                                                               \
        return move_any(rule, p, at, count, by_mean, by_variance);                                                     \
    }                                                                                                                  \
    PYPHENOM_CLONES void rectify_of(T slope, Index count, T* z, T* out, T* slopes) {                                   \
        rectify_loop(slope, count, z, out, slopes);                                                                    \
    }                                                                                                                  \
    PYPHENOM_CLONES Sums divergence_of(double log_variance, const Parameters<T>& p, Index at, Index count, T* by_mean, \
                                       T* by_log_scale) {                                                              \
        return divergence_any(log_variance, p, at, count, by_mean, by_log_scale);                                      \
    }
PYPHENOM_LOOPS(float)
PYPHENOM_LOOPS(double)
#undef PYPHENOM_LOOPS

}  // namespace

void draw_normals(const Noise& noise, Index layer, std::uint32_t example, Index first, Index count,
                  std::uint32_t* words, double* normals) {
    const Index counters = (count + 3) / 4;
    const std::uint64_t index = static_cast<std::uint64_t>(noise.repetition) << 32 | example;
    draw_words(noise.seed, static_cast<std::uint32_t>(first / 4), noise.stream(layer), index, counters, words);
    to_normals(words, 2 * counters, normals);
}

template <class T>
void pre_activate(Index count, const T* mean, const T* variance, const T* bias, const T* bias_variance, T sign,
                  const double* e, T* z, T* ratio) {
    pre_activate_of(count, mean, variance, bias, bias_variance, sign, e, z, ratio);
}

template <class T>
void activate(const Activation& activation, Index count, T* z, T* out, T* slope, T* unused) {
    if (activation.identity || activation.function.piecewise_linear()) {
        const bool relu = !activation.identity && activation.function.function == curvature::Function::relu;
        const T below = activation.identity ? T(1) : relu ? T(0) : static_cast<T>(activation.function.a);
        return rectify_of(below, count, z, out, slope);
    }
    curvature::evaluate(activation.function, z, z, slope, unused, count);
    square(count, z, out);
}

template <class T>
void square(Index count, const T* a, T* out) {
    square_of(count, a, out);
}

template <class T>
void join_gradients(Index count, const T* a, const T* slope, const T* ratio, T* g, T* dv, double* g_sum,
                    double* dv_sum) {
    join_of(count, a, slope, ratio, g, dv, g_sum, dv_sum);
}

template <class T>
Sums move(const Rule& rule, const Parameters<T>& p, Index at, Index count, const T* by_mean, const T* by_variance) {
    return move_of(rule, p, at, count, by_mean, by_variance);
}

template <class T>
Sums divergence(double log_variance, const Parameters<T>& p, Index at, Index count, T* by_mean, T* by_log_scale) {
    return divergence_of(log_variance, p, at, count, by_mean, by_log_scale);
}

#define PYPHENOM_INSTANTIATE(T)                                                                             \
    template void pre_activate<T>(Index, const T*, const T*, const T*, const T*, T, const double*, T*, T*); \
    template void activate<T>(const Activation&, Index, T*, T*, T*, T*);                                    \
    template void square<T>(Index, const T*, T*);                                                           \
    template void join_gradients<T>(Index, const T*, const T*, const T*, T*, T*, double*, double*);         \
    template Sums move<T>(const Rule&, const Parameters<T>&, Index, Index, const T*, const T*);             \
    template Sums divergence<T>(double, const Parameters<T>&, Index, Index, T*, T*);
PYPHENOM_INSTANTIATE(float)
PYPHENOM_INSTANTIATE(double)
#undef PYPHENOM_INSTANTIATE

}  // namespace pyphenom::pac_bayes
