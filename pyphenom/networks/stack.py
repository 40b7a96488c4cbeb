"""Many networks as one: parameters stacked, narrower members padded with zeros."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap


class Stack:
    """Networks of one architecture in stacked tensors, so that one matrix product serves all of them.

    A network whose layers are narrower than the widest member's is padded with units without weights, which change
    nothing and are kept at zero. Networks that normalise across units are therefore stacked in one width only.

    Parameters
    ----------
    models : sequence of torch.nn.Module
        The members; equal in everything but the sizes and values of their parameters. Not changed until `write_back`.
    masks : sequence of mapping, optional
        For each member, parameter name to a boolean tensor: where it is False the parameter is zero and stays so.

    Attributes
    ----------
    parameters : dict of str to Tensor (M, ...)
        Leaves of autograd.
    masks : dict of str to Tensor (M, ...)
        One where a parameter is free, zero where it is held at zero; only parameters with something held.

    Raises
    ------
    TypeError
        If a member is not a module.
    ValueError
        If the members differ in more than sizes, hold buffers, or if a mask does not fit.

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
        self._models = tuple(models)
        if not self._models:
            raise ValueError("`models` is empty; expected at least one network")
        for index, model in enumerate(self._models):
            self._check(index, model)
        if masks is not None and len(masks) != len(self._models):
            raise ValueError(f"`masks` has {len(masks)} entries; expected {len(self._models)}, one a model")
        self._base = copy.deepcopy(self._models[0]).to("meta")
        self.parameters: dict[str, Tensor] = {}
        self.masks: dict[str, Tensor] = {}
        members = [dict(model.named_parameters()) for model in self._models]
        for name, first in members[0].items():
            values = [member[name].detach() for member in members]
            shape = [max(sizes) for sizes in zip(*(value.shape for value in values), strict=True)]
            stacked, free = first.new_zeros(len(values), *shape), first.new_zeros(len(values), *shape)
            for index, value in enumerate(values):
                place = _place(index, value.shape)
                kept = self._mask(masks, index, name, value)
                stacked[place], free[place] = value * kept, kept
            self.parameters[name] = stacked.requires_grad_()
            if not free.all():
                self.masks[name] = free
        self._forward = {shared: self._vectorised(None if shared else 0) for shared in (True, False)}

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
        return cast("Tensor", self._forward[shared](self.parameters, inputs))

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
                for name, value in self._own(index).items():
                    model.get_parameter(name).copy_(value)

    def check(self, inputs: Tensor) -> None:
        """Compare the stack with its members on a few inputs.

        Raises
        ------
        ValueError
            If a member computes something else once it is padded.
        """
        with torch.no_grad():
            together = self.outputs(inputs)
            for index, model in enumerate(self._models):
                alone, here = functional_call(model, self._own(index), (inputs,)), together[index]
                if alone.shape != here.shape or not torch.allclose(alone, here, 1e-3, 1e-3):
                    raise ValueError(
                        f"`models[{index}]` computes something else when units without weights are added; expected no "
                        "normalisation across units. Train networks of different widths in separate calls"
                    )

    def _vectorised(self, inputs: int | None) -> Callable[..., Any]:
        def outputs(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
            return cast("Tensor", functional_call(self._base, parameters, (x,)))

        return vmap(outputs, in_dims=(0, inputs))

    def _own(self, index: int) -> dict[str, Tensor]:
        """Return the parameters of a member in its own sizes."""
        sizes = {name: value.shape for name, value in self._models[index].named_parameters()}
        return {name: self.parameters[name][_place(index, shape)] for name, shape in sizes.items()}

    def _check(self, index: int, model: nn.Module) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"`models[{index}]` is a {type(model).__name__}; expected a torch.nn.Module")
        first, here = dict(self._models[0].named_parameters()), dict(model.named_parameters())
        if list(model.buffers()):
            raise ValueError(
                f"`models[{index}]` holds buffers; expected parameters only, as running statistics cannot be stacked"
            )
        same = first.keys() == here.keys() and str(self._kinds(self._models[0])) == str(self._kinds(model))
        if not same or any(
            first[name].ndim != here[name].ndim or first[name].dtype != here[name].dtype for name in here
        ):
            raise ValueError(
                f"`models[{index}]` has another architecture or dtype than `models[0]`; expected a difference in sizes "
                "only. Train them in separate calls"
            )

    @staticmethod
    def _kinds(model: nn.Module) -> list[str]:
        return [type(module).__name__ for module in model.modules()]

    @staticmethod
    def _mask(masks: Sequence[Mapping[str, Tensor]] | None, index: int, name: str, value: Tensor) -> Tensor:
        if masks is None or name not in masks[index]:
            return torch.ones_like(value)
        kept = masks[index][name]
        if kept.shape != value.shape:
            raise ValueError(
                f"`masks[{index}][{name!r}]` has the shape {tuple(kept.shape)}; expected {tuple(value.shape)}, that of "
                "the parameter"
            )
        return kept.to(value.dtype)


def _place(index: int, shape: Sequence[int]) -> tuple[int | slice, ...]:
    """Return where a stack holds a parameter of a member."""
    return index, *(slice(size) for size in shape)
