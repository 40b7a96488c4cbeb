"""Full-batch gradient descent of a network, with the sharpness on the way."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils import parameters_to_vector

from pyphenom import curvature
from pyphenom._arrays import as_integer, as_real

Array: TypeAlias = NDArray[np.float64]


class Landscape:
    r"""The loss of a model over all its data, as a function of the flat vector of its free parameters.

    Parameters
    ----------
    model : torch.nn.Module
        Its parameters move with `theta`; frozen ones stay.
    loss, inputs, targets
        As for :func:`pyphenom.curvature.linearize`.

    Examples
    --------
    >>> model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    >>> at = Landscape(model, "half_squared", torch.ones(1, 1).double(), torch.zeros(1, 1).double())
    >>> at.move(np.array([3.0]))
    >>> at.loss, at.gradient(), round(at.sharpness(), 6)
    (4.5, array([3.]), 1.0)
    """

    def __init__(self, model: nn.Module, loss: Any, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        # All parameters become views of one array, so that a step is one copy instead of one for each.
        parameters = list(model.parameters())
        flat, end = parameters_to_vector(parameters).detach().clone(), 0
        for value in parameters:
            end, start = end + value.numel(), end
            value.data = flat[start:end].view_as(value)
        self._values = flat.numpy()
        free = np.concatenate([np.full(value.numel(), value.requires_grad) for value in parameters])
        places = np.flatnonzero(free)
        # In one piece they are copied many times faster than through a mask.
        whole = bool(places.size) and len(places) == places[-1] - places[0] + 1
        self._free: Any = slice(places[0], places[-1] + 1) if whole else free
        self._linear = curvature.linearize(model, loss, inputs, targets)
        self.theta: Array = self._values[self._free].copy()
        self._vectors: Any = None
        self.certain = True
        """Whether every sharpness that was read came from a converged eigenpair."""

    def move(self, theta: Array) -> None:
        """Set the parameters."""
        self.theta = theta
        self._values[self._free] = theta
        self._linear.refresh(self._values)

    @property
    def loss(self) -> float:
        """The loss here."""
        return self._linear.loss

    def gradient(self) -> Array:
        """Return the gradient here."""
        return self._linear.gradient()

    def outputs(self) -> Array:
        """Return the outputs of the model here."""
        return self._linear.outputs()

    def sharpness(self) -> float:
        """Return the largest eigenvalue of the Hessian, to a thousandth, from the eigenvector of the last call."""
        pairs = curvature.eigsh(self._linear.hessian(), 1, tol=1e-3, v0=self._vectors)
        self._vectors = pairs.vectors
        self.certain &= pairs.status.converged
        return float(pairs.values[0])


@dataclass
class Descent:
    """What a run of gradient descent passed through.

    Attributes
    ----------
    losses : list of float
        At every step.
    steps : list of int
        At which the sharpness was read.
    sharpness : list of float
        The largest eigenvalue of the Hessian at those.
    certain : bool
        Whether every eigenpair converged.
    least : int
        Steps that any run with the same arguments takes.
    """

    losses: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    certain: bool = True
    least: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def descend(
    model: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    step_size: float,
    *,
    limit: float,
    steps: int,
    every: int,
    loss: Any = "half_squared",
    momentum: float = 0.0,
    nesterov: bool = False,
    longer: float = 1.0,
    at_most: int = 1,
) -> Descent:
    r"""Run gradient descent beyond the step at which the sharpness crosses a limit.

    With momentum :math:`v\leftarrow\beta v+g` and :math:`\theta\leftarrow\theta-\eta v`, or for Nesterov's method
    :math:`\theta-\eta(g+\beta v)`, as torch's SGD has it.

    Parameters
    ----------
    model, inputs, targets
        The model, which is changed, and all the data.
    step_size : float
        :math:`\eta`.
    limit : float
        Of the sharpness.
    steps : int
        The least number of steps.
    every : int
        Steps between readings of the sharpness.
    loss : optional
        As for :func:`pyphenom.curvature.linearize`.
    momentum : float, optional
        :math:`\beta`.
    nesterov : bool, optional
        Nesterov's momentum instead of Polyak's.
    longer : float, optional
        The run takes so many times the steps to the crossing, if that is more than `steps`.
    at_most : int, optional
        Without a crossing it ends after so many times `steps`.

    Returns
    -------
    Descent

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, and what :func:`pyphenom.curvature.linearize` cannot take.

    Examples
    --------
    >>> model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    >>> X = torch.full((1, 1), 2.0).double()
    >>> run = descend(model, X, X, 0.1, limit=9.0, steps=4, every=2)
    >>> run.steps, np.round(run.sharpness, 6).tolist()
    ([0, 2, 4], [4.0, 4.0, 4.0])
    """
    step_size, momentum = as_real("step_size", step_size), as_real("momentum", momentum)
    steps, every, at_most = (
        as_integer("steps", steps, 1),
        as_integer("every", every, 1),
        as_integer("at_most", at_most, 1),
    )
    point, run = Landscape(model, loss, inputs, targets), Descent(least=steps)
    velocity, crossed, last = np.zeros_like(point.theta), False, steps
    for step in range(at_most * steps + 1):
        now = point.loss
        run.losses.append(now)
        if step % every == 0:
            run.steps.append(step)
            run.sharpness.append(point.sharpness())
            if run.sharpness[-1] > limit and not crossed:
                crossed, last = True, max(steps, int(longer * step))
        if (crossed and step >= last) or not math.isfinite(now):
            break
        gradient = point.gradient()
        velocity = momentum * velocity + gradient if momentum else gradient
        point.move(point.theta - step_size * (gradient + momentum * velocity if nesterov else velocity))
    run.certain = point.certain
    return run


def take_steps(point: Landscape, steps: int, step_size: float, momentum: float = 0.0) -> None:
    r"""Take gradient steps :math:`\theta\leftarrow\theta-\eta v`, with :math:`v\leftarrow\beta v+g` from zero.

    Parameters
    ----------
    point : Landscape
        Which is moved.
    steps : int
        At least 0.
    step_size : float
        :math:`\eta`.
    momentum : float, optional
        :math:`\beta`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Examples
    --------
    >>> model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    >>> at = Landscape(model, "half_squared", torch.ones(1, 1).double(), torch.zeros(1, 1).double())
    >>> at.move(np.ones(1))
    >>> take_steps(at, 3, 0.5)
    >>> at.theta
    array([0.125])
    """
    steps, step_size = as_integer("steps", steps, 0), as_real("step_size", step_size)
    momentum, velocity = as_real("momentum", momentum), np.zeros_like(point.theta)
    for _ in range(steps):
        gradient = point.gradient()
        velocity = momentum * velocity + gradient if momentum else gradient
        point.move(point.theta - step_size * velocity)
