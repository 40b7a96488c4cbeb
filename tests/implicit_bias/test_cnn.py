"""Descent of the two-layer CNN against torch's automatic differentiation, and against the behaviour known for it."""

import importlib
import math

import mpmath
import numpy as np
import pytest
import torch
from torch_cnn import train

import pyphenom as ph
from pyphenom.implicit_bias import CNNDescent, cnn_descent

module = importlib.import_module("pyphenom.implicit_bias.cnn")


def model(n=8, d=30, m=3, size=3.0, seed=0, scale=0.1):
    """Return patches (n, 2, d), labels and weights; one signal, noise orthogonal to it."""
    rng = np.random.default_rng(seed)
    y, noise = rng.choice([-1.0, 1.0], n), rng.standard_normal((n, d))
    noise[:, 0] = 0.0
    X = np.stack([y[:, None] * np.r_[size, np.zeros(d - 1)], noise], axis=1)
    return X, y, scale * rng.standard_normal((2, m, d))


def general(n=6, P=3, d=5, m=2, seed=0):  # more patches than dimensions: descent in the full space
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, P, d)), rng.choice([-1.0, 1.0], n), 0.3 * rng.standard_normal((2, m, d))


@pytest.mark.parametrize("data", [model, general])
@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("power", [1.0, 2.0, 2.5, 3.0, 4.0])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_decay": 0.02},
        {"optimizer": "normalized", "learning_rate": 0.005},
        {"optimizer": "adam", "learning_rate": 0.01},
        {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 0.02, "betas": (0.8, 0.9), "epsilon": 1e-3},
    ],
    ids=str,
)
def test_a_hundred_steps_of_autograd(data, average, power, options):
    X, y, W = data()
    options = {"learning_rate": 0.05, "power": power, "average": average, **options}
    expected, losses = train(X, y, W, 100, **options)
    run = cnn_descent(X, y, W, 100, record=range(101), **options)
    np.testing.assert_allclose(run.weights[0], expected, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(run.loss[0], losses, rtol=1e-10)
    assert run.record_steps.tolist() == list(range(101))
    assert run.steps.tolist() == [100]


def test_both_spaces_are_used():
    vectors = [
        module._State(module.basis_of(f()[0][None]), f()[1][None], f()[2][None], "descent", True)
        for f in (model, general)
    ]
    assert vectors[0].arrays["coordinates"].size
    assert not vectors[0].arrays["weights"].size
    assert vectors[1].arrays["weights"].size
    # One vector for the signal of all examples, one for each noise.
    assert vectors[0].vectors.shape == (1, 9, 30)


def test_records():
    X, y, W = model()
    test_X, test_y, _ = model(n=50, seed=3)
    options = {"learning_rate": 0.1, "power": 2.0}
    run = cnn_descent(X, y, W, 40, record=[0, 7, 20], X_test=test_X, y_test=test_y, **options)
    assert run.record_steps.tolist() == [0, 7, 20, 40]
    for column, steps in enumerate(run.record_steps):
        weights, losses = train(X, y, W, steps, **options)
        at = CNNDescent(weights[None], *[None] * 8, 2.0, True, None)
        margins = y * at.predict(X)[0]
        assert run.loss[0, column] == pytest.approx(losses[-1], rel=1e-10)
        assert run.margin[0, column] == pytest.approx(margins.min(), rel=1e-9)
        assert run.norm[0, column] == pytest.approx(np.linalg.norm(weights))
        assert run.normalized_margin[0, column] == pytest.approx(margins.min() / np.linalg.norm(weights) ** 2)
        assert run.train_error[0, column] == np.mean(margins <= 0)
        assert run.test_error[0, column] == np.mean(test_y * at.predict(test_X)[0] <= 0)
    np.testing.assert_allclose(run.train_margins[0], y * run.predict(X)[0], rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"optimizer": "adam"}, {"optimizer": "normalized"}], ids=str)
def test_runs_are_independent_to_the_bit(options, monkeypatch):
    many = [model(seed=seed) for seed in range(5)]
    X, y, W = (np.stack(parts) for parts in zip(*many, strict=True))
    options = {"learning_rate": 0.02, "power": 3.0, **options}
    together = cnn_descent(X, y, W, 60, **options)
    for run, (x, labels, start) in enumerate(many):
        alone = cnn_descent(x, labels, start, 60, record=7, **options)
        np.testing.assert_array_equal(alone.weights[0], together.weights[run])
        assert alone.log_loss[0, -1] == together.log_loss[run, -1]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(module, "BLOCK_WORK", 1.0)
    np.testing.assert_array_equal(cnn_descent(X, y, W, 60, **options).weights, together.weights)


