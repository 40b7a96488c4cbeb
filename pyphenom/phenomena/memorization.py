"""Memorisation: a ReLU network with 2n + d weights takes any labels at n points, and says little elsewhere.

Project the inputs on a direction, sort them, and put one ReLU between neighbours: the matrix of the hidden layer is
triangular, and its n output weights take any labels (Zhang et al. 2017, Theorem 1). With labels of two signs and knots
at the data the network gives every point the class of its nearest neighbour on that line. On random labels it errs on
every second test point, as every rule must that treats both classes alike.

What it costs is slope: the steepest piece spans the smallest gap between neighbours of different labels, and n
independent points have a smallest gap that falls as 1/n^2. For Gaussian inputs its law is known, and with it the
mean of the logarithm of the Lipschitz constant.

Many functions take the same labels at the same points. That they interpolate says nothing about the rest, nor does the
number of their weights; how far they stray from a label nearby does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

from pyphenom import data, interpolation, random_features
from pyphenom.studies import (
    Cell,
    Claim,
    Curve,
    Figure,
    Greater,
    Guard,
    Identity,
    Relation,
    Select,
    Streams,
    Study,
)
from pyphenom.studies.shorthand import tidy
from pyphenom.studies.study import Preset

Array: TypeAlias = NDArray[np.float64]
Function: TypeAlias = Callable[[Array], Array]

GAUSSIAN, TRUE, RANDOM = "Gaussian inputs, random labels", "digits, true labels", "digits, random labels"
THEOREM = (GAUSSIAN, TRUE, RANDOM)
BLIND, LEARNT = "2n + d, random direction", "2n + d, direction of least squares"
NARROW, WIDE = "Laplace kernel, narrow", "Laplace kernel, wide"
FEW, MANY = "5n/4 random features", "8n random features"
SAME_DATA = (BLIND, LEARNT, NARROW, WIDE, FEW, MANY)
# In quick enough for the family of all studies, whose levels fall as it grows; set after a run had left claims open.
REPLICATES = {
    "smoke": dict.fromkeys(THEOREM, 6) | dict.fromkeys(SAME_DATA, 3),
    "quick": dict.fromkeys(THEOREM, 36) | dict.fromkeys(SAME_DATA, 40),
    "full": dict.fromkeys((*THEOREM, *SAME_DATA), 200),
}

D = 20  # of the Gaussian inputs
COUNTS = (50, 100, 200, 400, 800, 1400)
REPEATS = {GAUSSIAN: 64, TRUE: 4, RANDOM: 4}  # directions, with labels of their own where these are random
SHARE = 4  # directions in one draw of inputs, on which projections are all but independent; networks of the first alone
SPARED = 50  # points of the network that has to do with one unit less
N = 400  # points of the interpolants of the same data
BANDWIDTHS = {NARROW: 0.02, WIDE: 1.0}  # in median distances
FEATURES = {FEW: 5 * N // 4, MANY: 8 * N}
NEARBY = 0.25  # of the median distance to the nearest neighbour, at which straying is measured


# ---- cells and measurement ---------------------------------------------------------------------------------------


def cells(preset: Preset) -> list[Cell]:
    """Every arm once a replicate; interpolants of the same replicate see the same data."""
    return [Cell(arm, {}, k) for arm, count in REPLICATES[preset].items() for k in range(count)]


def measure(cell: Cell, streams: Streams) -> pd.DataFrame:
    """Build interpolants, and see what they do at the data and away from them."""
    if cell.arm in SAME_DATA:
        return _interpolant(cell.arm, streams)
    return _theorem(cell.arm, streams)


@lru_cache(maxsize=1)
def _all_digits() -> data.Images:
    return data.digits()


def _parity(streams: Streams) -> tuple[Array, Array]:
    """Return all images in the order of a replicate; the label is 1 for even digits and -1 for odd ones."""
    images = _all_digits()
    images = images[streams.rng("data").permutation(len(images))]
    return images.pixels / 16.0, np.where(images.labels % 2 == 0, 1.0, -1.0)


def _digits(n: int, streams: Streams) -> tuple[Array, Array, Array, Array]:
    """Return n training and all other images."""
    X, parity = _parity(streams)
    return X[:n], parity[:n], X[n:], parity[n:]


def _signs(n: int, streams: Streams, repeat: int = 0) -> Array:
    return streams.rng(f"label noise {repeat}").choice([-1.0, 1.0], n)


def _gaussian(n: int, streams: Streams, draw: int = 0) -> Array:
    return streams.rng(f"data {draw}").standard_normal((n, D))


def _theorem(arm: str, streams: Streams) -> pd.DataFrame:
    """Build networks on random directions through the first points, and compare them with what theory says."""
    found: dict[int, list[dict[str, Any]]] = {n: [] for n in COUNTS}
    inputs, truth = _parity(streams) if arm != GAUSSIAN else (_gaussian(2 * COUNTS[-1], streams), np.empty(0))
    for repeat in range(min(REPEATS[arm], SHARE)):
        labels = truth if arm == TRUE else _signs(len(inputs), streams, repeat)
        truth = labels if arm == GAUSSIAN else truth
        for n in COUNTS:
            X, y = inputs[:n], labels[:n]
            f = interpolation.relu_interpolant(X, y, candidates=1, seed=streams.seed(f"projection {repeat}"))
            numbers = {"log_lipschitz": np.log(f.lipschitz), **_away(f, inputs[n:], truth[n:])}
            numbers["misfit"] = np.abs(f(X) - y).max()
            numbers["spare_weights"] = abs(sum(part.size for part in f.parameters) - (2 * n + X.shape[1]))
            if repeat == 0:
                a, b, v = f.parameters
                units = (X @ a)[:, None] - b
                numbers["literal_misfit"] = np.abs(np.maximum(units, 0.0, out=units) @ v - y).max()
            if repeat == 0 and arm == TRUE:
                linear = np.column_stack([inputs[n:], np.ones(len(inputs) - n)]) @ _least_squares(X, y)
                numbers["linear_error"] = np.mean(np.sign(linear) != truth[n:])
            found[n].append(numbers)
    for draw in range(1, REPEATS[arm] // SHARE):
        inputs = _gaussian(COUNTS[-1], streams, draw)
        directions = streams.rng(f"projections {draw}").standard_normal((D, SHARE))
        labels = np.column_stack([_signs(len(inputs), streams, SHARE * draw + k) for k in range(SHARE)])
        steepest = _steepest(inputs @ (directions / np.linalg.norm(directions, axis=0)), labels)
        for n, log_slopes in zip(COUNTS, np.log(steepest), strict=True):
            found[n] += [{"log_lipschitz": log_slope} for log_slope in log_slopes]
    tables = [_averaged(numbers).assign(n=n) for n, numbers in found.items()]
    return pd.concat([*tables, tidy(_one_unit_less(streams))] if arm == GAUSSIAN else tables)


def _steepest(projections: Array, labels: Array) -> Array:
    """Return the Lipschitz constants (counts, directions) of the networks through the first points, unbuilt.

    The steepest piece between neighbours is steeper than what lies outside of them.
    """
    slopes = []
    for n in COUNTS:
        order = projections[:n].argsort(axis=0)
        z, y = (np.take_along_axis(part[:n], order, axis=0) for part in (projections, labels))
        slopes.append(np.abs(np.diff(y, axis=0) / np.diff(z, axis=0)).max(axis=0))
    return np.array(slopes)


def _away(f: interpolation.ReLUInterpolant, inputs: Array, labels: Array) -> dict[str, Any]:
    """Compare a network with the nearest neighbour on its line, and with the labels of other points."""
    z = (inputs - f.center) @ f.direction
    right = np.searchsorted(f.projections, z).clip(1, len(f.projections) - 1)
    nearest = right - (z - f.projections[right - 1] < f.projections[right] - z)
    between = (z > f.projections[0]) & (z < f.projections[-1])
    predicted = np.sign(f(inputs))
    return {
        "unlike_neighbour": np.mean(predicted != f.targets[nearest], where=between),
        "test_error": np.mean(predicted != labels),
    }


def _least_squares(X: Array, y: Array) -> Array:
    return np.asarray(np.linalg.lstsq(np.column_stack([X, np.ones(len(X))]), y, rcond=None)[0])


def _averaged(found: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Average over repeats; what has to vanish in all of them is the largest."""
    names = dict.fromkeys(name for numbers in found for name in numbers)
    given = {name: [numbers[name] for numbers in found if name in numbers] for name in names}
    zeros = ("misfit", "spare_weights", "unlike_neighbour")
    return tidy({name: (np.max if name in zeros else np.mean)(numbers) for name, numbers in given.items()})


