"""The ReLU interpolant against the dense triangular system, against what reading the data costs, and its accuracy.

(a) At n = 10^4: the recursion against forming the matrix (z_i - b_j)_+ and solving it, on the same sorted projections;
    the solve alone and the whole way from (X, y) beside.
(b) At n = 10^6, d = 100: construction and evaluation at all points against one GEMV with X and one argsort of n
    numbers.
(c) Peak memory of (b) over that of the inputs, in a fresh process.
(d) The largest error at the data over the range of the labels: of the interpolant, and of the literal weighted sum in
    float64 and float32, for each position of the biases.

Contestants take turns within a repeat, in a random order; a ratio is taken within each repeat, and the table shows
medians and quartiles.

    python benchmarks/interpolation.py --repeats 7 --json result.json

Thread counts are those of the environment (OMP_NUM_THREADS, OPENBLAS_NUM_THREADS); the header states them.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy.linalg
from random_features import machine, quartiles, ratio
from rich.console import Console
from rich.table import Table

from pyphenom import _core
from pyphenom.interpolation import relu_interpolant

POSITIONS = (0.0, 0.25, 0.5)


@dataclass(frozen=True)
class Sizes:
    """Shapes of one run."""

    dense: int = 10_000
    large: int = 1_000_000
    dimension: int = 100
    accuracy: tuple[int, ...] = (100, 1000, 10_000, 100_000, 1_000_000)
    sums: int = 300  # points at which the literal sum, O(n) each, is formed


QUICK = Sizes(dense=1000, large=20_000, accuracy=(100, 1000))


def labelled(n, d):
    """Return Gaussian inputs with labels 0 and 1 at random."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, d)), rng.integers(0, 2, n).astype(np.float64)


def take_turns(contestants, repeats):
    """Call every contestant once per repeat, in a random order; return name -> seconds."""
    rng = np.random.default_rng(0)
    times = {name: [] for name in contestants}
    for function in contestants.values():  # libraries and buffers up
        function()
    for _ in range(repeats):
        for name in rng.permutation(list(contestants)):
            gc.collect()
            start = time.perf_counter()
            contestants[name]()
            times[name].append(time.perf_counter() - start)
    return times


def dense_section(sizes, repeats):
    """Time the recursion and the dense system; check that they agree."""
    X, y = labelled(sizes.dense, sizes.dimension)
    f = relu_interpolant(X, y)
    z, b, labels = f.projections, f.knots, np.ascontiguousarray(f.targets)[:, None]

    def form(at, biases):
        A = np.subtract.outer(biases, at).T  # column-major, as LAPACK wants it
        np.negative(A, out=A)
        return np.maximum(A, 0.0, out=A)

    def solve(A, targets):
        return scipy.linalg.solve_triangular(A, targets, lower=True, check_finite=False)

    def whole():
        projections = X @ f.direction
        order = np.argsort(projections)
        at = projections[order]
        return solve(form(at, np.r_[2 * at[0] - at[-1], at[:-1]]), y[order])

    A = form(z, b)
    contestants = {
        "form and solve": lambda: solve(form(z, b), labels),
        "solve alone": lambda: solve(A, labels),
        "recursion": lambda: _core.relu_interpolate(z, labels, b[0], 0.0),
        "dense, from X and y": whole,
        "relu_interpolant": lambda: relu_interpolant(X, y),
    }
    times = take_turns(contestants, repeats)
    rows = [
        ratio(times, "form and solve", "recursion", ">= 1000"),
        ratio(times, "solve alone", "recursion"),
        ratio(times, "dense, from X and y", "relu_interpolant"),
    ]
    v, dense = f.parameters.v, solve(A, labels)[:, 0]
    return times, rows, float(np.abs(v - dense).max() / np.abs(v).max())


def large_section(sizes, repeats):
    """Time construction and evaluation at the data against one pass over X and one argsort."""
    X, y = labelled(sizes.large, sizes.dimension)
    direction, numbers = np.random.default_rng(1).standard_normal(sizes.dimension), X[:, 0].copy()
    f = relu_interpolant(X, y)
    contestants = {
        "construct": lambda: relu_interpolant(X, y),
        "evaluate": lambda: f(X),
        "GEMV": lambda: X @ direction,
        "argsort": lambda: np.argsort(numbers),
    }
    times = take_turns(contestants, repeats)
    times["construct and evaluate"] = list(np.add(times["construct"], times["evaluate"]))
    times["GEMV and argsort"] = list(np.add(times["GEMV"], times["argsort"]))
    return times, [ratio(times, "construct and evaluate", "GEMV and argsort", "<= 3")]


