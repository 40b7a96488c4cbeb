"""Draws from a Gaussian network: which networks have fresh weights for each point, and that they are what they say."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from pyphenom.bounds import GaussianMLP, Loss, draws, independent_draws, kl_inverse
from pyphenom.bounds._torch_gaussian import BLOCK, GaussianNetwork, Stream, bounded_loss, draw
from pyphenom.bounds._torch_model import stack, widths

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 600)
X = (RNG.standard_normal((600, 4)) + 3.0 * np.eye(4)[Y]).astype(np.float32)


def network(layers, inputs, scale=0.3):
    torch.manual_seed(0)
    return GaussianNetwork(nn.Sequential(*layers()).eval(), inputs, scale)


STACKS = [
    (lambda: (nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)), ((4, 16, 3), "relu")),
    (lambda: (nn.Flatten(), nn.Linear(4, 8), nn.Tanh(), nn.Dropout(), nn.Linear(8, 3)), ((4, 8, 3), "tanh")),
    (lambda: (nn.Linear(4, 3),), ((4, 3), "identity")),
    (lambda: (nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 3)), None),
    (lambda: (nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)), None),
    (lambda: (nn.Linear(4, 8), nn.LeakyReLU(0.3), nn.Linear(8, 3)), None),
    (lambda: (nn.Linear(4, 8), nn.Linear(8, 3)), None),
]


@pytest.mark.parametrize(("layers", "native"), STACKS)
def test_which_networks_have_independent_draws(layers, native):
    found = stack(nn.Sequential(*layers()), torch.zeros(2, 4))
    assert found is not None
    assert widths(found) == native


def test_e17_no_independent_draws_where_a_weight_is_used_twice():
    linear = nn.Linear(4, 4)
    tied = nn.Linear(4, 4)
    convolutional = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    normed = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).eval()
    tied.weight = linear.weight
    for model, inputs in (
        (nn.Sequential(linear, nn.ReLU(), linear), torch.zeros(2, 4)),
        (nn.Sequential(linear, nn.ReLU(), tied), torch.zeros(2, 4)),
        (nn.Sequential(linear, nn.Flatten()), torch.zeros(2, 3, 4)),  # acts on each of three positions
        (convolutional, torch.zeros(2, 1, 4, 4)),
        (normed, torch.zeros(2, 4)),
        (nn.Sequential(nn.RNN(4, 3)), torch.zeros(2, 4)),
    ):
        assert stack(model, inputs) is None


def test_a_tied_weight_is_one_parameter_and_is_drawn_once():
    linear = nn.Linear(4, 4)
    model = nn.Sequential(linear, nn.ReLU(), linear)
    gaussian = GaussianNetwork(model, torch.from_numpy(X), 0.3)
    x, weights = torch.from_numpy(X), gaussian.weights(Stream(0, 0, 0, torch.zeros(())))
    W, b = weights["0.weight"], weights["0.bias"]
    expected = torch.relu(x @ W.T + b) @ W.T + b
    assert torch.allclose(gaussian.with_weights(x, weights), expected, atol=1e-5)


@pytest.mark.parametrize(("layers", "_"), STACKS)
def test_e12_fresh_pre_activations_have_the_law_of_fresh_weights(layers, _):
    # One point many times; a Kolmogorov-Smirnov test per output fails a correct sampler once in 1e6.
    inputs = torch.from_numpy(X[:1])
    gaussian = network(layers, inputs)
    with torch.no_grad():
        fast = gaussian.noisy(inputs.expand(4000, -1), Stream(1, 0, 0, inputs))
        slow = torch.cat(
            [gaussian.with_weights(inputs, gaussian.weights(Stream(2, i, 0, inputs))) for i in range(1500)]
        )
    for k in range(3):
        assert stats.ks_2samp(fast[:, k].numpy(), slow[:, k].numpy()).pvalue > 1e-6
    # Outputs of two points with fresh weights each are independent; with shared weights they are not.
    both = torch.from_numpy(np.repeat(X[:1], 2, axis=0))
    with torch.no_grad():
        pairs = torch.stack([gaussian.noisy(both, Stream(3, i, 0, inputs))[:, 0] for i in range(1500)])
    assert abs(np.corrcoef(pairs.T.numpy())[0, 1]) < 5 / math.sqrt(1500)


def test_native_and_torch_draws_agree_in_distribution():
    inputs, labels = torch.from_numpy(X), torch.from_numpy(Y)
    gaussian = network(STACKS[0][0], inputs)
    slow = draw(gaussian, inputs, labels, Loss("zero-one"), "independent", 60, 5, lambda done, total: None)
    layers = [(gaussian.mean[i].detach().numpy(), gaussian.mean[i + 1].detach().numpy()) for i in (0, 2)]
    fast = draws(GaussianMLP.around(layers, 0.3), X, Y, 60, seed=6).errors
    error = math.sqrt((np.var(slow) + np.var(fast)) / 60)
    assert abs(np.mean(slow) - np.mean(fast)) < 5 * error


def test_e4_a_ragged_last_block_counts_its_own_points():
    many, labels = torch.from_numpy(np.concatenate([X, X, X])), torch.from_numpy(np.concatenate([Y, Y, Y]))
    assert len(many) % BLOCK
    gaussian = network(lambda: (nn.Linear(4, 8, bias=False), nn.ELU(), nn.Linear(8, 3)), many)
    for loss in (Loss("zero-one"), Loss("cross-entropy", 1e-4)):
        (total,) = draw(gaussian, many, labels, loss, "shared", 1, 9, lambda done, total: None)
        with torch.no_grad():
            logits = gaussian.with_weights(many, gaussian.weights(Stream(9, 0, 0, many)))
            p = torch.softmax(logits.double(), dim=1)[torch.arange(len(many)), labels]
        floor = loss.floor or 1.0
        expected = (
            (logits.argmax(1) != labels).sum().item()
            if loss.kind == "zero-one"
            else torch.clamp(-torch.log(p), max=-math.log(floor)).sum().item() / -math.log(floor)
        )
        assert total == pytest.approx(expected, rel=1e-5)
        assert bounded_loss(logits, labels, loss).max() <= 1.0


def test_e16_the_violation_rates_of_the_simulation():
    """A linear classifier in 20 dimensions whose exact Gibbs risk is known; 4000 certificates of the empirical risk."""
    rng = np.random.default_rng(0)
    n, repetitions, delta = 1000, 4000, 0.05
    points = rng.standard_normal((n, 20)).astype(np.float32)
    mean = rng.standard_normal(20) * 0.6
    labels = (points @ mean + rng.standard_normal(n) > 0).astype(int)
    W = np.stack([-mean / 2, mean / 2]).astype(np.float32)
    gaussian = GaussianMLP.around([(W, np.zeros(2, np.float32))], 1 / math.sqrt(2))
    # The difference of the two logits is N(x.mean, (x^2 + 1) / 2 * 2).
    margin = (points @ mean) * (2 * labels - 1) / np.sqrt((points**2).sum(axis=1) + 1)
    risk = stats.norm.cdf(-margin).mean()

    fresh = draws(gaussian, points, labels, repetitions, seed=1).errors / n
    assert np.mean(fresh) == pytest.approx(risk, abs=5 * 0.5 / math.sqrt(n * repetitions))
    weights = mean + rng.standard_normal((repetitions, 20))
    biases = rng.standard_normal((repetitions, 1))
    wrong = (weights @ points.T + biases > 0) != labels
    shared = wrong.mean(axis=1)

    violated = {
        "fresh weights for each point": np.mean(independent_draws(fresh, n, delta) < risk),
        "one network, counted for each point": np.mean(independent_draws(shared, n, delta) < risk),
        "one network, counted once": np.mean(kl_inverse(shared, math.log(1 / delta)) < risk),
    }
    assert violated["fresh weights for each point"] <= delta
    assert violated["one network, counted once"] <= delta
    assert violated["one network, counted for each point"] > 3 * delta  # the error that the plan rules out


def test_every_pass_and_every_block_has_noise_of_its_own():
    many, labels = torch.from_numpy(X[:1]).expand(2 * BLOCK, -1), torch.from_numpy(Y[:1]).expand(2 * BLOCK)
    gaussian, loss = network(STACKS[0][0], many), Loss("cross-entropy", 1e-4)
    for scheme in ("independent", "shared"):
        once = draw(gaussian, many[:BLOCK], labels[:BLOCK], loss, scheme, 3, 7, lambda done, total: None)
        twice = draw(gaussian, many, labels, loss, scheme, 3, 7, lambda done, total: None)
        assert len(set(once)) == 3
        # The same network serves all blocks of a shared pass, and none of an independent one.
        assert (np.abs(np.array(twice) - 2 * np.array(once)) < 1e-6).all() == (scheme == "shared")
        assert once == draw(gaussian, many[:BLOCK], labels[:BLOCK], loss, scheme, 3, 7, lambda done, total: None)
