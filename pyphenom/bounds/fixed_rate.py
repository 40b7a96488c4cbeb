r"""PAC-Bayes bounds with a rate that is fixed before the points are seen, or chosen afterwards and paid for."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyphenom.bounds import _checks
from pyphenom.bounds._checks import Array, Values
from pyphenom.bounds.pac_bayes import either, given


def catoni(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, strength: ArrayLike) -> Values:
    r"""Catoni's bound, :math:`R\le\dfrac{1-\exp(-C\hat r-(\mathrm{KL}+\ln\frac1\delta)/n)}{1-e^{-C}}`.

    Condition: C fixed **before the points are seen**. Minimised over C afterwards it is `maurer` without its
    :math:`\ln\xi(n)`, which is not a theorem; pay for a choice with `catoni_grid` or `catoni_union`. It follows from
    :math:`E\,e^{-C\ell}\le1-(1-e^{-C})E\ell` for a loss in [0, 1], whence
    :math:`E_SE_P\,e^{-nC\hat r}(1-(1-e^{-C})R)^{-n}\le1`.

    Parameters
    ----------
    risk, kl, n, delta
        As in `maurer`.
    strength : float or array
        C > 0.

    Returns
    -------
    float or array
        1 where the bound is vacuous.

    Raises
    ------
    ValueError, TypeError
        As in `maurer`, and for a strength that is not > 0.

    References
    ----------
    Catoni 2007, Theorem 1.2.1.

    Examples
    --------
    >>> catoni(0.02, 50, 60000, 0.05, strength=0.3)
    0.02646...
    """
    q, divergence, size, failure = given(risk, kl, n, delta)
    c = _checks.positive("strength", strength)
    _checks.broadcast(risk=q, kl=divergence, n=size, delta=failure, strength=c)
    return either("upper", catoni_value(q, (divergence - np.log(failure)) / size, c))


def catoni_grid(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, grid: ArrayLike) -> Values:
    r"""Best of `catoni` over a finite grid fixed in advance, each strength with :math:`\delta/|G|`.

    Parameters
    ----------
    risk, kl, n, delta
        As in `maurer`.
    grid : array (size,)
        Strengths, all > 0, chosen before the points are seen.

    Returns
    -------
    float or array
        1 where the bound is vacuous.

    Raises
    ------
    ValueError, TypeError
        As in `catoni`, and for a grid that is not a non-empty vector.

    Examples
    --------
    >>> catoni_grid(0.02, 50, 60000, 0.05, grid=[0.1, 0.3, 1.0])
    0.02653...
    """
    q, divergence, size, failure = given(risk, kl, n, delta)
    strengths = _checks.positive("grid", grid)
    if strengths.ndim != 1 or strengths.size == 0:
        raise ValueError(f"`grid` has shape {strengths.shape}; expected a vector with at least one strength")
    e = (divergence + math.log(strengths.size) - np.log(failure)) / size
    return either("upper", _least(catoni_value(q, e, c) for c in strengths))


def catoni_union(
    risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, ratio: float = 1.1, largest: float = 20.0
) -> Values:
    r"""Best of `catoni` over the strengths :math:`\alpha^k/n`, k = 0, 1, ..., paid with :math:`1/((k+1)(k+2))`.

    .. math:: R\le\min_k\;\Phi^{-1}_{\alpha^k/n}
              \Big(\hat r+\frac{\mathrm{KL}+\ln\frac{(k+1)(k+2)}\delta}{\alpha^k}\Big),
              \qquad \Phi_a^{-1}(q)=\frac{1-e^{-aq}}{1-e^{-a}}.

    The weights sum to one, so this is a union of `catoni`. It implies the form for all :math:`\gamma>1` at once, with
    :math:`\frac\alpha\gamma[\mathrm{KL}+\ln\frac1\delta+2\ln\frac{\ln(\alpha^2\gamma)}{\ln\alpha}]`: take the largest
    :math:`\alpha^k\le\gamma`, use that :math:`\Phi^{-1}_a` grows with a, and that
    :math:`(k+1)(k+2)\le(2+\log_\alpha\gamma)^2`.

    Parameters
    ----------
    risk, kl, n, delta
        As in `maurer`.
    ratio : float
        :math:`\alpha>1`, fixed in advance. A fine grid costs more.
    largest : float
        Strength at which the search ends; the tail's weight is given away.

    Returns
    -------
    float or array
        1 where the bound is vacuous.

    Raises
    ------
    ValueError, TypeError
        As in `maurer`, and for a ratio that is not > 1.

    References
    ----------
    Catoni 2007; Lotfi et al. 2022.

    Examples
    --------
    >>> catoni_union(0.02, 50, 60000, 0.05)
    0.02705...
    """
    q, divergence, size, failure = given(risk, kl, n, delta)
    alpha, most = float(_checks.positive("ratio", ratio)), float(_checks.positive("largest", largest))
    if not alpha > 1:
        raise ValueError(f"`ratio` is {alpha:g}; expected a number > 1, such as 1.1")
    steps = math.ceil(math.log(max(2.0, most * float(size.max()))) / math.log(alpha))
    complexity = divergence - np.log(failure)

    def values() -> Iterator[Array]:
        for k in range(steps + 1):
            yield catoni_value(q, (complexity + math.log((k + 1) * (k + 2))) / size, alpha**k / size)

    return either("upper", _least(values()))


def unexpected_bernstein(
    risk: ArrayLike,
    second_moment: ArrayLike,
    kl: ArrayLike,
    n: ArrayLike,
    delta: ArrayLike,
    rates: ArrayLike = (0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125),
) -> Values:
    r"""Bound by the second moment of the loss, :math:`R\le\hat r+c_\eta V+\frac{\mathrm{KL}+\ln(K/\delta)}{\eta n}`.

    :math:`c_\eta=-1-\ln(1-\eta)/\eta`, best of K rates η fixed in advance. As :math:`(\ln(1-u)+u)/u^2` falls with u,
    :math:`\ln(1-\eta x)\ge-\eta x-\eta c_\eta x^2` for x in [0, 1]; hence
    :math:`E\,e^{-\eta X-\eta c_\eta X^2}\le1-\eta EX\le e^{-\eta EX}`, whose n-th power is the moment that the bound
    needs.

    Parameters
    ----------
    risk, kl, n, delta
        As in `maurer`.
    second_moment : float or array
        V, the posterior's average squared loss on the n points; the risk itself for the 0-1 loss.
    rates : array (K,)
        In (0, 1).

    Returns
    -------
    float or array
        1 where the bound is vacuous.

    Raises
    ------
    ValueError, TypeError
        As in `maurer`; for a second moment that no loss in [0, 1] with this risk can have; for a rate outside (0, 1).

    References
    ----------
    Mhammedi, Grünwald, Guedj 2019 (without the comparator).

    Examples
    --------
    >>> unexpected_bernstein(0.1, 0.02, 50, 60000, 0.05)
    0.10667...
    """
    q, divergence, size, failure = given(risk, kl, n, delta)
    v, eta = _checks.risk("second_moment", second_moment), _checks.confidence("rates", rates)
    _checks.broadcast(risk=q, second_moment=v, kl=divergence, n=size, delta=failure)
    if not np.all((v <= q * (1 + 1e-9)) & (v >= q * q * (1 - 1e-9))):
        raise ValueError(
            "`second_moment` lies outside [risk^2, risk]; expected the mean squared loss, for a loss in [0, 1]"
        )
    if eta.ndim != 1 or eta.size == 0:
        raise ValueError(f"`rates` has shape {eta.shape}; expected a vector with at least one rate")
    complexity = (divergence + math.log(eta.size) - np.log(failure)) / size
    return either("upper", _least(q + (-1 - math.log1p(-x) / x) * v + complexity / x for x in map(float, eta)))


def catoni_value(q: Array, e: Array, c: Any) -> Array:
    """Return Catoni's bound for a complexity of e nats a point."""
    result: Array = np.expm1(-(c * q + e)) / np.expm1(-c)
    return result


def _least(values: Iterable[Array]) -> Array:
    """Return the elementwise minimum, without holding all."""
    return functools.reduce(np.minimum, values)
