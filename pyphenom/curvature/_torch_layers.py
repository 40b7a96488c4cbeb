"""Reads a torch.nn.Sequential into the layers of the native kernel; what it does not know, it refuses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_AVERAGES = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_MAXIMA = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_ADAPTIVE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_PADDING = {"zeros": "constant", "circular": "wrap", "reflect": "reflect", "replicate": "edge"}


class UnknownLayerError(Exception):
    """The kernel has no counterpart; its text says of what."""


def flat(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Give the innermost modules of nested Sequentials, in order, with their names."""
    for name, module in model._modules.items():  # named_children gives a module that stands twice once only
        assert module is not None
        if type(module) is nn.Sequential:
            _no_hooks(module)
            yield from ((f"{name}.{inner}", found) for inner, found in flat(module))
        else:
            _no_hooks(module)
            yield name, module


def _no_hooks(module: nn.Module) -> None:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    if any(getattr(module, name, None) for name in hooks):
        raise UnknownLayerError(f"hooks on {type(module).__name__}")


def activation(module: nn.Module) -> tuple[str, float, float] | None:
    """Return the kernel's name and constants of an elementwise module; None for another kind."""
    if type(module) is nn.LeakyReLU:
        return "leaky_relu", float(module.negative_slope), 0.0
    if type(module) is nn.Softplus:
        return "softplus", float(module.beta), float(module.threshold)
    if type(module) is nn.GELU:
        return ("gelu" if module.approximate == "none" else "gelu_tanh"), 0.0, 0.0
    plain = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.SiLU: "silu"}
    name = plain.get(type(module))
    return None if name is None else (name, 0.0, 0.0)


def does_nothing(module: nn.Module) -> bool:
    """Whether a module is the identity as it stands."""
    idle: bool = type(module) in _DROPOUTS and not module.training
    return idle or type(module) is nn.Identity


