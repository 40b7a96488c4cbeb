"""The sharpness through training: against the dense truth, warm starts, and the edge of stability."""

import types

import numpy as np
import pytest
import torch
from torch import nn
from torch_curvature import Dense, close, mlp, seeded

from pyphenom.curvature import Crossing, SharpnessTracker, torch_sharpness

X = torch.linspace(-1, 1, 20, dtype=torch.float64)[:, None]
Y = 4 * X**3 - 3 * X


def sample_loss(f, y):
    return ((f - y) ** 2).sum() / 2


def descend(model, step_size, steps, each):
    for step in range(steps):
        each(step)
        loss = ((model(X) - Y) ** 2).sum() / (2 * len(X))
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.sub_(step_size * gradient)


def test_the_sharpness_is_that_of_the_dense_hessian_at_every_reading():
    model, truth = seeded(lambda: mlp(1, 8, 1)), []
    tracker = SharpnessTracker(model, "half_squared", X, Y, every=7, tol=1e-8)

    def each(step):
        if tracker(step) is not None:
            truth.append(np.linalg.eigvalsh(Dense(model, sample_loss, X, Y).hessian)[-1])

    descend(model, 0.2, 30, each)
    np.testing.assert_array_equal(tracker.steps, [0, 7, 14, 21, 28])
    np.testing.assert_allclose(tracker.sharpness, truth, rtol=1e-10)
    assert (tracker.residuals <= 1e-6).all()
    assert (tracker.products > 0).all()
    assert "5 readings, last" in repr(tracker)


def test_readings_start_from_the_last_eigenvectors(monkeypatch):
    starts = []

    def solve(operator, k, which, tol, v0):
        starts.append(v0)
        vectors = np.full((operator.shape[0], k), float(len(starts)))
        return types.SimpleNamespace(values=np.ones(k), vectors=vectors, residuals=np.zeros(k), matvecs=1)

    monkeypatch.setattr(torch_sharpness, "eigsh", solve)
    tracker = SharpnessTracker(seeded(lambda: mlp(1, 8, 1)), "half_squared", X, Y, pairs=2)
    for step in range(3):
        tracker(step)
    assert starts[0] is None
    assert starts[1].shape == (25, 2)
    assert (starts[2] == 2.0).all()


def test_the_training_is_what_it_is_without():
    runs = []
    for track in (False, True):
        model = seeded(lambda: nn.Sequential(nn.Linear(1, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 1)))
        each = SharpnessTracker(model, "half_squared", X, Y) if track else lambda step: None
        descend(model, 0.3, 10, each)
        assert all(parameter.grad is None for parameter in model.parameters())
        runs.append(model.state_dict())
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_a_quadratic_crosses_where_its_curvature_says():
    model = nn.Linear(1, 1, bias=False).double()
    tracker = SharpnessTracker(model, "half_squared", X, Y)
    curvature = float((X**2).mean())
    assert tracker.crossing(1.0) == Crossing(2.0, None, None, 0)
    scale = [1.0, 2.0, 4.0, 3.0]
    tracker._steps, tracker._readings = [0, 5, 10, 15], [(curvature * s, 0.0, 1) for s in scale]
    found = tracker.crossing(2.0 / (1.5 * curvature))
    assert found.step == 5
    assert found.readings == 3
    np.testing.assert_allclose([found.threshold, found.mean_ratio], [1.5 * curvature, 2.0], rtol=1e-14)
    assert tracker.crossing(2.0 / (1.5 * curvature), momentum=0.9).step == 10  # 2.85 of the curvature
    assert tracker.crossing(2.0 / (1.5 * curvature), momentum=0.9).to_dict()["readings"] == 2


def test_options_reach_linearize():
    tracker = SharpnessTracker(
        seeded(lambda: mlp(1, 8, 1)).float(), "half_squared", X, Y, dtype="float64", batch_size=6
    )
    truth = Dense(seeded(lambda: mlp(1, 8, 1)).float().double(), sample_loss, X, Y)
    close(tracker.read(0), np.linalg.eigvalsh(truth.hessian)[-1], 1e-5)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: SharpnessTracker(nn.Linear(1, 1), "half_squared", X, Y, every=0), "`every` is 0"),
        (lambda: SharpnessTracker(nn.Linear(1, 1), "half_squared", X, Y, pairs=0), "`pairs` is 0"),
        (lambda: SharpnessTracker(nn.Linear(1, 1), "half_squared", X, Y)(-1), "`step` is -1"),
        (lambda: SharpnessTracker(nn.Linear(1, 1), "half_squared", X, Y).crossing(0.0), "`step_size` is 0"),
        (lambda: SharpnessTracker(nn.Linear(1, 1), "half_squared", X, Y).crossing(1.0, 1.0), "`momentum` 1"),
    ],
)
def test_wrong_arguments_are_refused(use, message):
    with pytest.raises(ValueError, match=message):
        use()
