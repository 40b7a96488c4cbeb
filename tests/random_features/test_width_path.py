"""The whole width path against one SVD, one refit or one 80-digit solve per width."""

import numpy as np
import pytest
import random_features as reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from width_paths import feature_problem, problem, relative_error, true_nested_path, true_width_path

import pyphenom as ph

RIDGES = [0.0, 1e-12, 1e-6, 1.0, 1e6]
SCALINGS = ["fixed", "width"]


# ---- every width, every ridge


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("ridge", RIDGES)
def test_every_single_width(ridge, scaling, assert_matches):
    # From 1 to 2n + 5, so that one update left out, anywhere, shows.
    n, widths = 19, range(1, 2 * 19 + 6)
    X, y, X_test, y_test = problem(n, 6, 5, targets=2, seed=1)
    path = ph.random_features.width_path(
        X, y, X_test, y_test, widths, "tanh", ridge, 3, ridge_scaling=scaling, bias_scale=0.5, predictions=True
    )
    truth = true_width_path(X, y, X_test, y_test, widths, "tanh", ridge, 3, ridge_scaling=scaling, bias_scale=0.5)
    assert assert_matches(path, truth, y, y_test, ridge=ridge) == len(widths)


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_every_single_width_across_blocks(ridge, assert_matches):
    # Large enough that widths and samples pass 64 and 128. The reference is slow, so no refits here.
    n, widths = 70, range(1, 146)
    X, y, X_test, y_test = problem(n, 20, 9, seed=2)
    path = ph.random_features.width_path(X, y, X_test, y_test, widths, "relu", ridge, 5, predictions=True)
    truth = true_width_path(X, y, X_test, y_test, widths, "relu", ridge, 5, leave_one_out=False)
    assert assert_matches(path, truth, y, y_test, ridge=ridge, leave_one_out=False) == len(widths)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("ridge", [0.0, 1e-6])
def test_widths_that_straddle_blocks(ridge, scaling, assert_matches):
    widths = [1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 139, 140, 141, 255, 256, 257, 300, 513]
    X, y, X_test, y_test = problem(140, 30, 7, seed=3)
    path = ph.random_features.width_path(
        X, y, X_test, y_test, widths, "erf", ridge, 1, ridge_scaling=scaling, bias_scale=0.3, predictions=True
    )
    truth = true_width_path(
        X, y, X_test, y_test, widths, "erf", ridge, 1, ridge_scaling=scaling, bias_scale=0.3, leave_one_out=False
    )
    assert_matches(path, truth, y, y_test, ridge=ridge, leave_one_out=False)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("ridge", RIDGES)
def test_nested_path_every_single_width(ridge, scaling, assert_matches):
    n = 17
    Z, y, Z_test, y_test = feature_problem(n, 2 * n + 5, 4, seed=4)
    widths = range(1, 2 * n + 6)
    path = ph.random_features.nested_path(Z, y, Z_test, y_test, widths, ridge, ridge_scaling=scaling, predictions=True)
    truth = true_nested_path(Z, y, Z_test, y_test, widths, ridge, ridge_scaling=scaling)
    assert assert_matches(path, truth, y, y_test, ridge=ridge) == len(widths)


@pytest.mark.parametrize(
    ("n", "d", "m", "targets"), [(1, 1, 1, None), (1, 4, 3, 2), (2, 1, 1, 1), (6, 3, 1, None), (5, 2, 40, 7)]
)
@pytest.mark.parametrize("ridge", [0.0, 1e-6, 1.0])
def test_small_shapes(n, d, m, targets, ridge, assert_matches):
    widths = [1, 2, 3, n, n + 1, 3 * n + 2]
    X, y, X_test, y_test = problem(n, d, m, targets, seed=5)
    path = ph.random_features.width_path(X, y, X_test, y_test, widths, "cos", ridge, 8, predictions=True)
    truth = true_width_path(X, y, X_test, y_test, widths, "cos", ridge, 8)
    assert_matches(path, truth, y, y_test, ridge=ridge, ill_conditioned=d == 1)


