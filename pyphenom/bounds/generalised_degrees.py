"""The effective number of parameters of any fit: a measure, with no confidence attached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyphenom._arrays import Float, Progress, as_float, as_integer, as_real


@dataclass(frozen=True, eq=False)
class GeneralisedDegrees:
    r"""An estimate of :math:`\sum_i\partial\hat y_i/\partial y_i`.

    Attributes
    ----------
    value : float or array (...)
        One number for each of the fits that were asked for together, such as those after several epochs.
    standard_error : float or array (...)
        Of `value`, from the spread over the pairs; 0 where every label was perturbed by itself.
    samples : array (pairs, ...)
        What each pair gave; `value` is the mean, or the sum where every label was perturbed by itself.
    fits : int
        Trainings that were done.
    """

    value: Any
    standard_error: Any
    samples: Float
    fits: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {"value": self.value, "standard_error": self.standard_error, "samples": self.samples, "fits": self.fits}

    def __repr__(self) -> str:
        if np.ndim(self.value):
            return f"GeneralisedDegrees(array of shape {np.shape(self.value)}, {self.fits} fits)"
        return f"GeneralisedDegrees({self.value:.6g} +- {self.standard_error:.2g}, {self.fits} fits)"


def generalised_degrees(
    fit: Callable[[Float], Any],
    y: Any,
    scale: float,
    pairs: int = 20,
    seed: int = 0,
    *,
    together: bool = False,
    progress: Progress | None = None,
) -> GeneralisedDegrees:
    r"""Generalised degrees of freedom of a fit, by perturbing its labels.

    .. math:: \mathrm{GDF} = \sum_{i=1}^n\frac{\partial\hat y_i}{\partial y_i} \approx
              \frac1m\sum_{k=1}^m \varepsilon_k^\top\,\frac{\hat y(y+h\varepsilon_k)-\hat y(y-h\varepsilon_k)}{2h}

    with random signs :math:`\varepsilon_k`. The two fits of a pair cancel what is even in the perturbation, so a fit
    that is linear in its labels has the trace of its hat matrix whatever the scale. At a noise variance
    :math:`\sigma^2`, fresh labels at the same inputs have an error larger by :math:`2\sigma^2\,\mathrm{GDF}/n` than
    those that were fitted, in the mean.

    Parameters
    ----------
    fit : callable
        Labels (n,) to the fitted values (n,) at the same inputs, or (..., n) for several fits at once. The same labels
        have to give the same values: fix initialisation and order of the samples. Flatten labels of several columns.
    y : array (n,)
        Labels.
    scale : float
        h > 0, in the unit of the labels: small against their noise, large against the rounding of the fit and of y.
    pairs : int
        m >= 2. From n on, every label is perturbed by itself instead, and nothing is left to chance.
    seed : int
        Of the signs.
    together : bool, optional
        Whether `fit` takes all label vectors at once, (2m, n) to (2m, ..., n), such as networks that are trained in one
        stack.
    progress : callable (fits, total), optional
        Called after every pair, with `together` once, after the fit.

    Returns
    -------
    GeneralisedDegrees

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work; if fitted values have another shape than the labels or are not finite.

    References
    ----------
    Ye 1998, "On measuring and correcting the effects of data mining and model selection", algorithm 1, with signs in
    pairs instead of Gaussian perturbations. Ramani, Blu, Unser 2008, "Monte-Carlo SURE", for the difference quotient.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((50, 4))
    >>> generalised_degrees(lambda y: X @ np.linalg.lstsq(X, y, rcond=None)[0], X[:, 0], 0.1, pairs=50)
    GeneralisedDegrees(4 +- 0, 100 fits)
    """
    if not callable(fit):
        raise TypeError(f"`fit` is a {type(fit).__name__}; expected a function of the labels")
    labels = as_float("y", y, (1,))
    n, h = len(labels), as_real("scale", scale)
    if h == 0.0:
        raise ValueError("`scale` is 0; expected a number > 0, such as a tenth of the noise of the labels")
    if (np.abs((labels + h) - (labels - h) - 2.0 * h) > 0.02 * h).any():
        raise ValueError(
            f"`scale` is {h:g}, which is lost in the rounding of `y` of up to {np.abs(labels).max():g}; expected at "
            f"least {100.0 * np.spacing(np.abs(labels).max()):.1e}, or labels shifted to a mean of zero"
        )
    count, rng = as_integer("pairs", pairs, 2), np.random.default_rng([as_integer("seed", seed, 0), 0x6DF])
    exact = count >= n
    steps = np.eye(n) if exact else 2.0 * rng.integers(0, 2, (count, n)) - 1.0
    if together:
        values = _fitted(fit(np.concatenate([labels + h * steps, labels - h * steps])), n, 2 * len(steps))
        rises = values[: len(steps)] - values[len(steps) :]
        if progress is not None:
            progress(2 * len(steps), 2 * len(steps))
    else:
        rows = []
        for done, step in enumerate(steps, 1):
            rows.append(_fitted(fit(labels + h * step), n) - _fitted(fit(labels - h * step), n))
            if progress is not None:
                progress(2 * done, 2 * len(steps))
        rises = np.stack(rows)
    samples = np.einsum("k...n,kn->k...", rises, steps) / (2.0 * h)
    value = samples.sum(0) if exact else samples.mean(0)
    error = np.zeros_like(value) if exact else samples.std(0, ddof=1) / np.sqrt(count)
    if value.ndim == 0:
        value, error = float(value), float(error)
    return GeneralisedDegrees(value, error, samples, 2 * len(steps))


def _fitted(values: Any, n: int, count: int = 0) -> Float:
    """Return fitted values as an array (..., n), or (count, ..., n)."""
    array = np.asarray(values, dtype=np.float64)
    expected = f"({count}, ..., {n})" if count else f"(..., {n})"
    if array.ndim < 1 + bool(count) or array.shape[-1] != n or (count and len(array) != count):
        raise ValueError(f"`fit` gave the shape {array.shape}; expected {expected}, the fitted values of the labels")
    if not np.isfinite(array).all():
        raise ValueError("`fit` gave values that are not finite; expected finite numbers. Lower its learning rate")
    return array
