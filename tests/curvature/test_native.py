"""The native kernel against dense automatic differentiation, in float64 to twelve digits."""

import itertools

import numpy as np
import pytest
import torch
from curvature import (
    EXACT,
    PRODUCTS,
    SIX,
    close,
    compare,
    cross_entropy,
    cubic,
    dense,
    dense_net,
    directions,
    hessian_products,
    seeded,
)
from torch import nn
from torch.nn import functional

from pyphenom.curvature._torch_loss import as_loss
from pyphenom.curvature._torch_native import native_products

ACTIVATIONS = [
    nn.ReLU(),
    nn.LeakyReLU(0.2),
    nn.Tanh(),
    nn.Sigmoid(),
    nn.GELU(),
    nn.GELU(approximate="tanh"),
    nn.SiLU(),
    nn.Softplus(),
    nn.Softplus(beta=2.0, threshold=0.5),  # the samples lie on both sides of the threshold
    nn.Identity(),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_activations(activation):
    model, X = seeded(lambda: dense_net(activation), 7, 5)
    y = torch.tensor([0, 1, 2, 1, 0, 2, 2])
    compare(native_products(model, nn.CrossEntropyLoss(), X, y), dense(model, cross_entropy(y), X))


def test_the_second_derivative_of_an_activation_counts():
    # The Gauss-Newton matrix, which lacks it, is far away: what passes above cannot have dropped it.
    model, X = seeded(lambda: dense_net(nn.Tanh()), 7, 5)
    y = torch.tensor([0, 1, 2, 1, 0, 2, 2])
    truth = dense(model, cross_entropy(y), X)
    assert np.abs(truth.hessian - truth.ggn).max() > 0.05 * np.abs(truth.hessian).max()
    linear, _ = seeded(lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh()), 7, 5)
    truth = dense(linear, lambda f: 0.5 * (f**2).sum(), X)
    assert np.abs(truth.hessian - truth.ggn).max() > 0.05 * np.abs(truth.hessian).max()
    compare(native_products(linear, "half_squared", X, torch.zeros(7, 4)), truth)


def test_activations_in_a_row_and_at_the_end():
    def build():
        tanh = nn.Tanh()  # one object in three places
        return nn.Sequential(tanh, nn.Linear(5, 6), tanh, nn.Sigmoid(), nn.GELU(), tanh, nn.Linear(6, 3), nn.SiLU())

    model, X = seeded(build, 7, 5)
    y = torch.randn(7, 3, dtype=torch.float64)
    products = native_products(model, nn.MSELoss(reduction="sum"), X, y)
    compare(products, dense(model, lambda f: ((f - y) ** 2).sum(), X))


