import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyphenom.theory import sgd_noise

RATES = np.array([0.01, 0.1, 0.5, 1.3, 1.9])  # step size x curvature


def batch_means(noise, size, epochs, chains, rng):
    """Means of batches of scalar gradients, (chains, batches of an epoch), by drawing the samples themselves."""
    if epochs:
        order = rng.permuted(np.tile(np.arange(len(noise)), (chains, 1)), axis=1)
    else:
        order = rng.integers(0, len(noise), (chains, len(noise)))
    return noise[order].reshape(chains, -1, size).mean(axis=2)


def simulate(rates, noise, size, epochs, chains, passes, seed):
    """Variance of x <- (1 - rate) x - g over chains and steps, in the second half of the passes through the data."""
    rng = np.random.default_rng(seed)
    x, total, count = np.zeros((chains, len(rates))), 0.0, 0
    for k in range(passes):
        for g in batch_means(noise, size, epochs, chains, rng).T:
            if 2 * k >= passes:
                total, count = total + (x**2).mean(axis=0), count + 1
            x = (1.0 - rates) * x - g[:, None]
    return total / count


@pytest.mark.parametrize(("samples", "size"), [(12, 3), (12, 6), (40, 4)])
@pytest.mark.parametrize("epochs", [True, False])
def test_variance_is_that_of_simulated_chains(samples, size, epochs):
    noise = np.random.default_rng(1).standard_exponential(samples)
    noise -= noise.mean()
    passes = 2 * int(np.ceil(10 / RATES[0] / (samples // size)))
    found = simulate(RATES, noise, size, epochs, 400, passes, 2)
    c = noise.var()
    if epochs:
        expected = sgd_noise.epoch_variance(RATES, c, 1.0, size, samples)
    else:
        expected = sgd_noise.iid_variance(RATES, c, 1.0, size)
    # 400 chains of ten relaxation times: 2.5 % of standard error in the flattest direction, less in the others.
    np.testing.assert_allclose(found, expected, rtol=0.1)


def covariance_of_an_epoch(rate, c, size, samples):
    """Mean variance in an epoch, from the covariance matrix of its batches and the linear map of all their noises."""
    m = samples // size
    s2 = c / size * (samples - size) / (samples - 1)
    noise = s2 * (np.eye(m) * m - 1.0) / (m - 1)
    a = 1.0 - rate
    # Row j holds the weights of the epoch's noises in x_j; the last row is the start of the next epoch.
    weights = np.array([[a ** (j - 1 - k) if k < j else 0.0 for k in range(m)] for j in range(m + 1)])
    own = np.einsum("jk,kl,jl->j", weights, noise, weights)
    start = own[m] / (1.0 - a ** (2 * m))
    return np.mean([a ** (2 * j) * start + own[j] for j in range(m)])


@given(st.floats(0.01, 1.99), st.integers(1, 9), st.integers(2, 30))
def test_epoch_variance_is_that_of_the_covariance_matrix(rate, size, batches):
    found = sgd_noise.epoch_variance(rate / 0.3, 0.7, 0.3, size, size * batches)
    assert found == pytest.approx(0.09 * covariance_of_an_epoch(rate, 0.7, size, size * batches), rel=1e-8)


def test_the_sampling_predicts_the_exponent():
    flat = np.array([1e-7, 1e-6])
    ratio = sgd_noise.epoch_variance(flat, flat, 0.1, 20, 1000) / sgd_noise.iid_variance(flat, flat, 0.1, 20)
    assert ratio[1] / ratio[0] == pytest.approx(10.0, rel=1e-3)  # needs all digits of sums that cancel
    steep = sgd_noise.epoch_variance(10.0, 1.0, 0.1, 20, 100_000) / sgd_noise.iid_variance(10.0, 1.0, 0.1, 20)
    assert steep == pytest.approx(1.0, rel=1e-3)
    half = np.array([2.2, 2.5]) / (0.1 * 50)
    ratio = sgd_noise.epoch_variance(half, half, 0.1, 20, 1000) / sgd_noise.iid_variance(half, half, 0.1, 20)
    assert ratio[0] < 0.5 < ratio[1]  # where the noise of an epoch halves the variance


def test_nothing_is_stationary_beyond_the_stability_limit():
    for function, more in ((sgd_noise.iid_variance, (4,)), (sgd_noise.epoch_variance, (4, 40))):
        found = function([1.0, 19.9, 20.0, 30.0], [1.0, 1.0, 1.0, 0.0], 0.1, *more)
        assert np.isfinite(found[:2]).all()
        assert found[2] == np.inf
        assert found[3] == 0.0  # without noise nothing moves from the minimum


def test_random_alignment_is_that_of_rotated_matrices():
    rng = np.random.default_rng(0)
    first, second = np.array([3.0, 1.0, 0.5, 0.0, 0.0]), np.array([5.0, 2.0, -1.0, 0.3, 0.1])
    found = []
    for _ in range(20_000):
        q, r = np.linalg.qr(rng.standard_normal((5, 5)))
        q *= np.sign(np.diag(r))  # uniform over the rotations and reflections
        found.append(np.trace(np.diag(first) @ q @ np.diag(second) @ q.T))
    found = np.array(found) / np.linalg.norm(first) / np.linalg.norm(second)
    law = sgd_noise.random_alignment(first, second)
    assert found.mean() == pytest.approx(law.mean, abs=5 * law.standard_deviation / np.sqrt(len(found)))
    assert found.std() == pytest.approx(law.standard_deviation, rel=0.03)
    assert law.to_dict() == {"mean": law.mean, "standard_deviation": law.standard_deviation}


def test_a_multiple_of_the_identity_is_aligned_with_everything_alike():
    law = sgd_noise.random_alignment([2.0, 2.0, 2.0], [1.0, 0.0, 0.0])
    assert law.mean == pytest.approx(3**-0.5)
    assert law.standard_deviation == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sgd_noise.iid_variance(0.0, 1.0, 0.1), "curvature"),
        (lambda: sgd_noise.iid_variance(1.0, -1.0, 0.1), "gradient_variance"),
        (lambda: sgd_noise.iid_variance([1.0, 2.0], [1.0, 2.0, 3.0], 0.1), "broadcast"),
        (lambda: sgd_noise.epoch_variance(1.0, 1.0, 0.1, 3, 10), "multiple"),
        (lambda: sgd_noise.epoch_variance(1.0, 1.0, 0.1, 10, 10), "samples"),
        (lambda: sgd_noise.epoch_variance(1.0, 1.0, 0.1, 2.5, 10), "batch_size"),
        (lambda: sgd_noise.epoch_variance(1.0, 1.0, [0.1, 0.2], 2, 10), "step_size"),
        (lambda: sgd_noise.random_alignment([1.0, 2.0], [1.0, 2.0, 3.0]), "second"),
        (lambda: sgd_noise.random_alignment([0.0, 0.0], [1.0, 2.0]), "first"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_share_of_the_batch_curvature_is_half_the_step_times_the_trace():
    # With replacement sum(curvature V) = step C/c (sum of curvatures) / 2B at small steps.
    curvatures, c = np.array([0.01, 0.02, 0.03]), 0.4
    variance = sgd_noise.iid_variance(curvatures, c * curvatures, 0.1, 8)
    share = sgd_noise.batch_curvature_share(curvatures, c * curvatures, variance)
    assert share == pytest.approx(0.1 * curvatures.sum() / 16, rel=0.01)
