"""Convolutions and pooling against dense automatic differentiation; what the kernel leaves to autograd."""

import numpy as np
import pytest
import torch
from curvature import CONVOLUTIONAL, SIX, compare, cross_entropy, dense, dense_net, directions, seeded
from torch import nn

from pyphenom.curvature._torch_native import native_products


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutions_and_pooling(name):
    layers, shape = CONVOLUTIONAL[name]
    model, X = seeded(lambda: nn.Sequential(*layers()), 3, *shape)
    y = torch.randn_like(model(X).detach())
    products = native_products(model, nn.MSELoss(reduction="sum"), X, y)
    compare(products, dense(model, lambda f: ((f - y) ** 2).sum(), X))
    assert products.output_shape == tuple(y.shape)


# ---- what is refused -----------------------------------------------------------------------------------------------


def hooked():
    model = dense_net(nn.Tanh())
    model[0].register_forward_hook(lambda *_: None)
    return model


def shared():
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.Tanh(), layer)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


UNKNOWN = {
    "hooks": hooked,
    "shared parameters": shared,
    "dropout that draws": lambda: nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)),
    "normalization": lambda: nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)),
    "a subclass": lambda: nn.Sequential(Doubled(5, 3)),
    "another module": lambda: nn.Linear(5, 3),
    "nothing to train": lambda: nn.Sequential(nn.Tanh()),
    "half precision": lambda: nn.Sequential(nn.Linear(5, 3)).half(),
    "wrong width": lambda: nn.Sequential(nn.Linear(4, 3)),
    "half a flattening": lambda: nn.Sequential(nn.Flatten(0), nn.Linear(5, 3)),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_models_are_left_to_autograd(name):
    torch.manual_seed(0)
    assert native_products(UNKNOWN[name](), nn.CrossEntropyLoss(), torch.randn(6, 5), SIX) is None


def test_dropout_in_evaluation_is_the_identity():
    model, X = seeded(lambda: nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)).eval(), 6, 5)
    compare(native_products(model, nn.CrossEntropyLoss(), X, SIX), dense(model, cross_entropy(SIX), X))


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]).double(), reduction="sum"), SIX),
        (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0).double(), reduction="sum"), torch.eye(3).double()[SIX]),
        (nn.HuberLoss(reduction="sum"), torch.eye(3).double()[SIX]),
    ],
)
def test_other_losses_are_differentiated_by_torch(loss, y):
    model, X = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    compare(native_products(model, loss, X, y), dense(model, lambda f: loss(f, y), X))


def test_bad_input_is_named():
    model, X = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    with pytest.raises(ValueError, match=r"`y` has shape \(6, 2\); expected \(6, 3\)"):
        native_products(model, nn.MSELoss(), X, torch.zeros(6, 2))
    with pytest.raises(ValueError, match="`y` holds class 3"):
        native_products(model, nn.CrossEntropyLoss(), X, SIX + 1)
    products = native_products(model, nn.CrossEntropyLoss(), X, SIX)
    with pytest.raises(ValueError, match="`V` is of another shape"):
        products.hessian(np.zeros((2, products.size + 1)))
    with pytest.raises(ValueError, match="`V` is not contiguous"):
        products.hessian(np.zeros((2, 2 * products.size))[:, ::2])
    with pytest.raises(ValueError, match="`U` is of another shape"):
        products.jacobian_transpose(np.zeros((1, 6, 4)))


def test_the_model_stays_as_it_was():
    model, X = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    products = native_products(model, nn.CrossEntropyLoss(), X, SIX)
    products.hessian(directions(products))
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
