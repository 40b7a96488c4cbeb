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
from scipy.sparse.linalg import LinearOperator, aslinearoperator, eigsh
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from pyphenom import data, networks
from pyphenom.networks import Recipe
from pyphenom.studies import (
    Cell,
    Claim,
    Curve,
    Equal,
    Equivalent,
    Figure,
    Greater,
    Guard,
    Identity,
    Select,
    Streams,
    Study,
    Within,
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
    "quick": dict.fromkeys((REPLACED, EPOCHS, INJECTED), 24) | dict.fromkeys(ARMS[3:8], 12) | {RESCALED: 3},
    "full": dict.fromkeys(ARMS, 100),
}
ETA = 0.1

# Least squares: a two-level design of N samples, whose curvatures are a fifth to six times 1 / (step size x M).
N, BATCH, CHAINS = 2048, 128, 32
M = N // BATCH
CURVATURES = np.array([0.2, 0.4, 0.8, 1.6, 3.2, 6.4]) / (ETA * M)
FLAT = CURVATURES <= 1.0 / (ETA * M)
BURN_IN, WINDOW = 5, 20  # relaxation times 1 / (step size x curvature) of the flattest direction

# The network at a minimum: weight decay bounds the curvature from below, and flatter directions are not read.
NET_N, NET_BATCH, NET_CHAINS, WIDTH, CLASSES = 1024, 128, 4, 6, 10
NET_M = NET_N // NET_BATCH
DECAY, FLATTEST = 0.003, 0.06
NET_BURN_IN, NET_STEPS = 500, 2000
RECIPE = Recipe(steps=500, learning_rate=0.03, optimiser="adam", weight_decay=DECAY, schedule="linear")
BINS = np.geomspace(FLATTEST, 3.84, 7)
DECADES = 3  # of eigenvalues below the largest, over which the exponent is fitted

# Sharpness against the batch size
SHARP_N, SHARP_WIDTH, ROUNDS, SHARP_RATE = 512, 10, 40, 0.05
BATCHES, REFERENCE = (8, 16, 32, 64, 128), 32
SCALES = (1 / 3, 1 / 2, 2.0, 3.0)


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


