"""The verdict on every claim of a whole run: one family, whatever the number of studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from .evidence import Evidence, Role
from .inference import critical, holm, replicates_needed
from .relations import region, resolution

Word: TypeAlias = Literal["CONFIRMED", "REFUTED", "INCONCLUSIVE", "VOID"]

FAMILY_WISE_ERROR = 0.05
"""At most this chance of any false REFUTED in a run, and at most this chance of any false CONFIRMED by a test."""


@dataclass(frozen=True)
class Verdict:
    """What came out for one claim: the effect first, the word last.

    For a claim at several points, the numbers are those of the worst point: the one farthest outside its region in
    standard errors, or least inside.

    Attributes
    ----------
    id, statement : str
        Of the claim.
    role : {"claim", "control", "secondary"}
        A primary claim, a negative control, or a secondary claim.
    relation : str
        With its tolerances, such as ``"Curve(resolution=0.05, absolute=False)"``.
    kind : {"a priori", "conditional"}
        Of the prediction.
    measured, predicted, band, standard_error : float
        Mean over replicates, prediction and its stated error; NaN if VOID.
    allowed : (float, float)
        Where the relation wants the mean, without the band.
    z : float
        (measured - predicted) / standard error.
    interval : (float, float)
        At 95 %, for this point alone.
    adjusted : (float, float)
        At the level that Holm and the number of points leave; it agrees with the word.
    level : float
        That level.
    replicates, points : int
        How many.
    point : dict
        Point columns of the worst point; empty for a scalar.
    word : {"CONFIRMED", "REFUTED", "INCONCLUSIVE", "VOID"} or None
        None for a secondary claim.
    expected : {"CONFIRMED", "REFUTED"} or None
        REFUTED for a negative control.
    needed : int or None
        Replicates that would decide, if INCONCLUSIVE and if that can be said.
    advice : str
        What to do, or why the claim is void.
    """

    id: str
    statement: str
    role: Role
    relation: str
    kind: Literal["a priori", "conditional"]
    measured: float
    predicted: float
    band: float
    standard_error: float
    allowed: tuple[float, float]
    z: float
    interval: tuple[float, float]
    adjusted: tuple[float, float]
    level: float
    replicates: int
    points: int
    point: dict[str, Any]
    word: Word | None
    expected: Word | None
    needed: int | None
    advice: str

    @property
    def as_expected(self) -> bool:
        """Whether the word is the expected one; a secondary claim expects nothing."""
        return self.word == self.expected

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; None where a number is not finite."""
        return {name: finite(value) for name, value in (asdict(self) | {"as_expected": self.as_expected}).items()}

    def __str__(self) -> str:
        low, high = self.interval
        effect = f"measured {self.measured:.6g} ({low:.6g}, {high:.6g}), predicted {self.predicted:.6g}"
        return f"{self.role} {self.id}: {effect}, n={self.replicates}, {self.kind}: {self.word or 'no verdict'}"


def judge(studies: Sequence[Sequence[Evidence]]) -> tuple[tuple[Verdict, ...], ...]:
    """Decide all primary claims and negative controls of a run as one family.

    Holm at .05 over the tests that would refute, and Holm at .05 over the tests that would confirm. Identities are
    deterministic and secondary claims get no verdict, so both stay outside. A void claim keeps its place in the
    family, whose size is thereby fixed before anything is measured.

    Parameters
    ----------
    studies : sequence of sequence of Evidence
        For each study its claims and controls.

    Returns
    -------
    tuple of tuple of Verdict
        In the order given.
    """
    tested = [e for study in studies for e in study if e.role != "secondary" and not e.deterministic]
    to_confirm = [(e, p) for e in tested if (p := e.confirming_p()) is not None]
    refuting = dict(zip(tested, holm([e.refuting_p() for e in tested], FAMILY_WISE_ERROR)[1], strict=True))
    levels = holm([p for _, p in to_confirm], FAMILY_WISE_ERROR)[1]
    confirming = {e: level for (e, _), level in zip(to_confirm, levels, strict=True)}
    plain = FAMILY_WISE_ERROR
    return tuple(
        _protect(study, [_decide(e, refuting.get(e, plain), confirming.get(e, plain)) for e in study])
        for study in studies
    )


def overall(verdicts: Sequence[Verdict]) -> Word:
    """Return the verdict of a study: the first of VOID, REFUTED, INCONCLUSIVE that a primary claim has.

    A study without a primary claim is VOID.
    """
    words = {verdict.word for verdict in verdicts if verdict.role == "claim"}
    order: tuple[Word, ...] = ("VOID", "REFUTED", "INCONCLUSIVE", "CONFIRMED")
    return next((word for word in order if word in words), "VOID")


