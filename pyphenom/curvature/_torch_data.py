"""Data as batches that can be read again: one batch, a tensor cut in pieces, or an iterable such as a DataLoader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyphenom._arrays import as_integer
from pyphenom.curvature._torch_autograd import preserved_random_state, random_state


class Batches:
    """Iterate over (X, y) as tensors on `device`, floating ones of `dtype`; every pass gives the same batches.

    A pass over an iterable starts from the random state at construction and leaves the caller's as it was, so that a
    shuffled DataLoader gives the same order each time.

    Parameters
    ----------
    X : array, tensor, or iterable of (X, y)
    y : array or tensor, optional
        Missing where `X` is an iterable of pairs.
    batch_size : int, optional
        Samples a batch; all at once if None. Not for an iterable, which has its own.
    device, dtype
        Of the batches.

    Raises
    ------
    TypeError, ValueError
        If `X` can be read only once, or `X` and `y` do not fit.
    """

    def __init__(self, X: Any, y: Any, batch_size: int | None, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._pairs: Any = None
        if y is None:
            if isinstance(X, Tensor | np.ndarray) or not hasattr(X, "__iter__"):
                raise TypeError(f"`y` is missing and `X` is a {type(X).__name__}; expected targets, or batches (X, y)")
            if iter(X) is X:
                raise TypeError(
                    f"`X` is a {type(X).__name__}, which can be read once only; every product reads the data again. "
                    "Pass list(X), or an object whose __iter__ starts anew, such as a DataLoader"
                )
            if batch_size is not None:
                raise ValueError("`batch_size` is for tensors and arrays; `X` is an iterable with batches of its own")
            self._pairs, self.count = X, len(X) if hasattr(X, "__len__") else 0
            self._random = random_state(device)
            # A loader may hold a generator of its own, whose state moves on with every pass.
            generator = getattr(X, "generator", None)
            self._own = (generator, generator.get_state()) if isinstance(generator, torch.Generator) else None
            return
        self._X, self._y = _tensor("X", X), _tensor("y", y)
        if self._X.ndim == 0 or self._y.ndim == 0 or len(self._X) != len(self._y) or len(self._X) == 0:
            raise ValueError(
                f"`X` and `y` have the shapes {tuple(self._X.shape)} and {tuple(self._y.shape)}; expected as many "
                "samples along the first axis of both, at least one"
            )
        self._size = len(self._X) if batch_size is None else as_integer("batch_size", batch_size, 1)
        self.count = -(-len(self._X) // self._size)

    @property
    def single(self) -> bool:
        """Whether all data are one batch in memory."""
        return self._pairs is None and self.count == 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self._pairs is None:
            for i in range(0, len(self._X), self._size):
                yield self._moved(self._X[i : i + self._size]), self._moved(self._y[i : i + self._size])
            return
        # Read within the restored state, give back outside of it: the consumer's own draws are not touched.
        with preserved_random_state(self._device):
            torch.set_rng_state(self._random[0])
            if len(self._random) > 1:
                torch.cuda.set_rng_state(self._random[1], self._device)
            if self._own is not None:
                self._own[0].set_state(self._own[1])
            for pair in self._pairs:
                if not isinstance(pair, tuple | list) or len(pair) != 2:
                    raise TypeError(f"`X` gives a {type(pair).__name__}; expected pairs (X, y) of tensors or arrays")
                yield self._moved(_tensor("X", pair[0])), self._moved(_tensor("y", pair[1]))

    def _moved(self, value: Tensor) -> Tensor:
        return value.to(self._device, self._dtype if value.is_floating_point() else None)


def _tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"`{name}` has dtype {array.dtype}; expected a tensor or an array of real numbers")
        value = torch.from_numpy(np.require(array, None, ["C", "W"]))
    tensor: Tensor = value.detach()
    # A sum is finite only if all its terms are; the slow look comes only on suspicion.
    if tensor.is_floating_point() and not tensor.sum().isfinite() and not (finite := tensor.isfinite()).all():
        bad = tuple((~finite).nonzero()[0].tolist())
        raise ValueError(f"`{name}` holds {tensor[bad]:g} at index {bad}; expected finite numbers")
    return tensor
