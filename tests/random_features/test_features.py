"""Weights and features: the stream bit by bit, the formula, every layout of the input, and the distributions.

The stream is deterministic, so a random test here either always passes or always fails; each states the probability,
below 1e-6, with which a correct generator would have failed it.
"""

import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import random_features as reference
import torch
from scipy import stats

import pyphenom as ph

ACTIVATIONS = sorted(reference.ACTIVATIONS)
EPS32, EPS64 = float(np.finfo(np.float32).eps), float(np.finfo(np.float64).eps)
# Around the sizes at which a blocked implementation would start a new block.
STRADDLING = [1, 7, 63, 64, 65, 127, 128, 129, 256, 300]


def assert_features(Z, X, width, activation, *, eps=EPS64, **kwargs):
    """Compare with the formula, to the rounding error of the sum X W / sqrt(d) + b and the slope of the activation."""
    X = np.asarray(X, dtype=np.float64)
    W, b = reference.weights(X.shape[1], width, activation=activation, **kwargs)
    u = X @ W / math.sqrt(X.shape[1]) + b
    error = 4 * eps * (X.shape[1] + 4) * (np.abs(X) @ np.abs(W) / math.sqrt(X.shape[1]) + np.abs(b))
    expected = reference.ACTIVATIONS[activation](u)
    Z = np.asarray(Z, dtype=np.float64)
    assert Z.shape == expected.shape
    if activation == "sign":
        clear = np.abs(u) > error
        assert np.mean(clear) > 0.9
        assert np.array_equal(Z[clear], expected[clear])
    else:
        slope = {"cos": math.sqrt(2.0), "erf": 2.0 / math.sqrt(math.pi)}.get(activation, 1.0)
        assert np.all(np.abs(Z - expected) <= slope * error + 8 * eps * np.abs(expected))


# ---- the stream


