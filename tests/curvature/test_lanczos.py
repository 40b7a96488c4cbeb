"""The eigensolver against dense eigenvalues and closed forms, and peers' known mistakes."""

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from eigenpairs import Diagonal, assert_pairs, expected, symmetric
from hypothesis import given, settings
from hypothesis import strategies as st

from pyphenom.curvature import eigsh

# ---- what is asked for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["LA", "SA", "LM", "BE"])
@pytest.mark.parametrize("k", [1, 2, 5, 12])
def test_dense_truth(which, k):
    rng = np.random.default_rng(k)
    values = np.concatenate([rng.normal(0, 1, 190), -np.geomspace(3, 40, 10)])
    A = symmetric(values)
    assert_pairs(eigsh(A, k, which, tol=1e-8), A, np.linalg.eigvalsh(A), which, tol=1e-8)


def test_default_is_the_largest_although_another_is_larger_in_magnitude():  # D3, D8
    A = np.diag([-5.0, 1.0, 2.0])
    for which, first in (("LA", 2.0), ("SA", -5.0), ("LM", -5.0)):
        np.testing.assert_allclose(eigsh(A, 1, which).values, [first], atol=1e-12)
    np.testing.assert_allclose(eigsh(A, 2, "BE").values, [2.0, -5.0], atol=1e-12)
    np.testing.assert_allclose(eigsh(A, 2).values, [2.0, 1.0], atol=1e-12)


@pytest.mark.parametrize("k", [1, 5])
def test_goes_on_until_converged_or_says_so(k):  # D2
    A = symmetric(np.random.default_rng(1).uniform(0, 1, 300))
    assert_pairs(eigsh(A, k), A, np.linalg.eigvalsh(A))
    stopped = eigsh(A, k, max_products=2 * k)
    assert not stopped.status.converged
    assert stopped.matvecs == 2 * k
    assert "max_products" in stopped.status.message
    X = stopped.vectors
    np.testing.assert_allclose(stopped.residuals, np.linalg.norm(A @ X - X * stopped.values, axis=0), rtol=1e-6)


@pytest.mark.parametrize("factor", [1e-6, 1e6, 1e-30, 1e30])
def test_scaling(factor):  # D6
    A = symmetric(np.concatenate([[7.0, 5.0, 3.0, 2.5], np.random.default_rng(2).normal(0, 0.5, 196)]))
    plain, scaled = eigsh(A, 3, tol=1e-9), eigsh(factor * A, 3, tol=1e-9)
    np.testing.assert_allclose(scaled.values, factor * plain.values, rtol=1e-10)
    assert scaled.matvecs == plain.matvecs


@given(st.integers(1, 12), st.sampled_from(["LA", "SA", "LM", "BE"]), st.integers(0, 2**32 - 1), st.data())
@settings(max_examples=300, deadline=None)
def test_small_matrices(size, which, seed, data):
    # Small integers give multiple eigenvalues, zeros, and +- pairs of one magnitude, which LM may order either way.
    values = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size)), float)
    k = data.draw(st.integers(1, size))
    A = symmetric(values, seed)
    pairs = eigsh(A, k, which, tol=1e-10, seed=seed)
    assert pairs.status.converged
    compare = (lambda v: np.sort(np.abs(v))) if which == "LM" else np.sort
    np.testing.assert_allclose(compare(pairs.values), compare(expected(values, k, which)), atol=1e-8)
    np.testing.assert_allclose(A @ pairs.vectors, pairs.vectors * pairs.values, atol=1e-8)
    np.testing.assert_allclose(pairs.vectors.T @ pairs.vectors, np.eye(k), atol=1e-10)


def test_degenerate_matrices():
    # Where a Krylov space is nearly exhausted, rounding errors decide what its last directions are, and a copy may hide
    # in one that no product has seen.
    rng = np.random.default_rng(14)
    for seed in range(600):
        values = rng.integers(-1, 4, rng.integers(6, 14)).astype(float)
        k, which = int(rng.integers(1, len(values) + 1)), ("LA", "SA", "BE")[seed % 3]
        pairs = eigsh(symmetric(values, seed), k, which, tol=1e-10, seed=seed)
        assert pairs.status.converged
        np.testing.assert_allclose(pairs.values, expected(values, k, which), atol=1e-8, err_msg=f"{seed} {which} {k}")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_tiny_and_zero(size):
    zero = eigsh(np.zeros((size, size)), size)
    assert zero.status.converged
    np.testing.assert_array_equal(zero.values, np.zeros(size))
    np.testing.assert_allclose(zero.vectors.T @ zero.vectors, np.eye(size), atol=1e-14)
    identity = eigsh(np.eye(size), size)
    np.testing.assert_allclose(identity.values, np.ones(size), atol=1e-14)
    assert identity.matvecs == size


def test_every_kind_of_operator():
    A = symmetric(np.arange(60.0))
    sparse, linear = scipy.sparse.csr_array(A), scipy.sparse.linalg.aslinearoperator(A)
    for operator in (A, sparse, linear):
        np.testing.assert_allclose(eigsh(operator, 3).values, [59, 58, 57], atol=1e-8)


# ---- multiplicities -------------------------------------------------------------------------------------------------


