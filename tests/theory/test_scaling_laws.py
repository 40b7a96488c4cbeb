import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyphenom.theory import eigenframework
from pyphenom.theory import scaling_laws as sl

POWER_LAW = np.arange(1.0, 4001.0) ** -2


def test_check_values():
    np.testing.assert_allclose(
        sl.random_feature_loss(POWER_LAW, [50, 200, 100], [200, 50, 120]),
        [0.06383922, 0.06383922, 0.1435747],
        rtol=1e-6,
    )


@given(st.floats(0.2, 3), st.integers(2, 150), st.integers(2, 150))
def test_is_the_eigenframework(exponent, n, width):
    spectrum = np.arange(1.0, 301.0) ** -(1 + exponent)
    known = eigenframework.random_feature_regression(spectrum, spectrum, n, width).test_error
    assert sl.random_feature_loss(spectrum, n, width) == pytest.approx(known, rel=1e-9)


def test_is_measured():
    rng = np.random.default_rng(0)
    modes, n, width, repetitions = 400, 30, 90, 150
    spectrum = np.arange(1.0, modes + 1.0) ** -1.5
    losses = []
    for _ in range(repetitions):
        X, fresh = rng.standard_normal((n, modes)) * np.sqrt(spectrum), rng.standard_normal((300, modes))
        fresh *= np.sqrt(spectrum)
        teacher, features = rng.standard_normal(modes), rng.standard_normal((modes, width))
        fit = np.linalg.lstsq(X @ features, X @ teacher)[0]
        losses.append(np.mean((fresh @ features @ fit - fresh @ teacher) ** 2))
    theory = sl.random_feature_loss(spectrum, n, width)
    error = np.std(losses) / np.sqrt(repetitions)
    assert abs(np.mean(losses) - theory) < 4 * error + 0.03 * theory  # fails by chance once in 10,000


@pytest.mark.parametrize("exponent", [0.7, 1.0, 2.0])
def test_power_law_is_approached(exponent):
    m = np.array([20, 60, 180])
    spectrum = np.arange(1.0, 400_001.0) ** -(1 + exponent)
    ratio = sl.random_feature_loss(spectrum, m, 4 * m) / sl.power_law_loss(exponent, m, 4 * m)
    assert (np.abs(np.diff(np.abs(ratio - 1))) > 0).all()
    assert np.abs(ratio - 1)[-1] < 0.02
    assert (np.diff(np.abs(ratio - 1)) < 0).all()


def test_threshold_and_complete_learning():
    assert sl.random_feature_loss(POWER_LAW, 100, 100) == np.inf
    assert sl.power_law_loss(1.0, 100, 100) == np.inf
    assert sl.random_feature_loss(POWER_LAW[:10], 20, 30) == 0.0
    assert sl.random_feature_loss(POWER_LAW, 40, np.inf) > 0


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: sl.random_feature_loss([], 1, 2), "eigenvalues"),
        (lambda: sl.random_feature_loss([1.0], 0, 2), "n"),
        (lambda: sl.power_law_loss(-1.0, 1, 2), "exponent"),
    ],
)
def test_bad_parameters_are_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()
