"""Flatness: the noise of SGD against the curvature of the loss, and sharpness against the batch size.

At a minimum the gradients of single samples vary most where the loss is curved most, so that SGD moves little in flat
directions. By how much depends on how batches are drawn. Least squares with residuals of one size has a noise that is
proportional to the curvature: with replacement the weights then vary equally in all directions, and with epochs, whose
batches add up to the full gradient, in proportion to the curvature where it is small. Small networks show the same
change of the exponent, a noise aligned with the Hessian, and a sharpness that rises with the batch size.

The largest eigenvalue of the Hessian is no property of the function: ReLU layers may be rescaled against each other.
That of |w| H |w|, weights as a diagonal matrix, is the curvature to relative changes, and stays (Kwon et al. 2021).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.linalg import hadamard
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from pyphenom import curvature, data, networks
from pyphenom.networks import Recipe
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
    Within,
    claim_about,
    guard_values,
    tidy,
)
from pyphenom.studies.study import Preset
from pyphenom.theory import sgd_noise

Array: TypeAlias = NDArray[np.float64]

REPLACED, EPOCHS, INJECTED = "with replacement", "epochs", "isotropic noise"
NETWORK, NET_REPLACED, NET_EPOCHS = "digits network", "digits, with replacement", "digits, epochs"
FIXED_RATE, FIXED_RATIO, RESCALED = "fixed step size", "step size proportional to B", "rescaled ReLU network"
ARMS = (REPLACED, EPOCHS, INJECTED, NETWORK, NET_REPLACED, NET_EPOCHS, FIXED_RATE, FIXED_RATIO, RESCALED)
REPLICATES = {
    "smoke": dict.fromkeys(ARMS, 1) | {RESCALED: 2},
    "quick": {REPLACED: 18, EPOCHS: 10, INJECTED: 18}
    | {NETWORK: 8, NET_REPLACED: 10, NET_EPOCHS: 6, FIXED_RATE: 6, FIXED_RATIO: 6, RESCALED: 4},
    "full": dict.fromkeys(ARMS, 100),
}
ETA = 0.1

# Least squares: a two-level design of N samples, whose curvatures are a fifth to six times 1 / (step size x M).
N, BATCH, CHAINS = 2048, 128, 32
M = N // BATCH
CURVATURES = np.array([0.2, 0.4, 0.8, 1.6, 3.2, 6.4]) / (ETA * M)
FLAT = CURVATURES <= 1.0 / (ETA * M)
BURN_IN, WINDOW = 3, 20  # relaxation times 1 / (step size x curvature) of the flattest direction

# The network at a minimum: weight decay bounds the curvature from below, and flatter directions are not read.
NET_N, NET_BATCH, NET_CHAINS, WIDTH, CLASSES = 1024, 128, 6, 6, 10
NET_M = NET_N // NET_BATCH
DECAY, FLATTEST = 0.003, 0.06
NET_BURN_IN, NET_STEPS = 500, 1700
RECIPE = Recipe(steps=300, learning_rate=0.05, optimiser="adam", weight_decay=DECAY, schedule="linear")
BINS = np.geomspace(FLATTEST, 3.84, 6)
DECADES = 3  # of eigenvalues below the largest, over which the exponent is fitted

# Sharpness against the batch size
SHARP_N, SHARP_WIDTH, ROUNDS, SHARP_RATE = 512, 16, 40, 0.1
BATCHES, REFERENCE = (16, 32, 64, 128), 64
SCALES, RESCALED_N = (1 / 3, 1 / 2, 1.0, 2.0, 3.0), 256  # exact for any samples


# ---- cells and measurement ---------------------------------------------------------------------------------------


def cells(preset: Preset) -> list[Cell]:
    """Every arm once a replicate; arms with the same network train it anew, from the same streams."""
    return [Cell(arm, {}, k) for arm, count in REPLICATES[preset].items() for k in range(count)]


def measure(cell: Cell, streams: Streams) -> pd.DataFrame:
    """Measure one arm once."""
    if cell.arm in (REPLACED, EPOCHS, INJECTED):
        return _least_squares(cell.arm, streams)
    if cell.arm == NETWORK:
        return _at_the_minimum(streams)
    if cell.arm in (NET_REPLACED, NET_EPOCHS):
        return _around_the_minimum(cell.arm == NET_EPOCHS, streams)
    if cell.arm == RESCALED:
        return _rescaled(streams)
    return _sharpness(cell.arm == FIXED_RATIO, streams)


def _least_squares(arm: str, streams: Streams) -> pd.DataFrame:
    """SGD chains around the solution, taken as the origin; columns of signs make H diagonal and C = H exactly."""
    columns = streams.rng("data").choice(np.arange(1, N), len(CURVATURES) + 1, replace=False)
    signs = hadamard(N, dtype=np.int8)[:, columns].astype(np.float64)
    X, residuals = signs[:, :-1] * np.sqrt(CURVATURES), signs[:, -1]
    gradients, H = X * residuals[:, None], X.T @ X / N
    relaxation = 1.0 / (ETA * CURVATURES[0] * M)  # of the flattest direction, in epochs
    first, count = int(np.ceil(BURN_IN * relaxation)), int(np.ceil(WINDOW * relaxation / 2)) * 2
    halves = networks.least_squares_chains(
        X, residuals, epochs=arm == EPOCHS, chains=CHAINS, size=BATCH, step_size=ETA, burn_in=first, passes=count,
        rng=streams.rng("order"), noise=np.sqrt(np.mean(CURVATURES) / BATCH) if arm == INJECTED else None,
    )  # fmt: skip
    change = halves[1] - halves[0]
    quantities = {
        "variance": halves.mean(axis=(0, 1)),
        "drift": np.abs(change.mean(axis=0)) / (change.std(axis=0, ddof=1) / np.sqrt(CHAINS)),
        "window": count * M * ETA * CURVATURES,
    }
    noise_misfit = np.abs(gradients.T @ gradients / N - H).max() / H.max()
    return pd.concat([tidy(quantities, curvature=CURVATURES), tidy({"noise_misfit": noise_misfit})])


def _images(n: int, streams: Streams, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test images and labels."""
    images = data.digits()
    order = streams.rng("data").permutation(len(images))
    X, y = torch.from_numpy(images.pixels[order] / 16.0).to(dtype), torch.from_numpy(images.labels[order])
    return X[:n], y[:n], X[n:], y[n:]


