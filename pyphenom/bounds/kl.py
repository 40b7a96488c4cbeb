r"""The binary relative entropy and its inverse, on which most bounds of this package rest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyphenom import _core
from pyphenom._arrays import one_of
from pyphenom.bounds import _checks
from pyphenom.bounds._checks import Array, Values
from pyphenom.random_features.features import threads


def binary_kl(q: ArrayLike, p: ArrayLike) -> Values:
    r"""Relative entropy of two coins, :math:`\mathrm{kl}(q\Vert p) = q\ln\frac qp + (1-q)\ln\frac{1-q}{1-p}`, in nats.

    Not symmetric: q is the empirical rate, p the true one. Evaluated to 2 ulp, also where q and p nearly agree.

    Parameters
    ----------
    q, p : float or array
        Rates in [0, 1], broadcast together.

    Returns
    -------
    float or array
        ``inf`` where p excludes what q contains.

    Raises
    ------
    ValueError, TypeError
        For a rate outside [0, 1], or NaN.

    Examples
    --------
    >>> binary_kl(0.1, 0.2)
    0.03669...
    >>> binary_kl([0.0, 0.5], [0.5, 1.0])
    array([0.69314718,        inf])
    """
    first, second = np.broadcast_arrays(*_same(q=_checks.risk("q", q), p=_checks.risk("p", p)))
    out = np.empty(first.shape)
    _core.kl_divergence(_flat(first), _flat(second), out.reshape(-1), threads())
    return _checks.unwrap(out)


def kl_inverse(risk: ArrayLike, budget: ArrayLike, side: str = "upper") -> Values:
    r"""Return the largest rate that a budget allows, :math:`\max\{p : \mathrm{kl}(q\Vert p)\le c\}`.

    The result is never below the true inverse, and at most 2 ulp above it (the last step is made in double-double
    arithmetic and rounded outwards). The lower side is the smallest such rate, never above the true one.

    Parameters
    ----------
    risk : float or array
        Empirical rate q in [0, 1].
    budget : float or array
        c in nats, from 0 to ``inf``; broadcast with `risk`.
    side : {"upper", "lower"}

    Returns
    -------
    float or array
        In [risk, 1] or, on the lower side, [0, risk]; a lower inverse under 1e-290 is given as 0.

    Raises
    ------
    ValueError, TypeError
        For a rate outside [0, 1], a negative budget, NaN, or an unknown side.

    References
    ----------
    Langford and Seeger 2001; the gradient is that of Reeb et al. 2018.

    Examples
    --------
    >>> kl_inverse(0.02, 0.005)
    0.0373222033645525
    >>> kl_inverse(0.0, [0.0, 0.1, float("inf")])
    array([0.        , 0.09516258, 1.        ])
    """
    word = one_of("side", side, ("upper", "lower"))
    q, c = _arguments(risk, budget)
    out = np.empty(q.shape)
    _core.kl_inverse(_flat(q), _flat(c), out.reshape(-1), word, threads())
    return _checks.unwrap(out)


@dataclass(frozen=True)
class InverseGradient:
    """The inverse of the relative entropy with its derivatives.

    Attributes
    ----------
    value : float or array
        As `kl_inverse`.
    by_risk, by_budget : float or array
        Partial derivatives.
    """

    value: Values
    by_risk: Values
    by_budget: Values

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary."""
        return asdict(self)


def kl_inverse_gradient(risk: ArrayLike, budget: ArrayLike, side: str = "upper") -> InverseGradient:
    r"""`kl_inverse` and its derivatives by the risk q and the budget c.

    With :math:`D = \frac{1-q}{1-p}-\frac qp` at the inverse p,

    .. math:: \frac{\partial p}{\partial c} = \frac1D, \qquad
              \frac{\partial p}{\partial q} = \frac1D\Big[\ln\frac{1-q}{1-p}-\ln\frac qp\Big].

    Parameters
    ----------
    risk, budget, side
        As in `kl_inverse`.

    Returns
    -------
    InverseGradient
        The slope by the risk is ``inf`` at risk = 0 (lower side: 1), the slope by the budget at budget = 0; who
        descends along them clips the risk away from there.

    Raises
    ------
    ValueError, TypeError
        As in `kl_inverse`.

    References
    ----------
    Reeb, Doerr, Gerwinn, Rakitsch 2018.

    Examples
    --------
    >>> kl_inverse_gradient(0.1, 0.1)
    InverseGradient(value=0.2823791394556454, by_risk=1.405021454331..., by_budget=1.111098350725...)
    """
    word = one_of("side", side, ("upper", "lower"))
    q, c = _arguments(risk, budget)
    value, by_risk, by_budget = np.empty(q.shape), np.empty(q.shape), np.empty(q.shape)
    _core.kl_inverse_gradient(
        _flat(q), _flat(c), value.reshape(-1), by_risk.reshape(-1), by_budget.reshape(-1), word, threads()
    )
    return InverseGradient(_checks.unwrap(value), _checks.unwrap(by_risk), _checks.unwrap(by_budget))


def _arguments(risk: ArrayLike, budget: ArrayLike) -> tuple[Array, Array]:
    q, c = _checks.risk("risk", risk), _checks.real("budget", budget)
    _checks.demand("budget", c, c >= 0, "a number >= 0, in nats. Check its sign")
    q, c = np.broadcast_arrays(*_same(risk=q, budget=c))
    return q, c


def _same(**arguments: Array) -> tuple[Array, ...]:
    _checks.broadcast(**arguments)
    return tuple(arguments.values())


def _flat(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1)
