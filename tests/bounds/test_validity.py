"""Measured failure rates of every bound, and that look-alikes of the bounds are caught.

What is wrong and what catches it:

- n of the full set for the bound's part, KL cut short, kl arguments swapped: `of_the_luckiest` below
- ln(2 sqrt n) / delta for ln(2 sqrt n / delta), valid but loose: `test_anchors.py`, the quotient of the logarithm
- Monte-Carlo correction left out, shared draws counted per image: `of_draws` below
- variance passed as standard deviation: `test_gaussian.py`, the relative entropy of standard deviations
"""

import math

import numpy as np
import pytest
import validity
from bounds import bisect
from bounds import kl as plain_kl

import pyphenom as ph

b = ph.bounds
TASKS = [(1000, 0.3, 1e4), (1000, 0.3, 1e6), (1000, 0.3, 1e12), (200, 0.02, 1e6), (100, 0.5, 1e3)]

BOUNDS = {
    "maurer": b.maurer,
    "maurer, 2 sqrt n": lambda *a: b.maurer(*a, moment="root"),
    "mcallester": b.mcallester,
    "thiemann": b.thiemann,
    "quadratic": b.quadratic,
    "refined_pinsker": b.refined_pinsker,
    "catoni": lambda *a: b.catoni(*a, strength=0.5),
    "catoni_grid": lambda *a: b.catoni_grid(*a, grid=[0.1, 0.3, 1.0]),
    "catoni_union": b.catoni_union,
    "unexpected_bernstein": lambda r, *a: b.unexpected_bernstein(r, r, *a),
    "dziugaite_roy": b.dziugaite_roy,
    "rivasplata": b.rivasplata,
    "viallard": b.viallard,  # the Renyi divergence of a point mass from the uniform prior is ln M too
    "disintegrated_catoni": lambda *a: b.disintegrated_catoni(*a, strength=0.5),
    "blanchard_fleuret": b.blanchard_fleuret,
    "occam": lambda r, kl, n, d: b.occam(np.round(r * n), n, kl / math.log(2), d),
}


@pytest.mark.parametrize("task", TASKS, ids=str)
@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_fail_no_more_often_than_they_say(name, task):
    failures = validity.of_the_luckiest(BOUNDS[name], *task)
    assert failures.rate <= failures.delta
    assert not failures.convicts


def test_the_lower_side_fails_no_more_often():
    # 1 - risk of the luckiest is that of the unluckiest of mirrored hypotheses.
    for n, rate, hypotheses in TASKS:
        failures = validity.of_the_luckiest(
            lambda r, *a: 1 - np.asarray(b.maurer(1 - r, *a, side="lower")), n, rate, hypotheses
        )
        assert failures.rate <= failures.delta


def test_a_test_set_bound_fails_at_its_rate():
    # One hypothesis: exact up to the steps of the binomial law.
    def bound(r, _, n, d):
        return b.test_set(np.round(r * n), n, d)

    for n, rate in [(1000, 0.3), (200, 0.02)]:
        failures = validity.of_the_luckiest(bound, n, rate, 1)
        assert 0.3 * failures.delta <= failures.rate <= failures.delta + 0.006  # four standard errors


def swapped(risk, kl, n, delta):
    c = (kl + b.log_xi(n) - math.log(delta)) / n

    def one(q):
        return q if q in (0.0, 1.0) else bisect(lambda p: c - plain_kl(p, q), q, 1.0)

    return [one(float(q)) for q in risk]


LOOK_ALIKES = {
    "n doubled": (lambda r, kl, n, d: b.maurer(r, kl, 2 * n, d, moment="root"), [0.175, 0.849, 1.0]),
    "a third of KL": (lambda r, kl, n, d: b.maurer(r, kl / 3, n, d, moment="root"), [0.028, 0.479, 1.0]),
    "KL dropped": (lambda r, kl, n, d: b.maurer(r, 0.0, n, d, moment="root"), [0.569, 1.0, 1.0]),
    "bits for nats": (lambda r, kl, n, d: b.maurer(r, kl * math.log(2), n, d, moment="root"), [0.001, 0.004, 0.151]),
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_look_alikes_fail_at_the_published_rates_and_are_convicted(name):
    bound, rates = LOOK_ALIKES[name]
    measured = [validity.of_the_luckiest(bound, *task) for task in TASKS[:3]]
    # 20,000 repetitions on both sides: five standard errors of the difference.
    for failures, rate in zip(measured, rates, strict=True):
        assert failures.rate == pytest.approx(rate, abs=5 * math.sqrt(2 * rate * (1 - rate) / 20_000) + 1.5e-3)
    assert measured[-1].convicts


def test_swapped_arguments_are_convicted():
    assert validity.of_the_luckiest(swapped, *TASKS[3]).convicts


def test_catoni_minimised_without_a_union_is_not_told_from_the_bound_of_a_point_mass():
    # kl_inverse without ln xi(n) is a theorem for point masses (occam), so no such task can convict it.
    def bound(r, kl, n, d):
        return b.kl_inverse(r, (kl - math.log(d)) / n)

    assert not any(validity.of_the_luckiest(bound, *task).convicts for task in TASKS)
    # What catches it is that the union is paid: test_pac_bayes.py, unions pay.


@pytest.fixture(scope="module")
def voters():
    return validity.LinearVoters.example()


def test_exact_risk_of_the_voters(voters):
    # 2000 passes of 1000 points: standard error below 5e-3 for shared weights
    rng = np.random.default_rng(1)
    assert voters.independent(rng, 2000).mean() == pytest.approx(voters.risk, abs=2e-3)
    assert voters.shared(rng, 2000).mean() == pytest.approx(voters.risk, abs=2e-2)
    margin, scale = voters.points @ voters.mean, voters.scale * np.linalg.norm(voters.points, axis=1)
    assert np.mean(b.exact_binary_risk(margin, scale)) == pytest.approx(voters.risk, rel=1e-12)


def test_draws_of_the_weights(voters):
    n, delta, rng = len(voters.points), 0.05, np.random.default_rng(2)
    independent, shared = voters.independent(rng, 4000), voters.shared(rng, 4000)

    def per_image(x):
        return b.independent_draws(x, n, delta)

    good = validity.of_draws(per_image, voters, independent, delta)
    assert good.rate <= delta
    assert not good.convicts
    assert validity.of_draws(per_image, voters, shared, delta).convicts  # one draw counted as n
    assert validity.of_draws(lambda x: x, voters, independent, delta).convicts  # no correction
    once = validity.of_draws(lambda x: b.kl_inverse(x, math.log(1 / delta)), voters, shared, delta)
    assert once.rate <= delta
    passes = shared.reshape(100, 40)
    for bound in (b.shared_draws, b.empirical_bernstein):
        # 100 repetitions at delta = 0.05: more than 18 failures with probability below 1e-6
        assert validity.of_draws(lambda x, bound=bound: bound(x, delta), voters, passes, delta).count <= 18


def test_verdicts_of_the_harness():
    assert not validity.Failures(50, 1000, 0.05).convicts
    assert not validity.Failures(0, 1000, 0.05).convicts
    assert validity.Failures(110, 1000, 0.05).convicts
    rng = np.random.default_rng(3)
    drawn = validity.fewest_errors(rng, 50, 0.3, 7, 20_000)
    by_hand = rng.binomial(50, 0.3, (20_000, 7)).min(axis=1)
    assert drawn.mean() == pytest.approx(by_hand.mean(), abs=0.12)  # six standard errors
    assert drawn.std() == pytest.approx(by_hand.std(), abs=0.1)
