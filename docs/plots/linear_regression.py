"""Linear regression: over its aspect ratio, its penalty, its training time."""

from functools import partial

import numpy as np

import pyphenom as ph
from pyphenom.report import measurement, theory

from .panels import finish, tidy


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
