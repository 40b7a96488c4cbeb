"""Hessian products and eigenpairs against torch, curvlinops, PyHessian, ARPACK and PRIMME, in float32.

Everything runs interleaved in one process, once per repeat and in a random order, so that a slow moment of the machine
hits every contestant, with a rest in between; a short call is repeated for some hundredths of a second. The ratios are
taken within a repeat; the tables show their median and quartiles, and a target holds if the median meets it. What the
contestants return is compared first, since a fast wrong answer is no answer: "off by" is the distance from the product
in float64, "apart" the largest difference of an eigenvalue from ARPACK's over the largest eigenvalue, "residual" the
worst of all repeats, in float64 and over the largest eigenvalue. Memory is measured in fresh processes.

    pip install -c constraints.txt -e ".[bench]"
    python benchmarks/curvature.py --repeats 9 --json result.json

Thread counts are those of the environment (OMP_NUM_THREADS, OPENBLAS_NUM_THREADS); the header states them. On a machine
with other work, threads that wait for each other slow some contestants down tenfold: bare GEMMs slower than a product
are the sign of it.
"""

import argparse
import gc
import json
import math
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import curvature_contestants as c
import numpy as np
import scipy.sparse.linalg
import torch
from random_features import machine, quartiles
from rich.console import Console
from rich.table import Table

import pyphenom as ph

PAIRS, RESIDUAL = 5, 1e-4
REST = 0.2  # seconds: threads of OpenBLAS and OpenMP spin on for a while, on the core of whoever comes next
AGREEMENT = 1e-4  # of float32 products with the one in float64
STEP_SIZE, BEGIN = 2 / 16, 5000  # gradient descent has reached the edge of stability by then

# Targets, one for each of the three networks.
TORCH_TARGETS, CURVLINOPS_TARGETS, GEMM_TARGETS = (5.0, 1.5, 1.0), (100.0, 4.0, 3.0), (None, 0.8, 0.8)
BLOCK_TARGETS, BLOCK_CURVLINOPS_TARGETS = (0.6, 0.6, None), (None, 5.0, None)
ROW_SPACE_TORCH, ROW_SPACE_CURVLINOPS = 1.5, 5.0
EIGEN_TARGETS = (None, None, 3.0)
TRACKING_PRODUCTS, TRACKING_ERROR = 6, 1e-4


def problems(quick):
    """Return the three networks; small ones for a check of the script."""
    if quick:
        return c.chebyshev(), c.digits(48, 400), c.images(16, 48, 200)
    return c.chebyshev(), c.digits(), c.images()


# ---- measuring


def per_call(call, seconds):
    """Return the wall time of one call, over as many as take that many seconds."""
    start = time.perf_counter()
    call()
    count = math.ceil(seconds / (time.perf_counter() - start))
    if count == 1:
        gc.collect()
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def interleave(contestants, repeats, measure, console, title):
    """Measure every contestant once per repeat, in a random order; return name -> what came out, per repeat."""
    rng, out = np.random.default_rng(0), {name: [] for name in contestants}
    for repeat in range(repeats):
        console.log(f"{title}: repeat {repeat + 1}/{repeats}")
        for name in rng.permutation(list(contestants)):
            time.sleep(REST)
            out[name].append(measure(contestants[name], repeat))
    return out


def ratio(values, over, under, target=None, at_most=False, what=""):
    """Return the row 'over / under', taken within each repeat; None where a contestant is missing."""
    if over not in values or under not in values:
        return None
    found = quartiles(np.asarray(values[over]) / np.asarray(values[under]))
    row = {"comparison": f"{what}{over} / {under}", "ratio": found, "target": None, "holds": None}
    if target is not None:
        row["target"] = f"{'<=' if at_most else '>='} {target:g}"
        row["holds"] = bool(found[1] <= target if at_most else found[1] >= target)
    return row


def agree(products, truth, title):
    """Return name -> relative difference from the product in float64; stop where one is wrong."""
    difference = {}
    for name, product in products.items():
        difference[name] = float(np.linalg.norm(product - truth) / np.linalg.norm(truth))
        if not difference[name] <= AGREEMENT:
            raise SystemExit(f"{title}: the product of {name} is off by {difference[name]:.1e}, relative to its norm")
    return difference


# ---- (a) products, (b) blocks


