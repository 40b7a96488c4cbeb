"""The whole width path against one SVD, one refit or one 80-digit solve per width."""

import dataclasses

import numpy as np
import pytest
import random_features as reference
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyphenom as ph

EPS32 = float(np.finfo(np.float32).eps)
RIDGES = [0.0, 1e-12, 1e-6, 1.0, 1e6]
SCALINGS = ["fixed", "width"]


def problem(n, d, m, targets=None, seed=0):
    """Draw X, y, X_test, y_test: a linear teacher and noise, so that neither fit nor residual is trivial."""
    rng = np.random.default_rng(seed)
    shape = () if targets is None else (targets,)
    X, X_test = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    teacher = rng.normal(size=(d, *shape))
    y = X @ teacher + 0.5 * rng.normal(size=(n, *shape))
    return X, y, X_test, X_test @ teacher + 0.5 * rng.normal(size=(m, *shape))


def feature_problem(n, N, m, targets=None, seed=0):
    """Draw Z, y, Z_test, y_test with Gaussian features: well conditioned away from N = n."""
    rng = np.random.default_rng(seed)
    shape = () if targets is None else (targets,)
    return rng.normal(size=(n, N)), rng.normal(size=(n, *shape)), rng.normal(size=(m, N)), rng.normal(size=(m, *shape))


def true_width_path(
    X,
    y,
    X_test,
    y_test,
    widths,
    activation="relu",
    ridge=0.0,
    seed=0,
    *,
    ridge_scaling="fixed",
    leave_one_out=True,
    **draw,
):
    """Return the reference path on the reference features."""
    largest = max(widths)
    Z = reference.features(X, largest, activation, seed=seed, **draw)
    Z_test = reference.features(X_test, largest, activation, seed=seed, **draw)
    penalty = reference.penalties(widths, len(X), ridge, ridge_scaling, np.shape(X)[1])
    return reference.path(Z, y, Z_test, y_test, widths, penalty, leave_one_out)


def true_nested_path(Z, y, Z_test, y_test, widths, ridge=0.0, *, ridge_scaling="fixed", leave_one_out=True):
    penalty = reference.penalties(widths, len(Z), ridge, ridge_scaling)
    return reference.path(Z, y, Z_test, y_test, widths, penalty, leave_one_out)


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


def relative_error(predictions, truth):
    return np.linalg.norm(predictions - truth) / np.linalg.norm(truth)


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


# ---- targets and their shapes


def test_one_target_in_every_shape(assert_same):
    X, y, X_test, y_test = problem(9, 4, 5, seed=28)
    widths = [1, 8, 9, 10, 20]
    plain = ph.random_features.width_path(X, y, X_test, y_test, widths, predictions=True)
    assert np.shape(plain.train_error) == (5,)
    assert np.shape(plain.predictions) == (5, 5)
    column = ph.random_features.width_path(X, y, X_test, y_test[:, None], widths, predictions=True)
    assert_same(column, plain)
    two_dimensional = ph.random_features.width_path(X, y[:, None], X_test, y_test[:, None], widths, predictions=True)
    assert np.shape(two_dimensional.train_error) == (5, 1)
    assert np.shape(two_dimensional.predictions) == (5, 5, 1)
    np.testing.assert_allclose(np.asarray(two_dimensional.test_error)[:, 0], plain.test_error, rtol=1e-9)


