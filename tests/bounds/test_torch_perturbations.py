"""How far weights may move, against closed forms of quadratics and of a linear classifier."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from pyphenom.bounds import perturbation_scale, worst_case_rise, worst_case_scale


def squares(f, y):
    return (f**2).sum(dim=1) / 2


@pytest.fixture
def quadratic():
    """A linear model of 10 outputs; the Hessian of the mean of squares(f) is that of (x, 1)(x, 1)', ten times."""
    torch.manual_seed(0)
    model, X = nn.Linear(20, 10).double(), np.random.default_rng(0).standard_normal((40, 20))
    diagonal = np.tile(np.append((X**2).mean(axis=0), 1.0), (10, 1))
    w = np.concatenate([model.weight.detach().numpy(), model.bias.detach().numpy()[:, None]], axis=1)
    return model, X, np.zeros(40), diagonal, w


# The trace of H is estimated to sqrt(2 / 210 / 512) = 0.4 % a standard error or little more, sigma to half of that.
@pytest.mark.parametrize("target", [0.1, 30.0])
def test_sigma_is_a_standard_deviation_on_a_quadratic(quadratic, target):
    model, X, y, diagonal, _ = quadratic
    found = perturbation_scale(model, X, y, target=target, loss=squares, draws=1024, tol=1e-4)
    assert found == pytest.approx(np.sqrt(2 * target / diagonal.sum()), rel=0.02)


def test_relative_sigma_scales_each_weight_above_a_floor(quadratic):
    model, X, y, diagonal, w = quadratic
    floor, target = 0.05, 1.0
    found = perturbation_scale(
        model, X, y, target=target, loss=squares, relative=True, floor=floor, draws=1024, tol=1e-4
    )
    closed = np.sqrt((2 * target - floor**2 * diagonal.sum()) / (w**2 * diagonal).sum())
    assert found == pytest.approx(closed, rel=0.02)
    assert perturbation_scale(model, X, y, target=1e-4, loss=squares, relative=True, floor=floor) == 0.0


def test_sigma_of_the_error_of_a_linear_classifier_is_a_normal_quantile():
    # Margin 2 and noise of standard deviation sqrt(2) sigma: error .1 at 2 / (sqrt(2) sigma) = 1.28. Its share over
    # 200 draws for each of 100 points, no two of which see the same weight, has a relative standard error of 2 %, and
    # sigma one of 1 %.
    model = nn.Linear(100, 2, bias=False)
    model.weight.data.copy_(torch.tensor([[1.0], [-1.0]]).expand(2, 100))
    found = perturbation_scale(model, np.eye(100), np.zeros(100, int), draws=200, chunk=100)
    assert found == pytest.approx(np.sqrt(2) / norm.isf(0.1), rel=0.04)


def test_scale_does_not_depend_on_how_draws_are_held(quadratic):
    model, X, y, _, _ = quadratic
    found = [perturbation_scale(model, X, y, loss=squares, draws=8, chunk=chunk, seed=3) for chunk in (1, 4, 100)]
    assert found[1] == pytest.approx(found[0], rel=1e-9)
    assert found[2] == pytest.approx(found[0], rel=1e-9)
    assert perturbation_scale(model, X, y, loss=squares, draws=8, seed=4) != found[0]


@pytest.mark.parametrize("relative", [False, True])
def test_the_worst_case_of_a_square_is_at_a_corner_of_the_box(relative):
    # max over the box of (w.x - y + u.x)^2 is (|w.x - y| + sum_i box_i |x_i|)^2.
    x, w, y, radius, floor = np.array([1.0, -2.0, 0.5]), np.array([0.3, 0.1, -0.7]), 1.5, 0.2, 0.01
    model = nn.Linear(3, 1, bias=False).double()
    model.weight.data.copy_(torch.from_numpy(w)[None])

    def loss(f, target):
        return (f[:, 0] - target) ** 2

    residual, box = abs(x @ w - y), radius * (np.abs(w) + floor if relative else 1.0)
    closed = (residual + (box * np.abs(x)).sum()) ** 2 - residual**2
    options = {"loss": loss, "relative": relative, "floor": floor}
    assert worst_case_rise(model, x[None], [y], radius, **options) == pytest.approx(closed, rel=1e-10)
    found = worst_case_scale(model, x[None], [y], target=closed, tol=1e-8, **options)
    assert found == pytest.approx(radius, rel=1e-6)


def test_an_adversary_of_the_error_needs_less_than_noise():
    # Both classes move against each other: margin 2 is gone at a radius of 1.
    model = nn.Linear(1, 2, bias=False)
    model.weight.data.copy_(torch.tensor([[1.0], [-1.0]]))
    assert worst_case_scale(model, [[1.0]], [0], tol=1e-4) == pytest.approx(1.0, rel=1e-3)
    assert worst_case_rise(model, [[1.0]], [0], 0.99, loss="error") == 0.0
    assert worst_case_rise(model, [[1.0]], [0], 1.01, loss="error") == 1.0


def test_a_loss_that_cannot_rise_has_no_scale():
    model, X = nn.Linear(2, 2), torch.randn(20, 2)
    wrong = model(X).argmin(dim=1)
    assert perturbation_scale(model, X, wrong, draws=2) == np.inf
    assert worst_case_scale(model, X, wrong, steps=2) == np.inf


def test_nothing_of_the_model_or_the_random_state_changes(quadratic):
    model, X, y, _, _ = quadratic
    before, state = [v.detach().clone() for v in model.parameters()], torch.get_rng_state()
    perturbation_scale(model, X, y, loss=squares)
    worst_case_rise(model, X, y, 0.1, loss=squares)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert torch.equal(state, torch.get_rng_state())
    assert all(v.grad is None and v.requires_grad for v in model.parameters())


def test_bad_input(quadratic):
    model, X, y, _, _ = quadratic
    with pytest.raises(ValueError, match="`draws` is 3; expected an even number"):
        perturbation_scale(model, X, y, loss=squares, draws=3)
    with pytest.raises(ValueError, match="`target` is 0 and `tol`"):
        perturbation_scale(model, X, y, loss=squares, target=0.0)
    with pytest.raises(ValueError, match="`loss` is 'hinge'"):
        perturbation_scale(model, X, y, loss="hinge")
    with pytest.raises(TypeError, match="expected class indices"):
        worst_case_scale(model, X, y)
    with pytest.raises(ValueError, match="`radius` is -1"):
        worst_case_rise(model, X, y, -1.0, loss=squares)
    with pytest.raises(ValueError, match="`loss` is nan at the parameters"):
        perturbation_scale(model, X, y, loss=lambda f, y: f[:, 0] * torch.nan)
