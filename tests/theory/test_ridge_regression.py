import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ridge_regression import simulate
from scipy.optimize import brentq

from pyphenom.theory import ridge_regression as rr

POWER_LAW = 1 / np.arange(1.0, 601.0)
POWERS = st.floats(0.01, 10)


def plain_general(s, beta, n, lam, noise):
    """The formula as printed, with a scalar bracketing solver in kappa itself."""
    balance = lambda k: 1 - lam / k - np.sum(s / (s + k)) / n  # noqa: E731
    low = lam if lam > 0 else s.min() * (s.size / n - 1)
    kappa = brentq(balance, low * (1 - 1e-9), lam + s.sum() / n + 1e-9, xtol=1e-16, rtol=1e-14)
    df1, df2 = np.sum(s / (s + kappa)), np.sum(s**2 / (s + kappa) ** 2)
    bias = kappa**2 * np.sum(beta**2 * s / (s + kappa) ** 2) / (1 - df2 / n)
    variance = noise * df2 / n / (1 - df2 / n)
    return kappa, bias, variance, (1 - df1 / n) ** 2 * (bias + variance + noise)


# -- general covariance -----------------------------------------------------------------------------------------------


def test_general_check_values():
    ridge = [0, 1e-3, 1e-2]
    risk = rr.risk(POWER_LAW, POWER_LAW**0.5, 300, ridge, 0.1)
    np.testing.assert_allclose(risk.bias, [0.0069067426, 0.0083718234, 0.0198375008], rtol=1e-7)
    np.testing.assert_allclose(risk.variance, [0.1319828229, 0.0740584746, 0.0198762767], rtol=1e-7)
    kappa = rr.effective_ridge(POWER_LAW, 300, ridge)
    np.testing.assert_allclose(kappa, [0.0041765463, 0.0061384966, 0.0182396010], rtol=1e-7)
    assert (risk.residual < 1e-13).all()


def test_training_error_check_value():
    s = np.repeat([2.0, 0.2], 225)
    found = rr.training_error(s, np.full(450, 450**-0.5), 300, 0.05, 0.25)
    np.testing.assert_allclose(found, 0.012719298, rtol=1e-7)


@given(st.integers(2, 60), st.integers(2, 60), st.floats(1e-4, 10), st.floats(0, 3), st.integers(0, 2**32 - 1))
def test_general_equals_the_formula_as_printed(p, n, ridge, decay, seed):
    s = np.arange(1.0, p + 1) ** -decay
    beta = np.random.default_rng(seed).standard_normal(p)
    kappa, bias, variance, train = plain_general(s, beta, n, ridge, 0.3)
    risk = rr.risk(s, beta, n, ridge, 0.3)
    np.testing.assert_allclose(rr.effective_ridge(s, n, ridge), kappa, rtol=1e-8)
    np.testing.assert_allclose((risk.bias, risk.variance), (bias, variance), rtol=1e-7)
    np.testing.assert_allclose(rr.training_error(s, beta, n, ridge, 0.3), train, rtol=1e-7)


def test_ridgeless_equals_the_c0_form():
    # HMRT Theorem 2: an equation in c0 instead of kappa, with the spectral law H and the signal law G.
    s, beta, n, noise = POWER_LAW, np.cos(np.arange(600.0)), 300, 0.1
    gamma, power = s.size / n, np.sum(beta**2)
    c0 = np.exp(brentq(lambda x: 1 - 1 / gamma - np.mean(1 / (1 + np.exp(x) * gamma * s)), -20, 20, xtol=1e-14))
    f = 1 + c0 * gamma * s
    A = np.mean(s**2 / f**2) / np.mean(s / f**2)
    bias = power * (1 + gamma * c0 * A) * np.sum(beta**2 / power * s / f**2)
    risk = rr.risk(s, beta, n, 0.0, noise)
    np.testing.assert_allclose((risk.bias, risk.variance), (bias, noise * gamma * c0 * A), rtol=1e-9)
    np.testing.assert_allclose(rr.effective_ridge(s, n), 1 / (gamma * c0), rtol=1e-9)


@given(st.floats(0.05, 20), st.floats(0, 100, allow_subnormal=False), POWERS, st.floats(0, 10))  # those lack digits
def test_flat_spectrum_equals_isotropic(gamma, ridge, signal, noise):
    p = 7
    isotropic = rr.isotropic_risk(gamma, ridge, signal, noise)
    general = rr.risk(np.ones(p), np.full(p, np.sqrt(signal / p)), p / gamma, ridge, noise)
    np.testing.assert_allclose((general.bias, general.variance), (isotropic.bias, isotropic.variance), rtol=1e-7)
    train = rr.training_error(np.ones(p), np.full(p, np.sqrt(signal / p)), p / gamma, ridge, noise)
    np.testing.assert_allclose(train, rr.isotropic_training_error(gamma, ridge, signal, noise), rtol=1e-7, atol=1e-25)


@pytest.mark.parametrize("ridge", [1e-8, 1e-20, 1e-80])
def test_tiny_ridge_at_the_threshold_keeps_its_digits(ridge):
    # At n = p the effective ridge is about the root of the ridge, and df1 rounds to n.
    general, exact = rr.risk(np.ones(4), np.full(4, 0.5), 4, ridge, 0.3), rr.isotropic_risk(1.0, ridge, 1.0, 0.3)
    np.testing.assert_allclose((general.bias, general.variance), (exact.bias, exact.variance), rtol=1e-12)


def test_twelve_decades():
    s = np.logspace(0, -12, 400)
    for ridge in (0.0, 1e-11, 1e-6, 1.0):
        kappa = rr.effective_ridge(s, 200, ridge)
        np.testing.assert_allclose(ridge / kappa, 1 - np.sum(s / (s + kappa)) / 200, rtol=1e-9, atol=1e-13)
        assert rr.risk(s, s, 200, ridge, 1.0).residual < 1e-14


