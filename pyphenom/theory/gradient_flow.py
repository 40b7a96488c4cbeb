r"""Gradient flow and gradient descent on linear regression, from zero: the risk as a function of training time.

The loss is :math:`\frac{1}{2n}|y - Xb|^2`, so :math:`b(t) = \hat\Sigma^+(I - e^{-t\hat\Sigma})X^\top y/n`, and time
:math:`t` is step size times number of steps. Risks are excess risks. Stopping at t is close to a ridge of 1/t: the
risk is at most 1.69 times as large (Ali, Kolter, Tibshirani 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks, ridge_regression
from ._checks import Array, Values
from .risk import Risk, describe

__all__ = ["EarlyStopping", "gradient_descent_risk", "isotropic_risk", "optimal_stopping", "risk"]

Complex = NDArray[np.complex128]


def isotropic_risk(
    aspect_ratio: ArrayLike, time: ArrayLike, signal_power: ArrayLike = 1.0, noise_variance: ArrayLike = 0.0
) -> Risk:
    r"""Risk for isotropic inputs after time t, with the Marchenko-Pastur law :math:`F_\gamma`.

    .. math:: B = r^2\Bigl[\int e^{-2ts}\,dF_\gamma(s) + (1 - \tfrac1\gamma)_+\Bigr], \qquad
              V = \sigma^2\gamma \int \frac{(1 - e^{-ts})^2}{s}\,dF_\gamma(s),

    the integrals over the continuous part of the law. With :math:`s = a + (b-a)\sin^2(\vartheta/2)` between its edges
    they are smooth, and panels that halve towards the lower edge resolve every time.

    Parameters
    ----------
    aspect_ratio : float or array
        :math:`\gamma = p/n`, parameters per sample.
    time : float or array
        t >= 0; ``inf`` is the minimum-norm solution.
    signal_power : float or array
        :math:`r^2 = |\beta|^2`, in units of the input variance.
    noise_variance : float or array
        :math:`\sigma^2`, not inside the risk.

    Returns
    -------
    Risk

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Ali, Kolter, Tibshirani 2019, Theorem 3 (with gradient flow from zero).

    Examples
    --------
    >>> isotropic_risk(0.5, [0.5, 3.0, np.inf], noise_variance=0.25).total.round(6)
    array([0.468905, 0.186691, 0.25    ])
    """
    gamma, t = _checks.positive("aspect_ratio", aspect_ratio), _checks.nonnegative("time", time, infinite=True)
    signal = _checks.nonnegative("signal_power", signal_power)
    noise = _checks.nonnegative("noise_variance", noise_variance)
    shape = _checks.broadcast(aspect_ratio=gamma, time=t, signal_power=signal, noise_variance=noise)
    limit = ridge_regression.isotropic_risk(gamma, 0.0, 1.0, 1.0)
    low, high = (1.0 - np.sqrt(gamma)) ** 2, (1.0 + np.sqrt(gamma)) ** 2
    angle, weight = _dyadic_nodes()
    width = (high - low)[..., None]
    s = low[..., None] + width * np.sin(angle / 2) ** 2
    density = weight * (width / 2 * np.sin(angle)) ** 2 / (2 * np.pi * gamma[..., None] * s)
    finite = np.where(np.isinf(t), 1.0, t)[..., None]
    left = (density * np.exp(-2 * finite * s)).sum(-1) + np.maximum(1.0 - 1.0 / gamma, 0.0)
    gain = gamma * (density * np.expm1(-finite * s) ** 2 / s).sum(-1)
    bias = np.where(np.isinf(t), limit.bias, left)
    gain = np.where(np.isinf(t), limit.variance, gain)
    return Risk(
        _checks.unwrap(signal * bias, shape),
        _checks.unwrap(_checks.times(gain, noise), shape),
        _checks.unwrap(0.0, shape),
    )


def risk(
    eigenvalues: ArrayLike,
    coefficients: ArrayLike,
    n: float,
    time: ArrayLike,
    noise_variance: ArrayLike = 0.0,
) -> Risk:
    r"""Risk for inputs of any covariance after time t, from the two-resolvent deterministic equivalent.

    With the effective ridge :math:`\kappa(w)` of `ridge_regression.effective_ridge` at complex ridges
    :math:`w_j`, :math:`\kappa_j = \kappa(w_j)`,

    .. math::
        B = \oint\!\oint \frac{dw_1 dw_2}{(2\pi i)^2}\, e^{(w_1+w_2)t}\, \frac{\kappa_1\kappa_2}{w_1w_2}\,
        \frac{\sum_i \beta_i^2 s_i/[(s_i+\kappa_1)(s_i+\kappa_2)]}
             {1 - \frac1n\sum_i s_i^2/[(s_i+\kappa_1)(s_i+\kappa_2)]}, \qquad
        V = \frac{\sigma^2}{n}[2G(t) - G(2t)],

    .. math:: G(t) = \oint \frac{dw}{2\pi i}\, e^{wt}\, \frac{\kappa}{w^2} \sum_i\frac{s_i}{s_i+\kappa} .

    The contour is the hyperbola of Weideman and Trefethen around the negative axis, with 37 nodes.

    Parameters
    ----------
    eigenvalues : array (p,)
        Eigenvalues :math:`s_i` of the covariance of the inputs; equal ones are cheap.
    coefficients : array (p,)
        Coordinates :math:`\beta_i` of the true coefficients in its eigenbasis: **not** squared.
    n : float
        Number of samples.
    time : float or array
        t >= 0; ``inf`` is the minimum-norm solution.
    noise_variance : float or array
        :math:`\sigma^2`, not inside the risk.

    Returns
    -------
    Risk
        Accurate to about 1e-9 of the signal and noise. Its residual is that of the equation for kappa.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Two-resolvent equivalents: Atanasov, Zavatone-Veth, Pehlevan 2024; Bach 2024. Weideman and Trefethen 2007 for the
    contour. Ali, Kolter, Tibshirani 2019 for the isotropic case.

    Examples
    --------
    Two scales learn one after the other, and the noise fitted by the first lies between: epoch-wise double descent.

    >>> s = np.repeat([1.0, 1e-3], 250)
    >>> beta = np.sqrt(np.repeat([1 / 250, 2.0], 250))
    >>> risk(s, beta, 1000, [1.0, 10.0, 1e3, 1e4], noise_variance=1.0).total.round(6)
    array([0.836604, 0.978527, 0.643456, 0.932376])
    """
    s = _checks.spectrum("eigenvalues", eigenvalues)
    beta = _checks.real("coefficients", coefficients)
    if beta.shape != s.shape:
        raise ValueError(f"coefficients: got shape {beta.shape}, expected {s.shape}, one per eigenvalue")
    samples = _checks.positive("n", n)
    if samples.ndim:
        raise ValueError(f"n: got shape {samples.shape}, expected one number; call once for each")
    t = _checks.nonnegative("time", time, infinite=True)
    noise = _checks.nonnegative("noise_variance", noise_variance)
    shape = _checks.broadcast(time=t, noise_variance=noise)
    limit = ridge_regression.risk(s, beta, samples, 0.0, 1.0)
    kept = s > 0
    levels, where, repeats = np.unique(s[kept], return_inverse=True, return_counts=True)
    counts = np.asarray(repeats, dtype=np.float64)
    power = np.asarray(np.bincount(where, s[kept] * beta[kept] ** 2, minlength=levels.size), dtype=np.float64)

    bias, gain = np.full(t.shape, float(power.sum())), np.zeros(t.shape)  # at t = 0
    residual = np.zeros(t.shape)
    bias[np.isinf(t)], gain[np.isinf(t)] = limit.bias, limit.variance
    for at in zip(*np.nonzero((t > 0) & np.isfinite(t)), strict=True) if t.ndim else [()] * bool(0 < t < np.inf):
        bias[at], gain[at], residual[at] = _contour_risk(levels, counts, power, float(samples), float(t[at]))
    return Risk(
        _checks.unwrap(bias, shape),
        _checks.unwrap(_checks.times(gain, noise), shape),
        _checks.unwrap(residual, shape),
    )


def gradient_descent_risk(
    scales: ArrayLike,
    target: ArrayLike,
    n: ArrayLike,
    step_size: ArrayLike,
    steps: ArrayLike,
    noise_variance: ArrayLike = 0.0,
) -> Risk:
    r"""Risk of gradient descent on many samples of few features with different scales, :math:`n \gg d`.

    .. math:: B = \sum_i \varsigma_i^2\theta_i^2 (1 - \eta_i\varsigma_i^2)^{2k}, \qquad
              V = \frac{\sigma^2}{n}\sum_i \bigl(1 - (1 - \eta_i\varsigma_i^2)^k\bigr)^2 .

    A sum of U-shaped curves, one a scale; two far apart make two descents, and step sizes
    :math:`\eta_i \propto \varsigma_i^{-2}` put them on top of each other.

    Parameters
    ----------
    scales : array (d,)
        Standard deviations :math:`\varsigma_i` of the features.
    target : array (d,)
        True coefficients :math:`\theta_i`.
    n : float or array
        Number of samples.
    step_size : float or array (d,)
        :math:`\eta`, or one for each feature.
    steps : float or array
        Number of steps k.
    noise_variance : float or array
        :math:`\sigma^2`, not inside the risk; the paper's risk is ``total + noise_variance``.

    Returns
    -------
    Risk
        ``inf`` where a step size above :math:`2/\varsigma_i^2` has diverged beyond float64.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Heckel and Yilmaz 2021, "Early stopping in deep networks: double descent and how to eliminate it", Theorem 1.

    Examples
    --------
    >>> scales, target = np.repeat([1.0, 0.15], 10), np.repeat([0.3, 1.0], 10)
    >>> gradient_descent_risk(scales, target, 2000, 0.05, [1, 50, 20000], noise_variance=4.0).total.round(6)
    array([1.036794, 0.223476, 0.04    ])
    """
    scale, theta = _checks.spectrum("scales", scales), _checks.real("target", target)
    if theta.shape != scale.shape:
        raise ValueError(f"target: got shape {theta.shape}, expected {scale.shape}, one per scale")
    samples, step = _checks.positive("n", n), _checks.positive("step_size", step_size)
    if step.shape not in ((), scale.shape):
        raise ValueError(f"step_size: got shape {step.shape}, expected one number or {scale.shape}, one per scale")
    count, noise = _checks.nonnegative("steps", steps), _checks.nonnegative("noise_variance", noise_variance)
    if (count != np.floor(count)).any():
        raise ValueError(f"steps: got {count[count != np.floor(count)][0]:g}, expected integers; round them")
    shape = _checks.broadcast(n=samples, steps=count, noise_variance=noise)
    rate = step * scale**2
    with np.errstate(over="ignore", divide="ignore"):
        left = np.power(1.0 - rate, count[..., None])
        # 1 - (1 - x)^k of a small x, without the difference
        small = rate < 0.5
        learned = np.where(small, -np.expm1(count[..., None] * np.log1p(-np.where(small, rate, 0.0))), 1.0 - left)
        bias, gain = ((scale * theta * left) ** 2).sum(-1), (learned**2).sum(-1) / samples
    return Risk(
        _checks.unwrap(bias, shape), _checks.unwrap(_checks.times(gain, noise), shape), _checks.unwrap(0.0, shape)
    )


@dataclass(frozen=True, eq=False, repr=False)
class EarlyStopping:
    """When to stop, and the risk there.

    Attributes
    ----------
    time : float
        Time of least risk; ``inf`` where stopping never helps, 0 where training never does.
    risk : Risk
        At that time.
    """

    time: float
    risk: Risk

    def to_dict(self) -> dict[str, Values]:
        """Return the time and the parts of the risk by name."""
        return {"time": self.time} | self.risk.to_dict()

    def __repr__(self) -> str:
        return describe("EarlyStopping", self.to_dict())


def optimal_stopping(risk_at: Callable[[Array], Risk], shortest: float = 1e-3, longest: float = 1e6) -> EarlyStopping:
    r"""Time of least risk, :math:`t^* = \arg\min_t R(t)`, the global one where there are several minima.

    Parameters
    ----------
    risk_at : callable
        The risk at an array of times, for example ``lambda t: isotropic_risk(2.0, t, 1.0, 0.25)``.
    shortest, longest : float
        Range of times that is searched, on a grid in log t that is refined around its minimum; choose them so that
        ``shortest`` times the largest eigenvalue is small and ``longest`` times the smallest is large.

    Returns
    -------
    EarlyStopping
        The time to about seven digits; the limit t = inf or t = 0 where it is best.

    Raises
    ------
    ValueError
        Unless 0 < shortest < longest < inf.

    References
    ----------
    Ali, Kolter, Tibshirani 2019, Theorem 5: optimally tuned, its risk is within a factor 1.22 of ridge regression.

    Examples
    --------
    >>> best = optimal_stopping(lambda t: isotropic_risk(2.0, t, noise_variance=0.25))
    >>> ridge = ridge_regression.optimal_isotropic_risk(2.0, noise_variance=0.25)
    >>> bool(ridge.total < best.risk.total < 1.22 * ridge.total)
    True
    """
    if not 0 < shortest < longest < np.inf:
        raise ValueError(f"shortest, longest: got {shortest:g}, {longest:g}; expected 0 < shortest < longest < inf")
    log_time = np.linspace(np.log(shortest), np.log(longest), 400)
    step = log_time[1] - log_time[0]
    totals = np.asarray(risk_at(np.exp(log_time)).total)
    best, value = float(log_time[np.argmin(totals)]), float(totals.min())
    while step > 1e-8:
        log_time = best + step * np.linspace(-1.0, 1.0, 21)
        totals = np.asarray(risk_at(np.exp(log_time)).total)
        best, step = float(log_time[np.argmin(totals)]), step / 8
        value = min(value, float(totals.min()))
    limit = risk_at(np.asarray(np.inf))
    if not value < float(np.asarray(limit.total)) * (1 - 1e-12):
        return EarlyStopping(float("inf"), limit)
    start = risk_at(np.asarray(0.0))
    if not value < float(np.asarray(start.total)):
        return EarlyStopping(0.0, start)
    time = float(np.exp(best))
    return EarlyStopping(time, risk_at(np.asarray(time)))


def _dyadic_nodes() -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on [0, pi], in panels that halve towards 0."""
    x, w = np.polynomial.legendre.leggauss(16)
    edges = np.pi * 2.0 ** -np.arange(48.0)
    low, high = np.append(edges[1:], 0.0), edges
    nodes = (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * x
    return nodes.ravel(), ((high - low)[:, None] / 2 * w).ravel()


def _contour_risk(levels: Array, counts: Array, power: Array, n: float, t: float) -> tuple[float, ...]:
    """Bias per signal as given by `power`, variance per noise, and the residual of kappa, at one time."""
    w, weight = _hyperbola(t)
    kappa, residual = _effective_ridge(levels, counts, n, w)
    learned = levels / (levels + kappa[:, None])
    overlap = (learned * (counts / n)) @ learned.T
    missed = (kappa / w)[:, None] * weight[:, None] / (levels + kappa[:, None])
    bias = ((missed * power) @ missed.T / (1.0 - overlap)).sum().real
    degrees = kappa / w**2 * (learned @ counts)
    w2, weight2 = _hyperbola(2 * t)
    kappa2, residual2 = _effective_ridge(levels, counts, n, w2)
    degrees2 = kappa2 / w2**2 * ((levels / (levels + kappa2[:, None])) @ counts)
    gain = (2 * (weight * degrees).sum() - (weight2 * degrees2).sum()).real / n
    return float(bias), float(gain), max(residual, residual2)


def _hyperbola(t: float) -> tuple[Complex, Complex]:
    """Nodes w and weights of the inverse Laplace transform at time t, e^(wt) included."""
    half = 18
    h, mu, alpha = 1.081792140 / half, 4.492075287 * half / t, 1.172104229
    u = (np.arange(-half, half + 1) + 0.5) * h
    w = mu * (1.0 + np.sin(1j * u - alpha))
    return w, h / (2j * np.pi) * np.exp(w * t) * (1j * mu * np.cos(1j * u - alpha))


def _effective_ridge(levels: Array, counts: Array, n: float, w: Complex) -> tuple[Complex, float]:
    """Solve kappa = w + kappa/n sum s/(s+kappa) by Newton's method, continued from large |w|, where kappa = w."""
    share = counts / n
    start = max(1.0, 1e4 * float(levels.max()) * (1.0 + float(share.sum())) / float(np.abs(w).min()))
    kappa = w * start + (share * levels).sum()

    def newton(ridge: Complex, kappa: Complex, steps: int) -> tuple[Complex, Complex]:
        for _ in range(steps):
            inverse = 1.0 / (levels + kappa[:, None])
            value = kappa - ridge - kappa * (inverse @ (share * levels))
            slope = 1.0 - (levels * inverse) ** 2 @ share
            kappa = kappa - value / slope
        return kappa, value

    for factor in np.geomspace(start, 1.0, 60):
        kappa, _ = newton(w * factor, kappa, 3)
    kappa, value = newton(w, kappa, 4)
    return kappa, float(np.max(np.abs(value) / np.abs(w)))
