"""Step networks at Barron's rate: sampled from an integral representation, or grown greedily."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import scipy.linalg
from scipy import special

from pyphenom._arrays import Float, as_float, as_integer, as_real, restore


@dataclass(frozen=True, eq=False)
class StepNetwork:
    r"""The network :math:`f(x)=c+\sum_j v_j\,1[w_j\cdot x>t_j]`.

    Called with inputs (m, d) it predicts (m,).

    Attributes
    ----------
    directions : array (width, d)
        w, of unit length.
    thresholds : array (width,)
        t.
    weights : array (width,)
        v.
    offset : float
        c.
    errors : array (width,) or None
        Of a greedy network: mean squared error on its data with the first 1, 2, ... neurons refitted.
    """

    directions: Float
    thresholds: Float
    weights: Float
    offset: float
    errors: Float | None = None

    def __call__(self, X: Any) -> Any:
        """Predict for inputs (m, d), an array or a CPU tensor; the answer is of the same kind."""
        x = as_float("X", X, (2,))
        if x.shape[1] != self.directions.shape[1]:
            raise ValueError(f"`X` has {x.shape[1]} columns; expected {self.directions.shape[1]}")
        return restore(self.offset + (x @ self.directions.T > self.thresholds) @ self.weights, like=X)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        width, d = self.directions.shape
        return f"StepNetwork({width} steps, {d} inputs, variation {np.abs(self.weights).sum():.4g})"


def sample_gaussian(dimension: int, width: int, radius: float, rng: np.random.Generator) -> StepNetwork:
    r"""Draw a network of `width` steps from Barron's representation of :math:`f(x)=e^{-|x|^2/2}` on a ball.

    With :math:`\omega\sim N(0,I_d)`, :math:`f(x)=E\cos\omega\cdot x`, and a cosine is an integral of steps, so that

    .. math:: f(x)-f(0)=-2rC_f\,E\,[\sin(s)\,1[\omega\cdot x>s]],\qquad |x|\le r,\quad C_f=E|\omega|,

    :math:`\omega` now of density :math:`\propto|\omega|e^{-|\omega|^2/2}` and s uniform on :math:`[0,r|\omega|]`. The
    mean of m such terms has mean squared error at most :math:`(2rC_f)^2/m`, and exactly what
    `pyphenom.theory.universal_approximation.gaussian_sampling_error` says, in any dimension.

    Parameters
    ----------
    dimension : int
        d.
    width : int
        Number of steps m.
    radius : float
        r > 0.
    rng : numpy.random.Generator

    Returns
    -------
    StepNetwork

    Raises
    ------
    ValueError, TypeError
        For an argument out of its range; the message names it.

    References
    ----------
    Barron, "Universal approximation bounds for superpositions of a sigmoidal function", IEEE Trans. Inf. Theory 1993,
    Theorem 1 and its proof.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> network = sample_gaussian(10, 10_000, 1.0, rng)
    >>> X = rng.uniform(-0.3, 0.3, (5, 10))
    >>> bool(np.abs(network(X) - np.exp(-(X**2).sum(axis=1) / 2)).max() < 0.1)
    True
    """
    d, m, r = as_integer("dimension", dimension, 1), as_integer("width", width, 1), _positive("radius", radius)
    generator = _generator(rng)
    directions = generator.standard_normal((m, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    length = np.sqrt(generator.chisquare(d + 1, m))  # |w| of density |w|^d exp(-|w|^2 / 2)
    share = generator.random(m)
    constant = np.sqrt(2.0) * np.exp(special.gammaln((d + 1) / 2) - special.gammaln(d / 2))
    weights = -2.0 * r * constant * np.sin(share * r * length) / m
    return StepNetwork(directions, share * r, weights, 1.0)


def greedy_network(X: Any, y: Any, width: int, rng: np.random.Generator, pool: int = 500) -> StepNetwork:
    r"""Grow a step network neuron by neuron: the step that correlates most with the residual, then a refit.

    The orthogonal greedy algorithm. With the best of all steps its mean squared error after m is at most
    :math:`V^2/m`, V the variation of the target (:math:`2rC_f` for Barron's functions); here it is the best of a pool
    drawn anew for each neuron, with directions uniform on the sphere and thresholds at projections of the data.

    Parameters
    ----------
    X : array or CPU tensor (n, d)
    y : array (n,)
    width : int
        Number of steps, below n.
    rng : numpy.random.Generator
    pool : int
        Steps to choose from, each time.

    Returns
    -------
    StepNetwork
        With the error on the data after each neuron.

    Raises
    ------
    ValueError, TypeError
        For an argument out of its range; the message names it.

    References
    ----------
    DeVore and Temlyakov, "Some remarks on greedy algorithms", Adv. Comput. Math. 1996.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, (500, 2))
    >>> network = greedy_network(X, np.exp(-(X**2).sum(axis=1)), 40, rng)
    >>> bool(network.errors[-1] < 0.1 * network.errors[0])
    True
    """
    x, target = as_float("X", X, (2,)), as_float("y", y, (1,))
    n, d = x.shape
    if len(target) != n:
        raise ValueError(f"`y` has {len(target)} rows; expected {n}, as many as `X`")
    m, count, generator = as_integer("width", width, 1, n - 1), as_integer("pool", pool, 1), _generator(rng)
    # The constant comes first: steps and residual are orthogonal to it from the start.
    basis = np.empty((n, m + 1))
    basis[:, 0] = n**-0.5
    residual = target - target.mean()
    directions, thresholds, errors = np.empty((m, d)), np.empty(m), np.empty(m)
    for k in range(m):
        candidates = generator.standard_normal((count, d))
        candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
        projections = x @ candidates.T
        at = projections[generator.integers(n, size=count), np.arange(count)]
        steps = (projections > at).astype(np.float64)
        size = np.sqrt(steps.sum(axis=0))
        best = int(np.argmax(np.abs(residual @ steps) / np.where(size > 0, size, np.inf)))
        new = steps[:, best]
        for _ in range(2):  # twice is enough
            new = new - basis[:, : k + 1] @ (basis[:, : k + 1].T @ new)
        length = np.linalg.norm(new)
        basis[:, k + 1] = new / length if length > 1e-10 * size[best] else 0.0  # a step that is there already
        residual = residual - basis[:, k + 1] * (basis[:, k + 1] @ residual)
        directions[k], thresholds[k], errors[k] = candidates[best], at[best], np.mean(residual**2)
    design = np.hstack([np.ones((n, 1)), x @ directions.T > thresholds])
    weights = scipy.linalg.lstsq(design, target)[0]
    return StepNetwork(directions, thresholds, weights[1:], float(weights[0]), errors)


def _positive(name: str, value: object) -> float:
    number = as_real(name, value)
    if number == 0:
        raise ValueError(f"`{name}` is 0; expected a number > 0")
    return number


def _generator(rng: object) -> np.random.Generator:
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"`rng` is {rng!r}; expected a numpy.random.Generator, for example numpy.random.default_rng(0)")
    return rng
