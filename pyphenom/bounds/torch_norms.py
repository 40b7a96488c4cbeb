"""Norms of the weights of a network and of its paths, and its margins, from which complexity measures are made."""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules import activation

from pyphenom.bounds import _torch_models as models
from pyphenom.bounds.measures import WeightNorms

Array = NDArray[np.float64]


def weight_norms(model: nn.Module, initial: nn.Module) -> WeightNorms:
    """Return the norms of the layers' weights and of their distances from initialisation.

    Parameters
    ----------
    model, initial : torch.nn.Module
        Linear and convolutional layers; batch norm behind one in a Sequential, in evaluation mode, is folded into it.

    Returns
    -------
    WeightNorms
        In float64.

    Raises
    ------
    TypeError, ValueError
        For other layers, batch norm in training mode, parameters that are not finite, or models that differ in shape.

    Examples
    --------
    >>> layer, start = nn.Linear(2, 2), nn.Linear(2, 2)
    >>> _ = layer.weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]])), start.weight.data.zero_()
    >>> norms = weight_norms(layer, start)
    >>> norms.frobenius, norms.spectral, norms.distance_21
    (array([5.]), array([4.]), array([7.]))
    """
    own = models.prepared("model", model)
    return norms_of(own, models.fitting("initial", initial, own))


def norms_of(own: nn.Module, start: nn.Module) -> WeightNorms:
    """`weight_norms` of prepared models."""
    ends, starts = models.matrices(own), models.matrices(start)
    ways = [ends[name] - starts[name] for name in ends]

    def each(norm: Any, values: Any) -> Array:
        return np.array([float(norm(value)) for value in values])

    def spectral(W: Tensor) -> Tensor:
        return cast("Tensor", torch.linalg.matrix_norm(W, 2).max())

    return WeightNorms(
        frobenius=each(torch.linalg.vector_norm, ends.values()),
        spectral=each(spectral, ends.values()),
        distance_frobenius=each(torch.linalg.vector_norm, ways),
        distance_spectral=each(spectral, ways),
        distance_21=each(lambda D: torch.linalg.vector_norm(D, dim=-1).sum(), ways),
        row_sum=each(lambda W: W.abs().sum(dim=-1).max(), ends.values()),
        widths=np.array([W.shape[0] * W.shape[1] for W in ends.values()]),
        weights=sum(W.numel() for W in ends.values()),
    )


def path_norm(model: nn.Module, X: Any, power: int = 2) -> float:
    r"""Sum over all paths of the product of their weights, :math:`\sum_{\text{paths}}\prod_{e}|w_e|^p`.

    A path leads from an input, or from a bias, to an output. It is the sum of the outputs of the network with weights
    :math:`|w|^p` and without activations at inputs of ones, and does not change when ReLU layers are rescaled against
    each other. Pooling acts as in the network.

    Parameters
    ----------
    model : torch.nn.Module
        As in `weight_norms`; its activations are modules, or functions that leave positive numbers as they are.
    X : array or tensor (n, ...)
        Inputs, for their shape only.
    power : {1, 2}
        :math:`p`; the root is not taken.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As in `weight_norms`, or for another power.

    References
    ----------
    Neyshabur, Tomioka, Srebro, Norm-based capacity control in neural networks, COLT 2015; Jiang et al. 2020, C.5.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
    >>> for value, number in zip(net.parameters(), (2.0, 3.0, -5.0, 7.0)):
    ...     _ = value.data.fill_(number)
    >>> path_norm(net, torch.zeros(1, 1), power=1)
    32.0
    """
    if power not in (1, 2):
        raise ValueError(f"`power` is {power!r}; expected 1 or 2")
    own = models.prepared("model", model)
    inputs, _ = models.tensors(own, X, np.zeros(len(X)))
    return path_norm_of(own, inputs, power)


def path_norm_of(own: nn.Module, X: Tensor, power: int) -> float:
    """`path_norm` of a prepared model."""
    positive = copy.deepcopy(own).double()
    for module in positive.modules():
        for name, child in module._modules.items():  # named_children() passes over one that is used again
            if type(child).__name__ in activation.__all__:
                setattr(module, name, nn.Identity())
    with torch.no_grad():
        for value in positive.parameters():
            value.copy_(value.abs() ** power)
        return float(positive(torch.ones_like(X[:1], dtype=torch.float64)).sum())


def margins(model: nn.Module, X: Any, y: Any) -> Array:
    r"""Margins of the samples, :math:`f(x)_y-\max_{k\ne y}f(x)_k`: negative where the model is wrong.

    Parameters
    ----------
    model : torch.nn.Module
        With outputs (n, K), not normalised.
    X, y : array or tensor (n, ...), (n,)

    Returns
    -------
    array (n,)

    Raises
    ------
    TypeError, ValueError
        As in `weight_norms`; for labels that are no classes of the model, or outputs that are not finite.

    Examples
    --------
    >>> layer = nn.Linear(2, 2, bias=False)
    >>> _ = layer.weight.data.copy_(torch.eye(2))
    >>> margins(layer, [[3.0, 1.0], [1.0, 2.0]], [0, 0])
    array([ 2., -1.])
    """
    own = models.prepared("model", model)
    inputs, targets = models.tensors(own, X, y)
    return margins_of(models.outputs(own, inputs), models.labels(own, inputs, targets))


def margins_of(f: Tensor, y: Tensor) -> Array:
    """`margins` of outputs."""
    own = f.gather(1, y[:, None])[:, 0]
    others = f.scatter(1, y[:, None], -torch.inf).amax(dim=1)
    return (own - others).double().cpu().numpy()
