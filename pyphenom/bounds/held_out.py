r"""Bounds for one hypothesis that was fixed before the points that it is scored on were seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from pyphenom.bounds import _checks
from pyphenom.bounds._checks import Values


def test_set(errors: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Values:
    r"""Upper bound on the true error from a held-out set, :math:`\sup\{p : \Pr[\mathrm{Bin}(n,p)\le k]\ge\delta\}`.

    Equal to the quantile :math:`\mathrm{Beta}^{-1}(1-\delta;\,k+1,\,n-k)` (Clopper and Pearson's), and 1 if all n
    points are wrong. Conditions: 0-1 loss, n iid points, the hypothesis fixed before they were looked at. With
    probability at least :math:`1-\delta` over the points.

    Parameters
    ----------
    errors : int or array of int
        Number k of errors, in [0, n].
    n : int or array of int
        Number of held-out points.
    delta : float or array
        Probability of failure, in (0, 1).

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For errors outside [0, n] or not whole, n < 1, delta outside (0, 1), or NaN.

    References
    ----------
    Clopper and Pearson 1934; Langford 2005, "Tutorial on practical prediction theory", Theorem 3.3.

    Examples
    --------
    >>> test_set(27, 898, 0.035)
    0.04239...
    """
    total, failure = _checks.count("n", n), _checks.confidence("delta", delta)
    k = _checks.errors("errors", errors, total)
    _checks.broadcast(errors=k, n=total, delta=failure)
    rest = np.maximum(total - k, 1.0)
    return _checks.unwrap(np.where(k == total, 1.0, special.betainccinv(k + 1, rest, failure)))


test_set.__test__ = False  # type: ignore[attr-defined]  # its name would make it a test wherever it is imported
