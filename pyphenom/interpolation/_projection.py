"""Projections of the inputs on directions: the one pass over the data, block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pyphenom import _core
from pyphenom._arrays import Float, Progress, as_float
from pyphenom.random_features.features import threads

BLOCK_ENTRIES = 1 << 23
"""Entries of X that are converted at once where they are neither float32 nor float64; Ctrl-C is heard after each."""


def blocks(X: Float) -> Iterator[tuple[slice, Float]]:
    """Yield X by rows, C-ordered, as float32 or float64; without a copy where it is that already."""
    dtype = np.float32 if X.dtype == np.float32 else np.float64
    rows = max(1, BLOCK_ENTRIES // X.shape[1])
    for first in range(0, len(X), rows):
        part = slice(first, min(first + rows, len(X)))
        with np.errstate(over="ignore"):  # of types longer than float64; the projections tell
            yield part, np.require(X[part], dtype, ["C", "A"])


def project(name: str, X: Float, center: Float, directions: Float, progress: Progress | None = None) -> Float:
    """Return the finite projections (directions, n) of X - center.

    Raises
    ------
    ValueError
        If X holds NaN or infinity, or numbers so large that the projection overflows.
    """
    Z = np.empty((len(directions), len(X)))
    for part, block in blocks(X):
        _core.project(block, center, directions, Z[:, part], threads())
        # Every entry has a part in the projection, so that no other pass has to look for NaN.
        with np.errstate(over="ignore", invalid="ignore"):
            suspicious = not np.isfinite(Z[:, part].sum())
        if suspicious and not np.isfinite(Z[:, part]).all():
            as_float(name, X, (2,))
            raise ValueError(
                f"`{name}` holds numbers up to {np.abs(block).max():.3g}, whose projections overflow; expected smaller "
                f"ones. Divide {name} by its largest entry"
            )
        if progress is not None:
            progress(part.stop, len(X))
    return Z


def middle(X: Float) -> Float:
    """Return the median of some hundred rows: taken off, it leaves a common offset no part in the rounding errors.

    In one dimension zero, for the numbers themselves are their projections, and subtraction could make some equal.
    """
    if X.shape[1] == 1:
        return np.zeros(1)
    return np.asarray(np.median(X[:: max(1, len(X) // 101)][:101].astype(np.float64), axis=0))


def unit_directions(dimension: int, count: int, rng: np.random.Generator) -> Float:
    """Return directions (count, dimension) uniform on the sphere; the one that there is in one dimension."""
    if dimension == 1:
        return np.ones((1, 1))
    directions = rng.standard_normal((count, dimension))
    return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))


def column_scales(X: Float, center: Float) -> Float:
    """Return the largest |X - center| of each column, 1 for a constant one."""
    largest = np.zeros(X.shape[1])
    for _, block in blocks(X):
        np.maximum(largest, np.abs(block - center).max(axis=0), out=largest)
    return np.where(largest > 0, largest, 1.0)
