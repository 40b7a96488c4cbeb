import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from pyphenom.cli import app
from pyphenom.curvature import eigsh

N, D = 12, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
Y = RNG.standard_normal(N)
LABELS = RNG.integers(0, 2, N)
W = np.array([0.5, -1.0, 2.0])

NET = """
    import torch
    from torch import nn

    def linear():
        print("what the user prints")
        model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
        nn.init.zeros_(model.weight)
        return model

    def tanh():
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))

    def dropout():
        return nn.Sequential(tanh(), nn.Dropout())

    def wide():
        return nn.Linear(7, 1)

    def scaled(factor):
        return linear() * factor

    def broken():
        return nn.Linear(3, "one")

    def array():
        return [1, 2]
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "net.py").write_text(textwrap.dedent(NET))
    np.savez("data.npz", X=X, y=Y, labels=LABELS, floats=LABELS.astype(float), signs=2.0 * LABELS - 1.0)
    torch.save({"weight": torch.tensor(W[None])}, "weights.pt")
    return tmp_path


def spectrum(*arguments, model="net.py:linear", data="data.npz", loss="half"):
    given = ("spectrum", model, data, "--loss", loss, *arguments)
    return CliRunner().invoke(app, [str(argument) for argument in given])


def measured(*arguments, **options):
    """Return spectrum.json of a run that has to succeed, with k = P so that nothing is left to chance."""
    result = spectrum("-k", D, "--json", *arguments, **options)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def values(matrix):
    return np.linalg.eigvalsh(matrix)[::-1]


def fisher(weights):
    residuals = X @ weights - Y
    return (X * residuals[:, None] ** 2).T @ X / N


GRAM = X.T @ X / N
CASES = [
    (("--operator", "hessian"), {"loss": "half"}, GRAM),
    (("--operator", "ggn"), {"loss": "half"}, GRAM),
    ((), {"loss": "mse"}, 2 * GRAM),
    (("--targets", "labels"), {"loss": "bce"}, GRAM / 4),  # at weights zero every probability is 1/2
    (("--operator", "fisher"), {"loss": "half"}, fisher(np.zeros(D))),
    (("--operator", "fisher", "--weights", "weights.pt"), {"loss": "half"}, fisher(W)),
    (("--batch-size", "5"), {"loss": "half"}, GRAM),
]


@pytest.mark.parametrize(("arguments", "options", "matrix"), CASES)
def test_eigenvalues_and_trace_are_those_of_the_matrix(arguments, options, matrix):
    found = measured(*arguments, **options)
    assert found["eigenvalues"] == pytest.approx(values(matrix), rel=1e-6)
    assert found["trace"]["value"] == pytest.approx(np.trace(matrix), rel=1e-6)
    assert (found["parameters"], found["samples"], found["dtype"]) == (D, N, "float64")
    assert (found["converged"], found["negative_share"]["value"]) == (True, pytest.approx(0.0, abs=1e-12))


def test_other_names_precision_and_a_saved_module(place):
    np.savez("other.npz", features=X, goal=Y)
    model = nn.Linear(D, 1, bias=False, dtype=torch.float64)
    torch.save(model, "saved.pt")
    options = {"model": "saved.pt", "data": "other.npz"}
    found = measured("--trust", "--dtype", "float32", "--inputs", "features", "--targets", "goal", **options)
    assert found["dtype"] == "float32"
    assert found["eigenvalues"] == pytest.approx(values(GRAM), rel=1e-5)
    assert found["loss"]["value"] == pytest.approx(np.mean((X @ model.weight[0].tolist() - Y) ** 2) / 2, rel=1e-5)


def test_a_table_a_figure_and_a_file(place):
    result = spectrum("-k", "2", "-o", "here", "--targets", "labels", model="net.py:tanh", loss="cross-entropy")
    assert result.exit_code == 0, result.stderr
    assert "what the user prints" not in result.stdout
    for word in (
        "Hessian of net.py:tanh, 26 parameters, 12 samples",
        "eigenvalue 2",
        "true residual",
        "standard error",
    ):
        assert word in result.stdout
    assert "eigenvalues" in result.stderr  # the bars
    found = json.loads((place / "here" / "spectrum.json").read_text())
    assert (place / "here" / "density.png").read_bytes().startswith(b"\x89PNG")
    grid, height = np.array(found["density"]["grid"]), np.array(found["density"]["values"])
    assert np.trapezoid(height, grid) == pytest.approx(1.0, abs=1e-3)  # a density
    mean = found["trace"]["value"] / found["parameters"]
    assert np.trapezoid(height * grid, grid) == pytest.approx(mean, abs=1e-3 * found["eigenvalues"][0])


def test_what_the_user_prints_is_not_in_the_json(place):
    result = spectrum("-k", "1", "--json")
    assert json.loads(result.stdout) == json.loads((place / "pyphenom-results/spectrum/spectrum.json").read_text())
    assert "what the user prints" in result.stderr


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({"model": "nets.py:linear"}, (), "`MODEL` names 'nets.py', which is no file"),
        ({"model": "net.py"}, (), "It has linear, tanh, dropout"),
        ({"model": "net.py:liner"}, (), "has no function 'liner'. Did you mean linear?"),
        ({"model": "net.py:scaled"}, (), "without arguments (missing a required argument: 'factor')"),
        ({"model": "net.py:broken"}, (), "broken() failed in net.py, line 24: TypeError"),
        ({"model": "net.py:array"}, (), "array() gives a list; expected a torch.nn.Module"),
        ({"model": "net.py:nn"}, (), "has no function 'nn'"),
        ({"model": "saved.pt"}, (), "which is no file; expected file.py:function"),
        ({"model": "weights.pt"}, (), "runs whatever code its file holds. Pass --trust"),
        ({"model": "weights.pt"}, ("--trust",), "such as a state dict; expected a torch.nn.Module"),
        ({"model": "data.npz"}, ("--trust",), "expected a file of torch.save"),
        ({"model": "net.py:wide"}, ("--weights", "weights.pt"), "does not fit the model"),
        ({}, ("--weights", "no.pt"), "`--weights` is 'no.pt', which is no file"),
        ({}, ("--weights", "net.py"), "cannot be read as data alone"),
        ({"data": "none.npz"}, (), "`DATA` is 'none.npz', which is no file"),
        ({"data": "net.py"}, (), "`DATA` net.py cannot be read (it is no file of NumPy)"),
        ({}, ("--output", "net.py/folder"), "'net.py/folder', and"),
        ({}, ("--inputs", "x"), "`DATA` data.npz holds X, y, labels, floats, signs; expected 'x'. Name the array"),
        ({"loss": "cross-entropy"}, ("--targets", "floats"), "Write floats.astype('int64')"),
        ({"loss": "bce"}, ("--targets", "signs"), "`signs` lies in [-1, 1]; expected [0, 1]"),
        ({"model": "net.py:tanh"}, (), "`y` has shape (12,); expected (12, 2)"),
        ({"model": "net.py:wide"}, (), "fails on inputs of shape (2, 3) and dtype float64: RuntimeError: mat1"),
        ({"model": "net.py:dropout", "loss": "cross-entropy"}, ("--targets", "labels"), "model.eval()"),
        ({}, ("-k", "4"), "`k` is 4; expected an integer in [1, 3]"),
        ({}, ("--probes", "1"), "--probes"),
        ({"loss": "hinge"}, (), "hinge"),
        ({}, ("--operator", "ntk"), "ntk"),
    ],
)
def test_what_is_wrong_is_said(place, options, arguments, message):
    result = spectrum(*arguments, **options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
    assert not (place / "pyphenom-results").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.where(np.arange(N)[:, None] == 4, np.nan, X), "y": Y}, "`X` holds nan at index (4, 0)"),
        ({"X": X, "y": np.full(N, np.inf)}, "`y` holds inf at index (0,)"),
        ({"X": X, "y": Y[:5]}, "`X` and `y` have the shapes (12, 3) and (5,)"),
        ({"X": X, "y": np.array(["a"] * N)}, "`y` has dtype <U1; expected real numbers"),
        ({"X": X, "y": np.array([{}] * N)}, "holds Python objects"),
        ({"X": X[:0], "y": Y[:0]}, "at least one"),
        ({"X": (9 * X).astype("uint8"), "y": Y}, "write X.astype('float32')"),
    ],
)
def test_wrong_data_are_said(arrays, message):
    np.savez("wrong.npz", **arrays)
    result = spectrum(data="wrong.npz")
    assert (result.exit_code, message in " ".join(result.stderr.split())) == (2, True), result.stderr


def test_a_single_array_and_a_checkpoint_are_said():
    np.save("one.npy", X)
    assert "holds one array without a name; expected 'X'" in " ".join(spectrum(data="one.npy").stderr.split())
    torch.save({"epoch": 3, "model": {"weight": torch.ones(1, 3)}}, "checkpoint.pt")
    assert "holds entries epoch, model; expected" in " ".join(spectrum("--weights", "checkpoint.pt").stderr.split())


def test_eigenvalues_that_do_not_converge_are_exit_status_1(place, monkeypatch):
    monkeypatch.setattr("pyphenom.curvature.spectrum.eigsh", partial(eigsh, max_products=1))
    result = spectrum("-k", "2", "--json")
    assert (result.exit_code, json.loads(result.stdout)["converged"]) == (1, False)
    assert "not converged: " in result.stderr
    assert (place / "pyphenom-results/spectrum/density.png").exists()


def test_ctrl_c_in_a_real_process(place):
    (place / "slow.py").write_text(
        textwrap.dedent(
            """
            import pathlib, time
            from torch import nn

            class Slow(nn.Linear):
                def forward(self, x):
                    pathlib.Path("begun").touch()
                    time.sleep(0.05)
                    return super().forward(x)

            def slow():
                return Slow(3, 1)
            """
        )
    )
    # In batches, the forward pass is part of every product.
    arguments = ["spectrum", "slow.py:slow", "data.npz", "--loss", "mse", "-k", "1", "--batch-size", "1", "--json"]
    run = subprocess.Popen(
        [sys.executable, "-c", "from pyphenom.cli import app; app()", *arguments],
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60.0
    while not (place / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.8)
    os.killpg(run.pid, signal.SIGINT)
    output, errors = run.communicate(timeout=30)
    assert (run.returncode, output) == (130, ""), errors
    assert "stopped" in errors
    assert "Traceback" not in errors
    assert not (place / "pyphenom-results").exists()
