r"""Relative entropy of Gaussians with diagonal covariance, in float64 and without cancellation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyphenom.bounds import _checks
from pyphenom.bounds._checks import Array


def gaussian_kl(mean: ArrayLike, scale: ArrayLike, prior_mean: ArrayLike, prior_scale: ArrayLike) -> float:
    r"""Relative entropy :math:`\mathrm{KL}(N(\mu,\mathrm{diag}\,\sigma^2)\Vert N(\mu_0,\mathrm{diag}\,\sigma_0^2))`.

    .. math:: \mathrm{KL} = \tfrac12\sum_i\Big[\varphi\big(\sigma_i^2/\sigma_{0,i}^2-1\big)
              +(\mu_i-\mu_{0,i})^2/\sigma_{0,i}^2\Big], \qquad \varphi(x) = x-\ln(1+x),

    a sum of terms that are not negative, so that nothing cancels where posterior and prior nearly agree.

    Parameters
    ----------
    mean, prior_mean : array
        Means, of any shape.
    scale, prior_scale : float or array
        Standard deviations (not variances), broadcast with the means.

    Returns
    -------
    float
        In nats, the sum over all entries of the means' broadcast shape.

    Raises
    ------
    ValueError, TypeError
        For a scale that is not a finite number > 0, a mean that is not finite, or NaN.

    Examples
    --------
    >>> gaussian_kl([0.0, 1.0], 1.0, 0.0, 1.0)
    0.5
    >>> gaussian_kl([0.0, 0.0], 1 + 1e-9, 0.0, 1.0)
    2.00000...e-18
    """
    m, m0 = _finite("mean", mean), _finite("prior_mean", prior_mean)
    s, s0 = _scale("scale", scale), _scale("prior_scale", prior_scale)
    shape = _checks.broadcast(mean=m, scale=s, prior_mean=m0, prior_scale=s0)
    terms = _square_less_log((s - s0) / s0, s / s0) + ((m - m0) / s0) ** 2
    return 0.5 * float(np.sum(np.broadcast_to(terms, shape)))


def gaussian_kl_layers(
    means: Sequence[ArrayLike],
    scales: Sequence[ArrayLike],
    prior_means: Sequence[ArrayLike],
    prior_scales: Sequence[ArrayLike],
) -> Array:
    r"""`gaussian_kl` of every layer; their sum is the relative entropy of the network.

    Parameters
    ----------
    means, scales, prior_means, prior_scales : sequence of array
        One entry a layer (or a parameter tensor), each as in `gaussian_kl`.

    Returns
    -------
    array (layers,)

    Raises
    ------
    ValueError, TypeError
        For sequences of different length, and as in `gaussian_kl`; the message names the layer.

    Examples
    --------
    >>> gaussian_kl_layers([[0.0, 1.0], [2.0]], [1.0, 1.0], [0.0, 0.0], [1.0, 2.0])
    array([0.5       , 0.81814718])
    """
    lengths = {len(means), len(scales), len(prior_means), len(prior_scales)}
    if len(lengths) != 1:
        raise ValueError(
            f"`means`, `scales`, `prior_means`, `prior_scales` have {len(means)}, {len(scales)}, {len(prior_means)}, "
            f"{len(prior_scales)} layers; expected one entry a layer in each"
        )
    values = []
    for i, layer in enumerate(zip(means, scales, prior_means, prior_scales, strict=True)):
        try:
            values.append(gaussian_kl(*layer))
        except (TypeError, ValueError) as error:
            raise type(error)(f"layer {i}: {error}") from None
    return np.array(values)


def optimal_prior_scale(mean: ArrayLike, scale: ArrayLike, prior_mean: ArrayLike) -> float:
    r"""Prior scale of least relative entropy, :math:`\sigma_0^2 = \frac1D\sum_i[(\mu_i-\mu_{0,i})^2+\sigma_i^2]`.

    It depends on the posterior, so a certificate that uses it must round it to a grid fixed in advance, and pay for
    the choice.

    Parameters
    ----------
    mean, scale, prior_mean
        As in `gaussian_kl`.

    Returns
    -------
    float
        A standard deviation.

    Raises
    ------
    ValueError, TypeError
        As in `gaussian_kl`.

    Examples
    --------
    >>> optimal_prior_scale([3.0, 0.0], [4.0, 0.0001], 0.0)
    3.5355...
    """
    m, m0, s = _finite("mean", mean), _finite("prior_mean", prior_mean), _scale("scale", scale)
    shape = _checks.broadcast(mean=m, scale=s, prior_mean=m0)
    return float(np.sqrt(np.mean(np.broadcast_to((m - m0) ** 2 + s**2, shape))))


def _finite(name: str, value: ArrayLike) -> Array:
    array = _checks.real(name, value)
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` holds an infinite entry; expected finite numbers. Look for weights that diverged")
    return array


def _scale(name: str, value: ArrayLike) -> Array:
    return _checks.positive(name, value, "a finite standard deviation > 0. Take sqrt of a variance, exp of a logarithm")


def _square_less_log(excess: Array, ratio: Array) -> Any:
    """Return x - ln(1 + x), x = ratio^2 - 1; by ln(1 + x) = 2 artanh(x / (2 + x)) where the difference would cancel.

    `excess` is ratio - 1 as a difference of scales, which is exact for neighbours; the quotient has been rounded.
    """
    x = excess * (2 + excess)
    s = x / (2 + x)
    t = s * s
    series: Any = 1 / 19
    for odd in (17, 15, 13, 11, 9, 7, 5, 3):
        series = 1 / odd + t * series
    return np.where(np.abs(s) < 0.17, x * s - 2 * s * t * series, x - 2 * np.log(ratio))
