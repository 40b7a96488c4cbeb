r"""Random-feature ridge regression in the proportional limit (Mei and Montanari).

Inputs and feature directions are uniform on the sphere of radius :math:`\sqrt d`, :math:`Z_{ji} =
\sigma(\theta_i\cdot x_j/\sqrt d)`, :math:`\psi_1 = N/d` features and :math:`\psi_2 = n/d` samples per input
dimension, and :math:`\hat a = (Z^\top Z + \frac{nN\lambda}{d} I)^{-1}Z^\top y`: **this ridge grows with the width**,
it is not the :math:`n\lambda` of `ridge_regression`.

The paper's fixed point and polynomials are in `symbolic`. They are the eigenvalue framework with one eigenvalue
:math:`\mu_1^2` for the d linear modes, and a tail of mass :math:`\mu_\star^2`, all counts divided by d; the
paper's unknown is :math:`\chi = -\mu_\star^2/g`. That form is evaluated here: it has no differences of large terms,
and needs no special case for :math:`\mu_1 = 0`, :math:`\mu_\star = 0`, or :math:`\lambda = 0`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from . import _checks
from ._checks import Values
from .activations import ActivationConstants, activation_constants
from .eigenframework import VarianceDecomposition, random_feature_regression
from .eigenframework import variance_decomposition as eigen_decomposition
from .risk import Risk

__all__ = ["ActivationConstants", "activation_constants", "risk", "training_error", "variance_decomposition"]


def risk(
    psi1: ArrayLike,
    psi2: ArrayLike,
    ridge: ArrayLike,
    activation: str | Callable[[float], float] | ActivationConstants = "relu",
    linear_signal: ArrayLike = 1.0,
    nonlinear_signal: ArrayLike = 0.0,
    noise_variance: ArrayLike = 0.0,
) -> Risk:
    r"""Excess risk :math:`R = F_1^2\frac{E_1}{E_0} + (\tau^2 + F_\star^2)\frac{E_2}{E_0} + F_\star^2`.

    :math:`E_0, E_1, E_2` are polynomials in :math:`\psi_1, \psi_2, \zeta = \mu_1/\mu_\star` and the root :math:`\chi`
    of a fixed point (`symbolic`).

    Parameters
    ----------
    psi1 : float or array
        Features per input dimension, N/d.
    psi2 : float or array
        Samples per input dimension, n/d.
    ridge : float or array
        :math:`\lambda` in the penalty :math:`\frac{N\lambda}{d}|a|^2` beside the **mean** squared error. Zero is the
        limit from above.
    activation : str, callable or ActivationConstants
        See `activation_constants`.
    linear_signal : float or array
        :math:`F_1^2`, the power of the linear part of the target. A constant part is learned without error in this
        limit.
    nonlinear_signal : float or array
        :math:`F_\star^2`, the power of a nonlinear part (isotropic of high degree), never learned in this limit; its
        power is inside the bias.
    noise_variance : float or array
        :math:`\tau^2`, the variance of the label noise; not inside the risk.

    Returns
    -------
    Risk
        ``inf`` at the interpolation threshold psi1 = psi2 without ridge.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range, and for an activation that is constant.

    References
    ----------
    Mei and Montanari 2022, Theorem 2.

    Examples
    --------
    >>> risk(psi1=[1, 3, 6], psi2=3, ridge=0.0, noise_variance=0.25).total.round(6)
    array([0.796859,      inf, 0.503204])
    """
    found = random_feature_regression(
        **_framework(psi1, psi2, ridge, activation, linear_signal, nonlinear_signal, noise_variance)
    )
    return Risk(found.bias, found.variance, found.residual)


def training_error(
    psi1: ArrayLike,
    psi2: ArrayLike,
    ridge: ArrayLike,
    activation: str | Callable[[float], float] | ActivationConstants = "relu",
    linear_signal: ArrayLike = 1.0,
    nonlinear_signal: ArrayLike = 0.0,
    noise_variance: ArrayLike = 0.0,
) -> Values:
    r"""Mean squared residual on the training labels, :math:`\frac1n|y - Z\hat a|^2 \to (1 - z/\psi_2)^2 (R + \tau^2)`.

    Here z is the number of degrees of freedom per input dimension. The penalty is not part of it; the label noise is.

    Parameters
    ----------
    psi1, psi2, ridge, activation, linear_signal, nonlinear_signal, noise_variance
        As in `risk`.

    Returns
    -------
    float or array
        Zero without ridge where psi1 >= psi2.

    Raises
    ------
    ValueError, TypeError
        As in `risk`.

    References
    ----------
    Simon, Karkada, Ghosh, Belkin 2023; Mei and Montanari 2022 give an equivalent expression.

    Examples
    --------
    >>> round(training_error(2.0, 3.0, 0.01, noise_variance=0.25), 8)
    0.18852768
    """
    return random_feature_regression(
        **_framework(psi1, psi2, ridge, activation, linear_signal, nonlinear_signal, noise_variance)
    ).train_error


def variance_decomposition(
    psi1: ArrayLike,
    psi2: ArrayLike,
    ridge: ArrayLike,
    activation: str | Callable[[float], float] | ActivationConstants = "relu",
    linear_signal: ArrayLike = 1.0,
    nonlinear_signal: ArrayLike = 0.0,
    noise_variance: ArrayLike = 0.0,
) -> VarianceDecomposition:
    r"""Split `risk` over the random features (initialisation), the training inputs (sample) and the label noise.

    Without a ridge the two terms in which initialisation and sample interact diverge at psi1 = psi2, and no other:
    an average over initialisations, or over training sets, has no peak: see
    `pyphenom.theory.eigenframework.VarianceDecomposition.averaged`.

    Parameters
    ----------
    psi1, psi2, ridge, activation, linear_signal, nonlinear_signal, noise_variance
        As in `risk`.

    Returns
    -------
    VarianceDecomposition
        Its `total` is the total of `risk`.

    Raises
    ------
    ValueError, TypeError
        As in `risk`.

    References
    ----------
    Adlam and Pennington 2020; d'Ascoli, Refinetti, Biroli, Krzakala 2020 for a split in the order noise,
    initialisation, sampling: their noise is ``sample_label + initialisation_sample_label``, their initialisation
    ``initialisation + initialisation_sample``.

    Examples
    --------
    >>> split = variance_decomposition(4.0, 3.0, 0.01, noise_variance=0.25)
    >>> round(split.bias, 8), round(split.initialisation, 8), round(split.sample, 8)
    (0.04715984, 0.07427822, 0.01210688)
    >>> round(split.initialisation_sample, 8), round(split.sample_label, 8)
    (0.07576451, 0.06418001)
    """
    return eigen_decomposition(
        **_framework(psi1, psi2, ridge, activation, linear_signal, nonlinear_signal, noise_variance)
    )


def _framework(
    psi1: ArrayLike,
    psi2: ArrayLike,
    ridge: ArrayLike,
    activation: str | Callable[[float], float] | ActivationConstants,
    linear_signal: ArrayLike,
    nonlinear_signal: ArrayLike,
    noise_variance: ArrayLike,
) -> dict[str, Any]:
    """Return the parameters in the terms of `eigenframework`, all counts per input dimension."""
    features, samples = _checks.positive("psi1", psi1), _checks.positive("psi2", psi2)
    ridge = _checks.nonnegative("ridge", ridge, infinite=True)
    signal = _checks.nonnegative("linear_signal", linear_signal)
    rest = _checks.nonnegative("nonlinear_signal", nonlinear_signal)
    noise = _checks.nonnegative("noise_variance", noise_variance)
    _checks.broadcast(
        psi1=features, psi2=samples, ridge=ridge, linear_signal=signal, nonlinear_signal=rest, noise_variance=noise
    )
    constants = activation_constants(activation)
    # Quadrature leaves about 1e-15 of a constant function.
    if not constants.linear**2 + constants.nonlinear**2 > 1e-24 * constants.mean**2:
        raise ValueError(f"activation: got {constants}, expected a function that is not constant")
    return {
        "eigenvalues": [constants.linear**2],
        "target_power": signal[..., None],
        "n": samples,
        "width": features,
        "penalty": samples * ridge,
        "noise_variance": noise,
        "tail_eigenvalue": constants.nonlinear**2,
        "tail_power": rest,
    }