def test_one_data_set_for_all_runs():
    X, y, _ = model()
    W = np.stack([model(seed=seed)[2] for seed in range(3)])
    run = cnn_descent(X, y, W, 20, learning_rate=0.1)
    for i in range(3):
        np.testing.assert_array_equal(run.weights[i], cnn_descent(X, y, W[i], 20, learning_rate=0.1).weights[0])


def test_stop_at_a_loss():
    X, y, W = model()
    options = {"learning_rate": 0.1, "power": 2.0}
    _, losses = train(X, y, W, 400, **options)
    first = int(np.argmax(np.array(losses) <= 0.05))
    assert 0 < first < 400
    run = cnn_descent(X, y, W, 400, stop_loss=0.05, record=4, **options)
    assert run.steps.tolist() == [first]
    assert run.loss[0, -1] == pytest.approx(losses[first], rel=1e-9)
    assert run.status.converged
    short = cnn_descent(X, y, W, first - 1, stop_loss=0.05, **options)
    assert not short.status.converged
    assert "did not reach" in short.status.message
    assert "see .status" in repr(short)


def test_a_loss_below_the_floats():
    # Filters along two orthogonal patches: margins of 900 and 1000, whose losses are e^-900 and e^-1000.
    X, y = np.eye(4)[:2, None, :] * np.array([900.0, 1000.0])[:, None, None], np.ones(2)
    W = np.stack([np.ones((1, 4)), np.zeros((1, 4))])
    run = cnn_descent(X, y, W, 0, learning_rate=0.1, record=[0])
    with mpmath.workdps(50):
        expected = mpmath.log((mpmath.log1p(mpmath.exp(-900)) + mpmath.log1p(mpmath.exp(-1000))) / 2)
    assert run.log_loss[0, 0] == pytest.approx(float(expected), rel=1e-15)
    assert run.loss[0, 0] == 0.0


@pytest.mark.parametrize(
    "margins", [(-900.0, 3.0), (29.9, 30.5), (30.5, 40.0), (700.0, 720.0), (0.0, 0.0), (-5.0, 1000.0)]
)
def test_log_loss(margins):
    X, y = np.eye(4)[:2, None, :] * np.abs(margins)[:, None, None], np.where(np.array(margins) < 0, -1.0, 1.0)
    W = np.stack([np.ones((1, 4)), np.zeros((1, 4))])
    run = cnn_descent(X, y, W, 0, learning_rate=0.1)
    with mpmath.workdps(400):
        expected = mpmath.log(sum(mpmath.log1p(mpmath.exp(-mpmath.mpf(u))) for u in margins) / 2)
    assert run.log_loss[0, -1] == pytest.approx(float(expected), rel=1e-13)


def test_normalised_steps_go_on_below_the_floats():
    # One example, one active filter: a step of length eta adds eta |x| to the margin; the loss is e^-800 at the start.
    X, y, W = np.array([[[2.0]]]), np.ones(1), np.array([[[400.0]], [[-1.0]]])
    run = cnn_descent(X, y, W, 1000, learning_rate=0.5, optimizer="normalized")
    assert run.margin[0, -1] == pytest.approx(800 + 1000 * 0.5 * 2, rel=1e-12)
    assert run.log_loss[0, -1] == pytest.approx(-1800, rel=1e-12)


def test_adam_without_epsilon_goes_on_below_the_floats():
    # One example: with betas 0 every step is the sign of the gradient. The loss falls from e^-800 by e^-2 a step.
    X, y, W = np.array([[[2.0, 0.0]]]), np.ones(1), np.array([[[400.0, 1.0]], [[-1.0, 1.0]]])
    options = {"learning_rate": 1.0, "optimizer": "adam", "epsilon": 0.0}
    run = cnn_descent(X, y, W, 500, betas=(0.0, 0.0), **options)
    assert run.margin[0, -1] == pytest.approx(800 + 2 * 500, rel=1e-12)
    np.testing.assert_array_equal(run.weights[0, :, 0, 1], [1.0, 1.0])  # no gradient, no step, no 0/0
    # Above the floats the same run without their units: moments of gradients that shrink by e^-2 a step.
    W, first, second, w = np.array([[[1.0]], [[-1.0]]]), 0.0, 0.0, 1.0
    for t in range(1, 101):
        g = -2.0 / (1 + math.exp(2 * w))
        first, second = 0.9 * first + 0.1 * g, 0.99 * second + 0.01 * g * g
        w -= (first / (1 - 0.9**t)) / math.sqrt(second / (1 - 0.99**t))
    run = cnn_descent(X[:, :, :1], y, W, 100, betas=(0.9, 0.99), **options)
    assert run.weights[0, 0, 0, 0] == pytest.approx(w, rel=1e-10)


