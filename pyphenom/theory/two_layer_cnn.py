r"""Signal against noise in a two-layer convolutional network: where interpolation turns from harmful to benign.

An input has two patches, :math:`y\mu` and noise :math:`\xi\sim N(0, \sigma^2(I-\mu\mu^\top/|\mu|^2))`, and the network
is :math:`f = F_+ - F_-` with :math:`F_j = \frac1m\sum_r\sum_{\text{patches }v}\max(\langle w_{jr}, v\rangle, 0)^q`.
The theorems say on which side of a boundary in samples and signal gradient descent from small weights generalises, up
to a constant and logarithms that are not known: only slopes and orderings can be tested.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Values

__all__ = ["boundary", "boundary_slope", "signal_condition"]


def signal_condition(
    n: ArrayLike, signal_norm: ArrayLike, dimension: ArrayLike, power: float = 3.0, noise_deviation: ArrayLike = 1.0
) -> Values:
    r"""Compare signal and noise for a two-layer CNN on a patch :math:`y\mu` and a patch of noise.

    .. math:: n\,\mathrm{SNR}^q = n\Bigl(\frac{|\mu|}{\sigma\sqrt d}\Bigr)^q \quad(q>2), \qquad
              \frac{n|\mu|^4}{\sigma^4d} \quad(q=1)

    for activations :math:`\max(u,0)^q`. Far above 1 the trained network finds the signal: test loss near zero for
    q > 2, test error down to the rate p of flipped labels for q = 1. Far below 1 it fits the training set by its noise:
    test error at least a constant, or p + 0.1. What is "far" depends on constants and logarithms that are not known.

    Parameters
    ----------
    n : float or array
        Number of samples.
    signal_norm : float or array
        :math:`|\mu|`.
    dimension : float or array
        d of a patch.
    power : float
        q: 1, or more than 2.
    noise_deviation : float or array
        :math:`\sigma`.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For parameters out of range, and for powers that the theorems do not treat.

    References
    ----------
    Cao, Chen, Belkin, Gu 2022, Theorems 4.3 and 4.4 (q > 2, true labels); Kou, Chen, Chen, Gu 2023, Theorem 4.2
    (q = 1, flipped labels). Both need small initial weights and a dimension that is large next to n.

    Examples
    --------
    >>> signal_condition(20, [4.0, 14.0, 28.0], 1000, power=3).round(2)
    array([ 0.04,  1.74, 13.88])
    >>> signal_condition(20, [1.0, 3.0], 400, power=1)
    array([0.05, 4.05])
    """
    q = _power(power)
    samples, norm = _checks.positive("n", n), _checks.nonnegative("signal_norm", signal_norm)
    d, deviation = _checks.positive("dimension", dimension), _checks.positive("noise_deviation", noise_deviation)
    shape = _checks.broadcast(n=samples, signal_norm=norm, dimension=d, noise_deviation=deviation)
    ratio = norm / deviation
    value = samples * ratio**4 / d if q == 1.0 else samples * (ratio / np.sqrt(d)) ** q
    return _checks.unwrap(value, shape)


def boundary(
    n: ArrayLike, dimension: ArrayLike, power: float = 3.0, noise_deviation: ArrayLike = 1.0, level: ArrayLike = 1.0
) -> Values:
    r"""Norm :math:`|\mu|` at which `signal_condition` takes a value.

    Parameters
    ----------
    n, dimension, power, noise_deviation
        As in `signal_condition`.
    level : float or array
        The value, a constant that the theorems do not give.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        As in `signal_condition`.

    Examples
    --------
    >>> boundary([10, 80], 1000, power=3).round(3)
    array([14.678,  7.339])
    """
    q = _power(power)
    samples, height = _checks.positive("n", n), _checks.positive("level", level)
    d, deviation = _checks.positive("dimension", dimension), _checks.positive("noise_deviation", noise_deviation)
    shape = _checks.broadcast(n=samples, dimension=d, noise_deviation=deviation, level=height)
    reach = d**0.25 if q == 1.0 else np.sqrt(d)
    return _checks.unwrap(deviation * reach * (height / samples) ** (-boundary_slope(q)), shape)


def boundary_slope(power: float) -> float:
    r"""Slope of the boundary in :math:`(\log n, \log|\mu|)`: :math:`-1/q` for q > 2, and -1/4 for q = 1.

    Unlike the place of the boundary it needs no constant.

    Parameters
    ----------
    power : float
        As in `signal_condition`.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        For powers that the theorems do not treat.

    Examples
    --------
    >>> boundary_slope(1), boundary_slope(4)
    (-0.25, -0.25)
    """
    q = _power(power)
    return -0.25 if q == 1.0 else -1.0 / q


def _power(power: float) -> float:
    q = float(_checks.positive("power", power))
    if q != 1.0 and q <= 2.0:
        raise ValueError(
            f"power: got {q:g}, expected 1 (ReLU, flipped labels) or more than 2; no theorem covers others"
        )
    return q