def softmax_regression(classes, seed=0, features=20, samples=100):
    """Return the Hessian of softmax regression at zero weights."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((samples, features)) * np.geomspace(1, 0.1, features)
    gram = X.T @ X / samples
    H = np.kron((np.eye(classes) - 1 / classes) / classes, gram)
    mu = np.sort(np.linalg.eigvalsh(gram))[::-1]
    return H, np.concatenate([np.repeat(mu / classes, classes - 1), np.zeros(features)])


@pytest.mark.parametrize("classes", [2, 3, 5, 10])
@pytest.mark.parametrize("seed", range(3))
def test_softmax_regression_completely(classes, seed):  # D9, R7
    # A copy is missed with a probability of at most 1e-3 a call; the seeds are fixed.
    H, truth = softmax_regression(classes, seed)
    for k in {1, 3, 5, classes, 2 * classes + 1, 20 * (classes - 1), len(truth)} - {0}:
        pairs = eigsh(H, min(k, len(truth)), tol=1e-8, seed=seed)
        assert_pairs(pairs, H, truth, tol=1e-8)
        assert pairs.miss_probability <= 1e-3


def test_without_the_search_copies_are_missed_or_not_vouched_for():
    H, truth = softmax_regression(5)
    plain = eigsh(H, 3, tol=1e-8, copies=False)
    assert plain.miss_probability == 1.0
    assert plain.values[1] < 0.99 * truth[1]  # three distinct values: the single Krylov space sees no copies


@pytest.mark.parametrize("block", [2, 4, 7])
def test_blocks(block):
    H, truth = softmax_regression(5)
    assert_pairs(eigsh(H, 9, tol=1e-8, block=block), H, truth, tol=1e-8)
    A = symmetric(np.random.default_rng(3).normal(0, 1, 150))
    assert_pairs(eigsh(A, 4, "BE", block=block, basis_size=40), A, np.linalg.eigvalsh(A), "BE")


def test_copies_behind_restarts_and_a_small_basis():
    values = np.concatenate([np.repeat([9.0, 8.0, 7.5], 4), np.random.default_rng(4).uniform(0, 7, 188)])
    A = symmetric(values)
    pairs = eigsh(A, 10, basis_size=28)
    assert pairs.restarts > 0
    assert_pairs(pairs, A, values)


# ---- orthogonality, precision ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "limit"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_basis_after_two_hundred_steps(dtype, limit):  # D4
    # Values over twelve decades: the largest converge in a few steps and come back as ghosts if anything is let slip.
    values = np.geomspace(1, 1e-12, 400)
    operator = Diagonal(values, dtype)
    kept = []

    def product(V):
        kept.append(V.copy())
        return V * operator.values

    operator.rows = product
    pairs = eigsh(operator, 200, tol=1e-6 if dtype == np.float32 else 1e-14, basis_size=260, max_products=200)
    Q = np.concatenate(kept).astype(float)
    assert len(Q) == 200 or pairs.status.converged
    Q /= np.linalg.norm(Q, axis=1, keepdims=True)
    assert np.abs(Q @ Q.T - np.eye(len(Q))).max() <= limit
    found = pairs.values[pairs.values > 1e-5]
    assert len(found) == np.sum(values > 1e-5)  # no ghosts
    np.testing.assert_allclose(found, values[: len(found)], atol=1e-5)


@pytest.mark.parametrize("k", [1, 5])
def test_float32_agrees_with_float64(k):  # D16
    rng = np.random.default_rng(5)
    values = np.concatenate([np.geomspace(50, 5, 10), rng.exponential(0.1, 200_000)])
    single, double = eigsh(Diagonal(values, np.float32), k, tol=1e-5), eigsh(Diagonal(values), k, tol=1e-5)
    assert single.vectors.dtype == np.float32
    np.testing.assert_allclose(single.values, double.values, rtol=1e-5)


def test_result_does_not_depend_on_torch_default_dtype():  # D13
    torch = pytest.importorskip("torch")
    A = symmetric(np.random.default_rng(6).normal(0, 1, 100))
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float32)
        values = eigsh(A, 3, tol=1e-12).values
    finally:
        torch.set_default_dtype(before)
    np.testing.assert_allclose(values, np.sort(np.linalg.eigvalsh(A))[::-1][:3], rtol=1e-12)


@pytest.mark.parametrize(("dtype", "tol"), [(np.float32, 0.0), (np.float32, 1e-7), (np.float64, 1e-16)])
def test_tolerance_below_the_precision_is_refused(dtype, tol):  # D12
    with pytest.raises(ValueError, match="`tol`"):
        eigsh(Diagonal(np.arange(10.0), dtype), 1, tol=tol)


def test_same_to_the_bit():
    A = symmetric(np.random.default_rng(7).normal(0, 1, 300))
    a, b = eigsh(A, 4, seed=3), eigsh(A, 4, seed=3)
    assert np.array_equal(a.values, b.values)
    assert np.array_equal(a.vectors, b.vectors)
    assert not np.array_equal(a.vectors, eigsh(A, 4, seed=4).vectors)


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_threads_change_rounding_only(threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    values = np.concatenate([[5.0, 4.0, 3.0], np.random.default_rng(8).uniform(-1, 1, 50_000)])
    a, b = (eigsh(Diagonal(values), 3, tol=1e-9) for _ in range(2))
    assert np.array_equal(a.vectors, b.vectors)
    np.testing.assert_allclose(a.values, [5, 4, 3], rtol=1e-12)
