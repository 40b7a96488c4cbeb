import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from pyphenom.theory import gradient_flow as gf
from pyphenom.theory import ridge_regression as rr

RATIOS = st.floats(0.1, 10)
TIMES = st.floats(1e-3, 1e4)
TWO_SCALES = np.repeat([1.0, 1e-3], 250), np.sqrt(np.repeat([1 / 250, 2.0], 250))


def by_quadrature(gamma, t, signal, noise):
    """The two integrals over the Marchenko-Pastur density by an adaptive rule."""
    low, high = (1 - np.sqrt(gamma)) ** 2, (1 + np.sqrt(gamma)) ** 2
    density = lambda s: np.sqrt(max((high - s) * (s - low), 0)) / (2 * np.pi * gamma * s)  # noqa: E731
    # s = x^2 takes the root at a lower edge near zero away
    integral = lambda f: integrate.quad(  # noqa: E731
        lambda x: 2 * x * density(x**2) * f(x**2), np.sqrt(low), np.sqrt(high), limit=500, epsabs=1e-12, epsrel=1e-10
    )[0]
    bias = integral(lambda s: np.exp(-2 * t * s)) + max(0.0, 1 - 1 / gamma)
    return signal * bias, noise * gamma * integral(lambda s: np.expm1(-t * s) ** 2 / s)


def simulate(s, beta, n, times, noise, repetitions, seed):
    """Excess risk of gradient flow at several times, one row per repetition; exact flow by an eigendecomposition."""
    rng = np.random.default_rng(seed)
    found = np.empty((repetitions, len(times)))
    for row in found:
        X = rng.standard_normal((n, s.size)) * np.sqrt(s)
        y = X @ beta + np.sqrt(noise) * rng.standard_normal(n)
        left, g, right = np.linalg.svd(X, full_matrices=False)
        rate = g**2 / n
        for j, t in enumerate(times):
            fit = right.T @ (-np.expm1(-t * rate) / g * (left.T @ y))
            row[j] = np.sum(s * (fit - beta) ** 2)
    return found


# -- isotropic --------------------------------------------------------------------------------------------------------


def test_isotropic_check_values():
    found = gf.isotropic_risk([0.5, 0.5, 2, 2], [0.5, 3, 3, 10], 1.0, 0.25)
    np.testing.assert_allclose(found.bias, [0.45251017, 0.07639042, 0.51146546, 0.50025701], rtol=1e-7)
    np.testing.assert_allclose(found.variance, [0.01639489, 0.11030052, 0.16634892, 0.23799377], rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.05, 0.7, 0.999, 1.0, 1.02, 8.0])
@pytest.mark.parametrize("t", [1e-4, 0.3, 5.0, 80.0, 3e3])
def test_isotropic_is_the_integral(gamma, t):
    found = gf.isotropic_risk(gamma, t, 1.5, 0.4)
    bias, variance = by_quadrature(gamma, t, 1.5, 0.4)
    assert found.bias == pytest.approx(bias, rel=1e-7, abs=1e-9)
    assert found.variance == pytest.approx(variance, rel=1e-7, abs=1e-12)


@given(RATIOS.filter(lambda g: abs(g - 1) > 0.02), st.floats(0, 2))
def test_isotropic_limits(gamma, noise):
    late, ridgeless = gf.isotropic_risk(gamma, [1e8, np.inf], 1.0, noise), rr.isotropic_risk(gamma, 0.0, 1.0, noise)
    np.testing.assert_allclose(late.total, ridgeless.total, rtol=1e-8)
    start = gf.isotropic_risk(gamma, [0.0, 1e-9], 1.0, noise)
    np.testing.assert_allclose(start.bias, 1.0, rtol=1e-8)
    np.testing.assert_allclose(start.variance, [0.0, 1e-18 * gamma * noise], rtol=1e-6)


def test_the_threshold_diverges_only_in_the_limit():
    found = gf.isotropic_risk(1.0, [1e2, 1e4, 1e6, np.inf], 1.0, 0.25).variance
    np.testing.assert_allclose(found[1:3] / found[:2], 10.0, rtol=0.1)  # like the square root of t
    assert found[3] == np.inf
    assert gf.isotropic_risk(1.0, np.inf, 1.0, 0.0).total == 0.0


