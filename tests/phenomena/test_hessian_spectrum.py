import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from pyphenom import curvature, networks
from pyphenom.phenomena import hessian_spectrum as phenomenon
from pyphenom.phenomena.hessian_spectrum import (
    AMONG,
    CLUSTERS,
    COMMON,
    QUADRATURE,
    REGRESSION,
    SEPARATE,
    SHUFFLED,
    study,
)
from pyphenom.studies import Cell, Streams, run
from pyphenom.theory.class_spectrum import drops, lead


@pytest.fixture
def short(monkeypatch):
    """Take a few steps and probes: what is learned is a matter of the quick preset."""
    few = {"END": 3, "STEPS": (0, 3), "SEEDS": {"": 2, "ggn_": 2}, "COSINES": (0.0, 0.8), "DIGITS_DESCENT": (3, 0.3)}
    for name, value in few.items():
        monkeypatch.setattr(phenomenon, name, value)


def smallest_of_each_arm():
    return list({cell.arm: cell for cell in reversed(study.work("smoke"))}.values())


@pytest.mark.parametrize("cell", smallest_of_each_arm(), ids=str)
def test_every_arm_gives_finite_rows_that_are_a_function_of_the_replicate(short, cell):
    first, again, other = (phenomenon.measure(cell, Streams(0, study.name, k)) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.slow
def test_smoke_confirms_what_is_exact_and_no_control(tmp_path):
    result = run(study, preset="smoke", store=tmp_path)
    assert not result.failures
    words = {verdict.id: verdict.word for verdict in result.verdicts}
    exact = {"levels", "gradient-level", "lanczos-dense"}
    assert words["wrong-levels"] == "REFUTED"
    # One replicate has no interval: everything else is open, and lanczos-dense with the control that protects it.
    assert words["levels"] == words["gradient-level"] == "CONFIRMED"
    assert {word for id, word in words.items() if id not in exact} <= {"INCONCLUSIVE", "REFUTED"}
    assert not [v for v in result.verdicts if v.role == "claim" and v.word == "REFUTED"]


def test_readings_are_those_of_the_dense_hessian_by_autograd():
    torch.manual_seed(0)
    X, y = torch.randn(12, 4, dtype=torch.float64), torch.arange(12) % 3
    model = networks.mlp((4, 5, 3), "tanh", 1, torch.float64)
    shapes = {name: value.shape for name, value in model.named_parameters()}

    def loss(flat):
        parts = flat.split([shape.numel() for shape in shapes.values()])
        named = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        return cross_entropy(functional_call(model, named, X), y)

    flat = torch.cat([value.detach().reshape(-1) for value in model.parameters()])
    gradient = torch.autograd.functional.jacobian(loss, flat).numpy()
    values, vectors = (
        part[..., ::-1] for part in np.linalg.eigh(torch.autograd.functional.hessian(loss, flat).numpy())
    )
    found = phenomenon._spectrum(model, X, y, 2).set_index("quantity")["value"]
    for name, count in (("top_share", 3), ("above_share", 2)):
        expected = np.sum((vectors[:, :count].T @ gradient) ** 2) / (gradient @ gradient)
        np.testing.assert_allclose(found[name], expected, rtol=1e-8)
    assert found["surplus"] == pytest.approx(np.log(values[1] * values[3] / values[2] ** 2))
    assert found["residual"] < 1e-8
    dense = phenomenon._spectrum(model, X, y, 2, dense=True).set_index("quantity")["value"]
    assert dense["away_from_zero"] == np.mean(np.abs(values) > 0.01 * values[0])
    for name in ("outliers", "lead", "lead of C", "lead of one", "surplus"):
        assert dense[name] == pytest.approx(found[name], abs=1e-6)
    ratios = values[:AMONG] / np.maximum(values[1 : AMONG + 1], 1e-12 * values[0])
    assert found["outliers"] == np.argmax(ratios) + 1
    assert found["lead of one"] == pytest.approx(np.log(ratios[0] / ratios[1:].max()))


@pytest.mark.parametrize("classes", REGRESSION)
def test_softmax_regression_lies_on_the_path_of_its_gradient_flow(classes, monkeypatch):
    """Gradient descent from zero, until the error is that of the study, has the same spectrum."""
    monkeypatch.setattr(phenomenon, "COSINES", (0.6,))
    streams = Streams(0, study.name, 0)
    rows = phenomenon.measure(Cell(REGRESSION[classes], {"classes": classes}, 0), streams)
    found = rows.set_index("quantity")["value"]
    assert found["level_error"] < 1e-12
    assert found["gradient_error"] < 1e-10
    assert found["wrong_level_error"] > 0.1
    gram = np.full((classes, classes), 0.6) + 0.4 * np.eye(classes)
    X, W, right = np.linalg.cholesky(gram), np.zeros((classes, classes)), 0.0
    while right < 1 - phenomenon.ERROR:
        p = softmax(X @ W.T, axis=1)
        right = p[0, 0]
        W -= (1.0 if right < 0.97 else 0.01) * (p - np.eye(classes)).T @ X / classes
    H = np.zeros((classes**2, classes**2))
    for c in range(classes):
        H += np.kron(np.diag(p[c]) - np.outer(p[c], p[c]), np.outer(X[c], X[c])) / classes
    values = np.linalg.eigvalsh(H)[::-1]
    surplus = np.log(values[classes - 2] * values[classes] / values[classes - 1] ** 2)
    assert found["surplus"] == pytest.approx(surplus, abs=1e-4)


def test_shuffling_moves_labels_alone_and_clusters_are_dealt_to_classes():
    streams = Streams(0, study.name, 0)
    (X, y), (Z, shuffled) = (phenomenon._gaussians(arm, 5, 5, streams) for arm in (COMMON, SHUFFLED))
    assert torch.equal(X, Z)
    assert not torch.equal(X, phenomenon._gaussians(COMMON, 5, 5, Streams(0, study.name, 1))[0])
    assert torch.equal(y.bincount(), shuffled.bincount())
    assert 0.6 < (y != shuffled).double().mean() < 0.99
    _, labels = phenomenon._gaussians(CLUSTERS, 3, 6, streams)
    assert labels.bincount().tolist() == [40, 40, 40]


def test_identical_clusters_give_the_gauss_newton_matrix_the_predicted_rank(monkeypatch):
    monkeypatch.setitem(phenomenon.INPUTS, CLUSTERS, (2.5, 0.5, 0.0))
    X, y = phenomenon._gaussians(CLUSTERS, 3, 6, Streams(0, study.name, 0))
    model = networks.mlp((phenomenon.D, 20, 3), "tanh", 0, torch.float64)
    ggn = curvature.linearize(model, "cross_entropy", X, y).ggn()
    values = np.linalg.eigvalsh(ggn @ np.eye(ggn.shape[0]))[::-1]
    assert np.argmax(drops(values[: AMONG + 1])) + 1 == np.sum(values > 1e-12 * values[0]) == 6 * 2
    assert lead(values[: AMONG + 1], 6 * 2) > np.log(1e6)


def test_the_gradient_moves_in_training(short):
    rows = phenomenon.measure(Cell(SEPARATE[3], {"classes": 3}, 0), Streams(0, study.name, 0))
    assert set(rows.loc[rows["quantity"] == "top_share", "step"]) == {0, 3}
    assert set(rows.loc[rows["quantity"] == "lead", "step"]) == {3}


def test_the_quadrature_of_the_wrong_matrix_is_told_apart(short):
    rows = phenomenon.measure(Cell(QUADRATURE, {"classes": 5, "width": 20}, 0), Streams(0, study.name, 0))
    found = rows[rows["eigenvalue"].isna()].set_index("quantity")["value"]
    assert found["lanczos_error"] < 1e-10 < 1e-3 < found["ggn_lanczos_error"]
    assert found["ggn_trace_coverage"] == 0.0
    table = {name: part["value"].to_numpy() for name, part in rows.groupby("quantity")}
    assert np.all(np.diff(table["exact_cdf"]) > 0)
    size = 13 * 20 + 21 * 5
    # Twenty probes of 365 dimensions: standard errors below 0.005, six of them.
    np.testing.assert_allclose(table["cdf"], table["exact_cdf"], atol=0.03)
    np.testing.assert_allclose(table["cdf_error"], size * (table["cdf"] - table["exact_cdf"]))


def test_every_claim_with_a_theory_finds_it():
    exact = pd.DataFrame({"eigenvalue": [0.1, 0.1], "quantity": "exact_cdf", "value": [0.5, 0.7]})
    predicted = phenomenon.predict((), exact)
    places = predicted[predicted["arm"] == COMMON]
    assert set(places.loc[places["quantity"] == "random_share", "classes"]) >= set(phenomenon.CLASSES)
    C = 10
    size = sum(value.numel() for value in networks.mlp((phenomenon.D, phenomenon.WIDTH, C)).parameters())
    share = places[(places["quantity"] == "random_share") & (places["classes"] == C)]["value"].item()
    assert share == pytest.approx(C / size)
    assert predicted[predicted["arm"] == QUADRATURE]["value"].tolist() == [0.6]
    surplus = predicted[predicted["quantity"] == "surplus"].groupby("arm")["value"]
    assert (surplus.min() < -1.0).all()
    assert (surplus.max() > 2.0).all()


def test_the_guard_sees_residuals_and_eigenpairs_that_did_not_converge():
    (guard,) = (each for each in study.guards if each.id == "residuals")
    matrix = np.diag(np.linspace(1.0, 2.0, 400))
    found = curvature.eigsh(matrix, 3, tol=1e-9)
    rows = pd.DataFrame({"arm": COMMON, "quantity": ["residual"], "replicate": 0, "value": phenomenon._residual(found)})
    assert guard.violation(rows) is None
    assert guard.violation(rows.assign(value=1e-7))
    cut = curvature.eigsh(matrix, 3, tol=1e-9, max_products=60)
    assert guard.violation(rows.assign(value=phenomenon._residual(cut)))
