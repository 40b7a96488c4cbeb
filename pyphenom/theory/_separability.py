r"""Moments of the positive part, the separability threshold, and the maximum of the margin for one link.

Legend. t = c/s cotangent of the angle between classifier and signal, b = kappa/s, X = b - tV - Z. The margin solves

    maximise kappa = b / sqrt(1 + t^2)  subject to  E(X)_+^2 = psi ,

where :math:`\sqrt{E(X)_+^2}` is convex in (b, t). So b(t) on the constraint is concave, and

    D(t) = (1 + t^2) b'(t) - t b(t),   b' = E[V (X)_+] / E(X)_+ ,

changes its sign once where b > 0: the root is bracketed, and none is missed.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.optimize import brentq, elementwise
from scipy.special import ndtr

from ._checks import Array
from .links import Law, Link

FARTHEST = 1e8
"""Cotangent beyond which a classifier counts as parallel to the signal."""
CHUNK = 64
"""Aspect ratios solved at once: their temporary arrays stay in the cache."""


def moments(law: Law, b: Array, t: Array) -> tuple[Array, Array, Array, Array]:
    """Return P(X > 0), E(X)_+, E(X)_+^2 and E[V (X)_+] for X = b - tV - Z, shapes (...)."""
    b, t = np.asarray(b, dtype=float), np.asarray(t, dtype=float)
    sigma = np.sqrt(1.0 + (t * law.jitter) ** 2)
    a = (b[..., None] - t[..., None] * law.nodes) / sigma[..., None]
    above, density = ndtr(a), np.exp(-0.5 * a**2) / np.sqrt(2.0 * np.pi)
    first = a * above + density
    second = above + a * first
    probability = above @ law.weights
    # Stein's lemma for the Gaussian part of V.
    with_v = sigma * (first @ (law.weights * law.nodes)) - t * law.jitter**2 * probability
    return probability, sigma * (first @ law.weights), sigma**2 * (second @ law.weights), with_v


def level(law: Law, t: Array, psi: Array) -> Array:
    """Return b with E(b - tV - Z)_+^2 = psi, by Newton's method on a convex function from its right."""
    b = t * law.mean + np.sqrt(psi)  # Jensen: E(X)_+^2 >= (b - t EV)^2
    for _ in range(60):
        _, first, second, _ = moments(law, b, t)
        root = np.sqrt(second)
        step = (root - np.sqrt(psi)) * root / first
        b = b - step
        if (np.abs(step) <= 1e-15 * (np.sqrt(psi) + np.abs(b))).all():
            break
    return b


@functools.lru_cache(maxsize=256)
def threshold(link: Link) -> tuple[float, float]:
    r"""Return :math:`\psi^* = \min_t E(Z - tV)_+^2` and its minimiser; (0, inf) if any sample is separable."""
    law = link.law()
    if law.mean <= 1e-15:
        return 0.5, 0.0

    def slope(t: float) -> float:
        return float(moments(law, np.zeros(()), np.asarray(t))[3])

    far = 1.0
    while slope(far) > 0:
        far *= 2.0
        if far > FARTHEST:
            return 0.0, np.inf
    best = brentq(slope, 0.0, far, xtol=1e-15, rtol=1e-15)
    return float(moments(law, np.zeros(()), np.asarray(best))[2]), float(best)


def maximum(link: Link, psi: Array) -> tuple[Array, Array, Array]:
    """Return margin, cosine and residual for aspect ratios (m,) above the threshold."""
    parts = [_maximum(link, psi[k : k + CHUNK]) for k in range(0, len(psi), CHUNK)]
    margin, cosine, residual = (np.concatenate(part) for part in zip(*parts, strict=True))
    return margin, cosine, residual


def _maximum(link: Link, psi: Array) -> tuple[Array, Array, Array]:
    law, (_, reference) = link.law(), threshold(link)
    if reference == 0.0:
        b = level(law, np.zeros_like(psi), psi)
        return b, np.zeros_like(psi), np.abs(moments(law, b, np.zeros_like(psi))[2] / psi - 1.0)

    def ascent(t: Array, psi: Array) -> Array:
        b = level(law, t, psi)
        _, first, _, with_v = moments(law, b, t)
        # Where the level is negative no root is looked for: the side of the threshold decides.
        return np.where(b > 0, _ascent(b, t, first, with_v), np.where(t < reference, 1.0, -1.0))

    high = np.full_like(psi, min(max(1.0, 2.0 * reference), 4.0))
    while True:
        wrong = (ascent(high, psi) > 0) & (high < FARTHEST)
        if not wrong.any():
            break
        high = np.where(wrong, 2.0 * high, high)
    found = elementwise.find_root(ascent, (np.zeros_like(psi), high), args=(psi,), tolerances={"xatol": 0.0})
    t = found.x
    b = level(law, t, psi)
    _, first, second, with_v = moments(law, b, t)
    residual = np.maximum(np.abs(second / psi - 1.0), np.abs(_ascent(b, t, first, with_v)))
    length = np.hypot(1.0, t)
    return np.maximum(b / length, 0.0), t / length, residual


def _ascent(b: Array, t: Array, first: Array, with_v: Array) -> Array:
    """Return D(t) in units in which all its terms are of order one."""
    square = 1.0 + t**2
    return (square * with_v / first - t * b) / (square + np.abs(t * b))


def check(link: Link) -> None:
    """Raise if something is no link."""
    if isinstance(link, type) or not (hasattr(link, "law") and hasattr(link, "smoothed")):
        raise TypeError(f"link: got {link!r}, expected a link such as Logistic(2.0), Sign() or GaussianMixture(1.0)")
