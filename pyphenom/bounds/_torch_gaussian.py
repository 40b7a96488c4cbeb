"""A torch network with independent Gaussian parameters: training on a bound's surrogate, and draws to certify it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.random import SeedSequence
from torch import Tensor, nn
from torch.func import functional_call

from pyphenom.bounds._torch_model import stack
from pyphenom.bounds.ledger import Loss
from pyphenom.bounds.posterior import Posterior

BLOCK = 1024  # rows of a pass at a time; fixed, for the noise of the independent scheme is keyed by it

Show = Callable[[int, int], None]


class GaussianNetwork(nn.Module):
    r"""Network with parameters :math:`N(\mu_i, e^{2\rho_i})`, around a copy of a model in evaluation mode.

    Where the model is fully connected (`stack`), an example has its own fresh weights: given its input x to a layer,
    the pre-activations are independent normals of mean :math:`W x+b` and variance
    :math:`\sigma_W^2x^2+\sigma_b^2`, and these are drawn. Any other model is run with weights drawn once a call.

    Parameters
    ----------
    model : torch.nn.Module
        A frozen copy; its weights are the means at the start and the prior's means.
    X : Tensor
        Inputs, for their shape.
    prior_scale : float
    """

    def __init__(self, model: nn.Module, X: Tensor, prior_scale: float) -> None:
        super().__init__()
        self._model = [model]  # in a list: its parameters are none of this module's
        self.layers = stack(model, X)
        self.names = tuple(name for name, _ in model.named_parameters())
        values = [p.detach().clone() for p in model.parameters()]
        self.prior_mean = [value.clone() for value in values]
        self.prior_scale = prior_scale
        self.mean = nn.ParameterList(nn.Parameter(value) for value in values)
        level = math.log(prior_scale)
        self.log_scale = nn.ParameterList(nn.Parameter(torch.full_like(value, level)) for value in values)

    @property
    def model(self) -> nn.Module:
        """The copy that the means were read from; only its architecture and buffers are in use."""
        return self._model[0]

    def outputs(self, x: Tensor) -> Tensor:
        """Return the logits of the mean network."""
        state = dict(zip(self.names, self.mean, strict=True))
        return functional_call(self.model, state, (x,))  # type: ignore[no-any-return]

    def noisy(self, x: Tensor, noise: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
        """Return logits with weights of their own for each example, or drawn once for all where that is not exact."""
        if self.layers is None:
            return self.with_weights(x, self.weights(noise))
        means, scales = (
            dict(zip(self.names, self.mean, strict=True)),
            dict(zip(self.names, self.log_scale, strict=True)),
        )
        for name, layer in self.layers:
            if type(layer) is not nn.Linear:
                x = layer(x)
                continue
            m = x @ means[f"{name}.weight"].T
            v = (x * x) @ torch.exp(2.0 * scales[f"{name}.weight"]).T
            if layer.bias is not None:
                m, v = m + means[f"{name}.bias"], v + torch.exp(2.0 * scales[f"{name}.bias"])
            x = m + torch.sqrt(v) * noise(tuple(m.shape))
        return x

    def weights(self, noise: Callable[[tuple[int, ...]], Tensor]) -> dict[str, Tensor]:
        """Return one draw of all parameters."""
        return {
            name: mean + torch.exp(rho) * noise(tuple(mean.shape))
            for name, mean, rho in zip(self.names, self.mean, self.log_scale, strict=True)
        }

    def with_weights(self, x: Tensor, weights: dict[str, Tensor]) -> Tensor:
        """Return the logits of one network."""
        return functional_call(self.model, weights, (x,))  # type: ignore[no-any-return]

    def kl(self) -> Tensor:
        """Return the relative entropy to the prior, differentiable; certificates compute theirs in float64."""
        total: Any = 0.0
        for mean, rho, centre in zip(self.mean, self.log_scale, self.prior_mean, strict=True):
            u = 2.0 * (rho - math.log(self.prior_scale))
            total = total + 0.5 * (torch.expm1(u) - u + ((mean - centre) / self.prior_scale) ** 2).sum()
        return total  # type: ignore[no-any-return]

    def load(self, posterior: Posterior) -> GaussianNetwork:
        """Take means, scales and buffers of a saved posterior."""
        with torch.no_grad():
            for i, name in enumerate(self.names):
                if i >= len(posterior.names) or tuple(self.mean[i].shape) != posterior.mean[i].shape:
                    raise ValueError(
                        f"`model` has the parameter {name!r} of shape {tuple(self.mean[i].shape)}; expected one of the "
                        f"saved posterior's, {posterior.names[min(i, len(posterior.names) - 1)]!r} in its place"
                    )
                self.mean[i].copy_(torch.from_numpy(posterior.mean[i]))
                self.log_scale[i].copy_(torch.from_numpy(posterior.log_scale[i]))
                self.prior_mean[i].copy_(torch.from_numpy(posterior.prior_mean[i]))
            for name, value in self.model.named_buffers():
                value.copy_(torch.from_numpy(np.asarray(posterior.buffers[name])))
        return self


def bounded_loss(logits: Tensor, y: Tensor, loss: Loss) -> Tensor:
    """Return the loss of each example, in [0, 1]."""
    if loss.kind == "zero-one":
        return (logits.argmax(dim=1) != y).to(torch.float64)
    return bounded_cross_entropy(logits, y, loss.floor or 0.0)


def bounded_cross_entropy(logits: Tensor, y: Tensor, floor: float) -> Tensor:
    """Return min(-ln p_y, ln 1/floor) / ln 1/floor of each example."""
    largest = -math.log(floor)
    values = nn.functional.cross_entropy(logits, y, reduction="none")
    return torch.clamp(values, max=largest) / largest


def optimise(
    network: GaussianNetwork,
    X: Tensor,
    y: Tensor,
    *,
    n: int,
    delta: float,
    floor: float,
    epochs: int,
    batch: int,
    learning_rate: float,
    momentum: float,
    seed: int,
    progress: Show,
) -> None:
    r"""Train means and scales on the quadratic objective :math:`(\sqrt{r+B/2n}+\sqrt{B/2n})^2` of the bound.

    r is the bounded cross-entropy of a minibatch, B = KL + ln(2 sqrt(n) / delta). It certifies nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    kind = X.dtype if X.is_floating_point() else network.mean[0].dtype

    def noise(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=kind).to(X.device)

    optimiser = torch.optim.SGD(network.parameters(), lr=learning_rate, momentum=momentum)
    constant = math.log(2.0 * math.sqrt(n) / delta)
    for epoch in range(epochs):
        for rows in torch.split(torch.randperm(len(X), generator=generator), batch):
            risk = bounded_cross_entropy(network.noisy(X[rows], noise), y[rows], floor).mean()
            half = (network.kl() + constant) / (2.0 * n)
            optimiser.zero_grad()
            ((risk + half).sqrt() + half.sqrt()).square().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        progress(epoch + 1, epochs)


