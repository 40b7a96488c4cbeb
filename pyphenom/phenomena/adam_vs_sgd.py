"""Adam against gradient descent: both fit, and what they learned of the feature decides which of them generalises.

One patch of an image holds a feature; the other noise on a few coordinates, and a little of the opposite feature. The
feature, common to all images, is by far the largest part of the gradient, and descent learns it. Adam moves every
coordinate as far as the feature's. Those of the noise are many and add up; it fits the images by their noise, and what
gradient is left turns the feature around (Zou et al. 2021). To first order Adam takes steps of one size, and
`theory.adam_feature_noise.flip_threshold` is the feature noise above which those turn it.

The gap is no law of Adam's. It is gone without feature noise, with noise on one coordinate, in a convex loss with a
ridge, which has one minimum, and where rate and weight decay are tuned on validation data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor
from torch.nn import functional

from pyphenom import data, networks
from pyphenom.networks.hidden_layer import outputs, slopes
from pyphenom.networks.patches import CLASSES, Patches, draw_patches, margins, train_decoupled, train_patches, update
from pyphenom.studies import (
    Cell,
    Claim,
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
    guard_values,
    tidy,
)
from pyphenom.studies.study import Preset
from pyphenom.theory.adam_feature_noise import flip_threshold, sign_growth

Array: TypeAlias = NDArray[np.float64]

DESCENT, ADAM, DECOUPLED = "gradient descent", "Adam", "Adam, decoupled decay"
CLEAN, CONCENTRATED, DENSE = "no feature noise", "noise on one coordinate", "dense noise"
SIGNS, FOURTH, STARTS = "sign descent", "sign descent, q = 4", "Adam, small start"
CONVEX = "convex, with a ridge"
DIGITS = {"momentum": "digits, momentum", "adam": "digits, Adam", "sign": "digits, signs"}
TRAINED, COMPARED, TURNS = (DESCENT, ADAM, DECOUPLED), (CLEAN, CONCENTRATED, DENSE), (SIGNS, FOURTH, STARTS)
ARMS = (*TRAINED, *COMPARED, *TURNS, CONVEX, *DIGITS.values())
REPLICATES = {
    "smoke": dict.fromkeys(ARMS, 1),
    "quick": dict.fromkeys(ARMS, 6)
    | dict.fromkeys(TRAINED, 7)
    | dict.fromkeys(TURNS, 10)
    | {STARTS: 12, DENSE: 8, CONCENTRATED: 16},
    "full": dict.fromkeys(ARMS, 40),
}

N, DIMENSION, FILTERS, POWER, START = 40, 2000, 20, 3, 0.03  # of the two-layer network; filters for each class
SPARSITY, DEVIATION, FEATURE_NOISE = 80, 0.1, 0.3
STEPS, TESTS = 240, 500
DECAYS = {DESCENT: 1e-3, ADAM: 3e-4, DECOUPLED: 0.1}
GRIDS = {  # rates without weight decay, and with it
    DESCENT: ((0.5, 1.0, 2.0, 4.0), (0.5, 2.0)),
    ADAM: ((1e-3, 3e-3, 1e-2, 3e-2), (3e-2, 1e-1)),
    DECOUPLED: ((), (1e-3, 1e-2)),
}
RATES = {"gradient": 0.5, "adam": 1e-3}  # where one rate of each is compared
NOISES = {CLEAN: (0.0, SPARSITY, DEVIATION), CONCENTRATED: (FEATURE_NOISE, 1, DEVIATION * SPARSITY**0.5),
          DENSE: (FEATURE_NOISE, DIMENSION - 1, DEVIATION * (SPARSITY / (DIMENSION - 1)) ** 0.5)}  # fmt: skip

TURN_DIMENSION, TURN_DEVIATION = 1000, 0.2
TURN_START, TURN_RATE, TURN_LOSS = 0.005, 1e-3, 0.2
SPARSITIES = (30, 45, 70)
MULTIPLES = tuple(2.0 ** np.arange(-1.0, 1.6, 0.5))  # of the predicted threshold
TURN_RULES = {SIGNS: ("sign", 3), FOURTH: ("sign", 4), STARTS: ("adam", 3)}

RIDGE, CONVEX_STEPS = 0.01, 500
DIGITS_TRAINED, DIGITS_VALIDATED, HIDDEN = 300, 400, 128
DIGITS_STEPS, BATCH = 300, 50
DIGITS_RATES = {
    "momentum": (0.01, 0.03, 0.1, 0.3, 1.0),
    "adam": (1e-3, 3e-3, 1e-2, 3e-2, 0.1),
    "sign": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
}


# ---- cells and measurement ---------------------------------------------------------------------------------------


def cells(preset: Preset) -> list[Cell]:
    """Every arm once a replicate, with all rates and weight decays, or all feature noises."""
    return [Cell(arm, {}, k) for arm, count in REPLICATES[preset].items() for k in range(count)]


def measure(cell: Cell, streams: Streams) -> pd.DataFrame:
    """Train one stack of networks, on one thread."""
    kinds = ((TRAINED, _grid), (COMPARED, _compared), (TURNS, _turns), ((CONVEX,), _convex), (DIGITS.values(), _digits))
    (trained,) = (function for arms, function in kinds if cell.arm in arms)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return trained(cell.arm, streams)
    finally:
        torch.set_num_threads(threads)


def _errors(weights: Tensor, images: Patches, alpha: Any) -> Array:
    wrong = ~(margins(weights, images, alpha, POWER) > 0.0)  # NaN is wrong
    return np.asarray(wrong.double().mean(-1).numpy())


def _first_weights(dimension: int, scale: float, streams: Streams) -> Tensor:
    drawn = streams.rng("init").standard_normal((2, FILTERS, dimension), dtype=np.float32)
    return torch.from_numpy(scale * drawn)


def _grid(arm: str, streams: Streams) -> pd.DataFrame:
    """Train at all rates, with weight decay and without; tuned is the first with the smallest validation error."""
    plain, decayed = GRIDS[arm]
    rates, decays = plain + decayed, (0.0,) * len(plain) + (DECAYS[arm],) * len(decayed)
    train, *fresh = _noises(streams, SPARSITY, DEVIATION, "validation", "test")
    first = _first_weights(DIMENSION, START, streams).expand(len(rates), -1, -1, -1)
    if arm == DECOUPLED:
        speeds, pulls = (torch.tensor(each)[:, None, None, None] for each in (rates, decays))
        weights = train_decoupled(first, train, FEATURE_NOISE, speeds, pulls, power=POWER, steps=STEPS)
    else:
        rule = "gradient" if arm == DESCENT else "adam"
        weights, _ = train_patches(rule, first, train, FEATURE_NOISE, rates, decays, power=POWER, steps=STEPS)
    errors, validation, test = (_errors(weights, each, FEATURE_NOISE) for each in (train, *fresh))
    aligned = (weights[..., :1] * CLASSES).mean((1, 2, 3)).double().numpy()
    rows = tidy({"train_error": errors, "test_error": test, "alignment": aligned}, rate=rates, decay=decays)
    rows.loc[rows["decay"] > 0.0, "quantity"] = "decayed " + rows["quantity"]
    return pd.concat([rows, tidy({"tuned_error": test[validation.argmin()]})])


def _noises(streams: Streams, sparsity: int, deviation: float, *names: str) -> list[Patches]:
    """Return training images, and fresh ones of these names."""
    return [draw_patches(count, DIMENSION, sparsity, deviation, streams.rng(f"{name}data"))
            for name, count in (("", N), *((f"{name} ", TESTS) for name in names))]  # fmt: skip


def _compared(arm: str, streams: Streams) -> pd.DataFrame:
    """Train both at one rate each, without weight decay, on noise of another kind."""
    alpha, sparsity, deviation = NOISES[arm]
    train, test = _noises(streams, sparsity, deviation, "test")
    first = _first_weights(DIMENSION, START, streams)[None]
    rows = []
    for rule, rate in RATES.items():
        weights, _ = train_patches(rule, first, train, alpha, rate, 0.0, power=POWER, steps=STEPS)
        rows.append([_errors(weights, each, alpha)[0] for each in (train, test)])
    (train_descent, descent), (train_adam, adam) = rows
    return tidy({"train_error": max(train_descent, train_adam), "descent_error": descent, "gap": adam - descent})


def _turns(arm: str, streams: Streams) -> pd.DataFrame:
    """Find the feature noise at which filters that begin on the feature's side turn around."""
    rule, power = TURN_RULES[arm]
    first = _first_weights(TURN_DIMENSION, TURN_START, streams)
    tables = []
    for sparsity, rng in zip(SPARSITIES, streams.rng("data").spawn(len(SPARSITIES)), strict=True):
        images = draw_patches(N, TURN_DIMENSION, sparsity, TURN_DEVIATION, rng)
        growth, threshold = _predicted(sparsity, power)
        losses, alphas = list[float](), [threshold * multiple for multiple in MULTIPLES]
        place = _crossing(partial(_learned, rule, first, images, power, losses), alphas)
        numbers = {"log_ratio": place - np.log(threshold), "threshold": np.exp(place), "loss": max(losses)}
        numbers["by_norms"] = place + (power - 1) * np.log(sparsity * TURN_DEVIATION**2)
        numbers["one_power_less"] = place + (power - 2) * np.log(growth)
        tables.append(tidy(numbers, sparsity=sparsity, growth=growth))
    return pd.concat(tables)