def _order(epochs: bool, chains: int, n: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the samples of n / size batches of every chain: of a permutation, or of independent draws."""
    shape = (chains, n // size, size)
    if epochs:
        return rng.permuted(np.tile(np.arange(n), (chains, 1)), axis=1).reshape(shape)
    return rng.integers(0, n, shape)


def _least_squares(arm: str, streams: Streams) -> pd.DataFrame:
    """SGD chains around the solution, taken as the origin; columns of signs make H diagonal and C = H exactly."""
    columns = streams.rng("data").choice(np.arange(1, N), len(CURVATURES) + 1, replace=False)
    signs = hadamard(N, dtype=np.float64)[:, columns]
    X, residuals = signs[:, :-1] * np.sqrt(CURVATURES), signs[:, -1]
    gradients, H = X * residuals[:, None], X.T @ X / N
    rng, w = streams.rng("order"), np.zeros((CHAINS, len(CURVATURES)))
    relaxation = 1.0 / (ETA * CURVATURES[0] * M)  # of the flattest direction, in epochs
    first, count = int(np.ceil(BURN_IN * relaxation)), int(np.ceil(WINDOW * relaxation / 2)) * 2
    halves = np.zeros((2, *w.shape))
    for epoch in range(first + count):
        order = _order(arm == EPOCHS, CHAINS, N, BATCH, rng) if arm != INJECTED else None
        for j in range(M):
            if order is None:
                noise = np.sqrt(np.mean(CURVATURES) / BATCH) * rng.standard_normal(w.shape)
                w = w - ETA * (w * CURVATURES + noise)
            else:
                x, error = X[order[:, j]], residuals[order[:, j]]
                miss = (x @ w[:, :, None])[:, :, 0] - error
                w = w - ETA / BATCH * (miss[:, None] @ x)[:, 0]
            if epoch >= first:
                halves[int(epoch >= first + count // 2)] += w**2
    halves /= count * M / 2
    change = halves[1] - halves[0]
    quantities = {
        "variance": halves.mean(axis=(0, 1)),
        "drift": np.abs(change.mean(axis=0)) / (change.std(axis=0, ddof=1) / np.sqrt(CHAINS)),
        "window": count * M * ETA * CURVATURES,
    }
    noise_misfit = np.abs(gradients.T @ gradients / N - H).max() / H.max()
    return pd.concat([_over("curvature", CURVATURES, quantities), _scalars(noise_misfit=noise_misfit)])


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


def _flat(parameters: Any) -> Array:
    return torch.cat([value.detach().flatten() for value in parameters]).double().numpy()


def _hessian(model: nn.Module, X: Tensor, y: Tensor) -> LinearOperator:
    """Hessian of the mean cross-entropy, by differentiating the gradient along a vector."""
    parameters = list(model.parameters())
    gradient = torch.autograd.grad(cross_entropy(model(X), y), parameters, create_graph=True)
    flat = torch.cat([g.flatten() for g in gradient])

    def product(v: Array) -> Array:
        along = flat @ torch.from_numpy(v.ravel()).to(flat.dtype)
        return _flat(torch.autograd.grad(along, parameters, retain_graph=True))

    return LinearOperator((len(flat), len(flat)), matvec=product, dtype=np.float64)


def _sample_gradients(model: nn.Module, X: Tensor, y: Tensor) -> Array:
    """Gradients (n, P) of the losses of the samples."""
    parameters = {name: value.detach() for name, value in model.named_parameters()}

    def loss(p: dict[str, Tensor], x: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(functional_call(model, p, (x[None],)), target[None])

    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, X, y)
    return torch.cat([g.flatten(1) for g in found.values()], dim=1).double().numpy()


def _curvatures(model: nn.Module, X: Tensor, y: Tensor) -> tuple[Array, Array, Array]:
    """Eigenvalues and eigenvectors of the Hessian, and the gradients of the samples less their mean."""
    H = _hessian(model, X, y) @ np.eye(_flat(model.parameters()).size)
    gradients = _sample_gradients(model, X, y)
    values, vectors = np.linalg.eigh((H + H.T) / 2)
    return values, vectors, gradients - gradients.mean(axis=0)


def _at_the_minimum(streams: Streams) -> pd.DataFrame:
    """Covariance of the gradients against the Hessian."""
    model, X, y = _trained(streams)
    values, vectors, gradients = _curvatures(model, X, y)
    noise = gradients @ vectors
    spectrum = np.linalg.svd(noise, compute_uv=False) ** 2 / len(X)
    rotation, _ = np.linalg.qr(streams.rng("projection").standard_normal(vectors.shape))
    random = sgd_noise.random_alignment(spectrum, values)
    above = random.mean + np.sqrt(19.0) * random.standard_deviation  # Cantelli: below it with 95 %, whatever the law
    norms = np.linalg.norm(spectrum) * np.linalg.norm(values)
    found = {"": (noise**2).mean(axis=0), "rotated ": ((noise @ rotation) ** 2).mean(axis=0)}
    top = values > values[-1] / 10.0**DECADES
    slope = np.polyfit(np.log(values[top]), np.log(found[""][top]), 1)[0]
    gradient = _sample_gradients(model, X, y).mean(axis=0) + DECAY * _flat(model.parameters())
    scalars = _scalars(
        exponent=slope,
        gradient=np.linalg.norm(gradient) / np.sqrt(spectrum.sum()),
        **{f"{name}alignment": values @ c / norms / above for name, c in found.items()},
        **{f"{name}escape": values @ c / (values.sum() * c.mean()) for name, c in found.items()},
    )
    return pd.concat([scalars, _binned(values, noise_variance=found[""])])


def _around_the_minimum(epochs: bool, streams: Streams) -> pd.DataFrame:
    """Variance of the weights along eigenvectors of the Hessian, in chains of SGD from the minimum."""
    model, X, y = _trained(streams)
    values, vectors, gradients = _curvatures(model, X, y)
    read = values + DECAY >= FLATTEST
    curvature, vectors = values[read] + DECAY, vectors[:, read]
    noise = ((gradients @ vectors) ** 2).mean(axis=0)
    stack = networks.Stack([copy.deepcopy(model) for _ in range(NET_CHAINS)])
    parameters, rng, frame = list(stack.parameters.values()), streams.rng("order"), torch.from_numpy(vectors).float()
    path = []
    for step in range(NET_BURN_IN + NET_STEPS):
        if step % NET_M == 0:
            order = torch.from_numpy(_order(epochs, NET_CHAINS, NET_N, NET_BATCH, rng))
        batch = order[:, step % NET_M]
        outputs = stack.outputs(X[batch], shared=False)
        loss = cross_entropy(outputs.flatten(0, 1), y[batch].flatten(), reduction="sum") / NET_BATCH
        with torch.no_grad():
            for value, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                value.sub_(ETA * (g + DECAY * value))
            if step >= NET_BURN_IN:
                path.append(torch.cat([value.flatten(1) for value in parameters], dim=1) @ frame)
    weights = torch.stack(path).double().numpy()  # steps, chains, directions
    variance, (early, late) = weights.var(axis=(0, 1)), (half.var(axis=(0, 1)) for half in np.split(weights, 2))
    formula = {
        False: sgd_noise.iid_variance(curvature, noise, ETA, NET_BATCH),
        True: sgd_noise.epoch_variance(curvature, noise, ETA, NET_BATCH, NET_N),
    }
    flat = curvature < 1.0 / (ETA * NET_M)
    scalars = _scalars(
        slope=np.polyfit(np.log(curvature[flat]), np.log(variance[flat]), 1)[0],
        misfit=np.log(variance / formula[epochs]).mean(),
        iid_misfit=np.log(variance / formula[False]).mean(),
        drift=abs(np.log(late / early).mean()),
        window=NET_STEPS * ETA * curvature.min(),
    )
    return pd.concat([scalars, _binned(curvature, net_variance=variance, formula=formula[epochs])])


def _sharpness(ratio: bool, streams: Streams) -> pd.DataFrame:
    """Train a network with every batch size for the same number of epochs, and find its sharpness."""
    X, y, X_test, y_test = _images(SHARP_N, streams)
    found = []
    for size in BATCHES:
        model = networks.mlp((X.shape[1], SHARP_WIDTH, CLASSES), "relu", streams.seed("init"))
        rate = SHARP_RATE * (size / REFERENCE if ratio else 1.0)
        recipe = Recipe(ROUNDS * (SHARP_N // size), rate, size, schedule="linear")
        networks.train([model], X, y, recipe, streams.seed("order"))
        with torch.no_grad():
            loss, wrong = cross_entropy(model(X), y), (model(X_test).argmax(dim=1) != y_test).double().mean()
        H, w = _hessian(model, X, y), np.abs(_flat(model.parameters()))
        found.append([_largest(H), _largest(_relative(H, w)), loss.item(), wrong.item()])
    names = ("sharpness", "relative_sharpness", "train_loss", "test_error")
    return _over("batch_size", BATCHES, dict(zip(names, np.array(found).T, strict=True)))


def _largest(operator: LinearOperator) -> float:
    start = np.random.default_rng(0).standard_normal(operator.shape[0])
    return float(eigsh(operator, 1, which="LA", v0=start, tol=1e-4, return_eigenvectors=False)[0])


def _relative(H: LinearOperator, weights: Array) -> LinearOperator:
    scale = aslinearoperator(np.diag(weights))
    return scale @ H @ scale


def _rescaled(streams: Streams) -> pd.DataFrame:
    """Multiply the hidden layer of a ReLU network by s and divide the next by it."""
    X, y, _, _ = _images(SHARP_N, streams, torch.float64)
    model = networks.mlp((X.shape[1], WIDTH, CLASSES), "relu", streams.seed("init"), torch.float64)
    networks.train([model], X, y, Recipe(100, 0.03, optimiser="adam"))

    def state(network: nn.Module) -> tuple[Array, Array, float, float]:
        w = _flat(network.parameters())
        H = _hessian(network, X, y) @ np.eye(w.size)
        scaled = np.abs(w)[:, None] * H * np.abs(w)
        return _flat([network(X)]), H, *(float(np.linalg.eigvalsh((A + A.T) / 2)[-1]) for A in (H, scaled))

    outputs, H, plain, relative = state(model)
    found = []
    for s in SCALES:
        changed = copy.deepcopy(model)
        factors = {"0.weight": s, "0.bias": s, "2.weight": 1.0 / s, "2.bias": 1.0}
        with torch.no_grad():
            for name, value in changed.named_parameters():
                value.mul_(factors[name])
        inverse = np.concatenate([np.full(v.numel(), 1.0 / factors[n]) for n, v in changed.named_parameters()])
        formula = float(np.linalg.eigvalsh(inverse[:, None] * (H + H.T) / 2 * inverse)[-1])
        new_outputs, _, new_plain, new_relative = state(changed)
        found.append([
            np.abs(new_outputs - outputs).max() / np.abs(outputs).max(), new_relative / relative - 1.0,
            new_plain / formula - 1.0, new_plain / plain, formula / plain,
        ])  # fmt: skip
    names = ("output_change", "relative_change", "formula_misfit", "plain_ratio", "formula_ratio")
    return _over("scale", SCALES, dict(zip(names, np.array(found).T, strict=True)))


def _over(axis: str, points: Any, quantities: dict[str, Any]) -> pd.DataFrame:
    parts = [pd.DataFrame({axis: points, "quantity": name, "value": value}) for name, value in quantities.items()]
    return pd.concat(parts, ignore_index=True)


def _scalars(**values: Any) -> pd.DataFrame:
    return pd.DataFrame({"quantity": list(values), "value": [float(value) for value in values.values()]})


def _binned(curvature: Array, **quantities: Array) -> pd.DataFrame:
    """Return geometric means over the directions in each bin of curvature, where there are any."""
    bins = np.digitize(curvature, BINS) - 1
    inside = [b for b in range(len(BINS) - 1) if (bins == b).any()]
    centres = np.sqrt(BINS[:-1] * BINS[1:])[inside]
    return _over("curvature", centres, {
        name: [np.exp(np.log(values[bins == b]).mean()) for b in inside] for name, values in quantities.items()
    })  # fmt: skip


# ---- predictions -------------------------------------------------------------------------------------------------


def _variance(arm: str, curvature: Array) -> tuple[Array, Array]:
    """Return the variance in least squares, and what the curvature of batches adds to it."""
    if arm == INJECTED:
        return np.asarray(sgd_noise.iid_variance(curvature, np.mean(CURVATURES), ETA, BATCH)), np.zeros(curvature.shape)

    def formula(at: Array) -> Array:
        if arm == EPOCHS:
            return np.asarray(sgd_noise.epoch_variance(at, at, ETA, BATCH, N))
        return np.asarray(sgd_noise.iid_variance(at, at, ETA, BATCH))

    # A batch is off the Hessian too, by which weights of variance V add sum(curvature V) to the variance of residuals,
    # here 1; that noise need not cancel over an epoch.
    excess = np.sum(CURVATURES * formula(CURVATURES))
    return formula(curvature), excess * np.asarray(sgd_noise.iid_variance(curvature, curvature, ETA, BATCH))


def _slope(variance: Array) -> Any:
    return np.polyfit(np.log(CURVATURES[FLAT]), np.log(variance[FLAT]), 1)[0]


def predict(cells: Sequence[Cell], measured: pd.DataFrame) -> pd.DataFrame:
    """Predict the variances and their exponents; around the network from its measured noise and curvature."""
    curvature = np.union1d(CURVATURES, np.geomspace(CURVATURES[0], CURVATURES[-1], 50))
    tables = []
    for arm in (REPLACED, EPOCHS, INJECTED):
        value, band = _variance(arm, curvature)
        tables.append(pd.DataFrame({"arm": arm, "curvature": curvature, "quantity": "variance", "value": value,
                                    "band": band}))  # fmt: skip
        value, band = _variance(arm, CURVATURES)
        slope = _slope(value)
        column = {"arm": arm, "quantity": "slope", "value": [slope], "band": abs(_slope(value + band) - slope)}
        tables.append(pd.DataFrame(column))
    value, band = _variance(REPLACED, curvature)
    tables.append(pd.DataFrame({"arm": EPOCHS, "curvature": curvature, "quantity": "as if replaced", "value": value,
                                "band": band}))  # fmt: skip
    for given, name, axis in (("formula", "net_variance", "curvature"), ("formula_ratio", "plain_ratio", "scale")):
        rows = measured[measured["quantity"] == given]
        means = np.exp(np.log(rows["value"]).groupby([rows["arm"], rows[axis]]).mean())
        tables.append(means.reset_index().assign(quantity=name, band=0.0))
    return pd.concat(tables, ignore_index=True)


# ---- claims ------------------------------------------------------------------------------------------------------


def _exponent(arm: str) -> Any:
    def statistic(rows: pd.DataFrame) -> Any:
        table = Select("variance", arm, "curvature").measured(rows)
        return [_slope(variance) for variance in table.to_numpy()]

    return statistic


def _curve(id: str, arm: str, statement: str, theory: str = "variance", **options: Any) -> Claim:
    measured, predicted = Select("variance", arm, "curvature").measured, Select(theory, arm, "curvature").predicted
    return Claim(id, statement, measured, Curve(0.10), predicted, arms=(arm,), quantities=("variance", theory),
                 **options)  # fmt: skip


def _slopes(id: str, arm: str, statement: str, theory: str = "", **options: Any) -> Claim:
    def target(rows: pd.DataFrame) -> Any:
        chosen = Select("slope", theory or arm).predicted(rows).iloc[0]
        return chosen["value"], chosen["band"]

    return Claim(id, statement, _exponent(arm), Equal(0.1, absolute=True), target, quantities=("variance", "slope"),
                 arms=tuple({arm, theory or arm}), **options)  # fmt: skip


def _scalar(
    id: str, arm: str, quantity: str, relation: Any, statement: str, log: bool = False, **options: Any
) -> Claim:
    def statistic(rows: pd.DataFrame) -> Any:
        table = Select(quantity, arm).measured(rows)
        return np.log(table) if log else table

    return Claim(id, statement, statistic, relation, arms=(arm,), quantities=(quantity,), **options)


def _growth(arm: str, quantity: str = "sharpness") -> Any:
    """Return the exponent of sharpness in the batch size, a replicate."""

    def statistic(rows: pd.DataFrame) -> Any:
        table = Select(quantity, arm, "batch_size").measured(rows)
        return pd.Series(np.polyfit(np.log(BATCHES), np.log(table.to_numpy()).T, 1)[0], table.index)

    return statistic


def _rank(rows: pd.DataFrame) -> Any:
    table = Select("sharpness", FIXED_RATE, "batch_size").measured(rows)
    return [spearmanr(BATCHES, row).statistic for row in table.to_numpy()]


def _weaker(rows: pd.DataFrame) -> Any:
    return _growth(FIXED_RATE)(rows) - _growth(FIXED_RATIO)(rows)


def _contrast(rows: pd.DataFrame) -> Any:
    slopes = [Select("slope", arm).measured(rows) for arm in (NET_EPOCHS, NET_REPLACED)]
    return slopes[0] - slopes[1]


def _violating(quantity: str, holds: Any) -> Any:
    return lambda rows: rows[(rows["quantity"] == quantity) & ~holds(rows["value"])]


def _rescaling(id: str, quantity: str, statement: str, target: float = 0.0, **options: Any) -> Claim:
    measured = Select(quantity, RESCALED, "scale").measured
    return Claim(id, statement, measured, Identity(1e-9), target, arms=(RESCALED,), quantities=(quantity,), **options)


LINEAR, NETS = (REPLACED, EPOCHS, INJECTED), (NET_REPLACED, NET_EPOCHS)
IN_LINEAR = ("iid-curve", "epoch-curve", "injected-curve", "iid-exponent", "epoch-exponent")
IN_NETWORK = ("network-iid", "network-epochs", "network-contrast")
TENTH = Equivalent(0.1)

# fmt: off
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
    cell_version="1",
    cells=cells,
    measure=measure,
    predict=predict,
    guards=(
        Guard("exact-noise", "the covariance of the gradients is the Hessian, to rounding",
              _violating("noise_misfit", lambda v: v <= 1e-12), claims=IN_LINEAR, arms=LINEAR),
        Guard("window", f"the flattest direction relaxes {WINDOW} times in the window",
              _violating("window", lambda v: v >= WINDOW - 1e-9), claims=IN_LINEAR, arms=LINEAR),
        Guard("stationary", "the halves of the window agree: 7 standard errors over 32 chains come once in 10^7",
              _violating("drift", lambda v: v <= 7.0), claims=IN_LINEAR, arms=LINEAR),
        Guard("gradient", "at the minimum the gradient is below a hundredth of the noise of one sample",
              _violating("gradient", lambda v: v < 0.01), claims=("alignment", "escape", "exponent", *IN_NETWORK),
              arms=(NETWORK,)),
        Guard("network-window", "the flattest direction that is read relaxes ten times in the window",
              _violating("window", lambda v: v >= 10.0), claims=IN_NETWORK, arms=NETS),
        Guard("network-stationary", "the halves of the window agree to a third in the mean over the directions",
              _violating("drift", lambda v: v < np.log(4 / 3)), claims=IN_NETWORK, arms=NETS),
        Guard("trained", "the loss is below a fifth of its start, log 10",
              _violating("train_loss", lambda v: v < np.log(10) / 5),
              claims=("sharpness-rises", "weaker-at-fixed-ratio"), arms=(FIXED_RATE, FIXED_RATIO)),
    ),
    claims=(
        _curve("iid-curve", REPLACED, "batches with replacement: the variance is the formula's at every curvature"),
        _curve("epoch-curve", EPOCHS, "batches of epochs: the variance is the formula's at every curvature"),
        _curve("injected-curve", INJECTED, "isotropic noise: the variance is the formula's"),
        _slopes("iid-exponent", REPLACED, "with replacement the variance has the exponent 0 in the curvature"),
        _slopes("epoch-exponent", EPOCHS, "with epochs an exponent of almost 1, where 1/(step size M) is not reached"),
        _scalar("alignment", NETWORK, "alignment", Greater(float(np.log(2.0))), "the alignment of noise and Hessian is "
                "twice what 95 % of random rotations stay below", log=True),
        _scalar("escape", NETWORK, "escape", Greater(float(np.log(10.0))),
                "Tr(HC) is ten times that of isotropic noise of the same total", log=True),
        _scalar("exponent", NETWORK, "exponent", Within(1.0, 2.0), "along eigenvectors of H, over three decades, the "
                "noise is a power of the curvature between 1 and 2"),
        _scalar("network-iid", NET_REPLACED, "misfit", TENTH, "around the minimum of a network the variance is that "
                "of its quadratic, with replacement, to the tenth left for what is not quadratic", kind="conditional"),
        _scalar("network-epochs", NET_EPOCHS, "misfit", TENTH, "and so with epochs", kind="conditional"),
        Claim("network-contrast", "epochs raise its exponent in the curvature by more than a half", _contrast,
              Greater(0.5), arms=NETS, quantities=("slope",)),
        Claim("sharpness-rises", "at a fixed step size and number of epochs sharpness rises with the batch size, "
              "in rank", _rank, Greater(), arms=(FIXED_RATE,), quantities=("sharpness",)),
        Claim("weaker-at-fixed-ratio", "with a step size proportional to the batch size it rises less, in the "
              "exponent", _weaker, Greater(), arms=(FIXED_RATE, FIXED_RATIO), quantities=("sharpness",)),
        Claim("relative-sharpness-rises", "so does the sharpness relative to the weights", _growth(FIXED_RATE,
              "relative_sharpness"), Greater(), primary=False, arms=(FIXED_RATE,), quantities=("relative_sharpness",)),
        _rescaling("rescaling-outputs", "output_change", "layers rescaled by s and 1/s leave the outputs"),
        _rescaling("rescaling-relative", "relative_change", "and the sharpness relative to the weights"),
        _rescaling("rescaling-plain", "formula_misfit", "and the Hessian becomes DHD, D the inverse factors",
                   kind="conditional"),
    ),
    controls=(
        _curve("epochs-as-replaced", EPOCHS, "the formula of batches with replacement, for epochs", "as if replaced",
               protects=("iid-curve", "epoch-curve", "injected-curve")),
        _slopes("injected-exponent", INJECTED, "the exponent 0, for isotropic noise", REPLACED,
                protects=("iid-exponent", "epoch-exponent")),
        _scalar("rotated-alignment", NETWORK, "rotated alignment", Greater(float(np.log(2.0))),
                "the alignment with a rotated covariance", log=True, protects=("alignment",)),
        _scalar("rotated-escape", NETWORK, "rotated escape", Greater(float(np.log(10.0))),
                "Tr(HC) with a rotated covariance", log=True, protects=("escape", "exponent")),
        _scalar("network-as-replaced", NET_EPOCHS, "iid_misfit", TENTH, "the formula of batches with replacement, "
                "around the network with epochs", kind="conditional", protects=IN_NETWORK),
        Claim("fixed-ratio-rises", "sharpness rises like the root of the batch size where the step size does too",
              _growth(FIXED_RATIO), Greater(0.5), arms=(FIXED_RATIO,), quantities=("sharpness",),
              protects=("sharpness-rises", "weaker-at-fixed-ratio")),
        _rescaling("rescaling-leaves-plain", "plain_ratio", "the rescaled layers leave the plain sharpness", 1.0,
                   protects=("rescaling-outputs", "rescaling-relative", "rescaling-plain")),
    ),
    figures=(
        Figure("variance", "Least squares: variance of the weights", "variance", "curvature", "curvature λ",
               "variance along the direction", LINEAR, "log", "log"),
        Figure("network-variance", "Around the minimum of a network on digits", "net_variance", "curvature",
               "eigenvalue of the Hessian", "variance along the eigenvector", NETS, "log", "log"),
        Figure("noise", "Noise of the gradients of the network", "noise_variance", "curvature",
               "eigenvalue of the Hessian", "variance over samples, along the eigenvector", (NETWORK,), "log", "log"),
        Figure("sharpness", f"Digits, {ROUNDS} epochs: plain sharpness", "sharpness", "batch_size", "batch size B",
               "largest eigenvalue of the Hessian H", (FIXED_RATE, FIXED_RATIO), "log", "log"),
        Figure("relative-sharpness", f"Digits, {ROUNDS} epochs: relative sharpness", "relative_sharpness",
               "batch_size", "batch size B", "largest eigenvalue of |w| H |w|",
               (FIXED_RATE, FIXED_RATIO), "log", "log"),
        Figure("train-loss", f"Digits, {ROUNDS} epochs: how far training went", "train_loss", "batch_size",
               "batch size B", "training cross-entropy (nats)", (FIXED_RATE, FIXED_RATIO), "log", "log"),
        Figure("rescaling", "A ReLU network, its layers rescaled by s and 1/s", "plain_ratio", "scale", "s",
               "plain sharpness over that at s = 1", (RESCALED,), "log", "log"),
    ),
    depends_on=("pyphenom.networks", "pyphenom.data", "pyphenom.theory"),
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
        "The formulas are for additive noise. Least squares adds the noise of the curvature of batches, a stated band.",
        "The numbers of replicates are ours.",
    ),
)
# fmt: on
