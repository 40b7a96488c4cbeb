"""Effective ranks of the tails of a spectrum, and the number of directions that n samples learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array, Values
from .risk import describe


@dataclass(frozen=True, eq=False, repr=False)
class EffectiveRanks:
    r"""Effective ranks of the tails of a spectrum, for k = 0, 1, ..., rank - 1.

    Attributes
    ----------
    r : array (rank,)
        :math:`r_k = \sum_{i>k}\lambda_i/\lambda_{k+1}`.
    R : array (rank,)
        :math:`R_k = (\sum_{i>k}\lambda_i)^2/\sum_{i>k}\lambda_i^2`; :math:`r_k \le R_k \le r_k^2`.
    """

    r: Array
    R: Array

    def to_dict(self) -> dict[str, Array]:
        """Return the fields by name."""
        return {"r": self.r, "R": self.R}

    def __repr__(self) -> str:
        return describe("EffectiveRanks", dict(self.to_dict()))


def effective_ranks(eigenvalues: ArrayLike) -> EffectiveRanks:
    r"""Effective ranks :math:`r_k` and :math:`R_k` of all tails of a spectrum.

    Parameters
    ----------
    eigenvalues : array (p,)
        :math:`\lambda_1\ge\lambda_2\ge\dots` of the covariance of the inputs; zeros at the end are dropped.

    Returns
    -------
    EffectiveRanks

    Raises
    ------
    ValueError, TypeError
        For a spectrum that is empty, not decreasing, negative, zero or infinite.

    References
    ----------
    Bartlett, Long, Lugosi, Tsigler 2020, "Benign overfitting in linear regression", Definition 3.

    Examples
    --------
    >>> effective_ranks([2.0, 1.0, 1.0])
    EffectiveRanks(r=[2., 2., 1.], R=[2.666667, 2.      , 1.      ])
    """
    logs = np.log(decreasing(eigenvalues))
    tail, squares = log_tails(logs), log_tails(2.0 * logs)
    return EffectiveRanks(np.exp(tail - logs), np.exp(2.0 * tail - squares))


def critical_rank(eigenvalues: ArrayLike, n: ArrayLike, ridge: ArrayLike = 0.0, factor: float = 1.0) -> Values:
    r"""Return the number of directions that are learnt, the least k whose tail is as wide as n samples.

    .. math:: k^* = \min\Bigl\{k\ge0: n\lambda+\sum_{i>k}\lambda_i\ge bn\lambda_{k+1}\Bigr\} ,

    without ridge :math:`\min\{k: r_k\ge bn\}`.

    Parameters
    ----------
    eigenvalues : array (p,)
        As in `effective_ranks`.
    n : float or array
        Number of samples.
    ridge : float or array
        :math:`\lambda`, scaled by n. With a ridge :math:`k^*\le` rank.
    factor : float
        b > 0, a constant of the theorem; its value is not known.

    Returns
    -------
    float or array
        ``inf`` where there is no such k.

    Raises
    ------
    ValueError, TypeError
        As in `effective_ranks`, and for parameters out of range.

    References
    ----------
    Bartlett et al. 2020, Theorem 4; Tsigler and Bartlett 2023.

    Examples
    --------
    >>> critical_rank(1.0 / np.arange(1.0, 20001.0) ** 2, [50, 200, 800])
    array([ 49., 201., 834.])
    """
    spectrum = decreasing(eigenvalues)
    samples, ridge = _checks.positive("n", n), _checks.nonnegative("ridge", ridge)
    b = float(_checks.positive("factor", factor))
    shape = _checks.broadcast(n=samples, ridge=ridge)
    counts, penalties = (part.ravel() for part in np.broadcast_arrays(samples, samples * ridge))
    tail, found = tails(spectrum), np.empty(counts.size)
    for at, (count, penalty) in enumerate(zip(counts, penalties, strict=True)):
        wide = penalty + tail >= b * count * spectrum
        found[at] = np.argmax(wide) if wide.any() else (spectrum.size if penalty > 0 else np.inf)
    return _checks.unwrap(found.reshape(shape))


def decreasing(eigenvalues: ArrayLike) -> Array:
    spectrum = _checks.spectrum("eigenvalues", eigenvalues)
    if (rises := np.diff(spectrum) > 0).any():
        k = int(np.argmax(rises))
        raise ValueError(
            f"eigenvalues: got {spectrum[k]:g} before {spectrum[k + 1]:g} at position {k}, expected them in decreasing "
            "order; sort them, and the coefficients with them, by numpy.argsort(-eigenvalues)"
        )
    if spectrum[0] == 0.0:
        raise ValueError("eigenvalues: got zeros only, expected a positive one; inputs without variance have no rank")
    return spectrum[spectrum > 0]


def tails(values: Array) -> Array:
    """Sum from every position on to the end, small terms first."""
    return np.asarray(np.cumsum(values[::-1])[::-1])


def log_tails(logs: Array) -> Array:
    """Return the logarithms of such sums, of terms whose squares may leave the range of floats."""
    return np.asarray(np.logaddexp.accumulate(logs[::-1])[::-1])
