r"""PAC-Bayes bounds on the Gibbs risk: the error of a network that draws its weights anew for every prediction.

Throughout: a loss in [0, 1]; `n` iid points; `risk` the posterior's average loss on them; `kl` the relative entropy
KL(Q || P) in nats; a prior P fixed before the points were seen; `delta` the probability over the points that the bound
fails. Unless a function says otherwise its bound holds for all posteriors Q at once, so Q may be trained on the points.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from pyphenom._arrays import one_of
from pyphenom.bounds import _checks
from pyphenom.bounds._checks import Array, Values
from pyphenom.bounds.kl import kl_inverse
from pyphenom.bounds.moments import log_xi
from pyphenom.bounds.selection import index_cost


def maurer(
    risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, side: str = "upper", moment: str = "exact"
) -> Values:
    r"""PAC-Bayes-kl bound, :math:`R\le\mathrm{kl}^{-1}\big(\hat r,\,[\mathrm{KL}+\ln(\xi(n)/\delta)]/n\big)`.

    The default certificate. One event gives both sides: :math:`\mathrm{kl}(\hat r\Vert R)` itself is bounded.

    Parameters
    ----------
    risk : float or array
        Gibbs risk on the n points, in [0, 1].
    kl : float or array
        KL(Q || P) in nats.
    n : int or array of int
        Number of distinct points that the risk was measured on.
    delta : float or array
        Probability of failure, in (0, 1).
    side : {"upper", "lower"}
        Which bound on the true risk.
    moment : {"exact", "root"}
        :math:`\xi(n)` of `log_xi`, or the looser :math:`2\sqrt n`.

    Returns
    -------
    float or array
        Rounded outwards.

    Raises
    ------
    ValueError, TypeError
        For a risk outside [0, 1], a negative kl, n < 1, delta outside (0, 1), NaN, or an unknown word.

    References
    ----------
    Langford and Seeger 2001; Maurer 2004, Theorem 5.

    Examples
    --------
    >>> maurer(0.02, 50, 60000, 0.05)
    0.02683...
    """
    q, budget = budget_of(risk, kl, n, delta, moment)
    return kl_inverse(q, budget, side)


def mcallester(
    risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, side: str = "upper", moment: str = "exact"
) -> Values:
    r"""McAllester's bound, :math:`|R-\hat r|\le\sqrt{B/(2n)}` with :math:`B=\mathrm{KL}+\ln(\xi(n)/\delta)`.

    `maurer` loosened by Pinsker's inequality :math:`\mathrm{kl}(q\Vert p)\ge2(p-q)^2`, so never below it. The published
    form has :math:`2\sqrt n` for :math:`\xi(n)`.

    Parameters
    ----------
    risk, kl, n, delta, side, moment
        As in `maurer`.

    Returns
    -------
    float or array
        1 where the bound is vacuous (lower side: 0).

    Raises
    ------
    ValueError, TypeError
        As in `maurer`.

    References
    ----------
    McAllester 1999 and 2003; with this constant Maurer 2004.

    Examples
    --------
    >>> mcallester(0.02, 50, 60000, 0.05, moment="root")
    0.04220...
    """
    q, e = budget_of(risk, kl, n, delta, moment)
    width = np.sqrt(e / 2)
    return either(side, q + width, q - width)


def thiemann(
    risk: ArrayLike,
    kl: ArrayLike,
    n: ArrayLike,
    delta: ArrayLike,
    trade_off: ArrayLike | None = None,
    side: str = "upper",
    moment: str = "exact",
) -> Values:
    r"""Thiemann's bound, :math:`R\le\frac{\hat r}{1-\lambda/2}+\frac{B}{n\lambda(1-\lambda/2)}`, for all λ in (0, 2).

    It holds for all λ at once, so the minimising :math:`\lambda^*=2/(\sqrt{2n\hat r/B+1}+1)` needs no union; the value
    there is that of `quadratic`. Lower side, for all :math:`\gamma>0`: :math:`R\ge(1-\gamma/2)\hat r-B/(\gamma n)`.

    Parameters
    ----------
    risk, kl, n, delta, side, moment
        As in `maurer`.
    trade_off : float or array, optional
        λ in (0, 2), or γ > 0 on the lower side; the best by default.

    Returns
    -------
    float or array
        1 where the bound is vacuous (lower side: 0).

    Raises
    ------
    ValueError, TypeError
        As in `maurer`, and for a trade-off outside its range.

    References
    ----------
    Thiemann, Igel, Wintenberger, Seldin 2017; Masegosa et al. 2020 for the lower side.

    Examples
    --------
    >>> thiemann(0.02, 50, 60000, 0.05, moment="root")
    0.02734...
    """
    q, e = budget_of(risk, kl, n, delta, moment)
    if trade_off is not None:
        t = _checks.positive("trade_off", trade_off)
        _checks.broadcast(risk=q, budget=e, trade_off=t)
        if side == "upper":
            _checks.demand("trade_off", t, t < 2, "a number in (0, 2)")
            return either(side, q / (1 - t / 2) + e / (t * (1 - t / 2)), q)
        return either(side, q, (1 - t / 2) * q - e / t)
    best = 2 / (np.sqrt(2 * q / e + 1) + 1)
    # At the best trade-off of the lower side, sqrt(2 e / q), the bound is q - sqrt(2 e q).
    return either(side, q / (1 - best / 2) + e / (best * (1 - best / 2)), q - np.sqrt(2 * e * q))


def quadratic(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, moment: str = "exact") -> Values:
    r"""Quadratic bound, :math:`R\le\big(\sqrt{\hat r+B/2n}+\sqrt{B/2n}\big)^2`.

    The largest p with :math:`(p-\hat r)^2\le2pB/n`. It follows from `maurer` since for p > q

    .. math:: \mathrm{kl}(q\Vert p)=\int_q^p\frac{t-q}{t(1-t)}\,dt\ge\frac{(p-q)^2}{2p},

    so it is never below it; it equals `thiemann` at the best λ.

    Parameters
    ----------
    risk, kl, n, delta, moment
        As in `maurer`.

    Returns
    -------
    float or array
        1 where the bound is vacuous.

    Raises
    ------
    ValueError, TypeError
        As in `maurer`.

    References
    ----------
    Rivasplata, Tankasali, Szepesvári 2019; Pérez-Ortiz et al. 2021.

    Examples
    --------
    >>> quadratic(0.02, 50, 60000, 0.05, moment="root")
    0.02734...
    """
    q, e = budget_of(risk, kl, n, delta, moment)
    return either("upper", (np.sqrt(q + e / 2) + np.sqrt(e / 2)) ** 2)


def refined_pinsker(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, moment: str = "exact") -> Values:
    r"""Bound by the refined Pinsker inequality, :math:`R\le\hat r+\sqrt{2\hat rB/n}+2B/n`.

    `quadratic`, which is :math:`\hat r+\tfrac Bn+\sqrt{2\hat rB/n+(B/n)^2}`, loosened by
    :math:`\sqrt{a+b}\le\sqrt a+\sqrt b`; so never below it.

    Parameters
    ----------
    risk, kl, n, delta, moment
        As in `maurer`.

    Returns
    -------
    float or array
        1 where the bound is vacuous.

    Raises
    ------
    ValueError, TypeError
        As in `maurer`.

    References
    ----------
    McAllester 2003, "Simplified PAC-Bayesian margin bounds"; the inequality is derived in `quadratic`.

    Examples
    --------
    >>> refined_pinsker(0.02, 50, 60000, 0.05, moment="root")
    0.02825...
    """
    q, e = budget_of(risk, kl, n, delta, moment)
    return either("upper", q + np.sqrt(2 * q * e) + 2 * e)


def dziugaite_roy(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, prior_index: ArrayLike = 1) -> Values:
    r"""Bound with a prior variance from a geometric grid, :math:`R\le\mathrm{kl}^{-1}(\hat r,\mathcal B)`.

    .. math:: \mathcal B=\frac{\mathrm{KL}+2\ln j+\ln\frac{\pi^2n}{6\delta}}{n-1}, \qquad \lambda=c\,e^{-j/b},

    where j is the grid index of the prior :math:`N(w_0,\lambda I)`, paid with weight :math:`6/(\pi^2j^2)`. The
    published form, for comparison: `maurer` with ``kl + index_cost(j)`` is the same theorem with better constants,
    since :math:`\xi(n)\le n` from n = 3 on.

    Parameters
    ----------
    risk, kl, delta
        As in `maurer`.
    n : int or array of int
        At least 2.
    prior_index : int or array of int
        j >= 1. The grid (c, b, :math:`w_0`) is fixed before the points are seen; j may be chosen afterwards.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        As in `maurer`, and for an index < 1 or not whole.

    References
    ----------
    Dziugaite and Roy 2017; the theorem is Langford and Caruana's.

    Examples
    --------
    >>> dziugaite_roy(0.028, 5144, 55000, 0.025, prior_index=300)
    0.16096...
    """
    q, divergence, size, failure = given(risk, kl, n, delta)
    _checks.count("n", size, low=2)
    cost = np.asarray(index_cost(prior_index))
    _checks.broadcast(risk=q, kl=divergence, n=size, delta=failure, prior_index=cost)
    return kl_inverse(q, (divergence + cost + np.log(size / failure)) / (size - 1) * (1 + 1e-15))


def given(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> tuple[Array, Array, Array, Array]:
    """Return the four arguments that every PAC-Bayes bound has, checked."""
    q, divergence = _checks.risk("risk", risk), _checks.divergence("kl", kl)
    size, failure = _checks.count("n", n), _checks.confidence("delta", delta)
    _checks.broadcast(risk=q, kl=divergence, n=size, delta=failure)
    return q, divergence, size, failure


def budget_of(
    risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, moment: str = "exact"
) -> tuple[Array, Array]:
    """Return the risk and (KL + ln(xi(n)/delta)) / n, with 2 sqrt(n) for xi(n) if asked for, rounded up."""
    q, divergence, size, failure = given(risk, kl, n, delta)
    word = one_of("moment", moment, ("exact", "root"))
    log_moment = np.asarray(log_xi(size)) if word == "exact" else math.log(2) + 0.5 * np.log(size)
    return q, (divergence + log_moment - np.log(failure)) / size * (1 + 1e-15)


def either(side: str, upper: Array, lower: Array | float = 0.0) -> Values:
    """Return the side asked for, within [0, 1]."""
    word = one_of("side", side, ("upper", "lower"))
    return _checks.unwrap(np.minimum(upper, 1.0) if word == "upper" else np.maximum(lower, 0.0))
