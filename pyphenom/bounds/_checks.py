"""Checks of what a bound is given, before any work: every message names the argument, what came, and the remedy."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]
Values: TypeAlias = float | Array
"""A Python float for scalar arguments, a float64 array of their broadcast shape otherwise."""


def real(name: str, value: ArrayLike) -> Array:
    """Return `value` as a float64 array without NaN."""
    try:
        given = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` is {type(value).__name__}; expected a real number or an array of them") from error
    if given.dtype.kind not in "fiu":
        raise TypeError(
            f"`{name}` is {type(value).__name__} of dtype {given.dtype}; expected a real number or an array of them"
        )
    result: Array = given.astype(np.float64, copy=False)
    if np.isnan(result).any():
        raise ValueError(f"`{name}` holds NaN; expected numbers. Look for the loss or weight that became NaN")
    return result


def demand(name: str, array: Array, good: Any, expected: str) -> Array:
    if not np.all(good):
        bad = array[~np.asarray(good)].flat[0]
        raise ValueError(f"`{name}` is {str(float(bad)).removesuffix('.0')}; expected {expected}")
    return array


def risk(name: str, value: ArrayLike) -> Array:
    """Return rates in [0, 1]."""
    array = real(name, value)
    return demand(
        name, array, (array >= 0) & (array <= 1), "a rate in [0, 1]. Divide counts by n and losses by their range"
    )


def divergence(name: str, value: ArrayLike) -> Array:
    """Return finite numbers >= 0."""
    array = real(name, value)
    return demand(
        name, array, (array >= 0) & np.isfinite(array), "a finite number >= 0, in nats. Recompute it in float64"
    )


def positive(name: str, value: ArrayLike, expected: str = "a finite number > 0") -> Array:
    """Return finite numbers > 0."""
    array = real(name, value)
    return demand(name, array, (array > 0) & np.isfinite(array), expected)


def confidence(name: str, value: ArrayLike) -> Array:
    """Return probabilities strictly between 0 and 1."""
    array = real(name, value)
    return demand(
        name, array, (array > 0) & (array < 1), "a probability of failure strictly between 0 and 1, such as 0.05"
    )


def whole(name: str, value: ArrayLike, low: int, meaning: str) -> Array:
    """Return whole numbers >= low, as float64."""
    array = real(name, value)
    good = (array >= low) & (array == np.floor(array)) & (array < 2.0**53)
    return demand(name, array, good, f"a whole number >= {low}, {meaning}")


def count(name: str, value: ArrayLike, low: int = 1) -> Array:
    """Return numbers of points, as float64."""
    return whole(name, value, low, "the number of distinct points that the risk was measured on")


def errors(name: str, value: ArrayLike, n: Array) -> Array:
    """Return whole numbers between 0 and n."""
    array = real(name, value)
    broadcast(errors=array, n=n)
    good = (array >= 0) & (array == np.floor(array))
    demand(name, array, good, "a whole number of errors >= 0. Pass the count, not the rate")
    if not np.all(array <= n):
        raise ValueError(f"`{name}` is {array.max():g}; expected at most `n`, which is {n.min():g}")
    return array


def broadcast(**arguments: Array) -> tuple[int, ...]:
    """Return the common shape of the arguments."""
    try:
        return np.broadcast_shapes(*(array.shape for array in arguments.values()))
    except ValueError:
        shapes = ", ".join(f"`{name}` {array.shape}" for name, array in arguments.items())
        raise ValueError(
            f"the shapes {shapes} do not broadcast together; insert axes with array[:, None] to form a grid"
        ) from None


def unwrap(value: Any) -> Values:
    """Return a float for a 0-d array, else the array."""
    array: Array = np.asarray(value, dtype=np.float64)
    return float(array) if array.ndim == 0 else array
