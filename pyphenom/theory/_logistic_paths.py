r"""Two ways to the fixed point of logistic regression that miss no root: along the noise, and along the ridge.

Near the threshold of separability the noise alpha of the estimate diverges, and a root finder at a given aspect ratio
fails there silently. Along alpha the aspect ratio is an outcome, and the branch is smooth all the way: it is followed
once for each link, and every aspect ratio starts from it. With a ridge there is a solution at every aspect ratio, and
the path starts from a ridge so large that the loss is linear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from ._checks import Array
from ._logistic_system import descend, moments, newton
from ._separability import threshold
from .links import Link

FACTOR = 1.3
"""Step of the branch in alpha."""
RIDGE_FACTOR = 3.0
"""Largest step of the path in the ridge."""
NEAREST = 1e-9
"""Relative distance from the threshold at which the branch ends; closer points extrapolate its power law."""


@dataclass(frozen=True, eq=False)
class Branch:
    """Points (k,) of the branch of a link: mu/alpha, log alpha, log lam/alpha, and the aspect ratio."""

    signal: Array
    noise: Array
    step: Array
    aspect_ratio: Array


def branch(link: Link, reach: float, beyond: float | None = None) -> Branch:
    """Follow the estimate from many samples per parameter to the threshold, or past the aspect ratio `beyond`."""
    border, cotangent = threshold(link)
    last = (1.0 - NEAREST) * border if beyond is None else beyond
    mu = _population(link, reach)
    noise = np.log(max(mu, 1.0) * min(0.02, 0.1 / max(cotangent, 1.0)))
    alpha = np.exp(noise)
    got = moments(link, np.array([mu]), np.array([alpha]), np.array([alpha**2]), reach)
    # psi = E[1 - D] = lam E h and lam^2 E[e^2] = psi alpha^2, to first order.
    x = np.array([mu / alpha, np.log(got.degrees[0] / got.square[0] / alpha)])
    points: list[tuple[float, float, float, float]] = []
    while True:
        if len(points) > 1:
            guess = 2.0 * x - np.array([points[-2][0], points[-2][2]])
        else:  # mu stays, lam/alpha grows like alpha
            guess = x * [1.0 / FACTOR, 1.0] + [0.0, np.log(FACTOR)] if points else x
        x, psi = _at_noise(guess, noise, link, reach)
        points.append((x[0], noise, x[1], psi))
        if (psi >= last and len(points) > 3) or len(points) > 150:
            break
        noise += np.log(FACTOR)
    return Branch(*np.array(points).T)


def on_branch(found: Branch, border: float, psi: Array) -> Array:
    """Return the start (m, 3) of Newton's method for aspect ratios below the threshold, from one branch."""
    ratio = found.aspect_ratio
    stop = int(np.argmax((border - ratio <= NEAREST * border) | (np.diff(ratio, append=1.0) <= 0))) or len(ratio)

    # Both ends of the branch are power laws: straight lines in these coordinates.
    def coordinate(ratio: Array) -> Array:
        return np.asarray(np.log(ratio) - np.log(border - ratio))

    knots, at = coordinate(ratio[:stop]), coordinate(psi)
    inner = np.clip(at, knots[0], knots[-1])
    noise = CubicSpline(knots, found.noise[:stop])
    alpha = noise(inner) + np.maximum(at - knots[-1], 0.0) + 0.5 * np.minimum(at - knots[0], 0.0)
    signal = CubicSpline(knots, found.signal[:stop])(inner) * np.where(at < knots[0], np.exp(noise(inner) - alpha), 1.0)
    step = CubicSpline(knots, found.step[:stop])(inner) + 0.5 * np.minimum(at - knots[0], 0.0)
    return np.stack([signal, alpha, step], axis=-1)


def ridge_path(link: Link, mean: float, psi: Array, ridge: Array, reach: float) -> tuple[Array, Array]:
    """Follow the solution from a large ridge down to the given one; return x (m, 3) and residuals (m,)."""
    start = np.maximum(ridge, 4.0 * (1.0 + psi))
    # There e = 1/2: mu = EV/(2r), alpha = sqrt(psi)/(2r), lam = psi/r.
    x = np.stack([mean / np.sqrt(psi), np.log(np.sqrt(psi) / (2.0 * start)), np.log(2.0 * np.sqrt(psi))], axis=-1)
    count = 1 + int(np.ceil(np.log(np.max(start / ridge)) / np.log(RIDGE_FACTOR)))
    last = x
    for k in range(count + 1):
        at = start * (ridge / start) ** (k / count)
        guess = x if k < 2 else 2.0 * x - last
        last = x
        x, error = newton(guess, link, psi, at, reach, tolerance=2e-15 if k == count else 1e-4)
    return x, error


def _at_noise(x: Array, noise: float, link: Link, reach: float) -> tuple[Array, float]:
    """Solve for x = (mu/alpha, log lam/alpha) at a given alpha; return it with the aspect ratio."""
    alpha = np.exp([noise])

    def system(x: Array) -> tuple[Array, Array]:
        lam = np.exp(x[:, 1]) * alpha
        got = moments(link, x[:, 0] * alpha, alpha, lam, reach)
        noise = (lam / alpha) ** 2 / got.degrees
        value = np.stack([got.pull / got.loss, noise * got.square - 1.0], axis=-1)
        by_noise = noise[:, None] * (got.d_square - (got.square / got.degrees)[:, None] * got.d_degrees)
        by_noise[:, 2] += 2.0 * noise * got.square / lam
        by = np.stack([got.d_pull / got.loss[:, None], by_noise], axis=1)
        return value, by[:, :, [0, 2]] * np.stack([alpha, lam], axis=-1)[:, None, :]

    x = descend(system, x[None])[0]
    lam = np.exp(x[:, 1]) * alpha
    return x[0], float(moments(link, x[:, 0] * alpha, alpha, lam, reach).degrees[0])


def _population(link: Link, reach: float) -> float:
    """Return mu without noise: the root of E[V s(-mu V)], which falls with mu."""
    small = np.array([0.02])

    def pull(mu: float) -> float:
        return float(moments(link, np.array([mu]), small, small**2, reach).pull[0])

    high = 1.0
    while pull(high) > 0 and high < 1e8:
        high *= 2.0
    return float(brentq(pull, 0.0, high)) if pull(0.0) > 0 > pull(high) else 0.0
