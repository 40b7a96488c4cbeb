"""What networks are trained by hand; that they are trained right is for test_training."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from pyphenom.networks import Recipe, Stack, mlp, train, training
from pyphenom.networks._batches import batches
from pyphenom.networks._by_hand import gradients_of, vector_of

X, Y = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)).double(), torch.tensor([0, 1, 2, 3, 0, 1, 2])


def made(*activations, frozen=False):
    with torch.random.fork_rng():
        torch.manual_seed(len(activations))
        layers = [nn.Linear(3, 5), *copy.deepcopy(activations), nn.Linear(5, 4)]
    model = nn.Sequential(*layers).double()
    model[0].bias.requires_grad_(not frozen)
    return model


@pytest.mark.parametrize(
    ("activations", "frozen", "by_hand"),
    [
        ((nn.ReLU(),), False, True),
        ((nn.Tanh(), nn.Linear(5, 5), nn.Identity()), False, True),
        ((), False, True),
        ((nn.Sigmoid(),), False, False),
        ((nn.ReLU(),), True, False),
        ((nn.LayerNorm(5),), False, False),
    ],
)
def test_autograd_is_used_where_it_is_needed_only(monkeypatch, activations, frozen, by_hand):
    used, loss = [], training._loss
    monkeypatch.setattr(training, "_loss", lambda *arguments: used.append(1) or loss(*arguments))
    train([made(*activations, frozen=frozen)], X, Y, Recipe(3, 0.1, 4))
    assert len(used) == (0 if by_hand else 3)


@pytest.mark.parametrize("activations", [(nn.ReLU(),), (nn.ReLU(), nn.Tanh()), (nn.Tanh(), nn.Linear(5, 5), nn.ReLU())])
@pytest.mark.parametrize("loss", ["cross-entropy", "squared"])
@pytest.mark.parametrize("shared", [True, False])
def test_gradients_are_those_of_autograd(activations, loss, shared):
    stack = Stack([made(*activations), made(*activations)])
    samples = X if shared else torch.stack([X, X.flip(0) + 1.0])
    labels = torch.stack([Y, Y.flip(0)])
    targets = nn.functional.one_hot(labels, 4).double() * 3.0
    truth = targets if loss == "squared" else labels
    training._loss(stack, samples, truth, shared, loss).backward()
    expected = {name: value.grad.clone() for name, value in stack.parameters.items()}
    vector_of(stack)
    layers = stack.layers()
    gradients_of(layers, loss)(samples, truth)
    for name, value in stack.parameters.items():
        torch.testing.assert_close(value.grad, expected[name], rtol=1e-10, atol=1e-14)


def test_parameters_are_parts_of_the_vector():
    stack = Stack([mlp((3, width, 2), seed=width) for width in (2, 4)])
    before = stack.outputs(X.float())
    vector = vector_of(stack)
    torch.testing.assert_close(stack.outputs(X.float()), before)
    with torch.no_grad():
        vector.zero_()
    assert not stack.outputs(X.float()).any()
    assert all(value.is_leaf and value.requires_grad for value in stack.parameters.values())


def test_no_sample_is_lost_where_blocks_of_batches_meet():
    # 5 batches of a permutation of 11, and 64 of them drawn at a time
    rng, drawn, source = np.random.default_rng(3), [], batches(1, 11, None, 3, 2)
    while len(drawn) < 200:
        drawn += list(rng.permutation(11)[:10].reshape(5, 2))
    for expected in drawn[:200]:
        assert next(source).tolist() == expected.tolist()


def test_all_samples_of_a_subset_are_the_same_object_at_each_step():
    source = batches(2, 9, [[0, 1], [2, 3]], 0, None)
    first = next(source)
    assert first.tolist() == [[0, 1], [2, 3]]
    assert next(source) is first
