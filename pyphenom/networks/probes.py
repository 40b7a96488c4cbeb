"""What is read off the networks of a stack while they train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from pyphenom.networks.stack import Stack

Probe: TypeAlias = Callable[[Stack], Mapping[str, Tensor]]
"""Stack of M networks to named tensors of shape (M,)."""

_ROWS = 4096  # in one pass: the outputs of a large stack on a large test set need not fit in memory at once


def classification(name: str, inputs: Tensor, labels: Tensor) -> Probe:
    """Return the probe of ``NAME_error``, the share of wrong labels, and ``NAME_loss``, the mean cross-entropy in nats.

    Parameters
    ----------
    name : str
        Such as ``"test"``.
    inputs : Tensor (n, ...)
    labels : Tensor of int (n,) or (M, n)
        True classes; one row a network where each has labels of its own.

    Returns
    -------
    Probe

    Raises
    ------
    ValueError
        If inputs and labels differ in number.

    Examples
    --------
    >>> from pyphenom.networks import mlp
    >>> probe = classification("test", torch.ones(4, 3), torch.tensor([0, 1, 1, 0]))
    >>> probe(Stack([mlp((3, 5, 2))]))["test_error"]
    tensor([0.5000], dtype=torch.float64)
    """
    _matched(inputs, labels)

    def measured(outputs: Tensor, truth: Tensor) -> dict[str, Tensor]:
        losses = functional.cross_entropy(outputs.transpose(1, 2), truth, reduction="none")
        return {f"{name}_error": (outputs.argmax(-1) != truth).to(losses.dtype).sum(1), f"{name}_loss": losses.sum(1)}

    return _averaged(inputs, labels, measured)


def regression(name: str, inputs: Tensor, targets: Tensor) -> Probe:
    """Return the probe of ``NAME_loss``, the mean over samples of the squared distance from the target.

    Parameters
    ----------
    name : str
        Such as ``"test"``.
    inputs : Tensor (n, ...)
    targets : Tensor (n, K)

    Returns
    -------
    Probe

    Raises
    ------
    ValueError
        If inputs and targets differ in number.

    Examples
    --------
    >>> from pyphenom.networks import mlp
    >>> net, X = mlp((3, 5, 2)), torch.ones(4, 3)
    >>> regression("train", X, net(X).detach() + 2.0)(Stack([net]))["train_loss"]
    tensor([8.], dtype=torch.float64)
    """
    _matched(inputs, targets[..., 0])

    def measured(outputs: Tensor, truth: Tensor) -> dict[str, Tensor]:
        return {f"{name}_loss": ((outputs - truth) ** 2).sum(dim=(1, 2))}

    return _averaged(inputs, targets[None], measured)


def _averaged(inputs: Tensor, truth: Tensor, measured: Callable[[Tensor, Tensor], dict[str, Tensor]]) -> Probe:
    truth = truth if truth.ndim > 1 else truth[None]

    def probe(stack: Stack) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}
        for first in range(0, len(inputs), _ROWS):
            here = slice(first, first + _ROWS)
            with torch.no_grad():
                outputs = stack.outputs(inputs[here])
            part = measured(outputs, truth[:, here].expand(len(stack), -1, *truth.shape[2:]))
            sums = {key: sums.get(key, 0.0) + value.double() for key, value in part.items()}
        return {key: value / len(inputs) for key, value in sums.items()}

    return probe


def _matched(inputs: Tensor, truth: Tensor) -> None:
    if len(inputs) != truth.shape[-1] or len(inputs) == 0:
        raise ValueError(
            f"got {len(inputs)} inputs and {truth.shape[-1]} labels or targets; expected as many of both, at least one"
        )
