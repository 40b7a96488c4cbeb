r"""Bounds on a posterior's empirical risk from draws of its weights: what not knowing it exactly costs.

Each holds with probability at least 1 - delta over the draws, given the points and the posterior, and enters a bound
that increases with the risk; the two failure probabilities add.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from pyphenom.bounds import _checks
from pyphenom.bounds._checks import Array, Values
from pyphenom.bounds.kl import kl_inverse
from pyphenom.bounds.pac_bayes import either


def independent_draws(mean_loss: ArrayLike, draws: ArrayLike, delta: ArrayLike) -> Values:
    r"""Bound for weights drawn afresh for each example, :math:`\hat r\le\mathrm{kl}^{-1}(\bar Z,\ln(1/\delta)/N)`.

    For example i and repetition j = 1..m a draw :math:`W_{ij}\sim Q` gives the loss :math:`Z_{ij}` in [0, 1]; all
    N = nm draws are independent, with means :math:`p_i` that average to the empirical risk :math:`\hat r`. As
    :math:`\ln(1-p+pe^s)` is concave in p,

    .. math:: E\,e^{s\sum Z_{ij}}\le\prod_i(1-p_i+p_ie^s)^m\le(1-\hat r+\hat re^s)^N,

    Chernoff's bound for N identical coins holds.

    It does **not** hold if one draw of the weights serves several examples (count such draws with `shared_draws`), if
    layers use a weight more than once per example but sample their outputs independently, if examples are coupled by
    batch statistics or shared noise, if repetitions differ between examples, or if the number of draws depends on what
    they showed.

    Parameters
    ----------
    mean_loss : float or array
        :math:`\bar Z`, in [0, 1].
    draws : int or array of int
        N, examples times repetitions.
    delta : float or array
        In (0, 1), over the draws.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For arguments outside their ranges, or NaN.

    References
    ----------
    Hoeffding 1963, Theorem 1, for unequal means.

    Examples
    --------
    >>> independent_draws(0.02, 3 * 60000, 0.01)
    0.02101...
    """
    z, many, failure = _checks.risk("mean_loss", mean_loss), _draws(draws), _checks.confidence("delta", delta)
    _checks.broadcast(mean_loss=z, draws=many, delta=failure)
    return kl_inverse(z, -np.log(failure) / many * (1 + 1e-15))


def shared_draws(rates: ArrayLike, delta: float) -> float:
    r"""Bound for weights that each serve all examples, from the m error rates: betting against a larger mean.

    For a candidate mean :math:`\mu` the capital :math:`K_t(\mu)=\prod_{s\le t}(1-\lambda_s(X_s-\mu))`, with stakes
    :math:`\lambda_s\in[0,1]` that depend on :math:`X_1..X_{s-1}` only, is a nonnegative martingale where :math:`\mu` is
    the true mean, so :math:`\Pr[\max_tK_t\ge1/\delta]\le\delta` (Ville). K grows with :math:`\mu`: the bound is the
    :math:`\mu` where the largest capital reaches :math:`1/\delta`. It adapts to the spread of the rates; a spread of
    zero leaves about :math:`\ln\frac1\delta/m`.

    Parameters
    ----------
    rates : array (m,)
        Error rate of each independent draw over all n examples, in [0, 1], in the order of the draws.
    delta : float
        In (0, 1), over the draws.

    Returns
    -------
    float
        Rounded up.

    Raises
    ------
    ValueError, TypeError
        For rates outside [0, 1], not a vector, empty, or NaN; for delta outside (0, 1).

    References
    ----------
    Waudby-Smith and Ramdas 2024; Ville 1939.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shared_draws(0.02 + 0.003 * rng.standard_normal(10_000), 0.01) - 0.02
    0.00049...
    """
    x, failure = _rates(rates), float(_checks.confidence("delta", delta))
    before = np.arange(1, x.size + 1)  # one imagined rate of 1/2 starts the running mean and variance
    mean = (0.5 + np.concatenate(([0.0], np.cumsum(x)[:-1]))) / before
    deviations = np.concatenate(([0.25], (x - mean)[:-1] ** 2))
    variance = np.cumsum(deviations) / before
    stakes = np.minimum(np.sqrt(2 * -math.log(failure) / (variance * x.size + 1e-300)), 1.0)

    def capital(mu: float) -> float:
        with np.errstate(divide="ignore"):
            return float(np.max(np.cumsum(np.log1p(-stakes * (x - mu)))))

    target, low, high = -math.log(failure), float(x.min()), 1.0
    if capital(high) < target:
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if capital(middle) >= target * (1 + 1e-12) else (middle, high)
    return high


def empirical_bernstein(rates: ArrayLike, delta: float) -> float:
    r"""Bound for weights that each serve all examples, by the sample variance of their error rates.

    .. math:: \hat r\le\bar e+\sqrt{\frac{2v\ln(2/\delta)}m}+\frac{7\ln(2/\delta)}{3(m-1)}

    v is the sample variance (with m - 1). Simpler than `shared_draws`, and wider by a factor of about five where the
    spread is small.

    Parameters
    ----------
    rates, delta
        As in `shared_draws`, with m >= 2.

    Returns
    -------
    float
        1 where the bound is vacuous.

    Raises
    ------
    ValueError, TypeError
        As in `shared_draws`, and for fewer than two rates.

    References
    ----------
    Maurer and Pontil 2009, Theorem 4.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> empirical_bernstein(0.02 + 0.003 * rng.standard_normal(10_000), 0.01) - 0.02
    0.0013...
    """
    x, failure = _rates(rates), float(_checks.confidence("delta", delta))
    if x.size < 2:
        raise ValueError("`rates` has one entry; expected at least two draws, for their variance")
    nats = math.log(2 / failure)
    width = math.sqrt(2 * float(x.var(ddof=1)) * nats / x.size) + 7 * nats / (3 * (x.size - 1))
    return float(either("upper", np.asarray(float(x.mean()) + width)))


def exact_binary_risk(margin: ArrayLike, scale: ArrayLike) -> Values:
    r"""Error probability of a Gaussian score, :math:`\Pr[s<0]=\Phi(-\text{margin}/\text{scale})`.

    A linear classifier :math:`w\sim N(\mu,\Sigma)` with label y = ±1 has margin :math:`y\,\mu^\top x` and scale
    :math:`\sqrt{x^\top\Sigma x}`. Exact, so a certificate that uses the mean over the points needs no delta for draws.

    Parameters
    ----------
    margin : float or array
        Mean of the score times the label.
    scale : float or array
        Its standard deviation, > 0.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For a scale that is not > 0, or NaN.

    References
    ----------
    Langford and Shawe-Taylor 2002.

    Examples
    --------
    >>> exact_binary_risk(1.0, 1.0)
    0.15865...
    """
    m, s = _checks.real("margin", margin), _checks.positive("scale", scale, "a finite standard deviation > 0")
    _checks.broadcast(margin=m, scale=s)
    return _checks.unwrap(special.ndtr(-m / s))


def exact_risk(means: ArrayLike, scales: ArrayLike, labels: ArrayLike) -> Array:
    r"""Error probabilities of independent Gaussian logits, from above, by a quadrature of proved error.

    .. math:: \Pr[\text{correct}]=\int\varphi(z)\,F(z)\,dz,
              \qquad F(z)=\prod_{k\ne y}\Phi\Big(\frac{m_y-m_k+s_yz}{s_k}\Big)

    by the trapezoidal rule with step h. The integrand is entire, and on the line :math:`\mathrm{Im}\,z=a`
    :math:`|\Phi(u+ib)|\le1+|b|e^{b^2/2}/\sqrt{2\pi}`; so the rule's error is at most :math:`2M/(e^{2\pi a/h}-1)` with
    :math:`M=e^{a^2/2}\prod_k(1+b_ke^{b_k^2/2}/\sqrt{2\pi})`, :math:`b_k=s_ya/s_k`. The step is chosen such that this is
    below 1e-12; twice that is added, for the roundings too. Leaving out the tails beyond ±8 only raises the result.

    Parameters
    ----------
    means, scales : array (n, classes)
        Of the logits; the scales are standard deviations > 0. The logits of one example are independent: a diagonal
        posterior on the last layer, on features that are fixed outside the n points or covered by the prior.
    labels : array of int (n,)

    Returns
    -------
    array (n,)
        Error probability of each example, at most 1e-11 above the true one. Their mean is the Gibbs risk.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not match, scales not > 0, labels that are no classes, or NaN.

    References
    ----------
    Trefethen and Weideman 2014, Theorem 5.1, for the rule's error.

    Examples
    --------
    >>> exact_risk([[0.3, -0.2, 0.8, 0.0]], [[0.5, 0.9, 0.7, 0.4]], [0])
    array([0.79919079])
    """
    m, s = _checks.real("means", means), _checks.positive("scales", scales, "a finite standard deviation > 0")
    if m.ndim != 2 or m.shape != s.shape or m.shape[1] < 2:
        raise ValueError(f"`means` has shape {m.shape}, `scales` {s.shape}; expected (n, classes) for both")
    _checks.demand("means", m, np.isfinite(m), "a finite number. Look for logits that diverged")
    y = _checks.whole("labels", labels, 0, "a class").astype(np.intp)
    if y.shape != m.shape[:1] or not np.all(y < m.shape[1]):
        raise ValueError(
            f"`labels` has shape {y.shape} and maximum {y.max()}; expected ({m.shape[0]},), below {m.shape[1]}"
        )
    rows = np.arange(len(y))
    own_mean, own_scale = m[rows, y][:, None], s[rows, y][:, None]
    others = np.arange(m.shape[1])[None, :] != y[:, None]
    shift = ((own_mean - m) / s)[others].reshape(len(y), -1)
    slope = (own_scale / s)[others].reshape(len(y), -1)
    step = _step(slope)
    correct = np.empty(len(y))
    for i in range(len(y)):
        z = np.arange(math.ceil(-8 / step[i]), math.floor(8 / step[i]) + 1) * step[i]
        inside = np.exp(-z * z / 2 + special.log_ndtr(shift[i, :, None] + slope[i, :, None] * z).sum(axis=0))
        correct[i] = inside.sum() * step[i] / math.sqrt(2 * math.pi)
    return np.clip(1 - correct + 2e-12, 0.0, 1.0)


def _step(slope: Array) -> Array:
    """Return for each row the step with which the trapezoidal rule errs by at most 1e-12."""
    half = np.minimum(1.0, 1 / slope.max(axis=1))
    b = slope * half[:, None]
    log_m = half**2 / 2 + np.log1p(b * np.exp(b * b / 2) / math.sqrt(2 * math.pi)).sum(axis=1)
    step: Array = 2 * math.pi * half / (log_m + math.log(4e12))
    return step


def _draws(value: ArrayLike) -> Array:
    return _checks.whole("draws", value, 1, "the number of independent draws")


def _rates(value: ArrayLike) -> Array:
    x = _checks.risk("rates", value)
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"`rates` has shape {x.shape}; expected a vector with one error rate for each draw")
    return x
