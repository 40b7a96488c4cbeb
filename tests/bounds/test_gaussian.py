import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import integrate, stats

import pyphenom as ph

b = ph.bounds
numbers, scales = st.floats(-10, 10), st.floats(-6, 3).map(lambda x: 10**x)


@example(0.0, 1.0, 0.0, 10**0.001953125)  # the quotient of the scales is rounded, their difference is not
@given(numbers, scales, numbers, scales)
def test_against_fifty_digits(mean, scale, prior_mean, prior_scale):
    with mpmath.workdps(50):
        s, s0 = mpmath.mpf(scale), mpmath.mpf(prior_scale)
        gap = (mpmath.mpf(mean) - mpmath.mpf(prior_mean)) / s0
        exact = (s**2 / s0**2 - 1 - 2 * mpmath.log(s / s0) + gap**2) / 2
        assert abs(b.gaussian_kl(mean, scale, prior_mean, prior_scale) - exact) <= 1e-14 * exact + 1e-300


def test_it_is_the_relative_entropy_of_standard_deviations():
    p, q = stats.norm(0.3, 2.0), stats.norm(1.0, 0.7)
    exact = integrate.quad(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), -8, 10, epsabs=1e-12)[0]
    assert b.gaussian_kl(1.0, 0.7, 0.3, 2.0) == pytest.approx(exact, rel=1e-9)
    # with variances for standard deviations it would be another number
    assert b.gaussian_kl(1.0, 0.7**2, 0.3, 2.0**2) != pytest.approx(exact, rel=0.1)


def test_no_digits_are_lost_next_to_the_prior():
    # s = 1 + e: the divergence is e^2 (1 - e/3 ...) a parameter
    e = 2.0**-40
    assert b.gaussian_kl(np.zeros(10**5), 1 + e, 0.0, 1.0) == pytest.approx(1e5 * e**2, rel=1e-11)
    assert b.gaussian_kl(np.zeros(3), 1.0, 0.0, 1.0) == 0.0


def test_layers_and_float32():
    rng = np.random.default_rng(0)
    means, scale = [rng.normal(size=(4, 3)), rng.normal(size=4)], [0.1, np.full(4, 0.2)]
    layers = b.gaussian_kl_layers(means, scale, [0.0, 0.0], [1.0, 1.0])
    flat = b.gaussian_kl(np.r_[means[0].ravel(), means[1]], np.r_[np.full(12, 0.1), np.full(4, 0.2)], 0.0, 1.0)
    assert layers.sum() == pytest.approx(flat, rel=1e-14)
    many = np.full(2_000_000, 1e-3, np.float32)
    assert b.gaussian_kl(many, 1.0, 0.0, 1.0) == pytest.approx(1e6 * float(np.float32(1e-3)) ** 2, rel=1e-12)


def test_best_scale_is_stationary():
    rng = np.random.default_rng(1)
    m, s, m0 = rng.normal(size=50), rng.uniform(0.1, 1, 50), rng.normal(size=50)
    best = b.optimal_prior_scale(m, s, m0)
    least = b.gaussian_kl(m, s, m0, best)
    assert least < min(b.gaussian_kl(m, s, m0, best * 1.01), b.gaussian_kl(m, s, m0, best / 1.01))


def test_bad_arguments():
    with pytest.raises(ValueError, match="`scale` is 0"):
        b.gaussian_kl(0.0, 0.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="`prior_scale` is -1"):
        b.gaussian_kl(0.0, 1.0, 0.0, -1.0)
    with pytest.raises(ValueError, match="`mean` holds NaN"):
        b.gaussian_kl(np.nan, 1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="`mean` holds an infinite"):
        b.gaussian_kl(np.inf, 1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="2, 2, 1, 2 layers"):
        b.gaussian_kl_layers([0.0, 0.0], [1.0, 1.0], [0.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="layer 1: `scale` is 0"):
        b.gaussian_kl_layers([0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0])
