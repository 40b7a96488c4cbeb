#include "random_features/features.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "core/blas.hpp"
#include "core/dense.hpp"
#include "core/loops.hpp"
#include "core/parallel.hpp"
#include "core/philox.hpp"

namespace pyphenom {
namespace {

constexpr std::uint32_t weight_stream = 0, bias_stream = 1;
constexpr double two_pi = 6.283185307179586476925286766559;

double draw_bias(const FeatureLaw& law, std::uint64_t feature) {
    if (!law.has_bias()) return 0.0;
    std::uint32_t words[4];
    draw_words(law.seed, 0, bias_stream, feature, 1, words);
    if (law.activation == Activation::cos) return two_pi * uniform(words[0]);
    double normals[4];
    to_normals(words, 2, normals);
    return law.bias_scale * normals[0];
}

}  // namespace

Distribution parse_distribution(std::string_view name) {
    if (name == "gaussian") return Distribution::gaussian;
    if (name == "sphere") return Distribution::sphere;
    throw std::invalid_argument("`distribution` is '" + std::string(name) + "'; expected 'gaussian' or 'sphere'");
}

template <class T>
void draw_weights(const FeatureLaw& law, std::uint64_t first, double scale, Matrix<T> W, T* bias, int threads) {
    const Index d = W.rows, counters = (d + 3) / 4;
    constexpr Index worth_a_thread = 1 << 17;  // draws
    parallel_for(W.cols, 1 + worth_a_thread / d, threads, [&](Index begin, Index end) {
        std::vector<std::uint32_t> words(4 * counters);
        std::vector<double> z(4 * counters);
        for (Index c = begin; c < end; ++c) {
            const std::uint64_t feature = first + static_cast<std::uint64_t>(c);
            draw_words(law.seed, 0, weight_stream, feature, counters, words.data());
            to_normals(words.data(), 2 * counters, z.data());
            double factor = scale;
            if (law.distribution == Distribution::sphere)
                factor *= std::sqrt(static_cast<double>(d) / squared_norm(z.data(), d));
            T* w = W.col(c);
            for (Index i = 0; i < d; ++i) w[i] = static_cast<T>(factor * z[i]);
            bias[c] = static_cast<T>(draw_bias(law, feature));
        }
    });
}

template <class T>
void features(Activation activation, Matrix<const T> Xt, Matrix<const T> W, const T* bias, Matrix<T> Z, Layout layout,
              bool tiled, int threads) {
    constexpr Index worth_a_thread = 1 << 20;  // multiplications
    if (tiled && layout == Layout::feature_a_column && dense::one_threaded<T>())
        parallel_for(Xt.cols, 1 + worth_a_thread / (W.rows * W.cols), threads, [&](Index begin, Index end) {
            dense::multiply<T>({W.cols, end - begin, W.rows, W.data, W.stride, 1, Xt.data + begin * Xt.stride, 1,
                                Xt.stride, 0, Z.data + begin, Z.stride});
        });
    else if (layout == Layout::feature_a_column)
        blas::gemm('T', 'N', T(1), Xt, W, T(0), Z);
    else
        blas::gemm('T', 'N', T(1), W, Xt, T(0), Z);
    apply_activation(activation, bias, Z, layout, threads);
}

template void draw_weights<float>(const FeatureLaw&, std::uint64_t, double, Matrix<float>, float*, int);
template void draw_weights<double>(const FeatureLaw&, std::uint64_t, double, Matrix<double>, double*, int);
template void features<float>(Activation, Matrix<const float>, Matrix<const float>, const float*, Matrix<float>, Layout,
                              bool, int);
template void features<double>(Activation, Matrix<const double>, Matrix<const double>, const double*, Matrix<double>,
                               Layout, bool, int);

}  // namespace pyphenom
