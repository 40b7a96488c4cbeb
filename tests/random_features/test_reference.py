"""The reference against published vectors and closed forms, so that what judges the kernel is itself judged."""

import math

import mpmath
import numpy as np
import philox
import pytest
import random_features as reference

# Known-answer vectors published with Random123 (kat_vectors, philox4x32 10): counter, key, output.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def unhex(words):
    return tuple(int(word, 16) for word in words.split())


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_philox_known_answers(counter, key, output):
    assert philox.philox4x32(unhex(counter), unhex(key)) == unhex(output)


def test_first_weights_follow_from_the_published_words():
    # Seed 0, feature 0, block 0, stream 0 is the all-zero counter and key, whose output is published.
    u = [(mpmath.mpf(word) + 0.5) / 2**32 for word in unhex(KNOWN[0][2])]
    expected = []
    for radius, angle in ((u[0], u[1]), (u[2], u[3])):
        r, t = mpmath.sqrt(-2 * mpmath.log(radius)), 2 * mpmath.pi * angle
        expected += [float(r * mpmath.cos(t)), float(r * mpmath.sin(t))]
    W, b = reference.weights(4, 1)
    np.testing.assert_allclose(W[:, 0], expected, rtol=4e-16)
    assert np.all(b == 0.0)


def test_counter_layout():
    # Every word of the counter and of the key has its own place.
    seed, feature = (7 << 32) + 3, (5 << 32) + 11
    expected = [(x + 0.5) / 2**32 for x in philox.philox4x32((2, 1, 11, 5), (3, 7))]
    assert reference.uniforms(seed, feature, 2, 1) == expected
    W, _ = reference.weights(11, 1, seed=seed, first=feature)
    assert W[9, 0] == reference.normals(seed, feature, 2, 0)[1]


def test_sphere_and_bias():
    W, b = reference.weights(5, 20, distribution="sphere", bias_scale=0.5)
    gaussian, unscaled = reference.weights(5, 20, bias_scale=1.0)
    np.testing.assert_allclose(np.linalg.norm(W, axis=0), math.sqrt(5), rtol=4e-16)
    np.testing.assert_allclose(W / W[0], gaussian / gaussian[0], rtol=1e-14)
    np.testing.assert_allclose(b, 0.5 * unscaled, rtol=1e-15)
    _, phase = reference.weights(5, 20, activation="cos", bias_scale=0.5)
    assert np.all((phase > 0) & (phase < 2 * math.pi))
    assert np.ptp(phase) > math.pi


def test_features_by_hand():
    W, b = reference.weights(2, 3, seed=4, bias_scale=0.3)
    Z = reference.features([[1.0, -2.0]], 3, "relu", seed=4, bias_scale=0.3)
    by_hand = [max(0.0, (W[0, i] - 2.0 * W[1, i]) / math.sqrt(2.0) + b[i]) for i in range(3)]
    np.testing.assert_allclose(Z[0], by_hand, rtol=1e-14)


@pytest.mark.parametrize("penalty", [0.0, 0.3, 5.0])
def test_orthogonal_columns_have_a_closed_form(penalty):
    # Columns of a Hadamard matrix: Z'Z = n I, so a = Z'y / (n + P), h_jj = N / (n + P), and e_j / (1 - h_jj) left out.
    H = np.array([[1.0]])
    for _ in range(3):
        H = np.block([[H, H], [H, -H]])
    n, N = 8, 5
    rng = np.random.default_rng(0)
    y, y_test, Z_test = rng.normal(size=n), rng.normal(size=3), rng.normal(size=(3, n))
    a = H[:, :N].T @ y / (n + penalty)
    residual = y - H[:, :N] @ a
    for path in (reference.path, reference.exact_path):
        result = path(H, y, Z_test, y_test, [N], [penalty])
        np.testing.assert_allclose(result.train_error, [np.mean(residual**2)], rtol=1e-13)
        np.testing.assert_allclose(result.predictions, [Z_test[:, :N] @ a], rtol=1e-13)
        np.testing.assert_allclose(result.test_error, [np.mean((y_test - Z_test[:, :N] @ a) ** 2)], rtol=1e-13)
        np.testing.assert_allclose(result.coefficient_norm, [np.linalg.norm(a)], rtol=1e-13)
        np.testing.assert_allclose(result.degrees_of_freedom, [n * N / (n + penalty)], rtol=1e-13)
        left_out = residual / (1 - N / (n + penalty))
        np.testing.assert_allclose(result.leave_one_out_error, [np.mean(left_out**2)], rtol=1e-13)
        np.testing.assert_allclose(result.condition, [1.0], rtol=1e-13)


