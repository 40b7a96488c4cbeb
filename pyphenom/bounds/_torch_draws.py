"""The two ways to train and to draw a Gaussian network: native kernels where they have it, torch for any other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyphenom.bounds import _torch_gaussian
from pyphenom.bounds._torch_gaussian import GaussianNetwork, Show
from pyphenom.bounds._torch_model import widths
from pyphenom.bounds.bound_optimisation import optimise_bound
from pyphenom.bounds.gaussian_draws import draws as native_draws
from pyphenom.bounds.gaussian_mlp import GaussianMLP
from pyphenom.bounds.held_out import test_set
from pyphenom.bounds.ledger import HeldOut, Loss, MonteCarlo
from pyphenom.bounds.posterior import Posterior
from pyphenom.bounds.rows import Rows
from pyphenom.bounds.split import Parts
from pyphenom.bounds.training import Training

NATIVE, TORCH = "Philox, native", "Mersenne twister, torch"
PRIOR_MEAN, POSTERIOR_MEAN = "the prior's mean network", "the posterior's mean network"


def train_posterior(
    network: GaussianNetwork, X: Tensor, y: Tensor, parts: Parts, how: Training, delta: float, seed: int, progress: Show
) -> Posterior:
    """Train a posterior from its prior on the bound's part, and return it with the buffers as they were."""
    before = {name: value.clone() for name, value in network.model.named_buffers()}
    rows = torch.from_numpy(parts.bound)
    shape = widths(network.layers) if network.layers is not None and X.device.type == "cpu" else None
    kept = _saved(network, parts, shape)
    if how.epochs and shape is not None:
        start = native(kept)
        found = optimise_bound(
            start, start, X[rows].flatten(1), y[rows], delta=delta, epochs=how.epochs, batch=how.batch,
            learning_rate=how.learning_rate, momentum=how.momentum, pmin=how.floor, seed=seed, progress=progress,
        )  # fmt: skip
        if found.status != "ok":
            raise ValueError(_DIVERGED)
        _take(network, found.posterior)
    elif how.epochs:
        _torch_gaussian.optimise(
            network, X[rows], y[rows], n=len(parts.bound), delta=delta, floor=how.floor, epochs=how.epochs,
            batch=how.batch, learning_rate=how.learning_rate, momentum=how.momentum, seed=seed, progress=progress,
        )  # fmt: skip
    if not all(bool(torch.isfinite(value).all()) for value in network.parameters()):
        raise ValueError(_DIVERGED)
    for name, value in network.model.named_buffers():
        if not torch.equal(value, before[name]):
            raise ValueError(
                f"`model` changes its buffer {name!r} in evaluation mode: the bound's points moved it, outside of the "
                "KL. Expected buffers that are frozen with the prior"
            )
    return _saved(network, parts, shape)


