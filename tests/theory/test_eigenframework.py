import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy.optimize import brentq
from sklearn.datasets import load_digits

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


def finite_pool(L, v, n, k, delta, noise, M):
    """Another form of the finite population: pool error, and its training part from dc/d(delta), by traces."""
    g = ef.random_feature_regression(L, v, n, k, delta, population=M).effective_ridge
    z, q = np.sum(L / (L + g)), np.sum(L**2 / (L + g) ** 2)
    c = M * g * (1 - z / k)
    labels = v + noise / M
    if np.isinf(k):
        qA, A = q, np.sum(g**2 / (L + g) ** 2 * labels)
    else:
        qA = (q * (k - 2 * z) + z**2) / (k - q)
        A = np.sum((g / (L + g) - c / M * L / (L + g) ** 2 * k / (k - q)) * labels)
    np.testing.assert_allclose((c - delta) * (M - z) / c, M - n, rtol=1e-9)
    pool = A * (1 + qA / ((M - z) ** 2 / (M - n) - (M - 2 * z + qA)))
    tau1, tau2 = (M - z) / (M * c), (M - 2 * z + qA) / (M * c**2)
    slope = 1 / (1 - (c - delta) * tau2 / tau1)
    train = (delta / c) ** 2 * slope * M / n * A
    return (M * pool - n * train) / (M - n) - noise, train


def simulate_pool(L, v, n, k, delta, noise, M, repetitions, seed):
    """Ridge on k Gaussian features of a kernel of spectrum L in a random basis; n of the M points are labelled."""
    rng = np.random.default_rng(seed)
    found = np.empty((repetitions, 2))
    for row in found:
        basis = np.linalg.qr(rng.standard_normal((M, M)))[0]
        clean = basis @ (np.sqrt(v * M) * rng.choice([-1.0, 1.0], M))
        Z = basis * np.sqrt(L * M)
        if np.isfinite(k):
            Z = Z @ rng.standard_normal((M, k)) / np.sqrt(k)
        y = clean[:n] + np.sqrt(noise) * rng.standard_normal(n)
        width = Z.shape[1]
        fit = (
            Z
            @ np.linalg.lstsq(
                np.vstack([Z[:n], np.sqrt(delta) * np.eye(width)]), np.append(y, np.zeros(width)), rcond=1e-13
            )[0]
        )
        row[:] = np.mean((fit[n:] - clean[n:]) ** 2), np.mean((fit[:n] - y) ** 2)
    return found


# -- infinite population ----------------------------------------------------------------------------------------------


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


# -- finite population ------------------------------------------------------------------------------------------------

M = 200
POOL = np.arange(1.0, M + 1) ** -1.5
TARGET = 3 * np.arange(1.0, M + 1) ** -1.8


@pytest.mark.parametrize("k", [30, 120, np.inf])
@pytest.mark.parametrize(("delta", "noise"), [(0.0, 0.0), (0.0, 0.3), (0.3, 0.0), (0.3, 0.3)])
def test_finite_population_equals_simulation(k, delta, noise):
    # Two comparisons at 4 standard errors and a bias of order 1/n: about 1e-4 false alarms in each of the 12 cases.
    found = simulate_pool(POOL, TARGET, 60, k, delta, noise, M, 60, seed=9)
    mean, error = found.mean(0), found.std(0) / 60**0.5
    risk = ef.random_feature_regression(POOL, TARGET, 60, k, delta, noise, population=M)
    predicted = np.array([risk.test_error, risk.train_error])
    assert (abs(mean - predicted) < 4 * error + predicted / 60 + 1e-20).all()
    # The theory of fresh data fails on the same numbers without noise, where the pool matters most.
    fresh = ef.random_feature_regression(POOL, TARGET, 60, k, delta, noise)
    if noise == 0 and k > 60:
        assert abs(mean[0] - fresh.test_error) > 4 * error[0] + fresh.test_error / 60


