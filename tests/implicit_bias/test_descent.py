"""Full-batch descent against loops in floats and in fifty digits, torch's optimisers, and published limits."""

import implicit_bias as reference
import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import pyphenom as ph
from pyphenom.implicit_bias import Adam, BatchNorm, Momentum, gradient_descent

METHODS = {
    "gradient": ("gradient", {}),
    "momentum": (Momentum(0.8), {"momentum": 0.8}),
    "nesterov": (Momentum(0.8, nesterov=True), {"momentum": 0.8, "nesterov": True}),
    "normalized": ("normalized", {}),
    "accelerated": ("accelerated", {}),
    "batch_norm": (BatchNorm(1.5), {"gain": 1.5}),
    "adam": (Adam(0.9, 0.99), {"beta1": 0.9, "beta2": 0.99}),
    "sign": (Adam(0.0, 0.0), {"beta1": 0.0, "beta2": 0.0}),
    "adam with epsilon": (Adam(0.9, 0.99, 1e-3), {"beta1": 0.9, "beta2": 0.99, "epsilon": 1e-3}),
}

CASES = [(name, loss) for name in METHODS for loss in ("exponential", "logistic")] + [
    (name, "squared") for name in METHODS if name not in ("normalized", "accelerated")
]


def data(n, d, seed=0, runs=()):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((*runs, n, d)), rng.choice([-1.0, 1.0], (*runs, n))
    return X, y, rng.standard_normal((*runs, d)) / np.sqrt(d)


def name_for_reference(name):
    return {"nesterov": "momentum", "sign": "adam", "adam with epsilon": "adam"}.get(name, name)


# ---- against the loops