def test_widths_far_beyond_n(assert_matches):
    widths = [1, 5, 1000, 4999, 5000]
    X, y, X_test, y_test = problem(5, 3, 4, seed=6)
    for ridge in (0.0, 1e-6):
        path = ph.random_features.width_path(X, y, X_test, y_test, widths, ridge=ridge, predictions=True)
        assert_matches(path, true_width_path(X, y, X_test, y_test, widths, ridge=ridge), y, y_test, ridge=ridge)


@pytest.mark.parametrize("distribution", ["gaussian", "sphere"])
@pytest.mark.parametrize("activation", sorted(reference.ACTIVATIONS))
def test_every_activation(activation, distribution, assert_matches):
    widths = [1, 3, 8, 12, 13, 14, 30]
    X, y, X_test, y_test = problem(13, 7, 5, seed=7)
    draw = {"distribution": distribution, "bias_scale": 0.4}
    for ridge in (0.0, 1e-3):
        path = ph.random_features.width_path(
            X, y, X_test, y_test, widths, activation, ridge, 2, predictions=True, **draw
        )
        truth = true_width_path(X, y, X_test, y_test, widths, activation, ridge, 2, **draw)
        assert_matches(path, truth, y, y_test, ridge=ridge, ill_conditioned=activation == "sign")


@settings(
    max_examples=250, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    n=st.integers(1, 12),
    d=st.integers(1, 6),
    m=st.integers(1, 4),
    targets=st.sampled_from([None, 1, 3]),
    widths=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    activation=st.sampled_from(sorted(reference.ACTIVATIONS)),
    ridge=st.sampled_from([0.0, 1e-9, 1e-4, 0.3, 50.0]),
    scaling=st.sampled_from(SCALINGS),
    bias_scale=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 2**64 - 1),
)
def test_any_problem(assert_matches, n, d, m, targets, widths, activation, ridge, scaling, bias_scale, seed):
    X, y, X_test, y_test = problem(n, d, m, targets, seed=seed)
    path = ph.random_features.width_path(
        X,
        y,
        X_test,
        y_test,
        widths,
        activation,
        ridge,
        seed,
        ridge_scaling=scaling,
        bias_scale=bias_scale,
        predictions=True,
    )
    truth = true_width_path(
        X, y, X_test, y_test, widths, activation, ridge, seed, ridge_scaling=scaling, bias_scale=bias_scale
    )
    assert_matches(path, truth, y, y_test, ridge=ridge, ill_conditioned=True)


# ---- high-precision truth


@pytest.mark.parametrize("ridge", [0.0, 1e-12, 1e-6])
@pytest.mark.parametrize("activation", ["erf", "tanh"])
@pytest.mark.parametrize("seed", [0, 1])
def test_one_dimensional_inputs(activation, ridge, seed, assert_matches):
    # Smooth features of one variable: the condition number grows geometrically with N. Exact up to 1e8, marked beyond.
    n, m, widths = 12, 4, [1, 2, 3, 4, 5, 6, 8, 11, 12, 13, 18]
    X, y, X_test, y_test = problem(n, 1, m, seed=seed)
    Z = reference.features(X, 18, activation, seed=seed, bias_scale=1.0)
    Z_test = reference.features(X_test, 18, activation, seed=seed, bias_scale=1.0)
    truth = reference.exact_path(
        Z, y, Z_test, y_test, widths, reference.penalties(widths, n, ridge), leave_one_out=False
    )
    nested = ph.random_features.nested_path(Z, y, Z_test, y_test, widths, ridge, predictions=True)
    drawn = ph.random_features.width_path(
        X, y, X_test, y_test, widths, activation, ridge, seed, bias_scale=1.0, predictions=True
    )
    compared = 0
    for path in (nested, drawn):
        assert_matches(path, truth, y, y_test, ridge=ridge, ill_conditioned=True, leave_one_out=False)
        # A least-squares fit never leaves more than the zero fit does, however ill-conditioned.
        assert np.all(np.asarray(path.train_error) <= np.mean(y**2) * (1 + 1e-6))
        for i in range(len(widths)):
            if path.condition[i] <= 1e8:
                # The drawn features differ from these by a rounding error, which the condition number multiplies.
                limit = 1e-8 if path is nested else max(1e-8, 50 * np.finfo(float).eps * truth.condition[i])
                assert relative_error(path.predictions[i], truth.predictions[i]) <= limit, widths[i]
                compared += 1
    assert compared >= 4
    assert ridge > 0.0 or np.max(truth.condition) > 1e9  # the test itself reaches the regime


