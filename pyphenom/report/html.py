"""The report of a run: one HTML file that holds its figures, and asks nothing of the network."""

from __future__ import annotations

import base64
import json
import math
import platform
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined

from pyphenom.studies import Plan, StudyResult, Verdict
from pyphenom.studies.planning import duration

from .files import write
from .images import Image, Images, images
from .strip import strip
from .tables import interval, number, predicted, worst

_SYMBOLS = {"CONFIRMED": "✓", "REFUTED": "✗", "INCONCLUSIVE": "?", "VOID": "∅"}
_ROLES = {"claim": "claims", "control": "controls", "secondary": "secondary"}


def write_report(
    results: Sequence[StudyResult],
    output: Path,
    incomplete: Sequence[Plan] = (),
    problems: Sequence[str] = (),
    drawn: Images | None = None,
) -> Path:
    """Write ``<output>/report/index.html``, and ``results.json`` with the same verdicts beside it.

    Parameters
    ----------
    results : sequence of StudyResult
        The studies of one run, decided as one family; their files are beside the report if :func:`save` wrote them.
    output : Path
        Made if it does not exist.
    incomplete : sequence of Plan, optional
        Studies that were not judged because cells are missing.
    problems : sequence of str, optional
        What else went wrong.
    drawn : mapping, optional
        Of :func:`images`; drawn here by default.

    Returns
    -------
    Path
        The page.
    """
    page = output / "report" / "index.html"
    content = html(results, incomplete, problems, datetime.now(timezone.utc), output, drawn)
    write(page.with_name("results.json"), json.dumps(to_dict(results, incomplete, problems), indent=2) + "\n")
    write(page, content)
    return page


def to_dict(
    results: Sequence[StudyResult], incomplete: Sequence[Plan] = (), problems: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a run as strict JSON values: its verdicts, the studies that they were decided with, and what is missing.

    Parameters
    ----------
    results, incomplete, problems
        As in :func:`write_report`.

    Returns
    -------
    dict
    """
    return {
        "as_expected": not (problems or incomplete) and all(result.as_expected for result in results),
        "family": [result.study.name for result in results],
        "incomplete": [plan.to_dict() for plan in incomplete],
        "errors": list(problems),
        "studies": [result.to_dict() for result in results],
    }


def html(
    results: Sequence[StudyResult],
    incomplete: Sequence[Plan] = (),
    problems: Sequence[str] = (),
    written: datetime | None = None,
    output: Path | None = None,
    drawn: Images | None = None,
) -> str:
    """Return the page: of the same results, the same but for the stated times.

    Parameters
    ----------
    results, incomplete, problems
        As in :func:`write_report`.
    written : datetime, optional
        What the page says of its age; nothing by default.
    output : Path, optional
        As in :func:`command`.
    drawn : mapping, optional
        As in :func:`write_report`.

    Returns
    -------
    str
    """
    drawn = images(results) if drawn is None else drawn
    folder = Path(__file__).parent
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((folder / "report.html.j2").read_text(encoding="utf-8"))
    return template.render(
        style=(folder / "report.css").read_text(encoding="utf-8"),
        studies=[_study(result, drawn[result.study.name]) for result in results],
        incomplete=[_incomplete(plan, output) for plan in incomplete],
        problems=list(problems),
        as_expected=sum(result.as_expected for result in results),
        symbols=_SYMBOLS,
        words=_words(results),
        written=written,
        version=results[0].versions["pyphenom"] if results else "",
        platform=platform.platform(),
    )


def command(plan: Plan, output: Path | None = None) -> str:
    """Return the command that measures the missing cells of a study.

    Parameters
    ----------
    plan : Plan
        Of the study.
    output : Path, optional
        Where results are written; the default of the command line by default.

    Returns
    -------
    str
    """
    words = ["pyphenom", "run", plan.study.name, "--preset", plan.preset]
    words += ["--seed", str(plan.seed)] if plan.seed else []
    words += ["--output", str(output)] if output not in (None, Path("pyphenom-results")) else []
    return shlex.join(words)


def _words(results: Sequence[StudyResult]) -> dict[str, int]:
    found = [verdict.word for result in results for verdict in result.verdicts if verdict.role == "claim"]
    return {word: found.count(word) for word in _SYMBOLS if word in found}


def _study(result: StudyResult, pictures: Sequence[Image]) -> dict[str, Any]:
    study = result.study
    sections: dict[str, list[dict[str, Any]]] = {name: [] for name in _ROLES.values()}
    for verdict in result.verdicts:
        sections[_ROLES[verdict.role]].append(_row(verdict))
    return {
        "anchor": "study-" + re.sub(r"\W+", "-", study.name.lower()),
        "study": study,
        "folder": quote(f"../{study.name}"),
        "preset": result.preset,
        "seed": result.seed,
        "word": result.verdict,
        "tone": _tone(result.verdict, result.as_expected),
        "as_expected": result.as_expected,
        **sections,
        "guards": [(guard, result.guards.get(guard.id, "")) for guard in study.guards],
        "figures": [_figure(image) for image in pictures],
        "failures": result.failures,
        "facts": _facts(result),
    }


def _facts(result: StudyResult) -> Mapping[str, str]:
    measured = result.cells - result.replayed
    return {
        "Preset and seed": f"{result.preset}, {result.seed}",
        "Cells": f"{result.cells}: {measured} measured in this run, {result.replayed} replayed",
        "Wall time of this run": duration(result.seconds),
        **{f"Version of {name}": version for name, version in result.versions.items()},
    }


def _row(verdict: Verdict) -> dict[str, Any]:
    known = not math.isnan(verdict.measured)
    return {
        "verdict": verdict,
        "measured": number(verdict.measured) if known else "",
        "interval": interval(verdict.interval),
        "adjusted": interval(verdict.adjusted),
        "level": "" if math.isnan(verdict.level) else f"{100.0 * (1.0 - verdict.level):.5g} %",
        "predicted": predicted(verdict) if known else "",
        "worst": worst(verdict),
        "tone": _tone(verdict.word, verdict.as_expected),
        "strip": strip(verdict),
    }


def _tone(word: str | None, as_expected: bool) -> str:
    """Return the class that colours a word: good news or bad news, whatever the word is."""
    return "good" if as_expected else {"REFUTED": "bad", "CONFIRMED": "bad", "VOID": "void"}.get(word or "", "open")


def _figure(image: Image) -> dict[str, str]:
    figure = image.figure
    if image.problem:
        return {"caption": figure.caption, "source": "", "text": image.problem}
    arms = f" Arms: {'; '.join(figure.arms)}." if len(figure.arms) > 1 else ""
    axes = f"{figure.y_label[:1].upper()}{figure.y_label[1:]} against {figure.x_label}"
    text = f"{axes}: theory as lines, measured means as points with intervals.{arms}"
    source = f"data:image/png;base64,{base64.b64encode(image.png).decode()}"
    return {"caption": figure.caption, "source": source, "text": text}


def _incomplete(plan: Plan, output: Path | None) -> dict[str, Any]:
    seconds = plan.seconds()
    left = "unknown" if seconds is None else f"{duration(seconds)} of one worker"
    return {"plan": plan, "left": left, "command": command(plan, output)}