def _trained(streams: Streams) -> tuple[nn.Module, Tensor, Tensor]:
    X, y, _, _ = _images(NET_N, streams)
    model = networks.mlp((X.shape[1], WIDTH, CLASSES), "tanh", streams.seed("init"))
    networks.train([model], X, y, RECIPE)
    return model, X, y


def _weights(model: nn.Module) -> Array:
    return parameters_to_vector(model.parameters()).detach().double().numpy()


def _at_the_minimum(streams: Streams) -> pd.DataFrame:
    """Covariance of the gradients against the Hessian."""
    model, X, y = _trained(streams)
    H, gradients = networks.sample_gradients(model, X, y)
    values, vectors = np.linalg.eigh(H)
    mean = gradients.mean(axis=0)
    noise = (gradients - mean) @ vectors
    spectrum = np.linalg.eigvalsh(noise.T @ noise / len(X))
    rotation, _ = np.linalg.qr(streams.rng("projection").standard_normal(vectors.shape))
    random = sgd_noise.random_alignment(spectrum, values)
    above = random.mean + np.sqrt(19.0) * random.standard_deviation  # Cantelli: below it with 95 %, whatever the law
    norms = np.linalg.norm(spectrum) * np.linalg.norm(values)
    found = {"": (noise**2).mean(axis=0), "rotated ": ((noise @ rotation) ** 2).mean(axis=0)}
    top = values > values[-1] / 10.0**DECADES
    gradient = np.linalg.norm(mean + DECAY * _weights(model)) / np.sqrt(spectrum.sum())
    scalars = {"exponent": _exponent(values[top], found[""][top]), "gradient": gradient}
    for name, c in found.items():
        scalars[f"{name}alignment"] = values @ c / norms / above
        scalars[f"{name}escape"] = values @ c / (values.sum() * c.mean())
    return pd.concat([tidy(scalars), _binned(values, noise_variance=found[""])])


