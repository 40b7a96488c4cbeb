r"""The max-margin classifier in the proportional limit :math:`n, p \to \infty`, :math:`p/n \to \psi`.

On separable data gradient descent ends in its direction. Inputs are :math:`x \sim N(0, I_p)`, raw, without
:math:`1/\sqrt p`, labels follow a link, and the margin is that of a unit vector,

.. math:: \kappa^* = \max_{|\theta| = 1} \min_i y_i \langle x_i, \theta\rangle .

The aspect ratio :math:`\psi = p/n` is parameters per sample. Below the threshold of separability the limit of descent
is the maximum-likelihood estimate, see `logistic_regression`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import root

from . import _checks, _separability
from ._checks import Array, Values
from .links import GaussianMixture, Link, Logistic, Null, Probit, Sign
from .logistic_regression import TRUSTED, LogisticLimit, logistic_mle
from .risk import describe

__all__ = [
    "GaussianMixture",
    "Logistic",
    "LogisticLimit",
    "MaxMarginLimit",
    "Null",
    "Probit",
    "Sign",
    "limit",
    "limit_covariance",
    "logistic_mle",
    "separability_threshold",
]

STEPS = 9
"""Steps of the path from equal eigenvalues to the given ones."""


@dataclass(frozen=True, eq=False, repr=False)
class MaxMarginLimit:
    r"""The max-margin classifier; floats for a scalar aspect ratio, else arrays of its shape.

    Attributes
    ----------
    margin : float or array
        :math:`\kappa^*`, of a unit vector; 0 where the data are not separable.
    cosine : float or array
        Between the classifier and the signal (for a general covariance: correlation of their outputs). ``nan`` where
        the data are not separable, since every direction then has a negative margin.
    error : float or array
        Probability of a wrong label on a fresh sample, label noise included; ``nan`` where not separable.
    residual : float or array
        Largest relative residual of the equations. About 1e-13 when all is well.
    threshold : float
        The aspect ratio :math:`\psi^*` above which data are separable.
    separable : bool or array of bool
        Whether there is a margin.
    """

    margin: Values
    cosine: Values
    error: Values
    residual: Values
    threshold: float
    separable: bool | NDArray[np.bool_]

    @property
    def status(self) -> str:
        """What the numbers hold for, in words."""
        count, total = int(np.sum(self.separable)), np.size(self.separable)
        worst = float(np.max(np.where(self.separable, self.residual, 0.0), initial=0.0))
        if not worst <= TRUSTED:
            return f"not converged: residual {worst:.1e}; do not use these numbers"
        if count == total:
            return "separable"
        return (
            f"{total - count} of {total} aspect ratios are not above the threshold {self.threshold:.6g}: data there "
            "are not separable and have no margin; use logistic_regression.logistic_mle"
        )

    def to_dict(self) -> dict[str, Values | str]:
        """Return the fields by name and the status, ready for a table."""
        fields: dict[str, Values | str] = {
            "margin": self.margin,
            "cosine": self.cosine,
            "error": self.error,
            "residual": self.residual,
            "threshold": self.threshold,
        }
        return fields | {"status": self.status}

    def __repr__(self) -> str:
        values = {"margin": self.margin, "cosine": self.cosine, "error": self.error, "residual": self.residual}
        return f"{describe('MaxMarginLimit', values)[:-1]}, status={self.status!r})"


def limit(aspect_ratio: ArrayLike, link: Link) -> MaxMarginLimit:
    r"""Margin, cosine and test error of the max-margin classifier for isotropic inputs.

    .. math:: \kappa^* = \max_{\phi \in (0, \pi/2)} k(\phi), \qquad
              E\bigl(k(\phi) - V\cos\phi - Z\sin\phi\bigr)_+^2 = \psi\sin^2\phi, \qquad
              \text{error} = E\,\Phi\Bigl(-\frac{cV}{\sqrt{1-c^2}}\Bigr), \quad c = \cos\phi^* .

    Parameters
    ----------
    aspect_ratio : float or array
        :math:`\psi = p/n > 0`, parameters per sample.
    link : Link
        `Logistic`, `Probit`, `Sign`, `GaussianMixture` or `Null`.

    Returns
    -------
    MaxMarginLimit
        At and below the threshold the margin is 0, cosine and error are ``nan``, and the status says so.

    Raises
    ------
    ValueError, TypeError
        For an aspect ratio that is not positive, NaN or not a number, or something that is no link.

    References
    ----------
    Montanari, Ruan, Sohn, Yan 2019, Theorem 1; Deng, Kammoun, Thrampoulidis 2022.

    Examples
    --------
    >>> found = limit(1.0, Logistic(2.0))
    >>> round(found.margin, 7), round(found.cosine, 7), round(found.error, 7), found.status
    (0.6225516, 0.4625018, 0.3856907, 'separable')
    >>> limit([0.2, 2.0], Sign()).margin.round(6)
    array([0.19671, 1.25638])
    """
    psi = _checks.positive("aspect_ratio", aspect_ratio)
    _separability.check(link)
    threshold, _ = _separability.threshold(link)
    margin, cosine, error, residual = np.zeros(psi.shape), *(np.full(psi.shape, np.nan) for _ in range(3))
    separable = np.asarray(psi > threshold)
    if separable.any():
        # An index by a mask gives a vector, of one entry for a scalar.
        found = _separability.maximum(link, psi[separable])
        for field, values in zip((margin, cosine, residual), found, strict=True):
            field[separable] = values
        error[separable] = link.law().error(found[1])
    return MaxMarginLimit(
        _checks.unwrap(margin),
        _checks.unwrap(cosine),
        _checks.unwrap(error),
        _checks.unwrap(residual),
        threshold,
        separable if psi.ndim else bool(separable),
    )


def separability_threshold(link: Link) -> float:
    r"""Aspect ratio above which data are separable, :math:`\psi^* = \min_{t \ge 0} E(Z - tV)_+^2`.

    It does not depend on the covariance of the inputs.

    Parameters
    ----------
    link : Link
        `Logistic`, `Probit`, `Sign`, `GaussianMixture` or `Null`.

    Returns
    -------
    float
        1/2 without a signal (Cover), 0 for labels without noise.

    Raises
    ------
    TypeError
        For something that is no link.

    References
    ----------
    Candes and Sur 2020, Theorem 2.1; Deng, Kammoun, Thrampoulidis 2022 for mixtures.

    Examples
    --------
    >>> [round(separability_threshold(link), 8) for link in (Null(), Logistic(2.0), GaussianMixture(1.0), Sign())]
    [0.5, 0.34493013, 0.27026783, 0.0]
    """
    _separability.check(link)
    return _separability.threshold(link)[0]


def limit_covariance(eigenvalues: ArrayLike, coefficients: ArrayLike, n: float, link: Link) -> MaxMarginLimit:
    r"""Return the max-margin classifier for inputs of any covariance.

    With :math:`F = \sqrt{E(k - c_1V - c_2Z)_+^2}`, :math:`A = \partial_2F/c_2`, :math:`b = c_1A - \partial_1F`,
    :math:`D_i = 1/(A + s/l_i)` the margin k and :math:`c_1, c_2, s` solve

    .. math::
        c_1 = b\sum_i\omega_i^2D_i, \quad c_1^2 + c_2^2 = \frac1n\sum_iD_i^2 + b^2\sum_i\omega_i^2D_i^2, \quad
        1 = \frac1n\sum_i\frac{D_i^2}{l_i} + b^2\sum_i\frac{\omega_i^2D_i^2}{l_i}, \quad F = \frac1n\sum_iD_i .

    Parameters
    ----------
    eigenvalues : array (p,)
        Eigenvalues :math:`l_i > 0` of the covariance :math:`\Sigma` of the inputs.
    coefficients : array (p,)
        Coordinates of :math:`\theta_*` in its eigenbasis; their length does not matter, the link holds the strength.
    n : float
        Number of samples.
    link : Link
        Labels given :math:`g = \langle x, \theta_*\rangle / |\Sigma^{1/2}\theta_*|`. For a `GaussianMixture` the
        coefficients are the mean of a class, and its `mean_norm` is :math:`|\Sigma^{-1/2}\theta_*|` of that mean.

    Returns
    -------
    MaxMarginLimit
        The margin is in units of the inputs, for a unit vector; the cosine is that of the outputs,
        :math:`c_1/\sqrt{c_1^2 + c_2^2}`.

    Raises
    ------
    ValueError, TypeError
        For eigenvalues that are not positive, coefficients of another length or all zero, or n that is not positive.

    References
    ----------
    Montanari, Ruan, Sohn, Yan 2019, Theorem 3, in this form derived here from the same variational problem.

    Examples
    --------
    >>> found = limit_covariance(np.repeat([1.5, 0.5], 100), np.ones(200), 100, Logistic(2.0))
    >>> round(found.margin, 5), round(found.cosine, 5)
    (1.10536, 0.39449)
    """
    l = _checks.spectrum("eigenvalues", eigenvalues)  # noqa: E741
    if (l <= 0).any():
        raise ValueError("eigenvalues: got 0, expected numbers > 0; leave out directions in which inputs do not vary")
    theta = _checks.real("coefficients", coefficients)
    if theta.shape != l.shape:
        raise ValueError(f"coefficients: got shape {theta.shape}, expected {l.shape}, one per eigenvalue")
    if not (theta.any() and np.isfinite(theta).all()):
        raise ValueError(
            "coefficients: got a vector of length 0 or inf, expected a direction; for no signal use Null()"
        )
    samples = _checks.positive("n", n)
    if samples.ndim:
        raise TypeError(f"n: got an array of shape {samples.shape}, expected one number; loop over the sample sizes")
    _separability.check(link)

    psi, scale = l.size / float(samples), l.mean()
    isotropic = limit(psi, link)
    if not isotropic.separable:
        return isotropic
    l = l / scale  # noqa: E741
    outputs = theta * l ** (-0.5 if isinstance(link, GaussianMixture) else 0.5)
    share = (outputs / np.linalg.norm(outputs)) ** 2

    cosine = float(isotropic.cosine)
    c2, k = np.sqrt(1.0 - cosine**2), float(isotropic.margin)
    # For equal eigenvalues F = c2 sqrt(psi), and F = psi D with D = 1/(A + s) determines s.
    above = _separability.moments(link.law(), np.asarray(k / c2), np.asarray(cosine / c2))[0]
    curvature = float(above) / (c2 * np.sqrt(psi))
    x = np.array([cosine, np.log(c2), np.log(max(np.sqrt(psi) / c2 - curvature, 1e-3)), k])
    for tau in np.linspace(0.0, 1.0, STEPS + 1):
        x = root(_general, x, args=(link, l**tau, share, float(samples)), options={"xtol": 1e-14}).x
    residual = float(np.abs(_general(x, link, l, share, float(samples))).max())
    cosine = float(x[0] / np.hypot(x[0], np.exp(x[1])))
    error = float(link.law().error(np.asarray(cosine)))
    margin = float(np.sqrt(scale) * x[3])
    return MaxMarginLimit(margin, cosine, error, residual, isotropic.threshold, True)


def _general(x: Array, link: Link, l: Array, share: Array, n: float) -> Array:  # noqa: E741
    """Return the four equations for (c1, log c2, log s, k)."""
    c1, c2, s, k = x[0], np.exp(x[1]), np.exp(x[2]), x[3]
    above, _, second, with_v = _separability.moments(link.law(), np.asarray(k / c2), np.asarray(c1 / c2))
    F = c2 * np.sqrt(second)
    A = above / F
    b = c1 * A + c2 * with_v / F
    D = 1.0 / (A + s / l)
    return np.array(
        [
            c1 - b * (share @ D),
            c1**2 + c2**2 - (D @ D) / n - b**2 * (share @ D**2),
            1.0 - (D @ (D / l)) / n - b**2 * (share @ (D**2 / l)),
            F - D.sum() / n,
        ]
    )
