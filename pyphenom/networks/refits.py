"""One network trained on many label vectors, as counts of its effective parameters ask for."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pyphenom._arrays import as_float
from pyphenom.networks.stack import Stack
from pyphenom.networks.training import Recipe, train


def refit(
    model: nn.Module,
    inputs: Tensor,
    labels: Any,
    recipe: Recipe,
    order: int = 0,
    *,
    at: Sequence[int] | None = None,
) -> NDArray[np.float64]:
    """Train copies of a network, one for each vector of labels, and return what they make of the inputs.

    All start from the weights that the network has and see the same batches, so that they differ by their labels only.
    The network itself stays as it is.

    Parameters
    ----------
    model : torch.nn.Module
        With one output, as for `train`.
    inputs : Tensor (n, ...)
        Samples, of the network's dtype.
    labels : array (M, n)
        A vector of real labels for each copy.
    recipe : Recipe
        With the squared loss.
    order : int, optional
        Seed of the order in which samples are taken.
    at : sequence of int, optional
        Numbers of steps done, ascending; by default only the last.

    Returns
    -------
    array (M, T, n)
        Fitted values after each of the T numbers of steps; (M, n) without `at`.

    Raises
    ------
    ValueError, TypeError
        Before any work, for bad input; the message names the argument, what came, and the remedy.

    Examples
    --------
    The effective number of parameters of a network after training:

    >>> from pyphenom.bounds import generalised_degrees
    >>> from pyphenom.networks import mlp
    >>> X, recipe = torch.linspace(-1, 1, 20)[:, None], Recipe(300, 0.05, loss="squared", momentum=0.0)
    >>> net, y = mlp((1, 30, 1)), np.sign(np.linspace(-1, 1, 20))
    >>> count = generalised_degrees(lambda Y: refit(net, X, Y, recipe), y, scale=0.1, together=True)
    >>> bool(2 < count.value < 10)  # of 91 weights
    True
    """
    rows = as_float("labels", labels, (2,))
    if recipe.loss != "squared":
        raise ValueError(f"`recipe` has the {recipe.loss} loss; expected the squared one, for real labels")
    times = [recipe.steps] if at is None else list(at)
    if times != sorted(set(times)):
        raise ValueError(f"`at` is {times}; expected ascending numbers of steps, each once")
    models = [copy.deepcopy(model) for _ in rows]
    read: list[NDArray[np.float64]] = []

    def probe(stack: Stack) -> dict[str, Tensor]:
        read.append(stack.outputs(inputs)[..., 0].double().cpu().numpy())
        return {}

    targets = torch.from_numpy(rows).to(inputs.dtype)[..., None]
    train(models, inputs, targets, recipe, order, probes=[probe], at=times)
    return read[0] if at is None else np.stack(read, axis=1)
