import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy.optimize import brentq

from pyphenom.theory import eigenframework as ef
from pyphenom.theory import ridge_regression as rr

POWER_LAW = np.arange(1.0, 2001.0) ** -2


def as_printed(L, v, n, k, delta, noise, T=0.0, vT=0.0):
    """The random-feature framework as printed, solved on the interval of g above z(g) = min(n, k)."""
    z = lambda g: np.sum(L / (L + g)) + T / g  # noqa: E731
    m = min(n, k)
    start = brentq(lambda x: z(np.exp(x)) - m, -60, 60, xtol=1e-14) if z(1e-26) > m else -60
    balance = lambda x: (n - z(np.exp(x))) * (k - z(np.exp(x))) * np.exp(x) - delta * k  # noqa: E731
    g = np.exp(brentq(balance, start, 60, xtol=1e-14) if delta > 0 else start)
    kappa = g * (k - z(g)) / k
    q = np.sum(L**2 / (L + g) ** 2)
    D = (q * (k - 2 * z(g)) + z(g) ** 2) / (n * (k - q))
    A = np.sum((g / (L + g) - kappa * L / (L + g) ** 2 * k / (k - q)) * v) + vT
    test = (A + noise) / (1 - D)
    return g, kappa, test - noise, (1 - z(g) / n) ** 2 * test


def test_random_feature_check_values():
    found = ef.random_feature_regression(POWER_LAW, POWER_LAW, 100, 200, 1e-3, 0.01)
    np.testing.assert_allclose(found.effective_ridge, 2.7088917e-4, rtol=1e-7)
    np.testing.assert_allclose(found.sample_ridge, 1.4479858e-4, rtol=1e-7)
    np.testing.assert_allclose(found.degrees_of_freedom, 93.093855, rtol=1e-7)
    np.testing.assert_allclose(found.test_error, 0.057342108, rtol=1e-7)
    np.testing.assert_allclose(found.train_error, 0.00032118710, rtol=1e-7)
    assert found.residual < 1e-14


def test_power_law_check_values():
    L = np.arange(1.0, 4001.0) ** -2
    found = ef.random_feature_regression(L, L, [50, 200, 100], [200, 50, 120])
    np.testing.assert_allclose(found.test_error, [0.06383922, 0.06383922, 0.14357470], rtol=1e-6)


def test_sphere_kernel_check_values():
    d, degrees = 10, np.arange(13)
    angle = (np.arange(4000) + 0.5) * np.pi / 4000
    weight = np.sin(angle) ** (d - 2)
    u = np.cos(angle)
    kernel = (u * (np.pi - np.arccos(u)) + np.sqrt(1 - u * u)) / np.pi
    gegenbauer = np.array(
        [special.eval_gegenbauer(k, (d - 2) / 2, u) / special.eval_gegenbauer(k, 4, 1) for k in degrees]
    )
    mu = (gegenbauer * kernel * weight).sum(1) / weight.sum()
    mu[3::2] = 0.0
    count = np.array([1] + [(2 * k + d - 2) / k * special.comb(k + d - 3, d - 2) for k in degrees[1:]])
    tail = 1.0 - np.sum(mu * count)
    # One eigenvalue per degree, repeated; only degrees of non-zero eigenvalue have to be listed.
    used = mu > 0
    L, power = np.repeat(mu[used], count[used].astype(int)), np.zeros(13)
    power[1:3] = 1 / count[1], 0.5 / count[2]
    v = np.repeat(power[used], count[used].astype(int))
    found = ef.kernel_regression(L, v, [100, 300, 100], [0, 0, 1], 0.1, tail_eigenvalue=tail)
    np.testing.assert_allclose(found.test_error + 0.1, [0.232369, 0.146965, 0.522908], rtol=1e-4)
    np.testing.assert_allclose(found.train_error[2], 0.334436, rtol=1e-4)


@given(
    st.integers(5, 40),
    st.integers(2, 60),
    st.integers(2, 60),
    st.floats(1e-3, 10),
    st.floats(0.01, 2),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=50)
