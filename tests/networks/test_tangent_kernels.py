import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from pyphenom.networks import mlp, tangent_kernel


def test_the_kernel_is_that_of_the_jacobian():
    X = np.random.default_rng(0).standard_normal((12, 7))
    net = mlp((7, 32, 5), seed=3, dtype=torch.float64)
    inputs = torch.from_numpy(X)
    rows = jacrev(lambda weights: functional_call(net, weights, (inputs,)))(dict(net.named_parameters()))
    jacobian = torch.cat([part.reshape(12, 5, -1) for part in rows.values()], dim=2).detach().numpy()
    kernel, outputs = tangent_kernel(net, X)
    np.testing.assert_allclose(kernel, np.einsum("ikp,jkp->ij", jacobian, jacobian) / 5, rtol=1e-10)
    np.testing.assert_allclose(outputs, net(inputs).detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize(
    ("model", "inputs", "words"),
    [
        (mlp((3, 4, 4, 2)), np.ones((2, 3)), "`model` has the layers Linear, ReLU, Linear, ReLU, Linear; expected"),
        (mlp((3, 4, 2), "tanh"), np.ones((2, 3)), "`model` has the layers Linear, Tanh, Linear; expected"),
        (nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2)), np.ones((2, 3)), "with biases"),
        (mlp((3, 4, 2)), np.ones((2, 5)), "`inputs` has 5 columns; the network takes 3"),
        (mlp((3, 4, 2)), np.ones(3), "`inputs` has shape"),
    ],
)
def test_bad_input_is_named(model, inputs, words):
    with pytest.raises(ValueError, match=words):
        tangent_kernel(model, inputs)
