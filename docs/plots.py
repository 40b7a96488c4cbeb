"""Figures of the theory pages: predictions as lines, small simulations as points; drawn anew in every build.

Each function that takes a canvas draws one figure on it, and the page of that figure shows its source.
"""

import inspect
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from scipy.integrate import solve_ivp
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from torch import nn

import pyphenom as ph
from pyphenom import networks
from pyphenom.phenomena import adam_vs_sgd, variance_decomposition
from pyphenom.report import measurement, save_figure, style, theory
from pyphenom.studies.executors import cores, process_pool


def tidy(x, errors):
    """Return errors (replicates, points) as the rows that `measurement` draws."""
    replicates, points = errors.shape
    index = np.repeat(np.arange(replicates), points)
    return pd.DataFrame({"x": np.tile(x, replicates), "replicate": index, "value": errors.ravel()})


def finish(axes, title, x_label, y_label, x_scale="log", y_scale="log"):
    """Write titles, readable ticks, and the legend below the curves."""
    axes.set(title=title, xlabel=x_label, ylabel=y_label, xscale=x_scale, yscale=y_scale)
    for axis, scale, (low, high) in ((axes.xaxis, x_scale, axes.get_xlim()), (axes.yaxis, y_scale, axes.get_ylim())):
        if scale == "log" and high < 1000 * low:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=8)


def ridge_regression(canvas):
    """Draw the limit of large n with and without a ridge, and the exact risk at n = 40."""
    left, right = canvas.subplots(1, 2)
    rng, n, noise = np.random.default_rng(0), 100, 0.25
    ratios, line = np.array([0.3, 0.6, 0.8, 1.25, 1.6, 2.5, 4.0]), np.union1d(1.0, np.geomspace(0.25, 4.5, 200))
    for colour, (label, strength) in zip(("C0", "C1"), {"no ridge": 0.0, "optimal ridge": 1.0}.items(), strict=True):
        ridge = strength * ph.theory.ridge_regression.optimal_ridge(line, noise_variance=noise)
        risk = ph.theory.ridge_regression.isotropic_risk(line, ridge, noise_variance=noise)
        theory(left, line, risk.total, label=label, colour=colour)
        errors = np.empty((20, ratios.size))
        for replicate, point in np.ndindex(errors.shape):
            p, ridge = round(n * ratios[point]), strength * noise * ratios[point]
            X, truth = rng.standard_normal((n, p)), rng.standard_normal(p) / np.sqrt(p)
            y = X @ truth + np.sqrt(noise) * rng.standard_normal(n)
            # With the unit vectors as test points the test error is |b - b_hat|^2 / p.
            path = ph.random_features.nested_path(X, y, np.eye(p), truth, [p], ridge)
            errors[replicate, point] = p * path.test_error[0]
        measurement(left, tidy(ratios, errors), "x", label, colour)
    finish(left, "the limit, and measurements at n = 100", "aspect ratio p/n", "excess risk")

    n, size, noise = 40, 100, 0.04
    widths, line = np.array([5, 10, 20, 30, 33, 48, 55, 65, 80, 100]), np.arange(5, 101)
    risk = ph.theory.ridge_regression.finite_sample_risk(n, line, line / size, 1 - line / size, noise)
    theory(right, line, risk.total, label="finite-sample")
    errors, truth = np.empty((200, widths.size)), np.full(size, size**-0.5)
    for replicate in range(len(errors)):
        X = rng.standard_normal((n, size))
        y = X @ truth + np.sqrt(noise) * rng.standard_normal(n)
        errors[replicate] = size * ph.random_features.nested_path(X, y, np.eye(size), truth, widths).test_error
    measurement(right, tidy(widths, errors), "x")
    finish(right, "n = 40, p of 100 coordinates", "coordinates p", "excess risk", "linear")


def random_features(canvas):
    """Draw the risk of one predictor and of means of them, and the parts of the variance."""
    left, right = canvas.subplots(1, 2)
    rng, d, n, noise = np.random.default_rng(0), 100, 300, 0.25
    widths = np.array([50, 100, 150, 200, 240, 375, 450, 600, 1000])
    line = np.union1d(n, np.round(np.geomspace(45, 1100, 120)))
    split = ph.theory.random_features.variance_decomposition(line / d, n / d, ridge=0.0, noise_variance=noise)
    theory(left, line, split.total, label="one predictor", colour="C0")
    theory(left, line, split.averaged(initialisations=5), label="mean of five", colour="C1")
    theory(left, line, split.averaged(initialisations=np.inf), label="mean of infinitely many", colour="C2")
    single, mean = np.empty((12, widths.size)), np.empty((12, widths.size))
    for replicate in range(len(single)):
        X, X_test, target = ph.data.sphere(n, d, rng), ph.data.sphere(500, d, rng), rng.standard_normal(d)
        target /= np.linalg.norm(target)
        y, y_test = X @ target + np.sqrt(noise) * rng.standard_normal(n), X_test @ target
        options = {"distribution": "sphere", "predictions": True}
        seeds = range(5 * replicate, 5 * replicate + 5)
        paths = [ph.random_features.width_path(X, y, X_test, y_test, widths, seed=k, **options) for k in seeds]
        single[replicate] = paths[0].test_error
        mean[replicate] = np.mean((np.mean([path.predictions for path in paths], axis=0) - y_test) ** 2, axis=1)
    measurement(left, tidy(widths, single), "x", "one predictor", "C0")
    measurement(left, tidy(widths, mean), "x", "mean of five", "C1")
    finish(left, "n = 300, d = 100, no ridge", "features N", "excess risk")

    # The right panel: crossed draws, as the study measures them, and the spectrum of the kernel at this d.
    cells = [ph.studies.Cell("ridgeless", {}, replicate) for replicate in range(24)]
    draws = [variance_decomposition.measure(cell, ph.studies.Streams(0, "plot", cell.replicate)) for cell in cells]
    rows = pd.concat([table.assign(replicate=replicate) for replicate, table in enumerate(draws)])
    kernel = ph.theory.sphere.spectrum(d)
    power = np.repeat([0.0, 1 / d, 0.0], kernel.multiplicities)  # a linear target
    split = ph.theory.eigenframework.variance_decomposition(
        kernel.modes(), power, n, line, noise_variance=noise, tail_eigenvalue=kernel.tail
    )
    for index, (part, _) in enumerate(variance_decomposition.TERMS.items()):
        right.plot([], [], color=f"C{index}", label=part.replace("_", " × "))
        theory(right, line, getattr(split, part), label="_", colour=f"C{index}")
        measurement(right, rows[rows["quantity"] == part], "width", "_", f"C{index}")
    right.set(ylim=(-0.02, 0.62))
    finish(right, "parts of the risk of one predictor", "features N", "excess risk", y_scale="linear")


