r"""Logistic regression in the proportional limit: maximum likelihood, and any ridge.

Inputs are :math:`x \sim N(0, I_p)`, raw, :math:`p/n \to \psi`, and the loss is the mean of
:math:`\ell(u) = \log(1+e^{-u})`, :math:`u = y\langle x, \theta\rangle`, plus :math:`\frac r2|\theta|^2` for a ridge r.
The estimate is :math:`\hat\theta \approx \mu\theta_* + \alpha\cdot` (a unit vector of noise). With
:math:`q = \mu V + \alpha Z` the margin on a fresh sample, :math:`\pi - \lambda\,\mathrm{s}(-\pi) = q` is that on a
training sample, and

.. math::
    -E[V\ell'(\pi)] = r\mu, \qquad \lambda^2E[\ell'(\pi)^2] = \psi\alpha^2, \qquad
    E\Bigl[\frac{\lambda\ell''(\pi)}{1+\lambda\ell''(\pi)}\Bigr] = \psi - r\lambda .

Without a ridge there is a solution below the threshold of separability only; above it the norm of the estimate grows
without limit, in the direction of `max_margin`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import _checks, _logistic_paths, _logistic_system, _separability
from ._checks import Array, Values
from .links import REACH, Link
from .risk import describe

__all__ = ["LogisticLimit", "logistic_mle", "logistic_ridge"]

TRUSTED = 1e-6
"""Residual above which the status says that the numbers are no solution."""


@dataclass(frozen=True, eq=False, repr=False)
class LogisticLimit:
    r"""An estimate by logistic regression; floats for scalar parameters, else arrays of their broadcast shape.

    Attributes
    ----------
    alignment : float or array
        :math:`\mu = \langle\hat\theta, \theta_*\rangle`; ``inf`` where there is no estimate.
    spread : float or array
        :math:`\alpha`, norm of the part orthogonal to the signal; ``inf`` where there is no estimate.
    proximal : float or array
        :math:`\lambda`, by how much training on a sample moves its margin, per unit of its slope; ``inf`` as above.
    cosine : float or array
        :math:`\mu/\sqrt{\mu^2+\alpha^2}`; ``nan`` where there is no estimate.
    error : float or array
        Probability of a wrong label on a fresh sample, label noise included; ``nan`` where there is no estimate.
    residual : float or array
        Largest relative residual of the three equations. About 1e-15 when all is well; ``nan`` without an estimate.
    threshold : float
        The aspect ratio of separability :math:`\psi^*`; an estimate without a ridge exists below it.
    """

    alignment: Values
    spread: Values
    proximal: Values
    cosine: Values
    error: Values
    residual: Values
    threshold: float

    @property
    def status(self) -> str:
        """What the numbers hold for, in words."""
        missing, total = int(np.sum(np.isinf(self.spread))), np.size(self.spread)
        worst = float(np.max(np.where(np.isinf(self.spread), 0.0, self.residual), initial=0.0))
        if not worst <= TRUSTED:
            return f"not converged: residual {worst:.1e}; do not use these numbers"
        if not missing:
            return "converged"
        return (
            f"{missing} of {total} aspect ratios are not below the threshold {self.threshold:.6g}: data there are "
            "separable and have no maximum-likelihood estimate; use max_margin.limit or a ridge"
        )

    def to_dict(self) -> dict[str, Values | str]:
        """Return the fields by name and the status, ready for a table."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"status": self.status}

    def __repr__(self) -> str:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "threshold"}
        return f"{describe('LogisticLimit', values)[:-1]}, status={self.status!r})"


