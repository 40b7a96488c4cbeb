"""Full-batch descent of linear models against torch loops, method by method, and the limit of a step.

(a) n = 100, d = 500, float64, logistic loss: microseconds a step of `gradient_descent` against loops in torch: as
    people write them, with backward() and an optimiser, and by hand, the gradient written out in operations in place.
    Each with as many threads as are asked for; the fastest counts. Adam cannot leave the space of the weights: it reads
    all rows, where the others read the Gram matrix, and by hand torch reads them twice.
(b) Eight runs at once against the same loops on stacked data.
(c) A step against its limit: one pass over the panels that it reads, at the speed at which this processor sums an
    array of that size. The Gram matrix is 80 kB, the rows that Adam needs are 400 kB.
(d) Gradient flow to t = 10^12: seconds, and the error that it states.

Contestants take turns within a repeat, in a random order; a ratio is taken within each repeat, and the table shows
medians and quartiles.

    OMP_NUM_THREADS=1 python benchmarks/implicit_bias.py --repeats 7 --threads 1 2 --json result.json
"""

import argparse
import gc
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from random_features import machine, quartiles
from rich.console import Console
from rich.table import Table

from pyphenom.implicit_bias import Momentum, gradient_descent, gradient_flow

STEP, MOMENTUM, BETAS = 0.01, 0.9, (0.9, 0.999)
TARGET = 10.0


@dataclass(frozen=True)
class Sizes:
    """Shapes of one run."""

    n: int = 100
    d: int = 500
    runs: int = 8
    torch_steps: int = 2000
    steps: int = 40_000


QUICK = Sizes(torch_steps=50, steps=500)


def labelled(sizes, runs=()):
    """Return the rows y_i x_i of Gaussian inputs with labels at random, and small weights."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((*runs, sizes.n, sizes.d)), rng.choice([-1.0, 1.0], (*runs, sizes.n))
    return X * y[..., None], rng.standard_normal((*runs, sizes.d)) / sizes.d


# ---- the loops


def with_autograd(method, A, w0, steps):
    """Descend with backward() and an optimiser where torch has one."""
    w = w0.clone().requires_grad_()
    gain = torch.ones((*w.shape[:-1], 1), dtype=w.dtype, requires_grad=True)
    optimiser = {
        "momentum": lambda: torch.optim.SGD([w], STEP, momentum=MOMENTUM),
        "batch_norm": lambda: torch.optim.SGD([w, gain], STEP),
        "adam": lambda: torch.optim.Adam([w], STEP, betas=BETAS, eps=0.0),
    }.get(method, lambda: torch.optim.SGD([w], STEP))()
    b = torch.zeros_like(w)
    for t in range(steps):
        optimiser.zero_grad()
        m = (A @ w[..., None])[..., 0]
        if method == "batch_norm":
            m = gain * m / m.square().mean(-1, keepdim=True).sqrt()
        losses = torch.nn.functional.softplus(-m).mean(-1)
        losses.sum().backward()
        if method in ("normalized", "accelerated"):
            with torch.no_grad():
                w.grad /= losses[..., None]
                if method == "accelerated":
                    b = (b + w.grad) * (max(t - 1, 0) / max(t, 1))
                    w.grad += b
        optimiser.step()
    return w.detach()


@torch.no_grad()
def by_hand(method, A, w0, steps):
    """Descend with the gradient written out."""
    w, n, single = w0.clone(), A.shape[-2], A.ndim == 2
    transposed = A.mT
    gain = torch.ones((*w.shape[:-1], 1), dtype=w.dtype)
    b, first, second = torch.zeros_like(w), torch.zeros_like(w), torch.zeros_like(w)

    def times(M, v):
        return torch.mv(M, v) if single else torch.bmm(M, v[..., None])[..., 0]

    for t in range(steps):
        m = times(A, w)
        if method == "batch_norm":
            size = m.square().mean(-1, keepdim=True).sqrt()
            p = torch.sigmoid(-gain * m / size)
            inner = (p * m).sum(-1, keepdim=True)
            w += times(transposed, p - m * (inner / (n * size**2))) * (STEP * gain / (size * n))
            gain = gain + STEP * inner / (n * size)
            continue
        p = torch.sigmoid(-m)
        gradient = times(transposed, p).div_(n)
        if method in ("normalized", "accelerated"):
            gradient /= torch.nn.functional.softplus(-m).mean(-1, keepdim=True)
        if method == "accelerated":
            b.add_(gradient).mul_(max(t - 1, 0) / max(t, 1))
            gradient += b
        if method == "momentum":
            gradient = b.mul_(MOMENTUM).add_(gradient)
        if method == "adam":
            first.lerp_(gradient, 1 - BETAS[0])
            second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            size = second.sqrt().div_((1 - BETAS[1] ** (t + 1)) ** 0.5)
            w.addcdiv_(first, size, value=STEP / (1 - BETAS[0] ** (t + 1)))
            continue
        w.add_(gradient, alpha=STEP)
    return w


@torch.no_grad()
def with_gram(method, A, w0, steps):
    """Descend plainly in the coefficients of the rows: the same algorithm as the kernel's, in torch."""
    K, start = A @ A.mT, A @ w0
    c, n = torch.zeros(len(A), dtype=A.dtype), len(A)
    for _ in range(steps):
        c.add_(torch.sigmoid(-torch.addmv(start, K, c)), alpha=STEP / n)
    return w0 + A.mT @ c


