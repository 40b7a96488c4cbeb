#include "random_features/features.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/blas.hpp"
#include "core/parallel.hpp"
#include "core/philox.hpp"

namespace pyphenom {
namespace {

constexpr std::uint32_t weight_stream = 0, bias_stream = 1;

Words draw(const FeatureLaw& law, std::uint32_t k, std::uint32_t stream, std::uint64_t feature) {
    return philox({k, stream, static_cast<std::uint32_t>(feature), static_cast<std::uint32_t>(feature >> 32)},
                  law.seed);
}

double draw_bias(const FeatureLaw& law, std::uint64_t feature) {
    if (!law.has_bias()) return 0.0;
    const Words w = draw(law, 0, bias_stream, feature);
    return law.activation == Activation::cos ? two_pi * uniform(w[0]) : law.bias_scale * normals(w)[0];
}

// The squared norm that the sphere needs is known only after all draws, so they are made twice: drawing is cheap
// beside the product with X, and needs no scratch memory.
double squared_norm(const FeatureLaw& law, std::uint64_t feature, Index d) {
    double sum = 0.0;
    for (Index i = 0; i < d; i += 4) {
        const auto z = normals(draw(law, static_cast<std::uint32_t>(i / 4), weight_stream, feature));
        for (Index j = 0; j < std::min<Index>(4, d - i); ++j) sum += z[j] * z[j];
    }
    return sum;
}

}  // namespace

Distribution parse_distribution(std::string_view name) {
    if (name == "gaussian") return Distribution::gaussian;
    if (name == "sphere") return Distribution::sphere;
    throw std::invalid_argument("`distribution` is '" + std::string(name) + "'; expected 'gaussian' or 'sphere'");
}

template <class T>
void draw_weights(const FeatureLaw& law, std::uint64_t first, double scale, Matrix<T> W, T* bias, int threads) {
    const Index d = W.rows;
    constexpr Index worth_a_thread = 1 << 15;  // draws
    parallel_for(W.cols, 1 + worth_a_thread / d, threads, [&](Index begin, Index end) {
        for (Index c = begin; c < end; ++c) {
            const std::uint64_t feature = first + static_cast<std::uint64_t>(c);
            double factor = scale;
            if (law.distribution == Distribution::sphere) factor *= std::sqrt(d / squared_norm(law, feature, d));
            T* w = W.col(c);
            for (Index i = 0; i < d; i += 4) {
                const auto z = normals(draw(law, static_cast<std::uint32_t>(i / 4), weight_stream, feature));
                for (Index j = 0; j < std::min<Index>(4, d - i); ++j) w[i + j] = static_cast<T>(factor * z[j]);
            }
            bias[c] = static_cast<T>(draw_bias(law, feature));
        }
    });
}

template <class T>
void features(Activation activation, Matrix<const T> Xt, Matrix<const T> W, const T* bias, Matrix<T> Zt, int threads) {
    blas::gemm('T', 'N', T(1), W, Xt, T(0), Zt);
    apply_activation(activation, bias, Zt, threads);
}

template void draw_weights<float>(const FeatureLaw&, std::uint64_t, double, Matrix<float>, float*, int);
template void draw_weights<double>(const FeatureLaw&, std::uint64_t, double, Matrix<double>, double*, int);
template void features<float>(Activation, Matrix<const float>, Matrix<const float>, const float*, Matrix<float>, int);
template void features<double>(Activation, Matrix<const double>, Matrix<const double>, const double*, Matrix<double>,
                               int);

}  // namespace pyphenom
