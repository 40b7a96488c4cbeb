r"""Where gradient descent on the logistic loss ends, on either side of the threshold, and its double descent.

Below the threshold of separability that is the maximum-likelihood estimate, above it the direction of the max-margin
classifier. When features are added that carry part of the signal, the test error rises up to the threshold and falls
again beyond it. Conventions as in `logistic_regression`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from . import _checks, _logistic_paths, _logistic_system, _separability
from ._checks import Array, Values
from .hidden_features import visible_share
from .links import REACH, Link, Logistic
from .logistic_regression import TRUSTED, logistic_mle
from .risk import describe

__all__ = ["ClassifierLimit", "descent_limit", "double_descent", "interpolation_threshold"]


@dataclass(frozen=True, eq=False, repr=False)
class ClassifierLimit:
    """Where gradient descent on the logistic loss ends, on either side of the threshold.

    Attributes
    ----------
    cosine : float or array
        Between the classifier and the (visible) signal.
    error : float or array
        Probability of a wrong label on a fresh sample, label noise included.
    residual : float or array
        Largest relative residual of the equations.
    separable : bool or array of bool
        Whether the end is the max-margin classifier, and not the maximum-likelihood estimate.
    """

    cosine: Values
    error: Values
    residual: Values
    separable: bool | NDArray[np.bool_]

    @property
    def status(self) -> str:
        """Whether the equations were solved, in words."""
        worst = float(np.max(self.residual, initial=0.0))
        return "converged" if worst <= TRUSTED else f"not converged: residual {worst:.1e}; do not use these numbers"

    def to_dict(self) -> dict[str, Values | bool | NDArray[np.bool_] | str]:
        """Return the fields by name and the status, ready for a table."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"status": self.status}

    def __repr__(self) -> str:
        values = {"cosine": self.cosine, "error": self.error, "residual": self.residual}
        return f"{describe('ClassifierLimit', values)[:-1]}, separable={self.separable}, status={self.status!r})"


def descent_limit(aspect_ratio: ArrayLike, link: Link) -> ClassifierLimit:
    r"""Limit of gradient descent on the logistic loss: `logistic_mle` below the threshold, max margin above.

    At the threshold both have cosine :math:`t^*/\sqrt{1+t^{*2}}` with the minimiser of
    :math:`\psi^* = \min_t E(Z - tV)_+^2`.

    Parameters
    ----------
    aspect_ratio : float or array
        :math:`\psi = p/n > 0`, parameters per sample.
    link : Link
        `Logistic`, `Probit`, `Sign`, `GaussianMixture` or `Null`.

    Returns
    -------
    ClassifierLimit
        At every aspect ratio.

    Raises
    ------
    ValueError, TypeError
        As in `logistic_mle`.

    References
    ----------
    Deng, Kammoun, Thrampoulidis 2022; Soudry et al. 2018 for descent on separable data.

    Examples
    --------
    >>> descent_limit([0.2, 0.34, 0.35, 1.0], Logistic(2.0)).error.round(4)
    array([0.2822, 0.3363, 0.3455, 0.3857])
    """
    psi = _checks.positive("aspect_ratio", aspect_ratio)
    estimate = logistic_mle(psi, link)
    threshold, cotangent = _separability.threshold(link)
    cosine, residual = (np.array(array) for array in (estimate.cosine, estimate.residual))
    at, above = np.asarray(psi == threshold), np.asarray(psi > threshold)
    cosine[at], residual[at] = np.cos(np.arctan2(1.0, cotangent)), 0.0
    if above.any():
        _, cosine[above], residual[above] = _separability.maximum(link, psi[above])
    return _wrap(cosine, link.law().error(cosine), residual, above)


