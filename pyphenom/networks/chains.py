"""Chains of stochastic gradient descent around a minimum, and the gradients of single samples that drive them."""

from __future__ import annotations

import copy
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn

from pyphenom import curvature
from pyphenom._arrays import as_integer, as_real
from pyphenom.networks._checks import checked_inputs, checked_targets
from pyphenom.networks.stack import Stack
from pyphenom.networks.training import Recipe, steps_of

Array: TypeAlias = NDArray[np.float64]


def sampled_batches(epochs: bool, chains: int, n: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw n / size batches for each of several chains.

    Parameters
    ----------
    epochs : bool
        Whether the batches of a chain are a permutation cut into pieces, or independent draws with replacement.
    chains, n, size : int
        Number of chains, samples, and samples of a batch, which divides them.
    rng : numpy.random.Generator

    Returns
    -------
    array of int (chains, n / size, size)
        Indices of samples.

    Raises
    ------
    ValueError, TypeError
        If a number is not a positive integer, or if the batches do not divide the samples.

    Examples
    --------
    >>> np.sort(sampled_batches(True, 2, 6, 3, np.random.default_rng(0)).reshape(2, 6)).tolist()
    [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]
    """
    chains, n, size = as_integer("chains", chains, 1), as_integer("n", n, 1), as_integer("size", size, 1)
    if n % size:
        raise ValueError(f"`size` is {size} with {n} samples; expected a divisor, leave out the rest of the samples")
    shape = (chains, n // size, size)
    if epochs:
        return rng.permuted(np.tile(np.arange(n), (chains, 1)), axis=1).reshape(shape)
    return rng.integers(0, n, shape)


def sample_gradients(model: nn.Module, X: Tensor, y: Tensor) -> tuple[Array, Array]:
    r"""Return the Hessian of the mean cross-entropy, and the gradients of the single samples whose mean it is.

    Parameters
    ----------
    model : torch.nn.Module
        Small: both are dense.
    X, y : Tensor
        Inputs and labels, n of each.

    Returns
    -------
    hessian : array (P, P)
        Symmetric.
    gradients : array (n, P)

    Raises
    ------
    ValueError, TypeError
        What :func:`pyphenom.curvature.linearize` cannot take.

    Examples
    --------
    >>> model = nn.Linear(1, 2, bias=False, dtype=torch.float64)
    >>> _ = nn.init.zeros_(model.weight)
    >>> sample_gradients(model, torch.ones(2, 1).double(), torch.tensor([0, 1]))[1].tolist()
    [[-0.5, 0.5], [0.5, -0.5]]
    """
    at = curvature.linearize(model, "cross_entropy", X, y)
    identity = np.eye(at.size, dtype=at.dtype)
    H, J = at.hessian().rows(identity).astype(np.float64), at.jacobian().rows(identity)
    outputs = np.asarray(at.outputs()).reshape(len(X), -1)
    error = softmax(outputs, axis=1) - np.eye(outputs.shape[1], dtype=at.dtype)[y.numpy()]
    gradients = np.einsum("nc,pnc->pn", error, J.reshape(at.size, *outputs.shape))
    return (H + H.T) / 2, gradients.T.astype(np.float64)


def network_chains(
    model: nn.Module,
    X: Tensor,
    y: Tensor,
    frame: Array,
    *,
    epochs: bool,
    chains: int,
    size: int,
    step_size: float,
    weight_decay: float,
    burn_in: int,
    steps: int,
    rng: np.random.Generator,
) -> Array:
    r"""Follow SGD on the cross-entropy of a network in several chains that start from the same weights.

    .. math:: w \leftarrow w - \eta\,(g_B(w) + \lambda w)

    Parameters
    ----------
    model : torch.nn.Module
        Where the chains start; it is left as it is.
    X, y : Tensor
        Inputs and labels.
    frame : array (P, K)
        Directions along which weights are recorded.
    epochs, chains, size, rng
        As for `sampled_batches`.
    step_size, weight_decay : float
        :math:`\eta` and :math:`\lambda`.
    burn_in, steps : int
        Steps before the record, and in it.

    Returns
    -------
    array (steps, chains, K)
        Weights along the directions.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, if the directions are not those of the parameters, and for samples that `train`
        would not take.

    Examples
    --------
    >>> model = nn.Linear(1, 2, bias=False)
    >>> X, y, rng = torch.ones(4, 1), torch.tensor([0, 1, 0, 1]), np.random.default_rng(0)
    >>> options = {"epochs": True, "chains": 3, "size": 2, "step_size": 0.1, "weight_decay": 0.0}
    >>> network_chains(model, X, y, np.eye(2), **options, burn_in=1, steps=5, rng=rng).shape
    (5, 3, 2)
    """
    step_size, weight_decay = as_real("step_size", step_size), as_real("weight_decay", weight_decay)
    burn_in, steps = as_integer("burn_in", burn_in, 0), as_integer("steps", steps, 1)
    free = sum(value.numel() for value in model.parameters())
    if np.ndim(frame) != 2 or len(frame) != free:
        raise ValueError(f"`frame` has shape {np.shape(frame)}; expected ({free}, K), a row for each parameter")
    stack = Stack([copy.deepcopy(model) for _ in range(chains)])
    recipe = Recipe(burn_in + steps, step_size, size, momentum=0.0, weight_decay=weight_decay)
    X = checked_inputs(X, y, next(iter(stack.parameters.values())).dtype)
    advance, count, path = steps_of(stack, X, checked_targets(stack, X, y, recipe.loss), recipe), len(X) // size, []
    for step in range(burn_in + steps):
        if step % count == 0:
            order = sampled_batches(epochs, chains, len(X), size, rng)
        advance(order[None, :, step % count], [step_size])
        if step >= burn_in:
            path.append(torch.cat([value.detach().reshape(chains, -1) for value in stack.parameters.values()], dim=1))
    weights = torch.stack(path)
    return (weights @ torch.from_numpy(frame).to(weights.dtype)).double().numpy()


def least_squares_chains(
    X: Array,
    residuals: Array,
    *,
    epochs: bool,
    chains: int,
    size: int,
    step_size: float,
    burn_in: int,
    passes: int,
    rng: np.random.Generator,
    noise: float | None = None,
) -> Array:
    r"""Follow SGD on least squares in several chains that start from the solution, taken as the origin.

    Parameters
    ----------
    X : array (n, P)
        Inputs.
    residuals : array (n,)
        Of the solution: :math:`X^\top r = 0`.
    epochs, chains, size, rng
        As for `sampled_batches`.
    step_size : float
    burn_in, passes : int
        Passes through the data before the record, and in it; the latter even.
    noise : float, optional
        Standard deviation of isotropic Gaussian noise, in place of that of batches. The Hessian is then taken as
        diagonal, the mean squares of the columns.

    Returns
    -------
    array (2, chains, P)
        Mean squares of the weights, in the two halves of the record.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, or if `passes` is odd.

    Examples
    --------
    >>> X, rng = np.ones((4, 1)), np.random.default_rng(0)
    >>> options = {"epochs": True, "chains": 3, "size": 2, "step_size": 0.5, "burn_in": 1, "passes": 2}
    >>> least_squares_chains(X, np.array([1.0, -1.0, 1.0, -1.0]), **options, rng=rng).shape
    (2, 3, 1)
    """
    step_size = as_real("step_size", step_size)
    burn_in, passes = as_integer("burn_in", burn_in, 0), as_integer("passes", passes, 2)
    if passes % 2:
        raise ValueError(f"`passes` is {passes}; expected an even number, for two halves")
    n, w = len(X), np.zeros((chains, X.shape[1]))
    count, diagonal = n // size, (X**2).mean(axis=0)
    rows, kinds = np.unique(np.column_stack([X, residuals]), axis=0, return_inverse=True)
    halves = np.zeros((2, *w.shape))
    for number in range(burn_in + passes):
        if noise is None:
            gram = _gram(rows, kinds[sampled_batches(epochs, chains, n, size, rng)]) * (step_size / size)
            slopes, shifts = gram[:, :, :-1, :-1], gram[:, :, :-1, -1]
        for j in range(count):
            if noise is None:
                w = w - (slopes[:, j] @ w[:, :, None])[:, :, 0] + shifts[:, j]
            else:
                w = w - step_size * (w * diagonal + noise * rng.standard_normal(w.shape))
            if number >= burn_in:
                halves[int(number >= burn_in + passes // 2)] += w**2
    return halves / (passes * count / 2)


def _gram(rows: Array, kinds: NDArray[np.int64]) -> Array:
    """Sum the products of the entries of rows (K, Q) over the last axis of their indices (..., b): (..., Q, Q)."""
    if len(rows) > kinds.shape[-1]:
        batches = rows[kinds]
        return batches.swapaxes(-1, -2) @ batches
    # Few kinds of rows, as in a design of two levels: a batch is how often it holds each.
    *shape, size = kinds.shape
    total = kinds.size // size
    places = kinds.reshape(total, size) + len(rows) * np.arange(total)[:, None]
    counts = np.bincount(places.ravel(), minlength=total * len(rows)).reshape(total, len(rows))
    products = (rows[:, :, None] * rows[:, None]).reshape(len(rows), -1)
    return (counts.astype(np.float64) @ products).reshape(*shape, rows.shape[1], rows.shape[1])
