import itertools
import math

import mpmath
import numpy as np
import pytest
from scipy import stats

import pyphenom as ph

b = ph.bounds


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 2), (27, 898), (3, 10), (500, 1000), (0, 60000), (59_999, 60_000)])
@pytest.mark.parametrize("delta", [1e-12, 0.035, 0.5, 0.99])
def test_binomial_tail_at_the_bound_is_delta(k, n, delta):
    p = b.test_set(k, n, delta)
    assert stats.binom.cdf(k, n, p) == pytest.approx(delta, rel=1e-8)
    assert p <= b.kl_inverse(k / n, -math.log(delta) / n) * (1 + 1e-12)
    assert p <= k / n + math.sqrt(-math.log(delta) / (2 * n)) + 1e-12


def test_known_values():
    assert b.test_set(27, 898, 0.035) == pytest.approx(0.0423940, abs=5e-8)
    assert b.test_set(0, 100, 0.05) == pytest.approx(1 - 0.05 ** (1 / 100), rel=1e-12)
    assert b.test_set(7, 7, 0.05) == 1.0
    assert b.test_set([0, 1, 7], 7, 0.05).shape == (3,)


def test_occam_at_zero_bits_is_the_test_set():
    k, n = np.array([0, 5, 100, 1000]), 1000
    np.testing.assert_allclose(b.occam(k, n, 0, 0.05), b.test_set(k, n, 0.05), rtol=1e-12)
    np.testing.assert_allclose(b.occam(k, n, 10, 0.05), b.test_set(k, n, 0.05 / 1024), rtol=1e-10)


@pytest.mark.parametrize("bits", [900, 5000, 40_000])
@pytest.mark.parametrize("k", [0, 3, 200])
def test_occam_of_a_long_code_in_fifty_digits(k, bits):
    n, delta = 5000, 0.05
    p = b.occam(k, n, bits, delta)
    assert p <= b.kl_inverse(k / n, (bits * math.log(2) - math.log(delta)) / n) * (1 + 1e-9)
    with mpmath.workdps(50):

        def log_tail(x):
            x = mpmath.mpf(x)
            return mpmath.log(mpmath.fsum(mpmath.binomial(n, j) * x**j * (1 - x) ** (n - j) for j in range(k + 1)))

        level = mpmath.log(delta) - bits * mpmath.log(2)
        assert log_tail(p) <= level
        assert log_tail(p * (1 - 1e-8)) >= level


def test_occam_where_the_two_ways_to_the_tail_meet():
    bits = (600 + math.log(0.05)) / math.log(2) + np.array([-1e-6, 1e-6])
    low, high = b.occam(1200, 60_000, bits, 0.05)
    assert 0 <= high - low < 1e-9


def test_codes_exist():
    # Kraft: 2^L messages of every length L; the lengths up to 10^6 and an integral for the rest.
    lengths = np.arange(1, 10**6)
    assert sum(2.0 ** (lengths - b.self_delimiting_bits(lengths))) + 6 / math.pi**2 * 1e-6 == pytest.approx(1, abs=1e-9)
    # Two values, D = 4: the decoder knows how often each occurs, so the sequences of that kind are what is coded.
    for counts in itertools.product(range(9), repeat=2):
        if sum(counts):
            bits = b.quantised_bits(counts, level_bits=1) - 2 * (1 + math.ceil(math.log2(sum(counts) + 1))) - 2
            assert 2**bits >= math.comb(sum(counts), counts[0])
    assert b.quantised_bits([10, 0], 16) == 2 * 16 + 2 * 4 + 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 10, 0.05), "`errors` is -1"),
        ((0.5, 10, 0.05), "`errors` is 0.5"),
        ((11, 10, 0.05), "`errors` is 11; expected at most `n`, which is 10"),
        ((1, 0, 0.05), "`n` is 0"),
        ((1, 10, 0.0), "`delta` is 0"),
        ((1, 10, 1.0), "`delta` is 1"),
        ((np.nan, 10, 0.5), "`errors` holds NaN"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        b.test_set(*arguments)
    with pytest.raises(ValueError, match=message):
        b.occam(arguments[0], arguments[1], 8, arguments[2])


def test_bad_codes():
    with pytest.raises(ValueError, match="`code_bits` is -1"):
        b.occam(1, 10, -1, 0.05)
    with pytest.raises(ValueError, match="`bits` is 0"):
        b.self_delimiting_bits(0)
    with pytest.raises(ValueError, match="`counts`"):
        b.quantised_bits([0, 0])
