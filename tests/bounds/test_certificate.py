"""The record: what it refuses, what it recomputes, and that nothing of it can be changed alone."""

import json
import math
from dataclasses import FrozenInstanceError, replace

import mpmath
import numpy as np
import pytest

from pyphenom.bounds import Certificate, DeltaTree, HeldOut, Layer, Loss, MonteCarlo, Posterior, Provenance, Rows, Union
from pyphenom.bounds import test_set as binomial_bound
from pyphenom.bounds.accounting import budget, values
from pyphenom.bounds.rows import digest, distinct

N = 40
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((2 * N, 3)), RNG.integers(0, 2, 2 * N)
PRIOR, BOUND, NONE = np.arange(N), np.arange(N, 2 * N), np.empty(0, np.int64)


def posterior(**changes):
    means = (RNG.standard_normal((2, 3)), np.zeros(2))
    given = {
        "names": ("weight", "bias"), "mean": (np.ones((2, 3)), np.zeros(2)),
        "log_scale": (np.full((2, 3), math.log(0.1)), np.full(2, math.log(0.2))),
        "prior_mean": (np.full((2, 3), 0.9), np.zeros(2)), "prior_scale": 0.1,
        "prior_rows": PRIOR, "bound_rows": BOUND, "test_rows": NONE,
    }  # fmt: skip
    assert means[0].shape == given["mean"][0].shape
    return Posterior(**given | changes)


def entries(**changes):
    rows, weights = Rows.of(BOUND, X, Y), changes.pop("posterior", posterior())
    given = {
        "posterior": weights, "loss": Loss("zero-one"), "classes": 2, "rows": rows, "delta": budget(0.05),
        "prior": Provenance("train", Rows.of(PRIOR, X, Y), 0.1, 1, weights.prior_digest()),
        "monte_carlo": MonteCarlo("independent", (3.0, 5.0, 1.0), N, 7, 8, "a generator"),
        "held_out": (HeldOut("the prior's mean network", 2, rows, 0.05, binomial_bound(2, N, 0.05)),),
        "model": "Linear", "parameters": 8,
    }  # fmt: skip
    return given | changes


def issue(**changes):
    given = entries(**changes)
    return Certificate.issue(given.pop("posterior"), **given)


@pytest.fixture
def found():
    return issue()


def inverse(q, c):
    """Return the largest p with kl(q, p) <= c in 40 digits, by bisection."""
    with mpmath.workdps(40):
        q, low, high = mpmath.mpf(q), mpmath.mpf(q), mpmath.mpf(1)
        for _ in range(130):
            p = (low + high) / 2
            value = (q * mpmath.log(q / p) if q else 0) + (1 - q) * mpmath.log((1 - q) / (1 - p))
            low, high = (p, high) if value <= c else (low, p)
        return high


def test_e5_e6_e22_the_value_is_the_formula_in_forty_digits(found):
    with mpmath.workdps(40):
        xi = (
            mpmath.fsum(mpmath.binomial(N, k) * mpmath.mpf(k) ** k * mpmath.mpf(N - k) ** (N - k) for k in range(N + 1))
            / mpmath.mpf(N) ** N
        )
        # KL of N(1, .1^2) to N(.9, .1^2) six times, of N(0, .2^2) to N(0, .1^2) twice
        kl = 6 * mpmath.mpf("0.5") + 2 * (mpmath.mpf("1.5") - mpmath.log(2))
        risk = inverse(mpmath.mpf(9) / (3 * N), mpmath.log(1 / mpmath.mpf("0.005")) / (3 * N))
        value = inverse(risk, (kl + mpmath.log(xi / mpmath.mpf("0.045"))) / N)
    assert found.kl == pytest.approx(float(kl), rel=1e-12)
    assert found.risk_bound == pytest.approx(float(risk), rel=1e-12)
    assert found.value == pytest.approx(float(value), rel=1e-9)
    assert found.value >= float(value) * (1 - 1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": 0.1}, "`value` is 0.1"),
        ({"kl": 0.0}, "`kl` is 0"),  # a stale KL
        ({"risk_bound": 0.075}, "`risk_bound` is 0.075"),  # the mean of the draws itself
        ({"predictor": "the mean network"}, "the mean network"),
        ({"predictor": "sampled"}, "the draws are 'independent'"),
        ({"predictor": "vote"}, "`value` is"),
        ({"held_out": ()}, "plain test bound"),
        ({"unions": (Union("scales", 9),)}, "its own account gives"),
        ({"delta": budget(0.01)}, "its own account gives"),
        ({"loss": Loss("zero-one"), "monte_carlo": MonteCarlo("independent", (3.0,), 20, 1, 2, "")}, "n = 40"),
    ],
)
def test_no_entry_can_be_changed_alone(found, change, message):
    with pytest.raises(ValueError, match=message):
        replace(found, **change)
    with pytest.raises(FrozenInstanceError):
        found.value = 0.0