METHODS = {
    "gradient": "gradient",
    "momentum": Momentum(MOMENTUM),
    "normalized": "normalized",
    "accelerated": "accelerated",
    "batch_norm": "batch_norm",
    "adam": "adam",
}
LOOPS = {"with_autograd": "autograd, optimiser", "by_hand": "by hand", "with_gram": "by hand, Gram matrix"}


# ---- measuring


def take_turns(contestants, repeats):
    """Call every (function, steps) once per repeat, in a random order; return name -> seconds a step."""
    rng = np.random.default_rng(0)
    times = {name: [] for name in contestants}
    for function, _ in contestants.values():  # libraries and buffers up
        function()
    for _ in range(repeats):
        for name in rng.permutation(list(contestants)):
            function, steps = contestants[name]
            gc.collect()
            start = time.perf_counter()
            function()
            times[name].append((time.perf_counter() - start) / steps)
    return times


def descent_section(sizes, repeats, threads, runs=()):
    """Time every method against its loops; return the times, and the ratio of each loop to the kernel."""
    A, w0 = labelled(sizes, runs)
    y, At, wt = np.ones(A.shape[:-1]), torch.from_numpy(A), torch.from_numpy(w0)
    count = runs[0] if runs else 1
    ours, theirs = sizes.steps // count, sizes.torch_steps // count
    last = np.array([ours])
    all_times, rows = {}, []
    for name, method in METHODS.items():

        def kernel(method=method, steps=ours, record=last):
            return gradient_descent(
                A, y, steps, step_size=STEP, method=method, loss="logistic", initial=w0, record=record
            )

        contestants = {"kernel": (kernel, ours)}
        loops = [with_autograd, by_hand] + [with_gram] * (name == "gradient" and not runs)
        for loop in loops:
            for count in threads:

                def run(loop=loop, count=count, name=name, steps=theirs):
                    torch.set_num_threads(count)
                    return loop(name, At, wt, steps)

                contestants[f"torch {loop.__name__}, {count} threads"] = (run, theirs)
        # The same point after a few steps, before any time is believed.
        few = kernel(steps=100, record=np.array([100])).weights[..., -1, :]
        for loop in loops:
            difference = np.abs(loop(name, At, wt, 100).numpy() - few).max()
            assert difference <= 1e-6 * np.abs(few).max(), (name, loop.__name__, difference)
        times = take_turns(contestants, repeats)
        row = {"method": name, "kernel": times["kernel"]}
        for loop in loops:
            fastest = np.min([values for other, values in times.items() if loop.__name__ in other], axis=0)
            row[loop.__name__] = {"seconds": list(fastest), "ratio": quartiles(fastest / np.array(times["kernel"]))}
        all_times[name] = times
        rows.append(row)
    return all_times, rows


