"""Gradient flow against closed forms, an explicit integrator, and the limits of Soudry et al."""

import mpmath
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

import pyphenom as ph
from pyphenom import _core
from pyphenom.implicit_bias import gradient_descent, gradient_flow

TRIANGLE = np.array([[2.0, 0.4], [0.3, 1.0], [3.0, 3.0]])
HARD, SHIFT, MARGIN = np.array([0.319149, 0.904255]), np.array([1.928564, -0.466598]), 1.042836


# ---- closed forms, to times that no float holds


@pytest.mark.parametrize("start", [-20.0, 0.0, 1e4])
@pytest.mark.parametrize("rtol", [1e-6, 1e-10])
def test_orthogonal_rows_under_the_exponential_loss(rtol, start):
    # dm/dt = |x|^2 e^-m / n, so that e^m = e^m0 + |x|^2 t / n
    sizes = np.array([0.5, 1.0, 3.0])
    log_times = np.array([-30.0, -2.0, 0.0, 5.0, 30.0, 1e3, 1e5])
    path = gradient_flow(np.diag(sizes), np.ones(3), log_times, rtol=rtol, initial=start / sizes)
    truth = np.logaddexp(start, log_times[:, None] + np.log(sizes**2 / 3))
    scale = rtol * np.maximum(np.linalg.norm(truth / sizes, axis=1), 1)[:, None]
    assert (np.abs(path.margins - truth) <= 3 * sizes * np.maximum(path.error[:, None], scale)).all()
    assert path.error.max() < 1e3 * scale.max()
    assert (np.diff(path.error) >= 0).all()
    np.testing.assert_allclose(path.log_loss, np.logaddexp.reduce(-truth, axis=1) - np.log(3), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("start", [-30.0, 0.0, 50.0])
def test_one_row_under_the_logistic_loss(start):
    # dm/dt = 1 / (1 + e^m), so that m + e^m = m0 + e^m0 + t
    log_times = np.array([-5.0, 0.0, 4.0, 20.0, 700.0])
    path = gradient_flow([[1.0]], [1], log_times, loss="logistic", initial=[start])
    with mpmath.workdps(400):
        for log_time, margin, log_loss in zip(log_times, path.margins[:, 0], path.log_loss, strict=True):
            total = mpmath.mpf(start) + mpmath.exp(start) + mpmath.exp(log_time)
            truth = total - mpmath.lambertw(mpmath.exp(total)) if total < 100 else None
            if truth is None:  # m = log(total - m)
                truth = mpmath.log(total)
                for _ in range(60):
                    truth = mpmath.log(total - truth)
            assert margin == pytest.approx(float(truth), rel=1e-7, abs=1e-7)
            assert log_loss == pytest.approx(float(mpmath.log(mpmath.log1p(mpmath.exp(-truth)))), rel=1e-7, abs=1e-7)


def test_squared_loss_goes_to_the_interpolant_of_least_norm():
    rng = np.random.default_rng(0)
    X, y, w = rng.standard_normal((6, 15)), rng.choice([-1.0, 1.0], 6), rng.standard_normal(15)
    times = np.array([0.1, 1.0, 10.0, 1e6])
    path = gradient_flow(X, y, np.log(times), loss="squared", initial=w)
    values, vectors = np.linalg.eigh(X.T @ X / 6)
    end = w + np.linalg.pinv(X) @ (y - X @ w)
    truth = [end + vectors @ (np.exp(-t * values) * (vectors.T @ (w - end))) for t in times]
    np.testing.assert_allclose(path.weights, truth, rtol=0, atol=1e-7)
    assert "1 of 1 stand at the minimiser" in path.status.message


# ---- an explicit integrator


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
@pytest.mark.parametrize(("n", "d"), [(1, 1), (5, 3), (6, 20), (20, 20)])
def test_generic_data_against_dop853(n, d, loss):
    rng = np.random.default_rng(n)
    A, w0 = rng.standard_normal((n, d)), rng.standard_normal(d) / 3

    def velocity(u, w):  # in u = log(1 + t)
        m = A @ w
        p = np.exp(-m) if loss == "exponential" else 1 / (1 + np.exp(m))
        return np.exp(u) * A.T @ p / n

    times = np.array([0.01, 1.0, 30.0, 1000.0])
    truth = solve_ivp(velocity, (0, np.log1p(1000)), w0, "DOP853", np.log1p(times), rtol=1e-12, atol=1e-12).y.T
    path = gradient_flow(A, np.ones(n), np.log(times), loss=loss, initial=w0)
    np.testing.assert_allclose(path.weights, truth, rtol=0, atol=1e-7)
    assert (np.linalg.norm(path.weights - truth, axis=1) <= 3 * path.error + 1e-9).all()
    rough = gradient_flow(A, np.ones(n), np.log(times), loss=loss, initial=w0, rtol=1e-4)
    assert (np.linalg.norm(rough.weights - truth, axis=1) <= 3 * rough.error + 1e-11).all()
    assert rough.integration_steps <= path.integration_steps


def test_small_steps_of_descent_are_the_flow():
    rng = np.random.default_rng(2)
    A = rng.standard_normal((5, 8))
    flow = gradient_flow(A, np.ones(5), [np.log(10.0)]).weights[0]
    gaps = [
        np.linalg.norm(gradient_descent(A, np.ones(5), steps, step_size=10 / steps).weights[-1] - flow)
        for steps in (10_000, 20_000)
    ]
    assert gaps[0] / gaps[1] == pytest.approx(2.0, rel=0.01)  # first order in the step


# ---- limits


def test_the_triangle_of_the_theory():
    # w(t) = w1 log t + w2 with the sum of the losses; its time is a third of the mean's.
    times = np.log(3) + np.log(10) * np.array([8.0, 12.0, 40.0])
    path = gradient_flow(TRIANGLE, np.ones(3), times)
    assert np.exp(times[0] + path.log_loss[0]) == pytest.approx(0.919288, abs=1e-6)
    assert np.exp(times[1] + path.log_loss[1]) == pytest.approx(0.919493, abs=1e-6)
    far = gradient_flow(TRIANGLE, np.ones(3), [1e3, 1e4])
    np.testing.assert_allclose(np.exp(far.log_times + far.log_loss), 0.919534, atol=1e-6)
    np.testing.assert_allclose(np.exp(far.log_times + far.log_loss), 1 / MARGIN**2, rtol=1e-5)
    slope = (far.weights[1] - far.weights[0]) / 9e3
    np.testing.assert_allclose(slope, HARD, atol=1e-6)
    rest = far.weights[0] - slope * (1e3 - np.log(3))
    np.testing.assert_allclose(rest, SHIFT, atol=1e-5)
    assert far.margin()[1] == pytest.approx(MARGIN, rel=1e-4)


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
def test_direction_margin_and_loss_of_random_data(loss):
    rng = np.random.default_rng(4)
    A = rng.standard_normal((30, 60))
    problem = minimize(
        lambda w: 0.5 * w @ w,
        np.linalg.pinv(A) @ np.ones(30),
        jac=lambda w: w,
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda w: A @ w - 1, "jac": lambda w: A},
        options={"ftol": 1e-14},
    )
    w = problem.x
    path = gradient_flow(A, np.ones(30), [1e2, 1e3, 1e5], loss=loss)
    cosine, margin = path.cosine(w), path.margin() * np.linalg.norm(w)
    assert (np.diff(cosine) > 0).all()
    assert cosine[-1] == pytest.approx(1, abs=1e-8)
    assert margin[-1] == pytest.approx(1, abs=1e-3)
    assert np.exp(1e5 + path.log_loss[-1]) == pytest.approx(w @ w, rel=1e-3)
    assert (1 - margin[0]) / (1 - margin[1]) == pytest.approx(10, rel=0.1)  # the gap is of order 1 / log t
    assert path.integration_steps < 1000


