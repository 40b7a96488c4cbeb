"""What must not change a width path, the kinds of its arguments, and what it returns."""

import dataclasses

import numpy as np
import pytest
import torch
from width_paths import feature_problem, problem, true_width_path

import pyphenom as ph

SCALINGS = ["fixed", "width"]

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
