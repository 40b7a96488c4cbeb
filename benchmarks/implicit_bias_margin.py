"""The hard-margin solver against scikit-learn, and descent of the two-layer CNN against torch.

(a) n = 2000 random labels, d = 5000: `hard_margin` against SVC with a linear and with a precomputed kernel (the matrix
    included) and LinearSVC. The relative gap of each answer beside: how far its margin is from what its dual weights
    allow, those of `hard_margin` for LinearSVC, which gives none. SVC has an intercept: one unknown more.
(b) Full-batch steps of the CNN, many runs at once: `cnn_descent` against torch with the runs stacked into batched
    products: automatic differentiation with torch.optim, and the gradient written out by hand. Seconds a step and run.

Contestants take turns within a repeat, in a random order; a ratio is taken within each repeat, and the table shows
medians and quartiles.

    python benchmarks/implicit_bias_margin.py --repeats 5 --json result.json

Thread counts are those of the environment (OMP_NUM_THREADS, OPENBLAS_NUM_THREADS); the header states them.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from interpolation import show, take_turns
from random_features import machine, ratio
from rich.console import Console
from rich.table import Table
from sklearn.svm import SVC, LinearSVC

from pyphenom.implicit_bias import cnn_descent, hard_margin


@dataclass(frozen=True)
class Sizes:
    """Shapes of one run."""

    examples: int = 2000
    dimension: int = 5000
    runs: int = 12
    steps: int = 300
    networks: tuple[tuple[int, int], ...] = ((20, 1000), (100, 500))  # (n, d), 10 filters a sign
    tolerances: tuple[float, ...] = (1e-3, 1e-6)  # of LinearSVC


QUICK = Sizes(200, 500, 3, 20, ((20, 100),), (1e-3,))


# ---- (a) the hard margin


def margin_section(sizes, repeats):
    """Time the solvers; return times, ratios and the relative gap of every answer."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((sizes.examples, sizes.dimension)), rng.choice([-1.0, 1.0], sizes.examples)
    rows, gaps = y[:, None] * X, {}

    def gap(w, intercept, dual):
        """Return by how much the margin may fall short of the largest, by the bound of the dual weights."""
        length = np.linalg.norm(w)
        return float(1 - (rows @ w + y * intercept).min() / length / np.linalg.norm(dual / dual.sum() @ rows))

    def ours():
        solution = hard_margin(X, y)
        gaps["hard_margin"] = gap(solution.weights, 0.0, solution.dual)

    def svc(name, kernel):
        fit = SVC(kernel=kernel, C=1e10, tol=1e-3, cache_size=1000).fit(X if kernel == "linear" else X @ X.T, y)
        dual = np.zeros(len(X))
        dual[fit.support_] = np.abs(fit.dual_coef_[0])
        gaps[name] = gap(dual @ rows, fit.intercept_[0], dual)

    best = hard_margin(X, y).dual

    def liblinear(name, tol):
        fit = LinearSVC(C=1e4, loss="hinge", fit_intercept=False, tol=tol, max_iter=100_000, random_state=0).fit(X, y)
        gaps[name] = gap(fit.coef_[0], 0.0, best)

    contestants = {"hard_margin": ours}
    for kernel in ("linear", "precomputed"):
        name = f"SVC {kernel}, tol 0.001"
        contestants[name] = partial(svc, name, kernel)
    for tol in sizes.tolerances:
        name = f"LinearSVC, tol {tol:g}"
        contestants[name] = partial(liblinear, name, tol)
    times = take_turns(contestants, repeats)
    return times, [ratio(times, name, "hard_margin") for name in contestants if name != "hard_margin"], gaps


# ---- (b) descent of the CNN


def network(n, d, runs, m=10, size=8.0):
    """Return patches (runs, n, 2, d), labels and initial weights of the theory's first model."""
    rng = np.random.default_rng(0)
    y, noise = rng.choice([-1.0, 1.0], (runs, n)), rng.standard_normal((runs, n, d))
    noise[..., 0] = 0.0
    X = np.stack([y[..., None] * np.r_[size, np.zeros(d - 1)], noise], axis=2)
    return X, y, 0.005 * rng.standard_normal((runs, 2, m, d))


