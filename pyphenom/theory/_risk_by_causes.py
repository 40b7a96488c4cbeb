"""The excess risk of random features by its causes: initialisation, inputs and label noise; see `eigenframework`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Values
from ._eigen_solution import ratio, solve
from .risk import describe


@dataclass(frozen=True, eq=False, repr=False)
class VarianceDecomposition:
    r"""The excess risk of random features, split over initialisation P, inputs X and label noise E of the training set.

    A two-way (here three-way) analysis of variance of the prediction: `bias` is the squared error of its mean, the
    other terms are the variances of the main effects and of the interactions, averaged over fresh points. The label
    noise alone, and with the initialisation alone, has no effect: without the inputs its mean is zero.

    Attributes
    ----------
    bias : float or array
        :math:`B`, what the mean over everything misses.
    initialisation : float or array
        :math:`V_P`, of the random features.
    sample : float or array
        :math:`V_X`, of the training inputs.
    initialisation_sample : float or array
        :math:`V_{PX}`, of both together beyond the sum of their own effects.
    sample_label : float or array
        :math:`V_{XE}`.
    initialisation_sample_label : float or array
        :math:`V_{PXE}`.
    residual : float or array
        Relative residual of the fixed point.
    """

    bias: Values
    initialisation: Values
    sample: Values
    initialisation_sample: Values
    sample_label: Values
    initialisation_sample_label: Values
    residual: Values

    @property
    def total(self) -> Values:
        """Excess risk of one predictor: the sum of the six terms."""
        return self.averaged()

    def averaged(self, initialisations: float = 1, samples: float = 1) -> Values:
        r"""Excess risk of the mean of predictors over K initialisations times M training sets, all pairs.

        .. math:: B + \frac{V_P}{K} + \frac{V_X + V_{XE}}{M} + \frac{V_{PX} + V_{PXE}}{KM}

        K > 1 with one training set is an ensemble, M > 1 with one initialisation is bagging with fresh data. Each
        training set has its own labels. ``inf`` gives the limit.

        Raises
        ------
        ValueError, TypeError
            For counts that are not positive.

        Examples
        --------
        >>> split = VarianceDecomposition(1.0, 2.0, 0.0, 4.0, 0.0, 0.0, 0.0)
        >>> split.total, split.averaged(initialisations=2), split.averaged(initialisations=2, samples=2)
        (7.0, 4.0, 3.0)
        """
        k = float(_checks.positive("initialisations", initialisations, infinite=True))
        m = float(_checks.positive("samples", samples, infinite=True))
        main_effects = _share(self.initialisation, k) + _share(self.sample + self.sample_label, m)
        return self.bias + main_effects + _share(self.initialisation_sample + self.initialisation_sample_label, k * m)

    def to_dict(self) -> dict[str, Values]:
        """Return the total and the fields by name, ready for a table."""
        return {"total": self.total} | {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __repr__(self) -> str:
        return describe("VarianceDecomposition", self.to_dict())


def _share(value: Values, count: float) -> Values:
    """Divide; over infinitely many nothing remains, not even of an infinite term."""
    return _checks.unwrap(np.zeros(np.shape(value))) if np.isinf(count) else value / count


def variance_decomposition(
    eigenvalues: ArrayLike,
    target_power: ArrayLike,
    n: ArrayLike,
    width: ArrayLike,
    penalty: ArrayLike = 0.0,
    noise_variance: ArrayLike = 0.0,
    tail_eigenvalue: ArrayLike = 0.0,
    tail_power: ArrayLike = 0.0,
) -> VarianceDecomposition:
    r"""Split the risk of random-feature regression by the randomness that causes it.

    With :math:`A` and :math:`q_A` of `eigenframework` and :math:`B = \sum_i \frac{g^2v_i^2}{(L_i+g)^2} + v_T^2`,

    .. math::
        V_P &= A - B, & V_X &= \frac{Bq}{n-q}, & V_{XE} &= \frac{\sigma^2 q}{n-q}, \\
        V_{PX} &= \frac{Aq_A}{n-q_A} - V_X, & V_{PXE} &= \frac{\sigma^2q_A}{n-q_A} - V_{XE}, & V_E &= V_{PE} = 0.

    The differences are evaluated as the sums of non-negative terms that they are: with :math:`s = e/(b+e)`,
    :math:`e = z - q`, :math:`b = k - z`, both are an amplitude times :math:`nes/((n-q_A)(n-q))`.

    Parameters
    ----------
    eigenvalues, target_power, n, width, penalty, noise_variance, tail_eigenvalue, tail_power
        As in `random_feature_regression`, for fresh data.

    Returns
    -------
    VarianceDecomposition
        At zero penalty and n = width only the two interactions of initialisation and sample are ``inf``.

    Raises
    ------
    ValueError
        As in `random_feature_regression`.

    References
    ----------
    Terms as in Adlam and Pennington 2020, "Understanding double descent requires a fine-grained bias-variance
    decomposition"; the expressions follow from the eigenframework.

    Examples
    --------
    >>> power_law = np.arange(1.0, 2001.0) ** -2
    >>> split = variance_decomposition(power_law, power_law, 100, [100, 200], noise_variance=0.01)
    >>> split.initialisation_sample, split.sample_label.round(4)
    (array([      inf, 0.0194998]), array([0.0103, 0.0103]))
    """
    at = solve(eigenvalues, target_power, n, width, penalty, noise_variance, tail_eigenvalue, tail_power, np.inf)
    point, share = at.point, at.point.feature_share
    bias = at.power(point.missed**2, point.tail_missed**2)
    varying = at.power(point.missed * point.learned, point.tail_missed * (1.0 - point.tail_missed), null_factor=0.0)
    initialisation = share * varying
    kernel_gap, gap = point.sample_gap + point.spread, point.sample_gap + point.spread_used
    q, extra = point.squares, point.spread * share
    interaction = ratio(ratio(at.n * extra, kernel_gap), gap)
    parts = {
        "bias": bias,
        "initialisation": initialisation,
        "sample": ratio(bias * q, kernel_gap),
        "initialisation_sample": ratio(initialisation * (q + extra), gap) + _checks.times(interaction, bias),
        "sample_label": _checks.times(ratio(q, kernel_gap), at.noise),
        "initialisation_sample_label": _checks.times(interaction, at.noise),
        "residual": point.residual,
    }
    return VarianceDecomposition(**{name: _checks.unwrap(value, at.shape) for name, value in parts.items()})
