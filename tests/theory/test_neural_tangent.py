import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyphenom.theory import eigenframework, kernel_descent
from pyphenom.theory.neural_tangent import kernel, kernel_matrix

# Computed apart from the package, at u = -1/2, 0, 1/2, 9/10.
PUBLISHED = {
    1: [-0.05766889, 0.31830989, 0.94233111, 1.68032874],
    2: [0.34386225, 0.68570864, 1.35147956, 2.36881366],
    3: [0.74224932, 1.06038811, 1.73784468, 2.98569319],
}


def by_many_digits(u, depth):
    with mpmath.workdps(60):
        theta, covariance = u, u
        for _ in range(depth):
            angle = mpmath.acos(covariance)
            covariance = (covariance * (mpmath.pi - angle) + mpmath.sin(angle)) / mpmath.pi
            theta = theta * (mpmath.pi - angle) / mpmath.pi + covariance
        return theta


def sampled(rng, X, width, depth):
    """The kernel of one network, by the chain rule: the gradient by W_l is the outer product of D_l and h_l."""
    layers, weights = [X], []
    for _ in range(depth):
        weights.append(rng.standard_normal((layers[-1].shape[1], width)))
        layers.append(np.sqrt(2 / width) * np.maximum(layers[-1] @ weights[-1], 0.0))
    total = layers[-1] @ layers[-1].T
    D = np.broadcast_to(rng.standard_normal(width), (len(X), width))
    for h, after, W in zip(layers[-2::-1], layers[:0:-1], weights[::-1], strict=True):
        D = np.sqrt(2 / width) * D * (after > 0)
        total = total + (D @ D.T) * (h @ h.T)
        D = D @ W.T
    return total


@pytest.mark.parametrize("depth", PUBLISHED)
def test_published_values(depth):
    np.testing.assert_allclose(kernel([-0.5, 0.0, 0.5, 0.9], depth), PUBLISHED[depth], atol=6e-9, rtol=0)


@pytest.mark.parametrize("depth", [0, 1, 2, 5, 40])
def test_ends(depth):
    assert kernel(1.0, depth) == depth + 1
    assert kernel(-1.0, depth) == pytest.approx({0: -1.0, 1: 0.0}.get(depth, by_many_digits(mpmath.mpf(-1), depth)))


@given(st.floats(-1.0, 1.0) | st.floats(0.0, 16.0).map(lambda e: 1.0 - 10.0**-e), st.integers(0, 30))
def test_every_cosine_to_rounding(u, depth):
    truth = by_many_digits(mpmath.mpf(u), depth)
    assert abs(kernel(u, depth) - truth) <= 1e-15 * (depth + 1)


@pytest.mark.parametrize(("depth", "width", "networks"), [(1, 50, 4000), (1, 1, 40000)])
def test_one_hidden_layer_has_its_kernel_as_mean_at_any_width(depth, width, networks):
    # Six entries, each off by more than 5 standard errors once in 10^6 runs.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3, 4))
    found = np.array([sampled(rng, X, width, depth) for _ in range(networks)])
    error = found.std(axis=0, ddof=1) / np.sqrt(networks)
    assert (np.abs(found.mean(axis=0) - kernel_matrix(X, depth)) < 5 * error).all()


@pytest.mark.parametrize("width", [50, 200])
def test_its_relative_variance_is_3_over_the_width(width):
    # Of 20,000 sums of a chi-square law: a standard error of 1.5 %, five of which are exceeded once in 10^6 runs.
    rng, x = np.random.default_rng(1), np.array([[1.0, 2.0, -1.0]])
    found = np.array([sampled(rng, x, width, 1) for _ in range(20_000)]).ravel()
    assert found.var() / found.mean() ** 2 == pytest.approx(3 / width, rel=0.075)


