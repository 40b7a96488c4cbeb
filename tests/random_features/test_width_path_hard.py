"""Inputs on which a fast path could go wrong while its status says "ok"."""

import multiprocessing
import sys

import mpmath
import numpy as np
import pytest
import torch
from scipy.linalg import lstsq

import pyphenom as ph

nested_path, width_path = ph.random_features.nested_path, ph.random_features.width_path


def solve(A, b):
    """Return the least-squares solution of smallest norm, by orthogonal transformations."""
    return lstsq(A, b, lapack_driver="gelsy", check_finite=False)[0]


def relative_errors(Z, y, Z_test, path, penalty=0.0):
    """Return the relative error of the predictions at each width, by a least-squares solution of its own."""
    errors = []
    for N, predicted in zip(path.widths, path.predictions, strict=True):
        A, b = Z[:, :N], y
        if penalty:
            A, b = np.vstack([A, np.sqrt(penalty) * np.eye(N)]), np.concatenate([y, np.zeros(N)])
        truth = Z_test[:, :N] @ solve(A, b)
        errors.append(np.linalg.norm(predicted - truth) / np.linalg.norm(truth))
    return np.array(errors)


def gaussian(n, N, m, seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, N)), rng.standard_normal(n), rng.standard_normal((m, N))


@pytest.mark.parametrize("smallest", [1e-6, 1e-8, 1e-12])
def test_widths_behind_an_ill_conditioned_threshold(smallest):
    # Z_20 is nearly singular; a feature later the system is well conditioned, and so must the predictions be.
    n = 20
    Z, y, Z_test = gaussian(n, 60, 7, seed=1)
    U, s, Vt = np.linalg.svd(Z[:, :n])
    Z[:, :n] = (U * np.append(s[:-1], smallest)) @ Vt
    path = nested_path(Z, y, Z_test, np.zeros(7), range(n + 1, 61), predictions=True)
    assert (path.status == "ok").all()
    assert relative_errors(Z, y, Z_test, path).max() < 1e-11


@pytest.mark.parametrize("size", [1e4, 1e8, 1e12])
def test_widths_before_an_outsized_feature(size):
    Z, y, Z_test = gaussian(20, 60, 7, seed=2)
    Z[:, 27] *= size
    path = nested_path(Z, y, Z_test, np.zeros(7), range(21, 28), predictions=True)
    assert relative_errors(Z, y, Z_test, path).max() < 1e-11


@pytest.mark.parametrize("ridge", [0.0, 1e-4, 1e-2, 1.0])
def test_every_stage_at_a_size_that_enters_the_last(ridge):
    # n = 150 reaches the recursion on the inverse; the promise there is 1e-8.
    n, N, m = 150, 520, 20
    rng = np.random.default_rng(3)
    W = rng.standard_normal((30, N))
    Z, Z_test = (np.maximum(rng.standard_normal((k, 30)) @ W / np.sqrt(30), 0.0) for k in (n, m))
    y = rng.standard_normal(n)
    widths = [1, 40, 100, 140, 149, 150, 151, 152, 155, 160, 180, 220, 300, 301, 400, 500, 520]
    path = nested_path(Z, y, Z_test, np.zeros(m), widths, ridge, predictions=True)
    assert (path.status == "ok").all()
    assert relative_errors(Z, y, Z_test, path, n * ridge).max() < 1e-8
    # leave-one-out by refitting, well behind the threshold
    left_out = []
    for i in range(n):
        keep = np.arange(n) != i
        A, b = Z[keep][:, :300], y[keep]
        A, b = np.vstack([A, np.sqrt(n * ridge) * np.eye(300)]), np.concatenate([b, np.zeros(300)])
        left_out.append(y[i] - Z[i, :300] @ solve(A, b))
    assert path.leave_one_out_error[widths.index(300)] == pytest.approx(np.mean(np.square(left_out)), rel=1e-7)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("m", [1, 60, 300])
