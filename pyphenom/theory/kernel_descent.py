r"""Gradient descent on the squared loss under a kernel that stays what it is: how fast, and for which labels.

A network so wide that its tangent kernel K hardly moves learns like that. With the loss
:math:`\frac1n\sum_i|f(x_i)-y_i|^2` a step multiplies the residual :math:`r=f-y` along the eigenvector :math:`v_i` of K
on the n samples by :math:`1-2\eta\lambda_i/n`, so the time to fit depends on how the labels lie to the eigenvectors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Values

__all__ = ["squared_residual", "steps_until"]


def squared_residual(eigenvalues: ArrayLike, power: ArrayLike, step_size: float, steps: ArrayLike) -> Values:
    r"""Squared residual on the training set after t steps.

    .. math:: |r_t|^2 = \sum_i(1 - 2\eta\lambda_i/n)^{2t}\,(v_i\cdot r_0)^2 .

    Parameters
    ----------
    eigenvalues : array (n,)
        :math:`\lambda_i` of the kernel matrix of the n samples, not divided by n, in any order.
    power : array (n,)
        :math:`(v_i\cdot r_0)^2` of the residual at the start, added up over the outputs if they share the kernel.
    step_size : float
        :math:`\eta > 0`. From :math:`\eta\lambda_i = n` on the residual grows.
    steps : int or array
        t.

    Returns
    -------
    float or array
        In the unit of squared labels, the sum over samples.

    Raises
    ------
    ValueError, TypeError
        For lengths that differ, and steps that are no whole numbers or parameters out of range.

    References
    ----------
    Arora, Du, Hu, Li, Wang 2019, "Fine-grained analysis of optimization and generalization", Theorem 4.1.

    Examples
    --------
    >>> squared_residual([2.0, 0.5], [1.0, 1.0], step_size=0.5, steps=[0, 1, 10])
    array([2.        , 0.5625    , 0.00317121])
    """
    values, parts = _checks.real("eigenvalues", eigenvalues), _checks.nonnegative("power", power)
    if values.ndim != 1 or values.shape != parts.shape or not values.size:
        raise ValueError(f"power: got shape {parts.shape} with eigenvalues {values.shape}, expected (n,) for both")
    rate, times = float(_checks.positive("step_size", step_size)), _checks.nonnegative("steps", steps)
    if (times != np.floor(times)).any():
        raise ValueError(f"steps: got {times[times != np.floor(times)].flat[0]:g}, expected whole numbers")
    factors = (1.0 - 2.0 * rate / values.size * values) ** (2 * times[..., None])
    return _checks.unwrap(factors @ parts)


def steps_until(steps: ArrayLike, losses: ArrayLike, share: float) -> float:
    """When a share of the first loss is left, between two readings by the logarithm of the loss.

    Parameters
    ----------
    steps : array (T,)
        At which the loss was read, ascending.
    losses : array (T,)
        Positive; NaN and ``inf`` of a descent that diverged are more than any share.
    share : float
        Between 0 and 1.

    Returns
    -------
    float
        ``inf`` if so little is never left.

    Raises
    ------
    ValueError, TypeError
        For lengths that differ, steps that do not ascend and parameters out of range.

    Examples
    --------
    >>> steps_until([0, 10, 20], [8.0, 4.0, 1.0], share=0.25)
    15.0
    """
    times, values = _checks.real("steps", steps), np.asarray(losses, dtype=np.float64)
    if times.ndim != 1 or times.shape != values.shape or not times.size or (np.diff(times) <= 0.0).any():
        raise ValueError(
            f"steps: got shape {times.shape} with losses {values.shape}, expected (T,) for both, ascending"
        )
    if (values <= 0.0).any():
        raise ValueError(f"losses: got {values.min():g}, expected numbers > 0, which have a logarithm")
    if not 0.0 < share < 1.0:
        raise ValueError(f"share: got {share!r}, expected a number between 0 and 1")
    below = np.flatnonzero(values <= share * values[0])
    if not below.size:
        return np.inf
    here = slice(below[0] - 1, below[0] + 1)
    return float(np.interp(-np.log(share), -np.log(values[here] / values[0]), times[here]))
