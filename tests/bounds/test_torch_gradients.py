"""Derivatives of networks against single backward passes, closed forms and invariances."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, softmax

from pyphenom.bounds import fisher_rao, gradient_noise, input_derivative


def network(bias=True, seed=0):
    torch.manual_seed(seed)
    layers = nn.Linear(4, 6, bias), nn.ReLU(), nn.Linear(6, 5, bias), nn.ReLU(), nn.Linear(5, 3, bias)
    return nn.Sequential(*layers).double()


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    return rng.standard_normal((30, 4)), rng.integers(0, 3, 30)


def single_gradients(net, X, y):
    found = []
    for x, label in zip(torch.from_numpy(X), torch.from_numpy(y), strict=True):
        net.zero_grad()
        cross_entropy(net(x[None]), label[None]).backward()
        found.append(torch.cat([v.grad.flatten() for v in net.parameters()]).numpy().copy())
    return np.array(found)


def test_fisher_rao_and_noise_are_those_of_single_backward_passes(samples):
    net = network()
    gradients = single_gradients(net, *samples)
    w = torch.cat([v.detach().flatten() for v in net.parameters()]).numpy()
    assert fisher_rao(net, *samples) == pytest.approx(((gradients @ w) ** 2).mean(), rel=1e-10)
    mean, noise = gradient_noise(net, *samples)
    assert mean == pytest.approx((gradients.mean(axis=0) ** 2).sum(), rel=1e-10)
    assert noise == pytest.approx(gradients.var(axis=0).sum(), rel=1e-10)


def test_without_biases_fisher_rao_is_depth_times_outputs_and_residuals(samples):
    X, y = samples
    net = network(bias=False)
    f = net(torch.from_numpy(X)).detach()
    residual = softmax(f, dim=1).numpy() - np.eye(3)[y]
    closed = (3.0 * (f.numpy() * residual).sum(axis=1)) ** 2
    assert fisher_rao(net, X, y) == pytest.approx(closed.mean(), rel=1e-10)


def test_rescaled_relu_layers_have_the_same_fisher_rao_norm_and_jacobian_and_other_gradients(samples):
    net = network()
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[0].weight.mul_(5.0)
        other[0].bias.mul_(5.0)
        other[2].weight.div_(5.0)
    assert fisher_rao(other, *samples) == pytest.approx(fisher_rao(net, *samples), rel=1e-10)
    assert input_derivative(other, *samples) == pytest.approx(input_derivative(net, *samples), rel=1e-10)
    assert gradient_noise(other, *samples)[1] > 1.5 * gradient_noise(net, *samples)[1]


def test_input_derivatives_are_those_of_finite_differences(samples):
    X, y = samples
    net, step = network().eval(), 1e-6

    def values(x):
        f = net(torch.from_numpy(x)).detach()
        return f.numpy(), cross_entropy(f, torch.from_numpy(y), reduction="none").numpy()

    slopes = [np.zeros((30, 3, 4)), np.zeros((30, 1, 4))]
    for i in range(4):
        move = np.zeros(4)
        move[i] = step
        above, below = values(X + move), values(X - move)
        slopes[0][:, :, i] = (above[0] - below[0]) / (2 * step)
        slopes[1][:, 0, i] = (above[1] - below[1]) / (2 * step)
    for of, slope in zip(("outputs", "loss"), slopes, strict=True):
        assert input_derivative(net, X, y, of) == pytest.approx((slope**2).sum(axis=(1, 2)).mean(), rel=1e-6)


def test_many_samples_are_taken_in_parts(samples, monkeypatch):
    whole = fisher_rao(network(), *samples), gradient_noise(network(), *samples)
    monkeypatch.setattr("pyphenom.bounds.torch_gradients._ENTRIES", 200)
    monkeypatch.setattr("pyphenom.bounds._torch_models.row_slices", lambda n, size=7: [slice(0, 11), slice(11, n)])
    assert fisher_rao(network(), *samples) == pytest.approx(whole[0], rel=1e-12)
    assert gradient_noise(network(), *samples) == pytest.approx(whole[1], rel=1e-12)


def test_bad_input(samples):
    with pytest.raises(ValueError, match="`of` is 'weights'"):
        input_derivative(network(), *samples, "weights")
    with pytest.raises(ValueError, match="expected 0 to 2"):
        fisher_rao(network(), samples[0], samples[1] + 1)
    net = network()
    for layer in (0, 2, 4):
        net[layer].weight.data.fill_(1e150)
    with pytest.raises(ValueError, match="`model` gives NaN or infinity"):
        gradient_noise(net, *samples)
