"""The risk of a Gaussian network by torch's autograd, with the noise of the plain loops."""

import math
from itertools import pairwise

import gaussian_mlp as reference
import numpy as np
import torch

from pyphenom import _core
from pyphenom.bounds import GaussianMLP

WIDTHS = (3, 6, 5, 4)


def network(widths=WIDTHS, seed=0, activation="relu", dtype=np.float64, scale=0.2, spread=2.0):
    """A network whose means differ; its scales too unless `spread` is 1."""
    rng = np.random.default_rng(seed)
    layers = [(rng.normal(size=(o, i)) / math.sqrt(i), 0.1 * rng.normal(size=o)) for i, o in pairwise(widths)]
    net = GaussianMLP.around(layers, scale, activation)
    log_scale = net.log_scale + math.log(spread) * rng.uniform(-1, 1, net.parameters)
    return GaussianMLP(net.mean.astype(dtype), log_scale.astype(dtype), widths, activation)


def data(n=23, d=3, classes=4, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.integers(classes, size=n)


ACTIVATIONS = {
    "relu": torch.relu,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda z: torch.nn.functional.gelu(z, approximate="tanh"),
    "silu": torch.nn.functional.silu,
    "identity": lambda z: z,
}


def torch_risk(net, mean, log_scale, X, y, rows, seed, step, pmin, antithetic=False):
    """The mean bounded cross-entropy of rows of X, by autograd, with the reference's noise."""
    total = 0.0
    for sign in (1.0, -1.0) if antithetic else (1.0,):
        h, at = torch.from_numpy(X[rows]), 0
        for layer, (i, o) in enumerate(pairwise(net.widths)):
            weights, biases = slice(at, at + i * o), slice(at + i * o, at + (i + 1) * o)
            at += (i + 1) * o
            W, S = mean[weights].reshape(o, i), (2 * log_scale[weights]).exp().reshape(o, i)
            e = np.array([reference.normals(seed, reference.TRAINING, step, layer, int(r), o) for r in rows])
            v = (h * h) @ S.T + (2 * log_scale[biases]).exp()
            z = h @ W.T + mean[biases] + sign * v.sqrt() * torch.from_numpy(e)
            h = z if layer == len(net.widths) - 2 else ACTIVATIONS[net.activation](z)
        log_p = torch.log_softmax(h, dim=1)[torch.arange(len(rows)), torch.from_numpy(y[rows])]
        total = total - log_p.clamp_min(math.log(pmin)).mean() / -math.log(pmin)
    return total / (2 if antithetic else 1)


def training(objective="quadratic", n=100, pmin=1e-2, batch=8, antithetic=False, seed=3, threads=1):
    return _core.GaussianTraining(objective, n, 0.05, 2.0, True, 0.01, 0.9, pmin, batch, antithetic, seed, threads)


def variance_of(net):
    return np.exp(2 * net.log_scale.astype(np.float64)).astype(net.mean.dtype)
