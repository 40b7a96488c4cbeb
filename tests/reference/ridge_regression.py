"""Ridge regression on drawn Gaussian inputs, from its definition."""

import numpy as np


def simulate(s, beta, n, lam, noise, repetitions, seed):
    """Excess risk and training error of ridge regression on Gaussian data, one row per repetition."""
    rng = np.random.default_rng(seed)
    found = np.empty((repetitions, 2))
    for row in found:
        X = rng.standard_normal((n, s.size)) * np.sqrt(s)
        y = X @ beta + np.sqrt(noise) * rng.standard_normal(n)
        fit = np.linalg.lstsq(np.vstack([X, np.sqrt(n * lam) * np.eye(s.size)]), np.append(y, 0 * beta))[0]
        row[:] = np.sum(s * (fit - beta) ** 2), np.mean((y - X @ fit) ** 2)
    return found
