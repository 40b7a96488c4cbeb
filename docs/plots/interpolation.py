"""Fits without training error: what they take, which of them descent finds, what they cost."""

import numpy as np
import torch

import pyphenom as ph
from pyphenom.report import measurement, theory

from .panels import finish, tidy


def memorization(canvas):
    """Draw the interpolant of twelve points in one dimension, and the growth of its Lipschitz constant with n."""
    left, right = canvas.subplots(1, 2)
    rng = np.random.default_rng(3)
    X, y = (np.linspace(-1, 1, 12) + rng.uniform(-0.05, 0.05, 12))[:, None], rng.choice([-1.0, 1.0], 12)
    line = np.linspace(-1.15, 1.15, 2000)
    for colour, position in (("C0", 0.0), ("C1", 0.5)):
        f = ph.interpolation.relu_interpolant(X, y, position=position)
        where = "at the data" if position == 0.0 else "half way"
        left.plot(line, f(line[:, None]), color=colour, linewidth=1.2, label=f"knots {where}")
        left.plot(f.knots, f(f.knots[:, None]), "|", color=colour, markersize=9)
    left.plot(X[:, 0], y, "ko", markersize=4, label="labels")
    left.set(ylim=(-6, 6), xlim=(-1.15, 1.15))
    finish(left, "twelve points on a line", "x", "f(x)", "linear", "linear")

    counts = np.array([30, 100, 300, 1000])
    theory(right, line := np.geomspace(25, 1200, 50), np.exp(np.euler_gamma) * line * (line - 1) / (2 * np.sqrt(np.pi)))
    slopes = np.empty((100, counts.size))
    for replicate, point in np.ndindex(slopes.shape):
        inputs, labels = rng.standard_normal((counts[point], 20)), rng.choice([-1.0, 1.0], counts[point])
        f = ph.interpolation.relu_interpolant(inputs, labels, candidates=1, seed=replicate)
        slopes[replicate, point] = f.lipschitz
    right.plot(counts, np.exp(np.log(slopes).mean(axis=0)), "o", color="C0", markersize=4, label="measured")
    finish(right, "random labels on Gaussian inputs", "samples n", "Lipschitz constant, geometric mean")


def randomization(canvas):
    """Draw what a linear model leaves of random labels, and how long a kernel takes for true and random ones."""
    left, right = canvas.subplots(1, 2)
    rng, n = np.random.default_rng(0), 200
    ranks = np.array([10, 40, 80, 120, 160, 190])
    residuals = np.empty((10, ranks.size))
    for replicate, point in np.ndindex(residuals.shape):
        X, Y = rng.standard_normal((n, ranks[point])), np.eye(10)[rng.integers(10, size=n)] - 0.1
        residuals[replicate, point] = ((Y - X @ np.linalg.lstsq(X, Y, rcond=None)[0]) ** 2).sum() / (Y**2).sum()
    theory(left, np.array([0.0, n]), np.array([1.0, 0.0]))
    measurement(left, tidy(ranks, residuals), "x", "", "C0")
    finish(left, "a linear model, 200 random labels", "rank r", "share of the variance left", "linear", "linear")

    images = ph.data.digits()[rng.permutation(1797)[:n]]
    features = ph.random_features.features(images.pixels / 16 - 0.5, 2000)
    values, vectors = np.linalg.eigh(features @ features.T)
    steps = np.unique(np.geomspace(1, 1000, 25).astype(int))
    for colour, labels, name in (("C0", images.labels, "true"), ("C1", rng.integers(10, size=n), "random")):
        Y = np.eye(10)[labels] - 0.1
        power = ((vectors.T @ Y) ** 2).sum(axis=1) / (Y**2).sum()
        curve = ph.theory.kernel_descent.squared_residual(values, power, n / (2 * values[-1]), steps)
        theory(right, steps, curve, label=name, colour=colour)
        weights, course = np.zeros((2000, 10)), []
        for _ in range(steps[-1]):
            weights -= features.T @ (features @ weights - Y) / values[-1]
            course.append(((features @ weights - Y) ** 2).sum() / (Y**2).sum())
        right.plot(steps, np.array(course)[steps - 1], "o", color=colour, markersize=4, label=f"{name} measured")
    finish(right, "gradient descent on 2000 random features", "step", "squared residual")