@pytest.mark.parametrize("dimension", [1, 2, 3, 4, 5, 7, 8, 9, 33, 100])
def test_weights_follow_the_stream(dimension):
    W, b = ph.random_features.weights(dimension, 5, seed=12, bias_scale=0.7)
    expected_W, expected_b = reference.weights(dimension, 5, seed=12, bias_scale=0.7)
    assert W.shape == (dimension, 5)
    assert b.shape == (5,)
    assert W.dtype == b.dtype == np.float64
    np.testing.assert_allclose(W, expected_W, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(b, expected_b, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("first", [0, 1, 2**32 - 3, 2**40 + 17])
def test_every_bit_of_seed_and_feature_counts(seed, first):
    W, b = ph.random_features.weights(6, 6, seed=seed, bias_scale=1.0, first=first)
    expected_W, expected_b = reference.weights(6, 6, seed=seed, bias_scale=1.0, first=first)
    np.testing.assert_allclose(W, expected_W, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(b, expected_b, rtol=1e-14, atol=1e-15)


def test_numpy_integers_are_integers():
    W, _ = ph.random_features.weights(np.int32(3), np.int64(4), seed=np.uint64(2**64 - 1), first=np.uint32(5))
    expected, _ = ph.random_features.weights(3, 4, seed=2**64 - 1, first=5)
    assert np.array_equal(W, expected)


@pytest.mark.parametrize("distribution", ["gaussian", "sphere"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_distribution_and_bias_of_each_activation(activation, distribution):
    kwargs = {"activation": activation, "seed": 3, "distribution": distribution, "bias_scale": 0.25, "first": 2}
    W, b = ph.random_features.weights(7, 9, **kwargs)
    expected_W, expected_b = reference.weights(7, 9, **kwargs)
    np.testing.assert_allclose(W, expected_W, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(b, expected_b, rtol=1e-14, atol=1e-15)


def test_no_bias_unless_asked():
    assert np.all(ph.random_features.weights(3, 50)[1] == 0.0)
    assert np.all(ph.random_features.weights(3, 50, activation="cos")[1] > 0.0)


@pytest.mark.parametrize("distribution", ["gaussian", "sphere"])
@pytest.mark.parametrize("activation", ["relu", "cos"])
def test_float32_weights_are_the_float64_weights_rounded(activation, distribution):
    kwargs = {"activation": activation, "seed": 5, "distribution": distribution, "bias_scale": 1.0}
    W64, b64 = ph.random_features.weights(10, 500, **kwargs)
    W32, b32 = ph.random_features.weights(10, 500, dtype=np.float32, **kwargs)
    assert W32.dtype == b32.dtype == np.float32
    assert np.array_equal(W32, W64.astype(np.float32))
    assert np.array_equal(b32, b64.astype(np.float32))


@pytest.mark.parametrize("distribution", ["gaussian", "sphere"])
def test_a_weight_depends_only_on_seed_and_feature(distribution):
    # The stream may not depend on the width asked for, on where the range starts, or on any block in between.
    kwargs = {"seed": 9, "bias_scale": 1.0, "distribution": distribution}
    W, b = ph.random_features.weights(5, 700, **kwargs)
    np.testing.assert_allclose(W, reference.weights(5, 700, **kwargs)[0], rtol=1e-14, atol=1e-15)
    for width in STRADDLING:
        W_part, b_part = ph.random_features.weights(5, width, **kwargs)
        assert np.array_equal(W_part, W[:, :width]), width
        assert np.array_equal(b_part, b[:width]), width
        for first in STRADDLING:
            W_part, b_part = ph.random_features.weights(5, width, first=first, **kwargs)
            assert np.array_equal(W_part, W[:, first : first + width]), (width, first)
            assert np.array_equal(b_part, b[first : first + width]), (width, first)


def test_gaussian_rows_do_not_depend_on_the_dimension():
    tall = ph.random_features.weights(300, 20, seed=1)[0]
    for dimension in STRADDLING:
        assert np.array_equal(ph.random_features.weights(dimension, 20, seed=1)[0], tall[:dimension]), dimension


IN_ANOTHER_PROCESS = """
import hashlib, sys, numpy as np, pyphenom as ph
W, b = ph.random_features.weights(50, 777, seed=8, bias_scale=1.0)
X = np.linspace(-1, 1, 333 * 50).reshape(333, 50) ** 3
np.save(sys.argv[1], ph.random_features.features(X, 777, "tanh", seed=8, bias_scale=1.0))
print(hashlib.sha256(W.tobytes() + b.tobytes()).hexdigest())
"""


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_threads_change_nothing(threads, tmp_path):
    environment = {**os.environ}
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[variable] = threads
    saved = tmp_path / "features.npy"
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(saved)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    W, b = ph.random_features.weights(50, 777, seed=8, bias_scale=1.0)
    digest = hashlib.sha256(np.ascontiguousarray(W).tobytes() + b.tobytes()).hexdigest()
    assert run.stdout.strip() == digest
    X = np.linspace(-1, 1, 333 * 50).reshape(333, 50) ** 3
    here = ph.random_features.features(X, 777, "tanh", seed=8, bias_scale=1.0)
    np.testing.assert_allclose(np.load(saved), here, rtol=0, atol=1e-14)


# ---- the formula


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distribution", ["gaussian", "sphere"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_features_are_the_formula(activation, distribution, dtype):
    X = np.random.default_rng(0).normal(size=(23, 6)).astype(dtype)
    kwargs = {"seed": 2, "distribution": distribution, "bias_scale": 0.5, "first": 3}
    Z = ph.random_features.features(X, 70, activation, **kwargs)
    assert isinstance(Z, np.ndarray)
    assert Z.dtype == dtype
    assert_features(Z, X, 70, activation, eps=float(np.finfo(dtype).eps), **kwargs)


@pytest.mark.parametrize(
    ("n", "d", "width"), [(1, 1, 1), (1, 5, 3), (5, 1, 300), (2, 100, 1), (300, 3, 129), (1, 257, 65)]
)
def test_shapes(n, d, width):
    X = np.random.default_rng(1).normal(size=(n, d))
    assert_features(ph.random_features.features(X, width, "erf", 4), X, width, "erf", seed=4)


def test_defaults_are_relu_gaussian_without_bias():
    X = np.random.default_rng(2).normal(size=(4, 3))
    assert_features(ph.random_features.features(X, 10), X, 10, "relu", seed=0)


def test_features_are_columns_of_one_infinite_matrix():
    X = np.random.default_rng(3).normal(size=(11, 5))
    Z = ph.random_features.features(X, 600, "tanh", seed=6, bias_scale=0.1)
    for width in STRADDLING:
        for first in (0, 1, 63, 64, 129, 300):
            part = ph.random_features.features(X, width, "tanh", seed=6, bias_scale=0.1, first=first)
            np.testing.assert_allclose(part, Z[:, first : first + width], rtol=0, atol=1e-14)


def test_a_row_does_not_depend_on_the_other_rows():
    X = np.random.default_rng(4).normal(size=(300, 5))
    Z = ph.random_features.features(X, 40, "sigmoid", seed=6)
    for rows in (slice(0, 1), slice(63, 65), slice(100, 229), slice(299, 300)):
        np.testing.assert_allclose(
            ph.random_features.features(X[rows], 40, "sigmoid", seed=6), Z[rows], rtol=0, atol=1e-14
        )


def test_a_zero_row():
    X = np.zeros((2, 3))
    at_zero = {"sigmoid": 0.5}
    for activation in ACTIVATIONS:
        Z = ph.random_features.features(X, 9, activation, seed=1)
        if activation == "cos":
            expected = math.sqrt(2.0) * np.cos(reference.weights(3, 9, activation="cos", seed=1)[1])
            np.testing.assert_allclose(Z, np.tile(expected, (2, 1)), atol=1e-15)
        else:
            assert np.all(at_zero.get(activation, 0.0) == Z), activation


@pytest.mark.parametrize("scale", [1e150, 1e-150, 2.0**-1000])
@pytest.mark.parametrize("activation", ["relu", "abs", "identity"])
def test_homogeneous_activations_at_extreme_scales(activation, scale):
    X = np.random.default_rng(5).normal(size=(6, 4))
    Z = ph.random_features.features(X, 30, activation, seed=1)
    np.testing.assert_allclose(
        ph.random_features.features(scale * X, 30, activation, seed=1) / scale, Z, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("scale", [1e18, 1e-18])
def test_homogeneous_activations_at_extreme_scales_in_float32(scale):
    X = np.random.default_rng(5).normal(size=(6, 4)).astype(np.float32)
    Z = ph.random_features.features(X, 30, "relu", seed=1)
    scaled = ph.random_features.features(np.float32(scale) * X, 30, "relu", seed=1)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled / np.float32(scale), Z, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturation(dtype):
    X = np.array([[1e30], [-1e30]], dtype=dtype)
    sign = np.sign(ph.random_features.weights(1, 20, seed=1)[0][0])
    for activation, low in (("tanh", -1.0), ("erf", -1.0), ("sign", -1.0), ("sigmoid", 0.0)):
        Z = ph.random_features.features(X, 20, activation, seed=1)
        expected = np.where(sign > 0, 1.0, low)
        assert np.array_equal(Z[0], expected), activation
        assert np.array_equal(Z[1], 1.0 + low - expected), activation


@pytest.mark.parametrize("activation", ["tanh", "erf", "identity"])
def test_small_arguments_keep_their_relative_accuracy(activation):
    X = 1e-9 * np.random.default_rng(6).uniform(1, 2, size=(5, 1))
    slope = 2.0 / math.sqrt(math.pi) if activation == "erf" else 1.0
    expected = slope * X @ ph.random_features.weights(1, 12, seed=3)[0]
    np.testing.assert_allclose(ph.random_features.features(X, 12, activation, seed=3), expected, rtol=1e-13)


# ---- layouts, types and kinds


def layouts(X):
    """Yield the same values in every layout that numpy can give them."""
    n, d = X.shape
    wide = np.full((n, 2 * d), np.nan)
    wide[:, ::2] = X
    tall = np.full((3 * n, d), np.nan)
    tall[::3] = X
    read_only = X.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + X.tobytes(), dtype=np.uint8)[1:].view(X.dtype).reshape(n, d)
    yield "fortran", np.asfortranarray(X)
    yield "columns", wide[:, ::2]
    yield "rows", tall[::3]
    yield "reversed", X[::-1, ::-1].copy()[::-1, ::-1]
    yield "read-only", read_only
    yield "unaligned", unaligned
    yield "big-endian", X.astype(X.dtype.newbyteorder(">"))


def test_layouts():
    X = np.random.default_rng(7).normal(size=(9, 4))
    Z = ph.random_features.features(X, 33, "tanh", seed=1)
    for name, same in layouts(X):
        before = same.copy()
        try:
            result = ph.random_features.features(same, 33, "tanh", seed=1)
        except (TypeError, ValueError) as error:  # refusing an exotic byte order is fine; misreading it is not
            assert name == "big-endian" and "X" in str(error)  # noqa: PT017, PT018
            continue
        np.testing.assert_allclose(result, Z, rtol=0, atol=1e-14, err_msg=name)
        assert result.dtype == np.dtype(np.float64)
        assert np.array_equal(same, before), name


def test_a_broadcast_row():
    row = np.random.default_rng(8).normal(size=(1, 4))
    Z = ph.random_features.features(np.broadcast_to(row, (5, 4)), 8, seed=1)
    np.testing.assert_allclose(Z, np.tile(ph.random_features.features(row, 8, seed=1), (5, 1)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_integers_and_booleans_become_float64(dtype):
    X = (np.arange(12).reshape(4, 3) % 5).astype(dtype)
    Z = ph.random_features.features(X, 10, "tanh", seed=2)
    assert Z.dtype == np.float64
    assert_features(Z, X.astype(np.float64), 10, "tanh", seed=2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_in_torch_out(dtype):
    X = torch.from_numpy(np.random.default_rng(9).normal(size=(8, 6))).to(dtype)
    expected = ph.random_features.features(X.numpy(), 20, "erf", seed=3, bias_scale=0.2)
    for tensor in (X, X.t().contiguous().t(), torch.cat([X, X], dim=1)[:, :6], X[:, :]):
        Z = ph.random_features.features(tensor, 20, "erf", seed=3, bias_scale=0.2)
        assert isinstance(Z, torch.Tensor)
        assert Z.dtype == dtype
        assert Z.device == X.device
        np.testing.assert_allclose(Z.numpy(), expected, rtol=0, atol=40 * float(torch.finfo(dtype).eps))


def test_torch_integers_become_float64():
    Z = ph.random_features.features(torch.arange(6).reshape(2, 3), 5, seed=1)
    assert Z.dtype == torch.float64
    assert_features(Z.numpy(), np.arange(6.0).reshape(2, 3), 5, "relu", seed=1)


# ---- the distributions


LEVEL = 1e-7  # the failure probability of each test below, for a perfect generator


def test_weights_are_standard_normal():
    W = ph.random_features.weights(200, 500, seed=21)[0]
    assert stats.kstest(W.ravel(), "norm").pvalue > LEVEL
    # All four outputs of a block, each by itself.
    for row in range(4):
        assert stats.kstest(W[row::4].ravel(), "norm").pvalue > LEVEL
    count, sigmas = W.size, stats.norm.isf(LEVEL / 2)
    for power, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        second = math.prod(range(1, 2 * power, 2))  # E z^(2k) = (2k - 1)!!
        assert abs(np.mean(W**power) - moment) < 1.1 * sigmas * math.sqrt((second - moment**2) / count), power


def test_biases_are_standard_normal_or_uniform():
    b = ph.random_features.weights(1, 50_000, seed=22, bias_scale=2.0)[1]
    assert stats.kstest(b / 2.0, "norm").pvalue > LEVEL
    phase = ph.random_features.weights(1, 50_000, activation="cos", seed=22)[1]
    assert stats.kstest(phase / (2 * math.pi), "uniform").pvalue > LEVEL


def correlation_pvalue(a, b):
    """Return the two-sided p-value of no correlation, exact for normal samples."""
    r = np.sum(a * b, axis=0) / np.sqrt(np.sum(a**2, axis=0) * np.sum(b**2, axis=0))
    dof = len(a) - 1
    return 2 * stats.t.sf(np.abs(r) * np.sqrt(dof / (1 - r**2)), dof)


def test_features_are_uncorrelated():
    W = ph.random_features.weights(1000, 150, seed=23)[0]
    i, j = np.triu_indices(150, 1)
    assert np.min(correlation_pvalue(W[:, i], W[:, j])) * len(i) > LEVEL
    # Squares too: a shared radius leaves the values uncorrelated. Six standard deviations of a mean of 150 000.
    for lag in (1, 2, 3, 4):
        product = (W[:-lag] ** 2 - 1) * (W[lag:] ** 2 - 1)
        assert abs(np.mean(product)) < 6 * 2 / math.sqrt(product.size), lag
        product = (W[:, :-lag] ** 2 - 1) * (W[:, lag:] ** 2 - 1)
        assert abs(np.mean(product)) < 6 * 2 / math.sqrt(product.size), lag


@pytest.mark.parametrize("other", [1, 2**32, 2**63])
def test_seeds_are_uncorrelated(other):
    a, b = ph.random_features.weights(400, 100, seed=0)[0], ph.random_features.weights(400, 100, seed=other)[0]
    assert correlation_pvalue(a.ravel(), b.ravel()) > LEVEL
    assert not np.intersect1d(a, b).size


def test_biases_are_uncorrelated_with_weights():
    W, b = ph.random_features.weights(8, 20_000, seed=24, bias_scale=1.0)
    assert np.min(correlation_pvalue(W.T, b[:, None])) * 8 > LEVEL


@pytest.mark.parametrize("dimension", [1, 2, 3, 50])
def test_sphere(dimension):
    W = ph.random_features.weights(dimension, 5000, seed=25, distribution="sphere")[0]
    np.testing.assert_allclose(np.linalg.norm(W, axis=0), math.sqrt(dimension), rtol=1e-14)
    if dimension > 1:  # the square of one coordinate of a uniform unit vector is Beta(1/2, (d - 1)/2)
        assert stats.kstest(W[0] ** 2 / dimension, stats.beta(0.5, (dimension - 1) / 2).cdf).pvalue > LEVEL
    else:
        assert abs(np.sum(W)) < 6 * math.sqrt(5000)


def kernels(X):
    """Return the limits of features(x) features(x') / width: arc-cosine, arcsine and Gaussian kernels."""
    d = X.shape[1]
    gram = X @ X.T / d
    norms = np.sqrt(np.diag(gram))
    angle = np.arccos(np.clip(gram / np.outer(norms, norms), -1, 1))
    yield "relu", np.outer(norms, norms) * (np.sin(angle) + (math.pi - angle) * np.cos(angle)) / (2 * math.pi)
    yield "sign", 1 - 2 * angle / math.pi
    widened = np.sqrt(1 + 2 * np.diag(gram))
    yield "erf", 2 / math.pi * np.arcsin(2 * gram / np.outer(widened, widened))
    yield "cos", np.exp(-np.sum((X[:, None] - X[None]) ** 2, axis=2) / (2 * d))


def test_features_approach_their_kernels():
    # Cho and Saul 2009; Williams 1998; Rahimi and Recht 2007. Six standard errors on 15 entries: below 1e-7.
    # The last term is the rounding error of an arccosine at 1.
    X = np.random.default_rng(10).normal(size=(5, 4))
    i, j = np.triu_indices(5)
    for activation, kernel in kernels(X):
        Z = ph.random_features.features(X, 100_000, activation, seed=26)
        products = Z[i] * Z[j]
        standard_error = np.std(products, axis=1) / math.sqrt(products.shape[1])
        assert np.all(np.abs(np.mean(products, axis=1) - kernel[i, j]) <= 6 * standard_error + 1e-7), activation
