"""The study of separability and double descent: solutions against scikit-learn and plain counts."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from pyphenom.phenomena import classification_double_descent as phenomenon
from pyphenom.phenomena.classification_double_descent import (
    ARMS,
    COIN,
    EDGES,
    HIDDEN,
    LIMITS,
    LOGISTIC,
    LOGISTIC_EDGE,
    MIXTURE,
    TRAINED,
    study,
)
from pyphenom.studies import Cell, Streams


@pytest.fixture
def small(monkeypatch):
    """Few samples and steps: numbers are a matter of the quick preset."""
    monkeypatch.setattr(phenomenon, "N", 60)
    monkeypatch.setattr(phenomenon, "EDGE_N", 50)
    monkeypatch.setattr(phenomenon, "TRAINED_N", 40)
    monkeypatch.setattr(phenomenon, "STEPS", 400)
    monkeypatch.setattr(phenomenon, "TEST", 2000)


def streams(replicate=0):
    return Streams(0, study.name, replicate)


def measured(arm, replicate=0):
    rows = phenomenon.measure(Cell(arm, {}, replicate), streams(replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_finite_rows_that_are_a_function_of_the_replicate(small, arm):
    first, again, other = (measured(arm, k) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    assert not first["value"].equals(other["value"])


@pytest.mark.parametrize("arm", EDGES)
def test_halving_finds_the_first_separable_number_of_features(small, arm):
    """Every number of features, by a linear programme with margins of at least one."""
    rows = measured(arm)
    found = []
    for draw in range(phenomenon.DRAWS):
        X, y = phenomenon._drawn(arm, 50, 50, streams().rng(f"data {draw}"))
        A = X * y[:, None]
        for p in range(1, 51):
            feasible = linprog(np.zeros(p), -A[:, :p], -np.ones(50), bounds=(None, None), method="highs").status == 0
            if feasible:
                found.append(p / 50)
                break
    assert rows.loc[rows["quantity"] == "separable from", "value"].item() == pytest.approx(np.mean(found))
    share = rows[rows["quantity"] == "share separable"].set_index("ratio")["value"]
    expected = [np.mean([p <= ratio + 1e-9 for p in found]) for ratio in share.index]
    np.testing.assert_allclose(share, expected)


def test_covers_count_is_that_of_all_labels():
    """Of the 2^n labels of n points in p dimensions the separable ones, counted for n = 6."""
    n, rng = 6, np.random.default_rng(0)
    for p in (1, 2, 3, 4):
        X = rng.standard_normal((n, p))
        signs = itertools.product((-1.0, 1.0), repeat=n)
        count = sum(phenomenon.hard_margin(X, np.array(y)).separable for y in signs if len(set(y)) == 2)
        alike = phenomenon.hard_margin(X, np.ones(n)).separable
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(phenomenon, "EDGE_N", n)
            assert phenomenon._cover(np.array([p / n]))[0] * 2**n == pytest.approx(count + 2 * alike)


def test_the_most_likely_classifier_is_that_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((80, 12)), rng.choice([-1.0, 1.0], 80)
    fitted = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(phenomenon._most_likely(X * y[:, None]), fitted.coef_[0], atol=1e-5)


def test_labels_follow_their_laws():
    """10^5 draws; six standard deviations."""
    rng = np.random.default_rng(0)
    X, y = phenomenon._drawn(LOGISTIC, 100_000, 1, rng)
    middle = np.abs(X[:, 0] - 0.5) < 0.05
    rate = 1.0 / (1.0 + np.exp(-1.0))
    assert np.mean(y[middle] > 0) == pytest.approx(rate, abs=6 * np.sqrt(rate * (1 - rate) / middle.sum()))
    X, y = phenomenon._drawn(MIXTURE, 100_000, 2, rng)
    np.testing.assert_allclose((X * y[:, None]).mean(axis=0), [1.0, 0.0], atol=6 / np.sqrt(1e5))
    X, y = phenomenon._drawn(COIN, 100_000, 1, rng)
    assert abs(np.mean(X[:, 0] * y)) < 6 / np.sqrt(1e5)


def test_coefficients_seen_and_unseen_are_the_whole_signal():
    beta, unseen = phenomenon._coefficients(100, 250)
    assert np.hypot(np.linalg.norm(beta), unseen) == pytest.approx(phenomenon.SIGNAL)
    # A share 1 - (1 + psi)^-a of the square is on the first p.
    assert np.sum(beta[:100] ** 2) == pytest.approx(phenomenon.SIGNAL**2 * (1 - 2.0**-phenomenon.DECAY))


def test_the_test_error_of_projections_is_that_of_whole_inputs():
    rng = np.random.default_rng(0)
    beta, unseen = phenomenon._coefficients(20, 30)
    w = beta + 0.5 * rng.standard_normal(30)
    X = rng.standard_normal((200_000, 30))
    logits = X @ beta + unseen * rng.standard_normal(200_000)
    labels = np.where(rng.random(200_000) < 1.0 / (1.0 + np.exp(-logits)), 1.0, -1.0)
    direct = np.mean(labels * (X @ w) < 0)
    cosine, error = phenomenon._test_error(w, beta, *rng.standard_normal((2, 100_000)))
    assert error == pytest.approx(direct, abs=6 * 0.5 * np.sqrt(1 / 200_000 + 1 / 100_000))
    assert cosine == pytest.approx(w @ beta / np.linalg.norm(w) / np.linalg.norm(beta))


@pytest.mark.parametrize("arm", LIMITS)
def test_errors_and_margins_of_limits_are_those_of_plain_data(small, monkeypatch, arm):
    """More features than samples as they are, and test labels counted: means of 60 draws, five standard errors."""
    monkeypatch.setattr(phenomenon, "RATIOS", (1.5,))
    rows = pd.concat([measured(arm, k) for k in range(60)])
    plain = []
    for k in range(60):
        rng = np.random.default_rng(k)
        X, y = phenomenon._drawn(arm, 60, 90, rng)
        found = phenomenon.hard_margin(X, y)
        Z, labels = phenomenon._drawn(arm, 4000, 90, rng)
        plain.append((found.margin, found.weights[0], np.mean(labels * (Z @ found.weights) < 0)))
    for quantity, expected in zip(("margin", "cosine", "error"), np.transpose(plain), strict=True):
        drawn = rows[rows["quantity"] == quantity]["value"]
        assert abs(drawn.mean() - expected.mean()) < 5 * np.sqrt((drawn.var() + expected.var()) / 60)


def test_torch_arrives_at_the_solution_on_both_sides(small, monkeypatch):
    monkeypatch.setattr(phenomenon, "STEPS", 3000)
    rows = measured(TRAINED)
    table = rows.set_index(["quantity", "ratio"])["value"]
    assert table["separable", 0.2] == 0.0
    assert table["separable", 2.0] == table["fits", 2.0] == 1.0
    assert rows.loc[rows["quantity"] == "angle", "value"].max() < 0.02


def test_every_claimed_point_is_predicted():
    predicted = phenomenon.predict((), pd.DataFrame())
    for arms, quantities, ratios in (
        (LIMITS, ("margin", "cosine", "error"), phenomenon.RATIOS),
        ((HIDDEN,), ("error", "cosine"), phenomenon.HIDDEN_RATIOS),
        ((TRAINED,), ("error",), phenomenon.TRAINED_RATIOS),
    ):
        for arm, quantity in itertools.product(arms, quantities):
            rows = predicted[(predicted["arm"] == arm) & (predicted["quantity"] == quantity)]
            assert set(ratios) <= set(rows["ratio"])
            assert (rows["value"] > 0).all()


def test_a_threshold_without_the_signal_is_off_by_more_than_is_allowed():
    assert abs(phenomenon.max_margin.separability_threshold(phenomenon.LINKS[LOGISTIC_EDGE]) - 0.5) > 0.1


def test_guards_see_what_torch_leaves_wrong():
    guards = {guard.id: guard for guard in study.guards}
    rows = pd.DataFrame(
        {"arm": TRAINED, "quantity": ["fits", "separable"], "replicate": 0, "value": [1.0, 1.0], "ratio": 1.0}
    )
    assert guards["torch-fits"].violation(rows) is None
    assert guards["torch-fits"].violation(rows.assign(value=[0.0, 1.0]))
    gaps = pd.DataFrame({"arm": [LOGISTIC], "quantity": ["gap"], "replicate": [0], "value": [np.nan]})
    assert guards["certified"].violation(gaps)
