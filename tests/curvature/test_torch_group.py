"""Two real processes with unequal shares of the samples give the operators of all samples."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from torch.nn import functional
from torch_curvature import Dense, close, integers, mlp, normal, seeded

from pyphenom.curvature import linearize

X, LABELS = normal(10, 4), integers(3, 10)
V = np.random.default_rng(0).standard_normal((43, 6))


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("group")
    script = Path(__file__).with_name("two_processes.py")
    path = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(folder)], stderr=subprocess.PIPE, text=True, env=environment
        )
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=120)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(errors)
    return [dict(np.load(folder / f"rank{rank}.npz")) for rank in range(2)]


def test_both_processes_hold_the_same(ranks):
    assert ranks[0].keys() == ranks[1].keys()
    for name, value in ranks[0].items():
        np.testing.assert_array_equal(value, ranks[1][name], err_msg=name)


@pytest.mark.parametrize("batch_size", [None, 2])
def test_sums_over_processes_are_those_over_all_samples(ranks, batch_size):
    truth = Dense(
        seeded(lambda: mlp(4, 5, 3)),
        lambda f, y: functional.cross_entropy(f[None], y[None]),
        X,
        LABELS,
    )
    for name in ("hessian", "ggn", "fisher"):
        close(ranks[0][f"{name} {batch_size}"], getattr(truth, name) @ V)
    close(ranks[0][f"ntk {batch_size}"], truth.jacobian.T @ truth.jacobian @ V)
    close(ranks[0][f"gradient {batch_size}"], truth.gradient)
    close(ranks[0][f"loss {batch_size}"], truth.loss)


def test_processes_draw_independently(ranks):
    G = linearize(seeded(lambda: mlp(4, 5, 3)), "cross_entropy", X, LABELS).ggn() @ V
    # As in test_torch_linearize, with the standard error of 30,000 draws for each sample.
    assert np.abs(ranks[0]["drawn None"] - G).max() <= 16 * np.abs(G).max() / np.sqrt(30_000)
