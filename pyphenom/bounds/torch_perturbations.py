"""How far the weights may be moved before the loss rises: by noise, and by an adversary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pyphenom._arrays import as_integer, as_real
from pyphenom.bounds import _torch_models as models
from pyphenom.bounds._torch_models import Copies, Loss

_FAR = 2.0**40  # beyond this no perturbation is looked for


def perturbation_scale(
    model: nn.Module,
    X: Any,
    y: Any,
    *,
    target: float = 0.1,
    loss: Loss = "error",
    relative: bool = False,
    floor: float = 1e-3,
    draws: int = 16,
    tol: float = 1e-2,
    seed: int = 0,
    chunk: int = 16,
) -> float:
    r"""Noise that raises the mean loss by `target`: :math:`\sigma` in :math:`E_{u}[L(w+u)]-L(w)=\text{target}`.

    :math:`u_i\sim N(0,\sigma^2)`, or :math:`N(0,\sigma^2w_i^2+\epsilon^2)` if `relative`, on all parameters. The mean
    is over pairs :math:`\pm u` of draws that are the same for every :math:`\sigma`, which bisection on its logarithm
    finds. It is a **standard deviation**: on a quadratic loss it is
    :math:`\sqrt{2\,\text{target}/\mathrm{tr}\,H}`.

    Parameters
    ----------
    model : torch.nn.Module
        As in `weight_norms`.
    X, y : array or tensor (n, ...), (n, ...)
        Usually the training data.
    target : float
        Rise of the loss.
    loss : {"error", "cross_entropy"} or callable
        Share of wrong labels, nats, or a function of outputs (n, K) and `y` to losses (n,).
    relative : bool
        Noise in proportion to each weight.
    floor : float
        :math:`\epsilon`, a standard deviation, for `relative`.
    draws : int
        Even.
    tol : float
        Relative width of the last bracket.
    seed : int
    chunk : int
        Copies of the parameters that are held at once.

    Returns
    -------
    float
        Infinite if no noise raises the loss so far, as where it is that of guessing already; 0 if, for `relative`,
        the floor alone does.

    Raises
    ------
    TypeError, ValueError
        For a bad argument, and as in `weight_norms`.

    References
    ----------
    Jiang et al. 2020, section C.6; target, floor and magnitude-aware noise are theirs.

    Examples
    --------
    >>> layer = nn.Linear(1, 1, bias=False)  # (w x)^2 / 2 at x = 1: the rise is sigma^2 / 2
    >>> scale = perturbation_scale(layer, [[1.0]], [0.0], target=0.02, loss=lambda f, y: f[:, 0] ** 2 / 2, draws=4096)
    >>> round(scale, 2)
    0.2
    """
    own, inputs, targets, criterion = _problem(model, X, y, loss)
    as_real("target", target), as_real("floor", floor), as_integer("chunk", chunk, 1), as_integer("seed", seed, 0)
    if as_integer("draws", draws, 2) % 2:
        raise ValueError(f"`draws` is {draws}; expected an even number: they come in pairs u, -u")
    copies, w = Copies(own, inputs, targets), models.parameters(own)
    base = _base(copies, w, criterion)

    def rise(scale: float) -> float:
        total = 0.0
        for noise in _noise(w, draws // 2, seed, max(1, chunk // 2)):
            moved = {}
            for name, value in w.items():
                deviation = torch.sqrt((scale * value) ** 2 + floor**2) if relative else scale
                u = deviation * noise[name]
                moved[name] = torch.cat([value + u, value - u])
            total += float(copies.losses(moved, criterion)[0].double().sum())
        return total / draws - base

    return _crossing(rise, target, tol)


def worst_case_rise(
    model: nn.Module,
    X: Any,
    y: Any,
    radius: float,
    *,
    loss: Loss = "cross_entropy",
    relative: bool = False,
    floor: float = 1e-3,
    steps: int = 20,
    starts: int = 4,
    seed: int = 0,
) -> float:
    r"""Largest rise of the mean loss in a box, :math:`\max_{|u_i|\le\alpha}L(w+u)-L(w)`, found by gradient ascent.

    With `relative` the box is :math:`|u_i|\le\alpha(|w_i|+\epsilon)`. Ascent by the signs of the gradient, in steps
    that fall to zero, all starts at once; the largest value on the way is returned. What is found is a lower bound of
    the maximum. For the 0-1 error the ascent follows the cross-entropy.

    Parameters
    ----------
    model, X, y, loss, relative, seed
        As in `perturbation_scale`.
    radius : float
        :math:`\alpha`.
    floor : float
        :math:`\epsilon`.
    steps, starts : int
        Of the ascent; starts are random corners of a box of half the size.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As in `perturbation_scale`.

    References
    ----------
    Keskar et al. 2017, Metric 2.1; Jiang et al. 2020, section C.6.

    Examples
    --------
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> _ = layer.weight.data.zero_()
    >>> worst_case_rise(layer, [[1.0, 2.0]], [0.0], 0.5, loss=lambda f, y: f[:, 0] ** 2)  # (radius |x|_1)^2
    2.25
    """
    as_real("radius", radius), as_real("floor", floor)
    as_integer("steps", steps, 1), as_integer("starts", starts, 1), as_integer("seed", seed, 0)
    own, inputs, targets, criterion = _problem(model, X, y, loss)
    copies, w = Copies(own, inputs, targets), models.parameters(own)
    return _ascent(copies, w, criterion, loss, relative, floor, steps, starts, seed)(radius)


def worst_case_scale(
    model: nn.Module,
    X: Any,
    y: Any,
    *,
    target: float = 0.1,
    loss: Loss = "error",
    relative: bool = False,
    floor: float = 1e-3,
    steps: int = 20,
    starts: int = 2,
    tol: float = 1e-2,
    seed: int = 0,
) -> float:
    r"""Radius of the box in which an adversary raises the mean loss by `target`, by bisection over `worst_case_rise`.

    The ascent finds a lower bound of the maximum, so this is an upper bound of the radius.

    Parameters
    ----------
    model, X, y, target, loss, relative, floor, tol, seed
        As in `perturbation_scale`.
    steps, starts : int
        As in `worst_case_rise`.

    Returns
    -------
    float
        Infinite if the loss does not rise so far.

    Raises
    ------
    TypeError, ValueError
        As in `perturbation_scale`.

    References
    ----------
    Jiang et al. 2020, section C.6: worst-case sharpness.

    Examples
    --------
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> _ = layer.weight.data.zero_()
    >>> scale = worst_case_scale(layer, [[1.0, 2.0]], [0.0], target=2.25, loss=lambda f, y: f[:, 0] ** 2, tol=1e-6)
    >>> round(scale, 4)
    0.5
    """
    as_real("target", target), as_real("floor", floor)
    as_integer("steps", steps, 1), as_integer("starts", starts, 1), as_integer("seed", seed, 0)
    own, inputs, targets, criterion = _problem(model, X, y, loss)
    copies, w = Copies(own, inputs, targets), models.parameters(own)
    return _crossing(_ascent(copies, w, criterion, loss, relative, floor, steps, starts, seed), target, tol)


def _problem(model: nn.Module, X: Any, y: Any, loss: Loss) -> tuple[nn.Module, Tensor, Tensor, Any]:
    own = models.prepared("model", model)
    inputs, targets = models.tensors(own, X, y)
    criterion = models.sample_losses(loss)
    return own, inputs, targets if callable(loss) else models.labels(own, inputs, targets), criterion


def _base(copies: Copies, w: dict[str, Tensor], criterion: Any) -> float:
    with torch.no_grad():
        value = float(copies.losses({name: v[None] for name, v in w.items()}, criterion)[0])
    if not math.isfinite(value):
        raise ValueError(f"`loss` is {value} at the parameters of `model`; expected a finite number")
    return value


def _noise(w: dict[str, Tensor], count: int, seed: int, chunk: int) -> Iterator[dict[str, Tensor]]:
    """Give `count` standard normal draws of every parameter, some at a time, the same ones for a seed."""
    stream = torch.Generator().manual_seed(seed)
    for start in range(0, count, chunk):
        drawn = [
            {name: torch.randn(v.shape, generator=stream, dtype=v.dtype) for name, v in w.items()}
            for _ in range(min(chunk, count - start))
        ]
        yield {name: torch.stack([draw[name] for draw in drawn]).to(v.device) for name, v in w.items()}


def _ascent(
    copies: Copies,
    w: dict[str, Tensor],
    criterion: Any,
    loss: Loss,
    relative: bool,
    floor: float,
    steps: int,
    starts: int,
    seed: int,
) -> Callable[[float], float]:
    climbed = models.sample_losses("cross_entropy") if loss == "error" else criterion
    base = _base(copies, w, criterion)
    (corners,) = _noise(w, starts, seed, starts)
    boxes = {name: v.abs() + floor if relative else torch.ones_like(v) for name, v in w.items()}

    def rise(radius: float) -> float:
        u = {name: 0.5 * radius * boxes[name] * corners[name].sign() for name in w}
        best = torch.full((starts,), base, dtype=torch.float64)
        for step in range(steps + 1):
            with torch.enable_grad():
                u = {name: value.detach().requires_grad_() for name, value in u.items()}
                moved = {name: w[name] + u[name] for name in w}
                risen, height = copies.losses(moved, criterion, climbed)
                slopes = torch.autograd.grad(height.sum(), list(u.values())) if step < steps else ()
            best = torch.maximum(best, risen.detach().double().cpu())
            length = 2.0 * radius * (1.0 - step / steps)
            for (name, value), slope in zip(u.items(), slopes, strict=step < steps):
                box = radius * boxes[name]
                u[name] = torch.clamp(value.detach() + length * boxes[name] * slope.sign(), -box, box)
        return float(best.max()) - base

    return rise


def _crossing(rise: Callable[[float], float], target: float, tol: float) -> float:
    """Return where a rise that grows with its argument reaches the target, to a relative width of tol."""
    as_real("tol", tol)
    if target == 0.0 or tol == 0.0:
        raise ValueError(f"`target` is {target:g} and `tol` {tol:g}; expected both > 0")
    low, high = 0.0, 1.0
    # NaN, from weights so large that the outputs overflow, is beyond the target.
    while rise(high) < target:
        low, high = high, 2.0 * high
        if high > _FAR:
            return math.inf
    while low == 0.0:
        middle = high / 2.0
        if middle < 1.0 / _FAR:
            return 0.0
        if rise(middle) < target:
            low = middle
        else:
            high = middle
    while high > (1.0 + tol) * low:
        middle = math.sqrt(low * high)
        if rise(middle) < target:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)
