r"""The fixed point of (ridge-regularised) logistic regression in the proportional limit, and its continuation.

Legend. mu, alpha signal and noise part of the estimate, rho^2 = mu^2 + alpha^2, c = mu/rho, s = alpha/rho, lam the
proximal step, r the ridge (of the mean loss plus r|theta|^2/2). On a fresh sample the margin is q = mu V + alpha Z, on
a training sample pi = prox(q), that is pi - lam s(-pi) = q. With e = s(-pi) = -loss', h = loss'', D = 1/(1 + lam h)

    E[V e] = r mu,   lam^2 E[e^2] = psi alpha^2,   E[1 - D] = psi - r lam.

The third equation with the ridge: the problem min over (mu, alpha) of E loss(pi) + r (mu^2 + alpha^2)/2 under
E(pi - q)^2 = psi alpha^2 is stationary in alpha if E[Z loss'] - psi alpha/lam + r alpha = 0, and by Stein's lemma
E[Z loss'] = (alpha/lam) E[1 - D].

Expectations. q = rho W with W of density 2 phi(w) f_s(cw), so V = cW + sW' and Z = sW - cW' with W' as in `links`,
whose moments are derivatives of f_s. The integral over w is one over pi, so that no prox is solved. D bends where
lam h = 1, at |pi| = log lam: pi = pi_0 + b x + a sinh x is fine up to there and coarse beyond, however large rho is. In
x the integrand is analytic, and the trapezoidal rule converges exponentially.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ._checks import Array
from .links import REACH, Link

STEP = 0.14
FINE = 1.6
CHUNK = 32
"""Aspect ratios solved at once: temporary arrays stay near the cache, and each group stops when it has converged."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Expectations (m,) of the legend, and their derivatives (m, 3) by (mu, alpha, lam)."""

    pull: Array
    """E[V e]."""
    loss: Array
    """E[e]."""
    square: Array
    """E[e^2]."""
    degrees: Array
    """E[1 - D]."""
    d_pull: Array
    d_square: Array
    d_degrees: Array


def moments(link: Link, mu: Array, alpha: Array, lam: Array, reach: float, step: float = STEP) -> Moments:
    """Integrate over w; `reach` is the largest |w| that matters."""
    mu, alpha, lam = mu[:, None], alpha[:, None], lam[:, None]
    rho = np.hypot(mu, alpha)
    c, s = mu / rho, alpha / rho
    # Far above rho, lam moves all samples to where the loss is exponential: one bend is left, at the prox of 0.
    far = lam > 8.0 * rho
    centre = prox_of_zero(np.where(far, lam, np.minimum(lam, 1.0)))
    bends = np.log(np.maximum(np.where(far, REACH * rho, lam), 1.0))
    fine = np.minimum(np.where(far, 0.5 * FINE, FINE), np.minimum(rho, 2.0 * alpha))
    coarse = fine * np.exp(-bends / fine)
    # The prox moves two points no further apart.
    end = np.arcsinh((reach * rho + prox_of_zero(lam)) / coarse)
    # The density of a mixture has width 1 at a distance.
    step = min(step, 0.7 / max(reach - REACH, 1.0))
    count = int(np.ceil(end.max() / step))
    x = end * (np.arange(-count, count + 1) / count)
    pi = centre + fine * x + coarse * np.sinh(x)
    e = expit(-pi)
    h = e * expit(pi)
    D = 1.0 / (1.0 + lam * h)
    w = (pi - lam * e) / rho
    # Twice the normal density, times dw.
    weight = np.sqrt(2.0 / np.pi) * np.exp(-0.5 * w**2) * (end / count) * (fine + coarse * np.cosh(x)) / (D * rho)
    f, f1, f2 = link.smoothed(c * w, s)
    f, f1, f2 = weight * f, weight * f1 * s, weight * f2 * s**2  # E of 1, W' and W'^2 - 1, given w
    v = c * w * f + s * f1
    z = s * w * f - c * f1
    vv = (c * w) ** 2 * f + 2.0 * c * s * w * f1 + s**2 * (f + f2)
    vz = c * s * (w**2 * f - f - f2) + (s**2 - c**2) * w * f1
    bend = h * D
    third = lam * h * (2.0 * e - 1.0) * D**3
    return Moments(
        pull=(v * e).sum(-1),
        loss=(f * e).sum(-1),
        square=(f * e**2).sum(-1),
        degrees=(f * lam * bend).sum(-1),
        d_pull=-np.stack([(vv * bend).sum(-1), (vz * bend).sum(-1), (v * bend * e).sum(-1)], axis=-1),
        d_square=-2.0 * np.stack([(y * e * bend).sum(-1) for y in (v, z, f * e)], axis=-1),
        d_degrees=np.stack([(v * third).sum(-1), (z * third).sum(-1), (f * (bend * D + third * e)).sum(-1)], axis=-1),
    )


