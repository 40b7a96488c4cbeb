"""The randomisation tests: whose labels are corrupted, and with which seed."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from pyphenom import data
from pyphenom.phenomena import randomization as phenomenon
from pyphenom.phenomena.randomization import (
    ARMS,
    DIGITS,
    LINEAR,
    NOISE,
    PERMUTED,
    PIXELS,
    RANDOM,
    RATES,
    REDRAWN,
    SHUFFLED,
    SIGNALS,
    TRUE,
    WIDE,
    study,
)
from pyphenom.studies import Cell, Streams, run


@pytest.fixture
def short(monkeypatch):
    """Train for a few steps only: what is learned is a matter of the quick preset, what is measured of this file."""
    for name in ("RECIPE", "SIGNAL_RECIPE"):
        monkeypatch.setattr(phenomenon, name, replace(getattr(phenomenon, name), steps=12))
    monkeypatch.setattr(phenomenon, "TIMES", (6, 12))
    monkeypatch.setattr(phenomenon, "WIDE_N", 40)
    monkeypatch.setattr(phenomenon, "TEST_SIGNALS", 50)


def streams(replicate=0):
    return Streams(0, study.name, replicate)


def measured(arm, replicate=0):
    rows = phenomenon.measure(Cell(arm, {}, replicate), streams(replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


def values(rows, quantity):
    return rows.loc[rows["quantity"] == quantity, "value"].to_numpy()


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_rows_that_are_a_function_of_the_replicate(short, arm):
    first, again, other = (measured(arm, k) for k in (1, 1, 2))
    assert not first["value"].isna().any()
    assert first.equals(again)
    assert not first["value"].equals(other["value"])


@pytest.mark.parametrize("arm", [RATES, RANDOM])
def test_corruption_leaves_the_test_labels_alone(short, monkeypatch, arm):
    """What a training is given as test labels has to be the truth, which a table of all images knows."""
    images = data.digits()
    truth = {row.tobytes(): label for row, label in zip(images.pixels, images.labels, strict=True)}
    given = {}

    def trained(models, X, labels, X_test, y_test, *rest):
        given.update(X=X, labels=labels, X_test=X_test, y_test=y_test)
        return original(models, X, labels, X_test, y_test, *rest)

    original = phenomenon._trained
    monkeypatch.setattr(phenomenon, "_trained", trained)
    measured(arm)
    pixels = images.pixels[streams().rng("data").permutation(len(images))]
    n = len(given["X"])
    assert [truth[row.tobytes()] for row in pixels[n:]] == given["y_test"].tolist()
    true = np.array([truth[row.tobytes()] for row in pixels[:n]])
    # A redrawn label changes with probability 9/10; six binomial standard deviations of n = 500.
    for rate, labels in zip(REDRAWN[arm], given["labels"], strict=True):
        p = 0.9 * rate
        assert np.mean(labels != true) == pytest.approx(p, abs=6 * np.sqrt(p * (1 - p) / n))


def test_corrupted_test_labels_are_missed_as_the_law_says(short):
    """The excess over (1 - p) e + p (1 - 1/K) is chance: six standard deviations of 16 draws on 1297 labels."""
    excess = np.concatenate([values(measured(arm), "noisy_excess") for arm in (TRUE, RATES)])
    assert excess[0] == 0.0
    assert len(excess) == 6
    assert np.abs(excess).max() < 6 * 0.5 / np.sqrt(16 * 1297)


def test_replicates_draw_labels_of_their_own(short, monkeypatch):
    """Two replicates agree on a label drawn uniformly from ten once in ten; six standard deviations are 0.08."""
    drawn, original = [], phenomenon._trained

    def trained(models, X, labels, *rest):
        drawn.append(labels)
        return original(models, X, labels, *rest)

    monkeypatch.setattr(phenomenon, "_trained", trained)
    for replicate in range(3):
        measured(RANDOM, replicate)
    first, second, third = (labels[0] for labels in drawn)
    for one, other in ((first, second), (first, third), (second, third)):
        assert abs(np.mean(one == other) - 0.1) < 0.08


def test_labels_of_a_replicate_are_the_same_in_all_arms_and_nested_in_the_rate():
    y = data.digits().labels[:400]
    labels = [phenomenon._redrawn(y, rate, streams()) for rate in (*REDRAWN[TRUE], *REDRAWN[RATES])]
    for lower, higher in pairwise(labels):
        kept = lower != y
        np.testing.assert_array_equal(higher[kept], lower[kept])


def test_pixels_of_the_arms():
    n = 300
    arms = {arm: phenomenon._images(arm, n, streams()) for arm in DIGITS}
    for _, y, _, y_test in arms.values():
        np.testing.assert_array_equal(y, arms[TRUE][1])
        np.testing.assert_array_equal(y_test, arms[TRUE][3])
    true, shuffled = (np.concatenate(arms[arm][::2]) for arm in (TRUE, SHUFFLED))
    order = [int(np.flatnonzero((true == column[:, None]).all(axis=0))[0]) for column in shuffled.T if column.std() > 0]
    assert len(set(order)) == len(order) > 50  # one permutation, of training and test images alike
    assert order != sorted(order)
    for arm in (PIXELS, NOISE):
        assert not np.array_equal(arms[arm][0], arms[TRUE][0])


def test_differences_are_taken_in_the_replicates_of_both():
    rows = pd.DataFrame(
        [
            {"arm": arm, "replicate": k, "quantity": "fit", "value": 10.0 * number + k**number}
            for number, (arm, count) in enumerate(((TRUE, 2), (RANDOM, 4)), start=1)
            for k in range(count)
        ]
    )
    (claim,) = (claim for claim in study.claims if claim.id == "slower")
    assert claim.statistic(rows).to_numpy().tolist() == [[10.0], [10.0]]


def test_permuted_weights_give_the_same_outputs(short):
    rows = measured(PERMUTED)
    assert values(rows, "moved")[0] < 1e-12 < 1e-3 < values(rows, "unmoved")[0]


def test_the_linear_model_leaves_what_is_not_in_its_span():
    rows = measured(LINEAR)
    assert abs(values(rows, "left")[0]) < 0.01
    assert values(rows, "rank")[0] < phenomenon.N / 4
    assert values(rows, "train_error")[0] > 0.5


def test_binomial_deviation_counts_all_replicates():
    rows = pd.DataFrame(
        [
            {"arm": RANDOM, "replicate": k, "quantity": name, "value": value}
            for k in range(2)
            for name, value in (("fresh_errors", 912.0), ("tests", 1000.0))
        ]
    )
    assert phenomenon._deviation(rows).item() == pytest.approx((1824 - 1800) / np.sqrt(180))


def test_guards_see_what_was_not_fitted(short):
    guards = {guard.id: guard for guard in study.guards}
    for id, arm, bad in (("fitted", SIGNALS, 0.01), ("reached", WIDE, 0.0)):
        rows = measured(arm)
        names = {"fitted": "train_error", "reached": "reached"}
        rows.loc[rows["quantity"] == names[id], "value"] = 1.0 - np.sign(bad)
        assert guards[id].violation(rows) is None
        assert guards[id].violation(rows.assign(value=bad))
        assert guards[id].violation(rows.assign(value=np.nan))


@pytest.mark.slow
def test_smoke_confirms_what_is_exact(tmp_path):
    result = run(study, preset="smoke", store=tmp_path)
    assert not result.failures
    words = {verdict.id: verdict.word for verdict in result.verdicts}
    assert words["permuted"] == "CONFIRMED"
    assert words["unmoved"] == words["linear-memorizes"] == "REFUTED"
    assert {words[name] for name in words if name.startswith("memorizes")} == {"CONFIRMED"}
    assert not [v.id for v in result.verdicts if v.role == "claim" and v.word == "REFUTED"]
