"""Steps of stacked fully connected networks in the compiled kernel, which keeps the small ones in the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pyphenom import _core
from pyphenom.networks.stack import Layer, Stack

if TYPE_CHECKING:
    from pyphenom.networks.training import Recipe

Steps: TypeAlias = Callable[[NDArray[np.int64] | None, Sequence[float]], None]
"""Take a step a rate: on batches (steps, b), or (steps, M, b) where networks have their own, or on all samples."""

_KERNELS: dict[torch.dtype, Any] = {torch.float32: _core.DenseDescent32, torch.float64: _core.DenseDescent64}
_FUNCTIONS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Identity: "identity"}


def dense_steps(stack: Stack, inputs: Tensor, targets: Tensor, recipe: Recipe, masked: bool) -> Steps | None:
    """Return the kernel's steps, which move the parameters of a stack, or None if it is none of its networks.

    Each is a linear layer, at most one function behind it, and so on, on the processor, with all parameters free but
    those that masks hold at zero.
    """
    layers = stack.layers()
    if inputs.ndim != 2 or inputs.device.type != "cpu" or inputs.dtype not in _KERNELS or layers is None:
        return None
    functions = _functions_behind(layers)
    if functions is None or any(0 in sizes for sizes in stack.widths()):
        return None
    moved = [value for layer in layers if isinstance(layer, tuple) for value in layer]
    parameters = [value.detach().numpy() for value in moved]
    free = {value: stack.masks.get(name, torch.ones_like(value)) for name, value in stack.parameters.items()}
    squared = recipe.loss == "squared"
    kernel = _KERNELS[inputs.dtype](
        parameters,
        [np.zeros_like(value) for value in parameters],
        [np.zeros_like(value) for value in parameters] if recipe.optimiser == "adam" else [],
        [free[value].numpy() for value in moved] if masked else [],
        functions,
        stack.widths(),
        np.ascontiguousarray(inputs.numpy()),
        np.ascontiguousarray(targets.to(inputs.dtype).numpy() if squared else np.empty((0, 0, 0), parameters[0].dtype)),
        np.ascontiguousarray(np.empty((0, 0), np.int64) if squared else targets.numpy()),
        recipe.loss,
        recipe.optimiser,
        recipe.momentum,
        recipe.weight_decay,
    )

    def advance(batches: NDArray[np.int64] | None, rates: Sequence[float]) -> None:
        if batches is None:
            kernel.advance(None, rates)
        elif batches.strides[0] != 0:
            kernel.advance(np.ascontiguousarray(batches), rates)
        else:  # the same samples at every step: a copy for each would be large
            for rate in rates:
                kernel.advance(np.ascontiguousarray(batches[:1]), [rate])

    return advance


def _functions_behind(layers: Sequence[Layer]) -> list[str] | None:
    """Return the function behind each linear layer, or None where there are two, or one before them all."""
    functions: list[str] = []
    for index, layer in enumerate(layers):
        if isinstance(layer, tuple):
            functions.append("identity")
        elif index == 0 or not isinstance(layers[index - 1], tuple):
            return None
        else:
            functions[-1] = _FUNCTIONS[layer]
    return functions
