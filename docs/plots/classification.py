"""Linear classifiers: what maximum likelihood and margins reach, and how descent gets there."""

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

import pyphenom as ph
from pyphenom.report import measurement, theory

from .panels import finish, tidy


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
