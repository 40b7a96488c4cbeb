"""The hard-margin classifier for the l2, l1 and l-infinity norm, with a certificate of its margin."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import scipy.linalg
import scipy.optimize

from pyphenom import _core
from pyphenom._arrays import Float, as_float, as_real, one_of
from pyphenom.curvature.lanczos import Status
from pyphenom.implicit_bias._active_set import solve_precisely

NORMS = {"l2": 2.0, "l1": 1.0, "linf": np.inf}
DUAL_NORMS = {"l2": 2.0, "l1": np.inf, "linf": 1.0}
GRAM_LIMIT = 4000
"""Examples up to which the Gram matrix is formed at once; beyond, a working set of them grows to hold the support."""
KERNEL_TOLERANCE = 1e-10
"""Violation of a margin, relative to the margin, at which the l2 solver stops."""
NO_MARGIN = 1e-9
"""Bound, relative to the largest row, up to which data without a margin found count as not separable."""


@dataclass(frozen=True, eq=False)
class HardMargin:
    r"""The classifier :math:`w` of largest margin, and the proof.

    Attributes
    ----------
    weights : array (d,)
        :math:`\hat w` of unit norm; zero where the data are not separable.
    margin : float
        :math:`\min_iy_i\langle\hat w,x_i\rangle`, attained; 0 where the data are not separable.
    dual : array (n,)
        :math:`\lambda\ge0` of sum 1. No margin exceeds the dual norm of :math:`\sum_i\lambda_iy_ix_i`
        (l2 for l2, l-infinity for l1, l1 for l-infinity). Where the data are not separable that sum is zero up to
        rounding: the witness of Farkas.
    bound : float
        That dual norm.
    gap : float
        (bound - margin) / bound, of an exact solution zero; 1 where the data are not separable.
    support : array of int
        The examples with :math:`\lambda_i>0`.
    separable : bool
        Whether a w of positive margin on every example was found. Where it is False, a margin up to `bound`, at most
        1e-9 of the largest row unless the status says undecided, may have been missed.
    norm : {"l2", "l1", "linf"}
        Of the weights.
    status : Status
        Whether the margin is known to the tolerance, and what to do if not.
    """

    weights: Float
    margin: float
    dual: Float
    bound: float
    gap: float
    support: Float
    separable: bool
    norm: str
    status: Status

    @property
    def multipliers(self) -> Float:
        r"""Multipliers :math:`\alpha=\lambda/\gamma^2` of the problem min \|w\|^2/2 at margins of at least one.

        For l2 its solution is :math:`\hat w/\gamma=\sum_i\alpha_iy_ix_i`, and :math:`\sum_i\alpha_i=1/\gamma^2`. All
        infinite where there is no margin.
        """
        with np.errstate(over="ignore"):  # by the margin twice: its square may be beyond the floats
            return self.dual / self.margin / self.margin if self.separable else np.full_like(self.dual, np.inf)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        if not self.separable:
            what = self.status.message.split(":")[0]  # not separable, or undecided
            return f"HardMargin({self.norm}; {what}: no margin above {self.bound:.1e})"
        note = "" if self.status.converged else "; not converged (see .status)"
        return (
            f"HardMargin({self.norm}, margin {self.margin:.6g}, {len(self.support)} supports, gap {self.gap:.1e}{note})"
        )


def hard_margin(X: Any, y: Any, norm: str = "l2", *, tol: float = 1e-8) -> HardMargin:
    r"""Find the hard-margin classifier :math:`\max_{\|w\|\le1}\min_iy_i\langle w,x_i\rangle`, without intercept.

    For l2 it is where gradient descent on separable data goes, for l-infinity where Adam goes, for l1 where descent by
    single coordinates goes.

    Parameters
    ----------
    X : array or CPU tensor (n, d)
    y : array (n,)
        Two classes, such as -1 and 1, or 0 and 1; the larger is the positive one. Labels that are all equal make a
        problem like any other: positive where they are > 0.
    norm : {"l2", "l1", "linf"}
        Of w.
    tol : float
        Relative duality gap below which the status says converged.

    Returns
    -------
    HardMargin
        On data that no w separates, ``separable`` is False, the weights and the margin are zero, and ``dual`` is the
        witness.

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work.

    Notes
    -----
    l2 is solved in the dual, on the Gram matrix, by coordinate descent and then an active set with exact solves; where
    that leaves a gap, the active set goes on with a QR factorisation of its rows, slower and with twice the digits. l1
    and l-infinity by linear programming (HiGHS, which Ctrl-C does not stop). The certificate is computed from X, w and
    :math:`\lambda` alone: margin and bound enclose the largest margin up to rounding, whatever the solver did.

    References
    ----------
    Goldfarb and Idnani, "A numerically stable dual method for solving strictly convex quadratic programs", 1983.

    Examples
    --------
    >>> X = np.array([[2.0, 0.4], [0.3, 1.0], [3.0, 3.0]])
    >>> solution = hard_margin(X, [1, 1, 1])
    >>> round(solution.margin, 6), solution.support.tolist()
    (1.042836, [0, 1])
    >>> hard_margin(X, [1, 1, 1], norm="linf").margin
    1.3
    >>> hard_margin([[1.0], [2.0]], [1, -1])
    HardMargin(l2; not separable: no margin above 0.0e+00)
    """
    x, tol = as_float("X", X, (2,)), as_real("tol", tol)
    one_of("norm", norm, tuple(NORMS))
    signs, note = _signs(y, len(x))
    scale = float(np.abs(x).max())
    # Powers of two leave the digits alone; that of the largest entry may itself be beyond the floats.
    power = int(np.frexp(scale)[1])
    rows = signs[:, None] * np.ldexp(x, -power)
    solution = _certified(rows, *(_quadratic(rows) if norm == "l2" else _linear(rows, norm)), power, norm, tol, note)
    if norm == "l2" and not solution.status.converged and solution.bound > 1e-13 * scale:
        precise = solve_precisely(rows, solution.dual, KERNEL_TOLERANCE, 2 * len(rows) + 100)
        solution = _better(solution, _certified(rows, *precise, power, norm, tol, note))
    return solution


def _signs(y: Any, n: int) -> tuple[Float, str]:
    """Return labels -1 and 1, and a note where there is one class only."""
    labels = as_float("y", y, (1,))
    if labels.shape != (n,):
        raise ValueError(f"`y` has shape {labels.shape}; expected ({n},), one label a row of `X`")
    classes = np.unique(labels)
    if len(classes) > 2:
        raise ValueError(
            f"`y` holds {len(classes)} classes, among them {classes[:3].tolist()}; expected two, such as -1 and 1. "
            "Take one class against the others, for example y == 0"
        )
    positive = labels == classes[1] if len(classes) == 2 else labels > 0
    note = f"; all labels are {classes[0]:g}: one class" if len(classes) == 1 else ""
    return np.where(positive, 1.0, -1.0), note


def _quadratic(rows: Float) -> tuple[Float, Float, str]:
    """Return (w, lambda, how it ended) for l2; w as long as it comes."""
    n, d = rows.shape
    if n <= GRAM_LIMIT:
        alpha, end = _dual(rows)
        return alpha @ rows, _sharpened(rows, alpha) if end == "inseparable" else alpha, end
    # Those worst off under the mean; then, round by round, those worst off under the classifier of the chosen.
    count = min(GRAM_LIMIT // 2, max(200, d + d // 2))
    chosen = np.argpartition(rows @ rows.mean(axis=0), count)[:count]
    while True:
        part, end = _dual(rows[chosen])
        alpha = np.zeros(n)
        alpha[chosen] = part
        w = part @ rows[chosen]
        if end != "solved":
            return w, _sharpened(rows, alpha) if end == "inseparable" else alpha, end
        margins = rows @ w
        margins[chosen] = np.inf
        violated = np.flatnonzero(margins < 1 - KERNEL_TOLERANCE)
        if len(violated) == 0:
            return w, alpha, end
        most = max(200, len(chosen) // 2)
        if len(violated) > most:
            violated = violated[np.argpartition(margins[violated], most)[:most]]
        chosen = np.concatenate([chosen, violated])


def _dual(rows: Float) -> tuple[Float, str]:
    alpha, end, _, _ = _core.hard_margin(rows @ rows.T, KERNEL_TOLERANCE, 20 * len(rows) + 1000)
    return alpha, end


def _sharpened(rows: Float, dual: Float) -> Float:
    """Return a witness with what the Gram matrix has lost of it taken off, on its own support."""
    support = np.flatnonzero(dual)
    step = scipy.linalg.lstsq(rows[support].T, dual @ rows, lapack_driver="gelsy")[0]
    sharp = dual.copy()
    sharp[support] = np.maximum(0.0, dual[support] - step)
    better = np.linalg.norm(sharp @ rows) * dual.sum() < np.linalg.norm(dual @ rows) * sharp.sum()
    return sharp if better else dual


def _linear(rows: Float, norm: str) -> tuple[Float, Float, str]:
    r"""Return (w, lambda, how it ended): max m over (w, m) with rows w >= m, by linear programming.

    For l1 w is the difference of two parts >= 0 of sum <= 1; for l-infinity its entries lie in [-1, 1].
    """
    n, d = rows.shape
    if norm == "l1":
        matrix = np.block([[-rows, rows, np.ones((n, 1))], [np.ones((1, 2 * d)), np.zeros((1, 1))]])
        limits, low, high = np.r_[np.zeros(n), 1.0], np.r_[np.zeros(2 * d), -np.inf], np.full(2 * d + 1, np.inf)
    else:
        matrix, limits = np.hstack([-rows, np.ones((n, 1))]), np.zeros(n)
        low, high = np.r_[-np.ones(d), -np.inf], np.r_[np.ones(d), np.inf]
    objective = np.r_[np.zeros(matrix.shape[1] - 1), -1.0]
    options: Any = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    bounds: Any = np.column_stack([low, high])
    found: Any = scipy.optimize.linprog(objective, matrix, limits, bounds=bounds, method="highs", options=options)
    if found.x is None:
        return np.zeros(d), np.full(n, 1.0 / n), f"HiGHS: {found.message}"
    w = found.x[:d] - found.x[d : 2 * d] if norm == "l1" else found.x[:d]
    return w, np.maximum(0.0, -found.ineqlin.marginals[:n]), "solved" if found.status == 0 else found.message


def _certified(
    rows: Float, w: Float, dual: Float, end: str, power: int, norm: str, tol: float, note: str
) -> HardMargin:
    """Return the solution with margin and bound from w and lambda alone; `rows` are divided by 2^power."""
    dual = dual / dual.sum()
    dual[dual < np.finfo(float).eps * dual.max()] = 0.0
    dual /= dual.sum()
    bound = float(np.linalg.norm(dual @ rows, DUAL_NORMS[norm]))
    length = float(np.linalg.norm(w, NORMS[norm]))
    w = w / length if length > 0 else w
    margin = float((rows @ w).min())
    support = np.flatnonzero(dual)
    # Below these a margin, and a combination, are rounding.
    largest = float(np.linalg.norm(rows, DUAL_NORMS[norm], axis=1).max())
    visible = np.finfo(float).eps * rows.shape[1]
    with np.errstate(over="ignore"):  # the norm of several entries, each of them a float, may be none
        true_margin, true_bound = float(np.ldexp(margin, power)), float(np.ldexp(bound, power))
    if margin > visible * largest:
        gap = max(0.0, (bound - margin) / bound)
        status = _status(gap, tol, end, note)
        return HardMargin(w, true_margin, dual, true_bound, gap, support, True, norm, status)
    relative = max(NO_MARGIN, visible)
    message = (
        f"not separable: no margin above {true_bound:.1e} exists, the norm of a convex combination of the rows y_i x_i "
        f"(`dual`); up to {relative:.0e} of the largest row that counts as none. Take away the examples in `support`, "
        "or use more features"
        if bound <= relative * largest
        else f"undecided: no positive margin found, and none above {true_bound:.1e} exists ({end}). Scale the "
        "columns of `X` alike, or take away near-duplicates"
    )
    zero = np.zeros_like(w)
    return HardMargin(zero, 0.0, dual, true_bound, 1.0, support, False, norm, Status(False, message + note))


def _better(first: HardMargin, second: HardMargin) -> HardMargin:
    """Return the one that proves more: a margin before none, the smaller gap, the smaller bound."""
    return min(first, second, key=lambda solution: (not solution.separable, solution.gap, solution.bound))


def _status(gap: float, tol: float, end: str, note: str) -> Status:
    if gap <= tol:
        return Status(True, f"margin known to a relative gap of {gap:.1e}{note}")
    advice = "raise `tol`, or scale the columns of `X` alike: the problem is ill-conditioned"
    return Status(False, f"relative gap {gap:.1e} > {tol:.1e} ({end}): {advice}{note}")
