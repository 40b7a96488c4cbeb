// Tests of the library without Python. Without a system BLAS the table is filled with a plain-loop product, which is
// all that features need; the path's factorisations are then covered by pytest alone.
#include <cmath>
#include <cstdio>
#include <vector>

#include "core/blas.hpp"
#include "core/philox.hpp"
#include "core/tiles.hpp"
#include "implicit_bias/cnn_descent.hpp"
#include "implicit_bias/hard_margin.hpp"
#include "implicit_bias/linear_descent.hpp"
#include "interpolation/relu_interpolant.hpp"
#include "lanczos/basis.hpp"
#include "lanczos/certificate.hpp"
#include "lanczos/lanczos.hpp"
#include "pac_bayes/gaussian_mlp_training.hpp"
#include "pac_bayes/kl_inverse.hpp"
#include "random_features/features.hpp"
#include "random_features/width_path.hpp"

using namespace pyphenom;

namespace {

int passed = 0, failed = 0;

void check(bool condition, const char* what) {
    condition ? ++passed : ++failed;
    if (!condition) std::printf("FAILED: %s\n", what);
}

#ifndef PYPHENOM_SYSTEM_BLAS
void plain_dgemm(char* transa, char* transb, int* m, int* n, int* k, double* alpha, double* a, int* lda, double* b,
                 int* ldb, double* beta, double* c, int* ldc) {
    for (int j = 0; j < *n; ++j)
        for (int i = 0; i < *m; ++i) {
            double s = 0;
            for (int l = 0; l < *k; ++l)
                s += (*transa == 'N' ? a[i + l * *lda] : a[l + i * *lda]) *
                     (*transb == 'N' ? b[l + j * *ldb] : b[j + l * *ldb]);
            c[i + j * *ldc] = *alpha * s + (*beta == 0 ? 0 : *beta * c[i + j * *ldc]);
        }
}
#endif

// C, C + A B or C - A B against plain loops; the product over no depth is zero.
void test_tiles() {
    const auto product = dense::tiled_product<double>();
    if (!product) return;
    bool right = true;
    for (const Index depth : {0, 1, 400})
        for (const int add : {-1, 0, 1}) {
            const Index rows = 11, cols = 37;
            std::vector<double> a(rows * depth), b(depth * cols), c(rows * cols, 3.0);
            for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<double>(i % 7) - 3.0;
            for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<double>(i % 5) - 2.0;
            product({rows, cols, depth, a.data(), depth, 1, b.data(), cols, 1, add, c.data(), cols});
            for (Index i = 0; i < rows; ++i)
                for (Index j = 0; j < cols; ++j) {
                    double sum = 0;
                    for (Index p = 0; p < depth; ++p) sum += a[i * depth + p] * b[p * cols + j];
                    right = right && c[i * cols + j] == (add ? 3.0 + add * sum : sum);
                }
        }
    check(right, "tiled products, of no depth too");
}

// Known answers of the authors' Random123 distribution.
void test_philox() {
    check(philox({0, 0, 0, 0}, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}, "philox, zeros");
    check(philox({~0u, ~0u, ~0u, ~0u}, ~0ull) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}, "philox, ones");
    check(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822ull) ==
              Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
          "philox, digits of pi");
    check(uniform(0) > 0 && uniform(~0u) < 1, "uniforms stay inside (0, 1)");
}

