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
    word = one_of("moment", moment, ("exact", "root"))
    q, budget = _budget(risk, kl, n, delta, word)
    return kl_inverse(q, budget, side)


def _budget(
    risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, moment: str = "exact"
) -> tuple[Array, Array]:
    """Return the risk and (KL + ln(xi(n)/delta)) / n, with 2 sqrt(n) for xi(n) if asked for, rounded up."""
    q, divergence = _checks.risk("risk", risk), _checks.divergence("kl", kl)
    size, failure = _checks.count("n", n), _checks.confidence("delta", delta)
    _checks.broadcast(risk=q, kl=divergence, n=size, delta=failure)
    log_moment = np.asarray(log_xi(size)) if moment == "exact" else math.log(2) + 0.5 * np.log(size)
    return q, (divergence + log_moment - np.log(failure)) / size * (1 + 1e-15)
