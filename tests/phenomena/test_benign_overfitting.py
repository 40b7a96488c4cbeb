"""The study of benign overfitting: many descents at once against one by torch, and thresholds against plain ones."""

import numpy as np
import pandas as pd
import pytest
import torch

from pyphenom.phenomena import benign_overfitting as phenomenon
from pyphenom.phenomena.benign_overfitting import (
    CATASTROPHIC,
    CUBE,
    DIGITS,
    FIFTH,
    FLIPPED,
    NETWORKS,
    SPECTRA,
    SYNTHETIC,
    study,
)
from pyphenom.studies import Cell, Streams, run
from pyphenom.theory import two_layer_cnn


@pytest.fixture
def few(monkeypatch):
    """Draw few and small samples: numbers are a matter of the quick preset, rows of this file."""
    monkeypatch.setattr(phenomenon, "COUNTS", (10, 20))
    monkeypatch.setattr(phenomenon, "TRIALS", dict.fromkeys(NETWORKS, 2))
    monkeypatch.setattr(phenomenon, "HALVINGS", 2)
    monkeypatch.setattr(phenomenon, "CONDITIONS", (0.0, 100.0))
    monkeypatch.setattr(phenomenon, "SAMPLES", (10, 20))
    monkeypatch.setattr(phenomenon, "MIXTURE", (10, 50))
    monkeypatch.setattr(phenomenon, "IMAGES", (10, 20))
    monkeypatch.setattr(phenomenon, "SHOWN", 10)
    monkeypatch.setattr(phenomenon, "DRAWS", 40)
    monkeypatch.setattr(phenomenon, "SAMPLINGS", 2)


def streams(replicate=0):
    return Streams(0, study.name, replicate)


