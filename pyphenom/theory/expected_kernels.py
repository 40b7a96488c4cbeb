r"""Mean kernels of random features, :math:`E_w\,\sigma(w\cdot x/\sqrt d)\,\sigma(w\cdot x'/\sqrt d)`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array

__all__ = ["arc_cosine_kernel", "expected_kernel"]

# Each takes the norms r, r' = |x|/sqrt(d) and the cosine of the two inputs. arccos and arcsin lose half of the digits
# of a cosine near 1, but the relu and abs kernels are flat there to second order; sign and erf are made exact on the
# diagonal by `norms_and_cosines`.


def _relu(r: Array, s: Array, cosine: Array) -> Array:
    angle = np.arccos(cosine)
    return np.asarray(r * s * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi))


def _abs(r: Array, s: Array, cosine: Array) -> Array:
    return np.asarray(r * s * (np.sqrt(1 - cosine**2) + cosine * np.arcsin(cosine)) * (2 / np.pi))


def _sign(r: Array, s: Array, cosine: Array) -> Array:
    return np.where(r * s > 0, np.arcsin(cosine) * (2 / np.pi), 0.0)


def _erf(r: Array, s: Array, cosine: Array) -> Array:
    return np.asarray(np.arcsin(2 * r * s * cosine / np.sqrt((1 + 2 * r**2) * (1 + 2 * s**2))) * (2 / np.pi))


def _identity(r: Array, s: Array, cosine: Array) -> Array:
    return np.asarray(r * s * cosine)


def _cos(r: Array, s: Array, cosine: Array) -> Array:
    # |x - x'|^2 = (r - s)^2 + 2rs(1 - cosine): no cancellation of large squares for near inputs of large norm.
    return np.asarray(np.exp(-0.5 * (r - s) ** 2 - r * s * (1 - cosine)))


_KERNELS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "relu": _relu,
    "abs": _abs,
    "sign": _sign,
    "erf": _erf,
    "identity": _identity,
    "cos": _cos,
}


def expected_kernel(X: ArrayLike, activation: str = "relu", X2: ArrayLike | None = None) -> Array:
    r"""Mean kernel :math:`E_w\,\sigma(w\cdot x/\sqrt d)\,\sigma(w\cdot x'/\sqrt d)`, :math:`w\sim N(0, I_d)`.

    With :math:`r = |x|/\sqrt d` and the angle :math:`\theta` between the inputs, :math:`\rho = \cos\theta`:

    ======== ==========================================================================================
    relu     :math:`\frac{rr'}{2\pi}(\sin\theta + (\pi - \theta)\rho)`
    abs      :math:`\frac{2rr'}{\pi}(\sqrt{1-\rho^2} + \rho\arcsin\rho)`
    sign     :math:`\frac2\pi\arcsin\rho`
    erf      :math:`\frac2\pi\arcsin\frac{2rr'\rho}{\sqrt{(1+2r^2)(1+2r'^2)}}`
    identity :math:`rr'\rho`
    cos      :math:`e^{-|x-x'|^2/(2d)}`, for features :math:`\sqrt2\cos(w\cdot x/\sqrt d + b)`, b uniform on [0, 2 pi]
    ======== ==========================================================================================

    Parameters
    ----------
    X : array (m, d)
        Inputs, one per row; scale and mean are used as they are.
    activation : str
        One of the names above.
    X2 : array (m2, d), optional
        Second set of inputs; the first one if left out.

    Returns
    -------
    array (m, m2)
        The kernel matrix; of k random features Z, it is the mean of :math:`ZZ^\top/k`.

    Raises
    ------
    ValueError
        For an activation without a closed form here, or inputs of the wrong shape.

    References
    ----------
    Cho and Saul 2009 (arc-cosine kernel of degree 1); Williams 1997 (erf); Rahimi and Recht 2007 (cos).

    Examples
    --------
    >>> expected_kernel([[1.0, 1.0], [1.0, -1.0]], "relu").round(6)
    array([[0.5     , 0.159155],
           [0.159155, 0.5     ]])
    """
    if activation not in _KERNELS:
        raise ValueError(
            f"activation: got {activation!r}, expected one of {', '.join(_KERNELS)}; "
            "for another one average Z Z^T / k over many random features"
        )
    r, s, cosine = norms_and_cosines(X, X2)
    kernel = _KERNELS[activation](r, s, cosine)
    # Symmetric to the last bit, as eigensolvers and the test in `spectrum` expect.
    return np.asarray((kernel + kernel.T) / 2) if X2 is None else kernel


def arc_cosine_kernel(X: ArrayLike, X2: ArrayLike | None = None) -> Array:
    r"""Mean kernel of relu features: `expected_kernel` with "relu", half of Cho and Saul's degree-1 kernel over d.

    Parameters
    ----------
    X : array (m, d)
        Inputs, one per row.
    X2 : array (m2, d), optional
        Second set of inputs; the first one if left out.

    Returns
    -------
    array (m, m2)
        :math:`\frac{|x||x'|}{2\pi d}(\sin\theta + (\pi-\theta)\cos\theta)`.

    Raises
    ------
    ValueError, TypeError
        As in `expected_kernel`.

    Examples
    --------
    >>> arc_cosine_kernel([[3.0, 4.0]]).round(12)
    array([[6.25]])
    """
    return expected_kernel(X, "relu", X2)


def _inputs(name: str, value: ArrayLike) -> Array:
    array = _checks.real(name, value)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name}: got shape {array.shape}, expected (m, d), one input per row; reshape it")
    if np.isinf(array).any():
        raise ValueError(f"{name}: got inf, expected finite inputs; drop or repair these rows first")
    return array


def norms_and_cosines(X: ArrayLike, X2: ArrayLike | None) -> tuple[Array, Array, Array]:
    """Return |x|/sqrt(d) as a column, |x'|/sqrt(d) as a row, and the cosines of all pairs, 0 where an input is 0."""
    first = _inputs("X", X)
    second = first if X2 is None else _inputs("X2", X2)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"X2: got {second.shape[1]} columns, expected {first.shape[1]}, the input dimension of X")
    r = np.sqrt((first**2).mean(1))[:, None]
    s = np.sqrt((second**2).mean(1))[None, :]
    scale = r * s
    cosine = (first @ second.T) / first.shape[1] / np.where(scale > 0, scale, 1.0)
    # Round-off leaves [-1, 1] by a few ulp, where arccos is undefined.
    cosine = np.clip(cosine, -1.0, 1.0)
    if X2 is None:
        np.fill_diagonal(cosine, np.where(r[:, 0] > 0, 1.0, 0.0))
    return r, s, np.asarray(cosine)
