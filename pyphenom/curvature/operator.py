"""Linear operators known by their product with a block of vectors: SciPy's interface, numpy or torch in and out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
from numpy.typing import DTypeLike, NDArray
from scipy.sparse.linalg import LinearOperator

from pyphenom._arrays import Float, as_integer, is_tensor, restore

if TYPE_CHECKING:
    _Base = LinearOperator[Any]
else:
    _Base = LinearOperator  # generic in its stubs only

Rows = Callable[[Float], Float]
"""A block of K vectors, one a row of a C-contiguous array (K, N), to their images (K, M)."""


class RectangularOperator(_Base):
    r"""A real matrix :math:`A` of the shape (M, N), given by the products :math:`VA^\top` and :math:`UA`.

    ``A @ v``, ``A.matvec``, ``A.matmat``, ``A.rmatvec`` and ``A.rmatmat`` take numpy arrays or torch tensors, vectors
    (N,) or columns (N, K), and give the same kind back, on the same device and of the same floating type; the product
    itself is computed in ``A.dtype``. It is a SciPy ``LinearOperator``, so ARPACK and LOBPCG take it.

    Parameters
    ----------
    shape : tuple of int
        (M, N).
    dtype : float32 or float64
        In which products are computed.
    product : callable
        C-contiguous array V (K, N) of `dtype`, one vector a row, to :math:`VA^\top` (K, M).
    adjoint : callable
        The same for the transpose: U (K, M) to :math:`UA` (K, N).

    Examples
    --------
    >>> A = np.arange(6.0).reshape(2, 3)
    >>> operator = RectangularOperator(A.shape, float, lambda V: V @ A.T, lambda U: U @ A)
    >>> operator @ np.ones(3), operator.rmatvec(np.ones(2))
    (array([ 3., 12.]), array([3., 5., 7.]))
    """

    def __init__(self, shape: tuple[int, int], dtype: DTypeLike, product: Rows, adjoint: Rows) -> None:
        kind = np.dtype(dtype)
        if kind not in (np.float32, np.float64):
            raise TypeError(f"`dtype` is {kind}; expected float32 or float64")
        sizes = as_integer("shape[0]", shape[0], 1), as_integer("shape[1]", shape[1], 1)
        super().__init__(kind, sizes)  # type: ignore[call-arg]  # not in its stubs
        self._product, self._adjoint_product = product, adjoint

    def rows(self, V: Float) -> Float:
        r"""Return :math:`VA^\top` for a C-contiguous block V (K, N) of the operator's dtype, without a check."""
        return self._product(V)

    def rows_of_transpose(self, U: Float) -> Float:
        """Return UA for a C-contiguous block U (K, M) of the operator's dtype, without a check."""
        return self._adjoint_product(U)

    def matvec(self, x: Any) -> Any:
        """Return A x for a vector (N,) or a column (N, 1)."""
        return self._apply("x", x, (1, 2), self._product, self.shape[1])

    def matmat(self, X: Any) -> Any:
        """Return A X for columns (N, K)."""
        return self._apply("X", X, (2,), self._product, self.shape[1])

    def rmatvec(self, x: Any) -> Any:
        r"""Return :math:`A^\top x` for a vector (M,) or a column (M, 1)."""
        return self._apply("x", x, (1, 2), self._adjoint_product, self.shape[0])

    def rmatmat(self, X: Any) -> Any:
        r"""Return :math:`A^\top X` for columns (M, K)."""
        return self._apply("X", X, (2,), self._adjoint_product, self.shape[0])

    def dot(self, x: Any) -> Any:
        """Return A x for a vector, columns, a number or another operator, as ``A @ x`` and ``A * x`` do."""
        if is_tensor(x) or isinstance(x, np.ndarray):
            return self.matvec(x) if x.ndim == 1 else self.matmat(x)
        return super().dot(x)

    # SciPy's base class asks for these, and calls them where operators are composed.
    def _matvec(self, x: Any) -> Any:
        return self.matvec(x)

    def _matmat(self, X: Any) -> Any:
        return self.matmat(X)

    def _rmatvec(self, x: Any) -> Any:
        return self.rmatvec(x)

    def _rmatmat(self, X: Any) -> Any:
        return self.rmatmat(X)

    def _transpose(self) -> RectangularOperator:
        return RectangularOperator((self.shape[1], self.shape[0]), self.dtype, self._adjoint_product, self._product)

    def _adjoint(self) -> RectangularOperator:
        return self._transpose()

    def _apply(self, name: str, x: Any, ndim: tuple[int, ...], product: Rows, size: int) -> Any:
        array = _real(name, x)
        if array.ndim not in ndim or array.shape[0] != size:
            expected = f"({size}, K)" if ndim == (2,) else f"({size},)"
            raise ValueError(
                f"`{name}` has shape {array.shape}; expected {expected} for an operator of shape {self.shape}"
            )
        if array.ndim == 2 and 1 in ndim and array.shape[1] != 1:
            raise ValueError(f"`{name}` has shape {array.shape}; expected one vector. Use matmat for several columns")
        V = np.ascontiguousarray(array.T if array.ndim == 2 else array[None], self.dtype)
        W = product(V)
        result = W.T if array.ndim == 2 else W[0]
        if is_tensor(x):
            return restore(result, like=x).to(x.device, x.dtype if x.is_floating_point() else None)
        # Integers come back as the operator's own type, a float in its own.
        return result.astype(array.dtype, copy=False) if array.dtype.kind == "f" else result

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shape[0]} x {self.shape[1]}, {self.dtype})"


