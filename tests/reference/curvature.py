"""Curvature by dense automatic differentiation of the flattened parameters, and comparisons with it."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

EXACT = 1e-12
DIRECTIONS = 5
PRODUCTS = ("hessian", "ggn", "jacobian")
SIX = torch.tensor([0, 1, 2, 1, 0, 2])


@dataclass(frozen=True)
class Dense:
    """Of the sum of the losses: value, gradient (P,), Hessian and Gauss-Newton matrix (P, P), Jacobian (n, C, P)."""

    loss: float
    outputs: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    ggn: np.ndarray
    jacobian: np.ndarray


def dense(model, total, X, names=None):
    """Return the truth for `total`, a function of the outputs that is summed over samples."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    names = [name for name in parameters if names is None or name in names]
    sizes = [parameters[name].numel() for name in names]
    start = torch.cat([parameters[name].reshape(-1) for name in names])

    def outputs(theta):
        pieces = torch.split(theta, sizes)
        chosen = {name: piece.reshape(parameters[name].shape) for name, piece in zip(names, pieces, strict=True)}
        return torch.func.functional_call(model, {**parameters, **chosen}, (X,))

    def value(theta):
        return total(outputs(theta))

    f = outputs(start).detach()
    J = torch.func.jacrev(lambda theta: outputs(theta).reshape(-1))(start)
    # Reverse over reverse: forward mode compiles scripts, of which torch itself warns.
    bend = torch.func.jacrev(torch.func.grad(lambda z: total(z.reshape(f.shape))))(f.reshape(-1))
    return Dense(
        loss=float(value(start)),
        outputs=f.reshape(len(X), -1).numpy(),
        gradient=torch.func.grad(value)(start).numpy(),
        hessian=torch.func.jacrev(torch.func.grad(value))(start).numpy(),
        ggn=(J.T @ bend @ J).numpy(),
        jacobian=J.reshape(len(X), -1, len(start)).numpy(),
    )


def close(found, truth, tolerance=EXACT):
    scale = max(float(np.abs(truth).max()), 1e-300)
    assert found.shape == truth.shape
    assert float(np.abs(found - truth).max()) <= tolerance * scale


def directions(products, K=DIRECTIONS, seed=0):
    return np.random.default_rng(seed).standard_normal((K, products.size)).astype(products.dtype)


def compare(products, truth, tolerance=EXACT):
    assert products is not None
    V = directions(products)
    U = np.random.default_rng(1).standard_normal((3, *truth.outputs.shape)).astype(products.dtype)
    assert products.loss == pytest.approx(truth.loss, rel=tolerance, abs=tolerance)
    close(products.outputs, truth.outputs, tolerance)
    close(products.gradient(), truth.gradient, tolerance)
    close(products.hessian(V), V @ truth.hessian, tolerance)
    close(products.ggn(V), V @ truth.ggn, tolerance)
    close(products.jacobian(V), np.einsum("ncp,kp->knc", truth.jacobian, V), tolerance)
    close(products.jacobian_transpose(U), np.einsum("ncp,knc->kp", truth.jacobian, U), tolerance)


def seeded(build, *shape):
    torch.manual_seed(0)
    return build().double(), torch.randn(*shape, dtype=torch.float64)


def cross_entropy(y):
    return lambda f: functional.cross_entropy(f, y, reduction="sum")


def dense_net(activation, *, outputs=3):
    return nn.Sequential(
        nn.Linear(5, 6), activation, nn.Sequential(nn.Linear(6, 4, bias=False), activation), nn.Linear(4, outputs)
    )


def hessian_products(model, total, X, V):
    """Return V H by double backward, one row at a time."""
    parameters = list(model.parameters())
    grads = torch.autograd.grad(total(model(X)), parameters, create_graph=True)
    g = torch.cat([part.reshape(-1) for part in grads])
    rows = [torch.autograd.grad(g @ torch.from_numpy(v), parameters, retain_graph=True) for v in V]
    return g.detach().numpy(), np.stack([torch.cat([part.reshape(-1) for part in row]).numpy() for row in rows])


def cubic(f):
    return ((f**4).sum(1) + (f[:, 0] * f[:, 1]) ** 2).sum()


CONVOLUTIONAL = {
    "plain": (lambda: [nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(60, 2)], (2, 7, 6)),
    "strided": (
        lambda: [
            nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0), bias=False),
            nn.GELU(),
            nn.Conv2d(4, 2, 2),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(16, 2),
        ],
        (2, 5, 6),
    ),
    "dilated": (
        lambda: [
            nn.Conv2d(1, 3, 2, dilation=2, padding="same"),
            nn.Softplus(),
            nn.Conv2d(3, 2, 3, dilation=(1, 2), padding="valid"),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(8, 2),
        ],
        (1, 4, 6),
    ),
    "grouped": (
        lambda: [
            nn.Conv2d(4, 6, 3, groups=2),
            nn.Sigmoid(),
            nn.Conv2d(6, 6, 1, groups=6),
            nn.Tanh(),
            nn.Conv2d(6, 2, 2, groups=2),
            nn.Flatten(),
        ],
        (4, 4, 4),
    ),
    "pointwise": (
        lambda: [nn.Conv2d(3, 4, 1), nn.Tanh(), nn.Conv2d(4, 2, 1), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten()],
        (3, 3, 4),
    ),
    "circular": (
        lambda: [
            nn.Conv1d(2, 3, 3, padding=1, padding_mode="circular"),
            nn.Tanh(),
            nn.Conv1d(3, 2, 3, padding=2, padding_mode="reflect"),
            nn.Tanh(),
            nn.Conv1d(2, 2, 3, padding=1, padding_mode="replicate"),
            nn.Flatten(),
        ],
        (2, 5),
    ),
    "maximum": (
        lambda: [
            nn.Conv2d(2, 3, 2),
            nn.Tanh(),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(3, 2, 2, padding=1),
            nn.MaxPool2d(2, stride=1, dilation=(1, 2)),
            nn.Tanh(),
            nn.Flatten(),
        ],
        (2, 6, 6),
    ),
    "average": (
        lambda: [
            nn.Conv2d(2, 3, 2),
            nn.AvgPool2d(2, stride=1, padding=1),
            nn.Tanh(),
            nn.AvgPool2d((2, 3), count_include_pad=False, padding=(1, 1)),
            nn.SiLU(),
            nn.AvgPool2d(2, stride=1, divisor_override=3),
            nn.Flatten(),
        ],
        (2, 6, 6),
    ),
    "one-dimensional": (
        lambda: [
            nn.AvgPool1d(2),
            nn.Conv1d(2, 3, 3, padding=1),
            nn.Tanh(),
            nn.MaxPool1d(2),
            nn.AdaptiveAvgPool1d(3),
            nn.Conv1d(3, 2, 2),
            nn.Tanh(),
            nn.Flatten(),
        ],
        (2, 20),
    ),
    "spatial outputs": (lambda: [nn.Conv2d(2, 3, 2), nn.Tanh(), nn.Conv2d(3, 2, 2)], (2, 4, 3)),
}
