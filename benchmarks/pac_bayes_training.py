"""Bound optimisation of a 784-600-600-10 network against the same optimisation in torch, and against its bare GEMMs.

Everything runs interleaved in one process, once per repeat and in a random order; the ratios are taken within a repeat,
and the table shows their median and quartiles. The torch side draws pre-activations as ours does, computes the same
objective (quadratic, bounded cross-entropy, float32, batch 256) and moves the same parameters with fused optimisers.
Before anything is timed, both follow the same objective from the same start and must end near each other; the noise
differs. The bare GEMMs are the products of one step by SciPy's BLAS: two forward and two or four backward a layer.

    OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 python benchmarks/pac_bayes_training.py --repeats 9 --json result.json

Threads are those of the environment. On a machine with other work, the times say little.
"""

import argparse
import json
import math
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.linalg.blas
import torch
from random_features import interleave, machine, quartiles, ratio, show
from rich.console import Console

import pyphenom as ph

WIDTHS, QUICK_WIDTHS = (784, 600, 600, 10), (50, 40, 40, 10)
BATCH, SCALE, RATE, MOMENTUM, DELTA, PMIN = 256, 0.03, 1e-3, 0.9, 0.025, 1e-5
TARGET = ">= 1.5"
AGREEMENT = 0.02  # of the objectives after an epoch: the noise differs