@dataclass(frozen=True)
class Reduced:
    r"""A symmetric matrix :math:`A = LBL^\top` with orthonormal columns L (P, R): exactly zero on their complement.

    The eigenvalues of A are those of B and P - R zeros more; a solver that works on B has shorter vectors.

    Attributes
    ----------
    operator : Operator
        B (R, R).
    lift, restrict : callable
        Coordinates (K, R), one vector a row, to vectors (K, P), :math:`UL^\top`; and back, :math:`VL`.
    """

    operator: Operator
    lift: Rows
    restrict: Rows


class Operator(RectangularOperator):
    r"""A real symmetric matrix :math:`A`, given by the product :math:`VA` with a block of rows.

    Parameters
    ----------
    size : int
        P; the shape is (P, P).
    dtype : float32 or float64
        In which products are computed.
    product : callable
        C-contiguous array V (K, P) of `dtype`, one vector a row, to :math:`VA` (K, P).
    reduced : callable, optional
        What `reduced` returns, made when a solver first asks.

    See Also
    --------
    as_operator : Wraps matrices, SciPy's operators and functions.

    Examples
    --------
    >>> operator = Operator(3, float, lambda V: V * np.array([5.0, 1.0, 2.0]))
    >>> operator @ np.ones(3)
    array([5., 1., 2.])
    >>> import scipy.sparse.linalg
    >>> print(scipy.sparse.linalg.eigsh(operator, 1, v0=np.ones(3), return_eigenvectors=False).round(12))
    [5.]
    """

    def __init__(
        self, size: int, dtype: DTypeLike, product: Rows, reduced: Callable[[], Reduced | None] | None = None
    ) -> None:
        size = as_integer("size", size, 1)
        super().__init__((size, size), dtype, product, product)
        self._reduced = reduced

    def reduced(self) -> Reduced | None:
        """Return a smaller operator with the same eigenvalues but for zeros, or None where none is known."""
        return None if self._reduced is None else self._reduced()

    def _transpose(self) -> Operator:
        return self


