from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from pyphenom import curvature, networks
from pyphenom.phenomena import hessian_spectrum as phenomenon
from pyphenom.phenomena.hessian_spectrum import (
    CLUSTERS,
    COMMON,
    NONE,
    ORACLE,
    QUADRATURE,
    SEPARATE,
    SHUFFLED,
    outliers,
    study,
)
from pyphenom.studies import Cell, Streams, run


@pytest.fixture
def short(monkeypatch):
    """Take a few steps, probes and draws: what is learned is a matter of the quick preset."""
    for name, value in {"END": 3, "STEPS": (0, 3), "SEEDS": 2, "DRAWS": 3}.items():
        monkeypatch.setattr(phenomenon, name, value)
    monkeypatch.setattr(phenomenon, "DIGITS_RECIPE", replace(phenomenon.DIGITS_RECIPE, steps=3))


def smallest_of_each_arm():
    return list({cell.arm: cell for cell in reversed(study.work("smoke"))}.values())


@pytest.mark.parametrize("cell", smallest_of_each_arm(), ids=str)
def test_every_arm_gives_finite_rows_that_are_a_function_of_the_replicate(short, cell):
    first, again, other = (phenomenon.measure(cell, Streams(0, study.name, k)) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    if len(first) > 3:  # counts alone may agree
        assert not first.equals(other)


@pytest.mark.slow
def test_smoke_confirms_what_is_exact_and_no_control(tmp_path):
    result = run(study, preset="smoke", store=tmp_path)
    assert not result.failures
    words = {verdict.id: verdict.word for verdict in result.verdicts}
    assert words["copies"] == words["lanczos-dense"] == "CONFIRMED"
    assert words["wrong-copies"] == "REFUTED"
    # One replicate has no interval: everything else is open.
    assert {word for id, word in words.items() if id not in ("copies", "lanczos-dense")} <= {"INCONCLUSIVE", "REFUTED"}
    assert not [v for v in result.verdicts if v.role == "claim" and v.word == "REFUTED"]


def test_outliers_are_counted_above_the_largest_gap_of_the_first_eigenvalues():
    bulk = np.linspace(1.0, 0.5, 100)
    assert outliers(np.concatenate([[9.0, 8.0, 7.0], bulk])) == 3
    assert outliers(1e-6 * np.concatenate([[9.0, 8.0, 7.0], bulk])) == 3  # no unit
    assert outliers(np.concatenate([[2.0], bulk, np.full(50, 1e-9)])) == 1  # the edge of the bulk is too far down
    assert outliers(np.concatenate([np.geomspace(30.0, 20.0, 30), bulk])) == 30
    assert outliers(np.concatenate([[5.0], np.zeros(40)])) == 1
    assert outliers(np.concatenate([[5.0], -bulk])) == 1


@pytest.mark.parametrize("C", [3, 5, 10])
@pytest.mark.parametrize("b", [0.1, 1.0, 30.0])
def test_the_theory_of_equal_classes_holds_for_its_gram_matrix(C, b):
    a = b + 1.0
    pairs = [(c, j) for c in range(C) for j in range(C) if j != c]
    kernel = np.full((C, C), b) + (a - b) * np.eye(C)
    e = np.eye(C)
    gram = np.array([[(e[j] - e[c]) @ (e[k] - e[d]) * kernel[c, d] for d, k in pairs] for c, j in pairs])
    values, vectors = (part[..., ::-1] for part in np.linalg.eigh(gram))
    symmetric = np.full(len(pairs), len(pairs) ** -0.5)
    np.testing.assert_allclose(gram @ symmetric, C * (a - b) * symmetric, rtol=1e-10)
    assert np.ptp(values[: C - 1]) < 1e-10 * values[0]
    assert values[C - 2] > C * (a - b) > values[C]
    assert values[C] <= C * (a - b) / 2 + 1e-9
    np.testing.assert_allclose(np.abs(vectors[:, C - 1] @ symmetric), 1.0, rtol=1e-9)
    if b == 30.0:
        assert 1.0 < values[0] / (2 * C * b) < 1.05


def test_shares_of_the_gradient_are_those_of_the_dense_hessian_by_autograd():
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
    vectors = np.linalg.eigh(torch.autograd.functional.hessian(loss, flat).numpy())[1]
    found = phenomenon._readings(model, X, y, streams=Streams(0, study.name, 0))
    for name, count in (("top_share", 3), ("above_share", 2)):
        expected = np.sum((vectors[:, -count:].T @ gradient) ** 2) / (gradient @ gradient)
        np.testing.assert_allclose(found[name], expected, rtol=1e-8)
    # The share of a random space is Beta(3/2, 40/2): mean 3/43, and a hundred draws have a standard error of 0.0054.
    assert abs(found["random_share"] - 3 / 43) < 6 * 0.0054


def test_separate_classes_and_those_with_much_in_common_differ_in_their_means():
    for arm, mean, common in ((COMMON, 1.0, 2.0), (next(iter(SEPARATE)), 2.5, 0.5), (NONE, 0.0, 0.0)):
        means = []
        for replicate in range(200):
            X, y = phenomenon._gaussians(arm, 3, 3, Streams(0, study.name, replicate))
            centres = np.stack([X[y == c].mean(dim=0).numpy() for c in range(3)])
            # Inner products of the noise in two centres have mean 0, those in one 1/20.
            means.append(centres @ centres.T - np.eye(3) / phenomenon.A_CLUSTER)
        # Standard errors are below 0.06: six of them.
        np.testing.assert_allclose(np.mean(means, axis=0), mean**2 * np.eye(3) + common**2, atol=0.36)


def test_shuffling_moves_labels_alone_and_clusters_are_dealt_to_classes():
    streams = Streams(0, study.name, 0)
    (X, y), (Z, shuffled) = (phenomenon._gaussians(arm, 5, 5, streams) for arm in (COMMON, SHUFFLED))
    assert torch.equal(X, Z)
    assert not torch.equal(X, phenomenon._gaussians(COMMON, 5, 5, Streams(0, study.name, 1))[0])
    assert torch.equal(y.bincount(), shuffled.bincount())
    assert 0.6 < (y != shuffled).double().mean() < 0.99
    _, labels = phenomenon._gaussians(CLUSTERS, 3, 6, streams)
    assert labels.bincount().tolist() == [40, 40, 40]


@pytest.mark.parametrize("classes", phenomenon.CLASSES)
def test_softmax_regression_at_zero_has_every_moment_once_for_each_contrast(classes):
    rows = phenomenon.measure(Cell(ORACLE, {"classes": classes}, 0), Streams(0, study.name, 0))
    found = rows.set_index("quantity")["value"]
    assert found["copies_error"] < 1e-12
    assert found["wrong_copies_error"] > 0.01


def test_identical_clusters_give_the_gauss_newton_matrix_the_predicted_rank():
    X, y = phenomenon._gaussians(CLUSTERS, 3, 6, Streams(0, study.name, 0))
    X = X[:6].repeat(20, 1)
    model = networks.mlp((phenomenon.D, 20, 3), "tanh", 0, torch.float64)
    ggn = curvature.linearize(model, "cross_entropy", X, y).ggn()
    values = np.linalg.eigvalsh(ggn @ np.eye(ggn.shape[0]))[::-1]
    assert outliers(values) == np.sum(values > 1e-12 * values[0]) == 6 * 2


def test_the_quadrature_of_the_wrong_matrix_is_told_apart(short):
    rows = phenomenon.measure(Cell(QUADRATURE, {"classes": 5}, 0), Streams(0, study.name, 0))
    found = rows[rows["eigenvalue"].isna()].set_index("quantity")["value"]
    assert found["lanczos_error"] < 1e-10 < 1e-3 < found["ggn_lanczos_error"]
    assert found["ggn_trace_coverage"] == 0.0
    table = {name: part["value"].to_numpy() for name, part in rows.groupby("quantity")}
    assert np.all(np.diff(table["exact_cdf"]) > 0)
    # Twenty probes of 525 dimensions: standard errors below 0.004, six of them.
    np.testing.assert_allclose(table["cdf"], table["exact_cdf"], atol=0.024)