def draw(
    posterior: Posterior,
    network: GaussianNetwork,
    X: Tensor,
    y: Tensor,
    loss: Loss,
    scheme: str,
    passes: int,
    seed: int,
    training_seed: int,
    generator: str | None,
    progress: Show,
) -> MonteCarlo:
    """Return the losses of fresh draws on the bound's rows, by the named generator or by the fastest at hand."""
    rows = torch.from_numpy(posterior.bound_rows)
    x, labels = X[rows], y[rows]
    if scheme == "one network":
        state = {
            name: torch.from_numpy(h).to(X.device) for name, h in zip(network.names, posterior.sample, strict=True)
        }
        return MonteCarlo(scheme, (_torch_gaussian.total_loss(network, x, labels, loss, state),), len(rows), seed,
                          training_seed, TORCH)  # fmt: skip
    if generator is None:
        generator = NATIVE if scheme == "independent" and posterior.widths and X.device.type == "cpu" else TORCH
    if generator == NATIVE:
        size, total = len(rows), len(rows) * passes
        found = native_draws(
            native(posterior), x.flatten(1), labels, passes, seed, pmin=loss.floor or 1e-5,
            progress=lambda done, _: progress(min(passes, done // size), passes) if done < total else None,
        )  # fmt: skip
        progress(passes, passes)
        values = found.errors if loss.kind == "zero-one" else found.cross_entropy
        sums = tuple(float(value) for value in values)
    else:
        sums = _torch_gaussian.draw(network, x, labels, loss, scheme, passes, seed, progress)
    return MonteCarlo(scheme, sums, len(rows), seed, training_seed, generator)


def sampled(posterior: Posterior, network: GaussianNetwork, seed: int) -> Posterior:
    """Return the posterior with one network drawn from it, the first of the stream."""
    with torch.no_grad():
        weights = network.weights(_torch_gaussian.Stream(seed, 0, 0, network.mean[0]))
    return replace(posterior, sample=tuple(value.cpu().numpy() for value in weights.values()))


def test_bounds(
    posterior: Posterior,
    network: GaussianNetwork,
    X: Tensor,
    y: Tensor,
    test: tuple[Tensor, Tensor] | None,
    delta: float,
    candidates: int,
) -> tuple[HeldOut, ...]:
    """Return the test bounds: of the prior's mean on the bound's rows, of the posterior's mean on test points."""
    found = []
    data, labels = X.cpu().numpy(), y.cpu().numpy()
    if len(posterior.test_rows):
        rows = torch.from_numpy(posterior.test_rows)
        wrong = count_errors(network, posterior.mean, X[rows], y[rows])
        found.append(_held_out(POSTERIOR_MEAN, wrong, Rows.of(posterior.test_rows, data, labels), delta))
    if test is not None:
        wrong = count_errors(network, posterior.mean, *test)
        every = np.arange(len(test[0]))
        rows_of_test = Rows.of(every, test[0].cpu().numpy(), test[1].cpu().numpy())
        found.append(_held_out(POSTERIOR_MEAN, wrong, rows_of_test, delta))
    # The choice among candidates was made with these points in sight.
    rows = torch.from_numpy(posterior.bound_rows)
    wrong = count_errors(network, posterior.prior_mean, X[rows], y[rows])
    found.append(_held_out(PRIOR_MEAN, wrong, Rows.of(posterior.bound_rows, data, labels), delta / candidates))
    return tuple(found)


test_bounds.__test__ = False  # type: ignore[attr-defined]


def count_errors(network: GaussianNetwork, weights: tuple[Any, ...], X: Tensor, y: Tensor) -> int:
    """Return how many points the network of these weights gets wrong."""
    state = _state(network, weights, X)
    return round(_torch_gaussian.total_loss(network, X, y, Loss("zero-one"), state))


def native(posterior: Posterior) -> GaussianMLP:
    """Return the network as the native kernel has it."""
    mean = np.concatenate([value.ravel() for value in posterior.mean])
    log_scale = np.concatenate([value.ravel() for value in posterior.log_scale])
    return GaussianMLP(mean, log_scale, posterior.widths, posterior.activation)


_DIVERGED = (
    "the training of the posterior diverged: its weights are not finite. Lower the `learning_rate` of `training`, or "
    "scale `X` down"
)


def _state(network: GaussianNetwork, weights: tuple[Any, ...], X: Tensor) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value).to(X.device) for name, value in zip(network.names, weights, strict=True)}


def _held_out(predictor: str, wrong: int, rows: Rows, delta: float) -> HeldOut:
    return HeldOut(predictor, wrong, rows, delta, float(test_set(wrong, rows.count, delta)))


def _saved(network: GaussianNetwork, parts: Parts, shape: tuple[tuple[int, ...], str] | None) -> Posterior:
    def arrays(values: Any) -> tuple[Any, ...]:
        return tuple(value.detach().cpu().numpy().copy() for value in values)

    sizes, activation = shape or ((), "")
    return Posterior(
        network.names, arrays(network.mean), arrays(network.log_scale), arrays(network.prior_mean), network.prior_scale,
        parts.prior, parts.bound, parts.test,
        {name: value.cpu().numpy().copy() for name, value in network.model.named_buffers()}, sizes, activation,
    )  # fmt: skip


def _take(network: GaussianNetwork, found: GaussianMLP) -> None:
    end = 0
    with torch.no_grad():
        for mean, rho in zip(network.mean, network.log_scale, strict=True):
            place, end = slice(end, end + mean.numel()), end + mean.numel()
            mean.copy_(torch.from_numpy(found.mean[place]).reshape(mean.shape))
            rho.copy_(torch.from_numpy(found.log_scale[place]).reshape(rho.shape))
