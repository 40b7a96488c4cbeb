"""Full-batch descent of the two-layer CNN on a signal patch and a noise patch, many runs at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from pyphenom import _core
from pyphenom._arrays import Float, Progress, as_integer
from pyphenom.curvature.lanczos import Status
from pyphenom.implicit_bias._cnn_inputs import grid as record_grid
from pyphenom.implicit_bias._cnn_inputs import options as kernel_options
from pyphenom.implicit_bias._cnn_inputs import patches, test_data, training_data
from pyphenom.implicit_bias._patches import Basis, basis_of, outputs
from pyphenom.random_features.features import threads

LANES = 8
"""Filters come in multiples of this in the kernel."""
BLOCK_WORK = 2e9
"""Multiplications a thread between two looks at Ctrl-C: about a second."""


@dataclass(frozen=True, eq=False)
class CNNDescent:
    r"""Runs of descent, recorded at some steps; a run that has stopped stays as it is.

    Attributes
    ----------
    weights : array (runs, 2, m, d)
        At the end.
    record_steps : array (records,) of int
    log_loss : array (runs, records)
        Logarithm of the mean training loss, without weight decay; right where the loss itself is below the floats.
    margin : array (runs, records)
        :math:`\min_iy_if(x_i)`.
    norm : array (runs, records)
        :math:`\|W\|`; margin / norm^power is the normalised margin of the homogeneous network.
    train_error, test_error : array (runs, records)
        Fraction without :math:`yf(x)>0`, NaN among it; the test error is None without test data.
    train_margins : array (runs, n)
        :math:`y_if(x_i)` at the end.
    steps : array (runs,) of int
        Steps taken.
    power : float
    average : bool
    status : Status
        Whether every run reached ``stop_loss``, or all steps where there is none, with finite numbers; and whether it
        has filters that are active on a patch, for without them there is no gradient.
    """

    weights: Float
    record_steps: Float
    log_loss: Float
    margin: Float
    norm: Float
    train_error: Float
    test_error: Float | None
    train_margins: Float
    steps: Float
    power: float
    average: bool
    status: Status

    @property
    def loss(self) -> Float:
        """Mean training loss (runs, records); zero where it is below the floats."""
        return np.asarray(np.exp(self.log_loss))

    @property
    def normalized_margin(self) -> Float:
        r"""Return :math:`\min_iy_if(x_i)/\|W\|^q`, (runs, records); NaN where all weights are zero."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.margin / self.norm**self.power)

    def predict(self, X: Any) -> Float:
        """Return f (runs, t) under the final weights, for patches (t, P, d), or (runs, t, P, d)."""
        x = patches("X", X, len(self.weights), self.weights.shape[-1])
        return outputs(self.weights, x, self.power, self.average)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        loss = f"log loss {self.log_loss[:, -1].min():.3g} to {self.log_loss[:, -1].max():.3g}"
        note = "" if self.status.converged else "; see .status"
        return f"CNNDescent({len(self.weights)} runs of up to {self.steps.max()} steps, {loss}{note})"