def _one_unit_less(streams: Streams) -> dict[str, float]:
    """Take a unit away, and fit the output weights of the others as well as they allow."""
    X, y = _gaussian(SPARED, streams), _signs(SPARED, streams)
    a, b, _ = interpolation.relu_interpolant(X, y, candidates=1, seed=streams.seed("projection 0")).parameters
    hidden = np.maximum((X @ a)[:, None] - b, 0.0)
    hidden = np.delete(hidden, streams.rng("mask").integers(SPARED), axis=1)
    return {"one_unit_less": np.abs(hidden @ np.linalg.lstsq(hidden, y, rcond=None)[0] - y).max()}


def _interpolant(arm: str, streams: Streams) -> pd.DataFrame:
    X, y, X_test, y_test = _digits(N, streams)
    f, weights = _fitted(arm, X, y, streams)
    distances = squareform(pdist(X))
    np.fill_diagonal(distances, np.inf)
    steps = streams.rng("step").standard_normal(X.shape)
    steps *= NEARBY * np.median(distances.min(axis=1)) / np.linalg.norm(steps, axis=1, keepdims=True)
    predicted = f(X_test)
    numbers = {
        "misfit": np.abs(f(X) - y).max(),
        "stray": np.sqrt(np.mean((f(X + steps) - y) ** 2)),
        "test_loss": np.mean((predicted - y_test) ** 2),
        "test_error": np.mean(np.sign(predicted) != y_test),
    }
    return tidy(numbers, weights=weights)


