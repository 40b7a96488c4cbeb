"""What every prediction of `eigenframework` starts from: checked parameters, and the fixed point on their grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks, _modes
from ._checks import Array


@dataclass(frozen=True, eq=False)
class Solved:
    """Checked parameters, the fixed point on their grid, and the shape of the answer."""

    point: _modes.FixedPoint
    n: Array
    width: Array
    population: Array
    noise: Array
    shape: tuple[int, ...]
    target_power: Array
    tail_power: Array
    kept: NDArray[np.bool_]

    def power(self, factor: Array, tail_factor: Array, null_factor: float = 1.0) -> Array:
        """Sum the target power with a factor a mode; modes of zero eigenvalue are missed altogether."""
        null = null_factor * self.target_power[..., ~self.kept].sum(-1)
        return np.asarray((factor * self.target_power[..., self.kept]).sum(-1) + null + tail_factor * self.tail_power)


def solve(
    eigenvalues: ArrayLike,
    target_power: ArrayLike,
    n: ArrayLike,
    width: ArrayLike,
    penalty: ArrayLike,
    noise_variance: ArrayLike,
    tail_eigenvalue: ArrayLike,
    tail_power: ArrayLike,
    population: ArrayLike,
) -> Solved:
    """Check the parameters of a prediction, and solve for its effective ridge; raise as `kernel_regression` says."""
    eigenvalues = _checks.spectrum("eigenvalues", eigenvalues)
    power = _checks.nonnegative("target_power", target_power)
    _checks.same_length("target_power", power, "eigenvalues", eigenvalues.size)
    given = {
        "n": _checks.positive("n", n),
        "width": _checks.positive("width", width, infinite=True),
        "penalty": _checks.nonnegative("penalty", penalty, infinite=True),
        "population": _checks.positive("population", population, infinite=True),
        "tail_eigenvalue": _checks.nonnegative("tail_eigenvalue", tail_eigenvalue),
    }
    tail_power = _checks.nonnegative("tail_power", tail_power)
    noise = _checks.nonnegative("noise_variance", noise_variance)
    # The fixed point knows neither target nor noise, so only these five span the grid that is solved.
    grid = _checks.broadcast(**given)
    shape = _checks.broadcast(**given, tail_power=tail_power, noise_variance=noise, target_power=power[..., 0])
    n, width, penalty, population, tail = (np.broadcast_to(array, grid) for array in given.values())
    _check_population(population, n, tail, eigenvalues.size)

    kept = eigenvalues > 0
    if not (kept.any() or (tail > 0).all()):
        raise ValueError("eigenvalues: got only zeros, expected a positive one or a tail; a null kernel learns nothing")
    modes = _modes.Modes(eigenvalues[kept], np.array(tail), np.array(population - eigenvalues.size))
    point = _modes.solve(modes, n, width, penalty, population)
    return Solved(point, n, width, population, noise, shape, power, tail_power, kept)


def ratio(numerator: Array, gap: Array) -> Array:
    """Divide; at a vanishing gap the answer is inf, unless there is nothing to amplify."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(numerator > 0, numerator / gap, 0.0)


def _check_population(population: Array, n: Array, tail: Array, modes: int) -> None:
    if (population <= n).any():
        raise ValueError(
            f"population: got {population.min():g} points, expected more than n = {n.max():g}; "
            "held-out points must remain, or pass inf for fresh data"
        )
    if (population < modes).any():
        raise ValueError(
            f"population: got {population.min():g} points, expected at least the {modes} eigenvalues; "
            "a pool of M points has M modes"
        )
    if ((population == modes) & (tail > 0)).any():
        raise ValueError(
            "tail_eigenvalue: got a positive tail, expected 0 when every mode of the population is listed; "
            "leave the tail out or list fewer eigenvalues"
        )