def draw(
    network: GaussianNetwork,
    X: Tensor,
    y: Tensor,
    loss: Loss,
    scheme: str,
    passes: int,
    seed: int,
    progress: Show,
) -> tuple[float, ...]:
    """Return the summed loss of each pass: fresh weights for every example, or one network for each pass."""
    if scheme == "independent" and network.layers is None:
        raise ValueError("independent draws were asked for a network that is not fully connected")
    sums = []
    with torch.no_grad():
        for done in range(passes):
            if scheme == "shared":
                shared = network.weights(Stream(seed, done, 0, network.mean[0]))
                sums.append(total_loss(network, X, y, loss, shared))
            else:
                streams = (Stream(seed, done, block, network.mean[0]) for block in itertools.count())
                sums.append(_total(X, y, loss, lambda x, noise=streams: network.noisy(x, next(noise))))  # type: ignore[misc]
            progress(done + 1, passes)
    return tuple(sums)


def total_loss(network: GaussianNetwork, X: Tensor, y: Tensor, loss: Loss, weights: dict[str, Tensor]) -> float:
    """Return the summed loss of one network."""
    return _total(X, y, loss, lambda x: network.with_weights(x, weights))


def _total(X: Tensor, y: Tensor, loss: Loss, outputs: Callable[[Tensor], Tensor]) -> float:
    total = 0.0
    with torch.no_grad():
        for x, labels in zip(torch.split(X, BLOCK), torch.split(y, BLOCK), strict=True):
            logits = outputs(x)
            if not bool(torch.isfinite(logits).all()):
                raise ValueError(
                    "the networks give logits that are not finite; expected numbers. Lower `prior_scale`, or scale `X` "
                    "down"
                )
            total += float(bounded_loss(logits, labels, loss).to(torch.float64).sum())
    return total


class Stream:
    """Normal numbers that depend on (seed, pass, block) and on nothing that was drawn before."""

    def __init__(self, seed: int, done: int, block: int, like: Tensor) -> None:
        key = int(SeedSequence(seed, spawn_key=(done, block)).generate_state(1, "uint64")[0] >> 1)
        self._generator, self._like = torch.Generator().manual_seed(key), like

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        drawn = torch.randn(shape, generator=self._generator, dtype=self._like.dtype)
        return drawn.to(self._like.device)
