r"""Which solution an optimiser approaches on separable data, and how fast.

Rows :math:`x_i` are inputs times their labels, so that all margins :math:`\langle x_i, w\rangle` shall be positive.
`exponential_flow` is a limit with its constants. The functions called rates are **shapes**: the theorems do not give
the constant in front, so compare their slopes and their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from . import _checks
from ._checks import Array, Values
from .risk import describe

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

# Margins of a solver's support vectors agree to its tolerance.
_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class FlowLimit:
    r"""Where gradient flow on the exponential loss goes, :math:`w(t) = \hat w\log t + \tilde w + o(1)`.

    Attributes
    ----------
    weights : array (p,)
        :math:`\hat w`, of the hard-margin solution.
    offset : array (p,)
        :math:`\tilde w`, its part in the span of the support vectors.
    support : array of int
        Rows whose margin is one.
    duals : array (number of support vectors,)
        :math:`\alpha_i = e^{-\langle x_i,\tilde w\rangle}`, with :math:`\hat w = \sum_i\alpha_ix_i`.
    relaxation : float
        :math:`\rho\le1`: the offset is approached as :math:`t^{-\rho}`, slowly if a dual variable is small. The least
        eigenvalue of :math:`\sum_i\alpha_ix_ix_i^\top` on the span, or the least margin of the other rows minus one.
    residual : float
        :math:`|\sum_i\alpha_ix_i - \hat w|/|\hat w|`.
    """

    weights: Array
    offset: Array
    support: NDArray[np.intp]
    duals: Array
    relaxation: float
    residual: float

    @property
    def margin(self) -> float:
        r""":math:`\gamma = 1/|\hat w|`, the largest margin of a unit vector."""
        return 1.0 / self.growth

    @property
    def growth(self) -> float:
        r"""Limit of :math:`|w|/\log t`, that is :math:`1/\gamma`."""
        return float(np.linalg.norm(self.weights))

    @property
    def loss_constant(self) -> float:
        r"""Limit of :math:`t\,L(t)`, that is :math:`\sum_i\alpha_i = 1/\gamma^2`."""
        return self.growth**2

    def at(self, time: ArrayLike) -> Array:
        r"""Return :math:`\hat w\log t + \tilde w`, shape (..., p); the flow approaches it as t grows.

        Steps of size :math:`\eta` reach it at :math:`t = \eta\cdot` step, flow on the mean over n rows at t/n.
        """
        t = _checks.positive("time", time)
        return np.asarray(np.log(t)[..., None] * self.weights + self.offset)

    def to_dict(self) -> dict[str, Values]:
        """Return fields and limits by name."""
        return {
            "margin": self.margin,
            "growth": self.growth,
            "loss_constant": self.loss_constant,
            "weights": self.weights,
            "offset": self.offset,
            "support": self.support.astype(np.float64),
            "duals": self.duals,
            "relaxation": self.relaxation,
            "residual": self.residual,
        }

    def __repr__(self) -> str:
        return describe("FlowLimit", self.to_dict())


def exponential_flow(rows: ArrayLike, weights: ArrayLike) -> FlowLimit:
    r"""Limit of gradient flow on :math:`L(w) = \sum_ie^{-\langle x_i,w\rangle}`, from the hard-margin solution.

    :math:`\tilde w` is the minimum of the convex :math:`\sum_ie^{-\langle x_i,w\rangle}+\langle\hat w,w\rangle` over
    the support vectors and their span. There :math:`\alpha_i=e^{-\langle x_i,\tilde w\rangle}` are the dual variables,
    :math:`\sum_i\alpha_ix_i=\hat w`.

    .. math:: w(t) = \hat w\log t+\tilde w+o(1), \qquad \frac{|w|}{\log t}\to\frac1\gamma, \qquad
              t\,L(t)\to\sum_i\alpha_i=|\hat w|^2=\frac1{\gamma^2} .

    Parameters
    ----------
    rows : array (n, p)
        :math:`y_ix_i`, inputs times labels of one and minus one.
    weights : array (p,)
        :math:`\hat w`, the shortest w with :math:`\langle x_i,w\rangle\ge1` for all i.

    Returns
    -------
    FlowLimit
        If the support vectors do not span the data, the flow adds to the offset a part outside of their span that
        depends on its start and on the other rows; margins, norm and loss have the same limits.

    Raises
    ------
    ValueError, TypeError
        If the weights are not the hard-margin solution of the rows, or if the rows have an entry that is not finite.
        Where a dual variable is zero, which happens for data in special position only, there is no offset.

    References
    ----------
    Soudry, Hoffer, Nacson, Gunasekar, Srebro 2018, "The implicit bias of gradient descent on separable data",
    Theorems 3 and 9.

    Examples
    --------
    >>> found = exponential_flow([[2.0, 0.4], [0.3, 1.0], [3.0, 3.0]], [15 / 47, 42.5 / 47])
    >>> found.offset.round(6), round(found.margin, 6), round(found.loss_constant, 6)
    (array([ 1.928564, -0.466598]), 1.042836, 0.919534)
    """
    X, w = _checks.real("rows", rows), _checks.real("weights", weights)
    if X.ndim != 2 or X.size == 0 or not np.isfinite(X).all():
        raise ValueError(f"rows: got shape {X.shape}, expected a matrix (n, p) of finite numbers, inputs times labels")
    if w.shape != X.shape[1:] or not np.isfinite(w).all():
        raise ValueError(f"weights: got shape {w.shape}, expected {X.shape[1:]} finite numbers, one per column of rows")
    margins = X @ w
    if not abs(margins.min() - 1.0) <= _TOLERANCE:
        raise ValueError(
            f"weights: got a smallest margin of {margins.min():g}, expected 1, that of the hard-margin solution; if "
            "the data are separable divide the weights by their smallest margin, if not there is none"
        )
    support = np.flatnonzero(margins <= 1.0 + _TOLERANCE)
    basis = np.linalg.svd(X[support], full_matrices=False)
    basis = basis[2][basis[1] > 1e-10 * basis[1][0]]
    spanned = X[support] @ basis.T
    offset, duals = _tilted_minimum(spanned, basis @ w)
    residual = float(np.linalg.norm(X[support].T @ duals - w) / np.linalg.norm(w))
    if not (residual <= _TOLERANCE and duals.min() > 1e-8 * duals.max()):
        raise ValueError(
            f"weights: got a vector that misses the positive combinations of the rows of margin 1 by {residual:g} of "
            "its norm, expected the hard-margin solution, with positive weight on each; solve for it to higher "
            "accuracy, and move the data if a dual variable is zero"
        )
    slowest = np.linalg.eigvalsh((spanned.T * duals) @ spanned)[0]
    slowest = min(slowest, np.delete(margins, support).min(initial=np.inf) - 1.0)
    return FlowLimit(w, basis.T @ offset, support, duals, float(slowest), residual)


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


def _tilted_minimum(X: Array, w: Array) -> tuple[Array, Array]:
    r"""Minimise :math:`\sum_ie^{-\langle x_i,v\rangle}+\langle w,v\rangle` by Newton steps, halved until it falls."""

    def value(at: Array) -> float:
        with np.errstate(over="ignore"):
            return float(np.exp(-X @ at).sum() + w @ at)

    v = np.zeros(X.shape[1])
    for _ in range(200):
        duals = np.exp(-X @ v)
        step = np.linalg.lstsq((X.T * duals) @ X, X.T @ duals - w, rcond=None)[0]
        while np.linalg.norm(step) > 1e-15 and not value(v + step) <= value(v):
            step = step / 2.0
        v = v + step
        if np.linalg.norm(step) <= 1e-15:
            break
    return v, np.exp(-X @ v)
