import itertools
import math

import numpy as np
import pytest

import pyphenom as ph

b = ph.bounds


def test_vc_dimension_by_inverting_the_growth():
    assert b.relu_vc_dimension([784, 600, 1]) == pytest.approx(11_460_482, abs=1)
    # The published closed form of the same product, and a cruder one, are looser.
    k, w = np.array([600, 1]), np.array([784 * 600 + 600, 784 * 600 + 600 + 601])
    rho, mean_depth = float(k @ [1, 2]), w.sum() / w[-1]
    closed = 2 + mean_depth * w[-1] * math.log2(4 * math.e * rho * math.log2(2 * math.e * rho))
    assert closed == pytest.approx(15_290_713, abs=1)
    for m in (11_460_483, 20_000_000):
        assert b.relu_log_growth([784, 600, 1], m) < m * math.log(2)


def test_growth_covers_the_patterns_of_small_networks():
    # Every pattern that 4000 random networks give on 8 inputs; and a line on an axis gives 2 m patterns exactly.
    rng = np.random.default_rng(0)
    x, patterns = rng.normal(size=(8, 2)), set()
    for _ in range(4000):
        hidden = np.maximum(x @ rng.normal(size=(2, 3)) + rng.normal(size=3), 0)
        patterns.add(tuple(hidden @ rng.normal(size=3) + rng.normal() > 0))
    assert math.log(len(patterns)) <= b.relu_log_growth([2, 3, 1], 8)
    for m in range(1, 30):
        assert math.log(2 * m) <= b.relu_log_growth([1, 1], m) + 1e-12
    with pytest.raises(ValueError, match="`widths`"):
        b.relu_log_growth([2, 3], 10)


def test_vc_bound_is_the_formula_and_vacuous_for_real_networks():
    assert b.vc_bound(0.1, 10**6, 0.05, 20.0) == pytest.approx(0.1 + math.sqrt(8e-6 * (20 + math.log(40))), rel=1e-12)
    assert b.vc_bound(0.0, 60_000, 0.05, b.relu_log_growth([784, 600, 1], 120_000)) == 1.0


def test_vc_bound_holds_for_thresholds():
    # Thresholds on [0, 1], all labels wrong with probability 0.3: the empirical minimiser of either sign.
    # 500 repetitions; growth m + 1 for each sign.
    rng, n, delta = np.random.default_rng(1), 400, 0.2
    failures = 0
    for _ in range(500):
        order = rng.random(n).argsort()
        label = (rng.random(n) < 0.3)[order]
        left = np.concatenate(([0], np.cumsum(label)))
        errors = left + (n - label.sum() - (np.arange(n + 1) - left))
        at = errors.argmin() / n  # label 1 with probability 0.3 everywhere, so predicting 1 beyond `at` errs with 0.7
        true = 0.3 * at + 0.7 * (1 - at)
        failures += true > b.vc_bound(errors.min() / n, n, delta, math.log(2 * n + 1))
    assert failures / 500 <= delta


def test_rademacher_bounds_are_the_formulas():
    value = 0.1 + 0.04 + 3 * math.sqrt(math.log(40) / 20_000)
    assert b.rademacher_bound(0.1, 10_000, 0.05, 0.02) == pytest.approx(value, rel=1e-12)
    value = 0.1 + 0.04 + math.sqrt(math.log(20) / 20_000)
    assert b.rademacher_bound(0.1, 10_000, 0.05, 0.02, empirical=False) == pytest.approx(value, rel=1e-12)


def test_golowich_complexity_covers_a_linear_class():
    # One layer: sup over |w| <= M of sum s_i <w, x_i> is M |sum s_i x_i|, here for all signs of 10 points.
    x = np.random.default_rng(2).normal(size=(10, 3))
    signs = np.array(list(itertools.product([-1, 1], repeat=10)))
    exact = np.linalg.norm(signs @ x, axis=1).mean() / 10
    radius = math.sqrt((x**2).sum())
    assert exact <= (math.sqrt(2 * math.log(2)) + 1) * radius / 10


def test_golowich_pays_for_what_the_data_choose():
    lengths = np.ones(10**6)
    one = b.golowich_bound(0.0, 0.05, [1.0, 1.0], lengths)
    factor = math.sqrt(4 * math.log(2)) + 1
    cost = 2 * b.index_cost(1)
    assert one == pytest.approx(2 * factor / 1000 + 3 * math.sqrt((math.log(40) + cost) / 2e6), rel=1e-12)
    # Norms are rounded up to a power of two, margins halve: twice the complexity, and the index' price.
    assert b.golowich_bound(0.0, 0.05, [1.5, 1.0], lengths) == b.golowich_bound(0.0, 0.05, [2.0, 1.0], lengths)
    assert b.golowich_bound(0.0, 0.05, [2.0, 1.0], lengths) == b.golowich_bound(0.0, 0.05, [1.0, 1.0], lengths, 1)
    assert b.golowich_bound(0.0, 0.05, [2.0, 1.0], lengths) > one
    assert b.golowich_bound(0.0, 0.05, [100.0, 100.0], lengths) == 1.0
    with pytest.raises(ValueError, match="`margin_index` is -1"):
        b.golowich_bound(0.0, 0.05, [1.0], [1.0], -1)