@pytest.mark.parametrize("betas", [(0.9, 0.99), (0.0, 0.0)])
@pytest.mark.parametrize("size", [40.0, 200.0, 400.0, 1000.0])
def test_adam_where_a_step_lowers_the_loss_by_orders_of_the_floats(size, betas):
    # A step of Adam is about one: the loss falls by e^-size, and gradients by as much against their averages.
    X, y, W = np.array([[[size]]]), np.ones(1), np.array([[[1.0]], [[-1.0]]])
    run = cnn_descent(X, y, W, 60, learning_rate=1.0, optimizer="adam", betas=betas, epsilon=0.0)
    (one, two), first, second = betas, mpmath.mpf(0), mpmath.mpf(0)
    w = mpmath.mpf(1)
    for t in range(1, 61):
        g = -size / (1 + mpmath.exp(size * w))
        first, second = one * first + (1 - one) * g, two * second + (1 - two) * g * g
        w -= (first / (1 - one**t)) / mpmath.sqrt(second / (1 - two**t))
    assert run.weights[0, :, 0, 0].tolist() == pytest.approx([float(w), -1.0], rel=1e-11)
    assert run.log_loss[0, -1] == pytest.approx(-size * float(w), rel=1e-11)
    assert run.status.converged


def test_normalised_margin_of_a_homogeneous_network_increases():
    X, y, W = model(n=5, d=20, m=4)
    run = cnn_descent(X, y, W, 3000, learning_rate=0.01, power=2.0, optimizer="normalized", record=30)
    late = run.normalized_margin[0, run.log_loss[0] < -5]
    assert len(late) > 10
    # The margin itself follows its smoothed version, which never decreases, up to log n / |W|^2.
    assert (np.diff(late) > -1e-3 * late[:-1]).all()


# ---- the behaviour known for the models, by the stated means and spreads --------------------------------------------


def phase(size, seeds, n=20, d=1000, m=10, sigma=0.005, flip=0.0, tests=500):
    """Return stacked data of the theory's first two models: the signal along one axis, noise orthogonal to it."""
    runs = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        true = rng.choice([-1.0, 1.0], n + tests)
        noise = rng.standard_normal((n + tests, d))
        noise[:, 0] = 0.0
        X = np.stack([true[:, None] * np.r_[size, np.zeros(d - 1)], noise], axis=1)
        y = np.where(rng.random(n + tests) < flip, -true, true)
        runs.append((X[:n], y[:n], sigma * rng.standard_normal((2, m, d)), X[n:], y[n:]))
    return [np.stack(parts) for parts in zip(*runs, strict=True)]


def test_benign_and_harmful_overfitting():
    # Means over 12 seeds: .487 (spread .022) at |mu| = 8, .000 at 28; a mean of 6 within four of its deviations.
    errors = {}
    for size in (8.0, 28.0):
        X, y, W, X_test, y_test = phase(size, 6)
        run = cnn_descent(X, y, W, 20_000, learning_rate=0.05, power=3.0, stop_loss=0.01, X_test=X_test, y_test=y_test)
        assert run.status.converged
        errors[size] = run.test_error[:, -1]
    assert (errors[8.0] > 0.4).all()
    assert errors[8.0].mean() == pytest.approx(0.487, abs=0.04)
    assert (errors[28.0] < 0.1).all()


def test_relu_with_flipped_labels():
    # .392 (.028) at |mu| = 1, .102 (.015) at |mu| = 6 with 10 % flips.
    errors = {}
    for size in (1.0, 6.0):
        X, y, W, X_test, y_test = phase(size, 6, d=400, sigma=0.01, flip=0.1)
        run = cnn_descent(X, y, W, 500, learning_rate=0.1, X_test=X_test, y_test=y_test)
        assert (run.train_error[:, -1] == 0).all()
        errors[size] = run.test_error[:, -1].mean()
    assert errors[1.0] == pytest.approx(0.392, abs=0.05)
    assert errors[6.0] == pytest.approx(0.102, abs=0.03)