def _fitted(arm: str, X: Array, y: Array, streams: Streams) -> tuple[Function, int]:
    """Return an interpolant and the number of its weights."""
    if arm == BLIND:
        f = interpolation.relu_interpolant(X, y, candidates=1, seed=streams.seed("projection 0"))
        return f, f.parameter_count
    if arm == LEARNT:
        w = _least_squares(X, y)[:-1, None]
        line = interpolation.relu_interpolant(X @ w, y)
        return lambda inputs: line(inputs @ w), 2 * N + X.shape[1]
    if arm in BANDWIDTHS:
        h = BANDWIDTHS[arm] * float(np.median(pdist(X)))
        return interpolation.minimum_norm_kernel(X, y, "laplace", h), N
    seed = streams.seed("init")

    def features(inputs: Array) -> Array:
        return np.asarray(random_features.features(inputs, FEATURES[arm], seed=seed))

    output = np.asarray(interpolation.minimum_norm_linear(hidden := features(X), y).coefficients) @ hidden
    return lambda inputs: features(inputs) @ output, FEATURES[arm]


# ---- predictions -------------------------------------------------------------------------------------------------


def _log_lipschitz(n: Array) -> Array:
    r"""Return E log L for Gaussian projections of unit variance and labels of two signs at random.

    Of n(n - 1)/2 pairs a share 2t \int p^2 is closer than t, half of them with different labels, and the integral is
    1/(2 sqrt(pi)): the smallest such gap is exponential with the mean 4 sqrt(pi)/(n(n - 1)), and the slope 2 over it.
    """
    return np.asarray(np.log(2.0) + np.euler_gamma + np.log(n * (n - 1) / (4.0 * np.sqrt(np.pi))))


