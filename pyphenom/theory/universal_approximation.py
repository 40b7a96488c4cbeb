r"""Universal approximation with numbers: one hidden layer in one dimension with a certified error, and Barron's rate.

In one dimension N ReLUs give an error of order :math:`1/N^2` and N sigmoids of order :math:`1/N`, with the constants
below. In d dimensions :math:`E|f-f_m|^2\le(2rC_f)^2/m` on a ball of radius r: the dimension enters only through
:math:`C_f=\int|\omega||\hat f(\omega)|d\omega`. That such networks exist says nothing of what training finds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from . import _checks
from ._checks import Array, Values

__all__ = [
    "Approximant",
    "barron_bound",
    "gaussian_barron_constant",
    "gaussian_sampling_error",
    "relu_knots",
    "sigmoid_steps",
]

Function = Callable[[Array], Any]


@dataclass(frozen=True, eq=False)
class Approximant:
    r"""One hidden layer :math:`g(x)=c+\sum_j v_j\,\sigma(k(x-t_j))` on an interval.

    Attributes
    ----------
    activation : str
        ``"relu"`` or ``"sigmoid"``.
    knots : array (N,)
        t, ascending.
    weights : array (N,)
        v.
    steepness : float
        k; 1 for ReLU.
    offset : float
        c.
    interval : tuple (low, high)
        Where the error is certified.
    error : float
        Bound on :math:`\sup|f-g|` there, in exact arithmetic, given the bound on a derivative that f was said to have.
    """

    activation: str
    knots: Array
    weights: Array
    steepness: float
    offset: float
    interval: tuple[float, float]
    error: float

    def __call__(self, x: ArrayLike) -> Values:
        """Return g at points of any shape."""
        points = _checks.real("x", x)
        flat, out = points.ravel(), np.empty(points.size)
        rows = max(1, (1 << 22) // len(self.knots))
        for first in range(0, flat.size, rows):
            shifted = self.steepness * (flat[first : first + rows, None] - self.knots)
            hidden = np.maximum(shifted, 0.0) if self.activation == "relu" else special.expit(shifted)
            out[first : first + rows] = self.offset + hidden @ self.weights
        return _checks.unwrap(out.reshape(points.shape))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        low, high = self.interval
        return f"Approximant({len(self.knots)} x {self.activation} on [{low:g}, {high:g}], error <= {self.error:.3g})"


def relu_knots(
    function: Function,
    neurons: int,
    curvature: float | Callable[[Array, Array], Any],
    interval: tuple[float, float] = (0.0, 1.0),
) -> Approximant:
    r"""Interpolate f at N + 1 equal distances h by N ReLUs: :math:`\sup|f-g|\le\max_i M_ih^2/8`.

    :math:`g=f(t_1)+\sum_j(D_j-D_{j-1})(x-t_j)_+` with the divided differences :math:`D_j`, :math:`D_0=0`.

    Parameters
    ----------
    function : callable
        f, of an array, twice differentiable.
    neurons : int
        N >= 1.
    curvature : float or callable (left, right) -> array
        A bound on \|f''\| on the interval, or for each pair of ends the bound :math:`M_i` between them.
    interval : tuple (low, high)

    Returns
    -------
    Approximant

    Raises
    ------
    ValueError, TypeError
        For parameters out of range, or a function that gives no finite number at each knot.

    References
    ----------
    de Boor, A Practical Guide to Splines, Chapter III (the error of broken-line interpolation).

    Examples
    --------
    >>> g = relu_knots(lambda x: np.sin(2 * np.pi * x), 100, curvature=4 * np.pi**2)
    >>> round(1e4 * g.error, 3)
    4.935
    """
    n, (low, high) = _checks.integer("neurons", neurons, 1), _interval(interval)
    points = np.linspace(low, high, n + 1)
    values, lengths = _values(function, points), np.diff(points)
    bound = curvature(points[:-1], points[1:]) if callable(curvature) else curvature
    bounds = np.broadcast_to(_checks.nonnegative("curvature", bound), (n,))
    steps = np.diff(np.diff(values) / lengths, prepend=0.0)
    error = float((bounds * lengths**2).max() / 8)
    return Approximant("relu", points[:-1], steps, 1.0, float(values[0]), (low, high), error)


def sigmoid_steps(
    function: Function,
    neurons: int,
    lipschitz: float,
    interval: tuple[float, float] = (0.0, 1.0),
    sharpness: float = 40.0,
) -> Approximant:
    r"""Approximate f by N sigmoid steps between N + 1 cells of width h.

    .. math:: g=f(c_0)+\sum_{j=1}^N(f(c_j)-f(c_{j-1}))\,\sigma(\tfrac\kappa h(x-t_j)),\qquad
        \sup|f-g|\le Lh\Bigl(\frac12+\frac{e^{-\kappa/2}+e^{-\kappa}}{1-e^{-\kappa}}\Bigr)

    c_j are the centres of the cells, t_j the ends between them. The step next to x costs nothing: it mixes two levels,
    the farther with weight below 1/2, and each is off by L times its centre's distance. The last term is that of the
    others, farther away than h/2 on one side and h on the other; :math:`\kappa\to\infty` leaves hard steps.

    Parameters
    ----------
    function : callable
        f, of an array.
    neurons : int
        N >= 1.
    lipschitz : float
        L: a bound on \|f(x) - f(y)\| / \|x - y\| on the interval.
    interval : tuple (low, high)
    sharpness : float
        :math:`\kappa > 0`, the steepness in units of 1/h.

    Returns
    -------
    Approximant

    Raises
    ------
    ValueError, TypeError
        For parameters out of range, or a function that gives no finite number at each centre.

    References
    ----------
    Cybenko, "Approximation by superpositions of a sigmoidal function", 1989, for the density; the constant is the
    elementary one.

    Examples
    --------
    >>> g = sigmoid_steps(np.sin, 99, lipschitz=1.0)
    >>> round(g.error, 6)
    0.005
    """
    n, (low, high) = _checks.integer("neurons", neurons, 1), _interval(interval)
    constant, kappa = _one("lipschitz", lipschitz), _one("sharpness", sharpness)
    if kappa == 0:
        raise ValueError("sharpness: got 0, expected a number > 0; a flat sigmoid makes no step")
    ends = np.linspace(low, high, n + 2)
    h = (high - low) / (n + 1)
    values = _values(function, (ends[:-1] + ends[1:]) / 2)
    tail = (np.exp(-kappa / 2) + np.exp(-kappa)) / -np.expm1(-kappa)
    error = float(constant * h * (0.5 + tail))
    return Approximant("sigmoid", ends[1:-1], np.diff(values), kappa / h, float(values[0]), (low, high), error)


def barron_bound(constant: ArrayLike, radius: ArrayLike, width: ArrayLike) -> Values:
    r"""Mean squared error :math:`(2rC_f)^2/m` that some network of m sigmoids does not exceed.

    Under any law of the inputs on the ball of radius r, the constant f(0) being free.

    Parameters
    ----------
    constant : float or array
        :math:`C_f=\int|\omega||\hat f(\omega)|d\omega\ge0`.
    radius : float or array
        r >= 0.
    width : float or array
        m > 0.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Barron, IEEE Trans. Inf. Theory 1993, Theorem 1.

    Examples
    --------
    >>> barron_bound(1.0, 2.0, [16, 64])
    array([1.  , 0.25])
    """
    c, r = _checks.nonnegative("constant", constant), _checks.nonnegative("radius", radius)
    m = _checks.positive("width", width)
    shape = _checks.broadcast(constant=c, radius=r, width=m)
    return _checks.unwrap((2 * r * c) ** 2 / m, shape)


def gaussian_barron_constant(dimension: ArrayLike) -> Values:
    r"""Barron's constant of :math:`e^{-|x|^2/2}`: :math:`C_f=E|\omega|=\sqrt2\,\Gamma(\frac{d+1}2)/\Gamma(\frac d2)`.

    Close to :math:`\sqrt d`: the rate has no dimension in its exponent, the constant grows.

    Parameters
    ----------
    dimension : int or array
        d > 0.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For dimensions that are not positive.

    References
    ----------
    Barron 1993, Section IX.

    Examples
    --------
    >>> round(gaussian_barron_constant(1), 6)  # sqrt(2 / pi)
    0.797885
    """
    d = _checks.positive("dimension", dimension)
    return _checks.unwrap(np.sqrt(2.0) * np.exp(special.gammaln((d + 1) / 2) - special.gammaln(d / 2)))


def gaussian_sampling_error(dimension: int, radius: float, width: ArrayLike) -> Values:
    r"""Return the expected squared error of m steps sampled for :math:`f=e^{-|x|^2/2}`, x uniform on a ball.

    A mean of m independent terms g with :math:`E\,g=f-f(0)` has

    .. math:: E|f-f_m|^2=\frac{E|g|^2-|f-f(0)|^2}m,\qquad
        E|g|^2=4r^2C_f^2\,E_\rho\int_0^1\sin^2(\rho ru)\,\tfrac12I_{1-u^2}(\tfrac{d+1}2,\tfrac12)\,du

    with :math:`\rho\sim\chi_{d+1}` and I the regularised incomplete beta function, the mass of a cap of the ball; exact
    at every m for `pyphenom.interpolation.sample_gaussian`.

    Parameters
    ----------
    dimension : int
        d >= 1.
    radius : float
        r >= 0.
    width : float or array
        m > 0.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Barron 1993, Lemma 1 and the proof of Theorem 1, with equality in place of the bound.

    Examples
    --------
    >>> exact = gaussian_sampling_error(10, 1.0, 100)
    >>> bool(exact < barron_bound(gaussian_barron_constant(10), 1.0, 100))
    True
    """
    d, r, m = _checks.integer("dimension", dimension, 1), _one("radius", radius), _checks.positive("width", width)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    unit, unit_weights = (nodes + 1) / 2, weights / 2
    # chi of d + 1 degrees lies within 10 of sqrt(d) but for 1e-22 of its mass.
    low, high = max(0.0, np.sqrt(d) - 10), np.sqrt(d) + 11
    rho = low + (high - low) * unit
    logarithm = d * np.log(rho) - rho**2 / 2
    density = unit_weights * np.exp(logarithm - logarithm.max())
    density /= density.sum()
    # Panels as fine as the sine asks for.
    panels = 1 + int(high * r / 100)
    u = ((np.arange(panels)[:, None] + unit) / panels).ravel()
    cap = 0.5 * special.betainc((d + 1) / 2, 0.5, 1 - u**2) * np.tile(unit_weights / panels, panels)
    moment = density @ (np.sin(np.outer(rho, r * u)) ** 2 @ cap)
    constant = float(gaussian_barron_constant(d))
    # |x|/r of a uniform point is the d-th root of a uniform number, of density d t^(d-1).
    root = unit ** (1 / d)
    centred = float(unit_weights @ np.expm1(-((r * root) ** 2) / 2) ** 2)
    return _checks.unwrap(((2 * r * constant) ** 2 * moment - centred) / m)


def _values(function: Function, points: Array) -> Array:
    if not callable(function):
        raise TypeError(f"function: got {type(function).__name__}, expected a function of an array")
    values = _checks.real("function", function(points))
    if values.shape != points.shape:
        raise ValueError(
            f"function: gave shape {values.shape} for points of shape {points.shape}, expected one value a point; "
            "wrap it in numpy.vectorize"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"function: gave {values[~np.isfinite(values)][0]} on the interval, expected finite numbers")
    return values


def _interval(interval: tuple[float, float]) -> tuple[float, float]:
    ends = _checks.real("interval", interval)
    if ends.shape != (2,) or not np.isfinite(ends).all() or not ends[0] < ends[1]:
        raise ValueError(f"interval: got {interval!r}, expected two finite numbers, the smaller first")
    return float(ends[0]), float(ends[1])


def _one(name: str, value: ArrayLike) -> float:
    array = _checks.nonnegative(name, value)
    if array.ndim != 0:
        raise ValueError(f"{name}: got shape {array.shape}, expected one number")
    return float(array)
