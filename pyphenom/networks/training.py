"""Training of many networks at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pyphenom._arrays import as_integer, as_real, one_of
from pyphenom.networks.probes import Probe
from pyphenom.networks.stack import Stack

Progress: TypeAlias = Callable[[int, int], None]

LOSSES, OPTIMISERS, SCHEDULES = ("cross-entropy", "squared"), ("sgd", "adam"), ("constant", "linear")


@dataclass(frozen=True)
class Recipe:
    r"""How networks are trained.

    Parameters
    ----------
    steps : int
        Gradient steps.
    learning_rate : float
    batch_size : int, optional
        Samples a step, drawn without replacement from one permutation after another, the rest of a permutation that is
        too small for a batch left out; all samples if None.
    loss : {"cross-entropy", "squared"}, optional
        The mean over the batch of :math:`-\log` of the softmax at the label, or of the squared distance to the target.
    optimiser : {"sgd", "adam"}, optional
    momentum : float, optional
        Of SGD, below 1.
    weight_decay : float, optional
        Times the parameters, added to their gradient.
    schedule : {"constant", "linear"}, optional
        Of the learning rate: as given, or falling to zero linearly over the steps.

    Raises
    ------
    ValueError, TypeError
        For a number out of range or an unknown name.

    Examples
    --------
    >>> Recipe(steps=1000, learning_rate=0.1, batch_size=50).momentum
    0.9
    """

    steps: int
    learning_rate: float
    batch_size: int | None = None
    loss: str = "cross-entropy"
    optimiser: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "constant"

    def __post_init__(self) -> None:
        as_integer("steps", self.steps, 1)
        if self.batch_size is not None:
            as_integer("batch_size", self.batch_size, 1)
        for name in ("learning_rate", "momentum", "weight_decay"):
            as_real(name, getattr(self, name))
        if not self.momentum < 1.0:
            raise ValueError(f"`momentum` is {self.momentum}; expected less than 1")
        for name, allowed in (("loss", LOSSES), ("optimiser", OPTIMISERS), ("schedule", SCHEDULES)):
            one_of(name, getattr(self, name), allowed)


@dataclass(frozen=True, eq=False)
class History:
    """What the probes read during a training.

    Attributes
    ----------
    steps : array of int (K,)
        Gradient steps done when the probes were read.
    values : dict of str to array (K, M)
        For each name that a probe gave, a row a time and a column a network.
    diverged : array of bool (M,)
        Networks with a parameter that is not finite at the end.
    """

    steps: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]
    diverged: NDArray[np.bool_]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, the values among them."""
        return {"steps": self.steps, **self.values, "diverged": self.diverged}

    def __repr__(self) -> str:
        last = {name: np.array2string(value[-1], precision=4, threshold=6) for name, value in self.values.items()}
        return f"History(steps={self.steps[-1]}, last: {', '.join(f'{k}={v}' for k, v in last.items())})"