def predict(cells: Sequence[Cell], measured: pd.DataFrame) -> pd.DataFrame:
    """Predict the Lipschitz constant on Gaussian inputs, and chance."""
    n = np.array(COUNTS, dtype=np.float64)
    slopes, typical = _log_lipschitz(n), np.log(n) + _log_lipschitz(n[:1]) - np.log(n[0])
    steep = pd.DataFrame({"n": COUNTS, "quantity": "log_lipschitz", "value": slopes, "band": 1.0 / n})
    tables = [steep, steep.assign(quantity="as 1/n", value=typical, band=0.0)]
    chance = pd.DataFrame({"n": COUNTS, "quantity": "test_error", "value": 0.5})
    return pd.concat([*(table.assign(arm=GAUSSIAN) for table in tables), chance.assign(arm=RANDOM),
                      chance.assign(arm=GAUSSIAN)]).fillna({"band": 0.0})  # fmt: skip


# ---- claims ------------------------------------------------------------------------------------------------------


# fmt: off
def _exact(id: str, quantity: str, tolerance: float, statement: str, arms: tuple[str, ...] = THEOREM,
           **options: Any) -> Claim:
    measured = Select(quantity, over=("arm", "n")).measured
    return Claim(id, statement, measured, Identity(tolerance), arms=arms, quantities=(quantity,), **options)


def _over_n(id: str, quantity: str, arm: str, relation: Relation, statement: str, theory: str = "",
            **options: Any) -> Claim:
    target = Select(theory or quantity, arm, "n").predicted
    return Claim(id, statement, Select(quantity, arm, "n").measured, relation, target, arms=(arm,),
                 quantities=(quantity, theory or quantity), **options)


def _worse_than_linear(rows: pd.DataFrame) -> Any:
    return sum(sign * Select(quantity, TRUE, "n").measured(rows)[COUNTS[-1]]
               for quantity, sign in (("test_error", 1.0), ("linear_error", -1.0)))


def _order(by: str) -> Any:
    """Return the rank correlation of the test loss with a number of each interpolant, in size."""
    def statistic(rows: pd.DataFrame) -> Any:
        losses = Select("test_loss", over="arm").measured(rows)
        table = Select("stray", over="arm").measured(rows)
        if by == "weights":
            counts = rows.groupby("arm")["weights"].first()[losses.columns]
            table = pd.DataFrame(np.tile(counts, (len(losses), 1)), losses.index, losses.columns)
        pairs = zip(table.to_numpy(), losses.to_numpy(), strict=True)
        return np.array([abs(spearmanr(row, loss).statistic) for row, loss in pairs])

    return statistic


def _same_count(rows: pd.DataFrame) -> Any:
    table = np.log(Select("test_loss", over="arm").measured(rows))
    return table[BLIND] - table[LEARNT]


