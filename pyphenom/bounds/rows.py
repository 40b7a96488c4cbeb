"""Which rows of the data an entry of a certificate rests on, and what they held."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.int64]


def digest(*arrays: ArrayLike) -> str:
    """Return the SHA-256 of arrays, of their types, shapes and entries.

    Parameters
    ----------
    *arrays : array

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    TypeError
        For an array of objects, whose bytes are addresses.

    Examples
    --------
    >>> digest([1, 2]) == digest([1, 2]), digest([1, 2]) == digest([[1, 2]])
    (True, False)
    """
    found = hashlib.sha256()
    for array in map(np.asarray, arrays):
        if array.dtype.hasobject:
            raise TypeError(f"an array of dtype {array.dtype} was given; expected numbers, which have bytes to hash")
        found.update(f"{array.dtype.newbyteorder('<').str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class Rows:
    """Which rows of the data an entry rests on.

    Attributes
    ----------
    count : int
        Number of distinct rows: the n of the theorem.
    indices : str
        SHA-256 of their sorted indices.
    contents : str
        SHA-256 of the inputs and labels in them.
    repeated : int
        Rows whose input and label another of them has too. They are independent draws only if the source repeats
        itself; copies and augmented rows are not.
    """

    count: int
    indices: str
    contents: str
    repeated: int = 0

    @classmethod
    def of(cls, indices: ArrayLike, X: NDArray[Any], y: NDArray[Any]) -> Rows:
        """Return the entry of rows of X and y.

        Parameters
        ----------
        indices : array of int
        X, y : array (rows, ...)

        Returns
        -------
        Rows

        Raises
        ------
        ValueError, TypeError
            For an index that occurs twice, or is outside of X.
        """
        chosen = distinct("indices", indices, len(X))
        inputs, labels = X[chosen], y[chosen]
        inputs = np.ascontiguousarray(inputs).reshape(len(chosen), -1)
        parts = [np.ascontiguousarray(part).reshape(len(chosen), -1).view(np.uint8) for part in (inputs, labels)]
        both = np.hstack(parts)
        different = len(set(both.view(f"V{both.shape[1]}").ravel().tolist()))
        return cls(len(chosen), digest(chosen), digest(inputs, labels), len(chosen) - different)

    def __repr__(self) -> str:
        return f"Rows({self.count}, indices {self.indices[:8]}, contents {self.contents[:8]}, {self.repeated} repeated)"


def distinct(name: str, indices: ArrayLike, size: int) -> Indices:
    """Return sorted row numbers, refused where one occurs twice or is outside [0, size).

    Parameters
    ----------
    name : str
        Of the argument, for the message.
    indices : array of int
    size : int

    Returns
    -------
    array of int64

    Raises
    ------
    ValueError, TypeError
        As said.

    Examples
    --------
    >>> distinct("rows", [3, 1], 4)
    array([1, 3])
    """
    array = np.asarray(indices)
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"`{name}` has dtype {array.dtype} and shape {array.shape}; expected row numbers, integers along one axis. "
            "Pass np.flatnonzero of a mask"
        )
    if array.min() < 0 or array.max() >= size:
        raise ValueError(f"`{name}` holds rows from {array.min()} to {array.max()}; expected them in [0, {size})")
    found = np.unique(array).astype(np.int64)
    if len(found) != len(array):
        raise ValueError(
            f"`{name}` holds {len(array) - len(found)} rows twice; expected each once, for a point that is counted "
            "twice is no second draw. Pass np.unique of it"
        )
    return found


def without_overlap(learnt: Iterable[int], scored: Iterable[int]) -> None:
    """Refuse a prior that has seen points of the bound.

    Parameters
    ----------
    learnt, scored : iterable of int
        Rows that the prior has seen, and rows that the bound is scored on.

    Raises
    ------
    ValueError
        If they share a row.

    Examples
    --------
    >>> without_overlap([0, 1], [2, 3])
    """
    common = set(map(int, learnt)) & set(map(int, scored))
    if common:
        raise ValueError(
            f"the prior has seen {len(common)} of the bound's rows, such as row {min(common)}; expected none, for the "
            "theorem needs a prior that is fixed before they are seen. Leave them out of the bound, or train a prior "
            "without them"
        )
