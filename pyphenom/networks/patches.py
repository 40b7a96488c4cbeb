r"""Two-layer networks on images of two patches, a feature and noise: stacked, trained on all images at every step.

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
from torch import Tensor
from torch.nn import functional

Patches: TypeAlias = tuple[Tensor, Tensor]
"""Labels (n,), and noise (n, d) without feature noise, whose first coordinate is 0."""

CLASSES = torch.tensor([1.0, -1.0])[:, None, None]


def draw_patches(n: int, dimension: int, sparsity: int, deviation: float, rng: np.random.Generator) -> Patches:
    """Draw labels, and noise of a deviation on so many coordinates of each image, drawn without replacement."""
    used = rng.random((n, dimension - 1), dtype=np.float32).argpartition(sparsity - 1, axis=1)[:, :sparsity]
    noise = np.zeros((n, dimension), dtype=np.float32)
    values = deviation * rng.standard_normal((n, sparsity), dtype=np.float32)
    np.put_along_axis(noise, 1 + used, values, axis=1)
    return torch.from_numpy(rng.choice(np.array([-1, 1], dtype=np.float32), n)), torch.from_numpy(noise)


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
    first.mul_(0.9).add_(gradient, alpha=0.1)
    second.mul_(0.99).addcmul_(gradient, gradient, value=0.01)
    size = (second / (1.0 - 0.99**step)).sqrt_().add_(1e-8)
    return weights - rate / (1.0 - 0.9**step) * first / size


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
    decoupled: bool = False,
    until: float = 0.0,
) -> tuple[Tensor, float]:
    """Train a stack until its largest loss is below a value, and no longer than so many steps.

    Parameters
    ----------
    rule, rate
        As for :func:`update`.
    weights : Tensor (members, 2, filters, d)
    images : Patches
    alpha : float or Tensor (members, 1, 1, 1)
        Feature noise.
    decay : float or Tensor (members, 1, 1, 1)
        Times the weights, added to the gradient; or, decoupled, times rate and weights, taken from the weights.
    power : int
        q, of the rectifier.
    steps : int
    decoupled : bool, optional
    until : float, optional

    Returns
    -------
    weights : Tensor (members, 2, filters, d)
    loss : float
        The largest, before the last step.
    """
    memory: list[Tensor] = []
    loss = float("inf")
    for step in range(1, steps + 1):
        slope, found = gradient(weights, images, alpha, power)
        loss = float(functional.softplus(-found).mean(-1).max())
        if loss < until:
            break
        moved = update(rule, weights, slope if decoupled else slope + decay * weights, memory, step, rate)
        weights = moved - rate * decay * weights if decoupled else moved
    return weights, loss
