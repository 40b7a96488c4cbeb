import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from pyphenom.networks import mlp


def numbers(net):
    return torch.cat([value.detach().flatten() for value in net.parameters()]).numpy()


@pytest.mark.parametrize(
    ("activation", "function"), [("relu", torch.relu), ("tanh", torch.tanh), ("identity", lambda x: x)]
)
def test_layers_alternate_with_the_activation(activation, function):
    net, X = mlp((3, 5, 4, 2), activation, seed=1), torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    (V, a), (W, b), (U, c) = [(layer.weight, layer.bias) for layer in net if isinstance(layer, nn.Linear)]
    expected = function(function(X @ V.T + a) @ W.T + b) @ U.T + c
    torch.testing.assert_close(net(X), expected)
    assert [tuple(value.shape) for value in net.parameters()] == [(5, 3), (5,), (4, 5), (4,), (2, 4), (2,)]


def test_weights_and_biases_are_uniform_with_the_bound_of_the_layer():
    # Four Kolmogorov-Smirnov tests, each fails with probability 1e-6.
    net = mlp((30, 2000, 3000), seed=5, dtype=torch.float64)
    for layer in (net[0], net[2]):
        for values in (layer.weight, layer.bias):
            bound = layer.in_features**-0.5
            law = stats.uniform(-bound, 2 * bound)
            assert stats.kstest(values.detach().numpy().ravel()[:100_000], law.cdf).pvalue > 1e-6


def test_no_two_layers_and_no_two_seeds_share_a_stream():
    # 20 seeds of three layers: a number of 53 bits that occurs twice has probability below 1e-9.
    drawn = np.concatenate([numbers(mlp((5, 5, 5, 5), seed=seed, dtype=torch.float64)) for seed in range(20)])
    assert len(np.unique(drawn)) == len(drawn)


def test_a_seed_beyond_32_bits_shares_no_stream_with_a_layer_of_a_small_one():
    # A seed sequence of [seed, layer] would: 5 * 2**32 + 3 is the words 3, 5, as are seed 3 and layer 5.
    small, large = mlp((4,) * 8, seed=3), mlp((4,) * 8, seed=5 * 2**32 + 3)
    assert not np.isin(numbers(large), numbers(small)).any()


def test_a_seed_fixes_the_network_and_the_global_generator_is_left_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = numbers(mlp((4, 6, 2), seed=9))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert np.array_equal(numbers(mlp((4, 6, 2), seed=9)), first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parameters_have_the_dtype_and_are_trainable(dtype):
    net = mlp((4, 6, 2), dtype=dtype)
    assert all(
        value.dtype == dtype and value.requires_grad and value.device.type == "cpu" for value in net.parameters()
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((5,),), ValueError, r"`sizes` is \[5\]; expected at least two"),
        (((5, 0, 2),), ValueError, r"`sizes\[1\]` is 0"),
        (((5, 2.0),), TypeError, r"`sizes\[1\]` is 2.0"),
        (((5, 2), "gelu"), ValueError, "`activation` is 'gelu'; expected one of 'relu', 'tanh', 'identity'"),
        (((5, 2), "relu", -1), ValueError, "`seed` is -1"),
        (((5, 2), "relu", 1.5), TypeError, "`seed` is 1.5"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        mlp(*arguments)
