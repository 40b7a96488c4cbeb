"""Models and data as the measures read them: a copy with batch norm folded, matrices of its layers, tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from pyphenom._arrays import one_of

Loss: TypeAlias = str | Callable[[Tensor, Tensor], Tensor]
"""``"error"`` (0-1), ``"cross_entropy"`` (nats), or a function of outputs (n, K) and targets to losses (n,)."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
ROWS = 4096  # samples in one pass: the outputs of many copies on a large set need not fit in memory at once


def prepared(name: str, model: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode without batch norm, which is folded into the layer before it.

    Raises
    ------
    TypeError, ValueError
        If it is no module, has parameters that are not finite or layers that are neither linear nor convolutional, or
        batch norm in training mode or elsewhere than behind such a layer in a Sequential.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"`{name}` is a {type(model).__name__}; expected a torch.nn.Module")
    if bad := [key for key, value in model.named_parameters() if not value.isfinite().all()]:
        raise ValueError(f"`{name}` has parameters that are not finite in {bad}; expected a model that did not diverge")
    if any(isinstance(module, NORMALISATIONS) and module.training for module in model.modules()):
        raise ValueError(
            f"`{name}` has batch norm in training mode, whose outputs depend on the batch; call {name}.eval() first"
        )
    own = copy.deepcopy(model).eval()
    _fold(own)
    for key, module in own.named_modules():
        if isinstance(module, NORMALISATIONS):
            raise ValueError(
                f"`{name}` has batch norm {key!r}; expected it right behind a linear or convolutional layer in a "
                "Sequential, with running statistics, where it can be folded into the layer's weights"
            )
        if next(module.parameters(recurse=False), None) is not None and not isinstance(
            module, (nn.Linear, *CONVOLUTIONS)
        ):
            raise TypeError(
                f"`{name}` has parameters in {key or 'itself'!r}, a {type(module).__name__}; expected Linear and "
                "Conv1d, 2d or 3d layers only, for which norms and paths are defined"
            )
    if not matrices(own):
        raise ValueError(f"`{name}` has no layer with weights; expected a network")
    return own.requires_grad_(False)


def _fold(module: nn.Module) -> None:
    before: str | None = None
    for key, child in module._modules.items():  # named_children() passes over one that is used again
        if child is None:
            continue
        _fold(child)
        if not isinstance(module, nn.Sequential):
            continue
        if isinstance(child, NORMALISATIONS) and before is not None and child.running_mean is not None:
            layer: Any = getattr(module, before)
            fuse: Any = fuse_linear_bn_eval if isinstance(layer, nn.Linear) else fuse_conv_bn_eval
            setattr(module, before, fuse(layer, child))
            setattr(module, key, nn.Identity())
        before = key if isinstance(child, (nn.Linear, *CONVOLUTIONS)) else None


def matrices(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of every layer in float64 as (groups, outputs, inputs): a kernel acts on one patch."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, *CONVOLUTIONS)):
            groups = getattr(module, "groups", 1)
            weight = module.weight.detach().double()
            found[name] = weight.reshape(groups, len(weight) // groups, -1)
    return found


def parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters by name, detached."""
    return {name: value.detach() for name, value in model.named_parameters()}


def fitting(name: str, other: nn.Module, model: nn.Module) -> nn.Module:
    """Return `other` prepared, if it has the parameters of the prepared `model`."""
    own = prepared(name, other)
    shapes = [{key: tuple(value.shape) for key, value in parameters(each).items()} for each in (own, model)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"`{name}` has parameters of the shapes {shapes[0]}; expected those of `model`, {shapes[1]}")
    return own


def tensors(model: nn.Module, X: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Return inputs and targets on the device of the model, inputs in its dtype."""
    first = next(model.parameters())
    inputs, targets = (value.detach() if isinstance(value, Tensor) else _tensor(value) for value in (X, y))
    if inputs.ndim < 2 or targets.ndim == 0 or len(inputs) != len(targets) or len(inputs) == 0:
        raise ValueError(
            f"`X` and `y` have the shapes {tuple(inputs.shape)} and {tuple(targets.shape)}; expected (n, ...) and as "
            "many targets, at least one"
        )
    inputs = inputs.to(first.device, first.dtype)
    if not inputs.isfinite().all():
        raise ValueError("`X` holds NaN or infinity; expected finite numbers. Remove or impute such samples")
    return inputs, targets.to(first.device)


def _tensor(value: Any) -> Tensor:
    return torch.from_numpy(np.require(value, None, ["C", "W"]))


def labels(model: nn.Module, X: Tensor, y: Tensor) -> Tensor:
    """Return the labels, if they are classes that the outputs of the model have, and these are finite."""
    with torch.no_grad():
        shape = model(X[:1]).shape
    if len(shape) != 2 or shape[1] < 2:
        raise ValueError(f"`model` gives outputs of the shape {tuple(shape)}; expected (1, K) with K >= 2 classes")
    if y.ndim != 1 or y.is_floating_point() or y.dtype == torch.bool:
        raise TypeError(f"`y` has shape {tuple(y.shape)} and dtype {y.dtype}; expected class indices (n,)")
    if int(y.min()) < 0 or int(y.max()) >= shape[1]:
        raise ValueError(
            f"`y` goes from {int(y.min())} to {int(y.max())}; expected 0 to {shape[1] - 1}, as the outputs"
        )
    if not outputs(model, X).isfinite().all():
        raise ValueError("`model` gives NaN or infinity on `X`; expected finite outputs")
    return y.long()


def outputs(model: nn.Module, X: Tensor) -> Tensor:
    """Return the outputs (n, K) without gradients."""
    with torch.no_grad():
        return torch.cat([model(X[rows]) for rows in row_slices(len(X))])


def row_slices(n: int, size: int = ROWS) -> Iterator[slice]:
    """Give the slices of n samples that fit into one pass."""
    return (slice(start, start + size) for start in range(0, n, size))


def sample_losses(loss: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function of outputs (n, K) and targets to losses (n,)."""
    if callable(loss):
        return loss
    if one_of("loss", loss, ("error", "cross_entropy")) == "error":
        return lambda f, y: (f.argmax(dim=-1) != y).to(f.dtype)
    return lambda f, y: functional.cross_entropy(f, y, reduction="none")


class Copies:
    """Mean losses of many copies of a model whose parameters differ, in one batched pass."""

    def __init__(self, model: nn.Module, X: Tensor, y: Tensor) -> None:
        self._X, self._y = X, y

        def forward(values: dict[str, Tensor], x: Tensor) -> Tensor:
            return cast("Tensor", functional_call(model, values, (x,)))

        self._forward = vmap(forward, in_dims=(0, None))

    def losses(self, values: dict[str, Tensor], *criteria: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        """Return for each criterion the mean losses (copies,) at stacked parameters (copies, ...)."""
        totals: list[Any] = [0.0] * len(criteria)
        for rows in row_slices(len(self._X)):
            f, y = self._forward(values, self._X[rows]), self._y[rows]
            for k, criterion in enumerate(criteria):
                summed = torch.stack([criterion(each, y).sum() for each in f])
                totals[k] = totals[k] + summed / len(self._X)
        return totals