// Values of 40 digits, the edges, and a length that leaves a rest in the vector registers.
void test_kl_inverse() {
    const double q[] = {0.02, 0.1, 0.3, 0, 1, 0.4, 0.4}, c[] = {0.005, 0.1, 0.001, 0.1, 0.1, 0, INFINITY};
    const double exact[] = {
        0.037322203364552491, 0.28237913945564538, 0.32075102827713907, -std::expm1(-0.1), 1, 0.4, 1};
    double p[7], by_q[7], by_c[7], low[7], back[7];
    kl_inverse_gradient(Side::upper, q, c, p, by_q, by_c, 7, 1);
    kl_inverse(Side::lower, q, c, low, 7, 2);
    kl_divergence(q, p, back, 7, 1);
    bool close = true, ordered = true, inverted = true;
    for (int i = 0; i < 7; ++i) {
        close = close && p[i] >= exact[i] && p[i] <= exact[i] * (1 + 5e-16);
        ordered = ordered && low[i] <= q[i] && q[i] <= p[i];
        inverted = inverted && (i == 4 || i == 6 || std::fabs(back[i] - c[i]) <= 1e-13 * c[i]);
    }
    check(close && ordered, "kl inverse, known values on the outer side");
    check(inverted, "kl of its inverse");
    check(std::fabs(by_q[1] - 1.40502145433182) < 1e-13 && std::fabs(by_c[2] - 10.4992293984929) < 1e-12,
          "slopes of the kl inverse");
    const double bad_q[] = {-0.1, 1.1, 0.5, NAN}, bad_c[] = {1, 1, -1, 1};
    kl_inverse(Side::upper, bad_q, bad_c, p, 4, 1);
    check(std::isnan(p[0]) && std::isnan(p[1]) && std::isnan(p[2]) && std::isnan(p[3]),
          "kl inverse outside its domain");
}

void test_features() {
    const Index n = 5, d = 3, width = 7;
    FeatureLaw law;
    law.seed = 9;
    std::vector<double> W(d * width), bias(width), X(d * n), Z(width * n), w2(d), b2(1);
    draw_weights(law, 0, 1.0, Matrix<double>(W.data(), d, width), bias.data(), 2);
    draw_weights(law, 4, 1.0, Matrix<double>(w2.data(), d, 1), b2.data(), 1);
    check(w2[0] == W[4 * d] && w2[2] == W[4 * d + 2], "a feature does not depend on where the draw starts");
    for (Index i = 0; i < d * n; ++i) X[i] = std::sin(1.0 + static_cast<double>(i));
    features<double>(Activation::relu, Matrix<double>(X.data(), d, n), Matrix<double>(W.data(), d, width), nullptr,
                     Matrix<double>(Z.data(), width, n), Layout::feature_a_row, false, 2);
    double error = 0;
    for (Index j = 0; j < n; ++j)
        for (Index i = 0; i < width; ++i) {
            double u = 0;
            for (Index k = 0; k < d; ++k) u += W[k + i * d] * X[k + j * d];
            error = std::fmax(error, std::fabs(Z[i + j * width] - std::fmax(u, 0.0)));
        }
    check(error < 1e-14, "features equal the definition");
}

void test_orthogonalise() {
    // Three orthonormal columns of a reflection I - 2 u u^T, rows enough for several tiles and threads; a fourth vector
    // that nearly lies among them.
    const Index rows = 40000;
    std::vector<double> V(rows * 3), w(rows), h(3), u(rows);
    double square = 0, norm = 0;
    for (Index i = 0; i < rows; ++i) {
        u[i] = std::cos(0.3 * static_cast<double>(i));
        square += u[i] * u[i];
    }
    for (Index j = 0; j < 3; ++j)
        for (Index i = 0; i < rows; ++i) V[i + j * rows] = (i == j) - 2 * u[i] * u[j] / square;
    for (Index i = 0; i < rows; ++i) w[i] = 3 * V[i] - 2 * V[i + rows] + V[i + 2 * rows] + (i == 7 ? 1e-10 : 0.0);
    orthogonalise<double>(Matrix<const double>(V.data(), rows, 3), Matrix<double>(w.data(), rows, 1),
                          Matrix<double>(h.data(), 3, 1), &norm, 3);
    check(std::fabs(h[0] - 3) < 1e-9 && std::fabs(h[1] + 2) < 1e-9 && std::fabs(h[2] - 1) < 1e-9, "coefficients");
    check(std::fabs(norm - 1e-10) < 1e-13, "what is left, by hand");
    double left = 0;
    for (Index j = 0; j < 3; ++j) {
        double s = 0;
        for (Index i = 0; i < rows; ++i) s += V[i + j * rows] * w[i];
        left = std::fmax(left, std::fabs(s));
    }
    check(left < 1e-14 * norm + 1e-25, "orthogonal although ten digits cancelled");
}

