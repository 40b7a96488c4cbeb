r"""Solvable scaling laws: the loss of ridgeless, noiseless regression on n samples and k random features.

The target is a random function with the prior of the kernel (:math:`v_i^2 = L_i`). With :math:`m = \min(n, k)` and
:math:`M = \max(n, k)`

.. math:: \text{loss} = \frac{g\,m}{1 - m/M}, \qquad \sum_i \frac{L_i}{L_i + g} = m,

symmetric in samples and features: either of them is the bottleneck, and the loss is infinite where they are equal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array, Values
from .eigenframework import kernel_regression

__all__ = ["power_law_loss", "random_feature_loss"]


def random_feature_loss(eigenvalues: ArrayLike, n: ArrayLike, width: ArrayLike) -> Values:
    r"""Mean squared test error :math:`g m/(1 - m/M)` for a given spectrum.

    Parameters
    ----------
    eigenvalues : array (p,)
        Eigenvalues :math:`L_i` of the mean kernel; their sum is the power of the target.
    n : float or array
        Number of samples.
    width : float or array
        Number of random features k; ``inf`` is the kernel.

    Returns
    -------
    float or array
        0 where both n and width reach the number of modes, ``inf`` at n = width below it.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Maloney, Roberts, Sully 2022; the eigenframework of Simon, Karkada, Ghosh, Belkin 2023 in this case.

    Examples
    --------
    >>> spectrum = np.arange(1.0, 4001.0) ** -2
    >>> random_feature_loss(spectrum, [50, 200, 100], [200, 50, 120]).round(6)
    array([0.063839, 0.063839, 0.143575])
    """
    samples, features = _checks.positive("n", n), _checks.positive("width", width, infinite=True)
    shape = _checks.broadcast(n=samples, width=features)
    smaller, larger = np.minimum(samples, features), np.maximum(samples, features)
    spectrum = _checks.spectrum("eigenvalues", eigenvalues)
    # A kernel of m samples has the same g without ridge.
    g = np.asarray(kernel_regression(spectrum, np.zeros(spectrum.size), smaller).effective_ridge)
    return _checks.unwrap(_amplified(g * smaller, smaller, larger), shape)


def power_law_loss(exponent: ArrayLike, n: ArrayLike, width: ArrayLike, scale: ArrayLike = 1.0) -> Values:
    r"""Its asymptotic form for the spectrum :math:`L_i = c\, i^{-(1+a)}`: a power law :math:`m^{-a}` of the bottleneck.

    .. math:: \text{loss} \simeq \frac{c\, m^{-a}}{1 - m/M}
              \Bigl[\frac{\pi/(1+a)}{\sin(\pi/(1+a))}\Bigr]^{1+a}

    Parameters
    ----------
    exponent : float or array
        a > 0.
    n, width : float or array
        As in `random_feature_loss`; both large, and far below the number of modes.
    scale : float or array
        c, the largest eigenvalue.

    Returns
    -------
    float or array
        ``inf`` at n = width.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Maloney, Roberts, Sully 2022; Bahri, Dyer, Kaplan, Lee, Sharma 2021.

    Examples
    --------
    >>> round(power_law_loss(1.0, 50, 200), 4)  # the exact value for 4000 modes is 0.0638
    0.0658
    """
    a, c = _checks.positive("exponent", exponent), _checks.positive("scale", scale)
    samples, features = _checks.positive("n", n), _checks.positive("width", width, infinite=True)
    shape = _checks.broadcast(exponent=a, n=samples, width=features, scale=c)
    smaller, larger = np.minimum(samples, features), np.maximum(samples, features)
    angle = np.pi / (1.0 + a)
    return _checks.unwrap(_amplified(c * (angle / np.sin(angle)) ** (1.0 + a) * smaller**-a, smaller, larger), shape)


def _amplified(loss: Array, smaller: Array, larger: Array) -> Array:
    """Divide by 1 - m/M; no loss is amplified to none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(loss > 0, loss / (1.0 - smaller / larger), 0.0)
