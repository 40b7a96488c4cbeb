"""Numbers that others have published, or that an audit of released code gives, recomputed."""

import math

import pytest

import pyphenom as ph

b = ph.bounds


@pytest.mark.parametrize(
    ("risk", "kl", "n", "expected"),
    [
        (0.02, 50, 60000, [0.042209, 0.027345, 0.027345, 0.028255, 0.026862, 0.026832]),
        (0.1, 8000, 60000, [0.358347, 0.444475, 0.444475, 0.530366, 0.317548, 0.317540]),
        (0.0, 5, 1000, [0.077919, 0.024286, 0.024286, 0.024286, 0.012069, 0.011624]),
    ],
)
def test_same_data_in_every_form(risk, kl, n, expected):
    given = (risk, kl, n, 0.05)
    forms = (b.mcallester, b.quadratic, b.thiemann, b.refined_pinsker, b.maurer)
    values = [form(*given, moment="root") for form in forms] + [b.maurer(*given)]
    assert values == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("risk", "kl", "n", "published"),
    [(0.02, 50, 60000, 0.027875), (0.1, 8000, 60000, 0.317845), (0.0, 5, 1000, 0.030340)],
)
def test_geometric_union_is_a_little_below_the_published_form(risk, kl, n, published):
    # The form for all gamma gives away a factor 1.0001 on the complexity and (k+1)/(k+2) in the union.
    assert published - 2e-5 <= b.catoni_union(risk, kl, n, 0.05, ratio=1.0001) <= published + 5e-7


def test_compression_by_tail_inversion():
    assert b.occam(0, 1000, 5 / math.log(2), 0.05) == pytest.approx(0.007964, abs=1e-6)


def test_n_of_the_full_set_instead_of_the_bound_part():
    assert b.maurer(0.02, 100, 60000, 0.01, moment="root") == pytest.approx(0.029720, abs=1e-6)
    assert b.maurer(0.02, 100, 30000, 0.01, moment="root") == pytest.approx(0.034449, abs=1e-6)


def test_logarithm_of_the_quotient_not_quotient_of_the_logarithm():
    # ln(2 sqrt(n) / delta) = 9.5365; ln(2 sqrt(n)) / delta = 233.905, valid and loose
    slack = b.mcallester(0.0, 0.0, 30000, 0.025, moment="root")
    assert 2 * 30000 * slack**2 == pytest.approx(9.5365, abs=1e-4)
    assert slack == pytest.approx(0.0126, abs=1e-4)


DZIUGAITE_ROY = [
    (0.028, 5144, 0.161, 0.1637, 0.1609),
    (0.027, 5791, 0.170, 0.1735, 0.1707),
    (0.027, 7861, 0.201, 0.2092, 0.2063),
    (0.112, 201131, None, 0.9892, 0.9890),  # the table's 1.352 is sqrt(KL / 2n) alone
]


@pytest.mark.parametrize(("risk", "kl", "table", "recomputed", "ours"), DZIUGAITE_ROY)
def test_dziugaite_roy_table_1(risk, kl, table, recomputed, ours):
    n, draws, index = 55000, 150000, 300
    from_draws = b.kl_inverse(risk, math.log(2 / 0.01) / draws)
    value = b.dziugaite_roy(from_draws, kl, n, 0.025, prior_index=index)
    assert value == pytest.approx(recomputed, abs=2e-4)
    if table is not None:
        assert value == pytest.approx(table, abs=0.01)
    assert b.maurer(risk, kl + b.index_cost(index), n, 0.035) == pytest.approx(ours, abs=2e-4)


@pytest.mark.parametrize(
    ("risk", "kl", "n", "reported", "exact", "one_pass"),
    [
        (0.019993, 187.5, 30000, 0.058034, 0.040881, 0.044686),
        (0.010262, 124.28, 30000, 0.036934, 0.023293, 0.026219),
        (0.095516, 8258.06, 60000, 0.349621, 0.315493, 0.321191),
    ],
)
def test_audited_rerun(risk, kl, n, reported, exact, one_pass):
    paid = kl + math.log(999)  # prior scales tried
    from_draws = b.kl_inverse(risk, math.log(2 / 0.005) / 2000)
    assert b.maurer(from_draws, paid, n, 0.005, moment="root") == pytest.approx(reported, abs=1e-4)
    assert b.maurer(risk, paid, n, 0.01) == pytest.approx(exact, abs=1e-6)
    ours = b.maurer(b.independent_draws(risk, n, 0.005), paid, n, 0.005)
    assert ours == pytest.approx(one_pass, abs=1e-6)
    if n == 30000:
        assert ours <= 0.8 * reported


@pytest.mark.parametrize(
    ("risk", "kl", "as_shipped", "true_n", "other", "exact", "held_out"),
    [(0.03, 5, 0.0832, 0.0967, 0.3575, 0.0666, 0.0424), (0.02, 20, 0.0825, 0.1051, 0.3578, 0.0749, 0.0306)],
)
def test_digits_like_case(risk, kl, as_shipped, true_n, other, exact, held_out):
    n, from_draws = 898, b.kl_inverse(risk, math.log(2 / 0.01) / 1000)
    assert b.maurer(from_draws, kl, 1797, 0.01, moment="root") == pytest.approx(as_shipped, abs=1e-4)
    assert b.maurer(from_draws, kl, n, 0.025, moment="root") == pytest.approx(true_n, abs=1e-4)
    wrong = from_draws + math.sqrt((kl + math.log(2 * math.sqrt(n)) / 0.025) / (2 * n))
    assert wrong == pytest.approx(other, abs=1e-4)
    assert b.mcallester(from_draws, kl, n, 0.025) < wrong / 1.5
    assert b.maurer(risk, kl, n, 0.035) == pytest.approx(exact, abs=1e-4)
    assert b.test_set(round(risk * n), n, 0.035) == pytest.approx(held_out, abs=1e-4)


def test_a_posterior_far_from_its_prior_certifies_nothing():
    assert b.maurer(0.597, 2.85e6, 1000, 0.05) == 1.0
    assert b.mcallester(0.597, 2.85e6, 1000, 0.05) == 1.0
