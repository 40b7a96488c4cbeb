from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pyphenom.phenomena import flatness as phenomenon
from pyphenom.phenomena.flatness import (
    ARMS,
    BATCHES,
    EPOCHS,
    FIXED_RATE,
    FIXED_RATIO,
    INJECTED,
    LINEAR,
    NET_EPOCHS,
    NET_REPLACED,
    NETWORK,
    REPLACED,
    RESCALED,
    study,
)
from pyphenom.studies import Cell, Streams, run


@pytest.fixture
def short(monkeypatch):
    """Train and record for a few steps only: what is learned is a matter of the quick preset."""
    monkeypatch.setattr(phenomenon, "RECIPE", replace(phenomenon.RECIPE, steps=20))
    for name, value in {"NET_BURN_IN": 3, "NET_STEPS": 20, "ROUNDS": 1, "WINDOW": 1, "NET_N": 256, "NET_M": 2}.items():
        monkeypatch.setattr(phenomenon, name, value)


def measured(arm, replicate=0):
    rows = phenomenon.measure(Cell(arm, {}, replicate), Streams(0, study.name, replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


def values(rows, quantity):
    return rows.loc[rows["quantity"] == quantity, "value"].to_numpy()


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_finite_rows_that_are_a_function_of_the_replicate(short, arm):
    first, again, other = (measured(arm, k) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    assert not first["value"].equals(other["value"])


@pytest.mark.parametrize("arm", LINEAR)
def test_one_replicate_lies_near_its_theory_and_the_samplers_differ(arm):
    rows = measured(arm)
    value, band = phenomenon._least_squares_theory(arm, phenomenon.CURVATURES)
    # 32 chains of 20 relaxation times: 6 % of standard error in the flattest direction.
    np.testing.assert_allclose(values(rows, "variance"), value + band, rtol=0.3)
    assert values(rows, "noise_misfit") <= 1e-12
    other, _ = phenomenon._least_squares_theory(EPOCHS if arm == REPLACED else REPLACED, phenomenon.CURVATURES)
    assert abs(np.log(values(rows, "variance")[0] / other[0])) > 0.6


def test_rescaled_layers_keep_the_function_and_change_the_plain_sharpness(short):
    rows = measured(RESCALED)
    for quantity in ("output_change", "relative_change", "formula_misfit"):
        assert np.abs(values(rows, quantity)).max() < 1e-12
    change = np.abs(np.log(values(rows, "plain_ratio")))
    np.testing.assert_array_equal(change > 0.1, np.array(phenomenon.SCALES) != 1.0)


def test_both_step_sizes_agree_at_the_batch_size_of_reference(short):
    fixed, ratio = (measured(arm).set_index("batch_size") for arm in (FIXED_RATE, FIXED_RATIO))
    reference = phenomenon.REFERENCE
    assert fixed.loc[reference, "value"].tolist() == ratio.loc[reference, "value"].tolist()
    others = [size for size in BATCHES if size != reference]
    assert (fixed.loc[others, "value"].to_numpy() != ratio.loc[others, "value"].to_numpy()).any()


def test_arms_around_the_minimum_share_the_network(short):
    first, second, minimum = (measured(arm) for arm in (NET_REPLACED, NET_EPOCHS, NETWORK))
    assert values(first, "window") == values(second, "window")
    assert not np.array_equal(values(first, "net_variance"), values(second, "net_variance"))
    assert {"alignment", "rotated alignment", "escape", "rotated escape", "exponent"} <= set(minimum["quantity"])


def test_every_point_that_has_a_theory_is_predicted(short):
    rows = pd.concat([measured(arm, k) for arm in ARMS for k in range(2)])
    predicted = phenomenon.predict((), rows)
    for quantity, axis in (("variance", "curvature"), ("net_variance", "curvature"), ("plain_ratio", "scale")):
        here = rows[rows["quantity"] == quantity][["arm", axis]].drop_duplicates()
        theory = predicted[predicted["quantity"] == quantity]
        assert len(here) == len(here.merge(theory, on=["arm", axis]))
    slopes = predicted[predicted["quantity"] == "slope"].set_index("arm")["value"]
    assert slopes[REPLACED] == pytest.approx(0.0, abs=0.03)
    assert slopes[INJECTED] == pytest.approx(-1.0, abs=0.03)
    assert 0.85 < slopes[EPOCHS] < 1.0


def test_growth_is_the_exponent_in_the_batch_size():
    table = pd.DataFrame([3.0 * np.array(BATCHES) ** 0.7], columns=BATCHES)
    assert phenomenon._growth(table).item() == pytest.approx(0.7)
    assert phenomenon._rank(table) == [1.0]


@pytest.mark.parametrize(
    ("guard", "quantity", "good", "bad"),
    [
        ("exact-noise", "noise_misfit", 0.0, 1e-6),
        ("window", "window", 20.0, 2.0),
        ("stationary", "drift", 1.0, 8.0),
        ("gradient", "gradient", 0.002, 0.1),
        ("network-window", "window", 12.0, 3.0),
        ("network-stationary", "drift", 0.1, 0.5),
        ("trained", "train_loss", 0.1, 2.0),
    ],
)
def test_guards_see_what_does_not_hold(guard, quantity, good, bad):
    (guard,) = (each for each in study.guards if each.id == guard)
    rows = pd.DataFrame({"arm": guard.arms[0], "quantity": [quantity], "replicate": 0, "value": good})
    assert guard.violation(rows) is None
    assert guard.violation(rows.assign(value=bad))
    assert guard.violation(rows.assign(value=np.nan))


@pytest.mark.slow
def test_smoke_gives_rows_and_confirms_the_identities(tmp_path):
    result = run(study, preset="smoke", store=tmp_path)
    assert not result.failures
    words = {verdict.id: verdict.word for verdict in result.verdicts}
    assert {words[f"rescaling-{name}"] for name in ("outputs", "relative", "plain")} == {"CONFIRMED"}
    assert words["rescaling-leaves-plain"] == "REFUTED"
    assert not [v.id for v in result.verdicts if v.role == "claim" and v.word == "REFUTED"]
