"""Gradient flow of a network, by steps that are long where the flow is slow, however stiff it is."""

from __future__ import annotations

import math
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyphenom._arrays import as_real
from pyphenom.networks.descent import Landscape

Array: TypeAlias = NDArray[np.float64]

_DAMPING = 2.0 / 13.0  # of the stability polynomial
_ROOM = 1.25  # by which the sharpness may grow on the way


def follow_flow(point: Landscape, time: float, sharpness: float, step: float, tolerance: float = 1e-6) -> float:
    r"""Follow the gradient flow :math:`\dot\theta=-\nabla L` for a time, by Runge-Kutta-Chebyshev steps.

    Classical steps are stable up to about 3 over the sharpness, however slowly the parameters move. These are of second
    order and take s gradients, for a stability that grows with the square of s:

    .. math:: h\,\lambda_{\max} \le \tfrac23\,(s^2-1)\left(1-\tfrac{2}{15}\varepsilon\right),\qquad
        \varepsilon=\tfrac{2}{13}.

    They are as long as their estimated error allows,
    :math:`\tfrac45(\theta_n-\theta_{n+1})-\tfrac25h\,(\nabla L_n+\nabla L_{n+1})`.

    Parameters
    ----------
    point : Landscape
        Which is moved.
    time : float
    sharpness : float
        The largest eigenvalue of the Hessian at the start. It may grow by a quarter on the way.
    step : float
        Time of the first step that is tried.
    tolerance : float, optional
        Largest root mean square, over the parameters, of the estimated error of a step; errors of steps add up.

    Returns
    -------
    float
        The step to begin with next time.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.
    RuntimeError
        If no step is short enough: the landscape is steeper than the sharpness says.

    References
    ----------
    Sommeijer, Shampine, Verwer, "RKC: an explicit solver for parabolic PDEs", J. Comput. Appl. Math. 88, 1998,
    equations 2.1 to 2.8 and 3.1.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    >>> at = Landscape(model, "half_squared", torch.ones(1, 1).double(), torch.zeros(1, 1).double())
    >>> at.move(np.ones(1))
    >>> step = follow_flow(at, 2.0, sharpness=1.0, step=0.1)
    >>> bool(np.isclose(at.theta[0], np.exp(-2.0), rtol=1e-3))
    True
    """
    left, sharpness, step = as_real("time", time), as_real("sharpness", sharpness), as_real("step", step)
    tolerance = as_real("tolerance", tolerance)
    for name, value in (("step", step), ("tolerance", tolerance)):
        if not value > 0.0:
            raise ValueError(f"`{name}` is {value}; expected a positive number")
    least, slope = 1e-6 * min(step, left), point.gradient()
    while left > 0.0:
        parts = math.ceil(left / step)
        h, start, before = left / parts, point.theta, slope
        _step(point, slope, h, math.ceil(math.sqrt(1.0 + 1.54 * _ROOM * h * sharpness)))
        slope = point.gradient()
        error = np.sqrt(np.mean((0.8 * (start - point.theta) - 0.4 * h * (before + slope)) ** 2)) / tolerance
        good = bool(error <= 1.0)
        step = h * (min(3.0, 0.8 * max(error, 1e-3) ** (-1 / 3)) if good else 0.3)
        if good:
            left = left - h if parts > 1 else 0.0
            continue
        if step < least:
            raise RuntimeError(
                f"no step follows the flow; expected a `sharpness` near the largest eigenvalue of the Hessian on the "
                f"way, got {sharpness}. Read it more often"
            )
        point.move(start)
        slope = before
    return step


def _step(point: Landscape, slope: Array, h: float, stages: int) -> None:
    """Move by a step that begins with a gradient."""
    start, first = point.theta, -h * slope
    before, share, stages_after = start, *_coefficients(max(2, stages))
    here = start + share * first
    point.move(here)
    for own, last, last_but_one, by_slope, by_first in stages_after:
        after = own * start + last * here + last_but_one * before
        after += (-h * by_slope) * point.gradient() + by_first * first
        before, here = here, after
        point.move(here)


@cache
def _coefficients(stages: int) -> tuple[float, list[tuple[float, float, float, float, float]]]:
    """Return the share of the first slope in the first stage, and the five weights of each later stage."""
    w0 = 1.0 + _DAMPING / stages**2
    T, first, second = [1.0, w0], [0.0, 1.0], [0.0, 0.0]  # Chebyshev polynomials and their derivatives at w0
    for j in range(2, stages + 1):
        T.append(2.0 * w0 * T[j - 1] - T[j - 2])
        first.append(2.0 * T[j - 1] + 2.0 * w0 * first[j - 1] - first[j - 2])
        second.append(4.0 * first[j - 1] + 2.0 * w0 * second[j - 1] - second[j - 2])
    w1 = first[stages] / second[stages]
    b = [second[max(j, 2)] / first[max(j, 2)] ** 2 for j in range(stages + 1)]
    later = []
    for j in range(2, stages + 1):
        mu, nu, by_slope = 2.0 * w0 * b[j] / b[j - 1], -b[j] / b[j - 2], 2.0 * w1 * b[j] / b[j - 1]
        later.append((1.0 - mu - nu, mu, nu, by_slope, (b[j - 1] * T[j - 1] - 1.0) * by_slope))
    return b[1] * w1, later
