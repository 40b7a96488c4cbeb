"""The commands on studies: list them, plan a run, run one, validate all of them, report what was found."""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyphenom.cli.terminal import (
    INCOMPLETE,
    NOT_AS_EXPECTED,
    OUTPUT,
    WRONG_USAGE,
    OutputOption,
    SeedOption,
    app,
    check_writable,
    complain,
    package_version,
    progress_bars,
    stop,
    stopped,
    terminal,
)

# pandas, SciPy and matplotlib take a second to import: the commands that need them import them.
if TYPE_CHECKING:
    from concurrent.futures import Executor

    from pyphenom.studies import Plan, Store, Study, StudyResult


class PresetName(str, Enum):
    """Size of an experiment."""

    smoke = "smoke"
    quick = "quick"
    full = "full"


PresetOption = Annotated[
    PresetName, typer.Option("--preset", help="Seconds, some ten seconds per study, or several times the replicates.")
]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", min=0, help="Worker processes; 0 takes one per core.")]
DaskOption = Annotated[str, typer.Option(metavar="ADDRESS", help="Scheduler of a Dask cluster to measure on.")]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Measure again the cells that are already stored.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON, and nothing else, on stdout.")]
BudgetOption = Annotated[
    float | None, typer.Option(metavar="MINUTES", min=0.0, help="Begin no further cell after so many minutes.")
]
NamesArgument = Annotated[list[str] | None, typer.Argument(help="As in the list; all studies by default.")]


@app.command("list")
def list_studies() -> None:
    """List the installed studies."""
    from pyphenom.report.tables import study_table
    from pyphenom.studies import BrokenStudy, available, load

    studies: dict[str, Study | Exception] = {}
    for name in available():
        try:
            studies[name] = load(name)
        except BrokenStudy as error:
            studies[name] = error
    terminal().print(study_table(studies))


@app.command()
def plan(
    names: NamesArgument = None,
    preset: PresetOption = PresetName.quick,
    jobs: JobsOption = 0,
    seed: SeedOption = 0,
    output: OutputOption = OUTPUT,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure, and keep, one cell of each arm that was never timed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plans as JSON, and nothing else.")] = False,
) -> None:
    """Say what a run would measure, and how long that takes; nothing is measured unless --calibrate asks for it."""
    from pyphenom.report.tables import plan_table
    from pyphenom.studies import plan as planned
    from pyphenom.studies.executors import cores

    jobs, store = jobs or cores(), _store(output)
    studies, complaints = _load(names or _installed())
    try:
        plans = [planned(study, preset.value, store, seed) for study in studies]
        if calibrate:
            complaints += _calibrate(plans, min(jobs, cores()), store)
            plans = [planned(study, preset.value, store, seed) for study in studies]
    except (ValueError, ImportError, OSError) as error:
        stop(str(error), NOT_AS_EXPECTED)
    except KeyboardInterrupt as interrupt:
        stopped(interrupt)
    if as_json:
        print(json.dumps([found.to_dict(jobs) for found in plans], indent=2, allow_nan=False))
    else:
        console = terminal()
        console.print(plan_table(plans, jobs))
        if any(found.untimed for found in plans):
            console.print("unknown: no such cell was ever timed; --calibrate measures one of each arm, and keeps it")
    for complaint in complaints:
        complain(complaint)
    if complaints:
        raise typer.Exit(NOT_AS_EXPECTED)


def _calibrate(plans: Sequence[Plan], jobs: int, store: Store) -> list[str]:
    """Measure one cell of each untimed arm where a run would measure it, and return what went wrong."""
    from pyphenom.studies import WorkerLost, measure

    complaints: list[str] = []
    names = [found.study.name for found in plans]
    with _executor(jobs, "", names) as executor, progress_bars() as progress:
        for found in plans:
            if not found.untimed:
                continue
            try:
                failures = measure(found.probes(), found.preset, executor, store, found.seed, progress).failures
            except WorkerLost as error:
                return [*complaints, str(error)]
            complaints += [f"{found.study.name}, failed cell {failure}" for failure in failures]
    return complaints


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="As in the list.")],
    preset: PresetOption = PresetName.quick,
    jobs: JobsOption = 0,
    dask: DaskOption = "",
    seed: SeedOption = 0,
    output: OutputOption = OUTPUT,
    fresh: FreshOption = False,
    budget: BudgetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run one study, and compare what it measures with what theory predicts."""
    _run(_Request([name], preset, seed, output, fresh, budget, as_json), _executor(jobs, dask, [name]))


@app.command()
def validate(
    preset: PresetOption = PresetName.quick,
    jobs: JobsOption = 0,
    dask: DaskOption = "",
    seed: SeedOption = 0,
    output: OutputOption = OUTPUT,
    fresh: FreshOption = False,
    budget: BudgetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run all studies, and decide all their claims as one family."""
    names = _installed()
    _run(_Request(names, preset, seed, output, fresh, budget, as_json), _executor(jobs, dask, names))


@app.command()
def report(
    names: NamesArgument = None,
    preset: PresetOption = PresetName.quick,
    seed: SeedOption = 0,
    output: OutputOption = OUTPUT,
    as_json: JsonOption = False,
) -> None:
    """Judge the studies whose cells are all stored, as one family, and write the report; nothing is measured."""
    _run(_Request(names or _installed(), preset, seed, output, False, 0.0, as_json), nullcontext())


@dataclass(frozen=True)
class _Request:
    names: Sequence[str]
    preset: PresetName
    seed: int
    output: Path
    fresh: bool
    budget: float | None  # in minutes
    as_json: bool


@dataclass(frozen=True)
class _Outcome:
    results: Sequence[StudyResult]
    incomplete: Sequence[Plan]
    complaints: Sequence[str]


