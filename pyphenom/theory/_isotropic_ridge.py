"""Ridge regression on isotropic inputs, in closed form by the Marchenko-Pastur law."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array, Values
from .risk import Risk


def isotropic_risk(
    aspect_ratio: ArrayLike, ridge: ArrayLike = 0.0, signal_power: ArrayLike = 1.0, noise_variance: ArrayLike = 0.0
) -> Risk:
    r"""Risk for isotropic inputs, :math:`B = r^2\lambda^2 m'`, :math:`V = \sigma^2\gamma\,(m - \lambda m')`.

    m and its derivative are the Stieltjes transform of the Marchenko-Pastur law at :math:`-\lambda`. Evaluated as

    .. math:: B = \frac{r^2 u w}{4\gamma q}, \quad V = \frac{\sigma^2 u}{q w}, \quad
              q^2 = (1-\gamma+\lambda)^2 + 4\gamma\lambda, \quad u = q - (1-\gamma+\lambda), \quad
              w = q - (1-\gamma-\lambda),

    where a difference that would cancel is replaced by a quotient. `symbolic` derives one form from the other.

    Parameters
    ----------
    aspect_ratio : float or array
        :math:`\gamma = p/n`, parameters per sample.
    ridge : float or array
        :math:`\lambda`, scaled by n: :math:`(X^\top X + n\lambda I)^{-1}X^\top y`. ``inf`` predicts zero.
    signal_power : float or array
        :math:`r^2 = |\beta|^2`, in units of the input variance.
    noise_variance : float or array
        :math:`\sigma^2`, not inside the risk.

    Returns
    -------
    Risk
        Variance ``inf`` at gamma = 1 without ridge, if there is noise; residual 0.

    Raises
    ------
    ValueError, TypeError
        For a parameter that is negative, NaN or not a number, or an aspect ratio of zero.

    References
    ----------
    Hastie, Montanari, Rosset, Tibshirani 2022, Theorem 1 and Corollary 5.

    Examples
    --------
    >>> isotropic_risk([0.5, 1.0, 2.0], noise_variance=0.25).total
    array([0.25,  inf, 0.75])
    >>> isotropic_risk(2.0, ridge=0.1, noise_variance=0.25)
    Risk(total=0.68652866, bias=0.50613588, variance=0.18039278, residual=0)
    """
    gamma, ridge, signal, noise, shape = _isotropic(aspect_ratio, ridge, signal_power, noise_variance)
    bias, gain, _ = _marchenko_pastur(gamma, ridge)
    return Risk(
        _checks.unwrap(signal * bias, shape),
        _checks.unwrap(_checks.times(gain, noise), shape),
        _checks.unwrap(0.0, shape),
    )


def isotropic_training_error(
    aspect_ratio: ArrayLike, ridge: ArrayLike = 0.0, signal_power: ArrayLike = 1.0, noise_variance: ArrayLike = 0.0
) -> Values:
    r"""Mean squared training residual :math:`(1 - \mathrm{df}_1/n)^2 (R + \sigma^2)` for isotropic inputs.

    In closed form :math:`1 - \mathrm{df}_1/n = 2\lambda/w` with w as in `isotropic_risk`.

    Parameters
    ----------
    aspect_ratio, ridge, signal_power, noise_variance
        As in `isotropic_risk`.

    Returns
    -------
    float or array
        The penalty is not part of it, the label noise is. Zero without ridge for aspect_ratio >= 1.

    Raises
    ------
    ValueError, TypeError
        As in `isotropic_risk`.

    References
    ----------
    The identity behind generalised cross-validation: Golub, Heath, Wahba 1979.

    Examples
    --------
    >>> isotropic_training_error([0.5, 2.0], noise_variance=0.25)
    array([0.125, 0.   ])
    """
    gamma, ridge, signal, noise, shape = _isotropic(aspect_ratio, ridge, signal_power, noise_variance)
    bias, gain, unused = _marchenko_pastur(gamma, ridge)
    # At the divergence the fit is exact.
    safe = np.where(unused > 0, gain, 0.0)
    return _checks.unwrap(unused**2 * (signal * bias + noise * safe + noise), shape)


def optimal_ridge(aspect_ratio: ArrayLike, signal_power: ArrayLike = 1.0, noise_variance: ArrayLike = 0.0) -> Values:
    r"""Ridge of least risk for isotropic inputs, :math:`\lambda^* = \sigma^2\gamma/r^2`.

    Unscaled, :math:`n\lambda^* = p\sigma^2/r^2`, it does not depend on n.

    Parameters
    ----------
    aspect_ratio, signal_power, noise_variance
        As in `isotropic_risk`.

    Returns
    -------
    float or array
        :math:`\lambda^*`, scaled by n; ``inf`` if there is noise and no signal, 0 without noise.

    Raises
    ------
    ValueError, TypeError
        As in `isotropic_risk`.

    References
    ----------
    Dobriban and Wager 2018, Theorem 2.1; Nakkiran, Venkat, Kakade, Ma 2021.

    Examples
    --------
    >>> optimal_ridge(2.0, signal_power=1.0, noise_variance=0.25)
    0.5
    """
    gamma, _, signal, noise, shape = _isotropic(aspect_ratio, 0.0, signal_power, noise_variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _checks.unwrap(np.where(noise > 0, noise * gamma / signal, 0.0), shape)


def optimal_isotropic_risk(
    aspect_ratio: ArrayLike, signal_power: ArrayLike = 1.0, noise_variance: ArrayLike = 0.0
) -> Risk:
    r"""Risk at the optimal ridge, :math:`R^* = \sigma^2\gamma\, m(-\lambda^*)`: increasing in :math:`\gamma`.

    Parameters
    ----------
    aspect_ratio, signal_power, noise_variance
        As in `isotropic_risk`.

    Returns
    -------
    Risk
        `isotropic_risk` at `optimal_ridge`.

    Raises
    ------
    ValueError, TypeError
        As in `isotropic_risk`.

    References
    ----------
    Nakkiran, Venkat, Kakade, Ma 2021, Theorem 1.

    Examples
    --------
    >>> optimal_isotropic_risk([0.5, 1.0, 2.0], noise_variance=0.25).total.round(6)
    array([0.175391, 0.390388, 0.640388])
    """
    best = optimal_ridge(aspect_ratio, signal_power, noise_variance)
    return isotropic_risk(aspect_ratio, best, signal_power, noise_variance)


def _isotropic(
    aspect_ratio: ArrayLike, ridge: ArrayLike, signal_power: ArrayLike, noise_variance: ArrayLike
) -> tuple[Array, Array, Array, Array, tuple[int, ...]]:
    gamma = _checks.positive("aspect_ratio", aspect_ratio)
    ridge = _checks.nonnegative("ridge", ridge, infinite=True)
    signal = _checks.nonnegative("signal_power", signal_power)
    noise = _checks.nonnegative("noise_variance", noise_variance)
    shape = _checks.broadcast(aspect_ratio=gamma, ridge=ridge, signal_power=signal, noise_variance=noise)
    return gamma, ridge, signal, noise, shape


def _marchenko_pastur(gamma: Array, ridge: Array) -> tuple[Array, Array, Array]:
    """Bias per signal power, variance per noise variance, and 1 - df1/n, without cancellation."""
    unlearned = np.isinf(ridge)
    ridge = np.where(unlearned, 1.0, ridge)
    s, t = 1.0 - gamma + ridge, 1.0 - gamma - ridge
    q = np.hypot(s, 2.0 * np.sqrt(gamma) * np.sqrt(ridge))
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.where(s > 0, 4.0 * gamma * (ridge / (q + s)), q - s)
        w = np.where(t > 0, 4.0 * (ridge / (q + t)), q - t)
        bias = np.where(q > 0, (u / q) * (w / (4.0 * gamma)), 0.0)
        gain = np.where(t > 0, gamma * ((q + t) / q) / (q + s), np.where(q > 0, (u / q) / w, np.inf))
        unused = np.where(t > 0, (q + t) / 2.0, np.where(q > 0, 2.0 * ridge / w, 0.0))
    return np.where(unlearned, 1.0, bias), np.where(unlearned, 0.0, gain), np.where(unlearned, 1.0, unused)
