"""Features of low rank, and inputs, features and targets at extreme scales."""

import dataclasses

import numpy as np
import pytest
import random_features as reference
from width_paths import feature_problem, problem, relative_error, true_nested_path, true_width_path

import pyphenom as ph

EPS32 = float(np.finfo(np.float32).eps)

# ---- degenerate features


def test_repeated_rows_with_equal_labels(assert_matches):
    Z, y, Z_test, y_test = feature_problem(12, 30, 4, seed=14)
    Z[[3, 7, 8]], y[[3, 7, 8]] = Z[0], y[0]
    widths = [1, 8, 9, 10, 12, 13, 30]
    for ridge in (0.0, 1e-3):
        path = ph.random_features.nested_path(Z, y, Z_test, y_test, widths, ridge, predictions=True)
        truth = true_nested_path(Z, y, Z_test, y_test, widths, ridge)
        assert_matches(path, truth, y, y_test, ridge=ridge)
    assert truth.rank[-1] == 9


def test_repeated_rows_with_different_labels(assert_matches):
    Z, y, Z_test, y_test = feature_problem(12, 30, 4, targets=2, seed=15)
    Z[[3, 7, 8]] = Z[0]
    widths = [1, 8, 9, 10, 12, 13, 30]
    path = ph.random_features.nested_path(Z, y, Z_test, y_test, widths, predictions=True)
    assert_matches(path, true_nested_path(Z, y, Z_test, y_test, widths), y, y_test)
    between = np.mean((y[[0, 3, 7, 8]] - np.mean(y[[0, 3, 7, 8]], axis=0)) ** 2, axis=0) * 4 / 12
    np.testing.assert_allclose(path.train_error[-1], between, rtol=1e-9)


def test_repeated_rows_of_inputs(assert_matches):
    X, y, X_test, y_test = problem(10, 6, 3, seed=16)
    X[5:] = X[:5]
    widths = [3, 5, 6, 9, 10, 11, 25]
    path = ph.random_features.width_path(X, y, X_test, y_test, widths, "tanh", bias_scale=1.0, predictions=True)
    truth = true_width_path(X, y, X_test, y_test, widths, "tanh", bias_scale=1.0)
    assert_matches(path, truth, y, y_test)


@pytest.mark.parametrize("kind", ["repeated", "multiple", "zero", "sum"])
def test_dependent_columns(kind, assert_matches, words):
    # Rank-deficient up to a width above n, where the columns after them complete the rank.
    n = 10
    Z, y, Z_test, y_test = feature_problem(n, 25, 4, seed=17)
    for A in (Z, Z_test):
        if kind == "repeated":
            A[:, 4], A[:, 9] = A[:, 1], A[:, 1]
        elif kind == "multiple":
            A[:, 4], A[:, 9] = -3.0 * A[:, 1], 7.0 * A[:, 0]
        elif kind == "zero":
            A[:, 0], A[:, 6] = 0.0, 0.0
        else:
            A[:, 4], A[:, 9] = A[:, 0] + A[:, 1], A[:, 2] - 2.0 * A[:, 3]
    widths = range(1, 26)
    path = ph.random_features.nested_path(Z, y, Z_test, y_test, widths, predictions=True)
    truth = true_nested_path(Z, y, Z_test, y_test, widths)
    assert assert_matches(path, truth, y, y_test) == 25
    assert words(path)[9] == "rank-deficient"
    assert words(path)[-1] == "ok"
    assert path.rank[9] == 8
    for ridge in (1e-6, 1.0):
        path = ph.random_features.nested_path(Z, y, Z_test, y_test, widths, ridge, predictions=True)
        truth = true_nested_path(Z, y, Z_test, y_test, widths, ridge)
        assert assert_matches(path, truth, y, y_test, ridge=ridge) == 25


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_identity_features_have_the_rank_of_the_inputs(dtype, assert_matches, words):
    # The features are X W / sqrt(d): rank d at every width above d, with d < n and with d > n.
    eps = float(np.finfo(dtype).eps)
    for n, d in ((12, 4), (5, 9)):
        X, y, X_test, y_test = (a.astype(dtype) for a in problem(n, d, 4, seed=18))
        widths = [1, 2, 4, 5, 6, 12, 13, 40]
        path = ph.random_features.width_path(X, y, X_test, y_test, widths, "identity", 0.0, 6, predictions=True)
        truth = true_width_path(X, y, X_test, y_test, widths, "identity", 0.0, 6)
        assert_matches(path, truth, y, y_test, eps=eps, leave_one_out=dtype == np.float64)
        assert np.max(np.asarray(path.rank)) == min(n, d)
        assert words(path)[-1] == ("rank-deficient" if d < n else "ok")


