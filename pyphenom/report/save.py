"""The files of a result: rows for analysis, verdicts for programs, figures for people."""

from __future__ import annotations

import json
from pathlib import Path

from pyphenom.studies import StudyResult

from .files import write
from .images import Images, images


def save(result: StudyResult, output: Path, drawn: Images | None = None) -> tuple[Path, ...]:
    """Write ``<output>/<study>/`` with ``rows.csv``, ``verdicts.json`` and one PNG per declared figure.

    Parameters
    ----------
    result : StudyResult
        What to write. Files of an earlier result are replaced.
    output : Path
        Made if it does not exist.
    drawn : mapping, optional
        Of :func:`images`; drawn here by default.

    Returns
    -------
    tuple of Path
        The files written.

    Raises
    ------
    ValueError
        If a figure could not be drawn; the other files are written first.
    """
    folder = output / result.study.name
    rows, verdicts = folder / "rows.csv", folder / "verdicts.json"
    write(rows, result.rows.to_csv(index=False))
    write(verdicts, json.dumps(result.to_dict(), indent=2, allow_nan=False) + "\n")
    pictures = (images([result]) if drawn is None else drawn)[result.study.name]
    for image in pictures:
        if image.png:
            write(folder / f"{image.figure.name}.png", image.png)
    for image in pictures:
        if image.problem:
            raise ValueError(image.problem)
    return (rows, verdicts, *(folder / f"{image.figure.name}.png" for image in pictures))