def test_e1_n_is_the_number_of_distinct_rows_scored():
    assert issue().rows.count == N
    with pytest.raises(ValueError, match="4 rows twice"):
        Rows.of([0, 1, 2, 3, 0, 1, 2, 3], X, Y)
    with pytest.raises(ValueError, match=r"expected them in \[0, 80\)"):
        Rows.of([80], X, Y)


def test_e24_repeated_points_are_told_and_contents_are_hashed():
    doubled, labels = np.concatenate([X, X[:3]]), np.concatenate([Y, Y[:3]])
    rows = Rows.of(np.arange(len(doubled)), doubled, labels)
    assert rows.repeated == 3
    assert "3 occur more than once" in repr(issue(rows=replace(Rows.of(BOUND, X, Y), repeated=3)))
    changed = X.copy()
    changed[50, 0] += 1e-12
    assert Rows.of(BOUND, changed, Y).contents != Rows.of(BOUND, X, Y).contents
    assert Rows.of(BOUND, changed, Y).indices == Rows.of(BOUND, X, Y).indices


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_points_are_repeated_where_input_and_label_are(dtype):
    x = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, -1.0]], dtype)
    assert Rows.of(range(5), x, np.array([0, 1, 0, 0, 0])).repeated == 1
    assert Rows.of([0, 1, 3], x, np.array([0, 1, 0, 0, 0])).repeated == 0


def test_e2_a_parameter_outside_of_the_kl_is_refused():
    with pytest.raises(ValueError, match="covers 8 parameters and the network has 9"):
        issue(parameters=9)


def test_the_prior_must_not_have_touched_the_bounds_rows():
    with pytest.raises(ValueError, match="the prior has seen 1 of the bound's rows, such as row 45"):
        posterior(prior_rows=np.array([3, 45]))
    same = Provenance("train", Rows.of(BOUND, X, Y), 0.1, 1, "")
    with pytest.raises(ValueError, match=r"learnt on the bound's rows"):
        issue(prior=same)


def test_e7_the_parts_of_delta_sum_to_no_more_than_delta():
    tree = DeltaTree("all", 0.05, (DeltaTree("a", 0.02), DeltaTree("b", 0.03)))
    assert (tree.share("a"), tree.share("all")) == (0.02, 0.05)
    with pytest.raises(ValueError, match=r"sum to 0.05"):
        DeltaTree("all", 0.05, (DeltaTree("a", 0.03), DeltaTree("b", 0.03)))
    with pytest.raises(ValueError, match="have one name"):
        DeltaTree("all", 0.05, (DeltaTree("a", 0.01), DeltaTree("a", 0.01)))
    with pytest.raises(KeyError):
        tree.share("c")
    for bad in (0.0, 1.0, -0.1, 2.0, math.nan):
        with pytest.raises(ValueError, match="strictly between 0 and 1"):
            budget(bad)


def test_e8_e9_e25_a_choice_costs_its_logarithm_and_its_share_of_the_draws(found):
    chosen = issue(unions=(Union("certificates", 10),))
    plain = issue(
        delta=DeltaTree("all", 0.05, (DeltaTree("draw of the points", 0.0045), DeltaTree("Monte Carlo", 0.0005)))
    )
    assert chosen.value == pytest.approx(plain.value, rel=1e-12)  # one of ten at delta is each at delta / 10
    assert chosen.value > found.value
    with pytest.raises(ValueError, match="at least 1"):
        Union("certificates", 0)


@pytest.mark.parametrize(
    ("risk", "kl", "n", "published", "value"),
    [
        (0.019993, 187.5, 30000, 0.058034, 0.044686),
        (0.010262, 124.28, 30000, 0.036934, 0.026219),
        (0.095516, 8258.06, 60000, 0.349621, 0.321191),
    ],
)
def test_one_pass_with_fresh_weights_beats_two_thousand_without(risk, kl, n, published, value):
    """The audited rerun of a published recipe, m = 2000, union over 999 prior scales, half of delta for the draws."""
    tree = DeltaTree("all", 0.01, (DeltaTree("draw of the points", 0.005), DeltaTree("Monte Carlo", 0.005)))
    draws, rows = MonteCarlo("independent", (risk * n,), n, 1, 2, ""), Rows(n, "", "")
    unions = (Union("prior scales", 999, draws=False),)
    found = values("gibbs", (Layer("all", 1, kl),), rows, tree, draws, unions)[2]
    assert found == pytest.approx(value, abs=1e-4)
    if kl < 1000:
        assert found < 0.8 * published


def test_e23_draws_from_the_stream_of_the_training_are_refused():
    with pytest.raises(ValueError, match="which training used too"):
        MonteCarlo("independent", (0.0,), 1, 5, 5, "")


