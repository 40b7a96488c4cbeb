r"""Random features of data on the sphere: the exact spectrum of their mean kernel at finite dimension.

Inputs x and weights w are uniform on the sphere of radius :math:`\sqrt d`. By the Funk-Hecke formula the harmonics of
degree k are eigenfunctions of :math:`E_w\,\sigma(w\cdot x/\sqrt d)\,\sigma(w\cdot x'/\sqrt d)`. Fed to
`eigenframework`, this spectrum replaces the two numbers :math:`\mu_1, \mu_\star` that are left of it in Mei and
Montanari's limit, and with them most of the limit's error of order 1/d.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from . import _checks
from ._checks import Array

__all__ = ["SphereSpectrum", "spectrum"]

_FUNCTIONS: dict[str, Callable[[Array], Any]] = {
    "relu": lambda u: np.maximum(u, 0.0),
    "tanh": np.tanh,
    "erf": special.erf,
    "sigmoid": special.expit,
    "sign": np.sign,
    "abs": np.abs,
    "identity": lambda u: u,
}


@dataclass(frozen=True, eq=False)
class SphereSpectrum:
    """Eigenvalues of a rotation-invariant kernel on the sphere, by degree.

    Attributes
    ----------
    eigenvalues : array (degrees + 1,)
        One for each degree 0, 1, ...
    multiplicities : array (degrees + 1,) of int
        Number of harmonics of that degree.
    tail : float
        Sum of all eigenvalues of higher degrees, with their multiplicities.
    """

    eigenvalues: Array
    multiplicities: Array
    tail: float

    def modes(self) -> Array:
        """Return every listed eigenvalue as often as it occurs, by degree."""
        return np.repeat(self.eigenvalues, self.multiplicities.astype(np.int64))


def spectrum(dimension: int, activation: str | Callable[[Array], Any] = "relu", degrees: int = 2) -> SphereSpectrum:
    r"""Eigenvalues :math:`L_k = c_k^2`, :math:`c_k = E\,\sigma(\sqrt d\,u)P_k(u)`, of the mean kernel of the features.

    u is one coordinate of a uniform point of the unit sphere, of density :math:`\propto (1-u^2)^{(d-3)/2}`, and
    :math:`P_k` the Legendre polynomial of degree k in d dimensions, :math:`P_k(1) = 1`. With
    :math:`N(d,k) = \frac{2k+d-2}{k}\binom{k+d-3}{k-1}` harmonics of degree k, :math:`\sum_k N(d,k)L_k = E\,\sigma^2`.

    Parameters
    ----------
    dimension : int
        d >= 3.
    activation : str or callable
        relu, tanh, erf, sigmoid, sign, abs, identity, or a function of an array. A kink or jump may be at 0 only.
    degrees : int
        Highest degree that is listed.

    Returns
    -------
    SphereSpectrum

    Raises
    ------
    ValueError, TypeError
        For a dimension below 3, negative degrees, or an unknown activation.

    References
    ----------
    Müller, Spherical Harmonics, 1966 (Funk-Hecke); Mei and Montanari 2022, Section 5 for the limit.

    Examples
    --------
    >>> relu = spectrum(100, "relu")
    >>> relu.multiplicities
    array([   1,  100, 5049])
    >>> round(float(100 * relu.eigenvalues[1]), 4)  # mu_1^2 in the limit
    0.25
    """
    d, top = _checks.integer("dimension", dimension, 3), _checks.integer("degrees", degrees, 0)
    if isinstance(activation, str):
        if activation not in _FUNCTIONS:
            raise ValueError(f"activation: got {activation!r}, expected one of {', '.join(_FUNCTIONS)}, or a function")
        function = _FUNCTIONS[activation]
    elif callable(activation):
        function = activation
    else:
        raise TypeError(f"activation: got {type(activation).__name__}, expected a name or a function of an array")
    nodes, weights = np.polynomial.legendre.leggauss(600)
    half = min(np.sqrt(d), 14.0)  # beyond, the density is below 1e-40
    x = np.concatenate([-(nodes + 1) / 2 * half, (nodes + 1) / 2 * half])
    density = np.concatenate([weights, weights]) * np.exp((d - 3) / 2 * np.log1p(-np.minimum(x**2 / d, 1 - 1e-16)))
    density /= density.sum()
    u, values = x / np.sqrt(d), np.asarray(function(x), dtype=np.float64)

    eigenvalues, multiplicities, rest = [], [], values
    previous, current = np.zeros_like(u), np.ones_like(u)
    for k in range(top + 1):
        c = float(density @ (values * current))
        count = 1 if k == 0 else round((2 * k + d - 2) / k * special.comb(k + d - 3, k - 1, exact=True))
        eigenvalues.append(c**2)
        multiplicities.append(count)
        rest = rest - count * c * current
        previous, current = current, ((2 * k + d - 2) * u * current - k * previous) / (k + d - 2)
    tail = float(density @ rest**2)
    # Quadrature leaves about 1e-15 of what vanishes; without a ridge the theory would fit even that.
    least = 1e-24 * float(density @ values**2)
    kept = [mode if count * mode > least else 0.0 for mode, count in zip(eigenvalues, multiplicities, strict=True)]
    return SphereSpectrum(np.array(kept), np.array(multiplicities), tail if tail > least else 0.0)
