"""Gradient descent against plain loops."""

import copy
from itertools import count

import numpy as np
import pytest
import torch

from pyphenom.networks import Descent, Landscape, descend, take_steps


def regression():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(rng.standard_normal(parameter.shape)))
    return model, torch.from_numpy(rng.standard_normal((10, 3))), torch.from_numpy(rng.standard_normal((10, 1)))


def dense_sharpness(model, X, y):
    """The largest eigenvalue of the Hessian of half the mean squared distance, by automatic differentiation."""
    names = dict(model.named_parameters())

    def loss(*parts):
        outputs = torch.func.functional_call(model, dict(zip(names, parts, strict=True)), X)
        return ((outputs - y) ** 2).sum() / (2 * len(X))

    parts = tuple(value.detach() for value in names.values())
    blocks = torch.autograd.functional.hessian(loss, parts)
    rows = [
        torch.cat([block.reshape(part.numel(), -1) for block in row], 1)
        for part, row in zip(parts, blocks, strict=True)
    ]
    return np.linalg.eigvalsh(torch.cat(rows).numpy())[-1]


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.5, False), (0.5, True)])
def test_a_run_is_that_of_torch(momentum, nesterov):
    model, X, y = regression()
    run = descend(model, X, y, 0.05, limit=0.0, steps=12, every=4, momentum=momentum, nesterov=nesterov)
    model, X, y = regression()
    optimiser = torch.optim.SGD(model.parameters(), 0.05, momentum, nesterov=nesterov)
    losses, sharpness = [], []
    for step in range(13):
        loss = ((model(X) - y) ** 2).sum() / (2 * len(X))
        losses.append(float(loss.detach()))
        if step % 4 == 0:
            sharpness.append(dense_sharpness(model, X, y))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    np.testing.assert_allclose(run.losses, losses, rtol=1e-12)
    assert run.steps == [0, 4, 8, 12]
    np.testing.assert_allclose(run.sharpness, sharpness, rtol=1e-6)
    assert run.certain


@pytest.mark.parametrize(("limit", "steps", "taken"), [(4.5, 2, 8), (4.5, 20, 20), (1e9, 2, 12), (-1.0, 5, 5)])
def test_a_run_ends_some_time_after_its_crossing(monkeypatch, limit, steps, taken):
    readings = count()  # a sharpness equal to the step: it passes 4.5 at step 5
    monkeypatch.setattr(Landscape, "sharpness", lambda self: float(next(readings)))
    run = descend(*regression(), 0.05, limit=limit, steps=steps, every=1, longer=1.7, at_most=6)
    assert len(run.losses) - 1 == taken


def test_a_descent_is_a_plain_record():
    run = Descent([2.0, 1.0], [0], [3.0], True, 1)
    assert run.to_dict() == {"losses": [2.0, 1.0], "steps": [0], "sharpness": [3.0], "certain": True, "least": 1}


def test_frozen_parameters_stay():
    model, X, y = regression()
    model[2].bias.requires_grad_(False)
    before = model[2].bias.clone()
    point = Landscape(model, "half_squared", X, y)
    assert point.theta.shape == (20,)
    point.move(point.theta - point.gradient())
    assert torch.equal(model[2].bias, before)
    np.testing.assert_allclose(point.outputs(), model(X).detach().numpy(), rtol=1e-12)


class Unknown(torch.nn.Sequential):
    """A type that native kernels do not know."""


@pytest.mark.parametrize("kind", [torch.nn.Sequential, Unknown])
def test_a_move_reaches_the_model_and_every_reading(kind):
    model, X, y = regression()
    model = kind(*model)
    model[0].bias.requires_grad_(False)
    point = Landscape(model, "half_squared", X, y)
    point.move(point.theta + 0.1)
    loss = ((model(X) - y) ** 2).sum() / (2 * len(X))
    loss.backward()
    moved = [value for value in model.parameters() if value.requires_grad]
    np.testing.assert_allclose(point.theta, torch.nn.utils.parameters_to_vector(moved).detach(), rtol=1e-15)
    np.testing.assert_allclose(point.loss, loss.item(), rtol=1e-12)
    np.testing.assert_allclose(
        point.gradient(), torch.nn.utils.parameters_to_vector([p.grad for p in moved]), rtol=1e-11
    )


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_steps_are_those_of_torch(momentum):
    model, X, y = regression()
    theirs = copy.deepcopy(model)
    take_steps(Landscape(model, "half_squared", X, y), 4, 0.1, momentum)
    optimiser = torch.optim.SGD(theirs.parameters(), 0.1, momentum)
    for _ in range(4):
        optimiser.zero_grad()
        (((theirs(X) - y) ** 2).sum() / (2 * len(X))).backward()
        optimiser.step()
    for ours, expected in zip(model.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(ours.detach(), expected.detach(), rtol=1e-12)