def logistic_mle(aspect_ratio: ArrayLike, link: Link) -> LogisticLimit:
    r"""Maximum-likelihood estimate below the threshold of separability.

    Followed once for each link along :math:`\alpha`, of which the aspect ratio is a smooth function up to the
    threshold; Newton's method starts from there. The distance of the cosine from its limit at the threshold falls
    almost like :math:`\psi^* - \psi`.

    Parameters
    ----------
    aspect_ratio : float or array
        :math:`\psi = p/n > 0`, parameters per sample.
    link : Link
        `Logistic`, `Probit`, `Sign`, `GaussianMixture` or `Null`; the loss is the logistic one for all of them.

    Returns
    -------
    LogisticLimit
        At and above the threshold alignment and spread are ``inf``, cosine and error ``nan``, and the status says so.

    Raises
    ------
    ValueError, TypeError
        For an aspect ratio that is not positive, NaN or not a number, or something that is no link.

    References
    ----------
    Deng, Kammoun, Thrampoulidis 2022; the same solution as Sur and Candes 2019, equation (5), of whose
    :math:`\alpha_*, \sigma_*` these are :math:`\mu = \gamma\alpha_*`, :math:`\alpha = \sqrt\psi\,\sigma_*`.

    Examples
    --------
    >>> from pyphenom.theory.links import Logistic
    >>> found = logistic_mle(0.2, Logistic(5**0.5))
    >>> round(found.cosine, 7), round(found.error, 7), found.status
    (0.8450426, 0.2654805, 'converged')
    """
    psi = _checks.positive("aspect_ratio", aspect_ratio)
    _separability.check(link)
    threshold, _ = _separability.threshold(link)
    fields = np.full((3, *psi.shape), np.inf), np.full((3, *psi.shape), np.nan)
    exists = np.asarray(psi < threshold)
    if exists.any():
        at = psi[exists]
        x = _logistic_paths.on_branch(_branch(link), threshold, at)
        found = _logistic_system.newton(x, link, at, np.zeros_like(at), _reach(link))
        solution = _solution(*found, link)
        fields[0][:, exists], fields[1][:, exists] = solution[:3], solution[3:]
    return _wrap([*fields[0], *fields[1]], threshold)


def logistic_ridge(aspect_ratio: ArrayLike, link: Link, ridge: ArrayLike) -> LogisticLimit:
    r"""Ridge-regularised logistic regression at any aspect ratio, :math:`\frac1n\sum_i\ell(u_i) + \frac r2|\theta|^2`.

    Followed from a ridge so large that the loss is linear. As :math:`r \to 0` it tends to `logistic_mle` below the
    threshold, and its direction to that of the max-margin classifier above.

    Parameters
    ----------
    aspect_ratio : float or array
        :math:`\psi = p/n > 0`, parameters per sample.
    link : Link
        `Logistic`, `Probit`, `Sign`, `GaussianMixture` or `Null`; the loss is the logistic one for all of them.
    ridge : float or array
        r > 0, of the mean loss: **scaled by n**, as in `ridge_regression`. scikit-learn's C is 1/(nr).

    Returns
    -------
    LogisticLimit
        There is an estimate at every aspect ratio.

    Raises
    ------
    ValueError, TypeError
        For parameters that are not positive, NaN or not a number, or something that is no link.

    References
    ----------
    Salehi, Abbasi, Hassibi 2019, Theorem 2; derived here by adding the ridge to the system of `logistic_mle`.

    Examples
    --------
    >>> from pyphenom.theory.links import Logistic
    >>> logistic_ridge([0.2, 1.0, 5.0], Logistic(2.0), 0.1).error.round(6)
    array([0.27696 , 0.367312, 0.436432])
    """
    psi, strength = _checks.positive("aspect_ratio", aspect_ratio), _checks.positive("ridge", ridge)
    _separability.check(link)
    shape = _checks.broadcast(aspect_ratio=psi, ridge=strength)
    flat = [np.broadcast_to(array, shape).ravel() for array in (psi, strength)]
    found = _logistic_paths.ridge_path(link, link.law().mean, flat[0], flat[1], _reach(link))
    return _wrap([row.reshape(shape) for row in _solution(*found, link)], _separability.threshold(link)[0])


@functools.lru_cache(maxsize=64)
def _branch(link: Link) -> _logistic_paths.Branch:
    return _logistic_paths.branch(link, _reach(link))


def _reach(link: Link) -> float:
    """Return the largest |w| that matters: a mixture is centred at its mean times the cosine."""
    return REACH + abs(link.law().mean) if link.law().jitter else REACH


def _solution(x: Array, residual: Array, link: Link) -> Array:
    """Return the six fields of a `LogisticLimit`, shape (6, m)."""
    alpha, cosine = np.exp(x[:, 1]), x[:, 0] / np.hypot(1.0, x[:, 0])
    return np.stack([x[:, 0] * alpha, alpha, np.exp(x[:, 2]) * alpha, cosine, link.law().error(cosine), residual])


def _wrap(fields: list[Array], threshold: float) -> LogisticLimit:
    alignment, spread, proximal, cosine, error, residual = (_checks.unwrap(field) for field in fields)
    return LogisticLimit(alignment, spread, proximal, cosine, error, residual, threshold)
