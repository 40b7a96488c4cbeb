"""Stacks of classifiers with one hidden layer: outputs against torch's layers, gradients against autograd."""

import torch

from pyphenom.networks import mlp
from pyphenom.networks.hidden_layer import outputs, slopes


def test_members_are_networks_of_their_own():
    model = mlp((5, 4, 10), seed=0)
    layers = [value.detach().reshape(len(value), -1).T.expand(3, -1, -1) for value in model.parameters()]
    inputs = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(inputs)
    for found in outputs(layers, inputs):
        torch.testing.assert_close(found, expected)


def test_gradients_are_those_of_autograd():
    rng = torch.Generator().manual_seed(0)
    shapes = ((3, 5, 4), (3, 1, 4), (3, 4, 10), (3, 1, 10))
    layers = [torch.randn(*shape, generator=rng).requires_grad_(True) for shape in shapes]
    inputs, labels = torch.randn(6, 5, generator=rng), torch.tensor([0, 3, 9, 1, 1, 4])
    losses = [torch.nn.functional.cross_entropy(each, labels) for each in outputs(layers, inputs)]
    expected = torch.autograd.grad(sum(losses), layers)
    truth = torch.nn.functional.one_hot(labels, 10).float()
    for found, slope in zip(slopes([each.detach() for each in layers], inputs, truth), expected, strict=True):
        torch.testing.assert_close(found, slope)
