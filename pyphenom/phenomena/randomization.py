"""Randomisation tests: networks fit labels and pixels that mean nothing, and generalise where there is something to.

The same network and the same steps of SGD bring the training error to zero on true labels, on labels drawn at random,
on pixels shuffled by one permutation or by another one in each image, and on Gaussian noise (Zhang et al. 2017). So
nothing that is the same in all of these explains why the test error is small in one of them.

Some of it is known beforehand. Labels drawn uniformly from K classes leave 1 - 1/K of test labels wrong. A fully
connected network does not know where a pixel is: with its first weights permuted as the pixels are, every step of
training is the same. A linear model with r independent inputs fits r/n of the variance of random labels, no more. And
the time to fit follows from the kernel of a wide network, from how the labels lie to its eigenvectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from pyphenom import data, networks
from pyphenom.networks import Recipe
from pyphenom.networks.convolutions import convolutional, train_convolutional
from pyphenom.studies import (
    Cell,
    Claim,
    Curve,
    Equal,
    Equivalent,
    Figure,
    Greater,
    Identity,
    Relation,
    Select,
    Streams,
    Study,
    claim_about,
    guard_values,
    tidy,
)
from pyphenom.studies.study import Preset
from pyphenom.theory import kernel_descent

Array: TypeAlias = NDArray[np.float64]

TRUE, RANDOM, SHUFFLED = "true labels", "random labels", "shuffled pixels"
PIXELS, NOISE = "random pixels", "Gaussian inputs"
DIGITS = (TRUE, RANDOM, SHUFFLED, PIXELS, NOISE)
RATES = "labels redrawn at a rate"
CORRUPTED = (TRUE, RATES)
SIGNALS, CONVOLUTION = "MNIST-1D, fully connected", "MNIST-1D, convolutions"
WIDE, PERMUTED, LINEAR = "1024 units, squared loss", "first weights permuted", "linear model"
ARMS = (*DIGITS, RATES, SIGNALS, CONVOLUTION, WIDE, PERMUTED, LINEAR)
REPLICATES = {
    "smoke": dict.fromkeys(ARMS, 1) | {PERMUTED: 2},
    "quick": dict.fromkeys(ARMS, 10)
    | {RANDOM: 16, SIGNALS: 18, LINEAR: 16, PIXELS: 5, NOISE: 5, WIDE: 8, PERMUTED: 3, CONVOLUTION: 8},
    "full": dict.fromkeys(ARMS, 40),
}

CLASSES = 10
N, WIDTH = 500, 256
REDRAWN = dict.fromkeys(DIGITS, (0.0,)) | {RANDOM: (1.0,), RATES: (0.2, 0.4, 0.6, 0.8, 1.0)}
RECIPE = Recipe(steps=600, learning_rate=0.12, batch_size=50, schedule="linear")
TIMES = tuple(sorted({round(step) for step in np.geomspace(8, RECIPE.steps, 29)}))
TEST_DRAWS = 16  # of labels for the test set, averaged

TEST_SIGNALS, CHANNELS = 2000, 32
SIGNAL_RECIPE = Recipe(steps=800, learning_rate=0.1, batch_size=25, schedule="linear")

WIDE_N, WIDE_WIDTH = 200, 1024
WIDE_STEPS = {TRUE: 100, RANDOM: 400}  # true labels are there in a twentieth of those of random ones
RESIDUAL = 0.3  # of the first squared residual is left at the time that counts
LABEL_DRAWS = 16  # of random labels for the linear model


# ---- cells and measurement ---------------------------------------------------------------------------------------


def cells(preset: Preset) -> list[Cell]:
    """Every arm once a replicate; networks with labels of their own are trained in one stack."""
    return [Cell(arm, {}, k) for arm, count in REPLICATES[preset].items() for k in range(count)]


def measure(cell: Cell, streams: Streams) -> pd.DataFrame:
    """Train the networks of one arm, or solve for the linear model."""
    if cell.arm in REDRAWN:
        return _digits(cell.arm, streams)
    if cell.arm in (SIGNALS, CONVOLUTION):
        return _signals(cell.arm == CONVOLUTION, streams)
    return {WIDE: _wide, PERMUTED: _permuted, LINEAR: _linear}[cell.arm](streams)


def _images(arm: str, n: int, streams: Streams) -> tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]]:
    """Return n training and all other digits, with the pixels of an arm; labels are the true ones."""
    images = data.digits()
    images = images[streams.rng("data").permutation(len(images))]
    pixels = images.pixels
    if arm in (SHUFFLED, PIXELS):
        pixels, _ = data.shuffle_pixels(pixels, streams.rng("pixels"), per_image=arm == PIXELS)
    elif arm == NOISE:
        pixels = data.gaussian_pixels(pixels, streams.rng("pixels"))
    pixels = (pixels - pixels[:n].mean(axis=0)) / pixels[:n].std()
    return pixels[:n], images.labels[:n], pixels[n:], images.labels[n:]


def _redrawn(labels: NDArray[np.int64], rate: float, streams: Streams) -> NDArray[np.int64]:
    return data.corrupt_labels(labels, rate, CLASSES, streams.rng("label noise"))[0]


def _network(inputs: int, streams: Streams, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    return networks.mlp((inputs, WIDTH, CLASSES), seed=streams.seed("init"), dtype=dtype)


def _trained(models: Sequence[nn.Module], X: Array, labels: Any, X_test: Array, y_test: Any, streams: Streams,
             course: bool) -> dict[str, Array]:  # fmt: skip
    """Train networks with labels of their own; return what was read (times, networks), and the first time of fit."""
    inputs, targets = torch.from_numpy(X).float(), torch.from_numpy(labels)
    probes = [networks.classification("train", inputs, targets)]
    if course:
        probes.append(networks.classification("test", torch.from_numpy(X_test).float(), torch.from_numpy(y_test)))
    history = networks.train(models, inputs, targets, RECIPE, streams.seed("order"), probes=probes, at=TIMES)
    read = history.values  # noqa: PD011
    fitted = read["train_error"] == 0.0
    first = np.where(fitted.any(axis=0), np.array(TIMES)[fitted.argmax(axis=0)], np.inf)
    return read | {"fit": np.log(first)}


def _digits(arm: str, streams: Streams) -> pd.DataFrame:
    """Train a network for each rate at which an arm redraws labels; the course of one alone is kept."""
    (X, y, X_test, y_test), rates = _images(arm, N, streams), np.array(REDRAWN[arm])
    labels = np.stack([_redrawn(y, rate, streams) for rate in rates])
    models = [_network(X.shape[1], streams) for _ in rates]
    read = _trained(models, X, labels, X_test, y_test, streams, arm != RATES)
    found = [_classes(model, X_test) for model in models]
    draws = streams.rng("test label noise").spawn(TEST_DRAWS + 1)
    noisy = [np.mean([classes != data.corrupt_labels(y_test, rate, CLASSES, draw)[0] for draw in draws[1:]])
             for rate, classes in zip(rates, found, strict=True)]  # fmt: skip
    fresh = draws[0].integers(CLASSES, size=len(y_test))
    train, test = read["train_error"][-1], np.mean(np.array(found) != y_test, axis=1)
    numbers = {
        "train_error": train,
        "test_error": test,
        "gap": test - train,
        "fit": read["fit"],
        "noisy_excess": np.array(noisy) - ((1 - rates) * test + rates * (1 - 1 / CLASSES)),
        "changed": (labels != y).mean(axis=1),
        "fresh_errors": np.sum(np.array(found) != fresh, axis=1),
        "tests": len(fresh),
    }
    if arm == RATES:
        return tidy(numbers, rate=rates)
    courses = {f"{name} course": read[name][:, 0] for name in ("train_loss", "test_error")}
    return pd.concat([tidy(numbers, rate=rates), tidy(courses, step=TIMES)])


def _classes(model: nn.Module, inputs: Array) -> NDArray[np.int64]:
    with torch.no_grad():
        return cast("NDArray[np.int64]", model(torch.from_numpy(inputs).float()).argmax(1).numpy())


def _signals(convolve: bool, streams: Streams) -> pd.DataFrame:
    """Learn MNIST-1D: its labels, random ones, and its labels with shuffled positions."""
    signals = data.mnist1d()
    signals = signals[streams.rng("data").permutation(len(signals))]
    train, test = signals[:N], signals[-TEST_SIGNALS:]
    X, X_test = data.standardise(train.pixels, test.pixels)
    order = streams.rng("pixels").permutation(X.shape[1])
    inputs, tests = np.stack([X, X, X[:, order]]), np.stack([X_test, X_test, X_test[:, order]])
    labels = np.stack([train.labels, _redrawn(train.labels, 1.0, streams), train.labels])
    pixels, targets = torch.from_numpy(inputs).float(), torch.from_numpy(labels)
    if convolve:
        models = [convolutional(X.shape[1], CHANNELS, CLASSES, streams.seed("init")) for _ in inputs]
        train_convolutional(models, pixels, targets, SIGNAL_RECIPE, streams.seed("order"))
    else:
        models = [_network(X.shape[1], streams) for _ in inputs]
        networks.train(models, pixels.flatten(0, 1), targets.ravel(), SIGNAL_RECIPE, streams.seed("order"),
                       subsets=np.split(np.arange(labels.size), len(models)))  # fmt: skip
    errors = {
        "train_error": [np.mean(_classes(*pair) != y) for *pair, y in zip(models, inputs, labels, strict=True)],
        "test_error": [np.mean(_classes(*pair) != test.labels) for pair in zip(models, tests, strict=True)],
    }
    return tidy(errors, condition=(TRUE, RANDOM, SHUFFLED))


def _wide(streams: Streams) -> pd.DataFrame:
    """Descend on the squared loss of a wide network, and ask its kernel how long that takes."""
    X, y, _, _ = _images(TRUE, WIDE_N, streams)
    inputs, tables, times = torch.from_numpy(X).float(), list[pd.DataFrame](), []
    for name, steps in WIDE_STEPS.items():
        Y = np.eye(CLASSES)[_redrawn(y, float(name == RANDOM), streams)] - 1 / CLASSES
        model = networks.mlp((X.shape[1], WIDE_WIDTH, CLASSES), seed=streams.seed("init"))
        if not tables:
            kernel, first = networks.tangent_kernel(model, X)
            values, vectors = np.linalg.eigh(kernel)
            rate = WIDE_N / (2.0 * values[-1])
        at = np.unique(np.geomspace(1, steps, 60).round().astype(int))
        probe = networks.regression("train", inputs, outputs := torch.from_numpy(Y).float())
        recipe = Recipe(steps, rate, loss="squared", momentum=0.0)
        history = networks.train([model], inputs, outputs, recipe, probes=[probe], at=[0, *at.tolist()])
        power = ((vectors.T @ (first - Y)) ** 2).sum(axis=1)
        found = history.values["train_loss"][:, 0]  # noqa: PD011
        theory = np.asarray(kernel_descent.squared_residual(values, power, rate, history.steps))
        losses = {"residual": found, "kernel": theory}
        times.append([kernel_descent.steps_until(history.steps, loss, RESIDUAL) for loss in losses.values()])
        tables.append(tidy({f"{kind}, {name}": loss[1::2] / loss[0] for kind, loss in losses.items()}, step=at[::2]))
    slower, expected = np.subtract(*np.log(times[::-1]))
    return pd.concat([*tables, tidy({"slow_down": slower, "off_kernel": slower - expected,
                                     "reached": np.isfinite(slower)})])  # fmt: skip


def _permuted(streams: Streams) -> pd.DataFrame:
    """Train in float64 on images, and on shuffled images with and without the first weights permuted."""
    X, y, X_test, _ = _images(TRUE, N, streams)
    order = streams.rng("pixels").permutation(X.shape[1])
    plain, moved, unmoved = (_network(X.shape[1], streams, torch.float64) for _ in range(3))
    with torch.no_grad():
        first = cast("nn.Linear", moved[0]).weight
        first.copy_(first[:, torch.from_numpy(order)].clone())
    images = torch.from_numpy(np.concatenate([X, X[:, order]]))
    subsets = [np.arange(N), np.arange(N, 2 * N), np.arange(N, 2 * N)]
    recipe = Recipe(RECIPE.steps // 4, RECIPE.learning_rate, RECIPE.batch_size)
    targets = torch.from_numpy(np.tile(y, 2))
    networks.train([plain, moved, unmoved], images, targets, recipe, streams.seed("order"), subsets=subsets)
    with torch.no_grad():
        expected = plain(torch.from_numpy(X_test))
        off = [float((net(torch.from_numpy(X_test[:, order])) - expected).abs().max()) for net in (moved, unmoved)]
    return tidy({"moved": off[0], "unmoved": off[1]})


def _linear(streams: Streams) -> pd.DataFrame:
    """Fit random labels by least squares: what is left, over what theory leaves."""
    X, _, _, _ = _images(TRUE, N, streams)
    A = np.column_stack([X, np.ones(N)])
    U, sizes, _ = np.linalg.svd(A, full_matrices=False)
    rank = int(np.sum(sizes > max(A.shape) * np.finfo(float).eps * sizes[0]))
    basis = U[:, :rank]
    left, wrong = [], []
    for draw in streams.rng("label noise").spawn(LABEL_DRAWS):
        labels = draw.integers(CLASSES, size=N)
        Y = np.eye(CLASSES)[labels] - 1 / CLASSES
        fitted = basis @ (basis.T @ Y)
        left.append(((Y - fitted) ** 2).sum() / (Y**2).sum())
        wrong.append(np.mean(fitted.argmax(axis=1) != labels))
    return tidy({"left": np.mean(left) - (1 - rank / N), "train_error": np.mean(wrong), "rank": rank})


# ---- predictions -------------------------------------------------------------------------------------------------


def predict(cells: Sequence[Cell], measured: pd.DataFrame) -> pd.DataFrame:
    """Predict chance at the rate 1, and the residual that the kernel leaves."""
    chance = 1 - 1 / CLASSES
    rows = [pd.DataFrame({"arm": [RANDOM], "quantity": "test_error", "value": chance})]
    rates = np.sort(np.concatenate([REDRAWN[arm] for arm in CORRUPTED]))
    rows.append(pd.DataFrame({"arm": RATES, "quantity": "redrawn", "rate": rates, "value": chance * rates}))
    for label in WIDE_STEPS:
        kernel = measured[measured["quantity"] == f"kernel, {label}"]
        means = kernel.groupby(["arm", "step"], as_index=False)["value"].mean()
        rows.append(means.assign(quantity=f"residual, {label}"))
    return pd.concat(rows, ignore_index=True)


# ---- claims ------------------------------------------------------------------------------------------------------


# fmt: off
def _claim(id: str, arm: str | tuple[str, ...], quantity: str, relation: Relation, statement: str,
           over: str | tuple[str, ...] = (), **options: Any) -> Claim:
    arms = (arm,) if isinstance(arm, str) else arm
    return claim_about(id, Select(quantity, over=over), relation, statement, arms=arms, **options)


def _against_true(id: str, arm: str, quantity: str, relation: Relation, statement: str, **options: Any) -> Claim:
    """Return a claim about what an arm has more than true labels have, of which it may have more replicates."""
    def statistic(rows: pd.DataFrame) -> Any:
        found, true = (Select(quantity, name).measured(rows) for name in (arm, TRUE))
        return found.loc[true.index] - true

    return Claim(id, statement, statistic, relation, arms=(arm, TRUE), quantities=(quantity,), **options)


def _shuffling(id: str, arm: str, relation: Relation, statement: str, **options: Any) -> Claim:
    return _claim(id, arm, "test_error", relation, statement, over="condition",
                  by=lambda table: (table[SHUFFLED] - table[TRUE]).to_frame("difference"), **options)


def _deviation(rows: pd.DataFrame) -> Any:
    """Return by how many binomial standard deviations the errors of all replicates together are off chance."""
    wrong, tests = (Select(name, RANDOM).measured(rows).to_numpy().sum() for name in ("fresh_errors", "tests"))
    return np.array([[(wrong - 0.9 * tests) / np.sqrt(0.09 * tests)]])


TWICE = Greater(float(np.log(2.0)))

study = Study(
    name="randomization",
    title="Random labels, random pixels",
    summary=(
        "One network and one recipe fit true labels, random ones and noise without an error. Random labels leave "
        "chance, partial corruption a gap that rises with the rate, and take longer by the factor that the kernel of a "
        "wide network gives. A fully connected network does not see a permutation of pixels; a convolutional one does."
    ),
    references=(
        "Zhang, Bengio, Hardt, Recht, Vinyals, Understanding deep learning requires rethinking generalization, ICLR "
        "2017",
        "Arora, Du, Hu, Li, Wang, Fine-grained analysis of optimization and generalization for overparameterized "
        "two-layer neural networks, ICML 2019",
        "Greydanus, Kobak, Scaling down deep learning with MNIST-1D, ICML 2024",
    ),
    version="1",
    cell_version="2",
    cells=cells,
    measure=measure,
    predict=predict,
    guards=(
        guard_values("fitted", "networks make no error on their training set", "train_error", lambda v: v == 0.0,
                     ("chance", "binomial", "gap-rises", "slower", "signals-shuffled", "convolution-shuffled"),
                     (*DIGITS, RATES, SIGNALS, CONVOLUTION)),
        guard_values("reached", f"the wide network gets to {RESIDUAL:g} of the residual on random labels", "reached",
                     lambda v: v == 1.0, ("kernel",), (WIDE,)),
    ),
    claims=(
        *(_claim(f"memorizes-{name}", arm, "train_error", Identity(0.0), f"no training error is left: {arm}", over=over)
          for name, arm, over in (("true", TRUE, ()), ("random", RANDOM, ()), ("shuffled", SHUFFLED, ()),
                                  ("pixels", PIXELS, ()), ("noise", NOISE, ()), ("rates", CORRUPTED, "rate"),
                                  ("signals", SIGNALS, "condition"), ("convolutions", CONVOLUTION, "condition"))),
        _claim("chance", RANDOM, "test_error", Equal(0.05), "after random labels 1 - 1/K of clean test labels are "
               "wrong", theory="test_error"),
        Claim("binomial", "and of test labels drawn at random as many as a binomial law allows, all replicates "
              "together: 4 standard deviations, which chance exceeds once in 10^4", _deviation, Identity(4.0),
              arms=(RANDOM,), quantities=("fresh_errors", "tests")),
        _claim("gap-rises", CORRUPTED, "gap", Greater(), "the gap between test and training error rises from each rate "
               "to the next, test labels clean", over="rate", by=lambda table: table.diff(axis=1).iloc[:, 1:]),
        _claim("noisy-test", CORRUPTED, "noisy_excess", Curve(0.015, absolute=True), "test labels redrawn at the same "
               "rate p turn a share e of errors into (1 - p) e + p (1 - 1/K)", over="rate"),
        _against_true("slower", RANDOM, "fit", TWICE, "random labels take more than twice the steps"),
        _claim("kernel", WIDE, "off_kernel", Equivalent(float(np.log(1.1))), "for a wide network by the factor that "
               "the eigenvalues of its kernel at the start give, to the tenth by which that may move",
               kind="conditional"),
        _claim("permuted", PERMUTED, "moved", Identity(1e-8), "with the first weights permuted as the pixels are, the "
               "fully connected network ends the same, up to rounding"),
        _against_true("shuffled", SHUFFLED, "test_error", Equivalent(0.02), "with weights as drawn it has the same "
                      "test error on shuffled digits, to 2 %"),
        _shuffling("signals-shuffled", SIGNALS, Equivalent(0.03), "and on shuffled signals, to 3 %"),
        _shuffling("convolution-shuffled", CONVOLUTION, Greater(0.05), "a convolutional network errs on 5 % more of "
                   "the signals when their positions are shuffled"),
        _claim("linear-residual", LINEAR, "left", Equal(0.005, absolute=True), "a linear model of rank r leaves 1 - "
               "r/n of the variance of random labels"),
    ),
    controls=(
        _claim("linear-memorizes", LINEAR, "train_error", Identity(0.0), "the linear model memorises random labels, "
               "n > d", protects=("memorizes-true", "memorizes-random", "memorizes-rates", "linear-residual")),
        _claim("true-binomial", TRUE, "test_error", Equal(0.05), "after true labels as many clean test labels are "
               "wrong as by chance", target=1 - 1 / CLASSES, protects=("chance", "binomial")),
        _claim("clean-as-noisy", CORRUPTED, "test_error", Curve(0.05, absolute=True), "test labels left clean are "
               "missed as often as those redrawn at the rate are by who knows the truth, p (1 - 1/K)",
               over="rate", theory="redrawn", protects=("gap-rises", "noisy-test")),
        _against_true("shuffled-slower", SHUFFLED, "fit", TWICE, "shuffled pixels take more than twice the steps",
                      protects=("slower",)),
        _claim("flat-kernel", WIDE, "slow_down", Equivalent(float(np.log(1.1))), "a kernel with equal eigenvalues, "
               "under which all labels take the same time", protects=("kernel",)),
        _claim("unmoved", PERMUTED, "unmoved", Identity(1e-8), "without permuting the weights it ends the same too",
               protects=("permuted",)),
        _shuffling("convolution-blind", CONVOLUTION, Equivalent(0.03), "the convolutional network has the same test "
                   "error on shuffled signals, to 3 %",
                   protects=("shuffled", "signals-shuffled", "convolution-shuffled")),
    ),
    figures=(
        Figure("curves", f"Digits, n = {N}: one recipe for all", "train_loss course", "step", "steps of SGD",
               "training cross-entropy (nats)", DIGITS, "log", "log"),
        Figure("test", f"Digits, n = {N}: what is learnt", "test_error course", "step", "steps of SGD",
               "share of wrong test labels", DIGITS, "log"),
        Figure("gap", f"Digits, n = {N}: corrupted labels", "gap", "rate", "share of training labels redrawn",
               "test error less training error", CORRUPTED),
        Figure("fit", f"Digits, n = {N}: corrupted labels", "fit", "rate", "share of training labels redrawn",
               "log of the steps to no training error", CORRUPTED),
        *(Figure(f"residual-{name.split()[0]}", f"A wide network and its kernel: {name}", f"residual, {name}", "step",
                 "steps of gradient descent", "squared residual", (WIDE,), "log", "log") for name in WIDE_STEPS),
    ),
    depends_on=("pyphenom.networks", "pyphenom.data", "pyphenom.theory"),
    deviations=(
        f"Zhang et al. train Inception, AlexNet and networks of 512 units on CIFAR-10 and ImageNet; here {WIDTH} units "
        f"learn {N} digits of scikit-learn, and a convolutional network MNIST-1D, within a minute.",
        "The rate of SGD falls linearly to zero, so that training ends without an error; theirs falls by 5 % an epoch.",
        "A time to fit is read at steps a sixth apart at most.",
        "That time follows from the kernel for the squared loss, steps on all samples and a network so wide that its "
        "kernel hardly moves; the time to fit above is that of SGD on the cross-entropy.",
        "The kernel is that of the network at the start, without the products of different outputs, whose mean is 0; "
        "the mean over weights instead had left the claim open. With 512 units the kernel moved, and random labels "
        "were fit in 9 % less time than it says.",
        "The margins of shuffled signals were chosen in a trial on one seed, the recipes in several, so that no error "
        "is left: 500 steps at the rate 0.1 had left one in 100 networks. Signals come in batches of 25, as a "
        "convolutional network then gains more from their order than in batches of 50.",
    ),
)
# fmt: on
