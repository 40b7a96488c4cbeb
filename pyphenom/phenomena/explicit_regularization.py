"""Explicit regularisers on and off: none of them is necessary, and none is enough.

Weight decay, dropout, translated inputs, batch norm and early stopping are switched on and off in all combinations,
on true labels and on random ones (Zhang et al. 2017, Section 3). A network without any of them fits random labels, and
so it does with weight decay, dropout or batch norm: of 1 - 1/K, the gap between test and training error on random
labels, they explain nothing. On true labels the main effect of each, averaged over all settings of the others, is
a small part of that gap; without any of them the network generalises.

All networks of a replicate start alike, see the same batches, translations and dropout masks, and are trained as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, product
from typing import Any, TypeAlias, cast

import numpy as np
import pandas as pd
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional

from pyphenom import data, networks
from pyphenom.networks import Recipe
from pyphenom.networks.regularised import Regularised
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
    tidy,
)
from pyphenom.studies.study import Preset

Array: TypeAlias = NDArray[np.float64]
Setting: TypeAlias = Mapping[str, float]

DIGITS, SIGNALS, ZERO = "digits", "MNIST-1D", "strength zero"
TABLES = (DIGITS, SIGNALS)
REPLICATES = {
    "smoke": {DIGITS: 1, SIGNALS: 1, ZERO: 1},
    "quick": {DIGITS: 7, SIGNALS: 7, ZERO: 2},
    "full": {DIGITS: 60, SIGNALS: 60, ZERO: 10},
}

TRUE, RANDOM = "true labels", "random labels"
DECAY, DROPOUT, SHIFT, NORM, STOP = "weight decay", "dropout", "translations", "batch norm", "early stopping"
REGULARISERS = (DECAY, DROPOUT, SHIFT, NORM, STOP)
NONE, ALL, GAP = "none", "all", "gap on random labels"
USUAL = {DECAY: 5e-4, DROPOUT: 0.2, SHIFT: 1.0, NORM: 1.0}  # the last two are on or off
STRONG: dict[str, Setting] = {"strong weight decay": {DECAY: 0.05}, "strong dropout": {DROPOUT: 0.9}}
SWITCHES = tuple(product((False, True), repeat=len(REGULARISERS)))
CROSSED: tuple[Setting, ...] = tuple(  # early stopping takes no training of its own
    {name: USUAL[name] for name, on in zip(USUAL, switch, strict=True) if on}
    for switch in product((False, True), repeat=len(USUAL))
)
ALONE: dict[str, Setting] = {NONE: {}, **{name: {name: strength} for name, strength in USUAL.items()}}
AT_RANDOM = ALONE | STRONG | {ALL: USUAL}
SINGLE = (NONE, *REGULARISERS, ALL)
FITTED, NOT_FITTED = (NONE, DECAY, DROPOUT, NORM), (SHIFT, STOP, *STRONG, ALL)  # by random labels

CLASSES, WIDTH = 10, 128
CHANCE = 1 - 1 / CLASSES
N, VALIDATION, TEST = 500, 200, 2000  # or as many digits as are left
DRAWS = 3  # of random labels where they are fitted: test errors are means, and the worst training error is shown
GRIDS, REACH = {DIGITS: (8, 8), SIGNALS: (40,)}, {DIGITS: 1, SIGNALS: 2}  # of a translation, in pixels
RECIPE = Recipe(steps=700, learning_rate=0.2, batch_size=50, schedule="linear")
STOPS = 10  # times at which the validation loss is read


# ---- cells and measurement ---------------------------------------------------------------------------------------


def cells(preset: Preset) -> list[Cell]:
    """Every arm once a replicate; all settings of a replicate are trained as one."""
    return [Cell(arm, {}, k) for arm, count in REPLICATES[preset].items() for k in range(count)]


def measure(cell: Cell, streams: Streams) -> pd.DataFrame:
    """Train a network for each setting of the regularisers."""
    with threadpool_limits(1):  # rounding depends on their number
        return _strength_zero(streams) if cell.arm == ZERO else _table(cell.arm, streams)


def _samples(arm: str, streams: Streams) -> tuple[Array, Array, NDArray[np.int64]]:
    """Return the training inputs in all translations, all inputs, and true labels; training samples come first."""
    images = data.digits() if arm == DIGITS else data.mnist1d()
    images = images[streams.rng("data").permutation(len(images))][: N + VALIDATION + TEST]
    mean, scale = images.pixels[:N].mean(axis=0), images.pixels[:N].std()
    moved = _translated(images.pixels[:N].reshape(N, *GRIDS[arm]), REACH[arm])
    return (moved - mean) / scale, (images.pixels - mean) / scale, images.labels


def _translated(images: Array, reach: int) -> Array:
    """Return images (n, ...) moved by up to some pixels either way, filled with 0, as (moves, n, pixels)."""
    n, *grid = images.shape
    padded = np.pad(images, [(0, 0)] + [(reach, reach)] * len(grid))
    windows = sliding_window_view(padded, grid, axis=tuple(range(1, images.ndim)))
    return np.moveaxis(windows.reshape(n, -1, int(np.prod(grid))), 1, 0)


def _table(arm: str, streams: Streams) -> pd.DataFrame:
    """Train all settings on true labels, and those with one regulariser, all or a strong one on random labels."""
    pool, X, y = _samples(arm, streams)
    drawn, seen = np.stack([y] * DRAWS), N + VALIDATION  # validation labels are redrawn too; test labels are not
    for labels, rng in zip(drawn, streams.rng("label noise").spawn(DRAWS), strict=True):
        labels[:seen], _ = data.corrupt_labels(y[:seen], 1.0, CLASSES, rng)
    count, fitted = len(CROSSED), [[*AT_RANDOM].index(name) for name in FITTED]
    settings = (*CROSSED, *[AT_RANDOM[name] for name in FITTED] * (DRAWS - 1), *AT_RANDOM.values())
    labels = np.stack([*[y] * count, *np.repeat(drawn[1:], len(FITTED), axis=0), *[drawn[0]] * len(AT_RANDOM)])
    train, test = _errors(_members(_network(X, streams), settings), pool, X, labels, streams)
    crossed, last = test[:count].reshape((2,) * len(REGULARISERS)), slice(-len(AT_RANDOM), None)
    draws = [np.vstack([part[count : last.start, 0].reshape(-1, len(FITTED)), part[last][fitted, 0]])
             for part in (train, test)]  # fmt: skip
    effects = [*_main_effects(crossed), (draws[1] - draws[0])[:, 0].mean()]
    train[last][fitted, 0], test[last][fitted, 0] = draws[0].max(axis=0), draws[1].mean(axis=0)
    tables = [tidy({"crossed": crossed.ravel()}, setting=[_named(on) for on in SWITCHES]),
              tidy({"effect": effects}, setting=[*REGULARISERS, GAP])]  # fmt: skip
    for name, errors in (("train_error", train), ("test_error", test)):
        true = dict(zip(map(_named, SWITCHES), errors[:count].ravel(), strict=True))
        end, stopped = errors[last].T
        random = dict(zip(AT_RANDOM, end, strict=True)) | {STOP: stopped[0], ALL: stopped[-1]}
        for kind, found, places in ((TRUE, true, SINGLE), (RANDOM, random, (*SINGLE[:-1], *STRONG, ALL))):
            tables.append(tidy({f"{name}, {kind}": [found[place] for place in places]}, setting=places))
    return pd.concat(tables)


def _named(on: Sequence[bool]) -> str:
    names = [name for name, switched in zip(REGULARISERS, on, strict=True) if switched]
    return ALL if all(on) else " + ".join(names) or NONE


def _main_effects(crossed: Array) -> list[float]:
    """Return what each switch, an axis of length 2, changes on average over all settings of the others."""
    return [float(np.diff(crossed, axis=axis).mean()) for axis in range(crossed.ndim)]


# ---- training ----------------------------------------------------------------------------------------------------


def _members(net: nn.Sequential, settings: Sequence[Setting]) -> Regularised:
    strengths = ([setting.get(name, 0.0) for setting in settings] for name in USUAL)
    return Regularised(net, *strengths)


def _network(X: Array, streams: Streams, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    return networks.mlp((X.shape[1], WIDTH, CLASSES), seed=streams.seed("init"), dtype=dtype)


def _batches(seed: int) -> Iterator[Tensor]:
    """Yield batches in the order of `networks.train`."""
    stream, size = np.random.default_rng(seed), cast("int", RECIPE.batch_size)
    while True:
        order = torch.from_numpy(stream.permutation(N))
        for first in range(0, N - size + 1, size):
            yield order[first : first + size]


def _descend(members: Regularised, pool: Array, labels: Tensor, streams: Streams, steps: int) -> Iterator[int]:
    """Take SGD steps, the rate falling to zero at the end, and yield their number."""
    moved, truth = torch.from_numpy(pool).to(members.dropout.dtype), labels[members.order]
    still, every = moved[len(moved) // 2], moved.flatten(0, 1)
    moves, drops, move = streams.rng("translations"), streams.rng("dropout"), members.descent(RECIPE.momentum)
    for step, batch in enumerate(islice(_batches(streams.seed("order")), steps)):
        chosen = torch.from_numpy(moves.integers(len(moved), size=len(batch)))
        uniform = torch.from_numpy(drops.random((len(batch), WIDTH), dtype=np.float32))
        samples = still.index_select(0, batch), every.index_select(0, N * chosen + batch)
        members.differentiate(*samples, truth.index_select(1, batch), uniform)
        move(RECIPE.learning_rate * (1.0 - step / steps))
        yield step + 1


def _errors(members: Regularised, pool: Array, X: Array, labels: NDArray[np.int64], streams: Streams) -> Array:
    """Return errors (training and test, members, at the end and where the validation loss was least)."""
    parts = [N, VALIDATION, len(X) - N - VALIDATION]
    train, held, test = torch.split(torch.from_numpy(X).float(), parts)
    answers, wanted, rest = torch.split(torch.from_numpy(labels), parts, dim=1)
    times = set(np.geomspace(8, RECIPE.steps, STOPS).round().astype(int).tolist())
    best = np.full(len(members), np.inf)
    for step in _descend(members, pool, answers, streams, RECIPE.steps):
        if step in times:
            logits = members.evaluated(held, train)
            losses = functional.cross_entropy(logits.mT, wanted, reduction="none").mean(dim=1).numpy()
            members.stop(losses < best)
            best = np.minimum(losses, best)
    found = np.empty((2, len(members), 2))
    for (i, (x, y)), stopped in product(enumerate(((train, answers), (test, rest))), (False, True)):
        wrong = members.evaluated(x, train, stopped).argmax(dim=2) != y
        found[i, :, int(stopped)] = wrong.double().mean(dim=1).numpy()
    return found


def _strength_zero(streams: Streams) -> pd.DataFrame:
    """Train with all regularisers at strength zero, with each as usual, and by a program that knows none."""
    pool, X, y = _samples(DIGITS, streams)
    recipe, inputs, labels = replace(RECIPE, steps=RECIPE.steps // 4), torch.from_numpy(X), torch.from_numpy(y)
    net = _network(X, streams, torch.float64)
    members = _members(net, [dict.fromkeys(USUAL, 0.0), *(ALONE[name] for name in USUAL)])
    for _ in _descend(members, pool, labels.expand(len(members), -1), streams, recipe.steps):
        pass
    networks.train([net], inputs[:N], labels[:N], recipe, streams.seed("order"))
    with torch.no_grad():
        off = (members.evaluated(inputs, inputs[:N]) - net(inputs)).abs().amax(dim=(1, 2)).tolist()
    return tidy({"at_zero": off[0], "least_change": min(off[1:])})


# ---- predictions -------------------------------------------------------------------------------------------------


def predict(cells: Sequence[Cell], measured: pd.DataFrame) -> pd.DataFrame:
    """Predict chance on random labels, whatever the regularisers, and with no training error left a gap as large."""
    places = [STOP, *AT_RANDOM]
    tables = [tidy({f"test_error, {RANDOM}": CHANCE}, setting=places), tidy({"effect": CHANCE}, setting=[GAP])]
    return pd.concat([table.assign(arm=arm) for table in tables for arm in TABLES], ignore_index=True)


# ---- claims ------------------------------------------------------------------------------------------------------


# fmt: off
def _at(id: str, quantity: str, places: Sequence[str], relation: Relation, statement: str, target: Any = 0.0,
        **options: Any) -> Claim:
    """Say something of errors at some settings, in both tables."""
    select = Select(quantity, over=("arm", "setting"), where=lambda rows: rows["setting"].isin(places))
    return Claim(id, statement, select.measured, relation, target, arms=TABLES, quantities=(quantity,), **options)


def _shares(arm: str) -> Any:
    """Return main effects as shares of the gap on random labels."""
    def statistic(rows: pd.DataFrame) -> Any:
        table = Select("effect", arm, "setting").measured(rows)
        return table[[*REGULARISERS]].div(table[GAP], axis=0)

    return statistic


def _redrawing(rows: pd.DataFrame) -> Any:
    """Return what random labels do to the test error, as a share of that gap."""
    true, random = (Select(f"test_error, {kind}", DIGITS, "setting").measured(rows)[NONE] for kind in (TRUE, RANDOM))
    return (random - true) / Select("effect", DIGITS, "setting").measured(rows)[GAP]


def _way(rows: pd.DataFrame) -> Any:
    """Return how far the plain network gets on the way from chance to the least of all test errors."""
    tables = [Select("crossed", arm, "setting").measured(rows) for arm in TABLES]
    ways = [(CHANCE - table[NONE]) / (CHANCE - table.min(axis="columns")) for table in tables]
    return pd.concat(ways, axis=1)


def _left(rows: pd.DataFrame) -> Any:
    """Return what regularisers change in the test error after random labels that they let be fitted."""
    table = Select(f"test_error, {RANDOM}", over=("setting", "arm")).measured(rows)
    return pd.concat({name: table[name] - table[NONE] for name in FITTED[1:]}, axis=1)


def _effects(id: str, arm: str, statistic: Any, relation: Relation, statement: str, **options: Any) -> Claim:
    return Claim(id, statement, statistic, relation, arms=(arm,), **{"quantities": ("effect",)} | options)


study = Study(
    name="explicit-regularization",
    title="Explicit regularisers, on and off",
    summary=(
        "Weight decay, dropout, translations, batch norm and early stopping in all combinations. None is necessary: "
        "without any, a network fits its labels and generalises. None is sufficient: with those under which random "
        "labels are still fitted, test error is at chance. The main effect of each is a small part of that gap."
    ),
    references=(
        "Zhang, Bengio, Hardt, Recht, Vinyals, Understanding deep learning requires rethinking generalization, ICLR "
        "2017, Section 3 and Table 1",
        "Greydanus, Kobak, Scaling down deep learning with MNIST-1D, ICML 2024",
    ),
    version="1",
    cell_version="3",
    cells=cells,
    measure=measure,
    predict=predict,
    guards=(
        Guard("fitted", "without regularisers no training error is left", lambda rows: rows[
            rows["quantity"].isin([f"train_error, {kind}" for kind in (TRUE, RANDOM)]) & (rows["setting"] == NONE)
            & ~(rows["value"] == 0.0)], arms=TABLES),
    ),
    claims=(
        _at("memorizes", f"train_error, {RANDOM}", (NONE,), Identity(0.0), "random labels are fitted without "
            "regularisers"),
        _at("still-memorizes", f"train_error, {RANDOM}", FITTED[1:], Less(0.01), "and to less than 1 % with weight "
            "decay, dropout or batch norm"),
        _at("stop-memorizing", f"train_error, {RANDOM}", NOT_FITTED, Greater(0.1), "translations, early stopping and "
            "strong regularisers leave more than a tenth of random labels wrong"),
        Claim("gap", "without any, the gap between test and training error on random labels is 1 - 1/K",
              Select("effect", over="arm", where=lambda rows: rows["setting"] == GAP).measured, Curve(0.05), CHANCE,
              arms=TABLES, quantities=("effect",)),
        Claim("not-sufficient", "none is sufficient: with weight decay, dropout or batch norm random labels leave the "
              "same test error, to 3 %", _left, Equivalent(0.03), arms=TABLES, quantities=(f"test_error, {RANDOM}",)),
        _at("chance", f"test_error, {RANDOM}", (*FITTED, *NOT_FITTED), Curve(0.05), "which is 1 - 1/K under any "
            "regulariser", CHANCE, primary=False),
        Claim("not-necessary", "none is necessary: without any the network errs on less than half of what chance does "
              "on digits", Select(f"test_error, {TRUE}", DIGITS, where=lambda rows: rows["setting"] == NONE).measured,
              Less(CHANCE / 2), arms=(DIGITS,), quantities=(f"test_error, {TRUE}",)),
        Claim("most-of-the-way", "and gets more than half of the way from chance to the least error of all settings, "
              "picked on the test set in favour of regularisers", _way, Greater(0.5), arms=TABLES,
              quantities=("crossed",)),
        *(_effects(f"effects-{name}", arm, _shares(arm), Equivalent(0.5), "main effects on the test error are less "
                   f"than half of the gap on random labels: {arm}")
          for name, arm in (("digits", DIGITS), ("signals", SIGNALS))),
        _effects("translations", SIGNALS, lambda rows: Select("effect", SIGNALS, "setting").measured(rows)[SHIFT],
                 Less(-0.05), "regularisers can matter: signals, which are made by moving a template, gain more than "
                 "5 % from translations"),
        Claim("strength-zero", "regularisers at strength zero make no difference, up to rounding, to a program that "
              "knows none", Select("at_zero").measured, Identity(1e-8), arms=(ZERO,), quantities=("at_zero",)),
    ),
    controls=(
        *(_effects(f"explain-{name}", arm, lambda rows, arm=arm: _shares(arm)(rows).abs().max(axis=1), Greater(0.5),
                   f"the largest main effect is half of the gap or more: {arm}", protects=(f"effects-{name}",))
          for name, arm in (("digits", DIGITS), ("signals", SIGNALS))),
        _effects("redrawing", DIGITS, _redrawing, Equivalent(0.5), "redrawing the labels changes the test error by "
                 "less than half of the gap, as a regulariser does",
                 quantities=("effect", f"test_error, {TRUE}", f"test_error, {RANDOM}"),
                 protects=("effects-digits", "effects-signals")),
        _at("true-chance", f"test_error, {TRUE}", (NONE,), Curve(0.05), "after true labels too, test error is at "
            "chance", CHANCE, protects=("gap", "not-sufficient", "not-necessary", "most-of-the-way")),
        _at("strong-memorize", f"train_error, {RANDOM}", tuple(STRONG), Less(0.01), "random labels are fitted with "
            "strong regularisers", protects=("memorizes", "still-memorizes")),
        Claim("no-change", "each regulariser as usual makes no difference either", Select("least_change").measured,
              Identity(1e-8), arms=(ZERO,), quantities=("least_change",), protects=("strength-zero", "translations")),
    ),
    figures=(
        *(Figure(f"effects-{name}", f"{arm}, n = {N}: what each regulariser changes", "effect", "setting",
                 "regulariser", "change of the test error", (arm,))
          for name, arm in (("digits", DIGITS), ("signals", SIGNALS))),
        Figure("true", f"True labels, n = {N}: one regulariser, or all", f"test_error, {TRUE}", "setting",
               "regulariser", "share of wrong test labels", TABLES),
        Figure("random", f"Random labels, n = {N}: test", f"test_error, {RANDOM}", "setting", "regulariser",
               "share of wrong test labels", TABLES),
        Figure("random-train", f"Random labels, n = {N}: training", f"train_error, {RANDOM}", "setting", "regulariser",
               "share of wrong training labels", TABLES),
    ),
    depends_on=("pyphenom.networks", "pyphenom.data"),
    deviations=(
        f"Zhang et al. train Inception, AlexNet and networks of 512 units on CIFAR-10 and ImageNet; here {WIDTH} units "
        f"learn {N} digits of scikit-learn or signals of MNIST-1D.",
        f"Strengths are usual ones, not tuned: weight decay {USUAL[DECAY]:g}, a fifth of the hidden units dropped, "
        "translations by one pixel of a digit or two of a signal. The strong ones, with which random labels are not "
        "fitted, and learning rate and number of steps, after which the others have fitted them, were chosen in trials "
        "on other seeds.",
        f"Early stopping takes the step of the least loss on {VALIDATION} other samples, among {STOPS}; their labels "
        "are redrawn where those of training are.",
        "Batch norm has the statistics of a batch in training, and those of the whole training set, not translated, "
        "in use; it stands before the ReLU, dropout after it.",
        "That random labels are fitted with mild regularisers was claimed to the last one, until in full one network "
        "with dropout of sixty left one of its 500 labels.",
    ),
)
# fmt: on
