r"""Linear classifiers in high dimension: separability, the max margin, and double descent of the test error.

Of n Gaussian inputs in p dimensions with noisy labels all can be classified without error from an aspect ratio p/n on
that the law of the labels fixes; without a signal it is one half (Cover). Beyond it descent on the logistic loss ends
at the max-margin classifier, below it at the maximum-likelihood estimate, and for large n margin, cosine with the truth
and test error of both are known (Montanari et al. 2019; Sur and Candes 2019). Where labels depend on features beyond
the p that are seen, so that more of them help, the test error first falls, rises up to the threshold as the noise is
fitted, and falls again behind it (Deng, Kammoun, Thrampoulidis 2022).

Solutions are found by solvers with certificates, and by torch: momentum SGD on the logarithm of the logistic loss,
whose gradient does not fade as the data are fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import expit, ndtr
from scipy.stats import binom

from pyphenom.implicit_bias import hard_margin
from pyphenom.implicit_bias.patch_runs import triangular
from pyphenom.networks.linear_layers import train_linear
from pyphenom.studies import (
    Cell,
    Claim,
    Curve,
    Equal,
    Figure,
    Greater,
    Guard,
    Less,
    Select,
    Streams,
    Study,
)
from pyphenom.studies.shorthand import claim_about, guard_values, tidy
from pyphenom.studies.study import Preset
from pyphenom.theory import classifier_descent, hidden_features, max_margin
from pyphenom.theory.links import Link

Array: TypeAlias = NDArray[np.float64]

LOGISTIC, MIXTURE = "max margin, logistic labels", "max margin, two Gaussians"
COIN, LOGISTIC_EDGE, MIXTURE_EDGE = "separable? coin labels", "separable? logistic labels", "separable? two Gaussians"
HIDDEN, TRAINED = "hidden features", "hidden features, torch"
LIMITS, EDGES = (LOGISTIC, MIXTURE), (COIN, LOGISTIC_EDGE, MIXTURE_EDGE)
ARMS = (*LIMITS, *EDGES, HIDDEN, TRAINED)
REPLICATES = {
    "smoke": dict.fromkeys(ARMS, 2),
    "quick": dict.fromkeys(LIMITS, 64) | dict.fromkeys(EDGES, 30) | {HIDDEN: 44, TRAINED: 18},
    "full": dict.fromkeys(LIMITS, 400) | dict.fromkeys(EDGES, 200) | {HIDDEN: 500, TRAINED: 60},
}

STRENGTH, MEAN_NORM = 2.0, 1.0
LINKS: dict[str, Link] = {
    LOGISTIC: max_margin.Logistic(STRENGTH), MIXTURE: max_margin.GaussianMixture(MEAN_NORM), COIN: max_margin.Null(),
    LOGISTIC_EDGE: max_margin.Logistic(STRENGTH), MIXTURE_EDGE: max_margin.GaussianMixture(MEAN_NORM),
}  # fmt: skip
N, RATIOS = 400, (0.6, 1.0, 1.5, 2.5)
REPEATS = {0.1: 6, 0.2: 3, 0.3: 3, 0.42: 3, 0.6: 2}  # data sets averaged at ratios that vary most, or show least
EDGE_N, DRAWS = 240, 4
GRID = tuple(round(0.16 + 0.02 * k, 2) for k in range(23))

SIGNAL, DECAY = 5.0, 2.0  # norm of all coefficients; how fast the visible part of it grows with p
HIDDEN_RATIOS = (0.1, 0.2, 0.3, 0.42, 0.6, 1.0, 2.0, 3.0)
DIP, PEAK, BEYOND = 0.3, 0.42, 1.0
TRAINED_N, TRAINED_RATIOS, STEPS, MOMENTUM = 200, (0.2, 1.0, 2.0), 1000, 0.99
TEST, NEWTON_STEPS = 5000, 100


# ---- cells and measurement ---------------------------------------------------------------------------------------


def cells(preset: Preset) -> list[Cell]:
    """Every arm once a replicate."""
    return [Cell(arm, {}, k) for arm, count in REPLICATES[preset].items() for k in range(count)]


def measure(cell: Cell, streams: Streams) -> pd.DataFrame:
    """Draw data, and find the classifier where descent ends."""
    if cell.arm in LIMITS:
        return _limit(cell.arm, streams)
    if cell.arm in EDGES:
        return _edge(cell.arm, streams)
    return _hidden(streams) if cell.arm == HIDDEN else _trained(streams)


def _drawn(arm: str, n: int, p: int, rng: Generator) -> tuple[Array, Array]:
    """Return inputs and labels; the signal is in the first feature."""
    X = rng.standard_normal((n, p))
    if arm in (LOGISTIC, LOGISTIC_EDGE):
        return X, _labels(STRENGTH * X[:, 0], rng)
    y = rng.choice([-1.0, 1.0], n)
    if arm != COIN:
        X[:, 0] += MEAN_NORM * y
    return X, y


def _labels(logits: Array, rng: Generator) -> Array:
    return np.where(rng.random(len(logits)) < expit(logits), 1.0, -1.0)


def _tidy_each(numbers: Sequence[dict[str, float]], ratios: Sequence[float]) -> pd.DataFrame:
    return tidy({name: [each[name] for each in numbers] for name in numbers[0]}, ratio=ratios)


def _limit(arm: str, streams: Streams) -> pd.DataFrame:
    results = []
    for ratio in RATIOS:
        p, repeats = round(ratio * N), REPEATS.get(ratio, 1)
        found = []
        for rng in streams.rng(f"data {ratio}").spawn(repeats):
            X, y = _drawn(arm, N, min(p, N + 1), rng)
            if p > N:  # features without signal, in coordinates in which they are triangular
                X = np.hstack([X[:, :1], triangular(1, N, p - 1.0, rng)[0]])
            found.append(hard_margin(X, y))
        # Of test inputs only the projections on the truth and on the classifier matter, and the latter is a Gaussian.
        Z, labels = _drawn(arm, TEST, 1, streams.rng(f"test {ratio}"))
        cosines = np.array([each.weights[0] for each in found])
        wrong = ndtr(-np.outer(cosines / np.sqrt(1.0 - cosines**2), labels * Z[:, 0]))
        results.append({"margin": float(np.mean([each.margin for each in found])), "cosine": float(cosines.mean()),
                        "error": float(wrong.mean()), "gap": max(each.gap for each in found)})  # fmt: skip
    return _tidy_each(results, RATIOS)


def _edge(arm: str, streams: Streams) -> pd.DataFrame:
    """Find from how many features on data are separable: adding one never undoes it, so that halving finds it."""
    found = np.empty(DRAWS)
    for draw in range(DRAWS):
        X, y = _drawn(arm, EDGE_N, EDGE_N, streams.rng(f"data {draw}"))
        low, high = 0, EDGE_N
        while high - low > 1:
            middle = (low + high) // 2
            if hard_margin(X[:, :middle], y).separable:
                high = middle
            else:
                low = middle
        found[draw] = high / EDGE_N
    share = [float(np.mean(found <= ratio + 1e-9)) for ratio in GRID]
    return pd.concat([tidy({"separable from": found.mean()}), tidy({"share separable": share}, ratio=GRID)])


def _coefficients(n: int, p: int) -> tuple[Array, float]:
    """Return coefficients of the first p features, and the norm of all others."""
    share = np.r_[0.0, np.asarray(hidden_features.visible_share(np.arange(1, p + 1) / n, DECAY))]
    return SIGNAL * np.sqrt(np.diff(share)), SIGNAL * float(np.sqrt(1.0 - share[-1]))


def _task(n: int, ratios: Sequence[float], rng: Generator) -> tuple[Array, Array, Array]:
    """Return inputs with as many features as the last ratio asks for, labels, and the coefficients."""
    p = round(ratios[-1] * n)
    beta, unseen = _coefficients(n, p)
    X = rng.standard_normal((n, p))
    return X, _labels(X @ beta + unseen * rng.standard_normal(n), rng), beta


def _solution(X: Array, y: Array) -> tuple[Array, bool]:
    """Return where descent ends: the max-margin classifier, or the maximum-likelihood estimate where there is none."""
    rows = X * y[:, None]
    few = X.shape[1] < PEAK * len(X)  # then data are rarely separable, and Newton's method is the cheaper proof
    if few and (rows @ (w := _most_likely(rows))).min() <= 0.0:
        return w, False
    found = hard_margin(X, y)
    return (found.weights, True) if found.separable else (_most_likely(rows), False)


def _most_likely(rows: Array) -> Array:
    """Minimise the logistic loss by Newton's method with halved steps; on separable data, stop once it separates."""
    w = np.zeros(rows.shape[1])
    for _ in range(NEWTON_STEPS):
        margins = rows @ w
        if margins.min() > 0.0:
            break
        wrong = expit(-margins)
        slope, weighted = -rows.T @ wrong, np.sqrt(wrong * (1.0 - wrong))[:, None] * rows
        step = -np.linalg.solve(weighted.T @ weighted, slope)  # a matrix times itself: half of the products
        loss, fall, size = np.logaddexp(0.0, -margins).sum(), float(slope @ step), 1.0
        if -fall < 1e-9 * len(rows):  # what the next step would find is of the order of the square
            return w + step
        while np.logaddexp(0.0, -rows @ (w + size * step)).sum() > loss + 1e-4 * size * fall:
            size /= 2.0
        w = w + size * step
    return w


