"""The ReLU network with 2n + d weights that takes any distinct inputs to any labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphenom import _core
from pyphenom._arrays import Float, Progress, as_float, as_integer, as_numeric, as_real
from pyphenom.interpolation._projection import column_scales, middle, project, unit_directions
from pyphenom.interpolation.network import ReLUInterpolant
from pyphenom.random_features.features import threads

CHUNK = 1 << 14
"""Rows that are compared at once."""


def relu_interpolant(
    X: Any,
    y: Any,
    *,
    candidates: int = 4,
    position: float = 0.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> ReLUInterpolant:
    r"""Two-layer ReLU network :math:`f(x)=\sum_{j=1}^n v_j(a\cdot x-b_j)_+` through n distinct points.

    With the projections :math:`z_j=a\cdot x_j` sorted and interleaved biases
    :math:`b_1<z_1\le b_2<z_2\le\dots\le b_n<z_n` the matrix :math:`(z_i-b_j)_+` is lower triangular with a positive
    diagonal, so that f takes any labels: 2n + d weights. f is linear between its knots, with slopes
    :math:`S_j=v_1+\dots+v_j` that follow from one another,

    .. math:: S_j=\frac{y_j-y_{j-1}-S_{j-1}(b_j-z_{j-1})}{z_j-b_j}.

    Parameters
    ----------
    X : array or CPU tensor (n, d)
        Inputs, one a row. Equal rows with equal labels are merged. Never copied as a whole.
    y : array (n,) or (n, T)
        Labels; the T columns share the hidden layer.
    candidates : int
        Random directions tried; the one whose smallest gap between neighbours is largest, relative to the range of z,
        is taken. They share one pass over X, and each costs a sort of n numbers. One dimension has one direction.
    position : float
        Where the biases stand between neighbours, in [0, 1/2]: :math:`b_j=z_{j-1}+\text{position}\,(z_j-z_{j-1})`;
        :math:`b_1=z_1-(z_n-z_1)`. At 0 the knots are at the data, and f is the piecewise linear interpolant, of the
        smallest slopes that any has. A slope enters the next one times -position / (1 - position): it dies out below
        1/2, stays at the midpoints, 1/2, and would grow exponentially above.
    seed : int
        Of the directions.
    progress : callable (rows, n), optional
        Called as X is read. Ctrl-C stops within one block.

    Returns
    -------
    ReLUInterpolant

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work; for equal rows with different labels, naming two; where distinct rows have
        equal projections on every direction tried; where the slopes overflow.

    Notes
    -----
    O(nd + n log n) time and O(n) memory beyond X. At 0 and at every other position the interpolant takes its labels at
    the data to the bit, whatever n: a row's projection does not depend on its block, on threads or on the processor,
    and f is evaluated from the label of the nearest knot, not as the sum. The sum itself loses accuracy as n^2; see
    `ReLUInterpolant.weighted_sum`.

    References
    ----------
    Zhang, Bengio, Hardt, Recht and Vinyals, "Understanding deep learning requires rethinking generalization", ICLR
    2017, Theorem 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((1000, 20)), rng.integers(0, 2, 1000)
    >>> f = relu_interpolant(X, y)
    >>> f
    ReLUInterpolant(1000 knots, 20 inputs, 1 target, 2020 weights)
    >>> bool((f(X) == y).all())
    True
    """
    x, labels = as_numeric("X", X, (2,)), as_float("y", y, (1, 2), keep_float32=True)
    n = len(x)
    if len(labels) != n:
        raise ValueError(f"`y` has {len(labels)} rows; expected {n}, as many as `X`")
    if n >= 2**32:
        raise ValueError(f"`X` has {n} rows; expected fewer than 2^32")
    count, seed = as_integer("candidates", candidates, 1), as_integer("seed", seed, 0, 2**64 - 1)
    if (position := as_real("position", position)) > 0.5:
        raise ValueError(f"`position` is {position}; expected at most 1/2: beyond, slopes grow exponentially")
    targets = labels.astype(np.float64, copy=False).reshape(n, -1)

    center = middle(x)
    pair = None
    for directions in _rounds(x, center, count, np.random.default_rng(seed)):
        Z = project("X", x, center, directions, progress)
        orders, gaps = _core.sort_projections(Z, threads())
        for k in np.argsort(-gaps, kind="stable"):
            z = Z[k][orders[k]]
            same, pair = _merge(x, targets, z, orders[k])
            if pair is None:
                rows = orders[k][~same]
                return _through(
                    z[~same], targets[rows], position, directions[k], center, float(gaps[k]), labels, int(same.sum())
                )
    assert pair is not None
    raise ValueError(
        f"`X` has distinct rows {pair[0]} and {pair[1]} whose projections are equal in float64 on every direction "
        "tried; expected rows that differ by more than rounding. Remove one of them, or scale up the columns in which "
        "they differ"
    )


def _rounds(x: Float, center: Float, count: int, rng: np.random.Generator) -> Iterator[Float]:
    """Yield directions; where none of the first tells all rows apart, such as give every column the same weight."""
    yield unit_directions(x.shape[1], count, rng)
    if x.shape[1] > 1:
        scales = column_scales(x, center)
        directions = unit_directions(x.shape[1], count, rng) * (scales.min() / scales)
        yield directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _merge(
    x: Float, targets: Float, z: Float, order: NDArray[np.uint32]
) -> tuple[NDArray[np.bool_], tuple[int, int] | None]:
    """Return which of the sorted rows repeat the row before them, and two distinct rows with equal projections if any.

    Raises
    ------
    ValueError
        If two equal rows have different targets.
    """
    same = np.zeros(len(z), dtype=bool)
    same[1:] = z[1:] == z[:-1]
    ties = np.flatnonzero(same)
    for first in range(0, len(ties), CHUNK):
        behind, before = order[ties[first : first + CHUNK]], order[ties[first : first + CHUNK] - 1]
        distinct = (x[behind] != x[before]).any(axis=1)
        if distinct.any():
            i = int(np.argmax(distinct))
            return same, (int(before[i]), int(behind[i]))
        conflict = (targets[behind] != targets[before]).any(axis=1)
        if conflict.any():
            i, j = int(before[np.argmax(conflict)]), int(behind[np.argmax(conflict)])
            raise ValueError(
                f"`X` has equal rows {i} and {j} with different labels {_label(targets[i])} and {_label(targets[j])}; "
                "expected one label a point. Remove one of them, or average their labels"
            )
    return same, None


def _label(row: Float) -> str:
    return f"{row[0]:g}" if len(row) == 1 else np.array2string(row, threshold=6)


def _through(
    z: Float,
    targets: Float,
    position: float,
    direction: Float,
    center: Float,
    gap: float,
    labels: Float,
    merged: int,
) -> ReLUInterpolant:
    """Return the interpolant of the targets at strictly ascending projections z."""
    low, high = float(z[0]), float(z[-1])
    width = high - low if len(z) > 1 else 1.0
    if not np.isfinite(low - width):
        raise ValueError(
            f"`X` has projections from {low:.3g} to {high:.3g}, whose range overflows. Divide X by its largest entry"
        )
    knots, slopes = _core.relu_interpolate(z, targets, min(low - width, np.nextafter(low, -np.inf)), position)
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(slopes.sum())
    if suspicious and not np.isfinite(slopes).all():
        raise ValueError(
            f"`y` spans {targets.min():g} to {targets.max():g} over gaps of projections down to "
            f"{np.diff(z).min(initial=width):.3g}: the slopes overflow. Divide `y` by its range, or scale `X` up"
        )
    single = labels.ndim == 1
    return ReLUInterpolant(
        direction=direction.copy(),
        center=center,
        knots=knots,
        projections=z,
        targets=targets[:, 0] if single else targets,
        slopes=slopes[:, 0] if single else slopes,
        relative_gap=gap,
        merged=merged,
        dtype=labels.dtype,
    )
