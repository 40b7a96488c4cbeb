"""What a torch model has to be for a certificate, and what the certificate reads of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.random import SeedSequence
from torch import Tensor, nn

from pyphenom.bounds.posterior import Posterior

ACTIVATIONS: dict[Any, str] = {
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.ELU: "elu",
    nn.Softplus: "softplus",
    nn.Identity: "identity",
}
_NOTHING = (nn.Flatten, nn.Identity, nn.Dropout)
_BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)


def check_model(model: Any) -> nn.Module:
    """Return the model if a certificate can speak of it."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"`model` is a {type(model).__name__}; expected a torch.nn.Module")
    if not any(True for _ in model.parameters()):
        raise ValueError("`model` has no parameters; expected a network with weights to draw")
    for name, module in model.named_modules():
        if not isinstance(module, _BATCH_NORMS):
            continue
        if not module.track_running_stats:
            raise ValueError(
                f"`model` has the batch norm {name!r}, which keeps no statistics; expected track_running_stats=True, "
                "for with those of the batch the output of one point depends on the others"
            )
        if module.training:
            raise ValueError(
                f"`model` has the batch norm {name!r} in training mode, where the output of one point depends on the "
                "others; expected evaluation mode. Call model.eval(); a prior that is trained sets the statistics on "
                "its own rows"
            )
    kinds = {parameter.dtype for parameter in model.parameters()}
    if len(kinds) != 1 or kinds.pop() not in (torch.float32, torch.float64):
        raise TypeError("`model` has parameters of several types, or not float32 or float64; expected one of the two")
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(f"`model` holds entries that are not finite in {name!r}; expected finite weights")
    return model


def as_inputs(name: str, X: Any, model: nn.Module) -> Tensor:
    """Return inputs on the model's device, floating ones of its type."""
    first = next(model.parameters())
    given = X.detach() if isinstance(X, Tensor) else torch.from_numpy(np.require(np.asarray(X), None, ["C", "W"]))
    if given.ndim < 2:
        raise ValueError(f"`{name}` has shape {tuple(given.shape)}; expected (n, ...), one row for each point")
    if given.is_floating_point():
        given = given.to(first.dtype)
        if not bool(torch.isfinite(given).all()):
            raise ValueError(f"`{name}` holds entries that are not finite; expected numbers. Remove or impute them")
    return given.to(first.device)


def as_labels(name: str, y: Any, rows: int, classes: int) -> Tensor:
    """Return labels 0, ..., classes - 1."""
    given = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if given.dtype.kind not in "iu" or given.ndim != 1:
        if given.dtype.kind not in "iubf":
            remedy = f"Number them, as numpy.unique({name}, return_inverse=True) does"
        elif given.ndim > 1:
            remedy = f"Write {name}.argmax(1)" if given.shape[-1] > 1 else f"Write {name}.ravel()"
        elif given.dtype.kind == "f" and not (given == np.round(given)).all():
            remedy = "These are no classes, and a certificate speaks of a classifier"
        else:
            remedy = f"Write {name}.astype('int64')"
        raise TypeError(
            f"`{name}` has dtype {given.dtype} and shape {given.shape}; expected whole numbers (n,), the classes. "
            f"{remedy}"
        )
    if len(given) != rows:
        raise ValueError(f"`{name}` has {len(given)} labels for {rows} rows; expected one each")
    if rows and (given.min() < 0 or given.max() >= classes):
        raise ValueError(
            f"`{name}` holds labels from {given.min()} to {given.max()}; expected 0 to {classes - 1}, for the model "
            f"has {classes} outputs"
        )
    return torch.from_numpy(given.astype(np.int64))


def check_outputs(model: nn.Module, X: Tensor) -> int:
    """Return the number of classes, refused where an output is no number, is random, or depends on other points."""
    probe = X[:8]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            first = model(probe)
            second = model(probe)
            single = torch.cat([model(probe[i : i + 1]) for i in range(len(probe))])
        except Exception as error:
            told = " ".join(str(error).split())
            raise ValueError(f"`model` fails on inputs of shape {tuple(probe.shape)}: {told}") from None
    if not isinstance(first, Tensor) or first.ndim != 2 or len(first) != len(probe) or first.shape[1] < 2:
        shape = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
        raise ValueError(f"`model` gives {shape} for {len(probe)} points; expected logits (n, classes), two or more")
    if not bool(torch.isfinite(first).all()):
        raise ValueError("`model` gives logits that are not finite; expected numbers. Scale `X` or the weights down")
    size = float(first.abs().max()) + 1.0
    if not torch.equal(first, second):
        raise ValueError("`model` gives random logits in evaluation mode; expected a function of weights and inputs")
    if not torch.allclose(first, single, rtol=1e-3, atol=1e-3 * size):
        raise ValueError(
            "`model` gives a point other logits when others stand beside it; expected a function of one point, which "
            "losses that are independent need"
        )
    return int(first.shape[1])


