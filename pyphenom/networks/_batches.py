"""Which samples each network sees at each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyphenom._arrays import as_integer

Indices: TypeAlias = NDArray[np.int64]
Draw: TypeAlias = Callable[[int], "Indices | None"]
"""Number of steps to their batches: (steps, b) for all networks, (steps, M, b), or None for all samples."""


def batches(
    count: int,
    n: int,
    subsets: Sequence[Sequence[int] | Indices] | None,
    order: int | Sequence[int],
    size: int | None,
) -> Draw:
    """Check what says who sees what, and return the function that draws the batches of the next steps."""
    seeds = list(order) if isinstance(order, (Sequence, np.ndarray)) else [order] * count
    if len(seeds) != count:
        raise ValueError(f"`order` has {len(seeds)} seeds; expected one, or {count}, one a network")
    for index, seed in enumerate(seeds):
        as_integer(f"order[{index}]", seed, 0)
    if size is not None and n < size:
        raise ValueError(
            f"`batch_size` is {size} with {n} samples; expected at most {n}, or None for all samples a step"
        )
    if subsets is None:
        subsets = [np.arange(n)] * count
    elif len(subsets) != count:
        raise ValueError(f"`subsets` has {len(subsets)} entries; expected {count}, one a network")
    rows = [_indices(f"subsets[{index}]", subset, n) for index, subset in enumerate(subsets)]
    for index, subset in enumerate(rows):
        if size is not None and len(subset) < size:
            raise ValueError(f"`subsets[{index}]` has {len(subset)} samples, fewer than the batch size {size}")
    lengths = {len(subset) for subset in rows}
    if size is None and len(lengths) > 1:
        raise ValueError(f"`subsets` have the sizes {sorted(lengths)}; expected equal ones without a batch size")
    everything = size is None and all(np.array_equal(subset, np.arange(n)) for subset in rows)
    return _drawn(rows, seeds, size, everything)


def _indices(name: str, subset: Sequence[int] | Indices, n: int) -> Indices:
    row = np.asarray(subset)
    if row.ndim != 1 or not row.size or row.dtype.kind not in "iu" or row.min() < 0 or row.max() >= n:
        raise ValueError(
            f"`{name}` has shape {row.shape} and dtype {row.dtype}; expected indices of samples, 0 to {n - 1}. "
            "Use numpy.flatnonzero for a boolean selection"
        )
    return row.astype(np.int64)


def _drawn(rows: Sequence[Indices], seeds: Sequence[int], size: int | None, everything: bool) -> Draw:
    if everything:
        return lambda steps: None
    if size is None:
        equal = all(np.array_equal(subset, rows[0]) for subset in rows)
        batch = rows[0] if equal else np.stack(rows)
        return lambda steps: np.broadcast_to(batch, (steps, *batch.shape))
    keys = [(seed, subset.tobytes()) for seed, subset in zip(seeds, rows, strict=True)]
    sources = {key: _order(subset, key[0], size) for key, subset in zip(keys, rows, strict=True)}

    def draw(steps: int) -> Indices:
        drawn = {key: source(steps) for key, source in sources.items()}
        return drawn[keys[0]] if len(drawn) == 1 else np.stack([drawn[key] for key in keys], axis=1)

    return draw


def _order(subset: Indices, seed: int, size: int) -> Callable[[int], Indices]:
    """Return the function that draws from a subset for ever, in an order of the seed and the number of samples."""
    stream, left = np.random.default_rng(seed), np.empty((0, size), np.int64)

    def draw(steps: int) -> Indices:
        nonlocal left
        parts = [left]
        while sum(map(len, parts)) < steps:
            permuted = subset[stream.permutation(len(subset))]
            parts.append(permuted[: len(subset) // size * size].reshape(-1, size))
        drawn = np.concatenate(parts)
        left = drawn[steps:]
        return drawn[:steps]

    return draw
