import numpy as np
import pandas as pd
import pytest
from synthetic import VALUE, claim, judged, measurement

from pyphenom.studies import Claim, ClaimError, Curve, Equal, Greater, Guard, Select

VALUES = np.arange(12.0).reshape(4, 3) + 1.0


def words(*claims, **options):
    return [v.word for v in judged(measurement(VALUES, claims, **options))[0]]


def test_an_infinite_prediction_is_an_error_of_its_author():
    with pytest.raises(ClaimError, match=r"synthetic, claim 'claim': .*not finite at \['1'\].*other points"):
        words(claim(Curve()), predicted=[1.0, np.inf, 1.0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (claim(Equal()), "3 points.*use Curve"),
        (claim(Curve(), target=lambda rows: VALUE.predicted(rows)[:2]), r"nothing is predicted.*\['2'\]"),
        (claim(Curve(), target=0.0), "absolute=True"),
        (claim(Curve(), target=(1.0, -1.0)), "band"),
        (Claim("claim", "", Select("other").measured, Greater()), "no row is selected"),
        (Claim("claim", "", lambda rows: rows["nowhere"], Greater()), "KeyError: 'nowhere'"),
        (Claim("claim", "", lambda rows: np.empty(0), Greater()), "empty"),
    ],
)
def test_a_claim_that_cannot_be_read_is_named(wrong, message):
    with pytest.raises(ClaimError, match=f"synthetic, claim 'claim': .*{message}"):
        words(wrong, predicted=1.0)


def test_a_prediction_or_a_guard_that_raises_is_named():
    with pytest.raises(ClaimError, match=r"synthetic, predict: .*broadcast"):
        words(claim(Curve()), predicted=[1.0, 2.0])
    with pytest.raises(ClaimError, match="synthetic, guard 'g': ZeroDivisionError"):
        words(claim(Greater(), target=0.0), guards=[Guard("g", "", lambda rows: 1 / 0)])


def test_targets_are_matched_by_label_and_may_hold_more():
    def shuffled(rows):
        extra = pd.DataFrame({"value": [np.inf], "band": [0.0]}, index=pd.Index([9], name="point"))
        return pd.concat([VALUE.predicted(rows)[::-1], extra])

    truth = np.array([1.0, 2.0, 4.0])
    values = truth * np.array([[0.99], [1.0], [1.01]])
    targets = [VALUE.predicted, shuffled, lambda rows: shuffled(rows)["value"], lambda rows: truth]
    claims = [claim(Curve(0.5), str(i), target) for i, target in enumerate(targets)]
    assert [v.word for v in judged(measurement(values, claims, predicted=truth))[0]] == ["CONFIRMED"] * 4


def test_statistics_may_be_tables_vectors_or_arrays():
    def mean(rows):
        return VALUE.measured(rows).mean(axis=1)

    forms = (mean, lambda rows: mean(rows).to_frame(), lambda rows: mean(rows).to_numpy())
    target = VALUES.mean()
    found = judged(measurement(VALUES, [Claim(str(i), "", f, Equal(9.0), target) for i, f in enumerate(forms)]))[0]
    assert {(v.measured, v.word) for v in found} == {(target, "CONFIRMED")}
    assert {tuple(v.point) for v in found} == {()}


def test_only_what_a_claim_reads_can_void_it():
    values = VALUES.copy()
    values[0, 0] = np.nan
    reading = [claim(Greater(), "all", target=0.0), claim(Greater(), "other", target=0.0, quantities=("none",))]
    other = Claim("other", "", lambda rows: np.ones(4) * len(rows), Greater(-1.0), arms=("b",))
    found = judged(measurement(values, [reading[0], other]))[0]
    assert [v.word for v in found] == ["VOID", "CONFIRMED"]
    assert found[1].measured == 0.0
    with pytest.raises(ClaimError, match=r"'other'.*no row"):
        judged(measurement(values, reading))
