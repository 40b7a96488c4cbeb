r"""Linear regression that sees only part of what the target depends on.

Conventions of `ridge_regression`: aspect ratio :math:`\gamma = p/n`, ridge scaled by n, excess risk without the label
noise, in the limit of large n and p.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _checks, _modes
from ._checks import Values
from .ridge_regression import isotropic_risk
from .risk import Risk

__all__ = ["latent_space_risk", "misspecified_risk", "visible_share"]


def visible_share(aspect_ratio: ArrayLike, exponent: ArrayLike) -> Values:
    r"""Share of the signal on the first p features under polynomial decay, :math:`q = 1 - (1+\gamma)^{-a}`.

    Parameters
    ----------
    aspect_ratio : float or array
        :math:`\gamma = p/n`.
    exponent : float or array
        a > 0; large where few features carry the signal.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For parameters that are not positive.

    References
    ----------
    Hastie, Montanari, Rosset, Tibshirani 2022, Section 5.3.

    Examples
    --------
    >>> visible_share([1.0, 3.0], 1.0)
    array([0.5 , 0.75])
    """
    gamma, a = _checks.positive("aspect_ratio", aspect_ratio), _checks.positive("exponent", exponent)
    shape = _checks.broadcast(aspect_ratio=gamma, exponent=a)
    return _checks.unwrap(-np.expm1(-a * np.log1p(gamma)), shape)


def misspecified_risk(
    aspect_ratio: ArrayLike,
    visible_share: ArrayLike,
    ridge: ArrayLike = 0.0,
    signal_power: ArrayLike = 1.0,
    noise_variance: ArrayLike = 0.0,
) -> Risk:
    r"""Risk for isotropic inputs where a share :math:`1-q` of the signal sits on features that are not used.

    They are independent of those used, so their part of the target is label noise that stays in the error:

    .. math:: R = r^2(1-q) + r^2q\,B(\gamma, \lambda) + \bigl(\sigma^2 + r^2(1-q)\bigr) V(\gamma, \lambda)

    with B and V of `isotropic_risk` per unit of signal and of noise.

    Parameters
    ----------
    aspect_ratio : float or array
        :math:`\gamma = p/n` of the features used.
    visible_share : float or array
        q in [0, 1], the share of the signal on them; see `visible_share` for a law.
    ridge : float or array
        :math:`\lambda`, scaled by n.
    signal_power : float or array
        :math:`r^2` of the whole target.
    noise_variance : float or array
        :math:`\sigma^2`, not inside the risk.

    Returns
    -------
    Risk
        The bias is everything not proportional to the noise variance, so what the hidden features do is in it.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Hastie, Montanari, Rosset, Tibshirani 2022, Section 5.

    Examples
    --------
    >>> misspecified_risk([0.5, 2.0], 0.6, noise_variance=0.25).total.round(12)
    array([1.05, 1.35])
    """
    q = _checks.nonnegative("visible_share", visible_share)
    if (q > 1).any():
        raise ValueError(f"visible_share: got {q.max():g}, expected a share in [0, 1]; divide by the whole signal")
    signal = _checks.nonnegative("signal_power", signal_power)
    noise = _checks.nonnegative("noise_variance", noise_variance)
    unit = isotropic_risk(aspect_ratio, ridge, 1.0, 1.0)
    seen, gain = np.asarray(unit.bias), np.asarray(unit.variance)
    shape = _checks.broadcast(aspect_ratio_and_ridge=seen, visible_share=q, signal_power=signal, noise_variance=noise)
    hidden = signal * (1.0 - q)
    bias = hidden + signal * q * seen + _checks.times(gain, hidden)
    return Risk(
        _checks.unwrap(bias, shape), _checks.unwrap(_checks.times(gain, noise), shape), _checks.unwrap(0.0, shape)
    )


def latent_space_risk(
    aspect_ratio: ArrayLike,
    latent_ratio: ArrayLike,
    feature_signal: ArrayLike,
    ridge: ArrayLike = 0.0,
    signal_power: ArrayLike = 1.0,
    noise_variance: ArrayLike = 0.0,
) -> Risk:
    r"""Risk where both target and inputs are noisy functions of d latent variables, :math:`d \le p`.

    .. math:: y = \theta^\top z + \xi, \qquad x = Wz + u \in \mathbb R^p, \qquad W^\top W = \tfrac{p\mu}{d} I_d,
              \qquad z \sim N(0, I_d),\ u \sim N(0, I_p) .

    The covariance of x has the eigenvalue :math:`e = 1+\mu/\psi` d times and 1 else, the best linear predictor lies
    in the d directions, and what x does not tell about z, :math:`r_\theta^2/e`, is label noise. More features see
    the latent variables better, so the least risk can lie at :math:`p > n` without any ridge.

    Parameters
    ----------
    aspect_ratio : float or array
        :math:`\gamma = p/n`.
    latent_ratio : float or array
        :math:`\psi = d/p` in (0, 1].
    feature_signal : float or array
        :math:`\mu`, the signal of a feature relative to its own noise u.
    ridge : float or array
        :math:`\lambda`, scaled by n.
    signal_power : float or array
        :math:`r_\theta^2 = |\theta|^2`.
    noise_variance : float or array
        :math:`\sigma_\xi^2`, not inside the risk.

    Returns
    -------
    Risk
        Excess over the best linear predictor. The bias is everything not proportional to the noise variance.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Hastie, Montanari, Rosset, Tibshirani 2022, Section 5.4.

    Examples
    --------
    >>> round(latent_space_risk(2.0, 0.25, 1.0, noise_variance=0.1).total, 8)
    0.45732141
    """
    gamma = _checks.positive("aspect_ratio", aspect_ratio)
    psi = _checks.positive("latent_ratio", latent_ratio)
    if (psi > 1).any():
        raise ValueError(f"latent_ratio: got {psi.max():g}, expected d/p in (0, 1]; the latent variables are fewer")
    mu = _checks.nonnegative("feature_signal", feature_signal)
    ridge = _checks.nonnegative("ridge", ridge, infinite=True)
    signal = _checks.nonnegative("signal_power", signal_power)
    noise = _checks.nonnegative("noise_variance", noise_variance)
    given = {"aspect_ratio": gamma, "latent_ratio": psi, "feature_signal": mu, "ridge": ridge}
    grid = _checks.broadcast(**given)
    shape = _checks.broadcast(**given, signal_power=signal, noise_variance=noise)
    gamma, psi, mu, ridge = (np.broadcast_to(array, grid) for array in given.values())

    # In units of the eigenvalue e, all counts per latent variable: one mode of size 1, and (1-psi)/psi of size 1/e.
    e = 1.0 + mu / psi
    rest = (1.0 - psi) / psi
    modes = _modes.Modes(np.ones(1), rest / e, rest)
    n = 1.0 / (gamma * psi)
    unlimited = np.full(grid, np.inf)
    point = _modes.solve(modes, n, unlimited, n * (ridge / e), unlimited)
    gap = point.sample_gap + point.spread
    with np.errstate(divide="ignore", invalid="ignore"):
        missed = n * point.missed[..., 0] ** 2
        lost = np.where(missed > 0, missed / gap, 0.0)
        gain = np.where(point.squares > 0, point.squares / gap, 0.0)
    bias = signal * (mu / psi / e) * lost + _checks.times(gain, signal / e)
    return Risk(
        _checks.unwrap(bias, shape),
        _checks.unwrap(_checks.times(gain, noise), shape),
        _checks.unwrap(point.residual, shape),
    )
