"""Tables for a terminal: the effect first, the word last."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from pyphenom.studies import PRESETS, Failure, Plan, Study, StudyResult, Verdict
from pyphenom.studies.planning import duration

_COLOURS = {"CONFIRMED": "green", "REFUTED": "red", "INCONCLUSIVE": "yellow", "VOID": "magenta"}


def verdict_table(results: Sequence[StudyResult]) -> Table:
    """Return one row per claim and control, grouped by study.

    The intervals are plain 95 % intervals of the point shown, which for a curve is the worst one; the word
    follows from the interval that is adjusted for the whole run, which ``verdicts.json`` holds.

    Parameters
    ----------
    results : sequence of StudyResult
        The studies of one run.

    Returns
    -------
    rich.table.Table
    """
    table = Table(title="Verdicts", header_style="bold")
    for heading in ("claim", "measured", "95 % interval", "predicted", "n", "kind", "verdict", "expected"):
        table.add_column(heading, justify="right" if heading == "n" else "left", overflow="fold")
    for result in results:
        head = f"{result.study.name} ({result.preset}, {result.seconds:.0f} s)"
        table.add_row(Text(head, style="bold"), *[""] * 5, _word(result.verdict), _mark(result.as_expected))
        for verdict in result.verdicts:
            table.add_row(*_cells(verdict))
        table.add_section()
    return table


def remarks(results: Sequence[StudyResult]) -> list[str]:
    """Return what the table has no room for: failed cells, reasons of VOID, replicates that would decide."""
    lines = []
    for result in results:
        name = result.study.name
        alike: dict[str, list[Failure]] = {}
        for failure in result.failures:
            alike.setdefault(failure.reason, []).append(failure)
        for same in alike.values():
            more = f", and {len(same) - 1} more alike" if len(same) > 1 else ""
            lines.append(f"{name}, failed cell {same[0]}{more}; the traceback is in the report")
        lines += [f"{name}, {verdict.id}: {verdict.advice}" for verdict in result.verdicts if verdict.advice]
    return lines


def summary(results: Sequence[StudyResult]) -> str:
    """Return how many claims and controls came out as expected, and which words the others have."""
    decided = [verdict for result in results for verdict in result.verdicts if verdict.expected]
    words = Counter(str(verdict.word) for verdict in decided if not verdict.as_expected)
    text = f"{len(decided) - words.total()} of {len(decided)} claims and controls are as expected"
    if words:
        text += "; the others: " + ", ".join(f"{count} {word}" for word, count in words.most_common())
    larger = PRESETS[PRESETS.index(results[0].preset) + 1 :]
    if set(words) == {"INCONCLUSIVE"} and larger:
        text += f". --preset {larger[0]} has more replicates"
    return text


def study_table(studies: Mapping[str, Study | Exception]) -> Table:
    """Return one row per installed study, with its claims and the number of cells of each preset.

    Parameters
    ----------
    studies : mapping
        Name to the study, or to the reason why it could not be loaded.

    Returns
    -------
    rich.table.Table
    """
    table = Table(title="Studies", header_style="bold")
    for heading in ("name", "title", "claims", "cells per preset"):
        table.add_column(heading, justify="right" if heading == "claims" else "left", overflow="fold")
    for name, study in studies.items():
        if isinstance(study, Study):
            sizes = " · ".join(f"{preset} {len(study.work(preset))}" for preset in PRESETS)
            table.add_row(name, Text(study.title), str(len(study.claims)), sizes)
        else:
            table.add_row(name, Text(f"cannot be loaded: {study}", style="red"), "", "")
    return table


def plan_table(plans: Sequence[Plan], jobs: int) -> Table:
    """Return one row per arm: its cells, how many are stored, and the expected time of the others.

    Parameters
    ----------
    plans : sequence of Plan
        One for each study.
    jobs : int
        Workers that would measure.

    Returns
    -------
    rich.table.Table
    """
    table = Table(title="Plan", header_style="bold")
    for heading in ("arm", "cells", "stored", "to measure", "each", "measuring time"):
        table.add_column(heading, justify="left" if heading == "arm" else "right", overflow="fold")
    for plan in plans:
        wall = plan.seconds(jobs)
        time = "unknown" if wall is None else f"{duration(wall)} with {jobs} {'job' if jobs == 1 else 'jobs'}"
        time = time if plan.missing else "nothing to measure"
        counts = (str(n) for n in (plan.cells, plan.stored, len(plan.missing)))
        head = Text(f"{plan.study.name} ({plan.preset}, seed {plan.seed})", style="bold")
        table.add_row(head, *counts, "", Text(time, style="bold"))
        for arm in plan.arms:
            left = arm.cells - arm.stored
            each = total = "unknown"
            if arm.seconds is not None:
                each, total = (f"{arm.seconds / left:.2g} s", duration(arm.seconds)) if left else ("", "")
            table.add_row(Text(f"  {arm.arm}"), str(arm.cells), str(arm.stored), str(left), each, total)
        table.add_section()
    return table


def _cells(verdict: Verdict) -> tuple[Text | str, ...]:
    name = Text(f"  {verdict.id}")
    if verdict.role != "claim":
        name.append(f" ({verdict.role})", style="dim")
    if where := worst(verdict):
        name.append(f"\n  {where}", style="dim")
    effect: tuple[str, ...] = ("", "", "")
    if not math.isnan(verdict.measured):
        effect = (number(verdict.measured), interval(verdict.interval), predicted(verdict))
    count = str(verdict.replicates or "")
    return (name, *effect, count, verdict.kind, _word(verdict.word), _expected(verdict))


def worst(verdict: Verdict) -> str:
    """Return the point whose numbers are shown, if there were several to choose from; else nothing."""
    if verdict.points < 2 or not verdict.point:
        return ""
    place = ", ".join(f"{column}={number(value)}" for column, value in verdict.point.items())
    z = "" if math.isnan(verdict.z) else f", z={number(verdict.z)}"
    return f"worst of {verdict.points}: {place}{z}"


def interval(ends: tuple[float, float]) -> str:
    """Return an interval; nothing if it has no width, as that of an identity."""
    low, high = ends
    return f"({number(low)}, {number(high)})" if low < high else ""


def predicted(verdict: Verdict) -> str:
    """Return where the relation wants the mean, with the band of the prediction."""
    low, high = verdict.allowed
    band = f" ± {number(verdict.band)}" if verdict.band > 0.0 else ""
    if low == high:
        return number(low) + band
    if math.isinf(high):
        return f"> {number(low)}{band}"
    if math.isinf(low):
        return f"< {number(high)}{band}"
    return f"[{number(low)}, {number(high)}]{band}"


def number(value: object) -> str:
    """Return a number to four digits, and anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _word(word: str | None) -> Text:
    return Text(word or "-", style=_COLOURS.get(word or "", "dim"))


def _expected(verdict: Verdict) -> Text:
    if verdict.as_expected:
        return _mark(True) if verdict.expected else Text("")
    return Text(f"no: {verdict.expected}", style="bold red")


def _mark(as_expected: bool) -> Text:
    return Text("yes", style="green") if as_expected else Text("no", style="bold red")
