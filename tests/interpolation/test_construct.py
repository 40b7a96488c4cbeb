"""The network with 2n + d weights against rational arithmetic."""

import os
import subprocess
import sys
from fractions import Fraction

import interpolation as reference
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pyphenom as ph
from pyphenom.interpolation import relu_interpolant

POSITIONS = [0.0, 0.25, 0.5]


def data(n, d, targets=(), seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.standard_normal((n, *targets))


def exact(f, position):
    """Return the reference's b and v for the projections that f found, in rational numbers."""
    z = [Fraction(value) for value in f.projections]
    b = reference.biases(z, Fraction(position))
    return b, reference.output_weights(z, [Fraction(value) for value in f.targets], b)


# ---- the theorem


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 1), (12, 1), (12, 4), (30, 9)])
def test_weights_solve_the_triangular_system(n, d, position):
    X, y = data(n, d)
    f = relu_interpolant(X, y, position=position)
    np.testing.assert_allclose(f.projections, np.sort((X - f.center) @ f.direction), rtol=0, atol=1e-14)
    b, v = exact(f, position)
    np.testing.assert_allclose(f.knots, np.array(b, float), rtol=0, atol=1e-14)
    # A knot rounds to a part in 2^53 of z, which the smallest distance to a neighbour magnifies.
    rounding = 100 * np.finfo(float).eps / min([1.0, f.relative_gap])
    np.testing.assert_allclose(f.parameters.v, np.array(v, float), rtol=0, atol=rounding * np.abs(f.slopes).max())
    assert f.parameter_count == 2 * n + d == sum(part.size for part in f.parameters)


@pytest.mark.parametrize("position", POSITIONS)
def test_values_between_the_data_are_the_sum(position):
    X, y = data(25, 3)
    f = relu_interpolant(X, y, position=position)
    b, v = exact(f, position)
    rng = np.random.default_rng(1)
    # Along the direction itself, so that every piece is met: left of all knots, inside, and beyond the data.
    q = np.sort(np.concatenate([rng.uniform(f.knots[0] - 1, f.projections[-1] + 1, 300), f.knots, f.projections]))
    points = f.center + q[:, None] * f.direction
    got = f(points)
    q_seen = (points - f.center) @ f.direction
    truth = np.array([float(reference.network(Fraction(value), b, v)) for value in q_seen])
    np.testing.assert_allclose(got, truth, rtol=1e-12, atol=1e-12 * np.abs(f.slopes).max())
    assert (got[q < f.knots[0] - 1e-9] == 0).all()


@pytest.mark.parametrize("position", POSITIONS)
def test_biases_interleave(position):
    X, y = data(500, 6)
    f = relu_interpolant(X, y, position=position)
    b, z = f.knots, f.projections
    assert (b < z).all()
    assert (z[:-1] <= b[1:]).all()
    np.testing.assert_allclose(b[1:], z[:-1] + position * np.diff(z), rtol=0, atol=1e-15)
    assert b[0] == pytest.approx(z[0] - (z[-1] - z[0]))
    assert np.linalg.norm(f.direction) == pytest.approx(1.0)


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 20), st.integers(1, 5)),
        elements=st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6),
    ),
    st.integers(0, 2**32),
    st.sampled_from(POSITIONS),
)
def test_any_labels_come_back_to_the_bit(X, seed, position):
    X = np.unique(X, axis=0)
    y = np.random.default_rng(seed).standard_normal(len(X))
    try:
        f = relu_interpolant(X, y, position=position)
    except ValueError as error:  # rows that differ by a rounding on every direction
        assert "distinct rows" in str(error)  # noqa: PT017
        return
    assert (f(X) == y).all()
    assert f.merged == 0


def test_random_labels_at_a_larger_size():
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((100_000, 10)), rng.integers(0, 2, 100_000)
    f = relu_interpolant(X, y)
    assert (f(X) == y).all()
    assert f.parameter_count == 200_010


@pytest.mark.slow
def test_a_million_random_labels():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((1_000_000, 10)), rng.integers(0, 10, 1_000_000).astype(float)
    f = relu_interpolant(X, y)
    # In other blocks than they were read in, and alone.
    error = max(
        np.abs(f(X[first : first + 77_777]) - y[first : first + 77_777]).max() for first in range(0, 10**6, 77_777)
    )
    assert not error > 1e-9 * 9
    assert f.parameter_count == 2_000_010
    assert abs(f(X[123_456:123_457])[0] - y[123_456]) <= 1e-9 * 9