def test_equals_the_formula_as_printed(p, n, k, delta, tail, seed):
    rng = np.random.default_rng(seed)
    L, v = rng.exponential(size=p), rng.exponential(size=p)
    found = ef.random_feature_regression(L, v, n, k, delta, 0.3, tail, 0.7)
    expected = as_printed(L, v, n, k, delta, 0.3, tail, 0.7)
    values = found.effective_ridge, found.sample_ridge, found.test_error, found.train_error
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_ridgeless_equals_the_formula_as_printed():
    for n, k in [(50, 200), (200, 50), (90, 100)]:
        found = ef.random_feature_regression(POWER_LAW, POWER_LAW, n, k, 0.0, 0.01)
        g, _, test, train = as_printed(POWER_LAW, POWER_LAW, n, k, 0.0, 0.01)
        np.testing.assert_allclose((found.effective_ridge, found.test_error), (g, test), rtol=1e-8)
        np.testing.assert_allclose(found.train_error, train, rtol=1e-8, atol=1e-15)


@given(st.integers(1, 100), st.floats(0, 10), st.floats(0, 1))
def test_many_features_are_the_kernel(n, penalty, noise):
    kernel = ef.kernel_regression(POWER_LAW, POWER_LAW, n, penalty, noise)
    wide = ef.random_feature_regression(POWER_LAW, POWER_LAW, n, 1e10, penalty, noise)
    for name in ("bias", "variance", "train_error", "effective_ridge", "sample_ridge"):
        np.testing.assert_allclose(getattr(wide, name), getattr(kernel, name), rtol=1e-6, atol=1e-15)


def test_kernel_equals_the_formula_as_printed():
    for n, delta in [(50, 1e-3), (100, 1e-3), (100, 0.5)]:
        balance = lambda x: np.sum(POWER_LAW / (POWER_LAW + np.exp(x))) + delta / np.exp(x) - n  # noqa: B023, E731
        kappa = np.exp(brentq(balance, -30, 10, xtol=1e-14))
        learned = POWER_LAW / (POWER_LAW + kappa)
        test = n / (n - np.sum(learned**2)) * (np.sum((1 - learned) ** 2 * POWER_LAW) + 0.01)
        found = ef.kernel_regression(POWER_LAW, POWER_LAW, n, delta, 0.01)
        np.testing.assert_allclose(found.test_error + 0.01, test, rtol=1e-9)
        np.testing.assert_allclose(found.train_error, (delta / (n * kappa)) ** 2 * test, rtol=1e-9)
        np.testing.assert_allclose(found.degrees_of_freedom + delta / found.effective_ridge, n, rtol=1e-12)


@given(st.integers(1, 300), st.integers(1, 300))
def test_ridgeless_noiseless_isotropic_teacher_is_symmetric(n, k):
    if n != k:
        one, two = (ef.random_feature_regression(POWER_LAW, POWER_LAW, *pair) for pair in ((n, k), (k, n)))
        np.testing.assert_allclose(one.bias, two.bias, rtol=1e-9)
        low, high = min(n, k), max(n, k)
        np.testing.assert_allclose(one.bias, one.effective_ridge * low / (1 - low / high), rtol=1e-9)


@given(st.floats(1, 90), st.floats(1, 90), st.floats(0, 1), st.floats(0.01, 1), st.floats(1.1, 3))
def test_monotone_in_noise_power_and_penalty(n, k, penalty, noise, factor):
    base = ef.random_feature_regression(POWER_LAW[:100], POWER_LAW[:100], n, k, penalty + 1e-6, noise)
    noisier = ef.random_feature_regression(POWER_LAW[:100], POWER_LAW[:100], n, k, penalty + 1e-6, noise * factor)
    np.testing.assert_allclose(noisier.variance, base.variance * factor, rtol=1e-9)
    harder = ef.random_feature_regression(POWER_LAW[:100], POWER_LAW[:100], n, k, (penalty + 1e-6) * factor, noise)
    assert harder.effective_ridge > base.effective_ridge
    assert harder.train_error >= base.train_error * (1 - 1e-12)


def test_variance_near_the_threshold_keeps_its_digits():
    # k = n (1 + eps): noise/eps exactly, beside a finite part.
    eps = np.array([1e-4, 1e-7, 1e-10])
    for k, n in [(100 * (1 + eps), 100.0), (100.0, 100 * (1 + eps))]:
        variance = ef.random_feature_regression(POWER_LAW, POWER_LAW, n, k, 0.0, 1.0).variance
        assert (abs(eps * variance - 1) < [1e-2, 1e-5, 2e-6]).all()


