r"""Student intervals over replicates, and the corrections for asking many questions at once.

One replicate is one full set of random streams, hence replicates are the independent units. For a statistic with
values :math:`x_1,\dots,x_n` at each of K points,

.. math:: m=\tfrac1n\sum_i x_i,\qquad SE^2=\tfrac1{n(n-1)}\sum_i(x_i-m)^2,\qquad m\pm t_{n-1,1-\alpha/2}\,SE .
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Array: TypeAlias = NDArray[np.float64]

# Equal replicates have no spread but still carry the rounding of the sums behind them; a standard error below
# this would refute a theory for its last bits.
_ROUNDING = 64 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Sample:
    """Mean and standard error of a statistic over replicates, at each point.

    Attributes
    ----------
    mean, standard_error : ndarray of shape (K,)
        The standard error is infinite for a single replicate.
    n : int
        Replicates.
    identical : bool
        Whether all replicates agree at some point, so that the interval there carries no sampling error.
    """

    mean: Array
    standard_error: Array
    n: int
    identical: bool


def summarise(values: Array) -> Sample:
    """Summarise replicates by mean and standard error.

    Parameters
    ----------
    values : ndarray of shape (n, K)
        One row per replicate, one column per point; finite.

    Returns
    -------
    Sample

    Examples
    --------
    >>> summarise(np.array([[1.0], [2.0], [3.0]])).standard_error
    array([0.57735027])
    """
    n = len(values)
    mean = np.asarray(values.mean(axis=0), dtype=np.float64)
    if n < 2:
        return Sample(mean, np.full_like(mean, np.inf), n, False)
    spread = values.std(axis=0, ddof=1) / np.sqrt(n)
    floor = _ROUNDING * np.abs(values).max(axis=0)
    # All zero has no rounding either; the smallest normal number keeps the quotients defined.
    error = np.maximum(np.maximum(spread, floor), np.finfo(np.float64).tiny)
    return Sample(mean, error, n, bool(np.any(np.ptp(values, axis=0) == 0.0)))


def upper_tail(t: Array, n: int) -> Array:
    """Return P(T > t) for Student's T with n - 1 degrees of freedom; 1 for a single replicate."""
    return np.ones_like(t) if n < 2 else np.asarray(stdtr(n - 1, -t), dtype=np.float64)


def critical(level: float, n: int) -> float:
    """Return t such that P(abs(T) > t) = level, with n - 1 degrees of freedom; infinite for a single replicate.

    Examples
    --------
    >>> round(critical(0.05, n=5), 3)
    2.776
    """
    return float("inf") if n < 2 else -float(stdtrit(n - 1, level / 2.0))


def holm(p_values: Sequence[float], level: float = 0.05) -> tuple[tuple[bool, ...], tuple[float, ...]]:
    """Test a family of hypotheses with at most ``level`` chance of any false rejection (Holm 1979).

    With the p-values sorted, the k-th smallest of m is rejected if it and all smaller ones satisfy
    ``p_(k) <= level / (m - k + 1)``. No independence is needed.

    Parameters
    ----------
    p_values : sequence of float
        One for each hypothesis.
    level : float, optional
        Family-wise error.

    Returns
    -------
    rejected : tuple of bool
        In the order given.
    levels : tuple of float
        The level at which each hypothesis was decided, so that ``rejected[i] == (p_values[i] <= levels[i])``; the
        interval at this level agrees with the decision.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03, 0.005])
    ((True, False, False, True), (0.016666666666666666, 0.025, 0.025, 0.0125))
    """
    m = len(p_values)
    order = sorted(range(m), key=lambda i: p_values[i])
    rejected, levels = [False] * m, [0.0] * m
    passed = 0
    while passed < m and p_values[order[passed]] <= level / (m - passed):
        rejected[order[passed]] = True
        levels[order[passed]] = level / (m - passed)
        passed += 1
    for i in order[passed:]:
        levels[i] = level / (m - passed)  # where the procedure stopped: all that remain faced this level
    return tuple(rejected), tuple(levels)


def replicates_needed(deviation: float, allowed: float, level: float) -> int | None:
    """Return the smallest n with ``critical(level, n) * deviation / sqrt(n) <= allowed``.

    Parameters
    ----------
    deviation : float
        Standard deviation of one replicate.
    allowed : float
        Half-width that would decide.
    level : float
        Two-sided level of the interval.

    Returns
    -------
    int or None
        None if more than a million replicates would be needed.

    Examples
    --------
    >>> replicates_needed(1.0, allowed=0.5, level=0.05)
    18
    """

    def decides(n: int) -> bool:
        return bool(critical(level, n) * deviation <= allowed * np.sqrt(n))

    low, high = 1, 2
    while not decides(high):
        low, high = high, 2 * high
        if high > 1_000_000:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high
