"""The product of an operator with a block of rows, for matrices, SciPy's operators and ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import aslinearoperator

from pyphenom._arrays import Float


def rows_of(operator: Any) -> tuple[int, np.dtype[Any], Callable[[Float], Float]]:
    """Return the size P, the dtype, and the product (K, P) -> (K, P) of a symmetric operator."""
    if not hasattr(operator, "rows"):
        linear = aslinearoperator(operator)
        shape, product = linear.shape, lambda V: np.ascontiguousarray((linear @ V.T).T)
        dtype = np.dtype(np.float32 if linear.dtype == np.float32 else np.float64)
        if scipy.sparse.issparse(operator) or isinstance(operator, np.ndarray):
            product = lambda V: np.ascontiguousarray((operator @ V.T).T)  # noqa: E731
    else:
        shape, dtype, product = operator.shape, np.dtype(operator.dtype), operator.rows
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"`operator` has shape {tuple(shape)}; expected a square one")
    return int(shape[0]), dtype, product
