"""Gradient flow by stabilised steps against a closed form and a solver of another kind."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from pyphenom.networks import Landscape, follow_flow


def quadratic(curvatures):
    """The loss sum(c theta^2) / 2 at theta = 1."""
    n = len(curvatures)
    model = torch.nn.Linear(n, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.fill_(1.0)
    X = torch.from_numpy(np.diag(np.sqrt(n * np.asarray(curvatures))))
    return Landscape(model, "half_squared", X, torch.zeros(n, 1).double())


def counted(monkeypatch):
    """Count the gradients that are read."""
    calls, gradient = [], Landscape.gradient
    monkeypatch.setattr(Landscape, "gradient", lambda self: (calls.append(0), gradient(self))[1])
    return calls


@pytest.mark.parametrize("tolerance", [1e-5, 1e-7, 1e-9])
def test_a_quadratic_decays_exponentially(tolerance):
    """A step of order two errs like h^3, and all of them, of which there are 1 / h, like the tolerance to 2/3."""
    curvatures = np.array([0.3, 1.0, 5.0])
    point, step = quadratic(curvatures), 0.1
    for time in (1.0, 2.0):
        step = follow_flow(point, 1.0, 5.0, step, tolerance)
        np.testing.assert_allclose(point.theta, np.exp(-curvatures * time), atol=0.3 * tolerance ** (2 / 3))


def test_stiffness_costs_its_root(monkeypatch):
    """Steps stable to 3 over the sharpness would need 4 x 100 x 1000 / 3 gradients."""
    point, calls = quadratic([0.01, 1000.0]), counted(monkeypatch)
    follow_flow(point, 100.0, 1000.0, 1e-3, 1e-5)
    np.testing.assert_allclose(point.theta, np.exp([-1.0, -1e5]), atol=1e-3)
    assert len(calls) < 4000


def test_a_network_follows_its_flow():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    rng = np.random.default_rng(0)
    X, y = (torch.from_numpy(rng.standard_normal((10, k))) for k in (3, 1))

    def slope(_, theta):
        torch.nn.utils.vector_to_parameters(torch.from_numpy(theta), model.parameters())
        loss = ((model(X) - y) ** 2).sum() / 20
        return -torch.cat([part.flatten() for part in torch.autograd.grad(loss, tuple(model.parameters()))]).numpy()

    start = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy().copy()
    expected = solve_ivp(slope, (0.0, 5.0), start, "DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    assert np.abs(expected - start).max() > 0.1
    slope(0.0, start)
    point = Landscape(model, "half_squared", X, y)
    follow_flow(point, 5.0, 2.0 * point.sharpness(), 0.1, 1e-8)
    np.testing.assert_allclose(point.theta, expected, atol=1e-6)


def test_no_time_is_no_move():
    point = quadratic([1.0])
    assert follow_flow(point, 0.0, 1.0, 0.25) == 0.25
    assert point.theta == 1.0


def test_a_step_that_is_too_long_is_taken_back():
    """It would leave an error of a tenth."""
    point = quadratic([1.0])
    follow_flow(point, 4.0, 1.0, 4.0, 1e-4)
    np.testing.assert_allclose(point.theta, np.exp(-4.0), atol=1e-3)


@pytest.mark.parametrize(
    ("argument", "value"), [("time", -1.0), ("sharpness", np.nan), ("step", 0.0), ("tolerance", 0.0), ("step", "1")]
)
def test_bad_numbers(argument, value):
    numbers = {"time": 1.0, "sharpness": 1.0, "step": 0.1, "tolerance": 1e-6} | {argument: value}
    with pytest.raises((ValueError, TypeError), match=f"`{argument}`"):
        follow_flow(quadratic([1.0]), **numbers)


def test_a_gradient_that_is_not_finite_ends_the_search(monkeypatch):
    point = quadratic([1.0])
    monkeypatch.setattr(Landscape, "gradient", lambda self: np.full(1, np.nan))
    with pytest.raises(RuntimeError, match="sharpness"):
        follow_flow(point, 1.0, 1.0, 0.1)
