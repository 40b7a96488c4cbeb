"""What the author of a study writes down: how to measure, what theory predicts, and what would contradict it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .cell import Cell, Streams
from .relations import Relation

Preset: TypeAlias = Literal["smoke", "quick", "full"]
"""Seconds, for continuous integration; some ten seconds on 2 cores; several times the replicates."""

PRESETS: tuple[Preset, ...] = get_args(Preset)

Statistic: TypeAlias = Callable[[pd.DataFrame], "pd.DataFrame | pd.Series | NDArray[np.float64]"]
"""Measured rows to one row per replicate and one column per point (one column, or a vector, for a scalar)."""

Target: TypeAlias = (
    float | tuple[float, float] | Callable[[pd.DataFrame], "pd.DataFrame | pd.Series | NDArray[np.float64] | float"]
)
"""A constant, a constant and its band, or a function of the predicted rows (a table: columns value and band)."""


@dataclass(frozen=True)
class Claim:
    """A sentence that the measurement can contradict.

    Parameters
    ----------
    id : str
        Short name, unique in its study.
    statement : str
        The sentence, with the reason for any margin.
    statistic : callable
        Measured rows to replicates by points, such as ``Select(...).measured``.
    relation : Relation
        What is said about the mean of the statistic; its docstring holds the decision rule.
    target : float, (float, float), or callable, optional
        The prediction: a constant, a constant with its band, or a function of the predicted rows such as
        ``Select(...).predicted``. Labelled predictions are matched to the points of the statistic by label, and may
        hold more points than were measured.
    kind : {"a priori", "conditional"}, optional
        Whether the prediction was computed from parameters alone, or from declared measured inputs.
    primary : bool, optional
        A secondary claim gets an interval and no verdict.
    protects : tuple of str, optional
        On a negative control: the claims that become void if the control shows the effect; all if empty.
    arms : tuple of str, optional
        The arms that the claim reads; all if empty. The statistic is given the rows of these arms only, and a failed
        cell or a NaN among them makes the claim void.
    quantities : tuple of str, optional
        The quantities that the claim reads; all if empty, with the same effect.
    """

    id: str
    statement: str
    statistic: Statistic
    relation: Relation
    target: Target = 0.0
    kind: Literal["a priori", "conditional"] = "a priori"
    primary: bool = True
    protects: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    quantities: tuple[str, ...] = ()

    def reads(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return those of the rows that the claim reads."""
        return _only(rows, arm=self.arms, quantity=self.quantities)


@dataclass(frozen=True)
class Guard:
    """A condition on the measurement without which a theory says nothing, such as training error 0.

    Parameters
    ----------
    id : str
        Short name, unique in its study.
    statement : str
        The condition.
    check : callable
        Measured rows to a boolean, or to those rows that violate the condition. Write ``~(error <= tolerance)`` for
        the violation, so that NaN violates.
    claims : tuple of str, optional
        The claims that become void where the guard fails; all if empty.
    arms : tuple of str, optional
        The arms whose rows the check is given; all if empty.
    """

    id: str
    statement: str
    check: Callable[[pd.DataFrame], bool | pd.DataFrame]
    claims: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()

    def violation(self, rows: pd.DataFrame) -> str | None:
        """Return where the condition fails, in words; None where it holds."""
        result = self.check(_only(rows, arm=self.arms))
        if not isinstance(result, pd.DataFrame):
            return None if bool(result) else self.statement
        if result.empty:
            return None
        row = result.iloc[0].drop(["study", "origin", "band"], errors="ignore").dropna()
        first = ", ".join(f"{name}={value}" for name, value in row.items())
        return f"{self.statement}: violated in {len(result)} rows, first at {first}"


