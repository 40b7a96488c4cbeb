"""Minimum-norm interpolants against direct solves, and against other interpolants of the same data."""

import numpy as np
import pytest
import scipy.spatial.distance
import torch

from pyphenom.interpolation import minimum_norm as module
from pyphenom.interpolation import minimum_norm_kernel, minimum_norm_linear, relu_interpolant

KERNELS = {
    "gaussian": lambda A, B, h: np.exp(-(scipy.spatial.distance.cdist(A, B) ** 2) / (2 * h**2)),
    "laplace": lambda A, B, h: np.exp(-scipy.spatial.distance.cdist(A, B) / h),
}


def data(n=60, d=6, targets=(), seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.standard_normal((n, *targets)), rng.standard_normal((17, d))


@pytest.mark.parametrize("targets", [(), (3,)])
@pytest.mark.parametrize(("n", "d"), [(1, 4), (20, 50), (30, 30), (80, 5)])
def test_linear_is_the_pseudo_inverse(n, d, targets):
    X, y, test = data(n, d, targets)
    f = minimum_norm_linear(X, y)
    w = np.linalg.pinv(X) @ y
    np.testing.assert_allclose(f(test), test @ w, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(X.T @ f.coefficients, w, rtol=1e-7, atol=1e-7)
    assert f.norm == pytest.approx(np.linalg.norm(w))
    assert f.residual == pytest.approx(np.abs(X @ w - y).max(), abs=1e-9)
    assert f.status.converged == (n <= d)


@pytest.mark.parametrize("digits", [2, 4, 6, 8])
def test_rows_of_any_condition_are_solved_by_their_singular_vectors(digits):
    """Factors are known; the condition number times 1e-15 is what rounding of X leaves, and a hundred of it allowed."""
    rng = np.random.default_rng(digits)
    U, V = np.linalg.qr(rng.standard_normal((20, 20)))[0], np.linalg.qr(rng.standard_normal((50, 20)))[0]
    s, c = np.logspace(0, -digits, 20), rng.standard_normal(20)
    f = minimum_norm_linear((U * s) @ V.T, U @ (s * c))
    np.testing.assert_allclose((V * s) @ U.T @ f.coefficients, V @ c, atol=1e-13 * 10**digits)
    assert f.norm == pytest.approx(np.linalg.norm(c), abs=1e-13 * 10**digits)
    assert f.status.converged


def test_a_linear_model_cannot_memorise_more_labels_than_weights():
    X, y, _ = data(40, 10)
    f = minimum_norm_linear(X, np.sign(y))
    assert not f.status.converged
    assert "not linear" in f.status.message
    assert "does not interpolate" in repr(f)
    assert minimum_norm_linear(X, X @ np.arange(10.0)).status.converged


def test_linear_with_dependent_columns():
    X, y, _ = data(10, 30)
    X = np.hstack([X[:, :6], X[:, :6], np.zeros((10, 3))])
    f = minimum_norm_linear(X, y)
    np.testing.assert_allclose(f(np.eye(15)), np.linalg.pinv(X) @ y, atol=1e-9)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("targets", [(), (3,)])
def test_kernel_is_the_gram_solve(kernel, targets):
    X, y, test = data(targets=targets)
    f = minimum_norm_kernel(X, y, kernel, bandwidth=1.3)
    K = KERNELS[kernel](X, X, 1.3)
    alpha = np.linalg.solve(K, y)
    np.testing.assert_allclose(f(X), y, atol=1e-9)
    np.testing.assert_allclose(f(test), KERNELS[kernel](test, X, 1.3) @ alpha, atol=1e-8)
    assert f.norm == pytest.approx(np.sqrt(np.sum(y * alpha)))
    assert f.status.converged
    assert not f.residual > 1e-8


def test_no_interpolant_of_the_space_has_a_smaller_norm():
    # Interpolants through more points, whatever their values there, are interpolants too.
    X, y, extra = data()
    f = minimum_norm_kernel(X, y, "laplace", bandwidth=2.0)
    for seed in range(5):
        values = f(extra) + 0.1 * np.random.default_rng(seed).standard_normal(17)
        assert minimum_norm_kernel(np.vstack([X, extra]), np.r_[y, values], "laplace", bandwidth=2.0).norm > f.norm
    same = minimum_norm_kernel(np.vstack([X, extra]), np.r_[y, f(extra)], "laplace", bandwidth=2.0)
    assert same.norm == pytest.approx(f.norm)


@pytest.mark.parametrize("targets", [(), (2,)])
def test_conjugate_gradients_agree_with_the_factorisation(targets, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ENTRIES", 500)
    X, y, test = data(200, 8, targets)
    exact = minimum_norm_kernel(X, y, "laplace", method="gram")
    seen = []
    f = minimum_norm_kernel(X, y, "laplace", method="cg", tol=1e-10, progress=lambda *counts: seen.append(counts))
    assert f.status.converged
    assert len(seen) == f.iterations > 0
    assert exact.iterations == 0
    np.testing.assert_allclose(f(test), exact(test), atol=1e-7)
    assert f.norm == pytest.approx(exact.norm)
    monkeypatch.setattr(module, "GRAM_LIMIT", 100)
    assert minimum_norm_kernel(X, y, "laplace").iterations > 0


def test_conjugate_gradients_that_stop_early_say_so():
    X, y, _ = data(200, 2)
    f = minimum_norm_kernel(X, y, "gaussian", bandwidth=5.0, method="cg", max_iterations=5)
    assert not f.status.converged
    assert f.iterations == 5
    assert "ill-conditioned" in f.status.message
    zero = minimum_norm_kernel(X, np.zeros(200), method="cg")
    assert zero.status.converged
    assert zero.norm == 0


def test_a_singular_gram_matrix():
    X, y, _ = data(30, 2)
    repeated = np.vstack([X, X])
    f = minimum_norm_kernel(repeated, np.r_[y, y], "laplace")
    assert f.status.converged
    conflict = minimum_norm_kernel(repeated, np.r_[y, -y], "laplace")
    assert not conflict.status.converged


def test_a_kernel_of_ones_own():
    X, y, test = data(20, 50)
    f, linear = minimum_norm_kernel(X, y, lambda A, B: A @ B.T), minimum_norm_linear(X, y)
    np.testing.assert_allclose(f(test[:, :50]), linear(test[:, :50]), atol=1e-9)
    assert f.norm == pytest.approx(linear.norm)


def test_default_bandwidth_is_the_median_distance():
    X, y, test = data()
    h = np.median(scipy.spatial.distance.pdist(X))
    np.testing.assert_array_equal(minimum_norm_kernel(X, y)(test), minimum_norm_kernel(X, y, bandwidth=h)(test))
    assert minimum_norm_kernel([[1.0]], [2.0])([[1.0]]) == pytest.approx([2.0])


def test_the_interface_is_that_of_the_network():
    X, y, test = data()
    for f in (relu_interpolant(X, y), minimum_norm_kernel(X, y), minimum_norm_linear(X[:5], y[:5])):
        assert f(test).shape == (17,)
        assert f.norm > 0
        assert isinstance(f.to_dict(), dict)
        assert isinstance(f(torch.from_numpy(test)), torch.Tensor)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"y": np.ones(3)}, ValueError, "`y` has 3 rows; expected 4"),
        ({"X": np.full((4, 2), np.nan)}, ValueError, "`X` holds nan"),
        ({"kernel": "cubic"}, ValueError, "`kernel` is 'cubic'"),
        ({"kernel": lambda A, B: A @ A.T}, ValueError, "`kernel` gave shape"),
        ({"bandwidth": 0.0}, ValueError, "`bandwidth` is 0"),
        ({"bandwidth": -1.0}, ValueError, "`bandwidth`"),
        ({"X": np.ones((4, 2))}, ValueError, "`bandwidth` is 0"),
        ({"method": "svd"}, ValueError, "`method` is 'svd'"),
        ({"max_iterations": 0}, ValueError, "`max_iterations`"),
        ({"tol": -1.0}, ValueError, "`tol`"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        minimum_norm_kernel(**{"X": np.arange(8.0).reshape(4, 2), "y": np.ones(4), **arguments})


def test_wrong_width_is_named():
    with pytest.raises(ValueError, match="`X` has 3 columns; expected 2"):
        minimum_norm_kernel(np.arange(8.0).reshape(4, 2), np.ones(4))(np.ones((1, 3)))
