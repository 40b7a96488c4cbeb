import numpy as np
import pytest
from scipy.stats import binom

from pyphenom.theory.adam_feature_noise import flip_threshold, sign_growth


@pytest.mark.parametrize(("n", "d", "s"), [(40, 1000, 60), (40, 1000, 999), (400, 3000, 300), (4, 10, 3)])
def test_growth_is_the_binomial_sum(n, d, s):
    k = np.arange(n // 2)
    expected = 0.3 * s * np.sqrt(2 / np.pi) * (binom.pmf(k, n // 2 - 1, s / (d - 1)) / np.sqrt(1 + k)).sum()
    assert sign_growth(n, d, s, 0.3) == pytest.approx(expected, rel=1e-10)


def test_growth_is_that_of_a_step_along_signs():
    """One step of signs on the noise of a class, measured; 200 patches a draw, six standard errors."""
    rng, (class_size, d, s, deviation) = np.random.default_rng(0), (20, 500, 60, 0.1)
    found = []
    for _ in range(40):
        used = rng.random((class_size, d - 1)).argsort(axis=1) < s
        noise = deviation * rng.standard_normal(used.shape) * used
        found.append((noise @ np.sign(noise.sum(axis=0))).mean())
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - sign_growth(2 * class_size, d, s, deviation)) < 6 * error
    assert abs(np.mean(found) - s * deviation * np.sqrt(2 / np.pi)) > 6 * error  # that they share coordinates counts


def test_alone_it_is_the_mean_absolute_sum():
    assert sign_growth(40, 1e12, 100, 0.1) == pytest.approx(10 * np.sqrt(2 / np.pi), rel=1e-8)
    assert sign_growth(8, 5, 4, 1.0) == pytest.approx(4 * np.sqrt(2 / np.pi) / 2)  # K = 3 for certain


def test_threshold_is_where_the_race_turns():
    """The two rates of the docstring, followed in small steps from a small start."""
    for q in (3.0, 4.0):
        g = sign_growth(40, 1000, 80, 0.1, active=0.5)
        critical = flip_threshold(40, 1000, 80, 0.1, q, active=0.5)
        for factor, wanted in ((0.9, 1.0), (1.1, -1.0)):
            a = b = 1e-6
            for _ in range(2000):
                a += 1e-3 * np.sign(max(a, 0.0) ** (q - 1) - factor * critical * 0.5 * b ** (q - 1))
                b += 1e-3 * g
            assert np.sign(a) == wanted


def test_parameters_broadcast_and_scalars_stay_floats():
    assert isinstance(flip_threshold(40, 1000, 80, 0.1, 3), float)
    grid = flip_threshold(40, 1000, np.array([[40.0], [80.0]]), 0.1, [3.0, 4.0, 5.0])
    assert grid.shape == (2, 3)
    np.testing.assert_allclose(grid[:, 0] / grid[:, 1], sign_growth(40, 1000, [40.0, 80.0], 0.1))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sparsity": 1000}, "sparsity: got 1000, expected at most dimension - 1 = 999"),
        ({"active": 1.5}, "active: got 1.5"),
        ({"samples": 6, "active": 0.5}, "samples: got 6, expected at least 4/active"),
        ({"power": 2.0}, "power: got 2, expected more than 2"),
        ({"noise_deviation": 0.0}, "noise_deviation: got 0"),
        ({"samples": np.array([40, 50]), "sparsity": np.array([1, 2, 3])}, "broadcast together"),
    ],
)
def test_bad_parameters_are_named(changed, message):
    good = {"samples": 40, "dimension": 1000, "sparsity": 80, "noise_deviation": 0.1, "power": 3}
    with pytest.raises(ValueError, match=message):
        flip_threshold(**(good | changed))
