"""Validation of the parameters of a formula, before any work is done."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]
Values: TypeAlias = float | Array
"""A Python float for scalar parameters, a float64 array of their broadcast shape otherwise."""


def real(name: str, value: ArrayLike) -> Array:
    """Return `value` as a float64 array; raise if it is not numeric or holds NaN."""
    try:
        given = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: got {type(value).__name__}, expected a real number or an array of them") from error
    if given.dtype.kind not in "fiu":
        raise TypeError(
            f"{name}: got {type(value).__name__} of dtype {given.dtype}, expected a real number or an array of them; "
            "convert it with numpy.asarray(..., dtype=float)"
        )
    result: Array = given.astype(np.float64)
    if np.isnan(result).any():
        raise ValueError(f"{name}: got NaN, expected a number; drop or repair the missing values first")
    return result


def nonnegative(name: str, value: ArrayLike, *, infinite: bool = False) -> Array:
    """Return `value` as a float64 array of numbers >= 0; infinity only where it has a meaning."""
    array = real(name, value)
    if (array < 0).any():
        raise ValueError(f"{name}: got {array.min():g}, expected a number >= 0; check its sign")
    _finite(name, array, infinite)
    return array


def positive(name: str, value: ArrayLike, *, infinite: bool = False) -> Array:
    """Return `value` as a float64 array of numbers > 0; infinity only where it has a meaning."""
    array = real(name, value)
    if (array <= 0).any():
        raise ValueError(f"{name}: got {array.min():g}, expected a number > 0; leave out the empty case")
    _finite(name, array, infinite)
    return array


def integer(name: str, value: ArrayLike, low: int) -> int:
    """Return one whole number >= low as an int."""
    array = real(name, value)
    if array.ndim != 0 or not np.isfinite(array) or array != np.floor(array) or array < low:
        raise ValueError(f"{name}: got {value!r}, expected one integer >= {low}")
    return int(array)


def spectrum(name: str, value: ArrayLike) -> Array:
    """Return `value` as a vector of eigenvalues >= 0."""
    array = real(name, value)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"{name}: got shape {array.shape}, expected a non-empty vector (p,); "
            "pass the eigenvalues of the covariance or kernel, not the matrix"
        )
    if (array < 0).any():
        raise ValueError(
            f"{name}: got {array.min():g}, expected numbers >= 0; "
            "if it is round-off of an eigensolver, clip with numpy.clip(eigenvalues, 0, None)"
        )
    _finite(name, array, infinite=False)
    return array


def same_length(name: str, array: Array, other: str, length: int) -> None:
    """Raise unless the last axis of `array` has the given length."""
    if array.ndim == 0 or array.shape[-1] != length:
        raise ValueError(
            f"{name}: got shape {array.shape}, expected a last axis of length {length}, one entry per entry of {other}"
        )


def broadcast(**parameters: Array) -> tuple[int, ...]:
    """Return the common shape of the parameters; raise with their names and shapes if there is none."""
    try:
        return np.broadcast_shapes(*(array.shape for array in parameters.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in parameters.items())
        raise ValueError(
            f"parameters: got shapes {shapes}, expected shapes that broadcast together; "
            "insert axes with array[:, None] to form a grid"
        ) from None


def times(gain: Array, power: Array) -> Array:
    """Multiply, where no power stays none even at an infinite gain."""
    with np.errstate(invalid="ignore"):
        return np.where(power > 0, gain * power, 0.0)


def unwrap(array: Any, shape: tuple[int, ...] | None = None) -> Values:
    """Return a float for a 0-d array, else a contiguous array of the given shape."""
    result: Array = np.asarray(array, dtype=np.float64)
    if shape is not None:
        result = np.array(np.broadcast_to(result, shape))
    return float(result) if result.ndim == 0 else result


def _finite(name: str, array: Array, infinite: bool) -> None:
    if not infinite and np.isinf(array).any():
        raise ValueError(f"{name}: got inf, expected a finite number; approach the limit with a large value")
