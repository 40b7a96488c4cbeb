"""The active-set method of the l2 margin on the rows themselves, for data whose Gram matrix has lost too many digits.

The kernel works with K = XX', whose condition number is the square of that of X. Here the support keeps a QR
factorisation of its rows instead, at a cost of O(dk) an exchange for k rows of d entries.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from pyphenom._arrays import Float

DEPENDENT = 1e-13
"""Part of a row outside the span of the support, relative to its length, below which it counts as dependent."""


def solve_precisely(rows: Float, dual: Float, tol: float, most: int) -> tuple[Float, Float, str]:
    """Return (w, lambda, how it ended), going on from the support of `dual`.

    One row goes in or out at a time, as in the kernel: see csrc/implicit_bias/hard_margin.hpp.
    """
    lengths = np.linalg.norm(rows, axis=1)
    support, Q, R = _start(rows, np.flatnonzero(dual)[np.argsort(-dual[dual > 0])])
    for _ in range(most):
        half = _solve(R, np.ones(len(support)), "T")
        w, alpha = Q @ half, _solve(R, half, "N")
        margins = rows @ w
        rounding = 4 * np.finfo(float).eps * np.linalg.norm(w) * lengths
        violation = np.where(1 - margins > np.maximum(tol, rounding), (1 - margins) / lengths, 0.0)
        violation[support] = 0.0
        p = int(np.argmax(violation))
        if not violation[p] > 0:
            return w, _spread(len(rows), support, np.maximum(0.0, alpha)), "solved"
        missing = 1 - margins[p]
        while True:
            inside = Q.T @ rows[p]
            outside = rows[p] - Q @ inside
            again = Q.T @ outside
            inside, outside = inside + again, outside - Q @ again
            left = float(np.linalg.norm(outside))
            r = _solve(R, inside, "N")
            full = missing / left**2 if left > DEPENDENT * lengths[p] else np.inf
            blocks = r > 1e-12 * max(1.0, np.abs(r).max(initial=0.0))
            steps = np.divide(alpha, r, out=np.full(len(r), np.inf), where=blocks)
            step = min(full, steps.min(initial=np.inf))
            if not np.isfinite(step):  # x_p is minus a positive combination of the support
                witness = _spread(len(rows), support, np.maximum(0.0, -r))
                witness[p] = 1.0
                return np.zeros(rows.shape[1]), witness, "inseparable"
            if step == full:
                Q = np.column_stack([Q, outside / left])
                R = np.block([[R, inside[:, None]], [np.zeros((1, len(r))), np.array([[left]])]])
                support = np.append(support, p)
                break
            alpha = np.maximum(0.0, alpha - step * r)
            missing -= step * left**2 if np.isfinite(full) else 0.0
            out = int(np.argmin(steps))
            support, alpha = np.delete(support, out), np.delete(alpha, out)
            Q, R = _without(rows, support, Q, R, out)
    return w, _spread(len(rows), support, np.maximum(0.0, alpha)), "undecided"


def _start(rows: Float, candidates: Float) -> tuple[Float, Float, Float]:
    """Return a support with positive multipliers, and its factors: the independent candidates, then fewer and fewer."""
    support = candidates
    if len(support):
        _, R, order = scipy.linalg.qr(rows[support].T, mode="economic", pivoting=True)
        size = np.abs(np.diag(R))
        support = support[order[: len(size)][size > DEPENDENT * size[0]]]
    while len(support):
        Q, R = scipy.linalg.qr(rows[support].T, mode="economic")
        alpha = _solve(R, _solve(R, np.ones(len(support)), "T"), "N")
        if (alpha > 0).all():
            return support, Q, R
        support = support[alpha > 0]
    return support.astype(int), np.empty((rows.shape[1], 0)), np.empty((0, 0))


def _without(rows: Float, support: Float, Q: Float, R: Float, out: int) -> tuple[Float, Float]:
    """Return the factors after row `out` of the old support has left."""
    if 1 < len(R) < len(Q):
        return scipy.linalg.qr_delete(Q, R, out, which="col")
    if len(support) == 0:
        return np.empty((len(Q), 0)), np.empty((0, 0))
    return scipy.linalg.qr(rows[support].T, mode="economic")


def _solve(R: Float, b: Float, trans: Any) -> Float:
    return np.asarray(scipy.linalg.solve_triangular(R, b, trans=trans)) if len(b) else b


def _spread(n: int, support: Float, values: Float) -> Float:
    out = np.zeros(n)
    out[support] = values
    return out
