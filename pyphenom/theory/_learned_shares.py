"""Shares of the labels that linear fits learn; public in `effective_parameters`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array


def ridge_shares(eigenvalues: ArrayLike, ridge: ArrayLike) -> Array:
    r"""Shares learned by ridge regression, :math:`f_i = s_i/(s_i + \lambda)`.

    Parameters
    ----------
    eigenvalues : array (n,)
        :math:`s_i`, of the Gram matrix over n.
    ridge : float or array
        :math:`\lambda`, scaled by n. Zero is the limit from above, the minimum-norm fit; ``inf`` learns nothing.

    Returns
    -------
    array (..., n)
        For each ridge, in the order of the eigenvalues. Without a ridge the share is 1 where the eigenvalue is not
        round-off, at most :math:`n\epsilon` of the largest.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    Examples
    --------
    >>> ridge_shares([3.0, 1.0, 0.0], [0.0, 1.0])
    array([[1.  , 1.  , 0.  ],
           [0.75, 0.5 , 0.  ]])
    """
    strength = _checks.nonnegative("ridge", ridge, infinite=True)[..., None]
    s = np.where(strength > 0, _checks.spectrum("eigenvalues", eigenvalues), checked_eigenvalues(eigenvalues))
    return np.where(s > 0, 1.0 / (1.0 + strength / np.where(s > 0, s, 1.0)), 0.0)


def flow_shares(eigenvalues: ArrayLike, time: ArrayLike) -> Array:
    r"""Shares learned by gradient flow from zero, :math:`f_i = 1 - e^{-ts_i}`.

    Parameters
    ----------
    eigenvalues : array (n,)
        :math:`s_i`, of the Gram matrix over n.
    time : float or array
        t >= 0, for the loss :math:`|y - Xb|^2/2n`; ``inf`` is the minimum-norm fit.

    Returns
    -------
    array (..., n)
        For each time, in the order of the eigenvalues.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    Examples
    --------
    >>> flow_shares([2.0, 1.0, 0.0], [0.5, np.inf]).round(4)
    array([[0.6321, 0.3935, 0.    ],
           [1.    , 1.    , 0.    ]])
    """
    s, t = checked_eigenvalues(eigenvalues), _checks.nonnegative("time", time, infinite=True)[..., None]
    return np.where(s > 0, -np.expm1(-t * np.where(s > 0, s, 1.0)), 0.0)


def descent_shares(eigenvalues: ArrayLike, step_size: float, steps: ArrayLike) -> Array:
    r"""Shares learned by gradient descent from zero, :math:`f_i = 1 - (1 - \eta s_i)^k`.

    Parameters
    ----------
    eigenvalues : array (n,)
        :math:`s_i`, of the Gram matrix over n.
    step_size : float
        :math:`\eta`, for the loss :math:`|y - Xb|^2/2n`; at most :math:`2/s_{\max}`. For the mean of squares without
        the half pass twice the rate.
    steps : float or array
        k, whole numbers.

    Returns
    -------
    array (..., n)
        For each number of steps, in the order of the eigenvalues. Beyond :math:`\eta s_i = 1` a share exceeds 1 after
        odd numbers of steps.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range; for a step size at which descent diverges.

    Examples
    --------
    >>> descent_shares([2.0, 1.0, 0.0], 0.25, [1, 2])
    array([[0.5   , 0.25  , 0.    ],
           [0.75  , 0.4375, 0.    ]])
    """
    s, step = checked_eigenvalues(eigenvalues), _checks.positive("step_size", step_size)
    if step.ndim:
        raise ValueError(f"step_size: got shape {step.shape}, expected one number; call once for each")
    if step * s.max() > 2.0 * (1.0 + 1e-12):
        raise ValueError(f"step_size: got {step:g}, expected at most {2.0 / s.max():g}, beyond which descent diverges")
    count = _checks.nonnegative("steps", steps)
    if (count != np.floor(count)).any():
        raise ValueError(f"steps: got {count[count != np.floor(count)][0]:g}, expected whole numbers; round them")
    rate = step * s
    small = rate < 0.5
    slow = -np.expm1(count[..., None] * np.log1p(-np.where(small, rate, 0.0)))  # without the difference
    return np.asarray(np.where(small, slow, 1.0 - np.power(1.0 - rate, count[..., None])))


def checked_eigenvalues(eigenvalues: ArrayLike) -> Array:
    """Return the spectrum, its round-off set to zero: without a ridge, or after infinite time, it would be learned."""
    s = _checks.spectrum("eigenvalues", eigenvalues)
    return np.where(s > s.max() * s.size * np.finfo(np.float64).eps, s, 0.0)


def checked_shares(shares: ArrayLike) -> Array:
    """Return shares as an array; raise if they are a single number, or not finite."""
    f = _checks.real("shares", shares)
    if f.ndim == 0 or not np.isfinite(f).all():
        raise ValueError(f"shares: got shape {f.shape}, expected finite numbers (..., n), one for each eigenvalue")
    return f
