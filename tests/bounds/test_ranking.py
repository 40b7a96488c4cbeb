"""Rank correlations against loops over pairs, hand-made grids and counts."""

import itertools
from collections import Counter
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from pyphenom.bounds import conditional_information, granulated_kendall, kendall


def sign(a, b):
    return int(a > b) - int(a < b)


def brute(mu, g):
    pairs = list(itertools.combinations(range(len(mu)), 2))
    return sum(sign(mu[a], mu[b]) * sign(g[a], g[b]) for a, b in pairs) / len(pairs)


small = st.sampled_from([0.0, 1.0, 2.0, 3.0, np.inf])


@given(st.lists(st.tuples(small, st.integers(0, 4)), min_size=2, max_size=12))
def test_kendall_counts_pairs_ties_and_infinities_too(rows):
    mu, g = [float(row[0]) for row in rows], [float(row[1]) for row in rows]
    assert kendall(mu, g) == pytest.approx(brute(mu, g), abs=1e-12)


def test_kendall_without_ties_is_scipys():
    rng = np.random.default_rng(0)
    mu = rng.standard_normal(50)
    g = mu + rng.standard_normal(50)
    assert kendall(mu, g) == pytest.approx(kendalltau(mu, g).statistic, rel=1e-12)


def test_granulated_on_a_grid_by_hand():
    # Along width the measure rises with the gap in both columns, along rate in one row and falls in the other.
    grid = {"width": [8, 8, 16, 16], "rate": ["low", "high", "low", "high"]}
    found = granulated_kendall([1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.4, 0.3], grid)
    assert found.by_parameter == {"width": 1.0, "rate": 0.0}
    assert found.psi == 0.5
    assert found.worst == -1.0
    assert found.tau == pytest.approx(4 / 6)


def test_a_measure_of_one_hyperparameter_has_a_high_tau_and_a_low_psi():
    width, depth = (v.ravel() for v in np.meshgrid(np.arange(4), np.arange(3)))
    gap = 10.0 * width + depth
    found = granulated_kendall(width.astype(float), gap, {"width": width, "depth": depth})
    assert found.by_parameter == {"width": 1.0, "depth": 0.0}
    assert found.tau == pytest.approx(54 / 66)
    assert found.psi == 0.5


def test_granulated_against_a_loop_over_an_incomplete_grid():
    rng = np.random.default_rng(1)
    names = {"a": rng.integers(0, 3, 40), "b": rng.integers(0, 2, 40), "c": rng.integers(0, 4, 40)}
    mu, g = rng.standard_normal(40), rng.standard_normal(40)
    found = granulated_kendall(mu, g, names)
    psis = []
    for name in names:
        groups = {}
        for i in range(40):
            groups.setdefault(tuple(v[i] for other, v in names.items() if other != name), []).append(i)
        psis.append(np.mean([brute(mu[i], g[i]) for i in groups.values() if len(i) > 1]))
        assert found.by_parameter[name] == pytest.approx(psis[-1])
    assert found.psi == pytest.approx(np.mean(psis))


def slow_information(mu, g, columns):
    pairs = [(a, b) for a, b in itertools.permutations(range(len(mu)), 2) if sign(mu[a], mu[b]) and sign(g[a], g[b])]
    rows = [(tuple((c[a], c[b]) for c in columns), sign(mu[a], mu[b]), sign(g[a], g[b])) for a, b in pairs]
    n, p = len(rows), Counter(rows)
    u, um, ug = (Counter(tuple(row[i] for i in keep) for row in rows) for keep in ((0,), (0, 1), (0, 2)))
    information = sum(k / n * log(k * u[r[:1]] / (um[r[:2]] * ug[(r[0], r[2])])) for r, k in p.items())
    entropy = -sum(k / n * log(k / u[r[:1]]) for r, k in ug.items())
    return information / entropy


def test_conditional_information_against_counts():
    rng = np.random.default_rng(2)
    names = {"a": rng.integers(0, 2, 20), "b": rng.integers(0, 2, 20), "c": rng.integers(0, 2, 20)}
    mu = rng.standard_normal(20)
    g = mu + rng.standard_normal(20)
    sets = [s for k in range(3) for s in itertools.combinations(names.values(), k)]
    slow = min(slow_information(mu, g, columns) for columns in sets)
    assert conditional_information(mu, g, names) == pytest.approx(slow, rel=1e-9)
    assert conditional_information(g, g, names) == pytest.approx(1.0)
    assert conditional_information(-g, g, names) == pytest.approx(1.0)  # information has no sign


def test_a_copy_of_a_hyperparameter_holds_no_information_beside_it():
    width = np.repeat([0, 1], 10)
    g = width + 0.1 * np.random.default_rng(0).standard_normal(20)
    noise = np.random.default_rng(1).standard_normal(20) * 1e-3
    names = {"width": width}
    assert conditional_information(width + noise, g, names, order=0) > 0.15
    assert conditional_information(width + noise, g, names, order=1) < 0.05


def test_one_network_has_no_rank():
    assert np.isnan(kendall([1.0], [1.0]))
    found = granulated_kendall([1.0, 2.0], [1.0, 2.0], {"a": [0, 1], "b": [0, 1]})
    assert np.isnan(found.psi)
    assert found.tau == 1.0


def test_bad_input():
    with pytest.raises(ValueError, match="shapes"):
        kendall([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="`measure` holds NaN at 1"):
        kendall([1.0, np.nan], [1.0, 2.0])
    with pytest.raises(ValueError, match="`parameters` is empty"):
        granulated_kendall([1.0, 2.0], [1.0, 2.0], {})
    with pytest.raises(ValueError, match=r"`parameters` has \['a'\] of another shape"):
        granulated_kendall([1.0, 2.0], [1.0, 2.0], {"a": [1, 2, 3]})