def _test_error(w: Array, beta: Array, g: Array, unseen: Array) -> tuple[float, float]:
    """Return cosine with the visible truth, and the share of wrong labels of test inputs with these projections."""
    visible = float(np.linalg.norm(beta))
    cosine = float(w @ beta / np.linalg.norm(w)) / visible
    positive = expit(visible * g + np.sqrt(SIGNAL**2 - visible**2) * unseen)
    negative_output = ndtr(-cosine / np.sqrt(1.0 - cosine**2) * g)
    return cosine, float(np.mean(positive * negative_output + (1.0 - positive) * (1.0 - negative_output)))


def _hidden(streams: Streams) -> pd.DataFrame:
    test, tables = streams.rng("test").standard_normal((2, TEST)), []
    for at, rng in enumerate(streams.rng("data").spawn(max(REPEATS.values()))):
        ratios = [ratio for ratio in HIDDEN_RATIOS if at < REPEATS.get(ratio, 1)]
        X, y, beta = _task(N, ratios, rng)
        results = []
        for p in (round(ratio * N) for ratio in ratios):
            w, separable = _solution(X[:, :p], y)
            cosine, error = _test_error(w, beta[:p], *test)
            results.append({"cosine": cosine, "error": error, "separable": float(separable)})
        tables.append(_tidy_each(results, ratios))
    return pd.concat(tables).groupby(["quantity", "ratio"], sort=False)["value"].mean().reset_index()


