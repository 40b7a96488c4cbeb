r"""Gradient flow on the exponential loss of separable data, in the limit of late times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks
from ._checks import Array, Values
from .risk import describe

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