def _learned(rule: str, first: Tensor, images: Patches, power: int, losses: list[float], alpha: float) -> float:
    """Return the share of the feature, less that of its opposite, in filters that begin on its side; note the loss."""
    weights, loss = train_patches(rule, first[None], images, alpha, TURN_RATE, 0.0, power=power, steps=2000,
                                  until=TURN_LOSS)  # fmt: skip
    losses.append(loss)
    begun = ((first[..., 0] * CLASSES[..., 0]) > 0.0).numpy()
    learned = (weights[0, ..., 0] * CLASSES[..., 0]).double().numpy()[begun]
    return float((np.sign(learned) * np.abs(learned) ** power).sum() / (np.abs(learned) ** power).sum())


def _predicted(sparsity: int, power: int) -> tuple[float, float]:
    """Return growth and threshold, for filters that are active on half of their samples as they are at the start."""
    settings = (N, TURN_DIMENSION, sparsity, TURN_DEVIATION)
    return float(sign_growth(*settings, 0.5)), float(flip_threshold(*settings, power, 0.5))


def _crossing(function: Callable[[float], float], grid: Sequence[float]) -> float:
    """Return the logarithm of where a function turns negative, on a line between two points that halving finds.

    Infinite if it is negative nowhere, and minus infinity if it begins so.
    """
    values, low, high = dict[int, float](), -1, len(grid)
    while high - low > 1:
        middle = (low + high) // 2
        values[middle] = function(grid[middle])
        low, high = (low, middle) if values[middle] < 0.0 else (middle, high)
    if low < 0 or high == len(grid):
        return -np.inf if low < 0 else np.inf
    left, right = np.log(grid[low]), np.log(grid[high])
    return float(left + (right - left) * values[low] / (values[low] - values[high]))


