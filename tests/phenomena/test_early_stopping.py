"""The study of early stopping: its risks against plain descents, and what the other patients are asked."""

import numpy as np
import pytest
from scipy.linalg import expm

from pyphenom import data
from pyphenom.phenomena import early_stopping as phenomenon
from pyphenom.phenomena.early_stopping import AGAINST, ARMS, CLEAN, DIABETES, ISOTROPIC, NOISE, study
from pyphenom.studies import Cell, Streams, run
from pyphenom.theory import effective_parameters


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(phenomenon, "ROWS", 20)
    monkeypatch.setattr(phenomenon, "SETTINGS", ((0.5, 0.25), (2.0, 0.25)))


def streams(replicate=0):
    return Streams(0, study.name, replicate)


def measured(arm, replicate=0):
    rows = phenomenon.measure(Cell(arm, {}, replicate), streams(replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


def values(rows, quantity):
    return rows.loc[rows["quantity"] == quantity, "value"].to_numpy()


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_finite_rows_that_are_a_function_of_the_replicate(small, arm):
    first, again, other = (measured(arm, k) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    assert not first["value"].equals(other["value"])


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_risks_of_flow_and_ridge_are_those_of_their_weights(monkeypatch, gamma):
    """Weights after a time by the exponential of the matrix, and of a ridge by a solve, against the true ones."""
    n, noise, times = 20, 0.25, np.array([0.0, 0.3, 1.0, 3.0, 30.0, np.inf])
    monkeypatch.setattr(phenomenon, "ROWS", n)
    monkeypatch.setattr(phenomenon, "SETTINGS", ((gamma, noise),))
    monkeypatch.setattr(phenomenon, "GRID", times)
    rng, p = streams().rng("data"), round(gamma * n)
    X, truth = rng.standard_normal((n, p)), rng.standard_normal((p, phenomenon.DRAWS)) / np.sqrt(p)
    Y = X @ truth + np.sqrt(noise) * rng.standard_normal((n, phenomenon.DRAWS))
    M, A = X.T @ X / n, X.T @ Y / n
    flow = [np.linalg.pinv(M) @ (np.eye(p) - expm(-t * M)) @ A if np.isfinite(t) else np.linalg.pinv(X) @ Y
            for t in times]  # fmt: skip
    ridge = [np.linalg.solve(M + np.eye(p) / t, A) for t in times[1:-1]]
    risks = [((b - truth) ** 2).sum(axis=0).mean() for b in flow]
    best = min(((b - truth) ** 2).sum(axis=0).mean() for b in [*ridge, flow[0], flow[-1]])
    rows = measured(ISOTROPIC)
    assert values(rows, "ratio")[0] == pytest.approx(min(risks) / best, rel=1e-9)
    assert values(rows, "log time")[0] == pytest.approx(np.log(times[np.argmin(risks)]))
    assert values(rows, "gain on the start")[0] == pytest.approx(risks[0] - min(risks), rel=1e-9)
    assert values(rows, "gain on the end")[0] == pytest.approx(risks[-1] - min(risks), rel=1e-9)


def test_without_a_signal_nothing_is_gained_and_without_noise_nothing_lost(small):
    noise, clean = measured(NOISE), measured(CLEAN)
    np.testing.assert_array_equal(values(noise, "gain on the start"), 0.0)
    assert (values(noise, "gain on the end") > 0.01).all()
    np.testing.assert_allclose(values(clean, "gain on the end"), 0.0, atol=1e-12)
    assert (values(clean, "gain on the start") > 0.1).all()


def test_no_target_passes_the_bound_and_equal_eigenvalues_reach_it():
    rows = measured(AGAINST)
    table = rows[rows["quantity"] == "largest"].set_index("target")["value"]
    assert (table <= effective_parameters.FLOW_TO_RIDGE + 1e-9).all()
    assert table["equal"] == pytest.approx(effective_parameters.FLOW_TO_RIDGE, abs=1e-7)
    assert table["none"] < table["equal"]
    assert values(rows, "off").max() < 1e-8


def test_patients_have_64_standard_features():
    F, y = phenomenon._patients()
    assert F.shape == (442, 64)
    np.testing.assert_allclose(F.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(F.std(axis=0), 1.0)
    assert np.linalg.matrix_rank(F) == 64
    X = data.diabetes().inputs
    assert np.corrcoef(F[:, 2], X[:, 2])[0, 1] == pytest.approx(1.0)
    assert max(abs(np.corrcoef(F[:, 10:].T, X[:, 0] * X[:, 3])[-1, :-1])) == pytest.approx(1.0)
    assert y.std() == pytest.approx(1.0)


@pytest.mark.parametrize("replicate", [0, 1])
def test_other_patients_are_asked_about_the_flow_of_the_weights(replicate):
    F, y = phenomenon._patients()
    order = streams(replicate).rng("data").permutation(len(y))
    train, test = order[: phenomenon.TRAINED], order[phenomenon.TRAINED :]
    X, labels = F[train] - F[train].mean(axis=0), y[train] - y[train].mean()
    M = X.T @ X / len(X)
    rows = measured(DIABETES, replicate)
    course, counts = (rows[rows["quantity"] == name].set_index("time")["value"] for name in ("test error", "count"))
    for time in course.index[[3, 8]]:
        inside = np.eye(64) - expm(-time * M)
        predicted = (F[test] - F[train].mean(axis=0)) @ np.linalg.solve(M, inside @ X.T @ labels / len(X))
        assert course[time] == pytest.approx(np.mean((predicted + y[train].mean() - y[test]) ** 2), rel=1e-8)
        assert counts[time] == pytest.approx(1.0 + np.trace(inside), rel=1e-9)


def test_cross_validation_sees_the_training_half_only(monkeypatch):
    """Other labels of the test half change the errors there, and the regret, but not the time that is chosen."""
    F, y = phenomenon._patients()
    order = streams().rng("data").permutation(len(y))
    other = y.copy()
    other[order[phenomenon.TRAINED :]] += 10.0
    times = []
    for labels in (y, other):
        monkeypatch.setattr(phenomenon, "_patients", lambda labels=labels: (F, labels))
        rows = measured(DIABETES)
        best = rows[rows["quantity"] == "count"]["value"].to_numpy()
        times.append((values(rows, "log time")[0], values(rows, "gain")[0], best))
    np.testing.assert_array_equal(times[0][2], times[1][2])
    assert times[0][1] != times[1][1]


def test_counting_all_weights_trains_to_the_end():
    rows = measured(DIABETES)
    assert values(rows, "regret by weights")[0] == pytest.approx(
        values(rows, "regret")[0] + values(rows, "gain")[0], rel=1e-6
    )


def test_the_guard_sees_matrices_that_disagree_with_the_spectrum():
    (guard,) = study.guards
    rows = measured(AGAINST)
    assert guard.violation(rows) is None
    for bad in (1e-6, np.nan):
        assert guard.violation(rows.assign(value=rows["value"].where(rows["quantity"] != "off", bad)))


def test_predictions_are_within_the_published_range(small):
    course = measured(DIABETES)
    rows = phenomenon.predict((), course)
    np.testing.assert_array_equal(values(rows, "test error"), values(course, "told error"))
    ratio = values(rows, "ratio")
    assert ((ratio > 1.0) & (ratio < 1.22)).all()
    assert values(rows, "ratio, equal").max() == pytest.approx(effective_parameters.FLOW_TO_RIDGE, abs=1e-3)


@pytest.mark.slow
def test_smoke_confirms_what_is_exact(tmp_path):
    result = run(study, preset="smoke", store=tmp_path)
    assert not result.failures
    words = {verdict.id: verdict.word for verdict in result.verdicts}
    assert words["bound"] == words["attained"] == "CONFIRMED"
    assert words["smaller-bound"] == words["noise-gain"] == words["clean-gain"] == "REFUTED"
    assert not [v.id for v in result.verdicts if v.role == "claim" and v.word == "REFUTED"]
