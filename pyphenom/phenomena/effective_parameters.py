"""How many parameters a fit uses: Breiman's first three questions, with the answer to each measured.

Why do networks with many parameters not overfit? What is the effective number of parameters? Why does training not end
in a poor local minimum (Breiman 1995)? The fourth, when to stop, has a study of its own, `early_stopping`.

A fit uses as many parameters as its values follow their own labels, the sum of d yhat_i / d y_i. For a fit that is
linear in the labels that is the trace of its hat matrix; for any other it is measured by training on perturbed labels
(Ye 1998). Of a network it rises with training time from nothing to the number of samples, and not with the width.
Times 2 sigma^2 / n it is what the error on fresh labels exceeds the training error by. And where weights are many, all
starts end at the same error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.linalg import expm

from pyphenom import bounds, curvature, interpolation, networks, random_features
from pyphenom.networks import Recipe
from pyphenom.studies import (
    Cell,
    Claim,
    Curve,
    Equivalent,
    Figure,
    Greater,
    Identity,
    Less,
    Relation,
    Select,
    Streams,
    Study,
    Within,
    claim_about,
    tidy,
)
from pyphenom.studies.study import Preset
from pyphenom.theory import effective_parameters

Array: TypeAlias = NDArray[np.float64]

WIDTH, COURSE = "networks of many widths", "one network over time"
LAZY, RICH = "lazy network", "the same with labels of unit size"
LINEAR, PROPORTIONAL = "linear fits", "ridge regression, p = 2n"
WIDE, NARROW = "64 units, 8 in the truth", "8 units, 8 in the truth"
ARMS = (WIDTH, COURSE, LAZY, RICH, LINEAR, PROPORTIONAL, WIDE, NARROW)
REPLICATES = {
    "smoke": dict.fromkeys(ARMS, 1) | {LINEAR: 2},
    "quick": dict.fromkeys(ARMS, 16) | {COURSE: 32, PROPORTIONAL: 40, LINEAR: 2, WIDTH: 32, LAZY: 6, RICH: 6},
    "full": dict.fromkeys(ARMS, 60),
}

N, D, SIGMA = 64, 10, 0.5  # of the networks; the noise-free labels have unit variance
WIDTHS, UNITS, PAIRS = (16, 64, 256), 64, 6
WEIGHTS = UNITS * (D + 2) + 1
EARLY, LATE = 20, 100
TIMES = (5, 10, 20, 40, 80, 160, 320)
SMALL = 0.01  # size of the labels of the lazy network

RESTARTS, TRUTH, SAMPLES, INPUTS, FRESH = 16, 8, 200, 10, 1000
RESTART_STEPS = {"smoke": 200, "quick": 600, "full": 1000}
RESTART_RECIPE = Recipe(1000, 0.02, loss="squared", optimiser="adam", schedule="linear")

RIDGES = (0.03, 0.3, 3.0)


# ---- cells and measurement ---------------------------------------------------------------------------------------


def cells(preset: Preset) -> list[Cell]:
    """Every arm once a replicate."""
    given = {arm: {"descent_steps": RESTART_STEPS[preset]} for arm in (WIDE, NARROW)}
    return [Cell(arm, given.get(arm, {}), k) for arm, count in REPLICATES[preset].items() for k in range(count)]


def measure(cell: Cell, streams: Streams) -> pd.DataFrame:
    """Fit, perturb the labels, and fit again."""
    if cell.arm in (LAZY, RICH):
        return _lazy(SMALL if cell.arm == LAZY else 1.0, streams)
    if cell.arm in (WIDE, NARROW):
        return _restarts(UNITS if cell.arm == WIDE else TRUTH, int(cell.parameters["descent_steps"]), streams)
    return {WIDTH: _widths, COURSE: _course, LINEAR: _linear, PROPORTIONAL: _proportional}[cell.arm](streams)


def _regression(streams: Streams) -> tuple[Array, Array]:
    """Return inputs and noise-free labels of unit variance, which are not linear in them."""
    rng = streams.rng("data")
    X = rng.standard_normal((N, D))
    mean = np.tanh(X @ rng.standard_normal(D) / np.sqrt(D)) + X[:, 0] * X[:, 1] / 2
    return X, mean / mean.std()


class _Network:
    """A network with one hidden layer, its tangent kernel over n at the start, and full-batch descent from there."""

    def __init__(self, X: Array, width: int, streams: Streams, dtype: torch.dtype = torch.float32) -> None:
        self.inputs = torch.from_numpy(X).to(dtype)
        self.model = networks.mlp((X.shape[1], width, 1), seed=streams.seed("init") >> 1, dtype=dtype)
        self.parameters = sum(value.numel() for value in self.model.parameters())
        at_start = curvature.linearize(self.model, "half_squared", self.inputs, torch.zeros(len(X), 1, dtype=dtype))
        self.start: Array = at_start.outputs()[:, 0]
        values, self.vectors = np.linalg.eigh(at_start.ntk() @ np.eye(len(X)) / len(X))
        self.eigenvalues = np.clip(values, 0.0, None)
        self.rate = float(0.5 / self.eigenvalues[-1])  # of a loss that is not halved: a step of 1 in the unit of these
        self.seed = streams.seed("projection")

    def fit(self, labels: Array, at: Sequence[int]) -> Array:
        """Return the fitted values (rows of labels, times, n)."""
        recipe = Recipe(max(at), self.rate, loss="squared", momentum=0.0)
        return networks.refit(self.model, self.inputs, labels, recipe, at=at)

    def linear(self, labels: Array, at: Sequence[int]) -> tuple[Array, Array]:
        """Return what the kernel at the start makes of labels, as `fit` does, and the trace of its hat matrices."""
        shares = effective_parameters.descent_shares(self.eigenvalues, 2.0 * self.rate, at)
        fitted = np.einsum("ik,tk,jk,rj->rti", self.vectors, shares, self.vectors, labels, optimize=True)
        return fitted, np.asarray(effective_parameters.counts(shares).trace)

    def degrees(self, labels: Array, scale: float, at: Sequence[int], also: Array) -> tuple[Array, Array]:
        """Return the generalised degrees of freedom at some times, and what is fitted to other rows of labels.

        The former are the trace of the kernel, and those of the rest. All rows share their steps.
        """
        found: list[Array] = []

        def rest(Y: Array) -> Array:
            fitted = self.fit(np.concatenate([Y, also]), at)
            found.append(fitted[len(Y) :])
            return fitted[: len(Y)] - self.linear(Y, at)[0]

        count = bounds.generalised_degrees(rest, labels, scale, PAIRS, self.seed, together=True)
        return np.asarray(count.value + self.linear(labels[None], at)[1]), found[0]


def _widths(streams: Streams) -> pd.DataFrame:
    X, mean = _regression(streams)
    labels, at = mean + SIGMA * streams.rng("label noise").standard_normal(N), (EARLY, LATE)
    nets = [_Network(X, width, streams) for width in WIDTHS]
    counts, fits = zip(*[net.degrees(labels, 0.1 * SIGMA, at, labels[None]) for net in nets], strict=True)
    count, risk = np.stack(counts), np.stack([((fitted[0] - mean) ** 2).mean(axis=1) for fitted in fits])
    P = np.array([net.parameters for net in nets])
    slope = np.polyfit(np.log(P), np.log(count), 1)[0]
    over = [tidy({f"GDF after {step} steps": count[:, k], f"risk after {step} steps": risk[:, k]}, parameters=P)
            for k, step in enumerate(at)]  # fmt: skip
    return pd.concat([*over, tidy({"slope": slope}, step=at)])


def _course(streams: Streams) -> pd.DataFrame:
    """Count by small perturbations, and measure how much the error on fresh labels exceeds the training error."""
    optimism = effective_parameters.optimism
    X, mean = _regression(streams)
    net = _Network(X, UNITS, streams)
    noise = SIGMA * streams.rng("label noise").standard_normal((PAIRS, N))
    noise = np.concatenate([noise, -noise])
    count, fitted = net.degrees(mean + noise[0], 0.1 * SIGMA, TIMES, mean + noise)
    train = ((fitted - (mean + noise)[:, None]) ** 2).mean(axis=(0, 2))
    risk = ((fitted - mean) ** 2).mean(axis=(0, 2))
    # The squares of the noise are left out of both errors, and the mean is taken for what the kernel makes of noise.
    linear, trace = net.linear(noise, TIMES)
    excess = 2.0 * ((fitted - linear) * noise[:, None]).mean(axis=(0, 2)) + optimism(trace, N, SIGMA**2)
    promised = np.asarray(optimism(count, N, SIGMA**2))
    regret = risk[(train + promised).argmin()] / risk.min() - 1.0
    untouched = risk[(train + 2.0 * SIGMA**2 * net.parameters / N).argmin()] / risk.min() - 1.0
    columns = {"GDF": count, "excess count": excess * N / (2.0 * SIGMA**2), "risk": risk, "train error": train}
    columns["excess off"] = columns["excess count"] - count
    return pd.concat([tidy(columns, step=TIMES), tidy({"regret": regret, "regret by weights": untouched})])


def _lazy(size: float, streams: Streams) -> pd.DataFrame:
    """Compare a network with the trace that the kernel at its start gives."""
    X, mean = _regression(streams)
    net = _Network(X, UNITS, streams, torch.float64)
    labels = net.start + size * (mean + SIGMA * streams.rng("label noise").standard_normal(N))
    at = (EARLY, LATE)
    count, trace = net.degrees(labels, 0.1 * size * SIGMA, at, labels[None][:0])[0], net.linear(labels[None], at)[1]
    return tidy({"GDF": count, "trace": trace, "off": np.log(count / trace)}, step=at)


def _restarts(width: int, steps: int, streams: Streams) -> pd.DataFrame:
    """Learn what a network of 8 units says, without noise, from 16 starts."""
    rng = streams.rng("data")
    X, W = rng.standard_normal((SAMPLES + FRESH, INPUTS)), rng.standard_normal((INPUTS, TRUTH)) / np.sqrt(INPUTS)
    y = np.maximum(X @ W, 0.0) @ np.tile([1.0, -1.0], TRUTH // 2)
    y = (y - y[:SAMPLES].mean()) / y[:SAMPLES].std()
    inputs, targets = torch.from_numpy(X).float(), torch.from_numpy(y).float()[:, None]
    seeds = np.random.SeedSequence(streams.seed("init")).generate_state(RESTARTS)
    models = [networks.mlp((INPUTS, width, 1), seed=int(seed)) for seed in seeds]
    probes = [networks.regression("train", inputs[:SAMPLES], targets[:SAMPLES]),
              networks.regression("test", inputs[SAMPLES:], targets[SAMPLES:])]  # fmt: skip
    recipe = replace(RESTART_RECIPE, steps=steps)
    history = networks.train(models, inputs[:SAMPLES], targets[:SAMPLES], recipe, probes=probes)
    read = history.values  # noqa: PD011
    loss, error = read["train_loss"][-1], read["test_loss"][-1]
    numbers = {"worst": loss.max(), "mean": loss.mean(), "test spread": error.std(ddof=1) / error.mean()}
    return tidy({name: np.log(value) for name, value in numbers.items()})


def _linear(streams: Streams) -> pd.DataFrame:
    """Count the parameters of fits by perturbing every label, and compare with the trace of their hat matrix."""
    rng, n, strength, steps, time = streams.rng("data"), 40, 0.1, 30, 3.0
    tall, wide, y = rng.standard_normal((n, 12)), rng.standard_normal((n, 90)), rng.standard_normal(n)
    Z = random_features.features(tall, 90)
    forest = random_features.RandomFeatureRegressor(90, ridge=strength)
    of_tall, of_wide, of_features = (np.clip(np.linalg.eigvalsh(A @ A.T / n), 0.0, None) for A in (tall, wide, Z))
    rate = 1.0 / of_wide.max()

    flow = expm(-time * wide @ wide.T / n)

    def ridge(labels: Array) -> Array:
        return np.asarray(tall @ np.linalg.solve(tall.T @ tall + n * strength * np.eye(12), tall.T @ labels))

    def descent(labels: Array) -> Array:
        w = np.zeros((wide.shape[1], labels.shape[1]))
        for _ in range(steps):
            w -= rate * wide.T @ (wide @ w - labels) / n
        return np.asarray(wide @ w)

    shares = effective_parameters
    fits: dict[str, tuple[Callable[[Array], Any], Array, int]] = {  # of columns of labels
        "ridge": (ridge, shares.ridge_shares(of_tall, strength), 12),
        "least squares": (lambda V: tall @ np.linalg.lstsq(tall, V)[0], shares.ridge_shares(of_tall, 0.0), 12),
        "minimum norm": (
            lambda V: interpolation.minimum_norm_linear(wide, V)(wide),
            shares.ridge_shares(of_wide, 0),
            90,
        ),
        "gradient descent": (descent, shares.descent_shares(of_wide, rate, steps), 90),
        "gradient flow": (lambda V: V - flow @ V, shares.flow_shares(of_wide, time), 90),
        "random features": (
            lambda V: forest.fit(tall, V).predict(tall),
            shares.ridge_shares(of_features, strength),
            90,
        ),
    }
    degrees = np.array([_perturbed(fit, y) for fit, _, _ in fits.values()])
    trace = np.array([shares.counts(learned).trace for _, learned, _ in fits.values()])
    weights = np.array([size for _, _, size in fits.values()])
    hessian = shares.hessian_count(np.linalg.eigvalsh(tall.T @ tall / n), strength)
    columns = {"off": degrees - trace, "off weights": degrees - weights, "GDF": degrees}
    return pd.concat([tidy(columns, fit=list(fits)), tidy({"hessian off": hessian - trace[0]}, fit="ridge")])


def _perturbed(fit: Callable[[Array], Any], y: Array) -> float:
    """Return the generalised degrees of freedom of a fit, every label perturbed by itself, all at once."""
    return float(bounds.generalised_degrees(lambda Y: fit(Y.T).T, y, 1.0, len(y), together=True).value)


def _proportional(streams: Streams) -> pd.DataFrame:
    """Tell the error on fresh inputs from that on the training set, by the trace and by the number of weights."""
    rng, n, p = streams.rng("data"), 300, 600
    X, truth = rng.standard_normal((n, p)), rng.standard_normal((p, 100)) / np.sqrt(p)
    Y = X @ truth + SIGMA * rng.standard_normal((n, 100))
    trace = np.asarray(effective_parameters.expected_count(np.ones(p), n, RIDGES))
    train, test = [], []
    for strength in RIDGES:
        dual = np.linalg.solve(X @ X.T + n * strength * np.eye(n), Y)
        train.append(np.mean((n * strength * dual) ** 2))
        test.append(((X.T @ dual - truth) ** 2).sum(axis=0).mean() + SIGMA**2)
    told = np.asarray(effective_parameters.cross_validated_error(train, trace, n))
    columns = {"off": np.log(told / test), "off weights": np.log(np.array(train) / (1 - p / n) ** 2 / test)}
    return tidy(columns, ridge=RIDGES)


# ---- predictions -------------------------------------------------------------------------------------------------


def predict(cells: Sequence[Cell], measured: pd.DataFrame) -> pd.DataFrame:
    """Predict the excess of the error on fresh labels from the measured count."""
    counted = measured[(measured["arm"] == COURSE) & (measured["quantity"] == "GDF")]
    promised = pd.DataFrame(counted.groupby("step", as_index=False)["value"].mean())
    return promised.assign(arm=COURSE, quantity="excess count")


# ---- claims ------------------------------------------------------------------------------------------------------


# fmt: off
THOUSANDTH = float(np.log(1e-3))


def _widest(rows: pd.DataFrame) -> Any:
    """Return the log risk of the widest network over that of the narrowest."""
    risk = np.log(Select(f"risk after {LATE} steps", WIDTH, "parameters").measured(rows).to_numpy())
    return risk[:, -1] - risk[:, 0]


def _spread(rows: pd.DataFrame) -> Any:
    return Select("test spread", WIDE).measured(rows) - Select("test spread", NARROW).measured(rows)


def _about(id: str, arm: str, quantity: str, relation: Relation, statement: str, over: str | tuple[str, ...] = (),
           **options: Any) -> Claim:
    return claim_about(id, Select(quantity, arm, over), relation, statement, **options)


study = Study(
    name="effective-parameters",
    title="Breiman's questions: the parameters that a fit uses",
    summary=(
        "The effective number of parameters of a network rises with training time and not with its width, equals the "
        "trace of the hat matrix where a fit is linear, and says how much the error on fresh labels exceeds the "
        "training error, and so when to stop. Wide networks end at the same error from every start."
    ),
    references=(
        "Breiman, Reflections after refereeing papers for NIPS, 1995",
        "Ye, On measuring and correcting the effects of data mining and model selection, JASA 1998",
        "Efron, How biased is the apparent error rate of a prediction rule?, JASA 1986",
        "Golub, Heath, Wahba, Generalized cross-validation as a method for choosing a good ridge parameter, 1979",
    ),
    version="1",
    cell_version="1",
    cells=cells,
    measure=measure,
    predict=predict,
    claims=(
        _about("width", WIDTH, "slope", Less(0.1), f"the effective number after {EARLY} and {LATE} steps grows with "
               "less than the power 0.1 of the number of weights", "step"),
        Claim("risk-of-width", f"and after {LATE} steps {WIDTHS[-1]} units have no larger risk than {WIDTHS[0]}",
              _widest, Less(), arms=(WIDTH,), quantities=(f"risk after {LATE} steps",)),
        _about("trace", LINEAR, "off", Identity(1e-7), "of linear fits the effective number, every label perturbed, is "
               "the trace of the hat matrix", "fit"),
        _about("hessian", LINEAR, "hessian off", Identity(1e-10), "and so is the count of the Hessian, for a ridge"),
        _about("lazy", LAZY, "off", Equivalent(0.03), "a network that hardly moves has the trace that its kernel at "
               "the start gives, to 3 %", "step", kind="conditional"),
        _about("optimism", COURSE, "excess off", Curve(3.0, absolute=True), "the error on fresh labels exceeds the "
               "training error by 2 sigma^2 / n for each effective parameter", "step"),
        _about("network-stop", COURSE, "regret", Less(0.1), "and so stopped a network has a risk within 10 % of the "
               "least"),
        _about("cross-validated", PROPORTIONAL, "off", Equivalent(0.03), "training error / (1 - trace / n)^2 is the "
               "error on fresh inputs, to 3 % at n = 300", "ridge"),
        _about("no-bad-minima", WIDE, "worst", Less(THOUSANDTH), "the worst of 16 starts of a wide network leaves less "
               "than a thousandth of the variance"),
        _about("bad-minima", NARROW, "mean", Greater(float(np.log(2e-3))), "the network that is as wide as the truth "
               "leaves more than twice that in the mean, though it could leave nothing"),
        Claim("alike", "and from its starts the test error varies by a factor of 1.5 more, relative to its mean",
              _spread, Less(-float(np.log(1.5))), arms=(WIDE, NARROW), quantities=("test spread",)),
    ),
    controls=(
        _about("as-weights", WIDTH, "slope", Within(0.5, 1.5), "the effective number grows like the number of weights",
               "step", protects=("width", "risk-of-width")),
        _about("trace-weights", LINEAR, "off weights", Identity(1e-7), "the effective number is the number of weights",
               "fit", protects=("trace", "hessian")),
        _about("rich", RICH, "off", Equivalent(0.03), "labels of unit size leave the kernel at the start in charge",
               "step", protects=("lazy",)),
        _about("excess-weights", COURSE, "excess count", Greater(0.9 * WEIGHTS), "the excess is that of nine tenths "
               "of the weights", "step", protects=("optimism",)),
        _about("network-weights", COURSE, "regret by weights", Less(0.1), "with all weights counted at all times it "
               "stops as well", protects=("network-stop",)),
        _about("cross-validated-weights", PROPORTIONAL, "off weights", Equivalent(0.03), "with the number of weights "
               "instead it is the error on fresh inputs too", "ridge", protects=("cross-validated",)),
        _about("narrow-minima", NARROW, "worst", Less(THOUSANDTH), "the worst of 16 starts of the narrow network "
               "leaves less than a thousandth too", protects=("no-bad-minima", "bad-minima", "alike")),
    ),
    figures=(
        Figure("width", f"Networks, n = {N}", f"GDF after {LATE} steps", "parameters", "number of weights",
               f"effective parameters after {LATE} steps", (WIDTH,), "log"),
        Figure("course", f"A network of {WEIGHTS} weights, n = {N}", "excess count", "step",
               "steps of gradient descent", "excess of the fresh error, in parameters", (COURSE,), "log"),
    ),
    depends_on=("pyphenom._core", "pyphenom.networks", "pyphenom.bounds", "pyphenom.curvature", "pyphenom.theory",
                "pyphenom.random_features", "pyphenom.interpolation"),
    deviations=(
        "Breiman asks without an experiment; networks, data and margins are ours, chosen in a trial on two seeds.",
        "Ye perturbs labels at random and regresses; here pairs of signs cancel what is even in the perturbation.",
        "The learning rate is half of the inverse of the largest eigenvalue of the tangent kernel over n at the "
        "start, so that equal steps are equal times for all widths. At a fixed rate wider networks learn faster.",
        "Losses of restarts are judged by their logarithms: in their mean one replicate in a dozen outweighs the rest.",
        "Networks that do not reach the truth may be slow rather than at a minimum: all have the same steps of Adam.",
    ),
)
# fmt: on