@pytest.mark.parametrize("sums", [(-1.0,), (41.0,), (math.nan,), ()])
def test_sums_of_losses_are_checked(sums):
    with pytest.raises(ValueError, match="`sums`"):
        MonteCarlo("independent", sums, N, 1, 2, "")


@pytest.mark.parametrize(("errors", "value"), [(0.0, 0.0), (N, 1.0)])
def test_e10_edges(errors, value):
    edge = issue(monte_carlo=MonteCarlo("independent", (float(errors),) * 5, N, 1, 2, ""))
    assert value <= edge.value <= 1.0
    assert (edge.value == 1.0) == (value == 1.0)
    assert edge.vacuous == (value == 1.0)


def test_e16_a_network_that_serves_all_points_is_one_trial():
    sums = tuple(RNG.integers(2, 5, 200).astype(float))
    shared = issue(monte_carlo=MonteCarlo("shared", sums, N, 1, 2, ""))
    fresh = issue(monte_carlo=MonteCarlo("independent", sums, N, 1, 2, ""))
    assert (shared.monte_carlo.trials, fresh.monte_carlo.trials) == (200, 200 * N)
    assert shared.value > fresh.value
    # the trivial range of one trial: with a single pass almost nothing is known
    assert issue(monte_carlo=MonteCarlo("shared", sums[:1], N, 1, 2, "")).risk_bound > 0.9


def test_e14_the_loss_is_part_of_the_record():
    other = issue(loss=Loss("cross-entropy", 1e-4))
    assert "cross-entropy loss <=" in repr(other)
    assert "0.0001" in repr(other)
    assert other.to_dict()["loss"] == {"kind": "cross-entropy", "floor": 1e-4}
    assert Loss("cross-entropy", 1e-4).chance(10) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="floor"):
        Loss("cross-entropy")
    with pytest.raises(ValueError, match="expected one of"):
        Loss("hinge")


def test_json_is_read_back_and_a_changed_one_refused(found):
    again = Certificate.from_json(found.to_json())
    assert again == found
    assert repr(again) == repr(found)
    changed = json.loads(found.to_json())
    for key, value in (("value", 0.01), ("kl", 0.0), ("classes", "two"), ("rows", None), ("theorem", "McAllester")):
        with pytest.raises(ValueError, match=r"certificate|account"):
            Certificate.from_json(json.dumps(changed | {key: value}))
    with pytest.raises(ValueError, match="expected the JSON of to_json"):
        Certificate.from_json("{")


def test_files_are_read_back(found, tmp_path):
    again = Certificate.load(found.save(tmp_path / "here"))
    assert again == found
    assert again.posterior.digest() == found.posterior_digest
    assert [a.tolist() for a in again.posterior.mean] == [a.tolist() for a in found.posterior.mean]
    with pytest.raises(ValueError, match="no `posterior`"):
        Certificate.from_json(found.to_json()).save(tmp_path)
    with pytest.raises(ValueError, match="no `posterior`"):
        Certificate.from_json(found.to_json()).verify(X, Y)


def test_the_account_says_everything(found):
    text = repr(found)
    for word in (
        f"<= {found.value:.6f} with probability >= 0.95", "Maurer 2004", "Gibbs network", "n = 40", "8 parameters",
        "0.05 = 0.045 (draw of the points) + 0.005 (Monte Carlo)", "unions        none", "120 independent trials",
        "trained from a new initialisation", f"Test bound: 0-1 error <= {binomial_bound(2, N, 0.05):.6f}",
    ):  # fmt: skip
        assert word in text, text
    assert text.count(found.rows.indices[:12]) == 2


def test_the_better_of_two_bounds_is_paid_for(found):
    chosen = found.best_valid()
    assert chosen.shares == {"gibbs": 0.025, "the prior's mean network": 0.025}
    assert chosen.values["the prior's mean network"] == binomial_bound(2, N, 0.025)
    assert chosen.values["gibbs"] > found.value


def test_hashes_tell_type_shape_and_entries():
    assert digest(np.zeros(4)) != digest(np.zeros(4, np.float32)) != digest(np.zeros((2, 2)))
    assert digest(np.arange(6).reshape(2, 3)) == digest(np.asfortranarray(np.arange(6).reshape(2, 3)))
    with pytest.raises(TypeError, match="object"):
        digest(np.array([None]))
    with pytest.raises(TypeError, match="flatnonzero"):
        distinct("rows", np.array([True, False]), 2)


def test_the_parts_grow_from_the_loss_of_the_draws_to_the_value(found):
    names, values = zip(*found.parts(), strict=True)
    assert names == ("loss in the draws", "draws", "points", "KL")
    assert sorted(values) == list(values)
    assert (values[0], values[1], values[-1]) == (9 / 120, found.risk_bound, found.value)
    chosen = issue(unions=(Union("certificates", 10),))
    assert chosen.parts()[-1] == ("choices", chosen.value)
