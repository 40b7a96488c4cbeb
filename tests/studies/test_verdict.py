import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from synthetic import claim, judged, measurement, verdict

from pyphenom.studies import Claim, Curve, Equal, Equivalent, Greater, Guard, Identity, Less, Within
from pyphenom.studies.evidence import Evidence
from pyphenom.studies.verdict import judge, overall

# Mean 0, standard error exactly 1 with n = 5, where t(.975) = 2.776: the intervals are known.
UNIT = np.array([-1.0, -1.0, 0.0, 1.0, 1.0]) * np.sqrt(5.0)
HALF = stats.t.isf(0.025, 4)


def at(mean, error=1.0):
    return mean + error * UNIT


CASES = [
    # relation, values, target, word
    (Equal(0.5), at(10.0), 10.0, "CONFIRMED"),
    (Equal(0.2), at(10.0), 10.0, "INCONCLUSIVE"),  # half-width 2.8 exceeds 2
    (Equal(0.5), at(12.7), 10.0, "CONFIRMED"),
    (Equal(0.5), at(12.8), 10.0, "REFUTED"),
    (Equal(0.5), at(7.2), 10.0, "REFUTED"),
    (Equal(0.5), at(12.8), (10.0, 0.1), "CONFIRMED"),  # the stated error of the theory
    (Equal(0.5), at(12.9), (10.0, 0.1), "REFUTED"),
    (Equal(3.0, absolute=True), at(0.5), 0.0, "CONFIRMED"),
    (Equal(2.0, absolute=True), at(0.5), 0.0, "INCONCLUSIVE"),
    (Equal(0.5), at(-10.0), -10.0, "CONFIRMED"),
    (Equivalent(3.0), at(0.2), 0.0, "CONFIRMED"),
    (Equivalent(3.0), at(0.3), 0.0, "INCONCLUSIVE"),
    (Equivalent(3.0), at(5.7), 0.0, "INCONCLUSIVE"),
    (Equivalent(3.0), at(5.8), 0.0, "REFUTED"),
    (Equivalent(3.0), at(0.2), (0.0, 0.1), "INCONCLUSIVE"),  # the band narrows what confirms
    (Equivalent(3.0), at(5.8), (0.0, 0.1), "INCONCLUSIVE"),  # and widens what does not refute
    (Greater(1.0), at(3.8), 0.0, "CONFIRMED"),
    (Greater(1.0), at(3.7), 0.0, "INCONCLUSIVE"),
    (Greater(1.0), at(-1.7), 0.0, "INCONCLUSIVE"),
    (Greater(1.0), at(-1.8), 0.0, "REFUTED"),
    (Greater(1.0), at(3.8), 1.0, "INCONCLUSIVE"),
    (Less(1.0), at(-1.8), 0.0, "CONFIRMED"),
    (Less(1.0), at(-1.7), 0.0, "INCONCLUSIVE"),
    (Less(1.0), at(3.8), 0.0, "REFUTED"),
    (Within(-3.0, 4.0), at(0.5), 0.0, "CONFIRMED"),
    (Within(-3.0, 4.0), at(-0.3), 0.0, "INCONCLUSIVE"),
    (Within(-3.0, 4.0), at(7.0), 0.0, "REFUTED"),
    (Within(-3.0, 4.0), at(-6.0), 0.0, "REFUTED"),
    (Identity(1e-12), [1.0, 1.0 + 1e-13], 1.0, "CONFIRMED"),
    (Identity(1e-12), [1.0, 1.0 + 1e-11], 1.0, "REFUTED"),
    (Identity(1e-12), [1.0], 1.0, "CONFIRMED"),
    (Identity(1e-12), [1.0, 1.0 + 1e-11], (1.0, 1e-10), "CONFIRMED"),
]


@pytest.mark.parametrize(("relation", "values", "target", "word"), CASES)
def test_every_relation_decides_as_its_rule_says(relation, values, target, word):
    assert verdict(relation, values, target).word == word


@pytest.mark.parametrize("relation", [Equal(0.5), Equivalent(3.0), Greater(1.0), Less(1.0), Within(-3.0, 4.0)])
@pytest.mark.parametrize("mean", np.linspace(-15.0, 15.0, 61).tolist())
def test_the_word_agrees_with_the_printed_interval(relation, mean):
    found = verdict(relation, at(mean), 4.0)
    low, high = found.adjusted
    inside = found.allowed[0] <= low and high <= found.allowed[1]
    outside = high < found.allowed[0] or found.allowed[1] < low
    assert (found.word == "REFUTED") == outside
    if not isinstance(relation, Equal):
        assert (found.word == "CONFIRMED") == inside


