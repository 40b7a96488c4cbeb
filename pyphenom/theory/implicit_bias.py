r"""Which solution an optimiser approaches on separable data, and how fast.

Rows :math:`x_i` are inputs times their labels, so that all margins :math:`\langle x_i, w\rangle` shall be positive.
`exponential_flow` is a limit with its constants. The functions called rates are **shapes**: the theorems do not give
the constant in front, so compare their slopes and their order.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from . import _checks
from ._checks import Array, Values
from ._exponential_flow import FlowLimit, exponential_flow

__all__ = [
    "FlowLimit",
    "adam_margin_exponent",
    "batch_norm_rate",
    "exponential_flow",
    "homogeneous_loss_rate",
    "homogeneous_norm_rate",
    "margin_discrepancy",
    "margin_gap_rate",
    "normalised_margin",
    "smoothed_margin",
]

Method = Literal["constant step", "normalised step", "dual momentum"]


def margin_gap_rate(time: ArrayLike, method: Method, n: ArrayLike = 2.0) -> Values:
    r"""Shape of the gap between the margin after t steps and the largest one, for three ways to descend.

    ``"constant step"`` :math:`1/\log t`; ``"normalised step"``, of size proportional to 1/L, :math:`\log n/t`; ``"dual
    momentum"``, momentum of Nesterov's kind in the dual, :math:`\log n/t^2` up to logarithms.

    Parameters
    ----------
    time : float or array
        t > 1, steps.
    method : str
        One of the three.
    n : float or array
        Rows.

    Returns
    -------
    float or array
        Without the constant in front.

    Raises
    ------
    ValueError, TypeError
        For another method and parameters out of range.

    References
    ----------
    Soudry et al. 2018, Theorem 5; Ji and Telgarsky 2021, "Characterizing the implicit bias via a primal-dual analysis";
    Ji, Srebro, Telgarsky 2021, "Fast margin maximization via dual acceleration".

    Examples
    --------
    >>> [round(margin_gap_rate(1000.0, m, 20), 6) for m in ("constant step", "normalised step", "dual momentum")]
    [0.144765, 0.002996, 3e-06]
    """
    t, rows = _late(time), _checks.positive("n", n)
    shape = _checks.broadcast(time=t, n=rows)
    if method == "constant step":
        return _checks.unwrap(1.0 / np.log(t), shape)
    if method not in ("normalised step", "dual momentum"):
        raise ValueError(f"method: got {method!r}, expected 'constant step', 'normalised step' or 'dual momentum'")
    return _checks.unwrap(np.log(rows) / t ** (1.0 if method == "normalised step" else 2.0), shape)


def normalised_margin(margins: ArrayLike, norm: ArrayLike, degree: float = 1.0) -> Values:
    r"""Normalised margin of a network homogeneous of degree L, :math:`\min_iy_if_i/|\theta|^L`.

    Parameters
    ----------
    margins : array (..., n)
        :math:`y_if_i(\theta)`.
    norm : float or array
        :math:`|\theta|`, over all weights, in the l2 norm for gradient descent.
    degree : float
        L: 1 for a linear model, the number of layers for a ReLU network without biases.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Lyu and Li 2020, "Gradient descent maximizes the margin of homogeneous neural networks", Section 2.

    Examples
    --------
    >>> normalised_margin([2.0, 3.0], norm=2.0, degree=2)
    0.5
    """
    values, size = _checks.real("margins", margins), _checks.positive("norm", norm)
    return _checks.unwrap(values.min(axis=-1) / size ** float(_checks.positive("degree", degree)))


def smoothed_margin(margins: ArrayLike, norm: ArrayLike, degree: float = 1.0) -> Values:
    r"""Smoothed margin :math:`-\log\sum_ie^{-y_if_i}/|\theta|^L`, which gradient flow never lowers once it is positive.

    It lies below `normalised_margin`, by at most :math:`\log n/|\theta|^L`. Limit directions of the flow are KKT points
    of the shortest :math:`\theta` with :math:`y_if_i\ge1`.

    Parameters
    ----------
    margins, norm, degree
        As in `normalised_margin`.

    Returns
    -------
    float or array
        Computed without overflow of the loss.

    Raises
    ------
    ValueError, TypeError
        As in `normalised_margin`.

    References
    ----------
    Lyu and Li 2020, Theorems 4.1 and 4.4.

    Examples
    --------
    >>> round(smoothed_margin([2000.0, 2000.0], norm=10.0, degree=2), 6)
    19.993069
    """
    values, size = _checks.real("margins", margins), _checks.positive("norm", norm)
    return _checks.unwrap(-logsumexp(-values, axis=-1) / size ** float(_checks.positive("degree", degree)))


def homogeneous_loss_rate(time: ArrayLike, degree: float = 1.0) -> Values:
    r"""Shape of the loss of a homogeneous network under gradient flow, :math:`1/(t(\log t)^{2-2/L})`.

    Parameters
    ----------
    time : float or array
        t > 1.
    degree : float
        L of `normalised_margin`.

    Returns
    -------
    float or array
        Without the constant in front; for L = 1 it is that of `FlowLimit`.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Lyu and Li 2020, Theorem 4.3.

    Examples
    --------
    >>> round(homogeneous_loss_rate(100.0, degree=2), 7)
    0.0021715
    """
    t, power = _late(time), float(_checks.positive("degree", degree))
    return _checks.unwrap(1.0 / (t * np.log(t) ** (2.0 - 2.0 / power)))


def homogeneous_norm_rate(time: ArrayLike, degree: float = 1.0) -> Values:
    r"""Shape of the norm of the weights of a homogeneous network, :math:`(\log t)^{1/L}`.

    Parameters
    ----------
    time, degree
        As in `homogeneous_loss_rate`.

    Returns
    -------
    float or array
        Without the constant in front; for L = 1 it is that of `FlowLimit`.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Lyu and Li 2020, Theorem 4.3.

    Examples
    --------
    >>> homogeneous_norm_rate(np.exp(4.0), degree=2)
    2.0
    """
    return _checks.unwrap(np.log(_late(time)) ** (1.0 / float(_checks.positive("degree", degree))))


def margin_discrepancy(margins: ArrayLike) -> Values:
    r"""How far from uniform the margins of a linear model are, whatever its scale.

    .. math:: D(w) = \frac1{n^2}\sum_{i,j}\Bigl(\frac{\langle x_i,w\rangle-\langle x_j,w\rangle}{|w|_S}\Bigr)^2
              = \frac{2\,\mathrm{Var}_i\langle x_i,w\rangle}{\frac1n\sum_i\langle x_i,w\rangle^2} ,

    where :math:`|w|_S^2 = \frac1n\sum_i\langle x_i,w\rangle^2`, by whose root batch normalisation without centring
    divides.

    Parameters
    ----------
    margins : array (..., n)
        :math:`y_i\langle x_i,w\rangle`.

    Returns
    -------
    float or array
        Between 0, where all are equal, and 2.

    Raises
    ------
    ValueError, TypeError
        If all margins are zero, or one is not a number.

    References
    ----------
    Cao, Zou, Li, Gu 2023, "The implicit bias of batch normalization in linear models and two-layer linear convolutional
    neural networks", Theorem 2.2.

    Examples
    --------
    >>> margin_discrepancy([[1.0, 1.0], [1.0, 3.0]])
    array([0. , 0.4])
    """
    values = _checks.real("margins", margins)
    if not np.isfinite(values).all():
        raise ValueError("margins: got an infinite one, expected finite numbers; take them of normalised weights")
    values = values / np.maximum(np.max(np.abs(values), axis=-1, keepdims=True), np.finfo(np.float64).tiny)
    power = np.mean(values**2, axis=-1)
    if not np.all(power > 0.0):
        raise ValueError("margins: got zeros only, expected one that is not; weights of zero have no direction")
    return _checks.unwrap(2.0 * np.var(values, axis=-1) / power)


def batch_norm_rate(time: ArrayLike, constant: ArrayLike = 1.0) -> Values:
    r"""Shape of `margin_discrepancy` under descent with batch normalisation, :math:`e^{-c\log^2t}`.

    It falls faster than every power of t; that of plain descent does not go to zero.

    Parameters
    ----------
    time : float or array
        t > 1, steps.
    constant : float or array
        c > 0, which depends on the data and is not known.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Cao, Zou, Li, Gu 2023, Theorem 2.2.

    Examples
    --------
    >>> batch_norm_rate([10.0, 100.0], 0.1).round(4)
    array([0.5885, 0.1199])
    """
    return _checks.unwrap(np.exp(-_checks.positive("constant", constant) * np.log(_late(time)) ** 2))


def adam_margin_exponent(decay: ArrayLike) -> Values:
    r"""Exponent of the gap to the largest l-infinity margin under Adam, :math:`t^{-\min(1-a, a/2)}`.

    Full batches, :math:`\epsilon=0`, step sizes :math:`\eta_t\propto t^{-a}`, up to logarithms. Best at a = 2/3.

    Parameters
    ----------
    decay : float or array
        a, between 0 and 1.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For a decay outside of (0, 1): larger ones stop, zero does not settle.

    References
    ----------
    Zhang, Zou, Cao 2024, "The implicit bias of Adam on separable data", Corollary 4.7.

    Examples
    --------
    >>> adam_margin_exponent([0.5, 2 / 3, 0.9]).round(4)
    array([0.25  , 0.3333, 0.1   ])
    """
    a = _checks.positive("decay", decay)
    if (a >= 1.0).any():
        raise ValueError(
            f"decay: got {a.max():g}, expected a number below 1; steps that decay faster add up to a bound"
        )
    return _checks.unwrap(np.minimum(1.0 - a, a / 2.0))


def _late(time: ArrayLike) -> Array:
    t = _checks.positive("time", time)
    if (t <= 1.0).any():
        raise ValueError(f"time: got {t.min():g}, expected more than 1; these rates are of late times")
    return t
