"""Dense truths of curvature by torch.func, one definition a function, and models as users write them."""

from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev
from torch.nn.attention import SDPBackend, sdpa_kernel


def hessian(f):
    # Not torch.func.hessian, for attention has no forward mode; not jacrev of jacrev, for the backward passes of layer
    # and batch norm, once batched by vmap, have wrong derivatives themselves (torch 2.13).
    return jacrev(grad(f))


def flat(values):
    return torch.cat([value.detach().reshape(-1) for value in values])


def chosen(model, names):
    """The parameters of these names, in the order of the model."""
    wanted = [n for n, p in model.named_parameters() if p.requires_grad] if names is None else names
    return {n: p for n, p in model.named_parameters() if n in wanted}


def outputs(model, X, names=None):
    """The function theta -> outputs (n, ...), with the rest of the model as it is."""
    parameters = chosen(model, names)
    buffers = {n: b.clone() for n, b in model.named_buffers()}

    def f(theta):
        state, start = {}, 0
        for name, value in parameters.items():
            state[name] = theta[start : start + value.numel()].view(value.shape)
            start += value.numel()
        # Running statistics are updated in place, which torch.func cannot undo: out of place, and thrown away.
        with sdpa_kernel(SDPBackend.MATH):
            return functional_call(model, {**state, **{n: b.clone() for n, b in buffers.items()}}, (X,))

    return f, flat(parameters.values())


class Dense:
    """Every matrix of a loss that is the mean (or the sum) of sample_loss(outputs of one sample, its target)."""

    def __init__(self, model, sample_loss, X, y, names=None, mean=True):
        f, theta = outputs(model, X, names)
        n = len(X)
        weight = 1.0 / n if mean else 1.0

        def total(theta):
            out = f(theta)
            return weight * sum(sample_loss(out[i], y[i]) for i in range(n))

        out = f(theta).detach()
        self.n, self.C, self.P = n, out[0].numel(), len(theta)
        self.loss = float(total(theta).detach())
        self.outputs = out.reshape(n, -1).numpy()
        self.gradient = grad(total)(theta).detach().numpy()
        self.hessian = hessian(total)(theta).detach().numpy()
        J = jacrev(f)(theta).detach().reshape(n, self.C, self.P).numpy()
        inner = [hessian(sample_loss)(out[i], y[i]).reshape(self.C, self.C).detach().numpy() for i in range(n)]
        g = [grad(sample_loss)(out[i], y[i]).reshape(self.C).detach().numpy() for i in range(n)]
        self.ggn = weight * sum(J[i].T @ inner[i] @ J[i] for i in range(n))
        self.fisher = weight * sum(np.outer(J[i].T @ g[i], J[i].T @ g[i]) for i in range(n))
        self.jacobian = J.reshape(-1, self.P)


class PlainNorm(nn.BatchNorm2d):
    """Batch norm by its formula, to be differentiated by itself."""

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
        scale = self.weight / torch.sqrt(var + self.eps)
        return (x - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]


class PlainGroupNorm(nn.GroupNorm):
    def forward(self, x):
        groups = x.reshape(len(x), self.num_groups, -1)
        mean, var = groups.mean(2, keepdim=True), groups.var(2, keepdim=True, correction=0)
        return ((groups - mean) / torch.sqrt(var + self.eps)).reshape(x.shape) * self.weight + self.bias


class Residual(nn.Module):
    """Convolutions with batch norm and a skip connection, as in a ResNet."""

    def __init__(self, classes=3, norm=nn.BatchNorm2d):
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1, bias=False)
        self.norm = norm(3)
        self.inner = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.inner_norm = norm(3)
        self.head = nn.Linear(3, classes)

    def forward(self, x):
        x = torch.nn.functional.silu(self.norm(self.stem(x)))
        x = torch.tanh(x + self.inner_norm(self.inner(x)))
        return self.head(x.mean((2, 3)))


class Attention(nn.Module):
    """Tokens, an encoder layer of torch's, the mean over positions, a head."""

    def __init__(self, classes=3):
        super().__init__()
        self.tokens = nn.Embedding(5, 4)
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, activation="gelu", batch_first=True)
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        return self.head(self.layer(self.tokens(x)).mean(1))


class Recurrent(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.lstm = nn.LSTM(2, 3, batch_first=True)
        self.head = nn.Linear(3, classes)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


def mlp(*widths, activation=nn.Tanh):
    layers = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


def seeded(make, seed=0, dtype=torch.float64):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().to(dtype)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def integers(high, *shape, seed=0):
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def close(value, truth, rtol=1e-12):
    """Whether arrays agree to rtol of the largest entry of the truth."""
    value, truth = np.asarray(value), np.asarray(truth)
    assert value.shape == truth.shape, (value.shape, truth.shape)
    error, scale = float(np.max(np.abs(value - truth))), float(np.max(np.abs(truth)))
    assert error <= rtol * scale, f"differs by {error:.2g}, the largest entry is {scale:.2g}"
