"""Random features and their width path against numpy, scikit-learn and torch, against the same BLAS, and in memory.

Everything runs interleaved in one process, once per repeat and in a random order, so that a slow moment of the machine
hits every contestant. The ratios are taken within a repeat; the table shows their median and quartiles. Peer / ours
above one means that pyphenom is faster; ours / limit is the distance from the limit. Memory is measured in fresh
processes.

    python benchmarks/random_features.py --repeats 5 --json result.json

Thread counts are those of the environment (OMP_NUM_THREADS, OPENBLAS_NUM_THREADS); the header states them.
"""

import argparse
import gc
import json
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import scipy.linalg.blas
import threadpoolctl
import torch
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import Ridge
from sklearn.random_projection import GaussianRandomProjection

import pyphenom as ph

RIDGE = 1e-3  # with n = 1000 the penalty is 1, scikit-learn's default alpha
TARGET_RATIO = 20.0
GEMM_TARGET = 1.3
WARM_BYTES = 2**29  # more than any contestant allocates


@dataclass(frozen=True)
class Sizes:
    """Shapes of one run."""

    n: int = 1000
    d: int = 100
    n_tests: tuple[int, ...] = (200, 1000)  # the targets are for the first
    largest_width: int = 3000
    loop_widths: int = 40
    feature_rows: int = 20_000
    feature_dimension: int = 784
    feature_width: int = 4096
    gemm_size: int = 1500


QUICK = Sizes(
    n=200,
    d=20,
    n_tests=(50, 200),
    largest_width=600,
    loop_widths=12,
    feature_rows=2000,
    feature_width=512,
    gemm_size=500,
)


def path_flops(n: int, n_test: int, largest_width: int, ridge: float) -> float:
    """Return the floating-point operations of the matrix products of a path over every width 1..largest_width.

    Far from the threshold a feature costs a symmetric product and a symmetric update of the n x n inverse, and two
    products with the test smoother. Without a ridge the first n features go through one Gram-Schmidt pass, R^-1 and
    the test features instead, and the change to the dual is a QR factorisation applied to the test features.
    """
    behind = 3.0 * n**2 + 4.0 * n * n_test
    if ridge > 0:
        return largest_width * behind
    up_to_threshold = 2.0 * n**3 + n**3 / 3 + n_test * n**2
    change = 4.0 * n**3 / 3 + 2.0 * n_test * n**2
    return up_to_threshold + change + (largest_width - n) * behind


# ---- measuring


def seconds(function):
    """Return the wall time of one call and its result."""
    gc.collect()
    # A virtual machine returns free memory to its host after some seconds, and taking it back costs up to a second:
    # it is taken back here, before the clock starts, for whoever comes next.
    np.ones(WARM_BYTES, np.uint8)
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def quartiles(values):
    """Return the lower quartile, the median and the upper quartile."""
    return [float(q) for q in np.quantile(np.asarray(values, dtype=np.float64), [0.25, 0.5, 0.75])]


def interleave(contestants, repeats, console):
    """Call every contestant once per repeat, in a random order; return name -> seconds per repeat."""
    rng = np.random.default_rng(0)
    times = {name: [] for name in contestants}
    for repeat in range(repeats):
        for name in rng.permutation(list(contestants)):
            console.log(f"repeat {repeat + 1}/{repeats}: {name}")
            times[name].append(seconds(contestants[name])[0])
    return times


def ratio(times, slow, fast, target=None):
    """Return the row 'slow over fast', taken within each repeat."""
    per_repeat = np.asarray(times[slow]) / np.asarray(times[fast])
    return {"comparison": f"{slow} / {fast}", "ratio": quartiles(per_repeat), "target": target}


# ---- (a) the width path


