"""How long cells took, kept beside their rows and never inside: rows have to be the same wherever they are measured."""

from __future__ import annotations

import json
import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TypeAlias

from .cell import Cell
from .study import Study

_FILE = "timings.jsonl"
_RECENT = 50  # of a kind: an older machine, or an older kernel, is forgotten

_Kind: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Timings:
    """Measuring times of the cells of one study.

    Cells that differ in their replicate alone take about the same time.

    Attributes
    ----------
    recent : dict
        Seconds of the latest cells, by arm and parameters.
    """

    recent: dict[_Kind, deque[float]] = field(default_factory=dict)

    def expected(self, cell: Cell) -> float | None:
        """Return the mean over cells of the same parameters, or else of the same arm; None if there is none."""
        arm, _ = kind = _kind(cell)
        alike = self.recent.get(kind) or [s for (other, _), times in self.recent.items() if other == arm for s in times]
        return fmean(alike) if alike else None


def note(directory: Path, study: Study, cell: Cell, seconds: float) -> None:
    """Append a time to ``timings.jsonl``.

    One short write in append mode: lines of several processes do not mix. Each begins with the line break, so that
    one that was cut off by a kill spoils no other. A time that cannot be written is no reason to stop a run.
    """
    arm, parameters = _kind(cell)
    line = {"study": study.name, "cells": study.cell_version, "arm": arm, "parameters": parameters, "seconds": seconds}
    with suppress(OSError):
        descriptor = os.open(directory / _FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, f"\n{json.dumps(line)}".encode())
        finally:
            os.close(descriptor)


def timings(directory: Path, study: Study) -> Timings:
    """Return the times noted for the cells of a study, in the present version of its measurement."""
    found = Timings()
    try:
        lines = (directory / _FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            entry = json.loads(line)
            if (entry["study"], entry["cells"]) == (study.name, study.cell_version):
                kind = (entry["arm"], entry["parameters"])
                found.recent.setdefault(kind, deque(maxlen=_RECENT)).append(float(entry["seconds"]))
        except (ValueError, KeyError, TypeError):  # cut off, or not ours
            continue
    return found


def _kind(cell: Cell) -> _Kind:
    return cell.arm, Cell(cell.arm, cell.parameters, 0).canonical()
