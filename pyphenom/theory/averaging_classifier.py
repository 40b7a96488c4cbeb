r"""The averaging classifier :math:`\hat w = \frac1n\sum_i y_ix_i` on a Gaussian mixture: how nuisance noise hurts it.

Inputs are :math:`x = y\mu + \xi` with :math:`\xi\sim N(0, \Sigma)` and :math:`y=\pm1`. Coordinates without signal, such
as the border of an image, enter :math:`\hat w` through the sample alone, and their harm falls as 1/n.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import quad
from scipy.special import ndtr

from . import _checks
from ._checks import Array, Values

__all__ = ["error", "gaussian_error"]


def gaussian_error(mean: ArrayLike, variances: ArrayLike, n: ArrayLike) -> Values:
    r"""Test error if the margin on a fresh input were Gaussian, to the leading order in 1/n.

    .. math:: \Phi\Bigl(-\frac{|\mu|^2}{\sqrt{\mu^\top\Sigma\mu + \mathrm{tr}\,\Sigma^2/n}}\Bigr) .

    A number of coordinates without signal, each of variance :math:`\sigma_b^2`, add :math:`\sigma_b^4` to the trace
    and nothing else.

    Parameters
    ----------
    mean : array (d,)
        :math:`\mu` in the eigenbasis of the covariance.
    variances : array (d,)
        Eigenvalues of :math:`\Sigma`.
    n : float or array
        Number of samples.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For lengths that differ and parameters out of range.

    References
    ----------
    Derived here; `error` is without the approximation.

    Examples
    --------
    >>> mean, variances = np.repeat([0.25, 0.0], [64, 80]), np.repeat([0.25, 4.0], [64, 80])
    >>> gaussian_error(mean, variances, [20, 100]).round(4)
    array([0.3102, 0.1411])
    """
    mu, spread, samples = _mixture(mean, variances, n)
    deviation = np.sqrt(mu**2 @ spread + spread @ spread / samples)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(mu @ mu > 0, mu @ mu / deviation, 0.0)
    return _checks.unwrap(ndtr(-score))


def error(mean: ArrayLike, variances: ArrayLike, n: ArrayLike) -> Values:
    r"""Test error of the averaging classifier, exactly, in the mean over samples.

    The margin :math:`\sum_i\hat w_ix_i` is a sum of independent products of two Gaussians, whose characteristic
    function is, with :math:`t' = t^2\lambda_i^2/n`,

    .. math:: \prod_i\frac1{\sqrt{1+t'}}
              \exp\frac{\mathrm it\mu_i^2 - \frac12t^2\mu_i^2\lambda_i(1+\frac1n)}{1+t'} ,

    and the error is :math:`\frac12-\frac1\pi\int_0^\infty\mathrm{Im}\,\phi(t)\,\frac{dt}t`.

    Parameters
    ----------
    mean, variances, n
        As in `gaussian_error`.

    Returns
    -------
    float or array
        To about 1e-8.

    Raises
    ------
    ValueError, TypeError
        As in `gaussian_error`.

    References
    ----------
    The inversion: Gil-Pelaez 1951, "Note on the inversion theorem".

    Examples
    --------
    >>> mean, variances = np.repeat([0.25, 0.0], [64, 80]), np.repeat([0.25, 4.0], [64, 80])
    >>> error(mean, variances, [20, 100]).round(4)
    array([0.3088, 0.1401])
    """
    mu, spread, samples = _mixture(mean, variances, n)
    found = [_inverted(mu**2, spread, float(count)) for count in samples.flat]
    return _checks.unwrap(np.reshape(found, samples.shape))


def _inverted(power: Array, spread: Array, n: float) -> float:
    # In units of the margin's deviation the characteristic function dies out at t of the order of one.
    deviation = np.sqrt(power @ spread * (1.0 + 1.0 / n) + spread @ spread / n)
    if deviation == 0.0 or not power.any():
        return 0.5 if not power.any() else 0.0

    def integrand(u: float) -> float:
        t = u / deviation
        wide = 1.0 + (t * spread) ** 2 / n
        size = -0.5 * np.log(wide).sum() - 0.5 * t * t * (1.0 + 1.0 / n) * (power * spread / wide).sum()
        return float(np.exp(size) * np.sin(t * (power / wide).sum()) / u)

    near, far = (quad(integrand, *ends, epsabs=1e-10, limit=500)[0] for ends in ((0.0, 10.0), (10.0, np.inf)))
    return 0.5 - (near + far) / np.pi


def _mixture(mean: ArrayLike, variances: ArrayLike, n: ArrayLike) -> tuple[Array, Array, Array]:
    spread, mu = _checks.spectrum("variances", variances), _checks.real("mean", mean)
    if mu.shape != spread.shape:
        raise ValueError(f"mean: got shape {mu.shape}, expected {spread.shape}, one entry for each variance")
    return mu, spread, _checks.positive("n", n)
