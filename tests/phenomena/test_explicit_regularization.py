"""The study of explicit regularisers: its stacked program against torch's own layers, its labels, and its effects."""

from dataclasses import replace
from itertools import combinations, islice, product

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

from pyphenom import data
from pyphenom.phenomena import explicit_regularization as phenomenon
from pyphenom.phenomena.explicit_regularization import (
    ALL,
    ALONE,
    AT_RANDOM,
    CLASSES,
    CROSSED,
    DECAY,
    DIGITS,
    DRAWS,
    DROPOUT,
    FITTED,
    GAP,
    NONE,
    NORM,
    NOT_FITTED,
    RANDOM,
    REGULARISERS,
    SHIFT,
    SIGNALS,
    STOP,
    SWITCHES,
    TABLES,
    TRUE,
    USUAL,
    ZERO,
    N,
    study,
)
from pyphenom.studies import Cell, Streams, run

ARMS = (*TABLES, ZERO)


@pytest.fixture
def short(monkeypatch):
    """Train for a few steps only: what is learned is a matter of the quick preset, what is measured of this file."""
    monkeypatch.setattr(phenomenon, "RECIPE", replace(phenomenon.RECIPE, steps=12))
    monkeypatch.setattr(phenomenon, "STOPS", 2)


def streams(replicate=0):
    return Streams(0, study.name, replicate)


