r"""The self-consistent ridge of kernel and random-feature regression, and the sums over modes that follow from it.

Legend. L_i eigenvalues of the kernel, n samples, k features, delta penalty, M points in the population,
g effective ridge on the eigenvalues, z = sum L/(L+g) degrees of freedom, q = sum L^2/(L+g)^2, and three non-negative
numbers

    a = n - z   (samples not used up),   b = k - z   (features not used up),   e = z - q = sum gL/(L+g)^2.

Every quantity of the theory is a sum of products of non-negative terms in (a, b, e), so nothing cancels:
see `eigenframework` for the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import elementwise

from ._checks import Array


@dataclass(frozen=True, eq=False)
class Modes:
    """Positive eigenvalues (p,), and a tail of `tail_size` equal modes of sum `tail` (each tiny if it is infinite)."""

    eigenvalues: Array
    tail: Array
    tail_size: Array

    @property
    def tail_eigenvalue(self) -> Array:
        """Size of one mode of the tail; 0 if there are infinitely many."""
        return self.tail / np.where(self.tail_size > 0, self.tail_size, 1.0)

    @property
    def rank(self) -> Array:
        """Number of modes with a positive eigenvalue."""
        return np.where(self.tail > 0, self.tail_size, 0.0) + float(self.eigenvalues.size)


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """Effective ridge g, the gaps a, b, e of the legend above, and factors per mode; arrays of one shape (...)."""

    ridge: Array
    degrees: Array
    sample_gap: Array
    feature_gap: Array
    spread: Array
    squares: Array
    """q = sum L^2/(L+g)^2, summed as such: z - e would cancel at a large penalty."""
    learned: Array
    """L_i / (L_i + g), shape (..., p)."""
    missed: Array
    """g / (L_i + g), shape (..., p)."""
    tail_missed: Array
    """g / (t + g) for the modes of the tail, shape (...)."""
    residual: Array

    @property
    def feature_share(self) -> Array:
        """The share e / (b + e): 0 for infinitely many features."""
        return self.spread / _or_one(self.feature_gap + self.spread)

    @property
    def spread_used(self) -> Array:
        """The harmonic e b / (b + e): equal to e for infinitely many features."""
        kernel = np.isinf(self.feature_gap)
        gap = np.where(kernel, 1.0, self.feature_gap)
        return np.where(kernel, self.spread, self.spread * (gap / _or_one(gap + self.spread)))


def degrees_of_freedom(modes: Modes, ridge: Array) -> Array:
    """Degrees of freedom z(g) = sum L/(L+g) + T/(t+g)."""
    return np.asarray((1.0 / (1.0 + ridge[..., None] / modes.eigenvalues)).sum(-1) + _tail_degrees(modes, ridge))


def surplus(modes: Modes, m: Array, ridge: Array) -> Array:
    """Return m - z(g), from what the modes miss where the rank is near m and z would round to it."""
    missed = (1.0 / (1.0 + modes.eigenvalues / ridge[..., None])).sum(-1)
    # An infinite tail never comes near: its rank is infinite.
    near = modes.rank <= 2.0 * m
    size = np.where(near & (modes.tail > 0), modes.tail_size, 0.0)
    missed = missed + size * (ridge / (modes.tail_eigenvalue + ridge))
    return np.where(near, (m - np.where(near, modes.rank, 0.0)) + missed, m - degrees_of_freedom(modes, ridge))


def solve(modes: Modes, n: Array, width: Array, penalty: Array, population: Array) -> FixedPoint:
    r"""Solve (n - z)(k - z) g = delta k (1 - z/M) for g >= 0, all parameters of one shape (...).

    With m = min(n, k) the equation, quadratic in m - z, is solved for that gap,

        m - z(g) = 2Y / (d + sqrt(d^2 + 4Y/k)),   Y = delta (1 - z/M)/g,   d = |n/k - 1|,

    which holds for delta = 0 and for k = inf too. The difference of both sides changes its sign once on g > 0:
    for z > m it is negative, and for z <= m, (n-z)(k-z) g / (1 - z/M) increases in g because n < M. The root is
    bracketed in log g, so spectra over many decades cost a few more steps and no accuracy.
    """
    m = np.minimum(n, width)
    imbalance = np.abs(n / width - 1.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        unlearned = np.isinf(penalty)
        exact = (penalty == 0.0) & (modes.rank <= m)
        ridge = np.where(unlearned, np.inf, 0.0)
        inner = ~(unlearned | exact)
        if inner.any():
            ridge[inner] = _root(
                _take(modes, inner), *(v[inner] for v in (n, width, penalty, population, m, imbalance))
            )
        degrees = degrees_of_freedom(modes, ridge)
        gap = _gap(ridge, degrees, width, penalty, population, imbalance)
        residual = np.abs(surplus(modes, m, ridge) - gap) / m
        gap = np.where(exact, m - modes.rank, np.where(unlearned, m, gap))
        missed = 1.0 / (1.0 + modes.eigenvalues / ridge[..., None])
        learned = 1.0 / (1.0 + ridge[..., None] / modes.eigenvalues)
        tail_missed = np.where(modes.tail_eigenvalue > 0, 1.0 / (1.0 + modes.tail_eigenvalue / ridge), 1.0)
        tail_degrees = _tail_degrees(modes, ridge)
        tail_learned = modes.tail_eigenvalue / (modes.tail_eigenvalue + np.where(modes.tail > 0, ridge, 1.0))
    return FixedPoint(
        ridge=ridge,
        degrees=degrees,
        sample_gap=gap + np.maximum(n - width, 0.0),
        feature_gap=gap + np.maximum(width - n, 0.0),
        spread=(learned * missed).sum(-1) + tail_degrees * tail_missed,
        squares=(learned**2).sum(-1) + tail_degrees * tail_learned,
        learned=learned,
        missed=missed,
        tail_missed=tail_missed,
        residual=np.where(inner, residual, 0.0),
    )


def _root(modes: Modes, n: Array, k: Array, penalty: Array, population: Array, m: Array, imbalance: Array) -> Array:
    tail, size, rank = modes.tail, modes.tail_size, modes.rank
    trace = modes.eigenvalues.sum() + tail
    smallest = modes.eigenvalues.min(initial=np.inf)
    smallest = np.where(tail > 0, np.minimum(modes.tail_eigenvalue, smallest), smallest)
    # z >= m at both, from the smallest mode alone or from an infinite tail alone.
    ridgeless = np.where(np.isinf(rank), tail / m, smallest * (rank / m - 1.0))
    low = np.maximum(ridgeless, penalty / n * (1.0 - n / population))
    # At g >= 2 tr/m at least half of m is unused, and g >= 4 delta/n then outweighs the penalty.
    high = np.maximum(2.0 * trace / m, 4.0 * (penalty / n))

    def balance(
        x: Array, k: Array, penalty: Array, population: Array, m: Array, imbalance: Array, tail: Array, size: Array
    ) -> Array:
        ridge = np.exp(x)
        tried = Modes(modes.eigenvalues, tail, size)
        degrees = degrees_of_freedom(tried, ridge)
        gap = _gap(ridge, degrees, k, penalty, population, imbalance)
        return (surplus(tried, m, ridge) - gap) / m

    bracket = (np.log(low) - 1.0, np.log(high) + 1.0)
    found = elementwise.find_root(balance, bracket, args=(k, penalty, population, m, imbalance, tail, size))
    return np.asarray(np.exp(found.x), dtype=np.float64)


def _gap(ridge: Array, degrees: Array, k: Array, penalty: Array, population: Array, imbalance: Array) -> Array:
    y = penalty * (1.0 - degrees / population) / ridge
    # At zero penalty with n = k the quotient is 0/0 and the gap is zero.
    return np.where(y > 0, 2.0 * y / (imbalance + np.sqrt(imbalance**2 + 4.0 * y / k)), 0.0)


def _tail_degrees(modes: Modes, ridge: Array) -> Array:
    return np.where(modes.tail > 0, modes.tail / (modes.tail_eigenvalue + ridge), 0.0)


def _take(modes: Modes, where: Array) -> Modes:
    return Modes(modes.eigenvalues, modes.tail[where], modes.tail_size[where])


def _or_one(array: Array) -> Array:
    return np.where(array > 0, array, 1.0)
