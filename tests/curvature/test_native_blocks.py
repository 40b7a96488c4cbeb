"""Blocks of directions, samples shared out, parts of the parameters, and the row space of the inputs."""

import numpy as np
import pytest
import torch
from curvature import (
    CONVOLUTIONAL,
    DIRECTIONS,
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

from pyphenom.curvature._torch_loss import as_loss
from pyphenom.curvature._torch_native import native_products


@pytest.mark.parametrize("K", [1, 2, 5, 7])
@pytest.mark.parametrize("workspace", [1, 3000, 1 << 20])
def test_blocks_are_single_products(K, workspace, monkeypatch):
    monkeypatch.setattr("pyphenom.curvature._torch_native._WORKSPACE", workspace)
    model, X = seeded(lambda: dense_net(nn.GELU()), 7, 5)
    products = native_products(model, nn.CrossEntropyLoss(), X, torch.tensor([0, 1, 2, 1, 0, 2, 2]))
    V = directions(products, K)
    for name in PRODUCTS:
        product = getattr(products, name)
        np.testing.assert_allclose(product(V), np.concatenate([product(v[None]) for v in V]), rtol=1e-13, atol=1e-14)
    U = products.jacobian(V)
    singles = np.concatenate([products.jacobian_transpose(u[None]) for u in U])
    np.testing.assert_allclose(products.jacobian_transpose(U), singles, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("workspace", [1, 1 << 22])  # blocks of some hundred samples and one direction; all at once
def test_samples_shared_out_in_blocks(workers, workspace, monkeypatch):
    monkeypatch.setattr("pyphenom.curvature._torch_native._WORKSPACE", workspace)
    monkeypatch.setattr("pyphenom.curvature._torch_native.threads", lambda: workers)

    def build():
        return nn.Sequential(
            *(nn.Conv1d(2, 5, 3), nn.SiLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(45, 70), nn.Tanh()),
            *(nn.Linear(70, 30), nn.GELU(), nn.Linear(30, 3)),
        )

    model, X = seeded(build, 1001, 2, 20)
    y = torch.randint(0, 3, (1001,))
    products = native_products(model, nn.CrossEntropyLoss(), X, y)
    V = directions(products, 3)
    gradient, truth = hessian_products(model, cross_entropy(y), X, V)
    close(products.gradient(), gradient)
    close(products.hessian(V), truth)
    assert products.loss == pytest.approx(cross_entropy(y)(model(X)).item(), rel=EXACT)
    np.testing.assert_array_equal(products.hessian(V), products.hessian(V))
    p = products.outputs - products.outputs.max(axis=1, keepdims=True)
    p = np.exp(p) / np.exp(p).sum(axis=1, keepdims=True)
    U = products.jacobian(V)
    U = p * (U - (p * U).sum(axis=2, keepdims=True))
    close(products.ggn(V), products.jacobian_transpose(U))


def test_products_repeat_bitwise():
    model, X = seeded(lambda: nn.Sequential(nn.Linear(64, 90), nn.Tanh(), nn.Linear(90, 5)), 300, 64)
    y = torch.randint(0, 5, (300,))
    first, second = (native_products(model, nn.CrossEntropyLoss(), X, y) for _ in range(2))
    V = directions(first, 3)
    for name in PRODUCTS:
        once = getattr(first, name)(V)
        np.testing.assert_array_equal(once, getattr(first, name)(V))
        np.testing.assert_array_equal(once, getattr(second, name)(V))


# ---- parts of the parameters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ["0.weight"],
        ["0.bias"],
        ["2.0.weight"],
        ["3.weight", "3.bias"],
        ["0.bias", "3.weight"],
        ["2.0.weight", "3.bias"],
    ],
)
def test_subsets_of_the_parameters(names):
    model, X = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    products = native_products(model, nn.CrossEntropyLoss(), X, SIX, parameters=names)
    compare(products, dense(model, cross_entropy(SIX), X, names))


