"""Checks and conversions of arrays at the border of the package: numpy or torch in, numpy inside."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[Any]


def is_tensor(value: object) -> bool:
    """Whether `value` is a torch tensor; never imports torch, for without the import there is no tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def restore(value: NDArray[Any], like: object) -> Any:
    """Return `value` as the kind of array that `like` is."""
    return sys.modules["torch"].from_numpy(value) if is_tensor(like) else value


def as_numeric(name: str, value: object, ndim: tuple[int, ...]) -> Float:
    """Return `value` as a non-empty array of real numbers of one of the dimensions `ndim`, in its own type and memory.

    Raises
    ------
    TypeError
        If `value` is not numeric, is complex, or lives on another device than the CPU.
    ValueError
        If it has the wrong number of dimensions or is empty.
    """
    if is_tensor(value):
        tensor: Any = value
        if tensor.device.type != "cpu":
            raise TypeError(
                f"`{name}` is a tensor on {tensor.device}; expected one on the CPU: this build has no CUDA kernels. "
                f"Pass {name}.cpu()"
            )
        value = tensor.detach().numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"`{name}` is not an array of numbers ({error}); expected a numeric array") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"`{name}` has dtype {array.dtype}; expected real numbers. Convert it first, "
            f"for example {name} = numpy.asarray({name}, dtype=float)"
        )
    if array.ndim not in ndim:
        expected = " or ".join(str(d) for d in ndim)
        raise ValueError(f"`{name}` has shape {array.shape}; expected {expected} dimensions. Reshape it")
    if array.size == 0:
        raise ValueError(f"`{name}` is empty (shape {array.shape}); expected at least one entry along every axis")
    return array


def as_float(name: str, value: object, ndim: tuple[int, ...], *, keep_float32: bool = False) -> Float:
    """Return `value` as a finite, non-empty, C-ordered float array of one of the dimensions `ndim`.

    Integers and booleans become float64; float32 stays with `keep_float32` and becomes float64 without.

    Raises
    ------
    TypeError
        If `value` is not numeric, is complex, or lives on another device than the CPU.
    ValueError
        If it has the wrong number of dimensions, is empty, or holds NaN or infinity.
    """
    array = as_numeric(name, value, ndim)
    dtype = np.float32 if keep_float32 and array.dtype == np.float32 else np.float64
    with np.errstate(over="ignore"):
        array = np.require(array, dtype, ["C", "A"])
    # A sum is finite only if all its terms are: one pass without a temporary; the slow look comes only on suspicion.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(array.sum(dtype=np.float64))
    if suspicious and not np.isfinite(array).all():
        bad = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(
            f"`{name}` holds {array[bad]} at index {bad}; expected finite numbers. Remove or impute such entries"
        )
    return array


def as_integer(name: str, value: object, low: int, high: int | None = None) -> int:
    """Return `value` as an int within [low, high]; a float is refused even where it is whole."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` is {value!r} ({type(value).__name__}); expected an integer >= {low}")
    number = int(value)
    if number < low or (high is not None and number > high):
        bounds = f">= {low}" if high is None else f"in [{low}, {high}]"
        raise ValueError(f"`{name}` is {number}; expected an integer {bounds}")
    return number


def as_real(name: str, value: object, low: float = 0.0) -> float:
    """Return `value` as a finite float >= low."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` is {value!r} ({type(value).__name__}); expected a real number >= {low:g}")
    number = float(value)
    if not (np.isfinite(number) and number >= low):
        raise ValueError(f"`{name}` is {number}; expected a finite number >= {low:g}")
    return number


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> str:
    """Return `value` if it is one of the words `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"`{name}` is {value!r}; expected one of {', '.join(map(repr, allowed))}")
    return value


Progress = Callable[[int, int], None]
