"""Which samples each network of a stack sees, and when."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn
from torch_training import LABELS, D, K, N, X, net, numbers, order

from pyphenom.networks import Recipe, train


def batches(subsets=None, order=0, size=4, steps=13, count=2, n=N):
    """Return the samples that each network saw at each step, read off the gradients of an embedding."""
    drawn = size or (n if subsets is None else len(subsets[0]))
    models = [nn.Embedding(n, 2, dtype=torch.float64) for _ in range(count)]
    for model in models:
        nn.init.zeros_(model.weight)
    seen = []

    def probe(stack):
        gradient = stack.parameters["weight"].grad
        if gradient is not None:
            # at equal outputs the gradient is (-1/2, 1/2) / drawn for each time that a sample occurs in the batch
            counts = (gradient[:, :, 1] * 2 * drawn).abs().round().int().tolist()
            seen.append([Counter({i: c for i, c in enumerate(row) if c}) for row in counts])
        return {}

    recipe = Recipe(steps, 1e-9, size, momentum=0.0)
    inputs = torch.arange(n)
    train(models, inputs, torch.zeros(n).long(), recipe, order, subsets=subsets, probes=[probe], at=range(steps + 1))
    return [[step[m] for step in seen] for m in range(count)]


def expected_batches(subset, seed, size=4, steps=13):
    return [Counter(map(int, batch)) for batch in order(subset, seed, size, steps)]


def test_networks_with_order_seeds_of_their_own_see_batches_of_their_own():
    first, second = batches(order=[3, 4])
    assert first == expected_batches(np.arange(N), 3)
    assert second == expected_batches(np.arange(N), 4)
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_one_order_seed_gives_networks_with_the_same_samples_the_same_batches():
    first, second = batches(order=5)
    assert first == second == expected_batches(np.arange(N), 5)


def test_networks_with_other_order_seeds_and_equal_weights_become_different():
    models = [net(D, 5, K) for _ in range(3)]
    train(models, X, LABELS[0], Recipe(10, 0.1, 5), order=[0, 1, 0])
    assert torch.equal(numbers(models[0]), numbers(models[2]))
    assert (numbers(models[0]) - numbers(models[1])).abs().max() > 1e-3


def test_no_network_sees_a_sample_outside_its_subset():
    subsets = [np.arange(8), [20, 2, 20, 11, 7]]
    for seen, subset in zip(batches(subsets, order=[1, 1]), subsets, strict=True):
        assert seen == expected_batches(subset, 1)
        assert set().union(*seen) == set(map(int, subset))


@pytest.mark.parametrize("twice", [[*range(1, N), 1], [0] * N])
def test_a_bootstrap_sample_of_full_size_is_no_full_batch(twice):
    assert batches([twice, range(N)], size=None, steps=1) == [[Counter(twice)], [Counter(range(N))]]


def test_subsets_may_be_read_only_arrays_tensors_or_ranges():
    subset = np.arange(2, 8)
    subset.flags.writeable = False
    drawn = batches([subset, torch.arange(2, 8), range(2, 8)], size=None, steps=1, count=3)
    assert drawn == [[Counter(range(2, 8))]] * 3