def test_frozen_parameters_are_left_out():
    layers, shape = CONVOLUTIONAL["strided"]
    model, X = seeded(lambda: nn.Sequential(*layers()), 3, *shape)
    model[0].weight.requires_grad_(False)
    model[2].bias.requires_grad_(False)
    y = torch.tensor([0, 1, 1])
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    compare(native_products(model, nn.CrossEntropyLoss(), X, y), dense(model, cross_entropy(y), X, names))


def test_refresh_follows_the_model():
    model, X = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    products = native_products(model, nn.CrossEntropyLoss(), X, SIX)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)
    products.refresh()
    compare(products, dense(model, cross_entropy(SIX), X))
    products.refresh(np.zeros(products.size))
    assert products.loss == pytest.approx(6 * np.log(3))


# ---- the row space of the inputs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("flattened", [False, True])
def test_compression_changes_no_product(flattened):
    def build():
        return nn.Sequential(*[nn.Flatten()] * flattened, nn.Linear(18, 4), nn.Tanh(), nn.Linear(4, 3))

    model, X = seeded(build, 6, *((2, 9) if flattened else (18,)))
    products = native_products(model, nn.CrossEntropyLoss(), X, SIX)
    assert products.input_rank == 6
    reduced = products.row_space()
    assert reduced.size == products.size - 4 * 12
    V = directions(products)
    small = products.restrict(V)
    assert small.shape == (DIRECTIONS, reduced.size)
    close(products.restrict(products.lift(small)), small)  # an isometry
    close(products.lift(reduced.gradient()[None])[0], products.gradient())
    for name in ("hessian", "ggn"):
        close(products.lift(getattr(reduced, name)(small)), getattr(products, name)(V))
    close(reduced.jacobian(small), products.jacobian(V))
    U = products.jacobian(V)
    close(products.lift(reduced.jacobian_transpose(U)), products.jacobian_transpose(U))


def test_compression_with_repeated_samples_and_a_custom_loss():
    model, X = seeded(lambda: nn.Sequential(nn.Linear(18, 4), nn.Tanh(), nn.Linear(4, 3)), 6, 18)
    X[3] = X[1]
    products = native_products(model, as_loss(lambda f, y: cubic(f), "sum"), X, SIX)
    V, reduced = directions(products), products.row_space()
    close(products.lift(reduced.hessian(products.restrict(V))), products.hessian(V))
    close(products.lift(reduced.ggn(products.restrict(V))), products.ggn(V))


def test_where_there_is_nothing_to_compress():
    wide, X = seeded(lambda: nn.Sequential(nn.Linear(18, 4), nn.Tanh(), nn.Linear(4, 3)), 6, 18)
    square, Z = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    frozen, _ = seeded(lambda: nn.Sequential(nn.Linear(18, 4), nn.Tanh(), nn.Linear(4, 3)), 6, 18)
    frozen[0].weight.requires_grad_(False)
    for products in (
        native_products(wide, nn.CrossEntropyLoss(), X, SIX, compress=False),
        native_products(square, nn.CrossEntropyLoss(), Z, SIX),
        native_products(frozen, nn.CrossEntropyLoss(), X, SIX),
    ):
        assert products.input_rank is None
        with pytest.raises(ValueError, match="not compressed"):
            products.row_space()


def test_compression_where_it_costs_more_than_it_saves_is_asked_for():
    y = torch.arange(36) % 3
    for samples, inputs, hidden in ((6, 11, 4), (36, 100, 4)):  # little is left out; a long QR for short products
        model, X = seeded(lambda d=inputs, h=hidden: nn.Sequential(nn.Linear(d, h), nn.Linear(h, 3)), samples, inputs)
        assert native_products(model, nn.CrossEntropyLoss(), X, y[:samples]).input_rank is None
        assert native_products(model, nn.CrossEntropyLoss(), X, y[:samples], compress=True).input_rank == samples