def frozen_copy(model: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode: dropout off, batch norm at its statistics."""
    return copy.deepcopy(model).eval()


def reset(model: nn.Module, seed: int) -> nn.Module:
    """Return a copy whose weights and buffers are drawn anew by each layer's own rule, all of them."""
    fresh = copy.deepcopy(model)
    state = [*fresh.named_parameters(), *fresh.named_buffers()]
    real = [(name, value) for name, value in state if value.is_floating_point()]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for _, value in real:
            value.fill_(torch.nan)  # what no rule renews may have seen the bound's rows, and is found by this mark
        for module in fresh.modules():
            renew = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
            if callable(renew):
                renew()
    for name, value in real:
        if bool(torch.isnan(value).any()):
            raise ValueError(
                f"`model` has {name!r}, which no reset_parameters() draws anew, so that it may have seen the bound's "
                "rows; expected a rule. Write that method, or pass prior='continue' with the `prior_rows` that the "
                "weights have seen"
            )
    return fresh


def rebuilt(posterior: Posterior) -> nn.Module:
    """Return a fully connected network of the saved widths, whose parameters have the saved order."""
    kinds = {name: kind for kind, name in ACTIVATIONS.items()} | {"gelu_tanh": partial(nn.GELU, "tanh")}
    dtype, layers = torch.from_numpy(posterior.mean[0]).dtype, list[nn.Module]()
    for inputs, outputs in pairwise(posterior.widths):
        layers += [*([kinds[posterior.activation]()] if layers else []), nn.Linear(inputs, outputs, dtype=dtype)]
    return nn.Sequential(*layers)


def stack(model: nn.Module, X: Tensor) -> list[tuple[str, nn.Module]] | None:
    """Return the layers of a fully connected network; None for any other.

    Each weight then acts once on each point, on a vector, and one output unit shares no weight with another: drawing
    the pre-activations of a point is drawing its weights.
    """
    if type(model) is not nn.Sequential:
        return None
    layers = list(_flat(model))
    linear = [module for _, module in layers if type(module) is nn.Linear]
    if not linear or len({id(module) for module in linear}) < len(linear):  # a layer that is used twice
        return None
    if any(type(module) not in (nn.Linear, *_NOTHING, *ACTIVATIONS) for _, module in layers):
        return None
    if len(list(model.parameters())) != sum(len(list(module.parameters())) for module in linear):  # tied weights
        return None
    vector = X.ndim == 2
    for _, module in layers:
        if isinstance(module, nn.Flatten) and module.start_dim == 1 and module.end_dim in (-1, X.ndim - 1):
            vector = True
        if type(module) is nn.Linear and not vector:  # acts on every position
            return None
    return layers


def widths(layers: list[tuple[str, nn.Module]]) -> tuple[tuple[int, ...], str] | None:
    """Return widths and activation if the native kernel has the network: biases everywhere, one activation between."""
    working = [module for _, module in layers if not isinstance(module, _NOTHING)]
    linear, between = working[::2], working[1::2]
    if len(working) % 2 == 0 or any(type(module) is not nn.Linear or module.bias is None for module in linear):
        return None
    names = {_native_name(module) for module in between} or {"identity"}
    name = names.pop()
    if names or name is None:
        return None
    sizes = [int(module.in_features) for module in linear[:1]] + [int(module.out_features) for module in linear]  # type: ignore[arg-type]
    return tuple(sizes), name


def _native_name(module: nn.Module) -> str | None:
    name = ACTIVATIONS.get(type(module))
    if name == "gelu" and getattr(module, "approximate", "none") == "tanh":
        return "gelu_tanh"
    slope = getattr(module, "negative_slope", 0.01)
    return None if name in ("elu", "softplus") or slope != 0.01 else name


def _flat(model: nn.Sequential, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, module in model._modules.items():  # named_children() passes over a layer that is used again
        assert module is not None
        if type(module) is nn.Sequential:
            yield from _flat(module, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


def streams(seed: int) -> dict[str, int]:
    """Return the seeds of the independent streams under a seed."""
    names = ("split", "initial", "prior", "posterior", "certificate")
    words = SeedSequence(seed).generate_state(len(names), "uint64")
    return {name: int(word >> 1) for name, word in zip(names, words, strict=True)}
