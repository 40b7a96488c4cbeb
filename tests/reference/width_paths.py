"""Problems for a width path, and their true paths: one SVD, one refit or one 80-digit solve per width."""

import numpy as np
import random_features as reference


def problem(n, d, m, targets=None, seed=0):
    """Draw X, y, X_test, y_test: a linear teacher and noise, so that neither fit nor residual is trivial."""
    rng = np.random.default_rng(seed)
    shape = () if targets is None else (targets,)
    X, X_test = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    teacher = rng.normal(size=(d, *shape))
    y = X @ teacher + 0.5 * rng.normal(size=(n, *shape))
    return X, y, X_test, X_test @ teacher + 0.5 * rng.normal(size=(m, *shape))


def feature_problem(n, N, m, targets=None, seed=0):
    """Draw Z, y, Z_test, y_test with Gaussian features: well conditioned away from N = n."""
    rng = np.random.default_rng(seed)
    shape = () if targets is None else (targets,)
    return rng.normal(size=(n, N)), rng.normal(size=(n, *shape)), rng.normal(size=(m, N)), rng.normal(size=(m, *shape))


def true_width_path(
    X,
    y,
    X_test,
    y_test,
    widths,
    activation="relu",
    ridge=0.0,
    seed=0,
    *,
    ridge_scaling="fixed",
    leave_one_out=True,
    **draw,
):
    """Return the reference path on the reference features."""
    largest = max(widths)
    Z = reference.features(X, largest, activation, seed=seed, **draw)
    Z_test = reference.features(X_test, largest, activation, seed=seed, **draw)
    penalty = reference.penalties(widths, len(X), ridge, ridge_scaling, np.shape(X)[1])
    return reference.path(Z, y, Z_test, y_test, widths, penalty, leave_one_out)


def true_nested_path(Z, y, Z_test, y_test, widths, ridge=0.0, *, ridge_scaling="fixed", leave_one_out=True):
    penalty = reference.penalties(widths, len(Z), ridge, ridge_scaling)
    return reference.path(Z, y, Z_test, y_test, widths, penalty, leave_one_out)


def relative_error(predictions, truth):
    return np.linalg.norm(predictions - truth) / np.linalg.norm(truth)