study = Study(
    name="memorization",
    title="Memorisation with 2n + d weights",
    summary=(
        "A ReLU network with 2n + d weights takes any labels at n points, true or random; it is the nearest neighbour "
        "on a line, errs on half of the test points after random labels, and grows steeper as n^2. Interpolants of "
        "the same data differ in their test loss as they differ in smoothness, not in their number of weights."
    ),
    references=(
        "Zhang, Bengio, Hardt, Recht, Vinyals, Understanding deep learning requires rethinking generalization, ICLR "
        "2017, Theorem 1",
        "Cover, Hart, Nearest neighbor pattern classification, 1967",
        "The smallest of n gaps: Darling, On a class of problems related to the random division of an interval, 1953",
    ),
    version="1",
    cell_version="3",
    cells=cells,
    measure=measure,
    predict=predict,
    guards=(
        Guard("all-interpolate", "the interpolants of the same data miss no label by more than 1e-6",
              lambda rows: rows[(rows["quantity"] == "misfit") & ~(rows["value"] <= 1e-6)],
              ("smoothness-orders", "same-count"), SAME_DATA),
    ),
    claims=(
        _exact("interpolates", "misfit", 1e-12, "labels come back, in every arm and at every n"),
        _exact("literal", "literal_misfit", 1e-4, "the network as a sum of its units gives them too, as far as its "
               "digits reach: slopes grow as n^2, and rounding with them"),
        _exact("count", "spare_weights", 0.0, "with 2n + d weights, counted"),
        _exact("neighbour", "unlike_neighbour", 0.0, "between the outermost points its class is that of the nearest "
               "neighbour on the line"),
        _over_n("chance", "test_error", RANDOM, Curve(0.05), "after random labels it errs on half of the digits"),
        _over_n("steepness", "log_lipschitz", GAUSSIAN, Curve(0.2, absolute=True), "on Gaussian inputs the logarithm "
                "of its Lipschitz constant has the mean that the law of the smallest gap gives it, to 1/n"),
        Claim("worse-than-linear", "after true labels it errs more often, by a tenth of the digits, than least squares "
              "with d + 1 weights, which does not interpolate", _worse_than_linear, Greater(0.1), arms=(TRUE,),
              quantities=("test_error", "linear_error")),
        Claim("same-count", "two networks of 2n + d weights through the same data: the loss on one direction is one "
              "and a half times that on another", _same_count, Greater(float(np.log(1.5))), arms=(BLIND, LEARNT),
              quantities=("test_loss",)),
        Claim("smoothness-orders", "six interpolants of the same data have test losses in the order in which they "
              "stray from a label nearby, to a rank correlation of 0.6", _order("stray"), Greater(0.6),
              arms=SAME_DATA, quantities=("test_loss", "stray")),
    ),
    controls=(
        Claim("one-unit-less", "with n - 1 of its units it gives all labels", Select("one_unit_less").measured,
              Identity(1e-6), arms=(GAUSSIAN,), quantities=("one_unit_less",),
              protects=("interpolates", "literal", "count")),
        Claim("true-at-chance", "after true labels too it errs on half of the digits",
              Select("test_error", TRUE, "n").measured, Curve(0.05), 0.5, arms=(TRUE,), quantities=("test_error",),
              protects=("chance", "worse-than-linear", "neighbour")),
        _over_n("typical-gap", "log_lipschitz", GAUSSIAN, Curve(0.2, absolute=True),
                "the Lipschitz constant grows as n, like one over the mean gap", "as 1/n", protects=("steepness",)),
        Claim("count-orders", "the number of weights orders the test losses, up or down, to a rank correlation of 0.6",
              _order("weights"), Greater(0.6), arms=SAME_DATA, quantities=("test_loss", "stray"),
              protects=("smoothness-orders", "same-count")),
    ),
    figures=(
        Figure("error", "The network with 2n + d weights", "test_error", "n", "samples n",
               "share of wrong test labels", THEOREM, "log"),
        Figure("steepness", "The network with 2n + d weights", "log_lipschitz", "n", "samples n",
               "log of the Lipschitz constant", THEOREM, "log"),
        Figure("loss", f"Interpolants of the same {N} digits", "test_loss", "weights", "number of weights",
               "squared test error", SAME_DATA, "log", "log"),
        Figure("stray", f"Interpolants of the same {N} digits", "stray", "weights", "number of weights",
               "distance from the label nearby", SAME_DATA, "log", "log"),
    ),
    depends_on=("pyphenom._core", "pyphenom.interpolation", "pyphenom.random_features", "pyphenom.data"),
    deviations=(
        "Labels are the parity of digits, one number, so that the network has 2n + d weights; with T of them it has "
        "n + d + nT.",
        "Zhang et al. prove existence with any biases between the projections; here they stand at the projections, "
        "which makes the pieces as flat as they can be.",
        "The weights of a kernel interpolant are its n coefficients. Counting the n points that it keeps as well would "
        "give it n + nd.",
        f"How far a function strays is measured in directions drawn at random, at {NEARBY} of the median distance to "
        "the nearest neighbour. Kernels and numbers of features were chosen in a trial, to be far apart; the rank "
        "correlation of 0.6 was set after one seed had given 0.8.",
        "Losses are squared errors. The share of wrong signs is in the rows: the narrow kernel, all but zero between "
        "the data, has signs that are right, as the nearest neighbour's are.",
    ),
)
# fmt: on
