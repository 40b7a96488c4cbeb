import bounds as plain
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import pyphenom as ph

b = ph.bounds
risks, kls = st.floats(0, 1), st.floats(-3, 5).map(lambda x: 10**x)
sizes, deltas = st.integers(2, 10**5), st.floats(-12, -0.01).map(lambda x: 10**x)

FOLLOW_FROM_MAURER = {
    "mcallester": b.mcallester,
    "thiemann": b.thiemann,
    "quadratic": b.quadratic,
    "refined_pinsker": b.refined_pinsker,
}
PAC_BAYES = {
    **FOLLOW_FROM_MAURER,
    "maurer": b.maurer,
    "catoni": lambda *a: b.catoni(*a, strength=0.5),
    "catoni_grid": lambda *a: b.catoni_grid(*a, grid=[0.1, 1.0]),
    "catoni_union": b.catoni_union,
    "unexpected_bernstein": lambda r, *a: b.unexpected_bernstein(r, r, *a),
    "dziugaite_roy": b.dziugaite_roy,
    "rivasplata": b.rivasplata,
    "viallard": b.viallard,
    "disintegrated_catoni": lambda *a: b.disintegrated_catoni(*a, strength=0.5),
    "blanchard_fleuret": b.blanchard_fleuret,
    "vote_first_order": b.vote_first_order,
    "vote_tandem": b.vote_tandem,
}


@settings(deadline=None)
@given(risks, kls, sizes, deltas)
def test_what_follows_from_maurer_is_never_below_it(risk, kl, n, delta):
    least = b.maurer(risk, kl, n, delta)
    for name, bound in FOLLOW_FROM_MAURER.items():
        assert bound(risk, kl, n, delta) >= least * (1 - 1e-14), name
    assert b.mcallester(risk, kl, n, delta, "lower") <= b.maurer(risk, kl, n, delta, "lower") + 1e-15
    assert b.thiemann(risk, kl, n, delta, side="lower") <= b.maurer(risk, kl, n, delta, "lower") + 1e-15
    assert b.quadratic(risk, kl, n, delta) == pytest.approx(b.thiemann(risk, kl, n, delta), rel=1e-12)
    for trade_off in (0.1, 1.0, 1.9):
        assert b.thiemann(risk, kl, n, delta, trade_off) >= b.thiemann(risk, kl, n, delta) * (1 - 1e-12)
        best = b.thiemann(risk, kl, n, delta, side="lower")
        assert b.thiemann(risk, kl, n, delta, trade_off, "lower") <= best + 1e-12


@settings(deadline=None)
@given(risks, kls, sizes, deltas)
def test_no_bound_is_below_what_a_test_set_could_say(risk, kl, n, delta):
    # Even a posterior fixed in advance needs kl_inverse at ln(1/delta)/n.
    for name, bound in FOLLOW_FROM_MAURER.items():
        assert bound(risk, kl, n, delta) >= b.kl_inverse(risk, -np.log(delta) / n) * (1 - 1e-14), name
    # Catoni with the best strength is kl_inverse without ln xi(n): with a union it is above.
    floor = b.kl_inverse(risk, (kl - np.log(delta)) / n)
    assert b.catoni_union(risk, kl, n, delta) >= floor * (1 - 1e-12)
    assert b.catoni_grid(risk, kl, n, delta, [0.1, 1.0, 3.0]) >= floor * (1 - 1e-12)
    assert b.unexpected_bernstein(risk, risk, kl, n, delta) >= floor * (1 - 1e-12)


@pytest.mark.parametrize("name", PAC_BAYES)
@settings(deadline=None)  # the moment of a new n costs O(n)
@given(
    risk=risks,
    step=risks,
    kl=kls,
    factor=st.floats(1, 100),
    n=sizes,
    more=sizes,
    delta=deltas,
    share=st.floats(0.01, 1),
)
def test_monotone_in_every_argument(name, risk, step, kl, factor, n, more, delta, share):
    bound, slack = PAC_BAYES[name], 1 + 1e-12
    value = bound(risk, kl, n, delta)
    assert 0 <= value <= 1
    assert value <= bound(risk + (1 - risk) * step, kl, n, delta) * slack
    assert value <= bound(risk, kl * factor, n, delta) * slack
    assert value <= bound(risk, kl, n, delta * share) * slack
    if name not in ("catoni_union", "dziugaite_roy"):  # their grids depend on n
        assert bound(risk, kl, n + more, delta) <= value * slack


def test_never_above_a_valid_formula_of_others_on_ten_thousand_points():
    rng = np.random.default_rng(0)
    count = 10_000
    risk = np.where(np.arange(count) % 4, 10 ** rng.uniform(-5, 0, count), 0.0)
    kl, delta = 10 ** rng.uniform(-2, 5, count), 10 ** rng.uniform(-6, -0.5, count)
    n = np.round(np.geomspace(10, 1e5, 200))[np.arange(count) % 200]  # a new n costs O(n)
    ours = b.maurer(risk, kl, n, delta)
    one_pass = b.maurer(b.independent_draws(risk, n, delta / 10), kl, n, delta)
    others = (
        plain.seeger,
        plain.classic,
        plain.classic_minus_one,
        plain.classic_1999,
        plain.thiemann,
        plain.quadratic,
        plain.refined_pinsker,
        plain.dziugaite_roy,
    )
    for i, given_ in enumerate(zip(risk.tolist(), kl.tolist(), n.tolist(), delta.tolist(), strict=True)):
        for other in others:
            assert ours[i] <= min(1.0, other(*given_)) * (1 + 1e-12), (other.__name__, given_)
        if i % 20 == 0:
            assert ours[i] <= min(1.0, plain.catoni_for_all_gamma(*given_)) * (1 + 1e-12), given_
            draws = min(2000, int(given_[2]))
            assert one_pass[i] <= plain.perez_ortiz(*given_, draws, given_[3] / 10) * (1 + 1e-12), given_


