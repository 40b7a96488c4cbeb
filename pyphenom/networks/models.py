"""Networks that the studies train."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from numpy.random import SeedSequence
from torch import nn

from pyphenom._arrays import as_integer, one_of

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "identity": nn.Identity}


def mlp(
    sizes: Sequence[int], activation: str = "relu", seed: int = 0, dtype: torch.dtype = torch.float32
) -> nn.Sequential:
    r"""Return a fully connected network, weights and biases uniform on :math:`\pm m^{-1/2}` at m inputs of the layer.

    This is PyTorch's default law. Each layer has a stream of its own, and torch's global generator is
    neither read nor moved.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, widths of the hidden layers, outputs: ``(40, 100, 10)`` has one hidden layer of 100 units.
    activation : {"relu", "tanh", "identity"}, optional
        Between the layers.
    seed : int, optional
        At least 0.
    dtype : torch.dtype, optional
        Of the parameters.

    Returns
    -------
    torch.nn.Sequential
        Linear layers, with the activation between them.

    Raises
    ------
    ValueError, TypeError
        If there are fewer than two sizes, one is not a positive integer, or the activation is unknown.

    Examples
    --------
    >>> net = mlp((40, 100, 10))
    >>> sum(parameter.numel() for parameter in net.parameters())
    5110
    """
    sizes = [as_integer(f"sizes[{i}]", size, 1) for i, size in enumerate(sizes)]
    if len(sizes) < 2:
        raise ValueError(f"`sizes` is {sizes}; expected at least two, inputs and outputs, for example (40, 100, 10)")
    between = ACTIVATIONS[one_of("activation", activation, tuple(ACTIVATIONS))]
    as_integer("seed", seed, 0)
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        layer = nn.Linear(inputs, outputs, dtype=dtype, device="meta").to_empty(device="cpu")
        stream = torch.Generator().manual_seed(_mixed(seed, index))
        with torch.no_grad():
            for parameter in (layer.weight, layer.bias):
                parameter.uniform_(-(inputs**-0.5), inputs**-0.5, generator=stream)
        layers += [between(), layer] if layers else [layer]
    return nn.Sequential(*layers)


def _mixed(seed: int, index: int) -> int:
    """Return the seed of one of the streams under a seed."""
    return int(SeedSequence(seed, spawn_key=(index,)).generate_state(1, "uint64")[0] >> 1)
