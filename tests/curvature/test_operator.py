"""Operators: kinds, types, shapes, SciPy's interface and its solvers, and what `as_operator` wraps."""

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, aslinearoperator, eigsh, lobpcg

from pyphenom.curvature import Operator, RectangularOperator, as_operator

P = 7
RNG = np.random.default_rng(0)
A = RNG.standard_normal((P, P))
A = A + A.T
B = RNG.standard_normal((4, P))


def symmetric(dtype=np.float64):
    matrix = A.astype(dtype)
    return Operator(P, dtype, lambda V: V @ matrix)


def rectangular(dtype=np.float64):
    matrix = B.astype(dtype)
    return RectangularOperator(B.shape, dtype, lambda V: V @ matrix.T, lambda U: U @ matrix)


OPERATORS = [(symmetric, A), (rectangular, B)]


@pytest.mark.parametrize(("make", "matrix"), OPERATORS)
@pytest.mark.parametrize("shape", [(P,), (P, 1), (P, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_products_are_those_of_the_matrix(make, matrix, shape, order):
    v = np.asarray(RNG.standard_normal(shape), order=order)
    operator = make()
    expected = matrix @ v
    np.testing.assert_allclose(operator @ v, expected, rtol=1e-13)
    np.testing.assert_allclose(operator @ torch.from_numpy(v), expected, rtol=1e-13)
    np.testing.assert_allclose(operator.dot(v), expected, rtol=1e-13)
    if v.ndim == 1 or v.shape[1] == 1:
        assert operator.matvec(v).shape == expected.shape
    if v.ndim == 2:
        np.testing.assert_allclose(operator.matmat(v), expected, rtol=1e-13)
        np.testing.assert_allclose(operator.rows(np.ascontiguousarray(v.T)), expected.T, rtol=1e-13)
    u = RNG.standard_normal((matrix.shape[0], *shape[1:]))
    adjoint = operator.rmatvec if u.ndim == 1 else operator.rmatmat
    np.testing.assert_allclose(adjoint(u), matrix.T @ u, rtol=1e-13)
    np.testing.assert_allclose(operator.T @ u, matrix.T @ u, rtol=1e-13)
    np.testing.assert_allclose(operator.H @ u, matrix.T @ u, rtol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(P,), (P, 2)])
@pytest.mark.parametrize("own", [np.float32, np.float64])
def test_tensors_come_back_as_tensors_of_their_type(dtype, shape, own):
    v = torch.ones(shape, dtype=dtype, requires_grad=True)
    product = symmetric(own) @ v
    assert product.dtype == dtype
    assert product.device == v.device
    assert tuple(product.shape) == shape
    assert not product.requires_grad
    precision = max(torch.finfo(dtype).eps, float(np.finfo(own).eps))
    np.testing.assert_allclose(product.double(), A @ np.ones(shape), atol=20 * precision)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_keep_their_type_and_integers_take_the_operators(dtype):
    operator = symmetric(np.float32)
    assert operator.dtype == np.float32
    assert (operator @ np.ones(P, dtype)).dtype == dtype
    assert (operator @ np.ones(P, int)).dtype == np.float32
    assert (operator @ torch.ones(P, dtype=torch.int64)).dtype == torch.float32


def test_the_product_sees_contiguous_rows_of_the_operators_type():
    seen = []

    def product(V):
        seen.append(V)
        return 2.0 * V

    operator = Operator(3, np.float32, product)
    operator @ np.asfortranarray(np.ones((3, 5)))
    operator @ np.ones((3, 10))[:, ::2]
    operator @ torch.ones(5, 3).T
    operator @ np.ones(6)[::2]
    assert [V.shape for V in seen] == [(5, 3), (5, 3), (5, 3), (1, 3)]
    assert all(V.flags.c_contiguous and V.dtype == np.float32 for V in seen)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones(P + 1), ValueError, r"`x` has shape \(8,\); expected \(7,\)"),
        (np.ones((P + 1, 2)), ValueError, r"`X` has shape \(8, 2\); expected \(7, K\)"),
        (np.ones((P, 2, 2)), ValueError, r"`X` has shape \(7, 2, 2\)"),
        (np.ones(P, complex), TypeError, "`x` has dtype complex128; expected real numbers"),
        (torch.ones(P, dtype=torch.complex64), TypeError, "`x` has dtype complex64; expected real numbers"),
        (np.array(["a"] * P), TypeError, "`x` has dtype <U1"),
    ],
)
def test_wrong_vectors_are_refused_by_name(x, error, message):
    with pytest.raises(error, match=message):
        symmetric() @ x


def test_columns_are_no_vector():
    with pytest.raises(ValueError, match="Use matmat"):
        symmetric().matvec(np.ones((P, 2)))


@pytest.mark.parametrize("dtype", [np.float16, np.complex128, int])
def test_operators_are_of_single_or_double_precision(dtype):
    with pytest.raises(TypeError, match=r"`dtype` is .*; expected float32 or float64"):
        Operator(P, dtype, lambda V: V)


