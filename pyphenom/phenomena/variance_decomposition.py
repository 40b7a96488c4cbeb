"""What diverges at the interpolation threshold: the variance of random features, split by its causes.

The prediction of a random-feature regression is random through three things: the features drawn (initialisation P), the
inputs of the training set (sample X), and the noise on its labels (E). Crossed draws split its excess risk into the
squared error of the mean prediction and the variances of the main effects and interactions, and the theory knows each
of the six terms. Only those in which initialisation and sample interact diverge at N = n; so averaging over either of
them removes the peak of double descent.

Features are ReLU of data on the sphere and the target is linear, as in Mei and Montanari's limit. The theory is the
eigenvalue framework with the exact spectrum of the kernel at this dimension, the 5049 quadratic modes among it: in the
limit of large d, where they are infinitely many of no size, the term of the label noise comes out a tenth too small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from pyphenom import data, random_features
from pyphenom.studies import Cell, Claim, Curve, Figure, Greater, Guard, Less, Select, Streams, Study
from pyphenom.studies.study import Preset
from pyphenom.theory import eigenframework, sphere
from pyphenom.theory.eigenframework import VarianceDecomposition

Array: TypeAlias = NDArray[np.float64]

REPLICATES = {
    "smoke": {"ridgeless": 8, "ridge": 8, "ensemble": 4, "bagging": 4},
    "quick": {"ridgeless": 32, "ridge": 18, "ensemble": 24, "bagging": 24},
    "full": {"ridgeless": 600, "ridge": 600, "ensemble": 200, "bagging": 200},
}
D, N_SAMPLES, NOISE, TEST_POINTS = 100, 300, 0.25, 300
TARGETS = 8  # each with label noise of its own: one factorisation serves all
RIDGE = 0.01  # in Mei and Montanari's scaling: the threshold is tame, and in reach
RIDGELESS_WIDTHS = (75, 150, 225, 390, 450, 600, 750)  # a quarter of the threshold away from it
RIDGE_WIDTHS = (75, 150, 225, 300, 390, 600)
AVERAGED = 5  # initialisations in an ensemble, training sets in a bag
NEAR, FAR = 390, 750

TERMS = {
    "bias": "the squared error of the mean prediction",
    "initialisation": "the variance due to the features",
    "sample": "the variance due to the training inputs",
    "initialisation_sample": "the interaction of features and inputs",
    "sample_label": "the variance due to the label noise",
    "initialisation_sample_label": "the interaction of features and label noise",
}

# What the Gaussian equivalence behind the theory misses is of order 1/d.
BAND = 2.0 / D


# ---- cells and measurement ---------------------------------------------------------------------------------------


def cells(preset: Preset) -> list[Cell]:
    """Each arm once a replicate; all widths of an arm share the draws."""
    return [Cell(arm, {}, replicate) for arm in ARMS for replicate in range(REPLICATES[preset][arm])]


def measure(cell: Cell, streams: Streams) -> pd.DataFrame:
    """Measure one arm once."""
    widths = RIDGE_WIDTHS if cell.arm == "ridge" else RIDGELESS_WIDTHS
    if cell.arm in ("ridge", "ridgeless"):
        quantities = _terms(_misses(2, 2, widths, RIDGE if cell.arm == "ridge" else 0.0, streams))
    else:
        counts = (AVERAGED, 1) if cell.arm == "ensemble" else (1, AVERAGED)
        clean, noisy = _misses(*counts, widths, 0.0, streams)
        miss = clean + noisy
        averaged = np.mean(miss.mean(axis=(1, 2)) ** 2, axis=-1)
        quantities = {"averaged": averaged, "single": np.mean(miss**2, axis=(1, 2, 3))}
    parts = [pd.DataFrame({"width": widths, "quantity": name, "value": v}) for name, v in quantities.items()]
    return pd.concat(parts, ignore_index=True)


def _misses(
    initialisations: int, samples: int, widths: Sequence[int], ridge: float, streams: Streams
) -> tuple[Array, Array]:
    """Errors on the test points of the fit to clean labels, and of the fit to the label noise alone.

    Both have the shape (widths, initialisations, samples, targets times test points). Fits are linear in the labels, so
    the sum of the two is the error of the fit to noisy labels.
    """
    rng, noise = streams.rng("data"), streams.rng("label noise")
    targets = rng.standard_normal((D, TARGETS))
    targets /= np.linalg.norm(targets, axis=0)
    X_test = data.sphere(TEST_POINTS, D, rng)
    inputs, labels = [X_test], []
    for _ in range(samples):
        X = data.sphere(N_SAMPLES, D, rng)
        inputs.append(X)
        labels.append(np.hstack([X @ targets, np.sqrt(NOISE) * noise.standard_normal((N_SAMPLES, TARGETS))]))
    truth = np.hstack([X_test @ targets, np.zeros((TEST_POINTS, TARGETS))])
    misses = np.empty((2, len(widths), initialisations, samples, TARGETS * TEST_POINTS))
    for p in range(initialisations):
        Z = random_features.features(
            np.concatenate(inputs), max(widths), "relu", streams.seed(f"init {p}"), distribution="sphere"
        )
        Z_test, *Z_train = np.split(Z, np.cumsum([TEST_POINTS, *[N_SAMPLES] * (samples - 1)]))
        for x in range(samples):
            found = _predictions(Z_train[x], labels[x], Z_test, widths, ridge) - truth
            for kind, part in enumerate((found[..., :TARGETS], found[..., TARGETS:])):
                misses[kind, :, p, x] = part.reshape(len(widths), -1)
    return misses[0], misses[1]


def _predictions(Z: Array, labels: Array, Z_test: Array, widths: Sequence[int], ridge: float) -> Array:
    """Predictions (widths, test points, targets) of the fit to the first features, at every width, ascending.

    By Cholesky factors of the smaller of the two products of Z with itself: no width is so near to the threshold that
    their condition matters, and few widths cost less so than by a path through all.
    """
    n = len(Z)
    gram = Z[:, : max((width for width in widths if width < n), default=0)]
    gram, kernel, counted = gram.T @ gram, np.zeros((n, n)), 0
    moments, found = Z.T @ labels, []
    for width in widths:
        # Mei and Montanari's penalty, n N ridge / d
        penalty = n * width * ridge / D
        if width < n:
            coefficients = _solved(gram[:width, :width], penalty, moments[:width])
        else:
            kernel += Z[:, counted:width] @ Z[:, counted:width].T
            counted = width
            coefficients = Z[:, :width].T @ _solved(kernel, penalty, labels)
        found.append(Z_test[:, :width] @ coefficients)
    return np.stack(found)


def _solved(symmetric: Array, penalty: float, right: Array) -> Array:
    A = symmetric.T.copy(order="F")  # as LAPACK has it, which then copies nothing
    A[np.diag_indices(len(A))] += penalty
    factor = cho_factor(A, overwrite_a=True, check_finite=False)
    return np.asarray(cho_solve(factor, right, check_finite=False), np.float64)


def _terms(misses: tuple[Array, Array]) -> dict[str, Array]:
    """Unbiased estimates of the six terms from two initialisations crossed with two training sets.

    A product of errors that share neither draw has the bias as its mean, one that shares an initialisation the bias
    plus that main effect, and so on. Label noise enters through its own fit, whose sign is random.
    """
    clean, noisy = misses

    def mean(product: Array) -> Array:
        return np.asarray(product.mean(axis=-1))

    both = mean((clean**2).mean(axis=(1, 2)))
    same_initialisation = mean((clean[:, :, 0] * clean[:, :, 1]).mean(axis=1))
    same_sample = mean((clean[:, 0] * clean[:, 1]).mean(axis=1))
    neither = mean(clean[:, 0, 0] * clean[:, 1, 1] + clean[:, 0, 1] * clean[:, 1, 0]) / 2
    same_labels = mean((noisy[:, 0] * noisy[:, 1]).mean(axis=1))
    return {
        "bias": neither,
        "initialisation": same_initialisation - neither,
        "sample": same_sample - neither,
        "initialisation_sample": both - same_initialisation - same_sample + neither,
        "sample_label": same_labels,
        "initialisation_sample_label": mean((noisy**2).mean(axis=(1, 2))) - same_labels,
    }


# ---- predictions -------------------------------------------------------------------------------------------------


ARMS = ("ridgeless", "ridge", "ensemble", "bagging")


def _theory(widths: Any, ridge: float, noise: float = NOISE) -> VarianceDecomposition:
    law = sphere.spectrum(D, "relu", degrees=2)
    power = np.zeros(law.modes().size)
    power[1 : D + 1] = 1.0 / D  # the target is linear, of power 1
    # Mei and Montanari's penalty n N ridge / d on |a|^2, for features that are not divided by the root of N
    penalty = N_SAMPLES * ridge / D
    return eigenframework.variance_decomposition(law.modes(), power, N_SAMPLES, widths, penalty, noise, law.tail)


def predict(cells: Sequence[Cell], measured: pd.DataFrame) -> pd.DataFrame:
    """Predict every term in every arm, and what deliberately wrong theories would say."""
    tables: list[pd.DataFrame] = []

    def add(arm: str, widths: Any, quantity: str, value: Any) -> None:
        band = np.where(np.isfinite(value), BAND * np.asarray(value), 0.0)
        column = {"arm": arm, "width": widths, "quantity": quantity, "value": value, "band": band}
        tables.append(pd.DataFrame(column))

    widths = np.union1d(np.geomspace(75, 750, 40).round().astype(int), (*RIDGE_WIDTHS, *RIDGELESS_WIDTHS))
    for arm, ridge in (("ridgeless", 0.0), ("ridge", RIDGE)):
        split = _theory(widths, ridge)
        for term in TERMS:
            add(arm, widths, term, getattr(split, term))
        wrong = _theory(widths, ridge, 2 * NOISE)
        add(arm, widths, "wrong noise", wrong.initialisation_sample_label)
        # As if a feature were fixed: the interaction counted as the main effect
        add(arm, widths, "merged", np.asarray(split.initialisation) + split.initialisation_sample)
    split = _theory(widths, 0.0)
    for arm, count in (("ensemble", {"initialisations": AVERAGED}), ("bagging", {"samples": AVERAGED})):
        for quantity, value in (("averaged", split.averaged(**count)), ("single", split.total)):
            add(arm, widths, quantity, value)
    return pd.concat(tables, ignore_index=True)


# ---- claims ------------------------------------------------------------------------------------------------------


def _term(id: str, term: str, arm: str, statement: str, against: str | None = None, **options: Any) -> Claim:
    """Claim that a measured term lies on a predicted one at every width, to a share of the signal, which is 1."""
    against = against or term
    measured, predicted = Select(term, arm, "width").measured, Select(against, arm, "width").predicted
    relation = Curve(resolution=0.02 if term == "sample" else 0.05, absolute=True)  # the first is nowhere above .025
    return Claim(id, statement, measured, relation, predicted, arms=(arm,), quantities=(term, against), **options)


def _difference(terms: Sequence[str], factor: float) -> Any:
    """Sum of terms next to the threshold, less `factor` times the same far behind it, a replicate."""

    def statistic(rows: pd.DataFrame) -> Any:
        tables = [Select(term, "ridgeless", "width").measured(rows) for term in terms]
        return sum(table[NEAR] - factor * table[FAR] for table in tables)

    return statistic


def _average(id: str, arm: str, statement: str) -> Claim:
    measured, predicted = Select("averaged", arm, "width").measured, Select("averaged", arm, "width").predicted
    return Claim(id, statement, measured, Curve(0.10), predicted, arms=(arm,), quantities=("averaged",))


def _saving(arm: str) -> Any:
    """Log of the averaged error over the single one, next to the threshold."""

    def statistic(rows: pd.DataFrame) -> Any:
        averaged, single = (Select(name, arm, "width").measured(rows)[NEAR] for name in ("averaged", "single"))
        return np.log(averaged / single)

    return statistic


INTERACTIONS = ("initialisation_sample", "initialisation_sample_label")
OTHERS = ("sample", "sample_label")
HALF = Less(float(np.log(0.5)))

# fmt: off
study = Study(
    name="variance-decomposition",
    title="The variance behind double descent, split by its causes",
    summary=(
        "The excess risk of random features is split over initialisation, training inputs and label noise by crossed "
        "draws. Each of the six terms lies on its predicted curve; those in which initialisation and sample interact "
        "grow at the interpolation threshold, and averages over either lose the peak."
    ),
    references=(
        "Adlam, Pennington, Understanding double descent requires a fine-grained bias-variance decomposition, 2020",
        "d'Ascoli, Refinetti, Biroli, Krzakala, Double trouble in double descent, 2020",
        "Simon, Karkada, Ghosh, Belkin, More is better, ICLR 2024 (eigenframework); the terms are derived here",
    ),
    version="1",
    cell_version="2",
    cells=cells,
    measure=measure,
    predict=predict,
    guards=(
        Guard(
            "finite",
            "the six terms are finite",
            lambda rows: rows[~np.isfinite(rows["value"])],
            arms=("ridgeless", "ridge"),
        ),
    ),
    claims=(
        *(_term(f"{term}-ridgeless".replace("_", "-"), term, "ridgeless", f"{what}, without a ridge")
          for term, what in TERMS.items()),
        *(_term(f"{term}-ridge".replace("_", "-"), term, "ridge", f"{what}, with a ridge, at the threshold too")
          for term, what in TERMS.items()),
        Claim("interactions-grow", "the interactions are more than three times as large at N = 1.3n as at 2.5n",
              _difference(INTERACTIONS, 3.0), Greater(), arms=("ridgeless",), quantities=INTERACTIONS),
        _average("ensemble-curve", "ensemble", f"{AVERAGED} initialisations on one training set, averaged"),
        _average("bagging-curve", "bagging", f"one initialisation on {AVERAGED} training sets, averaged"),
        Claim("ensemble-saves", "an ensemble halves the error at N = 1.3n", _saving("ensemble"), HALF,
              arms=("ensemble",), quantities=("averaged", "single")),
        Claim("bagging-saves", "and so does bagging", _saving("bagging"), HALF,
              arms=("bagging",), quantities=("averaged", "single")),
    ),
    controls=(
        _term("wrong-noise", INTERACTIONS[1], "ridge", "the interaction with the label noise at twice the noise",
              "wrong noise", protects=tuple(f"{t}-{arm}".replace("_", "-") for t in ("sample_label", INTERACTIONS[1])
                                            for arm in ("ridge", "ridgeless"))),
        _term("merged", "initialisation", "ridge", "the interaction with the inputs counted as initialisation",
              "merged", protects=tuple(f"{t}-{arm}".replace("_", "-")
                                       for t in ("bias", "initialisation", "sample", INTERACTIONS[0])
                                       for arm in ("ridge", "ridgeless"))),
        Claim("sample-grows", "the terms of the sample alone double towards the threshold",
              _difference(OTHERS, 2.0), Greater(), arms=("ridgeless",), quantities=OTHERS,
              protects=("interactions-grow", "ensemble-curve", "bagging-curve", "ensemble-saves", "bagging-saves")),
    ),
    figures=(
        *(Figure(term.replace("_", "-"), what.capitalize(), term, "width", "features N", "part of the excess risk",
                 ("ridgeless", "ridge"), "log", "linear" if term in (*OTHERS, "bias", "initialisation") else "log")
          for term, what in TERMS.items()),
        Figure("averaged", f"Averages of {AVERAGED} predictors without a ridge", "averaged", "width", "features N",
               "excess risk", ("ensemble", "bagging"), "log", "log"),
    ),
    depends_on=("pyphenom._core", "pyphenom.random_features", "pyphenom.data", "pyphenom.theory"),
    deviations=(
        f"The papers take the limit of many dimensions. Here d = {D} and n = {N_SAMPLES}, and the theory is the "
        "eigenvalue framework with the exact spectrum of the kernel at this d; in the limit one term is a tenth less.",
        "Inputs and features are uniform on the sphere, and the target is linear.",
        "d'Ascoli et al. split in sequence. The terms here are main effects and interactions, as in Adlam and "
        "Pennington; a sum of them gives the other split.",
        "The terms are unbiased estimates from two initialisations crossed with two training sets in each replicate, "
        "so single replicates of small terms can be negative.",
        f"Without a ridge no width is nearer to the threshold than a quarter of it. Averages are over {AVERAGED} "
        f"predictors, errors over {TARGETS} targets and {TEST_POINTS} test points. The numbers of replicates are ours.",
    ),
)
# fmt: on
