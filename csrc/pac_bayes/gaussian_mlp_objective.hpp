// What training makes small: a bound on the risk as a function of an empirical risk and KL, and its slopes.
//
// With B = KL + ln(2 sqrt(n) / delta):
//
//   classic         risk + sqrt(B / 2n)
//   quadratic       (sqrt(risk + B / 2n) + sqrt(B / 2n))^2
//   lambda          risk / (1 - l/2) + B / (n l (1 - l/2)),  l in (0, 2) held, and renewed after each epoch
//   catoni          (1 - exp(-C risk - (KL + ln 1/delta) / n)) / (1 - exp(-C)),  C held
//   kl              the inverse of kl(risk | .) at B / n
//   dziugaite_roy   risk + sqrt(A / 2),  A = (KL + 2 ln(b ln(c / v)) + ln(pi^2 n / 6 delta)) / (n - 1),
//                   with a prior N(w_0, v I) whose v is learnt: b = 100, c = 1/10
//
// Minimising certifies nothing: the risk is that of a minibatch and a surrogate loss.
#pragma once

#include <string_view>

namespace pyphenom::pac_bayes {

struct Objective {
    enum class Kind { classic, quadratic, lambda, catoni, kl, dziugaite_roy } kind = Kind::quadratic;
    double n = 1.0, delta = 0.05, catoni = 1.0;
};

Objective::Kind parse_objective(std::string_view name);

struct Slopes {
    double value, by_risk, by_kl, by_log_variance;
};

// `lambda` counts for its own objective. For dziugaite_roy, `log_variance` is ln v, and `kl_by_log_variance` the slope
// of KL by it.
Slopes evaluate(const Objective& objective, double risk, double kl, double lambda, double log_variance,
                double kl_by_log_variance);

// The l in (0, 2) that makes the lambda objective smallest.
double best_lambda(const Objective& objective, double risk, double kl);

// The largest ln v in the grid of dziugaite_roy, whose index starts at 1.
double largest_log_variance();

}  // namespace pyphenom::pac_bayes
