"""What a run of a study returns."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from .cell import Cell
from .study import Preset, Study
from .verdict import Verdict, Word, finite, overall


@dataclass(frozen=True)
class Failure:
    """A cell that raised: its parameters, and the traceback of what it raised."""

    cell: Cell
    traceback: str

    @property
    def reason(self) -> str:
        """What was raised: the last line of the traceback."""
        return self.traceback.strip().splitlines()[-1]

    def __str__(self) -> str:
        return f"{self.cell}: {self.reason}"


@dataclass(frozen=True, repr=False)
class StudyResult:
    """Rows, verdicts and failures of one study in one run.

    Attributes
    ----------
    study : Study
        What was run.
    preset : {"smoke", "quick", "full"}
        At which size.
    seed : int
        Root seed.
    rows : DataFrame
        Measured and predicted: study, arm, the point columns, replicate, quantity, value, origin, band.
    verdicts : tuple of Verdict
        Claims first, then negative controls.
    failures : tuple of Failure
        Cells that raised.
    seconds : float
        Wall time of this run; near 0 when every cell was replayed.
    versions : mapping
        Of the study, of its cells, and of the packages behind the numbers.
    cells, replayed : int
        All cells, and those that came from the store.
    guards : mapping
        Id of each guard to where it fails, in words; empty where it holds.
    """

    study: Study
    preset: Preset
    seed: int
    rows: pd.DataFrame = field(compare=False)
    verdicts: tuple[Verdict, ...]
    failures: tuple[Failure, ...]
    seconds: float
    versions: Mapping[str, str]
    cells: int = 0
    replayed: int = 0
    guards: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Word:
        """The word for the study: VOID, else REFUTED, else INCONCLUSIVE, if a primary claim is; else CONFIRMED."""
        return overall(self.verdicts)

    @property
    def as_expected(self) -> bool:
        """Whether every claim is CONFIRMED, every negative control is REFUTED, and no cell failed."""
        return not self.failures and all(verdict.as_expected for verdict in self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the rows as strict JSON values; None where a number is not finite."""
        return {
            "study": self.study.name,
            "title": self.study.title,
            "preset": self.preset,
            "seed": self.seed,
            "verdict": self.verdict,
            "as_expected": self.as_expected,
            "verdicts": [verdict.to_dict() for verdict in self.verdicts],
            "guards": [
                {"id": guard.id, "statement": guard.statement, "violation": self.guards.get(guard.id, "")}
                for guard in self.study.guards
            ],
            "failures": [{"cell": str(f.cell), "traceback": f.traceback} for f in self.failures],
            "cells": self.cells,
            "replayed": self.replayed,
            "seconds": finite(self.seconds),
            "versions": dict(self.versions),
        }

    def __repr__(self) -> str:
        lines = [f"{self.study.name} ({self.preset}, seed {self.seed}): {self.verdict}"]
        lines += [f"  {verdict}" for verdict in self.verdicts]
        lines += [f"  failed: {failure}" for failure in self.failures]
        return "\n".join(lines)


def versions(study: Study) -> dict[str, str]:
    """Return the versions that the numbers of a study depend on."""
    packages = {name: _installed(name) for name in ("pyphenom", "numpy", "scipy", "pandas")}
    return {"study": study.version, "cells": study.cell_version, "python": platform.python_version()} | packages


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
