"""What the network says of itself, against grids, finite differences and torch."""

import pickle

import numpy as np
import pytest
import torch

from pyphenom.interpolation import relu_interpolant

POSITIONS = [0.0, 0.25, 0.5]


def network(n=30, d=4, targets=(), position=0.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = rng.choice([-1.0, 1.0], (n, *targets))
    return relu_interpolant(X, y, position=position), X, y


def along(f, q):
    """Return points whose projections are q."""
    return f.center + np.asarray(q)[:, None] * f.direction


def fine_grid(f, points=400_001):
    return np.linspace(f.knots[0] - 1, f.projections[-1] + 1, points)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("targets", [(), (3,)])
def test_lipschitz_constant_is_attained(position, targets):
    f, _, _ = network(targets=targets, position=position)
    middles = np.concatenate([(f.knots[:-1] + f.knots[1:]) / 2, [f.projections[-1] + 1]])
    step = 0.25 * np.diff(f.knots).min()
    rise = (f(along(f, middles + step)) - f(along(f, middles - step))).reshape(len(middles), -1)
    slopes = np.linalg.norm(rise, axis=1) / (2 * step)
    assert f.lipschitz == pytest.approx(slopes.max(), rel=1e-6)
    rng = np.random.default_rng(1)  # and nowhere exceeded
    A, B = rng.standard_normal((2, 2000, 4))
    distance = np.linalg.norm(A - B, axis=1)
    assert (np.linalg.norm((f(A) - f(B)).reshape(2000, -1), axis=1) <= f.lipschitz * distance * (1 + 1e-9)).all()


def test_norms_are_sums_over_the_parameters():
    f, _, _ = network(targets=(2,), position=0.25)
    a, b, v = f.parameters
    assert f.norm == pytest.approx(np.sqrt((a**2).sum() + (b**2).sum() + (v**2).sum()))
    assert f.variation == pytest.approx(sum(np.linalg.norm(row) for row in v))
    assert f.lipschitz <= f.variation
    np.testing.assert_allclose(np.cumsum(v, axis=0), f.slopes, rtol=1e-9, atol=1e-9 * np.abs(v).max())


def test_knots_at_the_data_have_the_smallest_slopes():
    # No function of a.x through the data has a smaller Lipschitz constant than the steepest divided difference.
    steepest = [network(200, position=position)[0].lipschitz for position in POSITIONS]
    f, _, _ = network(200)
    differences = np.abs(np.diff(f.targets) / np.diff(f.projections)).max()
    assert steepest[0] == pytest.approx(differences)
    assert steepest[0] <= steepest[1] <= steepest[2]


def test_pieces_are_counted():
    X = np.arange(6.0)[:, None]
    # Left of the first knot, up to 1, level at 1, two bends at a step, and what follows it is level.
    assert relu_interpolant(X, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]).pieces == 5
    assert relu_interpolant(X, np.zeros(6)).pieces == 1
    assert relu_interpolant(X, 5 + np.arange(6.0)).pieces == 2  # one ramp from zero, of the same slope throughout
    f, _, _ = network(50, position=0.25)
    assert f.pieces == 51
    assert relu_interpolant(X, np.c_[np.zeros(6), [0, 0, 0, 1, 0, 0]]).pieces == 4


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("targets", [(), (3,)])
@pytest.mark.parametrize("seed", range(3))
def test_margin_is_the_distance_to_a_change_of_class(position, targets, seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((12, 3))
    y = np.eye(3)[rng.integers(0, 3, 12)] if targets else rng.choice([-1.0, 1.0], 12)
    f = relu_interpolant(X, y, position=position, seed=seed)
    q = np.linspace(f.projections[0], f.projections[-1] + 10, 2_000_001)
    values = f(along(f, q))
    classes = values.argmax(axis=1) if targets else np.sign(values)
    changes = q[np.flatnonzero(np.diff(classes))]
    nearest = np.abs(changes[:, None] - f.projections).min() if len(changes) else np.inf
    assert f.margin == pytest.approx(nearest, abs=3 * (q[1] - q[0]))


def test_margin_by_hand():
    X = np.array([[0.0], [1.0], [3.0]])
    assert relu_interpolant(X, [1.0, -3.0, -1.0]).margin == pytest.approx(0.25)
    assert relu_interpolant(X, [1.0, 1.0, 1.0]).margin == np.inf
    assert relu_interpolant(X, [1.0, 3.0, 2.0]).margin == pytest.approx(4.0)  # where the last piece comes down to 0
    assert relu_interpolant(X, np.eye(3)).margin == pytest.approx(0.5)


# ---- the literal sum


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_literal_sum_is_the_network_up_to_rounding(position, dtype):
    f, X, y = network(60, 7, (2,), position)
    a, b, v = f.parameters
    literal = f.weighted_sum(X, dtype)
    assert literal.dtype == dtype
    # Forward error of the sum and of its terms, whose projections are off by d roundings.
    largest = np.abs(X) @ np.abs(a) + np.abs(b).max()
    bound = np.finfo(dtype).eps * (len(b) + 2 * len(a) + 4) * largest.max() * np.abs(v).sum(axis=0)
    assert (np.abs(literal - y) <= bound).all()
    assert np.abs(literal - y).max() > 0
    naive = np.maximum((X @ a)[:, None] - b, 0) @ v
    np.testing.assert_allclose(f.weighted_sum(X), naive, rtol=0, atol=1e-3 * bound.max() + 1e-12 * np.abs(v).sum())


def test_knots_at_the_data_sum_best():
    # At the midpoints slopes add up as a random walk, and the terms that cancel are larger by orders.
    errors = {}
    for position in POSITIONS:
        f, X, y = network(5000, 20, position=position)
        errors[position] = np.abs(f.weighted_sum(X[:300]) - y[:300]).max()
    assert errors[0.0] < 1e-5
    assert errors[0.5] > 20 * errors[0.0]
    assert errors[0.25] < errors[0.5] / 5


def test_the_literal_sum_goes_by_blocks(monkeypatch):
    from pyphenom.interpolation import network as module

    f, X, y = network(20, 3, (2,))
    monkeypatch.setattr(module, "SUM_ENTRIES", 60)
    np.testing.assert_allclose(f.weighted_sum(np.vstack([X, X])), np.vstack([y, y]), atol=1e-9)


@pytest.mark.parametrize("targets", [(), (3,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_module(targets, dtype):
    f, X, _ = network(25, 4, targets)
    module = f.to_torch(dtype)
    inputs = torch.from_numpy(X).to(dtype)
    out = module(inputs)
    assert out.dtype == dtype
    eps = torch.finfo(dtype).eps
    expected = f.weighted_sum(X, np.float32 if dtype == torch.float32 else np.float64)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=0, atol=1e3 * eps * f.variation)
    assert sum(parameter.numel() for parameter in module.parameters()) == f.parameter_count
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    assert f.to_torch()(torch.from_numpy(X)).dtype == torch.float64


def test_weights_that_overflow_float32():
    f = relu_interpolant(np.arange(3.0)[:, None], [0.0, 1e200, 0.0])
    with pytest.raises(ValueError, match="`dtype` is float32, in which weights up to 1e\\+200 overflow"):
        f.weighted_sum([[0.5]], np.float32)
    with pytest.raises(TypeError, match="`dtype`"):
        f.weighted_sum([[0.5]], np.float16)


# ---- the object


def test_wrong_width_is_named():
    f, _, _ = network()
    for call in (f, f.weighted_sum):
        with pytest.raises(ValueError, match="`X` has 3 columns; expected 4, as in the data"):
            call(np.ones((2, 3)))


def test_repr_dict_and_pickle():
    f, X, y = network(targets=(2,))
    assert repr(f) == "ReLUInterpolant(30 knots, 4 inputs, 2 targets, 94 weights)"
    assert f.to_dict()["slopes"] is f.slopes
    assert (pickle.loads(pickle.dumps(f))(X) == y).all()
    with pytest.raises(AttributeError):
        f.merged = 3
