"""All measures of a trained network: names, ingredients, and what stays under a rescaling."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pyphenom import bounds
from pyphenom.bounds import complexity_measures
from pyphenom.networks import Recipe, mlp, train

FAST = {"draws": 4, "ascent_steps": 5}


@pytest.fixture(scope="module")
def trained():
    stream = torch.Generator().manual_seed(0)
    X = torch.randn(80, 6, generator=stream, dtype=torch.float64)
    y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
    start = mlp((6, 12, 8, 3), seed=1, dtype=torch.float64)
    end, early = copy.deepcopy(start), copy.deepcopy(start)
    train([early], X, y, Recipe(4, 0.05, 20))
    train([end], X, y, Recipe(600, 0.05, 20))
    return end, start, early, X, y


@pytest.fixture(scope="module")
def found(trained):
    end, start, early, X, y = trained
    losses = [0, 1, 2, 3], [1.0, 0.5, 0.09, 0.009]
    return complexity_measures(end, start, X, y, first_epoch=early, training_loss=losses, **FAST)


def test_there_are_at_least_forty_and_all_are_numbers(found):
    assert len(found.values) >= 50
    assert found.undefined == {}
    assert all(math.isfinite(value) for value in found.values.values())
    assert found.error == 0.0
    assert set(found.scales) == {"sigma", "relative_sigma", "alpha", "relative_alpha"}
    assert "pacbayes_mag_flatness" in repr(found)
    assert found.to_dict()["values"]["l2"] == found["l2"]


def test_ingredients_are_those_of_the_single_functions(found, trained):
    end, start, early, X, y = trained
    n, gaps = 80, np.sort(bounds.margins(end, X, y))
    assert found.margin == gaps[7]  # the tenth percentile: eight samples of 80 lie at or below it
    sizes = X.norm(dim=1).numpy()
    norms = bounds.norm_measures(
        bounds.weight_norms(end, start), n, found.margin, sizes.max(), np.sqrt((sizes**2).mean())
    )
    w, w0 = (torch.cat([v.detach().flatten() for v in model.parameters()]).numpy() for model in (end, start))
    f = end(X).detach()
    p = torch.softmax(f, 1)
    scales, expected = found.scales, dict(norms)
    for key, prefix, relative, box in (
        ("sigma", "pacbayes", False, False),
        ("relative_sigma", "pacbayes_mag", True, False),
        ("alpha", "sharpness", False, True),
        ("relative_alpha", "sharpness_mag", True, True),
    ):
        search = bounds.worst_case_scale if box else bounds.perturbation_scale
        options = {"steps": 5} if box else {"draws": 4}
        assert scales[key] == search(end, X, y, relative=relative, **options)
        measures = bounds.pac_bayes_measures(w, w0, scales[key], n, relative, box)
        expected |= {f"{prefix}_{name}": value for name, value in measures.items()}
    paths = math.sqrt(bounds.path_norm(end, X) / n), bounds.path_norm(end, X, 1) / math.sqrt(n)
    expected |= {
        "path_norm": paths[0],
        "path_norm_over_margin": paths[0] / found.margin,
        "path_norm_l1": paths[1],
        "path_norm_l1_over_margin": paths[1] / found.margin,
        "fisher_rao": math.sqrt(bounds.fisher_rao(end, X, y) / n),
        "cross_entropy": float(cross_entropy(f, y)),
        "output_entropy": float((p * p.log()).sum(1).mean()),
        "input_jacobian": math.sqrt(bounds.input_derivative(end, X, y)),
        "input_jacobian_over_margin": math.sqrt(bounds.input_derivative(end, X, y)) / found.margin,
        "input_gradient": math.sqrt(bounds.input_derivative(end, X, y, "loss")),
        "gradient_norm": math.sqrt(bounds.gradient_noise(end, X, y)[0]),
        "gradient_noise": math.sqrt(bounds.gradient_noise(end, X, y)[1]),
        "gradient_noise_first_epoch": math.sqrt(bounds.gradient_noise(early, X, y)[1]),
        "steps_to_0.1": 2.0,
        "steps_to_0.01": 3.0,
    }
    assert found.values == pytest.approx(expected, rel=1e-9)


def test_rescaled_layers_change_norms_and_leave_invariants(found, trained):
    end, start, _, X, y = trained
    other = copy.deepcopy(end)
    with torch.no_grad():
        other[0].weight.mul_(3.0)
        other[0].bias.mul_(3.0)
        other[2].weight.div_(3.0)
    changed = complexity_measures(other, start, X, y, **FAST)
    same = {name for name in changed.values if changed[name] == pytest.approx(found[name], rel=1e-6)}
    invariant = ("path_norm", "path_norm_l1", "fisher_rao", "input_jacobian", "cross_entropy", "log_prod_of_spec")
    assert set(invariant) <= same
    assert {"sigma", "alpha"} <= {k for k in found.scales if abs(changed.scales[k] / found.scales[k] - 1) > 0.05}
    assert not same & {"param_norm", "fro_dist", "log_bartlett", "pacbayes_orig", "sharpness_orig"}


def test_what_a_network_does_not_have_is_said(trained):
    _, start, _, X, _ = trained
    wrong = start(X).argmin(dim=1)
    found = complexity_measures(start, start, X, wrong, **FAST)
    assert found.margin < 0
    assert found["inverse_margin"] == found["path_norm_over_margin"] == math.inf
    assert set(found.undefined) >= {"gradient_noise_first_epoch", "steps_to_0.1", "pacbayes_init", "sharpness_orig"}
    assert "sigma is inf" in found.undefined["pacbayes_init"]
    assert not set(found.undefined) & set(found.values)
    assert "undefined: sigma is inf" in repr(found)


def test_convolutions_numpy_and_float32():
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2)
    net = nn.Sequential(*layers).eval()
    start, rng = copy.deepcopy(net), np.random.default_rng(0)
    net[0].weight.data.add_(0.1)
    X = rng.standard_normal((40, 1, 6, 6))
    y = net(torch.from_numpy(X).float()).argmax(1).numpy()
    found = complexity_measures(net, start, X, y, **FAST)
    assert len(found.values) >= 45
    assert all(math.isfinite(value) for value in found.values.values())
    assert found.error == 0.0


def test_progress_and_bad_input(trained):
    end, start, _, X, y = trained
    done = []
    complexity_measures(end, start, X, y, progress=lambda *step: done.append(step), **FAST)
    assert done == [(k, 6) for k in range(1, 7)]
    with pytest.raises(ValueError, match="`first_epoch` has parameters of the shapes"):
        complexity_measures(end, start, X, y, first_epoch=mlp((6, 3)))
    with pytest.raises(ValueError, match="`draws` is 1"):
        complexity_measures(end, start, X, y, draws=1)
    with pytest.raises(ValueError, match="expected 0 to 2"):
        complexity_measures(end, start, X, y + 5)