def double_descent(aspect_ratio: ArrayLike, signal: float, decay: float = 1.0) -> ClassifierLimit:
    r"""Double descent of the classifier that sees the first p of the features on which the labels depend.

    The visible strength is :math:`\varsigma^2 = r^2(1 - (1+\psi)^{-a})`, the rest acts as noise of the link
    (`Logistic` with a hidden part). The kink lies at `interpolation_threshold`.

    Parameters
    ----------
    aspect_ratio : float or array
        :math:`\psi = p/n > 0`, number of visible features per sample.
    signal : float
        r > 0, norm of all coefficients, visible and hidden.
    decay : float
        a > 0 of `hidden_features.visible_share`.

    Returns
    -------
    ClassifierLimit
        Of gradient descent: maximum likelihood below the kink, max margin above.

    Raises
    ------
    ValueError, TypeError
        For parameters that are not positive, NaN or not a number.

    References
    ----------
    Deng, Kammoun, Thrampoulidis 2022.

    Examples
    --------
    >>> double_descent([0.3, 0.45, 2.0], signal=3.0).error.round(7)
    array([0.4383541, 0.4481965, 0.4241057])
    """
    psi = _checks.positive("aspect_ratio", aspect_ratio)
    r, a = _scalar("signal", signal), _scalar("decay", decay)
    flat = psi.ravel()
    links = [_visible(value, r, a) for value in flat]
    cosine, error, residual = np.empty((3, flat.size))
    limits = np.array([_separability.threshold(link) for link in links]).reshape(-1, 2)
    thresholds = limits[:, 0]
    x: Array | None = None
    for k in np.argsort(flat):
        if flat[k] < thresholds[k]:
            x, residual[[k]] = _estimate(links[k], thresholds[k], flat[[k]], x)
            cosine[k] = x[0, 0] / np.hypot(1.0, x[0, 0])
    for k in np.flatnonzero(flat >= thresholds):
        if flat[k] > thresholds[k]:
            _, cosine[[k]], residual[[k]] = _separability.maximum(links[k], flat[[k]])
        else:
            cosine[k], residual[k] = np.cos(np.arctan2(1.0, limits[k, 1])), 0.0
    for each, link in enumerate(links):
        error[each] = link.law().error(cosine[each])
    cosine, error, residual = (field.reshape(psi.shape) for field in (cosine, error, residual))
    return _wrap(cosine, error, residual, (flat > thresholds).reshape(psi.shape))


def interpolation_threshold(signal: float, decay: float = 1.0) -> float:
    r"""Aspect ratio at which the data of `double_descent` become separable, the root of :math:`\psi = \psi^*(\psi)`.

    Parameters
    ----------
    signal, decay : float
        As in `double_descent`.

    Returns
    -------
    float
        At most 1/2, where labels are independent of the features.

    Raises
    ------
    ValueError, TypeError
        For parameters that are not positive, NaN or not a number.

    Examples
    --------
    >>> round(interpolation_threshold(3.0), 6)
    0.448295
    """
    r, a = _scalar("signal", signal), _scalar("decay", decay)
    return float(brentq(lambda psi: psi - _separability.threshold(_visible(psi, r, a))[0], 1e-9, 1.0, xtol=1e-14))


def _estimate(link: Logistic, threshold: float, psi: Array, guess: Array | None) -> tuple[Array, Array]:
    """Solve from the neighbour, whose link is almost the same; where that fails, along the noise.

    The loss is convex and the solution unique: what solves the equations is the estimate.
    """
    nothing = np.zeros(1)
    if guess is not None:
        x, residual = _logistic_system.newton(guess, link, psi, nothing, REACH)
        if residual[0] < 1e-12:
            return x, residual
    branch = _logistic_paths.branch(link, REACH, beyond=float(psi[0]))
    return _logistic_system.newton(_logistic_paths.on_branch(branch, threshold, psi), link, psi, nothing, REACH)


def _visible(psi: float, signal: float, decay: float) -> Logistic:
    share = float(visible_share(psi, decay))
    return Logistic(signal * np.sqrt(share), signal * np.sqrt(1.0 - share))


def _scalar(name: str, value: float) -> float:
    array = _checks.positive(name, value)
    if array.ndim:
        raise TypeError(f"{name}: got an array of shape {array.shape}, expected one number; loop over its values")
    return float(array)


def _wrap(cosine: Array, error: Array, residual: Array, separable: NDArray[np.bool_]) -> ClassifierLimit:
    side = separable if separable.ndim else bool(separable)
    return ClassifierLimit(_checks.unwrap(cosine), _checks.unwrap(error), _checks.unwrap(residual), side)