@pytest.mark.parametrize(("name", "loss"), CASES)
@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 5), (5, 1), (7, 30), (33, 70), (40, 9), (104, 120)])
def test_a_hundred_steps_are_those_of_the_loop(n, d, name, loss):
    X, y, w = data(n, d)
    X = X / np.linalg.norm(X, 2)  # no step overshoots, and no error grows
    method, constants = METHODS[name]
    path = gradient_descent(
        X, y, 100, step_size=0.2, decay=0.1, method=method, loss=loss, initial=w, record=np.array([0, 1, 100])
    )
    A = X * y[:, None]
    truth = reference.descend(A, w, 100, 0.2, name_for_reference(name), loss, decay=0.1, **constants)
    if name == "batch_norm":
        truth, gain = truth
        assert path.gain[-1] == pytest.approx(gain, rel=1e-12)
    # Signs of sums near zero, and their quotients, are as uncertain as rounding is.
    rtol = 1e-9 if "adam" in name or name == "sign" else 1e-12
    np.testing.assert_allclose(path.weights[-1], truth, rtol=0, atol=rtol * np.abs(truth).max())
    np.testing.assert_allclose(path.margins[-1], A @ truth, rtol=0, atol=10 * rtol * np.abs(truth).max())
    np.testing.assert_array_equal(path.weights[0], w)
    np.testing.assert_allclose(path.norm[-1] * path.margin("l2")[-1], path.margins[-1].min(), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "optimiser"),
    [
        ("gradient", lambda w: torch.optim.SGD([w], 0.3)),
        ("momentum", lambda w: torch.optim.SGD([w], 0.3, momentum=0.8)),
        ("nesterov", lambda w: torch.optim.SGD([w], 0.3, momentum=0.8, nesterov=True)),
        ("adam", lambda w: torch.optim.Adam([w], 0.3, betas=(0.9, 0.99), eps=0.0)),
        ("adam with epsilon", lambda w: torch.optim.Adam([w], 0.3, betas=(0.9, 0.99), eps=1e-3)),
    ],
)
def test_methods_are_those_of_torch(name, optimiser):
    X, y, w = data(12, 20)
    weights = torch.tensor(w, requires_grad=True)
    stepper = optimiser(weights)
    A = torch.tensor(X * y[:, None])
    for _ in range(50):
        stepper.zero_grad()
        torch.nn.functional.softplus(-(A @ weights)).mean().backward()
        stepper.step()
    path = gradient_descent(X, y, 50, step_size=0.3, method=METHODS[name][0], loss="logistic", initial=w)
    np.testing.assert_allclose(path.weights[-1], weights.detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
def test_batch_norm_follows_the_gradient_that_autograd_finds(shape):
    X, y, w = data(*shape)
    weights, gain = torch.tensor(w, requires_grad=True), torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    stepper, inputs, labels = torch.optim.SGD([weights, gain], 0.3), torch.tensor(X), torch.tensor(y)
    for _ in range(50):
        stepper.zero_grad()
        outputs = inputs @ weights
        f = gain * outputs / (outputs**2).mean().sqrt()
        torch.nn.functional.softplus(-labels * f).mean().backward()
        stepper.step()
    path = gradient_descent(X, y, 50, step_size=0.3, method="batch_norm", loss="logistic", initial=w)
    np.testing.assert_allclose(path.weights[-1], weights.detach().numpy(), rtol=1e-11)
    assert path.gain[-1] == pytest.approx(gain.item(), rel=1e-11)
    values = -labels * gain * (inputs @ weights) / ((inputs @ weights) ** 2).mean().sqrt()
    assert path.log_loss[-1] == pytest.approx(torch.nn.functional.softplus(values).mean().log().item(), rel=1e-11)


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
@pytest.mark.parametrize(
    ("name", "scale"), [("normalized", 2e4), ("accelerated", 2e4), ("adam", 3e3), ("sign", 3e3), ("batch_norm", 3e3)]
)
def test_margins_beyond_the_range_of_floats(name, scale, loss):
    rng = np.random.default_rng(3)
    A = np.abs(rng.standard_normal((4, 6)))
    w = scale * (1 + rng.random(6) / 100)  # margins of thousands: e^-m is zero in float64
    method, constants = METHODS[name]
    if name == "batch_norm":
        method, constants = BatchNorm(scale), {"gain": scale}
    path = gradient_descent(A, np.ones(4), 30, step_size=0.5, method=method, loss=loss, initial=w)
    with mpmath.workdps(50):
        truth = reference.descend(A, w, 30, 0.5, name_for_reference(name), loss, reference.MP, **constants)
        if name == "batch_norm":
            truth, gain = truth
            assert path.gain[-1] == pytest.approx(float(gain), rel=1e-14)
            outputs = reference.array(A, reference.MP) @ truth
            margins = gain * outputs / mpmath.sqrt((outputs**2).sum() / 4)
        else:
            margins = reference.array(A, reference.MP) @ truth
        values, _ = reference.loss_and_slope(margins, loss, reference.MP)
        log_loss = float(mpmath.log(values.sum() / 4))
        moved = np.array(truth - reference.array(w, reference.MP), float)
    assert path.margins.min() > 1000
    np.testing.assert_allclose(path.log_loss[-1], log_loss, rtol=1e-13)
    np.testing.assert_allclose(path.weights[-1] - w, moved, rtol=0, atol=2e-10)
    assert name == "batch_norm" or np.abs(moved).min() > 0.1


@pytest.mark.parametrize("loss", ["exponential", "logistic", "squared"])
def test_log_loss_has_all_its_digits(loss):
    for margin in (-300.0, -1.5, 0.0, 0.7, 30.0, 39.9, 40.1, 700.0, 1e4, 1e9):
        path = gradient_descent([[1.0], [1.0]], [1, 1], 1, step_size=0.0, loss=loss, initial=[margin])
        with mpmath.workdps(40):
            value, _ = reference.loss_and_slope(reference.array([margin], reference.MP), loss, reference.MP)
            truth = float(mpmath.log(value[0]))
        assert path.log_loss[0] == pytest.approx(truth, rel=1e-14, abs=1e-15)


# ---- published limits


def test_batch_norm_makes_margins_equal():
    # Cao et al. 2023; plain descent keeps them apart. Draws differ: the largest of D is fixed by these seeds.
    X, y, w = data(12, 30, seed=7, runs=(5,))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    settings_ = {"step_size": 0.05, "loss": "logistic", "initial": w, "record": np.array([100, 1000])}
    norm = gradient_descent(X, y, 1000, method="batch_norm", **settings_)
    plain = gradient_descent(X, y, 1000, **settings_)
    assert norm.dispersion[:, 0].min() > 1e-6
    assert norm.dispersion[:, 1].max() < 1e-9
    assert np.median(norm.dispersion[:, 1]) < 1e-12
    assert ((norm.gain[:, 1] > 3.84) & (norm.gain[:, 1] < 3.92)).all()
    assert plain.dispersion[:, 1].min() > 0.02
    np.testing.assert_allclose(
        plain.dispersion[0, 1],
        ((plain.margins[0, 1][:, None] - plain.margins[0, 1]) ** 2).mean() / (plain.margins[0, 1] ** 2).mean(),
        rtol=1e-12,
    )


def linf_margin(A):
    n, d = A.shape
    cost = np.r_[np.zeros(d), -1.0]
    solution = linprog(cost, np.c_[-A, np.ones(n)], np.zeros(n), bounds=[(-1, 1)] * d + [(None, None)])
    return -solution.fun


def test_adam_has_the_largest_linf_margin_and_descent_the_l2():
    # Zhang, Zou and Cao 2024; the ranges of five draws, widened by as much again.
    X, y, _ = data(15, 40, seed=1, runs=(5,))
    record = np.array([100, 1000, 20000])
    adam = gradient_descent(
        X, y, 20000, step_size=0.15, decay=0.67, method=Adam(0.9, 0.99), loss="logistic", record=record
    )
    plain = gradient_descent(X, y, 20000, step_size=0.5, loss="logistic", record=record)
    best = np.array([linf_margin(A) for A in X * y[..., None]])
    ratios = adam.margin("linf") / best[:, None]
    assert ((ratios[:, 0] > 0.6) & (ratios[:, 0] < 0.8)).all()
    assert ((ratios[:, 2] > 0.89) & (ratios[:, 2] < 0.96)).all()
    assert (plain.margin("linf")[:, 2] / best < 0.7).all()
    assert (plain.margin("l2")[:, 2] > adam.margin("l2")[:, 2]).all()
    assert (ratios <= 1).all()


def test_momentum_in_the_dual_closes_the_gap_faster():
    X, y, _ = data(10, 20, seed=2)
    A = X * y[:, None]
    step = 1 / (A**2).sum(axis=1).max()
    record = np.array([100, 1000, 10_000])
    gaps = {}
    best = gradient_descent(X, y, 300_000, step_size=step, method="accelerated").margin()[-1]
    for method in ("normalized", "accelerated"):
        path = gradient_descent(X, y, 10_000, step_size=step, method=method, record=record)
        gaps[method] = best - path.margin()
    slopes = {name: np.log10(gap[1] / gap[0]) for name, gap in gaps.items()}
    assert -1.4 < slopes["normalized"] < -0.6
    assert slopes["accelerated"] < -1.5


def test_descent_reaches_the_max_margin_and_the_rate_of_its_loss():
    # Orthonormal rows: margins m(t + 1) = m + eta e^-m / n exactly, the hard margin is 1 / sqrt(n).
    n, eta, steps = 3, 0.5, 1_000_000
    path = gradient_descent(np.eye(3, 5), np.ones(3), steps, step_size=eta, record=np.array([1000, steps]))
    m = 0.0
    for _ in range(steps):
        m += eta / n * np.exp(-m)
    np.testing.assert_allclose(path.margins[-1], m, rtol=1e-13)
    np.testing.assert_allclose(path.margin()[-1], 1 / np.sqrt(n), rtol=1e-13)
    assert eta * steps * np.exp(path.log_loss[-1]) == pytest.approx(3.0, rel=1e-4)
    assert path.cosine([1, 1, 1, 0, 0])[-1] == pytest.approx(1.0, rel=1e-13)


def test_rounding_does_not_add_up_over_a_million_steps():
    # 1 - m shrinks by 1 - eta x^2 a step: a million equal additions, whose plain sum is off by 1e-11.
    x, eta, steps = 1e-6, 0.1, 1_000_000
    path = gradient_descent([[x]], [1], steps, step_size=eta, loss="squared")
    assert path.weights[-1, 0] == pytest.approx(-np.expm1(steps * np.log1p(-eta * x**2)) / x, rel=1e-14)


def test_norms_of_a_margin():
    path = gradient_descent([[3.0, -4.0]], [1], 1, step_size=0.0, initial=[2.0, -1.0])
    assert path.margin("l2")[0] == pytest.approx(10 / np.sqrt(5), rel=1e-15)
    assert path.margin("l1")[0] == pytest.approx(10 / 3, rel=1e-15)
    assert path.margin("linf")[0] == pytest.approx(10 / 2, rel=1e-15)


def test_inseparable_data_go_to_the_maximum_of_the_likelihood():
    X, y, _ = data(60, 4, seed=5)
    path = gradient_descent(X, y, 20_000, step_size=1.0, loss="logistic")
    A = X * y[:, None]
    _, gradient = reference.mean_loss_and_gradient(A, path.weights[-1], "logistic", reference.FLOATS)
    assert np.abs(gradient).max() < 1e-14
    assert path.status.converged
    assert "1 of 1 runs do not separate" in path.status.message


# ---- invariances


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(list(METHODS)), st.integers(1, 12), st.integers(1, 20), st.integers(0, 2**31))
def test_runs_records_and_rows(name, n, d, seed):
    X, y, w = data(n, d, seed, runs=(3,))
    method = METHODS[name][0]
    options = {"step_size": 0.05, "method": method, "loss": "logistic"}
    together = gradient_descent(X, y, 40, initial=w, record=np.array([7, 40]), **options)
    alone = gradient_descent(X[1], y[1], 40, initial=w[1], record=np.array([40]), **options)
    assert together.weights.shape == (3, 2, d)
    assert alone.weights.shape == (1, d)
    np.testing.assert_array_equal(together.weights[1, 1], alone.weights[0])  # runs and records do not matter to the bit
    order = np.random.default_rng(seed).permutation(n)
    shuffled = gradient_descent(X[1][order], y[1][order], 40, initial=w[1], record=np.array([40]), **options)
    if name in ("gradient", "momentum", "nesterov", "normalized", "accelerated"):
        np.testing.assert_allclose(shuffled.weights, alone.weights, rtol=0, atol=1e-12)
    if name == "gradient":  # <x, w> stays where x is doubled, w halved, and the step a fourth
        scaled = gradient_descent(
            2 * X[1], y[1], 40, initial=w[1] / 2, record=np.array([40]), **{**options, "step_size": 0.0125}
        )
        np.testing.assert_array_equal(2 * scaled.weights, alone.weights)


