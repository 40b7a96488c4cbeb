"""How many products the eigensolver takes: no more than ARPACK, and fewer from a warm start."""

import numpy as np
import pytest
import scipy.sparse.linalg
from eigenpairs import Diagonal, assert_pairs, symmetric

from pyphenom.curvature import eigsh


def spectra():
    rng, n = np.random.default_rng(9), 2000
    yield "power 1", 1 / np.arange(1, n + 1)
    yield "power 2", 1 / np.arange(1, n + 1) ** 2.0
    yield "geometric", 0.9 ** np.arange(n)
    yield "hessian", np.concatenate([np.geomspace(50, 1, 10), rng.exponential(0.1, n - 30), -rng.exponential(0.05, 20)])
    yield "classes", np.concatenate([[10.0, 8, 6, 5, 4], np.abs(rng.standard_normal(n - 5)) * 0.3])
    yield "clustered", np.concatenate([[1, 0.999, 0.998, 0.997, 0.996], rng.uniform(0, 0.9, n - 5)])
    yield "gap", np.concatenate([[5, 4, 3, 2, 1.5], rng.uniform(-1, 1, n - 5)])
    yield "indefinite", np.concatenate([[3, 2, 1.5, 1.2, 1.1, -4, -3], rng.normal(0, 0.2, n - 7)])


def arpack(values, k, tol):
    operator = Diagonal(values)
    linear = scipy.sparse.linalg.LinearOperator(
        operator.shape, lambda v: operator.rows(v.reshape(1, -1))[0], dtype=float
    )
    v0 = np.random.default_rng(10).standard_normal(len(values))
    scipy.sparse.linalg.eigsh(linear, k, which="LA", tol=tol, v0=v0)
    return operator.products


@pytest.mark.parametrize(("name", "values"), [pytest.param(*case, id=case[0]) for case in spectra()])
@pytest.mark.parametrize("tol", [1e-4, 1e-6])
@pytest.mark.parametrize("k", [1, 5])
def test_no_more_products_than_arpack(name, values, tol, k):
    operator = Diagonal(values)
    pairs = eigsh(operator, k, tol=tol, copies=False)
    assert operator.products == pairs.matvecs
    assert_pairs(pairs, np.diag(values), values, tol=tol, rtol=tol)
    assert pairs.matvecs <= arpack(values, k, tol)
    # The search for copies, which ARPACK does not make, stays a fraction of the rest, or a dozen products.
    assert eigsh(values * np.eye(len(values)), k, tol=tol).matvecs <= pairs.matvecs + max(12, 0.5 * pairs.matvecs)


@pytest.mark.parametrize("seed", range(5))
def test_warm_start_follows_a_slowly_changing_operator(seed):  # D12
    rng = np.random.default_rng(seed)
    A = symmetric(np.concatenate([[20, 15, 9, 5], rng.exponential(0.3, 196)]), seed)
    v0 = eigsh(A, 1).vectors
    for _ in range(20):
        E = rng.standard_normal(A.shape) / np.sqrt(len(A))
        A = A + 0.05 * (E + E.T)
        pairs = eigsh(A, 1, tol=3e-3, v0=v0, seed=seed)
        truth = np.linalg.eigvalsh(A)[-1]
        assert pairs.matvecs <= 6
        assert abs(pairs.values[0] - truth) <= 1e-4 * truth
        v0 = pairs.vectors
    assert eigsh(A, 1, v0=v0).matvecs < eigsh(A, 1).matvecs


def test_two_vectors_follow_eigenvalues_that_cross():
    # Two eigenvalues swap places every 25 steps while their vectors turn, as at the edge of stability.
    rng = np.random.default_rng(15)
    bulk = np.concatenate([[3.0, 2.0], rng.exponential(0.1, 196)])
    Q, G = (f(rng.standard_normal((200, 200))) for f in (lambda m: np.linalg.qr(m)[0], lambda m: (m - m.T) / 1400))
    turn, v0, counts = np.linalg.solve(np.eye(200) - G, np.eye(200) + G), None, []
    for step in range(100):
        Q = turn @ Q
        swing = 0.5 * np.sin(np.pi * step / 25)
        A = (Q * np.concatenate([[8 + swing, 8 - swing], bulk])) @ Q.T
        A = (A + A.T) / 2
        pairs = eigsh(A, 2, tol=1e-2, v0=v0, copies=False, seed=step) if step else eigsh(A, 2)
        assert abs(pairs.values[0] - 8 - abs(swing)) <= 1e-4 * 8
        v0 = pairs.vectors
        counts.append(pairs.matvecs)
    assert max(counts[1:]) <= 6


def test_warm_start_from_a_wrong_eigenvector_a_block_or_nonsense():
    values = np.concatenate([[10.0, 7.0, 5.0, 4.0], np.random.default_rng(11).uniform(0, 1, 196)])
    A = np.diag(values)
    e = np.eye(200)
    for v0 in (
        e[:, 1],
        e[:, 1:2],
        e[:, 100],
        np.zeros(200),
        e[:, [2, 2, 1]],
        e[:, :4],
        np.ones((200, 3)),
        1e300 * e[0],
    ):
        assert_pairs(eigsh(A, 2, v0=v0), A, values)
        assert_pairs(eigsh(A, 1, v0=v0), A, values)
    assert eigsh(A, 4, v0=e[:, :4] + 1e-6).matvecs < eigsh(A, 4).matvecs
