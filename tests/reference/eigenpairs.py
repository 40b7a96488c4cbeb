"""Matrices whose eigenvalues are known, and the definition of an eigenpair."""

import numpy as np

from pyphenom.curvature import Operator


class Diagonal(Operator):
    """An operator that counts its products with single vectors."""

    def __init__(self, values, dtype=np.float64):
        self.values, self.products = np.asarray(values, dtype), 0
        super().__init__(len(values), dtype, self.multiply)

    def multiply(self, V):
        self.products += len(V)
        return V * self.values


def symmetric(values, seed=0):
    """Return a dense matrix with these eigenvalues."""
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values),) * 2))[0]
    A = (Q * values) @ Q.T
    return (A + A.T) / 2


def expected(values, k, which):
    """Return what `which` asks for, from all eigenvalues."""
    values = np.sort(values)
    if which == "LA":
        return values[::-1][:k]
    if which == "SA":
        return values[:k]
    if which == "LM":
        return values[np.argsort(-np.abs(values), kind="stable")][:k]
    return np.sort(np.concatenate([values[len(values) - (k + 1) // 2 :], values[: k // 2]]))[::-1]


def assert_pairs(pairs, A, values, which="LA", tol=1e-6, rtol=1e-9):
    """Compare with the dense truth; residuals and orthogonality from their definitions."""
    k, size = len(pairs.values), np.abs(values).max()
    assert pairs.status.converged, pairs.status
    np.testing.assert_allclose(pairs.values, expected(values, k, which), rtol=0, atol=rtol * size)
    X = pairs.vectors.astype(float)
    true = np.linalg.norm(A @ X - X * pairs.values, axis=0)
    assert (true <= 1.01 * tol * size).all()
    assert (pairs.residuals <= tol * size).all()
    assert (pairs.residuals >= 0.98 * true - 1e-12 * size).all()
    assert (pairs.residuals <= 1.02 * true + 0.1 * tol * size).all()
    assert np.abs(X.T @ X - np.eye(k)).max() <= 1e-12