@pytest.mark.parametrize("n", [1, 2, 3, 30, 60, 1000])
def test_moment_equals_its_definition(n):
    exact = np.log(plain.xi(n))
    assert exact <= b.log_xi(n) <= exact + 3e-12


def test_moment_of_many_points():
    assert b.log_xi([30, 60, 1000, 30000, 60000]) == pytest.approx(
        [2.021476, 2.340632, 3.696431, 5.383337, 5.729012], abs=1e-6
    )
    n = np.arange(2, 2001)
    assert (b.log_xi(n) < np.log(2 * np.sqrt(n))).all()
    assert b.log_xi(1) == pytest.approx(np.log(2), abs=2e-12)
    # sqrt(pi n / 2) + 2/3 is slightly low: no certificate with it
    assert (b.log_xi(n) > np.log(np.sqrt(np.pi * n / 2) + 2 / 3)).all()
    assert b.log_xi(10**8) == pytest.approx(np.log(2e4), rel=1e-15)


@given(st.floats(1e-3, 0.9), st.floats(0.05, 0.95), st.floats(0.01, 5))
def test_catoni_at_its_best_is_the_inverse_without_the_moment(risk, share, strength):
    p = risk + (1 - risk) * share
    kl = 10_000 * b.binary_kl(risk, p) - np.log(2)
    assume(kl >= 0)
    best = np.log(p * (1 - risk) / (risk * (1 - p)))
    assert b.catoni(risk, kl, 10_000, 0.5, best) == pytest.approx(p, rel=1e-11)
    assert b.catoni(risk, kl, 10_000, 0.5, strength) >= p * (1 - 1e-11)


def test_unions_pay():
    given_ = (0.05, 10.0, 5000, 0.05)
    one = b.catoni(*given_, strength=0.4)
    assert b.catoni_grid(*given_, grid=[0.4]) == one
    assert b.catoni_grid(*given_, grid=[0.4, 1e-9]) == pytest.approx(b.catoni(0.05, 10.0, 5000, 0.025, 0.4), rel=1e-14)
    total = sum(np.exp(-b.index_cost(np.arange(1, 100_000))))
    assert 0.9999 < total < 1


def test_bernstein_uses_the_second_moment():
    small, large = (b.unexpected_bernstein(0.1, v, 20, 10000, 0.05) for v in (0.012, 0.1))
    assert small < b.maurer(0.1, 20, 10000, 0.05) < large


def test_vectorised_equals_one_at_a_time():
    risk, kl = np.array([0.0, 0.1, 0.5])[:, None], np.array([1.0, 100.0])
    for name, bound in PAC_BAYES.items():
        grid = bound(risk, kl, 1000, 0.05)
        assert grid.shape == (3, 2)
        for i in range(3):
            for j in range(2):
                assert grid[i, j] == bound(float(risk[i, 0]), float(kl[j]), 1000, 0.05), name


GOOD = {"risk": 0.1, "kl": 5.0, "n": 1000, "delta": 0.05}


@pytest.mark.parametrize("name", PAC_BAYES)
@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("risk", -0.1, ValueError),
        ("risk", 1.5, ValueError),
        ("risk", np.nan, ValueError),
        ("risk", "0.1", TypeError),
        ("kl", np.nan, ValueError),
        ("kl", np.inf, ValueError),
        ("n", 0, ValueError),
        ("n", 10.5, ValueError),
        ("n", np.nan, ValueError),
        ("delta", 0.0, ValueError),
        ("delta", 1.0, ValueError),
        ("delta", 5, ValueError),
        ("delta", np.nan, ValueError),
        ("delta", [0.1, 0.2], None),
    ],
)
def test_bad_arguments_are_named(name, argument, value, error):
    arguments = {**GOOD, argument: value}
    if error is None:
        assert np.shape(PAC_BAYES[name](*arguments.values())) == (2,)
        return
    alias = {"kl": "kl|log_ratio|renyi", "risk": "risk|tandem_risk"}.get(argument, argument)
    with pytest.raises(error, match=rf"`({alias})`"):
        PAC_BAYES[name](*arguments.values())


def test_negative_divergence_is_refused():
    for name in FOLLOW_FROM_MAURER:
        with pytest.raises(ValueError, match="`kl` is -1"):
            PAC_BAYES[name](0.1, -1.0, 1000, 0.05)
    with pytest.raises(ValueError, match="`renyi` is -1"):
        b.viallard(0.1, -1.0, 1000, 0.05)
    with pytest.raises(ValueError, match=r"`index` is 0"):
        b.dziugaite_roy(0.1, 1.0, 1000, 0.05, prior_index=0)
    with pytest.raises(ValueError, match="`n` is 1; expected a whole number >= 2"):
        b.dziugaite_roy(0.1, 1.0, 1, 0.05)
    with pytest.raises(ValueError, match="`trade_off` is 2"):
        b.thiemann(0.1, 1.0, 100, 0.05, trade_off=2.0)
    with pytest.raises(ValueError, match="`strength` is 0"):
        b.catoni(0.1, 1.0, 100, 0.05, strength=0.0)
    with pytest.raises(ValueError, match="`ratio` is 1"):
        b.catoni_union(0.1, 1.0, 100, 0.05, ratio=1.0)
    with pytest.raises(ValueError, match="`second_moment`"):
        b.unexpected_bernstein(0.1, 0.2, 1.0, 100, 0.05)
    with pytest.raises(ValueError, match="do not broadcast"):
        b.maurer([0.1, 0.2], [1.0, 2.0, 3.0], 100, 0.05)
