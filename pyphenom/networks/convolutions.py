"""Convolutional networks on signals, several trained at once with the backward pass written out.

Each layer is a matrix product over windows of its input. At the sizes of MNIST-1D this takes a third of the time of
torch's convolutions, which spend it on each network and each layer anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pyphenom.networks._batches import Indices, batches
from pyphenom.networks.stack import Stack
from pyphenom.networks.training import Recipe, _one_thread, _rate

SIZES, STRIDE, PADDING = (5, 3, 3), 2, 1


def convolutional(length: int, channels: int, classes: int, seed: int) -> nn.Sequential:
    """Return the network of the authors of MNIST-1D: three convolutions of stride 2, and a linear layer.

    Parameters
    ----------
    length : int
        Of the signals, which are the rows of its inputs.
    channels, classes : int
    seed : int
        Of torch's default weights; the global generator stays as it is.

    Returns
    -------
    torch.nn.Sequential

    References
    ----------
    Greydanus and Kobak, "Scaling down deep learning with MNIST-1D", ICML 2024.

    Examples
    --------
    >>> convolutional(40, 25, 10, seed=0)(torch.zeros(3, 40)).shape
    torch.Size([3, 10])
    """
    layers: list[nn.Module] = [nn.Unflatten(1, (1, length))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        for before, size in zip((1, channels, channels), SIZES, strict=True):
            layers += [nn.Conv1d(before, channels, size, STRIDE, PADDING), nn.ReLU()]
            length = _places(length, size)
        return nn.Sequential(*layers, nn.Flatten(1), nn.Linear(length * channels, classes))


def train_convolutional(
    models: Sequence[nn.Sequential], inputs: Tensor, labels: Tensor, recipe: Recipe, order: int = 0
) -> None:
    """Train networks in place as `train` does, each on inputs and labels of its own, in the same order.

    Parameters
    ----------
    models : sequence of M networks
        As `convolutional` makes them.
    inputs : Tensor (M, n, length)
    labels : Tensor of int (M, n)
    recipe : Recipe
        SGD on the cross-entropy in batches, without weight decay.
    order : int, optional
        Seed of the order in which samples are taken.

    Raises
    ------
    ValueError
        For another recipe.

    Examples
    --------
    >>> X, y = torch.linspace(-1, 1, 1200).sin().view(2, 15, 40), torch.arange(30).view(2, 15) % 3
    >>> nets = [convolutional(40, 4, 3, seed) for seed in (0, 1)]
    >>> train_convolutional(nets, X, y, Recipe(20, 0.1, batch_size=5))
    """
    if recipe.batch_size is None or recipe.weight_decay or (recipe.loss, recipe.optimiser) != ("cross-entropy", "sgd"):
        raise ValueError(f"`recipe` is {recipe}; expected SGD on the cross-entropy in batches, without weight decay")
    stack = Stack(models)
    kernels = _kernels(stack)
    with _one_thread(), torch.no_grad():
        values = [value.flatten(2) if value.ndim == 4 else value for value in kernels]
        theta = torch.cat([value.flatten() for value in values])
        slope, velocity = torch.zeros_like(theta), torch.zeros_like(theta)
        parts, slopes = (_like(values, vector) for vector in (theta, slope))
        draw, members = batches(len(stack), inputs.shape[1], None, order, recipe.batch_size), torch.arange(len(stack))
        for step in range(1, recipe.steps + 1):
            batch = torch.from_numpy(cast("Indices", draw(1))[0])
            _differentiate(parts, slopes, inputs[members[:, None], batch], labels[:, batch])
            velocity.mul_(recipe.momentum).add_(slope)
            theta.add_(velocity, alpha=-_rate(recipe, step))
        for old, new in zip(kernels, parts, strict=True):
            old.copy_(new.view(old.shape))
    stack.write_back()


def _places(length: int, size: int) -> int:
    return (length + 2 * PADDING - size) // STRIDE + 1


def _like(values: Sequence[Tensor], vector: Tensor) -> list[Tensor]:
    pieces = torch.split(vector, [value.numel() for value in values])
    return [piece.view_as(value) for piece, value in zip(pieces, values, strict=True)]


def _differentiate(parts: Sequence[Tensor], slopes: Sequence[Tensor], x: Tensor, labels: Tensor) -> None:
    """Fill the slopes of the mean losses on a batch."""
    M, n, _ = x.shape
    x, windows, after = x[..., None], [], []
    for layer, size in enumerate(SIZES):
        windows.append(_windows(x, size))
        W, b = parts[2 * layer : 2 * layer + 2]
        after.append(torch.baddbmm(b[:, None], windows[-1].flatten(1, 2), W.mT).relu_())
        x = after[-1].view(M, n, -1, after[-1].shape[-1])
    hidden, (W, b) = x.flatten(2), parts[-2:]
    slope = torch.baddbmm(b[:, None], hidden, W.mT).softmax(dim=2)
    slope.scatter_add_(2, labels[..., None], slope.new_full((), -1.0).expand(M, n, 1)).div_(n)
    torch.bmm(slope.mT, hidden, out=slopes[-2])
    torch.sum(slope, 1, out=slopes[-1])
    slope = slope @ W
    for layer in range(len(SIZES) - 1, -1, -1):
        slope = torch.ops.aten.threshold_backward(slope.view_as(after[layer]), after[layer], 0)
        torch.bmm(slope.mT, windows[layer].flatten(1, 2), out=slopes[2 * layer])
        torch.sum(slope, 1, out=slopes[2 * layer + 1])
        if layer:
            channels = after[layer - 1].shape[-1]
            length = after[layer - 1].shape[1] // n
            back = torch.bmm(slope, parts[2 * layer]).view(M, n, -1, SIZES[layer], channels)
            slope = _signals(back, length)


def _windows(x: Tensor, size: int) -> Tensor:
    """Return the windows (M, n, places, size * channels) of padded signals (M, n, length, channels)."""
    x = torch.nn.functional.pad(x, (0, 0, PADDING, PADDING))
    span = x.shape[2] - size + 1
    return torch.cat([x[:, :, first : first + span : STRIDE] for first in range(size)], dim=3)


def _signals(windows: Tensor, length: int) -> Tensor:
    """Add windows (M, n, places, size, channels) up where `_windows` took them: its transpose."""
    M, n, _, size, channels = windows.shape
    x = windows.new_zeros(M, n, length + 2 * PADDING, channels)
    span = x.shape[2] - size + 1
    for first in range(size):
        x[:, :, first : first + span : STRIDE] += windows[:, :, :, first]
    return x[:, :, PADDING:-PADDING].contiguous()


def _kernels(stack: Stack) -> list[Tensor]:
    """Return views of the parameters, weights (M, outputs, places, channels), and biases (M, outputs)."""
    values = [value.detach() for value in stack.parameters.values()]
    values[-2] = values[-2].view(*values[-2].shape[:2], values[-3].shape[1], -1)
    return [value.transpose(2, 3) if value.ndim == 4 else value for value in values]
