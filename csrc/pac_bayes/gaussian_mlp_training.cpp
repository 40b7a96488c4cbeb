#include "pac_bayes/gaussian_mlp_training.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/buffer.hpp"
#include "core/philox.hpp"

namespace pyphenom::pac_bayes {
namespace {

constexpr std::uint32_t order_stream = 3u << 16;  // beyond the kinds of noise

std::vector<std::uint32_t> every_example(Index n) {
    std::vector<std::uint32_t> chosen(static_cast<std::size_t>(n));
    std::iota(chosen.begin(), chosen.end(), 0u);
    return chosen;
}

// Rows that are worth a call: the products run at their full rate, and the workspace stays below some 32 MiB.
Index rows_a_block(const Architecture& architecture, Index n) {
    const Index widest = *std::max_element(architecture.widths.begin(), architecture.widths.end());
    return std::clamp<Index>((Index{1} << 20) / widest, std::min<Index>(n, 16), std::min<Index>(n, 512));
}

template <class T>
using Memory = std::vector<T, HugePages<T>>;

constexpr Index part = 4096;  // parameters whose sums are taken together, whatever the number of threads

// The step of ln v, the scale of a prior that is learnt; the same rule as for the parameters, in float64.
double moved(const Rule& rule, double slope, Progress& progress) {
    double& first = progress.log_variance_moment;
    if (rule.method == Method::sgd) {
        first = rule.momentum * first + slope;
        return std::min(progress.log_variance - rule.rate * first, largest_log_variance());
    }
    first = rule.momentum * first + (1.0 - rule.momentum) * slope;
    double& second = progress.log_variance_second;
    second = rule.second * second + (1.0 - rule.second) * slope * slope;
    const double scale = std::sqrt(second / rule.second_correction) + rule.epsilon;
    return std::min(progress.log_variance - rule.rate * (first / rule.first_correction) / scale,
                    largest_log_variance());
}

}  // namespace

void draw_order(std::uint64_t seed, std::int64_t epoch, std::vector<std::uint32_t>& order) {
    const auto n = static_cast<Index>(order.size());
    std::vector<std::uint32_t> words(4 * static_cast<std::size_t>((n + 1) / 2));
    draw_words(seed, 0, order_stream, static_cast<std::uint64_t>(epoch), (n + 1) / 2, words.data());
    const auto key = [&](std::uint32_t i) { return std::uint64_t{words[2 * i]} << 32 | words[2 * i + 1]; };
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](std::uint32_t i, std::uint32_t j) {
        const std::uint64_t a = key(i), b = key(j);
        return a < b || (a == b && i < j);
    });
}

template <class T>
Epoch train_epoch(const Architecture& architecture, const Examples<T>& data, const Training& training,
                  const Parameters<T>& parameters, Progress& progress, const std::function<void()>& check) {
    const Index n = data.X.cols, batch = std::min(training.batch, n);
    const bool learnt_prior = training.objective.kind == Objective::Kind::dziugaite_roy;
    const Index count = architecture.parameters();
    GaussianPasses<T> passes(architecture, batch, training.antithetic, true, training.threads);
    std::vector<std::uint32_t> order(static_cast<std::size_t>(n));
    draw_order(training.seed, progress.epoch, order);
    Memory<T> by_mean(static_cast<std::size_t>(count)), by_variance(static_cast<std::size_t>(count));
    std::vector<Sums> parts;

    // Here also in the middle of a run, whose steps sum in another order: so going on has the bits of never stopping.
    Sums sums = divergence<T>(progress.log_variance, parameters, 0, count, nullptr, nullptr);
    Epoch epoch;
    for (Index first = 0; first < n; first += batch, ++progress.step) {
        const Index rows = std::min(batch, n - first);
        const std::uint32_t* chosen = order.data() + first;
        passes.forward(parameters.mean, parameters.variance, data.X, chosen, rows,
                       {training.seed, Noise::training, static_cast<std::uint32_t>(progress.step)});
        const Loss loss = passes.loss(data.y, chosen, training.pmin);
        const double risk = loss.sum / static_cast<double>(passes.rows());
        const Slopes slopes = evaluate(training.objective, risk, sums.kl, progress.lambda, progress.log_variance,
                                       0.5 * static_cast<double>(count) - sums.scaled);
        if (!std::isfinite(slopes.value)) {
            epoch.diverged = true;
            break;
        }
        const double weight = static_cast<double>(rows) / static_cast<double>(n);
        epoch.objective += weight * slopes.value;
        epoch.risk += weight * risk;
        epoch.error += weight * static_cast<double>(loss.errors) / static_cast<double>(passes.rows());

        Rule rule;
        rule.method = training.method;
        rule.risk_weight = slopes.by_risk;
        rule.kl_weight = slopes.by_kl;
        rule.rate = training.rate;
        rule.momentum = training.momentum;
        const double taken = static_cast<double>(progress.step + 1);
        rule.first_correction = -std::expm1(taken * std::log(rule.momentum));
        rule.second_correction = -std::expm1(taken * std::log(rule.second));
        rule.log_variance = rule.next_log_variance = progress.log_variance;
        if (learnt_prior) rule.next_log_variance = moved(rule, slopes.by_log_variance, progress);
        sums = {};
        passes.backward(parameters.mean, parameters.variance, by_mean.data(), by_variance.data(),
                        [&](Index begin, Index end) {
                            const Index all = (end - begin + part - 1) / part;
                            parts.resize(static_cast<std::size_t>(all));
                            passes.side_by_side(all, 50.0 * static_cast<double>(end - begin), [&](auto share, Index) {
                                for (Index i = share.first; i < share.last; ++i) {
                                    const Index at = begin + i * part;
                                    parts[i] = move(rule, parameters, at, std::min(part, end - at), by_mean.data() + at,
                                                    by_variance.data() + at);
                                }
                            });
                            for (const Sums& s : parts) sums += s;
                        });
        progress.log_variance = rule.next_log_variance;
        check();
    }
    epoch.kl = sums.kl;
    if (epoch.diverged) return epoch;
    ++progress.epoch;
    if (training.objective.kind == Objective::Kind::lambda)
        progress.lambda = best_lambda(training.objective, epoch.risk, sums.kl);
    return epoch;
}

