import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pyphenom.studies.inference import critical, holm, replicates_needed, summarise, upper_tail


def test_summary_equals_scipy():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=(7, 4))
    sample = summarise(values)
    np.testing.assert_allclose(sample.mean, values.mean(axis=0), rtol=1e-15)
    np.testing.assert_allclose(sample.standard_error, stats.sem(values), rtol=1e-14)
    assert not sample.identical


def test_equal_replicates_keep_the_error_of_rounding():
    sample = summarise(np.full((5, 2), 0.1))
    assert sample.identical
    assert np.all((sample.standard_error > 0.0) & (sample.standard_error < 1e-14))
    assert summarise(np.zeros((5, 1))).standard_error[0] > 0.0
    assert summarise(np.ones((1, 1))).standard_error[0] == np.inf


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
@pytest.mark.parametrize("level", [0.5, 0.05, 1e-4, 1e-9])
def test_quantiles_and_tails_equal_scipy(n, level):
    assert critical(level, n) == pytest.approx(stats.t.isf(level / 2, n - 1), rel=1e-9)
    assert upper_tail(np.array([critical(level, n)]), n)[0] == pytest.approx(level / 2, rel=1e-9)


def test_one_replicate_decides_nothing():
    assert critical(0.05, 1) == np.inf
    assert upper_tail(np.array([1e9]), 1)[0] == 1.0


def test_holm_by_hand():
    # .01 <= .05/4 and .013 <= .05/3; then .03 > .05/2 stops, although .04 alone would pass at .05.
    rejected, levels = holm([0.04, 0.01, 0.03, 0.013])
    assert rejected == (False, True, False, True)
    assert levels == (0.05 / 2, 0.05 / 4, 0.05 / 2, 0.05 / 3)
    # Bonferroni would refute the first only, Hochberg all.
    assert holm([0.0124, 0.024, 0.026, 0.04])[0] == (True, False, False, False)
    assert holm([0.01, 0.016, 0.025, 0.05])[0] == (True, True, True, True)
    assert holm([]) == ((), ())
    assert holm([0.05]) == ((True,), (0.05,))


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12), st.floats(0.001, 0.2))
def test_holm_is_the_closure_of_bonferroni(p_values, level):
    from itertools import combinations

    rejected, levels = holm(p_values, level)
    m = min(len(p_values), 7)
    if len(p_values) == m:
        # The slow truth: reject i if Bonferroni rejects every intersection that contains i.
        for i in range(m):
            others = [j for j in range(m) if j != i]
            subsets = [(i, *rest) for size in range(m) for rest in combinations(others, size)]
            assert rejected[i] == all(min(p_values[j] for j in s) <= level / len(s) for s in subsets)
    assert all(r == (p <= a) for r, p, a in zip(rejected, p_values, levels, strict=True))


def test_the_replicates_needed_are_the_fewest_that_suffice():
    for deviation, allowed, level in [(1.0, 0.5, 0.05), (3.0, 0.1, 0.01), (1.0, 10.0, 0.05)]:
        n = replicates_needed(deviation, allowed, level)
        widths = {k: critical(level, k) * deviation / np.sqrt(k) for k in (max(n - 1, 1), n)}
        assert widths[n] <= allowed
        assert n == 2 or widths[n - 1] > allowed
    assert replicates_needed(1.0, 0.0, 0.05) is None