def problem(widths, steps):
    """Return a prior, and as many examples as the steps need: classes of a random linear teacher."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((steps * BATCH, widths[0]), dtype=np.float32)
    y = (X @ rng.standard_normal((widths[0], widths[-1]), dtype=np.float32)).argmax(axis=1)
    layers = [
        (rng.standard_normal((o, i), dtype=np.float32) / np.float32(math.sqrt(i)), np.zeros(o, dtype=np.float32))
        for i, o in pairwise(widths)
    ]
    return ph.bounds.GaussianMLP.around(layers, SCALE), X, y


def ours(prior, X, y, optimiser):
    """Return the mean objective of an epoch."""
    found = ph.bounds.optimise_bound(
        prior, prior, X, y, delta=DELTA, epochs=1, batch=BATCH, optimiser=optimiser, learning_rate=RATE,
        momentum=MOMENTUM, pmin=PMIN,
    )  # fmt: skip
    return float(found.objective[0])


def by_torch(prior, X, y, optimiser):
    """Return the mean objective of an epoch: local reparametrisation, autograd, a fused optimiser."""
    X, y, n = torch.from_numpy(X), torch.from_numpy(y), len(X)
    start = [torch.from_numpy(part.copy()) for i in range(len(prior.widths) - 1) for part in prior.layer(i)[:2]]
    means = [part.clone().requires_grad_() for part in start]
    log_prior, variance = math.log(SCALE), SCALE**2
    log_scales = [torch.full_like(part, log_prior).requires_grad_() for part in start]
    if optimiser == "adam":
        rule = torch.optim.Adam(means + log_scales, lr=RATE, betas=(MOMENTUM, 0.999), fused=True)
    else:
        rule = torch.optim.SGD(means + log_scales, lr=RATE, momentum=MOMENTUM, fused=True)
    price, floor, total = math.log(2 * math.sqrt(n) / DELTA), math.log(PMIN), 0.0
    order = torch.randperm(n)
    for first in range(0, n, BATCH):
        rows = order[first : first + BATCH]
        h, kl = X[rows], 0.0
        for i in range(0, len(means), 2):
            s, s_bias = (2 * log_scales[i]).exp(), (2 * log_scales[i + 1]).exp()
            m = torch.nn.functional.linear(h, means[i], means[i + 1])
            z = m + torch.nn.functional.linear(h * h, s, s_bias).sqrt() * torch.randn_like(m)
            h = z.relu() if i + 2 < len(means) else z
            for j, spread in ((i, s), (i + 1, s_bias)):
                kl = kl + 0.5 * (spread / variance - 1 - 2 * (log_scales[j] - log_prior)).sum()
                kl = kl + 0.5 * (means[j] - start[j]).square().sum() / variance
        log_p = torch.log_softmax(h, dim=1).clamp_min(floor)
        slack = (kl + price) / (2 * n)
        objective = ((torch.nn.functional.nll_loss(log_p, y[rows]) / -floor + slack).sqrt() + slack.sqrt()).square()
        rule.zero_grad()
        objective.backward()
        rule.step()
        total += objective.detach() * len(rows) / n
    return float(total)


def bare_products(widths, steps):
    """Return a call with the matrix products of an epoch and nothing else, outputs preallocated."""
    rng, products = np.random.default_rng(1), []
    for layer, (i, o) in enumerate(pairwise(widths)):
        A, W, D = (rng.standard_normal(shape, dtype=np.float32) for shape in ((BATCH, i), (o, i), (BATCH, o)))
        # Row-major C = A W^T is column-major C^T = W A^T: the arrays are passed transposed, and none is copied.
        kinds = [(W.T, A.T, True, False, np.zeros_like(D).T), (A.T, D.T, False, True, np.zeros_like(W).T)]
        if layer:
            kinds.append((W.T, D.T, False, False, np.zeros_like(A).T))
        for a, b, trans_a, trans_b, c in kinds:
            products += 2 * [
                partial(scipy.linalg.blas.sgemm, 1.0, a, b, c=c, trans_a=trans_a, trans_b=trans_b, overwrite_c=1)
            ]
    return lambda: [product() for _ in range(steps) for product in products]


def training_section(widths, steps, repeats, console):
    """Return the times of an epoch and the rows of the table, after a comparison of what both sides reach."""
    prior, X, y = problem(widths, steps)
    contestants, agreement = {}, {}
    for optimiser in ("sgd", "adam"):
        pair = {
            f"torch, {optimiser}": partial(by_torch, prior, X, y, optimiser),
            f"pyphenom, {optimiser}": partial(ours, prior, X, y, optimiser),
        }
        reached = [call() for call in pair.values()]
        agreement[optimiser] = abs(reached[1] / reached[0] - 1.0)
        if not agreement[optimiser] <= AGREEMENT:
            raise SystemExit(f"{optimiser}: the mean objective is {reached[1]:.5g}, in torch {reached[0]:.5g}")
        contestants |= pair
    contestants["bare GEMMs"] = bare_products(widths, steps)
    contestants["bare GEMMs"]()
    times = interleave(contestants, repeats, console)
    rows = []
    for optimiser in ("sgd", "adam"):
        rows.append(ratio(times, f"torch, {optimiser}", f"pyphenom, {optimiser}", TARGET))
        rows.append(ratio(times, "bare GEMMs", f"pyphenom, {optimiser}"))
    return times, rows, agreement


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--steps", type=int, default=40, help="of an epoch")
    parser.add_argument("--quick", action="store_true", help="small sizes: a check of the script, not a measurement")
    parser.add_argument("--json", type=Path, help="write every time and ratio to this file")
    options = parser.parse_args()
    if options.repeats < 1 or options.steps < 1:
        parser.error("--repeats and --steps must be at least 1")
    widths = QUICK_WIDTHS if options.quick else WIDTHS
    console = Console()
    console.print(machine())
    times, rows, agreement = training_section(widths, options.steps, options.repeats, console)
    title = f"Bound optimisation, {'-'.join(map(str, widths))}, {options.steps} steps of {BATCH} examples"
    show(console, title, times, rows)
    medians = {name: 1e3 * quartiles(values)[1] / options.steps for name, values in times.items()}
    console.print({name: f"{value:.2f} ms a step" for name, value in medians.items()})
    if options.json:
        result = {"machine": machine(), "seconds": times, "ratios": rows, "objectives_apart": agreement}
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
