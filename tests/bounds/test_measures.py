"""Formulas of measures, each written out once more, plainly."""

import numpy as np
import pytest

from pyphenom.bounds import WeightNorms, norm_measures, pac_bayes_measures, steps_to_loss


@pytest.fixture
def norms():
    rng = np.random.default_rng(0)
    W, start = ([rng.standard_normal(shape) for shape in ((5, 4), (6, 5), (3, 6))] for _ in range(2))
    ways = [a - b for a, b in zip(W, start, strict=True)]

    def each(norm, matrices):
        return np.array([norm(matrix) for matrix in matrices])

    def spectral(A):
        return np.linalg.norm(A, 2)

    found = WeightNorms(
        each(np.linalg.norm, W),
        each(spectral, W),
        each(np.linalg.norm, ways),
        each(spectral, ways),
        each(lambda A: np.linalg.norm(A, axis=1).sum(), ways),
        each(lambda A: np.linalg.norm(A, np.inf), W),
        np.array([5, 6, 3]),
        68,
    )
    return found, W, ways


def test_every_measure_of_norms_is_its_formula(norms):
    given, W, D = norms
    n, margin, B, b = 200, 0.7, 3.0, 2.0
    spec, fro = np.prod([np.linalg.norm(A, 2) ** 2 for A in W]), np.prod([(A**2).sum() for A in W])
    ratio = sum((A**2).sum() / np.linalg.norm(A, 2) ** 2 for A in W)
    away = sum((E**2).sum() / np.linalg.norm(A, 2) ** 2 for A, E in zip(W, D, strict=True))
    two_one = [sum(np.sqrt((row**2).sum()) for row in E) / np.linalg.norm(A, 2) for A, E in zip(W, D, strict=True)]
    v = {
        "parameters": 68,
        "vc_order": 68 * 3 * np.log(68),
        "l2": np.sqrt(sum((A**2).sum() for A in W)),
        "l2_distance": np.sqrt(sum((E**2).sum() for E in D)),
        "inverse_margin": 1 / margin**2,
        "param_norm": sum((A**2).sum() for A in W),
        "fro_dist": sum((E**2).sum() for E in D),
        "dist_spec_init": sum(np.linalg.norm(E, 2) ** 2 for E in D),
        "fro_over_spec": ratio,
        "dist_over_spec": away,
        "log_prod_of_spec": spec,
        "log_prod_of_spec_over_margin": spec / margin**2,
        "log_sum_of_spec": 3 * spec ** (1 / 3),
        "log_sum_of_spec_over_margin": 3 * (spec / margin**2) ** (1 / 3),
        "log_spec_init_main": spec * away / margin**2,
        "log_spec_orig_main": spec * ratio / margin**2,
        "log_prod_of_fro": fro,
        "log_prod_of_fro_over_margin": fro / margin**2,
        "log_sum_of_fro": 3 * fro ** (1 / 3),
        "log_sum_of_fro_over_margin": 3 * (fro / margin**2) ** (1 / 3),
        "log_prod_of_row_sum_over_margin": np.prod([np.abs(A).sum(axis=1).max() ** 2 for A in W]) / margin**2,
        "log_bartlett": (b * np.sqrt(spec) * sum(r ** (2 / 3) for r in two_one) ** 1.5 / margin) ** 2,
        "log_neyshabur": B**2 * 3**2 * 6 * np.log(18) * spec * ratio / margin**2,
        "log_golowich": (B * np.sqrt(fro) * (np.sqrt(2 * np.log(2) * 3) + 1) / margin) ** 2,
    }
    found = norm_measures(given, n, margin, B, b)
    assert found.keys() == v.keys()
    for name, value in v.items():
        expected = 0.5 * np.log(value / n) if name.startswith("log_") else np.sqrt(value / n)
        assert found[name] == pytest.approx(expected, rel=1e-10), name


def test_a_margin_that_is_not_positive_makes_what_divides_by_it_infinite(norms):
    for margin in (0.0, -0.3):
        found = norm_measures(norms[0], 10, margin)
        divided = {"inverse_margin", "log_spec_init_main", "log_spec_orig_main", "log_bartlett", "log_neyshabur"}
        divided |= {"log_golowich"} | {name for name in found if name.endswith("over_margin")}
        assert {name for name, value in found.items() if value == np.inf} == divided


def test_an_untrained_network_has_gone_no_way(norms):
    zero = np.zeros(3)
    still = WeightNorms(**(norms[0].to_dict() | {f"distance_{k}": zero for k in ("frobenius", "spectral", "21")}))
    found = norm_measures(still, 10, 1.0)
    assert found["fro_dist"] == 0.0
    assert found["log_spec_init_main"] == found["log_bartlett"] == -np.inf


@pytest.mark.parametrize("box", [False, True])
def test_pac_bayes_measures_are_their_formulas(box):
    rng = np.random.default_rng(1)
    w, w0, n, scale = rng.standard_normal(12), rng.standard_normal(12), 50, 0.3
    s = scale / np.sqrt(2 * np.log(24)) if box else scale
    plain, relative = (pac_bayes_measures(w, w0, scale, n, flag, box) for flag in (False, True))
    for name, r in (("init", w - w0), ("orig", w)):
        tail = np.log(n / s) + 10
        v = sum(r**2) / (4 * s**2) + tail
        assert plain[name] == pytest.approx(np.sqrt(v / n), rel=1e-12)
        terms = [np.log((1e-6 + (s**2 + 1) * sum(r**2) / 12) / (1e-6 + s**2 * d**2)) for d in w - w0]
        assert relative[name] == pytest.approx(np.sqrt((sum(terms) / 4 + tail) / n), rel=1e-12)
    assert plain["flatness"] == relative["flatness"] == pytest.approx(1 / (scale * np.sqrt(n)))


def test_steps_to_a_loss_are_infinite_where_it_is_not_reached():
    assert steps_to_loss([0, 5, 10], [1.0, 0.1, 0.2], 0.1) == 5.0
    assert steps_to_loss([0, 5, 10], [1.0, 0.1, 0.2], 0.01) == np.inf


def test_bad_input(norms):
    with pytest.raises(ValueError, match="`scale` is 0"):
        pac_bayes_measures([1.0], [0.0], 0.0, 10)
    with pytest.raises(ValueError, match="expected the same"):
        pac_bayes_measures([1.0, 2.0], [0.0], 0.1, 10)
    with pytest.raises(ValueError, match="`n` is 0"):
        norm_measures(norms[0], 0, 1.0)
    with pytest.raises(ValueError, match="`margin` is nan"):
        norm_measures(norms[0], 10, np.nan)
    dead = WeightNorms(**(norms[0].to_dict() | {"spectral": np.array([1.0, 0.0, 1.0])}))
    with pytest.raises(ValueError, match="a layer of zeros"):
        norm_measures(dead, 10, 1.0)
    with pytest.raises(ValueError, match="expected the same"):
        steps_to_loss([1, 2], [0.1], 0.1)