def feature_noise(seed, n=50, d=4000, s=60, m=10, tests=300):
    rng = np.random.default_rng(seed)
    y = rng.choice([-1.0, 1.0], n + tests)
    X = np.zeros((n + tests, 2, d))
    X[:, 0, 0] = y
    for i in range(n + tests):
        X[i, 1, rng.choice(np.arange(1, d), s, replace=False)] = 0.1 * rng.standard_normal(s)
    X[:, 1, 0] = -0.2 * y
    return X[:n], y[:n], 0.05 * rng.standard_normal((2, m, d)), X[n:], y[n:]


def test_adam_fits_and_does_not_generalise_where_descent_does():
    X, y, W, X_test, y_test = (np.stack(parts) for parts in zip(*map(feature_noise, range(2)), strict=True))
    options = {"power": 3.0, "average": False, "weight_decay": 1e-5, "X_test": X_test, "y_test": y_test}
    plain = cnn_descent(X, y, W, 100, learning_rate=0.5, **options)
    adam = cnn_descent(X, y, W, 200, learning_rate=1e-3, optimizer="adam", betas=(0.9, 0.99), **options)
    assert (plain.train_error[:, -1] == 0).all()
    assert (adam.train_error[:, -1] == 0).all()
    assert (plain.test_error[:, -1] < 0.05).all()
    assert (adam.test_error[:, -1] > 0.5).all()


# ---- input ----------------------------------------------------------------------------------------------------------


def test_inputs_of_other_kinds():
    X, y, W = model()
    reference = cnn_descent(X, y, W, 10, learning_rate=0.1).weights
    tensors = cnn_descent(torch.from_numpy(X), torch.from_numpy(y), torch.from_numpy(W), 10, learning_rate=0.1)
    np.testing.assert_array_equal(tensors.weights, reference)
    np.testing.assert_array_equal(cnn_descent(X, y.astype(int), W, 10, learning_rate=0.1).weights, reference)
    wide = np.repeat(X, 2, axis=2)[:, :, ::2]
    np.testing.assert_array_equal(cnn_descent(wide, y, W, 10, learning_rate=0.1).weights, reference)


def test_smallest_problem():
    run = cnn_descent(np.ones((1, 1, 1)), [1.0], np.ones((2, 1, 1)), 3, learning_rate=1.0)
    expected, _ = train(np.ones((1, 1, 1)), np.ones(1), np.ones((2, 1, 1)), 3, learning_rate=1.0)
    np.testing.assert_allclose(run.weights[0], expected)
    dead = cnn_descent(np.zeros((2, 1, 3)), [1.0, -1.0], -np.ones((2, 1, 3)), 3, learning_rate=1.0)
    assert dead.loss[0].tolist() == pytest.approx([math.log(2)] * 2)
    assert dead.train_error[0, -1] == 1.0  # an output of zero decides nothing


@pytest.mark.parametrize("optimizer", ["descent", "normalized", "adam"])
@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_filters_that_never_move_are_said(scale, optimizer):
    X, y, W = np.ones((3, 1, 4)), np.array([1.0, -1.0, 1.0]), np.stack([np.ones((2, 2, 4)), np.full((2, 2, 4), scale)])
    run = cnn_descent(X, y, W, 5, learning_rate=0.1, optimizer=optimizer)
    np.testing.assert_array_equal(run.weights[1], W[1])
    assert not run.status.converged
    assert "no filter of 1 of 2 runs is active" in run.status.message
    assert np.isnan(run.normalized_margin[1]).all() == (scale == 0)  # 0 / 0
    alive = cnn_descent(X, y, W[0], 5, learning_rate=0.1, optimizer=optimizer)  # whose outputs begin at zero
    assert alive.status.converged
    assert cnn_descent(X, y, W[1], 0, learning_rate=0.1, optimizer=optimizer).status.converged
    assert cnn_descent(X, y, W[1], 5, learning_rate=0.1, optimizer=optimizer, stop_loss=1.0).status.converged


def test_divergence_is_said():
    X, y, W = model(scale=1.0)
    options = {"learning_rate": 10.0, "power": 3.0, "weight_decay": 1.0, "X_test": X, "y_test": y}
    run = cnn_descent(X, y, W, 300, **options)
    assert not run.status.converged
    assert "lower `learning_rate`" in run.status.message
    lost = np.isnan(run.train_margins[0])
    assert lost.any()
    assert run.train_error[0, -1] == run.test_error[0, -1] == np.mean(lost | (run.train_margins[0] <= 0))


