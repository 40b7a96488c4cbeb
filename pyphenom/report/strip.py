"""A verdict as a picture of one line: the two intervals of a mean against what its relation allows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pyphenom.studies import Verdict

_MARGIN = 0.08  # of the width, on either side


@dataclass(frozen=True)
class Strip:
    """Places on a line from 0 to 100; every strip has a scale of its own.

    Attributes
    ----------
    mean : float
        The measured mean.
    interval, adjusted : (float, float)
        Its plain 95 % interval, and the one that agrees with the word.
    allowed : (float, float)
        Where the relation wants the mean, the band included; up to an end of the line where nothing bounds it.
    """

    mean: float
    interval: tuple[float, float]
    adjusted: tuple[float, float]
    allowed: tuple[float, float]


def strip(verdict: Verdict) -> Strip | None:
    """Return the strip of a verdict; None without an interval to draw, as for an identity or a void claim."""
    ends = (*verdict.interval, *verdict.adjusted)
    if not all(map(math.isfinite, ends)) or not verdict.interval[0] < verdict.interval[1]:
        return None
    allowed = (verdict.allowed[0] - verdict.band, verdict.allowed[1] + verdict.band)
    places = [*ends, *filter(math.isfinite, allowed)]
    low, high = min(places), max(places)
    room = _MARGIN * (high - low)
    low, high = low - room, high + room

    def at(value: float) -> float:
        return round(100.0 * min(1.0, max(0.0, (value - low) / (high - low))), 2)

    def both(pair: tuple[float, float]) -> tuple[float, float]:
        return at(pair[0]), at(pair[1])

    return Strip(at(verdict.measured), both(verdict.interval), both(verdict.adjusted), both(allowed))
