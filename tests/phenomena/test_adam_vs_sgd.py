"""The study of Adam against gradient descent: what validation chooses, where the feature turns, the convex minimum."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from pyphenom.phenomena import adam_vs_sgd as phenomenon
from pyphenom.phenomena.adam_vs_sgd import (
    ADAM,
    ARMS,
    CONVEX,
    DECOUPLED,
    DESCENT,
    DIGITS,
    FOURTH,
    GRIDS,
    SIGNS,
    TURNS,
    study,
)
from pyphenom.studies import Cell, Streams, run
from pyphenom.theory.adam_feature_noise import flip_threshold


@pytest.fixture
def small(monkeypatch):
    """Few steps in few dimensions: what comes out is a matter of the quick preset."""
    sizes = {"DIMENSION": 200, "SPARSITY": 20, "STEPS": 20, "TESTS": 50, "CONVEX_STEPS": 50, "DIGITS_STEPS": 30}
    for name, value in sizes.items():
        monkeypatch.setattr(phenomenon, name, value)
    monkeypatch.setattr(phenomenon, "NOISES", dict.fromkeys(phenomenon.COMPARED, (0.2, 20, 0.1)))


def streams(replicate=0):
    return Streams(0, study.name, replicate)


def measured(arm, replicate=0):
    rows = phenomenon.measure(Cell(arm, {}, replicate), streams(replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


def values(rows, quantity):
    return rows.loc[rows["quantity"] == quantity, "value"].to_numpy()


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_rows_that_are_a_function_of_the_replicate(small, arm):
    first, again, other = (measured(arm, k) for k in (1, 1, 2))
    assert not first["value"].isna().any()
    assert first.equals(again)
    if arm not in phenomenon.COMPARED:  # after few steps nothing is wrong there, or all
        assert not first["value"].equals(other["value"])
    assert torch.get_num_threads() >= 1


def test_a_grid_is_its_rates_alone(small):
    """A network at one rate and decay is the same in a stack of others."""
    together = measured(ADAM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(phenomenon.GRIDS, ADAM, ((1e-2,), ()))
        alone = measured(ADAM)
    for quantity in ("train_error", "test_error", "alignment"):
        here = together[(together["quantity"] == quantity) & (together["rate"] == 1e-2)]["value"].item()
        assert here == pytest.approx(values(alone, quantity).item(), abs=1e-5)
    assert len(values(together, "decayed test_error")) == len(GRIDS[ADAM][1])


@pytest.mark.parametrize("arm", [DESCENT, ADAM, DECOUPLED])
def test_tuned_is_what_validation_chooses(small, arm, monkeypatch):
    """Errors are made up: validation likes the last network best, the test likes the first."""
    count = sum(map(len, GRIDS[arm]))
    made = iter([np.zeros(count), np.linspace(0.9, 0.1, count), np.linspace(0.2, 0.4, count)])
    monkeypatch.setattr(phenomenon, "_errors", lambda *_: next(made))
    assert values(measured(arm), "tuned_error").item() == pytest.approx(0.4)


def test_a_network_without_numbers_is_wrong_and_not_tuned(small, monkeypatch):
    """The second of them is NaN: it errs on everything, and validation prefers another."""
    real = phenomenon.train_patches

    def diverging(*args, **kwargs):
        weights, loss = real(*args, **kwargs)
        weights[1] = np.nan
        return weights, loss

    before = measured(DESCENT)
    monkeypatch.setattr(phenomenon, "train_patches", diverging)
    rows = measured(DESCENT)
    errors = values(rows, "train_error")
    assert errors[1] == values(rows, "test_error")[1] == 1.0
    assert values(rows, "tuned_error").item() < 1.0
    np.testing.assert_array_equal(np.delete(errors, 1), np.delete(values(before, "train_error"), 1))


def test_digits_for_training_validation_and_test_are_different_ones(small, monkeypatch):
    """With all outputs right but on the validation images, the errors are 0, 1 and 0."""
    images, first, last = phenomenon.data.digits(), phenomenon.DIGITS_TRAINED, phenomenon.DIGITS_VALIDATED
    order = streams().rng("data").permutation(len(images))
    truth = torch.nn.functional.one_hot(torch.from_numpy(images.labels[order]), 10).float()
    truth[first : first + last] *= -1.0
    real = phenomenon.outputs

    def outputs(layers, inputs):
        return real(layers, inputs) if len(inputs) < len(truth) else truth.expand(len(layers[0]), -1, -1)

    monkeypatch.setattr(phenomenon, "outputs", outputs)
    rows = measured(DIGITS["adam"])
    assert (values(rows, "train_error") == 0.0).all()
    assert (values(rows, "validation_error") == 1.0).all()
    assert values(rows, "tuned_error").item() == 0.0


def test_the_crossing_is_on_the_line_between_two_points():
    grid, asked = tuple(np.exp([0.0, 1.0, 2.0, 3.0])), []
    for at in (0.7, 1.5, 2.9):
        values = np.sign(at - np.arange(4.0)) * [3.0, 1.0, 1.0, 5.0]
        before = int(at)
        share = values[before] / (values[before] - values[before + 1])
        found = phenomenon._crossing(dict(zip(grid, values, strict=True)).__getitem__, grid)
        assert found == pytest.approx(before + share)
    assert phenomenon._crossing(lambda x: asked.append(x) or 1.0, grid) == np.inf
    assert phenomenon._crossing(lambda x: -1.0, grid) == -np.inf
    assert len(asked) == 3  # of four


@pytest.mark.parametrize(("arm", "power"), [(SIGNS, 3), (FOURTH, 4)])
def test_the_feature_turns_at_the_threshold_and_not_at_another(arm, power):
    rows = measured(arm).set_index(["quantity", "sparsity"])["value"]
    settings = (phenomenon.N, phenomenon.TURN_DIMENSION, 45, phenomenon.TURN_DEVIATION)
    expected = flip_threshold(*settings, power, active=0.5)
    assert np.exp(rows["log_ratio", 45]) == pytest.approx(rows["threshold", 45] / expected)
    assert abs(rows["log_ratio", 45]) < np.log(2.0) < abs(rows["by_norms", 45])
    assert (rows["loss"] < phenomenon.TURN_LOSS).all()
    # With the fewest coordinates one draw may lie within the factor.
    assert (np.abs(rows["one_power_less"].loc[[45, 70]]) > np.log(2.0)).all()


def test_predicted_and_measured_thresholds_have_the_same_growth():
    predicted = phenomenon.predict((), pd.DataFrame())
    for arm in (SIGNS, FOURTH):
        rows = measured(arm)
        expected = predicted[predicted["arm"] == arm]["growth"].to_numpy()
        np.testing.assert_array_equal(rows[rows["quantity"] == "threshold"]["growth"], expected)


def test_both_find_the_minimum_that_scikit_learn_finds():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((30, 50))
    signs = rng.choice([-1.0, 1.0], 30)
    fit = LogisticRegression(C=1 / (30 * phenomenon.RIDGE), fit_intercept=False, solver="newton-cg", tol=1e-10)
    expected = fit.fit(Z * signs[:, None], signs).coef_[0]
    np.testing.assert_allclose(phenomenon._minimum(Z), expected, rtol=1e-4, atol=1e-6)
    rows = measured(CONVEX)
    assert values(rows, "off_gradient").item() < 1e-5
    assert values(rows, "off_adam").item() < 1e-5
    assert values(rows, "apart").item() > 0.1
    assert values(rows, "descent_error").item() < 0.25  # the feature is among the inputs; noise alone leaves a half


def test_the_gap_is_adam_less_descent_in_the_same_replicate():
    cells = [(DESCENT, 0.5, (0.1, 0.3)), (DESCENT, 1.0, (0.9, 0.9)), (ADAM, 1e-3, (0.7, 0.8)), (ADAM, 1e-2, (0.2, 0.3))]
    rows = pd.DataFrame(
        [
            {"arm": arm, "rate": rate, "replicate": k, "quantity": "test_error", "value": value}
            for arm, rate, pair in cells
            for k, value in enumerate(pair)
        ]
    )
    np.testing.assert_allclose(phenomenon._against_descent(ADAM)(rows), [[0.6, 0.1], [0.5, 0.0]])
    np.testing.assert_allclose(phenomenon._against_descent(ADAM, phenomenon._first_rate)(rows), [[0.6], [0.5]])


@pytest.mark.parametrize(
    ("id", "arm", "quantity", "good", "bad"),
    [
        ("fitted", ADAM, "train_error", 0.0, 0.025),
        ("decayed-fitted", DECOUPLED, "decayed train_error", 0.0, 0.025),
        ("turned", SIGNS, "loss", 0.19, 0.21),
    ],
)
def test_guards_see_what_did_not_fit(id, arm, quantity, good, bad):
    (guard,) = (each for each in study.guards if each.id == id)
    rows = pd.DataFrame({"arm": [arm], "quantity": [quantity], "replicate": [0], "value": [good]})
    assert guard.violation(rows) is None
    assert guard.violation(rows.assign(value=bad))
    assert guard.violation(rows.assign(value=np.nan))


@pytest.mark.slow
def test_smoke_confirms_what_is_exact(tmp_path):
    result = run(study, preset="smoke", store=tmp_path)
    assert not result.failures
    words = {verdict.id: verdict.word for verdict in result.verdicts}
    assert words["convex-descent"] == words["convex-adam"] == "CONFIRMED"
    assert words["convex-no-ridge"] == "REFUTED"
    assert not any(result.guards.values())
    assert set(TURNS) <= set(result.rows["arm"])