def test_threshold():
    found = ef.random_feature_regression(POWER_LAW, POWER_LAW, 100, 100, 0.0, 0.1)
    assert (found.bias, found.variance, found.train_error) == (np.inf, np.inf, 0.0)


def test_span_smaller_than_the_data():
    L = np.array([4.0, 1.0, 0.5])
    found = ef.random_feature_regression(L, L, [3, 4, 10, 10], [np.inf, np.inf, 3, 20], 0.0, 0.3)
    np.testing.assert_array_equal(found.bias, 0.0)
    np.testing.assert_allclose(found.variance, [np.inf, 0.3 * 3, 0.3 * 3 / 7, 0.3 * 3 / 7])
    np.testing.assert_allclose(found.train_error, [0, 0.3 / 4, 0.3 * 0.7, 0.3 * 0.7])
    # Target power outside the span acts as noise, and is not learned.
    outside = ef.kernel_regression(L, L, 10, 0.0, 0.0, tail_power=0.3)
    np.testing.assert_allclose(outside.bias, 0.3 + 0.3 * 3 / 7)
    assert ef.kernel_regression(L, L, 3, tail_power=0.3).bias == np.inf


def test_continuous_towards_ridgeless_everywhere():
    L = np.repeat([4.0, 1.0, 0.1], [1, 3, 6])
    for n, k in [(4, 7), (7, 4), (20, 10), (12, 20), (20, 30), (30, 20)]:
        limit = ef.random_feature_regression(L, L, n, k, 0.0, 0.3)
        near = ef.random_feature_regression(L, L, n, k, 1e-16, 0.3)
        np.testing.assert_allclose(near.test_error, limit.test_error, rtol=1e-6)
        np.testing.assert_allclose(near.train_error, limit.train_error, rtol=1e-6, atol=1e-12)


def test_small_variance_at_a_large_penalty_keeps_its_digits():
    # To leading order in 1/penalty the kernel matrix vanishes: variance = n sum L^2 / penalty^2.
    found = ef.kernel_regression(POWER_LAW, POWER_LAW, 5, 1e12, 1.0)
    np.testing.assert_allclose(found.variance, 5 * np.sum(POWER_LAW**2) / 1e24, rtol=1e-10)


def test_infinite_penalty_predicts_zero():
    found = ef.random_feature_regression([2.0, 1.0], [0.5, 0.25], 4, [3, np.inf], np.inf, 0.1)
    np.testing.assert_allclose(found.bias, 0.75)
    np.testing.assert_array_equal(found.variance, 0.0)
    np.testing.assert_allclose(found.train_error, 0.85)


def test_tail_is_the_limit_of_many_small_modes():
    L = np.array([1.0, 0.3, 0.1])
    many = np.concatenate([L, np.full(10**6, 0.5 / 10**6)])
    power = np.concatenate([L, np.full(10**6, 0.2 / 10**6)])
    for k in (9.0, np.inf):
        exact = ef.random_feature_regression(many, power, 6, k, 0.01, 0.1)
        tail = ef.random_feature_regression(L, L, 6, k, 0.01, 0.1, tail_eigenvalue=0.5, tail_power=0.2)
        np.testing.assert_allclose(tail.test_error, exact.test_error, rtol=1e-5)
        np.testing.assert_allclose(tail.train_error, exact.train_error, rtol=1e-5)
    # In the equation of the kernel an infinite tail is an extra penalty.
    shifted = ef.kernel_regression(L, L, 6, 0.01 + 0.5, 0.1, tail_power=0.2)
    tail = ef.kernel_regression(L, L, 6, 0.01, 0.1, tail_eigenvalue=0.5, tail_power=0.2)
    np.testing.assert_allclose(tail.test_error, shifted.test_error, rtol=1e-12)


def test_kernel_is_general_ridge_regression():
    s, beta = np.repeat([2.0, 0.2], 45), np.linspace(-1, 1, 90)
    kernel = ef.kernel_regression(s, s * beta**2, 60, 60 * 0.05, 0.25)
    np.testing.assert_allclose(kernel.test_error, rr.risk(s, beta, 60, 0.05, 0.25).total, rtol=1e-13)


