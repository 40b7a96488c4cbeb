"""Steps of stacked fully connected networks with the backward pass written out, without autograd's bookkeeping.

Networks of the size that studies train spend most of a step there, and in a softmax along the shortest axis. Here
samples are the last axis of everything, and all parameters are one vector to the optimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from pyphenom.networks.stack import Layer, Stack

if TYPE_CHECKING:
    from pyphenom.networks._blocks import Blocks
    from pyphenom.networks.training import Recipe

Gradients: TypeAlias = Callable[[Tensor, Tensor], None]
"""Fill the gradients of the stack: from samples (b, d) or (M, b, d), and labels (1 or M, b) or targets (.., b, K)."""


def vector_of(stack: Stack | Blocks) -> Tensor:
    """Make parameters and gradients of a stack the parts of one vector and its gradient, and return it."""
    values = list(stack.parameters.values())
    vector = torch.cat([value.detach().flatten() for value in values])
    vector.grad = torch.zeros_like(vector)
    sizes = [value.numel() for value in values]
    for value, part, slope in zip(values, torch.split(vector, sizes), torch.split(vector.grad, sizes), strict=True):
        value.data, value.grad = part.view_as(value), slope.view_as(value)
    return vector


def gradients_of(layers: Sequence[Layer], loss: str) -> Gradients:
    """Return the function that fills the gradients of the sum of the mean losses, once `vector_of` has made room."""
    forward = [linear(*layer) if isinstance(layer, tuple) else FUNCTIONS[layer][0] for layer in layers]
    backward = [linear_back(*layer) if isinstance(layer, tuple) else FUNCTIONS[layer][1] for layer in layers]
    slope_of = SLOPES[loss]

    def fill(samples: Tensor, truth: Tensor) -> None:
        values = [samples.mT]
        for function in forward:
            values.append(function(values[-1]))
        slope = slope_of(values[-1], truth)
        for place in range(len(layers) - 1, -1, -1):
            slope = backward[place](slope, values[place], values[place + 1], place > 0)

    return fill


def descent(vector: Tensor, recipe: Recipe) -> Callable[[float], None]:
    """Return the function that moves a vector with a gradient by a step, as torch's optimisers do."""
    theta, slope = vector.detach(), cast("Tensor", vector.grad)
    return (_adam if recipe.optimiser == "adam" else _sgd)(theta, slope, recipe)


def _sgd(theta: Tensor, slope: Tensor, recipe: Recipe) -> Callable[[float], None]:
    momentum, weight_decay, velocity = recipe.momentum, recipe.weight_decay, torch.zeros_like(theta)

    def step(rate: float) -> None:
        if weight_decay:
            slope.add_(theta, alpha=weight_decay)
        theta.add_(velocity.mul_(momentum).add_(slope) if momentum else slope, alpha=-rate)

    return step


def _adam(theta: Tensor, slope: Tensor, recipe: Recipe) -> Callable[[float], None]:
    """Step as torch.optim.Adam with its defaults does, less what its class does at each, which costs more."""
    means, squares, count = torch.zeros_like(theta), torch.zeros_like(theta), torch.zeros((), dtype=torch.float32)
    weight_decay = recipe.weight_decay

    def step(rate: float) -> None:
        adam([theta], [slope], [means], [squares], [], [count],
             fused=True, amsgrad=False, maximize=False,
             lr=rate, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=weight_decay)  # fmt: skip

    return step


Forward: TypeAlias = Callable[[Tensor], Tensor]
Backward: TypeAlias = Callable[[Tensor, Tensor, Tensor, bool], Tensor]
"""(dL/d after, before, after, whether dL/d before is wanted) to dL/d before."""


def linear(weight: Tensor, bias: Tensor) -> Forward:
    W, b, shape = weight.detach(), bias.detach()[..., None], (*bias.shape, -1)
    all_W, all_b = W.flatten(0, 1), b.flatten(0, 1)

    def forward(x: Tensor) -> Tensor:
        if x.ndim == 2:  # of all members: one product
            return torch.addmm(all_b, all_W, x).view(shape)
        return torch.baddbmm(b, W, x)

    return forward


def linear_back(weight: Tensor, bias: Tensor) -> Backward:
    transposed, W_slope, b_slope = weight.detach().mT, cast("Tensor", weight.grad), cast("Tensor", bias.grad)
    all_slope = W_slope.flatten(0, 1)

    def backward(slope: Tensor, before: Tensor, after: Tensor, further: bool) -> Tensor:
        if before.ndim == 2:
            torch.mm(slope.flatten(0, 1), before.T, out=all_slope)
        else:
            torch.bmm(slope, before.mT, out=W_slope)
        torch.sum(slope, 2, out=b_slope)
        return torch.bmm(transposed, slope) if further else slope

    return backward


def _relu_back(slope: Tensor, before: Tensor, after: Tensor, further: bool) -> Tensor:
    return cast("Tensor", torch.ops.aten.threshold_backward(slope, after, 0))


def _tanh_back(slope: Tensor, before: Tensor, after: Tensor, further: bool) -> Tensor:
    return cast("Tensor", torch.ops.aten.tanh_backward(slope, after))


FUNCTIONS: dict[type[nn.Module], tuple[Forward, Backward]] = {
    nn.ReLU: (torch.relu, _relu_back),
    nn.Tanh: (torch.tanh, _tanh_back),
    nn.Identity: (lambda x: x, lambda slope, before, after, further: slope),
}


def _cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    """(softmax - one-hot) / b."""
    slope = torch.softmax(outputs, 1)
    where = labels[:, None].expand(len(outputs), 1, -1)
    return slope.scatter_(1, where, -1.0, reduce="add").div_(labels.shape[-1])


def _squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets.mT).mul_(2.0 / outputs.shape[-1])


SLOPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"squared": _squared, "cross-entropy": _cross_entropy}