def _run(request: _Request, where: AbstractContextManager[Executor | None]) -> None:
    if request.fresh and request.budget is not None:
        stop("--fresh and --budget were both given, which would begin anew each time; expected one", WRONG_USAGE)
    check_writable(request.output)
    try:
        outcome = _judge(request, where)
    except KeyboardInterrupt as interrupt:
        stopped(interrupt)

    from pyphenom.report import command
    from pyphenom.studies.planning import duration

    for complaint in outcome.complaints:
        complain(complaint)
    for left in outcome.incomplete:
        seconds = left.seconds()
        rest = "the rest takes an unknown time" if seconds is None else f"the rest is {duration(seconds)} of one worker"
        counts = f"{left.stored} of {left.cells} cells are stored, {rest}"
        complain(f"{left.study.name} is not judged: {counts}; to go on: {command(left, request.output)}", "incomplete")
    if outcome.complaints or not all(result.as_expected for result in outcome.results):
        raise typer.Exit(NOT_AS_EXPECTED)
    if outcome.incomplete:
        raise typer.Exit(INCOMPLETE)


def _judge(request: _Request, where: AbstractContextManager[Executor | None]) -> _Outcome:
    """Measure and judge the studies, print the verdicts, and write the files."""
    started = time.monotonic()
    waiting, comparisons, incomplete = [], [], []
    with where as executor, progress_bars() as progress:
        with _garbage_ignored():  # the workers start meanwhile
            from concurrent.futures import BrokenExecutor

            from pyphenom.report import images, save, to_dict, write_report
            from pyphenom.studies import BudgetSpent, WorkerLost, begin, compare, conclude

            studies, complaints = _load(request.names)
        store = _store(request.output)
        try:
            for study in studies:
                budget = request.budget and max(0.0, 60.0 * request.budget - (time.monotonic() - started))
                with _complained(complaints):
                    waiting.append(
                        begin(
                            study, request.preset.value, executor, store, request.seed, progress, request.fresh, budget
                        )
                    )
            for finish in waiting:
                with _complained(complaints):
                    try:
                        comparisons.append(compare(finish()))
                    except BudgetSpent as spent:
                        incomplete.append(spent.plan)
        except (WorkerLost, OSError) as error:  # and with it the pool, or the store
            return _Outcome((), (), [*complaints, str(error)])
        results = conclude(comparisons)
        try:
            drawn = images(results, executor)
        except BrokenExecutor:  # a worker was lost; nothing that was measured is
            drawn = images(results)
    if request.as_json:
        content = {"pyphenom": package_version()} | to_dict(results, incomplete, complaints)
        print(json.dumps(content, indent=2, allow_nan=False))
    elif results:
        _print_table(results)
        if incomplete:
            print(f"decided as one family: {', '.join(result.study.name for result in results)}")
    for result in results:
        try:
            save(result, request.output, drawn)
        except ValueError as error:  # a figure with nothing to draw is no reason to lose those of other studies
            complaints.append(f"{result.study.name}: {error}")
    if results:  # otherwise an earlier report says more
        page = write_report(results, request.output, incomplete, complaints, drawn)
        if not request.as_json:
            print(f"rows, verdicts and figures are in {request.output}, the report is {page}")
    return _Outcome(results, incomplete, complaints)


@contextmanager
def _complained(complaints: list[str]) -> Iterator[None]:
    """Note an error of one study: the others of the run are still judged."""
    try:
        yield
    except (ValueError, ImportError) as error:
        complaints.append(str(error))


def _load(names: Sequence[str]) -> tuple[list[Study], list[str]]:
    """Return the studies of these names, and what is wrong with those that cannot be loaded."""
    from pyphenom.studies import BrokenStudy, UnknownStudy, load

    studies: list[Study] = []
    complaints: list[str] = []
    for name in names:
        try:
            studies.append(load(name))
        except UnknownStudy as error:
            stop(str(error), WRONG_USAGE)
        except BrokenStudy as error:
            complaints.append(str(error))
    return studies, complaints


def _installed() -> Sequence[str]:
    from pyphenom.studies import available

    if not (names := available()):
        stop("no study is installed", WRONG_USAGE)
    return names


def _store(output: Path) -> Store:
    from pyphenom.studies import Store

    return Store(Path(os.environ.get("PYPHENOM_STORE") or output / "cells"))


def _print_table(results: Sequence[StudyResult]) -> None:
    from pyphenom.report.tables import remarks, summary, verdict_table

    console = terminal()
    console.print(verdict_table(results))
    for line in remarks(results):
        console.print(line, markup=False)
    console.print(summary(results), markup=False)


def _import(names: Sequence[str]) -> None:
    """Import studies in a worker, which will measure their cells; what is wrong with one is said where it is loaded."""
    from pyphenom.studies import load

    with _garbage_ignored():
        for name in names:
            with suppress(Exception):
                load(name)
    gc.freeze()  # what is imported stays


@contextmanager
def _garbage_ignored() -> Iterator[None]:
    """Import without looking for garbage all the while, which would take a sixth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _executor(jobs: int, dask: str, names: Sequence[str]) -> Iterator[Executor | None]:
    from pyphenom.studies.executors import cores, dask_cluster, process_pool

    if dask and jobs:
        stop("--jobs and --dask were both given; expected one of them", WRONG_USAGE)
    jobs = jobs or cores()
    if dask:
        try:
            with dask_cluster(dask) as executor:
                yield executor
        except (ConnectionError, ModuleNotFoundError) as error:
            stop(str(error), WRONG_USAGE)
    elif jobs == 1:
        yield None
    else:
        with process_pool(jobs, partial(_import, names)) as pool:
            yield pool
