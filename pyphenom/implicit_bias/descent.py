"""Full-batch descent of linear models for millions of steps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from pyphenom import _core
from pyphenom._arrays import Float, Progress, as_integer, as_numeric, as_real, one_of
from pyphenom.curvature.lanczos import Status
from pyphenom.implicit_bias.methods import Accelerated, Adam, BatchNorm, Method, Momentum, Normalized, as_method
from pyphenom.implicit_bias.path import LOSSES, Data, LinearPath, log_mean_loss, separation, signed_rows
from pyphenom.random_features.features import threads

BLOCK_SECONDS = 0.1
"""How long the kernel runs before Ctrl-C is heard and progress is told."""
LARGEST = 1e150
"""Size of a weight or margin, whose squares overflow, from which a run counts as diverged."""
SINGULAR = 1e-10
"""Smallest squared pivot of the Gram matrix over the largest at which coefficients of the rows are used."""


@dataclass(frozen=True, eq=False, repr=False)
class DescentPath(LinearPath):
    r"""Positions of full-batch descent after recorded numbers of steps.

    Attributes
    ----------
    weights, margins, log_loss, status
        See `LinearPath`.
    steps : array (times,)
        Steps taken.
    gain : array (runs, times) or None
        g of batch norm. The loss is that of :math:`g\,m_i/|w|_S` then; `weights` and `margins` are those of w.
    """

    steps: NDArray[np.int64]
    gain: Float | None

    def __repr__(self) -> str:
        runs = f"{len(self.weights)} runs, " if self.weights.ndim == 3 else ""
        n, d = self.margins.shape[-1], self.weights.shape[-1]
        return (
            f"DescentPath({runs}n = {n}, d = {d}, {len(self.steps)} records up to step {self.steps[-1]}; {self.status})"
        )


def gradient_descent(
    X: Any,
    y: Any,
    steps: int,
    *,
    step_size: float,
    method: str | Method = "gradient",
    loss: str = "exponential",
    decay: float = 0.0,
    initial: Any = None,
    record: Any = None,
    progress: Progress | None = None,
) -> DescentPath:
    r"""Full-batch descent on the mean loss :math:`L(w)=\frac1n\sum_i\ell(y_i\langle w,x_i\rangle)`, many runs at once.

    Parameters
    ----------
    X : array or CPU tensor (n, d) or (runs, n, d)
        Inputs. No intercept: add a column of ones for one.
    y : array (n,) or (runs, n)
        Labels -1 and 1; all equal is a problem like any other, since no intercept is fitted.
    steps : int
        To take.
    step_size, decay : float
        :math:`\eta_t=\text{step size}\,(t+1)^{-\text{decay}}` at step t = 0, 1, ...; the mean loss, so that a step on
        the sum of the losses is n times as large.
    method : str or Method
        "gradient", "momentum", "normalized", "accelerated", "batch_norm", "adam", or an object such as
        ``Adam(0.9, 0.99)`` that holds its constants.
    loss : {"exponential", "logistic", "squared"}
        :math:`\ell(m)=e^{-m}`, :math:`\log(1+e^{-m})`, :math:`\frac12(1-m)^2`.
    initial : array (d,) or (runs, d), optional
        Weights at the start; zero unless given. Batch norm has no direction there, and needs them.
    record : array of int, optional
        Numbers of steps after which positions are kept, `steps` always among them; by default some ten a decade.
    progress : callable (steps taken, steps), optional
        Called some ten times a second; Ctrl-C stops within such a block.

    Returns
    -------
    DescentPath

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work.

    Notes
    -----
    Float64, a thread a run. With linearly independent rows every method but Adam moves :math:`w=w_0+\sum_ic_iy_ix_i`
    through the coefficients, at one product with the Gram matrix a step; c is summed with compensation, and the margins
    are formed anew at every step, so that rounding errors do not add up over the steps. Steps over the loss, and Adam
    without epsilon, work at margins of any size. A step that is too large for the exponential loss ends in numbers that
    are not finite; the status says so.

    References
    ----------
    Soudry et al., "The implicit bias of gradient descent on separable data", JMLR 2018; Ji, Srebro and Telgarsky,
    "Fast margin maximization via dual acceleration", ICML 2021; Cao et al., "The implicit bias of batch normalization
    in linear models and two-layer linear convolutional neural networks", COLT 2023; Zhang, Zou and Cao, "The implicit
    bias of Adam on separable data", NeurIPS 2024.

    Examples
    --------
    >>> X = np.array([[2.0, 0.4], [0.3, 1.0], [3.0, 3.0]])
    >>> path = gradient_descent(X, [1, 1, 1], 1_000_000, step_size=0.1)
    >>> round(float(path.margin()[-1]), 3)  # at most 1.043
    1.022
    """
    data, count = signed_rows(X, y, initial), as_integer("steps", steps, 1)
    how, kind = as_method(method), one_of("loss", loss, LOSSES)
    step, power, times = as_real("step_size", step_size), as_real("decay", decay), _records(record, count)
    if kind == "squared" and isinstance(how, Normalized | Accelerated):
        raise ValueError("`loss` is 'squared', which vanishes at its minimum; expected 'exponential' or 'logistic'")
    if isinstance(how, BatchNorm) and not np.einsum("rnd,rd->rn", data.rows, data.initial).any(axis=1).all():
        raise ValueError("`initial` has outputs 0 on the data, where batch norm has no direction. Pass other weights")

    constants = _constants(how, kind, step, power)
    runs = [
        _core.LinearDescent(**constants, A=A, K=K, initial=w)
        for A, K, w in zip(data.rows, _grams(data, how), data.initial, strict=True)
    ]
    shape = (len(runs), len(times))
    weights, margins = np.empty((*shape, data.rows.shape[2])), np.empty((*shape, data.rows.shape[1]))
    gain = np.empty(shape)
    taken, block = 0, 1
    for at, until in enumerate(times):
        while taken < until:
            now = min(block, int(until) - taken)
            start = time.perf_counter()
            _core.descend(runs, now, threads())
            seconds = max(time.perf_counter() - start, 1e-9)
            taken += now
            block = max(1, min(2 * block, int(now * BLOCK_SECONDS / seconds))) if now == block else block
            if progress is not None:
                progress(taken, count)
        for i, run in enumerate(runs):
            position = run.position()
            weights[i, at] = data.initial[i] + position @ data.rows[i] if run.dual else position[: weights.shape[2]]
            margins[i, at], gain[i, at] = run.margins(), run.gain
    return _path(data, how, kind, times, weights, margins, gain)


def _records(record: Any, steps: int) -> NDArray[np.int64]:
    if record is None:
        return np.unique(np.r_[0, np.geomspace(1, steps, 1 + 10 * len(str(steps))).round().astype(np.int64), steps])
    times = as_numeric("record", record, (1,))
    if times.dtype.kind not in "iu":
        raise TypeError(f"`record` has dtype {times.dtype}; expected integers, numbers of steps")
    times = np.unique(times.astype(np.int64))
    if times[0] < 0 or times[-1] > steps:
        raise ValueError(f"`record` holds {times[0]} to {times[-1]}; expected numbers of steps from 0 to {steps}")
    return np.union1d(times, [steps])


def _constants(how: Method, loss: str, step: float, decay: float) -> dict[str, Any]:
    """Return what the kernel takes besides the data."""
    name = type(how).__name__.lower().replace("batchnorm", "batch_norm")
    return {
        "method": "nesterov" if isinstance(how, Momentum) and how.nesterov else name,
        "loss": loss,
        "step": step,
        "decay": decay,
        "momentum": how.momentum if isinstance(how, Momentum) else 0.0,
        "beta1": how.beta1 if isinstance(how, Adam) else 0.0,
        "beta2": how.beta2 if isinstance(how, Adam) else 0.0,
        "epsilon": how.epsilon if isinstance(how, Adam) else 0.0,
        "gain": how.gain if isinstance(how, BatchNorm) else 1.0,
    }


def _grams(data: Data, how: Method) -> list[Float | None]:
    """Return the Gram matrices of the runs; None for a run whose weights are moved themselves."""
    count, n, d = data.rows.shape
    if isinstance(how, Adam) or n > d:
        return [None] * count
    grams = (A @ A.T for A in data.rows)
    return [K if _regular(K) else None for K in grams]


def _regular(K: Float) -> bool:
    try:
        pivots = np.diagonal(scipy.linalg.cholesky(K, check_finite=False))
    except scipy.linalg.LinAlgError:
        return False
    return bool(pivots.min() ** 2 > SINGULAR * pivots.max() ** 2)


def _path(
    data: Data,
    how: Method,
    loss: str,
    times: NDArray[np.int64],
    weights: Float,
    margins: Float,
    gain: Float,
) -> DescentPath:
    with np.errstate(invalid="ignore"):
        finite: NDArray[np.bool_] = (np.abs(np.concatenate([weights, margins], axis=-1)) < LARGEST).all(axis=-1)
    for array in (weights, margins, gain):
        array[~finite] = np.nan
    with np.errstate(invalid="ignore", over="ignore"):
        normalise = isinstance(how, BatchNorm)
        sizes = np.sqrt((margins**2).mean(axis=-1)) if normalise else np.ones_like(gain)
        log_loss = log_mean_loss(margins * (gain / sizes)[..., None] if normalise else margins, loss)
    if finite.all():
        status = Status(True, separation(margins))
    else:
        run, at = (int(index) for index in np.argwhere(~finite)[0])
        status = Status(
            False,
            f"run {run} left the range of numbers by step {times[at]}, and {int((~finite[:, -1]).sum())} of "
            f"{len(weights)} runs did: lower `step_size`",
        )
    arrays = [weights, margins, log_loss, gain]
    if data.single:
        arrays = [array[0] for array in arrays]
    weights, margins, log_loss, gain = arrays
    return DescentPath(weights, margins, log_loss, status, times, gain if normalise else None)