def product_section(problem, i, repeats, seconds, console):
    """Time the product with one vector, and the matrix products that it cannot do without."""
    v = np.random.default_rng(1).standard_normal(problem.size, dtype=np.float32)
    calls, expand = c.product_contestants(problem, v)
    results = {name: expand(call()) if name == c.ROW_SPACE else c.flat(call()) for name, call in calls.items()}
    difference = agree(results, c.Retained(problem, torch.float64)(v), problem)
    n, widths = len(problem.X), problem.widths
    calls[c.GEMM] = c.gemms(widths, n)
    if c.ROW_SPACE in calls:
        calls[c.ROW_SPACE_GEMM] = c.gemms([min(n, widths[0]), *widths[1:]], n)
    times = interleave(calls, repeats, lambda call, _: per_call(call, seconds), console, f"product, {problem}")
    rows = [
        ratio(times, c.TORCH, c.OURS, TORCH_TARGETS[i]),
        ratio(times, c.CURVLINOPS, c.OURS, CURVLINOPS_TARGETS[i]),
        ratio(times, c.PYHESSIAN, c.OURS),
        ratio(times, c.GEMM, c.OURS, GEMM_TARGETS[i]),
        ratio(times, c.TORCH, c.ROW_SPACE, ROW_SPACE_TORCH),
        ratio(times, c.CURVLINOPS, c.ROW_SPACE, ROW_SPACE_CURVLINOPS),
        ratio(times, c.ROW_SPACE_GEMM, c.ROW_SPACE),
    ]
    return {"seconds": times, "rows": [row for row in rows if row], "difference": difference}


def block_section(problem, i, repeats, seconds, console):
    """Time the product with 16 vectors at once, and with one after the other."""
    V = np.random.default_rng(2).standard_normal((c.BLOCK, problem.size), dtype=np.float32)
    calls, truth = c.block_contestants(problem, V), c.Retained(problem, torch.float64)
    single, vmap = f"{c.OURS}, one by one", f"{c.TORCH}, vmap"
    last = {}
    for name, call in calls.items():
        result = call()
        if name == vmap:
            last[name] = c.flat([piece[-1] for piece in result])
        else:
            last[name] = np.asarray(result[-1] if isinstance(result, list) else result[:, -1])
    difference = agree(last, truth(V[-1]), problem)
    times = interleave(calls, repeats, lambda call, _: per_call(call, seconds), console, f"block, {problem}")
    rows = [
        ratio(times, c.OURS, single, BLOCK_TARGETS[i], at_most=True),
        ratio(times, c.CURVLINOPS, c.OURS, BLOCK_CURVLINOPS_TARGETS[i]),
        ratio(times, vmap, c.OURS),
    ]
    return {"seconds": times, "rows": [row for row in rows if row], "difference": difference}


# ---- (c) eigenpairs


def eigen_contestants(problem, spread):
    """Return name -> function of a seed that finds the top pairs; the graph, or its like, is built on the clock.

    ARPACK and PRIMME act through torch's retained graph. The tolerance of ARPACK is relative to each eigenvalue, the
    criterion and ours to the largest. With `spread`, the largest over the fifth, it gets the loosest that meets the
    criterion; one contestant takes the 1e-4 literally.

    Only ours, unless told not to, goes on to search for copies of multiple eigenvalues. A random vector has to be
    amplified by 1e3 sqrt(P) in their direction, if one shall stay unseen with a probability of 1e-3 at most: ten to
    forty products more, whatever the method.
    """
    contestants = {
        c.OURS: partial(c.ours, problem, PAIRS, RESIDUAL),
        c.OURS_ONCE: partial(c.ours, problem, PAIRS, RESIDUAL, copies=False),
        c.ARPACK: partial(c.arpack, problem, PAIRS, RESIDUAL * spread),
        c.ARPACK_STRICT: partial(c.arpack, problem, PAIRS, RESIDUAL),
    }
    if len(problem.X) < problem.widths[0]:
        contestants[c.OURS_WHOLE] = partial(c.ours, problem, PAIRS, RESIDUAL, compress=False)
    if "primme" in c.PEERS:
        contestants[c.PRIMME] = partial(c.primme, problem, PAIRS, RESIDUAL)
    if "pyhessian" in c.PEERS:
        contestants[c.PYHESSIAN] = partial(c.pyhessian, problem, PAIRS, None)
    return contestants


def residual(product, found):
    """Return the largest |H v - l v| over the largest l, in float64."""
    worst = max(
        np.linalg.norm(product(v) - value * v) / np.linalg.norm(v)
        for value, v in zip(found.values, found.vectors.T.astype(np.float64), strict=True)
    )
    return float(worst / found.values.max())