def test_each_target_by_itself(assert_matches):
    X, Y, X_test, Y_test = problem(9, 4, 5, targets=3, seed=29)
    widths, kwargs = [1, 8, 9, 10, 20], {"ridge": 1e-6, "predictions": True}
    together = ph.random_features.width_path(X, Y, X_test, Y_test, widths, **kwargs)
    for t in range(3):
        alone = ph.random_features.width_path(X, Y[:, t], X_test, Y_test[:, t], widths, **kwargs)
        for name in ("train_error", "test_error", "coefficient_norm", "leave_one_out_error"):
            np.testing.assert_allclose(
                np.asarray(getattr(together, name))[:, t], getattr(alone, name), rtol=1e-7, atol=1e-18
            )
        np.testing.assert_allclose(together.predictions[..., t], alone.predictions, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("column", [False, True])
def test_one_test_target_serves_all(column, assert_matches):
    # Label-noise replicas in the columns of y, one clean truth to test against.
    X, Y, X_test, _ = problem(9, 4, 5, targets=3, seed=30)
    clean = np.random.default_rng(30).normal(size=5)
    widths = [1, 8, 9, 10, 20]
    given_test = clean[:, None] if column else clean
    path = ph.random_features.width_path(X, Y, X_test, given_test, widths, predictions=True)
    assert_matches(path, true_width_path(X, Y, X_test, clean[:, None], widths), Y, clean[:, None])


# ---- invariances


def test_any_order_of_widths(assert_same, words):
    X, y, X_test, y_test = problem(12, 5, 4, seed=31)
    for ridge, scaling in ((0.0, "fixed"), (1e-4, "fixed"), (1e-4, "width")):
        arguments = {"ridge": ridge, "ridge_scaling": scaling, "predictions": True}
        every = ph.random_features.width_path(X, y, X_test, y_test, range(1, 41), **arguments)
        for widths in ([30], [12], [7, 3, 3, 12, 40, 1, 12], np.array([40, 20, 11, 13]), tuple(range(40, 0, -1))):
            some = ph.random_features.width_path(X, y, X_test, y_test, widths, **arguments)
            rows = np.asarray(widths) - 1
            assert np.array_equal(np.asarray(some.widths), np.asarray(widths))
            taken = dataclasses.replace(
                every,
                status=[words(every)[row] for row in rows],
                **{
                    field.name: np.asarray(getattr(every, field.name))[rows]
                    for field in dataclasses.fields(every)
                    if field.name != "status"
                    and np.ndim(getattr(every, field.name)) > 0
                    and len(getattr(every, field.name)) == 40
                },
            )
            assert_same(some, taken)
            np.testing.assert_allclose(some.predictions, taken.predictions, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda w: np.array(w, dtype=np.uint8)])
def test_kinds_of_widths(kind):
    X, y, X_test, y_test = problem(6, 3, 4, seed=32)
    path = ph.random_features.width_path(X, y, X_test, y_test, kind([2, 5, 9]))
    assert np.asarray(path.widths).tolist() == [2, 5, 9]
    assert np.issubdtype(np.asarray(path.widths).dtype, np.integer)


def test_order_of_the_training_rows(assert_same):
    X, y, X_test, y_test = problem(15, 6, 4, targets=2, seed=33)
    order = np.random.default_rng(33).permutation(15)
    for ridge in (0.0, 1e-3):
        path = ph.random_features.width_path(X, y, X_test, y_test, range(1, 36), ridge=ridge)
        permuted = ph.random_features.width_path(X[order], y[order], X_test, y_test, range(1, 36), ridge=ridge)
        assert_same(permuted, path)


def test_scale_of_the_targets(assert_same):
    X, y, X_test, y_test = problem(10, 5, 4, seed=34)
    path = ph.random_features.width_path(X, y, X_test, y_test, range(1, 26), ridge=1e-6)
    scaled = ph.random_features.width_path(X, -4.0 * y, X_test, -4.0 * y_test, range(1, 26), ridge=1e-6)
    back = dataclasses.replace(
        scaled,
        train_error=np.asarray(scaled.train_error) / 16.0,
        test_error=np.asarray(scaled.test_error) / 16.0,
        leave_one_out_error=np.asarray(scaled.leave_one_out_error) / 16.0,
        coefficient_norm=np.asarray(scaled.coefficient_norm) / 4.0,
    )
    assert_same(back, path)


def test_rotation_of_the_targets():
    # The fit is linear in y: rotated targets give rotated predictions and the same sums over targets.
    X, Y, X_test, Y_test = problem(10, 5, 4, targets=3, seed=35)
    Q = np.linalg.qr(np.random.default_rng(35).normal(size=(3, 3)))[0]
    path = ph.random_features.width_path(X, Y, X_test, Y_test, range(1, 26), predictions=True)
    rotated = ph.random_features.width_path(X, Y @ Q, X_test, Y_test @ Q, range(1, 26), predictions=True)
    np.testing.assert_allclose(rotated.predictions, np.asarray(path.predictions) @ Q, rtol=1e-8, atol=1e-8)
    for name in ("train_error", "test_error", "leave_one_out_error"):
        totals = np.sum(getattr(path, name), axis=1)
        np.testing.assert_allclose(np.sum(getattr(rotated, name), axis=1), totals, rtol=1e-6, atol=1e-12)


