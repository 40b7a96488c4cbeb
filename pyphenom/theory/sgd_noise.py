r"""Stationary variance of stochastic gradient descent on a quadratic, and how noise and curvature are aligned.

In one direction of curvature :math:`\lambda` the steps are :math:`x_{t+1} = ax_t - \eta g_t` with
:math:`a = 1-\eta\lambda`, and :math:`g_t` is the mean over a batch of B gradients from N samples, whose variance over
the samples at the minimum is C. What a batch does not see of the curvature is left out: a relative error of the order
of :math:`\eta\,\mathrm{Tr}H/2B` with replacement. Where :math:`C\propto\lambda`, as for least squares with residuals of
one size, batches drawn with replacement make a variance that does not depend on the curvature. Those of an epoch, which
add up to the full gradient, are anti-correlated and cancel in directions flatter than about :math:`2.3/\eta M` at
:math:`M = N/B` batches an epoch: there the variance grows like :math:`\lambda`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array, Values
from .risk import describe

__all__ = ["RandomAlignment", "batch_curvature_share", "epoch_variance", "iid_variance", "random_alignment"]


def iid_variance(
    curvature: ArrayLike, gradient_variance: ArrayLike, step_size: ArrayLike, batch_size: ArrayLike = 1.0
) -> Values:
    r"""Stationary variance with independent noise in every step, such as batches drawn with replacement.

    .. math:: V = \frac{\eta\, C}{B\,\lambda\,(2 - \eta\lambda)} .

    It does not depend on the curvature where C is proportional to it and :math:`\eta\lambda\ll1`, and falls like
    :math:`1/\lambda` where C is the same in all directions.

    Parameters
    ----------
    curvature : float or array
        :math:`\lambda > 0`, eigenvalues of the Hessian of the mean loss.
    gradient_variance : float or array
        C, over the samples, in the same directions.
    step_size : float or array
        :math:`\eta > 0`.
    batch_size : float or array
        B.

    Returns
    -------
    float or array
        In the unit of squared weights; ``inf`` from :math:`\eta\lambda = 2` on.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Mandt, Hoffman, Blei 2017, "Stochastic gradient descent as approximate Bayesian inference", Section 3.2, in the
    limit of small steps; the fixed point of :math:`V = a^2V + \eta^2C/B` at any.

    Examples
    --------
    >>> iid_variance([0.1, 1.0, 10.0, 20.0], [0.1, 1.0, 10.0, 20.0], step_size=0.1, batch_size=5)
    array([0.01005025, 0.01052632, 0.02      ,        inf])
    """
    curve, noise = _checks.positive("curvature", curvature), _checks.nonnegative("gradient_variance", gradient_variance)
    step, batch = _checks.positive("step_size", step_size), _checks.positive("batch_size", batch_size)
    shape = _checks.broadcast(curvature=curve, gradient_variance=noise, step_size=step, batch_size=batch)
    left = 2.0 - step * curve
    with np.errstate(divide="ignore"):
        gain = np.where(left > 0.0, step / (batch * curve * np.maximum(left, 0.0)), np.inf)
    return _checks.unwrap(_checks.times(gain, noise), shape)


def epoch_variance(
    curvature: ArrayLike, gradient_variance: ArrayLike, step_size: float, batch_size: int, samples: int
) -> Values:
    r"""Stationary variance with batches of epochs, each a random permutation of the samples cut into M batches.

    .. math:: V = \frac1M\sum_{j<M} V_j, \qquad V_j = a^{2j}V_0 + Q_j, \qquad V_0 = \frac{Q_M}{1-a^{2M}}, \qquad
              Q_j = \frac{\eta^2C}{B}\frac{N}{N-1}\Bigl(\sum_{k<j}a^{2k} - \frac1M\bigl(\sum_{k<j}a^k\bigr)^2\Bigr) .

    Two batches of an epoch have the covariance :math:`-s^2/(M-1)`, :math:`s^2 = \frac CB\frac{N-B}{N-1}` the variance
    of one. V is the mean over the M steps of an epoch; :math:`V_0` is the variance between epochs.

    Parameters
    ----------
    curvature : float or array
        :math:`\lambda > 0`.
    gradient_variance : float or array
        C, over the N samples, divided by N.
    step_size : float
        :math:`\eta > 0`.
    batch_size, samples : int
        B and N, a multiple of B and larger.

    Returns
    -------
    float or array
        In the unit of squared weights; ``inf`` from :math:`\eta\lambda = 2` on.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range, and where the samples are not a multiple of the batch size.

    References
    ----------
    Derived here. Kuehn and Rosenow 2023, "Correlated noise in epoch-based stochastic gradient descent", have the
    two regimes of flat and steep directions, for momentum.

    Examples
    --------
    >>> variance = epoch_variance([0.01, 0.1, 1.0, 10.0], [0.01, 0.1, 1.0, 10.0], 0.1, 20, 1000)
    >>> (variance / iid_variance([0.01, 0.1, 1.0, 10.0], [0.01, 0.1, 1.0, 10.0], 0.1, 20)).round(3)
    array([0.016, 0.149, 0.692, 0.981])
    """
    curve, noise = _checks.positive("curvature", curvature), _checks.nonnegative("gradient_variance", gradient_variance)
    step = _number("step_size", step_size)
    size, count = (_number(name, value, True) for name, value in (("batch_size", batch_size), ("samples", samples)))
    if count % size or count <= size:
        raise ValueError(
            f"samples: got {count:g} at batch_size={size:g}, expected a multiple of it and more than it, so that an "
            "epoch is several whole batches; leave out the rest of the samples"
        )
    shape = _checks.broadcast(curvature=curve, gradient_variance=noise)
    steps = int(count // size)
    rate = step * curve[..., None]
    stable = rate < 2.0
    rate = np.where(stable, rate, 1.0)
    # Q_M is a difference of nearly equal sums in flat directions: a^k - 1, centred, has all digits.
    small, k = rate < 0.5, np.arange(steps)
    power = (1.0 - rate) ** k
    centred = np.where(small, np.expm1(k * np.log1p(-np.where(small, rate, 0.0))), power - 1.0)
    centred -= centred.mean(axis=-1, keepdims=True)
    whole = (centred**2).sum(axis=-1)
    lost = np.where(
        small, -np.expm1(2 * steps * np.log1p(-np.where(small, rate, 0.0))), 1.0 - (1.0 - rate) ** (2 * steps)
    )
    first = whole / lost[..., 0]
    squares, sums = (np.cumsum(p, axis=-1) - p for p in (power**2, power))  # over k < j
    mean = (power**2 * first[..., None] + squares - sums**2 / steps).mean(axis=-1)
    gain = np.where(stable[..., 0], step**2 * count / (size * (count - 1.0)) * mean, np.inf)
    return _checks.unwrap(_checks.times(gain, noise), shape)


def batch_curvature_share(curvature: ArrayLike, gradient_variance: ArrayLike, variance: ArrayLike) -> float:
    r"""Noise from the curvature of batches, over that of their gradients at the minimum.

    .. math:: \frac{\sum_i\lambda_iV_i\;\sum_i\lambda_i}{\sum_iC_i}

    In least squares weights of variance V add :math:`\sum\lambda V` to the variance of the residuals. This noise is
    not tied to the samples of an epoch, and is taken to be independent from step to step.

    Parameters
    ----------
    curvature, gradient_variance, variance : array (P,)
        :math:`\lambda`, C and V, of the gradients and of the weights, in the same directions.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Derived here, for Gaussian inputs up to terms of the order 1 / P.

    Examples
    --------
    >>> curves = np.array([0.01, 0.02, 0.03])
    >>> share = batch_curvature_share(curves, curves, iid_variance(curves, curves, step_size=0.1, batch_size=8))
    >>> round(share / (0.1 * 0.06 / 16), 3)
    1.001
    """
    curve, noise = _checks.positive("curvature", curvature), _checks.nonnegative("gradient_variance", gradient_variance)
    weights = _checks.nonnegative("variance", variance)
    _checks.broadcast(curvature=curve, gradient_variance=noise, variance=weights)
    return float(np.sum(curve * weights) * np.sum(curve) / np.sum(noise))


@dataclass(frozen=True, eq=False, repr=False)
class RandomAlignment:
    """Mean and standard deviation of the alignment of two symmetric matrices over random rotations of one of them.

    Attributes
    ----------
    mean, standard_deviation : float
        Between -1 and 1.
    """

    mean: float
    standard_deviation: float

    def to_dict(self) -> dict[str, Values]:
        """Return the two by name."""
        return {"mean": self.mean, "standard_deviation": self.standard_deviation}

    def __repr__(self) -> str:
        return describe("RandomAlignment", self.to_dict())


def random_alignment(first: ArrayLike, second: ArrayLike) -> RandomAlignment:
    r"""Law of :math:`\mathrm{Tr}(AQBQ^\top)/(|A|_F|B|_F)` for a uniformly random rotation Q.

    .. math:: \frac{\mathrm{Tr}A\,\mathrm{Tr}B}{P|A|_F|B|_F}, \qquad
              \sqrt{\frac{2}{(P-1)(P+2)}\Bigl(1-\frac{(\mathrm{Tr}A)^2}{P|A|_F^2}\Bigr)
              \Bigl(1-\frac{(\mathrm{Tr}B)^2}{P|B|_F^2}\Bigr)}

    are its mean and its standard deviation; only the eigenvalues matter.

    Parameters
    ----------
    first, second : array (P,)
        Eigenvalues of A and of B, zeros included; at least two, not all zero.

    Returns
    -------
    RandomAlignment

    Raises
    ------
    ValueError, TypeError
        For vectors of different lengths, and where there is nothing to rotate.

    References
    ----------
    Collins and Sniady 2006, "Integration with respect to the Haar measure on unitary, orthogonal and symplectic
    group", Section 4: the second moments, which Schur's lemma gives here for the traceless parts.

    Examples
    --------
    >>> random_alignment([1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0])
    RandomAlignment(mean=0.25, standard_deviation=0.25)
    """
    spectra = [_checks.real(name, value) for name, value in (("first", first), ("second", second))]
    for name, values in zip(("first", "second"), spectra, strict=True):
        if values.ndim != 1 or values.size < 2 or not values.any():
            raise ValueError(
                f"{name}: got shape {values.shape}, expected the eigenvalues (P,) of a matrix that is not zero, P >= 2"
            )
    _checks.same_length("second", spectra[1], "first", spectra[0].size)
    p = spectra[0].size
    # In units of the norm; what remains of 1 is the share of the traceless part.
    traces = [float(values.sum() / np.linalg.norm(values)) for values in spectra]
    shares = [float(((values - values.mean()) ** 2).sum() / (values**2).sum()) for values in spectra]
    return RandomAlignment(traces[0] * traces[1] / p, float(np.sqrt(2.0 * shares[0] * shares[1] / ((p - 1) * (p + 2)))))


def _number(name: str, value: ArrayLike, whole: bool = False) -> float:
    array: Array = _checks.positive(name, value)
    if array.ndim or (whole and array != np.floor(array)):
        raise ValueError(f"{name}: got {value!r}, expected one positive {'integer' if whole else 'number'}")
    return float(array)
