"""Regression on more samples than one would hold in memory: the rate against the bare matrix product, and the memory.

A memory map of Gaussian float32 inputs is written to a temporary folder, and `streamed_path` runs over it in a fresh
process that reports its peak memory. The rate counts the operations of Z'Z (half a product) and of the features, and is
divided by that of sgemm in the same BLAS, measured right before and right after.

    python benchmarks/streaming.py --samples 1000000 --repeats 3
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console

# The peak of the process's own memory (VmHWM) counts the pages of the map that are resident, too.
RUN = """
import json, sys, time
import numpy as np
import scipy.linalg.blas
import pyphenom as ph

path, width, memory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
X = np.load(path, mmap_mode="r")
rng = np.random.default_rng(0)
y = np.abs(X[:, 0])
X_test = rng.standard_normal((200, X.shape[1]), dtype=np.float32)

def status(field):
    with open("/proc/self/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))

def rate():
    A = np.ones((4096, 4096), np.float32, order="F")
    C = np.ones_like(A)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        scipy.linalg.blas.sgemm(1.0, A, A, c=C, overwrite_c=1)
        seconds.append(time.perf_counter() - start)
    return 2 * 4096**3 / np.median(seconds[1:])

before = rate()
start = time.perf_counter()
result = ph.random_features.streamed_path(
    (X, y), X_test, np.abs(X_test[:, 0]), [width // 10, width], ridge=1e-4, memory=memory,
    progress=lambda done, total: print(f"{done}/{total}", file=sys.stderr),
)
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "peak": status("VmHWM:"), "sgemm": (before + rate()) / 2,
                  "test_error": result.test_error.tolist(), "status": result.status.tolist()}))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=100)
    parser.add_argument("--width", type=int, default=2000)
    parser.add_argument("--memory", type=int, default=2**30, help="bytes for the matrices")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    console = Console(width=120)
    n, d, N = options.samples, options.dimension, options.width
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.npy"
        X = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, d))
        rng = np.random.default_rng(0)
        for first in range(0, n, 100_000):
            X[first : first + 100_000] = rng.standard_normal((min(100_000, n - first), d), dtype=np.float32)
        X.flush()
        del X
        shares = []
        for repeat in range(options.repeats):
            command = [sys.executable, "-c", RUN, str(path), str(N), str(options.memory)]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            flops = n * N**2 + 2.0 * n * d * N
            shares.append(flops / found["seconds"] / found["sgemm"])
            console.print(
                f"repeat {repeat + 1}: {found['seconds']:.1f} s, {flops / found['seconds'] / 1e9:.0f} Gflop/s, "
                f"{100 * shares[-1]:.0f} % of sgemm ({found['sgemm'] / 1e9:.0f} Gflop/s), "
                f"peak {found['peak'] / 2**30:.2f} GiB, {found['status']}"
            )
    low, middle, high = np.quantile(shares, [0.25, 0.5, 0.75])
    console.print(f"share of the sgemm rate: {middle:.2f} [{low:.2f}, {high:.2f}]; target >= 0.70, peak <= 2 GiB")


if __name__ == "__main__":
    main()
