"""The study of benign overfitting: what samples share, thresholds against plain ones, and plain interpolants."""

import numpy as np
import pandas as pd
import pytest

from pyphenom.phenomena import benign_overfitting as phenomenon
from pyphenom.phenomena.benign_overfitting import (
    ARMS,
    BENIGN,
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
    monkeypatch.setattr(phenomenon, "BETWEEN", ())
    monkeypatch.setattr(phenomenon, "SAMPLES", (10, 20))
    monkeypatch.setattr(phenomenon, "MIXTURE", (10, 50))
    monkeypatch.setattr(phenomenon, "IMAGES", (10, 20))
    monkeypatch.setattr(phenomenon, "SHOWN", 10)
    monkeypatch.setattr(phenomenon, "DRAWS", dict.fromkeys(SPECTRA, 40))
    monkeypatch.setattr(phenomenon, "SAMPLINGS", 2)
    monkeypatch.setattr(phenomenon, "FRESH", 100)


def streams(replicate=0):
    return Streams(0, study.name, replicate)


def measured(arm, replicate=0):
    rows = phenomenon.measure(Cell(arm, {}, replicate), streams(replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_finite_rows_that_are_a_function_of_the_replicate(few, arm):
    first, again, other = (measured(arm, k) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    assert not first["value"].equals(other["value"])


# ---- networks --------------------------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch):
    """Return the arguments of every descent."""
    seen, descend = [], phenomenon.descend

    def spy(*arguments, **options):
        seen.append(arguments)
        return descend(*arguments, **options)

    monkeypatch.setattr(phenomenon, "descend", spy)
    return seen


def test_fewer_samples_are_the_first_of_more_under_the_same_weights(few, calls):
    measured(FIFTH)
    (X, W, along), (more, same, beside) = (call[:3] for call in (calls[0], calls[len(calls) // 2]))
    assert X.shape[1] == 10
    assert more.shape[1] == 20
    np.testing.assert_allclose(X @ X.transpose(0, 2, 1), (more @ more.transpose(0, 2, 1))[:, :10, :10], rtol=1e-5)
    np.testing.assert_allclose(W @ X.transpose(0, 2, 1), (same @ more.transpose(0, 2, 1))[:, :, :10], rtol=1e-4)
    np.testing.assert_allclose(along, beside)


def test_initial_weights_and_patches_have_the_scales_that_are_stated(few, calls):
    measured(CUBE)
    X, W = calls[0][:2]
    assert np.square(X).sum(axis=2).mean() == pytest.approx(phenomenon.DIMENSION, rel=0.01)
    # 800 products of unit variance: six standard errors
    products = (W @ X.transpose(0, 2, 1)) / phenomenon.SCALES[CUBE]
    assert np.square(products).mean() == pytest.approx(1.0, abs=6 * np.sqrt(2 / products.size))


def test_the_crossing_is_where_a_scan_has_it(monkeypatch):
    """The error at 0.6 and 1.6 of the crossing's norm, by the same descent without bisection."""
    monkeypatch.setattr(phenomenon, "TRIALS", dict.fromkeys(NETWORKS, 16))
    monkeypatch.setattr(phenomenon, "SHARED", 16)
    monkeypatch.setattr(phenomenon, "COUNTS", (20,))
    rows = measured(CUBE).set_index("quantity")["value"]
    crossing = np.exp(rows["log_norm"])
    assert crossing == pytest.approx(rows["norm"] * 1e3)  # in units of sqrt(d)
    assert 0.4 < crossing / two_layer_cnn.boundary(20, phenomenon.DIMENSION, 3) < 1.6
    assert rows["outside"] == 0.0
    monkeypatch.setattr(phenomenon, "HALVINGS", 0)
    around = [two_layer_cnn.signal_condition(20, crossing * by, phenomenon.DIMENSION, 3) for by in (0.6, 1.6)]
    monkeypatch.setattr(phenomenon, "CONDITIONS", (0.0, *around))
    monkeypatch.setattr(phenomenon, "BETWEEN", ())
    below, above = measured(CUBE).query("quantity == 'test_error'")["value"].to_numpy()[1:]
    assert below > phenomenon.LEVEL + 0.2
    assert above < phenomenon.LEVEL - 0.1


def test_flips_are_an_exact_share_and_count_in_the_error(monkeypatch, calls):
    monkeypatch.setattr(phenomenon, "TRIALS", dict.fromkeys(NETWORKS, 2))
    monkeypatch.setattr(phenomenon, "COUNTS", (30,))
    monkeypatch.setattr(phenomenon, "HALVINGS", 0)
    rows = measured(FLIPPED)
    assert all(((y * labels < 0).sum(axis=1) == 3).all() for *_, y, labels, _, _ in calls)
    benign = rows[(rows["quantity"] == "test_error") & (rows["condition"] == 100.0)]["value"]
    assert benign.to_numpy() == pytest.approx(0.1, abs=0.005)
    calls.clear()
    measured(FIFTH)
    assert all((y * labels > 0).all() for *_, y, labels, _, _ in calls)


# ---- the other arms --------------------------------------------------------------------------------------------------


def test_the_risk_is_that_of_fresh_points(monkeypatch):
    monkeypatch.setattr(phenomenon, "SAMPLES", (20,))
    monkeypatch.setattr(phenomenon, "DRAWS", dict.fromkeys(SPECTRA, 20))
    monkeypatch.setattr(phenomenon, "LABELS", 1)
    rows = measured(CATASTROPHIC)
    spectrum = phenomenon._spectrum(CATASTROPHIC, 20)
    X = streams().rng("data").standard_normal((20, spectrum.size), dtype=np.float32) * np.sqrt(spectrum)
    y = X[:, 0] + streams().rng("label noise").standard_normal((20, 1))[:, 0]
    w = np.linalg.pinv(X) @ y
    fresh = np.random.default_rng(0).standard_normal((4000, spectrum.size)) * np.sqrt(spectrum)
    risk = np.mean((fresh @ w - fresh[:, 0]) ** 2)  # to a standard error of sqrt(2/4000)
    assert rows.loc[rows["quantity"] == "risk", "value"].item() == pytest.approx(risk, rel=0.1)


def test_inputs_of_fewer_samples_are_those_of_more(monkeypatch):
    monkeypatch.setattr(phenomenon, "SAMPLES", (2, 6))
    monkeypatch.setattr(phenomenon, "DRAWS", dict.fromkeys(SPECTRA, 12))
    drawn = list(phenomenon._inputs(CATASTROPHIC, streams()))
    assert [(at, first, len(X)) for at, first, X, _ in drawn] == [
        *((0, 2 * k, 2) for k in range(6)), (1, 0, 6), (1, 6, 6)]  # fmt: skip
    few, more = (np.concatenate([X for at, _, X, _ in drawn if at == which]) for which in (0, 1))
    np.testing.assert_array_equal(few, more)


def test_inputs_in_triangular_coordinates_have_the_risk_of_plain_ones(monkeypatch):
    """The mean logarithm over 400 draws of either kind: five standard errors."""
    monkeypatch.setattr(phenomenon, "SAMPLES", (10,))
    monkeypatch.setattr(phenomenon, "DRAWS", {BENIGN: 4000})
    spectrum, found = phenomenon._spectrum(BENIGN, 10), []
    for plain in (True, False):
        rng, risks = np.random.default_rng(plain), []
        for _, _, X, variances in phenomenon._inputs(BENIGN, streams()):
            if plain:
                X, variances = rng.standard_normal((10, spectrum.size)) * np.sqrt(spectrum), spectrum
            fit = np.linalg.pinv(X) @ (X[:, 0] + rng.standard_normal(10))
            fit[0] -= 1.0
            risks.append(np.log(variances @ fit**2))
        found.append((np.mean(risks), np.var(risks) / 400))
    (first, error), (second, other) = found
    assert abs(first - second) < 5 * np.sqrt(error + other)


@pytest.mark.parametrize(("n", "unused"), [(6, 0), (6, 3), (12, 3)])
def test_interpolants_are_those_of_least_squares(n, unused):
    rows = np.random.default_rng(0).standard_normal((3, n, 10))
    rows[..., 10 - unused :] = 0.0
    for w, X in zip(phenomenon._interpolant(rows), rows, strict=True):
        np.testing.assert_allclose(w, np.linalg.lstsq(X, np.ones(n), rcond=None)[0], atol=1e-9)


def test_digits_have_their_border_around_them_and_nothing_inside_it():
    pixels, parity = phenomenon._all_digits()
    images = phenomenon.data.digits()
    frame = pixels.reshape(-1, 12, 12)
    inside = frame[:, 2:10, 2:10].reshape(-1, 64)
    np.testing.assert_allclose(inside, images.pixels / 16 - images.pixels.mean() / 16, atol=1e-6)
    assert np.count_nonzero(frame) == np.count_nonzero(inside)
    assert ((parity == 1) == (images.labels % 2 == 0)).all()


def test_networks_without_numbers_err_on_every_digit(few, monkeypatch):
    real = phenomenon.descend
    monkeypatch.setattr(
        phenomenon, "descend", lambda *args, **options: (np.nan * real(*args, **options)[0], None, None)
    )
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


def test_what_finite_n_adds_to_a_slope_shrinks_with_the_power():
    limits = {q: two_layer_cnn.boundary_slope(q) for q in (1, 3, 5)}
    (flipped, error), (cube, of_cube), (fifth, of_fifth) = (phenomenon._slope(q) for q in limits)
    assert flipped == limits[1]
    assert 0 < fifth - limits[5] < cube - limits[3]
    assert 0 < of_fifth < of_cube < cube - limits[3]  # so that neither the limit nor -1/4 lies within the error
    assert cube + of_cube < -1 / 4
    assert 0 < error < 0.1 * abs(flipped)
    r = np.array([30, 240.0]) ** (-1 / 3)
    assert cube - limits[3] == pytest.approx(np.log((1 - r[1]) / (1 - r[0])) / 3 / np.log(8))


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
    predicted = phenomenon.predict((), pd.concat([measured(arm) for arm in NETWORKS]))
    for arm, quantity, points in [*((arm, "risk", 2) for arm in SPECTRA), (SYNTHETIC, "test_error", 10)]:
        theory = predicted[(predicted["arm"] == arm) & (predicted["quantity"] == quantity)]
        assert len(theory) == points
        assert np.isfinite(theory["value"]).all()


def test_a_boundary_of_another_power_is_refuted(few):
    """Rows with the slope of ReLU and of ReLU^5 in the arm of ReLU^3."""
    claim = next(claim for claim in study.claims if claim.id == "slope-cube")
    n = np.repeat([30, 60, 120, 240], 8)
    noise = 0.005 * np.random.default_rng(0).standard_normal(n.size)
    rows = pd.DataFrame({"arm": CUBE, "n": n, "replicate": np.tile(np.arange(8), 4), "quantity": "log_norm"})
    for slope, inside in ((-0.3, True), (-1 / 4, False), (-1 / 5, False)):
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