@pytest.mark.parametrize("log_time", [50.0, 1e6])
def test_inseparable_data_go_to_the_maximum_of_the_likelihood(log_time):
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((60, 4)), rng.choice([-1.0, 1.0], 60)
    path = gradient_flow(X, y, [log_time], loss="logistic")
    A = X * y[:, None]
    w = path.weights[0]
    np.testing.assert_allclose(A.T @ (1 / (1 + np.exp(A @ w))), 0, atol=1e-10)
    assert "1 of 1 runs do not separate" in path.status.message
    assert "1 of 1 stand at the minimiser" in path.status.message


def test_data_that_are_separable_in_some_directions_are_told():
    X = np.random.default_rng(0).standard_normal((6, 10))
    path = gradient_flow(np.r_[X, X[:1]], np.r_[np.ones(6), -1], [3.0, 20.0, 600.0], loss="logistic")
    assert not path.status.converged
    assert "run 0 is held where rounding errors hide its gradient" in path.status.message
    np.testing.assert_allclose(path.margins[1:, 0], 0, atol=1e-7)  # a pair at odds
    assert path.margins[1, 1:6].min() > 15
    assert np.isfinite(path.weights).all()


def test_duplicates_and_rows_of_zeros():
    twice = gradient_flow(np.r_[TRIANGLE, TRIANGLE], np.ones(6), [2.0, 20.0])
    once = gradient_flow(TRIANGLE, np.ones(3), [2.0, 20.0])
    np.testing.assert_allclose(twice.weights, once.weights, rtol=1e-7)
    path = gradient_flow([[1.0, 0.0], [0.0, 0.0]], [1, -1], [0.0, 100.0], loss="logistic")
    assert path.margins[-1, 1] == 0
    assert path.margin()[-1] == 0


