"""What an optimisation of a bound follows: the gradients of risk and KL, and the slopes of the objectives."""

import math

import gaussian_mlp as reference
import numpy as np
import pytest
import torch
from torch_gaussian_mlp import ACTIVATIONS, WIDTHS, data, network, torch_risk, training, variance_of

from pyphenom import _core
from pyphenom.bounds import GaussianMLP
from pyphenom.bounds.bound_optimisation import OBJECTIVES

# ---- the gradient of the risk


@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize(
    ("activation", "widths"), [*((a, WIDTHS) for a in ACTIVATIONS), ("relu", (3, 4)), ("relu", (3, 70, 33, 4))]
)
def test_gradient_is_that_of_autograd(activation, widths, antithetic):
    net, (X, y) = network(widths, activation=activation), data()
    mean, log_scale = (torch.from_numpy(a.copy()).requires_grad_() for a in (net.mean, net.log_scale))
    risk = torch_risk(net, mean, log_scale, X, y, np.arange(len(X)), 3, 5, 0.1, antithetic)
    risk.backward()
    given = training(pmin=0.1, antithetic=antithetic)
    found, by_mean, by_log_scale = _core.gaussian_mlp_loss_gradient(
        net._architecture, X, y, given, 5, net.mean, variance_of(net)
    )
    assert found == pytest.approx(risk.item(), rel=1e-12)
    np.testing.assert_allclose(by_mean, mean.grad, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(by_log_scale, log_scale.grad, rtol=1e-10, atol=1e-13)
    single = [a.astype(np.float32) for a in (X, net.mean, variance_of(net))]
    found, by_mean, by_log_scale = _core.gaussian_mlp_loss_gradient(
        net._architecture, single[0], y, given, 5, *single[1:]
    )
    assert found == pytest.approx(risk.item(), rel=1e-5)
    np.testing.assert_allclose(by_mean, mean.grad, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(by_log_scale, log_scale.grad, rtol=1e-3, atol=1e-6)


def test_gradient_is_the_slope_of_the_plain_loops():
    net, (X, y) = network((2, 3, 2), activation="tanh"), data(4, 2, 2)
    given, h = training(pmin=1e-3), 1e-6

    def risk(mean, log_scale):
        shifted = GaussianMLP(mean, log_scale, net.widths, "tanh")
        Z = reference.draw(shifted, X, 3, reference.TRAINING, 0)
        return np.mean([reference.loss(z, label, 1e-3) for z, label in zip(Z, y, strict=True)])

    found, by_mean, by_log_scale = _core.gaussian_mlp_loss_gradient(
        net._architecture, X, y, given, 0, net.mean, variance_of(net)
    )
    assert found == pytest.approx(risk(net.mean, net.log_scale), rel=1e-12)
    for i, step in enumerate(h * np.eye(net.parameters)):
        slope = (risk(net.mean + step, net.log_scale) - risk(net.mean - step, net.log_scale)) / (2 * h)
        assert by_mean[i] == pytest.approx(slope, abs=1e-8)
        slope = (risk(net.mean, net.log_scale + step) - risk(net.mean, net.log_scale - step)) / (2 * h)
        assert by_log_scale[i] == pytest.approx(slope, abs=1e-8)


def test_floored_examples_have_no_gradient():
    net = GaussianMLP.around([(np.array([[0.0], [50.0]]), np.zeros(2))], scale=1e-3)
    found, by_mean, by_log_scale = _core.gaussian_mlp_loss_gradient(
        net._architecture, np.ones((1, 1)), np.array([0]), training(), 0, net.mean, variance_of(net)
    )
    assert found == 1.0
    assert not by_mean.any()
    assert not by_log_scale.any()


def test_gradient_of_kl():
    prior, net = network(seed=1), network(seed=2)
    given = [torch.from_numpy(a.copy()).requires_grad_() for a in (net.mean, net.log_scale)]
    s0 = np.exp(2 * prior.log_scale)
    u = 2 * (given[1] - torch.from_numpy(prior.log_scale))
    kl = 0.5 * (u.exp() - 1 - u + (given[0] - torch.from_numpy(prior.mean)) ** 2 / torch.from_numpy(s0)).sum()
    kl.backward()
    parts, variance, by_mean, by_log_scale = _core.gaussian_mlp_divergence(
        net.mean, net.log_scale, prior.mean, prior.log_scale, 0.0, net._cuts, True
    )
    assert parts.sum() == pytest.approx(kl.item(), rel=1e-13)
    np.testing.assert_allclose(variance, variance_of(net), rtol=1e-14)
    np.testing.assert_allclose(by_mean, given[0].grad, rtol=1e-12)
    np.testing.assert_allclose(by_log_scale, given[1].grad, rtol=1e-12)


# ---- objectives


def slopes(name, risk, kl, n=1000, lambda_=0.7, log_variance=-4.0, by_log_variance=3.0):
    return _core.gaussian_mlp_objective(name, n, 0.05, 2.0, risk, kl, lambda_, log_variance, by_log_variance)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("risk", [1e-3, 0.05, 0.4, 0.9])
@pytest.mark.parametrize("kl", [0.0, 3.0, 400.0])
def test_objectives_and_their_slopes(name, risk, kl):
    def value(r, k, v=-4.0):
        return reference.objective(name, r, k, 1000, 0.05, 2.0, 0.7, v)

    found, by_risk, by_kl, by_log_variance = slopes(name, risk, kl)
    assert found == pytest.approx(value(risk, kl), rel=1e-12)
    h = 1e-6
    assert by_risk == pytest.approx((value(risk + h, kl) - value(risk - h, kl)) / (2 * h), rel=1e-5)
    h = 1e-3
    assert by_kl == pytest.approx((value(risk, kl + h) - value(risk, kl - h)) / (2 * h), rel=1e-5)
    moved = (value(risk, kl + 3.0 * h, -4.0 + h) - value(risk, kl - 3.0 * h, -4.0 - h)) / (2 * h)
    assert by_log_variance == pytest.approx(moved if name == "dziugaite_roy" else 0.0, rel=1e-5)


def test_objectives_equal_the_bounds_of_the_anchors():
    """McAllester, quadratic and kl at delta = .05: (risk .02, KL 50, n 60000) and (.10, 8000, 60000)."""
    for risk, kl, expected in ((0.02, 50, (0.042209, 0.027345, 0.026862)), (0.1, 8000, (0.358347, 0.444475, 0.317548))):
        found = [slopes(name, risk, kl, 60000)[0] for name in ("classic", "quadratic", "kl")]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_kl_objective_where_its_slope_diverges():
    found, by_risk, by_kl, _ = slopes("kl", 0.0, 2.0)
    assert np.isfinite([by_risk, by_kl]).all()
    assert found == pytest.approx(reference.objective("kl", 1e-7, 2.0, 1000, 0.05))
    assert math.isnan(slopes("kl", math.nan, 2.0)[0])