@given(RATIOS, TIMES, st.floats(0, 3))
def test_flow_is_within_the_constant_of_ridge(gamma, t, noise):
    flow, ridge = gf.isotropic_risk(gamma, t, 1.0, noise), rr.isotropic_risk(gamma, 1 / t, 1.0, noise)
    assert flow.total <= 1.685909058 * ridge.total * (1 + 1e-9)


# -- general covariance -----------------------------------------------------------------------------------------------


@given(RATIOS.filter(lambda g: abs(g - 1) > 0.02), TIMES)
def test_general_is_isotropic_for_equal_eigenvalues(gamma, t):
    p, n = 200, 200 / gamma
    general = gf.risk(np.ones(p), np.full(p, p**-0.5), n, t, 0.3)
    isotropic = gf.isotropic_risk(gamma, t, 1.0, 0.3)
    assert general.bias == pytest.approx(isotropic.bias, abs=2e-8)
    assert general.variance == pytest.approx(isotropic.variance, abs=2e-8 * (1 + isotropic.variance))


def test_two_scales_check_values():
    found = gf.risk(*TWO_SCALES, 1000, [1, 3, 10, 100, 300, 1e3, 1e4], 1.0).total
    np.testing.assert_allclose(found, [0.836604, 0.869283, 0.978527, 0.911118, 0.788815, 0.643456, 0.932376], rtol=2e-6)


@pytest.mark.parametrize("n", [120, 400])
def test_general_is_measured(n):
    p, repetitions = 240, 60
    s = 1 / np.arange(1.0, p + 1)
    beta = np.sqrt(np.arange(1.0, p + 1) ** -1.0)
    times = [0.5, 5.0, 50.0, 500.0]
    found = simulate(s, beta, n, times, 0.2, repetitions, seed=n)
    theory = gf.risk(s, beta, n, times, 0.2)
    error = found.std(axis=0) / np.sqrt(repetitions)
    assert (np.abs(found.mean(axis=0) - theory.total) < 4 * error + 2 / n * np.asarray(theory.total)).all()
    assert np.max(theory.residual) < 1e-10


def test_general_limits():
    s, beta = 1 / np.arange(1.0, 101), np.ones(100) / 10
    ends = gf.risk(s, beta, 60, [0.0, 1e-7, 1e9, np.inf], 0.3)
    ridgeless = rr.risk(s, beta, 60, 0.0, 0.3)
    np.testing.assert_allclose(ends.bias[:2], np.sum(s * beta**2), rtol=1e-6)
    np.testing.assert_allclose(ends.variance[:2], 0.0, atol=1e-9)
    np.testing.assert_allclose(ends.total[2:], ridgeless.total, rtol=1e-6)


def test_zero_eigenvalues_change_nothing():
    s, beta = np.array([2.0, 1.0, 0.3]), np.array([1.0, -1.0, 0.5])
    padded = gf.risk(np.append(s, [0.0, 0.0]), np.append(beta, [3.0, 1.0]), 10, [1.0, 9.0], 0.1)
    np.testing.assert_allclose(padded.total, gf.risk(s, beta, 10, [1.0, 9.0], 0.1).total, rtol=1e-12)


def test_shapes():
    assert np.shape(gf.risk(np.ones(4), np.ones(4), 3, np.ones((2, 1)), [0.0, 1.0]).total) == (2, 2)
    assert isinstance(gf.risk(np.ones(4), np.ones(4), 3, 1.0).total, float)


# -- many samples, few features ---------------------------------------------------------------------------------------


def test_gradient_descent_check_values():
    scales, target = np.repeat([1.0, 0.15], 10), np.repeat([0.3, 1.0], 10)
    found = gf.gradient_descent_risk(scales, target, 2000, 0.05, [1, 10, 50, 1000, 20000], 4.0)
    np.testing.assert_allclose(found.total + 4.0, [5.036794, 4.545851, 4.223476, 4.052812, 4.04], rtol=2e-7)


