r"""The effective number of parameters of a fit that is linear in the labels, and when to stop it.

Ridge regression, gradient flow, gradient descent from zero, and minimum norm all give :math:`\hat y = Sy` on their n
training inputs. In the eigenvectors of the Gram matrix :math:`XX^\top/n` the hat matrix S is diagonal, and its entries
:math:`f_i` are the shares of the labels that are learned. Random features and kernels are the same with their own Gram
matrix, over n. All n eigenvalues are meant, zeros included; the time t and the ridge are those of `gradient_flow` and
`ridge_regression`, so that :math:`\lambda = 1/t` compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import _checks, ridge_regression
from ._checks import Array, Values
from ._learned_shares import checked_eigenvalues, checked_shares, descent_shares, flow_shares, ridge_shares
from .risk import Risk, describe

__all__ = [
    "FLOW_TO_RIDGE",
    "Counts",
    "counts",
    "cross_validated_error",
    "descent_shares",
    "expected_count",
    "flow_shares",
    "flow_to_ridge",
    "hessian_count",
    "in_sample_risk",
    "mode_stopping",
    "optimism",
    "ridge_shares",
]

FLOW_TO_RIDGE = 1.685909058278325
r"""Largest `flow_to_ridge`, :math:`\bigl((1+x)^2/(1+x+x^2)\bigr)^2` at the root x = 1.7932821 of
:math:`e^x = 1 + x + x^2`."""


@dataclass(frozen=True, eq=False, repr=False)
class Counts:
    r"""Two counts of the parameters that a linear fit uses.

    Attributes
    ----------
    trace : float or array
        :math:`\mathrm{df}_1 = \mathrm{tr}\,S`: how much fitted values follow their own labels. What overfits.
    squares : float or array
        :math:`\mathrm{df}_2 = \mathrm{tr}\,S^\top S`: the variance of the fitted values over that of the noise. At most
        the trace where all shares lie between 0 and 1.
    """

    trace: Values
    squares: Values

    def to_dict(self) -> dict[str, Values]:
        """Return the fields by name."""
        return {"trace": self.trace, "squares": self.squares}

    def __repr__(self) -> str:
        return describe("Counts", self.to_dict())


def counts(shares: ArrayLike) -> Counts:
    r"""Effective numbers of parameters, :math:`\mathrm{df}_1 = \sum_i f_i` and :math:`\mathrm{df}_2 = \sum_i f_i^2`.

    Parameters
    ----------
    shares : array (..., n)
        Of the labels that are learned, from `ridge_shares`, `flow_shares` or `descent_shares`.

    Returns
    -------
    Counts

    Raises
    ------
    ValueError, TypeError
        If the shares are a single number, or not finite.

    References
    ----------
    Hastie, Tibshirani 1990, "Generalized additive models", Section 3.5. For a fit that is not linear, Ye 1998 takes
    :math:`\sum_i \partial E\hat y_i/\partial y_i` for the trace: `pyphenom.bounds.generalised_degrees` estimates it.

    Examples
    --------
    >>> counts(ridge_shares([3.0, 1.0, 0.0], 1.0))
    Counts(trace=1.25, squares=0.8125)
    """
    f = checked_shares(shares)
    return Counts(_checks.unwrap(f.sum(-1)), _checks.unwrap((f**2).sum(-1)))


def hessian_count(curvatures: ArrayLike, decay: ArrayLike) -> Values:
    r"""Directions of the weights that the loss determines, :math:`\sum_i h_i/(h_i + \alpha)`.

    For ridge regression on half the mean square it is :math:`\mathrm{df}_1` at the ridge :math:`\alpha`.

    Parameters
    ----------
    curvatures : array (p,)
        Eigenvalues :math:`h_i` of the Hessian of the loss, the penalty left out. Where the Hessian has negative ones,
        those of the Gauss-Newton matrix are meant.
    decay : float or array
        :math:`\alpha` of the penalty :math:`\alpha|\theta|^2/2`. Zero counts what has curvature.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    MacKay 1992, "Bayesian interpolation": the well-determined parameters.

    Examples
    --------
    >>> hessian_count([3.0, 1.0, 0.0], [0.0, 1.0])
    array([2.  , 1.25])
    """
    return counts(ridge_shares(_checks.spectrum("curvatures", curvatures), decay)).trace


def expected_count(eigenvalues: ArrayLike, n: ArrayLike, ridge: ArrayLike = 0.0) -> Values:
    r"""Trace of the hat matrix of ridge regression, :math:`\mathrm{df}_1 = \sum_i s_i/(s_i + \kappa)`, before the data.

    The limit of n, p at fixed ratio, with :math:`\kappa` of `ridge_regression.effective_ridge`.

    Parameters
    ----------
    eigenvalues : array (p,)
        Of the covariance of the inputs.
    n : float or array
        Number of samples.
    ridge : float or array
        :math:`\lambda`, scaled by n.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    Examples
    --------
    >>> expected_count(np.ones(100), 200, [0.0, 0.5]).round(3)
    array([100.   ,  58.579])
    """
    s = _checks.spectrum("eigenvalues", eigenvalues)
    kappa = np.asarray(ridge_regression.effective_ridge(s, n, ridge))[..., None]
    positive = s[s > 0]  # of a covariance they are no round-off, however small
    return _checks.unwrap(np.sum(positive / (positive + kappa), axis=-1))


def optimism(trace: ArrayLike, n: ArrayLike, noise_variance: ArrayLike) -> Values:
    r"""Rise of the error from the labels that were fitted to fresh ones at the same inputs, :math:`2\sigma^2\,df/n`.

    Exact in the mean over Gaussian label noise, for any fit if df is its mean number of generalised degrees of freedom.
    Added to the training error it tells when to stop.

    Parameters
    ----------
    trace : float or array
        :math:`\mathrm{df}_1`, or generalised degrees of freedom.
    n : float or array
        Number of samples.
    noise_variance : float or array
        :math:`\sigma^2`.

    Returns
    -------
    float or array
        In the unit of squared labels.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Mallows 1973; Efron 1986, "How biased is the apparent error rate of a prediction rule?"; Ye 1998.

    Examples
    --------
    >>> optimism(20.0, 100, 0.5)
    0.2
    """
    degrees, samples = _checks.nonnegative("trace", trace), _checks.positive("n", n)
    noise = _checks.nonnegative("noise_variance", noise_variance)
    shape = _checks.broadcast(trace=degrees, n=samples, noise_variance=noise)
    return _checks.unwrap(2.0 * noise * degrees / samples, shape)


def cross_validated_error(train_error: ArrayLike, trace: ArrayLike, n: ArrayLike) -> Values:
    r"""Error on fresh inputs from that on the training set, :math:`E_{\rm train}/(1 - \mathrm{df}_1/n)^2`.

    Generalised cross-validation. For ridge regression it is the error on fresh inputs as n and p grow at a fixed ratio;
    the optimism above is that on the inputs of the training set, at any size.

    Parameters
    ----------
    train_error : float or array
        Mean squared residual.
    trace : float or array
        :math:`\mathrm{df}_1`, below n: without residuals there is nothing to infer from.
    n : float or array
        Number of samples.

    Returns
    -------
    float or array
        Label noise included.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Golub, Heath, Wahba 1979. The limit: Hastie, Montanari, Rosset, Tibshirani 2022.

    Examples
    --------
    >>> cross_validated_error(0.25, 50.0, 100)
    1.0
    """
    error, degrees = _checks.nonnegative("train_error", train_error), _checks.nonnegative("trace", trace)
    samples = _checks.positive("n", n)
    shape = _checks.broadcast(train_error=error, trace=degrees, n=samples)
    left = np.broadcast_to(1.0 - degrees / samples, shape)
    if not (left > 0).all():
        raise ValueError(f"trace: got {degrees.max():g}, expected less than n = {samples.min():g}; add a ridge")
    return _checks.unwrap(error / left**2, shape)


def in_sample_risk(shares: ArrayLike, target_power: ArrayLike, noise_variance: ArrayLike = 0.0) -> Risk:
    r"""Excess risk at the inputs of the training set, exact for any linear fit with symmetric S.

    .. math:: B = \frac1n\sum_i c_i^2(1 - f_i)^2, \qquad V = \frac{\sigma^2}n\sum_i f_i^2 .

    Parameters
    ----------
    shares : array (..., n)
        Of the labels that are learned. `gradient_flow.optimal_stopping` finds the best time of
        ``lambda t: in_sample_risk(flow_shares(eigenvalues, t), target_power, noise_variance)``.
    target_power : array (n,)
        Squared coordinates :math:`c_i^2` of the noise-free labels in the eigenvectors of the Gram matrix.
    noise_variance : float or array
        :math:`\sigma^2`, not inside the risk.

    Returns
    -------
    Risk
        In the mean over the noise.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range, and lengths that differ.

    Examples
    --------
    >>> in_sample_risk([0.5, 0.0], [1.0, 3.0], noise_variance=0.2)
    Risk(total=1.65, bias=1.625, variance=0.025, residual=0)
    """
    f, power = checked_shares(shares), _checks.spectrum("target_power", target_power)
    _checks.same_length("shares", f, "target_power", power.size)
    noise = _checks.nonnegative("noise_variance", noise_variance)
    n = power.size
    bias, gain = ((1.0 - f) ** 2 * power).sum(-1) / n, (f**2).sum(-1) / n
    shape = _checks.broadcast(shares=bias, noise_variance=noise)
    return Risk(_checks.unwrap(bias, shape), _checks.unwrap(noise * gain, shape), _checks.unwrap(0.0, shape))


def mode_stopping(eigenvalues: ArrayLike, target_power: ArrayLike, noise_variance: ArrayLike) -> Array:
    r"""Time of least risk in each mode, :math:`t_i^* = \log(1 + c_i^2/\sigma^2)/s_i`.

    There the flow has learned the share :math:`c_i^2/(c_i^2 + \sigma^2)` of the labels, which a ridge of
    :math:`s_i\sigma^2/c_i^2` learns too. One time for all modes is a compromise between these.

    Parameters
    ----------
    eigenvalues : array (n,)
        :math:`s_i`, of the Gram matrix over n.
    target_power : array (n,)
        Squared coordinates :math:`c_i^2` of the noise-free labels in its eigenvectors.
    noise_variance : float
        :math:`\sigma^2` of a label.

    Returns
    -------
    array (n,)
        0 where there is nothing to learn, ``inf`` without noise, or where nothing is learned at any time.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range, and lengths that differ.

    References
    ----------
    Advani, Saxe, Sompolinsky 2020, "High-dimensional dynamics of generalization error in neural networks".

    Examples
    --------
    >>> mode_stopping([1.0, 0.5, 1.0], [3.0, 3.0, 0.0], 1.0).round(4)
    array([1.3863, 2.7726, 0.    ])
    """
    s, power = checked_eigenvalues(eigenvalues), _checks.spectrum("target_power", target_power)
    _checks.same_length("target_power", power, "eigenvalues", s.size)
    noise = _checks.nonnegative("noise_variance", noise_variance)
    if noise.ndim:
        raise ValueError(f"noise_variance: got shape {noise.shape}, expected one number; call once for each")
    with np.errstate(divide="ignore", invalid="ignore"):
        time = np.log1p(np.where(power > 0, power / noise, 0.0)) / s
    return np.asarray(np.where(power > 0, time, 0.0))


def flow_to_ridge(x: ArrayLike) -> Values:
    r"""Variance of gradient flow at the time t over that of a ridge 1/t, :math:`\bigl((1-e^{-x})(1+x)/x\bigr)^2`.

    In one mode, at :math:`x = ts`. The flow's bias is the smaller, as :math:`e^{-x}\le1/(1+x)`, so the ratio of the
    risks never exceeds this, nor its maximum `FLOW_TO_RIDGE`: in each mode, and so in sample for every target.

    Parameters
    ----------
    x : float or array
        Time times eigenvalue.

    Returns
    -------
    float or array
        1 at both ends.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Ali, Kolter, Tibshirani 2019, "A continuous-time view of early stopping for least squares regression", with 1.69.

    Examples
    --------
    >>> flow_to_ridge([0.0, 1.7932821, np.inf]).round(6)
    array([1.      , 1.685909, 1.      ])
    """
    time = _checks.nonnegative("x", x, infinite=True)
    inside = (time > 0) & np.isfinite(time)
    z = np.where(inside, time, 1.0)
    return _checks.unwrap(np.where(inside, (-np.expm1(-z) * (1.0 + 1.0 / z)) ** 2, 1.0))
