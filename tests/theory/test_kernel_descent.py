import numpy as np
import pytest

from pyphenom.theory import kernel_descent as kd


def test_the_residual_is_that_of_descent_on_the_features_of_the_kernel():
    """Plain steps on the weights of a linear model whose features have that kernel."""
    rng = np.random.default_rng(0)
    features, Y, step = rng.standard_normal((8, 30)), rng.standard_normal((8, 3)), 0.05
    values, vectors = np.linalg.eigh(features @ features.T)
    weights, found = rng.standard_normal((30, 3)), []
    power = ((vectors.T @ (features @ weights - Y)) ** 2).sum(axis=1)
    for _ in range(40):
        found.append(((features @ weights - Y) ** 2).sum())
        weights -= step * 2.0 / 8 * features.T @ (features @ weights - Y)
    np.testing.assert_allclose(kd.squared_residual(values, power, step, np.arange(40)), found, rtol=1e-9)
    assert kd.squared_residual(values, power, step, 7) == pytest.approx(found[7], rel=1e-9)
    assert found[-1] < 0.1 * found[0]
    # Past a step size of n over the largest eigenvalue it grows.
    assert np.diff(kd.squared_residual(values, power, 8.1 / values[-1], [100, 200, 300])).min() > 0.0


@pytest.mark.parametrize("every", [1, 7])
def test_the_time_of_a_known_decay(every):
    steps = np.arange(0, 50, every)
    loss = 5.0 * np.exp(-0.1 * steps)
    assert kd.steps_until(steps, loss, 0.3) == pytest.approx(-np.log(0.3) / 0.1)
    assert np.isinf(kd.steps_until(steps[:2], loss[:2], 0.3))


def test_a_descent_that_diverged_never_got_there():
    assert np.isinf(kd.steps_until([0, 1, 2], [1.0, np.inf, np.nan], 0.3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: kd.squared_residual([1.0, 2.0], [1.0], 0.1, 3), r"power: got shape \(1,\)"),
        (lambda: kd.squared_residual([1.0], [-1.0], 0.1, 3), "power: got -1"),
        (lambda: kd.squared_residual([], [], 0.1, 3), "power: got shape"),
        (lambda: kd.squared_residual([1.0], [1.0], 0.0, 3), "step_size: got 0"),
        (lambda: kd.squared_residual([1.0], [1.0], 0.1, [1, 1.5]), "steps: got 1.5, expected whole"),
        (lambda: kd.squared_residual([1.0], [1.0], 0.1, -1), "steps: got -1"),
        (lambda: kd.steps_until([0, 1], [1.0], 0.3), "steps: got shape"),
        (lambda: kd.steps_until([1, 0], [1.0, 0.1], 0.3), "steps: .*ascending"),
        (lambda: kd.steps_until([0, 1], [1.0, 0.0], 0.3), "losses: got 0"),
        (lambda: kd.steps_until([0, 1], [1.0, 0.1], 1.0), "share: got 1.0"),
    ],
)
def test_bad_parameters_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