def train(
    models: Sequence[nn.Module],
    inputs: Tensor,
    targets: Tensor,
    recipe: Recipe,
    order: int | Sequence[int] = 0,
    *,
    subsets: Sequence[Sequence[int] | NDArray[np.int64]] | None = None,
    masks: Sequence[Mapping[str, Tensor]] | None = None,
    probes: Sequence[Probe] = (),
    at: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> History:
    """Train networks in place, all at once in stacked tensors: seeds, widths and arms of an experiment.

    The members share nothing but the arithmetic: each is trained as it would be alone, up to rounding. One thread is
    used, since the rounding depends on their number; run several experiments in several processes.

    Parameters
    ----------
    models : sequence of torch.nn.Module
        M networks of one architecture; their sizes may differ (see `Stack`).
    inputs : Tensor (n, ...)
        Samples, of the networks' dtype.
    targets : Tensor (n,) or (M, n) of int, or (n, K) for the squared loss
        Labels, one row a network where arms differ in them; or targets.
    recipe : Recipe
    order : int or sequence of int, optional
        Seed of the order in which samples are taken: one, and networks with the same samples see the same batches, or
        one for each network.
    subsets : sequence of index arrays, optional
        The samples that each network may use; all of them by default.
    masks : sequence of mapping, optional
        For each network, parameter name to a boolean tensor: where it is False the parameter is held at zero.
    probes : sequence of Probe, optional
        Read at every step of `at`.
    at : sequence of int, optional
        Numbers of steps done, from 0 to ``recipe.steps``; by default the last.
    progress : callable, optional
        Called about a hundred times with (steps done, steps).

    Returns
    -------
    History

    Raises
    ------
    ValueError, TypeError
        Before any work, for bad input; the message names the argument, what came, and the remedy.
    KeyboardInterrupt
        On Ctrl-C, between two steps; the networks keep what they had before.

    Examples
    --------
    >>> from pyphenom.networks import classification, mlp
    >>> X = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    >>> y = (X[:, 0] > 0).long()
    >>> nets = [mlp((5, width, 2), seed=width) for width in (2, 8)]
    >>> history = train(nets, X, y, Recipe(300, 0.1, batch_size=20), probes=[classification("train", X, y)])
    >>> bool((history.values["train_error"] < 0.1).all())
    True
    """
    stack = Stack(models, masks)
    at = sorted(set([recipe.steps] if at is None else [as_integer("at", step, 0, recipe.steps) for step in at]))
    targets = _checked_targets(inputs, targets, recipe.loss, len(stack))
    batches = _batches(len(stack), len(inputs), subsets, order, recipe.batch_size)
    stack.check(inputs[:2])
    read: list[dict[str, NDArray[np.float64]]] = []

    def probe(step: int) -> None:
        if step in at:
            with torch.no_grad():
                found = {name: value for each in probes for name, value in each(stack).items()}
            read.append({name: value.double().cpu().numpy() for name, value in found.items()})

    optimiser = _optimiser(stack, recipe)
    with _one_thread():
        probe(0)
        for step in range(1, recipe.steps + 1):
            for group in optimiser.param_groups:
                group["lr"] = _rate(recipe, step)
            optimiser.zero_grad()
            _loss(stack, inputs, targets, next(batches), recipe.loss).backward()  # type: ignore[no-untyped-call]
            stack.hold_gradients()
            optimiser.step()
            probe(step)
            if progress and step % max(1, recipe.steps // 100) == 0:
                progress(step, recipe.steps)
    stack.write_back()
    finite = [value.detach().flatten(1).isfinite().all(1) for value in stack.parameters.values()]
    values = {name: np.array([row[name] for row in read]) for name in (read[0] if read else {})}
    return History(np.array(at, dtype=np.int64), values, ~torch.stack(finite).all(0).numpy())


def _loss(stack: Stack, inputs: Tensor, targets: Tensor, batch: Tensor | None, loss: str) -> Tensor:
    """Return the sum of the losses of the members, whose gradients do not mix."""
    shared = batch is None or batch.ndim == 1
    outputs = stack.outputs(inputs if batch is None else inputs[batch], shared)
    if batch is None:
        truth = targets
    elif shared:
        truth = targets[:, batch]
    else:
        members = torch.arange(len(targets))[:, None] if len(targets) > 1 else 0
        truth = targets[members, batch]
    count = outputs.shape[1]
    if loss == "squared":
        return ((outputs - truth) ** 2).sum() / count
    flat = truth.expand(len(stack), -1).reshape(-1)
    return functional.cross_entropy(outputs.reshape(-1, outputs.shape[-1]), flat, reduction="sum") / count


def _batches(
    count: int,
    n: int,
    subsets: Sequence[Sequence[int] | NDArray[np.int64]] | None,
    order: int | Sequence[int],
    size: int | None,
) -> Iterator[Tensor | None]:
    """Check what says who sees what, and yield indices of samples: (b,) for all members, (M, b), or None for all."""
    seeds = [order] * count if isinstance(order, (int, np.integer)) else list(order)
    if len(seeds) != count:
        raise ValueError(f"`order` has {len(seeds)} seeds; expected one, or {count}, one a network")
    for index, seed in enumerate(seeds):
        as_integer(f"order[{index}]", seed, 0)
    if subsets is None:
        subsets = [np.arange(n)] * count
    elif len(subsets) != count:
        raise ValueError(f"`subsets` has {len(subsets)} entries; expected {count}, one a network")
    rows = [np.asarray(subset, dtype=np.int64) for subset in subsets]
    for index, subset in enumerate(rows):
        if subset.ndim != 1 or not len(subset) or subset.min() < 0 or subset.max() >= n:
            raise ValueError(f"`subsets[{index}]` is not a list of samples; expected indices from 0 to {n - 1}")
        if size is not None and len(subset) < size:
            raise ValueError(f"`subsets[{index}]` has {len(subset)} samples, fewer than the batch size {size}")
    lengths = {len(subset) for subset in rows}
    if size is None and len(lengths) > 1:
        raise ValueError(f"`subsets` have the sizes {sorted(lengths)}; expected equal ones without a batch size")
    return _drawn(rows, seeds, size, everything=size is None and all(len(subset) == n for subset in rows))


def _drawn(
    rows: Sequence[NDArray[np.int64]], seeds: Sequence[int], size: int | None, everything: bool
) -> Iterator[Tensor | None]:
    if everything:
        while True:
            yield None
    keys = [(seed, subset.tobytes()) for seed, subset in zip(seeds, rows, strict=True)]
    sources = {key: _order(subset, key[0], size) for key, subset in zip(keys, rows, strict=True)}
    while True:
        drawn = {key: next(source) for key, source in sources.items()}
        yield drawn[keys[0]] if len(drawn) == 1 else torch.stack([drawn[key] for key in keys])


def _order(subset: NDArray[np.int64], seed: int, size: int | None) -> Iterator[Tensor]:
    """Yield batches of a subset for ever; the order depends on the seed and the number of samples."""
    stream = np.random.default_rng(seed)
    while True:
        if size is None:
            yield torch.from_numpy(subset)
            continue
        permuted = subset[stream.permutation(len(subset))]
        for first in range(0, len(subset) - size + 1, size):
            yield torch.from_numpy(permuted[first : first + size])


def _checked_targets(inputs: Tensor, targets: Tensor, loss: str, count: int) -> Tensor:
    """Return labels as (1 or M, n), or targets as (1, n, K)."""
    if not isinstance(inputs, Tensor) or not isinstance(targets, Tensor):
        raise TypeError(
            f"`inputs` and `targets` are {type(inputs).__name__} and {type(targets).__name__}; expected tensors. "
            "Use torch.from_numpy"
        )
    expected = {"squared": ((len(inputs),), 2), "cross-entropy": ((len(inputs),), 1)}[loss]
    shaped = targets[None] if targets.ndim == expected[1] else targets
    if shaped.ndim != expected[1] + 1 or shaped.shape[0] not in (1, count) or shaped.shape[1] != len(inputs):
        raise ValueError(
            f"`targets` has the shape {tuple(targets.shape)}; expected {len(inputs)} rows, or {count} times "
            f"{len(inputs)} where the networks have labels of their own"
        )
    if loss == "cross-entropy" and shaped.dtype != torch.int64:
        raise TypeError(f"`targets` has the dtype {shaped.dtype}; expected torch.int64, the index of the class")
    return shaped


def _optimiser(stack: Stack, recipe: Recipe) -> torch.optim.Optimizer:
    parameters = list(stack.parameters.values())
    if recipe.optimiser == "adam":
        return torch.optim.Adam(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(parameters, recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay)


def _rate(recipe: Recipe, step: int) -> float:
    if recipe.schedule == "constant":
        return recipe.learning_rate
    return recipe.learning_rate * (1.0 - (step - 1) / recipe.steps)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