def path_contestants(sizes):
    """Return the contestants of the path: every width in one call, against a loop over a few widths.

    All are given the features, and return the test errors; `width_path`, which draws its features itself, comes beside.
    """
    rng = np.random.default_rng(0)
    most = max(sizes.n_tests)
    X, X_test = rng.normal(size=(sizes.n, sizes.d)), rng.normal(size=(most, sizes.d))
    teacher = rng.normal(size=sizes.d) / np.sqrt(sizes.d)
    y = X @ teacher + 0.3 * rng.normal(size=sizes.n)
    y_test = X_test @ teacher
    step = sizes.largest_width // sizes.loop_widths
    few = list(range(step, sizes.largest_width + 1, step))
    every = range(1, sizes.largest_width + 1)
    Z = ph.random_features.features(X, sizes.largest_width)
    Z_test = ph.random_features.features(X_test, sizes.largest_width)

    def lstsq_loop(n_test):
        return [
            np.mean((y_test[:n_test] - Z_test[:n_test, :N] @ np.linalg.lstsq(Z[:, :N], y, rcond=None)[0]) ** 2)
            for N in few
        ]

    def ridge_loop(n_test):
        model = Ridge(alpha=sizes.n * RIDGE, fit_intercept=False)
        return [np.mean((y_test[:n_test] - model.fit(Z[:, :N], y).predict(Z_test[:n_test, :N])) ** 2) for N in few]

    def path(widths, ridge, n_test):
        return ph.random_features.nested_path(Z, y, Z_test[:n_test], y_test[:n_test], widths, ridge=ridge)

    def drawn(widths, ridge, n_test):
        return ph.random_features.width_path(X, y, X_test[:n_test], y_test[:n_test], widths, ridge=ridge)

    contestants = {}
    for n_test in sizes.n_tests:
        tail = f"(n_test {n_test})"
        contestants |= {
            f"lstsq, {len(few)} widths {tail}": partial(lstsq_loop, n_test),
            f"path, all {len(every)} widths {tail}": partial(path, every, 0.0, n_test),
            f"path and features {tail}": partial(drawn, every, 0.0, n_test),
            f"Ridge, {len(few)} widths {tail}": partial(ridge_loop, n_test),
            f"ridge path, all {len(every)} widths {tail}": partial(path, every, RIDGE, n_test),
            f"ridge path and features {tail}": partial(drawn, every, RIDGE, n_test),
        }
    return contestants, few, every, path


def path_section(sizes, repeats, console):
    """Time the paths; compare what they return with the loops, since a fast wrong answer is no answer."""
    contestants, few, every, path = path_contestants(sizes)
    rng = np.random.default_rng(1)
    A = np.asfortranarray(rng.normal(size=(sizes.gemm_size, sizes.gemm_size)))
    product = np.zeros_like(A, order="F")
    contestants["dgemm"] = lambda: scipy.linalg.blas.dgemm(1.0, A, A, c=product, overwrite_c=1)
    contestants["dgemm"]()
    times = interleave(contestants, repeats, console)
    rate = 2.0 * sizes.gemm_size**3 / np.asarray(times["dgemm"])
    rows, agreement = [], {}
    for n_test in sizes.n_tests:
        tail = f"(n_test {n_test})"
        for peer, ours, ridge in (("lstsq", "path", 0.0), ("Ridge", "ridge path", RIDGE)):
            slow, fast = f"{peer}, {len(few)} widths {tail}", f"{ours}, all {len(every)} widths {tail}"
            rows.append(ratio(times, slow, fast, f">= {TARGET_RATIO:g}" if n_test == sizes.n_tests[0] else None))
            rows.append(ratio(times, slow, f"{ours} and features {tail}"))
            flops = path_flops(sizes.n, n_test, sizes.largest_width, ridge)
            limit = np.asarray(times[fast]) * rate / flops
            rows.append({"comparison": f"{fast} / GEMM limit", "ratio": quartiles(limit), "target": None})
        loop, ours = contestants[f"lstsq, {len(few)} widths {tail}"](), path(few, 0.0, n_test)
        agreement[f"n_test {n_test}"] = float(np.max(np.abs(np.asarray(ours.test_error) / np.asarray(loop) - 1.0)))
    return times, rows, {"test_error_relative_difference": agreement, "dgemm_flops_per_second": quartiles(rate)}


