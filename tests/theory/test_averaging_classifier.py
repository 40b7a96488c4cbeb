import numpy as np
import pytest
from scipy.special import ndtr

from pyphenom.theory import averaging_classifier as avg

MEAN = np.repeat([0.25, 0.0], [64, 80])


def border(deviation):
    return np.repeat([0.25, deviation**2], [64, 80])


@pytest.mark.parametrize(("deviation", "published"), [(1, 0.0397), (2, 0.3102), (4, 0.4503)])
def test_published_values(deviation, published):
    assert avg.gaussian_error(MEAN, border(deviation), 20) == pytest.approx(published, abs=1e-4)
    assert avg.gaussian_error(MEAN, border(2), 100) == pytest.approx(0.1411, abs=1e-4)


@pytest.fixture(scope="module")
def normal():
    return np.random.default_rng(0).standard_normal((2, 100_000, 144), dtype=np.float32)


@pytest.mark.parametrize("deviation", [1, 2, 4])
@pytest.mark.parametrize("n", [2, 20, 100])
def test_the_exact_error_is_that_of_draws(normal, deviation, n):
    """Nine binomial tests of 4 standard errors each: a failure has a chance below 6e-4, at a fixed seed."""
    spread, draws = border(deviation), normal.shape[1]
    w, x = (MEAN + z * np.sqrt(spread / count) for z, count in zip(normal, (n, 1.0), strict=True))
    found, expected = np.mean(np.einsum("ij,ij->i", w, x) < 0), avg.error(MEAN, spread, n)
    assert abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / draws)


@pytest.mark.parametrize("n", [1, 5])
def test_one_dimension_in_closed_form(n):
    """The signs of two independent Gaussians differ."""
    wrong, weight = ndtr(-0.7 / 1.3), ndtr(-0.7 / 1.3 * np.sqrt(n))
    expected = wrong * (1 - weight) + weight * (1 - wrong)
    assert avg.error([0.7], [1.69], n) == pytest.approx(expected, abs=1e-7)


def test_both_agree_where_samples_and_dimensions_are_many():
    mean, spread = np.full(2000, 0.01), np.full(2000, 0.09)
    assert avg.error(mean, spread, 4000) == pytest.approx(avg.gaussian_error(mean, spread, 4000), rel=1e-3)


def test_a_border_adds_its_fourth_power_and_no_more():
    alone = avg.gaussian_error(np.full(64, 0.25), np.full(64, 0.25), [5, 50])
    np.testing.assert_allclose(avg.gaussian_error(MEAN, border(0.0), [5, 50]), alone, rtol=1e-14)
    np.testing.assert_allclose(avg.error(MEAN, border(0.0), [5, 50]), avg.error(MEAN[:64], border(0)[:64], [5, 50]))
    errors = [avg.error(MEAN, border(deviation), 20) for deviation in (0.0, 0.5, 1.0, 2.0, 4.0)]
    assert (np.diff(errors) > 0).all()
    assert (np.diff(avg.error(MEAN, border(2.0), [2, 10, 50, 250])) < 0).all()


def test_limits():
    assert avg.error(np.zeros(3), np.ones(3), 5) == avg.gaussian_error(np.zeros(3), np.ones(3), 5) == 0.5
    assert avg.error(np.ones(3), np.zeros(3), 5) == avg.gaussian_error(np.ones(3), np.zeros(3), 5) == 0.0
    infinite = avg.error(MEAN, border(2), 1e12)
    assert infinite == pytest.approx(avg.gaussian_error(MEAN, border(2), 1e12), abs=1e-8)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(([1.0], [1.0, 2.0], 3), "mean"), (([1.0], [-1.0], 3), "variances"), (([1.0], [1.0], 0), "n")],
)
def test_bad_parameters_are_named(arguments, name):
    for function in (avg.error, avg.gaussian_error):
        with pytest.raises(ValueError, match=f"{name}: got"):
            function(*arguments)
