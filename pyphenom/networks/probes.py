"""What is read off the networks of a stack while they train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from pyphenom.networks._checks import check_labels
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
    ValueError, TypeError
        If inputs and labels differ in number, or labels are no classes; on reading, if there are too few networks or
        outputs for the labels.

    Examples
    --------
    >>> from pyphenom.networks import mlp
    >>> probe = classification("test", torch.ones(4, 3), torch.tensor([0, 1, 1, 0]))
    >>> probe(Stack([mlp((3, 5, 2))]))["test_error"]
    tensor([0.5000], dtype=torch.float64)
    """
    _check(inputs, labels, "labels", (1, 2))
    check_labels("labels", labels)
    needed = int(labels.max()) + 1

    def measured(outputs: Tensor, truth: Tensor) -> dict[str, Tensor]:
        if outputs.shape[-1] < needed:
            raise ValueError(f"`labels` go up to {needed - 1}; the networks have {outputs.shape[-1]} outputs")
        losses = functional.cross_entropy(outputs.transpose(1, 2), truth, reduction="none")
        return {f"{name}_error": (outputs.argmax(-1) != truth).double().sum(1), f"{name}_loss": losses.double().sum(1)}

    return _averaged(inputs, labels, measured)


def regression(name: str, inputs: Tensor, targets: Tensor) -> Probe:
    """Return the probe of ``NAME_loss``, the mean over samples of the squared distance from the target.

    Parameters
    ----------
    name : str
        Such as ``"test"``.
    inputs : Tensor (n, ...)
    targets : Tensor (n, K) or (M, n, K)
        One matrix a network where each has targets of its own.

    Returns
    -------
    Probe

    Raises
    ------
    ValueError
        If inputs and targets differ in number; on reading, if K is not the number of outputs.

    Examples
    --------
    >>> from pyphenom.networks import mlp
    >>> net, X = mlp((3, 5, 2)), torch.ones(4, 3)
    >>> regression("train", X, net(X).detach() + 2.0)(Stack([net]))["train_loss"]
    tensor([8.], dtype=torch.float64)
    """
    _check(inputs, targets, "targets", (2, 3))

    def measured(outputs: Tensor, truth: Tensor) -> dict[str, Tensor]:
        if outputs.shape != truth.shape:
            raise ValueError(f"`targets` have {truth.shape[-1]} columns; the networks have {outputs.shape[-1]} outputs")
        return {f"{name}_loss": ((outputs - truth) ** 2).double().sum(dim=(1, 2))}

    return _averaged(inputs, targets if targets.ndim == 3 else targets[None], measured)


def _averaged(inputs: Tensor, truth: Tensor, measured: Callable[[Tensor, Tensor], dict[str, Tensor]]) -> Probe:
    truth = truth if truth.ndim > 1 else truth[None]

    def probe(stack: Stack) -> dict[str, Tensor]:
        if len(truth) not in (1, len(stack)):
            raise ValueError(f"a probe has labels or targets of {len(truth)} networks; the stack has {len(stack)}")
        sums: dict[str, Tensor] = {}
        for first in range(0, len(inputs), _ROWS):
            here = slice(first, first + _ROWS)
            with torch.no_grad():
                outputs = stack.outputs(inputs[here])
            part = measured(outputs, truth[:, here].expand(len(stack), -1, *truth.shape[2:]))
            sums = {key: sums.get(key, 0.0) + value for key, value in part.items()}
        return {key: value / len(inputs) for key, value in sums.items()}

    return probe


def _check(inputs: Tensor, truth: Tensor, name: str, dimensions: tuple[int, int]) -> None:
    samples = truth.shape[truth.ndim - dimensions[0]] if truth.ndim in dimensions else None
    if inputs.ndim == 0 or samples != len(inputs) or not samples:
        raise ValueError(
            f"`inputs` and `{name}` have the shapes {tuple(inputs.shape)} and {tuple(truth.shape)}; expected as many "
            "samples in both, at least one"
        )
