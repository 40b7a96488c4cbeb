r"""The exponential moment behind the PAC-Bayes-kl bound."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import ArrayLike

from pyphenom.bounds import _checks
from pyphenom.bounds._checks import Array, Values

LARGEST_EXACT = 10_000_000
_BLOCK = 1 << 18
# What rounding of the terms and of their sum can take away, and more.
_ROUNDING = 1e-12


def log_xi(n: ArrayLike) -> Values:
    r"""Logarithm of :math:`\xi(n) = \sum_{k=0}^n\binom nk(\tfrac kn)^k(1-\tfrac kn)^{n-k}`, rounded up.

    :math:`\xi(n)` is the largest value of :math:`E\,e^{n\,\mathrm{kl}(\bar X\Vert p)}` over p, for the mean of n
    Bernoulli variables: :math:`\binom nk p^k(1-p)^{n-k}\,e^{n\,\mathrm{kl}(k/n\Vert p)}` does not depend on p. The
    usual :math:`2\sqrt n` is larger, by .46 nats for large n. A term is
    :math:`\sqrt{n/(2\pi k(n-k))}\,e^{\sigma(n)-\sigma(k)-\sigma(n-k)}` with Stirling's error :math:`\sigma`, so no
    large logarithms are subtracted.

    Parameters
    ----------
    n : int or array of int
        Number of points. Above ten million the value is :math:`\ln(2\sqrt n)`, which is larger.

    Returns
    -------
    float or array
        At most 2e-12 above the true value.

    Raises
    ------
    ValueError, TypeError
        For n < 1, or not a whole number.

    References
    ----------
    Maurer 2004, "A note on the PAC-Bayesian theorem", Theorem 1; Germain et al. 2009.

    Examples
    --------
    >>> log_xi([30, 1000])
    array([2.02147615, 3.69643119])
    """
    array = _checks.count("n", n)
    values, positions = np.unique(array, return_inverse=True)
    logs = np.array([_log_xi(int(value)) for value in values])
    return _checks.unwrap(logs[positions].reshape(array.shape))


@functools.lru_cache(maxsize=4096)
def _log_xi(n: int) -> float:
    if n > LARGEST_EXACT:
        return math.log(2) + 0.5 * math.log(n)
    total = 2.0  # k = 0 and k = n
    for first in range(1, n, _BLOCK):
        k = np.arange(first, min(first + _BLOCK, n), dtype=np.float64)
        exponent = -_stirling_error(k) - _stirling_error(n - k) + _stirling_error(np.array([n]))
        total += float(np.sum(np.sqrt(n / (2 * math.pi * k * (n - k))) * np.exp(exponent)))
    return math.log(total) + _ROUNDING


_FEW = np.array(
    [0.0] + [math.lgamma(k + 1) - (k + 0.5) * math.log(k) + k - 0.5 * math.log(2 * math.pi) for k in range(1, 16)]
)


def _stirling_error(k: Array) -> Array:
    """Return ln k! minus Stirling's formula; the neglected term is below 1e-16 from k = 16 on."""
    s = 1 / (k * k)
    series = (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s / 1188)))) / k
    return np.where(k < 16, _FEW[np.minimum(k, 15).astype(np.intp)], series)