# ---- (b) features


def feature_contestants(sizes):
    """Return the contestants of the features: each draws its weights, multiplies and rectifies, as well as it can."""
    n, d, N = sizes.feature_rows, sizes.feature_dimension, sizes.feature_width
    rng = np.random.default_rng(2)
    X = rng.standard_normal((n, d), dtype=np.float32)
    X_torch = torch.from_numpy(X)
    scale = np.float32(1.0 / np.sqrt(d))
    # The bare product, row-major Z = X W as column-major Z' = W' X': weights given, output preallocated, pages touched.
    W = rng.standard_normal((d, N), dtype=np.float32) * scale
    Z = np.ones((n, N), dtype=np.float32)

    def with_numpy():
        weights = np.random.default_rng(3).standard_normal((d, N), dtype=np.float32)
        weights *= scale
        out = X @ weights
        return np.maximum(out, 0.0, out=out)

    def with_sklearn():
        # The nearest that scikit-learn has: dense Gaussian weights, scaled by 1 / sqrt(N), and the product.
        out = GaussianRandomProjection(n_components=N, random_state=3).fit(X).transform(X)
        return np.maximum(out, 0.0, out=out)

    def with_torch():
        with torch.inference_mode():
            weights = torch.randn(d, N, generator=torch.Generator().manual_seed(3)).mul_(float(scale))
            return torch.mm(X_torch, weights).relu_()

    return {
        "features": lambda: ph.random_features.features(X, N),
        "numpy": with_numpy,
        "scikit-learn": with_sklearn,
        "torch": with_torch,
        "bare sgemm": lambda: scipy.linalg.blas.sgemm(1.0, W.T, X.T, c=Z.T, overwrite_c=1),
    }


def feature_section(sizes, repeats, console):
    """Time the features against every peer, the best of them by its median, and the product alone."""
    contestants = feature_contestants(sizes)
    for function in contestants.values():  # threads and buffers up
        function()
    times = interleave(contestants, repeats, console)
    peers = ("numpy", "scikit-learn", "torch")
    best = min(peers, key=lambda peer: np.median(times[peer]))
    rows = [ratio(times, peer, "features", ">= 1" if peer == best else None) for peer in peers]
    rows.append(ratio(times, "features", "bare sgemm", f"<= {GEMM_TARGET:g}"))
    return times, rows


# ---- (c) memory

# Linux keeps the high-water mark of ru_maxrss across fork and exec, so a large parent would hide a small child: there
# VmHWM, the mark of the process's own memory, is read instead. The baseline is what is resident just before the call,
# after the inputs exist and a tiny call has loaded the libraries and their buffers.
MEMORY = """
import json, resource, sys
import numpy as np
import pyphenom as ph

def status(field):
    with open("/proc/self/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))

def peak():
    if sys.platform.startswith("linux"):
        return status("VmHWM:")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

kind, sizes = sys.argv[1], json.loads(sys.argv[2])
rng = np.random.default_rng(0)
if kind == "features":
    X = rng.standard_normal((sizes["feature_rows"], sizes["feature_dimension"]), dtype=np.float32)
    call = lambda: ph.random_features.features(X, sizes["feature_width"])
    ph.random_features.features(X[:64], 64)
else:
    n, d, m = sizes["n"], sizes["d"], max(sizes["n_tests"])
    X, X_test, y, y_test = rng.normal(size=(n, d)), rng.normal(size=(m, d)), rng.normal(size=n), rng.normal(size=m)
    ridge = float(sys.argv[3])
    widths = range(1, sizes["largest_width"] + 1)
    call = lambda: ph.random_features.width_path(X, y, X_test, y_test, widths, ridge=ridge)
    ph.random_features.width_path(X[:64], y[:64], X_test[:64], y_test[:64], [8, 100], ridge=ridge)
before = status("VmRSS:") if sys.platform.startswith("linux") else peak()
result = call()
outputs = result.nbytes if kind == "features" else sum(
    np.asarray(value).nbytes for value in result.to_dict().values() if value is not None
)
print(json.dumps({"extra": peak() - before, "outputs": outputs}))
"""


