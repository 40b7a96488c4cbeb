r"""What a claim says about a mean, and the rule that decides it.

Every relation but :class:`Identity` says that a mean :math:`\mu` lies in a region around a target p. The measured
mean m over n replicates has the interval :math:`m\pm t^*SE`, whose level is set by Holm over the whole run. Where
the target has a band (the stated error of the prediction), the region is wider by the band for a refutation and
narrower by it for a confirmation: both words must be right wherever in its band the prediction lies. A statistic
with several columns is judged at all of them: it is refuted if one point is (Bonferroni over the points), and
confirmed if all are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from .inference import Array


@dataclass(frozen=True)
class Equal:
    r""":math:`\mu=p`, for a prediction that is exact or has a stated band.

    CONFIRMED if :math:`|m-p|\le t^*SE+\text{band}` and :math:`t^*SE\le` resolution; REFUTED if
    :math:`|m-p|>t^*SE+\text{band}`; otherwise INCONCLUSIVE.

    Parameters
    ----------
    resolution : float, optional
        The half-width that an interval may have to confirm, relative to the prediction: noise confirms nothing.
    absolute : bool, optional
        Whether ``resolution`` is in the unit of the statistic instead; needed where the prediction is 0.
    """

    resolution: float = 0.05
    absolute: bool = False


@dataclass(frozen=True)
class Curve:
    r""":math:`\mu_k=p_k` at all points k at once.

    The rule of :class:`Equal` at every point, with :math:`t^*` of the level divided by the number of points.

    Parameters
    ----------
    resolution : float, optional
        As in :class:`Equal`, at every point.
    absolute : bool, optional
        As in :class:`Equal`.
    """

    resolution: float = 0.05
    absolute: bool = False


@dataclass(frozen=True)
class Equivalent:
    r""":math:`|\mu-p|\le` margin: no difference that matters.

    CONFIRMED if the interval lies inside :math:`p\pm\text{margin}`; REFUTED if it lies outside; otherwise
    INCONCLUSIVE.

    Parameters
    ----------
    margin : float
        The largest difference that does not matter; its reason belongs to the claim's statement.
    """

    margin: float


@dataclass(frozen=True)
class Greater:
    r""":math:`\mu>p+\text{than}`, where p is 0 if the claim has no target.

    CONFIRMED if the interval lies above; REFUTED if it lies below; otherwise INCONCLUSIVE.

    Parameters
    ----------
    than : float, optional
        The threshold.
    """

    than: float = 0.0


@dataclass(frozen=True)
class Less:
    r""":math:`\mu<p+\text{than}`, where p is 0 if the claim has no target.

    CONFIRMED if the interval lies below; REFUTED if it lies above; otherwise INCONCLUSIVE.

    Parameters
    ----------
    than : float, optional
        The threshold.
    """

    than: float = 0.0


@dataclass(frozen=True)
class Within:
    r""":math:`p+\text{low}\le\mu\le p+\text{high}`, where p is 0 if the claim has no target.

    CONFIRMED if the interval lies inside; REFUTED if it lies outside; otherwise INCONCLUSIVE.

    Parameters
    ----------
    low, high : float
        Ends of the region.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"Within: got low={self.low}, high={self.high}, expected low <= high")


@dataclass(frozen=True)
class Identity:
    r""":math:`x=p` up to rounding, in every replicate and at every point.

    CONFIRMED if the largest :math:`|x_{ik}-p_k|` is at most the tolerance plus the band; otherwise REFUTED. There is
    no sampling, so the claim stays outside the correction for multiplicity, and one replicate is enough.

    Parameters
    ----------
    tolerance : float
        Absolute, of the order of rounding.
    """

    tolerance: float


Relation: TypeAlias = Equal | Curve | Equivalent | Greater | Less | Within | Identity


def region(relation: Relation, target: Array) -> tuple[Array, Array]:
    """Return the lower and the upper ends of what the relation allows for the mean, at each point.

    Examples
    --------
    >>> region(Within(-1.0, 2.0), np.array([10.0]))
    (array([9.]), array([12.]))
    """
    match relation:
        case Equal() | Curve():
            return target, target
        case Equivalent(margin) | Identity(margin):
            return target - margin, target + margin
        case Greater(than):
            return target + than, np.full_like(target, np.inf)
        case Less(than):
            return np.full_like(target, -np.inf), target + than
        case Within(low, high):
            return target + low, target + high


def resolution(relation: Relation, target: Array) -> Array | None:
    """Return the half-width that may confirm an equality at each point; None for the other relations.

    Raises
    ------
    ValueError
        If the resolution is relative and a prediction is 0.
    """
    if not isinstance(relation, Equal | Curve):
        return None
    if relation.absolute:
        return np.full_like(target, relation.resolution)
    if np.any(target == 0.0):
        raise ValueError("a prediction is 0, where a relative resolution allows nothing: give absolute=True")
    return relation.resolution * np.abs(target)
