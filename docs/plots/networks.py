"""Networks: their curvature, their optimisers, their certificates."""

import numpy as np
import pandas as pd
import torch
from torch import nn

import pyphenom as ph
from pyphenom import networks
from pyphenom.phenomena import adam_vs_sgd
from pyphenom.report import measurement, theory

from .panels import finish, tidy


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


class Scaled(nn.Linear):
    """A linear layer without bias, weights N(0, 1), outputs times a gain: the parametrisation of tangent kernels."""

    def __init__(self, inputs, outputs, gain):
        """Draw the weights."""
        super().__init__(inputs, outputs, bias=False, dtype=torch.float64)
        self.gain = gain
        nn.init.normal_(self.weight)

    def forward(self, X):
        """Return gain times W x."""
        return self.gain * super().forward(X)


def scaled_network(inputs, width, depth):
    """Return `depth` hidden layers of ReLU, whose tangent kernel tends to `theory.neural_tangent` with the width."""
    gain, layers = (2 / width) ** 0.5, [Scaled(inputs, width, 1.0)]
    for _ in range(depth - 1):
        layers += [nn.ReLU(), Scaled(width, width, gain)]
    return nn.Sequential(*layers, nn.ReLU(), Scaled(width, 1, gain))


def residuals(X, y, width, step_size, steps):
    """Train a network less its copy from the start; return the squared residual at every step."""
    model = scaled_network(X.shape[1], width, 1)
    start, found = model(X).detach(), []
    for _ in range(steps + 1):
        loss = ((model(X) - start - y) ** 2).mean()
        found.append(float(loss.detach()) * len(X))
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for value, gradient in zip(model.parameters(), gradients, strict=True):
                value -= step_size * gradient
    return np.array(found)


def neural_tangent(canvas):
    """Draw the kernel against the angle for three depths, and the course of descent for three widths."""
    left, right = canvas.subplots(1, 2)
    torch.manual_seed(0)
    line, cosines = np.linspace(-1.0, 1.0, 200), np.linspace(-1.0, 1.0, 9)
    angles = np.arccos(cosines)
    X = torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)], axis=1))  # the last has cosine 1
    for colour, depth in (("C0", 1), ("C1", 2), ("C2", 3)):
        theory(left, line, ph.theory.neural_tangent.kernel(line, depth), label=f"depth {depth}", colour=colour)
        found = []
        for _ in range(10):
            at = ph.curvature.linearize(scaled_network(2, 500, depth), "half_squared", X, torch.zeros(len(X), 1))
            found.append(at.ntk() @ np.eye(len(X))[-1])
        measurement(left, tidy(cosines, np.array(found)), "x", f"depth {depth}", colour)
    finish(left, "width 500, inputs of norm 1", "cosine of the inputs", "tangent kernel", "linear", "linear")

    images = ph.data.digits()
    pixels = ph.data.centred_on_sphere(images.pixels)[:100] / 8
    truth, steps = images.one_hot()[:100, :1] - 0.5, 200
    values, vectors = np.linalg.eigh(ph.theory.neural_tangent.kernel_matrix(pixels))
    step_size, shown = 0.5 * len(pixels) / values[-1], np.unique(np.round(np.geomspace(1, steps, 14)).astype(int))
    power = ((vectors.T @ truth) ** 2).sum(axis=1)
    curve = ph.theory.kernel_descent.squared_residual(values, power, step_size, np.arange(1, steps + 1))
    theory(right, np.arange(1, steps + 1), curve, label="infinite width", colour="0.3")
    for colour, width in (("C0", 30), ("C1", 300), ("C2", 3000)):
        data = torch.from_numpy(pixels), torch.from_numpy(truth)
        found = np.array([residuals(*data, width, step_size, steps)[shown] for _ in range(5)])
        measurement(right, tidy(shown, found), "x", f"width {width}", colour)
    finish(right, "100 digits, is it a zero?", "steps", "squared residual")


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
            model.weight.data = torch.from_numpy(ph.theory.class_spectrum.flow_weights(X, common, error))
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