def test_a_singular_run_leaves_its_neighbours_alone():
    X, y, w = data(6, 10, runs=(3,))
    X[1, 0], y[1, 0] = X[1, 1], y[1, 1]
    together = gradient_descent(X, y, 500, step_size=0.1, initial=w)
    for run in range(3):
        alone = gradient_descent(X[run], y[run], 500, step_size=0.1, initial=w[run])
        np.testing.assert_array_equal(together.weights[run], alone.weights)


def test_all_steps_are_taken_and_the_last_is_recorded():
    X, y, _ = data(6, 10)
    path = gradient_descent(X, y, 100, step_size=0.1, record=[10, 3])
    assert path.steps.tolist() == [3, 10, 100]
    np.testing.assert_array_equal(path.weights[-1], gradient_descent(X, y, 100, step_size=0.1).weights[-1])


@pytest.mark.parametrize(("direction", "norm"), [(np.zeros(3), "0"), (np.full(3, 1e200), "inf")])
def test_cosine_with_nothing(direction, norm):
    path = gradient_descent(np.eye(3), np.ones(3), 5, step_size=0.1)
    with pytest.raises(ValueError, match=f"`direction` has norm {norm};.*`.separable`"):
        path.cosine(direction)
    runs = gradient_descent(np.eye(3), np.ones((2, 3)), 5, step_size=0.1)
    assert runs.cosine(np.eye(3)[:2]).shape == runs.norm.shape
    with pytest.raises(ValueError, match=f"`direction` has norm {norm}"):
        runs.cosine(np.stack([np.ones(3), direction]))