def _convex(arm: str, streams: Streams) -> pd.DataFrame:
    """Fit the sum of the patches linearly, with a ridge and without, and compare with a quasi-Newton method."""
    train, test = _noises(streams, SPARSITY, DEVIATION, "test")
    Z, tests = (images[1].double() * images[0][:, None] for images in (train, test))
    Z[:, 0] = tests[:, 0] = 1.0 - FEATURE_NOISE
    first = _first_weights(DIMENSION, START, streams)[0, :1].double()
    ridges = torch.tensor([[RIDGE], [0.0]], dtype=torch.float64)
    steepest = 1.0 / (float(torch.linalg.matrix_norm(Z, 2)) ** 2 / (4 * N) + RIDGE)
    ends = {}
    for rule, rate in (("gradient", steepest), ("adam", 0.1)):
        weights, memory = first.expand(2, -1), list[Tensor]()
        for step in range(1, CONVEX_STEPS + 1):
            gradient = ridges * weights - torch.sigmoid(-weights @ Z.T) @ Z / N
            falling = rate * (1.0 - (step - 1) / CONVEX_STEPS) if rule == "adam" else rate
            weights = update(rule, weights, gradient, memory, step, falling)
        ends[rule] = weights.numpy()
    minimum = _minimum(Z.numpy())
    descent, adam = (np.mean(~(tests.numpy() @ end[0] > 0.0)) for end in ends.values())
    pairs = {"off_gradient": (ends["gradient"][0], minimum), "off_adam": (ends["adam"][0], minimum),
             "apart": (ends["adam"][1], ends["gradient"][1])}  # fmt: skip
    off = {name: np.linalg.norm(w - other) / np.linalg.norm(other) for name, (w, other) in pairs.items()}
    return tidy({"descent_error": descent, "gap": adam - descent, **off})


