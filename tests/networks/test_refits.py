"""Refits of one network on many label vectors: each is what a training alone would be."""

import copy

import numpy as np
import pytest
import torch

from pyphenom.networks import Recipe, mlp, refit, train

RECIPE = Recipe(12, 0.05, batch_size=4, loss="squared")


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X = torch.from_numpy(rng.standard_normal((10, 3)))
    return mlp((3, 6, 1), seed=1, dtype=torch.float64), X, rng.standard_normal((4, 10))


def test_each_copy_is_trained_as_it_would_be_alone(problem):
    net, X, labels = problem
    before = copy.deepcopy(net.state_dict())
    fitted = refit(net, X, labels, RECIPE, order=3, at=(0, 5, 12))
    assert fitted.shape == (4, 3, 10)
    for row, values in zip(labels, fitted, strict=True):
        alone = copy.deepcopy(net)
        train([alone], X, torch.from_numpy(row)[:, None], RECIPE, 3)
        with torch.no_grad():
            np.testing.assert_allclose(values[2], alone(X)[:, 0].numpy(), rtol=1e-10)
            np.testing.assert_allclose(values[0], net(X)[:, 0].numpy(), rtol=1e-12)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    np.testing.assert_array_equal(refit(net, X, labels, RECIPE, order=3), fitted[:, 2])


def test_bad_input_is_named(problem):
    net, X, labels = problem
    for bad, words in (
        ({"labels": labels[0]}, "`labels`"),
        ({"labels": labels[:, :-1]}, "targets"),
        ({"recipe": Recipe(3, 0.1)}, "squared"),
        ({"at": (5, 2)}, "ascending"),
        ({"at": (5, 50)}, "at"),
    ):
        arguments = {"labels": labels, "recipe": RECIPE} | bad
        with pytest.raises(ValueError, match=words):
            refit(net, X, arguments.pop("labels"), arguments.pop("recipe"), **arguments)
