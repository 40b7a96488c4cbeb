"""Checks of the samples that networks are trained on or probed with."""

from __future__ import annotations

import torch
from torch import Tensor

from pyphenom.networks.stack import Stack


def checked_inputs(inputs: Tensor, targets: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the inputs without gradients: at least one sample, finite, of the networks' dtype."""
    if not isinstance(inputs, Tensor) or not isinstance(targets, Tensor):
        raise TypeError(
            f"`inputs` and `targets` are {type(inputs).__name__} and {type(targets).__name__}; expected tensors. "
            "Use torch.from_numpy"
        )
    if inputs.ndim == 0 or len(inputs) == 0:
        raise ValueError(
            f"`inputs` has the shape {tuple(inputs.shape)}; expected at least one sample along the first axis"
        )
    if inputs.dtype.is_floating_point and inputs.dtype != dtype:
        raise TypeError(
            f"`inputs` has the dtype {inputs.dtype}, the networks have {dtype}; expected the same. "
            f"Use inputs.to({dtype})"
        )
    for name, value in (("inputs", inputs), ("targets", targets)):
        if not value.isfinite().all():
            raise ValueError(f"`{name}` holds NaN or infinity; expected finite numbers. Remove or impute such samples")
    return inputs.detach()


def checked_targets(stack: Stack, inputs: Tensor, targets: Tensor, loss: str) -> Tensor:
    """Return labels as (1 or M, n), or targets as (1 or M, n, K), if they fit the samples and the K outputs."""
    with torch.no_grad():
        outputs = stack.outputs(inputs[:1])
    if outputs.ndim != 3:
        raise ValueError(f"`models` give outputs of the shape {tuple(outputs.shape[1:])} a sample; expected (1, K)")
    n, count, classes = len(inputs), len(stack), outputs.shape[-1]
    single = {"squared": (n, classes), "cross-entropy": (n,)}[loss]
    if tuple(targets.shape) not in (single, (1, *single), (count, *single)):
        raise ValueError(
            f"`targets` has the shape {tuple(targets.shape)}; expected {single} for the {loss} loss of {n} samples and "
            f"{classes} outputs, or {(count, *single)} where the networks have their own"
        )
    if loss == "cross-entropy":
        check_labels("targets", targets)
        if int(targets.max()) >= classes:
            raise ValueError(
                f"`targets` go up to {int(targets.max())}; expected 0 to {classes - 1}, as the outputs are"
            )
    targets = targets.detach()
    return targets if targets.ndim > len(single) else targets[None]


def check_labels(name: str, labels: Tensor) -> None:
    """Raise unless the labels are classes, counted from 0."""
    if labels.dtype != torch.int64:
        raise TypeError(f"`{name}` has the dtype {labels.dtype}; expected torch.int64, the index of the class")
    if int(labels.min()) < 0:
        raise ValueError(f"`{name}` go down to {int(labels.min())}; expected classes from 0")
