"""Each network of a stack is trained as it would be alone, by the textbook."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch_training import LABELS, TARGETS, D, K, N, X, alone, assert_equal, net

from pyphenom.networks import Recipe, mlp, train


def sigmoid(width, seed):
    """Return a network whose units give 1/2 at no input: f(0) is not zero."""
    plain = net(D, width, K, seed=seed)
    return nn.Sequential(plain[0], nn.Sigmoid(), plain[2])


RECIPES = {
    "gradient descent": Recipe(50, 0.2, momentum=0.0),
    "sgd": Recipe(50, 0.2, 5, momentum=0.0),
    "momentum": Recipe(50, 0.05, 5, momentum=0.9),
    "decay": Recipe(50, 0.05, 5, weight_decay=0.1),
    "adam": Recipe(50, 0.01, 5, optimiser="adam"),
    "adam, decay": Recipe(50, 0.01, optimiser="adam", weight_decay=0.1),
    "linear": Recipe(50, 0.1, 5, schedule="linear"),
    "adam, linear": Recipe(50, 0.02, 5, optimiser="adam", schedule="linear"),
    "squared": Recipe(50, 0.01, 5, loss="squared"),
    "squared, all samples": Recipe(50, 0.01, loss="squared", schedule="linear", weight_decay=0.01),
    "one sample": Recipe(50, 0.01, 1),
    "a batch of all": Recipe(50, 0.05, N),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_each_network_is_trained_as_it_would_be_alone(recipe, activation):
    models = [net(D, width, K, seed=width, activation=activation) for width in (2, 9, 5)]
    y = TARGETS if recipe.loss == "squared" else LABELS
    expected = [alone(model, X, y[m], recipe, seed=10 + m) for m, model in enumerate(models)]
    train(models, X, y, recipe, order=[10, 11, 12])
    assert_equal(models, expected)


@pytest.mark.parametrize("name", ["momentum", "adam, decay", "squared", "squared, all samples"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_networks_of_unequal_widths_are_trained_as_they_would_be_alone(name, activation):
    recipe, seen = RECIPES[name], []
    models = [net(D, width, K, seed=width, activation=activation) for width in (3, 32, 33, 8, 20, 200)]
    y = TARGETS if recipe.loss == "squared" else LABELS
    y = torch.cat([y, y])
    expected = [alone(model, X, y[m], recipe, seed=10) for m, model in enumerate(models)]
    train(models, X, y, recipe, order=10, probes=[lambda stack: seen.append(stack.outputs(X)) or {}], at=[25, 50])
    assert_equal(models, expected)
    torch.testing.assert_close(seen[1], torch.stack([model(X) for model in models]), rtol=1e-6, atol=1e-9)
    assert not torch.allclose(*seen)


ARCHITECTURES = {
    "crossing": [net(D, 10, 4, K, seed=1), net(D, 4, 10, K, seed=2), net(D, 1, 1, K, seed=3)],
    "sigmoid": [sigmoid(width, seed=width) for width in (2, 8, 5)],
    "no hidden layer": [net(D, K, seed=seed) for seed in range(3)],
    "normalised": [
        nn.Sequential(net(D, 6, seed=s), nn.LayerNorm(6, dtype=torch.float64), net(6, K, seed=s)) for s in range(3)
    ],
}


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("models", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_architectures_with_subsets_labels_and_orders_of_their_own(models, optimiser):
    models = copy.deepcopy(models)
    recipe = Recipe(50, 0.02, 4, optimiser=optimiser, weight_decay=0.05, schedule="linear")
    subsets = [np.arange(5, 20), np.array([3, 1, 4, 1, 5, 9, 2, 6]), np.arange(0, N, 2)]  # one draws a sample twice
    expected = [alone(model, X, LABELS[m], recipe, 7 + m, subsets[m]) for m, model in enumerate(models)]
    train(models, X, LABELS, recipe, [7, 8, 9], subsets=subsets)
    assert_equal(models, expected)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("size", [4, None])
def test_masks_keep_weights_at_zero(optimiser, size):
    recipe = Recipe(50, 0.02, size, optimiser=optimiser, weight_decay=0.05)
    models = [net(D, 6, K, seed=1), net(D, 8, K, seed=2), net(D, 6, K, seed=3)]
    stream = torch.Generator().manual_seed(0)
    masks = [
        {name: torch.rand(value.shape, generator=stream) > 0.4 for name, value in models[0].named_parameters()},
        {},
        {"2.weight": torch.rand(K, 6, generator=stream) > 0.4},
    ]
    expected = [alone(model, X, LABELS[0], recipe, masks=own) for model, own in zip(models, masks, strict=True)]
    train(models, X, LABELS[0], recipe, masks=masks)
    assert_equal(models, expected)
    for model, own in zip(models, masks, strict=True):
        for name, kept in own.items():
            assert torch.equal(model.get_parameter(name) != 0, kept)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("make", [sigmoid, lambda width, seed: net(D, width, K, seed=seed, activation="tanh")])
def test_units_of_the_padding_stay_at_zero(make, optimiser):
    seen = []

    def probe(stack):
        seen.append({name: value.detach().clone() for name, value in stack.parameters.items()})
        return {}

    recipe = Recipe(20, 0.05, 5, optimiser=optimiser, weight_decay=0.3)
    train([make(2, 0), make(6, 1)], X, LABELS[0], recipe, probes=[probe], at=range(21))
    assert len(seen) == 21
    for values in seen:
        assert not values["0.weight"][0, 2:].any()
        assert not values["0.bias"][0, 2:].any()
        assert not values["2.weight"][0, :, 2:].any()
        assert values["2.weight"][1].all()


def test_fixed_parameters_stay_fixed_and_the_others_are_trained_as_alone():
    models = [net(D, width, K, seed=width) for width in (3, 6)]
    for model in models:
        model[0].weight.requires_grad_(False)
    recipe = Recipe(30, 0.05, 5, weight_decay=0.5)
    before, expected = [model[0].weight.clone() for model in models], [alone(m, X, LABELS[0], recipe) for m in models]
    train(models, X, LABELS[0], recipe)
    assert_equal(models, expected)
    for model, weight in zip(models, before, strict=True):
        assert torch.equal(model[0].weight, weight)
        assert [value.requires_grad for value in model.parameters()] == [False, True, True, True]


def test_shared_weights_inside_a_network_stay_shared():
    def tied():
        layers = nn.Sequential(net(D, D, seed=1), nn.Tanh(), net(D, D, seed=2))
        layers[2][0].weight = layers[0][0].weight
        return layers

    model, recipe = tied(), Recipe(20, 0.1, 5)
    expected = alone(model, X, LABELS[0] % D, recipe)
    train([model], X, LABELS[0] % D, recipe)
    assert_equal([model], [expected])
    assert model[0][0].weight is model[2][0].weight


def test_a_layer_and_an_activation_may_stand_twice():
    layer, function, recipe = net(D, D, seed=1)[0], nn.ReLU(), Recipe(20, 0.1, 5)
    for middle in (layer, net(D, D, seed=2)[0]):
        model = nn.Sequential(layer, function, middle, function, net(D, K)[0])
        expected = alone(model, X, LABELS[0], recipe)
        train([model], X, LABELS[0], recipe)
        assert_equal([model], [expected])


class Scaled(nn.Module):
    """A parameter without an axis."""

    def __init__(self):
        super().__init__()
        self.scale, self.layers = nn.Parameter(torch.tensor(2.0).double()), net(D, K)

    def forward(self, x):
        return self.scale * self.layers(x)


def test_a_parameter_may_be_a_number():
    model, recipe = Scaled(), Recipe(20, 0.1, 5)
    expected = alone(model, X, LABELS[0], recipe)
    assert not train([model], X, LABELS[0], recipe).diverged.any()
    assert_equal([model], [expected])


@pytest.mark.parametrize("sizes", [(0, 5), (D, 0)])
def test_layers_without_inputs_train_their_biases(sizes):
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of no weights to draw
        model = nn.Sequential(nn.Linear(*sizes), nn.ReLU(), nn.Linear(sizes[1], K)).double()
    recipe = Recipe(20, 0.1, 5)
    expected = alone(model, X[:, : sizes[0]], LABELS[0], recipe)
    train([model], X[:, : sizes[0]], LABELS[0], recipe)
    assert_equal([model], [expected])


def test_masks_belong_to_parameters_by_name():
    model, recipe = net(D, 6, K), Recipe(20, 0.1, 5)
    prune.random_unstructured(model[0], "weight", 0.5)
    prune.remove(model[0], "weight")  # which leaves the bias in front of the weight
    masks = {"0.weight": model[0].weight != 0}
    expected = alone(model, X, LABELS[0], recipe, masks=masks)
    train([model], X, LABELS[0], recipe, masks=[masks])
    assert_equal([model], [expected])


@pytest.mark.parametrize("behind", [[], [nn.Sigmoid()]], ids=["compiled", "autograd"])
def test_targets_may_be_whole_numbers_and_outputs_of_a_model(behind):
    recipe = Recipe(20, 0.01, 5, loss="squared")
    whole, teacher = nn.functional.one_hot(LABELS[0], K), net(D, 5, K, seed=3)(X)
    for targets in (whole, teacher):
        model = nn.Sequential(*net(D, 6, K), *behind)
        expected = alone(model, X, targets.detach().double(), recipe)
        train([model], X, targets, recipe)
        assert_equal([model], [expected])


def test_in_single_precision_a_stack_agrees_up_to_rounding():
    models = [mlp((D, width, K), "tanh", width) for width in (2, 9)]
    recipe = Recipe(50, 0.05, 5)
    expected = [alone(model, X.float(), LABELS[0], recipe) for model in models]
    train(models, X.float(), LABELS[0], recipe)
    assert models[0][0].weight.dtype == torch.float32
    assert_equal(models, expected, atol=1e-4)


def test_one_sample_is_enough():
    models, recipe = [net(D, 4, K), net(D, 6, K)], Recipe(10, 0.1, 1)
    expected = [alone(model, X[:1], LABELS[0, :1], recipe) for model in models]
    train(models, X[:1], LABELS[0, :1], recipe)
    assert_equal(models, expected)
