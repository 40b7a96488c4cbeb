// The inverse of the binary relative entropy kl(q|p) = q ln(q/p) + (1-q) ln((1-q)/(1-p)) in its second argument.
//
//   upper: the largest  p >= q with kl(q|p) <= c, rounded up;   at most 2 ulp above the true value
//   lower: the smallest p <= q with kl(q|p) <= c, rounded down
//
// Never on the wrong side of the true value, for every q in [0, 1] and c in [0, inf]; the stated accuracy holds for
// c = 0 and c >= 1e-80. Every element costs the same fixed number of steps, so the loop runs in vector registers, and
// gives the same bits on every processor. Outside its domain an argument gives NaN.
#pragma once

#include "core/matrix.hpp"

namespace pyphenom {

enum class Side { upper, lower };

// p[i] <- inverse at (q[i], c[i]).
void kl_inverse(Side side, const double* q, const double* c, double* p, Index n, int threads);

// Also the derivatives of the inverse by q and by c. Where they diverge they are +-inf: by q at q = 0 (upper) or
// q = 1 (lower), by c at c = 0.
void kl_inverse_gradient(Side side, const double* q, const double* c, double* p, double* by_q, double* by_c, Index n,
                         int threads);

// out[i] <- kl(q[i]|p[i]), to 2 ulp; inf where p has no mass and q has.
void kl_divergence(const double* q, const double* p, double* out, Index n, int threads);

}  // namespace pyphenom
