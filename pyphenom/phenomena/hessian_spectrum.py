r"""Outliers of the Hessian of a classifier: how many, what they are, and where the gradient lies among them.

For a softmax over C classes the Gauss-Newton matrix is a sum over samples i and wrong classes j of rank-one terms along
:math:`v_{ij}=\nabla(f_j-f_{y_i})(x_i)`. Where the inputs of a cluster look alike, so do its :math:`v_{ij}`: there are
(clusters) times C - 1 large eigenvalues. Let classes and clusters be the same, equally far apart, with a tangent kernel
a inside a class and b between two. Then the permutations of the classes split the C(C - 1) directions:

- C - 1 eigenvalues grow like 2 C b. They come from what all inputs have in common, times the contrasts between the C
  outputs. Where b is large they are the outliers: C - 1, not C, and they are there whatever the labels mean.
- One is C (a - b), along :math:`\sum v_{ij}`, the direction of the gradient, which no permutation of the classes
  changes. It is orthogonal to the C - 1 above it, and the next in order.
- The others are at most half of that.

So the gradient comes to lie in the space of the C largest (Gur-Ari, Roberts and Dyer 2018), and there in the C-th
direction alone. With b so large that C (a - b) sinks towards the bulk it leaves the outliers all the same, and is in
the space of the C largest only where it happens to be above the bulk.

The exact spectra are those of dense matrices; Lanczos and its quadrature are held against them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit
from torch import Tensor

from pyphenom import curvature, data, networks
from pyphenom.networks import Recipe
from pyphenom.studies import (
    Cell,
    Claim,
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
    Within,
)
from pyphenom.studies.study import Preset

Array: TypeAlias = NDArray[np.float64]

COMMON, SHUFFLED = "common component", "common component, shuffled labels"
CLUSTERS, NONE = "Gauss-Newton, clusters", "Gauss-Newton, no clusters"
WIDTHS, DIGITS, QUADRATURE, ORACLE = "widths", "digits", "quadrature", "softmax regression"
CLASSES = (2, 3, 5, 10)
SEPARATE = {f"separate clusters, {C} classes": C for C in (3, 5, 10)}

D, WIDTH, A_CLUSTER = 20, 20, 20  # inputs, tanh units, samples of every cluster
# Norms of a cluster's mean, of what all inputs share, and of the noise.
INPUTS = {
    **dict.fromkeys((COMMON, SHUFFLED, WIDTHS, QUADRATURE), (1.0, 2.0, 1.0)),
    **dict.fromkeys(SEPARATE, (2.5, 0.5, 1.0)),
    CLUSTERS: (2.5, 0.5, 0.5),
    NONE: (0.0, 0.0, 1.0),
}
GROUPS = ((2, 2), (2, 4), (3, 3), (3, 6), (5, 5))  # classes and clusters
SOME_WIDTHS = NARROW, WIDE = 10, 40
STEPS = START, *_, END = 0, 5, 20, 60, 200
RATE = 0.5
DIGITS_WIDTH, DIGITS_RECIPE = 12, Recipe(END, 0.3, momentum=0.5)

# The outliers are the eigenvalues above the largest gap of their logarithms among this many and the next.
AMONG = 30
NEAR_ZERO = 0.01  # of the largest eigenvalue

# Of the quadrature, in units of the largest eigenvalue; narrower than the steps resolve would be biased.
GRID = (-0.02, -0.01, -0.005, 0.0, 0.005, 0.01, 0.02, 0.05, 0.1)
SMOOTHING, PROBES, LANCZOS_STEPS, SEEDS, PAIRS = 0.02, 10, 60, 20, 10
TRACE_PRODUCTS = 60
DRAWS = 100  # of random subspaces

REPLICATES = {"smoke": 1, "quick": 10, "full": 60}


# ---- cells and measurement ---------------------------------------------------------------------------------------


def cells(preset: Preset) -> list[Cell]:
    """Each network, and each softmax regression, once a replicate."""
    points: list[tuple[str, dict[str, int]]] = [
        *((arm, {"classes": C}) for arm in (COMMON, SHUFFLED, DIGITS, ORACLE) for C in CLASSES),
        *((arm, {"classes": C}) for arm, C in SEPARATE.items()),
        *((arm, {"classes": C, "rank": k * (C - 1)}) for arm in (CLUSTERS, NONE) for C, k in GROUPS),
        *((WIDTHS, {"classes": 5, "width": width}) for width in SOME_WIDTHS),
        (QUADRATURE, {"classes": 5}),
    ]
    return [Cell(arm, point, k) for arm, point in points for k in range(REPLICATES[preset])]


def measure(cell: Cell, streams: Streams) -> pd.DataFrame:
    """Train one network, or build one softmax regression, and measure its spectrum."""
    arm, C = cell.arm, int(cell.parameters["classes"])
    if arm == ORACLE:
        return _regression(C, streams)
    if arm == DIGITS:
        X, y = _digits(C, streams)
        model = networks.mlp((X.shape[1], DIGITS_WIDTH, C), "relu", streams.seed("init"), torch.float64)
        networks.train([model], X, y, DIGITS_RECIPE)
        return _rows(_readings(model, X, y))
    clusters = int(cell.parameters["rank"]) // (C - 1) if "rank" in cell.parameters else C
    X, y = _gaussians(arm, C, clusters, streams)
    model = networks.mlp((D, int(cell.parameters.get("width", WIDTH)), C), "tanh", streams.seed("init"), torch.float64)
    if arm in SEPARATE:
        return _path(model, X, y, streams)
    networks.train([model], X, y, Recipe(END, RATE, momentum=0.0))
    if arm == QUADRATURE:
        return _quadrature(model, X, y, streams)
    matrix = "ggn" if arm in (CLUSTERS, NONE) else "hessian"
    return _rows(_readings(model, X, y, matrix, streams if arm == COMMON else None))


def _gaussians(arm: str, classes: int, clusters: int, streams: Streams) -> tuple[Tensor, Tensor]:
    """Clusters with orthogonal means, noise, and a common component; cluster k belongs to class k mod C."""
    mean, common, noise = INPUTS[arm]
    rng = streams.rng("data")
    directions = np.linalg.qr(rng.standard_normal((D, clusters + 1)))[0].T
    cluster = np.arange(clusters * A_CLUSTER) % clusters
    X = mean * directions[cluster] + common * directions[-1]
    X += noise / np.sqrt(D) * rng.standard_normal(X.shape)
    y = cluster % classes
    if arm == SHUFFLED:
        y = streams.rng("label noise").permutation(y)
    return torch.from_numpy(X), torch.from_numpy(y)


def _digits(classes: int, streams: Streams) -> tuple[Tensor, Tensor]:
    """Return some of the ten classes, drawn anew in every replicate."""
    images, rng = data.digits(), streams.rng("data")
    order = rng.permutation(len(images))
    chosen = rng.permutation(10)[:classes]
    rows = np.concatenate([order[images.labels[order] == label][:A_CLUSTER] for label in chosen])
    return torch.from_numpy(images.pixels[rows] / 16.0), torch.arange(classes).repeat_interleave(A_CLUSTER)


def outliers(eigenvalues: Array) -> int:
    """Count the eigenvalues, largest first, above the largest gap of the logarithms of the first `AMONG` + 1."""
    first = np.maximum(eigenvalues[: AMONG + 1], 1e-12 * eigenvalues[0])
    return int(np.argmax(np.log(first[:-1] / first[1:]))) + 1


def _readings(
    model: torch.nn.Module, X: Tensor, y: Tensor, matrix: str = "hessian", streams: Streams | None = None
) -> dict[str, float]:
    """Outliers and the errors in training; given streams, shares of the squared gradient in C and C - 1 dimensions."""
    point = curvature.linearize(model, "cross_entropy", X, y)
    values, vectors = np.linalg.eigh(getattr(point, matrix)() @ np.eye(point.size))
    values, vectors = values[::-1], vectors[:, ::-1]
    away, wrong = np.abs(values) > NEAR_ZERO * values[0], point.outputs().argmax(axis=1) != y.numpy()
    read = {"outliers": outliers(values), "away_from_zero": np.mean(away), "train_error": np.mean(wrong)}
    if streams is None:
        return read
    C, gradient = point.outputs().shape[1], point.gradient()
    gradient /= np.linalg.norm(gradient)
    shares = np.cumsum((vectors.T @ gradient) ** 2)
    rng = streams.rng("projection")
    bases = (np.linalg.qr(rng.standard_normal((point.size, C)))[0] for _ in range(DRAWS))
    drawn = np.mean([np.sum((basis.T @ gradient) ** 2) for basis in bases])
    return read | {"top_share": shares[C - 1], "above_share": shares[C - 2], "random_share": float(drawn)}


def _path(model: torch.nn.Module, X: Tensor, y: Tensor, streams: Streams) -> pd.DataFrame:
    parts, done = [], 0
    for step in STEPS:
        if step > done:
            networks.train([model], X, y, Recipe(step - done, RATE, momentum=0.0))  # full batches and no momentum
            done = step
        parts.append(_rows(_readings(model, X, y, streams=streams), step=step))
    table = pd.concat(parts, ignore_index=True)
    return table[(table["step"] == END) | (table["quantity"] != "train_error")]  # which only the end has to fit


def _quadrature(model: torch.nn.Module, X: Tensor, y: Tensor, streams: Streams) -> pd.DataFrame:
    """Hold Lanczos, its quadrature and the trace of the Hessian against the dense one; then those of Gauss-Newton."""
    point = curvature.linearize(model, "cross_entropy", X, y)
    exact = np.linalg.eigvalsh(point.hessian() @ np.eye(point.size))[::-1]
    grid, width = np.array(GRID) * exact[0], SMOOTHING * exact[0]
    truth = ndtr((grid[:, None] - exact) / width).mean(axis=1)
    seeds = [int(seed) for seed in streams.rng("projection").integers(0, 2**31, SEEDS)]
    scalars: dict[str, float] = {}
    curves = {"exact_cdf": truth}
    for name, operator in (("", point.hessian()), ("ggn_", point.ggn())):
        pairs = curvature.eigsh(operator, PAIRS, tol=1e-10)
        found = [curvature.spectral_density(operator, PROBES, LANCZOS_STEPS, s, deflate=pairs) for s in seeds]
        cdfs = [density.cdf(grid, width) for density in found]
        traces = [curvature.trace(operator, products=TRACE_PRODUCTS, seed=seeds[0] + s) for s in range(3 * SEEDS)]
        scalars |= {
            f"{name}residual": float(pairs.residuals.max() / exact[0]),
            f"{name}lanczos_error": _apart(pairs, exact[:PAIRS]),
            f"{name}coverage": float(np.mean([_covers(c.values, c.standard_errors, truth, PROBES) for c in cdfs])),
            f"{name}trace_coverage": float(
                np.mean([_covers(t.value, t.standard_error, exact.sum(), TRACE_PRODUCTS // 3) for t in traces])
            ),
        }
        curves[f"{name}cdf"] = np.mean([c.values for c in cdfs], axis=0)  # noqa: PD011
    parts = [pd.DataFrame({"eigenvalue": GRID, "quantity": name, "value": value}) for name, value in curves.items()]
    return pd.concat([*parts, _rows(scalars)], ignore_index=True)


def _covers(value: Any, standard_error: Any, truth: Any, draws: int) -> Any:
    """Whether the 95 % interval of an estimate, the mean of some draws, holds the truth."""
    return np.abs(value - truth) <= stdtrit(draws - 1, 0.975) * standard_error


def _regression(classes: int, streams: Streams) -> pd.DataFrame:
    """Softmax regression at zero: its Hessian is that of the inputs times the contrasts of the classes, over C."""
    X = streams.rng("data").standard_normal((5 * D, D))
    model = torch.nn.Linear(D, classes, bias=False, dtype=torch.float64)
    torch.nn.init.zeros_(model.weight)
    y = torch.arange(len(X)) % classes
    moments = np.linalg.eigvalsh(X.T @ X / len(X))[::-1]
    hessian = curvature.linearize(model, "cross_entropy", torch.from_numpy(X), y).hessian()
    pairs = curvature.eigsh(hessian, 3 * (classes - 1), tol=1e-10)
    right, wrong = (_apart(pairs, np.repeat(moments / classes, copies)) for copies in (classes - 1, classes))
    residual = float(pairs.residuals.max() * classes / moments[0])
    return _rows({"copies_error": right, "wrong_copies_error": wrong, "residual": residual})


def _apart(pairs: curvature.Eigenpairs, expected: Array) -> float:
    """Return the largest error of eigenvalues over the largest expected."""
    found = pairs.values  # noqa: PD011
    return float(np.abs(found - expected[: len(found)]).max() / expected[0])


def _rows(values: dict[str, float], **point: int) -> pd.DataFrame:
    return pd.DataFrame({"quantity": list(values), "value": list(values.values())} | point)


# ---- predictions -------------------------------------------------------------------------------------------------


def predict(cells: Sequence[Cell], measured: pd.DataFrame) -> pd.DataFrame:
    """Predict the numbers of outliers, the share of a random subspace, and the exact distribution of the replicates."""
    C = np.arange(min(CLASSES), max(CLASSES) + 1)
    size = D * WIDTH + WIDTH + WIDTH * C + C
    tables = [pd.DataFrame({"arm": COMMON, "classes": C, "quantity": "random_share", "value": C / size})]
    tables.append(pd.DataFrame({"arm": COMMON, "classes": C, "quantity": "one more outlier", "value": C}))
    for arm in (COMMON, *SEPARATE):
        tables.append(pd.DataFrame({"arm": arm, "classes": C, "quantity": "outliers", "value": C - 1}))
    ranks = sorted({clusters * (classes - 1) for classes, clusters in GROUPS})
    for arm, quantity in ((CLUSTERS, "outliers"), (NONE, "as with clusters")):
        tables.append(pd.DataFrame({"arm": arm, "rank": ranks, "quantity": quantity, "value": ranks}))
    tables.append(pd.DataFrame({"arm": WIDTHS, "width": SOME_WIDTHS, "quantity": "outliers", "value": 4}))
    exact = measured[measured["quantity"] == "exact_cdf"].groupby("eigenvalue", as_index=False)["value"].mean()
    tables.append(exact.assign(arm=QUADRATURE, quantity="cdf"))
    return pd.concat(tables, ignore_index=True)


# ---- claims ------------------------------------------------------------------------------------------------------

# A mean that rounds to the predicted count: single replicates may miss it by one.
NEAREST = Within(-0.5, 0.5)


def _claim(id: str, arm: str, quantity: str, relation: Relation, statement: str, over: str = "classes",
           theory: str = "", **options: Any) -> Claim:  # fmt: skip
    target = Select(theory, arm, over).predicted if theory else 0.0
    quantities = (quantity, theory) if theory else (quantity,)
    where = (lambda rows: rows["step"] == END) if arm in SEPARATE else None
    measured = Select(quantity, arm, () if over == "none" else over, where).measured
    return Claim(id, statement, measured, relation, target, arms=(arm,), quantities=quantities, **options)


def _count(id: str, arm: str, statement: str, over: str = "classes", theory: str = "outliers", **options: Any) -> Claim:
    return _claim(id, arm, "outliers", NEAREST, statement, over, theory, **options)


def _scalar(id: str, quantity: str, relation: Relation, statement: str, **options: Any) -> Claim:
    return _claim(id, QUADRATURE, quantity, relation, statement, "none", **options)


def _share(id: str, quantity: str, relation: Relation, statement: str, since: bool = False, **options: Any) -> Claim:
    def statistic(rows: pd.DataFrame) -> Any:
        tables = {C: Select(quantity, arm, "step").measured(rows) for arm, C in SEPARATE.items()}
        return pd.DataFrame({C: table[END] - (table[START] if since else 0.0) for C, table in tables.items()})

    return Claim(id, statement, statistic, relation, arms=tuple(SEPARATE), quantities=(quantity,), **options)


def _bulk(id: str, relation: Relation, statement: str, **options: Any) -> Claim:
    def statistic(rows: pd.DataFrame) -> Any:
        table = np.log(Select("away_from_zero", WIDTHS, "width").measured(rows))
        return (table[WIDE] - table[NARROW]).to_frame("fall")

    return Claim(id, statement, statistic, relation, arms=(WIDTHS,), quantities=("away_from_zero",), **options)


def _distribution(id: str, quantity: str, statement: str, **options: Any) -> Claim:
    def statistic(rows: pd.DataFrame) -> Any:
        found, exact = (Select(q, QUADRATURE, "eigenvalue").measured(rows) for q in (quantity, "exact_cdf"))
        return found - exact

    one, quantities = Equivalent(1.0 / 525), (quantity, "exact_cdf")  # of 525 eigenvalues
    return Claim(id, statement, statistic, one, arms=(QUADRATURE,), quantities=quantities, **options)


def _mostly(id: str, arm: str, statement: str) -> Claim:
    def statistic(rows: pd.DataFrame) -> Any:
        table = Select("outliers", arm, "classes").measured(rows)
        return (table == table.columns.to_numpy() - 1).mean(axis=1)

    return Claim(id, statement, statistic, Greater(0.5), arms=(arm,), quantities=("outliers",))


def _violates(quantities: tuple[str, ...], tolerance: float) -> Any:
    return lambda rows: rows[rows["quantity"].isin(quantities) & ~(rows["value"] <= tolerance)]


# An interval with an error understated by half as much again as it should be would cover 83 %.
HONEST = Greater(0.85)

# fmt: off
study = Study(
    name="hessian-spectrum",
    title="Outliers, gradient and bulk in the Hessian's spectrum",
    summary=(
        "A trained classifier's Hessian has C - 1 outliers for C classes where inputs have much in common, whatever "
        "the labels; its Gauss-Newton part has C - 1 for every cluster. With separate clusters the gradient moves into "
        "the space of the C largest eigenvalues, and is the C-th. Lanczos quadrature gives the bulk within its errors."
    ),
    references=(
        "Sagun, Evci, Guney, Dauphin, Bottou, Empirical analysis of the Hessian of over-parametrized neural networks, "
        "2017",
        "Gur-Ari, Roberts, Dyer, Gradient descent happens in a tiny subspace, 2018",
        "Papyan, Traces of class/cross-class structure pervade deep learning spectra, JMLR 2020",
        "Ubaru, Chen, Saad, Fast estimation of tr(f(A)) via stochastic Lanczos quadrature, SIMAX 2017",
    ),
    version="1",
    cell_version="1",
    cells=cells,
    measure=measure,
    predict=predict,
    guards=(
        Guard("fits", "at most 2 % of the training labels are wrong", _violates(("train_error",), 0.02),
              arms=(COMMON, CLUSTERS, WIDTHS, DIGITS, *SEPARATE)),
        Guard("residuals", "the residuals of eigenpairs are below 1e-8 of the largest eigenvalue",
              _violates(("residual", "ggn_residual"), 1e-8), arms=(QUADRATURE, ORACLE),
              claims=("copies", "lanczos-dense", "distribution", "coverage", "trace-coverage")),
    ),
    claims=(
        _count("outliers", COMMON, "inputs with much in common: C - 1 outliers, for 2, 3, 5 and 10 classes"),
        _mostly("outliers-shuffled", SHUFFLED, "and as many with shuffled labels, in more than half of the cases: they "
                "are due to the outputs"),
        _count("outliers-clusters", CLUSTERS, "the Gauss-Newton matrix has C - 1 outliers for every cluster",
               over="rank"),
        _count("outliers-width", WIDTHS, "the number of outliers is the same for 10 and 40 units", over="width"),
        _bulk("bulk-width", Less(float(np.log(2 / 3))), "with 4 times the parameters, the share of eigenvalues farther "
              "from zero than 1 % of the largest falls by more than a third"),
        _mostly("digits-mostly", DIGITS, "and for digit images of 2, 3, 5 and 10 classes, in more than half of the "
                "cases"),
        _share("gradient-enters", "top_share", Greater(0.5), "separate clusters: the share of the squared gradient in "
               "the space of the C largest eigenvalues grows by more than half", since=True),
        _share("gradient-is-next", "above_share", Less(0.5), "and the C - 1 largest hold less than half of it: "
               "the gradient is the C-th direction"),
        _claim("gradient-leaves", COMMON, "above_share", Less(), "inputs with much in common: the share in the space "
               "of the C - 1 outliers falls below the C/P of a random space", theory="random_share"),
        _claim("copies", ORACLE, "copies_error", Identity(1e-10), "softmax regression at zero: the three largest "
                "moments of the inputs over C, each C - 1 times"),
        _scalar("lanczos-dense", "lanczos_error", Identity(1e-10), "the largest eigenvalues by Lanczos are "
                "those of the dense Hessian"),
        _distribution("distribution", "cdf", "the mean distribution by quadrature is exact to one eigenvalue",
                      kind="conditional"),
        _scalar("coverage", "coverage", HONEST, "its 95 % intervals hold the exact distribution, with "
                "errors not understated by half", kind="conditional"),
        _scalar("trace-coverage", "trace_coverage", HONEST, "and those of the trace the exact trace",
                kind="conditional"),
    ),
    controls=(
        _count("one-more", COMMON, "inputs with much in common: C outliers", theory="one more outlier",
               protects=("outliers", "outliers-shuffled", "outliers-width")),
        _count("separate", "separate clusters, 3 classes", "C - 1 outliers without much in common",
               protects=("outliers",)),
        _count("no-clusters", NONE, "the Gauss-Newton matrix has C - 1 outliers for every would-be cluster of one "
               "cloud", over="rank", theory="as with clusters", protects=("outliers-clusters",)),
        _bulk("bulk-in-proportion", Greater(float(np.log(0.9))), "with 4 times the parameters, that share stays, or "
              "falls by less than a tenth", protects=("bulk-width",)),
        _claim("digits-constant", DIGITS, "outliers", Within(0.5, 1.5), "digit images: one outlier whatever the "
                "classes", protects=("digits-mostly",)),
        _claim("random-space", COMMON, "random_share", Greater(0.5), "half of the gradient in a random space",
                protects=("gradient-enters", "gradient-is-next", "gradient-leaves")),
        _claim("wrong-copies", ORACLE, "wrong_copies_error", Identity(1e-10), "each of the moments C times",
                protects=("copies",)),
        _distribution("ggn-distribution", "ggn_cdf", "the distribution of the Gauss-Newton matrix is the Hessian's",
                      protects=("distribution",)),
        _scalar("ggn-coverage", "ggn_coverage", HONEST, "intervals for the Gauss-Newton matrix hold the "
                "Hessian's distribution", protects=("coverage",)),
        _scalar("ggn-trace", "ggn_trace_coverage", HONEST, "and its trace", protects=("trace-coverage",)),
    ),
    figures=(
        Figure("outliers", "Clusters with much in common, and digit images", "outliers", "classes", "classes C",
               "eigenvalues above the largest gap", (COMMON, SHUFFLED, DIGITS)),
        Figure("clusters", "Gauss-Newton matrix of clusters", "outliers", "rank", "clusters times (C - 1)",
               "eigenvalues above the largest gap", (CLUSTERS, NONE)),
        Figure("gradient", "The gradient moves into the top space", "top_share", "step", "steps of gradient descent",
               "share of |g|² in the C largest directions", tuple(SEPARATE)),
        Figure("random-space", "Share in a random space of C dimensions", "random_share", "classes", "classes C",
               "share of |g|²", (COMMON,)),
        Figure("bulk", "The bulk: by Lanczos quadrature, and exact (line)", "cdf", "eigenvalue",
               "eigenvalue over the largest", "share of eigenvalues below, smoothed", (QUADRATURE,)),
    ),
    depends_on=("pyphenom.curvature", "pyphenom.networks", "pyphenom.data"),
    deviations=(
        "Gur-Ari et al. train convolutional networks by SGD and find C outliers. Here small networks are trained by "
        "full gradient steps, and where inputs have much in common there are C - 1: a softmax does not change when all "
        "its inputs move together. Their gradient in the top space is found only where the clusters are separate; with "
        "much in common it was there in a few replicates of two classes.",
        "The theory is for classes that are equally far apart. On digit images one or two classes may be unlike all "
        "others, and the largest gap then comes earlier, as in some trials with shuffled labels: C - 1 is claimed for "
        "more than half of the cases.",
        "Where the largest gap of 31 logarithms lies is our definition of outliers. With separate clusters of three "
        "classes it also takes in the smaller of the C(C - 1) directions.",
        "Separations, noises, widths and times were chosen in trials on other seeds.",
        "Sagun et al. vary width and data of trained networks of up to thousands of units; here widths are 10 and 40.",
    ),
)
# fmt: on
