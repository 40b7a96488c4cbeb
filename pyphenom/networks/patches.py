r"""Two-layer networks on images of two patches, a feature and noise: stacks of them, all images at every step.

With labels :math:`y=\pm1` and the feature along the first coordinate, an image has the patches :math:`ye_1` and
:math:`\chi-\alpha ye_1`, where :math:`\chi` is Gaussian on a few of the other coordinates. The score is that of one
class less that of the other,

.. math:: f(x) = \sum_{j=\pm1}j\sum_r\bigl[(\langle w_{jr},ye_1\rangle)_+^q
                 + (\langle w_{jr},\chi-\alpha ye_1\rangle)_+^q\bigr],

and the loss the mean of :math:`\log(1+e^{-yf})`. Weights are (members, 2, filters, d), class 1 first.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyphenom.implicit_bias import cnn_descent

Patches: TypeAlias = tuple[Tensor, Tensor]
"""Labels (n,), and noise (n, d) without feature noise, whose first coordinate is 0."""

CLASSES = torch.tensor([1.0, -1.0])[:, None, None]


def draw_patches(n: int, dimension: int, sparsity: int, deviation: float, rng: np.random.Generator) -> Patches:
    """Draw labels, and noise of a deviation on so many coordinates of each image, drawn without replacement."""
    noise = np.zeros((n, dimension), dtype=np.float32)
    noise[:, 1:][_subsets(n, dimension - 1, sparsity, rng)] = deviation * rng.standard_normal(
        n * sparsity, dtype=np.float32
    )
    return torch.from_numpy(rng.choice(np.array([-1, 1], dtype=np.float32), n)), torch.from_numpy(noise)


def _subsets(n: int, size: int, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return n subsets (n, size) of so many, each as likely as any other, by Floyd's algorithm or of what is left."""
    fewer = min(count, size - count)
    chosen, rows = np.zeros((n, size), dtype=bool), np.arange(n)
    for last in range(size - fewer, size):
        drawn = rng.integers(0, last, n, endpoint=True)
        chosen[rows, np.where(chosen[rows, drawn], last, drawn)] = True
    return chosen if fewer == count else ~chosen


def margins(weights: Tensor, images: Patches, alpha: Any, power: int) -> Tensor:
    """Return y f (members, n); feature noise is one number, or one a member, (members, 1, 1, 1)."""
    return _responses(weights, images, alpha, power)[2]


def _responses(weights: Tensor, images: Patches, alpha: Any, power: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return what passes the rectifier on either patch (members, classes, filters, images), and the margins."""
    y, noise = images
    feature = weights[..., :1] * y
    own, other = feature.clamp(min=0.0), (weights @ noise.T - alpha * feature).clamp(min=0.0)
    scores = (own**power + other**power).sum(-2)
    return own, other, y * (scores[..., 0, :] - scores[..., 1, :])


def gradient(weights: Tensor, images: Patches, alpha: Any, power: int) -> tuple[Tensor, Tensor]:
    """Return the gradients of the losses, and the margins."""
    y, noise = images
    own, other, found = _responses(weights, images, alpha, power)
    pull = -power / len(y) * CLASSES * (torch.sigmoid(-found) * y)[..., None, None, :]
    beside = pull * other ** (power - 1)
    result = beside @ noise
    result[..., 0] += ((pull * own ** (power - 1) - alpha * beside) * y).sum(-1)
    return result, found


def update(
    rule: str, weights: Tensor, gradient: Tensor, memory: list[Tensor], step: int, rate: float | Tensor
) -> Tensor:
    """Return the weights after a step, the first being 1.

    Parameters
    ----------
    rule : {"gradient", "sign", "momentum", "adam"}
        Momentum of 0.9; Adam with 0.9, 0.99 and 1e-8.
    weights, gradient : Tensor
    memory : list of Tensor
        Empty before the first step; changed in place.
    step : int
    rate : float or Tensor
        Broadcast against the weights, so that the members of a stack can have rates of their own.

    Returns
    -------
    Tensor
    """
    if rule == "gradient":
        return weights - rate * gradient
    if rule == "sign":
        return weights - rate * gradient.sign()
    if not memory:
        memory += [torch.zeros_like(weights), torch.zeros_like(weights)]
    first, second = memory
    if rule == "momentum":
        return weights - rate * first.mul_(0.9).add_(gradient)
    first.lerp_(gradient, 0.1)
    second.mul_(0.99).addcmul_(gradient, gradient, value=0.01)
    scale = float(np.sqrt(1.0 - 0.99**step))  # both sides of the quotient times it: fewer passes
    size = second.clamp(min=1e-37).sqrt_().add_(1e-8 * scale)  # roots of zeros and denormals are many times as slow
    return weights - (rate * scale / (1.0 - 0.9**step)) * first.div(size)


KERNEL_RULES: dict[str, dict[str, Any]] = {
    "gradient": {"optimizer": "descent"},
    "sign": {"optimizer": "adam", "betas": (0.0, 0.0), "epsilon": 0.0},
    "adam": {"optimizer": "adam", "betas": (0.9, 0.99)},
}


def train_patches(
    rule: str,
    weights: Tensor,
    images: Patches,
    alpha: Any,
    rate: Any,
    decay: Any,
    *,
    power: int,
    steps: int,
    until: float = 0.0,
) -> tuple[Tensor, float]:
    """Train the members of a stack, each until its loss is not above a value, and no longer than so many steps.

    Parameters
    ----------
    rule : {"gradient", "sign", "adam"}
        As for :func:`update`.
    weights : Tensor (members, 2, filters, d)
    images : Patches
    alpha, rate, decay : float or sequence of float
        Feature noise, rate, and what is added to the gradient, times the weights: for all members, or one for each.
    power : int
        q, of the rectifier.
    steps : int
    until : float, optional

    Returns
    -------
    weights : Tensor (members, 2, filters, d)
    loss : float
        The largest.
    """
    y, noise = (part.double().numpy() for part in images)
    settings = np.broadcast_arrays(alpha, rate, decay, np.empty(len(weights)))[:3]
    ends, losses = weights.double().numpy().copy(), []
    for end, found, speed, pull in zip(ends, *settings, strict=True):
        X = np.stack([np.zeros_like(noise), noise], axis=1)
        X[:, 0, 0], X[:, 1, 0] = y, -found * y
        kept = X.any(axis=(0, 1)) if pull == 0.0 else np.ones(noise.shape[1], dtype=bool)  # others do not move
        run = cnn_descent(X[..., kept], y, end[..., kept], steps, learning_rate=speed, power=power, weight_decay=pull,
                          average=False, stop_loss=until, record=1, **KERNEL_RULES[rule])  # fmt: skip
        end[..., kept] = run.weights[0]
        losses.append(float(run.loss[0, -1]))
    return torch.from_numpy(ends).float(), max(losses)


def train_decoupled(
    weights: Tensor, images: Patches, alpha: float, rate: Tensor, decay: Tensor, *, power: int, steps: int
) -> Tensor:
    """Return the weights of a stack trained by Adam with decoupled decay: rate and decay are (members, 1, 1, 1)."""
    y, noise = images
    seen = noise.any(0).index_fill(0, torch.tensor(0), True)  # on other coordinates weights only decay
    part, memory, noise = weights[..., seen], list[Tensor](), noise[:, seen]
    for step in range(1, steps + 1):
        slope, _ = gradient(part, (y, noise), alpha, power)
        part = update("adam", part, slope, memory, step, rate).sub_(rate * decay * part)
    weights = weights * (1.0 - rate * decay) ** steps
    weights[..., seen] = part
    return weights