@pytest.mark.parametrize("N", [80, 104, 140, 400])
def test_products_that_wait_at_both_ends_of_the_last_stage(N, m, ridge):
    # n = 80: the last stage holds its updates back up to width 40 and over the last (n + 2 m) / 4 widths.
    Z, y, Z_test = gaussian(80, N, m, seed=N + m)
    path = nested_path(Z, y, Z_test, np.zeros(m), range(1, N + 1), ridge=ridge, predictions=True)
    well = path.condition < 1e4  # the truth itself has its errors next to the threshold
    assert well.sum() >= 0.7 * N
    assert relative_errors(Z, y, Z_test, path, penalty=80 * ridge)[well].max() < 1e-8  # the promise
    loo = [leave_one_out(Z[:, :N_], y, 80 * ridge) for N_ in (1, 39, N)]
    np.testing.assert_allclose(path.leave_one_out_error[[0, 38, N - 1]], loo, rtol=1e-8 if N > 80 else 1e-5)


def leave_one_out(Z, y, penalty):
    """Return the mean squared residual of each sample under the fit to all others."""
    n, N = Z.shape
    A, b = np.vstack([Z, np.sqrt(penalty) * np.eye(N)]), np.concatenate([y, np.zeros(N)])
    residuals = []
    for i in range(n):
        others = np.arange(n + N) != i
        residuals.append(y[i] - Z[i] @ solve(A[others], b[others]))
    return np.mean(np.square(residuals))


