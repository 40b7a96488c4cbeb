"""Step networks against Barron's rate and the exact error of sampling."""

import numpy as np
import pytest

from pyphenom.interpolation import StepNetwork, greedy_network, sample_gaussian
from pyphenom.theory import universal_approximation as theory


def ball(n, d, radius, rng):
    X = rng.standard_normal((n, d))
    return X * (radius * rng.random(n) ** (1 / d) / np.linalg.norm(X, axis=1))[:, None]


def test_a_step_network_is_its_sum():
    network = StepNetwork(np.array([[1.0, 0.0], [0.0, -1.0]]), np.array([0.5, -0.25]), np.array([2.0, -3.0]), 1.0)
    assert network([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 0.25]]).tolist() == [-2.0, 0.0, 3.0, 1.0]
    assert repr(network) == "StepNetwork(2 steps, 2 inputs, variation 5)"
    with pytest.raises(ValueError, match="`X` has 3 columns; expected 2"):
        network(np.ones((1, 3)))


@pytest.mark.parametrize("radius", [0.7, 2.0])
@pytest.mark.parametrize("dimension", [1, 2, 5, 10])
def test_sampling_has_the_predicted_error_at_every_width(dimension, radius):
    # 400 networks, each on 100 points of its own: six standard errors, passed by chance less than once in 10^8.
    rng = np.random.default_rng(dimension)
    for width in (1, 8, 64):
        errors = []
        for _ in range(400):
            X = ball(100, dimension, radius, rng)
            network = sample_gaussian(dimension, width, radius, rng)
            errors.append(np.mean((network(X) - np.exp(-(X**2).sum(axis=1) / 2)) ** 2))
        exact = theory.gaussian_sampling_error(dimension, radius, width)
        assert abs(np.mean(errors) - exact) < 6 * np.std(errors) / np.sqrt(len(errors))
        assert exact <= theory.barron_bound(theory.gaussian_barron_constant(dimension), radius, width)
        assert np.abs(network.weights).sum() <= 2 * radius * theory.gaussian_barron_constant(dimension)


@pytest.mark.parametrize("dimension", [1, 2, 5, 10])
def test_greedy_networks_keep_barrons_rate(dimension):
    rng = np.random.default_rng(dimension)
    X = ball(1000, dimension, 1.5, rng)
    y = np.exp(-(X**2).sum(axis=1) / 2)
    network = greedy_network(X, y, 60, rng)
    widths = np.arange(1, 61)
    bound = theory.barron_bound(theory.gaussian_barron_constant(dimension), 1.5, widths)
    assert (network.errors <= bound).all()
    assert (np.diff(network.errors) <= 1e-15).all()
    assert np.mean((network(X) - y) ** 2) == pytest.approx(network.errors[-1], rel=1e-6)
    # Better than the mean of as many sampled steps.
    assert (network.errors[9:] < theory.gaussian_sampling_error(dimension, 1.5, widths[9:])).all()


def test_greedy_finds_the_steps_that_are_there():
    rng = np.random.default_rng(0)
    X = np.linspace(-1, 1, 40)[:, None]
    y = 2.0 * (X[:, 0] > 0.31) - 1.0
    network = greedy_network(X, y, 3, rng, pool=2000)
    assert network.errors[0] == pytest.approx(0, abs=1e-20)
    np.testing.assert_allclose(network(X), y, atol=1e-9)


def test_greedy_in_a_pool_of_one_step():
    rng = np.random.default_rng(0)
    X = np.array([[0.0], [0.0], [1.0]])
    network = greedy_network(X, [1.0, 3.0, 5.0], 2, rng, pool=1)
    assert np.isfinite(network(X)).all()


def test_the_generator_decides():
    one, two = (sample_gaussian(3, 5, 1.0, np.random.default_rng(s)).weights for s in (0, 0))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda rng: sample_gaussian(0, 5, 1.0, rng), ValueError, "`dimension`"),
        (lambda rng: sample_gaussian(2, 5.0, 1.0, rng), TypeError, "`width`"),
        (lambda rng: sample_gaussian(2, 5, 0.0, rng), ValueError, "`radius` is 0"),
        (lambda rng: sample_gaussian(2, 5, 1.0, 7), TypeError, "`rng` is 7"),
        (lambda rng: greedy_network(np.ones((3, 1)), np.ones(2), 1, rng), ValueError, "`y` has 2 rows; expected 3"),
        (lambda rng: greedy_network(np.ones((3, 1)), np.ones(3), 3, rng), ValueError, "`width` is 3"),
        (lambda rng: greedy_network(np.ones((3, 1)), np.ones(3), 1, rng, pool=0), ValueError, "`pool`"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call(np.random.default_rng(0))
