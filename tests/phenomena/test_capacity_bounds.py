import copy

import numpy as np
import pandas as pd
import pytest
import torch

from pyphenom import bounds, networks
from pyphenom.phenomena import capacity_bounds as phenomenon
from pyphenom.phenomena.capacity_bounds import ARMS, DELTA, MEASURES, RANDOM, TRUE, study
from pyphenom.studies import Cell, Streams, run


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(phenomenon, "DRAWS", 2)


def measured(arm, width=8, replicate=0):
    """Train for a few steps only: what is learned is a matter of the quick preset."""
    cell = Cell(arm, {"widths": f"{width} 5", "steps": 30, "more_steps": 10}, replicate)
    rows = phenomenon.measure(cell, Streams(0, study.name, replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


def values(rows):
    return rows.set_index("quantity")["value"]


@pytest.mark.parametrize("arm", [TRUE, RANDOM])
def test_every_law_gives_finite_rows_that_are_a_function_of_the_replicate(few, arm):
    first, again, other = (measured(arm, replicate=k) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    assert not first["value"].equals(other["value"])
    assert set(MEASURES) < set(first["quantity"])


def random_net(width=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((width, 3)), rng.standard_normal(width), rng.standard_normal(width), np.array(0.3)


def test_one_output_is_the_difference_of_two():
    model, X = networks.mlp((3, 5, 2), seed=1), np.random.default_rng(0).standard_normal((20, 3))
    f = model(torch.from_numpy(X).float()).detach().numpy()
    np.testing.assert_allclose(phenomenon._output(phenomenon._net(model), X), f[:, 1] - f[:, 0], atol=1e-5)


def test_noisy_errors_are_those_of_weights_drawn_for_every_point(monkeypatch):
    # Both are means over 20,000 draws of numbers in [0, 1]: ten standard errors of their difference are 0.05.
    monkeypatch.setattr(phenomenon, "DRAWS", 20_000)
    net, rng, scale = random_net(), np.random.default_rng(1), 0.4
    X, signs = rng.standard_normal((4, 3)), np.array([1.0, -1.0, 1.0, -1.0])
    slow = np.zeros(4)
    W, b, v, c = net
    for i in range(4):
        noisy = [a + scale * rng.standard_normal((20_000, *np.shape(a))) for a in (W, b, v, c)]
        hidden = np.maximum(noisy[0] @ X[i] + noisy[1], 0.0)
        slow[i] = np.mean(signs[i] * ((hidden * noisy[2]).sum(axis=1) + noisy[3]) < 0)
    found = phenomenon._noisy_errors(net, X, signs, np.array([0.1, scale]), rng)
    np.testing.assert_allclose(found[1], slow, atol=0.05)


def test_norm_bound_is_that_of_a_network_without_biases_that_computes_the_same():
    W, b, v, c = random_net()
    # The bound rounds the product of the norms up to a power of 2: 2 lies between those with and without the last unit.
    scale = 2.0 / np.sqrt((np.sum(W**2) + np.sum(b**2) + 0.5) * (np.sum(v**2) + c**2))
    v, c = scale * v, scale * c
    X = np.random.default_rng(2).standard_normal((9, 3))
    lifted = np.concatenate([X, np.ones((9, 1))], axis=1)
    first = np.block([[W, b[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]])
    second = np.append(v, c)
    same = np.maximum(lifted @ first.T, 0.0) @ second
    np.testing.assert_allclose(same, phenomenon._output((W, b, v, c), X))
    model = networks.mlp((3, 5, 2), dtype=torch.float64)
    with torch.no_grad():
        for value, number in zip(model.parameters(), (W, b, np.stack([0 * v, v]), np.array([0.0, c])), strict=True):
            value.copy_(torch.from_numpy(np.asarray(number)))
    y = (same > 0).astype(int)
    norms = [np.linalg.norm(first), np.linalg.norm(second)]
    lengths = np.linalg.norm(lifted, axis=1)
    rates = [np.mean(np.abs(same) < 2.0**-k) for k in range(10)]
    expected = min(bounds.golowich_bound(rates[k], DELTA, norms, lengths, k) for k in range(10))
    assert phenomenon._uniform(model, X, y)["norm_bound"] == expected
    # Ten thousand times the same points: no longer vacuous, so that the comparison is of more than ones.
    many = phenomenon._uniform(model, np.tile(X, (10_000, 1)), np.tile(y, 10_000))["norm_bound"]
    lengths = np.tile(lengths, 10_000)
    assert many == min(bounds.golowich_bound(rates[k], DELTA, norms, lengths, k) for k in range(10)) < 1.0


def test_certificates_are_the_theorem_with_every_share_paid(few, monkeypatch):
    monkeypatch.setattr(phenomenon, "SCALES", np.array([0.3]))
    start = networks.mlp((64, 4, 2), seed=1)
    half, rng = copy.deepcopy(start), np.random.default_rng(0)
    end = networks.mlp((64, 4, 2), seed=2)
    X, odd = rng.random((1200, 64)), rng.integers(0, 2, 1200)
    found = phenomenon._certificates(start, half, end, X, odd, odd[:1000], 0.0, Streams(0, study.name, 0))
    a, b = (phenomenon._net(model) for model in (start, end))
    kl = sum(((np.asarray(u) - np.asarray(w)) ** 2).sum() for u, w in zip(a, b, strict=True)) / (2 * 0.3**2)
    again = Streams(0, study.name, 0).rng("noise")
    signs = 2.0 * odd[:1000] - 1.0
    (errors,) = phenomenon._noisy_errors(b, X[:1000], signs, np.array([0.3]), again)
    (seen,) = phenomenon._noisy_errors(a, X[:500], signs[:500], np.array([0.3]), again)
    for name, points in (("init", slice(0, 1000)), ("learnt", slice(500, 1000))):
        n = len(errors[points])
        risk = bounds.independent_draws(errors[points].mean(), 2 * n, DELTA / 2)
        assert found[f"{name}_certificate"] == pytest.approx(bounds.maurer(risk, kl, n, DELTA / 2), rel=1e-12)
    free = bounds.maurer(bounds.independent_draws(seen.mean(), 1000, DELTA / 2), 0.0, 500, DELTA / 2)
    assert found["seen_certificate"] == pytest.approx(free, rel=1e-12)


def test_error_of_the_law_is_that_of_labels_redrawn():
    rng, p = np.random.default_rng(0), 0.3
    truth = rng.integers(0, 2, 200_000)
    guess = np.where(rng.random(200_000) < 0.1, 1 - truth, truth)
    given = np.where(rng.random(200_000) < p, rng.integers(0, 2, 200_000), truth)
    # Seven standard errors of a share of 200,000 are 0.007.
    assert phenomenon._of_the_law(np.mean(guess != truth), p) == pytest.approx(np.mean(guess != given), abs=0.007)


def grid(quantity, of):
    return pd.DataFrame(
        [
            {"arm": arm, "width": w, "replicate": 0, "quantity": quantity, "value": of(k, w)}
            for k, arm in enumerate(ARMS)
            for w in (16, 48)
        ]
    )


def test_statistics_on_made_up_rows():
    risk = grid("risk", lambda k, w: 0.1 * k - 0.001 * w)
    rows = pd.concat([risk, grid("vc_dimension", lambda k, w: w**1.5), grid("path_norm", lambda k, w: (k + 1) / w)])
    assert phenomenon._ranking("vc_dimension", "arm")(rows) == [0.0]
    assert phenomenon._ranking("vc_dimension", "width")(rows) == [-1.0]
    assert phenomenon._ranking("path_norm", "arm")(rows) == [1.0]
    assert phenomenon._ranking("path_norm", "width")(rows) == [1.0]
    (growth,) = (claim for claim in study.claims if claim.id == "vc-grows")
    assert growth.statistic(growth.reads(rows)) == [pytest.approx(1.5)]
    slack = pd.concat([grid("init_slack", lambda k, w: 0.1), grid("learnt_slack", lambda k, w: 0.1 - 0.06 * k)])
    share = phenomenon._violations(("init", "learnt"), ARMS)(slack)
    assert share.tolist() == [0.25]


@pytest.mark.parametrize(("guard", "good", "bad"), [("learnt", 0.001, 0.1), ("remembered", 0.2, 0.45)])
def test_guards_see_what_does_not_hold(guard, good, bad):
    (guard,) = (each for each in study.guards if each.id == guard)
    places = pd.MultiIndex.from_product([[16, 48], range(5)], names=["width", "replicate"]).to_frame(index=False)
    rows = places.assign(study=study.name, arm=guard.arms[0], quantity="train_error", value=good, origin="measured")
    assert guard.violation(rows) is None
    assert guard.violation(rows.assign(value=bad))
    assert guard.violation(rows.assign(value=np.nan))
    narrow = rows["width"] == 16
    assert "violated in 1 rows, first at width=16" in guard.violation(rows.assign(value=np.where(narrow, bad, good)))
    alone = narrow & (rows["replicate"] == 0)
    assert guard.violation(rows.assign(value=np.where(alone, np.nan, good)))
    assert guard.violation(rows.assign(value=np.where(alone, bad, good))) is None  # one network of many is no regime


@pytest.mark.slow
def test_smoke_gives_rows_and_confirms_what_is_no_matter_of_chance(tmp_path):
    result = run(study, preset="smoke", store=tmp_path)
    assert not result.failures
    words = {verdict.id: verdict.word for verdict in result.verdicts}
    assert {words["vc-vacuous"], words["norm-vacuous"]} == {"CONFIRMED"}
    assert not [v.id for v in result.verdicts if v.role == "claim" and v.word == "REFUTED"]
