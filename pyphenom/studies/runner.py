"""Cells to an executor, rows to the store, rows and theory to verdicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import TypeAlias

import pandas as pd

from .cell import Cell
from .evidence import ClaimError, Evidence, gather, reason, violations
from .planning import Plan, duration, keys, opened, plan
from .registry import load
from .result import Failure, StudyResult, versions
from .rows import join, predicted_rows
from .store import Store
from .study import Preset, Study
from .task import Outcome, Task, collect, submit
from .timings import note
from .verdict import judge

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the name of the study, its finished cells, and all its cells; first with those already stored."""


class WorkerLost(RuntimeError):  # noqa: N818
    """A worker process ended in the middle of its cell, killed from outside or by a crash."""


class BudgetSpent(RuntimeError):  # noqa: N818
    """The time budget of a run was used up before all of its cells were begun.

    Attributes
    ----------
    plan : Plan
        What is left.
    """

    def __init__(self, message: str, plan: Plan) -> None:
        super().__init__(message)
        self.plan = plan


@dataclass(frozen=True)
class Measurement:
    """The measured half of a run of a study.

    Attributes
    ----------
    study, preset, seed
        What was measured, at which size, from which root seed.
    cells : tuple of Cell
        All of its cells.
    rows : DataFrame
        In the order of the cells; none of a failed cell.
    failures : tuple of Failure
        The cells that raised.
    seconds : float
        Wall time that the run waited for it; near 0 when every cell was replayed.
    replayed : int
        Cells that came from the store.
    """

    study: Study
    preset: Preset
    seed: int
    cells: tuple[Cell, ...]
    rows: pd.DataFrame
    failures: tuple[Failure, ...]
    seconds: float
    replayed: int = 0


@dataclass(frozen=True)
class Comparison:
    """A measurement set against its theory.

    Attributes
    ----------
    measurement : Measurement
        The measured half.
    predicted : DataFrame
        What the theory says of it.
    evidence : tuple of Evidence
        On every claim and control, before the correction for their number.
    guards : mapping
        Id of each guard to where it fails, in words; empty where it holds.
    """

    measurement: Measurement
    predicted: pd.DataFrame
    evidence: tuple[Evidence, ...]
    guards: Mapping[str, str]


