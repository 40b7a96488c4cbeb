r"""Ridge and ridgeless linear regression, :math:`\hat\beta = (X^\top X + n\lambda I)^{-1}X^\top y`, at large n and p.

The ridge is **scaled by n** throughout, :math:`\lambda\to0^+` is minimum-norm least squares, and a risk is an excess
risk :math:`E(x^\top(\hat\beta - \beta))^2`, without the label noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array, Values
from ._isotropic_ridge import isotropic_risk, isotropic_training_error, optimal_isotropic_risk, optimal_ridge
from .eigenframework import EigenRisk, kernel_regression
from .risk import Risk

__all__ = [
    "effective_ridge",
    "finite_sample_risk",
    "isotropic_risk",
    "isotropic_training_error",
    "optimal_isotropic_risk",
    "optimal_ridge",
    "risk",
    "training_error",
]


def effective_ridge(eigenvalues: ArrayLike, n: ArrayLike, ridge: ArrayLike = 0.0) -> Values:
    r"""Solve :math:`\kappa = \lambda + \frac{\kappa}{n}\sum_i\frac{s_i}{s_i+\kappa}`, the effective ridge of n samples.

    Parameters
    ----------
    eigenvalues : array (p,)
        Eigenvalues :math:`s_i` of the covariance of the inputs; zeros are dropped.
    n : float or array
        Number of samples.
    ridge : float or array
        :math:`\lambda`, scaled by n.

    Returns
    -------
    float or array
        :math:`\kappa \ge \lambda`; 0 without ridge for n >= rank, else the root of :math:`\mathrm{df}_1(\kappa) = n`.

    Raises
    ------
    ValueError, TypeError
        As in `risk`.

    Examples
    --------
    >>> round(effective_ridge(1 / np.arange(1.0, 601.0), 300, 0.01), 9)
    0.018239601
    """
    return _regression(eigenvalues, np.zeros(np.shape(eigenvalues)), n, ridge, 0.0).effective_ridge


def risk(
    eigenvalues: ArrayLike,
    coefficients: ArrayLike,
    n: ArrayLike,
    ridge: ArrayLike = 0.0,
    noise_variance: ArrayLike = 0.0,
) -> Risk:
    r"""Risk for inputs of any covariance, with :math:`\kappa` from `effective_ridge`.

    .. math::
        B = \frac{\kappa^2\sum_i \beta_i^2 s_i/(s_i+\kappa)^2}{1 - \mathrm{df}_2/n}, \quad
        V = \sigma^2\,\frac{\mathrm{df}_2/n}{1 - \mathrm{df}_2/n}, \quad
        \mathrm{df}_2 = \sum_i \frac{s_i^2}{(s_i+\kappa)^2} .

    Parameters
    ----------
    eigenvalues : array (p,)
        Eigenvalues :math:`s_i` of the covariance of the inputs; zeros allowed.
    coefficients : array (p,)
        Coordinates :math:`\beta_i` of the true coefficients in its eigenbasis: **not** squared.
    n : float or array
        Number of samples.
    ridge : float or array
        :math:`\lambda`, scaled by n. ``inf`` predicts zero.
    noise_variance : float or array
        :math:`\sigma^2`, not inside the risk.

    Returns
    -------
    Risk
        Variance ``inf`` at n = rank without ridge, if there is noise.

    Raises
    ------
    ValueError, TypeError
        For negative or empty spectra, lengths that differ, and parameters out of range.

    References
    ----------
    Hastie, Montanari, Rosset, Tibshirani 2022, Theorems 2 and 5; Dobriban and Wager 2018.

    Examples
    --------
    >>> s = 1 / np.arange(1.0, 601.0)
    >>> risk(s, np.sqrt(s), n=300, ridge=[0.0, 0.01], noise_variance=0.1).total.round(7)
    array([0.1388896, 0.0397138])
    """
    found = _regression(eigenvalues, coefficients, n, ridge, noise_variance)
    return Risk(found.bias, found.variance, found.residual)


def training_error(
    eigenvalues: ArrayLike,
    coefficients: ArrayLike,
    n: ArrayLike,
    ridge: ArrayLike = 0.0,
    noise_variance: ArrayLike = 0.0,
) -> Values:
    r"""Mean squared training residual :math:`(\lambda/\kappa)^2(R+\sigma^2) = (1-\mathrm{df}_1/n)^2(R+\sigma^2)`.

    Parameters
    ----------
    eigenvalues, coefficients, n, ridge, noise_variance
        As in `risk`.

    Returns
    -------
    float or array
        The penalty is not part of it, the label noise is. Zero without ridge for n <= rank.

    Raises
    ------
    ValueError, TypeError
        As in `risk`.

    Examples
    --------
    >>> s = np.repeat([2.0, 0.2], 225)
    >>> round(training_error(s, np.full(450, 450**-0.5), n=300, ridge=0.05, noise_variance=0.25), 9)
    0.012719298
    """
    return _regression(eigenvalues, coefficients, n, ridge, noise_variance).train_error


def finite_sample_risk(
    n: ArrayLike,
    width: ArrayLike,
    inside_power: ArrayLike,
    outside_power: ArrayLike = 0.0,
    noise_variance: ArrayLike = 0.0,
) -> Risk:
    r"""Exact mean risk of minimum-norm least squares on p of D Gaussian coordinates, at finite n.

    .. math::
        R + \sigma^2 = \begin{cases}
        (|b_c|^2 + \sigma^2)\bigl(1 + \frac{p}{n-p-1}\bigr) & p \le n-2 \\
        \infty & n-1 \le p \le n+1 \\
        |b_T|^2\bigl(1 - \frac np\bigr) + (|b_c|^2 + \sigma^2)\bigl(1 + \frac{n}{p-n-1}\bigr) & p \ge n+2 \end{cases}

    Parameters
    ----------
    n : int or array
        Number of samples; inputs are :math:`N(0, I_D)`.
    width : int or array
        p, the number of coordinates T used by the fit.
    inside_power : float or array
        :math:`|b_T|^2`, power of the true coefficients on T. For a random T it is :math:`\frac pD|b|^2` in the mean.
    outside_power : float or array
        :math:`|b_c|^2`, power on the coordinates left out. It acts as label noise and stays in the error.
    noise_variance : float or array
        :math:`\sigma^2`, not inside the risk; the paper's prediction error is ``total + noise_variance``.

    Returns
    -------
    Risk
        The bias is everything not proportional to the noise variance, so the part due to `outside_power` is in it.
        ``inf`` for n - 1 <= p <= n + 1 in each part that has power; residual 0.

    Raises
    ------
    ValueError, TypeError
        For counts that are not positive integers (the formula holds at integers only) and negative powers.

    References
    ----------
    Belkin, Hsu, Xu 2020, Theorem 1.

    Examples
    --------
    >>> share = np.array([0.1, 0.4, 0.8])
    >>> finite_sample_risk(40, [10, 40, 80], inside_power=share, outside_power=1 - share).total.round(6)
    array([1.210345,      inf, 0.805128])
    """
    samples, width = _count("n", n), _count("width", width)
    inside = _checks.nonnegative("inside_power", inside_power)
    outside = _checks.nonnegative("outside_power", outside_power)
    noise = _checks.nonnegative("noise_variance", noise_variance)
    shape = _checks.broadcast(n=samples, width=width, inside_power=inside, outside_power=outside, noise_variance=noise)
    gap = np.abs(samples - width) - 1.0
    gain = np.where(gap > 0, np.minimum(samples, width) / np.where(gap > 0, gap, 1.0), np.inf)
    bias = inside * np.maximum(1.0 - samples / width, 0.0) + outside + _checks.times(gain, outside)
    return Risk(
        _checks.unwrap(bias, shape), _checks.unwrap(_checks.times(gain, noise), shape), _checks.unwrap(0.0, shape)
    )


def _regression(
    eigenvalues: ArrayLike, coefficients: ArrayLike, n: ArrayLike, ridge: ArrayLike, noise_variance: ArrayLike
) -> EigenRisk:
    """Linear regression is kernel regression with target power s_i beta_i^2 and penalty n * ridge."""
    spectrum = _checks.spectrum("eigenvalues", eigenvalues)
    beta = _checks.real("coefficients", coefficients)
    if beta.shape != spectrum.shape:
        raise ValueError(f"coefficients: got shape {beta.shape}, expected {spectrum.shape}, one per eigenvalue")
    samples, ridge = _checks.positive("n", n), _checks.nonnegative("ridge", ridge, infinite=True)
    _checks.broadcast(n=samples, ridge=ridge)
    return kernel_regression(spectrum, spectrum * beta**2, samples, samples * ridge, noise_variance)


def _count(name: str, value: ArrayLike) -> Array:
    array = _checks.positive(name, value)
    if (array != np.floor(array)).any():
        raise ValueError(
            f"{name}: got {array.flat[np.argmax(array != np.floor(array))]:g}, expected an integer; round it"
        )
    return array
