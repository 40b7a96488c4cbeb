#include "pac_bayes/gaussian_mlp_objective.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "pac_bayes/kl_inverse.hpp"

namespace pyphenom::pac_bayes {
namespace {

constexpr double pi = 3.14159265358979323846;
constexpr double grid_precision = 100.0, grid_top = 0.1;  // b and c

double complexity(const Objective& o, double kl) { return kl + std::log(2.0 * std::sqrt(o.n) / o.delta); }

}  // namespace

Objective::Kind parse_objective(std::string_view name) {
    using Kind = Objective::Kind;
    if (name == "classic") return Kind::classic;
    if (name == "quadratic") return Kind::quadratic;
    if (name == "lambda") return Kind::lambda;
    if (name == "catoni") return Kind::catoni;
    if (name == "kl") return Kind::kl;
    if (name == "dziugaite_roy") return Kind::dziugaite_roy;
    throw std::invalid_argument("`objective` is '" + std::string(name) +
                                "'; expected one of classic, quadratic, lambda, catoni, kl, dziugaite_roy");
}

Slopes evaluate(const Objective& o, double risk, double kl, double lambda, double log_variance,
                double kl_by_log_variance) {
    const double n = o.n;
    switch (o.kind) {
        case Objective::Kind::classic: {
            const double slack = std::sqrt(complexity(o, kl) / (2.0 * n));
            return {risk + slack, 1.0, 1.0 / (4.0 * n * slack), 0.0};
        }
        case Objective::Kind::quadratic: {
            const double e = complexity(o, kl) / (2.0 * n), outer = std::sqrt(risk + e), inner = std::sqrt(e);
            const double sum = outer + inner;
            return {sum * sum, sum / outer, sum * (1.0 / outer + 1.0 / inner) / (2.0 * n), 0.0};
        }
        case Objective::Kind::lambda: {
            const double rest = 1.0 - 0.5 * lambda, by_kl = 1.0 / (n * lambda * rest);
            return {risk / rest + complexity(o, kl) * by_kl, 1.0 / rest, by_kl, 0.0};
        }
        case Objective::Kind::catoni: {
            const double exponent = o.catoni * risk + (kl - std::log(o.delta)) / n, mass = -std::expm1(-o.catoni);
            const double slope = std::exp(-exponent) / mass;
            return {-std::expm1(-exponent) / mass, o.catoni * slope, slope / n, 0.0};
        }
        case Objective::Kind::kl: {
            // The slope by the risk diverges at zero, where a surrogate never is; a ten-thousandth of an example caps
            // it.
            const double q = std::clamp(risk, 1e-4 / n, 1.0), c = complexity(o, kl) / n;
            double p, by_risk, by_budget;
            kl_inverse_gradient(Side::upper, &q, &c, &p, &by_risk, &by_budget, 1, 1);
            return {risk <= 1.0 ? p : risk, by_risk, by_budget / n, 0.0};  // NaN and infinity stay
        }
        case Objective::Kind::dziugaite_roy: {
            const double depth = std::log(grid_top) - log_variance;
            const double price = 2.0 * std::log(grid_precision * depth) + std::log(pi * pi * n / (6.0 * o.delta));
            const double slack = std::sqrt(0.5 * (kl + price) / (n - 1.0)), by_kl = 1.0 / (4.0 * (n - 1.0) * slack);
            return {risk + slack, 1.0, by_kl, by_kl * (kl_by_log_variance - 2.0 / depth)};
        }
    }
    throw std::invalid_argument("`objective` is unknown");
}

double best_lambda(const Objective& o, double risk, double kl) {
    return 2.0 / (std::sqrt(2.0 * o.n * risk / complexity(o, kl) + 1.0) + 1.0);
}

double largest_log_variance() { return std::log(grid_top) - 1.0 / grid_precision; }

}  // namespace pyphenom::pac_bayes