def test_gradient_descent_is_measured():
    rng = np.random.default_rng(0)
    scales, target = np.array([1.0, 0.5, 0.1]), np.array([1.0, -2.0, 3.0])
    n, noise, repetitions, steps = 3000, 2.0, 200, [0, 3, 40, 800]
    found = np.empty((repetitions, len(steps)))
    for row in found:
        X = rng.standard_normal((n, 3)) * scales
        y = X @ target + np.sqrt(noise) * rng.standard_normal(n)
        gram, moment, b, at = X.T @ X / n, X.T @ y / n, np.zeros(3), 0
        for j, k in enumerate(steps):
            for _ in range(k - at):
                b = b - 0.3 * (gram @ b - moment)
            at = k
            row[j] = np.sum(scales**2 * (b - target) ** 2)
    theory = gf.gradient_descent_risk(scales, target, n, 0.3, steps, noise).total
    error = found.std(axis=0) / np.sqrt(repetitions)
    assert (np.abs(found.mean(axis=0) - theory) < 4 * error + 0.01 * theory).all()


@given(st.floats(1e-9, 1.9), st.integers(0, 10**6))
def test_gradient_descent_powers(rate, steps):
    found = gf.gradient_descent_risk([1.0], [1.0], 1, rate, steps, 1.0)
    left = np.float64(1.0 - rate) ** steps
    assert found.variance == pytest.approx((1 - left) ** 2, rel=1e-5, abs=1e-12)
    assert found.bias == pytest.approx(left**2, rel=1e-6, abs=1e-300)


def test_gradient_descent_diverges_above_two_over_curvature():
    assert gf.gradient_descent_risk([1.0], [1.0], 10, 2.5, 5000).total == np.inf


def test_two_scales_descend_twice_and_matched_steps_once():
    scales, target = np.repeat([1.0, 0.05], [10, 40]), np.repeat([0.3, 2.0], [10, 40])
    steps = np.unique(np.geomspace(1, 1e6, 200).astype(int))
    minima = []
    for step_size in (0.02, 0.02 / scales**2):
        total = gf.gradient_descent_risk(scales, target, 100, step_size, steps, 12.0).total
        slope = np.sign(np.diff(total[np.append(np.abs(np.diff(total)) > 1e-12, True)]))
        minima.append(int(np.sum((slope[:-1] < 0) & (slope[1:] > 0))))
    assert minima == [2, 1]


# -- early stopping ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.3, 1.0, 3.0])
def test_optimal_stopping_is_a_minimum(gamma):
    best = gf.optimal_stopping(lambda t: gf.isotropic_risk(gamma, t, 1.0, 0.5))
    times = best.time * np.array([0.5, 0.999, 1.001, 2.0])
    assert (gf.isotropic_risk(gamma, times, 1.0, 0.5).total > best.risk.total).all()
    ridge = rr.optimal_isotropic_risk(gamma, 1.0, 0.5).total
    assert ridge < best.risk.total < 1.22 * ridge
    assert "time=" in repr(best)


def test_optimal_stopping_finds_the_second_descent():
    best = gf.optimal_stopping(lambda t: gf.risk(*TWO_SCALES, 1000, t, 1.0))
    assert 1e3 < best.time < 2e3
    assert best.risk.total == pytest.approx(0.636925, abs=1e-6)


def test_without_noise_stopping_never_helps():
    assert gf.optimal_stopping(lambda t: gf.isotropic_risk(0.5, t)).time == np.inf


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: gf.isotropic_risk(1.0, -1.0), "time"),
        (lambda: gf.risk([1.0], [1.0, 2.0], 3, 1.0), "coefficients"),
        (lambda: gf.risk([1.0], [1.0], [3, 4], 1.0), "n"),
        (lambda: gf.gradient_descent_risk([1.0], [1.0], 3, [0.1, 0.2], 1), "step_size"),
        (lambda: gf.gradient_descent_risk([1.0], [1.0], 3, 0.1, 1.5), "steps"),
        (lambda: gf.optimal_stopping(lambda t: gf.isotropic_risk(1.0, t), 1.0, 0.1), "shortest"),
    ],
)
def test_bad_parameters_are_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()