def test_duplicates_and_labels_all_equal():
    X, _, w = data(6, 10)
    twice = gradient_descent(np.r_[X, X], np.ones(12), 200, step_size=0.1, initial=w)
    once = gradient_descent(X, np.ones(6), 200, step_size=0.1, initial=w)
    np.testing.assert_allclose(twice.weights, once.weights, rtol=0, atol=1e-13)
    against = gradient_descent(np.r_[X, X], np.r_[np.ones(6), -np.ones(6)], 5000, step_size=0.1, loss="logistic")
    np.testing.assert_allclose(against.weights[-1], 0, atol=1e-13)  # every pair at odds
    assert against.margin("l2").max() == 0


# ---- input and output


def test_inputs_of_other_kinds():
    X, y, w = data(6, 10)
    truth = gradient_descent(X, y, 20, step_size=0.1)
    for inputs in (torch.tensor(X), np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(gradient_descent(inputs, y, 20, step_size=0.1).weights, truth.weights)
    single = gradient_descent(X.astype(np.float32), y.astype(int), 20, step_size=0.1)
    assert single.weights.dtype == np.float64
    np.testing.assert_allclose(single.weights, truth.weights, rtol=1e-4, atol=1e-6)
    shared = gradient_descent(X, y, 20, step_size=0.1, initial=np.stack([0 * w, w]))
    assert shared.weights.shape[0] == 2
    np.testing.assert_array_equal(shared.weights[0], truth.weights)


def test_a_step_that_is_too_large_is_told():
    X, y, _ = data(10, 4, seed=3)
    path = gradient_descent(X, y, 1000, step_size=1e3)
    assert not path.status.converged
    assert "lower `step_size`" in path.status.message
    assert np.isnan(path.weights[-1]).all()
    assert np.isnan(path.margin()[-1])
    assert np.isnan(path.dispersion[-1])


def test_progress_and_interruption():
    X, y, _ = data(20, 30)
    seen = []
    gradient_descent(X, y, 100_000, step_size=0.1, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (100_000, 100_000)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gradient_descent(X, y, 10**9, step_size=0.1, progress=stop)


def test_names_are_public():
    assert ph.implicit_bias.gradient_descent is gradient_descent
    path = gradient_descent([[1.0]], [1], 10, step_size=0.1)
    assert repr(path).startswith("DescentPath(n = 1, d = 1, ")
    assert set(path.to_dict()) == {"weights", "margins", "log_loss", "status", "steps", "gain"}


GOOD = {"X": np.eye(3), "y": np.ones(3), "steps": 5, "step_size": 0.1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.full((3, 3), np.nan)}, "`X` holds nan"),
        ({"X": np.full((3, 3), 1e200)}, "`X` holds numbers up to 1e\\+200"),
        ({"X": np.ones(3)}, "`X` has shape"),
        ({"y": np.array([0.0, 1.0, 1.0])}, "`y` holds 0, 1; expected labels -1 and 1"),
        ({"y": np.ones(4)}, "`y` has 4 labels; expected 3"),
        ({"y": np.ones((2, 3)), "initial": np.ones((4, 3))}, "for 2, 4 runs"),
        ({"initial": np.ones(4)}, "`initial` has 4 weights"),
        ({"steps": 0}, "`steps` is 0"),
        ({"step_size": -1.0}, "`step_size` is -1"),
        ({"decay": np.nan}, "`decay` is nan"),
        ({"method": "newton"}, "`method` is 'newton'"),
        ({"loss": "hinge"}, "`loss` is 'hinge'"),
        ({"loss": "squared", "method": "normalized"}, "`loss` is 'squared'"),
        ({"method": "batch_norm"}, "`initial` has outputs 0"),
        ({"record": np.array([6])}, "`record` holds 6 to 6"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        gradient_descent(**{**GOOD, **change})


def test_bad_types_and_constants_are_named():
    with pytest.raises(TypeError, match="`record` has dtype float64"):
        gradient_descent(**GOOD, record=np.array([1.0]))
    with pytest.raises(TypeError, match=r"`steps` is 2\.5"):
        gradient_descent(**{**GOOD, "steps": 2.5})
    with pytest.raises(ValueError, match="`momentum` is 1"):
        Momentum(1.0)
    with pytest.raises(ValueError, match="`beta2` is 1"):
        Adam(0.9, 1.0)