def kernel(runs=3, filters=8, threads=3, **change):
    """Call the kernel itself on `runs` runs of one example, with some arguments changed."""
    x = np.ones((1, 1, 1))
    own = {name: np.ones((runs, 1, filters)) for name in ("activations", "weights", "first", "second")}
    own |= {"scalars": np.tile([1.0, 0, 0, 0, 0], (runs, 1, 1)), "margins": np.zeros((runs, 1, 1))}
    numbers = {"power": 1.0, "rate": 0.1, "decay": 0.0, "beta1": 0.9, "beta2": 0.99, "epsilon": 0.0, "log_stop": -1e9}
    arguments = {**own, "coordinates": np.empty((0, 0, 0)), **numbers, "method": "adam", "until": 2, **change}
    data = (x, x, np.zeros((1, 1, 1), np.int32), x, x, np.ones(filters))
    module._core.cnn_advance(*data, **arguments, threads=threads)
    return arguments


@pytest.mark.parametrize("threads", [1, 3])
def test_what_a_run_throws_arrives_from_its_thread(threads):
    with pytest.raises(ValueError, match="`filters` is 5; expected a multiple of eight"):
        kernel(filters=5, threads=threads)


@pytest.mark.parametrize("name", ["weights", "first", "second", "margins", "scalars"])
def test_runs_do_not_share_what_they_write(name):
    assert (kernel()["scalars"][:, 0, 3] == 2).all()
    with pytest.raises(ValueError, match=f"`{name}` is of another shape; expected a contiguous matrix a run$"):
        kernel(**{name: np.ones((1, 1, {"margins": 1, "scalars": 5}.get(name, 8)))})


def test_a_method_of_no_name_is_refused():
    with pytest.raises(ValueError, match="`method` is 'sgd'"):
        kernel(method="sgd")


def test_progress():
    seen = []
    cnn_descent(*model(), 30, learning_rate=0.1, record=3, progress=lambda *args: seen.append(args))
    assert seen[-1] == (30, 30)


def test_result_by_name():
    run = ph.implicit_bias.cnn_descent(*model(), 3, learning_rate=0.1)
    assert set(run.to_dict()) == set(CNNDescent.__dataclass_fields__)
    assert repr(run).startswith("CNNDescent(1 runs of up to 3 steps")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.ones((3, 4))}, "`X` has shape"),
        ({"X": np.full((8, 2, 30), np.nan)}, "`X` holds nan"),
        ({"y": np.zeros(8)}, "`y` holds 0; expected labels -1 and 1"),
        ({"y": np.ones(7)}, "`y` has shape"),
        ({"weights": np.ones((3, 2, 30))}, "`weights` has shape"),
        ({"weights": np.ones((2, 2, 29))}, "`weights` has shape"),
        ({"weights": np.ones((4, 2, 2, 30)), "y": np.ones((3, 8))}, "for 1, 3 and 4 runs"),
        ({"steps": -1}, "`steps` is -1"),
        ({"power": 0.5}, "`power` is 0.5"),
        ({"learning_rate": -1.0}, "`learning_rate` is -1"),
        ({"optimizer": "sgd"}, "`optimizer` is 'sgd'"),
        ({"optimizer": "normalized", "weight_decay": 0.1}, "`weight_decay`"),
        ({"betas": (0.9, 1.0)}, "`betas` is"),
        ({"betas": 0.9}, "`betas` is 0.9; expected two numbers"),
        ({"betas": (0.9, 0.99, 0.999)}, "`betas` is .*; expected two numbers"),
        ({"record": [-1]}, "`record` is"),
        ({"record": [11]}, "`record` is"),
        ({"record": 0}, "`record` is 0"),
        ({"X_test": np.ones((3, 2, 30))}, "go together"),
        ({"X_test": np.ones((3, 2, 29)), "y_test": np.ones(3)}, "`X_test` has shape"),
        ({"stop_loss": -0.1}, "`stop_loss` is -0.1"),
    ],
    ids=str,
)
def test_bad_input(change, message):
    X, y, W = model()
    arguments = {"X": X, "y": y, "weights": W, "steps": 10, "learning_rate": 0.1, **change}
    with pytest.raises(ValueError, match=message):
        cnn_descent(**arguments)
