r"""When interpolation of noisy labels is harmless in a linear model: effective ranks, and kinds of spectra.

Minimum-norm interpolation puts the label noise into directions that the spectrum has in plenty. Bartlett, Long, Lugosi
and Tsigler bound its risk by two effective ranks, up to a constant that nobody knows: what is returned here is the
**shape** of such a bound, the expression that the constant multiplies, with the risk in the limit of
`ridge_regression` beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from . import _checks, ridge_regression
from ._checks import Array, Values
from ._effective_ranks import EffectiveRanks, critical_rank, decreasing, effective_ranks, log_tails, tails
from .risk import Risk, describe

__all__ = [
    "Decay",
    "EffectiveRanks",
    "RiskShape",
    "bartlett_shape",
    "critical_rank",
    "decay",
    "effective_ranks",
    "tsigler_bartlett_shape",
]


@dataclass(frozen=True, eq=False, repr=False)
class RiskShape:
    """The two parts of a bound on the excess risk, without the unknown constant in front, and the risk itself.

    Attributes
    ----------
    critical_rank : float or array
        :math:`k^*`; ``inf`` where there is none.
    bias, variance : float or array
        What the constant of the theorem multiplies; ``inf`` where there is no critical rank.
    exact : Risk
        `ridge_regression.risk` at the same parameters.
    """

    critical_rank: Values
    bias: Values
    variance: Values
    exact: Risk

    @property
    def status(self) -> str:
        """``"ok"``, or in words why the bound is infinite."""
        if np.isfinite(self.critical_rank).all():
            return "ok"
        return (
            "no tail of the spectrum has an effective rank of n at some n: there the theorem says nothing and the "
            "bound is infinite; take fewer samples, more eigenvalues or a smaller factor"
        )

    def to_dict(self) -> dict[str, Values | str]:
        """Return the fields by name, the exact parts as ``exact_bias`` and ``exact_variance``."""
        return {
            "critical_rank": self.critical_rank,
            "bias": self.bias,
            "variance": self.variance,
            "exact_bias": self.exact.bias,
            "exact_variance": self.exact.variance,
            "status": self.status,
        }

    def __repr__(self) -> str:
        numbers = {key: value for key, value in self.to_dict().items() if not isinstance(value, str)}
        return describe("RiskShape", numbers) + f": {self.status}"


@dataclass(frozen=True)
class Decay:
    """What a decay of the spectrum makes of label noise, as n grows.

    Attributes
    ----------
    kind : str
        "benign", "tempered" or "catastrophic".
    variance : float
        Limit of the variance of the minimum-norm interpolant per noise variance: 0, a number, or ``inf``.
    """

    kind: Literal["benign", "tempered", "catastrophic"]
    variance: float


def bartlett_shape(
    eigenvalues: ArrayLike,
    coefficients: ArrayLike,
    n: ArrayLike,
    noise_variance: ArrayLike = 0.0,
    failure: float = 0.05,
    factor: float = 1.0,
) -> RiskShape:
    r"""Bound on the risk of the minimum-norm interpolant, up to a constant c.

    .. math:: B = |\beta|^2\lambda_1\max\Bigl(\sqrt{\tfrac{r_0}n}, \tfrac{r_0}n, \sqrt{\tfrac{\log(1/\delta)}n}\Bigr),
              \qquad V = \sigma^2\Bigl(\frac{k^*}n + \frac n{R_{k^*}}\Bigr) .

    With a chance of at least :math:`1-\delta` the risk is at most :math:`c(B + \log(1/\delta)V)`, and its mean over
    the noise at least :math:`V/c`. The constant is universal for Gaussian inputs, and **not known**: compare orders of
    magnitude, never values.

    Parameters
    ----------
    eigenvalues : array (p,)
        As in `effective_ranks`.
    coefficients : array (p,)
        :math:`\beta` in the eigenbasis.
    n : float or array
        Number of samples.
    noise_variance : float or array
        :math:`\sigma^2`.
    failure : float
        :math:`\delta`, between 0 and 1.
    factor : float
        b of `critical_rank`.

    Returns
    -------
    RiskShape

    Raises
    ------
    ValueError, TypeError
        As in `critical_rank`, and for coefficients of another length.

    References
    ----------
    Bartlett, Long, Lugosi, Tsigler 2020, Theorem 4.

    Examples
    --------
    >>> found = bartlett_shape(1.0 / np.arange(1.0, 20001.0) ** 2, np.zeros(20000), 50, noise_variance=1.0)
    >>> round(found.exact.variance / found.variance, 3)
    0.745
    """
    spectrum, beta, samples, noise = _regression(eigenvalues, coefficients, n, noise_variance)
    if not 0.0 < failure < 1.0:
        raise ValueError(f"failure: got {failure!r}, expected a probability between 0 and 1")
    k = critical_rank(spectrum, samples, factor=factor)
    ranks = effective_ranks(spectrum)
    size, chance = ranks.r[0] / samples, -np.log(failure) / samples
    bias = (beta @ beta) * spectrum[0] * np.maximum(np.sqrt(np.maximum(size, chance)), size)
    found = np.isfinite(k)
    index = np.where(found, k, 0).astype(int)
    variance = index / samples + samples / ranks.R[index]
    return RiskShape(
        k,
        _checks.unwrap(np.where(found, bias, np.inf), np.shape(samples)),
        _checks.unwrap(np.where(found, noise * variance, np.inf)),
        ridge_regression.risk(eigenvalues, coefficients, n, 0.0, noise_variance),
    )


def tsigler_bartlett_shape(
    eigenvalues: ArrayLike,
    coefficients: ArrayLike,
    n: ArrayLike,
    ridge: ArrayLike = 0.0,
    noise_variance: ArrayLike = 0.0,
    factor: float = 1.0,
) -> RiskShape:
    r"""Order of bias and variance of ridge regression, from above and below up to constants.

    .. math:: B \asymp \sum_{i>k}\lambda_i\beta_i^2 + \frac{S^2}{n^2}\sum_{i\le k}\frac{\beta_i^2}{\lambda_i}, \qquad
              V \asymp \sigma^2\Bigl(\frac kn + \frac{n\sum_{i>k}\lambda_i^2}{S^2}\Bigr), \qquad
              S = n\lambda + \sum_{i>k}\lambda_i

    with k from `critical_rank`. Without ridge V is that of `bartlett_shape`. The constants are not known.

    Parameters
    ----------
    eigenvalues, coefficients, n, noise_variance, factor
        As in `bartlett_shape`.
    ridge : float or array
        :math:`\lambda`, scaled by n: the paper's is :math:`n\lambda`.

    Returns
    -------
    RiskShape

    Raises
    ------
    ValueError, TypeError
        As in `bartlett_shape`.

    References
    ----------
    Tsigler and Bartlett 2023, "Benign overfitting in ridge regression", Theorems 1 and 2.

    Examples
    --------
    >>> s = 1.0 / np.arange(1.0, 2001.0) ** 1.5
    >>> found = tsigler_bartlett_shape(s, np.sqrt(s), 100, ridge=[0.0, 0.01], noise_variance=1.0)
    >>> (found.exact.total / (found.bias + found.variance)).round(2)
    array([0.68, 0.58])
    """
    spectrum, beta, samples, noise = _regression(eigenvalues, coefficients, n, noise_variance)
    ridge = _checks.nonnegative("ridge", ridge)
    shape = _checks.broadcast(n=samples, ridge=ridge, noise_variance=noise)
    samples, ridge = np.broadcast_arrays(samples, ridge)
    k = np.asarray(critical_rank(spectrum, samples, ridge, factor))
    found = np.isfinite(k)
    index = np.where(found, k, 0).astype(int)
    total = samples * ridge + np.append(tails(spectrum), 0.0)[index]
    squares = np.append(log_tails(2.0 * np.log(spectrum)), -np.inf)[index]
    missed = np.append(tails(spectrum * beta**2), 0.0)[index]
    learnt = np.append(0.0, np.cumsum(beta**2 / spectrum))[index]
    variance = index / samples + samples * np.exp(squares - 2.0 * np.log(total))
    bias = missed + learnt * (total / samples) ** 2
    return RiskShape(
        _checks.unwrap(k),
        _checks.unwrap(np.where(found, bias, np.inf)),
        _checks.unwrap(np.where(found, noise * variance, np.inf), shape),
        ridge_regression.risk(eigenvalues, coefficients, n, ridge, noise_variance),
    )


def decay(exponent: float, log_exponent: float = 0.0) -> Decay:
    r"""Kind of the spectrum :math:`\lambda_i = i^{-a}\log^{-b}(i+1)`: what becomes of label noise as n grows.

    Benign for a = 1 and b > 1: the variance goes to 0, as slowly as :math:`1/\log n`. Tempered for a > 1: it goes to
    :math:`(a-1)\sigma^2`, since :math:`\mathrm{df}_2 = (1-1/a)\,\mathrm{df}_1` in `ridge_regression.risk`.
    Catastrophic where the spectrum falls faster than every power, ``exponent=inf``: it grows without bound.

    Parameters
    ----------
    exponent : float
        a; ``inf`` for decays faster than every power, such as :math:`e^{-\sqrt i}`.
    log_exponent : float
        b.

    Returns
    -------
    Decay

    Raises
    ------
    ValueError, TypeError
        For a spectrum that is not summable, a < 1 or a = 1 and b <= 1: its inputs have infinite power.

    References
    ----------
    Bartlett et al. 2020, Theorem 6, the benign decays; Mallinar et al. 2022, "Benign, tempered, or catastrophic",
    Theorem 3.1, the three kinds.

    Examples
    --------
    >>> decay(1.5)
    Decay(kind='tempered', variance=0.5)
    >>> decay(1.0, log_exponent=2.0).kind
    'benign'
    """
    a = float(_checks.positive("exponent", exponent, infinite=True))
    b = float(_checks.real("log_exponent", log_exponent))
    if a < 1.0 or (a == 1.0 and b <= 1.0):
        raise ValueError(
            f"exponent: got i^-{a:g} log^-{b:g}(i + 1), expected a spectrum with a finite sum, exponent > 1 or "
            "exponent = 1 with log_exponent > 1; cut an infinite spectrum off and use the exact risk"
        )
    if a == 1.0:
        return Decay("benign", 0.0)
    return Decay("catastrophic", np.inf) if np.isinf(a) else Decay("tempered", a - 1.0)


def _regression(
    eigenvalues: ArrayLike, coefficients: ArrayLike, n: ArrayLike, noise_variance: ArrayLike
) -> tuple[Array, Array, Array, Array]:
    """Return the positive spectrum and the coefficients on it; the rest of them is never seen."""
    spectrum = decreasing(eigenvalues)
    beta = _checks.real("coefficients", coefficients)
    if beta.shape != np.shape(eigenvalues):
        raise ValueError(f"coefficients: got shape {beta.shape}, expected {np.shape(eigenvalues)}, one per eigenvalue")
    samples, noise = _checks.positive("n", n), _checks.nonnegative("noise_variance", noise_variance)
    _checks.broadcast(n=samples, noise_variance=noise)
    return spectrum, beta[: spectrum.size], samples, noise