def test_twelve_decades():
    L = np.logspace(0, -12, 300)
    found = ef.random_feature_regression(L, L, [50, 100, 200], [100, 100, 150], [0, 1e-10, 1e-3], 0.1)
    assert (found.residual < 1e-14).all()
    for i, case in enumerate([(50, 100, 0.0), (100, 100, 1e-10), (200, 150, 1e-3)]):
        np.testing.assert_allclose(found.effective_ridge[i], as_printed(L, L, *case, 0.1)[0], rtol=1e-7)


# -- shapes, spectra, errors ------------------------------------------------------------------------------------------


def test_grid_and_several_targets():
    n, k = np.array([50, 100, 150])[:, None], np.array([20, 60, 300, np.inf])
    grid = ef.random_feature_regression(POWER_LAW, POWER_LAW, n, k, 0.1, 0.2)
    assert grid.test_error.shape == grid.effective_ridge.shape == (3, 4)
    one = ef.random_feature_regression(POWER_LAW, POWER_LAW, 100, 300, 0.1, 0.2)
    np.testing.assert_allclose(grid.test_error[1, 2], one.test_error, rtol=1e-12)
    assert isinstance(one.test_error, float)
    targets = np.stack([POWER_LAW, 2 * POWER_LAW])
    several = ef.random_feature_regression(POWER_LAW, targets, n, 300, 0.1, 0.2)
    assert several.train_error.shape == several.residual.shape == (3, 2)
    np.testing.assert_allclose(several.bias[:, 1], 2 * grid.bias[:, 2], rtol=1e-12)
    assert list(one.to_dict())[:3] == ["test_error", "bias", "variance"]
    assert repr(one).startswith("EigenRisk(test_error=")


def test_spectrum_holds_trace_and_power():
    rng = np.random.default_rng(11)
    F, y = rng.standard_normal((30, 4)), rng.standard_normal((30, 3))
    one, several = ef.spectrum(F @ F.T, y[:, 1]), ef.spectrum(F @ F.T, y)
    np.testing.assert_allclose(one.eigenvalues.sum(), np.mean(F**2) * 4)
    assert (one.eigenvalues > 0).sum() == 4
    assert (np.diff(one.eigenvalues) <= 0).all()
    np.testing.assert_allclose(several.target_power.sum(1), (y**2).mean(0))
    np.testing.assert_allclose(several.target_power[1], one.target_power)
    # A target in the span of the features has no power elsewhere.
    inside = ef.spectrum(F @ F.T, F[:, 0])
    np.testing.assert_allclose(inside.target_power[4:], 0, atol=1e-25)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: ef.kernel_regression([1, 2], [1], 3),
            r"target_power: got shape \(1,\), expected a last axis of length 2",
        ),
        (lambda: ef.kernel_regression([1, 2], 1.0, 3), "target_power: got shape"),
        (lambda: ef.kernel_regression([1, 2], [1, -1], 3), "target_power: got -1"),
        (lambda: ef.kernel_regression([1, np.inf], [1, 1], 3), "eigenvalues: got inf"),
        (lambda: ef.kernel_regression([0, 0], [1, 1], 3), "eigenvalues: got only zeros"),
        (lambda: ef.kernel_regression([1, 2], [1, 1], 3, -1), "penalty: got -1"),
        (lambda: ef.kernel_regression([1, 2], [1, 1], 3, population=3), "population: got 3 points, expected more than"),
        (
            lambda: ef.kernel_regression([1, 2], [1, 1], 0.5, population=1),
            "population: got 1 points, expected at least",
        ),
        (
            lambda: ef.kernel_regression([1], [1], 0.5, tail_eigenvalue=1, population=1),
            "tail_eigenvalue: got a positive",
        ),
        (lambda: ef.random_feature_regression([1, 2], [1, 1], 3, 0), "width: got 0"),
        (lambda: ef.random_feature_regression([1, 2], [1, 1], [3, 4], [1, 2, 3]), r"n \(2,\), width \(3,\)"),
        (lambda: ef.spectrum(np.ones((2, 3)), [1, 1]), r"kernel_matrix: got shape \(2, 3\)"),
        (lambda: ef.spectrum([[1, 2], [0, 1]], [1, 1]), "kernel_matrix: got asymmetry 2"),
        (lambda: ef.spectrum([[0, 1], [1, 0]], [1, 1]), "kernel_matrix: got eigenvalue -1"),
        (lambda: ef.spectrum(np.eye(2), [1, 1, 1]), r"targets: got shape \(3,\)"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