def implicit_regularization(canvas):
    """Draw norm and risk of the interpolant of smallest norm, and the way of three descents to it or past it."""
    left, right = canvas.subplots(1, 2)
    rng, p = np.random.default_rng(0), 100
    counts, line = np.array([10, 30, 50, 70, 90]), np.linspace(1, 99, 50)
    found = np.empty((2, 20, counts.size))
    for replicate, point in np.ndindex(found.shape[1:]):
        X, truth = rng.standard_normal((counts[point], p)), np.eye(p)[0]
        smallest = np.linalg.pinv(X) @ X @ truth
        found[:, replicate, point] = smallest @ smallest, (smallest - truth) @ (smallest - truth)
    risk = ph.theory.ridge_regression.isotropic_risk(p / line).total
    for colour, name, curve, measured in (("C0", "norm²", line / p, found[0]), ("C1", "risk", risk, found[1])):
        theory(left, line, curve, label=name, colour=colour)
        measurement(left, tidy(counts, measured), "x", name, colour)
    finish(left, "the smallest norm in 100 dimensions", "samples n", "over the signal power", "linear", "linear")

    X = rng.standard_normal((40, p))
    y = X @ rng.standard_normal(p)
    smallest, rate = np.linalg.pinv(X) @ y, 1 / np.linalg.norm(X, 2) ** 2
    for colour, name in (("C0", "gradient descent"), ("C1", "started elsewhere"), ("C2", "Adam")):
        weights = torch.tensor(rng.standard_normal(p) if name == "started elsewhere" else np.zeros(p))
        weights.requires_grad_(True)
        way = torch.optim.Adam([weights], 0.02) if name == "Adam" else torch.optim.SGD([weights], rate)
        off = []
        for _ in range(400):
            way.zero_grad()
            (((torch.from_numpy(X) @ weights - torch.from_numpy(y)) ** 2).sum() / 2).backward()
            way.step()
            off.append(np.linalg.norm(weights.detach().numpy() - smallest) / np.linalg.norm(smallest))
        right.plot(np.arange(1, 401), off, color=colour, label=name)
    finish(right, "40 samples, 100 weights", "step", "distance from the smallest norm", "linear")


def benign_overfitting(canvas):
    """Draw the risk of pure noise for three kinds of spectra, and the averaging classifier with noise on a border."""
    left, right = canvas.subplots(1, 2)
    rng, p, counts, line = np.random.default_rng(0), 3000, np.array([20, 50, 120, 300]), np.geomspace(16, 400, 30)
    index = np.arange(1.0, p + 1)
    spectra = {
        "benign: 3 large, 3000 small": np.where(index <= 3, 1.0, 3e-4),
        "tempered: i^-1.5": index**-1.5,
        "catastrophic: exp(-sqrt i)": np.exp(-np.sqrt(index)),
    }
    for colour, (label, spectrum) in zip(("C0", "C1", "C2"), spectra.items(), strict=True):
        shape = ph.theory.benign_overfitting.bartlett_shape(spectrum, np.zeros(p), line, noise_variance=1.0)
        theory(left, line, shape.exact.variance, label=label, colour=colour)
        left.plot(line, shape.variance, ":", color=colour, linewidth=1)
        found = np.empty((12, counts.size))
        for replicate, point in np.ndindex(found.shape):
            X = rng.standard_normal((counts[point], p)) * np.sqrt(spectrum)
            fit = X.T @ np.linalg.solve(X @ X.T, rng.standard_normal(counts[point]))
            found[replicate, point] = spectrum @ fit**2
        measurement(left, tidy(counts, found), "x", label, colour)
    finish(left, "minimum norm, labels of pure noise", "samples n", "excess risk over the noise variance")

    deviations, fine = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0]), np.linspace(0.0, 4.2, 30)
    mean = np.repeat([0.25, 0.0], [64, 80])
    for colour, n in zip(("C0", "C1", "C2"), (10, 40, 160), strict=True):
        spreads = [np.repeat([0.25, deviation**2], [64, 80]) for deviation in fine]
        curve = [ph.theory.averaging_classifier.error(mean, spread, n) for spread in spreads]
        theory(right, fine, curve, label=f"n = {n}", colour=colour)
        found = np.empty((20, deviations.size))
        for replicate, point in np.ndindex(found.shape):
            scale = np.repeat([0.5, deviations[point]], [64, 80])
            w = (mean + scale * rng.standard_normal((n, 144))).mean(axis=0)
            found[replicate, point] = np.mean((mean + scale * rng.standard_normal((400, 144))) @ w < 0)
        measurement(right, tidy(deviations, found), "x", f"n = {n}", colour)
    finish(right, "averaging classifier", "deviation of 80 border pixels", "test error", "linear", "linear")