def run(
    study: Study | str,
    preset: Preset = "quick",
    executor: Executor | None = None,
    store: Store | str | PathLike[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    fresh: bool = False,
    budget: float | None = None,
) -> StudyResult:
    """Measure a study, compare it with its theory, and decide its claims as one family.

    Every finished cell is stored at once. A run that was stopped, whichever way, resumes when it is called again,
    and a finished one replays.

    Parameters
    ----------
    study : Study or str
        The study, or the name of an installed one.
    preset : {"smoke", "quick", "full"}, optional
        Size of the experiment.
    executor : concurrent.futures.Executor, optional
        Where the cells are measured, such as :func:`process_pool`; in this process by default.
    store : Store or path, optional
        Where finished cells are kept; by default ``$PYPHENOM_STORE``, or ``pyphenom-results/cells`` here.
    seed : int, optional
        Root of all random streams.
    progress : callable, optional
        Called with the name of the study, the number of finished cells, and the number of all cells.
    fresh : bool, optional
        Measure every cell again, and replace what is stored.
    budget : float, optional
        Seconds after which no further cell is begun; those that are begun are finished, and kept. With 0 nothing is
        measured, and a study whose cells are all stored is replayed.

    Returns
    -------
    StudyResult

    Raises
    ------
    ValueError
        If the preset is unknown, the study is not written as it should be, a claim cannot be evaluated, or the budget
        is negative or given together with ``fresh``.
    BudgetSpent
        If cells are missing when the budget is used up. The study is then not judged: its quick cells alone would be
        a selection. Finished cells are kept.
    WorkerLost
        If a worker process was killed. Finished cells are kept.
    KeyboardInterrupt
        On Ctrl-C. The message says how many cells are kept.
    """
    return conclude([compare(measure(study, preset, executor, store, seed, progress, fresh, budget))])[0]


def measure(
    study: Study | str,
    preset: Preset = "quick",
    executor: Executor | None = None,
    store: Store | str | PathLike[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    fresh: bool = False,
    budget: float | None = None,
) -> Measurement:
    """Measure the cells of a study, or take them from the store: the first of the three steps of :func:`run`.

    Parameters
    ----------
    study, preset, executor, store, seed, progress, fresh, budget
        As in :func:`run`.

    Returns
    -------
    Measurement

    Raises
    ------
    ValueError, BudgetSpent, WorkerLost, KeyboardInterrupt
        As in :func:`run`.
    """
    return begin(study, preset, executor, store, seed, progress, fresh, budget)()


def begin(
    study: Study | str,
    preset: Preset = "quick",
    executor: Executor | None = None,
    store: Store | str | PathLike[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    fresh: bool = False,
    budget: float | None = None,
) -> Callable[[], Measurement]:
    """Hand the missing cells of a study to the executor, and return what waits for them.

    :func:`measure` in two halves: the workers of several studies that are begun together never stand idle, neither
    while the last cell of one study is finished nor while another is compared with its theory.

    Parameters
    ----------
    executor : concurrent.futures.Executor, optional
        Without one the cells are measured by what is returned.
    others
        As in :func:`measure`.

    Returns
    -------
    callable
        Without arguments; returns the Measurement, or raises what :func:`measure` raises.

    Raises
    ------
    ValueError
        As in :func:`run`.
    """
    started = time.perf_counter()
    deadline = _deadline(budget, fresh)
    study = load(study) if isinstance(study, str) else study
    cells = study.work(preset)
    store = opened(store)
    store.clean()
    names = keys(study, cells, seed)
    stored = {} if fresh else {cell: store.get(names[cell]) for cell in cells}
    rows = {cell: table for cell, table in stored.items() if table is not None}
    replayed = len(rows)
    failed: dict[Cell, str] = {}
    report = progress or (lambda name, done, total: None)
    tasks = {
        cell: Task(study.name, study.measure, cell, seed, store, names[cell], deadline)
        for cell in cells
        if cell not in rows
    }

    @contextmanager
    def kept() -> Iterator[None]:
        """Say what is kept if the run is stopped inside."""
        try:
            yield
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{_kept(study, names, store)}; run it again to resume") from None
        except BrokenExecutor as error:
            raise WorkerLost(
                "a worker process was killed or crashed, most often for lack of memory; "
                f"{_kept(study, names, store)}; run it again to resume, with fewer jobs if memory was short"
            ) from error

    def keep(cell: Cell, outcome: Outcome) -> None:
        if outcome.rows is not None:
            store.put(names[cell], outcome.rows)  # a worker on another machine may see another disk
            note(store.directory, study, cell, outcome.seconds)
            rows[cell] = outcome.rows
        elif outcome.failure:
            failed[cell] = outcome.failure
        else:
            return  # too late to begin
        report(study.name, len(rows) + len(failed), len(cells))

    with kept():
        futures = submit(executor, tasks) if executor else {}
    spent = time.perf_counter() - started

    def finish() -> Measurement:
        started = time.perf_counter()
        report(study.name, len(rows), len(cells))
        with kept():
            if executor:
                collect(futures, keep)
            else:
                for cell, task in tasks.items():
                    keep(cell, task())
        failures = tuple(Failure(cell, failed[cell]) for cell in cells if cell in failed)
        if len(rows) + len(failed) < len(cells):
            left = plan(study, preset, store, seed)
            raise BudgetSpent(_spent(_kept(study, names, store), left, failures), left)
        table = join([rows[cell] for cell in cells if cell in rows])
        seconds = spent + time.perf_counter() - started
        return Measurement(study, preset, seed, cells, table, failures, seconds, replayed)

    return finish


def compare(measurement: Measurement) -> Comparison:
    """Set a measurement against its theory: the second of the three steps of :func:`run`.

    Parameters
    ----------
    measurement : Measurement
        What :func:`measure` returned.

    Returns
    -------
    Comparison

    Raises
    ------
    ClaimError
        If the prediction or a claim cannot be evaluated as it is written.
    """
    study, failures = measurement.study, measurement.failures
    predicted = join([])
    if study.predict is not None and not measurement.rows.empty:
        try:
            predicted = predicted_rows(study.name, study.predict(measurement.cells, measurement.rows))
        except Exception as error:
            after = f", after a cell had failed: {failures[0]}" if failures else ""
            raise ClaimError(f"{study.name}, predict: {reason(error)}{after}") from error
    failed_arms = {failure.cell.arm: str(failure) for failure in failures}
    guards = violations(study, measurement.rows, failed_arms)
    evidence = gather(study, measurement.rows, predicted, failed_arms, guards)
    return Comparison(measurement, predicted, evidence, guards)


def conclude(comparisons: Sequence[Comparison]) -> tuple[StudyResult, ...]:
    """Decide the claims of all the studies of a run as one family: the last of the three steps of :func:`run`.

    Parameters
    ----------
    comparisons : sequence of Comparison
        One for each study of the run.

    Returns
    -------
    tuple of StudyResult
        In the order given.
    """
    results = []
    for comparison, verdicts in zip(comparisons, judge([c.evidence for c in comparisons]), strict=True):
        m = comparison.measurement
        rows = join([table for table in (m.rows, comparison.predicted) if len(table)])
        results.append(
            StudyResult(
                study=m.study,
                preset=m.preset,
                seed=m.seed,
                rows=rows,
                verdicts=verdicts,
                failures=m.failures,
                seconds=m.seconds,
                versions=versions(m.study),
                cells=len(m.cells),
                replayed=m.replayed,
                guards=comparison.guards,
            )
        )
    return tuple(results)


def _deadline(budget: float | None, fresh: bool) -> float | None:
    if budget is None:
        return None
    if not budget >= 0.0:
        raise ValueError(f"budget: got {budget}, expected seconds, at least 0")
    if fresh:
        raise ValueError("budget: got fresh too, which would begin anew each time; expected one of them")
    return time.time() + budget  # not the monotonic clock: a worker on another machine has another one


def _kept(study: Study, names: Mapping[Cell, str], store: Store) -> str:
    kept = sum(name in store for name in names.values())
    return f"{kept} of {len(names)} cells of {study.name} are kept in {store.directory}"


def _spent(kept: str, left: Plan, failures: Sequence[Failure]) -> str:
    seconds = left.seconds()
    rest = "an unknown time" if seconds is None else f"about {duration(seconds)} of one worker"
    failed = f"; {len(failures)} failed, first {failures[0]}" if failures else ""
    return f"the time budget is used up: {kept}{failed}; the rest takes {rest}; run it again to go on"
