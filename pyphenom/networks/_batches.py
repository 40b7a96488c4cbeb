"""Which samples each network sees at each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyphenom._arrays import as_integer

_BLOCK = 64  # steps whose batches are drawn together, which costs hardly more than those of one


def batches(
    count: int,
    n: int,
    subsets: Sequence[Sequence[int] | NDArray[np.int64]] | None,
    order: int | Sequence[int],
    size: int | None,
) -> Iterator[Tensor | None]:
    """Check what says who sees what, and return indices of samples: (b,) for all members, (M, b), or None for all."""
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


def _indices(name: str, subset: Sequence[int] | NDArray[np.int64], n: int) -> NDArray[np.int64]:
    row = np.asarray(subset)
    if row.ndim != 1 or not row.size or row.dtype.kind not in "iu" or row.min() < 0 or row.max() >= n:
        raise ValueError(
            f"`{name}` has shape {row.shape} and dtype {row.dtype}; expected indices of samples, 0 to {n - 1}. "
            "Use numpy.flatnonzero for a boolean selection"
        )
    return row.astype(np.int64)


def _drawn(
    rows: Sequence[NDArray[np.int64]], seeds: Sequence[int], size: int | None, everything: bool
) -> Iterator[Tensor | None]:
    if everything:
        while True:
            yield None
    if size is None:  # the same object at each step, so that what it picks need not be picked anew
        equal = all(np.array_equal(subset, rows[0]) for subset in rows)
        batch = torch.from_numpy(rows[0] if equal else np.stack(rows))
        while True:
            yield batch
    keys = [(seed, subset.tobytes()) for seed, subset in zip(seeds, rows, strict=True)]
    sources = {key: _order(subset, key[0], size) for key, subset in zip(keys, rows, strict=True)}
    while True:
        drawn = {key: torch.from_numpy(next(source)) for key, source in sources.items()}
        yield from drawn[keys[0]] if len(drawn) == 1 else torch.stack([drawn[key] for key in keys], dim=1)


def _order(subset: NDArray[np.int64], seed: int, size: int) -> Iterator[NDArray[np.int64]]:
    """Yield the next _BLOCK batches of a subset for ever; the order depends on the seed and the number of samples."""
    stream, left = np.random.default_rng(seed), np.empty((0, size), np.int64)
    while True:
        parts = [left]
        while sum(map(len, parts)) < _BLOCK:
            permuted = subset[stream.permutation(len(subset))]
            parts.append(permuted[: len(subset) // size * size].reshape(-1, size))
        drawn = np.concatenate(parts)
        yield drawn[:_BLOCK]
        left = drawn[_BLOCK:]
