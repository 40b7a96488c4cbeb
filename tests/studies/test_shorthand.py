import numpy as np
import pandas as pd
import pytest

from pyphenom.studies import Equal, Greater, Select, claim_about, guard_values, tidy


def test_rows_of_scalars_and_of_curves():
    scalars = tidy({"a": 1.0, "b b": 2})
    assert scalars.to_dict("list") == {"quantity": ["a", "b b"], "value": [1.0, 2.0]}
    at = tidy({"a": 1.0}, step=7)
    assert at.to_dict("list") == {"step": [7], "quantity": ["a"], "value": [1.0]}
    curve = tidy({"a": np.array([1.0, 2.0]), "b": [3.0, 4.0]}, x=(0.1, 0.2))
    assert curve.to_dict("list") == {
        "x": [0.1, 0.2] * 2,
        "quantity": ["a", "a", "b", "b"],
        "value": [1.0, 2.0, 3.0, 4.0],
    }
    assert tidy({"a": 3.0}, x=(1, 2), y=7).to_dict("list") == {
        "x": [1, 2],
        "y": [7, 7],
        "quantity": ["a", "a"],
        "value": [3.0, 3.0],
    }
    for uneven in ({"a": [1.0, 2.0]}, {"a": [1.0], "b": [1.0] * 5}):  # the second has six values, as two by three
        with pytest.raises(ValueError, match="one for each of 3 points"):
            tidy(uneven, x=(1, 2, 3))


def rows():
    parts = [
        tidy({"error": [1.0 + k, 4.0 + k]}, x=(1, 2)).assign(arm=arm, replicate=k) for arm in ("a", "b") for k in (0, 1)
    ]
    measured = pd.concat([*parts, tidy({"other": np.nan}).assign(arm="a", replicate=0)], ignore_index=True)
    return measured.assign(band=0.0)


def test_a_claim_reads_its_quantity_and_arm_alone():
    claim = claim_about("id", Select("error", "a", "x"), Greater(), "says", kind="conditional", primary=False)
    read = claim.reads(rows())
    assert set(read["arm"]) == {"a"}
    assert set(read["quantity"]) == {"error"}
    assert claim.statistic(read).to_numpy().tolist() == [[1.0, 4.0], [2.0, 5.0]]
    assert (claim.id, claim.statement, claim.target, claim.kind) == ("id", "says", 0.0, "conditional")


def test_a_claim_has_its_theory_as_the_target_and_may_change_what_is_judged():
    claim = claim_about(
        "id", Select("error", "b", "x"), Equal(), "says", theory="bound", by=lambda table: table[2] - table[1]
    )
    assert claim.statistic(rows()).tolist() == [3.0, 3.0]
    assert claim.quantities == ("error", "bound")
    predicted = tidy({"bound": [7.0, 8.0], "error": [0.0, 0.0]}, x=(1, 2)).assign(arm="b", band=0.5)
    assert claim.target(predicted).to_numpy().tolist() == [[7.0, 0.5], [8.0, 0.5]]


def test_arms_may_be_named_beside_a_selection_without_one():
    claim = claim_about("id", Select("error", over=("arm", "x")), Greater(), "says", arms=("a", "b"))
    assert claim.arms == ("a", "b")
    assert claim.statistic(rows()).shape == (2, 4)


def test_a_guard_sees_what_does_not_hold_and_nan():
    guard = guard_values("id", "small", "error", lambda v: v < 5.0, ("claim",), ("a",))
    assert (guard.claims, guard.arms) == (("claim",), ("a",))
    assert "violated in 1 rows, first at" in guard.violation(rows())
    assert guard_values("id", "small", "error", lambda v: v < 6.0).violation(rows()) is None
    assert guard_values("id", "known", "other", lambda v: v < 6.0).violation(rows())