REAL = torch.linspace(-1.0, 2.0, 18, dtype=torch.float64).reshape(6, 3)
UNIT = REAL.sigmoid()  # rows that do not sum to one, as torch allows
LOSSES = {
    "mean squared": (nn.MSELoss(), REAL, lambda f: ((f - REAL) ** 2).sum() / 3),
    "squared": (nn.MSELoss(reduction="sum"), REAL, lambda f: ((f - REAL) ** 2).sum()),
    "half squared": ("half_squared", REAL, lambda f: 0.5 * ((f - REAL) ** 2).sum()),
    "indices": (nn.CrossEntropyLoss(), SIX, cross_entropy(SIX)),
    "smoothed indices": (
        nn.CrossEntropyLoss(label_smoothing=0.3, reduction="sum"),
        SIX,
        lambda f: functional.cross_entropy(f, SIX, label_smoothing=0.3, reduction="sum"),
    ),
    "probabilities": (nn.CrossEntropyLoss(), UNIT, cross_entropy(UNIT)),
    "smoothed probabilities": (
        nn.CrossEntropyLoss(label_smoothing=0.3),
        UNIT,
        lambda f: functional.cross_entropy(f, UNIT, label_smoothing=0.3, reduction="sum"),
    ),
    "binary": (
        nn.BCEWithLogitsLoss(),
        UNIT,
        lambda f: functional.binary_cross_entropy_with_logits(f, UNIT, reduction="sum") / 3,
    ),
    "summed binary": (
        nn.BCEWithLogitsLoss(reduction="sum"),
        UNIT,
        lambda f: functional.binary_cross_entropy_with_logits(f, UNIT, reduction="sum"),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    loss, y, total = LOSSES[name]
    model, X = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    compare(native_products(model, loss, X, y), dense(model, total, X))


def test_mean_loss_is_that_of_torch():
    model, X = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    for loss, y, _ in (LOSSES[name] for name in ("mean squared", "smoothed probabilities", "binary")):
        products = native_products(model, loss, X, y)
        assert products.loss / 6 == pytest.approx(loss(model(X), y).item(), rel=EXACT)


def test_cross_entropy_of_large_outputs_stays_finite():
    model, X = seeded(lambda: nn.Sequential(nn.Linear(5, 3)), 6, 5)
    y = SIX
    with torch.no_grad():
        model[0].weight *= 1e4
    truth = functional.cross_entropy(model(X), y, reduction="sum").item()
    products = native_products(model, nn.CrossEntropyLoss(), X, y)
    assert products.loss == pytest.approx(truth, rel=EXACT)
    assert np.isfinite(products.hessian(directions(products))).all()


@pytest.mark.parametrize("workspace", [1, 1 << 26])
def test_custom_loss(workspace, monkeypatch):
    monkeypatch.setattr("pyphenom.curvature._torch_native._WORKSPACE", workspace)
    model, X = seeded(lambda: dense_net(nn.GELU()), 6, 5)
    products = native_products(model, as_loss(lambda f, y: cubic(f), "sum"), X, SIX)
    compare(products, dense(model, cubic, X))
    products.refresh()
    compare(products, dense(model, cubic, X))


@pytest.mark.parametrize(
    ("widths", "n"), [((1, 1), 1), ((1, 1, 1), 1), ((3, 1, 2), 1), ((1, 100, 1), 20), ((40, 70, 60, 3), 90)]
)
def test_sizes_from_one_unit_to_those_where_blas_takes_over(widths, n):
    def build():
        layers = [layer for d in itertools.pairwise(widths) for layer in (nn.Linear(*d), nn.Tanh())]
        return nn.Sequential(*layers[:-1])

    model, X = seeded(build, n, widths[0])
    y = torch.randn(n, widths[-1], dtype=torch.float64)
    products = native_products(model, nn.MSELoss(reduction="sum"), X, y)
    if products.size < 1000:
        compare(products, dense(model, lambda f: ((f - y) ** 2).sum(), X))
        return
    V = directions(products, 2)
    gradient, truth = hessian_products(model, lambda f: ((f - y) ** 2).sum(), X, V)
    close(products.gradient(), gradient)
    close(products.hessian(V), truth)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_float32_is_float64_to_five_digits(activation):
    model, X = seeded(lambda: nn.Sequential(nn.Linear(30, 40), activation, nn.Linear(40, 40), activation), 50, 30)
    y = torch.randn(50, 40, dtype=torch.float64)
    double = native_products(model, nn.MSELoss(), X, y)
    single = native_products(model, nn.MSELoss(), X, y, torch.float32)
    assert single.dtype == np.float32
    V = directions(double)
    assert single.loss == pytest.approx(double.loss, rel=1e-5)
    close(single.gradient(), double.gradient(), 1e-5)
    for name in PRODUCTS:
        close(getattr(single, name)(V.astype(np.float32)), getattr(double, name)(V), 1e-5)


def test_bias_gradients_accumulate_in_float64():
    # 2^24 + 1 is no float32: a sum in float32 over 2^25 rows would stick; here a few large and many small ones.
    n = 1 << 15
    model = nn.Sequential(nn.Linear(1, 1))
    X, y = torch.zeros(n, 1), torch.full((n, 1), -1.0)
    y[0] = -(2.0**25)
    with torch.no_grad():
        model[0].bias.zero_()
    gradient = native_products(model, "half_squared", X, y).gradient()
    assert gradient[1] == np.float32(2.0**25 + n - 1)


def test_tanh_in_float32_is_exact_to_rounding_everywhere():
    grid = np.concatenate([np.geomspace(1e-30, 30.0, 5000), np.linspace(8e-5, 1.2e-4, 500), [0.0, 1e30]])
    z = torch.from_numpy(np.concatenate([-grid, grid])[:, None]).float()
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Tanh())
    with torch.no_grad():
        model[0].weight.fill_(1.0)
    products = native_products(model, nn.MSELoss(), z, torch.zeros_like(z))
    truth = np.tanh(z.double().numpy())
    np.testing.assert_allclose(products.outputs, truth, rtol=1e-7, atol=0)
    slope = products.jacobian(np.ones((1, 1), np.float32))[0]
    x = np.clip(z.double().numpy(), -30, 30)
    np.testing.assert_allclose(slope, x / np.cosh(x) ** 2, rtol=2e-7, atol=1e-13)
    z[3] = np.nan
    assert np.isnan(native_products(model, nn.MSELoss(), z, torch.zeros_like(z)).outputs[3, 0])


def test_tanh_in_float64_is_exact_to_some_units_of_the_last_place():
    grid = np.concatenate([np.geomspace(1e-300, 30.0, 5000), np.linspace(0.39, 0.41, 500), [0.0, 1e300]])
    z = torch.from_numpy(np.concatenate([-grid, grid])[:, None])
    model = nn.Sequential(nn.Linear(1, 1, bias=False, dtype=torch.float64), nn.Tanh())
    with torch.no_grad():
        model[0].weight.fill_(1.0)
    products = native_products(model, nn.MSELoss(), z, torch.zeros_like(z))
    np.testing.assert_allclose(products.outputs, np.tanh(z.numpy()), rtol=2e-15, atol=0)
    slope = products.jacobian(np.ones((1, 1)))[0]
    x = np.clip(z.numpy(), -30, 30)
    np.testing.assert_allclose(slope, x / np.cosh(x) ** 2, rtol=1e-14, atol=1e-14)
    z[3] = np.nan
    assert np.isnan(native_products(model, nn.MSELoss(), z, torch.zeros_like(z)).outputs[3, 0])
