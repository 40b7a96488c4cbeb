"""From a claim and the rows to the numbers that decide it: before any correction for multiplicity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from .inference import Array, Sample, summarise, upper_tail
from .relations import Curve, Equal, Identity, region, resolution
from .study import Claim, Guard, Study

Role: TypeAlias = Literal["claim", "control", "secondary"]


class ClaimError(ValueError):
    """A claim that cannot be evaluated as it is written; its author has to change it."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """The measured side and the predicted side of one claim.

    Attributes
    ----------
    claim : Claim
        What is said.
    role : {"claim", "control", "secondary"}
        A primary claim, a negative control, or a secondary claim.
    void : str
        Why the claim cannot be judged; empty if it can, and then the fields below are filled.
    values : ndarray of shape (n, K)
        The statistic, replicates by points.
    points : tuple of dict
        The point columns of each of the K points.
    target, band : ndarray of shape (K,)
        The prediction and its stated error.
    """

    claim: Claim
    role: Role
    void: str = ""
    values: Array = field(default_factory=lambda: np.empty((0, 0)))
    points: tuple[dict[str, Any], ...] = ()
    target: Array = field(default_factory=lambda: np.empty(0))
    band: Array = field(default_factory=lambda: np.empty(0))

    @property
    def deterministic(self) -> bool:
        """Whether no sampling is involved, so that the claim stays outside the family."""
        return isinstance(self.claim.relation, Identity)

    def sample(self) -> Sample:
        """Return mean and standard error over replicates."""
        return summarise(self.values)

    def outside(self) -> Array:
        """Return by how many standard errors each mean lies outside its region, widened by the band."""
        sample = self.sample()
        low, high = region(self.claim.relation, self.target)
        distance = np.maximum(low - self.band - sample.mean, sample.mean - high - self.band)
        return _quotient(distance, sample.standard_error)

    def inside(self) -> Array:
        """Return by how many standard errors each mean lies inside its region, narrowed by the band."""
        sample = self.sample()
        low, high = region(self.claim.relation, self.target)
        distance = np.minimum(sample.mean - low - self.band, high - self.band - sample.mean)
        return _quotient(distance, sample.standard_error)

    def refuting_p(self) -> float:
        """Return the p-value of the test that would refute: two-sided, Bonferroni over the points."""
        if self.void:
            return 1.0
        z = self.outside()
        p = np.where(z > 0.0, 2.0 * upper_tail(z, len(self.values)), 1.0)
        return float(min(1.0, len(p) * p.min()))

    def confirming_p(self) -> float | None:
        """Return the p-value of the test that would confirm; None if a resolution confirms instead.

        All points have to lie inside, so the largest p-value counts and needs no correction over the points.
        """
        if isinstance(self.claim.relation, Equal | Curve):
            return None
        return 1.0 if self.void else float(min(1.0, 2.0 * upper_tail(self.inside(), len(self.values)).max()))


def violations(study: Study, measured: pd.DataFrame, failed_arms: dict[str, str]) -> dict[str, str]:
    """Return where each guard of a study fails, in words; empty where it holds.

    Raises
    ------
    ClaimError
        If a guard cannot be evaluated.
    """
    return {guard.id: _violation(study, guard, measured, failed_arms) or "" for guard in study.guards}


def gather(
    study: Study,
    measured: pd.DataFrame,
    predicted: pd.DataFrame,
    failed_arms: dict[str, str],
    violations: dict[str, str],
) -> tuple[Evidence, ...]:
    """Evaluate every claim and control of a study.

    Parameters
    ----------
    study : Study
        What was measured.
    measured, predicted : DataFrame
        Rows.
    failed_arms : dict
        Arms with a failed cell, and which.
    violations : dict
        What the function of this name returns.

    Returns
    -------
    tuple of Evidence
        Claims first, then controls.

    Raises
    ------
    ClaimError
        If a statistic or a target cannot be evaluated although nothing is missing, or if a prediction is not
        finite.
    """
    roles: list[tuple[Claim, Role]] = [(claim, "claim" if claim.primary else "secondary") for claim in study.claims]
    roles += [(control, "control") for control in study.controls]
    broken = [(guard.claims, f"guard {guard.id}: {why}") for guard in study.guards if (why := violations[guard.id])]
    evidence = []
    for claim, role in roles:
        void = next((why for ids, why in broken if not ids or claim.id in ids), "")
        rows = claim.reads(measured)
        void = _unreadable(claim, rows, failed_arms) or void
        try:
            evidence.append(Evidence(claim, role, void) if void else _evaluate(claim, role, rows, predicted))
        except Exception as error:
            raise ClaimError(f"{study.name}, {role} {claim.id!r}: {reason(error)}") from error
    return tuple(evidence)


def reason(error: Exception) -> str:
    """Return the message of an error, with its type where the message alone says little."""
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"


def _quotient(difference: Array, standard_error: Array) -> Array:
    with np.errstate(over="ignore"):  # identical replicates: infinitely many standard errors is the right answer
        return np.asarray(difference / standard_error, dtype=np.float64)


def _violation(study: Study, guard: Guard, measured: pd.DataFrame, failed_arms: dict[str, str]) -> str | None:
    if missing := _missing(guard.arms, failed_arms):
        return missing
    try:
        return guard.violation(measured)
    except Exception as error:
        raise ClaimError(f"{study.name}, guard {guard.id!r}: {reason(error)}") from error


def _missing(arms: tuple[str, ...], failed_arms: dict[str, str]) -> str:
    return next((f"a cell failed: {cell}" for arm, cell in failed_arms.items() if not arms or arm in arms), "")


def _unreadable(claim: Claim, rows: pd.DataFrame, failed_arms: dict[str, str]) -> str:
    if missing := _missing(claim.arms, failed_arms):
        return missing
    undefined = rows[rows["value"].isna()]
    if undefined.empty:
        return ""
    first = undefined.iloc[0]
    return (
        f"{len(undefined)} measured values are NaN, first {first['quantity']} in arm {first['arm']}, "
        f"replicate {first['replicate']}"
    )


def _evaluate(claim: Claim, role: Role, rows: pd.DataFrame, predicted: pd.DataFrame) -> Evidence:
    table = _table(claim.statistic(rows))
    values = table.to_numpy(dtype=np.float64)
    if isinstance(claim.relation, Equal) and values.shape[1] != 1:
        raise ValueError(f"the statistic has {values.shape[1]} points, Equal compares one: use Curve")
    if not np.isfinite(values).all():
        where = table.index[~np.isfinite(values).all(axis=1)].tolist()
        return Evidence(claim, role, f"the statistic is not finite in the replicates {where}")
    target, band = _target(claim, claim.reads(predicted), table.columns)
    if not np.isfinite(target).all():
        where = [str(point) for point in table.columns[~np.isfinite(target)]]
        raise ValueError(f"the prediction is not finite at {where}, and no mean equals that: choose other points")
    if not (np.isfinite(band).all() and np.all(band >= 0.0)):
        raise ValueError("the band of the prediction has to be finite and at least 0")
    resolution(claim.relation, target)
    return Evidence(claim, role, "", values, _labels(table.columns), target, band)


def _table(statistic: Any) -> pd.DataFrame:
    if isinstance(statistic, pd.DataFrame):
        table = statistic
    elif isinstance(statistic, pd.Series):
        table = statistic.to_frame("value")
    else:
        table = pd.DataFrame(np.asarray(statistic, dtype=np.float64))
    if not table.size:
        raise ValueError("the statistic is empty, expected one row per replicate")
    return table


def _target(claim: Claim, predicted: pd.DataFrame, points: pd.Index) -> tuple[Array, Array]:
    target: Any = claim.target(predicted) if callable(claim.target) else claim.target
    if isinstance(target, tuple):
        value, band = target
    elif isinstance(target, pd.DataFrame):
        chosen = _match(target, points)
        value, band = chosen["value"].to_numpy(np.float64), chosen["band"].to_numpy(np.float64)
    elif isinstance(target, pd.Series):
        value, band = _match(target.to_frame("value"), points)["value"].to_numpy(np.float64), 0.0
    else:
        value, band = target, 0.0
    shape = (len(points),)
    return (
        np.array(np.broadcast_to(np.asarray(value, dtype=np.float64), shape)),
        np.array(np.broadcast_to(np.asarray(band, dtype=np.float64), shape)),
    )


def _match(target: pd.DataFrame, points: pd.Index) -> pd.DataFrame:
    if missing := [str(point) for point in points if point not in target.index]:
        raise ValueError(f"nothing is predicted at the measured points {missing}")
    return target.loc[points]


def _labels(points: pd.Index) -> tuple[dict[str, Any], ...]:
    names = list(points.names)
    if names == ["quantity"] or (names == [None] and len(points) == 1):
        return ({},) * len(points)
    tuples = points.tolist() if isinstance(points, pd.MultiIndex) else [(point,) for point in points.tolist()]
    keys = ["point" if name is None else str(name) for name in names]
    return tuple(dict(zip(keys, point, strict=True)) for point in tuples)