def finite(value: Any) -> Any:
    """Return a JSON value: None for a number that is not finite, plain Python for NumPy's scalars."""
    if isinstance(value, dict):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _decide(evidence: Evidence, refuting: float, confirming: float) -> Verdict:
    if evidence.void:
        return _record(evidence, None, float("nan"), "VOID", advice=evidence.void)
    if evidence.deterministic:
        return _identity(evidence)
    worst, per_point = int(np.argmax(evidence.outside())), refuting / len(evidence.target)
    if evidence.refuting_p() <= refuting:
        advice = "" if evidence.role == "control" else "another seed tells a false alarm from a wrong theory"
        return _record(evidence, worst, per_point, "REFUTED", advice=advice)
    sample = evidence.sample()
    allowed = resolution(evidence.claim.relation, evidence.target)
    if allowed is None:
        p = evidence.confirming_p()
        confirmed = p is not None and p <= confirming
        # What decides is the distance to the nearest edge, and the test of the side on which the mean lies.
        inside, outside = float(evidence.inside()[worst]), float(evidence.outside()[worst])
        level = per_point if outside > 0.0 else confirming
        room = max(inside, outside, 0.0) * float(sample.standard_error[worst])
    else:
        level = per_point
        confirmed = bool(np.all(critical(level, sample.n) * sample.standard_error <= allowed))
        worst = worst if confirmed else int(np.argmax(sample.standard_error / allowed))
        room = float(allowed[worst])
    if confirmed:
        note = "the replicates agree exactly: the interval holds no sampling error" if sample.identical else ""
        return _record(evidence, worst, level, "CONFIRMED", advice=note)
    if sample.n < 2:
        advice = "one replicate has no interval: at least 2 needed"
        return _record(evidence, worst, level, "INCONCLUSIVE", needed=2, advice=advice)
    needed = replicates_needed(float(sample.standard_error[worst]) * np.sqrt(sample.n), room, level)
    advice = f"about {needed} replicates would decide" if needed else "more replicates would not decide"
    return _record(evidence, worst, level, "INCONCLUSIVE", needed=needed, advice=advice)


def _identity(evidence: Evidence) -> Verdict:
    low, high = region(evidence.claim.relation, evidence.target)
    error = np.maximum(low - evidence.values, evidence.values - high) - evidence.band
    replicate, worst = np.unravel_index(int(np.argmax(error)), error.shape)
    record = _record(evidence, int(worst), float("nan"), "CONFIRMED" if bool(error.max() <= 0.0) else "REFUTED")
    value, nan = float(evidence.values[replicate, worst]), float("nan")
    return replace(record, measured=value, standard_error=nan, z=nan, interval=(value, value), adjusted=(value, value))


def _record(
    evidence: Evidence, worst: int | None, level: float, word: Word, needed: int | None = None, advice: str = ""
) -> Verdict:
    claim, role, n = evidence.claim, evidence.role, len(evidence.values)
    mean = target = band = error = low = high = float("nan")
    point: dict[str, Any] = {}
    if worst is not None:
        sample = evidence.sample()
        mean, error = float(sample.mean[worst]), float(sample.standard_error[worst])
        target, band, point = float(evidence.target[worst]), float(evidence.band[worst]), evidence.points[worst]
        low, high = (float(end[worst]) for end in region(claim.relation, evidence.target))
    expected: Word | None = "CONFIRMED" if role == "claim" else "REFUTED" if role == "control" else None
    judged = role != "secondary"
    half, adjusted = (critical(at, n) * error for at in (FAMILY_WISE_ERROR, level))
    return Verdict(
        id=claim.id,
        statement=claim.statement,
        role=role,
        relation=repr(claim.relation),
        kind=claim.kind,
        measured=mean,
        predicted=target,
        band=band,
        standard_error=error,
        allowed=(low, high),
        z=(mean - target) / error,
        interval=(mean - half, mean + half),
        adjusted=(mean - adjusted, mean + adjusted),
        level=level,
        replicates=n,
        points=len(evidence.target),
        point=point,
        word=word if judged else None,
        expected=expected,
        needed=needed if judged else None,
        advice=advice if judged or word == "VOID" else "",
    )


def _protect(study: Sequence[Evidence], verdicts: list[Verdict]) -> tuple[Verdict, ...]:
    """Void, or cap at INCONCLUSIVE, the claims whose negative control was not refuted."""
    for evidence, control in zip(study, list(verdicts), strict=True):
        if control.role != "control" or control.word == "REFUTED":
            continue
        shows = control.word == "CONFIRMED"
        for i, verdict in enumerate(verdicts):
            protected = verdict.role == "claim" and (
                verdict.id in evidence.claim.protects or not evidence.claim.protects
            )
            if protected and shows:
                reason = f"the negative control {control.id} shows the effect too"
                verdicts[i] = replace(verdict, word="VOID", needed=None, advice=reason)
            elif protected and verdict.word == "CONFIRMED":
                reason = f"the negative control {control.id} is {control.word}"
                verdicts[i] = replace(verdict, word="INCONCLUSIVE", needed=control.needed, advice=reason)
    return tuple(verdicts)
