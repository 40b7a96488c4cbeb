"""Checks of arguments that only sources and corruptions of data take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

Stored = str | os.PathLike[str]


def as_generator(name: str, value: object) -> np.random.Generator:
    """Return `value` if it is a generator of NumPy: a seed would draw the same numbers in every call."""
    if not isinstance(value, np.random.Generator):
        raise TypeError(
            f"`{name}` is {value!r} ({type(value).__name__}); expected a numpy.random.Generator. "
            "Make one by numpy.random.default_rng(seed)"
        )
    return value


def as_path(name: str, value: object) -> Path:
    """Return `value` as a path."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"`{name}` is {value!r} ({type(value).__name__}); expected a path")
    return Path(value)


def pixel_dtype(name: str, value: Any) -> np.dtype[Any]:
    """Return `value` as one of the types that hold bytes without loss and that models take."""
    try:
        dtype: np.dtype[Any] | None = None if value is None else np.dtype(value)  # NumPy reads None as float64
    except TypeError:
        dtype = None
    if dtype is None or dtype not in (np.uint8, np.float32, np.float64):
        raise TypeError(f"`{name}` is {value!r}; expected numpy.uint8, numpy.float32 or numpy.float64")
    return dtype
