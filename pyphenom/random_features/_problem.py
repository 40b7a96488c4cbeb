"""What a path is given, checked, and in the units in which the kernel's arithmetic is safe."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphenom._arrays import Float, as_float, as_integer


class Targets:
    """The checked targets, one a row as the kernel wants them, each scaled to be near 1 where it was extreme."""

    def __init__(self, y: Any, y_test: Any, n: int, m: int) -> None:
        train, test = as_float("y", y, (1, 2)), as_float("y_test", y_test, (1, 2))
        self.single = train.ndim == 1
        for name, array, rows, matrix in (("y", train, n, "X"), ("y_test", test, m, "X_test")):
            if array.shape[0] != rows:
                raise ValueError(f"`{name}` has {array.shape[0]} rows; expected {rows}, as many as `{matrix}`")
        train, test = train.reshape(n, -1).T, test.reshape(m, -1).T
        if len(test) not in (1, len(train)):
            raise ValueError(f"`y_test` has {len(test)} columns; expected 1 or {len(train)}, as many as `y`")
        test = np.broadcast_to(test, (len(train), m))
        largest = np.maximum(np.abs(train).max(axis=1), np.abs(test).max(axis=1))
        self.scale = np.array([power_of_two_near(value) for value in largest])
        self.train = np.ascontiguousarray(train / self.scale[:, None])
        self.test = np.ascontiguousarray(test / self.scale[:, None])


def power_of_two_near(largest: float) -> float:
    """Return a power of two near `largest` where its square could overflow or vanish, else 1."""
    if largest == 0.0 or 1e-70 < largest < 1e70:
        return 1.0
    return float(2.0 ** np.clip(np.round(np.log2(largest)), -1000, 1000))


def checked_widths(widths: Iterable[int]) -> NDArray[np.int64]:
    if isinstance(widths, (int, np.integer)):
        widths = [int(widths)]
    if not isinstance(widths, Iterable) or isinstance(widths, (str, bytes)):
        raise TypeError(f"`widths` is {widths!r}; expected integers, for example range(1, 101)")
    if isinstance(widths, range) and len(widths) and min(widths) >= 1:
        return np.arange(widths.start, widths.stop, widths.step, dtype=np.int64)
    asked = list(widths)
    if not asked:
        raise ValueError("`widths` is empty; expected at least one width, for example range(1, 101)")
    return np.array([as_integer(f"widths[{i}]", width, 1, 2**31 - 1) for i, width in enumerate(asked)], dtype=np.int64)


@dataclass(frozen=True)
class Problem:
    """What a path needs to know, checked."""

    # first feature, count -> training and test features, one a row
    block: Callable[[int, int], tuple[Float, Float]]
    targets: Targets
    asked: NDArray[np.int64]
    ridge: float
    per_width: bool  # whether the penalty grows with the width
    dimension: int
    scale: float  # of the features
    tolerance: float
    norm2: float  # of all scaled features together, about; infinite where their sizes differ much
    finite: bool  # whether the features are known to be

    def penalty(self, width: int) -> float:
        """P_N in the units of the scaled features.

        Raises
        ------
        ValueError
            If it leaves the range of numbers whose square is finite.
        """
        n = self.targets.train.shape[1]
        growth = width / self.dimension if self.per_width else 1.0
        with np.errstate(over="ignore"):
            value = float(np.float64(n * growth) * self.ridge / self.scale / self.scale)
        if not value <= 1e150:
            raise ValueError(
                f"`ridge` is {self.ridge}, more than 1e150 times the squared size of the features; expected less. "
                "Any ridge far above the features' size gives the prediction 0"
            )
        return value

    def features(self, first: int, count: int) -> tuple[Float, Float]:
        """Features of a block as the kernel takes them: one a row, one axis contiguous, finite, float64, scaled.

        Raises
        ------
        ValueError
            If a feature overflows.
        """
        parts = []
        for name, part in zip(("X", "X_test"), self.block(first, count), strict=True):
            if self.scale != 1.0:
                part = part / self.scale
            if part.dtype != np.float64 or part.itemsize not in part.strides:
                part = np.ascontiguousarray(part, np.float64)
            if not self.finite:
                _check_finite(name, part)
            parts.append(part)
        return parts[0], parts[1]


def _check_finite(name: str, features: Float) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(features.sum())
    if suspicious and not np.isfinite(features).all():
        raise ValueError(f"the features of `{name}` overflow; expected inputs of moderate size. Scale `{name}`")


def dependence_tolerance(n: int, dtype: np.dtype[Any]) -> float:
    """Return what rounding leaves of a dependent feature, relative to it."""
    if dtype == np.float32:
        return 16 * float(np.finfo(np.float32).eps)
    return max(n, 100) * float(np.finfo(np.float64).eps)
