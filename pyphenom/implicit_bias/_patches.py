"""Patches as signed vectors of a basis, and the outputs of the two-layer CNN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyphenom._arrays import Float


@dataclass(frozen=True, eq=False)
class Basis:
    """Distinct patches up to their sign: x[r, i, p] = sign[r, i, p] vectors[r, index[r, i, p]]."""

    vectors: Float
    index: Float
    sign: Float


def basis_of(x: Float) -> Basis:
    """Return the basis of patches (runs, n, P, d); runs with fewer vectors get zeros.

    >>> basis = basis_of(np.array([[[[1.0, 2.0]], [[-1.0, -2.0]]]]))
    >>> basis.vectors.tolist(), basis.sign.ravel().tolist()
    ([[[1.0, 2.0]]], [1.0, -1.0])
    """
    runs, n, patches, d = x.shape
    index, sign = np.empty((runs, n, patches), np.int32), np.empty((runs, n, patches))
    found: list[list[Float]] = []
    for run in range(runs):
        seen: dict[bytes, int] = {}
        vectors: list[Float] = []
        for i, p in np.ndindex(n, patches):
            patch = x[run, i, p]
            first = patch[np.argmax(patch != 0)]
            turn = -1.0 if first < 0 else 1.0
            vector = turn * patch + 0.0  # -0 -> 0, for they are equal
            index[run, i, p] = seen.setdefault(vector.tobytes(), len(vectors))
            sign[run, i, p] = turn
            if index[run, i, p] == len(vectors):
                vectors.append(vector)
        found.append(vectors)
    out = np.zeros((runs, max(map(len, found)), d))
    for run, vectors in enumerate(found):
        out[run, : len(vectors)] = vectors
    return Basis(out, index, sign)


def outputs(weights: Float, x: Float, power: float, average: bool) -> Float:
    """Return f (runs, t) for weights (runs, 2, m, d) and patches (runs or 1, t, P, d)."""
    runs, _, m, d = weights.shape
    _, t, patches, _ = x.shape
    z = x.reshape(len(x), t * patches, d) @ weights.reshape(runs, 2 * m, d).transpose(0, 2, 1)
    np.maximum(z, 0.0, out=z)
    z = (z if power == 1 else z**power).reshape(runs, t, patches, 2, m).sum(axis=(2, 4))
    f: Float = (z[..., 0] - z[..., 1]) / (m if average else 1)
    return f
