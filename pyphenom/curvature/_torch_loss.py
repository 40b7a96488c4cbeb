"""What a loss is to a curvature product: value, gradient and Hessian in the outputs, and the likelihood behind it."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

NAMES = ("mean_squared", "half_squared", "cross_entropy", "binary_cross_entropy")
NO_LIKELIHOOD = (
    "`samples` asks for targets drawn from the likelihood, which a user's own loss does not tell. Use "
    "fisher(samples=None) for the empirical Fisher matrix, or a loss of torch"
)


@contextlib.contextmanager
def recorded() -> Iterator[None]:
    """Record a graph, whatever mode the caller is in."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@dataclass(frozen=True)
class Loss:
    r"""A loss :math:`L = \sum_i \ell(f_i, y_i)`, divided by the number of samples where `mean`.

    Outputs f are (n, ...) as the model gives them; everything below is the plain sum over the samples. With E outputs a
    sample (E/C positions of C classes for the cross-entropy), and the weight w of `weight`:

    ========================  =========================================================================
    ``squared``               :math:`w\sum_e(f_e-y_e)^2`
    ``cross_entropy``         :math:`w\sum_{pos}-\sum_c t_c\log p_c`, p the softmax over axis 1, t the smoothed target
    ``binary_cross_entropy``  :math:`w\sum_e \log(1+e^{f_e})-y_ef_e`
    ``user``                  a function of outputs and targets, differentiated by torch
    ========================  =========================================================================
    """

    kind: str
    mean: bool
    factor: float | None = 1.0
    """w; None: one over the entries (squared, binary) or positions (cross-entropy) of a sample, as torch's means do."""
    label_smoothing: float = 0.0
    function: Callable[[Tensor, Tensor], Tensor] | None = None

    def weight(self, shape: tuple[int, ...]) -> float:
        """Return w for outputs of this shape (n, ...)."""
        if self.factor is not None:
            return self.factor
        return 1.0 / math.prod(shape[2:] if self.kind == "cross_entropy" else shape[1:])

    def prepared(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the targets as `value` needs them: of the outputs' shape, or class indices (n, ...); checked."""
        if outputs.ndim == 0 or targets.ndim == 0 or len(outputs) != len(targets):
            raise ValueError(
                f"`y` has shape {tuple(targets.shape)} and the model's outputs {tuple(outputs.shape)}; expected as "
                "many samples along the first axis of both"
            )
        if self.kind == "user":
            return targets
        if self.kind == "cross_entropy" and outputs.ndim < 2:
            raise ValueError(f"the model's outputs have shape {tuple(outputs.shape)}; expected (n, classes, ...)")
        if self.kind == "cross_entropy" and not (targets.is_floating_point() and targets.shape == outputs.shape):
            return _indices(outputs, targets)
        if targets.numel() != outputs.numel():
            raise ValueError(
                f"`y` has shape {tuple(targets.shape)}; expected {tuple(outputs.shape)}, as the model's outputs have"
            )
        # (n,) against (n, 1) would be broadcast to (n, n): never what is meant.
        return targets.reshape(outputs.shape).to(outputs.dtype)

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the sum over the samples, differentiable in the outputs (n, ...)."""
        if self.kind == "user":
            assert self.function is not None
            total = self.function(outputs, targets)
            if not isinstance(total, Tensor) or total.ndim != 0:
                what = f"a tensor of shape {tuple(total.shape)}" if isinstance(total, Tensor) else type(total).__name__
                raise ValueError(f"`loss` gives {what}; expected a scalar tensor. Take the mean over the samples")
            return total * len(outputs) if self.mean else total
        w = self.weight(tuple(outputs.shape))
        if self.kind == "squared":
            return w * ((outputs - targets) ** 2).sum()
        if self.kind == "cross_entropy":
            smoothing = self.label_smoothing
            return w * functional.cross_entropy(outputs, targets, reduction="sum", label_smoothing=smoothing)
        return w * functional.binary_cross_entropy_with_logits(outputs, targets, reduction="sum")

    def total(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the value as a number, summed in double precision where the formula is ours."""
        outputs = outputs.detach()
        if self.kind != "user":
            targets = targets.double() if targets.is_floating_point() else targets
            outputs = outputs.double()
        return float(self.value(outputs, targets).detach())

    def at(self, device: torch.device, dtype: torch.dtype) -> Loss:
        """Return the loss with a user's module, such as one with class weights, copied to a device and a type."""
        if not isinstance(self.function, nn.Module):
            return self
        return replace(self, function=copy.deepcopy(self.function).to(device, dtype))

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the gradients of the samples' losses in their outputs, of the outputs' shape."""
        with recorded():
            f = outputs.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.value(f, targets), f)
        return gradient

    def hessian(self, outputs: Tensor, targets: Tensor, V: Tensor) -> Tensor:
        """Return the product of the loss's Hessian in the outputs with each of V (K, n, ...)."""
        f, w = outputs.detach(), self.weight(tuple(outputs.shape))
        if self.kind == "squared":
            return 2.0 * w * V
        if self.kind == "binary_cross_entropy":
            p = f.sigmoid()
            return w * p * (1.0 - p) * V
        if self.kind == "cross_entropy":
            p = f.softmax(1)
            # Class probabilities that do not sum to 1 scale the curvature: -sum t log p = (sum t) log sum e^f - t f.
            smoothing, mass = (
                self.label_smoothing,
                1.0 if not targets.is_floating_point() else targets.sum(1, keepdim=True),
            )
            return w * ((1.0 - smoothing) * mass + smoothing) * p * (V - (p * V).sum(2, keepdim=True))
        with recorded():
            f = f.requires_grad_()
            (gradient,) = torch.autograd.grad(self.value(f, targets), f, create_graph=True)
            if not gradient.requires_grad:  # a loss that is linear in the outputs
                return torch.zeros_like(V)
            rows = [torch.autograd.grad(gradient, f, v, retain_graph=True, materialize_grads=True)[0] for v in V]
        return torch.stack(rows)

    def sampled_gradients(self, outputs: Tensor, samples: int, rng: np.random.Generator) -> Tensor:
        r"""Return gradients (samples, n, ...) at drawn targets, whose covariance is the loss's Hessian.

        The likelihood is :math:`e^{-\ell}`: classes from the softmax, Bernoulli, or a Gaussian around the output, of
        unit variance for half the squared distance. A weight w of the loss scales the gradients by :math:`\sqrt w`.
        """
        f, w = outputs.detach(), self.weight(tuple(outputs.shape))
        # One draw after another in the order of the samples: however these are cut into batches, each gets its own.
        if self.kind == "squared":
            noise = rng.standard_normal((len(f), samples, *f.shape[1:]))
            return math.sqrt(2.0 * w) * torch.from_numpy(noise).to(f).movedim(1, 0)
        if self.kind == "binary_cross_entropy":
            uniform = torch.from_numpy(rng.random((len(f), samples, *f.shape[1:]))).to(f.device).movedim(1, 0)
            p = f.sigmoid()
            return math.sqrt(w) * (p - (uniform < p.double()).to(f))
        if self.kind == "cross_entropy":
            uniform = torch.from_numpy(rng.random((len(f), samples, *f.shape[2:]))).to(f.device).movedim(1, 0)
            p = f.softmax(1)
            cumulative = f.double().softmax(1).cumsum(1)
            drawn = (uniform[:, :, None] >= cumulative).sum(2).clamp(max=f.shape[1] - 1)
            return math.sqrt(w) * (p - functional.one_hot(drawn, f.shape[1]).movedim(-1, 2).to(f))
        raise ValueError(NO_LIKELIHOOD)


def as_loss(loss: Any, reduction: str | None = None) -> Loss:
    """Return the description of a loss: a name, a module or function of torch, or any callable to a scalar.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or its reduction couples the samples or reduces nothing.
    """
    if isinstance(loss, Loss):
        return loss
    if reduction not in (None, "mean", "sum"):
        raise ValueError(f"`reduction` is {reduction!r}; expected 'mean' or 'sum'")
    if isinstance(loss, str):
        if loss not in NAMES:
            raise ValueError(f"`loss` is {loss!r}; expected one of {', '.join(map(repr, NAMES))}, or a callable")
        if loss == "half_squared":
            return Loss("squared", reduction != "sum", 0.5)
        of = {"mean_squared": nn.MSELoss, "cross_entropy": nn.CrossEntropyLoss}
        loss = of.get(loss, nn.BCEWithLogitsLoss)(reduction=reduction or "mean")
    loss = _MODULES[loss]() if not isinstance(loss, nn.Module) and loss in _MODULES else loss
    if isinstance(loss, type):
        raise TypeError(f"`loss` is the class {loss.__name__}; expected a loss made of it. Pass {loss.__name__}()")
    if not callable(loss):
        raise TypeError(f"`loss` is a {type(loss).__name__}; expected a loss of torch, a callable, or one of {NAMES}")
    own = getattr(loss, "reduction", None)
    if own not in (None, "mean", "sum"):
        raise ValueError(f"`loss` has reduction={own!r}; expected 'mean' or 'sum': a scalar is differentiated")
    if own is not None and reduction not in (None, own):
        raise ValueError(f"`reduction` is {reduction!r} and `loss` has {own!r}; leave `reduction` out")
    mean = (own or reduction or "mean") == "mean"
    factor = None if mean else 1.0
    if type(loss) is nn.MSELoss:
        return Loss("squared", mean, factor)
    if type(loss) is nn.CrossEntropyLoss:
        if loss.weight is None:
            return Loss("cross_entropy", mean, factor, float(loss.label_smoothing))
        if mean:
            raise ValueError(
                "`loss` divides by the summed weights of the classes that a batch holds, so that batches do not add "
                "up. Use CrossEntropyLoss(weight=..., reduction='sum')"
            )
    if type(loss) is nn.BCEWithLogitsLoss and loss.weight is None and loss.pos_weight is None:
        return Loss("binary_cross_entropy", mean, factor)
    return Loss("user", mean, function=loss)


_MODULES: dict[Any, Callable[[], nn.Module]] = {
    functional.mse_loss: nn.MSELoss,
    functional.cross_entropy: nn.CrossEntropyLoss,
    functional.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
}


def _indices(outputs: Tensor, targets: Tensor) -> Tensor:
    shape, classes = (outputs.shape[0], *outputs.shape[2:]), outputs.shape[1]
    if targets.is_floating_point() or targets.is_complex() or targets.numel() != math.prod(shape):
        raise ValueError(
            f"`y` has shape {tuple(targets.shape)} and dtype {targets.dtype}; expected class indices (integers) of "
            f"shape {shape}, or class probabilities of shape {tuple(outputs.shape)}"
        )
    targets = targets.reshape(shape).long()
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"`y` holds class {low if low < 0 else high}; expected 0 to {classes - 1}, as the model has {classes} "
            "outputs. Leave ignored samples out of the data"
        )
    return targets