def test_dead_relu_features(assert_matches):
    # Positive inputs in one dimension: a feature with a negative weight is zero, the others are multiples of x.
    rng = np.random.default_rng(19)
    X, X_test = rng.uniform(0.5, 2.0, size=(8, 1)), rng.uniform(0.5, 2.0, size=(3, 1))
    y, y_test, widths = rng.normal(size=8), rng.normal(size=3), [1, 2, 3, 4, 7, 8, 9, 30]
    starts_dead = [s for s in range(30) if reference.weights(1, 1, seed=s)[0][0, 0] < 0][:2]
    for seed in (*starts_dead, 0, 1, 2):
        path = ph.random_features.width_path(X, y, X_test, y_test, widths, "relu", 0.0, seed, predictions=True)
        truth = true_width_path(X, y, X_test, y_test, widths, "relu", 0.0, seed)
        assert_matches(path, truth, y, y_test)
        assert np.max(np.asarray(path.rank)) == 1
        assert path.rank[0] == (0 if seed in starts_dead else truth.rank[0])


def test_signed_one_dimensional_relu_has_rank_two(assert_matches):
    X, y, X_test, y_test = problem(10, 1, 3, seed=20)
    widths = [1, 2, 3, 9, 10, 11, 40]
    path = ph.random_features.width_path(X, y, X_test, y_test, widths, "relu", 0.0, 4, predictions=True)
    assert_matches(path, true_width_path(X, y, X_test, y_test, widths, "relu", 0.0, 4), y, y_test)
    assert path.rank[-1] == 2


@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_all_features_zero(ridge):
    y = np.array([1.0, -2.0, 3.0])
    path = ph.random_features.nested_path(
        np.zeros((3, 5)), y, np.zeros((2, 5)), [1.0, 1.0], [1, 3, 5], ridge, predictions=True
    )
    np.testing.assert_allclose(path.train_error, 3 * [14 / 3])
    np.testing.assert_allclose(path.leave_one_out_error, 3 * [14 / 3])
    np.testing.assert_allclose(path.test_error, 1.0)
    assert np.all(np.asarray(path.coefficient_norm) == 0.0)
    assert np.all(np.asarray(path.predictions) == 0.0)
    assert np.all(np.abs(np.asarray(path.degrees_of_freedom)) <= 1e-12)
    assert not np.any(np.isnan(path.condition))


def test_a_sample_that_alone_carries_a_direction(assert_matches):
    # Its leverage is one, so e / (1 - h) is 0 / 0: left out, it is predicted by the rest, here by zero.
    Z, y, Z_test, y_test = feature_problem(9, 4, 3, seed=21)
    Z[:, 2] = 0.0
    Z[5] = [0.0, 0.0, 2.0, 0.0]
    for widths in ([3], [1, 2, 3, 4]):
        path = ph.random_features.nested_path(Z, y, Z_test, y_test, widths, predictions=True)
        assert_matches(path, true_nested_path(Z, y, Z_test, y_test, widths), y, y_test)


# ---- scales


SCALES = [(1e150, 1.0), (1e-150, 1.0), (1.0, 1e150), (1.0, 1e-150), (1e-150, 1e100)]