def test_the_record_holds_the_effect():
    found = verdict(Equal(0.5), at(12.0), (10.0, 0.25), kind="conditional")
    assert (found.measured, found.standard_error) == pytest.approx((12.0, 1.0))
    assert (found.predicted, found.band, found.allowed) == (10.0, 0.25, (10.0, 10.0))
    assert found.z == pytest.approx(2.0)
    assert found.interval == pytest.approx((12.0 - HALF, 12.0 + HALF))
    assert found.adjusted == pytest.approx(found.interval)
    assert (found.replicates, found.points, found.point) == (5, 1, {"point": 0})
    assert (found.kind, found.role, found.expected) == ("conditional", "claim", "CONFIRMED")
    assert found.relation == "Equal(resolution=0.5, absolute=False)"


def test_a_record_is_strict_json():
    for values in (at(12.0), [1.0], [np.nan, 1.0]):
        record = verdict(Greater(), values).to_dict()
        assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_a_curve_is_as_strict_as_the_number_of_its_points_asks():
    # t(.05/2) = 2.776 refutes one point at 3 standard errors, t(.05/2/4) = 4.315 does not refute one of four.
    assert verdict(Curve(0.5), at(13.0), 10.0).word == "REFUTED"
    values = np.column_stack([at(10.0), at(10.0), at(13.0), at(10.0)])
    assert verdict(Curve(0.5), values, 10.0).word == "CONFIRMED"
    found = verdict(Curve(0.5), values + np.array([0, 0, 2, 0]), 10.0)
    assert (found.word, found.points, found.point) == ("REFUTED", 4, {"point": 2})
    assert found.z == pytest.approx(5.0)
    assert found.level == pytest.approx(0.05 / 4)
    assert found.adjusted[1] - found.measured == pytest.approx(stats.t.isf(0.05 / 8, 4))


def test_one_unresolved_point_leaves_a_curve_undecided():
    values = np.column_stack([at(10.0, 0.1), at(1.0, 1.0)])
    (found,) = judged(measurement(values, [claim(Curve(0.5))], predicted=[10.0, 1.0]))[0]
    assert (found.word, found.point) == ("INCONCLUSIVE", {"point": 1})
    assert found.needed > 5


def test_greater_at_every_point():
    low, high = at(1.0), at(9.0)
    assert verdict(Greater(), np.column_stack([high, high])).word == "CONFIRMED"
    assert verdict(Greater(), np.column_stack([high, low])).word == "INCONCLUSIVE"
    assert verdict(Greater(), np.column_stack([high, -high])).word == "REFUTED"


@pytest.mark.parametrize("relation", [Equal(0.5), Curve(0.5), Equivalent(1.0), Greater(), Less(), Within(0.0, 1.0)])
def test_one_replicate_is_inconclusive(relation):
    found = verdict(relation, [7.0], 7.0)
    assert (found.word, found.needed) == ("INCONCLUSIVE", 2)


def test_identical_replicates_are_decided_and_said_to_be_so():
    found = verdict(Equal(0.05), [0.3] * 5, 0.1 + 0.2)
    assert found.word == "CONFIRMED"
    assert "agree exactly" in found.advice
    assert verdict(Equal(0.05), [0.3] * 5, 0.3001).word == "REFUTED"
    assert verdict(Greater(0.5), [1.0] * 5).word == "CONFIRMED"
    assert verdict(Equal(0.05, absolute=True), [0.0] * 5, 0.0).word == "CONFIRMED"
    assert verdict(Equal(0.05, absolute=True), [0.0] * 5, 1.0).word == "REFUTED"


def test_the_replicates_that_would_decide():
    found = verdict(Equal(0.2), at(10.0), 10.0)  # standard deviation sqrt(5), allowed 2
    n = found.needed
    assert stats.t.isf(0.025, n - 1) * np.sqrt(5.0 / n) <= 2.0 < stats.t.isf(0.025, n - 2) * np.sqrt(5.0 / (n - 1))
    assert str(n) in found.advice
    assert verdict(Greater(1.0), at(1.0)).advice == "more replicates would not decide"


def test_a_mean_on_the_wrong_side_is_held_against_the_level_that_refutes():
    # With many claims that are confirmed the level for one more is .05, and for a refutation .05 over all of them.
    *_, (found,) = judged(*family(*[50.0] * 20), *family(-4.0))
    assert found.word == "INCONCLUSIVE"
    assert found.level == pytest.approx(0.05 / 21)
    assert found.adjusted[1] > 0.0
    assert found.needed > found.replicates


def test_nan_voids_and_says_where():
    found = verdict(Equal(), [1.0, np.nan, 1.0], 1.0)
    assert found.word == "VOID"
    assert "1 measured values are NaN, first value in arm a, replicate 1" in found.advice
    assert "not finite in the replicates [2]" in verdict(Equal(), [1.0, 1.0, np.inf], 1.0).advice