def memory_section(sizes, console):
    """Return peak memory as a multiple of what must exist: inputs and outputs, or feature matrices and outputs."""
    rows = []
    inputs = 4 * sizes.feature_rows * sizes.feature_dimension
    matrices = 8 * (sizes.n + max(sizes.n_tests)) * sizes.largest_width
    for name, argument in (("features", []), ("width_path", ["0.0"]), ("width_path", [str(RIDGE)])):
        console.log(f"memory: {name} {' '.join(argument)}")
        command = [sys.executable, "-c", MEMORY, name, json.dumps(asdict(sizes)), *argument]
        used = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        if name == "features":
            multiple, of = (inputs + used["extra"]) / (inputs + used["outputs"]), "inputs + outputs"
        else:
            multiple, of = used["extra"] / (matrices + used["outputs"]), "feature matrices + outputs"
        label = name + (f", ridge {argument[0]}" if argument else "")
        rows.append({"call": label, "multiple": multiple, "of": of, "extra_bytes": used["extra"]})
    return rows


# ---- the report


def machine():
    """Return one line: processor, BLAS and threads, versions."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        processor = models[0] if models else processor
    pools = {
        f"{pool['internal_api']} {pool['version'] or ''} x{pool['num_threads']}".replace("  ", " ")
        for pool in threadpoolctl.threadpool_info()
    }
    versions = (
        f"numpy {np.__version__}, scipy {scipy.__version__}, torch {torch.__version__} x{torch.get_num_threads()}"
    )
    return f"{processor}; {', '.join(sorted(pools))}; {versions}"


def show(console, title, times, rows):
    table = Table(title=title)
    for heading in ("", "median", "lower quartile", "upper quartile", "target"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, values in times.items():
        low, middle, high = quartiles(values)
        table.add_row(name, *(f"{1e3 * value:.1f} ms" for value in (middle, low, high)), "")
    table.add_section()
    for row in rows:
        low, middle, high = row["ratio"]
        table.add_row(row["comparison"], *(f"{value:.2f}x" for value in (middle, low, high)), row["target"] or "")
    console.print(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small sizes: a check of the script, not a measurement")
    parser.add_argument("--json", type=Path, help="write every time and ratio to this file")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    sizes = QUICK if options.quick else Sizes()
    console = Console(width=140)
    progress = Console(stderr=True)
    console.print(machine())

    memory = memory_section(sizes, progress)
    feature_times, feature_rows = feature_section(sizes, options.repeats, progress)
    path_times, path_rows, path_facts = path_section(sizes, options.repeats, progress)

    shape = f"n {sizes.n}, d {sizes.d}, float64"
    show(console, f"(a) width path: {shape}", path_times, path_rows)
    for name, difference in path_facts["test_error_relative_difference"].items():
        console.print(f"largest relative difference of the test errors from lstsq, {name}: {difference:.1e}")
    shape = f"n {sizes.feature_rows}, d {sizes.feature_dimension}, N {sizes.feature_width}, float32, relu"
    show(console, f"(b) features: {shape}", feature_times, feature_rows)
    table = Table("call", "peak", "of", title="(c) peak memory")
    for row in memory:
        table.add_row(row["call"], f"{row['multiple']:.2f}x", row["of"])
    console.print(table)

    if options.json:
        record = {
            "machine": machine(),
            "sizes": asdict(sizes),
            "repeats": options.repeats,
            "path": {"seconds": path_times, "ratios": path_rows, **path_facts},
            "features": {"seconds": feature_times, "ratios": feature_rows},
            "memory": memory,
        }
        options.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
