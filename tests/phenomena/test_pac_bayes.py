from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, norm

from pyphenom import bounds, data, networks
from pyphenom.phenomena import pac_bayes as phenomenon
from pyphenom.phenomena.pac_bayes import (
    ARMS,
    DIGITS,
    FITTED,
    FRACTIONS,
    GUESSES,
    LARGE,
    LINEAR,
    MINIMA,
    MIXTURE,
    MNIST1D,
    NOISE,
    PASSES,
    study,
)
from pyphenom.studies import Cell, Streams, run


@pytest.fixture
def short(monkeypatch):
    """Train for a few steps only: what certificates are worth is a matter of the quick preset."""
    for name in ("FAR", "NEAR", "LEARNT", "FREE", "FREE_LINEAR", "LARGE_TRAINING", "AT_A_MINIMUM"):
        how = getattr(phenomenon, name)
        brief = replace(how["training"], epochs=1)
        monkeypatch.setattr(phenomenon, name, how | {"training": brief})
    for name in ("PRIOR", "NEAR_PRIOR", "LARGE_PRIOR", "FITTING", "FLAT_SGD", "SHARP_SGD"):
        monkeypatch.setattr(phenomenon, name, replace(getattr(phenomenon, name), steps=5))
    for name, value in {"TASKS": 2, "MONTE_CARLO": 1, "MIXTURE_PASSES": 1, "TEST_PASSES": 1}.items():
        monkeypatch.setattr(phenomenon, name, value)
    for name, value in {"REPETITIONS": 50, "PASS_REPETITIONS": 20}.items():
        monkeypatch.setattr(phenomenon, name, value)