def measured(arm, replicate=0):
    rows = phenomenon.measure(Cell(arm, {}, replicate), streams(replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


def made(quantity, values, arm=DIGITS):
    """Return two equal replicates of one value for each setting."""
    rows = pd.DataFrame({"setting": list(values), "value": list(values.values())})
    return pd.concat([rows.assign(replicate=k, quantity=quantity, arm=arm) for k in (0, 1)], ignore_index=True)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_rows_that_are_a_function_of_the_replicate(short, arm):
    first, again, other = (measured(arm, k) for k in (1, 1, 2))
    assert not first["value"].isna().any()
    assert first.equals(again)
    assert not first["value"].equals(other["value"])


# ---- the program -------------------------------------------------------------------------------------------------


def trained_alone(setting, pool, labels, steps, until=None):
    """Train one network of torch's layers in a plain loop, on the batches, moves and masks of the replicate."""
    net = phenomenon._network(pool[0], streams(), torch.float64)
    norm = nn.BatchNorm1d(phenomenon.WIDTH, momentum=1.0, dtype=torch.float64) if NORM in setting else nn.Identity()
    parameters = [*net.parameters(), *norm.parameters()]
    recipe = phenomenon.RECIPE
    optimiser = torch.optim.SGD(parameters, recipe.learning_rate, recipe.momentum, weight_decay=setting.get(DECAY, 0.0))
    moves, drops = streams().rng("translations"), streams().rng("dropout")
    p, order = setting.get(DROPOUT, 0.0), np.random.default_rng(streams().seed("order"))
    permuted = np.concatenate([order.permutation(N) for _ in range(2)])
    still = torch.from_numpy(pool[len(pool) // 2])
    for step in range(until or steps):
        batch = permuted[50 * step : 50 * (step + 1)]
        move = moves.integers(len(pool), size=50)
        places = move if SHIFT in setting else np.full(50, len(pool) // 2)
        x = torch.from_numpy(np.stack([pool[place, row] for place, row in zip(places, batch, strict=True)]))
        kept = torch.from_numpy(drops.random((50, phenomenon.WIDTH), dtype=np.float32) >= p) / (1.0 - p)
        optimiser.param_groups[0]["lr"] = recipe.learning_rate * (steps - step) / steps
        optimiser.zero_grad()
        functional.cross_entropy(net[2](torch.relu(norm(net[0](x))) * kept), labels[batch]).backward()
        optimiser.step()
    if NORM in setting:  # momentum 1: the running statistics are those of the last batch, here all samples
        with torch.no_grad():
            norm(net[0](still))
        norm.running_var.mul_((N - 1) / N)  # torch divides by n - 1 there, and by n in training
    norm.eval()
    return lambda inputs: net[2](torch.relu(norm(net[0](inputs))))


@pytest.mark.parametrize("name", [NONE, *USUAL, ALL])
def test_a_member_is_trained_as_a_network_alone(name):
    pool, X, y = phenomenon._samples(DIGITS, streams())
    labels, inputs, setting, steps = torch.from_numpy(y), torch.from_numpy(X), AT_RANDOM[name], 14
    others = [{SHIFT: 1.0}, {NORM: 1.0, DROPOUT: 0.5}, setting, USUAL, {}]  # not in the order in which they are stacked
    members = phenomenon._members(phenomenon._network(X, streams(), torch.float64), others)
    own = torch.stack([(labels + k) % CLASSES for k in range(len(others))])
    taken = []
    for step in phenomenon._descend(members, pool, own, streams(), steps):
        taken.append(step)
        if step == 10:
            members.stop(np.array([True, True, False, True, True]))
        if step == 12:
            members.stop(np.array([False, False, True, False, False]))
    assert taken == [*range(1, steps + 1)]
    alone = trained_alone(setting, pool, own[2], steps)
    with torch.no_grad():
        expected = alone(inputs)
    torch.testing.assert_close(members.evaluated(inputs, inputs[:N])[2], expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(members.evaluated(inputs[7:9], inputs[:N])[2], expected[7:9], rtol=0, atol=1e-9)
    alone = trained_alone(setting, pool, own[2], steps, until=12)
    with torch.no_grad():
        expected = alone(inputs)
    torch.testing.assert_close(members.evaluated(inputs, inputs[:N], True)[2], expected, rtol=0, atol=1e-9)


def test_translations_are_those_of_a_plain_loop():
    images = np.random.default_rng(0).standard_normal((3, 4, 5))
    moved = phenomenon._translated(images, 2)
    assert moved.shape == (25, 3, 20)
    np.testing.assert_array_equal(moved[12].reshape(3, 4, 5), images)
    for place, (down, right) in zip(moved, product(range(-2, 3), repeat=2), strict=True):
        expected = np.zeros_like(images)
        for i, j in product(range(4), range(5)):
            if 0 <= i + down < 4 and 0 <= j + right < 5:
                expected[:, i, j] = images[:, i + down, j + right]
        np.testing.assert_array_equal(place.reshape(3, 4, 5), expected)


def test_batches_take_every_sample_once_a_pass():
    drawn = torch.cat([*islice(phenomenon._batches(3), N // 50)])
    assert sorted(drawn.tolist()) == [*range(N)]
    assert drawn.tolist() != [*range(N)]


# ---- labels and validation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", TABLES)
def test_labels_of_training_and_validation_are_redrawn_and_those_of_the_test_are_not(short, monkeypatch, arm):
    """What a training is given as test labels has to be the truth, which a table of all images knows."""
    images = data.digits() if arm == DIGITS else data.mnist1d()
    order = streams().rng("data").permutation(len(images))
    given, original = {}, phenomenon._errors

    def errors(members, pool, X, labels, *rest):
        given.update(X=X, labels=labels)
        return original(members, pool, X, labels, *rest)

    monkeypatch.setattr(phenomenon, "_errors", errors)
    measured(arm)
    labels, n = given["labels"], len(given["X"])
    truth = images.labels[order][:n]
    assert len(labels) == len(CROSSED) + len(FITTED) * (DRAWS - 1) + len(AT_RANDOM)
    assert n == min(len(images), N + phenomenon.VALIDATION + phenomenon.TEST)
    np.testing.assert_array_equal(labels[: len(CROSSED)], np.tile(truth, (len(CROSSED), 1)))
    np.testing.assert_array_equal(labels[:, N + 200 :], np.tile(truth[N + 200 :], (len(labels), 1)))
    redrawn = labels[len(CROSSED) :, : N + 200]
    kinds = redrawn[: len(FITTED) * DRAWS : len(FITTED)]
    np.testing.assert_array_equal(redrawn, np.repeat(kinds, [len(FITTED)] * (DRAWS - 1) + [len(AT_RANDOM)], axis=0))
    # A redrawn label changes with probability 9/10, and two draws agree in 1/10; six binomial standard deviations.
    for part, size in ((slice(N), N), (slice(N, N + 200), 200)):
        draws = [truth[part], *kinds[:, part]]
        for one, other in combinations(draws, 2):
            assert np.mean(one != other) == pytest.approx(0.9, abs=6 * np.sqrt(0.09 / size))


def test_replicates_draw_labels_of_their_own(short, monkeypatch):
    """Two replicates agree on a label drawn uniformly from ten once in ten; six standard deviations are 0.08."""
    drawn, original = [], phenomenon._errors

    def errors(members, pool, X, labels, *rest):
        drawn.append(labels[-1, :N])
        return original(members, pool, X, labels, *rest)

    monkeypatch.setattr(phenomenon, "_errors", errors)
    for replicate in range(2):
        measured(DIGITS, replicate)
    assert abs(np.mean(drawn[0] == drawn[1]) - 0.1) < 0.09


def test_training_stops_where_the_validation_loss_is_least_and_does_not_look_at_the_test(monkeypatch):
    """A network that is right on some parts at some times: readings 1, 2, ... are at the times that are read."""
    right = {"train": (0, 0, 1, 1), "validation": (0, 1, 0, 0), "test": (0, 0, 0, 1)}
    sizes = {"train": N, "validation": phenomenon.VALIDATION, "test": 50}
    truth = np.random.default_rng(0).integers(CLASSES, size=sum(sizes.values()))

    parts = {sizes["train"]: "train", sizes["validation"]: "validation", sizes["test"]: "test"}
    answers = dict(zip(sizes, np.split(truth, np.cumsum([*sizes.values()])[:-1]), strict=True))

    class Members:
        reading, stopped = -1, None

        def __len__(self):
            return 1

        def stop(self, here):
            self.stopped = Members.reading if here[0] else self.stopped

        def evaluated(self, x, train, stopped=False):
            part = parts[len(x)]
            Members.reading += part == "validation"
            sign = 2.0 * right[part][self.stopped if stopped else Members.reading] - 1
            return torch.from_numpy(np.eye(CLASSES)[answers[part]] * sign)[None]

    monkeypatch.setattr(phenomenon, "STOPS", 4)
    monkeypatch.setattr(phenomenon, "_descend", lambda *rest: iter(range(1, phenomenon.RECIPE.steps + 1)))
    train, test = phenomenon._errors(Members(), None, np.zeros((len(truth), 1)), truth[None], streams())
    assert Members.reading == 3
    assert (train[0, 0], test[0, 0]) == (0.0, 0.0)  # the end
    assert (train[0, 1], test[0, 1]) == (1.0, 1.0)  # the second reading


# ---- rows and statistics -----------------------------------------------------------------------------------------


def test_main_effects_are_differences_of_means(short):
    rows = measured(DIGITS)
    crossed = rows[rows["quantity"] == "crossed"].set_index("setting")["value"]
    effects = rows[rows["quantity"] == "effect"].set_index("setting")["value"]
    assert len(crossed) == 32
    for name in REGULARISERS:
        on = np.array([setting == ALL or name in setting.split(" + ") for setting in crossed.index])
        assert on.sum() == 16
        assert effects[name] == pytest.approx(crossed[on].mean() - crossed[~on].mean(), abs=1e-12)


def test_rows_say_which_network_they_are_of(short, monkeypatch):
    """Errors that number the networks: 10 for each, and 1 more where it was stopped."""
    count = len(CROSSED) + len(FITTED) * (DRAWS - 1) + len(AT_RANDOM)
    numbered = np.stack([np.add.outer(10 * np.arange(count), [0, 1]), np.add.outer(10 * np.arange(count), [0, 1])])
    monkeypatch.setattr(phenomenon, "_errors", lambda *rest: numbered.astype(float))
    rows = measured(DIGITS)
    tables = {name: part.set_index("setting")["value"] for name, part in rows.groupby("quantity")}
    for number, setting in enumerate(CROSSED):
        switch = [name in setting for name in USUAL]
        assert tables["crossed"][phenomenon._named([*switch, False])] == 10 * number
        assert tables["crossed"][phenomenon._named([*switch, True])] == 10 * number + 1
    single = {name: tables["crossed"][name] for name in (NONE, *REGULARISERS, ALL)}
    assert tables[f"test_error, {TRUE}"].to_dict() == single
    first = 10 * (count - len(AT_RANDOM))
    expected = {name: first + 10 * k for k, name in enumerate(AT_RANDOM)}
    expected |= {STOP: first + 1, ALL: expected[ALL] + 1}
    assert tables[f"train_error, {RANDOM}"].to_dict() == expected
    assert set(expected) == {*FITTED, *NOT_FITTED}
    assert AT_RANDOM[NONE] == CROSSED[0] == {}
    assert AT_RANDOM[ALL] == CROSSED[-1] == USUAL
    assert tables["effect"][GAP] == 0.0


def test_the_gap_is_a_mean_over_draws_and_the_worst_training_error_is_shown(short, monkeypatch):
    first, count = len(CROSSED), len(FITTED) * (DRAWS - 1) + len(AT_RANDOM)
    errors = np.zeros((2, first + count, 2))
    errors[0, first, 0] = 0.3  # of training, in the first draw
    errors[1, first : first + DRAWS * len(FITTED) : len(FITTED), 0] = 0.9, 0.7, 0.8
    errors[1, [first + 3, first + len(FITTED) + 3, first + count - 4], 0] = 0.6, 0.5, 0.4  # batch norm
    monkeypatch.setattr(phenomenon, "_errors", lambda *rest: errors)
    rows = measured(SIGNALS)
    tables = {name: part.set_index("setting")["value"] for name, part in rows.groupby("quantity")}
    assert tables[f"train_error, {RANDOM}"][NONE] == 0.3
    assert tables[f"test_error, {RANDOM}"][NONE] == pytest.approx(0.8)
    assert tables[f"test_error, {RANDOM}"][NORM] == pytest.approx(0.5)
    assert tables["effect"][GAP] == pytest.approx(0.7)
    assert FITTED[3] == [*AT_RANDOM][-4] == NORM


def test_names_of_settings_differ():
    assert len({*map(phenomenon._named, SWITCHES)}) == 32
    assert set(ALONE) < {*map(phenomenon._named, SWITCHES)}


def test_statistics_are_shares_of_the_gap_and_of_the_way():
    effects = {**dict.fromkeys(REGULARISERS, 0.1), SHIFT: -0.6, GAP: 0.8}
    shares = phenomenon._shares(DIGITS)(made("effect", effects))
    assert shares.iloc[0].to_dict() == pytest.approx({**dict.fromkeys(REGULARISERS, 0.125), SHIFT: -0.75})
    controls = {control.id: control for control in study.controls}
    assert controls["explain-digits"].statistic(made("effect", effects)).tolist() == pytest.approx([0.75, 0.75])
    rows = [made("crossed", {NONE: 0.3, STOP: 0.1, ALL: 0.5}, arm) for arm in TABLES]
    np.testing.assert_allclose(phenomenon._way(pd.concat(rows)), 0.75)
    errors = [made(f"test_error, {RANDOM}", {name: k / 10 for k, name in enumerate(FITTED)}, arm) for arm in TABLES]
    left = phenomenon._left(pd.concat(errors))
    assert left.shape == (2, 2 * len(FITTED[1:]))
    np.testing.assert_allclose(left[NORM], 0.3)
    errors = [made(f"test_error, {kind}", {NONE: value}) for kind, value in ((TRUE, 0.1), (RANDOM, 0.9))]
    assert phenomenon._redrawing(pd.concat([*errors, made("effect", effects)])).tolist() == pytest.approx([1.0, 1.0])


def test_strength_zero_is_the_plain_program_and_every_regulariser_changes_it(short):
    rows = measured(ZERO).set_index("quantity")["value"]
    assert rows["at_zero"] < 1e-12 < 1e-6 < rows["least_change"]


def test_the_guard_sees_what_was_not_fitted(short):
    (guard,) = study.guards
    rows = measured(SIGNALS)
    fit = rows["quantity"].isin([f"train_error, {TRUE}", f"train_error, {RANDOM}"]) & (rows["setting"] == NONE)
    assert fit.sum() == 2
    assert guard.violation(rows)
    rows.loc[fit, "value"] = 0.0
    assert guard.violation(rows) is None
    rows.loc[fit, "value"] = np.nan
    assert guard.violation(rows)


@pytest.mark.slow
def test_smoke_confirms_what_is_exact(tmp_path):
    result = run(study, preset="smoke", store=tmp_path)
    assert not result.failures
    words = {verdict.id: verdict.word for verdict in result.verdicts}
    measured = {verdict.id: verdict.measured for verdict in result.verdicts}
    assert measured["memorizes"] == measured["still-memorizes"] == 0.0
    assert words["strength-zero"] == "CONFIRMED"
    assert words["no-change"] == "REFUTED"
    assert measured["strong-memorize"] > 0.5
    assert not [v.id for v in result.verdicts if v.role == "claim" and v.word == "REFUTED"]
