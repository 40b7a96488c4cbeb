"""The network with 2n + d weights on data that are hard, repeated or wrong."""

import numpy as np
import pytest

import pyphenom as ph
from pyphenom.interpolation import relu_interpolant


def data(n, d, targets=(), seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.standard_normal((n, *targets))


# ---- hard data


def test_a_common_offset_costs_no_digits():
    X, y = data(2000, 6)
    X = np.round(X * 2**20) / 2**20
    plain, shifted = relu_interpolant(X, y), relu_interpolant(X + 2.0**30, y)
    np.testing.assert_array_equal(plain.slopes, shifted.slopes)
    assert (shifted(X + 2.0**30) == y).all()


def test_constant_columns():
    X, y = data(400, 3)
    wide = np.hstack([np.full((400, 1), 1e15), X, np.zeros((400, 2))])
    f = relu_interpolant(wide, y)
    assert (f(wide) == y).all()
    assert f.relative_gap > 1e-9


def test_rows_that_differ_in_a_tiny_column_only():
    # On a plain direction the second column is below the last digit of the first.
    X = np.array([[i, 1e-25 * j] for i in range(20) for j in range(20)])
    y = np.random.default_rng(0).standard_normal(400)
    f = relu_interpolant(X, y)
    assert (f(X) == y).all()


def test_rows_that_no_direction_tells_apart():
    X = np.array([[2.0, 0.0], [2.0, 1e-40], [1.0, 5.0], [1.0, -5.0], [1.0, 3.0], [3.0, 2.0]])
    with pytest.raises(ValueError, match="distinct rows 0 and 1 whose projections are equal"):
        relu_interpolant(X, np.arange(6.0))


def test_one_point():
    f = relu_interpolant([[2.0, 3.0]], [7.0])
    assert f([[2.0, 3.0]]) == [7.0]
    assert f.parameter_count == 4
    assert f.relative_gap == np.inf
    assert f.weighted_sum([[2.0, 3.0]]) == pytest.approx([7.0])


def test_one_dimension():
    X = np.array([[3.0], [-1.0], [0.0], [10.0]])
    f = relu_interpolant(X, [1.0, 2.0, 0.0, -1.0])
    assert (f(X) == [1.0, 2.0, 0.0, -1.0]).all()
    assert f.direction.tolist() == [1.0]
    # Knots at -12, -1, 0, 3: broken lines through the data, zero to the left, on with the last slope to the right.
    np.testing.assert_allclose(f([[-12.0], [-6.5], [-0.5], [1.5], [6.5], [17.0]]), [0, 1, 1, 0.5, 0, -3], atol=1e-14)


def test_a_million_integers_in_one_dimension():
    rng = np.random.default_rng(5)
    X = rng.permutation(1_000_000)[:, None]
    y = rng.integers(0, 2, 1_000_000)
    f = relu_interpolant(X, y)
    assert (f(X) == y).all()
    assert f.relative_gap == 1 / 999_999
    assert (np.diff(f.projections) == 1.0).all()


def test_all_rows_equal():
    f = relu_interpolant(np.ones((50, 3)), np.full(50, 4.0))
    assert f.merged == 49
    assert len(f.knots) == 1
    assert (f(np.ones((2, 3))) == 4.0).all()


# ---- duplicates


def test_duplicates_are_merged():
    X, y = data(30, 4)
    rows = np.random.default_rng(1).integers(0, 30, 500)
    rows[:30] = range(30)
    f = relu_interpolant(X[rows], y[rows])
    assert f.merged == 470
    assert f.parameter_count == 64
    assert (f(X[rows]) == y[rows]).all()
    assert "470 rows merged" in repr(f)
    signed = relu_interpolant([[0.0, 1.0], [-0.0, 1.0]], [1.0, 1.0])  # equal as numbers
    assert signed.merged == 1


def test_many_duplicates_of_integers():
    X = np.random.default_rng(0).integers(0, 1000, (200_000, 1))
    f = relu_interpolant(X, X[:, 0] ** 2)
    assert f.merged == 199_000
    assert (f(X) == X[:, 0] ** 2).all()


@pytest.mark.parametrize("d", [1, 5])
def test_a_conflict_names_the_first_two_rows(d):
    # Rows in the order in which they came, for the sort is stable: 4 and 9 agree, 9 and 17 do not.
    X, y = data(25, d)
    X[9] = X[17] = X[21] = X[4]
    y[9], y[17], y[21] = y[4], 1.5, 2.5
    with pytest.raises(ValueError, match=r"equal rows 9 and 17 with different labels .* and 1\.5; .*Remove one"):
        relu_interpolant(X, y)


def test_a_conflict_among_many_ties():
    X = np.repeat(np.arange(10.0), 1000)[:, None]
    y = X[:, 0].copy()
    y[7_500:8_000] = -1.0
    with pytest.raises(ValueError, match="equal rows 7499 and 7500 with different labels 7 and -1"):
        relu_interpolant(X, y)


def test_a_conflict_in_one_of_several_targets():
    X, Y = data(6, 2, (2,))
    X[5], Y[5] = X[2], Y[2]
    assert relu_interpolant(X, Y).merged == 1
    Y[5, 1] += 1
    with pytest.raises(ValueError, match="equal rows 2 and 5"):
        relu_interpolant(X, Y)


# ---- bad input


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 5, 8])
def test_what_is_not_finite_is_named(bad, dtype, d):
    X, y = data(100, d)
    f = relu_interpolant(X, y)
    X = X.astype(dtype)
    X[63, d - 1] = bad
    for call in (lambda: relu_interpolant(X, y), lambda: f(X)):
        with pytest.raises(ValueError, match=rf"`X` holds {bad} at index \(63, {d - 1}\)"):
            call()


