r"""Where steps of one size learn the opposite of a feature: a two-layer network on a feature, noise, and feature noise.

An input has two patches, :math:`yv` and :math:`\xi=\chi-\alpha yv`, with :math:`\chi` Gaussian of deviation
:math:`\sigma` on s coordinates drawn from the d - 1 that are not the feature's. Class j has the score
:math:`\sum_r[(\langle w_{jr},yv\rangle)_+^q+(\langle w_{jr},\xi\rangle)_+^q]`, :math:`q>2` (Zou, Cao, Li, Gu 2021).
Write :math:`a=j\langle w,v\rangle` for a filter of class j, and :math:`b_i=\langle w,\xi_i\rangle` on the samples of
its class. While all samples weigh the same,

.. math:: \dot a\ \propto\ \mathrm{sign}\bigl(a^{q-1}-\alpha\,\rho\,b^{q-1}\bigr),\qquad \dot b = g,

for steps along the sign of the gradient, as Adam's first ones are: every coordinate moves as far as the feature's, and
the coordinates of a patch add up. From a small start :math:`b=ga`, so that the sign is decided at once, and stays: the
feature shrinks and is learned with the wrong sign where

.. math:: \alpha > \frac{1}{\rho\,g^{q-1}},\qquad
          g = s\sigma\sqrt{2/\pi}\;E(1+K)^{-1/2},\qquad K\sim\mathrm{Bin}(\rho n/2-1,\;s/(d-1)).

:math:`\rho` is the share of the samples of its class on which a filter is active: 1/2 by its random start, up to 1
later. K counts the other samples that use a coordinate, and pull it to a side of their own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array, Values

__all__ = ["flip_threshold", "sign_growth"]

# The mean over K is the integral of 2/sqrt(pi) exp(-u^2) (1 - p + p exp(-u^2))^N, since 1/sqrt(1 + K) is that of
# 2/sqrt(pi) exp(-(1 + K) u^2).
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)
_U, _WEIGHTS = 3.0 * (1.0 + _NODES), 3.0 * _WEIGHTS * 2.0 / np.sqrt(np.pi)


def sign_growth(
    samples: ArrayLike, dimension: ArrayLike, sparsity: ArrayLike, noise_deviation: ArrayLike, active: ArrayLike = 1.0
) -> Values:
    r"""Growth of the noise's inner product per unit of growth of a coordinate, along signs of the gradient.

    .. math:: g = s\sigma\sqrt{2/\pi}\;E(1+K)^{-1/2},\qquad K\sim\mathrm{Bin}(\rho n/2-1,\,s/(d-1))

    Parameters
    ----------
    samples : float or array
        n, of both classes together; at least 2 active ones a class on average, :math:`\rho n\ge4`.
    dimension : float or array
        d, with the feature's coordinate.
    sparsity : float or array
        s, coordinates of the noise in a patch, at most d - 1.
    noise_deviation : float or array
        :math:`\sigma` of each.
    active : float or array, optional
        :math:`\rho`, the share of the samples of its class on which a filter is active.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Derived here. That it is of the order :math:`s\sigma`, and :math:`s\sigma^2/n` along the gradient: Zou, Cao, Li, Gu
    2021, "Understanding the generalization of Adam in learning neural networks with proper regularization".

    Examples
    --------
    >>> alone, shared = sign_growth(40, [1e9, 1000], 100, 0.1)
    >>> print(f"{alone:.3f} {shared:.3f}")
    7.979 5.112
    """
    n, d, s, deviation, share = _patches(samples, dimension, sparsity, noise_deviation, active)
    shape = _checks.broadcast(samples=n, dimension=d, sparsity=s, noise_deviation=deviation, active=share)
    others, chance = (value[..., None] for value in np.broadcast_arrays(share * n / 2.0 - 1.0, s / (d - 1.0)))
    alone = np.exp(-(_U**2))
    overlap = (alone * (1.0 - chance + chance * alone) ** others) @ _WEIGHTS
    return _checks.unwrap(s * deviation * np.sqrt(2.0 / np.pi) * overlap, shape)


def flip_threshold(
    samples: ArrayLike,
    dimension: ArrayLike,
    sparsity: ArrayLike,
    noise_deviation: ArrayLike,
    power: ArrayLike,
    active: ArrayLike = 1.0,
) -> Values:
    r"""Feature noise above which steps of one size learn the opposite of the feature.

    .. math:: \alpha^\star = \frac1{\rho\,g^{q-1}}

    To first order: small start, small steps, equal weights of the samples, and g large against :math:`\alpha`.

    Parameters
    ----------
    samples, dimension, sparsity, noise_deviation, active : float or array
        As in :func:`sign_growth`. Between :math:`\rho=1` and 1/2 lies a factor of two, less the change of g.
    power : float or array
        q, of the rectified activation; more than 2.

    Returns
    -------
    float or array
        Above 1 the feature noise would have to be larger than the feature.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Derived here, in the model of Zou, Cao, Li, Gu 2021.

    Examples
    --------
    >>> print(f"{flip_threshold(50, 4000, 60, 0.1, power=3):.4f}")
    0.0534
    """
    q, share = _checks.positive("power", power), _checks.positive("active", active)
    if (q <= 2.0).any():
        raise ValueError(f"power: got {q.min():g}, expected more than 2: at 2 there is no race between the patches")
    growth = np.asarray(sign_growth(samples, dimension, sparsity, noise_deviation, share))
    shape = _checks.broadcast(growth=growth, power=q)
    return _checks.unwrap(1.0 / (share * growth ** (q - 1.0)), shape)


def _patches(
    samples: ArrayLike, dimension: ArrayLike, sparsity: ArrayLike, noise_deviation: ArrayLike, active: ArrayLike
) -> tuple[Array, Array, Array, Array, Array]:
    n, d, s = (
        _checks.positive(name, value)
        for name, value in (("samples", samples), ("dimension", dimension), ("sparsity", sparsity))
    )
    deviation, share = _checks.positive("noise_deviation", noise_deviation), _checks.positive("active", active)
    _checks.broadcast(samples=n, dimension=d, sparsity=s, noise_deviation=deviation, active=share)
    if (share > 1.0).any():
        raise ValueError(f"active: got {share.max():g}, expected a share of at most 1")
    if (share * n < 4.0).any():
        raise ValueError(f"samples: got {n.min():g}, expected at least 4/active, two active samples a class")
    if (s > d - 1.0).any():
        raise ValueError(f"sparsity: got {s.max():g}, expected at most dimension - 1 = {d.min() - 1:g}")
    return n, d, s, deviation, share