// alpha = 0, beta = 1/2: p_j are the Chebyshev polynomials of the second kind, p_j(cosh s) = sinh((j + 1) s) / sinh s.
void test_certificate() {
    Certificate certificate({1.25}, 1000);
    check(certificate.failure() == 1.0, "nothing is known before the first step");
    const double s = std::log(2.0);  // cosh s = 1.25
    double sum = 1;
    for (int j = 1; j <= 20; ++j) {
        certificate.append(0.0, 0.5);
        sum += std::pow(std::sinh((j + 1) * s) / std::sinh(s), 2);
    }
    const double expected = std::sqrt(2 * 1000 / 3.14159265358979323846 / sum);
    check(std::fabs(certificate.failure() / expected - 1) < 1e-12, "Christoffel's bound in closed form");
    certificate.append(0.0, 0.0);
    check(certificate.failure() == 0.0, "a sequence that ends hides nothing");
}

// alpha = 2, beta = -1: the eigenvalues of the n-th matrix are 2 - 2 cos(i pi / (n + 1)).
void test_count() {
    CountAbove above(3.0, 1.0), below(-0.5, -1.0);
    bool right = true;
    for (int n = 1; n <= 40; ++n) {
        above.append(2.0, -1.0);
        below.append(2.0, -1.0);
        Index larger = 0, smaller = 0;
        for (int i = 1; i <= n; ++i) {
            const double value = 2 - 2 * std::cos(i * 3.14159265358979323846 / (n + 1));
            larger += value > 3.0 + 1e-12;
            smaller += value < 0.5;
        }
        right = right && above.count() == larger && below.count() == smaller;
    }
    check(right, "eigenvalues beyond two bounds, one of which is an eigenvalue at times");
}

#ifdef PYPHENOM_SYSTEM_BLAS
// 1, ..., 30 with a second 30: both copies, counted products, any block.
void test_lanczos() {
    const Index size = 31;
    for (Index block = 1; block <= 3; ++block) {
        const Index capacity = size + block;
        std::vector<double> basis(size * capacity);
        Index products = 0;
        const BlockProduct product = [&](Index first, Index count, Index to) {
            products += count;
            for (Index j = 0; j < count; ++j)
                for (Index i = 0; i < size; ++i)
                    basis[i + (to + j) * size] = std::fmin(30.0, i + 1.0) * basis[i + (first + j) * size];
        };
        LanczosOptions options;
        options.wanted = 3;
        options.block = block;
        const LanczosResult found = lanczos<double>(Matrix<double>(basis.data(), size, capacity), 0, product, options);
        check(found.converged == 3 && found.products == products, "three pairs, products counted");
        check(std::fabs(found.values[0] - 30) < 1e-9 && std::fabs(found.values[1] - 30) < 1e-9 &&
                  std::fabs(found.values[2] - 29) < 1e-9,
              "a double eigenvalue twice");
    }
}

// n = 2 samples, features (1, 0), (1, 1), (0, 2): hand-computed minimum-norm fits of y = (1, 3), test row (1, 1, 1).
void test_path() {
    const double y[] = {1, 3}, y_test[] = {0}, Z[] = {1, 0, 1, 1, 0, 2}, Z_test[] = {1, 1, 1};
    double out[4][3], df[3], condition[3], rank[3], predictions[3];
    const auto row = [&](int k) { return Matrix<double>(out[k], 1, 3); };
    const PathRows rows{row(0), row(1), row(2), row(3), df, condition, rank, predictions};
    WidthPath path(Matrix<const double>(y, 2, 1), Matrix<const double>(y_test, 1, 1), 3, 0.0, 1e-13, 7.0);
    path.append(Matrix<const double>(Z, 2, 3), Matrix<const double>(Z_test, 1, 3), rows);
    check(std::fabs(out[0][0] - 4.5) < 1e-12 && std::fabs(out[0][1]) < 1e-12, "training errors by hand");
    check(std::fabs(predictions[0] - 1) < 1e-12 && std::fabs(predictions[1] - 1) < 1e-12, "predictions by hand");
    // K = [[2, 1], [1, 5]], alpha = (2, 5) / 9, a = (2, 7, 10) / 9
    check(std::fabs(predictions[2] - 19.0 / 9) < 1e-12, "minimum-norm prediction by hand");
    check(std::fabs(out[2][2] - std::sqrt(153.0) / 9) < 1e-12, "minimum norm by hand");
}
#endif

