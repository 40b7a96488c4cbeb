"""Random features, and the kernels that they tend to."""

import numpy as np
import pandas as pd

import pyphenom as ph
from pyphenom.phenomena import variance_decomposition
from pyphenom.report import measurement, theory

from .panels import finish, tidy


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
