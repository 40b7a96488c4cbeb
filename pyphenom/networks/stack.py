"""Many networks as one: parameters stacked, narrower members padded with zeros."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from pyphenom.networks.models import ACTIVATIONS

Layer: TypeAlias = "tuple[Tensor, Tensor] | type[nn.Module]"
"""Weight (M, h, d) and bias (M, h) of linear layers, or the class of an activation."""


class Stack:
    """Networks of one architecture in stacked tensors, so that one matrix product serves all of them.

    A network whose layers are narrower than the widest member's is padded with units without weights, which change
    nothing and are kept at zero. Networks that normalise across units are therefore stacked in one width only.
    Parameters that require no gradient stay as they are.

    Parameters
    ----------
    models : sequence of torch.nn.Module
        The members; equal in everything but the sizes and values of their parameters. Not changed until `write_back`.
        Networks must be different objects that share no parameter.
    masks : sequence of mapping, optional
        For each member, parameter name to a boolean tensor: where it is False the parameter is zero and stays so.

    Attributes
    ----------
    parameters : dict of str to Tensor (M, ...)
        Leaves of autograd, with gradients where those of the members have them.
    masks : dict of str to Tensor (M, ...)
        One where a parameter is free, zero where it is held at zero; only parameters with something held.

    Raises
    ------
    TypeError
        If a member is not a module, or a mask not boolean.
    ValueError
        If the members differ in more than sizes, share parameters, have none, hold buffers, or if a mask does not fit.

    Examples
    --------
    >>> from pyphenom.networks import mlp
    >>> models = [mlp((3, width, 2), seed=width) for width in (4, 8)]
    >>> stack, X = Stack(models), torch.ones(5, 3)
    >>> stack.outputs(X).shape
    torch.Size([2, 5, 2])
    >>> bool(torch.allclose(stack.outputs(X)[0], models[0](X)))
    True
    """

    def __init__(self, models: Sequence[nn.Module], masks: Sequence[Mapping[str, Tensor]] | None = None) -> None:
        given: object = models
        if isinstance(given, nn.Module) and not isinstance(given, nn.ModuleList):  # else its layers would be members
            raise TypeError("`models` is one network; expected a sequence of them. Pass [model]")
        self._models = tuple(models)
        if not self._models:
            raise ValueError("`models` is empty; expected at least one network")
        for index, model in enumerate(self._models):
            self._check(index, model)
        every = [id(value) for model in self._models for value in model.parameters()]
        if len(set(every)) < len(every):
            raise ValueError("`models` share parameters; expected networks of their own. Use copy.deepcopy")
        if masks is not None:
            self._check_masks(masks)
        self._base = copy.deepcopy(self._models[0])  # not on "meta", which unties shared weights
        self.parameters: dict[str, Tensor] = {}
        self.masks: dict[str, Tensor] = {}
        members = [dict(model.named_parameters()) for model in self._models]
        for name, first in members[0].items():
            values = [member[name].detach() for member in members]
            shape = [max(sizes) for sizes in zip(*(value.shape for value in values), strict=True)]
            stacked, free = first.new_zeros(len(values), *shape), first.new_zeros(len(values), *shape)
            for index, value in enumerate(values):
                place = _place(index, value.shape)
                kept = True if masks is None else masks[index].get(name, True)
                stacked[place], free[place] = value * kept, kept
            self.parameters[name] = stacked.requires_grad_(first.requires_grad)
            if not free.all():
                self.masks[name] = free
        self._vectorised = {shared: self._vmapped(shared) for shared in (True, False)}

    def __len__(self) -> int:
        return len(self._models)

    def outputs(self, inputs: Tensor, shared: bool = True) -> Tensor:
        """Return what every member makes of the inputs.

        Parameters
        ----------
        inputs : Tensor (n, ...), or (M, n, ...) if not shared
        shared : bool, optional
            Whether all members see the same inputs.

        Returns
        -------
        Tensor (M, n, ...)
        """
        return self._forward(self.parameters, inputs, shared)

    def layers(self) -> list[Layer] | None:
        """Return the layers in order if the networks are fully connected and all of their parameters free, else None.

        Returns
        -------
        list of (weight (M, h, d), bias (M, h)) or of classes of activations, or None
        """
        parameters = self.parameters
        if not _is_fully_connected(self._base, parameters) or not all(v.requires_grad for v in parameters.values()):
            return None
        return [
            (parameters[f"{name}.weight"], parameters[f"{name}.bias"]) if type(layer) is nn.Linear else type(layer)
            for name, layer in _children(self._base)
        ]

    def widths(self) -> list[list[int]]:
        """Return the own numbers of inputs and of the units of each linear layer, for every fully connected member."""
        linear = [[layer for layer in model.children() if type(layer) is nn.Linear] for model in self._models]
        return [[layers[0].in_features, *(layer.out_features for layer in layers)] for layers in linear]

    def hold_gradients(self) -> None:
        """Set the gradients of what is held at zero to zero."""
        for name, free in self.masks.items():
            gradient = self.parameters[name].grad
            if gradient is not None:
                gradient.mul_(free)

    def write_back(self) -> None:
        """Copy the parameters into the networks that were stacked."""
        with torch.no_grad():
            for index, model in enumerate(self._models):
                for name, value in self._own(index, self.parameters).items():
                    model.get_parameter(name).copy_(value)

    def check(self, inputs: Tensor) -> None:
        """Compare the stack with its members on a few inputs, at random parameters, as outputs may begin at zero.

        Parameters
        ----------
        inputs : Tensor (n, ...)

        Raises
        ------
        ValueError
            If a member does not take the inputs, or computes something else once it is padded.
        """
        stream = torch.Generator().manual_seed(0)
        drawn = {
            name: value.new_empty(value.shape, device="cpu").uniform_(-0.5, 0.5, generator=stream).to(value.device)
            * self.masks.get(name, 1)
            for name, value in self.parameters.items()
        }
        with torch.no_grad():
            together = _tried(self._forward, drawn, inputs, True)
            for index, model in enumerate(self._models):
                apart = copy.deepcopy(model)  # torch would leave a layer that stands twice with what was drawn
                alone = _tried(functional_call, apart, self._own(index, drawn), (inputs,))
                if isinstance(alone, str):
                    raise ValueError(
                        f"`models[{index}]` fails at `inputs` of the shape {tuple(inputs.shape)} and "
                        f"{inputs.dtype}: {alone}"
                    )
                if isinstance(together, str) or not _close(together[index], alone):
                    raise ValueError(
                        f"`models[{index}]` computes something else when units without weights are added; expected no "
                        "normalisation across units and no dropout. Train different widths in separate calls"
                        + (f" ({together})" if isinstance(together, str) else "")
                    )

    def _forward(self, parameters: dict[str, Tensor], x: Tensor, shared: bool) -> Tensor:
        if x.ndim != (2 if shared else 3) or not _is_fully_connected(self._base, parameters):
            return cast("Tensor", self._vectorised[shared](parameters, x))
        x = x.expand(len(self), -1, -1)  # what follows is vmap's work without its bookkeeping, most of the time
        for name, layer in _children(self._base):
            if type(layer) is nn.Linear:
                x = torch.baddbmm(parameters[f"{name}.bias"][:, None], x, parameters[f"{name}.weight"].mT)
            else:
                x = layer(x)
        return x

    def _vmapped(self, shared: bool) -> Callable[..., Any]:
        def outputs(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
            return cast("Tensor", functional_call(self._base, parameters, (x,)))

        return vmap(outputs, in_dims=(0, None if shared else 0))

    def _own(self, index: int, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what stacked parameters give a member, in its own sizes."""
        sizes = {name: value.shape for name, value in self._models[index].named_parameters()}
        return {name: parameters[name][_place(index, shape)] for name, shape in sizes.items()}

    def _check(self, index: int, model: nn.Module) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"`models[{index}]` is a {type(model).__name__}; expected a torch.nn.Module")
        first, here = dict(self._models[0].named_parameters()), dict(model.named_parameters())
        if list(model.buffers()):
            raise ValueError(
                f"`models[{index}]` holds buffers; expected parameters only, as running statistics cannot be stacked"
            )
        if not here:
            raise ValueError(f"`models[{index}]` has no parameters; expected a network to train")
        if first.keys() != here.keys() or _plan(self._models[0], first) != _plan(model, here):
            raise ValueError(
                f"`models[{index}]` has another architecture, dtype or set of fixed parameters than `models[0]`; "
                "expected a difference in sizes only. Train them in separate calls"
            )
        if bad := [name for name, value in here.items() if not value.isfinite().all()]:
            raise ValueError(f"`models[{index}]` has parameters that are not finite in {bad}; expected finite ones")

    def _check_masks(self, masks: Sequence[Mapping[str, Tensor]]) -> None:
        if len(masks) != len(self._models):
            raise ValueError(f"`masks` has {len(masks)} entries; expected {len(self._models)}, one a model")
        for index, model in enumerate(self._models):
            check_masks(model, masks[index], f"masks[{index}]")


