"""Extreme eigenpairs of a symmetric operator: block Lanczos with thick restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from pyphenom import _core
from pyphenom._arrays import Float, Progress, as_float, as_integer, as_real, one_of
from pyphenom.curvature._rows import rows_of
from pyphenom.random_features.features import threads

WHICH = ("LA", "SA", "LM", "BE")
MISS_PROBABILITY = 1e-3


@dataclass(frozen=True)
class Status:
    """How a computation ended.

    Attributes
    ----------
    converged : bool
        Whether everything asked for was reached.
    message : str
        What was reached, and what to do where it is less than asked for.
    """

    converged: bool
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    values: Float
    vectors: Float
    residuals: Float
    matvecs: int
    restarts: int
    status: Status
    miss_probability: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def eigsh(
    operator: Any,
    k: int = 1,
    which: str = "LA",
    tol: float = 1e-6,
    v0: Any = None,
    *,
    block: int = 1,
    basis_size: int | None = None,
    max_bytes: int | None = None,
    max_products: int | None = None,
    copies: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Eigenpairs:
    size, dtype, product = rows_of(operator)
    k = as_integer("k", k, 1, size)
    start = np.empty((0, size), dtype) if v0 is None else as_float("v0", v0, (1, 2)).reshape(size, -1).T
    smallest = _core.smallest_basis(size, k, len(start), block)
    capacity = basis_size or max(smallest, min(size + block, max(48, 2 * k + 24) + block))
    basis = np.empty((capacity, size), dtype)
    basis[: len(start)] = start
    done = 0
    most = max_products or 1000 + 100 * k

    def multiply(V: Float, out: Float) -> None:
        nonlocal done
        out[...] = product(V)
        done += len(V)
        if progress is not None:
            progress(done, most)

    found = _core.lanczos(
        basis, len(start), multiply, k, one_of("which", which, WHICH), tol, block, most,
        MISS_PROBABILITY if copies else 1.0, seed, threads(),
    )
    values = np.array(found["values"])
    order = np.argsort(-values, kind="stable") if which == "BE" else np.arange(k)
    return Eigenpairs(
        values[order], np.array(basis[:k].T[:, order]), np.array(found["residuals"])[order], found["products"],
        found["restarts"], Status(found["converged"] == k, f"{found}"), found["miss_probability"],
    )
