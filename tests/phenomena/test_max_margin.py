"""The study of the max margin: its constants against plain sums, its laws against wrong ones."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from pyphenom.phenomena import max_margin as phenomenon
from pyphenom.phenomena.max_margin import ARMS, FLOW, LOG_TIMES, MIXED, SQUARES, STEPS, THREE, study
from pyphenom.studies import Cell, Streams, run


def streams(replicate=0):
    return Streams(0, study.name, replicate)


def measured(arm, replicate=0):
    rows = phenomenon.measure(Cell(arm, {}, replicate), streams(replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


def values(rows, quantity):
    return rows.loc[rows["quantity"] == quantity, "value"].to_numpy()


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm != THREE])
def test_every_arm_gives_finite_rows_that_are_a_function_of_the_replicate(arm):
    first, again, other = (measured(arm, k) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    assert not np.array_equal(first["value"], other["value"]) or arm == MIXED


def test_the_constants_of_the_three_points_are_those_of_a_plain_minimisation():
    """SLSQP finds w and its multipliers; the rest solves e^-<x, w~> = alpha on the two points that support."""
    X = phenomenon.POINTS
    constraint = {"type": "ineq", "fun": lambda w: X @ w - 1.0}
    w = optimize.minimize(lambda w: 0.5 * w @ w, np.ones(2), constraints=constraint, options={"ftol": 1e-14}).x
    np.testing.assert_allclose(phenomenon.W_HAT, w, atol=1e-7)
    alpha = np.linalg.solve(X[:2].T, w)
    np.testing.assert_allclose(phenomenon.W_TILDE, np.linalg.solve(X[:2], -np.log(alpha)), atol=1e-6)


def test_the_margin_gap_of_w_hat_log_t_plus_w_tilde_has_the_constant_of_the_entropies():
    X, (hat, tilde) = phenomenon.POINTS, (phenomenon.W_HAT, np.array(phenomenon.W_TILDE))
    weights = np.linalg.solve(X[:2].T, hat)
    log_t = 1e7
    w = hat * log_t + tilde
    gap = 1.0 - (X @ w).min() / np.linalg.norm(w) * np.linalg.norm(hat)
    dual = np.r_[weights / weights.sum(), 0.0]
    assert gap * log_t == pytest.approx(phenomenon._entropies(dual), rel=1e-5)


def test_equal_dual_weights_have_no_gap_and_unequal_ones_do():
    assert phenomenon._entropies(np.array([0.25] * 4 + [0.0])) == pytest.approx(0.0, abs=1e-15)
    assert phenomenon._entropies(np.array([0.5, 0.25, 0.25])) == pytest.approx(0.5 * np.log(2.0))


def test_angles_are_exact_where_they_are_small():
    w = np.array([[1.0, 1e-9], [0.0, 3.0]])
    np.testing.assert_allclose(phenomenon._angles(w, np.array([2.0, 0.0])), [1e-9, np.pi / 2], rtol=1e-9)


def test_descent_and_squares_see_the_data_of_the_flow(monkeypatch):
    seen = []
    solve = phenomenon.hard_margin
    monkeypatch.setattr(phenomenon, "hard_margin", lambda X, y: seen.append(X) or solve(X, y))
    for arm in (FLOW, STEPS, SQUARES):
        measured(arm)
    assert np.array_equal(seen[0], seen[1])
    assert np.array_equal(seen[0], seen[2])


def test_a_margin_over_the_wrong_norm_is_refuted(tmp_path, monkeypatch):
    """The laws of the flow as they stand; then every margin is divided by the l1 norm."""
    monkeypatch.setitem(phenomenon.REPLICATES, "smoke", dict.fromkeys(ARMS, 12) | {THREE: 1})
    words = {verdict.id: verdict.word for verdict in run(study, preset="smoke", store=tmp_path / "right").verdicts}
    laws = ("loss-slope", "norm-slope", "margin-gap", "direction", "smallest-norm", "estimate")
    assert {words[name] for name in laws} == {"CONFIRMED"}
    assert {words[control.id] for control in study.controls} == {"REFUTED"}

    class Wrong:
        def __init__(self, path):
            self._path = path

        def __getattr__(self, name):
            return getattr(self._path, name)

        def margin(self, norm="l1"):
            return self._path.margin("l1")

    flow = phenomenon.gradient_flow
    monkeypatch.setattr(phenomenon, "gradient_flow", lambda *a, **o: Wrong(flow(*a, **o)))
    words = {verdict.id: verdict.word for verdict in run(study, preset="smoke", store=tmp_path / "wrong").verdicts}
    assert words["margin-gap"] == "REFUTED"


def test_guards_see_what_is_not_separable_and_not_yet_fitted():
    guards = {guard.id: guard for guard in study.guards}
    for id, arm, quantity, good, bad in (
        ("certified", STEPS, "duality gap", 1e-12, 1.0),
        ("fitted", FLOW, "smallest margin", 5.0, 4.0),
        ("inseparable", MIXED, "separable", 0.0, 1.0),
    ):
        rows = pd.DataFrame({"arm": [arm], "quantity": [quantity], "replicate": [0], "value": [good]})
        assert guards[id].violation(rows) is None
        assert guards[id].violation(rows.assign(value=bad))
        assert guards[id].violation(rows.assign(value=np.nan))


def test_every_claimed_ratio_is_predicted_at_the_recorded_times():
    predicted = phenomenon.predict((), pd.DataFrame())
    flow = predicted[(predicted["arm"] == FLOW) & (predicted["quantity"] == "gap over theory")]
    assert tuple(flow["log_time"]) == LOG_TIMES
    rows = measured(FLOW)
    assert set(predicted.loc[predicted["arm"] == FLOW, "quantity"]) <= set(rows["quantity"])
