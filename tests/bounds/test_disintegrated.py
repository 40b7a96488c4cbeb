import math

import numpy as np
import pytest
from scipy import stats

import pyphenom as ph

b = ph.bounds


def test_log_ratio_is_that_of_the_densities():
    rng = np.random.default_rng(0)
    m, e, m0, s = rng.normal(size=5), 0.1 * rng.normal(size=5), rng.normal(size=5), 0.1
    ratio = stats.norm.logpdf(m + e, m, s).sum() - stats.norm.logpdf(m + e, m0, s).sum()
    assert b.gaussian_log_ratio(m, e, m0, s) == pytest.approx(ratio, rel=1e-12)
    published = (((m + e - m0) ** 2).sum() - (e**2).sum()) / (2 * s**2)
    assert b.gaussian_log_ratio(m, e, m0, s) == pytest.approx(published, rel=1e-12)


def test_published_forms_are_the_looser():
    n, delta, ratio = 30_000, 0.05, 40.0
    for priors in (1, 10):
        published = b.kl_inverse(0.02, (ratio + math.log(2 * priors * math.sqrt(n) / delta)) / n)
        assert 0.99 * published < b.rivasplata(0.02, ratio, n, delta, priors) < published
        published = b.kl_inverse(0.02, (ratio + math.log(16 * priors * math.sqrt(n) / delta**3)) / n)
        assert 0.99 * published < b.viallard(0.02, ratio, n, delta, priors) < published
    published = b.kl_inverse(0.02, (math.log(3 / delta) + 1.5 * ratio) / n)
    assert b.blanchard_fleuret(0.02, ratio, n, delta, power=2.0) == pytest.approx(published, rel=1e-12)
    assert b.disintegrated_catoni(0.02, ratio, n, delta, 0.5) == b.catoni(0.02, ratio, n, delta, 0.5)


def test_a_negative_ratio_gives_no_less_than_the_risk():
    for bound in (b.rivasplata, b.blanchard_fleuret, lambda *a: b.disintegrated_catoni(*a, strength=1.0)):
        assert bound(0.1, -50.0, 100, 0.05) >= 0.1


@pytest.mark.parametrize(
    "bound", [b.rivasplata, b.blanchard_fleuret, lambda *a: b.disintegrated_catoni(*a, strength=1.0)]
)
def test_one_draw_fails_with_probability_delta_at_most(bound):
    # P uniform on a million coins of one rate, Q all on the luckiest, whose count is drawn by the inverse of its law.
    # 4000 repetitions: a rate of delta = 0.3 would be seen above 0.33 with probability below 1e-4.
    rng, n, rate, coins, delta = np.random.default_rng(1), 200, 0.3, 10**6, 0.3
    lucky = stats.binom.ppf(-np.expm1(np.log(rng.random(4000)) / coins), n, rate) / n
    assert (bound(lucky, math.log(coins), n, delta) < rate).mean() <= delta + 0.03
    # And without the ratio it fails nearly always.
    assert (bound(lucky, 0.0, n, delta) < rate).mean() > 0.5


def test_bad_arguments():
    with pytest.raises(ValueError, match="`priors` is 0"):
        b.rivasplata(0.1, 1.0, 100, 0.05, priors=0)
    with pytest.raises(ValueError, match="`power` is 0"):
        b.blanchard_fleuret(0.1, 1.0, 100, 0.05, power=0.0)
    with pytest.raises(ValueError, match="`scale` is 0"):
        b.gaussian_log_ratio(0.0, 0.0, 0.0, 0.0)
