#include "implicit_bias/linear_descent.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/loops.hpp"

// Compiled with -fno-trapping-math: nobody reads the exception flags, and without them both sides of a choice may be
// computed, which vector registers need.
namespace pyphenom::implicit_bias {
namespace {

constexpr double log2 = 0.6931471805599453, block = 64;  // of Adam's scale, in powers of two

template <class To, class From>
PYPHENOM_INLINE To bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

// e^x to two units in the last place, gradual underflow included; NaN stays. Unlike the library's it fills vector
// registers.
PYPHENOM_INLINE double exponential(double x) {
    constexpr double shift = 0x1.8p52, log2e = 1.4426950408889634, high = 0x1.62e42fefa38p-1,
                     low = 0x1.ef35793c7673p-45;
    x = x < -746 ? -746.0 : x;
    x = x > 710 ? 710.0 : x;
    const double t = x * log2e + shift, k = t - shift, r = (x - k * high) - k * low;
    double q = 1.0 / 6227020800;
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
    const double power = 1 + (r + r * r * q);
    // 2^k in two factors, each a normal number.
    const auto whole = bits<std::uint64_t>(t) - bits<std::uint64_t>(shift);
    const std::uint64_t half = ((whole + 2048) >> 1) - 1024;
    return power * bits<double>((half + 1023) << 52) * bits<double>((whole - half + 1023) << 52);
}

PYPHENOM_CLONES void exponential_slopes(const double* m, double shift, double* p, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) p[i] = exponential(shift - m[i]);
}

PYPHENOM_CLONES void logistic_slopes(const double* m, double shift, double* p, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) {
        const double inverse = 1 + exponential(-std::fabs(m[i])), rise = m[i] > 0 ? m[i] : 0.0;
        p[i] = exponential(shift - rise) / inverse;
    }
}

PYPHENOM_CLONES void squared_slopes(const double* m, double* p, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) p[i] = 1 - m[i];
}

// c <- c + r with the error of the sum carried in `rest` (Kahan).
PYPHENOM_CLONES void add_compensated(const double* r, double* c, double* rest, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) {
        const double y = r[i] + rest[i], s = c[i] + y;
        rest[i] = y - (s - c[i]);
        c[i] = s;
    }
}

PYPHENOM_CLONES double smallest(const double* m, Index n) {
    double least[lanes];
    std::fill_n(least, lanes, m[0]);
    const Index whole = n / lanes * lanes;
    for (Index i = 0; i < whole; i += lanes)
        for (Index k = 0; k < lanes; ++k) least[k] = m[i + k] < least[k] ? m[i + k] : least[k];
    for (Index i = whole; i < n; ++i) least[0] = std::min(least[0], m[i]);
    return *std::min_element(least, least + lanes);
}

PYPHENOM_CLONES double sum_of(const double* x, Index n) {
    double s = 0;
#pragma omp simd reduction(+ : s)
    for (Index i = 0; i < n; ++i) s += x[i];
    return s;
}

PYPHENOM_CLONES void combine(double s, const double* x, double u, const double* y, double* out, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) out[i] = s * x[i] + u * y[i];
}

PYPHENOM_CLONES void add_to(const double* x, double* y, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) y[i] += x[i];
}

PYPHENOM_CLONES void multiply_by(double s, double* x, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) x[i] *= s;
}

template <class T>
T parse(const char* what, const std::string& name, const std::vector<std::pair<const char*, T>>& known,
        const char* expected) {
    for (const auto& [word, value] : known)
        if (name == word) return value;
    require(false, what, "'" + name + "'", expected);
    return known.front().second;
}

}  // namespace

Loss parse_loss(const std::string& name) {
    return parse<Loss>("loss", name,
                       {{"exponential", Loss::exponential}, {"logistic", Loss::logistic}, {"squared", Loss::squared}},
                       "'exponential', 'logistic' or 'squared'");
}

Method parse_method(const std::string& name) {
    return parse<Method>("method", name,
                         {{"gradient", Method::gradient},
                          {"momentum", Method::momentum},
                          {"nesterov", Method::nesterov},
                          {"normalized", Method::normalized},
                          {"accelerated", Method::accelerated},
                          {"batch_norm", Method::batch_norm},
                          {"adam", Method::adam}},
                         "the name of a method");
}

void loss_slopes(Loss loss, const double* m, double shift, double* p, Index n) {
    switch (loss) {
        case Loss::exponential:
            return exponential_slopes(m, shift, p, n);
        case Loss::logistic:
            return logistic_slopes(m, shift, p, n);
        case Loss::squared:
            return squared_slopes(m, p, n);
    }
}

LinearDescent::LinearDescent(const Rule& rule, Matrix<const double> rows, Matrix<const double> K, const double* w0,
                             double gain)
    : rule_(rule), dual_(rule.method != Method::adam && K.rows > 0), n_(rows.cols), d_(rows.rows), gain_(gain) {
    require(n_ >= 1 && d_ >= 1, "rows", "empty", "at least one row and one column");
    require(K.rows == 0 || (K.rows == n_ && K.cols == n_), "K", "of another shape", "one entry a pair of rows");
    for (Lines* vector : {&m_, &m0_, &p_, &velocity_}) *vector = Lines(n_);
    for (Index i = 0; i < n_; ++i) m_.data()[i] = dot(rows.col(i), w0, d_);
    if (dual_) {
        gram_ = SymmetricPanels(K);
        c_ = Lines(n_);
        rest_ = Lines(n_);
        std::copy_n(m_.data(), n_, m0_.data());
    } else {
        rows_ = RowPanels(rows);
        for (Lines* vector : {&w_, &first_, &second_}) *vector = Lines(rows_.weights());
        std::copy_n(w0, d_, w_.data());
    }
}