def _trained(streams: Streams) -> pd.DataFrame:
    X, y, beta = _task(TRAINED_N, TRAINED_RATIOS, streams.rng("data"))
    test, results = streams.rng("test").standard_normal((2, TEST)), []
    counts = [round(ratio * TRAINED_N) for ratio in TRAINED_RATIOS]
    ends = train_linear((X * y[:, None]).astype(np.float32), counts, STEPS, MOMENTUM)
    for p, w in zip(counts, ends, strict=True):
        target, separable = _solution(X[:, :p], y)
        cosine, error = _test_error(w, beta[:p], *test)
        apart = np.linalg.norm(w / np.linalg.norm(w) - target / np.linalg.norm(target))
        results.append({"cosine": cosine, "error": error, "angle": float(2.0 * np.arcsin(apart / 2.0)),
                        "fits": float(np.min(y * (X[:, :p] @ w)) > 0), "separable": float(separable)})  # fmt: skip
    return _tidy_each(results, TRAINED_RATIOS)


# ---- predictions -------------------------------------------------------------------------------------------------


def predict(cells: Sequence[Cell], measured: pd.DataFrame) -> pd.DataFrame:
    """Predict limits, thresholds and double descent, and what wrong theories say."""
    tables = []
    ratios = np.union1d(RATIOS, np.linspace(RATIOS[0], RATIOS[-1], 40))
    for arm in LIMITS:
        found, null = (max_margin.limit(ratios, link) for link in (LINKS[arm], max_margin.Null()))
        numbers = {"margin": found.margin, "cosine": found.cosine, "error": found.error,
                   "margin without signal": null.margin,
                   "scaled margin": np.asarray(found.margin) / np.sqrt(N * ratios)}  # fmt: skip
        tables.append(_banded(arm, N, tidy(numbers, ratio=ratios)))
    for arm in EDGES:
        threshold = max_margin.separability_threshold(LINKS[arm])
        exact = arm == COIN
        ratios = np.union1d(GRID, [threshold - 1e-9, threshold + 1e-9])
        tables += [
            tidy({"separable from": threshold + exact / (2.0 * EDGE_N)}).assign(
                arm=arm, band=0.0 if exact else 2.0 / EDGE_N),
            tidy({"share separable": _cover(ratios) if exact else np.greater(ratios, threshold).astype(float)},
                 ratio=ratios).assign(arm=arm, band=0.0),
        ]  # fmt: skip
    kink = classifier_descent.interpolation_threshold(SIGNAL, DECAY)
    for arm, n, measured_at in ((HIDDEN, N, HIDDEN_RATIOS), (TRAINED, TRAINED_N, TRAINED_RATIOS)):
        ratios = np.union1d([*measured_at, kink], np.geomspace(measured_at[0], measured_at[-1], 40))
        descent = classifier_descent.double_descent(ratios, SIGNAL, DECAY)
        tables.append(_banded(arm, n, tidy({"error": descent.error, "cosine": descent.cosine}, ratio=ratios)))
    visible = SIGNAL * np.sqrt(np.asarray(hidden_features.visible_share(HIDDEN_RATIOS, DECAY)))
    careless = [classifier_descent.descent_limit(ratio, max_margin.Logistic(strength)).error
                for ratio, strength in zip(HIDDEN_RATIOS, visible, strict=True)]  # fmt: skip
    tables.append(_banded(HIDDEN, N, tidy({"no hidden noise": careless}, ratio=HIDDEN_RATIOS)))
    return pd.concat(tables)


