"""Convolutional networks trained by hand, against the general training, which uses automatic differentiation."""

import numpy as np
import pytest
import torch
from torch import nn

from pyphenom.networks import Recipe, train
from pyphenom.networks.convolutions import convolutional, train_convolutional

LENGTH, CHANNELS, CLASSES, N = 40, 3, 4, 13
RECIPE = Recipe(9, 0.2, batch_size=4, schedule="linear")


def problem(members=2):
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.standard_normal((members, N, LENGTH)))
    return inputs, torch.from_numpy(rng.integers(0, CLASSES, (members, N)))


def nets(members=2, length=LENGTH):
    return [convolutional(length, CHANNELS, CLASSES, seed).double() for seed in range(members)]


@pytest.mark.parametrize("length", [40, 41])
@pytest.mark.parametrize("recipe", [RECIPE, Recipe(9, 0.2, batch_size=4, momentum=0.0)], ids=["linear", "constant"])
def test_each_network_is_trained_as_it_would_be_by_autograd(length, recipe):
    inputs, labels = problem()
    inputs = torch.nn.functional.pad(inputs, (0, length - LENGTH), value=0.5)
    together, start = nets(length=length), nets(length=length)
    train_convolutional(together, inputs, labels, recipe, order=5)
    for net, alone, x, y, first in zip(together, nets(length=length), inputs, labels, start, strict=True):
        train([alone], x, y, recipe, 5)
        for name, value in net.named_parameters():
            torch.testing.assert_close(value, alone.get_parameter(name), rtol=0, atol=1e-12)
            assert float((value - first.get_parameter(name)).detach().abs().max()) > 1e-4


def test_the_network_is_that_of_the_authors():
    """ConvBase of their repository: 25 channels, 125 inputs of the last layer, 5210 parameters."""
    net = convolutional(40, 25, 10, seed=0)
    assert [type(layer) for layer in net] == [nn.Unflatten, *3 * [nn.Conv1d, nn.ReLU], nn.Flatten, nn.Linear]
    assert sum(value.numel() for value in net.parameters()) == 5210


def test_weights_follow_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, again, other = (convolutional(40, 5, 10, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first[1].weight, again[1].weight)
    assert not torch.equal(first[1].weight, other[1].weight)


@pytest.mark.parametrize(
    "fields", [{"loss": "squared"}, {"optimiser": "adam"}, {"weight_decay": 0.1}, {"batch_size": None}]
)
def test_other_recipes_are_refused(fields):
    recipe = Recipe(**{"steps": 1, "learning_rate": 0.1, "batch_size": 4} | fields)
    with pytest.raises(ValueError, match="`recipe` is"):
        train_convolutional(nets(), *problem(), recipe)
