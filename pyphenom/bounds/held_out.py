r"""Bounds for one hypothesis: fixed before the points were seen, or described by a code that was."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from pyphenom.bounds import _checks
from pyphenom.bounds._checks import Array, Values
from pyphenom.bounds.kl import kl_inverse


def test_set(errors: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Values:
    r"""Upper bound on the true error from a held-out set, :math:`\sup\{p : \Pr[\mathrm{Bin}(n,p)\le k]\ge\delta\}`.

    Equal to the quantile :math:`\mathrm{Beta}^{-1}(1-\delta;\,k+1,\,n-k)` (Clopper and Pearson's), and 1 if all n
    points are wrong. Conditions: 0-1 loss, n iid points, the hypothesis fixed before they were looked at. With
    probability at least :math:`1-\delta` over the points.

    Parameters
    ----------
    errors : int or array of int
        Number k of errors, in [0, n].
    n : int or array of int
        Number of held-out points.
    delta : float or array
        Probability of failure, in (0, 1).

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For errors outside [0, n] or not whole, n < 1, delta outside (0, 1), or NaN.

    References
    ----------
    Clopper and Pearson 1934; Langford 2005, "Tutorial on practical prediction theory".

    Examples
    --------
    >>> test_set(27, 898, 0.035)
    0.04239...
    """
    total, failure = _checks.count("n", n), _checks.confidence("delta", delta)
    k = _checks.errors("errors", errors, total)
    _checks.broadcast(errors=k, n=total, delta=failure)
    rest = np.maximum(total - k, 1.0)
    return _checks.unwrap(np.where(k == total, 1.0, special.betainccinv(k + 1, rest, failure)))


test_set.__test__ = False  # type: ignore[attr-defined]  # its name would make it a test wherever it is imported


def occam(errors: ArrayLike, n: ArrayLike, code_bits: ArrayLike, delta: ArrayLike) -> Values:
    r"""Compression bound: `test_set` on the training points at level :math:`\delta2^{-l}`, for a code of l bits.

    Conditions: 0-1 loss, n iid points, a prefix-free code fixed before they were seen. By Kraft's inequality the levels
    of all hypotheses sum to at most :math:`\delta`, so the code word may be chosen with the points in sight. Every
    tuned hyper-parameter that the decoder needs is part of the code.

    Parameters
    ----------
    errors : int or array of int
        Number of errors on the n points.
    n : int or array of int
        Number of points.
    code_bits : float or array
        l >= 0, in bits, not nats; `self_delimiting_bits` makes a code prefix-free.
    delta : float or array
        In (0, 1).

    Returns
    -------
    float or array
        To a relative 1e-9, rounded up; 1 where the bound is vacuous.

    Raises
    ------
    ValueError, TypeError
        For arguments outside their ranges, or NaN.

    References
    ----------
    Langford 2005.

    Examples
    --------
    >>> occam(0, 1000, 5 / 0.6931471805599453, 0.05)
    0.00796...
    """
    size, bits, failure = (
        _checks.count("n", n),
        _checks.divergence("code_bits", code_bits),
        _checks.confidence("delta", delta),
    )
    k = _checks.errors("errors", errors, size)
    _checks.broadcast(errors=k, n=size, code_bits=bits, delta=failure)
    return _checks.unwrap(_tail_inverse(*np.broadcast_arrays(k, size, np.log(failure) - bits * math.log(2))))


def self_delimiting_bits(bits: ArrayLike) -> Values:
    r"""Length of a prefix-free code for messages of L bits, :math:`L+2\log_2L+\log_2\frac{\pi^2}6`.

    Kraft's sum is :math:`\sum_L2^L2^{-l(L)}=\frac6{\pi^2}\sum_LL^{-2}=1`. Without its last term, .72 bits, the sum
    would be 1.64 and the code would not exist.

    Parameters
    ----------
    bits : float or array
        L >= 1; rounded up to whole bits.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For a length < 1, infinite, or NaN.

    Examples
    --------
    >>> self_delimiting_bits(1000)
    1020.64...
    """
    length = np.ceil(_checks.positive("bits", bits, "a finite length >= 1"))
    return _checks.unwrap(length + 2 * np.log2(length) + math.log2(math.pi**2 / 6))


def quantised_bits(counts: ArrayLike, level_bits: int = 16) -> float:
    r"""Bits of a network whose D parameters take K values, before it is made self-delimiting.

    .. math:: K\,b+K\lceil\log_2(D+1)\rceil+\Big\lceil\sum_k c_k\log_2\frac D{c_k}\Big\rceil+2

    the values themselves with b bits each, how often each occurs, and an arithmetic code of the sequence.

    Parameters
    ----------
    counts : array of int (K,)
        How many parameters take each value.
    level_bits : int
        b.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        For counts that are not whole numbers >= 0, none at all, or level_bits < 1.

    References
    ----------
    Zhou, Veitch, Austern, Adams, Orbanz 2019; Lotfi et al. 2022.

    Examples
    --------
    >>> quantised_bits([500, 300, 200])
    1566.0
    """
    c = _checks.whole("counts", counts, 0, "how many parameters take the value")
    b = float(_checks.whole("level_bits", level_bits, 1, "the bits of one value"))
    total = float(c.sum())
    if c.ndim != 1 or total == 0:
        raise ValueError(f"`counts` has shape {c.shape} and sum {total:g}; expected a vector of a positive sum")
    entropy = float(-np.sum(special.xlogy(c, c / total))) / math.log(2)
    return c.size * (b + math.ceil(math.log2(total + 1))) + math.ceil(entropy) + 2


def _tail_inverse(k: Array, n: Array, log_level: Array) -> Array:
    """Return the p where ln Pr[Bin(n, p) <= k] falls to `log_level`, from above.

    Bisection between k/n and Chernoff's bound. Between them the continued fraction converges fast, and its front factor
    is the logarithm that a level such as 2^-100000 needs.
    """
    high = np.asarray(kl_inverse(k / n, -log_level / n)).reshape(k.shape)
    low = np.minimum((k + 2) / (n + 3), high)
    top = np.asarray(special.betainccinv(k + 1, np.maximum(n - k, 1.0), np.exp(np.maximum(log_level, -600.0))))
    for _ in range(60):
        middle = (low + high) / 2
        above = _log_tail(k, n, np.minimum(middle, 1 - 2.0**-53)) > log_level
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    result: Array = np.where(log_level > -600, top, high * (1 + 1e-9))
    result[k == n] = 1.0
    return np.minimum(result, 1.0)


def _log_tail(k: Array, n: Array, p: Array) -> Array:
    """Return ln Pr[Bin(n, p) <= k] for p > (k+2)/(n+3): Lentz's continued fraction of the incomplete beta function."""
    a, b, x = np.maximum(n - k, 1.0), k + 1, 1 - p
    tiny = 1e-300
    front = a * np.log1p(-p) + b * np.log(p) - np.log(a) - special.betaln(a, b)
    c = np.ones_like(x)
    d = 1 / np.maximum(np.abs(1 - (a + b) * x / (a + 1)), tiny)
    h = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / (1 + even * d), 1 + even / c
        h = h * d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / (1 + odd * d), 1 + odd / c
        h = h * d * c
        if np.all(np.abs(d * c - 1) < 1e-13):
            break
    result: Array = front + np.log(h)
    return result