def prox_of_zero(lam: Array) -> Array:
    """Solve pi = lam s(-pi): Newton from the left on a concave function, which never overshoots."""
    pi = np.zeros_like(lam)
    for _ in range(100):
        e = expit(-pi)
        step = (lam * e - pi) / (1.0 + lam * e * (1.0 - e))
        pi = pi + step
        if (np.abs(step) <= 1e-12 * (1.0 + pi)).all():
            break
    return pi


def equations(x: Array, link: Link, psi: Array, ridge: Array, reach: float) -> tuple[Array, Array]:
    """Return the relative residuals (m, 3) at x = (mu/alpha, log alpha, log lam/alpha), and the Jacobian (m, 3, 3)."""
    t, alpha = x[:, 0], np.exp(x[:, 1])
    mu, lam = t * alpha, np.exp(x[:, 2]) * alpha
    got = moments(link, mu, alpha, lam, reach)
    ratio = (lam / alpha) ** 2
    # Above the threshold e is exponentially small: the first equation counts relative to it.
    value = np.stack(
        [
            (got.pull - ridge * mu) / got.loss,
            (ratio * got.square - psi) / psi,
            (got.degrees - psi + ridge * lam) / psi,
        ],
        axis=-1,
    )
    by = np.stack([got.d_pull, ratio[:, None] * got.d_square, got.d_degrees], axis=1)
    by[:, 0, 0] -= ridge
    by[:, 1, 1] -= 2.0 * ratio * got.square / alpha
    by[:, 1, 2] += 2.0 * ratio * got.square / lam
    by[:, 2, 2] += ridge
    by /= np.stack([got.loss, psi, psi], axis=-1)[:, :, None]
    # mu = t alpha and lam = l alpha: alpha moves all three.
    jacobian = np.empty_like(by)
    jacobian[:, :, 0] = by[:, :, 0] * alpha[:, None]
    jacobian[:, :, 1] = by[:, :, 0] * mu[:, None] + by[:, :, 1] * alpha[:, None] + by[:, :, 2] * lam[:, None]
    jacobian[:, :, 2] = by[:, :, 2] * lam[:, None]
    return value, jacobian


def newton(
    x: Array, link: Link, psi: Array, ridge: Array, reach: float, tolerance: float = 2e-15
) -> tuple[Array, Array]:
    """Polish x (m, 3); return it with the largest residual of each row."""
    parts = []
    for k in range(0, len(x), CHUNK):
        some = slice(k, k + CHUNK)
        system = functools.partial(equations, link=link, psi=psi[some], ridge=ridge[some], reach=reach)
        parts.append(descend(system, x[some], tolerance))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def descend(system: Callable[[Array], tuple[Array, Array]], x: Array, tolerance: float = 2e-15) -> tuple[Array, Array]:
    """Newton's method with halved steps for m small systems at once; return x and the largest residual of each."""
    best, error, damping = x, np.full(len(x), np.inf), np.ones(len(x))
    move = np.zeros_like(x)
    for _ in range(60):
        value, jacobian = system(x)
        size = np.abs(value).max(-1)
        better = size < error
        if better.any():
            ahead = np.linalg.solve(jacobian[better], value[better][..., None])[..., 0]
            bound = np.ones_like(ahead)  # all but the first are logarithms
            bound[:, 0] = np.maximum(1.0, 0.5 * np.abs(x[better, 0]))
            move[better] = np.clip(ahead, -bound, bound)
        best, error = np.where(better[:, None], x, best), np.where(better, size, error)
        damping = np.where(better, 1.0, damping / 4.0)
        if ((error < tolerance) | (damping < 0.01) | ((damping < 1.0) & (error < 1e-13))).all():
            break
        x = best - damping[:, None] * move
    return best, error
