"""Training of small fully connected networks against torch: one after the other, and stacked by torch.func.

Everything runs interleaved in one process, once per repeat and in a random order; the ratios are taken within a repeat,
and the table shows their median and quartiles. All take the same steps of SGD on the same batches of the cross-entropy
from the same start; before anything is timed, a short run of each must end in the same place. The bare products are
those of the same steps by numpy's BLAS.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/training.py --repeats 5 --json result.json

The kernel uses one thread; on a machine with other work, the times say little.
"""

import argparse
import copy
import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
from random_features import interleave, machine, ratio, show
from rich.console import Console
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from pyphenom import networks
from pyphenom.networks import Recipe

INPUTS, CLASSES, N, RATE, MOMENTUM = 40, 10, 2000, 0.05, 0.9
CASES = {
    "1 x 48, batch 100": ((48,), 100),
    "1 x 256, batch 100": ((256,), 100),
    "10 of 8 to 192, batch 50": ((8, 16, 16, 16, 24, 32, 48, 64, 96, 192), 50),
    "16 x 64, batch 50": ((64,) * 16, 50),
    "4 x 128-128, batch 50": (((128, 128),) * 4, 50),
}


def problem(widths, size, steps):
    """Return networks, samples, labels and the batches of every step."""
    stream = torch.Generator().manual_seed(0)
    X, y = torch.randn(N, INPUTS, generator=stream), torch.randint(0, CLASSES, (N,), generator=stream)
    hidden = [(width,) if isinstance(width, int) else width for width in widths]
    models = [networks.mlp((INPUTS, *each, CLASSES), seed=m) for m, each in enumerate(hidden)]
    rng, drawn = np.random.default_rng(0), []
    while len(drawn) < steps:
        drawn += list(rng.permutation(N).reshape(-1, size))  # the order of `train` with seed 0
    return models, X, y, torch.from_numpy(np.array(drawn[:steps]))


def ours(models, X, y, batches):
    models = copy.deepcopy(models)
    networks.train(models, X, y, Recipe(len(batches), RATE, batches.shape[1], momentum=MOMENTUM))
    return models


def one_by_one(models, X, y, batches):
    models, loss = copy.deepcopy(models), nn.CrossEntropyLoss()
    for model in models:
        optimiser = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, fused=True)
        for batch in batches:
            optimiser.zero_grad()
            loss(model(X[batch]), y[batch]).backward()
            optimiser.step()
    return models


def stacked(models, X, y, batches):
    """As torch's tutorial on ensembles has it: vmap over the gradient of one network; equal widths only."""
    models, base = copy.deepcopy(models), copy.deepcopy(models[0])
    parameters, _ = stack_module_state(models)

    def loss(values, x, labels):
        return nn.functional.cross_entropy(functional_call(base, values, (x,)), labels)

    slopes = vmap(grad(loss), in_dims=(0, None, None))
    optimiser = torch.optim.SGD(parameters.values(), RATE, MOMENTUM, fused=True)
    for batch in batches:
        for name, value in slopes(parameters, X[batch], y[batch]).items():
            parameters[name].grad = value
        optimiser.step()
    with torch.no_grad():
        for m, model in enumerate(models):
            for name, value in model.named_parameters():
                value.copy_(parameters[name][m])
    return models


def bare_products(models, X, batches):
    """Multiply what a step multiplies, and nothing else."""
    size = batches.shape[1]
    shapes = [[tuple(layer.weight.shape) for layer in model if isinstance(layer, nn.Linear)] for model in models]
    rng = np.random.default_rng(0)
    made = {s: rng.standard_normal(s, dtype=np.float32) for s in {shape for each in shapes for shape in each}}
    flows = {k: rng.standard_normal((k, size), dtype=np.float32) for shape in made for k in shape}
    for _ in range(len(batches)):
        for each in shapes:
            for index, shape in enumerate(each):
                W, before, after = made[shape], flows[shape[1]], flows[shape[0]]
                W @ before
                after @ before.T
                if index:
                    W.T @ after


def contestants(widths, size, steps):
    models, X, y, batches = problem(widths, size, steps)
    found = {"train": partial(ours, models, X, y, batches), "torch": partial(one_by_one, models, X, y, batches)}
    if len(widths) > 1 and len(set(widths)) == 1:
        found["torch.func"] = partial(stacked, models, X, y, batches)
    return found, partial(bare_products, models, X, batches)


def check(widths, size):
    """Raise unless all contestants end in the same place."""
    found, _ = contestants(widths, size, 20)
    expected = [value for model in found.pop("torch")() for value in model.parameters()]
    for name, run in found.items():
        for here, there in zip((v for model in run() for v in model.parameters()), expected, strict=True):
            if not torch.allclose(here, there, rtol=1e-3, atol=1e-5):
                raise SystemExit(f"{name} ends elsewhere than torch: {float((here - there).detach().abs().max()):.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few steps: a check of the script, not a measurement")
    parser.add_argument("--json", type=Path, help="write every time and ratio to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console, record = Console(width=120), {"machine": machine()}
    console.print(machine())
    for case, (widths, size) in CASES.items():
        check(widths, size)
        found, bare = contestants(widths, size, 40 if options.quick else 1000)
        times = interleave(found | {"bare products": bare}, options.repeats, Console(stderr=True))
        rows = [ratio(times, peer, "train") for peer in found if peer != "train"]
        rows.append(ratio(times, "train", "bare products"))
        show(console, f"{case}, {40 if options.quick else 1000} steps", times, rows)
        record[case] = {"seconds": times, "ratios": rows}
    if options.json:
        options.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