def _around_the_minimum(epochs: bool, streams: Streams) -> pd.DataFrame:
    """Variance of the weights along eigenvectors of the Hessian, in chains of SGD from the minimum."""
    model, X, y = _trained(streams)
    H, gradients = networks.sample_gradients(model, X, y)
    values, vectors = np.linalg.eigh(H)
    read = values + DECAY >= FLATTEST
    values, vectors = values[read] + DECAY, vectors[:, read]
    noise = (gradients @ vectors).var(axis=0)
    weights = networks.network_chains(
        model, X, y, vectors, epochs=epochs, chains=NET_CHAINS, size=NET_BATCH, step_size=ETA, weight_decay=DECAY,
        burn_in=NET_BURN_IN, steps=NET_STEPS, rng=streams.rng("order"),
    )  # fmt: skip
    # Between the chains, at equal times: a drift that they share, of a minimum not quite reached, is no variance.
    early, late = (half.var(axis=1, ddof=1).mean(axis=0) for half in np.split(weights, 2))
    variance = (early + late) / 2
    replaced, formula = (_formula(flag, values, noise, NET_BATCH, NET_N) for flag in (False, epochs))
    formula = formula + sgd_noise.batch_curvature_share(values, noise, formula) * replaced
    flat = values < 1.0 / (ETA * NET_M)
    scalars = {
        "slope": _exponent(values[flat], variance[flat]),
        "misfit": np.log(variance / formula).mean(),
        "iid_misfit": np.log(variance / replaced).mean(),
        "drift": abs(np.log(late / early).mean()),
        "window": NET_STEPS * ETA * values.min(),
    }
    return pd.concat([tidy(scalars), _binned(values, net_variance=variance, formula=formula)])


