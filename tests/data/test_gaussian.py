import numpy as np
import pytest

from pyphenom.data import sphere


def test_points_lie_on_the_sphere():
    X = sphere(200, 7, np.random.default_rng(0))
    assert X.shape == (200, 7)
    assert X.dtype == np.float64
    np.testing.assert_allclose((X**2).sum(axis=1), 7.0, rtol=1e-14)


def test_the_law_is_uniform():
    # By Archimedes, a coordinate of the uniform law on the sphere in three dimensions is uniform. The largest gap
    # between the empirical and the true distribution exceeds 2.3 / sqrt(n) with probability 2 exp(-2 * 2.3^2) = 5e-5,
    # for each of six directions: 3e-4 in all.
    n = 20_000
    X = sphere(n, 3, np.random.default_rng(1))
    directions = np.vstack([np.eye(3), [[1, 1, 1], [1, -1, 0], [0, 2, 1]]])
    for direction in directions:
        height = np.sort(X @ direction / np.linalg.norm(direction))
        distribution = (height / np.sqrt(3) + 1) / 2
        gap = np.abs(distribution - (np.arange(n) + 0.5) / n).max()
        assert gap <= 2.3 / np.sqrt(n)


def test_second_moments_are_the_identity():
    # Entries of X X' / n have variance at most 1 / n; 5.5 standard errors on 55 entries: probability below 3e-6.
    n, d = 40_000, 10
    X = sphere(n, d, np.random.default_rng(2))
    np.testing.assert_allclose(X.T @ X / n, np.eye(d), atol=5.5 / np.sqrt(n))


def test_in_one_dimension_there_are_two_points():
    assert set(sphere(100, 1, np.random.default_rng(3)).ravel().round(14)) == {-1.0, 1.0}


def test_draws_follow_the_generator():
    first, second = (sphere(4, 3, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)
    rng = np.random.default_rng(5)
    assert not np.array_equal(sphere(4, 3, rng), sphere(4, 3, rng))


@pytest.mark.parametrize(("n", "d", "name"), [(0, 3, "n"), (3, 0, "d"), (-1, 3, "n")])
def test_sizes_are_positive(n, d, name):
    with pytest.raises(ValueError, match=f"`{name}` is .*expected an integer >= 1"):
        sphere(n, d, np.random.default_rng(0))


@pytest.mark.parametrize(("n", "d", "name"), [(2.0, 3, "n"), (3, "3", "d"), (True, 3, "n")])
def test_sizes_are_integers(n, d, name):
    with pytest.raises(TypeError, match=f"`{name}` is .*expected an integer"):
        sphere(n, d, np.random.default_rng(0))
