"""The figures of results, each drawn once: for the folder of its study and for the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias

import pandas as pd

from pyphenom.studies import Figure, StudyResult

from .figures import check_labels, draw, rendered


@dataclass(frozen=True)
class Image:
    """A declared figure as PNG, or the reason why it could not be drawn.

    Attributes
    ----------
    figure : Figure
        What its study declares.
    png : bytes
        Content of the file; empty if it could not be drawn.
    problem : str
        The reason, in words; empty otherwise.
    """

    figure: Figure
    png: bytes = b""
    problem: str = ""


Images: TypeAlias = Mapping[str, tuple[Image, ...]]
"""The images of the figures of a study, by its name."""


def images(results: Iterable[StudyResult], executor: Executor | None = None) -> Images:
    """Draw the figures of results.

    Parameters
    ----------
    results : iterable of StudyResult
        A result without rows has no images.
    executor : concurrent.futures.Executor, optional
        Where they are drawn; in this process by default.

    Returns
    -------
    mapping of str to tuple of Image
        In the order in which each study declares its figures.
    """
    place = executor.map if executor else map
    drawn: dict[str, Iterable[Image]] = {}
    for result in results:
        figures = result.study.figures if len(result.rows) else ()
        rows = [result.rows[result.rows["quantity"] == figure.quantity] for figure in figures]
        drawn[result.study.name] = place(_image, figures, rows)
    return {name: tuple(of_study) for name, of_study in drawn.items()}


_settings = Lock()  # matplotlib's belong to the process, and a worker of a cluster may have several threads


def _image(figure: Figure, rows: pd.DataFrame) -> Image:
    with _settings:
        try:
            canvas = draw(figure, rows)
            check_labels(canvas, figure.name)
        except ValueError as error:
            return Image(figure, problem=str(error))
        return Image(figure, rendered(canvas, "png"))
