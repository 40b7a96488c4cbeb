"""Gradient flow of linear models, to logarithms of the time that no loop of steps reaches."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from pyphenom import _core
from pyphenom._arrays import Float, Progress, as_numeric, as_real, one_of
from pyphenom.curvature.lanczos import Status
from pyphenom.implicit_bias.descent import BLOCK_SECONDS
from pyphenom.implicit_bias.path import LOSSES, LinearPath, log_mean_loss, separation, signed_rows
from pyphenom.random_features.features import threads

TIGHTEST = 1e-11
"""Of the tolerances: below, rounding errors would be taken for errors of the method."""


@dataclass(frozen=True, eq=False, repr=False)
class FlowPath(LinearPath):
    r"""Positions of gradient flow at recorded times.

    Attributes
    ----------
    weights, margins, log_loss, status
        See `LinearPath`.
    log_times : array (times,)
        Natural logarithms of t.
    error : array (runs, times)
        The sum of the local errors of w, as estimated, up to each time. The flow brings solutions closer to one
        another, so that it is also an estimate of the error of w.
    integration_steps : array (runs,)
        Steps of the integrator.
    """

    log_times: Float
    error: Float
    integration_steps: Any

    def __repr__(self) -> str:
        runs = f"{len(self.weights)} runs, " if self.weights.ndim == 3 else ""
        n, d = self.margins.shape[-1], self.weights.shape[-1]
        return (
            f"FlowPath({runs}n = {n}, d = {d}, {len(self.log_times)} records up to log t = {self.log_times[-1]:.6g}, "
            f"error {np.max(self.error):.1e}; {self.status})"
        )


def gradient_flow(
    X: Any,
    y: Any,
    log_times: Any,
    *,
    loss: str = "exponential",
    rtol: float = 1e-9,
    initial: Any = None,
    progress: Progress | None = None,
) -> FlowPath:
    r"""Gradient flow :math:`\dot w=-\nabla L(w)` on :math:`L(w)=\frac1n\sum_i\ell(y_i\langle w,x_i\rangle)`.

    Parameters
    ----------
    X : array or CPU tensor (n, d) or (runs, n, d)
        Inputs. No intercept: add a column of ones for one.
    y : array (n,) or (runs, n)
        Labels -1 and 1; all equal is a problem like any other, since no intercept is fitted.
    log_times : array (times,)
        Ascending natural logarithms of the times to record, such as ``np.log([1, 1e3, 1e12])`` or 1e5; -inf is the
        start. For the sum of the losses in place of their mean, t is n times as long.
    loss : {"exponential", "logistic", "squared"}
        :math:`\ell(m)=e^{-m}`, :math:`\log(1+e^{-m})`, :math:`\frac12(1-m)^2`.
    rtol : float
        A step is accepted where its error in \|w\| is estimated below rtol times the larger of
        :math:`|w-w_0|` and :math:`1/\max_i|x_i|`; from 1e-11 on.
    initial : array (d,) or (runs, d), optional
        Weights at t = 0; zero unless given.
    progress : callable (done, records), optional
        Called with the number of records done. Ctrl-C stops within a block of about a tenth of a second.

    Returns
    -------
    FlowPath

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work.

    Notes
    -----
    Extrapolated linearly implicit Euler steps in :math:`\log(1+t/\tau)`, in coordinates of the span of the rows,
    O(n^3) each; they lengthen up to 1000 where w turns into :math:`\hat w\log t+\tilde w`. Once the flow has relaxed to
    a minimiser, as it does on data that no w separates, it is found by Newton's method and held.

    References
    ----------
    Soudry et al., "The implicit bias of gradient descent on separable data", JMLR 2018, Theorem 3.

    Examples
    --------
    >>> X = np.array([[2.0, 0.4], [0.3, 1.0], [3.0, 3.0]])
    >>> path = gradient_flow(X, [1, 1, 1], np.log([1e4, 1e8, 1e12]))
    >>> np.round(np.exp(path.log_times + path.log_loss), 4).tolist()  # to 1 / margin^2 = 0.9195
    [0.9151, 0.9192, 0.9195]
    """
    data, kind = signed_rows(X, y, initial), one_of("loss", loss, LOSSES)
    times = np.asarray(as_numeric("log_times", log_times, (1,)), dtype=np.float64)
    with np.errstate(invalid="ignore"):
        ascending = (np.diff(times) > 0).all()  # not of -inf twice
    if np.isnan(times).any() or np.isposinf(times).any() or not ascending:
        raise ValueError(
            "`log_times` is not ascending, or holds NaN or infinity; expected ascending logarithms of times"
        )
    if not TIGHTEST <= (tolerance := as_real("rtol", rtol)) <= 0.1:
        raise ValueError(f"`rtol` is {tolerance:g}; expected a number from {TIGHTEST:g} to 0.1")

    runs, bases, log_units = [], [], []
    for A, w in zip(data.rows, data.initial, strict=True):
        left, sizes, basis = scipy.linalg.svd(A, full_matrices=False, check_finite=False)
        if sizes[0] == 0:
            raise ValueError("`X` is zero; expected rows that w can tell apart from zero")
        margins, rank = A @ w, int((sizes > max(A.shape) * np.finfo(float).eps * sizes[0]).sum())
        # The unit of time: the fastest change at the start.
        log_tau = float(np.log(len(A)) - 2 * np.log(sizes[0]) - _log_slopes(margins, kind).max())
        unit = 1 / np.linalg.norm(A, axis=1).max()
        runs.append(
            _core.GradientFlow(
                kind, np.ascontiguousarray(left[:, :rank] * sizes[:rank]), margins, log_tau, tolerance, unit
            )
        )
        bases.append(basis[:rank])
        log_units.append(log_tau)

    shape = (len(runs), len(times))
    weights, error, block = np.empty((*shape, data.rows.shape[2])), np.empty(shape), 1
    for at, log_time in enumerate(times):
        until, done = np.logaddexp(0.0, log_time - np.array(log_units)).tolist(), False
        while not done:
            start = time.perf_counter()
            done = _core.flow(runs, until, block, threads())
            seconds = max(time.perf_counter() - start, 1e-9)
            if not done:  # all of the block was taken; of fewer steps the number, and so the pace, is unknown
                block = max(1, min(2 * block, int(block * BLOCK_SECONDS / seconds)))
        for i, run in enumerate(runs):
            moved = run.coordinates() @ bases[i]
            weights[i, at], error[i, at] = data.initial[i] + (np.nan if run.failed else moved), run.error
        if progress is not None:
            progress(at + 1, len(times))
    margins = np.matmul(weights, data.rows.transpose(0, 2, 1))
    failed, stalled = ([i for i, run in enumerate(runs) if getattr(run, what)] for what in ("failed", "stalled"))
    if failed:
        status = Status(False, f"run {failed[0]} needs steps too small to make: raise `rtol`, or start nearer to zero")
    elif stalled:
        status = Status(
            False,
            f"run {stalled[0]} is held where rounding errors hide its gradient, as {len(stalled)} of {len(runs)} are: "
            "data that are separable in some directions only, or columns of very different scale; rescale them",
        )
    else:
        still = sum(run.stationary for run in runs)
        note = f"; {still} of {len(runs)} stand at the minimiser of the loss" if still else ""
        status = Status(True, separation(margins) + note)
    taken = np.array([run.steps for run in runs])
    arrays = [weights, margins, log_mean_loss(margins, kind), error, taken]
    if data.single:
        arrays = [array[0] for array in arrays]
    weights, margins, losses, error, taken = arrays
    return FlowPath(weights, margins, losses, status, times, error, taken)


def _log_slopes(margins: Float, loss: str) -> Float:
    """Return log |l'(m)|, at least that of m = 0 for the squared loss."""
    if loss == "exponential":
        return -margins
    return -np.logaddexp(0.0, margins) if loss == "logistic" else np.zeros_like(margins)