def test_a_secondary_claim_has_an_interval_and_no_word():
    primary, secondary = judged(
        measurement(at(3.0)[:, None], [claim(Greater(), "one"), claim(Greater(), "two", primary=False)], predicted=0.0)
    )[0]
    assert (secondary.word, secondary.expected, secondary.as_expected) == (None, None, True)
    assert secondary.interval == pytest.approx((3.0 - HALF, 3.0 + HALF))
    assert primary.level == 0.05  # the family is not larger for it


def family(*means, relation=None):
    """Five replicates for each scalar claim, with unit standard error."""
    return [
        measurement(at(mean)[:, None], [claim(relation or Greater(), target=0.0)], name=f"study {i}")
        for i, mean in enumerate(means)
    ]


def two_sided(z):
    return 2.0 * stats.t.sf(abs(z), 4)


def test_holm_runs_over_all_studies_of_a_run():
    # By hand: two-sided p of z = 3 is .0399, and of z = 6 is .0039.
    assert two_sided(3.0) == pytest.approx(0.0399, abs=1e-4)
    assert two_sided(6.0) == pytest.approx(0.0039, abs=1e-4)
    words = [study[0].word for study in judged(*family(3.0))]
    assert words == ["CONFIRMED"]
    words = [study[0].word for study in judged(*family(3.0, 3.0))]
    assert words == ["INCONCLUSIVE"] * 2  # .0399 > .05/2
    found = judged(*family(3.0, 6.0))
    assert [study[0].word for study in found] == ["CONFIRMED"] * 2  # .0039 <= .05/2, then .0399 <= .05
    assert [study[0].level for study in found] == [0.05, 0.025]


def test_refutations_and_confirmations_are_two_families():
    # A refutation at .0399 stands beside a confirmation at .0399 only if each family corrects for both claims.
    words = [study[0].word for study in judged(*family(-3.0, 3.0))]
    assert words == ["INCONCLUSIVE"] * 2
    words = [study[0].word for study in judged(*family(-6.0, 6.0))]
    assert words == ["REFUTED", "CONFIRMED"]


def test_identities_stay_outside_the_family_and_void_claims_inside():
    exact = measurement(np.ones((5, 1)), [claim(Identity(0.0), target=1.0)])
    assert judged(exact, *family(3.0))[1][0].word == "CONFIRMED"
    void = measurement(np.full((5, 1), np.nan), [claim(Greater(), target=0.0)])
    assert judged(void, *family(3.0))[1][0].word == "INCONCLUSIVE"


def controlled(control_mean, protects=(), claim_mean=10.0):
    values = np.column_stack([at(claim_mean), at(control_mean)])
    first = replace(claim(Greater(), "first"), statistic=lambda rows: rows[rows["point"] == 0]["value"].to_numpy())
    second = replace(first, id="second")
    control = replace(
        claim(Greater(), "control", protects=protects),
        statistic=lambda rows: rows[rows["point"] == 1]["value"].to_numpy(),
    )
    constant = [replace(c, target=0.0) for c in (first, second, control)]
    return judged(measurement(values, constant[:2], constant[2:]))[0]


def test_a_control_that_shows_the_effect_voids_what_it_protects():
    first, second, control = controlled(10.0, protects=("second",))
    assert (first.word, second.word, control.word) == ("CONFIRMED", "VOID", "CONFIRMED")
    assert (first.as_expected, second.as_expected, control.as_expected) == (True, False, False)
    assert "control" in second.advice
    assert [v.word for v in controlled(10.0)] == ["VOID", "VOID", "CONFIRMED"]


def test_an_undecided_control_caps_what_it_protects():
    assert [v.word for v in controlled(0.5)] == ["INCONCLUSIVE"] * 3
    assert [v.word for v in controlled(0.5, protects=("first",))] == ["INCONCLUSIVE", "CONFIRMED", "INCONCLUSIVE"]
    assert [v.word for v in controlled(0.5, claim_mean=-10.0)] == ["REFUTED", "REFUTED", "INCONCLUSIVE"]


def test_a_refuted_control_is_as_expected():
    *claims, control = controlled(-10.0)
    assert [v.word for v in claims] == ["CONFIRMED"] * 2
    assert (control.word, control.expected, control.as_expected, control.advice) == ("REFUTED", "REFUTED", True, "")