// Two epochs of a bound's optimisation: the objective falls, and the number of threads changes no bit.
void test_bound_optimisation() {
    using namespace pac_bayes;
    Architecture network;
    network.widths = {40, 70, 33, 3};
    const Index n = 150, count = network.parameters();
    std::vector<double> X(40 * n);
    std::vector<std::int64_t> y(n);
    for (Index i = 0; i < n; ++i) {
        y[i] = i % 3;
        for (Index j = 0; j < 40; ++j)
            X[j + 40 * i] = std::cos(1.0 + static_cast<double>(j * j + 7 * i)) + (j % 3 == y[i] ? 1.0 : 0.0);
    }
    std::vector<std::vector<double>> means;
    std::vector<double> objectives;
    for (const int threads : {1, 3}) {
        std::vector<double> mean(count), prior(count), scale(count, -2.0), variance(count), m(count), l(count),
            m2(count), l2(count);
        for (Index i = 0; i < count; ++i) mean[i] = prior[i] = 0.2 * std::sin(static_cast<double>(i * i));
        const Parameters<double> p{mean.data(), scale.data(), variance.data(), m.data(), l.data(),
                                   m2.data(),   l2.data(),    prior.data(),    nullptr};
        Training training;
        training.objective = {Objective::Kind::quadratic, 1e4, 0.05, 1.0};
        training.batch = 64;
        training.antithetic = true;
        training.rate = 0.01;
        training.threads = threads;
        pac_bayes::Progress progress;
        progress.log_variance = -4.0;
        const Examples<double> data{Matrix<const double>(X.data(), 40, n), y.data()};
        for (int epoch = 0; epoch < 2; ++epoch)
            objectives.push_back(train_epoch<double>(network, data, training, p, progress, [] {}).objective);
        means.push_back(mean);
        std::vector<Loss> losses(2);
        draw_losses<double>(network, data, mean.data(), variance.data(), 1e-5, 0, 0, losses, threads, [](Index) {});
        check(losses[0].errors >= 0 && losses[0].errors <= n && losses[1].not_finite == 0, "draws of a certificate");
    }
    check(objectives[1] < objectives[0], "the objective falls");
    if (dense::tiled_product<double>()) check(means[0] == means[1], "the number of threads changes no bit");
}

void test_interpolation() {
    const Index n = 40, d = 11, targets = 2;
    std::vector<double> X(d * n), A(d * 2), center(d, 0.25), Z(n * 2), gaps(2), z(n), Y(targets * n), knots(n);
    std::vector<double> slopes(targets * n), out(targets * n);
    std::vector<std::uint32_t> order(n * 2);
    for (Index i = 0; i < d * n; ++i) X[i] = std::sin(static_cast<double>(i * i));
    for (Index i = 0; i < d * 2; ++i) A[i] = std::cos(3.0 + static_cast<double>(i));
    const Matrix<double> z_view(Z.data(), n, 2);
    project<double>(Matrix<const double>(X.data(), d, n), center.data(), Matrix<const double>(A.data(), d, 2), z_view,
                    2);
    sort_projections(z_view, Matrix<std::uint32_t>(order.data(), n, 2), gaps.data(), 2);
    double error = 0;
    for (Index i = 0; i < n; ++i) {
        double sum = 0;
        for (Index l = 0; l < d; ++l) sum += A[d + l] * (X[l + i * d] - center[l]);
        error = std::max(error, std::fabs(sum - z_view(i, 1)));
        z[i] = z_view(order[i], 0);
        for (Index t = 0; t < targets; ++t) Y[t + i * targets] = std::cos(static_cast<double>(5 * i + t));
    }
    check(error < 1e-14, "projections");
    bool ascending = gaps[0] > 0;
    for (Index i = 1; i < n; ++i) ascending = ascending && z[i - 1] < z[i];
    check(ascending, "projections are sorted");
    const Matrix<double> y_view(Y.data(), targets, n), s_view(slopes.data(), targets, n);
    interpolate(z.data(), y_view, z[0] - 1, 0.5, knots.data(), s_view);
    evaluate(z.data(), knots.data(), z.data(), y_view, s_view, Matrix<double>(out.data(), targets, n), 2);
    check(out == Y, "the interpolant takes its labels to the bit");
    bool refused = false;
    try {
        interpolate(z.data(), y_view, z[0], 0.5, knots.data(), s_view);
    } catch (const std::invalid_argument&) {
        refused = true;
    }
    check(refused, "a first knot at the data is refused");
}

