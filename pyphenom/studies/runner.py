"""Cells to an executor, rows to the store, rows and theory to verdicts."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from .cell import Cell, Streams
from .evidence import ClaimError, Evidence, gather, reason
from .registry import load
from .result import Failure, StudyResult, versions
from .rows import join, measured_rows, predicted_rows
from .store import Store, fingerprint, key
from .study import Preset, Study
from .verdict import judge

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the name of the study, its finished cells, and all its cells; first with those already stored."""


class WorkerLost(RuntimeError):  # noqa: N818
    """A worker process ended in the middle of its cell, killed from outside or by a crash."""


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
        Wall time; near 0 when every cell was replayed.
    """

    study: Study
    preset: Preset
    seed: int
    cells: tuple[Cell, ...]
    rows: pd.DataFrame
    failures: tuple[Failure, ...]
    seconds: float


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
    """

    measurement: Measurement
    predicted: pd.DataFrame
    evidence: tuple[Evidence, ...]


def run(
    study: Study | str,
    preset: Preset = "quick",
    executor: Executor | None = None,
    store: Store | str | PathLike[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    fresh: bool = False,
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

    Returns
    -------
    StudyResult

    Raises
    ------
    ValueError
        If the preset is unknown, the study is not written as it should be, or a claim cannot be evaluated.
    WorkerLost
        If a worker process was killed. Finished cells are kept.
    KeyboardInterrupt
        On Ctrl-C. The message says how many cells are kept.
    """
    return conclude([compare(measure(study, preset, executor, store, seed, progress, fresh))])[0]


def measure(
    study: Study | str,
    preset: Preset = "quick",
    executor: Executor | None = None,
    store: Store | str | PathLike[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    fresh: bool = False,
) -> Measurement:
    """Measure the cells of a study, or take them from the store: the first of the three steps of :func:`run`.

    Parameters
    ----------
    study, preset, executor, store, seed, progress, fresh
        As in :func:`run`.

    Returns
    -------
    Measurement

    Raises
    ------
    ValueError, WorkerLost, KeyboardInterrupt
        As in :func:`run`.
    """
    started = time.perf_counter()
    study = load(study) if isinstance(study, str) else study
    cells = study.work(preset)
    store = Store.default() if store is None else store if isinstance(store, Store) else Store(Path(store))
    store = Store(store.directory.absolute())  # a worker need not have our current directory
    store.clean()
    code = fingerprint(study.depends_on)
    keys = {cell: key(study.name, study.cell_version, code, cell, seed) for cell in cells}
    stored = {} if fresh else {cell: store.get(keys[cell]) for cell in cells}
    rows = {cell: table for cell, table in stored.items() if table is not None}
    failed: dict[Cell, str] = {}
    report = progress or (lambda name, done, total: None)
    report(study.name, len(rows), len(cells))

    def keep(cell: Cell, outcome: pd.DataFrame | str) -> None:
        if isinstance(outcome, str):
            failed[cell] = outcome
        else:
            store.put(keys[cell], outcome)  # a worker on another machine may see another disk
            rows[cell] = outcome
        report(study.name, len(rows) + len(failed), len(cells))

    tasks = {
        cell: _Task(study.name, study.measure, cell, seed, store, keys[cell]) for cell in cells if cell not in rows
    }
    try:
        if executor is None:
            for cell, task in tasks.items():
                keep(cell, task())
        else:
            _measure_elsewhere(executor, tasks, keep)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_kept(study, keys, store)) from None
    except BrokenExecutor as error:
        raise WorkerLost(
            "a worker process was killed or crashed, most often for lack of memory; "
            f"{_kept(study, keys, store)}, with fewer jobs if memory was short"
        ) from error
    table = join([rows[cell] for cell in cells if cell in rows])
    failures = tuple(Failure(cell, failed[cell]) for cell in cells if cell in failed)
    return Measurement(study, preset, seed, cells, table, failures, time.perf_counter() - started)


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
    evidence = gather(study, measurement.rows, predicted, {failure.cell.arm: str(failure) for failure in failures})
    return Comparison(measurement, predicted, evidence)


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
        results.append(StudyResult(m.study, m.preset, m.seed, rows, verdicts, m.failures, m.seconds, versions(m.study)))
    return tuple(results)


@dataclass(frozen=True)
class _Task:
    """One cell, on its way to where it is measured."""

    study: str
    measure: Callable[[Cell, Streams], pd.DataFrame]
    cell: Cell
    seed: int
    store: Store
    key: str

    def __call__(self) -> pd.DataFrame | str:
        """Measure and store, and return the rows or the traceback.

        The worker stores: what it has finished is kept even if nobody is left to hand it to. A traceback crosses as
        text: an exception may hold what cannot be pickled.
        """
        try:
            rows = measured_rows(self.study, self.cell, self.measure(self.cell, self._streams()))
        except (Exception, SystemExit):
            return traceback.format_exc()
        with suppress(OSError):  # the caller stores too, and reports what stands in the way
            try:
                self.store.put(self.key, rows)
            except KeyboardInterrupt:
                self.store.put(self.key, rows)
                raise
        return rows

    def _streams(self) -> Streams:
        return Streams(self.seed, self.study, self.cell.replicate)


def _measure_elsewhere(
    executor: Executor, tasks: Mapping[Cell, _Task], keep: Callable[[Cell, pd.DataFrame | str], None]
) -> None:
    futures: dict[Future[pd.DataFrame | str], Cell] = {}
    try:
        for cell, task in tasks.items():
            futures[executor.submit(task)] = cell
        for future in as_completed(futures):
            keep(futures[future], _result(future))
    finally:
        for future in futures:
            future.cancel()


def _result(future: Future[pd.DataFrame | str]) -> pd.DataFrame | str:
    try:
        return future.result()
    except BrokenExecutor:
        raise
    except Exception:  # what cannot be pickled fails on the way, outside of the measurement
        return traceback.format_exc()


def _kept(study: Study, keys: Mapping[Cell, str], store: Store) -> str:
    kept = sum(key in store for key in keys.values())
    return f"{kept} of {len(keys)} cells of {study.name} are kept in {store.directory}; run it again to resume"
