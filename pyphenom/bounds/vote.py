r"""Bounds on the error of the majority vote, from statistics of the voters.

A bound on the Gibbs risk does not cover the vote; these do. With W(x) the posterior's weight of the voters that are
wrong at x, the vote errs only where W >= 1/2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from pyphenom.bounds import _checks
from pyphenom.bounds._checks import Array, Values
from pyphenom.bounds.kl import kl_inverse
from pyphenom.bounds.moments import log_xi
from pyphenom.bounds.pac_bayes import either, given, maurer


def vote_first_order(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Values:
    r"""Twice the Gibbs bound, :math:`\Pr[W\ge\frac12]\le2EW=2R` with R bounded by `maurer`.

    Parameters
    ----------
    risk, kl, n, delta
        As in `maurer`; any number of classes.

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
    Langford and Shawe-Taylor 2002.

    Examples
    --------
    >>> vote_first_order(0.02, 50, 60000, 0.05)
    0.05366...
    """
    return either("upper", 2 * np.asarray(maurer(risk, kl, n, delta)))


def vote_tandem(tandem_risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Values:
    r"""Second-order bound, :math:`\Pr[W\ge\frac12]\le4EW^2=4e`, by the tandem risk e.

    .. math:: \mathrm{kl}(\hat e\Vert e)\le\frac{2\,\mathrm{KL}+\ln(\xi(n)/\delta)}n

    The tandem risk e is the probability that two voters drawn from Q are both wrong, and
    :math:`\mathrm{KL}(Q\otimes Q\Vert P\otimes P)=2\,\mathrm{KL}`.

    Parameters
    ----------
    tandem_risk : float or array
        Mean over the points of the squared weight of wrong voters, :math:`\hat e`; any number of classes.
    kl, n, delta
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
    Masegosa, Lorenzen, Igel, Seldin 2020.

    Examples
    --------
    >>> vote_tandem(0.005, 5, 60000, 0.05)
    0.02789...
    """
    _checks.risk("tandem_risk", tandem_risk)
    _checks.divergence("kl", kl)
    return either("upper", 4 * np.asarray(maurer(tandem_risk, 2 * np.asarray(kl), n, delta)))


def vote_disagreement(
    risk: ArrayLike, disagreement: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike
) -> Values:
    r"""Binary second-order bound, :math:`4R-2D`, from the disagreement :math:`D=2E[W(1-W)]` of two voters.

    `vote_tandem` with :math:`e=R-D/2`, which two classes allow. R from above with KL, D from below with 2 KL, each with
    :math:`\delta/2`.

    Parameters
    ----------
    risk : float or array
        Gibbs risk on the n points, in [0, 1].
    disagreement : float or array
        Rate at which two voters drawn from Q differ on the n points, in [0, 1/2].
    kl, n, delta
        As in `maurer`.

    Returns
    -------
    float or array
        1 where the bound is vacuous.

    Raises
    ------
    ValueError, TypeError
        As in `maurer`, and for a disagreement above 1/2, which two classes exclude.

    References
    ----------
    Masegosa, Lorenzen, Igel, Seldin 2020.

    Examples
    --------
    >>> vote_disagreement(0.1, 0.15, 5, 60000, 0.05)
    0.1446...
    """
    upper, lower = _binary(risk, disagreement, kl, n, delta)
    return either("upper", 4 * upper - 2 * lower)


def c_bound(risk: ArrayLike, disagreement: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Values:
    r"""Binary C-bound, :math:`1-\frac{(1-2R)^2}{1-2D}` where :math:`R<\frac12`.

    Cantelli's inequality for the margin :math:`1-2W`, of mean :math:`1-2R` and second moment :math:`1-2D`. R from above
    and D from below as in `vote_disagreement`.

    Parameters
    ----------
    risk, disagreement, kl, n, delta
        As in `vote_disagreement`.

    Returns
    -------
    float or array
        1 where the bound is vacuous.

    Raises
    ------
    ValueError, TypeError
        As in `vote_disagreement`.

    References
    ----------
    Lacasse et al. 2006; Germain, Lacasse, Laviolette, Marchand, Roy 2015.

    Examples
    --------
    >>> c_bound(0.1, 0.15, 5, 60000, 0.05)
    0.1381...
    """
    upper, lower = _binary(risk, disagreement, kl, n, delta)
    value = 1 - (1 - 2 * np.minimum(upper, 0.5)) ** 2 / (1 - 2 * np.minimum(lower, 0.499))
    return either("upper", np.where(upper < 0.5, value, 1.0))


def _binary(
    risk: ArrayLike, disagreement: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike
) -> tuple[Array, Array]:
    """Return the Gibbs risk from above and the disagreement from below, together with probability 1 - delta."""
    _, divergence, size, failure = given(risk, kl, n, delta)
    d = _checks.risk("disagreement", disagreement)
    _checks.demand("disagreement", d, d <= 0.5, "a rate in [0, 1/2]. More than two classes: use vote_tandem")
    upper = np.asarray(maurer(risk, divergence, size, failure / 2))
    budget = (2 * divergence + np.asarray(log_xi(size)) + math.log(2) - np.log(failure)) / size
    return upper, np.asarray(kl_inverse(d, budget * (1 + 1e-15), "lower"))
