"""Random features and their regression path as the definitions read: one Philox block, one SVD, one refit at a time.

Nothing here is fast, and nothing is shared between widths, so an error of an update or a block cannot be repeated here.
"""

import math
from dataclasses import dataclass

import mpmath
import numpy as np
from philox import MASK, philox4x32
from scipy.special import erf, expit

WEIGHTS, BIAS = 0, 1  # streams

# A singular value counts as zero below this multiple of max(rows, columns) eps times the largest. Tests compare ranks
# only where no singular value is near it.
RANK_FACTOR = 8.0

ACTIVATIONS = {
    "relu": lambda u: np.maximum(u, 0.0),
    "tanh": np.tanh,
    "erf": erf,
    "sigmoid": expit,
    "sign": np.sign,
    "abs": np.abs,
    "identity": lambda u: u,
    "cos": lambda u: math.sqrt(2.0) * np.cos(u),
}


# ---- features


def uniforms(seed, feature, block, stream):
    """Return the four uniforms (x + 1/2) / 2^32 of a block."""
    words = philox4x32((block, stream, feature & MASK, feature >> 32), (seed & MASK, seed >> 32))
    return [(word + 0.5) / 2.0**32 for word in words]


def normals(seed, feature, block, stream):
    """Return the four normals of a block: two Box-Muller pairs."""
    u0, u1, u2, u3 = uniforms(seed, feature, block, stream)
    z = []
    for radius, angle in ((u0, u1), (u2, u3)):
        # Rounding 2 pi u would cost the cosine its digits next to its zeros; taking off quarter turns first is exact.
        quarter = round(4.0 * angle)
        t = (4.0 * angle - quarter) * (math.pi / 2.0)
        cosine, sine = math.cos(t), math.sin(t)
        for _ in range(quarter):
            cosine, sine = -sine, cosine
        r = math.sqrt(-2.0 * math.log(radius))
        z += [r * cosine, r * sine]
    return z


