"""The eigensolver against dense eigenvalues, closed forms, ARPACK's count of products, and peers' known mistakes."""

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from pyphenom.curvature import Operator, as_operator, eigsh


class Diagonal(Operator):
    """An operator that counts its products with single vectors."""

    def __init__(self, values, dtype=np.float64):
        self.values, self.products = np.asarray(values, dtype), 0
        super().__init__(len(values), dtype, self.multiply)

    def multiply(self, V):
        self.products += len(V)
        return V * self.values


def symmetric(values, seed=0):
    """Return a dense matrix with these eigenvalues."""
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values),) * 2))[0]
    A = (Q * values) @ Q.T
    return (A + A.T) / 2


def expected(values, k, which):
    """Return what `which` asks for, from all eigenvalues."""
    values = np.sort(values)
    if which == "LA":
        return values[::-1][:k]
    if which == "SA":
        return values[:k]
    if which == "LM":
        return values[np.argsort(-np.abs(values), kind="stable")][:k]
    return np.sort(np.concatenate([values[len(values) - (k + 1) // 2 :], values[: k // 2]]))[::-1]


def assert_pairs(pairs, A, values, which="LA", tol=1e-6, rtol=1e-9):
    """Compare with the dense truth; residuals and orthogonality from their definitions."""
    k, size = len(pairs.values), np.abs(values).max()
    assert pairs.status.converged, pairs.status
    np.testing.assert_allclose(pairs.values, expected(values, k, which), rtol=0, atol=rtol * size)
    X = pairs.vectors.astype(float)
    true = np.linalg.norm(A @ X - X * pairs.values, axis=0)
    assert (true <= 1.01 * tol * size).all()
    assert (pairs.residuals <= tol * size).all()
    assert (pairs.residuals >= 0.98 * true - 1e-12 * size).all()
    assert (pairs.residuals <= 1.02 * true + 0.1 * tol * size).all()
    assert np.abs(X.T @ X - np.eye(k)).max() <= 1e-12


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


# ---- products -------------------------------------------------------------------------------------------------------


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


# ---- memory, progress, failure --------------------------------------------------------------------------------------


def test_memory_cap():
    values = np.random.default_rng(12).uniform(0, 1, 500)
    A = symmetric(values)
    pairs = eigsh(A, 2, max_bytes=12 * 500 * 8)
    assert pairs.restarts > 3
    # A dozen vectors cannot tell a copy of the largest from the bulk right below it, and the result says so.
    assert "basis_size" in pairs.status.message
    assert pairs.miss_probability > 1e-3
    assert_pairs(eigsh(A, 2, max_bytes=12 * 500 * 8, copies=False), A, values)
    with pytest.raises(ValueError, match=r"max_bytes.*bytes"):
        eigsh(A, 2, max_bytes=1000)


def test_progress_and_cancellation():
    A, seen = symmetric(np.arange(100.0)), []
    eigsh(A, 2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 0) for done in range(1, len(seen) + 1)]

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        eigsh(A, 2, progress=stop)
    np.testing.assert_allclose(eigsh(A, 2).values, [99, 98], atol=1e-8)


def test_what_is_no_symmetric_operator_is_reported():
    rng = np.random.default_rng(13)
    matrix = np.diag(np.arange(50.0)) + 5 * np.triu(rng.standard_normal((50, 50)))
    skewed = eigsh(as_operator(lambda v: matrix @ v, size=50), 2)
    assert not skewed.status.converged
    assert "not symmetric" in skewed.status.message
    noisy = Diagonal(np.arange(50.0))
    noisy.rows = lambda V: V * noisy.values + 0.1 * rng.standard_normal(V.shape)
    assert "noise" in eigsh(noisy, 1).status.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 11}, "`k` is 11"),
        ({"k": 0}, "`k` is 0"),
        ({"which": "XX"}, "`which` is 'XX'"),
        ({"tol": -1.0}, "`tol`"),
        ({"v0": np.ones(9)}, "`v0` has 9 rows"),
        ({"v0": np.ones((10, 11))}, "`v0` has 11 columns"),
        ({"v0": np.full(10, np.nan)}, "`v0` holds nan"),
        ({"basis_size": 3, "k": 3}, "expected at least"),
        ({"max_products": 0}, "`max_products`"),
        ({"block": 0}, "`block`"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_bad_arguments(arguments, message):
    operator = Diagonal(np.arange(10.0))
    with pytest.raises(ValueError, match=message):
        eigsh(operator, **{"k": 1, **arguments})
    assert operator.products == 0


def test_bad_operators():
    with pytest.raises(ValueError, match="shape"):
        eigsh(np.ones((3, 4)))
    broken = Diagonal(np.arange(10.0))
    broken.rows = lambda V: V * np.nan
    with pytest.raises(ValueError, match="not finite"):
        eigsh(broken)


def test_result():
    pairs = eigsh(np.diag(np.arange(1.0, 9.0)), 2)
    assert repr(pairs).startswith("Eigenpairs([8, 7], residuals <= ")
    assert set(pairs.to_dict()) >= {"values", "vectors", "residuals", "matvecs", "status"}
    assert str(pairs.status) == pairs.status.message
