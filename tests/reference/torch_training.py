"""Training of one network by the textbook, and the samples that it sees."""

import copy

import numpy as np
import torch
from torch import nn

from pyphenom.networks import mlp

N, D, K = 23, 3, 4
X = torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.from_numpy(np.random.default_rng(1).integers(0, K, (3, N)))
TARGETS = torch.from_numpy(np.random.default_rng(2).standard_normal((3, N, K)))


def net(*sizes, seed=0, activation="relu"):
    return mlp(sizes, activation, seed, torch.float64)


def numbers(model):
    return torch.cat([value.detach().flatten() for value in model.parameters()])


def assert_equal(models, others, atol=1e-9):
    for model, other in zip(models, others, strict=True):
        torch.testing.assert_close(dict(model.named_parameters()), dict(other.named_parameters()), rtol=0, atol=atol)


def order(subset, seed, size, steps):
    """Return the samples of each step, as the documentation says."""
    rng, drawn = np.random.default_rng(seed), []
    while len(drawn) < steps:
        if size is None:
            drawn.append(np.array(subset))
            continue
        permuted = list(rng.permutation(subset))
        while len(permuted) >= size:
            drawn.append(np.array(permuted[:size]))
            permuted = permuted[size:]
    return drawn[:steps]


def alone(model, X, y, recipe, seed=0, subset=None, masks=None):
    """Train a copy of a network by the textbook."""
    model, masks = copy.deepcopy(model), masks or {}
    parameters = dict(model.named_parameters())

    def hold():
        with torch.no_grad():
            for name, kept in masks.items():
                parameters[name][~kept] = 0.0

    if recipe.optimiser == "sgd":
        optimiser = torch.optim.SGD(
            parameters.values(), lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
    else:
        optimiser = torch.optim.Adam(parameters.values(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    falling = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda done: 1 - done / recipe.steps if recipe.schedule == "linear" else 1.0
    )
    hold()
    subset = np.arange(len(X)) if subset is None else subset
    for batch in order(subset, seed, recipe.batch_size, recipe.steps):
        outputs = model(X[batch])
        if recipe.loss == "squared":
            loss = torch.mean(torch.sum((outputs - y[batch]) ** 2, dim=1))
        else:
            loss = nn.CrossEntropyLoss()(outputs, y[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
        hold()
    return model