@pytest.mark.parametrize(("feature_scale", "target_scale"), SCALES)
@pytest.mark.parametrize("relative_ridge", [0.0, 0.1])
def test_extreme_scales(feature_scale, target_scale, relative_ridge, assert_same):
    # |a| is of the order of the ratio of the scales, which may be a number whose square is not.
    n, widths = 9, [1, 5, 8, 9, 10, 20]
    Z, y, Z_test, y_test = feature_problem(n, 20, 3, seed=22)
    plain = ph.random_features.nested_path(Z, y, Z_test, y_test, widths, relative_ridge, predictions=True)
    scaled = ph.random_features.nested_path(
        feature_scale * Z,
        target_scale * y,
        feature_scale * Z_test,
        target_scale * y_test,
        widths,
        relative_ridge * feature_scale**2,
        predictions=True,
    )
    error_scale = target_scale**2
    restored = dataclasses.replace(
        scaled,
        train_error=np.asarray(scaled.train_error) / error_scale,
        test_error=np.asarray(scaled.test_error) / error_scale,
        leave_one_out_error=np.asarray(scaled.leave_one_out_error) / error_scale,
        coefficient_norm=np.asarray(scaled.coefficient_norm) * feature_scale / target_scale,
    )
    assert_same(restored, plain)
    np.testing.assert_allclose(np.asarray(scaled.predictions) / target_scale, plain.predictions, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(scaled.condition, plain.condition, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e150, 1e-150])
def test_inputs_at_extreme_scales(scale, assert_matches):
    X, y, X_test, y_test = problem(8, 4, 3, seed=23)
    widths = [1, 7, 8, 9, 20]
    path = ph.random_features.width_path(scale * X, y, scale * X_test, y_test, widths, predictions=True)
    assert_matches(path, true_width_path(scale * X, y, scale * X_test, y_test, widths), y, y_test)


@pytest.mark.parametrize("scale", [1.0, 1e18, 1e-18])
def test_float32(scale, assert_matches):
    X, y, X_test, y_test = (a.astype(np.float32) for a in problem(20, 8, 5, targets=2, seed=24))
    widths = [1, 5, 10, 15, 30, 60]
    for ridge in (0.0, 0.1):
        scaled = ridge * scale**2
        arguments = (np.float32(scale) * X, y, np.float32(scale) * X_test, y_test, widths, "relu", scaled, 1)
        path = ph.random_features.width_path(*arguments, predictions=True)
        truth = true_width_path(*arguments)
        assert assert_matches(path, truth, y, y_test, ridge=ridge, eps=EPS32, ill_conditioned=True) >= 4


def test_float32_near_interpolation():
    # Near N = n float32 normal equations are wrong in the first digit; a factorisation keeps eps times the condition.
    n = 60
    Z, y, Z_test, y_test = (a.astype(np.float32) for a in feature_problem(n, n + 1, 20, seed=25))
    widths = [n - 1, n, n + 1]
    path = ph.random_features.nested_path(Z, y, Z_test, y_test, widths, predictions=True)
    truth = true_nested_path(Z, y, Z_test, y_test, widths, leave_one_out=False)
    for i in range(3):
        error = relative_error(np.asarray(path.predictions[i], dtype=np.float64), truth.predictions[i])
        assert error <= 20 * EPS32 * truth.condition[i], widths[i]


def test_constant_targets(assert_matches):
    X, _, X_test, _ = problem(11, 5, 4, seed=26)
    widths = [1, 5, 10, 11, 12, 30]
    for value in (0.0, 1.0, -3.0):
        y, y_test = np.full(11, value), np.full(4, value)
        path = ph.random_features.width_path(X, y, X_test, y_test, widths, predictions=True)
        assert_matches(path, true_width_path(X, y, X_test, y_test, widths), y, y_test)
        if value == 0.0:
            for name in ("train_error", "test_error", "coefficient_norm", "leave_one_out_error", "predictions"):
                assert np.all(np.asarray(getattr(path, name)) == 0.0), name


def test_targets_that_the_features_fit_exactly(assert_matches):
    X, _, X_test, _ = problem(12, 4, 5, seed=27)
    w = np.arange(1.0, 5.0)
    path = ph.random_features.width_path(X, X @ w, X_test, X_test @ w, [1, 4, 12, 40], "identity", predictions=True)
    assert_matches(path, true_width_path(X, X @ w, X_test, X_test @ w, [1, 4, 12, 40], "identity"), X @ w, X_test @ w)
    np.testing.assert_allclose(path.predictions[1:], np.tile(X_test @ w, (3, 1)), rtol=1e-9, atol=1e-9)
    assert np.all(np.asarray(path.leave_one_out_error)[1:] < 1e-20)