def test_residuals_never_grow_with_the_width():
    # Nested least squares. With a fixed ridge the penalised objective falls as well.
    X, y, X_test, y_test = problem(25, 8, 4, seed=36)
    widths = range(1, 61)
    path = ph.random_features.width_path(X, y, X_test, y_test, widths)
    train = np.asarray(path.train_error)
    assert np.all(train >= 0.0)
    assert np.all(np.diff(train) <= 1e-12 * np.mean(y**2))
    assert np.all(train[24:] <= 1e-12 * np.mean(y**2))
    assert np.all(np.diff(np.asarray(path.degrees_of_freedom)) >= -1e-9)
    ridge = 1e-2
    path = ph.random_features.width_path(X, y, X_test, y_test, widths, ridge=ridge)
    objective = np.asarray(path.train_error) + ridge * np.asarray(path.coefficient_norm) ** 2
    assert np.all(np.diff(objective) <= 1e-12 * np.mean(y**2))


def test_interpolating_norms_never_grow_with_the_width():
    X, y, X_test, y_test = problem(10, 8, 4, seed=37)
    norms = np.asarray(ph.random_features.width_path(X, y, X_test, y_test, range(10, 60)).coefficient_norm)
    assert np.all(np.diff(norms) <= 1e-9 * norms[:-1])


def test_small_ridge_approaches_the_minimum_norm_solution():
    Z, y, Z_test, y_test = feature_problem(12, 30, 4, seed=38)
    widths = [3, 8, 20, 30]
    ridgeless = ph.random_features.nested_path(Z, y, Z_test, y_test, widths, predictions=True)
    ridge = ph.random_features.nested_path(Z, y, Z_test, y_test, widths, 1e-13, predictions=True)
    np.testing.assert_allclose(ridge.predictions, ridgeless.predictions, rtol=0, atol=1e-8)


def test_both_faces_and_both_scalings_are_one_estimator(assert_same):
    X, y, X_test, y_test = problem(11, 4, 5, seed=39)
    widths = [1, 10, 11, 12, 30]
    data, kwargs = (X, y, X_test, y_test), {"bias_scale": 0.3, "distribution": "sphere"}
    Z = ph.random_features.features(X, 30, "erf", 7, **kwargs)
    Z_test = ph.random_features.features(X_test, 30, "erf", 7, **kwargs)
    drawn = ph.random_features.width_path(X, y, X_test, y_test, widths, "erf", 1e-3, 7, **kwargs)
    assert_same(ph.random_features.nested_path(Z, y, Z_test, y_test, widths, 1e-3), drawn)
    for N in widths:
        # n ridge N / d at this one width is a fixed ridge of ridge N / d.
        scaled = ph.random_features.width_path(
            X, y, X_test, y_test, [N], "erf", 1e-3, 7, ridge_scaling="width", **kwargs
        )
        fixed = ph.random_features.width_path(*data, [N], "erf", 1e-3 * N / 4, 7, **kwargs)
        assert_same(scaled, fixed)


def test_columns_beyond_the_largest_width_are_not_used(assert_same):
    Z, y, Z_test, y_test = feature_problem(8, 20, 3, seed=40)
    path = ph.random_features.nested_path(Z[:, :9], y, Z_test[:, :9], y_test, [3, 9])
    Z[:, 9:], Z_test[:, 9:] = 1e9, -1e9
    assert_same(ph.random_features.nested_path(Z, y, Z_test, y_test, [3, 9]), path, rtol=1e-10)