def _sharpness(ratio: bool, streams: Streams) -> pd.DataFrame:
    """Train a network with every batch size for the same number of epochs, and find its sharpness."""
    X, y, X_test, y_test = _images(SHARP_N, streams)
    found = []
    for size in BATCHES:
        model = networks.mlp((X.shape[1], SHARP_WIDTH, CLASSES), "relu", streams.seed("init"))
        rate = SHARP_RATE * (size / REFERENCE if ratio else 1.0)
        recipe = Recipe(ROUNDS * (SHARP_N // size), rate, size, schedule="linear")
        networks.train([model], X, y, recipe, streams.seed("order"))
        at = curvature.linearize(model, "cross_entropy", X, y)
        relative = _rescaled_by(np.abs(_weights(model)), at.hessian())
        pairs = [curvature.eigsh(operator, 1).to_dict() for operator in (at.hessian(), relative)]
        with torch.no_grad():
            wrong = (model(X_test).argmax(dim=1) != y_test).double().mean().item()
        found.append([*(float(pair["values"][0]) for pair in pairs), at.loss, wrong])
    names = ("sharpness", "relative_sharpness", "train_loss", "test_error")
    return tidy(dict(zip(names, np.array(found).T, strict=True)), batch_size=BATCHES)


def _rescaled_by(scale: Array, H: curvature.Operator) -> curvature.Operator:
    factors = scale.astype(H.dtype)
    return curvature.Operator(len(scale), H.dtype, lambda V: factors * H.rows(factors * V))


def _rescaled(streams: Streams) -> pd.DataFrame:
    """Multiply the hidden layer of a ReLU network by s and divide the next by it."""
    X, y, _, _ = _images(RESCALED_N, streams, torch.float64)
    model = networks.mlp((X.shape[1], WIDTH, CLASSES), "relu", streams.seed("init"), torch.float64)
    networks.train([model], X, y, Recipe(100, 0.03, optimiser="adam"))

    def state(network: nn.Module) -> tuple[Array, Array, Array]:
        at = curvature.linearize(network, "cross_entropy", X, y)
        return np.asarray(at.outputs()), at.hessian() @ np.eye(at.size), np.abs(_weights(network))

    def largest(H: Array, scale: Any = 1.0) -> float:
        scaled = np.multiply.outer(scale, scale) * H
        return float(np.linalg.eigvalsh((scaled + scaled.T) / 2)[-1])

    outputs, H, w = state(model)
    plain_before, relative_before = largest(H), largest(H, w)
    found = []
    for s in SCALES:
        changed, factors = copy.deepcopy(model), (s, s, 1.0 / s, 1.0)  # of weights and biases of the two layers
        inverse = []
        with torch.no_grad():
            for value, factor in zip(changed.parameters(), factors, strict=True):
                value.mul_(factor)
                inverse.append(np.full(value.numel(), 1 / factor))
        new_outputs, new_H, new_w = state(changed)
        plain, formula = largest(new_H), largest(H, np.concatenate(inverse))
        difference = np.abs(new_outputs - outputs).max() / np.abs(outputs).max()
        relative = largest(new_H, new_w) / relative_before - 1.0
        found.append([difference, relative, plain / formula - 1.0, plain / plain_before, formula / plain_before])
    names = ("output_change", "relative_change", "formula_misfit", "plain_ratio", "formula_ratio")
    return tidy(dict(zip(names, np.array(found).T, strict=True)), scale=SCALES)


def _exponent(curvatures: Array, values: Array) -> Any:
    return np.polyfit(np.log(curvatures), np.log(values), 1)[0]


def _binned(curvatures: Array, **quantities: Array) -> pd.DataFrame:
    """Return geometric means over the directions in each bin of curvature, where there are any."""
    bins = np.digitize(curvatures, BINS) - 1
    inside = [b for b in range(len(BINS) - 1) if (bins == b).any()]
    means = {name: [np.exp(np.log(v[bins == b]).mean()) for b in inside] for name, v in quantities.items()}
    return tidy(means, curvature=np.sqrt(BINS[:-1] * BINS[1:])[inside])


# ---- predictions -------------------------------------------------------------------------------------------------


def _formula(epochs: bool, curvatures: Any, noise: Any, size: int, samples: int) -> Array:
    if epochs:
        return np.asarray(sgd_noise.epoch_variance(curvatures, noise, ETA, size, samples))
    return np.asarray(sgd_noise.iid_variance(curvatures, noise, ETA, size))


def _least_squares_theory(arm: str, curvatures: Array) -> tuple[Array, Array]:
    """Return the variance, and as its band what the curvature of batches adds."""
    if arm == INJECTED:
        return _formula(False, curvatures, np.mean(CURVATURES), BATCH, N), np.zeros(curvatures.shape)
    value, own = (_formula(arm == EPOCHS, at, at, BATCH, N) for at in (curvatures, CURVATURES))
    share = sgd_noise.batch_curvature_share(CURVATURES, CURVATURES, own)
    return value, share * _formula(False, curvatures, curvatures, BATCH, N)


def predict(cells: Sequence[Cell], measured: pd.DataFrame) -> pd.DataFrame:
    """Predict the variances and their exponents; around the network from its measured noise and curvature."""
    dense, tables = np.union1d(CURVATURES, np.geomspace(CURVATURES[0], CURVATURES[-1], 50)), []
    for arm, name, source in (*((arm, "variance", arm) for arm in LINEAR), (EPOCHS, "as if replaced", REPLACED)):
        value, band = _least_squares_theory(source, dense)
        tables.append(tidy({name: value}, curvature=dense).assign(arm=arm, band=band))
    for arm in LINEAR:
        value, band = (part[FLAT] for part in _least_squares_theory(arm, CURVATURES))
        slope, other = (_exponent(CURVATURES[FLAT], variance) for variance in (value, value + band))
        tables.append(tidy({"slope": slope}).assign(arm=arm, band=abs(other - slope)))
    for given, name, axis in (("formula", "net_variance", "curvature"), ("formula_ratio", "plain_ratio", "scale")):
        rows = measured[measured["quantity"] == given]
        means = rows.groupby(["arm", axis], as_index=False)["value"].mean()
        tables.append(means.assign(quantity=name, band=0.0))
    return pd.concat(tables, ignore_index=True)


# ---- claims ------------------------------------------------------------------------------------------------------


# fmt: off
def _curve(id: str, arm: str, statement: str, theory: str = "variance", **options: Any) -> Claim:
    return claim_about(id, Select("variance", arm, "curvature"), Curve(0.10), statement, theory=theory, **options)


def _slope(id: str, arm: str, statement: str, theory: str = "", **options: Any) -> Claim:
    def statistic(rows: pd.DataFrame) -> Any:
        table = Select("variance", arm, "curvature").measured(rows)
        return [_exponent(CURVATURES[FLAT], variance[FLAT]) for variance in table.to_numpy()]

    def target(rows: pd.DataFrame) -> Any:
        chosen = Select("slope", theory or arm).predicted(rows).iloc[0]
        return chosen["value"], chosen["band"]

    return Claim(id, statement, statistic, Equal(0.1, absolute=True), target, quantities=("variance", "slope"),
                 arms=tuple({arm, theory or arm}), **options)


def _scalar(id: str, arm: str, quantity: str, relation: Relation, statement: str, **options: Any) -> Claim:
    return claim_about(id, Select(quantity, arm), relation, statement, **options)


def _rescaling(id: str, quantity: str, statement: str, **options: Any) -> Claim:
    return claim_about(id, Select(quantity, RESCALED, "scale"), Identity(1e-9), statement, **options)


def _growth(table: pd.DataFrame) -> Any:
    """Return the exponent of sharpness in the batch size, a replicate."""
    return pd.Series([_exponent(np.array(BATCHES), row) for row in table.to_numpy()], table.index)


def _sharp(id: str, arm: str, relation: Relation, statement: str, by: Any = _growth, quantity: str = "sharpness",
           **options: Any) -> Claim:
    return claim_about(id, Select(quantity, arm, "batch_size"), relation, statement, by=by, **options)


def _rank(table: pd.DataFrame) -> Any:
    return [spearmanr(BATCHES, row).statistic for row in table.to_numpy()]


def _weaker(rows: pd.DataFrame) -> Any:
    fixed, ratio = (_growth(Select("sharpness", arm, "batch_size").measured(rows)) for arm in SHARP)
    return fixed - ratio


def _contrast(rows: pd.DataFrame) -> Any:
    epochs, replaced = (Select("slope", arm).measured(rows) for arm in (NET_EPOCHS, NET_REPLACED))
    return (epochs - replaced).dropna()  # where both were measured


LINEAR, NETS, SHARP = (REPLACED, EPOCHS, INJECTED), (NET_REPLACED, NET_EPOCHS), (FIXED_RATE, FIXED_RATIO)
IN_LINEAR = ("iid-curve", "epoch-curve", "injected-curve", "iid-exponent", "epoch-exponent")
IN_NETWORK = ("network-iid", "network-epochs", "network-contrast")
TENTH = Equivalent(0.1)

study = Study(
    name="flatness",
    title="Flat directions, the noise of SGD, and the batch size",
    summary=(
        "How much SGD moves along a direction follows from the curvature, the variance of the gradients and the way "
        "batches are drawn: with replacement equally in all directions, by epochs less in flat ones, in least squares "
        "and around the minimum of a network. The noise of the network is aligned with its Hessian. Larger batches "
        "end in sharper minima unless the step grows with them; and plain sharpness is changed by a rescaling of ReLU "
        "layers that changes no output, unlike the curvature to relative changes of the weights."
    ),
    references=(
        "Keskar, Mudigere, Nocedal, Smelyanskiy, Tang, On large-batch training for deep learning, ICLR 2017",
        "Zhu, Wu, Yu, Wu, Ma, The anisotropic noise in stochastic gradient descent, ICML 2019",
        "Feng, Tu, The inverse variance-flatness relation in stochastic gradient descent, PNAS 2021",
        "Kuehn, Rosenow, Correlated noise in epoch-based stochastic gradient descent, 2023, arXiv 2306.05300",
        "Noise covariance as a power of the Hessian, exponents from 1 to 2: arXiv 2602.05600",
        "Dinh, Pascanu, Bengio, Bengio, Sharp minima can generalize for deep nets, ICML 2017",
        "Kwon, Kim, Park, Choi, ASAM: adaptive sharpness-aware minimization, ICML 2021 (elementwise)",
    ),
    version="1",
    cell_version="3",
    cells=cells,
    measure=measure,
    predict=predict,
    guards=(
        guard_values("exact-noise", "the covariance of the gradients is the Hessian, to rounding",
               "noise_misfit", lambda v: v <= 1e-12, IN_LINEAR, LINEAR),
        guard_values("window", f"the flattest direction relaxes {WINDOW} times in the window",
               "window", lambda v: v >= WINDOW - 1e-9, IN_LINEAR, LINEAR),
        guard_values("stationary", "the halves of the window agree: 7 standard errors over 32 chains come once in 10^7",
               "drift", lambda v: v <= 7.0, IN_LINEAR, LINEAR),
        guard_values("gradient", "at the minimum the gradient is below a hundredth of the noise of one sample",
               "gradient", lambda v: v < 0.01, ("alignment", "escape", "exponent", *IN_NETWORK), (NETWORK,)),
        guard_values("network-window", "the flattest direction that is read relaxes ten times in the window",
               "window", lambda v: v >= 10.0, IN_NETWORK, NETS),
        guard_values("network-stationary", "the halves of the window agree to a third in the mean over the directions",
               "drift", lambda v: v < np.log(4 / 3), IN_NETWORK, NETS),
        guard_values("trained", "the loss is below a fifth of its start, log 10", "train_loss",
               lambda v: v < np.log(10) / 5, ("sharpness-rises", "weaker-at-fixed-ratio"), SHARP),
    ),
    claims=(
        _curve("iid-curve", REPLACED, "batches with replacement: the variance is the formula's at every curvature"),
        _curve("epoch-curve", EPOCHS, "batches of epochs: the variance is the formula's at every curvature"),
        _curve("injected-curve", INJECTED, "isotropic noise: the variance is the formula's"),
        _slope("iid-exponent", REPLACED, "with replacement the variance has the exponent 0 in the curvature"),
        _slope("epoch-exponent", EPOCHS, "with epochs an exponent of almost 1, where 1/(step size M) is not reached"),
        _scalar("alignment", NETWORK, "alignment", Greater(float(np.log(2.0))), "the alignment of noise and Hessian is "
                "twice what 95 % of random rotations stay below", by=np.log),
        _scalar("escape", NETWORK, "escape", Greater(float(np.log(10.0))),
                "Tr(HC) is ten times that of isotropic noise of the same total", by=np.log),
        _scalar("exponent", NETWORK, "exponent", Within(1.0, 2.0), "along eigenvectors of H, over three decades, the "
                "noise is a power of the curvature between 1 and 2"),
        _scalar("network-iid", NET_REPLACED, "misfit", TENTH, "around the minimum of a network the variance is that "
                "of its quadratic, with replacement, to the tenth left for what is not quadratic", kind="conditional"),
        _scalar("network-epochs", NET_EPOCHS, "misfit", TENTH, "and so with epochs", kind="conditional"),
        Claim("network-contrast", "epochs raise its exponent in the curvature by more than a half", _contrast,
              Greater(0.5), arms=NETS, quantities=("slope",)),
        _sharp("sharpness-rises", FIXED_RATE, Greater(), "at a fixed step size and number of epochs sharpness rises "
               "with the batch size, in rank", by=_rank),
        Claim("weaker-at-fixed-ratio", "with a step size proportional to the batch size its exponent is smaller",
              _weaker, Greater(), arms=SHARP, quantities=("sharpness",)),
        _sharp("relative-sharpness-rises", FIXED_RATE, Greater(), "so does the sharpness relative to the weights",
               quantity="relative_sharpness", primary=False),
        _rescaling("rescaling-outputs", "output_change", "layers rescaled by s and 1/s leave the outputs"),
        _rescaling("rescaling-relative", "relative_change", "and the sharpness relative to the weights"),
        _rescaling("rescaling-plain", "formula_misfit", "and the Hessian becomes DHD, D the inverse factors",
                   kind="conditional"),
    ),
    controls=(
        _curve("epochs-as-replaced", EPOCHS, "the formula of batches with replacement, for epochs", "as if replaced",
               protects=("iid-curve", "epoch-curve", "injected-curve")),
        _slope("injected-exponent", INJECTED, "the exponent 0, for isotropic noise", REPLACED,
                protects=("iid-exponent", "epoch-exponent")),
        _scalar("rotated-alignment", NETWORK, "rotated alignment", Greater(float(np.log(2.0))),
                "the alignment with a rotated covariance", by=np.log, protects=("alignment",)),
        _scalar("rotated-escape", NETWORK, "rotated escape", Greater(float(np.log(10.0))),
                "Tr(HC) with a rotated covariance", by=np.log, protects=("escape", "exponent")),
        _scalar("network-as-replaced", NET_EPOCHS, "iid_misfit", TENTH, "the formula of batches with replacement, "
                "around the network with epochs", kind="conditional", protects=IN_NETWORK),
        _sharp("fixed-ratio-rises", FIXED_RATIO, Greater(0.5), "sharpness rises like the root of the batch size where "
               "the step size does too", protects=("sharpness-rises", "weaker-at-fixed-ratio")),
        _rescaling("rescaling-leaves-plain", "plain_ratio", "the rescaled layers leave the plain sharpness",
                   target=1.0, protects=("rescaling-outputs", "rescaling-relative", "rescaling-plain")),
    ),
    figures=(
        Figure("variance", "Least squares: variance of the weights", "variance", "curvature", "curvature λ",
               "variance along the direction", LINEAR, "log", "log"),
        Figure("network-variance", "Around the minimum of a network on digits", "net_variance", "curvature",
               "eigenvalue of the Hessian", "variance along the eigenvector", NETS, "log", "log"),
        Figure("noise", "Noise of the gradients of the network", "noise_variance", "curvature",
               "eigenvalue of the Hessian", "variance over samples, along the eigenvector", (NETWORK,), "log", "log"),
        Figure("sharpness", f"Digits, {ROUNDS} epochs: plain sharpness", "sharpness", "batch_size", "batch size B",
               "largest eigenvalue of the Hessian H", SHARP, "log", "log"),
        Figure("relative-sharpness", f"Digits, {ROUNDS} epochs: relative sharpness", "relative_sharpness",
               "batch_size", "batch size B", "largest eigenvalue of |w| H |w|", SHARP, "log", "log"),
        Figure("train-loss", f"Digits, {ROUNDS} epochs: how far training went", "train_loss", "batch_size",
               "batch size B", "training cross-entropy (nats)", SHARP, "log", "log"),
        Figure("rescaling", "A ReLU network, its layers rescaled by s and 1/s", "plain_ratio", "scale", "s",
               "plain sharpness over that at s = 1", (RESCALED,), "log", "log"),
    ),
    depends_on=("pyphenom._core", "pyphenom.curvature", "pyphenom.networks", "pyphenom.data", "pyphenom.theory"),
    deviations=(
        f"Keskar et al. and Zhu et al. train convolutional networks; here one hidden layer of {WIDTH} or {SHARP_WIDTH} "
        "units learns the digits of scikit-learn, so that Hessians are exact.",
        "Keskar et al. measure sharpness by the largest loss in a box; here it is an eigenvalue. Whether sharp minima "
        "generalise worse is not claimed; test errors are in the rows.",
        "At a fixed number of epochs smaller batches take more steps and reach a lower loss, and the Hessian of the "
        "cross-entropy falls with the loss. That is part of the rise of sharpness with the batch size.",
        f"Around its minimum the network is held by a weight decay of {DECAY}, without which flat directions never "
        f"become stationary, and directions of curvature below {FLATTEST} are not read. Feng and Tu record SGD without "
        "decay along principal components of the weights; their exponent of 4 in the width is not claimed.",
        f"The exponent of the noise depends on the range: over {DECADES} decades about 1.1, in a trial over two 1.02, "
        "and over the largest decade alone, six directions, 1.5 to 1.9.",
        "The minimum is found by full-batch Adam, and the chains of SGD have no momentum. Sharpness against the batch "
        "size is after SGD with momentum 0.9, its step falling to zero.",
        "The formulas are for additive noise. Batches are off the Hessian too: in least squares what this adds is the "
        "stated band, and around the network the same term is part of the prediction.",
        "The numbers of replicates are ours.",
    ),
)
# fmt: on