def test_scipy_composes_and_solves():
    operator = symmetric()
    assert isinstance(operator, LinearOperator)
    assert aslinearoperator(operator) is operator
    assert operator.T is operator.H is operator
    v = RNG.standard_normal(P)
    np.testing.assert_allclose((2 * operator + operator.T @ operator) @ v, 2 * A @ v + A.T @ A @ v, rtol=1e-12)
    np.testing.assert_allclose(v @ operator, A @ v, rtol=1e-13)
    truth = np.linalg.eigvalsh(A)
    for which, expected in (("LA", truth[-2:]), ("SA", truth[:2])):
        np.testing.assert_allclose(np.sort(eigsh(operator, 2, which=which, v0=v)[0]), expected, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lobpcg_takes_it(dtype):
    diagonal = np.arange(1.0, 101.0).astype(dtype)
    operator = Operator(100, dtype, lambda V: V * diagonal)
    start = np.random.default_rng(0).standard_normal((100, 3)).astype(dtype)
    values, _ = lobpcg(operator, start, largest=True, maxiter=200, tol=1e-3)
    np.testing.assert_allclose(values, [100.0, 99.0, 98.0], rtol=1e-4)


def test_single_precision_goes_through_arpack():
    values = eigsh(symmetric(np.float32), 1, v0=np.ones(P, np.float32), return_eigenvectors=False)
    truth = np.linalg.eigvalsh(A)
    np.testing.assert_allclose(values, truth[np.abs(truth).argmax()], rtol=1e-5)


def test_it_reads_well():
    assert repr(symmetric(np.float32)) == "Operator(7 x 7, float32)"
    assert repr(rectangular()) == "RectangularOperator(4 x 7, float64)"


# ---- as_operator --------------------------------------------------------------------------------------------------


SINGLE = A.astype(np.float32)
WRAPPED = {
    "array": (A, np.float64),
    "single": (SINGLE, np.float32),
    "tensor": (torch.from_numpy(A), np.float64),
    "single tensor": (torch.from_numpy(SINGLE), np.float32),
    "sparse": (scipy.sparse.csc_array(A), np.float64),
    "sparse matrix": (scipy.sparse.coo_matrix(SINGLE), np.float32),
    "linear operator": (aslinearoperator(A), np.float64),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_what_is_wrapped_has_the_products_of_the_matrix(name):
    value, dtype = WRAPPED[name]
    operator = as_operator(value)
    assert operator.dtype == dtype
    np.testing.assert_allclose(operator @ np.eye(P), A, rtol=1e-6 if dtype == np.float32 else 1e-15)
    rows = operator.rows(np.eye(P, dtype=dtype))
    assert rows.flags.c_contiguous
    assert rows.dtype == dtype


def test_integers_become_double_and_operators_pass():
    assert as_operator(np.diag([1, 2])).dtype == np.float64
    operator = symmetric()
    assert as_operator(operator) is operator


def test_functions_are_called_with_one_vector_at_a_time():
    operator = as_operator(lambda v: A @ v, P)
    np.testing.assert_allclose(operator @ np.eye(P), A, rtol=1e-15)
    assert (as_operator(lambda v: torch.from_numpy(A @ v), P) @ np.ones(P)).shape == (P,)


def test_a_matrix_changed_later_changes_no_product():
    matrix = A.copy()
    operator = as_operator(matrix)
    matrix[:] = 0.0
    np.testing.assert_allclose(operator @ np.eye(P), A, rtol=1e-15)


@pytest.mark.parametrize(
    ("value", "size", "error", "message"),
    [
        (B, None, ValueError, r"`A` has shape \(4, 7\); expected a square matrix"),
        (scipy.sparse.csr_array(B), None, ValueError, r"`A` has shape \(4, 7\); expected a square matrix"),
        (aslinearoperator(B), None, ValueError, "expected a square matrix"),
        (np.triu(A), None, ValueError, "`A` differs from its transpose"),
        (scipy.sparse.csr_array(np.triu(A)), None, ValueError, "`A` differs from its transpose"),
        (torch.from_numpy(np.triu(A)), None, ValueError, "`A` differs from its transpose"),
        (np.full((2, 2), np.nan), None, ValueError, "`A` differs from its transpose by up to nan"),
        (1j * A, None, TypeError, "`A` has dtype complex128"),
        (lambda v: v, None, ValueError, "`size` is missing"),
        (A, 3, ValueError, "`size` is 3"),
        ("matrix", None, TypeError, "`A` is a str"),
    ],
)
def test_what_cannot_be_wrapped_is_refused(value, size, error, message):
    with pytest.raises(error, match=message):
        as_operator(value, size)


def test_a_function_to_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"`A` gives a vector of shape \(6,\) for one of shape \(7,\)"):
        as_operator(lambda v: v[:-1], P) @ np.ones(P)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_any_block_is_the_product_of_its_columns(size, columns, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((size, size))
    operator = as_operator(matrix + matrix.T)
    V = rng.standard_normal((size, columns))
    one_by_one = np.stack([operator @ v for v in V.T], axis=1)
    np.testing.assert_allclose(operator @ V, one_by_one, atol=1e-13 * (1 + np.abs(one_by_one).max()))
