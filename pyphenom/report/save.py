"""The files of a result: rows for analysis, verdicts for programs, figures for people."""

from __future__ import annotations

import json
from pathlib import Path

from pyphenom.studies import StudyResult

from .figures import draw, save_figure
from .files import write


def save(result: StudyResult, output: Path) -> tuple[Path, ...]:
    """Write ``<output>/<study>/`` with ``rows.csv``, ``verdicts.json`` and one PNG per declared figure.

    Parameters
    ----------
    result : StudyResult
        What to write. Files of an earlier result are replaced.
    output : Path
        Made if it does not exist.

    Returns
    -------
    tuple of Path
        The files written.
    """
    folder = output / result.study.name
    rows, verdicts = folder / "rows.csv", folder / "verdicts.json"
    write(rows, result.rows.to_csv(index=False))
    write(verdicts, json.dumps(result.to_dict(), indent=2, allow_nan=False) + "\n")
    figures = []
    if not result.rows.empty:
        for figure in result.study.figures:
            figures.append(folder / f"{figure.name}.png")
            save_figure(draw(figure, result.rows), figures[-1])
    return (rows, verdicts, *figures)
