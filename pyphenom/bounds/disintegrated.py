r"""Bounds for one hypothesis drawn from the posterior, with probability over the points and that draw together.

They hold for **one** draw h ~ Q. Who draws again and keeps the best pays delta / number of draws. T priors, of which
one is chosen after the points were seen, multiply the moment by T.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from pyphenom.bounds import _checks
from pyphenom.bounds._checks import Array, Values
from pyphenom.bounds.fixed_rate import catoni_value
from pyphenom.bounds.kl import kl_inverse
from pyphenom.bounds.moments import log_xi
from pyphenom.bounds.pac_bayes import either


def gaussian_log_ratio(mean: ArrayLike, noise: ArrayLike, prior_mean: ArrayLike, scale: ArrayLike) -> float:
    r"""Log density ratio :math:`\ln\frac{dQ}{dP}(h)` at :math:`h=\mu+\varepsilon` of Gaussians of one scale s.

    .. math:: \ln\frac{dQ}{dP}(\mu+\varepsilon)
              =\frac{\lVert\mu+\varepsilon-\mu_0\rVert^2-\lVert\varepsilon\rVert^2}{2s^2}
              =\sum_i\frac{(\mu_i-\mu_{0,i})(\mu_i-\mu_{0,i}+2\varepsilon_i)}{2s_i^2}

    Parameters
    ----------
    mean, prior_mean : array
        Means of posterior and prior.
    noise : array
        :math:`\varepsilon`, the draw less the posterior's mean.
    scale : float or array
        Standard deviation that both share.

    Returns
    -------
    float
        In nats; it may be negative.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not broadcast, a scale that is not > 0, or NaN.

    Examples
    --------
    >>> gaussian_log_ratio([1.0, 0.0], [0.5, 0.5], 0.0, 1.0)
    1.0
    """
    m, e, m0 = _checks.real("mean", mean), _checks.real("noise", noise), _checks.real("prior_mean", prior_mean)
    s = _checks.positive("scale", scale)
    shape = _checks.broadcast(mean=m, noise=e, prior_mean=m0, scale=s)
    gap = (m - m0) / s
    return 0.5 * float(np.sum(np.broadcast_to(gap * (gap + 2 * e / s), shape)))


def rivasplata(risk: ArrayLike, log_ratio: ArrayLike, n: ArrayLike, delta: ArrayLike, priors: ArrayLike = 1) -> Values:
    r"""Disintegrated kl bound, by the log density ratio of the draw.

    .. math:: \mathrm{kl}(\hat r(h)\Vert R(h))\le\frac1n\Big[\ln\frac{dQ}{dP}(h)+\ln\frac{T\xi(n)}\delta\Big]

    Markov's inequality for :math:`E_SE_{h\sim Q}\,e^{n\,\mathrm{kl}-\ln dQ/dP}=E_SE_P\,e^{n\,\mathrm{kl}}\le\xi(n)`.
    Where the right-hand side is negative the budget is taken as 0, which is larger.

    Parameters
    ----------
    risk : float or array
        Empirical risk of the draw h, in [0, 1].
    log_ratio : float or array
        :math:`\ln\frac{dQ}{dP}(h)` in nats.
    n : int or array of int
        Number of points.
    delta : float or array
        In (0, 1), over the points and the draw.
    priors : int or array of int
        T, the number of priors of which one was chosen with the points in sight.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For arguments outside their ranges, or NaN.

    References
    ----------
    Rivasplata, Kuzborskij, Szepesvári, Shawe-Taylor 2020; Viallard, Germain, Habrard, Morvant 2024.

    Examples
    --------
    >>> rivasplata(0.02, 50.0, 30000, 0.05)
    0.03001...
    """
    q, ratio, size, failure, cost = _given(risk, "log_ratio", log_ratio, n, delta, priors)
    return _inverse(q, ratio + np.asarray(log_xi(size)) + cost - np.log(failure), size)


def viallard(risk: ArrayLike, renyi: ArrayLike, n: ArrayLike, delta: ArrayLike, priors: ArrayLike = 1) -> Values:
    r"""Disintegrated kl bound, by the Rényi divergence of order 2.

    .. math:: \mathrm{kl}(\hat r(h)\Vert R(h))\le\frac1n\Big[D_2(Q\Vert P)+\ln\frac{8T\xi(n)}{\delta^3}\Big]

    Its complexity does not depend on the draw. With :math:`\phi=e^{n\,\mathrm{kl}/2}`: by Markov over h,
    :math:`\phi(h)\le\frac2\delta E_Q\phi`; by Cauchy and Schwarz :math:`(E_Q\phi)^2\le e^{D_2}E_P\phi^2`; by Markov
    over the points :math:`E_P\phi^2\le\frac2\delta\xi(n)`. Only the last step involves the prior, so T enters once.

    Parameters
    ----------
    risk, n, delta, priors
        As in `rivasplata`.
    renyi : float or array
        :math:`D_2(Q\Vert P)` in nats; :math:`\lVert\mu-\mu_0\rVert^2/s^2` for Gaussians of one scale s.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For arguments outside their ranges, or NaN.

    References
    ----------
    Viallard, Germain, Habrard, Morvant 2024.

    Examples
    --------
    >>> viallard(0.02, 100.0, 30000, 0.05)
    0.03490...
    """
    _checks.divergence("renyi", renyi)
    q, divergence, size, failure, cost = _given(risk, "renyi", renyi, n, delta, priors)
    return _inverse(q, divergence + math.log(8) + np.asarray(log_xi(size)) + cost - 3 * np.log(failure), size)


def disintegrated_catoni(
    risk: ArrayLike, log_ratio: ArrayLike, n: ArrayLike, delta: ArrayLike, strength: ArrayLike
) -> Values:
    r"""Return Catoni's bound for one draw: `catoni` with :math:`\ln\frac{dQ}{dP}(h)` for the relative entropy.

    Markov's inequality for the moment in `catoni`, as in `rivasplata`.

    Parameters
    ----------
    risk, log_ratio, n, delta
        As in `rivasplata`.
    strength : float or array
        C > 0, fixed before the points are seen.

    Returns
    -------
    float or array
        1 where the bound is vacuous.

    Raises
    ------
    ValueError, TypeError
        For arguments outside their ranges, or NaN.

    References
    ----------
    Catoni 2007, Theorem 1.2.7.

    Examples
    --------
    >>> disintegrated_catoni(0.02, 50.0, 30000, 0.05, strength=0.5)
    0.02972...
    """
    q, ratio, size, failure, _ = _given(risk, "log_ratio", log_ratio, n, delta, 1)
    c = _checks.positive("strength", strength)
    _checks.broadcast(risk=q, log_ratio=ratio, n=size, delta=failure, strength=c)
    # A negative complexity is taken as 0.
    return either("upper", catoni_value(q, np.maximum(ratio - np.log(failure), 0.0) / size, c))


def blanchard_fleuret(
    risk: ArrayLike, log_ratio: ArrayLike, n: ArrayLike, delta: ArrayLike, power: ArrayLike = 1.0
) -> Values:
    r"""Occam's hammer, :math:`\mathrm{kl}\le\frac1n\big[\ln\frac{b+1}\delta+(1+\frac1b)\ln_+\frac{dQ}{dP}(h)\big]`.

    No :math:`\xi(n)`, since Chernoff's bound for each h suffices: its p-value
    :math:`\pi(h)=e^{-n\,\mathrm{kl}(\hat r\Vert R)}` satisfies :math:`\Pr[\pi\le t]\le t`. With
    :math:`\beta(x)=x^{1+1/b}/(b+1)` for :math:`x\le1`, constant beyond, and :math:`\theta=dQ/dP`, the bound fails where
    :math:`\pi\le\delta\beta(1/\theta)`, so with probability at most
    :math:`E_P\,\theta\,1[\pi\le\delta\beta(1/\theta)]\le\int_0^{\delta\beta(1)}\frac{dt}{\beta^{-1}(t/\delta)}
    =\delta\int_0^1\frac{d\beta(x)}x=\delta`.

    Parameters
    ----------
    risk, log_ratio, n, delta
        As in `rivasplata`.
    power : float or array
        b > 0, fixed before the points are seen.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For arguments outside their ranges, or NaN.

    References
    ----------
    Blanchard and Fleuret 2007, "Occam's hammer".

    Examples
    --------
    >>> blanchard_fleuret(0.02, 50.0, 30000, 0.05, power=10.0)
    0.03020...
    """
    q, ratio, size, failure, _ = _given(risk, "log_ratio", log_ratio, n, delta, 1)
    b = _checks.positive("power", power)
    _checks.broadcast(risk=q, log_ratio=ratio, n=size, delta=failure, power=b)
    return _inverse(q, np.log(b + 1) - np.log(failure) + (1 + 1 / b) * np.maximum(ratio, 0.0), size)


def _given(
    risk: ArrayLike, name: str, value: ArrayLike, n: ArrayLike, delta: ArrayLike, priors: ArrayLike
) -> tuple[Array, Array, Array, Array, Array]:
    q, x, size = _checks.risk("risk", risk), _checks.real(name, value), _checks.count("n", n)
    _checks.demand(name, x, np.isfinite(x), "a finite number, in nats")
    failure, many = _checks.confidence("delta", delta), _checks.whole("priors", priors, 1, "how many priors there were")
    _checks.broadcast(risk=q, **{name: x}, n=size, delta=failure, priors=many)
    return q, x, size, failure, np.log(many)


def _inverse(q: Array, nats: Array, size: Array) -> Values:
    return kl_inverse(q, np.maximum(nats, 0.0) / size * (1 + 1e-15))