def as_operator(operator: Any, size: int | None = None) -> Operator:
    r"""Wrap a symmetric matrix, an operator or a function as an `Operator`.

    Parameters
    ----------
    operator : array, tensor, sparse matrix, LinearOperator, Operator or callable
        A matrix (P, P): numpy, torch, or SciPy sparse, checked for symmetry; a SciPy ``LinearOperator``, which is taken
        to be symmetric; or a function from a vector (P,) to its image (P,), called with one numpy vector at a time. An
        `Operator` comes back as it is.
    size : int, optional
        P, which a function needs.

    Returns
    -------
    Operator
        Of float32 where the matrix is, of float64 otherwise.

    Raises
    ------
    TypeError
        If `operator` is none of these, or complex.
    ValueError
        If `operator` is not square or not symmetric, or `size` is missing or differs.

    Examples
    --------
    >>> as_operator(np.diag([1.0, 2.0])) @ np.ones(2)
    array([1., 2.])
    >>> as_operator(lambda v: 3 * v, size=4)
    Operator(4 x 4, float64)
    """
    if isinstance(operator, Operator):
        made = operator
    elif isinstance(operator, LinearOperator):
        product, dtype = operator.matmat, _precision(operator.dtype)
        made = Operator(_side(operator), dtype, lambda V: np.ascontiguousarray(product(V.T).T, V.dtype))
    elif scipy.sparse.issparse(operator):
        sparse = _csr(operator)
        _check_symmetry(sparse)
        made = Operator(_side(sparse), sparse.dtype, lambda V: np.ascontiguousarray((sparse @ V.T).T))
    elif is_tensor(operator) or isinstance(operator, np.ndarray):
        values = _real("operator", operator)
        dense = np.array(values, _precision(values.dtype), order="C")
        _check_symmetry(dense)
        made = Operator(len(dense), dense.dtype, lambda V: V @ dense)
    elif callable(operator):
        if size is None:
            raise ValueError(
                "`size` is missing; expected the number of entries of a vector, since `operator` is a function"
            )
        made = Operator(size, np.float64, _one_by_one(operator))
    else:
        raise TypeError(
            f"`operator` is a {type(operator).__name__}; expected a matrix (numpy, torch or SciPy sparse), a "
            "LinearOperator, or a function with `size`"
        )
    if size is not None and size != made.shape[0]:
        raise ValueError(f"`size` is {size}; `operator` has shape {made.shape}. Leave `size` out")
    return made


def _one_by_one(function: Callable[[Float], Any]) -> Rows:
    def product(V: Float) -> Float:
        W = np.empty_like(V)
        for v, w in zip(V, W, strict=True):
            image = _real("operator(v)", function(v))
            if image.shape != v.shape:
                raise ValueError(f"`operator` gives a vector of shape {image.shape} for one of shape {v.shape}")
            w[:] = image
        return W

    return product


def _real(name: str, x: Any) -> NDArray[Any]:
    """Return x as a numpy array without a copy where that is possible; refuse what is not real."""
    if is_tensor(x):
        x = x.detach()
        if not x.is_floating_point() or x.element_size() < 4:  # numpy knows no bfloat16
            x = x if x.is_complex() else x.double()
        x = x.cpu().numpy()
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` has dtype {array.dtype}; expected real numbers")
    return array


def _csr(A: Any) -> Any:
    return A.tocsr().astype(_precision(A.dtype), copy=False)


def _precision(dtype: Any) -> np.dtype[Any]:
    kind = np.dtype(np.float64 if dtype is None else dtype)
    if kind.kind not in "fiub":
        raise TypeError(f"`operator` has dtype {kind}; expected real numbers")
    return kind if kind == np.float32 else np.dtype(np.float64)


def _side(A: Any) -> int:
    if len(A.shape) != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"`operator` has shape {tuple(A.shape)}; expected a square matrix")
    return int(A.shape[0])


def _check_symmetry(A: Any) -> None:
    _side(A)
    largest = abs(A).max() if A.shape[0] else 0.0
    if not np.isfinite(largest):
        raise ValueError("`operator` holds values that are not finite; expected finite ones")
    difference = abs(A - A.T).max() if A.shape[0] else 0.0
    # Half the digits: what was computed in another order above and below the diagonal passes.
    if not difference <= np.sqrt(np.finfo(A.dtype).eps) * largest:
        raise ValueError(
            f"`operator` differs from its transpose by up to {difference:.2g}; expected a symmetric matrix. "
            "Symmetrise it: (A + A.T) / 2"
        )