@dataclass(frozen=True)
class Figure:
    """One panel: predicted line with band, measured points with intervals.

    Parameters
    ----------
    name : str
        Stem of the file.
    caption : str
        Title of the panel.
    quantity : str
        What is drawn on the vertical axis.
    x : str
        Point column of the horizontal axis; names stand side by side.
    x_label, y_label : str
        Axis labels, with units.
    arms : tuple of str, optional
        One line each; all if empty.
    x_scale, y_scale : {"linear", "log"}, optional
        Axis scales.
    x_limits : (float, float), optional
        What lies outside is left out, so that a peak beside a divergence can be seen.
    line : str, optional
        What the legend calls a predicted line, after its arm.
    """

    name: str
    caption: str
    quantity: str
    x: str
    x_label: str
    y_label: str
    arms: tuple[str, ...] = ()
    x_scale: Literal["linear", "log"] = "linear"
    y_scale: Literal["linear", "log"] = "linear"
    x_limits: tuple[float, float] = (-np.inf, np.inf)
    line: str = "theory"


@dataclass(frozen=True)
class Study:
    """One phenomenon: an analytic prediction, an experiment that can contradict it, and the rule that compares them.

    Parameters
    ----------
    name : str
        As on the command line, such as ``"double-descent"``.
    title, summary : str
        For people; one line, and one paragraph.
    references : tuple of str
        Papers, with equation numbers.
    version : str
        Version of claims, guards, controls and tolerances; printed in the report, never forces a new measurement.
    cell_version : str
        Version of ``measure``; a new one makes the stored rows of the old one unreachable.
    cells : callable
        Preset to the independent pieces of work.
    measure : callable
        Cell and streams to tidy rows with at least the columns ``quantity`` and ``value``, and with point columns of
        its own where it measures several points; the parameters of the cell are added as columns. A function at the
        top of a module, so that it can cross to a worker process.
    claims : tuple of Claim
        One to three primary ones.
    predict : callable, optional
        Cells and measured rows to predicted rows, with the columns ``arm``, ``quantity``, ``value``, the point
        columns, and ``band`` where the prediction has a stated error. Infinite where the theory diverges.
    guards : tuple of Guard, optional
        Conditions without which the theory says nothing.
    controls : tuple of Claim, optional
        Deliberately wrong theories, or conditions in which the phenomenon must vanish; expected REFUTED.
    figures : tuple of Figure, optional
        What to draw.
    depends_on : tuple of str, optional
        Importable modules and packages whose files enter the key of a cell, so that a changed kernel never replays
        the rows of the old one.
    deviations : tuple of str, optional
        What the experiment does otherwise than the papers it refers to, one sentence each; printed in the report.

    Raises
    ------
    ValueError
        If two claims share an id, or if a guard or a control names a claim that does not exist.
    """

    name: str
    title: str
    summary: str
    references: tuple[str, ...]
    version: str
    cell_version: str
    cells: Callable[[Preset], Sequence[Cell]]
    measure: Callable[[Cell, Streams], pd.DataFrame]
    claims: tuple[Claim, ...]
    predict: Callable[[Sequence[Cell], pd.DataFrame], pd.DataFrame] | None = None
    guards: tuple[Guard, ...] = ()
    controls: tuple[Claim, ...] = ()
    figures: tuple[Figure, ...] = ()
    depends_on: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = {claim.id for claim in self.claims}
        ids = Counter([*(c.id for c in self.claims + self.controls), *(guard.id for guard in self.guards)])
        if repeated := [name for name, times in ids.items() if times > 1]:
            raise ValueError(f"study {self.name!r}: the ids {repeated} are used more than once")
        named = {name for guard in self.guards for name in guard.claims}
        named |= {name for control in self.controls for name in control.protects}
        if unknown := sorted(named - known):
            raise ValueError(f"study {self.name!r}: no claim has the id {unknown}, expected among {sorted(known)}")

    def work(self, preset: Preset) -> tuple[Cell, ...]:
        """Return the cells of a preset, checked.

        Raises
        ------
        ValueError
            If the preset is unknown, has no cell, or lists the same cell twice.
        """
        if preset not in PRESETS:
            raise ValueError(f"preset: got {preset!r}, expected one of {PRESETS}")
        cells = tuple(self.cells(preset))
        if len(set(cells)) != len(cells) or not cells:
            raise ValueError(f"study {self.name!r}, preset {preset}: expected different cells, at least one")
        return cells


def _only(rows: pd.DataFrame, **names: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows with one of the names in each column; with any where no name is given."""
    masks = [rows[column].isin(wanted).to_numpy() for column, wanted in names.items() if wanted]
    return rows[np.logical_and.reduce(masks)] if masks else rows
