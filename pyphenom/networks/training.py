"""Training of many networks at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pyphenom._arrays import as_integer, as_real, one_of
from pyphenom.networks._batches import batches
from pyphenom.networks._checks import checked_inputs, checked_targets
from pyphenom.networks._dense import Steps, dense_steps
from pyphenom.networks.probes import Probe
from pyphenom.networks.stack import Stack

Progress: TypeAlias = Callable[[int, int], None]

_BLOCK = 64  # steps between two looks for Ctrl-C
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
        last = [f"{k}={np.array2string(v[-1], precision=4, threshold=6)}" for k, v in self.values.items()]
        diverged = f", {self.diverged.sum()} diverged" if self.diverged.any() else ""
        return f"History({len(self.steps)} readings{diverged}, last: {', '.join(last) or 'nothing'})"


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
    used, since the rounding depends on their number; run several experiments in several processes. Parameters that
    require no gradient stay as they are.

    Parameters
    ----------
    models : sequence of torch.nn.Module
        M networks of one architecture, without randomness and with K outputs; their sizes may differ (see `Stack`).
    inputs : Tensor (n, ...)
        Samples, of the networks' dtype.
    targets : Tensor (n,) or (M, n) of int, or (n, K) or (M, n, K) for the squared loss
        Labels from 0 to K - 1, or targets; one row a network where arms differ in them.
    recipe : Recipe
    order : int or sequence of int, optional
        Seed of the order in which samples are taken, the permutations of ``numpy.random.default_rng(seed)``: one, and
        networks with the same samples see the same batches, or one for each network.
    subsets : sequence of index arrays, optional
        The samples that each network may use; all of them by default.
    masks : sequence of mapping, optional
        For each network, parameter name to a boolean tensor: where it is False the parameter is held at zero.
    probes : sequence of Probe, optional
        Read at every step of `at`; their names must differ.
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
    times = set([recipe.steps] if at is None else [as_integer("at", step, 0, recipe.steps) for step in at])
    inputs = checked_inputs(inputs, targets, next(iter(stack.parameters.values())).dtype)
    stack.check(inputs[:2])
    targets = checked_targets(stack, inputs, targets, recipe.loss)
    draw = batches(len(stack), len(inputs), subsets, order, recipe.batch_size)
    advance = steps_of(stack, inputs, targets, recipe, masks is not None)
    read: list[dict[str, NDArray[np.float64]]] = []
    # A block of steps ends where somebody wants to know how things stand.
    told = {done for done in range(1, recipe.steps) if done % max(1, recipe.steps // 100) == 0} if progress else set()
    stops = sorted({*times, *told, *range(_BLOCK, recipe.steps, _BLOCK), recipe.steps} - {0})

    with _one_thread(), torch.enable_grad():
        if 0 in times:
            read.append(_read(probes, stack))
        for done, upto in pairwise([0, *stops]):
            advance(draw(upto - done), [_rate(recipe, step + 1) for step in range(done, upto)])
            if upto in times:
                read.append(_read(probes, stack))
            if progress and (upto in told or upto == recipe.steps):
                progress(upto, recipe.steps)
    stack.write_back()
    finite = [value.detach().reshape(len(stack), -1).isfinite().all(1) for value in stack.parameters.values()]
    values = {name: np.array([row[name] for row in read]) for name in (read[0] if read else {})}
    return History(np.array(sorted(times), dtype=np.int64), values, ~torch.stack(finite).all(0).cpu().numpy())


def _read(probes: Sequence[Probe], stack: Stack) -> dict[str, NDArray[np.float64]]:
    found: dict[str, NDArray[np.float64]] = {}
    for each in probes:
        with torch.no_grad():
            values = each(stack)
        for name, value in values.items():
            if name in found or name in ("steps", "diverged"):
                raise ValueError(f"`probes` give {name!r} twice, or it is a field of the history; expected other names")
            if value.shape != (len(stack),):
                raise ValueError(
                    f"`probes` give {name!r} the shape {tuple(value.shape)}; expected {(len(stack),)}, one "
                    "value a network"
                )
            found[name] = value.detach().double().cpu().numpy().copy()  # not a view of parameters
    return found


def steps_of(stack: Stack, inputs: Tensor, targets: Tensor, recipe: Recipe, masked: bool = False) -> Steps:
    """Return the function that moves the parameters of a stack by some steps, with masks in the stack or without.

    Inputs are (n, ...), targets (1 or M, n) or (1 or M, n, K).
    """
    compiled = dense_steps(stack, inputs, targets, recipe, masked)
    if compiled is not None:
        return compiled
    move = _optimiser([value for value in stack.parameters.values() if value.requires_grad], recipe)

    def step(samples: Tensor, truth: Tensor, rate: float) -> None:
        for value in stack.parameters.values():
            value.grad = None
        _loss(stack, samples, truth, samples.ndim == inputs.ndim, recipe.loss).backward()  # type: ignore[no-untyped-call]
        stack.hold_gradients()
        move(rate)

    def advance(drawn: NDArray[np.int64] | None, rates: Sequence[float]) -> None:
        chosen = inputs, targets
        for k, rate in enumerate(rates):
            if drawn is not None and (k == 0 or drawn.strides[0] != 0):  # else the same samples again
                batch = torch.from_numpy(drawn[k].copy()).to(inputs.device)
                chosen = inputs[batch], _rows(targets, batch)
            step(*chosen, rate)

    return advance


def _rows(targets: Tensor, batch: Tensor) -> Tensor:
    """Return the targets of a batch, (1 or M, b) or (1 or M, b, K)."""
    if batch.ndim == 1:
        return targets[:, batch]
    return targets[torch.arange(len(targets))[:, None] if len(targets) > 1 else 0, batch]


def _loss(stack: Stack, samples: Tensor, truth: Tensor, shared: bool, loss: str) -> Tensor:
    """Return the sum of the losses of the members, whose gradients do not mix."""
    outputs = stack.outputs(samples, shared)
    count = outputs.shape[1]
    if loss == "squared":
        return ((outputs - truth) ** 2).sum() / count
    flat = truth.expand(len(stack), -1).reshape(-1)
    return functional.cross_entropy(outputs.reshape(-1, outputs.shape[-1]), flat, reduction="sum") / count


def _optimiser(parameters: Sequence[Tensor], recipe: Recipe) -> Callable[[float], None]:
    """Return the function that moves the parameters along their gradients at a learning rate."""
    if not parameters:
        raise ValueError("`models` have no parameter that requires a gradient; expected at least one to train")
    rate, decay = recipe.learning_rate, recipe.weight_decay
    optimiser: torch.optim.Optimizer
    if recipe.optimiser == "adam":
        optimiser = torch.optim.Adam(parameters, rate, weight_decay=decay, fused=True)
    else:
        optimiser = torch.optim.SGD(parameters, rate, recipe.momentum, weight_decay=decay, fused=True)

    def step(rate: float) -> None:
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()

    return step


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