def _banded(arm: str, n: int, table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(arm=arm, band=table["value"].abs() * 2.0 / (n * table["ratio"]))


def _cover(ratios: Array) -> Array:
    """Return P(n points are separable in p dimensions): 2^(1-n) times the sum of binomials of n - 1 below p (Cover)."""
    features = np.floor(ratios * EDGE_N + 1e-6)
    return np.asarray(binom.cdf(features - 1, EDGE_N - 1, 0.5))


# ---- claims ------------------------------------------------------------------------------------------------------


# fmt: off
def _sharp(arm: str) -> Any:
    """Return the statistic share of separable data a tenth above the threshold, less that a tenth below."""
    threshold = max_margin.separability_threshold(LINKS[arm])

    def statistic(rows: pd.DataFrame) -> Any:
        table = Select("share separable", arm, "ratio").measured(rows)
        low, high = (min(GRID, key=lambda ratio: abs(ratio - threshold - off)) for off in (-0.1, 0.1))
        return table[high] - table[low]

    return statistic


def _difference(first: float, last: float) -> Any:
    """Return the statistic error at the last ratio less error at the first."""
    def statistic(rows: pd.DataFrame) -> Any:
        table = Select("error", HIDDEN, "ratio").measured(rows)
        return table[last] - table[first]

    return statistic


def _at(ratio: float, quantity: str) -> Select:
    return Select(quantity, HIDDEN, where=lambda rows: rows["ratio"] == ratio)


def _curve(id: str, quantity: str, arm: str, resolution: float, statement: str, theory: str = "",
           **options: Any) -> Claim:
    return claim_about(id, Select(quantity, arm, "ratio"), Curve(resolution, absolute=True), statement,
                       theory=theory or quantity, **options)


_NAMES = {LOGISTIC: "logistic", MIXTURE: "mixture", COIN: "coin", LOGISTIC_EDGE: "logistic", MIXTURE_EDGE: "mixture"}
_FINITE = "to 2/p of it"

study = Study(
    name="classification-double-descent",
    title="Separability, max margin and double descent of classifiers",
    summary=(
        "n noisy labels can be fitted by p features from a ratio p/n on that their law fixes. Margin, cosine and test "
        "error of where descent ends are known on both sides of it; with features that are hidden the error falls, "
        "rises to the threshold, and falls again."
    ),
    references=(
        "Cover, Geometrical and statistical properties of systems of linear inequalities, 1965, Theorem 1",
        "Montanari, Ruan, Sohn, Yan, The generalization error of max-margin linear classifiers, 2019, Theorem 1",
        "Sur, Candes, A modern maximum-likelihood theory for high-dimensional logistic regression, 2019, equation 5",
        "Candes, Sur, The phase transition for the existence of the maximum likelihood estimate, 2020, Theorem 2.1",
        "Deng, Kammoun, Thrampoulidis, A model of double descent for high-dimensional binary linear classification, "
        "2022",
    ),
    version="1",
    cell_version="3",
    cells=cells,
    measure=measure,
    predict=predict,
    guards=(
        guard_values("certified", "margins are known to a relative gap of 1e-8", "gap", lambda gap: gap <= 1e-8,
                     tuple(f"{_NAMES[arm]}-{what}" for arm in LIMITS for what in ("margin", "cosine", "error")),
                     LIMITS),
        Guard("torch-fits", "torch classifies its data without error wherever that is possible",
              lambda rows: float(rows.loc[rows["quantity"] == "fits", "value"].sum())
              == float(rows.loc[rows["quantity"] == "separable", "value"].sum()),
              ("trained", "trained-error"), (TRAINED,)),
    ),
    claims=(
        *(_curve(f"{_NAMES[arm]}-{quantity}", quantity, arm, resolution,
                 f"the {quantity} of the max-margin classifier is that of the limit, {_FINITE}")
          for arm in LIMITS for quantity, resolution in (("margin", 0.03), ("cosine", 0.03), ("error", 0.01))),
        *(claim_about(f"{_NAMES[arm]}-threshold", Select("separable from", arm), Equal(0.02, absolute=True),
                      "data are separable from the ratio on that the law of the labels gives, on average to 2/n; "
                      "exactly (n + 1)/2n for coin labels", theory="separable from") for arm in EDGES),
        *(Claim(f"{_NAMES[arm]}-sharp", "a tenth above it more than nine in ten are, and a tenth below next to none",
                _sharp(arm), Greater(0.9), arms=(arm,), quantities=("share separable",)) for arm in EDGES),
        _curve("double-descent", "error", HIDDEN, 0.01, f"with hidden features the test error is that of the limit on "
               f"both sides of the threshold, {_FINITE}"),
        _curve("double-cosine", "cosine", HIDDEN, 0.05, "and so is the cosine with the visible truth"),
        claim_about("estimate-below", _at(DIP, "separable"), Less(0.05), f"at p/n = {DIP} data are not separable, and "
                    "the end is an estimate"),
        claim_about("margin-above", _at(0.6, "separable"), Greater(0.95), "at p/n = 0.6 they are"),
        Claim("rises", f"from p/n = {DIP} to {PEAK}, behind the threshold, the test error rises",
              _difference(DIP, PEAK), Greater(), arms=(HIDDEN,), quantities=("error",)),
        Claim("falls-again", f"from there to {BEYOND} it falls, by more than 0.01", _difference(PEAK, BEYOND),
              Less(-0.01), arms=(HIDDEN,), quantities=("error",)),
        claim_about("trained", Select("angle", TRAINED, "ratio"), Less(0.05), "torch ends within 0.05 of the estimate "
                    "below, and of the max-margin direction above"),
        _curve("trained-error", "error", TRAINED, 0.03, f"with the test error of the limit, {_FINITE}"),
    ),
    controls=(
        _curve("no-signal", "margin", LOGISTIC, 0.03, "the margin is that of labels without a signal",
               "margin without signal", protects=("logistic-margin", "logistic-cosine", "logistic-error")),
        _curve("scaled", "margin", MIXTURE, 0.03, "the margin is that of inputs divided by the root of p",
               "scaled margin", protects=("mixture-margin", "mixture-cosine", "mixture-error")),
        claim_about("half", Select("separable from", LOGISTIC_EDGE), Equal(0.02, absolute=True), "the threshold is one "
                    "half whatever the labels", target=0.5,
                    protects=tuple(f"{_NAMES[arm]}-{what}" for arm in EDGES for what in ("threshold", "sharp"))),
        _curve("hidden-without-noise", "error", HIDDEN, 0.01, "hidden features add no noise to the labels",
               "no hidden noise", protects=("double-descent", "double-cosine", "trained", "trained-error",
                                            "estimate-below", "margin-above")),
        Claim("only-rises", "the test error rises from the threshold on", _difference(PEAK, BEYOND), Greater(),
              arms=(HIDDEN,), quantities=("error",), protects=("rises", "falls-again")),
    ),
    figures=(
        Figure("margin", f"Max margin at n = {N}", "margin", "ratio", "features per sample p/n", "margin", LIMITS),
        Figure("cosine", f"Max margin at n = {N}", "cosine", "ratio", "features per sample p/n",
               "cosine with the truth", LIMITS),
        Figure("error", f"Max margin at n = {N}", "error", "ratio", "features per sample p/n", "test error", LIMITS),
        Figure("separable", f"Separability at n = {EDGE_N}",
               "share separable", "ratio", "features per sample p/n", "share of data sets", EDGES),
        Figure("double-descent", "Labels that depend on hidden features", "error", "ratio", "features per sample p/n",
               "test error", (HIDDEN, TRAINED), "log"),
    ),
    depends_on=("pyphenom._core", "pyphenom.implicit_bias", "pyphenom.networks.linear_layers"),
    deviations=(
        "Limits hold for large n; 2/p of the value is taken for what is left at finite p, as for linear regression.",
        "Test errors are means over 5,000 draws of the inputs' projections on the truth, of the probability of a wrong "
        "label: beside the truth a classifier sees a Gaussian.",
        "Torch takes 1000 steps of SGD with momentum 0.99 on the logarithm of the summed losses: plain descent would "
        "need times exponential in the margin.",
        "The line of separability is Cover's formula for coin labels, and the limit, a step, for the others.",
        "Below the threshold a draw may be separable, and above it not; the classifier is then that of its own data.",
    ),
)
# fmt: on