def test_guards_void_the_claims_they_concern():
    def guards(*ids):
        return [Guard("regime", "values stay below 5", lambda rows: rows[~(rows["value"] < 5.0)], claims=ids)]

    claims = [claim(Greater(), "one", target=0.0), claim(Greater(), "two", target=0.0)]
    values = np.full((5, 1), 3.0)
    values[2] = 6.0
    one, two = judged(measurement(values, claims, guards=guards("two")))[0]
    assert (one.word, two.word) == ("CONFIRMED", "VOID")
    assert "guard regime: values stay below 5: violated in 1 rows" in two.advice
    assert "replicate=2" in two.advice
    assert [v.word for v in judged(measurement(values, claims, guards=guards()))[0]] == ["VOID", "VOID"]
    assert [v.word for v in judged(measurement(values - 3.0, claims, guards=guards()))[0]] != ["VOID", "VOID"]
    failing = [Guard("always", "never holds", lambda rows: False)]
    assert judged(measurement(values, claims, guards=failing))[0][0].advice == "guard always: never holds"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["CONFIRMED", "CONFIRMED"], "CONFIRMED"),
        (["CONFIRMED", "INCONCLUSIVE"], "INCONCLUSIVE"),
        (["INCONCLUSIVE", "REFUTED", "CONFIRMED"], "REFUTED"),
        (["REFUTED", "VOID"], "VOID"),
        ([], "VOID"),
    ],
)
def test_the_word_of_a_study(words, expected):
    base = verdict(Greater(), at(1.0))
    control = replace(base, role="control", word="REFUTED")
    assert overall([*(replace(base, word=word) for word in words), control]) == expected


def evidence(relation, values, target):
    """A claim whose statistic is known already."""
    points = values.shape[1]
    labels = tuple({"point": k} for k in range(points))
    bare = Claim("claim", "", lambda rows: rows, relation)
    return Evidence(bare, "claim", "", values, labels, np.broadcast_to(target, points), np.zeros(points))


def words(*family):
    return [verdict.word for verdict in judge([family])[0]]


def test_rarely_any_true_claim_of_a_run_is_refuted():
    """Family-wise error over a curve of six points, an equality, and an ordering at its edge.

    With a true error of at most .05, 2000 runs give more than .05 + 4 sqrt(.05 * .95 / 2000) = .070 with probability
    of less than 1e-4.
    """
    rng = np.random.default_rng(1)
    refuted = 0
    for _ in range(2000):
        found = words(
            evidence(Curve(0.5), 10.0 + rng.normal(size=(6, 6)), 10.0),
            evidence(Equal(0.5), 10.0 + rng.normal(size=(6, 1)), 10.0),
            evidence(Greater(), rng.normal(size=(6, 1)), 0.0),
        )
        refuted += "REFUTED" in found
    assert refuted / 2000 < 0.070
    assert refuted / 2000 > 0.025  # and the level is used, not wasted


def test_rarely_any_false_claim_of_a_run_is_confirmed_by_a_test():
    """As above, for three claims that are false by nothing: their means lie on the edges of their regions."""
    rng = np.random.default_rng(2)
    confirmed = 0
    for _ in range(2000):
        found = words(
            evidence(Greater(), rng.normal(size=(6, 1)), 0.0),
            evidence(Less(), rng.normal(size=(6, 1)), 0.0),
            evidence(Equivalent(3.0), 3.0 + rng.normal(size=(6, 1)), 0.0),
        )
        confirmed += "CONFIRMED" in found
    assert confirmed / 2000 < 0.070
    assert confirmed > 0


def test_correlated_points_keep_the_level_of_a_curve():
    """Points of one replicate share their streams: correlation .9. Same bound as above."""
    rng = np.random.default_rng(4)
    root = np.linalg.cholesky(0.9 + 0.1 * np.eye(6))
    runs = (words(evidence(Curve(0.5), 10.0 + rng.normal(size=(6, 6)) @ root.T, 10.0)) for _ in range(2000))
    assert sum(found == ["REFUTED"] for found in runs) / 2000 < 0.070


def test_a_wrong_theory_is_found_out():
    """A prediction that is wrong by 2 standard deviations at one of six points, with ten replicates.

    The noncentrality is 6.3 against t* = 3.3 (level .05/6), a power of about .98: fewer than 372 of 400 is a matter
    of 1e-8. A right theory at a wide resolution is confirmed whenever it is not refuted, hence in 95 % of runs:
    fewer than 360 of 400 is a matter of 1e-4.
    """
    rng = np.random.default_rng(3)
    wrong = np.array([10.0, 10.0, 10.0, 12.0, 10.0, 10.0])
    samples = [10.0 + rng.normal(size=(10, 6)) for _ in range(400)]
    found = [judge([[evidence(Curve(0.4), sample, wrong)]])[0][0] for sample in samples]
    assert sum(v.word == "REFUTED" and v.point == {"point": 3} for v in found) >= 372
    assert sum(words(evidence(Curve(0.4), sample, 10.0)) == ["CONFIRMED"] for sample in samples) >= 360