class Builder:
    """Adds modules to a kernel network, keeping the shape (channels, *spatial) of one sample.

    Parameters
    ----------
    network : Network32 or Network64
    shape : tuple of int
        Of one sample of the input.
    values, places : dict of str to int
        Where each parameter stands in the values of all, and in the parameter vector; -1 where it is not.
    """

    def __init__(self, network: Any, shape: tuple[int, ...], values: dict[str, int], places: dict[str, int]) -> None:
        self.network, self.shape = network, shape
        self._values, self._places = values, places

    def add(self, name: str, module: nn.Module) -> None:
        """Add one module; raises UnknownLayerError where the kernel has none such."""
        found = activation(module)
        if found is not None:
            self.network.activation(*found)
        elif type(module) is nn.Linear:
            if self.shape != (module.in_features,):
                raise UnknownLayerError(f"Linear({module.in_features}) on samples of shape {self.shape}")
            self._dense(name, module.out_features, 1, module.bias is not None)
            self.shape = (module.out_features,)
        elif type(module) in _CONVOLUTIONS:
            self._convolution(name, module)
        elif type(module) in _AVERAGES + _MAXIMA + _ADAPTIVE:
            self._pool(module)
        elif type(module) is nn.Flatten and module.start_dim == 1 and module.end_dim in (-1, len(self.shape)):
            self.network.flatten()
            self.shape = (math.prod(self.shape),)
        elif not does_nothing(module):
            raise UnknownLayerError(type(module).__name__)

    def _dense(self, name: str, outputs: int, groups: int, biased: bool) -> None:
        weight, bias = f"{name}.weight", f"{name}.bias"
        places = self._values, self._places
        w = [where[weight] for where in places]
        b = [where[bias] if biased else -1 for where in places]
        self.network.dense(outputs, groups, w[0], b[0], w[1], b[1])

    def _convolution(self, name: str, module: Any) -> None:
        spatial, dims = self.shape[1:], len(module.kernel_size)
        if len(spatial) != dims or self.shape[0] != module.in_channels:
            raise UnknownLayerError(f"{type(module).__name__} on samples of shape {self.shape}")
        reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        if module.padding == "same":
            pads = [(r // 2, r - r // 2) for r in reach]
        elif module.padding == "valid":
            pads = [(0, 0)] * dims
        else:
            pads = [(p, p) for p in module.padding]
        mode = _PADDING[module.padding_mode]
        table, out = windows(spatial, module.kernel_size, module.stride, pads, module.dilation, mode)
        if not np.array_equal(
            table, np.arange(math.prod(spatial))[:, None]
        ):  # a 1 x 1 convolution sees the entry itself
            self.network.unfold(table, math.prod(spatial), self.shape[0])
        self._dense(name, module.out_channels, module.groups, module.bias is not None)
        self.shape = (module.out_channels, *out)

    def _pool(self, module: Any) -> None:
        channels, spatial = self.shape[0], self.shape[1:]
        dims = int(type(module).__name__[-2])
        if len(spatial) != dims:
            raise UnknownLayerError(f"{type(module).__name__} on samples of shape {self.shape}")
        if type(module) in _ADAPTIVE:
            table, out = _adaptive(spatial, _each(module.output_size, dims))
        elif module.ceil_mode or getattr(module, "return_indices", False):
            raise UnknownLayerError(f"{type(module).__name__} with ceil_mode or return_indices")
        else:
            kernel, stride = _each(module.kernel_size, dims), _each(module.stride, dims)
            pads = [(p, p) for p in _each(module.padding, dims)]
            dilation = _each(getattr(module, "dilation", 1), dims)
            table, out = windows(spatial, kernel, stride, pads, dilation, "constant")
        if type(module) in _MAXIMA:
            self.network.maximum(table, math.prod(spatial), channels)
        else:
            counts = (table >= 0).sum(axis=1)
            if getattr(module, "divisor_override", None):
                counts = np.full(len(table), module.divisor_override)
            elif getattr(module, "count_include_pad", False):
                counts = np.full(len(table), table.shape[1])
            self.network.average(table, math.prod(spatial), channels, (1.0 / counts).tolist())
        self.shape = (channels, *out)


def _each(value: Any, dims: int) -> tuple[Any, ...]:
    return (value,) * dims if value is None or isinstance(value, int) else tuple(value)


def windows(
    spatial: tuple[int, ...], kernel: Any, stride: Any, pads: list[tuple[int, int]], dilation: Any, mode: str
) -> tuple[NDArray[np.int32], tuple[int, ...]]:
    """Return the positions that each output position sees (out, taps), -1 for padding, and the shape of the output."""
    positions = np.arange(math.prod(spatial), dtype=np.int32).reshape(spatial)
    fill: Any = {"constant_values": -1} if mode == "constant" else {}
    padded = np.pad(positions, pads, mode=mode, **fill)  # type: ignore[call-overload]
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    if any(r > size for r, size in zip(reach, padded.shape, strict=True)):
        raise UnknownLayerError(f"a window of {reach} on {padded.shape} positions")
    view = np.lib.stride_tricks.sliding_window_view(padded, reach)
    view = view[tuple(slice(None, None, s) for s in stride) + tuple(slice(None, None, d) for d in dilation)]
    out = view.shape[: len(spatial)]
    return np.ascontiguousarray(view.reshape(math.prod(out), -1)), out


def _adaptive(spatial: tuple[int, ...], wanted: Any) -> tuple[NDArray[np.int32], tuple[int, ...]]:
    out = tuple(size if w is None else int(w) for w, size in zip(wanted, spatial, strict=True))
    positions = np.arange(math.prod(spatial), dtype=np.int32).reshape(spatial)
    # Window i of m on a side of n entries covers floor(i n / m) to ceil((i + 1) n / m).
    seen = [
        positions[tuple(slice(i * n // m, -(-(i + 1) * n // m)) for i, n, m in zip(at, spatial, out, strict=True))]
        for at in np.ndindex(*out)
    ]
    table = np.full((len(seen), max(s.size for s in seen)), -1, np.int32)
    for row, s in zip(table, seen, strict=True):
        row[: s.size] = s.ravel()
    return table, out


def sample_shape(model: nn.Module, X: torch.Tensor) -> tuple[tuple[int, ...], bool]:
    """Return the shape of one sample as the layers see it, and whether it is flattened before the first of them."""
    for _, module in flat(model):
        if type(module) is nn.Flatten and module.start_dim == 1 and module.end_dim in (-1, X.ndim - 1):
            return (math.prod(X.shape[1:]),), True
        if not does_nothing(module):
            break
    return tuple(X.shape[1:]), X.ndim == 2