// One problem in the coordinates of the span and in the full space: the same activations.
void test_cnn_descent() {
    const Index N = 5, d = 7, n = 4, P = 2, F = 16;
    std::vector<double> basis(d * N), gram(N * N), labels{1, -1, 1, -1}, signs(F), start(F * d), margins(n);
    std::vector<std::int32_t> patches{0, 1, 0, 2, 0, 3, 0, 4};
    std::vector<double> orientation{1, 1, -1, 1, 1, -1, -1, 1};
    for (Index i = 0; i < d * N; ++i) basis[i] = i % 3 ? std::sin(static_cast<double>(i * i)) : 0;
    for (Index i = 0; i < F * d; ++i) start[i] = 0.3 * std::cos(static_cast<double>(7 * i));
    for (Index j = 0; j < F; ++j) signs[j] = j < F / 2 ? 0.125 : -0.125;
    for (Index a = 0; a < N; ++a)
        for (Index b = 0; b < N; ++b)
            for (Index k = 0; k < d; ++k) gram[a + b * N] += basis[k + a * d] * basis[k + b * d];
    const cnn::Data data{Matrix<const double>(basis.data(), d, N),
                         Matrix<const double>(gram.data(), N, N),
                         Matrix<const std::int32_t>(patches.data(), P, n),
                         Matrix<const double>(orientation.data(), P, n),
                         labels.data(),
                         signs.data()};
    cnn::Update update;
    update.power = 2;
    update.rate = 0.5;
    update.decay = 0.01;
    update.log_stop = -100;
    std::vector<double> Z(F * N), C(F * N), W = start;
    for (Index b = 0; b < N; ++b)
        for (Index k = 0; k < d; ++k)
            for (Index j = 0; j < F; ++j) Z[j + b * F] += start[j + k * F] * basis[k + b * d];
    std::vector<double> other = Z;
    cnn::State span, full;
    span.activations = Matrix<double>(Z.data(), F, N);
    span.coordinates = Matrix<double>(C.data(), F, N);
    full.activations = Matrix<double>(other.data(), F, N);
    full.weights = Matrix<double>(W.data(), F, d);
    span.margins = full.margins = margins.data();
    cnn::advance(data, update, span, 50);
    const double loss = span.log_loss;
    cnn::advance(data, update, full, 20);
    cnn::advance(data, update, full, 50);
    double difference = std::fabs(loss - full.log_loss), moved = 0;
    for (Index i = 0; i < F * N; ++i) {
        difference = std::max(difference, std::fabs(Z[i] - other[i]));
        moved = std::max(moved, std::fabs(C[i]));
    }
    check(difference < 1e-12 && moved > 0.01 && span.step == 50, "descent in the span is descent");
    check(loss < std::log(std::log(2.0)), "descent lowers the loss");
}

#ifdef PYPHENOM_SYSTEM_BLAS
void test_hard_margin() {
    const double x[3][2] = {{2, 0.4}, {0.3, 1}, {3, 3}};
    std::vector<double> K(9), alpha(3);
    const auto solve = [&](double last) {
        for (Index i = 0; i < 3; ++i)
            for (Index j = 0; j < 3; ++j)
                K[i + 3 * j] = (x[i][0] * x[j][0] + x[i][1] * x[j][1]) * (i == 2 ? last : 1) * (j == 2 ? last : 1);
        return solve_hard_margin(Matrix<const double>(K.data(), 3, 3), 1e-12, 100, alpha.data(), [] {}).end;
    };
    check(solve(1) == HardMarginEnd::solved, "separable rows are solved");
    check(std::fabs(alpha[0] + alpha[1] - 0.919534) < 1e-6 && alpha[2] == 0, "known multipliers");
    check(solve(-1) == HardMarginEnd::inseparable, "opposite rows are not separable");
}
#endif