def eigenframework(canvas):
    """Draw predictions for the digits: over the number of features, and over the number of images."""
    left, right = canvas.subplots(1, 2)
    images = ph.data.digits()
    X, Y = ph.data.centred_on_sphere(images.pixels), images.one_hot()
    kernel = ph.theory.eigenframework.expected_kernel(X, "relu")
    pool = ph.theory.eigenframework.spectrum(kernel, Y)
    power, size = pool.target_power.sum(axis=0), len(X)  # of the ten classes together
    orders = [np.random.default_rng(replicate).permutation(size) for replicate in range(10)]

    n, widths = 200, np.array([20, 60, 100, 140, 160, 250, 300, 400, 600, 1000])
    line = np.union1d(n, np.round(np.geomspace(20, 1000, 100)))
    for colour, (label, ridge) in zip(("C0", "C1"), {"no ridge": 0.0, "ridge": 3e-3}.items(), strict=True):
        risk = ph.theory.eigenframework.random_feature_regression(
            pool.eigenvalues, power, n, line, penalty=n * ridge / line, population=size
        )
        theory(left, line, risk.test_error, label=label, colour=colour)
        errors = np.empty((len(orders), widths.size))
        for replicate, order in enumerate(orders):
            data = X[order[:n]], Y[order[:n]], X[order[n:]], Y[order[n:]]
            path = ph.random_features.width_path(*data, widths, ridge=ridge, seed=replicate)
            errors[replicate] = path.test_error.sum(axis=1)
        measurement(left, tidy(widths, errors), "x", label, colour)
    finish(left, "random features, n = 200", "features N", "squared error, ten classes")

    counts, line, penalty = np.array([25, 50, 100, 200, 400, 800]), np.geomspace(20, 1000, 60), 0.3
    test, train = np.empty((len(orders), counts.size)), np.empty((len(orders), counts.size))
    for replicate, point in np.ndindex(test.shape):
        chosen, rest = np.split(orders[replicate], [counts[point]])
        solved = np.linalg.solve(kernel[np.ix_(chosen, chosen)] + penalty * np.eye(len(chosen)), Y[chosen])
        squares = ((kernel[:, chosen] @ solved - Y) ** 2).sum(axis=1)
        test[replicate, point], train[replicate, point] = squares[rest].mean(), squares[chosen].mean()
    risk = ph.theory.eigenframework.kernel_regression(pool.eigenvalues, power, line, penalty, population=size)
    theory(right, line, risk.test_error, label="test", colour="C0")
    theory(right, line, risk.train_error, label="training", colour="C1")
    measurement(right, tidy(counts, test), "x", "test", "C0")
    measurement(right, tidy(counts, train), "x", "training", "C1")
    finish(right, "the kernel itself", "images n", "squared error, ten classes")


def gradient_flow(canvas):
    """Draw the risk over training time with one scale of the inputs, and with two."""
    left, right = canvas.subplots(1, 2)
    rng, times, line = np.random.default_rng(0), np.geomspace(0.1, 1e4, 11), np.geomspace(0.05, 3e4, 120)

    def simulate(n, s, beta, noise):
        errors = np.empty((20, times.size))
        for replicate in range(len(errors)):
            X = rng.standard_normal((n, s.size)) * np.sqrt(s)
            u, g, v = np.linalg.svd(X, full_matrices=False)
            moment = u.T @ (X @ beta + np.sqrt(noise) * rng.standard_normal(n)) / g
            for point, t in enumerate(times):
                fit = v.T @ (-np.expm1(-t * g**2 / n) * moment)
                errors[replicate, point] = np.sum(s * (fit - beta) ** 2)
        return tidy(times, errors)

    for colour, (n, p) in zip(("C0", "C1"), ((150, 300), (300, 150)), strict=True):
        label = f"p/n = {p / n:g}"
        risk = ph.theory.gradient_flow.isotropic_risk(p / n, line, noise_variance=0.5)
        theory(left, line, risk.total, label=label, colour=colour)
        measurement(left, simulate(n, np.ones(p), np.full(p, p**-0.5), 0.5), "x", label, colour)
    finish(left, "one scale", "time t", "excess risk", y_scale="linear")

    n, s = 400, np.repeat([1.0, 1e-3], 100)
    beta = np.sqrt(np.repeat([1.0, 0.5], 100) / 100 / s)
    theory(right, line, ph.theory.gradient_flow.risk(s, beta, n, line, noise_variance=1.0).total)
    measurement(right, simulate(n, s, beta, 1.0), "x")
    finish(right, "two scales, variances 1 and 1/1000", "time t", "excess risk", y_scale="linear")