def eigen_section(problem, i, repeats, seconds, console):
    """Time the top five pairs from random starts, one a repeat and the same for all; check every pair afterwards."""
    product = c.Retained(problem, torch.float64)
    top = c.ours(problem, PAIRS, RESIDUAL, 0).values
    contestants = eigen_contestants(problem, float(top[0] / top[-1]))

    def measure(solve, seed):
        gc.collect()
        start = time.perf_counter()
        found = solve(seed=seed)
        elapsed = time.perf_counter() - start
        if elapsed < seconds:
            elapsed = per_call(partial(solve, seed=seed), seconds)
        return elapsed, found.products, residual(product, found), np.sort(found.values)[::-1]

    runs = interleave(contestants, repeats, measure, console, f"top {PAIRS}, {problem}")
    times, products, residuals, values = ({name: [run[j] for run in runs[name]] for name in runs} for j in range(4))
    worst, largest = {name: max(values) for name, values in residuals.items()}, values[c.ARPACK][0][0]
    # A residual does not tell whether a larger eigenvalue was passed over.
    apart = {name: float(np.abs(np.array(found) - values[c.ARPACK]).max() / largest) for name, found in values.items()}
    rows = [
        ratio(times, c.ARPACK, c.OURS, EIGEN_TARGETS[i], what="time: "),
        ratio(times, c.ARPACK, c.OURS_ONCE, EIGEN_TARGETS[i], what="time: "),
        ratio(times, c.ARPACK, c.OURS_WHOLE, what="time: "),
        ratio(times, c.ARPACK_STRICT, c.OURS, what="time: "),
        ratio(times, c.PRIMME, c.OURS, what="time: "),
        ratio(times, c.PYHESSIAN, c.OURS, what="time: "),
        ratio(products, c.OURS, c.ARPACK, 1.0, at_most=True, what="products: "),
        ratio(products, c.OURS_ONCE, c.ARPACK, 1.0, at_most=True, what="products: "),
        ratio(products, c.OURS, c.ARPACK_STRICT, what="products: "),
        ratio(products, c.OURS, c.PRIMME, what="products: "),
    ]
    facts = {"products": products, "residual": worst, "apart": apart}
    return {"seconds": times, "rows": [row for row in rows if row], **facts}


# ---- (d) sharpness at every step


def tracking_section(steps, console):
    """Follow gradient descent at the edge of stability with warm starts, beside the dense truth at every step."""
    problem = c.chebyshev()
    tracker = ph.curvature.SharpnessTracker(problem.model, "half_squared", problem.X, problem.y)
    parameters, truth, seconds, losses, arpack_products = list(problem.model.parameters()), [], [], [], []
    start = None
    for step in range(BEGIN + steps):
        if step >= BEGIN:
            if step % 100 == 0:
                console.log(f"sharpness: step {step}")
            clock = time.perf_counter()
            tracker(step)
            seconds.append(time.perf_counter() - clock)
            truth.append(c.dense_sharpness(problem))
            operator, count = c.counted(c.Retained(problem), problem.size)
            _, start = scipy.sparse.linalg.eigsh(operator, 1, which="LA", tol=1e-3, v0=start)
            arpack_products.append(count[0])
        loss = 0.5 * problem.loss(problem.model(problem.X), problem.y)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for value, gradient in zip(parameters, gradients, strict=True):
                value.sub_(STEP_SIZE * gradient)
    warm, error = tracker.products[1:], np.abs(tracker.sharpness / np.array(truth) - 1.0)
    facts = {
        "products": warm.tolist(),
        "arpack_products": arpack_products[1:],
        "error": error.tolist(),
        "sharpness": tracker.sharpness.tolist(),
        "seconds": seconds[1:],
        "loss_rises": float(np.mean(np.diff(losses[BEGIN:]) > 0)),
    }
    rows = [
        ("products a step, mean", f"{warm.mean():.2f}", TRACKING_PRODUCTS, warm.mean() <= TRACKING_PRODUCTS),
        ("products a step, most", f"{warm.max()}", TRACKING_PRODUCTS, warm.max() <= TRACKING_PRODUCTS),
        ("largest relative error", f"{error.max():.1e}", TRACKING_ERROR, error.max() <= TRACKING_ERROR),
    ]
    facts["rows"] = [
        {"comparison": name, "value": value, "target": f"<= {target:g}", "holds": bool(holds)}
        for name, value, target, holds in rows
    ]
    return facts


# ---- (e) memory