def test_test_points_do_not_enter_the_fit():
    X, y, X_test, y_test = problem(10, 4, 300, seed=41)
    path = ph.random_features.width_path(X, y, X_test, y_test, [3, 10, 25], predictions=True)
    for rows in (slice(0, 1), slice(63, 65), slice(120, 300)):
        part = ph.random_features.width_path(X, y, X_test[rows], y_test[rows], [3, 10, 25], predictions=True)
        np.testing.assert_allclose(part.predictions, path.predictions[:, rows], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(part.train_error, path.train_error, rtol=1e-9, atol=1e-20)


# ---- layouts and kinds


def test_layouts_of_all_arrays(assert_same):
    arrays = problem(9, 4, 5, targets=2, seed=42)
    plain = ph.random_features.width_path(*arrays, [1, 8, 9, 10, 20], predictions=True)
    nested_arrays = feature_problem(9, 20, 5, targets=2, seed=42)
    nested = ph.random_features.nested_path(*nested_arrays, [1, 8, 9, 10, 20])

    def read_only(a):
        a = a.copy()
        a.flags.writeable = False
        return a

    changes = [
        np.asfortranarray,
        read_only,
        lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    ]
    for change in changes:
        changed = [change(a) for a in arrays]
        before = [a.copy() for a in changed]
        assert_same(ph.random_features.width_path(*changed, [1, 8, 9, 10, 20]), plain)
        assert_same(ph.random_features.nested_path(*[change(a) for a in nested_arrays], [1, 8, 9, 10, 20]), nested)
        assert all(np.array_equal(a, b) for a, b in zip(changed, before, strict=True))


def test_strided_one_dimensional_targets(assert_same):
    X, y, X_test, y_test = problem(9, 4, 5, seed=43)
    plain = ph.random_features.width_path(X, y, X_test, y_test, [3, 12])
    for strided in (np.repeat(y, 3)[::3], y[::-1].copy()[::-1]):
        assert_same(ph.random_features.width_path(X, strided, X_test, y_test[::-1].copy()[::-1], [3, 12]), plain)


def test_arguments_are_not_changed():
    Z, y, Z_test, y_test = arrays = feature_problem(9, 20, 5, targets=2, seed=44)
    before = [a.copy() for a in arrays]
    for ridge in (0.0, 1e-3):
        ph.random_features.nested_path(Z, y, Z_test, y_test, range(1, 21), ridge)
        assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))


def test_integer_labels(assert_same):
    X, _, X_test, _ = problem(9, 4, 5, seed=45)
    y, y_test = np.arange(9) % 3 - 1, np.arange(5) % 3 - 1
    plain = ph.random_features.width_path(X, y.astype(float), X_test, y_test.astype(float), [3, 12])
    for dtype in (np.int8, np.int64):
        assert_same(ph.random_features.width_path(X, y.astype(dtype), X_test, y_test.astype(dtype), [3, 12]), plain)
    flags = ph.random_features.width_path(X, y > 0, X_test, y_test > 0, [3, 12])
    assert_same(flags, ph.random_features.width_path(X, 1.0 * (y > 0), X_test, 1.0 * (y_test > 0), [3, 12]))


def test_torch_tensors(assert_same):
    arrays = problem(9, 4, 5, targets=2, seed=46)
    plain = ph.random_features.width_path(*arrays, [3, 12], predictions=True)
    tensors = ph.random_features.width_path(*[torch.from_numpy(a) for a in arrays], [3, 12], predictions=True)
    assert_same(tensors, plain)
    np.testing.assert_allclose(np.asarray(tensors.predictions), plain.predictions, rtol=1e-9, atol=1e-12)
    arrays = feature_problem(9, 12, 5, seed=46)
    tensors = ph.random_features.nested_path(*[torch.from_numpy(a) for a in arrays], [3, 12])
    assert_same(tensors, ph.random_features.nested_path(*arrays, [3, 12]))


# ---- the result and the callback


def test_the_result_is_a_frozen_readable_record():
    X, y, X_test, y_test = problem(6, 3, 4, seed=47)
    path = ph.random_features.width_path(X, y, X_test, y_test, [2, 9])
    assert path.predictions is None
    assert dataclasses.is_dataclass(path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        path.train_error = None
    record = path.to_dict()
    for name in (
        "widths",
        "train_error",
        "test_error",
        "coefficient_norm",
        "degrees_of_freedom",
        "leave_one_out_error",
        "condition",
        "rank",
        "status",
    ):
        assert name in record
    assert "WidthPath" in repr(path)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_progress(ridge, scaling):
    X, y, X_test, y_test = problem(20, 5, 4, seed=48)
    calls = []

    def record(done, total):
        calls.append((done, total))

    ph.random_features.width_path(X, y, X_test, y_test, [5, 60], ridge=ridge, ridge_scaling=scaling, progress=record)
    done, totals = zip(*calls, strict=True)
    assert len(set(totals)) == 1
    assert list(done) == sorted(done)
    assert done[-1] == totals[0] > 0


def test_an_error_in_the_callback_stops_the_path():
    X, y, X_test, y_test = problem(20, 5, 4, seed=49)

    def stop(done, total):
        raise KeyError("stop here")

    with pytest.raises(KeyError, match="stop here"):
        ph.random_features.width_path(X, y, X_test, y_test, [5, 60], progress=stop)