def _minimum(Z: Array) -> Array:
    """Return the weights at which the logistic loss with the ridge is smallest, from a start at zero."""

    def loss(w: Array) -> float:
        return float(np.logaddexp(0.0, -Z @ w).mean() + RIDGE / 2.0 * w @ w)

    def slope(w: Array) -> Array:
        return np.asarray(RIDGE * w - expit(-Z @ w) @ Z / len(Z))

    return np.asarray(minimize(loss, np.zeros(Z.shape[1]), jac=slope, method="L-BFGS-B", tol=1e-14).x)


def _digits(arm: str, streams: Streams) -> pd.DataFrame:
    """Train a network of one hidden layer at all rates, and test the one with the smallest validation error."""
    (rule,) = (name for name, each in DIGITS.items() if each == arm)
    images = data.digits()
    images = images[streams.rng("data").permutation(len(images))]
    inputs, labels = torch.from_numpy(images.pixels / 16.0).float(), torch.from_numpy(images.labels)
    truth = functional.one_hot(labels, 10).float()
    rates = torch.tensor(DIGITS_RATES[rule])[:, None, None]
    model = networks.mlp((inputs.shape[1], HIDDEN, 10), seed=streams.seed("init"))
    layers = [value.detach().reshape(len(value), -1).T.expand(len(rates), -1, -1) for value in model.parameters()]
    memories: list[list[Tensor]] = [[] for _ in layers]
    order, epoch = streams.rng("order"), DIGITS_TRAINED // BATCH
    draws = np.concatenate([order.permutation(DIGITS_TRAINED) for _ in range(DIGITS_STEPS // epoch)])
    for step, batch in enumerate(torch.from_numpy(draws).reshape(-1, BATCH), 1):
        falling = rates * (1.0 - (step - 1) / DIGITS_STEPS)
        gradients = slopes(layers, inputs[batch], truth[batch])
        layers = [update(rule, *each, step, falling) for each in zip(layers, gradients, memories, strict=True)]
    wrong = (outputs(layers, inputs).argmax(-1) != labels).double().numpy()
    ends = (DIGITS_TRAINED, DIGITS_TRAINED + DIGITS_VALIDATED)
    train, validation, test = (part.mean(axis=1) for part in np.split(wrong, ends, axis=1))
    course = tidy({"train_error": train, "validation_error": validation}, rate=DIGITS_RATES[rule])
    return pd.concat([course, tidy({"tuned_error": test[validation.argmin()]})])


# ---- predictions -------------------------------------------------------------------------------------------------


def predict(cells: Sequence[Cell], measured: pd.DataFrame) -> pd.DataFrame:
    """Predict the feature noise at which the feature turns."""
    tables = []
    for arm, (_, power) in TURN_RULES.items():
        growth, threshold = zip(*(_predicted(sparsity, power) for sparsity in SPARSITIES), strict=True)
        tables.append(tidy({"threshold": threshold}, growth=growth).assign(arm=arm))
    return pd.concat(tables)


# ---- claims ------------------------------------------------------------------------------------------------------


# fmt: off
def _first_rate(rows: pd.DataFrame) -> pd.Series:
    return rows["rate"] == RATES["adam"]


def _against_descent(arm: str, where: Any = None, quantity: str = "test_error") -> Callable[[pd.DataFrame], Any]:
    """Return the test errors of an arm less that of descent at the rate where one is compared."""
    def statistic(rows: pd.DataFrame) -> Any:
        there = Select("test_error", DESCENT, where=lambda rows: rows["rate"] == RATES["gradient"]).measured(rows)
        return Select(quantity, arm, "rate", where).measured(rows).sub(there.iloc[:, 0], axis=0)

    return statistic


def _between(arm: str, other: str) -> Callable[[pd.DataFrame], Any]:
    return lambda rows: Select("tuned_error", arm).measured(rows) - Select("tuned_error", other).measured(rows)


def _turn(id: str, arm: str, quantity: str, statement: str, **options: Any) -> Claim:
    return claim_about(id, Select(quantity, arm, "sparsity"), Within(-FACTOR, FACTOR), statement, **options)


def _tested(id: str, arms: tuple[str, str], relation: Relation, statement: str, statistic: Any, *quantities: str,
            **options: Any) -> Claim:
    return Claim(id, statement, statistic, relation, arms=arms, quantities=quantities or ("test_error",), **options)


FACTOR = float(np.log(2.0))

study = Study(
    name="adam-vs-sgd",
    title="Adam against gradient descent",
    summary=(
        "On a feature, noise, and a little of the opposite feature two-layer networks fit under gradient descent and "
        "under Adam; Adam learns the opposite, and errs on more than half of the test images. The feature turns where "
        "steps of one size let it, within a factor of two. Convexity, and rate and weight decay tuned, close the gap."
    ),
    references=(
        "Zou, Cao, Li, Gu, Understanding the generalization of Adam in learning neural networks with proper "
        "regularization, ICLR 2023 (arXiv 2108.11371)",
        "Loshchilov, Hutter, Decoupled weight decay regularization, ICLR 2019",
        "Wilson, Roelofs, Stern, Srebro, Recht, The marginal value of adaptive gradient methods, NeurIPS 2017",
    ),
    version="1",
    cell_version="3",
    cells=cells,
    measure=measure,
    predict=predict,
    guards=(
        guard_values("fitted", "no image of the training set is wrong", "train_error", lambda error: error == 0.0,
                     ("descent-generalizes", "gap", "worse-than-chance", "descent-aligned", "adam-opposed", "dense"),
                     (*TRAINED, CLEAN, DENSE)),
        guard_values("decayed-fitted", "nor with weight decay", "decayed train_error", lambda error: error == 0.0,
                     ("decoupled", "tuned"), TRAINED),
        guard_values("turned", f"the losses fell to {TURN_LOSS:g}", "loss", lambda loss: loss <= TURN_LOSS,
                     ("turns", "turns-fourth", "adam-turns"), TURNS),
    ),
    claims=(
        claim_about("descent-generalizes", Select("test_error", DESCENT, "rate"), Less(0.05), "gradient descent errs "
                    "on less than 5 % of test images, at every rate"),
        _tested("gap", (ADAM, DESCENT), Greater(0.2), "without weight decay Adam errs on 20 % more, at every rate",
                _against_descent(ADAM)),
        claim_about("worse-than-chance", Select("test_error", ADAM, where=_first_rate), Greater(0.5), "at its smallest "
                    "rate it errs on more than half of them, as the theorem says"),
        claim_about("descent-aligned", Select("alignment", DESCENT, "rate"), Greater(), "the filters of gradient "
                    "descent have learned the feature"),
        claim_about("adam-opposed", Select("alignment", ADAM, "rate"), Less(), "those of Adam its opposite"),
        _tested("decoupled", (DECOUPLED, DESCENT), Greater(0.2), "decoupled weight decay of 0.1 leaves the gap",
                _against_descent(DECOUPLED, None, "decayed test_error"), "test_error", "decayed test_error"),
        claim_about("dense", Select("gap", DENSE), Greater(0.2), "so does the same noise on all coordinates, which add "
                    "up as well: it need not be sparse"),
        _turn("turns", SIGNS, "log_ratio", "steps of one size learn the opposite above the feature noise predicted for "
              "half of the samples active, to the factor of two by which that share may grow"),
        _turn("turns-fourth", FOURTH, "log_ratio", "so they do with the fourth power"),
        _turn("adam-turns", STARTS, "log_ratio", "so does Adam, from the same start at the same rate"),
        claim_about("convex-descent", Select("off_gradient", CONVEX), Identity(1e-3), "with a ridge the convex loss "
                    "has one end: gradient descent finds it, to 1e-3 of its norm"),
        claim_about("convex-adam", Select("off_adam", CONVEX), Identity(1e-3), "and so does Adam"),
        _tested("tuned", (ADAM, DESCENT), Equivalent(0.05), "with rate and weight decay chosen by the validation error "
                "the two-layer networks differ by less than 5 %", _between(ADAM, DESCENT), "tuned_error"),
        _tested("digits-adam", (DIGITS["adam"], DIGITS["momentum"]), Equivalent(0.01), "digits, rates tuned on "
                "validation data: the test error of Adam less that of SGD with momentum",
                _between(DIGITS["adam"], DIGITS["momentum"]), "tuned_error", primary=False),
        _tested("digits-signs", (DIGITS["sign"], DIGITS["momentum"]), Equivalent(0.01), "and that of steps along signs "
                "less that of SGD with momentum", _between(DIGITS["sign"], DIGITS["momentum"]), "tuned_error",
                primary=False),
    ),
    controls=(
        *(claim_about(f"gap-{name}", Select("gap", arm), Greater(0.2), f"the gap is there too: {arm}",
                      protects=("descent-generalizes", "gap", "worse-than-chance", "descent-aligned", "adam-opposed",
                                "decoupled", "dense"))
          for name, arm in (("clean", CLEAN), ("concentrated", CONCENTRATED), ("convex", CONVEX))),
        _turn("by-norms", SIGNS, "by_norms", "the feature turns where it would if noise grew with its squared norm, as "
              "it does along the gradient", protects=("turns", "turns-fourth", "adam-turns")),
        _turn("one-power-less", SIGNS, "one_power_less", "it turns at 1/g, one power less",
              protects=("turns", "turns-fourth", "adam-turns")),
        claim_about("convex-no-ridge", Select("apart", CONVEX), Identity(1e-3), "without a ridge both end at the same "
                    "weights", protects=("convex-descent", "convex-adam")),
        _tested("untuned", (ADAM, DESCENT), Equivalent(0.05), "at their first rates they differ by less than 5 % too",
                _against_descent(ADAM, _first_rate), protects=("tuned",)),
    ),
    figures=(
        Figure("rates", f"{N} images, feature noise {FEATURE_NOISE:g}, no weight decay", "test_error", "rate",
               "learning rate", "share of wrong test images", (DESCENT, ADAM), "log"),
        Figure("threshold", "Where the feature turns", "threshold", "growth", "growth g of the noise along signs",
               "feature noise α", TURNS, "log", "log"),
        Figure("digits", "Digits, one hidden layer", "validation_error", "rate", "learning rate",
               "share of wrong validation images", tuple(DIGITS.values()), "log"),
    ),
    depends_on=("pyphenom._core", "pyphenom.implicit_bias", "pyphenom.theory", "pyphenom.data", "pyphenom.networks"),
    deviations=(
        "The theorem is about one constructed distribution, with d growing faster than a power of n and a vanishing "
        f"start; here n = {N} and d = {DIMENSION}. Digits are taken in batches.",
        "That the gap closes when tuned, and stays in dense noise, was seen in trials on other seeds, where the grids "
        "were set too; neither is in the paper. Weight decay of Adam was 1e-4 until one draw in some thirty "
        "kept its gap.",
        "The threshold is of first order, and leaves out how images weigh as they are fitted; it is read when the loss "
        f"has fallen to {TURN_LOSS:g}.",
    ),
)
# fmt: on
