import numpy as np
import pytest
from scipy import stats

from pyphenom.data import gaussian, gaussian_clusters, gaussian_mixture, sphere


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


# ---- Gaussian points and mixtures -----------------------------------------------------------------------------------


def test_gaussian_points_have_the_covariance():
    # Entry (i, j) of X' X / n has variance at most 2 l_i l_j / n; 6 standard errors on 10 entries: below 3e-8.
    n, eigenvalues = 40_000, np.array([9.0, 1.0, 1e-4, 0.0])
    X = gaussian(n, eigenvalues, np.random.default_rng(0))
    assert X.dtype == np.float64
    error = np.abs(X.T @ X / n - np.diag(eigenvalues))
    assert (error <= 6 * np.sqrt(2 * np.outer(eigenvalues, eigenvalues) / n)).all()


def test_gaussian_points_are_normal():
    # The Kolmogorov-Smirnov distance exceeds 2.5 / sqrt(n) with probability 2 exp(-2 * 2.5^2) = 8e-6.
    n = 10_000
    x = gaussian(n, [4.0], np.random.default_rng(1))[:, 0]
    assert stats.kstest(x, stats.norm(scale=2.0).cdf).statistic <= 2.5 / np.sqrt(n)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.5])
def test_the_best_classifier_of_a_mixture_errs_as_stated(strength):
    # A binomial share: 5.5 standard errors have probability 4e-8.
    n, direction = 40_000, np.array([0.6, 0.0, -0.8])
    X, y = gaussian_mixture(n, strength * direction, np.random.default_rng(2))
    error, expected = np.mean(np.sign(X @ direction) != y), stats.norm.cdf(-strength)
    assert abs(error - expected) <= 5.5 * np.sqrt(expected * (1 - expected) / n)


def test_a_mixture_is_its_labelled_mean_and_white_noise():
    # Means within 5.5 / sqrt(n), second moments within 5.5 sqrt(2 / n), 12 in all: below 1e-6.
    n, mean = 40_000, np.array([3.0, 0.0, -1.0])
    X, y = gaussian_mixture(n, mean, np.random.default_rng(3))
    assert set(y) == {-1.0, 1.0}
    assert abs(y.mean()) <= 5.5 / np.sqrt(n)
    assert abs((y[1:] * y[:-1]).mean()) <= 5.5 / np.sqrt(n)  # neighbours are independent
    noise = X - y[:, None] * mean
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=5.5 / np.sqrt(n))
    np.testing.assert_allclose(noise.T @ noise / n, np.eye(3), atol=5.5 * np.sqrt(2 / n))
    assert abs((noise[:, 0] * y).mean()) <= 5.5 / np.sqrt(n)


def test_a_negative_eigenvalue_is_named():
    with pytest.raises(ValueError, match=r"`eigenvalues` holds -1.0 at index 1; expected no negative variance"):
        gaussian(3, [1.0, -1.0], np.random.default_rng(0))


@pytest.mark.parametrize("draw", [gaussian, gaussian_mixture])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, [1.0]), "`n` is 0"),
        ((3, []), "is empty"),
        ((3, [np.nan]), "holds nan"),
        ((3, 1.0), "expected 1 dimensions"),
    ],
)
def test_bad_arguments_of_gaussian_points_are_named(draw, arguments, message):
    with pytest.raises(ValueError, match=message):
        draw(*arguments, np.random.default_rng(0))


@pytest.mark.parametrize("draw", [lambda rng: sphere(2, 2, rng), lambda rng: gaussian(2, [1.0], rng)])
@pytest.mark.parametrize("rng", [0, None, np.random.RandomState(0)])
def test_a_seed_is_no_generator(draw, rng):
    with pytest.raises(TypeError, match=r"`rng` is .*expected a numpy.random.Generator.*default_rng"):
        draw(rng)


@pytest.mark.parametrize(("norm", "common"), [(1.0, 2.0), (2.5, 0.0), (0.0, 0.0)])
def test_centres_of_clusters_have_the_given_products(norm, common):
    products = []
    for seed in range(200):
        X, cluster = gaussian_clusters(20, 3, 8, np.random.default_rng(seed), norm, common, noise=1.5)
        assert X.shape == (60, 8)
        centres = np.stack([X[cluster == k].mean(axis=0) for k in range(3)])
        products.append(centres @ centres.T - np.eye(3) * 1.5**2 / 20)  # the noise of a centre is also in its square
    # Standard errors are below 0.07: six of them.
    np.testing.assert_allclose(np.mean(products, axis=0), norm**2 * np.eye(3) + common**2, atol=0.42)


def test_clusters_take_turns_and_their_noise_has_its_norm():
    X, cluster = gaussian_clusters(4000, 2, 5, np.random.default_rng(0), 0.0, 0.0, 1.5)
    assert cluster.tolist() == [0, 1] * 4000
    # |x|^2 has mean 2.25 and a variance of 2 2.25^2 / 5: the mean of 8000 a standard error of 0.016; six of them.
    assert abs((X**2).sum(axis=1).mean() - 2.25) < 0.1


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"clusters": 5, "d": 5}, "`d` is 5 with 5 clusters; expected at least 6"),
        ({"n": 0}, "`n`"),
        ({"noise": -1.0}, "`noise`"),
    ],
)
def test_clusters_that_cannot_be_drawn(given, match):
    with pytest.raises(ValueError, match=match):
        gaussian_clusters(**({"n": 3, "clusters": 2, "d": 4, "rng": np.random.default_rng(0)} | given))