def test_zero_eigenvalues_change_nothing():
    s, beta = np.array([3.0, 0.0, 1.0, 0.5, 0.0]), np.array([1.0, 5.0, -1.0, 2.0, 1.0])
    kept = s > 0
    for n in (2, 3, 10):
        padded, bare = rr.risk(s, beta, n, [0.0, 0.1], 0.2), rr.risk(s[kept], beta[kept], n, [0.0, 0.1], 0.2)
        np.testing.assert_array_equal(padded.total, bare.total)


def test_threshold_and_below_without_ridge():
    risk = rr.risk(POWER_LAW, POWER_LAW, [600, 601, 1200], 0.0, 0.1)
    np.testing.assert_array_equal(risk.bias, 0.0)
    np.testing.assert_allclose(risk.variance, [np.inf, 0.1 * 600, 0.1], rtol=1e-9)
    np.testing.assert_array_equal(rr.effective_ridge(POWER_LAW, [600, 601, 1200]), 0.0)


def test_one_eigenvalue_and_infinite_ridge():
    risk = rr.risk([2.0], [3.0], 4, [0.0, np.inf], 0.3)
    np.testing.assert_allclose(risk.bias, [0, 18.0])
    np.testing.assert_allclose(risk.variance, [0.3 * 0.25 / 0.75, 0.0])


def test_general_equals_simulation():
    # 4 standard errors plus 2/n: about 1e-4 false alarms per comparison. A ridge not scaled by n, or twice, fails.
    s = np.repeat([2.0, 0.2], 45)
    beta = np.full(90, 90**-0.5)
    for lam in (0.0, 0.05, 1.0):
        found = simulate(s, beta, 60, lam, 0.25, 200, seed=2)
        mean, error = found.mean(0), found.std(0) / 200**0.5
        risk = rr.risk(s, beta, 60, lam, 0.25).total
        predicted = np.array([risk, rr.training_error(s, beta, 60, lam, 0.25)])
        assert (abs(mean - predicted) < 4 * error + predicted * 2 / 60 + 1e-20).all()


def test_grid_broadcasts():
    n, ridge, noise = np.array([50, 100, 400])[:, None, None], np.array([0.0, 0.1])[:, None], np.array([0, 0.1, 1, 2])
    risk = rr.risk(POWER_LAW[:200], POWER_LAW[:200], n, ridge, noise)
    assert risk.total.shape == risk.residual.shape == (3, 2, 4)
    one = rr.risk(POWER_LAW[:200], POWER_LAW[:200], 100, 0.1, 1.0)
    np.testing.assert_allclose(risk.total[1, 1, 2], one.total, rtol=1e-13)
    assert isinstance(one.total, float)
    assert isinstance(one.residual, float)


# -- exact at finite n ------------------------------------------------------------------------------------------------


def test_finite_sample_check_values():
    p = np.array([10, 30, 39, 40, 41, 50, 80])
    risk = rr.finite_sample_risk(40, p, p / 100, 1 - p / 100, 0.04)
    expected = [1.264137931, 3.206666667, np.inf, np.inf, np.inf, 3.04, 0.886153846]
    np.testing.assert_allclose(risk.total + 0.04, expected, rtol=1e-8)


def test_finite_sample_equals_simulation():
    # Means over 4000 fits with four finite moments at least (|n - p| >= 10): 5 standard errors, 1e-6 false alarms.
    rng = np.random.default_rng(3)
    n, D = 20, 40
    for p in (8, 32):
        X = rng.standard_normal((4000, n, D))
        beta = np.full(D, D**-0.5)
        y = X @ beta + 0.3 * rng.standard_normal((4000, n))
        fit = (np.linalg.pinv(X[:, :, :p]) @ y[..., None])[..., 0]
        risk = ((fit - beta[:p]) ** 2).sum(1) + (D - p) / D
        predicted = rr.finite_sample_risk(n, p, p / D, 1 - p / D, 0.09).total
        assert abs(risk.mean() - predicted) < 5 * risk.std() / 4000**0.5


def test_finite_sample_tends_to_the_proportional_limit():
    for gamma in (0.5, 3.0):
        exact = rr.finite_sample_risk(10**6, int(gamma * 10**6), 1.0, 0.0, 0.25).total
        np.testing.assert_allclose(exact, rr.isotropic_risk(gamma, 0.0, 1.0, 0.25).total, rtol=1e-5)


def test_finite_sample_divergence_needs_power():
    risk = rr.finite_sample_risk(10, 10, 1.0, 0.0, 0.0)
    assert (risk.bias, risk.variance) == (0.0, 0.0)
    assert rr.finite_sample_risk(10, 10, 1.0, 0.5, 0.0).bias == np.inf


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: rr.risk([], [], 3), ValueError, "eigenvalues: got shape"),
        (lambda: rr.risk([1, -1], [1, 1], 3), ValueError, "eigenvalues: got -1"),
        (lambda: rr.risk([0, 0], [1, 1], 3), ValueError, "only zeros"),
        (lambda: rr.risk(np.eye(2), [1, 1], 3), ValueError, r"got shape \(2, 2\)"),
        (lambda: rr.risk([1, 2], [1, 1, 1], 3), ValueError, r"coefficients: got shape \(3,\)"),
        (lambda: rr.risk([1, 2], [1, 1], 0), ValueError, "n: got 0"),
        (lambda: rr.risk([1, 2], [[1], [1, 2]], 3), TypeError, "coefficients"),
        (lambda: rr.finite_sample_risk(10, 2.5, 1.0), ValueError, "width: got 2.5, expected an integer"),
    ],
)
def test_wrong_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