@pytest.mark.parametrize("kappa", [1e2, 1e4, 1e6, 3e7])
@pytest.mark.parametrize("shape", [(10, 6), (8, 8), (6, 11)])
def test_given_condition_number(kappa, shape, assert_matches):
    # Singular values from 1 down to 1 / kappa, a residual that is not small, and test points of the same kind.
    rng = np.random.default_rng(11)
    n, N = shape
    rank = min(shape)
    U, V = np.linalg.qr(rng.normal(size=(n, rank)))[0], np.linalg.qr(rng.normal(size=(N, rank)))[0]
    s = np.geomspace(1.0, 1.0 / kappa, rank)
    Z, Z_test = U * s @ V.T, rng.normal(size=(5, n)) @ (U * s @ V.T)
    y, y_test = rng.normal(size=n), rng.normal(size=5)
    truth = reference.exact_path(Z, y, Z_test, y_test, [N], [0.0])
    path = ph.random_features.nested_path(Z, y, Z_test, y_test, [N], predictions=True)
    assert relative_error(path.predictions[0], truth.predictions[0]) <= 1e-8
    assert_matches(path, truth, y, y_test, leave_one_out=False)


def test_condition_beyond_the_limit_is_marked(words):
    Z, y, Z_test, y_test = feature_problem(9, 9, 3, seed=12)
    U, _, Vt = np.linalg.svd(Z)
    for kappa, allowed in ((1e10, {"ill-conditioned"}), (1e18, {"rank-deficient", "ill-conditioned"})):
        A = U * np.geomspace(1.0, 1.0 / kappa, 9) @ Vt
        for ridge in (0.0, 1e-30):
            path = ph.random_features.nested_path(A, y, Z_test, y_test, [9], ridge)
            assert words(path)[0] in allowed
            assert np.isfinite(path.test_error).all()
            assert np.isfinite(path.leave_one_out_error).all()


def test_a_small_residual_keeps_its_digits():
    # RSS = |y|^2 - |c|^2 would cancel: the residual is 1e-7 of y, its square 1e-14.
    Z, _, Z_test, y_test = feature_problem(30, 10, 3, seed=13)
    rng = np.random.default_rng(13)
    y = Z @ rng.normal(size=10) + 1e-7 * rng.normal(size=30)
    truth = true_nested_path(Z, y, Z_test, y_test, [10])
    path = ph.random_features.nested_path(Z, y, Z_test, y_test, [10])
    np.testing.assert_allclose(path.train_error, truth.train_error, rtol=1e-5)
    np.testing.assert_allclose(path.leave_one_out_error, truth.leave_one_out_error, rtol=1e-5)


@pytest.mark.parametrize("n", [150, 331])  # more than two blocks of rows, the last not whole
def test_threads_change_nothing(monkeypatch, n):
    rng = np.random.default_rng(n)
    X, y, X_test, y_test = (
        rng.normal(size=(n, 20)),
        rng.normal(size=(n, 2)),
        rng.normal(size=(70, 20)),
        np.zeros((70, 2)),
    )
    paths = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        paths.append(ph.random_features.width_path(X, y, X_test, y_test, range(1, 3 * n), ridge=0.01).to_dict())
    for name, value in paths[0].items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(paths[1][name], value)
            np.testing.assert_array_equal(paths[2][name], value)