void LinearDescent::advance(std::int64_t steps) {
    for (std::int64_t k = 0; k < steps; ++k) step();
}

void LinearDescent::step() {
    const double t = static_cast<double>(t_);
    const double eta = rule_.decay == 0 ? rule_.step : rule_.step * std::pow(t + 1, -rule_.decay);
    if (rule_.method == Method::adam) {
        adam(eta);
    } else {
        direction(eta);  // p <- the change of the coefficients
        if (dual_) {
            add_compensated(p_.data(), c_.data(), rest_.data(), n_);
            gram_.multiply(c_.data(), m_.data());
            add_to(m0_.data(), m_.data(), n_);
        } else {
            rows_.add(p_.data(), w_.data(), m_.data());
        }
    }
    ++t_;
}

void LinearDescent::direction(double eta) {
    double *p = p_.data(), *velocity = velocity_.data();
    const double mean = eta / static_cast<double>(n_), t = static_cast<double>(t_);
    switch (rule_.method) {
        case Method::gradient:
            loss_slopes(rule_.loss, m_.data(), 0, p, n_);
            return multiply_by(mean, p, n_);
        case Method::momentum:
        case Method::nesterov:
            loss_slopes(rule_.loss, m_.data(), 0, p, n_);
            combine(rule_.momentum, velocity, 1, p, velocity, n_);
            if (rule_.method == Method::momentum) return combine(mean, velocity, 0, p, p, n_);
            return combine(mean * rule_.momentum, velocity, mean, p, p, n_);
        case Method::normalized:
            normalized_weights();
            return multiply_by(eta, p, n_);
        case Method::accelerated:
            normalized_weights();
            if (t_ > 0) combine((t - 1) / t, velocity, (t - 1) / t, p, velocity, n_);
            return combine(eta, velocity, eta, p, p, n_);
        case Method::batch_norm:
            return batch_norm(eta);
        case Method::adam:
            return;
    }
}

// p_i <- -l'(m_i) / sum_j l(m_j), at any size of the margins
void LinearDescent::normalized_weights() {
    double* p = p_.data();
    const double *m = m_.data(), shift = std::max(smallest(m, n_), 0.0);
    loss_slopes(rule_.loss, m, rule_.loss == Loss::exponential ? smallest(m, n_) : shift, p, n_);
    double total = 0;
    if (rule_.loss == Loss::exponential) {
        total = sum_of(p, n_);
    } else {
        for (Index i = 0; i < n_; ++i) {
            // l = log(1 + e^-m) = e^-m in float64 from 40 on, where the slope is the same.
            const double rise = m[i] > 0 ? m[i] : 0.0;
            if (m[i] > 40)
                total += p[i];
            else
                total += (std::log1p(std::exp(-std::fabs(m[i]))) + (rise - m[i])) * std::exp(shift);
        }
    }
    multiply_by(1 / total, p, n_);
}

// f = gain <w, x> / |w|_S, |w|_S^2 = mean of m_i^2. Its gradient in w is orthogonal to w in the metric S: the slopes
// lose their projection on the margins.
void LinearDescent::batch_norm(double eta) {
    double *p = p_.data(), *f = velocity_.data();
    const double *m = m_.data(), n = static_cast<double>(n_), square = squared_norm(m, n_),
                 size = std::sqrt(square / n);
    combine(gain_ / size, m, 0, m, f, n_);
    loss_slopes(rule_.loss, f, 0, p, n_);
    const double inner = dot(p, m, n_), rate = eta * gain_ / (size * n);
    combine(rate, p, -rate * inner / square, m, p, n_);
    gain_ += eta * inner / (n * size);
}

// Without epsilon a step does not depend on the scale of the gradients, which are held times 2^scale: margins of
// thousands then leave the moments in range. Against moments that are too large to be held so the gradient is zero.
void LinearDescent::rescale_moments() {
    const Index d = rows_.weights();
    const double above = smallest(m_.data(), n_) / log2 - scale_;
    if (rule_.loss == Loss::squared || !((above < 0 && scale_ > 0) || above >= block) || !std::isfinite(above)) return;
    double blocks = std::max(std::floor(above / block), -scale_ / block), largest = 0;
    for (Index j = 0; j < d; ++j) largest = std::max(largest, second_.data()[j]);
    if (largest > 0) blocks = std::min(blocks, std::floor((900 - std::ilogb(largest)) / (2 * block)));
    const double factor = largest > 0 ? std::ldexp(1.0, static_cast<int>(std::max(block * blocks, -2000.0))) : 0;
    multiply_by(factor, first_.data(), d);
    multiply_by(factor, second_.data(), d);
    multiply_by(factor, second_.data(), d);
    scale_ += block * blocks;
}

void LinearDescent::adam(double eta) {
    rescale_moments();
    loss_slopes(rule_.loss, m_.data(), scale_ * log2, p_.data(), n_);
    multiply_by(1 / static_cast<double>(n_), p_.data(), n_);
    const double t = static_cast<double>(t_) + 1;
    const AdamRates rates{eta / -std::expm1(t * std::log(rule_.beta1)), 1 / -std::expm1(t * std::log(rule_.beta2)),
                          rule_.beta1, rule_.beta2, rule_.epsilon > 0 ? rule_.epsilon * std::exp2(scale_) : 0};
    rows_.adam(p_.data(), rates, w_.data(), first_.data(), second_.data(), m_.data());
}

}  // namespace pyphenom::implicit_bias
