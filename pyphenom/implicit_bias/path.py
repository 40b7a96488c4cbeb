"""What a descent and a flow have in common: their data, their losses, and what is asked of their positions."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.special import logsumexp

from pyphenom._arrays import Float, as_float, one_of
from pyphenom.curvature.lanczos import Status

LOSSES = ("exponential", "logistic", "squared")


@dataclass(frozen=True, eq=False)
class LinearPath:
    r"""Positions of linear models along a path.

    Arrays begin with the axis of the runs, absent where one run was asked for, and that of the recorded times.

    Attributes
    ----------
    weights : array (runs, times, d)
        w.
    margins : array (runs, times, n)
        :math:`y_i\langle w,x_i\rangle`, not divided by a norm.
    log_loss : array (runs, times)
        The logarithm of the mean loss, exact also where the loss is below the range of floats.
    status : Status
        Whether every run stayed finite, and how many separate their data at the end.
    """

    weights: Float
    margins: Float
    log_loss: Float
    status: Status

    @property
    def norm(self) -> Float:
        """The Euclidean norm of w, (runs, times)."""
        return np.asarray(np.linalg.norm(self.weights, axis=-1))

    def margin(self, norm: str = "l2") -> Float:
        r"""Normalised margin :math:`\min_i y_i\langle w,x_i\rangle/\|w\|`, (runs, times); 0 at w = 0.

        Parameters
        ----------
        norm : {"l2", "l1", "linf"}
            Of w. Plain descent makes the first as large as it can be, Adam the last.
        """
        order = {"l2": 2, "l1": 1, "linf": np.inf}[one_of("norm", norm, ("l2", "l1", "linf"))]
        return _ratio(self.margins.min(axis=-1), np.linalg.norm(self.weights, ord=order, axis=-1))

    @property
    def dispersion(self) -> Float:
        r"""How unequal the margins are, (runs, times); 0 at w = 0.

        :math:`D=\frac1{n^2}\sum_{ij}(m_i-m_j)^2/|w|_S^2` with :math:`|w|_S^2=\frac1n\sum_i m_i^2`.
        """
        largest = np.abs(self.margins).max(axis=-1)
        m = self.margins / np.where(largest == 0, 1.0, largest)[..., None]
        return _ratio(2 * m.var(axis=-1), (m**2).mean(axis=-1))

    def cosine(self, direction: Any) -> Float:
        """Cosine of w and a direction (d,), or one a run (runs, d); (runs, times), 0 at w = 0.

        Raises
        ------
        ValueError
            For a direction of another shape, or whose norm is zero or beyond the floats.
        """
        v = as_float("direction", direction, (1, 2))
        expected = {self.weights.shape[-1:], self.weights.shape[:-2] + self.weights.shape[-1:]}
        if v.shape not in expected:
            shapes = " or ".join(map(str, sorted(expected, key=len)))
            raise ValueError(f"`direction` has shape {v.shape}; expected {shapes}")
        with np.errstate(over="ignore"):
            lengths = np.linalg.norm(v, axis=-1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise ValueError(
                f"`direction` has norm {'0' if (lengths == 0).any() else 'inf'}; expected finite norms > 0. The "
                "weights of hard_margin are zero where the data are not separable: ask its `.separable` first"
            )
        if v.ndim == 2:
            v = v[:, None, :]
        return _ratio((self.weights * v).sum(axis=-1), self.norm * np.linalg.norm(v, axis=-1))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _ratio(numbers: Float, sizes: Float) -> Float:
    return np.asarray(np.divide(numbers, sizes, out=np.zeros_like(numbers), where=sizes != 0))


@dataclass(frozen=True)
class Data:
    """Signed rows y_i x_i of every run, and where the runs start."""

    rows: Float  # (runs, n, d)
    initial: Float  # (runs, d)
    single: bool


def signed_rows(X: Any, y: Any, initial: Any) -> Data:
    """Return the data of the runs; X, y and the initial weights are one for all runs or one a run.

    Raises
    ------
    ValueError, TypeError
        For labels other than -1 and 1, and shapes that do not fit.
    """
    x, labels = as_float("X", X, (2, 3)), as_float("y", y, (1, 2))
    n, d = x.shape[-2:]
    w = np.zeros(d) if initial is None else as_float("initial", initial, (1, 2))
    if not np.isin(labels, (-1.0, 1.0)).all():
        found = np.unique(labels)
        raise ValueError(
            f"`y` holds {', '.join(f'{value:g}' for value in found[:4])}{', ...' if len(found) > 4 else ''}; expected "
            "labels -1 and 1. For two classes a and b: numpy.where(y == b, 1, -1)"
        )
    runs = {len(array) for array, ndim in ((x, 3), (labels, 2), (w, 2)) if array.ndim == ndim}
    if len(runs) > 1:
        raise ValueError(
            f"`X`, `y` and `initial` are for {', '.join(map(str, sorted(runs)))} runs; expected one number"
        )
    count = runs.pop() if runs else 1
    if labels.shape[-1] != n:
        raise ValueError(f"`y` has {labels.shape[-1]} labels; expected {n}, as many as `X` has rows")
    if w.shape[-1] != d:
        raise ValueError(f"`initial` has {w.shape[-1]} weights; expected {d}, as many as `X` has columns")
    rows = np.ascontiguousarray(np.broadcast_to(x * labels[..., None], (count, n, d)))
    with np.errstate(over="ignore"):
        finite = np.isfinite((rows**2).sum()) and np.isfinite((w**2).sum())
    if not finite:
        largest, name = max((np.abs(array).max(), name) for name, array in (("X", x), ("initial", w)))
        raise ValueError(
            f"`{name}` holds numbers up to {largest:.3g}, whose squares overflow. Divide {name} by as much"
        )
    single = x.ndim == 2 and labels.ndim == 1 and w.ndim == 1
    return Data(rows, np.ascontiguousarray(np.broadcast_to(w, (count, d))), single)


def log_losses(margins: Float, loss: str) -> Float:
    """Return log l(m), entrywise."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if loss == "exponential":
            return -margins
        if loss == "squared":
            return np.asarray(2 * np.log(np.abs(1 - margins)) - np.log(2))
        # log(1 + e^-m) = e^-m (1 - e^-m / 2 + ...)
        return np.where(margins > 40, -margins, np.log(np.logaddexp(0.0, -np.minimum(margins, 40.0))))


def log_mean_loss(margins: Float, loss: str) -> Float:
    """Return the logarithm of the mean of l(m) along the last axis."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        terms = log_losses(margins, loss)
        return np.asarray(logsumexp(terms, axis=-1) - np.log(margins.shape[-1]))


def separation(margins: Float) -> str:
    """Say how many runs have all margins positive at their last record."""
    separated = int((margins[:, -1].min(axis=-1) > 0).sum())
    if separated == len(margins):
        return "every run separates its data"
    return (
        f"{len(margins) - separated} of {len(margins)} runs do not separate their data at the end: more steps, or data "
        "that no w separates, on which w tends to the minimiser of the loss"
    )
