"""Stacks of classifiers with one hidden layer of ReLU: their outputs, and gradients without automatic differentiation.

Layers are W (members, d, width), b (members, 1, width), V (members, width, classes) and c (members, 1, classes).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def outputs(layers: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Return (members, n, classes) for inputs (n, d)."""
    W, b, V, c = layers
    return torch.baddbmm(c, torch.relu(torch.baddbmm(b, inputs.expand(len(W), -1, -1), W)), V)


def slopes(layers: Sequence[Tensor], inputs: Tensor, truth: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of the mean cross-entropies with truth (n, classes), by all layers."""
    W, b, V, c = layers
    inputs = inputs.expand(len(W), -1, -1)
    hidden = torch.relu(torch.baddbmm(b, inputs, W))
    by_outputs = (torch.softmax(torch.baddbmm(c, hidden, V), -1) - truth) / inputs.shape[1]
    by_hidden = torch.bmm(by_outputs, V.mT) * (hidden > 0.0)
    return (torch.bmm(inputs.mT, by_hidden), by_hidden.sum(1, keepdim=True),
            torch.bmm(hidden.mT, by_outputs), by_outputs.sum(1, keepdim=True))  # fmt: skip
