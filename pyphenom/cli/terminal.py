"""What all commands share: the application, exit statuses, options, tables, progress bars, and how to stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

app = typer.Typer(
    help="For each phenomenon of deep learning: a prediction, an experiment that can contradict it, and a verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

AS_EXPECTED, NOT_AS_EXPECTED, WRONG_USAGE, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130
OUTPUT = Path("pyphenom-results")


SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Root of all random streams.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", file_okay=False, help="Where results are written.")]


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Print the version if asked; the commands do the rest."""
    if version:
        print(package_version())
        raise typer.Exit


def terminal() -> Console:
    """Return the console for tables; a file or a pipe has no width, so rows get the room that they need."""
    return Console() if sys.stdout.isatty() else Console(width=160)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each name that the function given is called with: (name, done, total), total 0 if unknown."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    # A refresh takes 6 ms: ten a second, as by default, would be a twentieth of a core.
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total or None)
            bars.update(tasks[name], completed=done, total=total or None)

        yield show


def package_version() -> str:
    """Return the version of the installed package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pyphenom")
    except PackageNotFoundError:
        return "not installed"


def complain(message: str, kind: str = "error") -> None:
    """Print a complaint on standard error."""
    Console(stderr=True).print(f"[red]{kind}:[/red] {escape(message)}", highlight=False, soft_wrap=True)


def stop(message: str, status: int) -> NoReturn:
    """Complain, and end with a status."""
    complain(message)
    raise typer.Exit(status)


def check_writable(output: Path) -> None:
    """Stop where no results can be written: before the work, which would be lost."""
    place = output.absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        reason = "cannot be written to" if place.is_dir() else "is no folder"
        stop(f"--output is {str(output)!r}, and {str(place)!r} {reason}; expected a folder to write to", WRONG_USAGE)


def stopped(interrupt: KeyboardInterrupt) -> NoReturn:
    """End after Ctrl-C."""
    stop(f"stopped: {interrupt}" if str(interrupt) else "stopped", INTERRUPTED)
