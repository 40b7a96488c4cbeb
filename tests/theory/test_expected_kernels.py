import numpy as np
import pytest
from scipy import special

from pyphenom.theory.expected_kernels import arc_cosine_kernel, expected_kernel

ACTIVATIONS = {
    "relu": lambda u, b: np.maximum(u, 0),
    "abs": lambda u, b: np.abs(u),
    "sign": lambda u, b: np.sign(u),
    "erf": lambda u, b: special.erf(u),
    "identity": lambda u, b: u,
    "cos": lambda u, b: np.sqrt(2) * np.cos(u + b),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_equals_the_mean_over_random_features(name):
    # 25 entries, 5 standard errors each: less than 2e-5 false alarms.
    rng = np.random.default_rng(6)
    X = rng.standard_normal((5, 3)) * np.array([0.3, 1, 1, 2, 4])[:, None]
    X[2] = X[1] + 0.01
    w, b = rng.standard_normal((3, 100_000)), rng.uniform(0, 2 * np.pi, 100_000)
    Z = ACTIVATIONS[name](X @ w / np.sqrt(3), b)
    products = Z[:, None] * Z[None]
    error = products.std(-1) / 100_000**0.5
    assert (abs(products.mean(-1) - expected_kernel(X, name)) <= 5 * error + 1e-12).all()
    np.testing.assert_allclose(expected_kernel(X, name, X[1:3]), expected_kernel(X, name)[:, 1:3], rtol=1e-6)


def test_diagonal_is_exact():
    X = np.random.default_rng(7).standard_normal((50, 10)) * 3
    s = (X**2).mean(1)
    diagonals = {
        "relu": s / 2,
        "abs": s,
        "sign": 1 + 0 * s,
        "erf": np.arcsin(2 * s / (1 + 2 * s)) * 2 / np.pi,
        "identity": s,
        "cos": 1 + 0 * s,
    }
    for name, expected in diagonals.items():
        kernel = expected_kernel(X, name)
        np.testing.assert_allclose(np.diag(kernel), expected, rtol=1e-14)
        np.testing.assert_array_equal(kernel, kernel.T)
        assert np.linalg.eigvalsh(kernel).min() > -1e-12 * kernel.max()


def test_zero_input_has_the_kernel_of_its_feature():
    X = np.array([[0.0, 0.0], [1.0, -2.0]])
    for name in ("relu", "abs", "sign", "erf", "identity"):
        np.testing.assert_array_equal(expected_kernel(X, name)[0], 0.0)
    np.testing.assert_allclose(expected_kernel(X, "cos")[0], [1.0, np.exp(-5 / 4)])


def test_opposite_inputs():
    X = np.array([[1.0, 2.0], [-1.0, -2.0]])
    np.testing.assert_allclose(arc_cosine_kernel(X), [[1.25, 0], [0, 1.25]], atol=1e-15)
    np.testing.assert_allclose(expected_kernel(X, "sign"), [[1, -1], [-1, 1]])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: expected_kernel(np.eye(2), "tanh"), ValueError, "activation: got 'tanh', expected one of relu"),
        (lambda: expected_kernel(np.ones(3)), ValueError, r"X: got shape \(3,\)"),
        (lambda: expected_kernel(np.eye(2), "relu", np.eye(3)), ValueError, "X2: got 3 columns, expected 2"),
        (lambda: arc_cosine_kernel([[np.inf]]), ValueError, "X: got inf"),
        (lambda: arc_cosine_kernel([[np.nan]]), ValueError, "X: got NaN"),
        (lambda: arc_cosine_kernel([["a"]]), TypeError, "X: got list"),
    ],
)
def test_wrong_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