// Products of every shape of panel against plain sums; a step of descent on one row is m <- m + eta |a|^2 e^-m.
void test_linear_descent() {
    using namespace implicit_bias;
    bool close = true;
    for (const Index n : {1, 8, 9, 23, 33, 104}) {
        const Index d = n + 5, whole = padded(n);
        std::vector<double> K(static_cast<std::size_t>(n * n)), A(static_cast<std::size_t>(n * d));
        for (Index i = 0; i < n; ++i) {
            for (Index j = 0; j < n; ++j)
                K[static_cast<std::size_t>(i + j * n)] =
                    std::cos(static_cast<double>(i * j)) + std::sin(static_cast<double>(i + j));
            for (Index j = 0; j < d; ++j)
                A[static_cast<std::size_t>(j + i * d)] = std::sin(static_cast<double>(3 * i + j));
        }
        RowPanels rows(Matrix<const double>(A.data(), d, n));
        Lines x(n), y(n), w(rows.weights()), m(n);
        for (Index i = 0; i < n; ++i) x.data()[i] = std::cos(static_cast<double>(i));
        SymmetricPanels(Matrix<const double>(K.data(), n, n)).multiply(x.data(), y.data());
        rows.add(x.data(), w.data(), m.data());
        for (Index i = 0; i < n; ++i) {
            double product = 0, margin = 0;
            for (Index j = 0; j < n; ++j) product += K[static_cast<std::size_t>(i + j * n)] * x.data()[j];
            for (Index j = 0; j < d; ++j) margin += A[static_cast<std::size_t>(j + i * d)] * w.data()[j];
            close = close && std::fabs(y.data()[i] - product) < 1e-12 && std::fabs(m.data()[i] - margin) < 1e-10;
        }
        for (Index j = 0; j < d; ++j) {
            double weight = 0;
            for (Index i = 0; i < n; ++i) weight += A[static_cast<std::size_t>(j + i * d)] * x.data()[i];
            close = close && std::fabs(w.data()[j] - weight) < 1e-12;
        }
        for (Index i = n; i < whole; ++i) close = close && y.data()[i] == 0;
    }
    check(close, "panels");
    const double slopes[] = {-700, -1, 0, 1, 36, 700, 745, 800, NAN};
    double p[9];
    loss_slopes(Loss::exponential, slopes, 0, p, 9);
    bool exact = std::isnan(p[8]) && p[7] == 0;
    for (int i = 0; i < 6; ++i) exact = exact && std::fabs(p[i] / std::exp(-slopes[i]) - 1) < 5e-16;
    check(exact && p[6] > 0, "slopes of the exponential loss");
    const double a[] = {0.6, -0.8}, k = 1, w0[] = {0, 0};
    Rule rule;
    rule.step = 0.5;
    double m = 0;
    for (const bool dual : {true, false}) {
        LinearDescent run(rule, Matrix<const double>(a, 2, 1),
                          dual ? Matrix<const double>(&k, 1, 1) : Matrix<const double>(), w0, 1);
        run.advance(1000);
        m = 0;
        for (int t = 0; t < 1000; ++t) m += 0.5 * std::exp(-m);
        check(run.dual() == dual && std::fabs(run.margins()[0] - m) < 1e-13, "descent on one row");
    }
    bool refused = false;
    try {
        parse_method("newton");
    } catch (const std::invalid_argument&) {
        refused = true;
    }
    check(refused, "a method of no name is refused");
}

}  // namespace

int main() {
#ifndef PYPHENOM_SYSTEM_BLAS
    blas_table().dgemm = plain_dgemm;
#endif
    test_philox();
    test_tiles();
    test_kl_inverse();
    test_features();
    test_orthogonalise();
    test_certificate();
    test_count();
    test_interpolation();
    test_cnn_descent();
    test_bound_optimisation();
    test_linear_descent();
#ifdef PYPHENOM_SYSTEM_BLAS
    test_lanczos();
    test_path();
    test_hard_margin();
#endif
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