template <class T>
Loss loss_gradient(const Architecture& architecture, const Examples<T>& data, const Training& training,
                   std::uint32_t step, const T* mean, const T* variance, T* by_mean, T* by_log_scale) {
    const Index n = data.X.cols;
    GaussianPasses<T> passes(architecture, n, training.antithetic, true, training.threads);
    const auto chosen = every_example(n);
    passes.forward(mean, variance, data.X, chosen.data(), n, {training.seed, Noise::training, step});
    Loss loss = passes.loss(data.y, chosen.data(), training.pmin);
    passes.backward(mean, variance, by_mean, by_log_scale, [](Index, Index) {});
    for (Index i = 0; i < architecture.parameters(); ++i) by_log_scale[i] *= T(2) * variance[i];
    loss.sum /= static_cast<double>(passes.rows() / n);  // over copies
    return loss;
}

template <class T>
void draw_losses(const Architecture& architecture, const Examples<T>& data, const T* mean, const T* variance,
                 double pmin, std::uint64_t seed, std::uint32_t first, std::vector<Loss>& losses, int threads,
                 const std::function<void(Index)>& check) {
    const Index n = data.X.cols, block = rows_a_block(architecture, n);
    GaussianPasses<T> passes(architecture, block, false, false, threads);
    const auto chosen = every_example(n);
    for (Index from = 0; from < n; from += block) {
        const Index rows = std::min(block, n - from);
        for (std::size_t r = 0; r < losses.size(); ++r) {
            const Noise noise{seed, Noise::certification, first + static_cast<std::uint32_t>(r)};
            passes.forward(mean, variance, data.X, chosen.data() + from, rows, noise, r > 0);
            const Loss loss = passes.loss(data.y, chosen.data() + from, pmin);
            losses[r].sum += loss.sum;
            losses[r].errors += loss.errors;
            losses[r].not_finite += loss.not_finite;
            check(from);
        }
    }
}

template <class T>
void draw_outputs(const Architecture& architecture, Matrix<const T> X, const T* mean, const T* variance,
                  std::uint64_t seed, std::uint32_t repetition, Matrix<T> Z, int threads,
                  const std::function<void(Index)>& check) {
    const Index n = X.cols, block = rows_a_block(architecture, n);
    GaussianPasses<T> passes(architecture, block, false, false, threads);
    const auto chosen = every_example(n);
    for (Index from = 0; from < n; from += block) {
        const Index rows = std::min(block, n - from);
        passes.forward(mean, variance, X, chosen.data() + from, rows, {seed, Noise::certification, repetition});
        for (Index i = 0; i < rows; ++i) std::copy_n(passes.output(i), Z.rows, Z.col(from + i));
        check(from);
    }
}

#define PYPHENOM_INSTANTIATE(T)                                                                                       \
    template Epoch train_epoch<T>(const Architecture&, const Examples<T>&, const Training&, const Parameters<T>&,     \
                                  Progress&, const std::function<void()>&);                                           \
    template Loss loss_gradient<T>(const Architecture&, const Examples<T>&, const Training&, std::uint32_t, const T*, \
                                   const T*, T*, T*);                                                                 \
    template void draw_losses<T>(const Architecture&, const Examples<T>&, const T*, const T*, double, std::uint64_t,  \
                                 std::uint32_t, std::vector<Loss>&, int, const std::function<void(Index)>&);          \
    template void draw_outputs<T>(const Architecture&, Matrix<const T>, const T*, const T*, std::uint64_t,            \
                                  std::uint32_t, Matrix<T>, int, const std::function<void(Index)>&);
PYPHENOM_INSTANTIATE(float)
PYPHENOM_INSTANTIATE(double)
#undef PYPHENOM_INSTANTIATE

}  // namespace pyphenom::pac_bayes