def hidden_features(canvas):
    """Draw the risk where part of the signal is hidden, and where the inputs are noisy views of latent variables."""
    left, right = canvas.subplots(1, 2)
    rng, n, noise = np.random.default_rng(0), 100, 0.1
    ratios, line = np.array([0.1, 0.3, 0.6, 1.6, 2.5, 4.0, 8.0]), np.union1d(1.0, np.geomspace(0.08, 10.0, 200))
    for colour, exponent in zip(("C0", "C1"), (1.0, 3.0), strict=True):
        visible, label = ph.theory.hidden_features.visible_share(line, exponent), f"decay {exponent:g}"
        risk = ph.theory.hidden_features.misspecified_risk(line, visible, noise_variance=noise)
        theory(left, line, risk.total, label=label, colour=colour)
        errors = np.empty((20, ratios.size))
        for replicate, point in np.ndindex(errors.shape):
            p, share = round(n * ratios[point]), 1 - (1 + ratios[point]) ** -exponent
            X, truth = rng.standard_normal((n, p)), np.full(p, np.sqrt(share / p))
            unseen = np.sqrt(1 - share) * rng.standard_normal(n)  # the hidden features times their coefficients
            y = X @ truth + unseen + np.sqrt(noise) * rng.standard_normal(n)
            path = ph.random_features.nested_path(X, y, np.eye(p), truth, [p])
            errors[replicate, point] = p * path.test_error[0] + 1 - share
        measurement(left, tidy(ratios, errors), "x", label, colour)
    finish(left, "hidden features, n = 100", "features used p/n", "excess risk")

    latent, strength = 20, 1.0
    ratios, line = np.array([0.3, 0.5, 0.7, 1.6, 2.5, 4.0, 8.0]), np.union1d(1.0, np.geomspace(0.2, 10.0, 200))
    risk = ph.theory.hidden_features.latent_space_risk(line, latent / n / line, strength, noise_variance=noise)
    theory(right, line, risk.total)
    errors = np.empty((20, ratios.size))
    for replicate, point in np.ndindex(errors.shape):
        p, theta = round(n * ratios[point]), np.full(latent, latent**-0.5)
        W = np.sqrt(p * strength / latent) * np.linalg.qr(rng.standard_normal((p, latent)))[0]
        z = rng.standard_normal((n, latent))
        X, y = z @ W.T + rng.standard_normal((n, p)), z @ theta + np.sqrt(noise) * rng.standard_normal(n)
        best = W @ theta / (1 + p * strength / latent)
        miss = np.linalg.lstsq(X, y, rcond=None)[0] - best
        errors[replicate, point] = np.sum(miss**2) + np.sum((miss @ W) ** 2)
    measurement(right, tidy(ratios, errors), "x")
    finish(right, "20 latent variables, n = 100", "features p/n", "excess risk")


def fixed_design(canvas):
    """Draw the risk on one given design over the penalty, and over its rows."""
    left, right = canvas.subplots(1, 2)
    rng, d, noise, draws = np.random.default_rng(0), 50, 0.2, 400
    design = rng.standard_normal((150, d))

    def predict(n, penalty):
        values = np.linalg.svd(design[:n], compute_uv=False)
        return ph.theory.fixed_design.risk(values, d, penalty, noise_variance=noise).total

    def simulate(n, penalty):
        b, X = rng.standard_normal((d, draws)), design[:n]
        b /= np.linalg.norm(b, axis=0)
        y = X @ b + np.sqrt(noise) * rng.standard_normal((n, draws))
        fit = np.linalg.pinv(X) @ y if penalty == 0 else np.linalg.solve(X.T @ X + penalty * np.eye(d), X.T @ y)
        return ((fit - b) ** 2).sum(axis=0)

    best = ph.theory.fixed_design.optimal_penalty(d, noise_variance=noise)
    penalties, line = np.geomspace(0.1, 1e3, 9), np.geomspace(0.05, 2e3, 100)
    for colour, n in zip(("C0", "C1"), (40, 100), strict=True):
        theory(left, line, predict(n, line), label=f"n = {n}", colour=colour)
        errors = np.stack([simulate(n, penalty) for penalty in penalties], axis=1)
        measurement(left, tidy(penalties, errors), "x", f"n = {n}", colour)
    left.axvline(best, color="0.4", linestyle=":", label="optimal penalty")
    finish(left, "over the penalty, d = 50", "penalty", "excess risk")

    counts, line = np.array([10, 20, 30, 40, 60, 75, 100, 150]), np.arange(5, 151)
    for colour, (label, penalty) in zip(("C0", "C1"), {"no penalty": 0.0, "optimal": best}.items(), strict=True):
        theory(right, line, [predict(n, penalty) for n in line], label=label, colour=colour)
        errors = np.stack([simulate(n, penalty) for n in counts], axis=1)
        measurement(right, tidy(counts, errors), "x", label, colour)
    finish(right, "over the rows of the design, d = 50", "rows n", "excess risk", "linear")


def scaling_laws(canvas):
    """Draw the loss over the number of samples for two widths, and the power law of the kernel."""
    axes = canvas.subplots()
    rng, eigenvalues = np.random.default_rng(0), np.arange(1.0, 1001.0) ** -2
    counts, scale = np.array([10, 20, 40, 60, 90, 150, 250, 400]), np.sqrt(eigenvalues)
    for colour, width in zip(("C0", "C1"), (50, 200), strict=True):
        line = np.union1d(width, np.round(np.geomspace(8, 500, 150)))
        loss = ph.theory.scaling_laws.random_feature_loss(eigenvalues, line, width)
        theory(axes, line, loss, label=f"{width} features", colour=colour)
        errors = np.empty((20, counts.size))
        for replicate, point in np.ndindex(errors.shape):
            truth, W = rng.standard_normal(scale.size), rng.standard_normal((scale.size, width))
            X = rng.standard_normal((counts[point], scale.size)) * scale
            # With the modes as test points the test error is the loss over their number.
            path = ph.random_features.nested_path(X @ W, X @ truth, scale[:, None] * W, scale * truth, [width])
            errors[replicate, point] = scale.size * path.test_error[0]
        measurement(axes, tidy(counts, errors), "x", f"{width} features", colour)
    line = np.geomspace(8, 500, 50)
    axes.plot(line, ph.theory.scaling_laws.power_law_loss(1.0, line, np.inf), "k:", label="power law of the kernel")
    finish(axes, "1000 modes with eigenvalues 1/i²", "samples n", "loss")