def measured(arm, replicate=0, n=10):
    rows = phenomenon.measure(Cell(arm, {"n": n} if arm in NETWORKS else {}, replicate), streams(replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


@pytest.mark.parametrize("arm", [*SPECTRA, *NETWORKS, SYNTHETIC, DIGITS])
def test_every_arm_gives_finite_rows_that_are_a_function_of_the_replicate(few, arm):
    first, again, other = (measured(arm, k) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    assert not first["value"].equals(other["value"])


# ---- networks --------------------------------------------------------------------------------------------------------


def literal(X, W, mu, y, labels, q, rate, steps):
    """The network of the theorems on patches of d numbers, by torch and its derivatives, with the study's steps."""
    W = torch.tensor(W, dtype=torch.float64, requires_grad=True)
    x, mu, y, labels = (torch.as_tensor(np.asarray(part, dtype=np.float64)) for part in (X, mu, y, labels))
    m = len(W) // 2

    def f(noise):
        both = torch.relu(noise @ W.T) ** q + torch.relu(torch.outer(y, mu) @ W.T) ** q
        return (both[:, :m].sum(1) - both[:, m:].sum(1)) / m

    for _ in range(steps):
        z = labels * f(x)
        worst = 0.5 / torch.sigmoid(-z).max().item()
        (gradient,) = torch.autograd.grad(torch.nn.functional.softplus(-z).mean(), W)
        W = (W.detach() - rate * worst * gradient).requires_grad_(True)
    loss = torch.nn.functional.softplus(-labels * f(x)).mean()
    return W.detach().numpy(), loss.item()


@pytest.mark.parametrize("q", [1, 3, 5])
def test_many_descents_are_each_that_of_the_network(monkeypatch, q):
    rng, n, d, m, steps = np.random.default_rng(q), 6, 40, phenomenon.FILTERS, 12
    runs, norms, flips = 3, np.array([0.0, 1.0, 3.0]), np.array([1, 1, -1, 1, 1, 1.0])
    y = np.where(np.arange(n) % 2, -1.0, 1.0)
    monkeypatch.setattr(phenomenon, "STEPS", steps)
    monkeypatch.setattr(phenomenon, "LOSS", 0.0)  # all steps
    noise = rng.standard_normal((runs, n, d - 1))
    weights = 0.07 * rng.standard_normal((runs, 2 * m, d))  # the first coordinate lies along the signal
    rate = np.full(runs, {1: 0.4, 3: 0.05, 5: 0.02}[q] * n * m / d)
    ends, along, losses = phenomenon._descend(
        noise.astype(np.float32),
        weights[:, :, 1:].astype(np.float32),
        (weights[:, :, 0] * norms[:, None]).astype(np.float32),
        norms.astype(np.float32),
        np.tile(y, (runs, 1)),
        np.tile(y * flips, (runs, 1)).astype(np.float32),
        q,
        rate.astype(np.float32),
    )
    for at in range(runs):
        X = np.column_stack([np.zeros(n), noise[at]])
        expected, loss = literal(X, weights[at], norms[at] * np.eye(d)[0], y, y * flips, q, rate[at], steps)
        assert np.abs(expected - weights[at]).max() > 0.05
        np.testing.assert_allclose(ends[at], expected[:, 1:], rtol=2e-3, atol=2e-5)
        np.testing.assert_allclose(along[at], norms[at] * expected[:, 0], rtol=2e-3, atol=2e-5)
        assert losses[at] == pytest.approx(loss, rel=2e-3, abs=1e-6)


def test_triangular_draws_have_the_inner_products_of_gaussian_vectors(monkeypatch):
    """Mean and variance of the Gram matrix of vectors in 30 dimensions, by draws of both kinds: 5 standard errors."""
    monkeypatch.setattr(phenomenon, "DIMENSION", 31.0)
    monkeypatch.setattr(phenomenon, "FILTERS", 2)
    rng, runs = np.random.default_rng(0), 20_000
    X, W = phenomenon._triangular(runs, 3, rng)
    rows = np.concatenate([X, W * np.sqrt(31.0)], axis=1)
    plain = rng.standard_normal((runs, 7, 30))
    for power in (1, 2):
        drawn, expected = ((each @ each.transpose(0, 2, 1)) ** power for each in (rows, plain))
        error = np.sqrt((drawn.var(axis=0) + expected.var(axis=0)) / runs)
        assert (np.abs(drawn.mean(axis=0) - expected.mean(axis=0)) < 5 * error).all()


def test_errors_count_both_signs_and_half_of_what_is_zero():
    m = phenomenon.FILTERS
    nothing = np.zeros((1, 2 * m, 4), np.float32)
    fresh = np.random.default_rng(0).standard_normal((1, 50, 4)).astype(np.float32)
    assert phenomenon._true_error(nothing, np.zeros((1, 2 * m), np.float32), 1, fresh) == 0.5
    up = np.concatenate([np.ones((1, m)), -np.ones((1, m))], axis=1).astype(np.float32)
    assert phenomenon._true_error(nothing, up, 3, fresh) == 0.0  # F_+ answers the signal, F_- its opposite
    assert phenomenon._true_error(nothing, -up, 3, fresh) == 1.0
    one = np.concatenate([np.ones((1, m)), np.zeros((1, m))], axis=1).astype(np.float32)
    assert phenomenon._true_error(nothing, one, 3, fresh) == 0.25  # the other class is a coin


def test_the_crossing_is_where_a_scan_has_it(monkeypatch):
    """The error at 0.6 and 1.6 of the crossing's norm, by the same descent without bisection."""
    monkeypatch.setattr(phenomenon, "TRIALS", dict.fromkeys(NETWORKS, 16))
    monkeypatch.setattr(phenomenon, "COUNTS", (20,))
    rows = measured(CUBE, n=20).set_index("quantity")["value"]
    crossing = np.exp(rows["log_norm"])
    assert crossing == pytest.approx(rows["norm"] * 1e3)  # in units of sqrt(d)
    assert 0.4 < crossing / two_layer_cnn.boundary(20, phenomenon.DIMENSION, 3) < 1.6
    assert rows["outside"] == 0.0
    monkeypatch.setattr(phenomenon, "HALVINGS", 0)
    around = [two_layer_cnn.signal_condition(20, crossing * by, phenomenon.DIMENSION, 3) for by in (0.6, 1.6)]
    monkeypatch.setattr(phenomenon, "CONDITIONS", (0.0, *around))
    below, above = measured(CUBE, n=20).query("quantity == 'test_error'")["value"].to_numpy()[1:]
    assert below > phenomenon.LEVEL + 0.2
    assert above < phenomenon.LEVEL - 0.1


def test_flips_are_an_exact_share_and_count_in_the_error(monkeypatch):
    monkeypatch.setattr(phenomenon, "TRIALS", dict.fromkeys(NETWORKS, 2))
    monkeypatch.setattr(phenomenon, "HALVINGS", 0)
    seen, descend = [], phenomenon._descend

    def spy(X, W, along, norm, y, labels, q, rate):
        seen.append((y * labels < 0).sum(axis=1))
        return descend(X, W, along, norm, y, labels, q, rate)

    monkeypatch.setattr(phenomenon, "_descend", spy)
    rows = measured(FLIPPED, n=30)
    assert (np.array(seen) == 3).all()
    benign = rows[(rows["quantity"] == "test_error") & (rows["condition"] == 100.0)]["value"]
    assert benign.to_numpy() == pytest.approx(0.1, abs=0.005)
    seen.clear()
    measured(FIFTH, n=30)
    assert (np.array(seen) == 0).all()


# ---- the other arms --------------------------------------------------------------------------------------------------


def test_the_risk_is_that_of_fresh_points(monkeypatch):
    monkeypatch.setattr(phenomenon, "SAMPLES", (20,))
    monkeypatch.setattr(phenomenon, "DRAWS", 20)
    monkeypatch.setattr(phenomenon, "LABELS", 1)
    rows = measured(CATASTROPHIC)
    spectrum = phenomenon._spectrum(CATASTROPHIC, 20)
    X = streams().rng("data 20").spawn(1)[0].standard_normal((20, spectrum.size)) * np.sqrt(spectrum)
    y = X[:, 0] + streams().rng("label noise 20").spawn(1)[0].standard_normal((20, 1))[:, 0]
    w = np.linalg.pinv(X) @ y
    fresh = np.random.default_rng(0).standard_normal((4000, spectrum.size)) * np.sqrt(spectrum)
    risk = np.mean((fresh @ w - fresh[:, 0]) ** 2)  # to a standard error of sqrt(2/4000)
    assert rows.loc[rows["quantity"] == "risk", "value"].item() == pytest.approx(risk, rel=0.1)


def test_digits_have_their_border_around_them_and_nothing_inside_it():
    pixels, parity = phenomenon._all_digits()
    images = phenomenon.data.digits()
    frame = pixels.reshape(-1, 12, 12)
    inside = frame[:, 2:10, 2:10].reshape(-1, 64)
    np.testing.assert_allclose(inside, images.pixels / 16 - images.pixels.mean() / 16, atol=1e-6)
    assert np.count_nonzero(frame) == np.count_nonzero(inside)
    assert ((parity == 1) == (images.labels % 2 == 0)).all()


def test_networks_without_numbers_err_on_every_digit(few, monkeypatch):
    real = phenomenon._descend
    monkeypatch.setattr(phenomenon, "_descend", lambda *args: (np.nan * real(*args)[0], None, None))
    rows = measured(DIGITS)
    for quantity in ("train_error", "test_error", "same_error", "same_train_error"):
        assert (rows[rows["quantity"] == quantity]["value"] == 1.0).all()


def test_slopes_and_steps_of_known_tables():
    n = np.array([10.0, 20.0, 40.0])
    assert phenomenon._trend(pd.DataFrame([5 - 0.3 * np.log(n)], columns=n)) == pytest.approx([-0.3])
    columns = pd.MultiIndex.from_product([[10, 20], [0.0, 1.0]], names=["n", "border"])
    table = pd.DataFrame([[0.1, 0.3, 0.0, 0.4]], columns=columns)
    assert phenomenon._steps("border")(table) == pytest.approx(np.array([[0.3]]))
    assert phenomenon._steps("n", -1.0)(table) == pytest.approx(np.array([[0.0]]))


def test_bands_shrink_with_the_power_and_are_small_next_to_the_slope():
    bands = {q: phenomenon._band(q) for q in (3, 5)}
    assert bands[5] < bands[3]
    for q in (1, 3, 5):
        assert 0 < phenomenon._band(q) < 0.15 * abs(two_layer_cnn.boundary_slope(q))
    r = np.array([30, 240.0]) ** (-1 / 3)
    assert bands[3] == pytest.approx(np.log((1 - r[1]) / (1 - r[0])) / 3 / np.log(8))


@pytest.mark.parametrize(
    ("id", "bad"), [("networks-fit", 0.02), ("crossings-lie-inside", 0.1), ("digits-interpolate", 0.01)]
)
def test_guards_see_what_did_not_fit(id, bad):
    guard = next(guard for guard in study.guards if guard.id == id)
    quantity = {"networks-fit": "worst_loss", "crossings-lie-inside": "outside", "digits-interpolate": "train_error"}[
        id
    ]
    rows = pd.DataFrame({"arm": [guard.arms[0]], "quantity": [quantity], "replicate": [0], "value": [0.0]})
    assert guard.violation(rows) is None
    assert guard.violation(rows.assign(value=bad))
    assert guard.violation(rows.assign(value=np.nan))
    assert set(guard.claims) <= {claim.id for claim in study.claims}


def test_every_point_that_has_a_theory_is_predicted(few):
    rows = pd.concat([measured(arm, n=n) for arm in NETWORKS for n in (10, 20)])
    predicted = phenomenon.predict((), rows.assign(n=10))
    for arm, quantity, points in [*((arm, "risk", 2) for arm in SPECTRA), (SYNTHETIC, "test_error", 10)]:
        theory = predicted[(predicted["arm"] == arm) & (predicted["quantity"] == quantity)]
        assert len(theory) == points
        assert np.isfinite(theory["value"]).all()


def test_a_boundary_of_another_power_is_refuted(few):
    """Rows with the slope of ReLU^5 in the arm of ReLU^3."""
    claim = next(claim for claim in study.claims if claim.id == "slope-cube")
    n = np.repeat([30, 60, 120, 240], 8)
    noise = 0.005 * np.random.default_rng(0).standard_normal(n.size)
    rows = pd.DataFrame({"arm": CUBE, "n": n, "replicate": np.tile(np.arange(8), 4), "quantity": "log_norm"})
    for slope, inside in ((-1 / 3, True), (-1 / 5, False)):
        found = np.asarray(claim.statistic(rows.assign(value=slope * np.log(n) + noise)))
        value, band = claim.target
        room = band + 5 * found.std() / np.sqrt(len(found))
        assert (abs(found.mean() - value) <= room) == inside


@pytest.mark.slow
def test_smoke_confirms_the_phases(tmp_path):
    result = run(study, preset="smoke", store=tmp_path)
    words = {verdict.id: verdict.word for verdict in result.verdicts}
    assert not [v.id for v in result.verdicts if v.role == "claim" and v.word == "REFUTED"]
    assert words["cube-benign"] == words["flipped-benign"] == "CONFIRMED"
    assert words["no-signal-cube"] == "REFUTED"