# ---- input and output


def test_the_start_and_several_runs():
    rng = np.random.default_rng(0)
    X, y, w = rng.standard_normal((3, 5, 9)), rng.choice([-1.0, 1.0], (3, 5)), rng.standard_normal((3, 9))
    path = gradient_flow(X, y, [-np.inf, 1.0, 5.0], initial=w)
    np.testing.assert_array_equal(path.weights[:, 0], w)
    alone = gradient_flow(X[1], y[1], [-np.inf, 1.0, 5.0], initial=w[1])
    np.testing.assert_array_equal(alone.weights, path.weights[1])
    tensors = gradient_flow(torch.tensor(X[1]), torch.tensor(y[1]), [-np.inf, 1.0, 5.0], initial=torch.tensor(w[1]))
    np.testing.assert_array_equal(tensors.weights, path.weights[1])
    assert path.error.shape == (3, 3)
    assert path.integration_steps.shape == (3,)


def test_progress_names_and_interruption():
    seen = []
    path = gradient_flow(TRIANGLE, np.ones(3), [0.0, 5.0], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    assert repr(path).startswith("FlowPath(n = 3, d = 2, 2 records up to log t = 5, error ")
    assert {"log_times", "error", "integration_steps"} < set(path.to_dict())
    assert ph.implicit_bias.gradient_flow is gradient_flow

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gradient_flow(TRIANGLE, np.ones(3), [0.0, 5.0], progress=stop)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros((2, 2)), "y": [1, 1]}, "`X` is zero"),
        ({"X": np.full((3, 2), np.nan)}, "`X` holds nan"),
        ({"y": [0, 1, 1]}, "`y` holds 0, 1"),
        ({"log_times": [2.0, 1.0]}, "`log_times` is not ascending"),
        ({"log_times": [-np.inf, -np.inf]}, "`log_times` is not ascending"),
        ({"log_times": [np.nan]}, "`log_times` is not ascending"),
        ({"log_times": [np.inf]}, "`log_times` is not ascending"),
        ({"rtol": 1e-14}, "`rtol` is 1e-14"),
        ({"loss": "hinge"}, "`loss` is 'hinge'"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        gradient_flow(**{"X": TRIANGLE, "y": [1, 1, 1], "log_times": [1.0], **change})


def test_many_records_close_to_one_another(monkeypatch):
    """Each takes fewer steps than it may, and a block that was not used up says nothing of the next."""
    log_times, blocks, flow = np.linspace(1.0, 2.0, 200), [], _core.flow
    monkeypatch.setattr(_core, "flow", lambda *args: blocks.append(args[2]) or flow(*args))
    path = gradient_flow([[1.0]], [1], log_times)
    np.testing.assert_allclose(path.weights[:, 0], np.log1p(np.exp(log_times)), rtol=1e-8)  # dw/dt = e^-w
    assert len(blocks) >= 200
    assert max(blocks) <= 2 * path.integration_steps  # doubled only once it was taken
