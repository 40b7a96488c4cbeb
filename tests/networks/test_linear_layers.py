"""Linear layers: the gradient by hand against autograd, and layers on fewer features against ones alone."""

import numpy as np
import torch

from pyphenom.networks.linear_layers import log_loss_slopes, train_linear


def test_slopes_are_those_of_autograd_and_known_far_out():
    margins = torch.tensor([-30.0, -2.0, 0.0, 3.0, 39.0], dtype=torch.float64, requires_grad=True)
    loss = torch.logsumexp(torch.log(torch.nn.functional.softplus(-margins)), 0)  # in range as it stands
    (expected,) = torch.autograd.grad(loss, margins)
    torch.testing.assert_close(log_loss_slopes(margins.detach()), expected, rtol=1e-9, atol=1e-15)
    far = torch.tensor([38.0, 41.0, 39.5, 60.0, 900.0], dtype=torch.float64)
    torch.testing.assert_close(log_loss_slopes(far), -torch.softmax(-far, 0), rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(log_loss_slopes(far + 2000.0), -torch.softmax(-far, 0), rtol=1e-9, atol=1e-15)


def test_layers_on_fewer_features_are_trained_as_if_alone():
    rows = np.random.default_rng(0).standard_normal((20, 30))
    for p, w in zip((6, 30), train_linear(rows, [6, 30], 200, 0.9), strict=True):
        assert w.shape == (p,)
        np.testing.assert_allclose(w, train_linear(rows[:, :p], [p], 200, 0.9)[0], rtol=1e-8)


def test_single_precision_ends_where_double_does():
    """With features behind the data, whose margins reach hundreds."""
    rows = np.random.default_rng(0).standard_normal((20, 30))
    (double,), (single,) = (train_linear(rows.astype(dtype), [30], 500, 0.99) for dtype in (np.float64, np.float32))
    assert single.dtype == np.float32
    assert (rows @ double).min() > 100.0
    np.testing.assert_allclose(single, double, atol=1e-5 * np.abs(double).max())


def test_steps_are_those_of_torch_on_the_loss():
    rows = np.random.default_rng(1).standard_normal((20, 8))
    layer = torch.nn.Linear(8, 1, bias=False, dtype=torch.float64)
    torch.nn.init.zeros_(layer.weight)
    optimiser = torch.optim.SGD(layer.parameters(), lr=1.0 / 8, momentum=0.9)
    for _ in range(50):
        optimiser.zero_grad()
        margins = layer(torch.from_numpy(rows))[:, 0]
        torch.nn.functional.softplus(-margins).sum().log().backward()
        optimiser.step()
    np.testing.assert_allclose(train_linear(rows, [8], 50, 0.9)[0], layer.weight.detach().numpy()[0], rtol=1e-8)
