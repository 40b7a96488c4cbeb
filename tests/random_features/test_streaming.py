from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphenom as ph

streamed_path, width_path = ph.random_features.streamed_path, ph.random_features.width_path
SHARED = ("train_error", "test_error", "coefficient_norm", "degrees_of_freedom")


def problem(n, d, m=40, targets=None, seed=0):
    rng = np.random.default_rng(seed)
    X, X_test = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    noise = 0.1 * rng.standard_normal(n if targets is None else (n, targets))
    signal = [np.abs(A[:, 0]) if targets is None else np.abs(A[:, [0] * targets]) for A in (X, X_test)]
    return X, signal[0] + noise, X_test, signal[1]


@pytest.mark.parametrize("targets", [None, 1, 3])
@pytest.mark.parametrize("ridge", [1e-6, 1e-2, 10.0])
def test_every_width_is_that_of_the_width_path(targets, ridge):
    X, y, X_test, y_test = problem(300, 5, targets=targets)
    settings = {"activation": "tanh", "ridge": ridge, "seed": 4, "bias_scale": 0.3, "distribution": "sphere"}
    found = streamed_path((X, y), X_test, y_test, range(1, 101), **settings)
    known = width_path(X, y, X_test, y_test, range(1, 101), **settings)
    assert (found.status == "ok").all()
    assert found.samples == 300
    for name in SHARED:
        assert getattr(found, name).shape == getattr(known, name).shape
        np.testing.assert_allclose(getattr(found, name), getattr(known, name), rtol=1e-6, atol=1e-9)
    spare = 1 - found.degrees_of_freedom / 300
    expected = found.train_error / (spare if targets is None else spare[:, None]) ** 2
    np.testing.assert_allclose(found.generalised_cross_validation, expected)


def test_blocks_arrays_and_memory_maps_agree(tmp_path):
    X, y, X_test, y_test = problem(500, 6)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    cuts = [0, 1, 130, 131, 400, 500]
    pieces = [(X[a:b], y[a:b]) for a, b in pairwise(cuts)]
    whole = streamed_path((X, y), X_test, y_test, [5, 60])
    small = 3 * 8 * 60**2 + 8 * 60 * 6 + 8 * 70 * 66  # about 70 samples a product
    others = [
        streamed_path((mapped, y), X_test, y_test, [5, 60], memory=small),
        streamed_path(pieces, X_test, y_test, [5, 60]),
        streamed_path(iter(pieces), X_test, y_test, [5, 60]),
    ]
    for other in others:
        np.testing.assert_allclose(other.test_error, whole.test_error, rtol=1e-9)
        np.testing.assert_allclose(other.train_error, whole.train_error, rtol=1e-9)


@settings(max_examples=20)
@given(st.integers(3, 60), st.integers(1, 6), st.integers(1, 40), st.sampled_from([1e-3, 1.0]), st.integers(0, 99))
def test_any_shape(n, d, width, ridge, seed):
    X, y, X_test, y_test = problem(n, d, m=3, seed=seed)
    width = min(n, width)
    found = streamed_path((X, y), X_test, y_test, [width, 1], ridge=ridge, seed=seed)
    known = width_path(X, y, X_test, y_test, [width, 1], ridge=ridge, seed=seed)
    for name in SHARED:
        np.testing.assert_allclose(getattr(found, name), getattr(known, name), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("ridge", [1e-5, 1e-3])
def test_float32_errors_stay_below_the_estimate(ridge):
    X, y, X_test, y_test = problem(4000, 10)
    single = [a.astype(np.float32) for a in (X, X_test)]
    found = streamed_path((single[0], y), single[1], y_test, range(1, 301), ridge=ridge)
    known = streamed_path((X, y), X_test, y_test, range(1, 301), ridge=ridge)
    assert (np.abs(found.test_error / known.test_error - 1) < found.rounding + 1e-6).all()
    assert found.rounding[-1] > 100 * known.rounding[-1]


def test_a_singular_gram_matrix_is_marked():
    X, y, X_test, y_test = problem(200, 2)
    found = streamed_path((X, y), X_test, y_test, [1, 2, 50], activation="identity", ridge=0.0)
    assert list(found.status[:2]) == ["ok", "ok"]
    assert found.status[2] in ("breakdown", "ill-conditioned")
    if found.status[2] == "breakdown":
        assert np.isnan(found.test_error[2])
    assert "1 not ok" in repr(found)
    tamed = streamed_path((X, y), X_test, y_test, [50], activation="identity", ridge=1e-3)
    known = width_path(X, y, X_test, y_test, [50], activation="identity", ridge=1e-3)
    np.testing.assert_allclose(tamed.test_error, known.test_error, rtol=1e-6)


def test_progress_and_interruption():
    X, y, X_test, y_test = problem(1000, 3)
    memory = 3 * 8 * 50**2 + 8 * 50 * 3 + 8 * 300 * 53
    seen = []
    streamed_path((X, y), X_test, y_test, [50], memory=memory, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == [300, 600, 900, 1000]
    assert {total for _, total in seen} == {1000}

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        streamed_path((X, y), X_test, y_test, [50], progress=stop)


GOOD = problem(100, 3)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"blocks": (GOOD[0][:, :2], GOOD[1])}, ValueError, "`X` has 2 columns; expected 3"),
        ({"blocks": (GOOD[0], GOOD[1][:-1])}, ValueError, "`blocks`"),
        ({"blocks": (np.where(GOOD[0] > 2, np.nan, GOOD[0]), GOOD[1])}, ValueError, "`X` holds nan"),
        ({"blocks": [(GOOD[0], GOOD[1][:, None].repeat(2, 1))]}, ValueError, "`y` has 2 columns; expected 1"),
        ({"blocks": []}, ValueError, "`blocks` is empty"),
        ({"blocks": 3}, TypeError, "`blocks` is int"),
        ({"blocks": [GOOD[0]]}, TypeError, "`blocks` holds a ndarray"),
        ({"X_test": GOOD[2][0]}, ValueError, "`X_test`"),
        ({"y_test": GOOD[3][:-1]}, ValueError, "`y_test` has 39 rows"),
        ({"widths": [101]}, ValueError, "`widths` reaches 101"),
        ({"widths": [0]}, ValueError, "widths"),
        ({"ridge": -1.0}, ValueError, "ridge"),
        ({"memory": 1000}, ValueError, "`memory` is 1000 bytes"),
        ({"activation": "gelu"}, ValueError, "activation"),
        ({"progress": 3}, TypeError, "`progress`"),
    ],
)
def test_bad_input_is_named(change, error, words):
    arguments = {"blocks": (GOOD[0], GOOD[1]), "X_test": GOOD[2], "y_test": GOOD[3], "widths": [20]} | change
    with pytest.raises(error, match=words):
        streamed_path(**arguments)


def test_inputs_that_overflow():
    X, y, X_test, y_test = problem(50, 3)
    with pytest.raises(ValueError, match="overflow"):
        streamed_path((X * 1e200, y), X_test, y_test, [5])
