from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from pyphenom import data
from pyphenom.phenomena import network_double_descent as phenomenon
from pyphenom.phenomena.network_double_descent import (
    ALWAYS,
    ARMS,
    FITTED,
    FRESH,
    LAST,
    NOISY,
    REUSE_WIDTHS,
    SAMPLES,
    SWITCH,
    WIDE,
    study,
)
from pyphenom.studies import Cell, Streams


@pytest.fixture
def short(monkeypatch):
    """Train for a few steps only: what is learned is a matter of the quick preset, what is measured of this file."""
    for name in ("WIDTH_RECIPE", "COUNTS_RECIPE", "TIMES_RECIPE", "REUSE_RECIPE"):
        monkeypatch.setattr(phenomenon, name, replace(getattr(phenomenon, name), steps=30))
    monkeypatch.setattr(phenomenon, "TIMES", (10, 30))


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_finite_rows_that_are_a_function_of_the_replicate(short, arm):
    first, again, other = (phenomenon.measure(Cell(arm, {}, k), Streams(0, study.name, k)) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    assert not first.equals(other)


def test_noise_is_on_the_training_labels_alone(short):
    streams = Streams(0, study.name, 0)
    (X, noisy, probes), (Z, clean, _) = (phenomenon._signals(1000, flag, streams) for flag in (True, False))
    assert torch.equal(X, Z)
    # A fifth is redrawn, one in ten of it to the same label: 18 %; six standard deviations are 7 %.
    assert 0.11 < (noisy != clean).double().mean() < 0.25
    # A network that knows the templates of the pool by heart has no error on clean test labels.
    pool = data.mnist1d(phenomenon.POOL)
    order = streams.rng("data").permutation(phenomenon.POOL)
    _, test = data.standardise(pool.pixels[order[:1000]], pool.pixels[order[-phenomenon.TEST_POINTS :]])
    truth = {
        row.tobytes(): label
        for row, label in zip(test.astype(np.float32), pool.labels[order[-phenomenon.TEST_POINTS :]], strict=True)
    }

    class Oracle:
        def __len__(self):
            return 1

        def outputs(self, inputs):
            known = torch.tensor([truth[row.numpy().tobytes()] for row in inputs])
            return torch.nn.functional.one_hot(known, 10).double()[None]

    assert probes[1](Oracle())["test_error"].item() == 0.0


def test_arms_share_what_they_do_not_change(short):
    rows = {arm: phenomenon.measure(Cell(arm, {}, 0), Streams(0, study.name, 0)) for arm in (FRESH, ALWAYS)}
    rows["reuse up to 12 units"] = phenomenon._reuse(SWITCH, Streams(0, study.name, 0))
    loss = {arm: t[t["quantity"] == "test_loss"].set_index("width")["value"] for arm, t in rows.items()}
    reused = [width for width in REUSE_WIDTHS if width <= SWITCH]
    np.testing.assert_allclose(loss["reuse up to 12 units"][reused], loss[ALWAYS][reused], rtol=1e-6)
    np.testing.assert_allclose(
        loss["reuse up to 12 units"][LAST], loss[FRESH][LAST], rtol=1e-5
    )  # float32, in different stacks
    assert abs(loss[ALWAYS][LAST] - loss[FRESH][LAST]) > 1e-3
    cliff = np.log(loss["reuse up to 12 units"][LAST] / loss["reuse up to 12 units"][SWITCH])  # of a sweep of its own
    together = pd.concat([rows[arm].assign(arm=arm, replicate=0) for arm in (FRESH, ALWAYS)])
    np.testing.assert_allclose(phenomenon._cliff(together), cliff, rtol=1e-4)


def test_replicates_of_an_arm_share_no_stream():
    streams = [Streams(0, study.name, k) for k in range(5)]
    assert len({s.seed("order") for s in streams}) == len({s.seed("init 8") for s in streams}) == 5


def test_crossing_and_location_of_known_curves():
    assert phenomenon._crossing(np.array([10.0, 40.0]), np.array([0.2, 0.0])) == pytest.approx(20.0)
    assert phenomenon._crossing(np.array([10.0, 40.0]), np.array([0.0, 0.2])) == pytest.approx(20.0)


def test_guards_see_what_did_not_fit(short):
    guards = {guard.id: guard for guard in study.guards}
    for id, arm in (("widest-fits", NOISY), ("chain-fits", ALWAYS), ("few-fit", SAMPLES), ("wide-fits", WIDE)):
        rows = phenomenon.measure(Cell(arm, {}, 0), Streams(0, study.name, 0)).assign(arm=arm)
        if arm == WIDE:
            rows["step"] = rows["step"].replace(30, FITTED)
        assert guards[id].violation(rows)
        assert guards[id].violation(rows.assign(value=0.0)) is None
        assert guards[id].violation(rows.assign(value=np.nan))


def test_location_is_the_centre_of_the_rise():
    widths = phenomenon.WIDTHS
    rise = {48: 0.1, 64: 0.1}
    tables = [
        pd.DataFrame({"width": widths, "quantity": "test_error", "value": [0.5 + rise.get(w, 0.0) for w in widths]}),
        pd.DataFrame({"width": widths, "quantity": "train_error", "value": [0.2 if w < 48 else 0.0 for w in widths]}),
    ]
    rows = pd.concat(tables).assign(arm=NOISY, replicate=0)
    found = phenomenon._location(NOISY, "test_error", "width", [16, 24])(rows)
    between = np.sqrt(32 * 48)  # errors cross a tenth half way from 0.2 to 0
    np.testing.assert_allclose(found, np.log2(np.sqrt(48 * 64)) - np.log2(between))
