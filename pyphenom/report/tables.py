"""Tables for a terminal: the effect first, the word last."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from pyphenom.studies import PRESETS, Study, StudyResult, Verdict

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
        lines += [f"{name}, failed cell {failure}" for failure in result.failures]
        lines += [f"{name}, {verdict.id}: {verdict.advice}" for verdict in result.verdicts if verdict.advice]
    return lines


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


def _cells(verdict: Verdict) -> tuple[Text | str, ...]:
    name = Text(f"  {verdict.id}")
    if verdict.role != "claim":
        name.append(f" ({verdict.role})", style="dim")
    if verdict.points > 1:
        place = ", ".join(f"{column}={_number(value)}" for column, value in verdict.point.items())
        z = "" if math.isnan(verdict.z) else f", z={_number(verdict.z)}"
        name.append(f"\n  worst of {verdict.points}: {place}{z}", style="dim")
    if math.isnan(verdict.measured):
        effect: tuple[str, ...] = ("", "", "")
    else:
        low, high = verdict.interval
        spread = f"({_number(low)}, {_number(high)})" if low < high else ""
        effect = (_number(verdict.measured), spread, _predicted(verdict))
    count = str(verdict.replicates or "")
    return (name, *effect, count, verdict.kind, _word(verdict.word), _expected(verdict))


def _predicted(verdict: Verdict) -> str:
    low, high = verdict.allowed
    band = f" ± {_number(verdict.band)}" if verdict.band > 0.0 else ""
    if low == high:
        return _number(low) + band
    if math.isinf(high):
        return f"> {_number(low)}{band}"
    if math.isinf(low):
        return f"< {_number(high)}{band}"
    return f"[{_number(low)}, {_number(high)}]{band}"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _word(word: str | None) -> Text:
    return Text(word or "-", style=_COLOURS.get(word or "", "dim"))


def _expected(verdict: Verdict) -> Text:
    if verdict.as_expected:
        return _mark(True) if verdict.expected else Text("")
    return Text(f"no: {verdict.expected}", style="bold red")


def _mark(as_expected: bool) -> Text:
    return Text("yes", style="green") if as_expected else Text("no", style="bold red")
