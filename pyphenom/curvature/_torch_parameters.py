"""Which parameters of a model span the space, of which type they are, and where each lies in the flat vector."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def select(model: nn.Module, parameters: Any = None) -> dict[str, Tensor]:
    """Return the chosen parameters by name, in the order of ``model.parameters()``; a shared one once.

    Parameters
    ----------
    model : torch.nn.Module
    parameters : None, str, Tensor, or iterable of these
        None for all that require a gradient; names; patterns such as ``"layers.0.*"``; or the parameters themselves.

    Raises
    ------
    ValueError
        If nothing is chosen, or what was asked for is not there or frozen.
    TypeError
        If an item is neither a name nor a parameter.
    """
    named = dict(model.named_parameters())
    # A shared parameter has several names; any of them, and the first counts.
    first = {id(value): name for name, value in named.items()}
    aliases = {name: first[id(value)] for name, value in model.named_parameters(remove_duplicate=False)}
    chosen = {name for name, value in named.items() if value.requires_grad}
    if parameters is not None:
        asked: Iterable[Any] = [parameters] if isinstance(parameters, str | Tensor) else parameters
        wanted: set[str] = set()
        for item in asked:
            wanted |= _found(item, first, aliases, chosen)
        chosen = wanted
    if not chosen:
        raise ValueError(
            "`model` has no parameter that requires a gradient; expected at least one. Use requires_grad_()"
        )
    return {name: value for name, value in named.items() if name in chosen}


def _found(item: Any, first: dict[int, str], aliases: dict[str, str], trainable: set[str]) -> set[str]:
    if isinstance(item, Tensor):
        if id(item) not in first:
            raise ValueError(
                f"`parameters` holds a tensor of shape {tuple(item.shape)} that is no parameter of `model`"
            )
        exact, what = first[id(item)], f"the parameter {first[id(item)]!r}"
    elif isinstance(item, str):
        if item not in aliases:
            matches = {target for name, target in aliases.items() if fnmatchcase(name, item)} & trainable
            if not matches:
                raise ValueError(f"`parameters` holds {item!r}, which fits none of {', '.join(sorted(trainable))}")
            return matches
        exact, what = aliases[item], repr(item)
    else:
        raise TypeError(
            f"`parameters` holds a {type(item).__name__}; expected names, patterns or parameters of `model`"
        )
    if exact not in trainable:
        raise ValueError(f"`parameters` holds {what}, which is frozen; expected one that requires a gradient")
    return {exact}


def slices(parameters: dict[str, Tensor]) -> dict[str, slice]:
    """Return where each parameter lies in the flat vector."""
    out, end = {}, 0
    for name, value in parameters.items():
        out[name] = slice(end, end + value.numel())
        end += value.numel()
    return out


def plain(model: nn.Module) -> nn.Module:
    """Return what a compiled or a distributed model wraps: the one has no second derivatives, the other reduces."""
    model = getattr(model, "_orig_mod", model)
    wrappers: Any = (nn.parallel.DistributedDataParallel, nn.DataParallel)
    return model.module if isinstance(model, wrappers) else model


def precision(dtype: Any) -> torch.dtype:
    """Return the type of a computation, given in any way; refuse all but single and double."""
    kinds = {"float32": torch.float32, "float64": torch.float64}
    name = str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype) else np.dtype(dtype).name
    if name not in kinds:
        raise TypeError(f"`dtype` is {name}; expected float32 or float64. Pass dtype=torch.float32 to compute in it")
    return kinds[name]