def weights(dimension, width, activation="relu", seed=0, distribution="gaussian", bias_scale=0.0, first=0):
    """Return W (dimension, width) and b (width,) of the features first, ..., first + width - 1."""
    W, b = np.empty((dimension, width)), np.empty(width)
    for column, feature in enumerate(range(first, first + width)):
        for block in range((dimension + 3) // 4):
            z = normals(seed, feature, block, WEIGHTS)[: dimension - 4 * block]
            W[4 * block : 4 * block + len(z), column] = z
        if distribution == "sphere":
            W[:, column] *= math.sqrt(dimension) / math.sqrt(math.fsum(w * w for w in W[:, column]))
        if activation == "cos":
            b[column] = 2.0 * math.pi * uniforms(seed, feature, 0, BIAS)[0]
        else:
            b[column] = bias_scale * normals(seed, feature, 0, BIAS)[0]
    return W, b


def preactivations(X, width, **kwargs):
    """Return X W / sqrt(d) + b in float64."""
    X = np.asarray(X, dtype=np.float64)
    W, b = weights(X.shape[1], width, **kwargs)
    return X @ W / math.sqrt(X.shape[1]) + b


def features(X, width, activation="relu", **kwargs):
    """Return activation(X W / sqrt(d) + b) in float64."""
    return ACTIVATIONS[activation](preactivations(X, width, activation=activation, **kwargs))


# ---- regression


@dataclass(frozen=True)
class Path:
    """Results over widths, as the kernel names them; those after the predictions serve only the tolerances."""

    widths: np.ndarray
    train_error: np.ndarray
    test_error: np.ndarray
    coefficient_norm: np.ndarray
    degrees_of_freedom: np.ndarray
    leave_one_out_error: np.ndarray
    condition: np.ndarray
    rank: np.ndarray
    predictions: np.ndarray
    largest: np.ndarray  # the largest singular value of Z_N
    refit_condition: np.ndarray  # the worst condition number among the leave-one-out refits
    spare: np.ndarray  # the smallest 1 - h_jj, by which a residual is divided to leave its sample out (ridge only)
    dual_condition: np.ndarray  # of [Z_N, sqrt(P) I], rank < n, which a solver by the dual may meet (ridge only)


def penalties(widths, n, ridge, ridge_scaling="fixed", d=1):
    """Return P_N for each width: n ridge, or n ridge N / d (Mei and Montanari)."""
    return [n * ridge * (N / d if ridge_scaling == "width" else 1.0) for N in widths]


def norm(a):
    """Return |a|_2 of a vector whose squares may overflow or underflow."""
    largest = np.max(np.abs(a), initial=0.0)
    return 0.0 if largest == 0.0 else largest * math.sqrt(math.fsum((v / largest) ** 2 for v in a))


def decompose(Z):
    """Return U, s, V' over the numerical rank."""
    U, s, Vt = np.linalg.svd(Z, full_matrices=False)
    rank = int(np.sum(s > RANK_FACTOR * max(Z.shape) * np.finfo(np.float64).eps * s.max(initial=0.0)))
    return U, s, Vt, rank


def fit(Z, y, penalty):
    """Return argmin |y - Z a|^2 + penalty |a|^2, of minimum norm if penalty = 0, and the condition number it met."""
    if Z.shape[0] == 0:
        return np.zeros((Z.shape[1], y.shape[1])), 1.0
    U, s, Vt, rank = decompose(Z)
    if penalty == 0.0:
        s = s[:rank]
        if rank == 0:
            return np.zeros((Z.shape[1], y.shape[1])), 1.0
        return Vt[:rank].T @ ((U[:, :rank].T @ y) / s[:, None]), s[0] / s[-1]
    # s / (s^2 + P) without overflow or underflow of s^2
    stacked = np.hypot(s, math.sqrt(penalty))
    return Vt.T @ ((s / stacked)[:, None] * (U.T @ y) / stacked[:, None]), stacked[0] / stacked[-1]


def dual_condition(s, penalty):
    """Return the condition number of [Z, sqrt(P) I] before Z has full row rank; nan without a penalty."""
    return math.hypot(s[0], math.sqrt(penalty)) / math.sqrt(penalty) if penalty else np.nan


def as_targets(y):
    """Return y with a column for each target."""
    y = np.asarray(y, dtype=np.float64)
    return y[:, None] if y.ndim == 1 else y


def path(Z, y, Z_test, y_test, widths, penalties, leave_one_out=True):
    """Fit each width by its own SVD; leave each sample out in turn and fit the rest again."""
    one_target = np.ndim(y) == 1
    Z, Z_test = np.asarray(Z, dtype=np.float64), np.asarray(Z_test, dtype=np.float64)
    y, y_test = as_targets(y), as_targets(y_test)
    rows = []
    for N, penalty in zip(widths, penalties, strict=True):
        A = Z[:, :N]
        n = len(A)
        a, condition = fit(A, y, penalty)
        U, s, _, rank = decompose(A)
        prediction = Z_test[:, :N] @ a
        if penalty == 0.0:
            freedom, spare = float(rank), 1.0
        else:
            shrinkage = (s / np.hypot(s, math.sqrt(penalty))) ** 2
            freedom = math.fsum(shrinkage)
            kept = (math.sqrt(penalty) / np.hypot(s, math.sqrt(penalty))) ** 2
            spare = np.min(np.maximum(1.0 - np.sum(U**2, axis=1), 0.0) + U**2 @ kept)
        left_out, refit_condition = np.full(y.shape, np.nan), np.nan
        if leave_one_out:
            refit_condition = 1.0
            for j in range(n):
                a_j, condition_j = fit(np.delete(A, j, axis=0), np.delete(y, j, axis=0), penalty)
                left_out[j] = y[j] - A[j] @ a_j
                refit_condition = max(refit_condition, condition_j)
        rows.append(
            (
                np.mean((y - A @ a) ** 2, axis=0),
                np.mean((y_test - prediction) ** 2, axis=0),
                np.array([norm(column) for column in a.T]),
                freedom,
                np.mean(left_out**2, axis=0),
                condition,
                rank,
                prediction,
                s[0],
                refit_condition,
                spare,
                dual_condition(s, penalty),
            )
        )
    return _assemble(widths, rows, one_target)


def exact_path(Z, y, Z_test, y_test, widths, penalties, digits=80, leave_one_out=True):
    """Fit each width in ``digits``-digit arithmetic, taking the float64 entries as exact; Z_N must have full rank.

    The normal equations square the condition number: 80 digits leave 40 at a condition number of 1e20.
    """
    one_target = np.ndim(y) == 1
    y, y_test = as_targets(y), as_targets(y_test)
    rows = []
    with mpmath.workdps(digits):
        for N, penalty in zip(widths, penalties, strict=True):
            A, A_test = _matrix(np.asarray(Z)[:, :N]), _matrix(np.asarray(Z_test)[:, :N])
            Y, P = _matrix(y), mpmath.mpf(float(penalty))
            n = A.rows
            a = _exact_fit(A, Y, P)
            prediction, residual = A_test * a, Y - A * a
            s = sorted(mpmath.svd_r(A, compute_uv=False), reverse=True)
            freedom = sum(v * v / (v * v + P) for v in s)
            condition = mpmath.sqrt((s[0] ** 2 + P) / (s[-1] ** 2 + P))
            left_out = np.full(y.shape, np.nan)
            if leave_one_out:
                for j in range(n):
                    kept = [i for i in range(n) if i != j]
                    a_j = _exact_fit(_rows(A, kept), _rows(Y, kept), P) if kept else mpmath.zeros(N, Y.cols)
                    left_out[j] = _array(_rows(Y, [j]) - _rows(A, [j]) * a_j)[0]
            rows.append(
                (
                    _mean_square(residual),
                    _mean_square(_matrix(np.broadcast_to(y_test, (len(y_test), Y.cols))) - prediction),
                    np.array([float(mpmath.norm(a[:, t], 2)) for t in range(Y.cols)]),
                    float(freedom),
                    np.mean(left_out**2, axis=0),
                    float(condition),
                    min(n, N),
                    _array(prediction),
                    float(s[0]),
                    np.nan,
                    np.nan,
                    dual_condition([float(v) for v in s], float(P)),
                )
            )
    return _assemble(widths, rows, one_target)


def _exact_fit(A, Y, P):
    if A.cols <= A.rows:
        return mpmath.inverse(A.T * A + P * mpmath.eye(A.cols)) * (A.T * Y)
    return A.T * (mpmath.inverse(A * A.T + P * mpmath.eye(A.rows)) * Y)


def _matrix(array):
    return mpmath.matrix([[mpmath.mpf(float(v)) for v in row] for row in array])


def _rows(A, rows):
    return mpmath.matrix([[A[i, j] for j in range(A.cols)] for i in rows])


def _array(A):
    return np.array([[float(A[i, j]) for j in range(A.cols)] for i in range(A.rows)])


def _mean_square(A):
    return np.array([float(sum(A[i, j] ** 2 for i in range(A.rows)) / A.rows) for j in range(A.cols)])


def _assemble(widths, rows, one_target):
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    if one_target:  # the target axis is the last where there is one
        for index in (0, 1, 2, 4, 7):
            columns[index] = columns[index][..., 0]
    return Path(np.array(list(widths)), *columns)