@given(st.integers(2, 190), st.integers(2, 400), st.floats(1e-3, 10), st.floats(0, 1))
def test_finite_population_equals_the_trace_form(n, k, delta, noise):
    for width in (k, np.inf):
        found = ef.random_feature_regression(POOL, TARGET, n, width, delta, noise, population=M)
        expected = finite_pool(POOL, TARGET, n, width, delta, noise, M)
        np.testing.assert_allclose((found.test_error, found.train_error), expected, rtol=1e-6, atol=1e-9)


def test_large_population_is_fresh_data():
    for k in (50, 200, np.inf):
        for delta in (0.0, 0.1):
            fresh = ef.random_feature_regression(POOL, TARGET, 100, k, delta, 0.3, 0.2, 0.1)
            large = ef.random_feature_regression(POOL, TARGET, 100, k, delta, 0.3, 0.2, 0.1, population=1e9)
            np.testing.assert_allclose(large.test_error, fresh.test_error, rtol=1e-5)
            np.testing.assert_allclose(large.train_error, fresh.train_error, rtol=1e-5, atol=1e-12)


def test_ridgeless_finite_population():
    wide = ef.random_feature_regression(POOL, TARGET, 60, 120, population=M)
    np.testing.assert_allclose(wide.degrees_of_freedom, 60, rtol=1e-12)
    assert wide.train_error == 0.0
    fresh = ef.random_feature_regression(POOL, TARGET, 60, 120)
    np.testing.assert_allclose(wide.bias, fresh.bias / (1 - 60 / M), rtol=1e-10)
    narrow = ef.random_feature_regression(POOL, TARGET, 60, 30, population=M)
    np.testing.assert_allclose(narrow.degrees_of_freedom, 30, rtol=1e-12)


def test_tail_of_a_finite_population_is_equal_modes():
    listed = np.concatenate([POOL[:150], np.full(50, 0.004)])
    power = np.concatenate([TARGET[:150], np.full(50, 0.002)])
    for delta in (0.0, 0.2):
        for k in (40, 100, np.inf):
            exact = ef.random_feature_regression(listed, power, 60, k, delta, 0.3, population=M)
            tail = ef.random_feature_regression(POOL[:150], TARGET[:150], 60, k, delta, 0.3, 0.2, 0.1, population=M)
            np.testing.assert_allclose(tail.test_error, exact.test_error, rtol=1e-10)
            np.testing.assert_allclose(tail.train_error, exact.train_error, rtol=1e-10)


def test_identity_kernel_learns_nothing_about_other_points():
    found = ef.kernel_regression(np.full(50, 1 / 50), np.full(50, 1 / 50), 20, [0.0, 0.7], 0.4, population=50)
    np.testing.assert_allclose(found.bias, 1.0, rtol=1e-12)
    np.testing.assert_allclose(found.variance, 0.0, atol=1e-15)
    np.testing.assert_allclose(found.train_error, [0.0, 1.4 * (0.7 / 1.7) ** 2], rtol=1e-12)


def test_digits_with_relu_features():
    # Real images, whose eigenvectors are not free of the split: 8% beside 4 standard errors. Without a penalty the rare
    # pixels of this set make the theory 10 to 30% too low, so that is not tested.
    X, y = load_digits(return_X_y=True)
    X, y = X[:500] / 4.0 - 1.2, (y[:500] % 2) * 2.0 - 1.0
    pool = ef.spectrum(ef.arc_cosine_kernel(X), y)
    rng = np.random.default_rng(10)
    for k, delta in [(100, 0.5), (800, 0.5)]:
        found = []
        for _ in range(12):
            order, W = rng.permutation(500), rng.standard_normal((64, k))
            Z = np.maximum(X[order] @ W / 8, 0) / np.sqrt(k)
            fit = (
                Z
                @ np.linalg.lstsq(
                    np.vstack([Z[:250], np.sqrt(delta) * np.eye(k)]),
                    np.append(y[order][:250], np.zeros(k)),
                    rcond=1e-12,
                )[0]
            )
            found.append(np.mean((fit[250:] - y[order][250:]) ** 2))
        risk = ef.random_feature_regression(
            pool.eigenvalues, pool.target_power, 250, k, delta, population=500
        ).test_error
        assert abs(np.mean(found) - risk) < 4 * np.std(found) / 12**0.5 + 0.08 * risk


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
