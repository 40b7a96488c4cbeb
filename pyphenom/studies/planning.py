"""What a run would do, before anything starts: the cells of each arm, how many are stored, and the time of the rest."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from .cell import Cell
from .registry import load
from .store import Store, fingerprint, key
from .study import Preset, Study
from .timings import timings


@dataclass(frozen=True)
class ArmPlan:
    """The part of a plan that belongs to one arm.

    Attributes
    ----------
    arm : str
        Its name.
    cells, stored : int
        All of its cells, and those that a run would replay.
    seconds : float or None
        Measuring time of the others, added up; None if no cell of the arm was ever timed.
    """

    arm: str
    cells: int
    stored: int
    seconds: float | None


@dataclass(frozen=True)
class Plan:
    """What a run of a study would do.

    Attributes
    ----------
    study : Study
        What would be run.
    preset : {"smoke", "quick", "full"}
        At which size.
    seed : int
        From which root seed.
    arms : tuple of ArmPlan
        In the order of the cells.
    missing : tuple of Cell
        The cells that are not stored.
    durations : tuple of float or None
        Expected measuring time of each of these in seconds; None where no cell of the arm was ever timed.
    """

    study: Study
    preset: Preset
    seed: int
    arms: tuple[ArmPlan, ...]
    missing: tuple[Cell, ...]
    durations: tuple[float | None, ...]

    @property
    def cells(self) -> int:
        """The number of all cells."""
        return sum(arm.cells for arm in self.arms)

    @property
    def stored(self) -> int:
        """The number of cells that a run would replay."""
        return self.cells - len(self.missing)

    @property
    def untimed(self) -> tuple[str, ...]:
        """The arms about whose missing cells nothing is known."""
        return tuple(arm.arm for arm in self.arms if arm.seconds is None)

    def seconds(self, jobs: int = 1) -> float | None:
        """Return the wall time of the measurement: each free worker takes the next cell.

        Theory and figures come on top, as does the start of the workers. The times are those of earlier cells, with
        the number of threads that their workers had.

        Parameters
        ----------
        jobs : int, optional
            Workers; at least 1.

        Returns
        -------
        float or None
            In seconds; None if an arm is untimed.

        Raises
        ------
        ValueError
            If ``jobs`` is less than 1.
        """
        if jobs < 1:
            raise ValueError(f"jobs: got {jobs}, expected at least 1")
        workers = [0.0] * min(jobs, max(1, len(self.durations)))
        for duration in self.durations:
            if duration is None:
                return None
            heapq.heapreplace(workers, workers[0] + duration)
        return max(workers)

    def probes(self) -> Study:
        """Return the study with one missing cell for each untimed arm as all of its work.

        What :func:`measure` finds for it is kept under the same keys, so a later run replays it.
        """
        first = {cell.arm: cell for cell in reversed(self.missing) if cell.arm in self.untimed}
        return replace(self.study, cells=lambda preset: tuple(first.values()))

    def to_dict(self, jobs: int = 1) -> dict[str, Any]:
        """Return the plan as strict JSON values, with the wall time for so many workers."""
        return {
            "study": self.study.name,
            "preset": self.preset,
            "seed": self.seed,
            "cells": self.cells,
            "stored": self.stored,
            "jobs": jobs,
            "seconds": self.seconds(jobs),
            "arms": [asdict(arm) for arm in self.arms],
        }


def plan(
    study: Study | str,
    preset: Preset = "quick",
    store: Store | str | PathLike[str] | None = None,
    seed: int = 0,
) -> Plan:
    """Count the cells of a run, and estimate its time from those that were measured before; nothing is measured.

    Parameters
    ----------
    study, preset, store, seed
        As in :func:`run`.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If the preset is unknown, or the study is not written as it should be.
    """
    study = load(study) if isinstance(study, str) else study
    cells, store = study.work(preset), opened(store)
    missing = tuple(cell for cell, name in keys(study, cells, seed).items() if name not in store)
    known = timings(store.directory, study)
    durations = tuple(known.expected(cell) for cell in missing)
    arms = []
    for arm in dict.fromkeys(cell.arm for cell in cells):
        times = [time for cell, time in zip(missing, durations, strict=True) if cell.arm == arm]
        known_times = [time for time in times if time is not None]
        seconds = sum(known_times) if len(known_times) == len(times) else None
        count = sum(cell.arm == arm for cell in cells)
        arms.append(ArmPlan(arm, count, count - len(times), seconds))
    return Plan(study, preset, seed, tuple(arms), missing, durations)


def keys(study: Study, cells: Sequence[Cell], seed: int) -> dict[Cell, str]:
    """Return the names under which cells are stored."""
    code = fingerprint(study.depends_on)
    return {cell: key(study.name, study.cell_version, code, cell, seed) for cell in cells}


def opened(store: Store | str | PathLike[str] | None) -> Store:
    """Return the store that is meant, under its absolute path: a worker need not have our current directory."""
    store = Store.default() if store is None else store if isinstance(store, Store) else Store(Path(store))
    return Store(store.directory.absolute())


def duration(seconds: float) -> str:
    """Return a time in words, rounded to what an estimate can bear.

    Examples
    --------
    >>> [duration(seconds) for seconds in (0.2, 8.4, 89.0, 600.0, 7300.0, 2e5)]
    ['less than 1 s', '8 s', '89 s', '10 min', '2 h 2 min', '2 d 7 h']
    """
    if seconds < 1.0:
        return "less than 1 s"
    if seconds < 100.0:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60.0)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