@pytest.mark.parametrize("depth", [2, 3])
def test_deep_networks_approach_theirs(depth):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((5, 6))
    found = np.array([sampled(rng, X, 1000, depth) for _ in range(40)])
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    truth = kernel_matrix(X, depth)
    # Beside chance, a mean that is off by the order of depth over width: 3 % would be a wrong recursion.
    assert (np.abs(found.mean(axis=0) - truth) < 5 * error + 5 * depth / 1000 * truth.max()).all()
    assert (np.abs(found.mean(axis=0) / kernel_matrix(X, depth - 1) - 1) > 0.1).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 4), st.integers(0, 2**32 - 1), st.floats(1e-100, 1e100))
def test_matrices(n, d, depth, seed, scale):
    X = np.random.default_rng(seed).standard_normal((n, d)) * scale
    K = kernel_matrix(X, depth)
    assert (K == K.T).all()
    np.testing.assert_allclose(np.diag(K), (depth + 1) * (X**2).sum(axis=1), rtol=1e-13)
    np.testing.assert_allclose(K, kernel_matrix(X, depth, X), rtol=0, atol=1e-6 * K.max())
    values = np.linalg.eigvalsh(K / K.max())
    assert values[0] > -1e-13 * n


def test_an_input_of_zero_has_no_kernel():
    np.testing.assert_allclose(kernel_matrix([[0.0, 0.0], [1.0, 0.0]], 2), [[0.0, 0.0], [0.0, 3.0]], rtol=1e-15)


def test_wide_networks_descend_by_their_kernel():
    """Both layers trained, with outputs of zero at the start by a mirrored copy."""
    rng, steps, width = np.random.default_rng(3), np.array([0, 5, 20, 80]), 40_000
    X = rng.standard_normal((20, 5))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = np.sign(X[:, 0])
    step = 0.4 * len(X) / np.linalg.eigvalsh(kernel_matrix(X))[-1]

    def predicted(depth):
        values, vectors = np.linalg.eigh(kernel_matrix(X, depth))
        return kernel_descent.squared_residual(values, (vectors.T @ y) ** 2, step, steps)

    W, a = rng.standard_normal((5, width)), rng.standard_normal(width)
    W, a, gain, found = np.hstack([W, W]), np.hstack([a, -a]), np.sqrt(1 / width), []
    for t in range(steps[-1] + 1):
        before = X @ W
        residual = gain * np.maximum(before, 0) @ a - y
        if t in steps:
            found.append(residual @ residual)
        slope = 2 / len(X) * residual
        da = gain * np.maximum(before, 0).T @ slope
        W = W - step * gain * X.T @ (slope[:, None] * (before > 0) * a)
        a = a - step * da
    # Over seeds the logarithm of the last is .03 off, with a deviation of .015.
    assert np.abs(np.log(found / predicted(1))).max() < 0.1
    assert np.abs(np.log(found / predicted(2))).max() > 0.3


def test_the_framework_takes_it():
    X = np.random.default_rng(4).standard_normal((60, 3))
    pool = eigenframework.spectrum(kernel_matrix(X, 2), X[:, 0])
    assert 0 < eigenframework.kernel_regression(pool.eigenvalues, pool.target_power, n=30).test_error < 1


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "cosine: got 1.5, expected numbers from -1 to 1", lambda: kernel(1.5)),
        (ValueError, "cosine: got NaN", lambda: kernel(np.nan)),
        (TypeError, "cosine: got str", lambda: kernel("one")),
        (ValueError, "depth: got -1, expected one integer >= 0", lambda: kernel(0.5, -1)),
        (ValueError, "depth: got 1.5, expected one integer", lambda: kernel(0.5, 1.5)),
        (ValueError, "depth: got inf, expected one integer", lambda: kernel(0.5, np.inf)),
        (TypeError, "depth: got bool", lambda: kernel_matrix(np.eye(2), True)),
        (ValueError, r"X: got shape \(3,\), expected \(m, d\)", lambda: kernel_matrix(np.ones(3))),
        (ValueError, "X2: got 3 columns, expected 2", lambda: kernel_matrix(np.eye(2), 1, np.eye(3))),
    ],
)
def test_bad_input(error, message, call):
    with pytest.raises(error, match=message):
        call()


def test_rounding_beyond_one_is_one():
    assert kernel(1 + 1e-15, 3) == 4.0
