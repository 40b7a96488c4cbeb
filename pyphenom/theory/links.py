r"""Links: how a label y = ±1 depends on the signal, and the law of :math:`V = y\langle x, \theta_*\rangle`.

Inputs are :math:`x \sim N(0, I_p)` (raw, without :math:`1/\sqrt p`), :math:`\theta_*` is a unit vector and
:math:`g = \langle x, \theta_*\rangle \sim N(0, 1)`. With :math:`P(y=1 \mid g) = f(g)` and :math:`f(g) + f(-g) = 1` the
density of V is :math:`2\varphi(v) f(v)`. A Gaussian mixture has the same form with a function f that is no probability.

A classifier of cosine c sees :math:`W = cV + sZ`, :math:`s^2 = 1 - c^2`, of density
:math:`2\varphi(w)\, f_s(cw)` with the smoothed link :math:`f_s(t) = E f(t + sZ)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import expit, ndtr

from . import _checks
from ._checks import Array

__all__ = ["GaussianMixture", "Law", "Link", "Logistic", "Null", "Probit", "Sign"]

REACH = 9.0
"""Gaussian integrals end here: what is left out is 1e-19."""
FARTHEST = 34.0
"""Of a mean in logistic regression: there the ratio of the densities reaches e^600."""
Smoothed = tuple[Array, Array, Array]


@dataclass(frozen=True, eq=False)
class Law:
    """The law of V: a value v of `nodes` with its probability from `weights`, plus ``jitter`` times N(0, 1).

    Attributes
    ----------
    nodes, weights : array (m,)
        A quadrature rule; the weights sum to one.
    jitter : float
        Standard deviation of an independent Gaussian part.
    """

    nodes: Array
    weights: Array
    jitter: float = 0.0

    @property
    def mean(self) -> float:
        """The mean of V: without a signal it is 0."""
        return float(self.weights @ self.nodes)

    def error(self, cosine: Array) -> Array:
        r"""Return the test error :math:`P(cV + sZ < 0)` of classifiers of the given cosines, shape (...)."""
        spread = np.sqrt((1.0 - cosine) * (1.0 + cosine) + (cosine * self.jitter) ** 2)[..., None]
        with np.errstate(divide="ignore"):
            return np.asarray(ndtr(-cosine[..., None] * self.nodes / spread) @ self.weights)


class Link(Protocol):
    """What the theory asks of a link; it is hashable, since what is solved for a link once is kept."""

    def __hash__(self) -> int:
        """Return a hash of the parameters."""

    def law(self) -> Law:
        """Return the law of V."""

    def smoothed(self, t: Array, s: Array) -> Smoothed:
        r"""Return :math:`f_s(t) = E f(t + sZ)` and its first two derivatives in t, for :math:`s^2 \le 1`."""


@dataclass(frozen=True)
class Logistic:
    r"""Logistic labels, :math:`P(y=1 \mid g) = E\,\mathrm{s}(\varsigma g + hZ)`, :math:`\mathrm{s}(u)=1/(1+e^{-u})`.

    Attributes
    ----------
    strength : float
        :math:`\varsigma \ge 0`, the norm of the coefficients; ``inf`` is `Sign`.
    hidden : float
        :math:`h \ge 0`: strength of a part of the signal that sits on features which are not among the inputs.

    Examples
    --------
    >>> Logistic(2.0)
    Logistic(strength=2.0, hidden=0.0)
    """

    strength: float
    hidden: float = 0.0

    def __post_init__(self) -> None:
        _number(self, "strength", infinite=True)
        _number(self, "hidden")

    def law(self) -> Law:
        """Return the law of V."""
        if np.isinf(self.strength):
            return Sign().law()
        return _law(logistic_normal(self.strength * NODES, np.asarray(self.hidden))[0])

    def smoothed(self, t: Array, s: Array) -> Smoothed:
        """Return the smoothed link and its derivatives."""
        if np.isinf(self.strength):
            return Sign().smoothed(t, s)
        value, slope, bend = logistic_normal(self.strength * t, np.hypot(self.strength * s, self.hidden))
        return value, self.strength * slope, self.strength**2 * bend


@dataclass(frozen=True)
class Probit:
    r"""Probit labels, :math:`P(y=1 \mid g) = \Phi(\varsigma g)`: the sign of :math:`g + Z/\varsigma`.

    Attributes
    ----------
    strength : float
        :math:`\varsigma \ge 0`; ``inf`` is `Sign`.

    Examples
    --------
    >>> Probit(1.5)
    Probit(strength=1.5)
    """

    strength: float

    def __post_init__(self) -> None:
        _number(self, "strength", infinite=True)

    def law(self) -> Law:
        """Return the law of V."""
        if np.isinf(self.strength):
            return Sign().law()
        return _law(ndtr(self.strength * NODES))

    def smoothed(self, t: Array, s: Array) -> Smoothed:
        """Return the smoothed link and its derivatives."""
        rate = 1.0 / np.hypot(1.0 / self.strength, s) if self.strength > 0 else np.zeros_like(s)
        return _probit(rate, t)


@dataclass(frozen=True)
class Sign:
    r"""Labels that are the sign of g, each flipped with a given probability: V is :math:`\pm|N(0, 1)|`.

    Attributes
    ----------
    flip_rate : float
        Probability of a wrong label, at most 1/2. Test labels are flipped too: no error is below it.

    Examples
    --------
    >>> Sign(), Sign(0.1)
    (Sign(flip_rate=0.0), Sign(flip_rate=0.1))
    """

    flip_rate: float = 0.0

    def __post_init__(self) -> None:
        _number(self, "flip_rate")
        if self.flip_rate > 0.5:
            raise ValueError(
                f"flip_rate: got {self.flip_rate:g}, expected a probability in [0, 0.5]; beyond it, exchange the labels"
            )

    def law(self) -> Law:
        """Return the law of V."""
        law = _law(np.where(NODES > 0, 1.0 - self.flip_rate, self.flip_rate))
        possible = law.weights > 0
        return Law(law.nodes[possible], law.weights[possible])

    def smoothed(self, t: Array, s: Array) -> Smoothed:
        """Return the smoothed link and its derivatives."""
        value, slope, bend = _probit(1.0 / s, t)
        kept = 1.0 - 2.0 * self.flip_rate
        return self.flip_rate + kept * value, kept * slope, kept * bend


@dataclass(frozen=True)
class GaussianMixture:
    r"""Two Gaussian classes, :math:`x = y\,m\,\theta_* + N(0, I_p)` with equal shares: :math:`V \sim N(m, 1)`.

    Attributes
    ----------
    mean_norm : float
        m, the distance of each class mean from the origin, in standard deviations.

    Examples
    --------
    >>> GaussianMixture(1.0)
    GaussianMixture(mean_norm=1.0)
    """

    mean_norm: float

    def __post_init__(self) -> None:
        _number(self, "mean_norm")

    def law(self) -> Law:
        """Return the law of V: one point and a Gaussian around it."""
        return Law(np.array([float(self.mean_norm)]), np.ones(1), 1.0)

    def smoothed(self, t: Array, s: Array) -> Smoothed:
        """Return the smoothed link and its derivatives: f(t) = exp(m t - m^2/2) / 2 turns N(0, 1) into N(m, 1)."""
        m = self.mean_norm
        if m > FARTHEST:
            raise ValueError(
                f"mean_norm: got {m:g}, expected at most {FARTHEST:g} here: classes so far apart are never "
                "confused, and the density between them leaves the range of floats"
            )
        # Beyond the largest exponent the normal density is zero.
        value = 0.5 * np.exp(np.minimum(m * t - 0.5 * m**2 * (1.0 - s**2), 600.0))
        return value, m * value, m**2 * value


@dataclass(frozen=True)
class Null:
    """Labels by the toss of a coin: no signal, V is N(0, 1).

    Examples
    --------
    >>> Null()
    Null()
    """

    def law(self) -> Law:
        """Return the law of V."""
        return GaussianMixture(0.0).law()

    def smoothed(self, t: Array, s: Array) -> Smoothed:
        """Return the smoothed link and its derivatives."""
        return GaussianMixture(0.0).smoothed(t, s)


def logistic_normal(m: Array, spread: Array) -> Smoothed:
    """Return E s(m + spread Z) and its first two derivatives in m."""
    m, spread = np.asarray(m, dtype=float), np.asarray(spread, dtype=float)
    if spread.max() <= 1.0:
        z = np.arange(-REACH, REACH + 0.25, 0.5)
        weights = 0.25 * _density(z)
        sigmoid = expit(m[..., None] + spread[..., None] * z)
        slope = sigmoid * (1.0 - sigmoid)
        return sigmoid @ weights, slope @ weights, (slope * (1.0 - 2.0 * sigmoid)) @ weights
    if spread.min() > 1.0:
        # P(L < m + spread Z) for a logistic variable L: smooth however large the spread is.
        logistic = np.arange(-37.0, 37.25, 0.5)
        weights = 0.5 * expit(logistic) * expit(-logistic)
        u = (m[..., None] - logistic) / spread[..., None]
        gauss = 0.5 * _density(u)
        rate = 1.0 / spread
        return ndtr(u) @ weights, rate * (gauss @ weights), -(rate**2) * ((u * gauss) @ weights)
    shape = np.broadcast_shapes(m.shape, spread.shape)
    m, spread = np.broadcast_to(m, shape), np.broadcast_to(spread, shape)
    found = np.empty((3, *shape))
    for where in (spread <= 1.0, spread > 1.0):
        found[:, where] = logistic_normal(m[where], spread[where])
    return found[0], found[1], found[2]


def _density(v: Array) -> Array:
    """Twice the normal density."""
    return np.asarray(np.sqrt(2.0 / np.pi) * np.exp(-0.5 * v**2))


def _rule() -> tuple[Array, Array]:
    """Return nodes on both sides of 0, and the mass of twice the normal density at each.

    The double exponential rule, v = exp(x - exp(-x)) and its mirror image, resolves every scale next to 0: there a link
    may be sharp or jump, and there sharp classifiers look.
    """
    step = 0.04
    x = np.arange(-3.45, 2.35, step)
    v = np.exp(x - np.exp(-x))
    mass = step * v * (1.0 + np.exp(-x)) * _density(v)
    return np.concatenate([-v[::-1], v]), np.concatenate([mass[::-1], mass])


NODES, MASS = _rule()


def _law(link: Array) -> Law:
    """Return the law of a link given at the nodes."""
    weights = MASS * link
    return Law(NODES, weights / weights.sum())


def _probit(rate: Array, t: Array) -> Smoothed:
    u = rate * t
    slope = 0.5 * rate * _density(u)
    return np.asarray(ndtr(u)), slope, -rate * u * slope


def _number(link: object, name: str, *, infinite: bool = False) -> None:
    value = _checks.nonnegative(name, getattr(link, name), infinite=infinite)
    if value.ndim:
        raise TypeError(f"{name}: got an array of shape {value.shape}, expected one number; loop over the links")
    object.__setattr__(link, name, float(value))