def test_bad_labels_are_named():
    X, y = data(10, 2)
    with pytest.raises(ValueError, match="`y` has 9 rows; expected 10, as many as `X`"):
        relu_interpolant(X, y[:9])
    with pytest.raises(ValueError, match="`y` holds nan"):
        relu_interpolant(X, np.where(y == y[3], np.nan, y))
    with pytest.raises(ValueError, match="`y` has shape"):
        relu_interpolant(X, np.ones((10, 1, 1)))
    with pytest.raises(ValueError, match=r"`y` spans .* the slopes overflow"):
        relu_interpolant(X, 1e308 * np.sign(y))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"X": np.ones(3)}, ValueError, "`X` has shape"),
        ({"X": np.ones((0, 3))}, ValueError, "`X` is empty"),
        ({"X": [["a"]]}, TypeError, "`X` has dtype"),
        ({"X": np.ones((3, 1)) * 1j}, TypeError, "`X` has dtype"),
        ({"X": np.array([[1.0], [1.7e308], [-1.7e308]])}, ValueError, "`X` has projections .*range overflows"),
        ({"X": np.array([[1.0, 1.0], [1.7e308, 1.7e308], [-1.0, 0.0]])}, ValueError, "`X` "),
        ({"candidates": 0}, ValueError, "`candidates` is 0"),
        ({"candidates": 2.5}, TypeError, "`candidates`"),
        ({"position": 0.6}, ValueError, "`position` is 0.6; expected at most 1/2"),
        ({"position": -0.1}, ValueError, "`position`"),
        ({"seed": -1}, ValueError, "`seed`"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        relu_interpolant(**{"X": np.arange(3.0)[:, None], "y": np.arange(3.0), **arguments})


def test_progress_counts_rows(monkeypatch):
    monkeypatch.setattr(ph.interpolation._projection, "BLOCK_ENTRIES", 100)
    X, y = data(105, 5)
    seen = []
    relu_interpolant(X, y, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(20, 105), (40, 105), (60, 105), (80, 105), (100, 105), (105, 105)]
