"""The eigenframework on a finite population: samples drawn from a pool, errors on the rest of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from pyphenom.theory import eigenframework as ef

M = 200
POOL = np.arange(1.0, M + 1) ** -1.5
TARGET = 3 * np.arange(1.0, M + 1) ** -1.8


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
