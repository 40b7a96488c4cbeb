r"""Ridge regression on a given design, exact at any size (Nakkiran, Venkat, Kakade, Ma 2021).

:math:`\hat b = (X^\top X + \ell I)^{-1}X^\top y` with the **unscaled** penalty :math:`\ell`, coefficients b uniform in
direction, isotropic fresh inputs, and the singular values :math:`g_i` of X, padded with zeros to the dimension d. The
best penalty does not depend on n, and with it a further sample never hurts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array, Values
from .risk import Risk

__all__ = ["optimal_penalty", "risk"]


def optimal_penalty(dimension: ArrayLike, signal_power: ArrayLike = 1.0, noise_variance: ArrayLike = 0.0) -> Values:
    r"""Penalty of least risk, :math:`\ell^* = d\sigma^2/|b|^2`, whatever the design.

    Parameters
    ----------
    dimension : float or array
        d.
    signal_power : float or array
        :math:`|b|^2`.
    noise_variance : float or array
        :math:`\sigma^2`.

    Returns
    -------
    float or array
        ``inf`` if there is noise and no signal, 0 without noise.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Nakkiran, Venkat, Kakade, Ma 2021, Lemma 2.

    Examples
    --------
    >>> optimal_penalty(50, noise_variance=0.2)
    10.0
    """
    d = _checks.positive("dimension", dimension)
    signal = _checks.nonnegative("signal_power", signal_power)
    noise = _checks.nonnegative("noise_variance", noise_variance)
    shape = _checks.broadcast(dimension=d, signal_power=signal, noise_variance=noise)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _checks.unwrap(np.where(noise > 0, d * noise / signal, 0.0), shape)


def risk(
    singular_values: ArrayLike,
    dimension: int,
    penalty: ArrayLike = 0.0,
    signal_power: ArrayLike = 1.0,
    noise_variance: ArrayLike = 0.0,
) -> Risk:
    r"""Excess risk on isotropic fresh inputs, in the mean over the direction of b and over the label noise.

    .. math:: B = \frac{|b|^2}{d}\sum_{i=1}^d \frac{\ell^2}{(g_i^2+\ell)^2}, \qquad
              V = \sigma^2\sum_{i=1}^d \frac{g_i^2}{(g_i^2+\ell)^2} .

    Parameters
    ----------
    singular_values : array (min(n, d),)
        Of the design X (n, d); those that are left out count as zeros.
    dimension : int
        d, at least the number of singular values.
    penalty : float or array
        :math:`\ell`, unscaled; a `ridge` in this package's convention is ``penalty = n * ridge``. Zero is the
        minimum-norm solution; ``inf`` predicts zero.
    signal_power : float or array
        :math:`|b|^2`.
    noise_variance : float or array
        :math:`\sigma^2`, not inside the risk.

    Returns
    -------
    Risk

    Raises
    ------
    ValueError, TypeError
        For parameters out of range, and for more singular values than dimensions.

    References
    ----------
    Nakkiran, Venkat, Kakade, Ma 2021, Lemma 1.

    Examples
    --------
    >>> risk([2.0, 1.0], 4, penalty=[0.0, 1.0], signal_power=2.0, noise_variance=0.5).total.round(4)
    array([1.625, 1.35 ])
    """
    g = _checks.spectrum("singular_values", singular_values)
    d = _checks.positive("dimension", dimension)
    if d.ndim != 0 or d != np.floor(d):
        raise ValueError(f"dimension: got {dimension!r}, expected one integer, the number of columns of the design")
    if g.size > d:
        raise ValueError(f"dimension: got {d:g}, expected at least {g.size}, the number of singular values")
    penalty = _checks.nonnegative("penalty", penalty, infinite=True)
    signal = _checks.nonnegative("signal_power", signal_power)
    noise = _checks.nonnegative("noise_variance", noise_variance)
    shape = _checks.broadcast(penalty=penalty, signal_power=signal, noise_variance=noise)
    size = float(np.max(g, initial=0.0))
    g = g[g > size * max(g.size, int(d)) * np.finfo(np.float64).eps]  # round-off of a rank-deficient design
    missed = _missed(g, penalty)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.where(np.isinf(penalty), 0.0, ((1.0 - missed) ** 2 / g**2).sum(-1))
    bias = signal / d * ((missed**2).sum(-1) + (d - g.size))
    return Risk(_checks.unwrap(bias, shape), _checks.unwrap(noise * spread, shape), _checks.unwrap(0.0, shape))


def _missed(g: Array, penalty: Array) -> Array:
    """Share ell / (g^2 + ell) of each direction that is not learned, shape (..., number of directions)."""
    return np.asarray(1.0 / (1.0 + g**2 / np.where(penalty > 0, penalty, 1.0)[..., None])) * (penalty > 0)[..., None]