def cnn_descent(
    X: Any,
    y: Any,
    weights: Any,
    steps: int,
    *,
    learning_rate: float,
    power: float = 1.0,
    optimizer: str = "descent",
    average: bool = True,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    stop_loss: float | None = None,
    record: int | Sequence[int] | Float = 1,
    X_test: Any = None,
    y_test: Any = None,
    progress: Progress | None = None,
) -> CNNDescent:
    r"""Train :math:`f=F_1-F_{-1}`, :math:`F_j(x)=\frac1m\sum_{r\le m}\sum_p(\langle w_{jr},x_p\rangle)_+^q`.

    The loss is :math:`L=\frac1n\sum_i\log(1+e^{-y_if(x_i)})`, with :math:`\frac\lambda2\|W\|^2` for a weight decay; its
    gradient is taken over all examples at each step.

    Parameters
    ----------
    X : array or CPU tensor (n, P, d), or (runs, n, P, d)
        Patches; in the models of the theory P = 2, the signal patch :math:`\pm\mu` and the noise patch.
    y : array (n,) or (runs, n)
        Labels -1 and 1.
    weights : array (2, m, d), or (runs, 2, m, d)
        The initial ones; first the filters of :math:`F_1`.
    steps : int
        At most.
    learning_rate : float
    power : float
        q >= 1, of the activation; its derivative at zero is zero.
    optimizer : {"descent", "normalized", "adam"}
        ``normalized`` takes steps of length ``learning_rate`` along the gradient. ``adam`` is that of Kingma and Ba,
        the weight decay part of the gradient.
    average : bool
        Whether F has the factor 1/m.
    weight_decay : float
        :math:`\lambda`.
    betas, epsilon : (float, float), float
        Of Adam. With epsilon = 0 an entry whose gradients have all been zero stays where it is.
    stop_loss : float, optional
        A run stops at the first step where L is not above it.
    record : int or sequence of int
        Number of records after the initial one, evenly spaced, or the steps themselves.
    X_test, y_test : arrays, optional
        Shaped as X and y, for the test error at the records.
    progress : callable (step, steps), optional
        Called at every record, and between them about once a second.

    Returns
    -------
    CNNDescent

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work.

    Notes
    -----
    Descent runs in the coordinates of the distinct patches, N of them up to sign (n + 1 with one signal), at
    :math:`2mN^2` multiplications a step; in the full space, as Adam, where that is cheaper. A run depends on its own
    data alone, to the bit, whatever is recorded and however many threads there are. Loss and gradient are taken
    logarithmically where they leave the range of floats: normalised descent, and Adam with epsilon = 0, go on there.

    References
    ----------
    Cao, Chen, Belkin, Gu, NeurIPS 2022, eqs. (3.1), (3.2); Kou, Chen, Chen, Gu, ICML 2023; Zou, Cao, Li, Gu, ICLR 2023.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y, signal = rng.choice([-1.0, 1.0], 20), np.r_[9.0, np.zeros(99)]
    >>> X = np.stack([y[:, None] * signal, rng.standard_normal((20, 100))], axis=1)
    >>> X[:, 1, 0] = 0  # the noise has no part along the signal
    >>> run = cnn_descent(X, y, 0.01 * rng.standard_normal((2, 10, 100)), 500, learning_rate=0.1, stop_loss=0.01)
    >>> run.status.converged, float(run.train_error[0, -1])
    (True, 0.0)
    """
    x, labels, start = training_data(X, y, weights)
    runs, d = len(start), start.shape[3]
    total = as_integer("steps", steps, 0)
    options = kernel_options(learning_rate, power, optimizer, weight_decay, betas, epsilon, stop_loss)
    grid = record_grid(record, total)
    test = test_data(X_test, y_test, runs, d)

    state = _State(basis_of(x), labels, start, options["method"], average)
    shape = (runs, len(grid))
    log_loss, margin, norm, train_error = (np.empty(shape) for _ in range(4))
    test_error = np.empty(shape) if test else None
    work = state.work / max(1, min(threads(), runs))
    for column, until in enumerate(grid):
        for block in _blocks(state.reached, int(until), max(1, int(BLOCK_WORK / work))):
            state.advance(block, options)
            if progress is not None:
                progress(block, total)
            if state.stopped.all():
                break
        now = state.weights()
        log_loss[:, column] = state.log_loss
        margin[:, column] = state.margins.min(axis=1)
        norm[:, column] = np.sqrt(np.square(now).sum(axis=(1, 2, 3)))
        train_error[:, column] = np.mean(~(state.margins > 0), axis=1)
        if test and test_error is not None:
            test_margins = test[1] * outputs(now, test[0], options["power"], average)
            test_error[:, column] = np.mean(~(test_margins > 0), axis=1)
    status = _status(state, stop_loss, total)
    return CNNDescent(
        now, grid, log_loss, margin, norm, train_error, test_error, state.margins, state.taken,
        options["power"], average, status,
    )  # fmt: skip