@pytest.mark.parametrize("position", POSITIONS)
def test_targets_share_the_hidden_layer(position):
    X, Y = data(40, 5, (3,))
    f = relu_interpolant(X, Y, position=position)
    assert (f(X) == Y).all()
    assert f.parameter_count == 40 + 5 + 3 * 40
    for t in range(3):
        alone = relu_interpolant(X, Y[:, t], position=position)
        np.testing.assert_array_equal(alone.parameters.v, f.parameters.v[:, t])
        np.testing.assert_array_equal(alone.knots, f.knots)
    column = relu_interpolant(X, Y[:, :1], position=position)
    assert column(X).shape == (40, 1)


# ---- the same row is the same number, wherever it stands


@pytest.mark.parametrize("d", [1, 2, 7, 8, 9, 31, 100])
def test_a_row_does_not_depend_on_the_others(d):
    X, y = data(203, d)
    f = relu_interpolant(X, y)
    assert (np.concatenate([f(X[i : i + 1]) for i in range(203)]) == y).all()
    assert (f(X[::-1]) == y[::-1]).all()
    assert (f(np.asfortranarray(X)) == y).all()
    assert (f(np.hstack([X, X])[:, :d]) == y).all()
    assert (f(torch.from_numpy(X)).numpy() == y).all()


def test_threads_change_nothing():
    code = (
        "import numpy as np, hashlib; from pyphenom.interpolation import relu_interpolant;"
        "rng = np.random.default_rng(0); X, y = rng.standard_normal((20000, 33)), rng.standard_normal(20000);"
        "f = relu_interpolant(X, y); assert (f(X) == y).all();"
        "print(hashlib.sha256(b''.join(v.tobytes() for v in (f.knots, f.slopes, f.direction, f(X + 1)))).hexdigest())"
    )
    digests = set()
    for threads in ("1", "2", "3"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        digests.add(
            subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout
        )
    assert len(digests) == 1


def test_blocks_change_nothing(monkeypatch):
    X, y = data(1000, 12)
    f = relu_interpolant(X, y)
    monkeypatch.setattr(ph.interpolation._projection, "BLOCK_ENTRIES", 12 * 7)
    again = relu_interpolant(X, y)
    np.testing.assert_array_equal(f.slopes, again.slopes)
    assert (f(X) == y).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint8, np.int64, bool])
def test_other_types(dtype):
    rng = np.random.default_rng(2)
    X = np.unique(rng.integers(0, 2 if dtype is bool else 100, (300, 12)).astype(dtype), axis=0)
    y = rng.integers(0, 2, len(X))
    f = relu_interpolant(X, y)
    assert (f(X) == y).all()
    assert (f(X.astype(np.float64)) == y).all()
    assert f(X).dtype == np.float64


def test_predictions_are_of_the_type_of_the_labels():
    X, y = data(50, 3)
    f = relu_interpolant(X.astype(np.float32), y.astype(np.float32))
    assert f(X).dtype == np.float32
    assert (f(X.astype(np.float32)) == y.astype(np.float32)).all()
    tensor = relu_interpolant(torch.from_numpy(X), torch.from_numpy(y))(torch.from_numpy(X))
    assert isinstance(tensor, torch.Tensor)
    assert (tensor.numpy() == y).all()


# ---- the direction


def test_the_best_gap_of_the_candidates_is_taken():
    X, y = data(300, 8)
    gaps = []
    for count in (1, 2, 4, 5, 9):
        f = relu_interpolant(X, y, candidates=count, seed=5)
        z = np.sort((X - f.center) @ f.direction)
        assert f.relative_gap == pytest.approx(np.diff(z).min() / (z[-1] - z[0]), rel=1e-6)
        gaps.append(f.relative_gap)
    assert gaps == sorted(gaps)
    directions = np.random.default_rng(5).standard_normal((9, 8))
    every = np.sort(X @ (directions / np.linalg.norm(directions, axis=1, keepdims=True)).T, axis=0)
    assert gaps[-1] == pytest.approx((np.diff(every, axis=0).min(axis=0) / (every[-1] - every[0])).max(), rel=1e-6)


def test_the_seed_gives_the_direction():
    X, y = data(20, 4)
    assert (relu_interpolant(X, y, seed=1).direction == relu_interpolant(X, y, seed=1).direction).all()
    assert (relu_interpolant(X, y, seed=1).direction != relu_interpolant(X, y, seed=2).direction).any()


def test_heavy_tails_and_every_binade_are_sorted():
    rng = np.random.default_rng(4)
    X = (rng.choice([-1.0, 1.0], 5000) * 2.0 ** rng.uniform(-300, 300, 5000))[:, None]
    f = relu_interpolant(X, np.zeros(5000))
    np.testing.assert_array_equal(f.projections, np.sort(X[:, 0]))


def test_zeros_of_either_sign_are_equal():
    order, gaps = ph._core.sort_projections(np.array([[1.0, 0.0, -0.0, 0.0, -1.0]]), 1)
    assert order.tolist() == [[4, 1, 2, 3, 0]]
    assert gaps.tolist() == [0.5]
