"""Implicit regularisation: which interpolant gradient descent finds, and what its norm says about the test error.

Gradients of a linear model are combinations of the inputs. Gradient descent from zero, on all samples or on one at a
time, therefore never leaves their span, where one interpolant lies: that of the smallest norm. From elsewhere it keeps
what it began with outside of the span. Adam rescales coordinates, and leaves it.

With a kernel the interpolant of smallest norm is a good classifier of digits, and a ridge makes it no better (Zhang et
al. 2017, Section 5). Yet the norm does not tell which interpolant is good. The labels of a linear truth have an
interpolant of larger norm without any error, the truth; more samples raise the smallest norm and lower the error,
n/p of the signal and 1 - n/p; and of two kernels the one with the smaller norm can be worse by far.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg
from scipy.spatial.distance import pdist

from pyphenom import data, interpolation
from pyphenom.studies import (
    Cell,
    Claim,
    Curve,
    Equivalent,
    Figure,
    Greater,
    Guard,
    Identity,
    Less,
    Relation,
    Select,
    Streams,
    Study,
)
from pyphenom.studies.study import Preset
from pyphenom.theory import ridge_regression

Array: TypeAlias = NDArray[np.float64]

DESCENT, STOCHASTIC, ELSEWHERE = "gradient descent", "one sample at a time", "gradient descent, started elsewhere"
ADAM, SAMPLES = "Adam", "minimum norm, more samples"
TYPICAL, NARROW, RANDOM = "kernel", "narrow kernel", "kernel, random labels"
DESCENTS, KERNELS = (DESCENT, STOCHASTIC, ELSEWHERE, ADAM), (TYPICAL, NARROW, RANDOM)
ARMS = (*DESCENTS, SAMPLES, *KERNELS)
REPLICATES = {
    "smoke": dict.fromkeys(ARMS, 2),
    "quick": dict.fromkeys(DESCENTS, 5) | {SAMPLES: 44} | dict.fromkeys(KERNELS, 10),  # the descents are exact
    "full": dict.fromkeys(ARMS, 60),
}

N, P = 40, 120  # of the descents
STEPS = {DESCENT: 1500, STOCHASTIC: 20000, ELSEWHERE: 1500, ADAM: 6000}
ADAM_RATE = 0.01

DIMENSION, COUNTS, REPEATS = 200, (20, 50, 100, 150, 180), 10

IMAGES = 800
BANDWIDTHS = {TYPICAL: 0.7, RANDOM: 0.7, NARROW: 0.1}  # in median distances
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)
CLASSES = 10


# ---- cells and measurement ---------------------------------------------------------------------------------------


def cells(preset: Preset) -> list[Cell]:
    """Every arm once a replicate."""
    return [Cell(arm, {}, k) for arm, count in REPLICATES[preset].items() for k in range(count)]


def measure(cell: Cell, streams: Streams) -> pd.DataFrame:
    """Descend, or solve for the interpolant of smallest norm."""
    if cell.arm in DESCENTS:
        return _descent(cell.arm, streams)
    return _samples(streams) if cell.arm == SAMPLES else _kernel(cell.arm, streams)


def _descent(arm: str, streams: Streams) -> pd.DataFrame:
    """Descend on half the mean square, and compare the end with the interpolant that theory names."""
    rng = streams.rng("data")
    X, truth = rng.standard_normal((N, P)), rng.standard_normal(P) / np.sqrt(P)
    y = X @ truth
    span = np.linalg.svd(X, full_matrices=False)[2]
    start = streams.rng("init").standard_normal(P) / np.sqrt(P) if arm == ELSEWHERE else np.zeros(P)
    end = {STOCHASTIC: _stochastic, ADAM: _adam}.get(arm, _descend)(X, y, start, STEPS[arm], streams)
    smallest = np.linalg.pinv(X) @ y

    def outside(w: Array) -> Array:
        return np.asarray(w - span.T @ (span @ w))

    scale = np.linalg.norm(smallest)
    return _numbers(
        {
            "residual": np.abs(X @ end - y).max(),
            "outside": np.linalg.norm(outside(end - start)) / scale,
            "off": np.linalg.norm(end - (smallest + outside(start))) / scale,
            "off_smallest": np.linalg.norm(end - smallest) / scale,
            "norm": np.linalg.norm(end) / scale,
        }
    )


def _descend(X: Array, y: Array, w: Array, steps: int, streams: Streams) -> Array:
    rate = 1.0 / np.linalg.norm(X, 2) ** 2
    for _ in range(steps):
        w = w - rate * X.T @ (X @ w - y)
    return w


def _stochastic(X: Array, y: Array, w: Array, steps: int, streams: Streams) -> Array:
    """Take one sample a step, with a constant rate: where all labels can be met the noise of SGD dies out."""
    rate = 1.0 / (X**2).sum(axis=1).max()
    for i in streams.rng("order").integers(len(y), size=steps):
        w = w - rate * (X[i] @ w - y[i]) * X[i]
    return w


def _adam(X: Array, y: Array, w: Array, steps: int, streams: Streams) -> Array:
    """Run Adam as published, its rate falling linearly to zero."""
    mean, square = np.zeros_like(w), np.zeros_like(w)
    for step in range(1, steps + 1):
        gradient = X.T @ (X @ w - y) / len(y)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        rate = ADAM_RATE * (1.0 - (step - 1) / steps)
        w = w - rate * mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return w


def _samples(streams: Streams) -> pd.DataFrame:
    """Interpolate linear labels of signal power 1, without noise, from more and more Gaussian inputs."""
    found = np.zeros((len(COUNTS), 2))
    for rng in streams.rng("data").spawn(REPEATS):
        truth = rng.standard_normal(DIMENSION)
        truth /= np.linalg.norm(truth)
        X = rng.standard_normal((max(COUNTS), DIMENSION))
        for row, n in enumerate(COUNTS):
            f = interpolation.minimum_norm_kernel(X[:n], X[:n] @ truth, _inner)
            w = X[:n].T @ f.coefficients
            found[row] += np.array([w @ w, (w - truth) @ (w - truth)]) / REPEATS
    tables = [pd.DataFrame({"n": COUNTS, "quantity": name, "value": found[:, index]})
              for index, name in enumerate(("square_norm", "risk"))]  # fmt: skip
    return pd.concat(tables)


def _inner(A: Array, B: Array) -> Array:
    """Return the kernel of linear functions, whose Gram matrix is solved faster than an SVD of the inputs."""
    return A @ B.T


def _kernel(arm: str, streams: Streams) -> pd.DataFrame:
    """Interpolate ten classes of digits, and see whether a ridge would have been better."""
    images = _images()
    images = images[streams.rng("data").permutation(len(images))]
    labels = images.labels.copy()
    X, train, test = images.pixels / 16.0, slice(None, IMAGES), slice(IMAGES, None)
    if arm == RANDOM:
        labels[train], _ = data.corrupt_labels(labels[train], 1.0, CLASSES, streams.rng("label noise"))
    Y = np.eye(CLASSES)[labels] - 1 / CLASSES
    h = BANDWIDTHS[arm] * float(np.median(pdist(X[train])))
    f = interpolation.minimum_norm_kernel(X[train], Y[train], "gaussian", h)
    scores = f(X[test])

    def wrong(predicted: Array) -> float:
        return float(np.mean(predicted.argmax(axis=1) != labels[test]))

    numbers = {
        "residual": f.residual,
        "norm": f.norm,
        "test_error": wrong(scores),
        "test_loss": ((scores - Y[test]) ** 2).sum(axis=1).mean(),
    }
    if arm == RANDOM:
        return _numbers(numbers)
    gram, across = f.kernel(X[train], X[train]), f.kernel(X[test], X[train])
    penalties = [ridge * np.eye(IMAGES) for ridge in RIDGES]
    with_ridge = [wrong(across @ linalg.solve(gram + each, Y[train], assume_a="pos")) for each in penalties]
    path = pd.DataFrame({"ridge": RIDGES, "quantity": "ridge_error", "value": with_ridge})
    return pd.concat([_numbers(numbers | {"gain": numbers["test_error"] - min(with_ridge)}), path])


@cache
def _images() -> data.Images:
    return data.digits()


def _numbers(values: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame({"quantity": list(values), "value": [float(value) for value in values.values()]})


# ---- predictions -------------------------------------------------------------------------------------------------


def predict(cells: Sequence[Cell], measured: pd.DataFrame) -> pd.DataFrame:
    """Predict norm and risk of the interpolant of smallest norm on isotropic inputs: exactly n/p and 1 - n/p."""
    n = np.array(COUNTS, dtype=np.float64)
    risk = np.asarray(ridge_regression.isotropic_risk(DIMENSION / n).total)
    curves = {"square_norm": n / DIMENSION, "risk": risk, "as the norm": n / DIMENSION}
    tables = [pd.DataFrame({"n": COUNTS, "quantity": name, "value": value}) for name, value in curves.items()]
    return pd.concat(tables, ignore_index=True).assign(arm=SAMPLES)


# ---- claims ------------------------------------------------------------------------------------------------------


# fmt: off
def _claim(id: str, arm: str, quantity: str, relation: Relation, statement: str, target: float = 0.0,
           **options: Any) -> Claim:
    return Claim(id, statement, Select(quantity, arm).measured, relation, target, arms=(arm,), quantities=(quantity,),
                 **options)


def _over_n(id: str, quantity: str, statement: str, theory: str = "", **options: Any) -> Claim:
    return Claim(id, statement, Select(quantity, SAMPLES, "n").measured, Curve(0.02, absolute=True),
                 Select(theory or quantity, SAMPLES, "n").predicted, arms=(SAMPLES,),
                 quantities=(quantity, theory or quantity), **options)


def _log_ratio(quantity: str) -> Any:
    """Return the logarithm of a quantity of the narrow kernel over that of the other."""
    def statistic(rows: pd.DataFrame) -> Any:
        return np.log(Select(quantity, NARROW).measured(rows)) - np.log(Select(quantity, TYPICAL).measured(rows))

    return statistic


study = Study(
    name="implicit-regularization",
    title="Implicit regularisation and the minimum norm",
    summary=(
        "Gradient descent on a linear model finds the interpolant of smallest norm in the span of the data, and keeps "
        "what it began with outside; Adam does not. Minimum-norm kernel interpolation classifies digits, and a ridge "
        "adds nothing. But more samples raise the norm and lower the risk, and a kernel with the smaller norm is worse."
    ),
    references=(
        "Zhang, Bengio, Hardt, Recht, Vinyals, Understanding deep learning requires rethinking generalization, ICLR "
        "2017, Section 5",
        "Hastie, Montanari, Rosset, Tibshirani, Surprises in high-dimensional ridgeless least squares interpolation, "
        "Annals of Statistics 2022",
        "Wilson, Roelofs, Stern, Srebro, Recht, The marginal value of adaptive gradient methods, NeurIPS 2017",
    ),
    version="1",
    cell_version="2",
    cells=cells,
    measure=measure,
    predict=predict,
    guards=(
        Guard("descents-interpolate", "at the end no label is missed by more than 1e-3",
              lambda rows: rows[(rows["quantity"] == "residual") & ~(rows["value"] <= 1e-3)],
              ("span", "minimum-norm", "stochastic", "elsewhere"), DESCENTS),
        Guard("kernels-interpolate", "kernels miss no label by more than 1e-8",
              lambda rows: rows[(rows["quantity"] == "residual") & ~(rows["value"] <= 1e-8)],
              ("kernel-generalizes", "ridge-adds-nothing", "smaller-norm", "larger-loss"), KERNELS),
    ),
    claims=(
        _claim("span", DESCENT, "outside", Identity(1e-10), "gradient descent never leaves the span of the inputs"),
        _claim("minimum-norm", DESCENT, "off", Identity(1e-8), "from zero it finds the interpolant of smallest norm"),
        _claim("stochastic", STOCHASTIC, "off", Identity(1e-8), "so it does with one sample at a time"),
        _claim("elsewhere", ELSEWHERE, "off", Identity(1e-8), "from elsewhere, the same plus what the start has "
               "outside of the span"),
        _over_n("norm-rises", "square_norm", "on isotropic inputs the smallest norm squared is n/p of the truth's, "
                "which interpolates too and has no error"),
        _over_n("risk-falls", "risk", "while the risk is 1 - n/p: the smaller norm does worse"),
        _claim("kernel-generalizes", TYPICAL, "test_error", Less(0.03), "with a Gaussian kernel the interpolant of "
               "smallest norm errs on less than 3 % of the digits"),
        _claim("ridge-adds-nothing", TYPICAL, "gain", Equivalent(0.005), "the best of four ridges, chosen on the test "
               "set in its favour, gains less than 0.5 %"),
        Claim("smaller-norm", "a narrow kernel has an interpolant of smaller norm", _log_ratio("norm"), Less(),
              arms=(NARROW, TYPICAL), quantities=("norm",)),
        Claim("larger-loss", "and more than five times the test loss", _log_ratio("test_loss"),
              Greater(float(np.log(5.0))), arms=(NARROW, TYPICAL), quantities=("test_loss",)),
    ),
    controls=(
        _claim("elsewhere-smallest", ELSEWHERE, "off_smallest", Identity(1e-8), "from elsewhere too it finds the "
               "smallest norm", protects=("minimum-norm", "elsewhere")),
        _claim("adam", ADAM, "outside", Identity(1e-3), "Adam does not leave the span of the inputs",
               protects=("span", "stochastic")),
        _over_n("risk-as-norm", "risk", "the risk rises as the norm does", "as the norm",
                protects=("norm-rises", "risk-falls")),
        _claim("random-generalizes", RANDOM, "test_error", Less(0.8), "after random labels the same kernel errs on "
               "less than 80 %", protects=("kernel-generalizes", "ridge-adds-nothing")),
        Claim("norm-orders", "the kernel with the smaller norm has the smaller test loss", _log_ratio("test_loss"),
              Less(), arms=(NARROW, TYPICAL), quantities=("test_loss",), protects=("smaller-norm", "larger-loss")),
    ),
    figures=(
        Figure("norm", f"Linear truth in {DIMENSION} dimensions, no noise", "square_norm", "n", "samples n",
               "smallest norm of an interpolant, squared", (SAMPLES,)),
        Figure("risk", f"Linear truth in {DIMENSION} dimensions, no noise", "risk", "n", "samples n",
               "risk of that interpolant", (SAMPLES,)),
        Figure("ridge", f"Digits, n = {IMAGES}: Gaussian kernel", "ridge_error", "ridge",
               "ridge added to the kernel matrix", "share of wrong test labels", (TYPICAL, NARROW), "log"),
    ),
    depends_on=("pyphenom._core", "pyphenom.interpolation", "pyphenom.data", "pyphenom.theory"),
    deviations=(
        "Zhang et al. interpolate MNIST and CIFAR-10, and find a larger norm and a smaller error after wavelets; here "
        "digits of scikit-learn with two bandwidths of one kernel, which has the value 1 on the diagonal in both.",
        "The test loss is the squared error; the narrow kernel, all but zero between the data, still has signs that "
        "are right, and its share of wrong labels, in the rows, is little higher.",
        "The bandwidths were chosen in a trial on two seeds.",
    ),
)
# fmt: on