def torch_autograd(X, y, W, steps, rate, power, adam):
    """Train all runs by automatic differentiation of batched products."""
    runs, n, patches, d = X.shape
    m = W.shape[2]
    x, labels = torch.from_numpy(X).reshape(runs, n * patches, d), torch.from_numpy(y)
    weights = torch.from_numpy(W).reshape(runs, 2 * m, d).clone().requires_grad_(True)
    optimizer = torch.optim.Adam([weights], lr=rate) if adam else torch.optim.SGD([weights], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        z = torch.bmm(x, weights.transpose(1, 2))
        f = (torch.relu(z) ** power).reshape(runs, n, patches, 2, m).sum(dim=(2, 4)) / m
        # The sum over runs gives every run its own gradient.
        torch.nn.functional.softplus(-labels * (f[..., 0] - f[..., 1])).mean(dim=1).sum().backward()
        optimizer.step()
    return weights.detach().numpy().reshape(W.shape)


@torch.no_grad()
def torch_by_hand(X, y, W, steps, rate, power, adam):
    """Train all runs with the gradient written out: two batched products a step."""
    runs, n, patches, d = X.shape
    m = W.shape[2]
    x, labels = torch.from_numpy(X).reshape(runs, n * patches, d), torch.from_numpy(y)
    weights = torch.from_numpy(W).reshape(runs, 2 * m, d).clone()
    optimizer = torch.optim.Adam([weights], lr=rate) if adam else None
    signs = torch.cat([torch.ones(m), -torch.ones(m)]).double() / m
    for _ in range(steps):
        z = torch.relu(torch.bmm(x, weights.transpose(1, 2)))
        lower = z ** (power - 1) * (z > 0)
        f = ((lower * z) @ signs).reshape(runs, n, patches).sum(dim=2)
        pull = -labels * torch.sigmoid(-labels * f) / n
        by_z = (power * pull).repeat_interleave(patches, dim=1)[..., None] * lower * signs
        gradient = torch.bmm(by_z.transpose(1, 2), x)
        if optimizer:
            weights.grad = gradient
            optimizer.step()
        else:
            weights.sub_(gradient, alpha=rate)
    return weights.numpy().reshape(W.shape)


def network_section(n, d, power, adam, sizes, repeats):
    """Time the loops; check that they agree."""
    X, y, W = network(n, d, sizes.runs)
    rate = 1e-3 if adam else 0.05

    def ours():
        optimizer = "adam" if adam else "descent"
        return cnn_descent(X, y, W, sizes.steps, learning_rate=rate, power=power, optimizer=optimizer).weights

    contestants = {
        "cnn_descent": ours,
        "torch, autograd": lambda: torch_autograd(X, y, W, sizes.steps, rate, power, adam),
        "torch, by hand": lambda: torch_by_hand(X, y, W, sizes.steps, rate, power, adam),
    }
    difference = max(float(np.abs(f() - ours()).max()) for f in contestants.values())
    times = take_turns(contestants, repeats)
    each = {name: [t / sizes.steps / sizes.runs for t in values] for name, values in times.items()}
    rows = [ratio(times, name, "cnn_descent", None if adam else ">= 10") for name in contestants if "torch" in name]
    return each, rows, difference


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small sizes: a check of the script, not a measurement")
    parser.add_argument("--only", choices=("margin", "network"), help="one part")
    parser.add_argument("--json", type=Path, help="write every time and ratio to this file")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    sizes, console, record = QUICK if options.quick else Sizes(), Console(width=140), {"machine": machine()}
    console.print(record["machine"])
    record["sizes"] = asdict(sizes)
    if options.only in (None, "margin"):
        times, rows, gaps = margin_section(sizes, options.repeats)
        show(console, f"(a) hard margin, n {sizes.examples}, d {sizes.dimension}", times, rows)
        table = Table("", "relative gap", title="how far from the largest margin")
        for name, gap in gaps.items():
            table.add_row(name, f"{gap:.1e}")
        console.print(table)
        record["margin"] = {"seconds": times, "ratios": rows, "gaps": gaps}
    if options.only in (None, "network"):
        record["network"] = []
        for n, d in sizes.networks:
            for power, adam in ((3, False), (1, False), (3, True)):
                times, rows, difference = network_section(n, d, power, adam, sizes, options.repeats)
                title = (
                    f"(b) {'Adam' if adam else 'descent'}, n {n}, d {d}, q {power}, {sizes.runs} runs: a step and run"
                )
                show(console, title, times, rows)
                console.print(f"largest difference of the weights: {difference:.1e}")
                record["network"].append({"title": title, "seconds": times, "ratios": rows, "difference": difference})
    if options.json:
        options.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