class _State:
    """Arrays of the kernel: filters side by side, filled up to a multiple of LANES."""

    def __init__(self, basis: Basis, labels: Float, start: Float, method: str, average: bool):
        runs, _, m, d = start.shape
        vectors = basis.vectors
        count, entries = vectors.shape[1], np.count_nonzero(vectors) / len(vectors)
        filters = -(-2 * m // LANES) * LANES
        self.start, self.vectors = start, vectors
        packed = np.zeros((runs, d, filters))
        packed[:, :, : 2 * m] = start.reshape(runs, 2 * m, d).transpose(0, 2, 1)
        signs = np.zeros(filters)
        signs[: 2 * m] = np.repeat([1.0, -1.0], m) / (m if average else 1)
        in_span = method != "adam" and count**2 <= 2 * entries + d
        self.work = runs * filters * (count**2 if in_span else 2 * entries + 10 * d)
        self.work += 4.0 * runs * filters * basis.index[0].size
        none = np.empty((0, 0, 0))
        moments = packed.shape if method == "adam" else none.shape
        self.arrays: dict[str, Float] = {
            "activations": vectors @ packed,
            "coordinates": np.zeros((runs, count, filters)) if in_span else none,
            "weights": none if in_span else packed,
            "first": np.zeros(moments),
            "second": np.zeros(moments),
            "scalars": np.tile([1.0, 0.0, 0.0, 0.0, 0.0], (runs, 1, 1)),
            "margins": np.empty((runs, 1, labels.shape[1])),
        }
        gram = vectors @ vectors.transpose(0, 2, 1)
        self.data = (vectors, gram, basis.index, basis.sign, np.ascontiguousarray(labels[:, None, :]), signs)
        self.reached = -1

    def advance(self, until: int, options: dict[str, Any]) -> None:
        kernel: Any = _core.cnn_advance  # whose arguments come by name
        kernel(*self.data, **self.arrays, **options, until=until, threads=threads())
        self.reached = until

    def weights(self) -> Float:
        """Return the weights (runs, 2, m, d)."""
        runs, _, m, d = self.start.shape
        if self.arrays["weights"].size:
            return np.ascontiguousarray(self.arrays["weights"][:, :, : 2 * m].transpose(0, 2, 1)).reshape(runs, 2, m, d)
        moved = np.ascontiguousarray(self.arrays["coordinates"][:, :, : 2 * m].transpose(0, 2, 1)) @ self.vectors
        return np.asarray(self.arrays["scalars"][:, 0, 0, None, None, None] * self.start + moved.reshape(runs, 2, m, d))

    @property
    def margins(self) -> Float:
        return self.arrays["margins"][:, 0]

    @property
    def log_loss(self) -> Float:
        return self.arrays["scalars"][:, 0, 2]

    @property
    def taken(self) -> Float:
        return np.asarray(self.arrays["scalars"][:, 0, 3], int)

    @property
    def stopped(self) -> Float:
        return np.asarray(self.arrays["scalars"][:, 0, 4] != 0)


def _blocks(reached: int, until: int, length: int) -> Iterator[int]:
    """Yield the ends of blocks of steps."""
    while reached < until:
        reached = min(until, max(0, reached) + length) if until else 0
        yield reached


def _dead(state: _State) -> Float:
    """Return whether all filters of a run (runs,) are inactive on all patches; all at zero are."""
    index, sign = state.data[2:4]
    dead = (state.margins == 0).all(axis=1)
    for run in np.flatnonzero(dead):
        at = run % len(index)  # one data set for all, or one each
        dead[run] = not (state.arrays["activations"][run][index[at]] * sign[at][:, :, None] > 0).any()
    return np.asarray(dead)


def _status(state: _State, stop_loss: float | None, total: int) -> Status:
    bad = ~(state.log_loss < 300)
    if bad.any():
        return Status(False, f"the loss of {bad.sum()} of {len(bad)} runs left all bounds: lower `learning_rate`")
    dead = _dead(state) & ~state.stopped & (total > 0)
    if dead.any():
        return Status(
            False,
            f"no filter of {dead.sum()} of {len(dead)} runs is active on a patch, without which there is no gradient: "
            "draw other `weights`, or lower `learning_rate` if they died on the way",
        )
    if stop_loss is None:
        return Status(True, f"took {total} steps")
    short = ~state.stopped
    if short.any():
        return Status(
            False,
            f"{short.sum()} of {len(short)} runs did not reach a loss of {stop_loss:g} in {total} steps: raise `steps` "
            "or `learning_rate`",
        )
    return Status(True, f"every run reached a loss of {stop_loss:g}, the last after {state.taken.max()} steps")