def sphere(canvas):
    """Draw the shares of the harmonics over the dimension, and the risk at d = 20 from all of them."""
    left, right = canvas.subplots(1, 2)
    limit, dimensions = (
        ph.theory.random_features.activation_constants("relu"),
        np.array([3, 4, 6, 10, 20, 50, 100, 200]),
    )
    spectra = [ph.theory.sphere.spectrum(d, "relu") for d in dimensions]
    shares = np.array([[*(s.multiplicities * s.eigenvalues), s.tail] for s in spectra])
    for index, label in enumerate(("degree 0", "degree 1", "degree 2", "higher degrees")):
        left.plot(dimensions, shares[:, index], color=f"C{index}", label=label)
    for colour, constant in (("C0", limit.mean), ("C1", limit.linear)):
        left.axhline(constant**2, color=colour, linestyle=":")
    left.plot([], [], ":", color="0.4", label="limit of large d")
    finish(left, "shares of the relu kernel", "dimension d", "multiplicity × eigenvalue", y_scale="linear")

    rng, d, n, ridge, noise = np.random.default_rng(0), 20, 60, 1e-3, 0.1
    widths, line = np.array([10, 20, 40, 60, 90, 150, 300]), np.geomspace(9, 350, 100)
    kernel = ph.theory.sphere.spectrum(d, "relu", degrees=4)
    power = np.repeat([0.0, 1 / d, 0.0, 0.0, 0.0], kernel.multiplicities)  # a linear target
    risk = ph.theory.eigenframework.random_feature_regression(
        kernel.modes(), power, n, line, n * ridge / d, noise, tail_eigenvalue=kernel.tail
    )
    theory(right, line, risk.test_error, label="spectrum at d = 20,", colour="C0")
    mei_montanari = ph.theory.random_features.risk(line / d, n / d, ridge, noise_variance=noise)
    right.plot(line, mei_montanari.total, "--", color="C1", label="limit of large d")
    errors = np.empty((100, widths.size))
    for replicate in range(len(errors)):
        X, X_test, target = ph.data.sphere(n, d, rng), ph.data.sphere(300, d, rng), rng.standard_normal(d)
        target /= np.linalg.norm(target)
        y = X @ target + np.sqrt(noise) * rng.standard_normal(n)
        options = {"ridge": ridge, "ridge_scaling": "width", "distribution": "sphere", "seed": replicate}
        errors[replicate] = ph.random_features.width_path(X, y, X_test, X_test @ target, widths, **options).test_error
    measurement(right, tidy(widths, errors), "x")
    finish(right, "random relu features, d = 20, n = 60", "features N", "excess risk")


def sharpness_of_training(step_size, steps=600):
    """Train a network on digits by gradient descent; return the tracker of its sharpness."""
    images = ph.data.digits()
    X = torch.from_numpy(images.pixels - images.pixels.mean(axis=0)).float()[:500] / 8
    Y = torch.from_numpy(images.one_hot()).float()[:500]
    torch.manual_seed(0)
    layers = nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10)
    model = nn.Sequential(*layers)
    optimiser = torch.optim.SGD(model.parameters(), lr=step_size)
    tracker = ph.curvature.SharpnessTracker(model, "half_squared", X, Y, every=10)
    for step in range(steps):
        tracker(step)
        optimiser.zero_grad()
        loss = 0.5 * ((model(X) - Y) ** 2).sum(dim=1).mean()
        loss.backward()
        optimiser.step()
    return tracker