@pytest.mark.parametrize("width", [3, 64, 100])
def test_columns_of_one_panel_that_are_nearly_dependent(width):
    # The Gram matrix of such columns has no Cholesky factor in float64; reflections take over.
    Z, _, Z_test = gaussian(120, width, 5, seed=width)
    Z[:, 2] = Z[:, 0] + Z[:, 1] + 1e-6 * Z[:, 2]
    path = nested_path(Z, Z @ np.ones(width), Z_test, np.zeros(5), range(1, width + 1), predictions=True)
    assert (path.rank == path.widths).all()
    np.testing.assert_allclose(path.predictions[-1], Z_test @ np.ones(width), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("d", [1e-4, 1e-6, 3e-6, 1e-9])
def test_leave_one_out_of_a_nearly_pinned_sample(d):
    # One feature, samples 1 and d: without the first, y = 1 at d asks for the coefficient 1/d.
    path = nested_path([[1.0], [d]], [1.0, 1.0], [[1.0]], [0.0], [1])
    truth = np.mean([(1.0 - 1.0 / d) ** 2, (1.0 - d) ** 2])
    assert path.leave_one_out_error[0] == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("ridge", [1e-9, 1e-13, 1e-15])
def test_leave_one_out_with_a_tiny_ridge_at_the_threshold(ridge):
    n = 8
    Z, y, Z_test = gaussian(n, n, 2, seed=4)
    with mpmath.workdps(60):
        total = mpmath.mpf(0)
        for i in range(n):
            keep = [k for k in range(n) if k != i]
            A, b = mpmath.matrix(Z[keep].tolist()), mpmath.matrix(y[keep].tolist())
            a = mpmath.inverse(A.T * A + n * mpmath.mpf(ridge) * mpmath.eye(n)) * (A.T * b)
            total += (mpmath.mpf(float(y[i])) - sum(mpmath.mpf(float(Z[i, k])) * a[k] for k in range(n))) ** 2
        truth = float(total / n)
    for widths in ([n], [1, n]):
        path = nested_path(Z, y, Z_test, np.zeros(2), widths, ridge)
        assert path.leave_one_out_error[-1] == pytest.approx(truth, rel=1e-6)


def test_targets_of_extreme_and_of_different_sizes():
    Z, y, Z_test = gaussian(12, 30, 5, seed=5)
    y_test = np.arange(5.0)
    plain = nested_path(Z, y, Z_test, y_test, [6, 12, 30])
    sizes = np.array([1.0, 1e100, 1e-100, 1e150])
    path = nested_path(Z, y[:, None] * sizes, Z_test, y_test[:, None] * sizes, [6, 12, 30])
    for t, size in enumerate(sizes):
        np.testing.assert_allclose(path.coefficient_norm[:, t] / size, plain.coefficient_norm, rtol=1e-12)
        np.testing.assert_allclose(path.test_error[:, t] / size / size, plain.test_error, rtol=1e-12)
    assert not np.isnan(nested_path(Z, 1e155 * y, Z_test, y_test, [12, 30]).train_error).any()
    tiny = nested_path(Z, 1e-160 * y, Z_test, y_test, [6])
    assert tiny.test_error[0] == pytest.approx(np.mean(y_test**2))


def test_a_ridge_out_of_all_proportion():
    Z, y, Z_test = gaussian(6, 10, 2, seed=6)
    with pytest.raises(ValueError, match="`ridge`"):
        nested_path(1e-100 * Z, y, Z_test, np.zeros(2), [3], 1e200)
    for widths in ([5], [5, 10]):  # far below rounding
        path = nested_path(1e100 * Z, y, Z_test, np.zeros(2), widths, 1e-150, ridge_scaling="width", predictions=True)
        bare = nested_path(1e100 * Z, y, Z_test, np.zeros(2), widths, predictions=True)
        np.testing.assert_allclose(path.predictions, bare.predictions, rtol=1e-10)


def test_features_that_overflow_are_an_error():
    X = np.full((4, 3), 1e308)
    with pytest.raises(ValueError, match="`X`"):
        width_path(X, np.ones(4), np.ones((2, 3)), np.ones(2), [5], "identity")
    with pytest.raises(ValueError, match="`X_test`"):
        width_path(np.ones((4, 3), np.float32), np.ones(4), np.full((2, 3), 1e300), np.ones(2), [5])


def test_rank_of_float32_features():
    rng = np.random.default_rng(7)
    B, C = rng.standard_normal((20, 5)).astype(np.float32), rng.standard_normal((5, 20)).astype(np.float32)
    for Z in (B @ C, torch.from_numpy(B @ C)):
        path = nested_path(Z, rng.standard_normal(20), np.ones((1, 20)), [0.0], [20])
        assert path.rank[0] == 5
        assert path.status[0] == "rank-deficient"


def _features_in_child(queue):
    queue.put(float(ph.random_features.features(np.ones((300, 40)), 300).sum()))


@pytest.mark.skipif(sys.platform != "linux", reason="fork is the default start method nowhere else")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_threads_it_does_not_have(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    here = float(ph.random_features.features(np.ones((300, 40)), 300).sum())
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_features_in_child, args=(queue,), daemon=True)
    child.start()
    assert queue.get(timeout=60) == pytest.approx(here)
    child.join(60)


@pytest.mark.parametrize("size", [0.0, 1e-6, 1e-4])
def test_small_features_before_those_of_full_size_with_a_ridge(size):
    # The ridge is large beside the first features, tiny beside all: the recursion on the inverse must not start there.
    n, N, small = 100, 600, 300
    Z, y, Z_test = gaussian(n, N, 20, seed=3)
    Z[:, :small] *= size
    Z_test[:, :small] *= size
    widths = [small + n // 2, small + n + 1, 400, 500, N]
    ridge = max(1e-5 * size**2, 1e-12)
    path = nested_path(Z, y, Z_test, np.zeros(20), widths, ridge=ridge, predictions=True)
    assert (path.status == "ok").all()
    assert relative_errors(Z, y, Z_test, path, n * ridge).max() < 1e-9


def test_losses_of_dependent_features_are_marked():
    # Feature 21 leaves 1e-10 of itself outside the first 20 directions: the direction that it shows is wrong by 1e-6,
    # the features behind it lose as much, and K is well conditioned again.
    rng = np.random.default_rng(7)
    n, m, directions = 30, 7, 20
    B, new = rng.standard_normal((n + m, directions)), rng.standard_normal((n + m, 1))
    dependent, last = B @ rng.standard_normal((directions, 40)), rng.standard_normal((n + m, 30))
    dependent[:, 1:2] += 1e-10 * new
    dependent[:, 2:] += new * rng.standard_normal(38)
    F, y = np.hstack([B, dependent, last]), rng.standard_normal(n)
    Z, Z_test = F[:n], F[n:]
    path = nested_path(Z, y, Z_test, np.zeros(m), [70, 75, 80, 90], predictions=True)
    assert (path.rank == n).all()
    errors = relative_errors(Z, y, Z_test, path)
    assert (errors > 1e-8).all()
    assert (path.status == "ill-conditioned").all()
    assert (errors < np.finfo(float).eps * path.condition).all()


def test_a_condition_number_that_is_not_a_number_is_not_ok(monkeypatch):
    Z, y, Z_test = gaussian(5, 3, 2, seed=4)
    fit = ph._core.ridge_fit
    monkeypatch.setattr(ph._core, "ridge_fit", lambda *given: {**fit(*given), "condition": np.array([np.nan])})
    assert nested_path(Z, y, Z_test, np.zeros(2), [3], ridge=1.0).status == "ill-conditioned"
