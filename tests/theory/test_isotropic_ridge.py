import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ridge_regression import simulate

from pyphenom.theory import ridge_regression as rr

RATIOS = st.floats(0.02, 50)
RIDGES = st.floats(1e-6, 1e3)
POWERS = st.floats(0.01, 10)


def textbook_isotropic(gamma, lam, signal, noise):
    """HMRT Corollary 5 in 60 digits, where its cancellation does no harm."""
    with mpmath.workdps(60):
        g, z = mpmath.mpf(gamma), -mpmath.mpf(lam)
        m = lambda z: (-(1 - g - z) + mpmath.sqrt((1 - g - z) ** 2 - 4 * g * z)) / (-2 * g * z)  # noqa: E731
        q = mpmath.sqrt((1 - g - z) ** 2 - 4 * g * z)
        slope = m(z) * (1 + g * m(z)) / q
        return float(signal * z**2 * slope), float(noise * g * (m(z) + z * slope))


def test_ridgeless_check_values():
    risk = rr.isotropic_risk([0.5, 0.8, 2, 4], noise_variance=0.25)
    np.testing.assert_allclose(risk.total, [0.25, 1, 0.75, 5 / 6], rtol=1e-12)
    np.testing.assert_allclose(risk.bias, [0, 0, 0.5, 0.75], rtol=1e-12)


def test_ridge_check_values():
    risk = rr.isotropic_risk([0.5, 2, 2], [0.1, 0.1, 0.5], noise_variance=0.25)
    np.testing.assert_allclose(risk.total, [0.17678373, 0.68652866, 0.64038820], rtol=1e-7)


def test_optimal_check_values():
    risk = rr.optimal_isotropic_risk([0.5, 1, 2, 4], noise_variance=0.25)
    np.testing.assert_allclose(risk.total, [0.17539053, 0.39038820, 0.64038820, 0.80901699], rtol=1e-7)


@given(RATIOS, st.floats(1e-14, 1e6), POWERS, POWERS)
def test_stable_form_equals_textbook_in_high_precision(gamma, ridge, signal, noise):
    risk = rr.isotropic_risk(gamma, ridge, signal, noise)
    np.testing.assert_allclose((risk.bias, risk.variance), textbook_isotropic(gamma, ridge, signal, noise), rtol=1e-8)


def test_tiny_ridge_keeps_its_digits_where_the_textbook_form_loses_them():
    np.testing.assert_allclose(rr.isotropic_risk(2.0, 1e-12, 1.0, 0.25).total, 0.75, rtol=1e-11)


def test_isotropic_equals_simulation():
    # Two-sided 4 standard errors plus the 2/n bias of theory at finite size: about 1e-4 false alarms per comparison.
    for gamma, lam in [(0.5, 0.0), (2.0, 0.0), (2.0, 0.1)]:
        p = int(60 * gamma)
        found = simulate(np.ones(p), np.full(p, p**-0.5), 60, lam, 0.25, 200, seed=1)
        mean, error = found.mean(0), found.std(0) / 200**0.5
        predicted = np.array(
            [rr.isotropic_risk(gamma, lam, 1, 0.25).total, rr.isotropic_training_error(gamma, lam, 1, 0.25)]
        )
        assert (abs(mean - predicted) < 4 * error + predicted * 2 / 60 + 1e-20).all()


def test_threshold_is_infinite_only_with_noise():
    with_noise, without = rr.isotropic_risk(1.0, 0.0, 1.0, 0.1), rr.isotropic_risk(1.0, 0.0, 1.0, 0.0)
    assert (with_noise.bias, with_noise.variance, with_noise.total) == (0.0, np.inf, np.inf)
    assert without.total == 0.0
    assert rr.isotropic_training_error(1.0, 0.0, 1.0, 0.1) == 0.0


def test_infinite_ridge_predicts_zero():
    risk = rr.isotropic_risk([0.5, 1, 2], np.inf, 3.0, 0.5)
    np.testing.assert_array_equal(risk.bias, 3.0)
    np.testing.assert_array_equal(risk.variance, 0.0)
    np.testing.assert_array_equal(rr.isotropic_training_error([0.5, 1, 2], np.inf, 3.0, 0.5), 3.5)
    np.testing.assert_allclose(rr.isotropic_risk([0.5, 1, 2], 1e300, 3.0, 0.5).total, 3.0, rtol=1e-12)


@given(RATIOS, POWERS, POWERS)
def test_continuous_towards_ridgeless(gamma, signal, noise):
    if abs(gamma - 1) > 1e-2:
        near, limit = rr.isotropic_risk(gamma, 1e-13, signal, noise), rr.isotropic_risk(gamma, 0.0, signal, noise)
        np.testing.assert_allclose(near.total, limit.total, rtol=1e-6)


@given(RATIOS, RIDGES, POWERS, POWERS, st.floats(1.01, 10))
def test_risk_increases_with_noise_and_signal(gamma, ridge, signal, noise, factor):
    base = rr.isotropic_risk(gamma, ridge, signal, noise)
    assert rr.isotropic_risk(gamma, ridge, signal, factor * noise).variance > base.variance
    assert rr.isotropic_risk(gamma, ridge, factor * signal, noise).bias > base.bias


@given(RATIOS, POWERS, POWERS, st.floats(-3, 3))
def test_no_ridge_beats_the_optimal_one(gamma, signal, noise, exponent):
    best = rr.optimal_isotropic_risk(gamma, signal, noise).total
    other = rr.isotropic_risk(gamma, rr.optimal_ridge(gamma, signal, noise) * 10**exponent, signal, noise).total
    assert best <= other * (1 + 1e-12)


def test_optimal_risk_increases_with_aspect_ratio():
    assert (np.diff(rr.optimal_isotropic_risk(np.geomspace(0.01, 100, 500), 1.0, 0.25).total) > 0).all()


def test_optimal_ridge_at_the_borders():
    np.testing.assert_array_equal(rr.optimal_ridge(2.0, [0.0, 0.0, 1.0], [0.5, 0.0, 0.0]), [np.inf, 0.0, 0.0])
    assert rr.optimal_isotropic_risk(2.0, 0.0, 0.5).total == 0.0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: rr.isotropic_risk(2.0, -0.1), ValueError, "ridge: got -0.1, expected"),
        (lambda: rr.isotropic_risk(0.0), ValueError, "aspect_ratio: got 0, expected"),
        (lambda: rr.isotropic_risk(np.nan), ValueError, "aspect_ratio: got NaN"),
        (lambda: rr.isotropic_risk("2"), TypeError, "aspect_ratio: got str"),
        (lambda: rr.isotropic_risk(2.0, 0.1, 1j), TypeError, "signal_power: got complex"),
        (lambda: rr.isotropic_risk(2.0, 0.1, 1.0, -1), ValueError, "noise_variance: got -1"),
        (lambda: rr.isotropic_risk([1, 2], [1, 2, 3]), ValueError, r"aspect_ratio \(2,\), ridge \(3,\)"),
        (lambda: rr.isotropic_risk(np.inf), ValueError, "aspect_ratio: got inf"),
    ],
)
def test_wrong_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
