"""The command line: list the studies, run one, validate all of them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

# pandas, SciPy and matplotlib take a second to import: the commands that need them import them.
if TYPE_CHECKING:
    from concurrent.futures import Executor

    from pyphenom.studies import StudyResult
    from pyphenom.studies.runner import Progress

app = typer.Typer(
    help="For each phenomenon of deep learning: a prediction, an experiment that can contradict it, and a verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

AS_EXPECTED, NOT_AS_EXPECTED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


class PresetName(str, Enum):
    """Size of an experiment."""

    smoke = "smoke"
    quick = "quick"
    full = "full"


PresetOption = Annotated[
    PresetName, typer.Option("--preset", help="Seconds, about a minute per study, or the size of the paper.")
]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", min=0, help="Worker processes; 0 takes one per core.")]
DaskOption = Annotated[str, typer.Option(metavar="ADDRESS", help="Scheduler of a Dask cluster to measure on.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Root of all random streams.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", file_okay=False, help="Where results are written.")]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Measure again the cells that are already stored.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON, and nothing else, on stdout.")]

_OUTPUT = Path("pyphenom-results")


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Print the version if asked; the commands do the rest."""
    if version:
        print(_version())
        raise typer.Exit


@app.command("list")
def list_studies() -> None:
    """List the installed studies."""
    from pyphenom.report.tables import study_table
    from pyphenom.studies import BrokenStudy, Study, available, load

    studies: dict[str, Study | Exception] = {}
    for name in available():
        try:
            studies[name] = load(name)
        except BrokenStudy as error:
            studies[name] = error
    _console().print(study_table(studies))


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="As in the list.")],
    preset: PresetOption = PresetName.quick,
    jobs: JobsOption = 0,
    dask: DaskOption = "",
    seed: SeedOption = 0,
    output: OutputOption = _OUTPUT,
    fresh: FreshOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run one study, and compare what it measures with what theory predicts."""
    _run([name], preset, _executor(jobs, dask), seed, output, fresh, as_json)


@app.command()
def validate(
    preset: PresetOption = PresetName.quick,
    jobs: JobsOption = 0,
    dask: DaskOption = "",
    seed: SeedOption = 0,
    output: OutputOption = _OUTPUT,
    fresh: FreshOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run all studies, and decide all their claims as one family."""
    from pyphenom.studies import available

    if not (names := available()):
        _stop("no study is installed", WRONG_USAGE)
    _run(names, preset, _executor(jobs, dask), seed, output, fresh, as_json)


def _run(
    names: Sequence[str],
    preset: PresetName,
    executor: AbstractContextManager[Executor | None],
    seed: int,
    output: Path,
    fresh: bool,
    as_json: bool,
) -> None:
    try:
        complaints, as_expected = _judge(names, preset, executor, seed, output, fresh, as_json)
    except KeyboardInterrupt as interrupt:
        _stop(f"stopped: {interrupt}" if str(interrupt) else "stopped", INTERRUPTED)
    for complaint in complaints:
        _complain(complaint)
    if complaints or not as_expected:
        raise typer.Exit(NOT_AS_EXPECTED)


def _judge(
    names: Sequence[str],
    preset: PresetName,
    where: AbstractContextManager[Executor | None],
    seed: int,
    output: Path,
    fresh: bool,
    as_json: bool,
) -> tuple[list[str], bool]:
    """Return what went wrong, and whether all verdicts are as expected."""
    from pyphenom.report import save
    from pyphenom.studies import BrokenStudy, Store, UnknownStudy, WorkerLost, compare, conclude, load, measure

    store = Store(Path(os.environ.get("PYPHENOM_STORE") or output / "cells"))
    studies, complaints, comparisons = [], [], []
    for name in names:
        try:
            studies.append(load(name))
        except UnknownStudy as error:
            _stop(str(error), WRONG_USAGE)
        except BrokenStudy as error:
            complaints.append(str(error))
    with where as executor, _progress() as progress:
        for study in studies:
            try:
                comparisons.append(compare(measure(study, preset.value, executor, store, seed, progress, fresh)))
            except (ValueError, ImportError) as error:  # the other studies of the run are still judged
                complaints.append(str(error))
            except WorkerLost as error:  # and with it the pool
                return [*complaints, str(error)], False
    results = conclude(comparisons)
    if as_json:
        _print_json(results, complaints)
    else:
        _print_table(results)
    for result in results:
        try:
            save(result, output)
        except ValueError as error:  # a figure with nothing to draw is no reason to lose those of other studies
            complaints.append(f"{result.study.name}: {error}")
    if not as_json:
        print(f"rows, verdicts and figures are in {output}")
    return complaints, all(result.as_expected for result in results)


def _print_json(results: Sequence[StudyResult], errors: Sequence[str]) -> None:
    everything = {
        "pyphenom": _version(),
        "as_expected": not errors and all(result.as_expected for result in results),
        "errors": list(errors),
        "studies": [result.to_dict() for result in results],
    }
    print(json.dumps(everything, indent=2, allow_nan=False))


def _console() -> Console:
    """Return the console for tables; a file or a pipe has no width, so rows get the room that they need."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def _print_table(results: Sequence[StudyResult]) -> None:
    from pyphenom.report.tables import remarks, verdict_table

    console = _console()
    console.print(verdict_table(results))
    for line in remarks(results):
        console.print(line, markup=False)


@contextmanager
def _executor(jobs: int, dask: str) -> Iterator[Executor | None]:
    from pyphenom.studies.executors import cores, dask_cluster, process_pool

    if dask and jobs:
        _stop("--jobs and --dask were both given; expected one of them", WRONG_USAGE)
    jobs = jobs or cores()
    if dask:
        try:
            with dask_cluster(dask) as executor:
                yield executor
        except (ConnectionError, ModuleNotFoundError) as error:
            _stop(str(error), WRONG_USAGE)
    elif jobs == 1:
        yield None
    else:
        with process_pool(jobs) as pool:
            yield pool


@contextmanager
def _progress() -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, int] = {}

        def show(study: str, done: int, total: int) -> None:
            task = tasks.setdefault(study, -1)
            if task < 0:
                task = tasks[study] = bars.add_task(study, total=total)
            bars.update(task, completed=done)  # type: ignore[arg-type]

        yield show


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pyphenom")
    except PackageNotFoundError:
        return "not installed"


def _complain(message: str) -> None:
    Console(stderr=True).print(f"[red]error:[/red] {escape(message)}", highlight=False, soft_wrap=True)


def _stop(message: str, status: int) -> NoReturn:
    _complain(message)
    raise typer.Exit(status)