def memory_of(name, quick):
    """Print how far the top pairs of the largest network lift the peak of this process's memory."""

    def status(field):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))

    solve = eigen_contestants(problems(quick)[2], 1.0)[name]
    eigen_contestants(c.images(8, 8, 50), 1.0)[name](seed=0)  # libraries and their buffers are loaded
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = status("VmRSS:")
    solve(seed=0)
    print(status("VmHWM:") - before)


def memory_section(problem, quick, console):
    """Return name -> bytes beyond the model and the data, which every contestant holds; the basis is among them."""
    out = {}
    for name in eigen_contestants(problem, 1.0):
        console.log(f"memory: {name}")
        command = [sys.executable, __file__, "--memory-of", name, *(["--quick"] if quick else [])]
        out[name] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return out


# ---- the report


def duration(seconds):
    return f"{1e3 * seconds:.4g} ms" if seconds > 1e-3 else f"{1e6 * seconds:.4g} us"


def verdict(row):
    return {None: "", True: "holds", False: "does not hold"}[row["holds"]]


def show(console, title, section):
    """Print the times of a section, with what was found beside them, and its ratios."""
    solved = "products" in section
    facts = ("products", "residual", "apart") if solved else ("off by",)
    table = Table(title=title)
    for heading in ("", "median", "lower quartile", "upper quartile", "target", "", *facts):
        table.add_column(heading, justify="right" if heading else "left")
    for name, values in section["seconds"].items():
        row = [name, *(duration(quartiles(values)[j]) for j in (1, 0, 2)), "", ""]
        if solved:
            row.append(f"{np.median(section['products'][name]):.0f}")
            row += [f"{section[fact][name]:.1e}" for fact in ("residual", "apart")]
        elif name in section["difference"]:
            row.append(f"{section['difference'][name]:.1e}")
        table.add_row(*row)
    table.add_section()
    for row in section["rows"]:
        low, middle, high = (f"{value:.2f}x" for value in row["ratio"])
        table.add_row(row["comparison"], middle, low, high, row["target"] or "", verdict(row))
    console.print(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="small sizes: a check of the script, not a measurement")
    parser.add_argument("--json", type=Path, help="write every time and ratio to this file")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        memory_of(options.memory_of, options.quick)
        return
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    console, progress = Console(width=160), Console(stderr=True)
    console.print(machine())
    console.print(*(f"missing: {name} ({reason})" for name, reason in c.MISSING.items()), sep="\n")
    seconds, steps = (0.01, 40) if options.quick else (0.05, 400)
    record = {"machine": machine(), "missing": c.MISSING, "repeats": options.repeats, "quick": options.quick}
    rows = []

    for i, problem in enumerate(problems(options.quick)):
        parts = {
            "one product": product_section(problem, i, options.repeats, seconds, progress),
            f"block of {c.BLOCK}": block_section(problem, i, options.repeats, seconds, progress),
            f"top {PAIRS}, residual {RESIDUAL:g}": eigen_section(problem, i, options.repeats, seconds, progress),
        }
        for title, section in parts.items():
            show(console, f"{problem}: {title}", section)
            rows += [(f"{problem}: {title}", row, f"{row['ratio'][1]:.2f}x") for row in section["rows"]]
        record[str(problem)] = parts
    record["sharpness"] = tracking = tracking_section(steps, progress)
    title = f"sharpness, steps {BEGIN} to {BEGIN + steps} of descent at 2/eta = {2 / STEP_SIZE:g}"
    rows += [(title, row, row["value"]) for row in tracking["rows"]]
    console.print(
        f"{title}: between {min(tracking['sharpness']):.2f} and {max(tracking['sharpness']):.2f}; the loss rises in "
        f"{tracking['loss_rises']:.0%} of the steps; {duration(np.median(tracking['seconds']))} a reading; ARPACK from "
        f"the last vector takes {np.mean(tracking['arpack_products']):.1f} products a step"
    )
    table = Table("work", "comparison", "reached", "target", "", title="targets")
    for title, row, reached in rows:
        if row["target"] is not None:
            table.add_row(title, row["comparison"], reached, row["target"], verdict(row))
    console.print(table)

    def save():
        if options.json:
            options.json.write_text(json.dumps(record, indent=1, default=lambda x: np.asarray(x).tolist()))

    save()  # the times, before processes of their own are asked for their memory
    if sys.platform.startswith("linux"):
        record["memory"] = memory_section(problems(options.quick)[2], options.quick, progress)
        for name, used in record["memory"].items():
            console.print(f"peak memory of the top {PAIRS} of the largest network: {name} {used / 2**20:.0f} MiB")
        save()


if __name__ == "__main__":
    main()