def edge_of_stability(canvas):
    """Draw the growth along an eigendirection of a quadratic, and the sharpness of a network in training."""
    left, right = canvas.subplots(1, 2)
    beta, steps, line = 0.5, 200, np.linspace(0.02, 3.4, 200)
    curvatures = np.array([0.3, 0.7, 1.1, 1.3, 1.7, 2.3, 2.7, 3.2])  # times the step size
    methods = {
        "gradient descent": (lambda x: (1 - x, 0 * x), 2.0),
        "heavy ball": (lambda x: (1 + beta - x, beta + 0 * x), 2 * (1 + beta)),
        "Nesterov": (lambda x: ((1 - x) * (1 + beta), (1 - x) * beta), 2 * (1 + beta) / (1 + 2 * beta)),
    }
    for colour, (label, (coefficients, limit)) in zip(("C0", "C1", "C2"), methods.items(), strict=True):
        p, q = coefficients(line)
        theory(
            left, line, [max(abs(np.roots([1, -a, b]))) for a, b in zip(p, q, strict=True)], label=label, colour=colour
        )
        left.axvline(limit, color=colour, linestyle=":", linewidth=1.0)
        growth = np.empty(curvatures.size)
        for point, x in enumerate(curvatures):
            now, before, distances = 1.0, 1.0, []
            for _ in range(steps):
                ahead = now + (beta * (now - before) if label != "gradient descent" else 0.0)
                gradient = x * (ahead if label == "Nesterov" else now)
                now, before = ahead - gradient, now
                distances.append(np.hypot(now, before))  # a pair of complex roots turns it
            growth[point] = (distances[-1] / distances[steps // 2 - 1]) ** (2 / steps)
        left.plot(curvatures, growth, "o", color=colour, markersize=4, label=f"{label} measured")
    left.axhline(1.0, color="0.4", linewidth=1.0)
    left.set(ylim=(0.0, 2.6))
    finish(
        left,
        "one direction of a quadratic, momentum 1/2",
        "step size × curvature",
        "growth per step",
        "linear",
        "linear",
    )

    for colour, step_size in zip(("C0", "C1", "C2"), (0.1, 0.4, 0.6), strict=True):
        tracker = sharpness_of_training(step_size)
        right.plot(tracker.steps, tracker.sharpness * step_size / 2, color=colour, label=f"step size {step_size}")
    right.axhline(1.0, color="0.4", linewidth=1.0)
    right.set(ylim=(0.0, 1.5))
    finish(right, "a network in training", "step", "sharpness over 2 / step size", "linear", "linear")


def class_spectrum(canvas):
    """Draw the levels of softmax regression on five classes, and which of two drops is larger for noisy clusters."""
    left, right = canvas.subplots(1, 2)
    C, error, cosines, line = 5, 0.02, np.array([0.0, 0.2, 0.4, 0.6, 0.8, 0.9]), np.linspace(0.0, 0.93, 200)
    levels = ph.theory.class_spectrum.class_levels(C, line, error)
    for colour, name in zip(("C0", "C1", "C2", "C3"), ("common", "gradient", "contrast", "rest"), strict=True):
        theory(left, line, getattr(levels, name), label=name, colour=colour)
    surplus, errors = np.empty((10, cosines.size)), np.empty((10, cosines.size))
    models, samples = [], []
    for replicate, point in np.ndindex(surplus.shape):
        rng, common, model = np.random.default_rng(replicate), cosines[point], nn.Linear(12, C, bias=False).double()
        norms = {"norm": (1 - common) ** 0.5, "common": common**0.5}
        if replicate == 0:  # without noise, where gradient flow passes through the error
            X, y = map(torch.from_numpy, ph.data.gaussian_clusters(1, C, 12, rng, **norms, noise=0.0))
            scale = np.log((1 - error) * (C - 1) / error) / (1 - common)
            model.weight.data = scale * (X - X.mean(dim=0))
            found = ph.curvature.eigsh(ph.curvature.linearize(model, "cross_entropy", X, y).hessian(), 2 * C).to_dict()
            left.plot([common] * 2 * C, found["values"], "o", color="0.3", label="" if point else "measured")
        nn.init.zeros_(model.weight)
        models.append(model)
        samples.append([*map(torch.from_numpy, ph.data.gaussian_clusters(20, C, 12, rng, **norms, noise=0.1))])
    X, y = map(torch.cat, zip(*samples, strict=True))
    recipe = networks.Recipe(steps=400, learning_rate=2.0, momentum=0.0)
    networks.train(models, X, y, recipe, subsets=np.arange(len(y)).reshape(len(models), -1))  # all at once
    for place, model, (X, y) in zip(np.ndindex(surplus.shape), models, samples, strict=True):
        hessian = ph.curvature.linearize(model, "cross_entropy", X, y).hessian()
        drops = -np.diff(np.log(ph.curvature.eigsh(hessian, C + 1).to_dict()["values"]))
        surplus[place] = drops[C - 2] - drops[C - 1]
        errors[place] = 1 - model(X).softmax(dim=1)[torch.arange(len(y)), y].mean().item()
    finish(left, "five classes, error 0.02", "cosine β", "eigenvalue", "linear", "log")
    at = np.interp(line, cosines, errors.mean(axis=0))
    theory(right, line, ph.theory.class_spectrum.class_levels(C, line, at).surplus, label="without noise", colour="C0")
    measurement(right, tidy(cosines, surplus), "x", "clusters with noise", "C0")
    right.axhline(0.0, color="0.4", linewidth=1.0)
    finish(right, "C outliers below 0, C - 1 above", "cosine β", "log(drop after C - 1 / after C)", "linear", "linear")


def draws_of_a_posterior(n, repetitions, rng):
    """Return the exact Gibbs risk of a linear classifier, and error rates of passes with fresh and shared weights."""
    points, mean = rng.standard_normal((n, 20)).astype(np.float32), 0.6 * rng.standard_normal(20)
    labels = (points @ mean + rng.standard_normal(n) > 0).astype(int)
    # Two logits whose difference has the weights N(mean, I) and the bias N(0, 1).
    layer = np.stack([-mean / 2, mean / 2]).astype(np.float32), np.zeros(2, np.float32)
    posterior = ph.bounds.GaussianMLP.around([layer], np.sqrt(0.5))
    margins = (points @ mean) * (2 * labels - 1)
    risk = np.mean(ph.bounds.exact_binary_risk(margins, np.sqrt((points**2).sum(axis=1) + 1)))
    fresh = ph.bounds.draws(posterior, points, labels, repetitions).errors / n
    scores = (mean + rng.standard_normal((repetitions, 20))) @ points.T + rng.standard_normal((repetitions, 1))
    return risk, fresh, ((scores > 0) != labels).mean(axis=1)


def certificate(canvas):
    """Draw the error rates of passes with fresh and with shared weights, and how often their bounds fail."""
    left, right = canvas.subplots(1, 2)
    n, repetitions = 1000, 4000
    risk, fresh, shared = draws_of_a_posterior(n, repetitions, np.random.default_rng(0))
    bins = np.linspace(min(shared.min(), fresh.min()), max(shared.max(), fresh.max()), 60)
    left.hist(shared, bins, color="C1", alpha=0.7, label="one network for all points")
    left.hist(fresh, bins, color="C0", alpha=0.7, label="a fresh network for each point")
    left.axvline(risk, color="0.2", linestyle="--", linewidth=1.2, label="exact empirical risk")
    finish(left, f"{repetitions} passes over {n} points", "error rate of a pass", "passes", "linear", "linear")

    deltas = np.geomspace(0.001, 0.5, 25)
    inverse = ph.bounds.kl_inverse
    rates = {
        "a fresh network for each point, n trials": [np.mean(inverse(fresh, np.log(1 / d) / n) < risk) for d in deltas],
        "one network, taken for n trials": [np.mean(inverse(shared, np.log(1 / d) / n) < risk) for d in deltas],
        "one network, one trial": [np.mean(inverse(shared, np.log(1 / d)) < risk) for d in deltas],
    }
    for colour, (label, values) in zip(("C0", "C1", "C2"), rates.items(), strict=True):
        right.plot(deltas, np.maximum(values, 1e-4), "o", markersize=4, color=colour, label=label)
    right.plot(deltas, deltas, color="0.2", linestyle="--", linewidth=1.2, label="the probability that was granted")
    finish(right, "how often the bound is below the risk", "δ′", "share of passes (0 is drawn at 0.0001)")


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
        decay = (1 - values / values[-1]) ** (2 * steps[:, None])
        theory(right, steps, decay @ ((vectors.T @ Y) ** 2).sum(axis=1) / (Y**2).sum(), label=name, colour=colour)
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


def signed_rows(link, n, p, rng):
    """Return y x for n samples whose labels depend on the first of p coordinates."""
    X = rng.standard_normal((n, p))
    if isinstance(link, ph.theory.links.GaussianMixture):
        return X + link.mean_norm * np.eye(p)[0]
    if isinstance(link, ph.theory.links.Sign):
        return X * np.sign(X[:, :1])
    chance = expit(link.strength * X[:, 0] + link.hidden * rng.standard_normal(n))
    return X * np.where(rng.random(n) < chance, 1.0, -1.0)[:, None]


def separating(rows):
    """Return the direction of the largest margin."""
    return ph.implicit_bias.hard_margin(rows, np.ones(len(rows))).weights


def logistic_fit(rows, ridge):
    """Return the minimum of the mean logistic loss plus ridge |w|^2 / 2."""
    sign = np.where(np.arange(len(rows)) % 2, 1.0, -1.0)  # both classes, and the same loss
    inverse = 1 / (len(rows) * ridge) if ridge else np.inf
    model = LogisticRegression(C=inverse, fit_intercept=False, solver="newton-cholesky", max_iter=1000)
    return model.fit(rows * sign[:, None], sign).coef_[0]


def max_margin(canvas):
    """Draw margin and cosine of the max-margin classifier over the aspect ratio, for three kinds of labels."""
    left, right = canvas.subplots(1, 2)
    rng, n, line = np.random.default_rng(0), 120, np.geomspace(0.1, 6, 300)
    ratios = np.array([0.15, 0.3, 0.6, 1.0, 2.0, 5.0])
    links = ph.theory.links.Sign(), ph.theory.links.Logistic(2.0), ph.theory.links.GaussianMixture(1.0)
    for colour, link in zip(("C0", "C1", "C2"), links, strict=True):
        name = {"Sign": "sign", "Logistic": "logistic, strength 2"}.get(type(link).__name__, "mixture, mean 1")
        found = ph.theory.max_margin.limit(line, link)
        theory(left, line[found.separable], found.margin[found.separable], label=name, colour=colour)
        theory(right, line[found.separable], found.cosine[found.separable], label=name, colour=colour)
        above = ratios[ratios > found.threshold + 0.15]  # at this n nearer points are not always separable
        got = np.empty((2, 10, above.size))
        for replicate, point in np.ndindex(got.shape[1:]):
            rows = signed_rows(link, n, round(above[point] * n), rng)
            solution = ph.implicit_bias.hard_margin(rows, np.ones(n))
            got[:, replicate, point] = solution.margin, solution.weights[0]
        measurement(left, tidy(above, got[0]), "x", name, colour)
        measurement(right, tidy(above, got[1]), "x", name, colour)
    finish(left, "n = 120", "aspect ratio p/n", "margin", y_scale="linear")
    right.set_ylim(0, 1.05)
    finish(right, "n = 120", "aspect ratio p/n", "cosine to the signal", y_scale="linear")


def logistic_regression(canvas):
    """Draw the test error without and with a ridge, and the double descent of a classifier with hidden features."""
    left, right = canvas.subplots(1, 2)
    rng, n = np.random.default_rng(0), 150
    ratios, link = np.array([0.08, 0.15, 0.6, 1.2, 2.5]), ph.theory.links.Logistic(3.0)
    threshold = ph.theory.max_margin.separability_threshold(link)
    line = np.union1d(threshold * np.array([0.97, 0.99, 1.0]), np.geomspace(0.05, 4, 30))
    for colour, ridge in (("C0", 0.0), ("C1", 1e-3), ("C2", 0.1)):
        name = f"ridge {ridge:g}" if ridge else "descent, no ridge"
        if ridge:
            error = ph.theory.logistic_regression.logistic_ridge(line, link, ridge).error
        else:
            error = ph.theory.classifier_descent.descent_limit(line, link).error
        theory(left, line, error, label=name, colour=colour)
        errors = np.empty((10, ratios.size))
        for replicate, point in np.ndindex(errors.shape):
            rows = signed_rows(link, n, round(ratios[point] * n), rng)
            w = separating(rows) if not ridge and ratios[point] > 0.5 else logistic_fit(rows, ridge)
            errors[replicate, point] = link.law().error(w[0] / np.linalg.norm(w))
        measurement(left, tidy(ratios, errors), "x", name, colour)
    left.axvline(threshold, color="0.6", linestyle=":", linewidth=1)
    finish(left, "logistic labels of strength 3, n = 150", "aspect ratio p/n", "test error", y_scale="linear")

    signal, ratios = 3.0, np.array([0.1, 0.2, 0.3, 0.8, 1.5, 3.0, 6.0])
    for colour, decay in (("C0", 1.0), ("C1", 2.0)):
        kink = ph.theory.classifier_descent.interpolation_threshold(signal, decay)
        curve = np.union1d(kink * np.array([0.95, 0.98, 0.99, 1.0]), np.geomspace(0.08, 8, 30))
        found = ph.theory.classifier_descent.double_descent(curve, signal, decay)
        theory(right, curve, found.error, label=f"decay {decay:g}", colour=colour)
        errors = np.empty((16, ratios.size))
        for point, ratio in enumerate(ratios):
            share = ph.theory.hidden_features.visible_share(ratio, decay)
            link = ph.theory.links.Logistic(signal * share**0.5, signal * (1 - share) ** 0.5)
            for replicate in range(len(errors)):
                rows = signed_rows(link, n, round(ratio * n), rng)
                w = separating(rows) if ratio > 0.5 else logistic_fit(rows, 0.0)
                errors[replicate, point] = link.law().error(w[0] / np.linalg.norm(w))
        measurement(right, tidy(ratios, errors), "x", f"decay {decay:g}", colour)
    finish(right, "hidden features, signal 3, n = 150", "features p/n", "test error", y_scale="linear")


def effective_parameters(canvas):
    """Draw the count of three linear fits over time, and the risk of flow and ridge with the time to stop."""
    left, right = canvas.subplots(1, 2)
    rng, n, p = np.random.default_rng(0), 60, 200
    theories = ph.theory.effective_parameters
    X, y = rng.standard_normal((n, p)), rng.standard_normal(n)
    s = np.linalg.eigvalsh(X @ X.T / n)
    line, points, step = np.geomspace(0.01, 30, 100), np.array([0.03, 0.1, 0.3, 1.0, 3.0, 10.0]), 0.01

    def descend(labels, time):
        weights = np.zeros((len(labels), p))
        for _ in range(round(time / step)):
            weights += step * (labels - weights @ X.T) @ X / n
        return weights @ X.T

    def ridge(labels, time):
        return labels @ np.linalg.solve(X @ X.T + n / time * np.eye(n), X @ X.T)

    fits = {"ridge 1/t": (theories.ridge_shares(s, 1 / line), ridge),
            "gradient descent": (theories.flow_shares(s, line), descend)}  # fmt: skip
    for colour, (label, (shares, fit)) in zip(("C0", "C1"), fits.items(), strict=True):
        theory(left, line, theories.counts(shares).trace, label=label, colour=colour)
        found = [ph.bounds.generalised_degrees(partial(fit, time=t), y, 1.0, n, together=True).value for t in points]
        left.plot(points, found, "o", color=colour, markersize=4, label=f"{label}, measured")
    left.axhline(n, color="0.4", linestyle=":", label="samples")
    finish(left, "60 samples, 200 weights", "time t", "effective parameters", y_scale="linear")

    n, p, noise = 200, 100, 0.5
    line, points = np.geomspace(0.1, 100, 100), np.geomspace(0.15, 70, 9)
    for colour, label in (("C0", "ridge 1/t"), ("C1", "gradient flow")):
        risk = (ph.theory.ridge_regression.isotropic_risk(p / n, 1 / line, 1.0, noise) if colour == "C0"
                else ph.theory.gradient_flow.isotropic_risk(p / n, line, 1.0, noise))  # fmt: skip
        theory(right, line, risk.total, label=label, colour=colour)
        errors = np.empty((20, points.size))
        for row in errors:
            X, truth = rng.standard_normal((n, p)), rng.standard_normal(p) / np.sqrt(p)
            U, g, V = np.linalg.svd(X, full_matrices=False)
            labels = U.T @ (X @ truth + np.sqrt(noise) * rng.standard_normal(n))
            shares = (theories.ridge_shares(g**2 / n, 1 / points) if colour == "C0"
                      else theories.flow_shares(g**2 / n, points))  # fmt: skip
            row[:] = ((shares / g * labels @ V - truth) ** 2).sum(axis=1)
        measurement(right, tidy(points, errors), "x", label, colour)
    best = ph.theory.gradient_flow.optimal_stopping(
        lambda t: ph.theory.gradient_flow.isotropic_risk(p / n, t, 1.0, noise)
    )
    right.axvline(best.time, color="0.4", linestyle=":", label="when to stop")
    finish(right, "isotropic inputs, p = n/2", "time t", "excess risk")


def optimisers(canvas):
    """Draw where the feature turns along signs, and the test errors of descent and of Adam over their rates."""
    left, right = canvas.subplots(1, 2)

    def measured(arm, replicates):
        cells = [ph.studies.Cell(arm, {}, replicate) for replicate in range(replicates)]
        tables = [adam_vs_sgd.measure(cell, ph.studies.Streams(0, "plot", cell.replicate)) for cell in cells]
        return pd.concat([table.assign(replicate=replicate) for replicate, table in enumerate(tables)])

    sparsities = np.arange(25, 85)
    settings = adam_vs_sgd.N, adam_vs_sgd.TURN_DIMENSION, sparsities, adam_vs_sgd.TURN_DEVIATION
    growth = ph.theory.adam_feature_noise.sign_growth(*settings, active=0.5)
    for index, (arm, (rule, power)) in enumerate(adam_vs_sgd.TURN_RULES.items()):
        if arm != adam_vs_sgd.STARTS:  # the same prediction as for signs
            line = ph.theory.adam_feature_noise.flip_threshold(*settings, power, active=0.5)
            theory(left, growth, line, label=f"q = {power}", colour=f"C{index}")
        rows = measured(arm, 6)
        measurement(left, rows[rows["quantity"] == "threshold"], "growth", f"{rule} {power}", f"C{index}")
    finish(left, "where the feature turns", "growth g of the noise along signs", "feature noise α")

    rows = {arm: measured(arm, 4) for arm in (adam_vs_sgd.DESCENT, adam_vs_sgd.ADAM)}
    arms = {
        "descent": (adam_vs_sgd.DESCENT, ""),
        "Adam": (adam_vs_sgd.ADAM, ""),
        "decay": (adam_vs_sgd.ADAM, "decayed "),
    }
    for (label, (arm, decayed)), colour in zip(arms.items(), ("C0", "C1", "C2"), strict=True):
        here = rows[arm][rows[arm]["quantity"] == f"{decayed}test_error"]
        measurement(right, here, "rate", label, colour)
    right.axhline(0.5, color="0.6", linewidth=1.0, linestyle=":")
    right.set(ylim=(-0.04, 1.04))
    finish(right, "feature noise of 0.3", "learning rate", "share of wrong test images", y_scale="linear")


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


def implicit_bias(canvas):
    """Draw gradient flow on its way to the limit, and margins under batch normalisation."""
    left, right = canvas.subplots(1, 2)
    rows = np.array([[2.0, 0.4], [0.3, 1.0], [3.0, 3.0]])
    limit = ph.theory.implicit_bias.exponential_flow(rows, [15 / 47, 42.5 / 47])
    early = solve_ivp(lambda _, w: rows.T @ np.exp(-rows @ w), (0, 1), np.zeros(2), rtol=1e-9, atol=1e-9).y[:, -1]
    times = np.linspace(0, 75, 300)
    way = solve_ivp(lambda s, w: rows.T @ np.exp(s - rows @ w), (0, 75), early, "LSODA", times, rtol=1e-9, atol=1e-9).y
    off = np.linalg.norm(way.T - times[:, None] * limit.weights - limit.offset, axis=1)
    losses = np.exp(times[:, None] - way.T @ rows.T).sum(axis=1) / limit.loss_constant - 1
    left.plot(times, off, "C0", label="distance of w(t) from its limit")
    left.plot(times, np.abs(losses), "C1", label="| t L(t) γ² − 1 |")
    left.plot(times, off[200] * np.exp(limit.relaxation * (times[200] - times)), "C0--", label="slope −ρ")
    finish(left, "gradient flow on three rows", "log t", "distance", "linear")

    rng, n, d, steps = np.random.default_rng(0), 12, 30, 700
    marks = np.unique(np.geomspace(5, steps, 60).astype(int))
    for colour, label in (("C0", "batch normalisation"), ("C1", "plain descent")):
        for draw in range(5):
            Z, g, seen = rng.standard_normal((n, d)), 1.0, []
            w = rng.standard_normal(d) / np.sqrt(d)
            for step in range(1, steps + 1):
                m = Z @ w
                size = np.sqrt(np.mean(m**2)) if colour == "C0" else 1.0
                pull = 0.05 / (1 + np.exp(g * m / size)) / n
                if colour == "C0":
                    w, g = w + g / size * Z.T @ (pull - pull @ m * m / (n * size**2)), g + pull @ m / size
                else:
                    w = w + Z.T @ pull
                if step in marks:
                    seen.append(ph.theory.implicit_bias.margin_discrepancy(Z @ w))
            right.plot(marks, seen, colour, linewidth=1, label="_" if draw else label)
    finish(right, "spread of the margins", "step", "2 Var / mean square")


def descent_constants(canvas):
    """Draw the margin gap of flow and steps over the loss, and the dispersion of margins under batch norm."""
    left, right = canvas.subplots(1, 2)
    rng, bias = np.random.default_rng(0), ph.implicit_bias
    X, y = rng.standard_normal((20, 30)), rng.choice([-1.0, 1.0], 20)
    solution = bias.hard_margin(X, y)
    dual = solution.dual[solution.support]
    constant = np.log(dual.max()) - dual @ np.log(dual)
    times, size = np.geomspace(8, 1e4, 25), 1.0 / (X**2).sum(axis=1).max()
    flow = bias.gradient_flow(X, y, times)
    left.plot(times, 1 - flow.margin() / solution.margin, "C0o", ms=4, label="gradient flow")
    theory(left, times, constant / (times - np.log(20)), label="constant / log t", colour="C0")
    steps = np.geomspace(30, 1e5, 25).astype(int)
    path = bias.gradient_descent(X, y, steps[-1], step_size=size, method="normalized", record=steps)
    left.plot(steps, 1 - path.margin() / solution.margin, "C1o", ms=4, label="steps over the loss")
    theory(left, steps, constant / (solution.margin**2 * size * steps), label="constant / (margin² η t)", colour="C1")
    finish(left, "n = 20, d = 30", "log t of the flow, number of steps", "relative gap to the largest margin")

    steps = np.geomspace(300, 1e5, 30).astype(int)
    for colour in ("C0", "C1", "C2"):
        X, y = rng.standard_normal((12, 30)), rng.choice([-1.0, 1.0], 12)
        start = rng.standard_normal(30)
        path = bias.gradient_descent(
            X, y, steps[-1], step_size=0.05, method="batch_norm", loss="logistic", record=steps,
            initial=4 * start / np.linalg.norm(start),
        )  # fmt: skip
        clock, seen = np.abs(path.gain) ** 3 / 3 + path.gain**2 / 2, path.dispersion > 1e-26
        rows, centre = X * y[:, None], np.eye(12) - 1 / 12
        slowest = np.linalg.eigvalsh(centre @ rows @ rows.T @ centre)[1]
        rate = 2 * slowest / np.sum(path.margins[seen][-1] ** 2)
        right.plot(clock[seen], path.dispersion[seen], "o", ms=4, color=colour, label="a draw")
        line = path.dispersion[seen][-1] * np.exp(-rate * (clock[seen] - clock[seen][-1]))
        theory(right, clock[seen], np.minimum(line, 10.0), label="slope", colour=colour)
    finish(right, "n = 12, d = 30", "g³/3 + g²/2", "dispersion D of the margins", x_scale="linear")


def save(folder, function):
    """Draw one figure into a folder."""
    with style():
        canvas = Figure(figsize=(10.0, 4.6))
        function(canvas)
        save_figure(canvas, folder / f"{function.__name__}.png")


def draw(folder):
    """Draw every figure into a folder, on all cores."""
    folder.mkdir(parents=True, exist_ok=True)
    functions = [function for _, function in inspect.getmembers(sys.modules[__name__], inspect.isfunction)]
    figures = [function for function in functions if list(inspect.signature(function).parameters) == ["canvas"]]
    with process_pool(min(cores(), len(figures))) as pool:
        list(pool.map(partial(save, folder), figures))


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