def measured(arm, replicate=0):
    rows = phenomenon.measure(Cell(arm, {}, replicate), Streams(0, study.name, replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


def values(rows, quantity):
    return rows.loc[rows["quantity"] == quantity, "value"].to_numpy()


def named(kind, id):
    return next(each for each in getattr(study, kind) if each.id == id)


@pytest.mark.parametrize("arm", [LINEAR, MNIST1D, MINIMA, LARGE])
def test_replicates_draw_weights_of_their_own_for_test_points(short, monkeypatch, arm):
    seeds, draws = [], bounds.draws
    monkeypatch.setattr(bounds, "draws", lambda *given: seeds.append(given[4]) or draws(*given))
    measured(arm, 1)
    first = set(seeds)
    measured(arm, 2)
    assert first
    assert not first & set(seeds[len(seeds) // 2 :])


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm != phenomenon.HIDDEN_1D])
def test_every_arm_gives_finite_rows_that_are_a_function_of_the_replicate(short, arm):
    first, again, other = (measured(arm, k) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    assert not first["value"].equals(other["value"])


def test_error_of_a_linear_classifier_is_that_of_fresh_points():
    mean, w, b = np.array([0.8, -0.3, 0.0]), np.array([1.0, 0.5, -0.7]), 0.4
    X, y = data.gaussian_mixture(400_000, mean, np.random.default_rng(0))
    wrong = np.mean(np.sign(X @ w + b) != y)
    # Standard error below 8e-4.
    assert phenomenon._linear_errors(w, b, mean) == pytest.approx(wrong, abs=4e-3)
    assert phenomenon._linear_errors(mean, 0.0, mean) == pytest.approx(norm.cdf(-np.linalg.norm(mean)))
    many = phenomenon._linear_errors(np.stack([w, 2 * w]), np.array([b, 2 * b]), mean)
    assert many[0] == pytest.approx(many[1])  # the length of the weights does not matter


def test_gibbs_error_on_a_mixture_is_that_of_networks_drawn_for_fresh_points():
    rng, mean = np.random.default_rng(0), np.eye(phenomenon.INPUTS)[0]
    X, y = data.gaussian_mixture(100_000, mean, rng)
    labels = (y > 0).astype(int)
    found = bounds.certify(networks.mlp((phenomenon.INPUTS, 2)), X[:400], labels[:400], **phenomenon.NEAR)
    posterior = found.posterior
    flat = (np.concatenate([part.ravel() for part in parts]) for parts in (posterior.mean, posterior.log_scale))
    network = bounds.GaussianMLP(*flat, posterior.widths, posterior.activation)
    direct = bounds.draws(network, X[400:], labels[400:], 1, seed=5).error
    # Standard errors: 1.3e-3 of the points, below 2e-3 of the networks.
    assert phenomenon._mixture_risk(found, mean, rng) == pytest.approx(direct, abs=8e-3)


def test_coinciding_classes_have_an_error_of_one_half(short):
    rows = measured(MIXTURE)
    zero = rows[rows["mean_norm"] == 0.0].set_index("quantity")["value"]
    assert zero[["risk", "free_risk", "test_risk"]].tolist() == pytest.approx([0.5, 0.5, 0.5], abs=1e-12)
    assert zero["tasks"] == phenomenon.TASKS


def test_least_error_of_guesses_has_the_law_of_a_minimum(monkeypatch):
    monkeypatch.setattr(phenomenon, "M", 50.0)
    monkeypatch.setattr(phenomenon, "REPETITIONS", 4000)
    error = values(measured(GUESSES), "error").item()
    direct = np.random.default_rng(1).binomial(phenomenon.GUESS_N, 0.5, (4000, 50)).min(axis=1) / phenomenon.GUESS_N
    # Both standard errors are 1.2e-4.
    assert error == pytest.approx(direct.mean(), abs=8e-4)


def test_wrong_accounts_fail_and_right_ones_do_not():
    guesses, passes = measured(GUESSES), measured(PASSES)
    counts = {
        name: values(guesses, name).item() / phenomenon.REPETITIONS for name in ("violations", "no_kl_violations")
    }
    assert counts["violations"] < 0.01
    assert counts["no_kl_violations"] > 0.99
    assert values(guesses, "full_set_violations").item() / phenomenon.REPETITIONS > 0.8
    assert values(passes, "violations").item() / phenomenon.PASS_REPETITIONS < phenomenon.DELTA
    assert values(passes, "shared_violations").item() / phenomenon.PASS_REPETITIONS > 0.15
    assert values(passes, "shared_once_violations").item() == 0.0


def test_error_under_redrawn_labels_is_that_of_the_law(short):
    rows = measured(DIGITS)
    tables = {p: part.set_index("quantity")["value"] for p, part in rows.groupby("noise")}
    assert tuple(tables) == NOISE
    for p, table in tables.items():
        # A share p, of which one in ten is redrawn to itself: standard error below 0.014.
        assert table["changed"] == pytest.approx(0.9 * p, abs=0.06)
        assert table["excess"] == pytest.approx(table["certificate"] - table["risk"])
    assert tables[0.0]["changed"] == 0.0
    assert tables[1.0]["risk"] == pytest.approx(0.9, abs=1e-12)


def test_levels_of_noise_and_shares_of_the_prior_meet_where_they_are_the_same(short):
    """The networks are members of other stacks, so up to rounding, which may turn an error or two of 600."""
    noisy, shares = measured(DIGITS), measured(phenomenon.HIDDEN)
    here, there = noisy[noisy["noise"] == 0.0], shares[shares["prior_fraction"] == 0.5]
    for name in ("certificate", "test_bound", "kl"):
        assert values(there, name).item() == pytest.approx(values(here, name).item(), rel=0.01)
    assert values(there, "test_bound").item() != pytest.approx(values(shares, "test_bound")[1], rel=0.01)


def test_priors_have_not_seen_the_points_of_their_bound(short, monkeypatch):
    """What a network was trained on beforehand, and what its certificate says that it has seen."""
    seen, issued, train, certify = [], [], phenomenon._train, bounds.certify

    def trained(models, X, y, recipe, seed, rows=None):
        seen.extend((model, X[row]) for model, row in zip(models, rows or (), strict=bool(rows)))
        train(models, X, y, recipe, seed, rows)

    def certified(model, X, *rest, **options):
        found = certify(model, X, *rest, **options)
        issued.append((model, X, options.get("prior_rows"), found.posterior.bound_rows))
        return found

    monkeypatch.setattr(phenomenon, "_train", trained)
    monkeypatch.setattr(bounds, "certify", certified)
    kept = [phenomenon.measure(Cell(arm, {}, 0), Streams(0, study.name, 0)) for arm in (MIXTURE, LINEAR, DIGITS, LARGE)]
    assert len(kept) == 4
    known = {id(model): points for model, points in seen}
    given = [entry for entry in issued if id(entry[0]) in known]
    assert len(given) == len(known) == 3 * phenomenon.TASKS + len(FRACTIONS) - 1 + len(NOISE) + 1
    for model, X, rows, scored in given:
        np.testing.assert_array_equal(known[id(model)], X[rows])
        assert not set(rows) & set(scored)
        assert len(rows) + len(scored) == len(X)


def test_without_its_kl_a_certificate_is_smaller(short):
    rows = measured(FITTED)
    assert values(rows, "kl").item() > 0.0
    assert values(rows, "certificate").item() >= values(rows, "no_kl").item()


def test_rescaled_layers_keep_the_function_and_change_the_certificate(short):
    rows = measured(MINIMA)
    for quantity in ("test_bound", "loss"):
        found = values(rows[rows["scale"].notna()], quantity)
        np.testing.assert_allclose(found, found[0], rtol=1e-5)
    plain = rows[rows["scale"] == 1.0]
    assert values(plain, "certificate") == values(rows, "flat certificate")
    assert values(rows, "sharpness").min() < 0.9 * values(rows, "sharpness").max()


def test_limits_are_those_of_clopper_and_pearson():
    rows = pd.DataFrame({"quantity": ["violations", "tasks"] * 2, "value": [3.0, 40.0, 5.0, 60.0]})
    interval = binomtest(8, 100).proportion_ci(0.9, method="exact")
    assert phenomenon._limit("upper", "violations")(rows).item() == pytest.approx(interval.high)
    assert phenomenon._limit("lower", "violations")(rows).item() == pytest.approx(interval.low)


def test_gain_steps_and_more_subtract_the_right_points():
    noisy = pd.MultiIndex.from_product([(DIGITS, MNIST1D), NOISE])
    table = pd.DataFrame([np.arange(10.0) ** 2], columns=noisy)
    assert phenomenon._steps(table).tolist() == [[1.0, 3.0, 5.0, 7.0, 11.0, 13.0, 15.0, 17.0]]
    shares = pd.DataFrame([[0.9, 0.5, 0.2, 0.3]], columns=pd.MultiIndex.from_product([(LINEAR,), FRACTIONS]))
    assert phenomenon._gain(shares).to_numpy() == pytest.approx(0.7)
    rescaled = pd.DataFrame([[0.5, 0.3, 0.1, 0.4, 0.6]], columns=phenomenon.SCALES)
    np.testing.assert_allclose(phenomenon._more(rescaled), [[0.4, 0.2, 0.3, 0.5]])


def test_lines_of_the_figures_are_means_of_certificates_and_test_bounds(short):
    rows = pd.concat([measured(arm, k) for arm in (MIXTURE, LINEAR) for k in range(2)])
    predicted = phenomenon.predict((), rows)
    lines = [(MIXTURE, "mean_norm", *line) for line in phenomenon._lines(MIXTURE).items()]
    for arm, axis, quantity, name in (*lines, (LINEAR, "prior_fraction", "certificate", LINEAR)):
        line = predicted[predicted["arm"] == name].set_index(axis)["value"]
        here = rows[(rows["arm"] == arm) & (rows["quantity"] == quantity)].groupby(axis)["value"].mean()
        np.testing.assert_allclose(line, here)


@pytest.mark.parametrize(
    ("guard", "quantity", "good", "bad"),
    [
        ("flat-fits", "flat train_error", 0.0, 0.01),
        ("sharp-fits", "sharp train_error", 0.0, 0.01),
        ("remembered", "empirical_risk", 0.01, 0.5),
    ],
)
def test_guards_see_what_does_not_hold(guard, quantity, good, bad):
    found = named("guards", guard)
    rows = pd.DataFrame({"arm": found.arms[0], "quantity": [quantity], "replicate": 0, "value": good})
    assert found.violation(rows) is None
    assert found.violation(rows.assign(value=bad))
    assert found.violation(rows.assign(value=np.nan))


def test_a_network_of_400_000_weights_is_certified_beside_its_test_bound():
    rows = measured(LARGE)
    certificate, beside = (values(rows, name).item() for name in ("certificate", "test_bound"))
    assert beside < certificate < 0.2
    assert values(rows, "risk").item() < certificate


@pytest.mark.slow
def test_smoke_gives_rows_and_counts_failures(tmp_path):
    result = run(study, preset="smoke", store=tmp_path)
    assert not result.failures
    words = {verdict.id: verdict.word for verdict in result.verdicts}
    assert {words[name] for name in ("mixtures-hold", "data-free-hold", "guesses-hold", "fresh-hold")} == {"CONFIRMED"}
    assert {words[name] for name in ("full-set-holds", "no-kl-holds", "shared-holds")} == {"REFUTED"}
    assert not [v.id for v in result.verdicts if v.role == "claim" and v.word == "REFUTED"]