def limit_section(sizes, rows, repeats):
    """Return, for gradient and Adam, a step's time over the time of one sum over an array of the size that it reads."""
    found = []
    for name, entries in (("gradient", sizes.n**2), ("adam", sizes.n * sizes.d)):
        x, rounds, best = np.ones(entries), 2000, []
        for _ in range(max(3, repeats)):
            start = time.perf_counter()
            for _ in range(rounds):
                np.dot(x, x)
            best.append((time.perf_counter() - start) / rounds)
        step = min(next(row["kernel"] for row in rows if row["method"] == name))
        found.append({"method": name, "step": step, "pass": min(best), "over limit": step / min(best)})
    return found


def flow_section(sizes, repeats):
    """Time gradient flow to t = 10^12."""
    A, w0 = labelled(sizes)
    times, path = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        path = gradient_flow(A, np.ones(sizes.n), np.log([1e12]), initial=w0)
        times.append(time.perf_counter() - start)
    return {"seconds": times, "error": float(path.error[-1]), "integration steps": int(path.integration_steps)}


def show(console, title, rows):
    table = Table(title=title)
    for heading in ("method", "kernel, us", "loop", "loop, us", "ratio", "quartiles", "target"):
        table.add_column(heading, justify="left" if heading in ("method", "loop") else "right")
    for row in rows:
        method, kernel = row["method"], f"{1e6 * np.median(row['kernel']):.3g}"
        for loop in LOOPS:
            if loop in row:
                low, middle, high = row[loop]["ratio"]
                target = (
                    f">= {TARGET:g}x"
                    if loop == "with_autograd" or (loop == "by_hand" and row["method"] != "adam")
                    else ""
                )
                seconds = f"{1e6 * np.median(row[loop]['seconds']):.3g}"
                table.add_row(method, kernel, LOOPS[loop], seconds, f"{middle:.3g}x", f"{low:.3g}-{high:.3g}", target)
                method, kernel = "", ""
    console.print(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of torch")
    parser.add_argument("--quick", action="store_true", help="few steps: a check of the script, not a measurement")
    parser.add_argument("--json", type=Path, help="write every time and ratio to this file")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    sizes, console, record = QUICK if options.quick else Sizes(), Console(width=140), {"machine": machine()}
    console.print(record["machine"])
    record["sizes"] = asdict(sizes)
    times, rows = descent_section(sizes, options.repeats, options.threads)
    show(console, f"(a) n {sizes.n}, d {sizes.d}, float64, a step", rows)
    record["descent"] = {"seconds": times, "rows": rows}
    times, several = descent_section(sizes, options.repeats, options.threads, (sizes.runs,))
    show(console, f"(b) {sizes.runs} runs at once, a step of all", several)
    record["several"] = {"seconds": times, "rows": several}
    record["limit"] = limit_section(sizes, rows, options.repeats)
    for row in record["limit"]:
        console.print(
            f"(c) {row['method']}: {1e6 * row['step']:.2f} us a step, {row['over limit']:.2f} times one pass over its "
            f"matrix ({1e6 * row['pass']:.2f} us)"
        )
    record["flow"] = flow_section(sizes, options.repeats)
    console.print(
        f"(d) flow to t = 1e12: {np.median(record['flow']['seconds']):.2f} s, {record['flow']['integration steps']} "
        f"steps, estimated error of w {record['flow']['error']:.1e}"
    )
    if options.json:
        options.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