@pytest.mark.parametrize("ridge", [0.0, 1e-12, 1e-6, 1.0, 1e6])
def test_svd_and_high_precision_agree(ridge, assert_matches):
    # Two routes with nothing in common but the definition: the SVD, and normal equations in 80 digits.
    rng = np.random.default_rng(1)
    n, m, d = 7, 3, 3
    Z = reference.features(rng.normal(size=(n, d)), 17, "tanh", seed=1)
    Z_test = reference.features(rng.normal(size=(m, d)), 17, "tanh", seed=1)
    y, y_test, widths = rng.normal(size=(n, 2)), rng.normal(size=(m, 2)), [1, 2, 5, 6, 7, 8, 9, 17]
    penalty = reference.penalties(widths, n, ridge, "width", d)
    truth = reference.exact_path(Z, y, Z_test, y_test, widths, penalty)
    svd = reference.path(Z, y, Z_test, y_test, widths, penalty)
    np.testing.assert_allclose(svd.condition, truth.condition, rtol=1e-9)
    np.testing.assert_allclose(svd.predictions, truth.predictions, rtol=1e-9, atol=1e-12)
    for name in ("train_error", "test_error", "coefficient_norm", "degrees_of_freedom", "leave_one_out_error"):
        np.testing.assert_allclose(getattr(svd, name), getattr(truth, name), rtol=1e-8, atol=1e-14, err_msg=name)


def test_high_precision_survives_the_hilbert_matrix():
    # Condition 1.6e13: every float64 route keeps three digits. A QR in 120 digits is the third opinion.
    n = 10
    H = np.array([[1.0 / (i + j + 1) for j in range(n)] for i in range(n)])
    truth = reference.exact_path(H, H @ np.ones(n), np.eye(n), np.ones(n), [n], [0.0], leave_one_out=False)
    assert truth.condition[0] == pytest.approx(1.6025e13, rel=1e-3)
    with mpmath.workdps(120):
        A, b = mpmath.matrix(H.tolist()), mpmath.matrix((H @ np.ones(n)).tolist())
        solution = mpmath.qr_solve(A, b)[0]
        np.testing.assert_allclose(truth.predictions[0], [float(v) for v in solution], rtol=1e-14)
    assert truth.train_error[0] < 1e-60


def test_minimum_norm_and_rank():
    # One feature twice: the minimum-norm solution shares the coefficient equally.
    z = np.array([[1.0], [2.0], [-1.0]])
    y = np.array([1.0, 0.0, 3.0])
    result = reference.path(np.hstack([z, z]), y, z.T @ z * np.ones((1, 2)), [0.0], [1, 2], [0.0, 0.0])
    slope = float(z[:, 0] @ y / 6.0)
    assert result.rank.tolist() == [1, 1]
    np.testing.assert_allclose(result.coefficient_norm, [abs(slope), abs(slope) / math.sqrt(2)], rtol=1e-14)
    np.testing.assert_allclose(result.degrees_of_freedom, [1.0, 1.0])


def test_one_sample_left_out_leaves_nothing():
    result = reference.path([[2.0, 1.0]], [3.0], [[1.0, 0.0]], [1.0], [1, 2], [0.0, 0.0])
    np.testing.assert_allclose(result.leave_one_out_error, [9.0, 9.0])


def test_penalties():
    assert reference.penalties([2, 4], 10, 0.5) == [5.0, 5.0]
    assert reference.penalties([2, 4], 10, 0.5, "width", 4) == [2.5, 5.0]


def test_norm_outside_the_range_of_squares():
    assert reference.norm(np.array([3e200, -4e200])) == pytest.approx(5e200, rel=1e-15)
    assert reference.norm(np.array([3e-200, -4e-200])) == pytest.approx(5e-200, rel=1e-15)
    assert reference.norm(np.zeros(3)) == 0.0