def check_masks(model: nn.Module, masks: Mapping[str, Tensor], argument: str) -> None:
    """Raise if a mask has no parameter, is not boolean, or has another shape than its parameter."""
    parameters = dict(model.named_parameters())
    for name, kept in masks.items():
        if name not in parameters:
            raise ValueError(f"`{argument}` names {name!r}; expected names among {list(parameters)}")
        if kept.dtype != torch.bool:
            raise TypeError(f"`{argument}[{name!r}]` has the dtype {kept.dtype}; expected torch.bool. Use mask.bool()")
        if kept.shape != parameters[name].shape:
            raise ValueError(
                f"`{argument}[{name!r}]` has the shape {tuple(kept.shape)}; expected {tuple(parameters[name].shape)}"
            )


def _plan(model: nn.Module, parameters: Mapping[str, Tensor]) -> tuple[object, ...]:
    """Return what members have in common: classes, their settings but whole numbers (sizes), kinds of parameters."""
    settings = re.sub(r"(?<![\w.])\d+(?![\w.])", "#", str(model))
    kinds = [type(module) for module in model.modules()]
    return settings, kinds, [(value.ndim, value.dtype, value.requires_grad) for value in parameters.values()]


def _is_fully_connected(model: nn.Module, parameters: Mapping[str, Tensor]) -> bool:
    """Whether a network is linear layers with a bias, no two of them tied, and functions of single units."""
    if type(model) is not nn.Sequential or {type(layer) for layer in model} - {nn.Linear, *ACTIVATIONS.values()}:
        return False
    layers = [name for name, layer in _children(model) if type(layer) is nn.Linear]
    return set(parameters) == {f"{name}.{kind}" for name in layers for kind in ("weight", "bias")}


def _children(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the layers in order; `named_children` gives one that stands twice once only."""
    return [(name, layer) for name, layer in model._modules.items() if layer is not None]


def _tried(function: Callable[..., Any], *arguments: Any) -> Tensor | str:
    """Return the outputs, or what torch says against the arguments."""
    try:
        return cast("Tensor", function(*arguments))
    except (RuntimeError, IndexError) as error:
        return str(error)


def _close(here: Tensor, alone: Tensor) -> bool:
    return here.shape == alone.shape and torch.allclose(here, alone, 1e-3, 1e-4 * float(alone.abs().max()))


def _place(index: int, shape: Sequence[int]) -> tuple[int | slice, ...]:
    """Return where a stack holds a parameter of a member."""
    return index, *(slice(size) for size in shape)
