import math

import mpmath
import numpy as np
import pytest
from scipy import special, stats

import pyphenom as ph

b = ph.bounds


def test_slack_of_three_passes_against_150000_shared_draws():
    assert b.independent_draws(0.02, 3 * 60_000, 0.01) - 0.02 == pytest.approx(0.00102, abs=5e-6)
    assert b.kl_inverse(0.02, math.log(2 / 0.01) / 150_000) - 0.02 == pytest.approx(0.00120, abs=5e-6)


def test_unequal_coins_are_covered_exactly():
    # The law of the sum of unequal coins, by convolution: the bound fails with probability at most delta.
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = rng.beta(0.3, rng.choice([0.3, 3.0]), size=rng.integers(1, 40))
        law = np.ones(1)
        for x in p:
            law = np.convolve(law, [1 - x, x])
        for delta in (0.3, 0.05):
            bound = b.independent_draws(np.arange(len(law)) / len(p), len(p), delta)
            assert law[bound < p.mean()].sum() <= delta


def test_empirical_bernstein_is_the_formula():
    x = np.random.default_rng(1).uniform(0.1, 0.3, 500)
    expected = x.mean() + math.sqrt(2 * x.var(ddof=1) * math.log(2 / 0.05) / 500) + 7 * math.log(2 / 0.05) / (3 * 499)
    assert b.empirical_bernstein(x, 0.05) == pytest.approx(expected, rel=1e-14)


def test_slack_with_small_spread():
    rng = np.random.default_rng(2)
    for m, bernstein, chernoff in [(10_000, 0.0013, 0.0049), (150_000, 0.0001, 0.0012)]:
        x = np.clip(0.02 + 0.003 * rng.standard_normal(m), 0, 1)
        assert b.empirical_bernstein(x, 0.01) - x.mean() == pytest.approx(bernstein, abs=6e-5)
        assert b.kl_inverse(x.mean(), math.log(2 / 0.01) / m) - x.mean() == pytest.approx(chernoff, abs=6e-5)
        assert b.shared_draws(x, 0.01) - x.mean() < 0.6 * bernstein


@pytest.mark.parametrize("name", ["uniform", "rare"])
def test_bounds_from_shared_draws_fail_rarely(name):
    # 2000 repetitions at delta = 0.1: above 0.14, six standard errors, with probability below 1e-8.
    rng = np.random.default_rng(3)
    draws = rng.random((2000, 60))
    true = 0.5
    if name == "rare":
        draws, true = (draws < 0.1).astype(float), 0.1
    for bound in (b.shared_draws, b.empirical_bernstein):
        values = np.array([bound(x, 0.1) for x in draws])
        assert (values < true).mean() <= 0.14
        assert (values < 1).mean() > 0.5


def test_betting_by_the_definition():
    x, delta = np.random.default_rng(4).beta(2, 8, 300), 0.05
    bound = b.shared_draws(x, delta)

    def capital(mu):
        best, k, squares = 0.0, 1.0, 0.25
        for t in range(1, len(x) + 1):
            mean = (0.5 + sum(x[: t - 1])) / t
            k *= 1 - min(1.0, math.sqrt(2 * math.log(1 / delta) / (squares / t * len(x)))) * (x[t - 1] - mu)
            squares += (x[t - 1] - mean) ** 2
            best = max(best, k)
        return best

    assert capital(bound) >= 1 / delta > capital(bound - 1e-9)


def test_exact_binary_risk():
    assert b.exact_binary_risk([0.0, 2.0], [1.0, 4.0]).tolist() == pytest.approx([0.5, stats.norm.cdf(-0.5)])


def test_exact_risk_known_value():
    value = b.exact_risk([[0.3, -0.2, 0.8, 0.0]], [[0.5, 0.9, 0.7, 0.4]], [0])[0]
    assert 0 <= value - (1 - 0.2008092138480350) < 1e-11


def test_exact_risk_of_two_classes_is_the_binary_formula():
    rng = np.random.default_rng(5)
    m, s, y = rng.normal(size=(200, 2)) * 3, 10 ** rng.uniform(-2, 1, (200, 2)), rng.integers(0, 2, 200)
    gap = m[np.arange(200), y] - m[np.arange(200), 1 - y]
    exact = special.ndtr(-gap / np.sqrt((s**2).sum(axis=1)))
    excess = b.exact_risk(m, s, y) - exact
    assert (excess >= -1e-14).all()
    assert (excess < 1e-11).all()


def test_exact_risk_by_an_independent_quadrature():
    rng = np.random.default_rng(6)
    m, s, y = rng.normal(size=(3, 4)), 10 ** rng.uniform(-1, 0.7, (3, 4)), rng.integers(0, 4, 3)
    got = b.exact_risk(m, s, y)
    with mpmath.workdps(20):
        for i in range(3):

            def density(z, i=i):
                product = mpmath.npdf(z)
                for k in range(4):
                    if k != y[i]:
                        product *= mpmath.ncdf((m[i, y[i]] - m[i, k] + s[i, y[i]] * z) / s[i, k])
                return product

            exact = 1 - mpmath.quad(density, np.linspace(-10, 10, 33).tolist())
            assert 0 <= got[i] - exact < 1e-11


def test_exact_risk_agrees_with_draws():
    # Standard error 5e-4 at most; six of them.
    rng = np.random.default_rng(7)
    m, s = rng.normal(size=(1, 10)), rng.uniform(0.2, 2, (1, 10))
    drawn = (m + s * rng.normal(size=(1_000_000, 10))).argmax(axis=1)
    for label in range(10):
        assert b.exact_risk(m, s, [label])[0] == pytest.approx((drawn != label).mean(), abs=3e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: b.independent_draws(0.1, 0, 0.05), "`draws` is 0"),
        (lambda: b.independent_draws(1.1, 10, 0.05), "`mean_loss` is 1.1"),
        (lambda: b.shared_draws([0.1, np.nan], 0.05), "`rates` holds NaN"),
        (lambda: b.shared_draws([[0.1]], 0.05), "`rates` has shape"),
        (lambda: b.shared_draws([0.1], 1.0), "`delta` is 1"),
        (lambda: b.empirical_bernstein([0.1], 0.05), "`rates` has one entry"),
        (lambda: b.exact_risk([[0.0, 1.0]], [[1.0, 0.0]], [0]), "`scales` is 0"),
        (lambda: b.exact_risk([[0.0, 1.0]], [[1.0, 1.0]], [2]), "`labels` has shape"),
        (lambda: b.exact_risk([[0.0, np.nan]], [[1.0, 1.0]], [0]), "`means` holds NaN"),
        (lambda: b.exact_risk([[0.0, np.inf]], [[1.0, 1.0]], [0]), "`means` is inf"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
