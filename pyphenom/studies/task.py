"""One cell on its way to where it is measured, and what comes back."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from contextlib import suppress
from dataclasses import dataclass

import pandas as pd

from .cell import Cell, Streams
from .rows import measured_rows
from .store import Store


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: its rows, or a traceback, or neither if it was not begun."""

    rows: pd.DataFrame | None = None
    failure: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Task:
    """One cell, on its way to where it is measured."""

    study: str
    measure: Callable[[Cell, Streams], pd.DataFrame]
    cell: Cell
    seed: int
    store: Store
    key: str
    deadline: float | None

    def __call__(self) -> Outcome:
        """Measure and store, unless it is too late to begin.

        The worker looks at the clock: an executor hands out cells in advance, and the caller could not take them
        back. The worker stores: what it has finished is kept even if nobody is left to hand it to. A traceback
        crosses as text: an exception may hold what cannot be pickled.
        """
        if self.deadline is not None and time.time() >= self.deadline:
            return Outcome()
        started = time.perf_counter()
        try:
            rows = measured_rows(self.study, self.cell, self.measure(self.cell, self._streams()))
        except (Exception, SystemExit):
            return Outcome(failure=traceback.format_exc())
        seconds = time.perf_counter() - started
        with suppress(OSError):  # the caller stores too, and reports what stands in the way
            try:
                self.store.put(self.key, rows)
            except KeyboardInterrupt:
                self.store.put(self.key, rows)
                raise
        return Outcome(rows, seconds=seconds)

    def _streams(self) -> Streams:
        return Streams(self.seed, self.study, self.cell.replicate)


def submit(executor: Executor, tasks: Mapping[Cell, Task]) -> dict[Future[Outcome], Cell]:
    """Hand tasks to an executor, all or none."""
    futures: dict[Future[Outcome], Cell] = {}
    try:
        for cell, task in tasks.items():
            futures[executor.submit(task)] = cell
    except BaseException:
        cancel(futures)
        raise
    return futures


def collect(futures: Mapping[Future[Outcome], Cell], keep: Callable[[Cell, Outcome], None]) -> None:
    """Hand each outcome to ``keep`` as it arrives; what has not begun when this ends is cancelled."""
    try:
        for future in as_completed(futures):
            keep(futures[future], _result(future))
    finally:
        cancel(futures)


def cancel(futures: Iterable[Future[Outcome]]) -> None:
    """Take back what has not begun."""
    for future in futures:
        future.cancel()


def _result(future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except BrokenExecutor:
        raise
    except Exception:  # what cannot be pickled fails on the way, outside of the measurement
        return Outcome(failure=traceback.format_exc())
