"""Batches, gradients of samples and chains of SGD, against autograd and plain loops."""

import numpy as np
import pytest
import torch
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from pyphenom.networks import (
    least_squares_chains,
    mlp,
    network_chains,
    sample_gradients,
    sampled_batches,
)


def test_batches_of_an_epoch_hold_every_sample_once_and_others_do_not():
    rng = np.random.default_rng(0)
    epoch, drawn = (sampled_batches(flag, 3, 60, 10, rng) for flag in (True, False))
    assert epoch.shape == drawn.shape == (3, 6, 10)
    assert (np.sort(epoch.reshape(3, 60)) == np.arange(60)).all()
    assert not np.array_equal(epoch[0], epoch[1])
    assert (np.sort(drawn.reshape(3, 60)) != np.arange(60)).any(axis=1).all()


def test_hessian_and_sample_gradients_are_those_of_autograd():
    model = mlp((5, 4, 3), "tanh", seed=1, dtype=torch.float64)
    stream = torch.Generator().manual_seed(0)
    X = torch.randn(12, 5, generator=stream, dtype=torch.float64)
    y = torch.randint(0, 3, (12,), generator=stream)
    names = {name: value.detach() for name, value in model.named_parameters()}
    flat = torch.cat([value.flatten() for value in names.values()])

    def loss(theta):
        parts = torch.split(theta, [value.numel() for value in names.values()])
        given = {name: part.view_as(names[name]) for name, part in zip(names, parts, strict=True)}
        return cross_entropy(functional_call(model, given, (X,)), y)

    found, gradients = sample_gradients(model, X, y)
    dense = hessian(loss, flat).numpy()
    np.testing.assert_allclose(found, dense, atol=1e-12)
    for k in range(12):
        model.zero_grad()
        cross_entropy(model(X[k : k + 1]), y[k : k + 1]).backward()
        single = torch.cat([value.grad.flatten() for value in model.parameters()]).numpy()
        np.testing.assert_allclose(gradients[k], single, atol=1e-12)


@pytest.mark.parametrize("epochs", [True, False])
def test_a_chain_of_a_network_is_a_plain_loop(epochs):
    model = mlp((3, 4, 2), "tanh", seed=1, dtype=torch.float64)
    stream = torch.Generator().manual_seed(0)
    X, y = torch.randn(8, 3, generator=stream, dtype=torch.float64), torch.arange(8) % 2
    start = torch.cat([value.detach().flatten() for value in model.parameters()])
    frame = np.random.default_rng(2).standard_normal((len(start), 5))
    options = {"epochs": epochs, "chains": 3, "size": 4, "step_size": 0.3, "weight_decay": 0.1}
    found = network_chains(model, X, y, frame, **options, burn_in=3, steps=4, rng=np.random.default_rng(0))
    assert found.shape == (4, 3, 5)
    assert torch.equal(torch.cat([value.detach().flatten() for value in model.parameters()]), start)
    rng = np.random.default_rng(0)
    orders = np.concatenate([sampled_batches(epochs, 3, 8, 4, rng) for _ in range(4)], axis=1)
    for chain in range(3):
        torch.nn.utils.vector_to_parameters(start.clone(), model.parameters())
        optimiser = torch.optim.SGD(model.parameters(), 0.3, weight_decay=0.1)
        for step in range(7):
            batch = orders[chain, step]
            optimiser.zero_grad()
            cross_entropy(model(X[batch]), y[batch]).backward()
            optimiser.step()
            if step >= 3:
                weights = torch.cat([value.detach().flatten() for value in model.parameters()]).numpy()
                np.testing.assert_allclose(found[step - 3, chain], weights @ frame, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("levels", [False, True])
@pytest.mark.parametrize("epochs", [True, False])
def test_chains_of_least_squares_are_a_plain_loop(epochs, levels):
    rng = np.random.default_rng(1)
    X, residuals = rng.standard_normal((12, 2)), rng.standard_normal(12)
    if levels:  # four kinds of samples, as many as a batch
        X, residuals = np.tile(X[:4], (3, 1)), np.tile(residuals[:4], 3)
    options = {"epochs": epochs, "chains": 2, "size": 4, "step_size": 0.1, "burn_in": 1, "passes": 2}
    found = least_squares_chains(X, residuals, **options, rng=np.random.default_rng(0))
    rng, expected = np.random.default_rng(0), np.zeros((2, 2, 2))
    orders = np.stack([sampled_batches(epochs, 2, 12, 4, rng) for _ in range(3)], axis=1)
    for chain in range(2):
        w = np.zeros(2)
        for number in range(3):
            for batch in orders[chain, number]:
                w = w - 0.1 * X[batch].T @ (X[batch] @ w - residuals[batch]) / 4
                if number >= 1:
                    expected[number - 1, chain] += w**2 / 3
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_isotropic_noise_has_the_variance_of_its_recursion():
    X = np.diag([1.0, 2.0, 0.0, 0.0])[:, :2]  # curvatures 1/4 and 1
    options = {"epochs": False, "chains": 400, "size": 2, "step_size": 0.5, "burn_in": 50, "passes": 20}
    found = least_squares_chains(X, np.zeros(4), **options, rng=np.random.default_rng(0), noise=0.3)
    rate = 0.5 * np.array([0.25, 1.0])
    # 400 chains, some relaxation times each: below 3 % of standard error.
    np.testing.assert_allclose(found.mean(axis=(0, 1)), 0.25 * 0.09 / (1 - (1 - rate) ** 2), rtol=0.15)


def test_arguments_out_of_range():
    rng, model, X, y = np.random.default_rng(0), mlp((2, 2), "tanh", 0), torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])
    with pytest.raises(ValueError, match="`size` is 3 with 4 samples; expected a divisor"):
        sampled_batches(True, 2, 4, 3, rng)
    options = {"epochs": True, "chains": 1, "size": 2, "step_size": 0.1, "burn_in": 0, "rng": rng}
    with pytest.raises(ValueError, match="`passes` is 3; expected an even number"):
        least_squares_chains(np.zeros((4, 1)), np.zeros(4), **options, passes=3)
    with pytest.raises(ValueError, match=r"`frame` has shape \(2, 2\); expected \(6, K\)"):
        network_chains(model, X, y, np.eye(2), **options, weight_decay=0.0, steps=1)
    for bad, error in ((y + 1, ValueError), (y - 1, ValueError), (y.int(), TypeError), (y[:3], ValueError)):
        with pytest.raises(error, match="`targets`"):
            network_chains(model, X, bad, np.eye(6), **options, weight_decay=0.0, steps=1)