# The high-water mark of the process's own memory; the inputs are resident before the call, and count once.
MEMORY = """
import json, sys
import numpy as np
from pyphenom.interpolation import relu_interpolant

def status(field):
    with open("/proc/self/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))

n, d = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
relu_interpolant(rng.standard_normal((50, d)), np.arange(50.0))(np.zeros((1, d)))
base = status("VmRSS:")
X, y = rng.standard_normal((n, d)), rng.integers(0, 2, n).astype(float)
assert (relu_interpolant(X, y)(X) == y).all()
print(json.dumps({"peak": status("VmHWM:") - base, "inputs": X.nbytes + y.nbytes}))
"""


def memory_section(sizes):
    """Return peak memory, inputs included, as a multiple of the inputs; None where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return None
    command = [sys.executable, "-c", MEMORY, str(sizes.large), str(sizes.dimension)]
    used = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return used["peak"] / used["inputs"]


def accuracy_section(sizes):
    """Return the largest errors at the data by n and position of the biases; the range of the labels is 1."""
    rows = []
    for n in sizes.accuracy:
        X, y = labelled(n, sizes.dimension)
        some = np.linspace(0, n - 1, min(n, sizes.sums)).astype(int)
        for position in POSITIONS:
            f = relu_interpolant(X, y, position=position)
            row = {"n": n, "position": position, "interpolant": float(np.abs(f(X) - y).max())}
            for kind in (np.float64, np.float32):
                row[np.dtype(kind).name] = float(np.abs(f.weighted_sum(X[some], kind) - y[some]).max())
            rows.append({**row, "lipschitz": f.lipschitz, "variation": f.variation, "relative_gap": f.relative_gap})
    return rows


def show(console, title, times, rows):
    table = Table(title=title)
    for heading in ("", "median", "lower quartile", "upper quartile", "target"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, values in times.items():
        low, middle, high = quartiles(values)
        table.add_row(name, *(f"{1e3 * value:.3g} ms" for value in (middle, low, high)), "")
    table.add_section()
    for row in rows:
        low, middle, high = row["ratio"]
        table.add_row(row["comparison"], *(f"{value:.4g}x" for value in (middle, low, high)), row["target"] or "")
    console.print(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="small sizes: a check of the script, not a measurement")
    parser.add_argument("--only", choices=("times", "memory", "accuracy"), help="one part")
    parser.add_argument("--json", type=Path, help="write every time and ratio to this file")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    sizes, console, record = QUICK if options.quick else Sizes(), Console(width=140), {"machine": machine()}
    console.print(record["machine"])
    record["sizes"] = asdict(sizes)
    if options.only in (None, "times"):
        times, rows, difference = dense_section(sizes, options.repeats)
        show(console, f"(a) n {sizes.dense}, d {sizes.dimension}, float64", times, rows)
        console.print(f"largest difference of the weights, over the largest weight: {difference:.1e}")
        record["dense"] = {"seconds": times, "ratios": rows, "difference": difference}
        times, rows = large_section(sizes, options.repeats)
        show(console, f"(b) n {sizes.large}, d {sizes.dimension}, float64", times, rows)
        record["large"] = {"seconds": times, "ratios": rows}
    if options.only in (None, "memory"):
        record["memory"] = memory_section(sizes)
        console.print(f"(c) peak memory, inputs included: {record['memory']:.2f}x the inputs; target <= 2x")
    if options.only in (None, "accuracy"):
        record["accuracy"] = accuracy_section(sizes)
        headings = ("n", "position", "interpolant", "float64", "float32", "lipschitz", "variation", "relative_gap")
        table = Table(*headings, title="(d) largest error at the data over the range of the labels")
        for row in record["accuracy"]:
            table.add_row(*(f"{row[key]:.2g}" if key != "n" else str(row["n"]) for key in headings))
        console.print(table)
    if options.json:
        options.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
