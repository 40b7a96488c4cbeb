"""The tidy table that measurements and predictions share, and how claims read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .cell import Cell

# What the engine writes; a measurement may not.
_RESERVED = frozenset({"study", "arm", "replicate", "origin", "band"})
_TAIL = ("replicate", "quantity", "value", "origin", "band")


@dataclass(frozen=True)
class Select:
    """One quantity, read as a table of replicates by points.

    Parameters
    ----------
    quantity : str
        Value of the column ``quantity``.
    arm : str, optional
        Value of the column ``arm``; every arm if empty.
    over : str or tuple of str, optional
        The point columns that tell the points apart; none for a scalar.
    where : callable, optional
        Rows to boolean mask, to narrow the choice further.

    Examples
    --------
    >>> rows = pd.DataFrame({"arm": "a", "width": [1, 2, 1, 2], "replicate": [0, 0, 1, 1], "quantity": "risk",
    ...                      "value": [1.0, 2.0, 3.0, 4.0]})
    >>> Select("risk", over="width").measured(rows).to_numpy().tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    >>> Select("risk", where=lambda rows: rows["width"] == 2).measured(rows).to_numpy().tolist()
    [[2.0], [4.0]]
    """

    quantity: str
    arm: str = ""
    over: str | tuple[str, ...] = ()
    where: Callable[[pd.DataFrame], pd.Series] | None = None

    def measured(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return one row per replicate and one column per point; nothing is averaged.

        Raises
        ------
        ValueError
            If nothing is selected, if two rows claim the same place, or if a replicate lacks a point.
        """
        points = self._points()
        chosen = self._choose(rows, ["replicate", *points])
        column: pd.Series = chosen.set_index(["replicate", *points])["value"]
        table = pd.DataFrame(column.unstack(points))  # noqa: PD010 - a pivot would sort and average
        if table.size != len(chosen):
            raise ValueError(
                f"{self}: {table.size - len(chosen)} of {table.size} (replicate, point) places have no row"
            )
        return table

    def predicted(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the columns ``value`` and ``band``, one row per point.

        Raises
        ------
        ValueError
            If nothing is selected, or if two rows claim the same point.
        """
        return self._choose(rows, self._points()).set_index(self._points())[["value", "band"]]

    def _points(self) -> list[str]:
        # A scalar has one point, which its own name labels in both tables.
        return [self.over] if isinstance(self.over, str) else list(self.over) or ["quantity"]

    def _choose(self, rows: pd.DataFrame, places: list[str]) -> pd.DataFrame:
        mask = rows["quantity"] == self.quantity
        if self.arm:
            mask &= rows["arm"] == self.arm
        if self.where is not None:
            mask &= self.where(rows)
        chosen = rows[mask]
        if chosen.empty:
            there = [
                f"{name} {', '.join(map(repr, rows[name].unique()))}" for name in ("quantity", "arm") if name in rows
            ]
            raise ValueError(f"{self}: no row is selected; the rows have the {' and the '.join(there)}")
        repeated = chosen[chosen.duplicated(places, keep=False)]
        if not repeated.empty:
            varying = [name for name in repeated if repeated[name].nunique() > 1]  # noqa: PD101
            raise ValueError(
                f"{self}: several rows for the same {places}; among those, {varying} vary: "
                "name the arm, add a column to over=, or narrow the choice with where="
            )
        return chosen


def measured_rows(study: str, cell: Cell, rows: pd.DataFrame) -> pd.DataFrame:
    """Check what a measurement returned, and add the columns that the engine knows.

    The parameters of the cell become point columns, unless the measurement wrote a column of that name. Floats
    become float64 and integers int64, so that rows from the store equal rows just measured.

    Parameters
    ----------
    study : str
        Name of the study.
    cell : Cell
        The cell that was measured.
    rows : DataFrame
        At least the columns ``quantity`` and ``value``.

    Returns
    -------
    DataFrame

    Raises
    ------
    TypeError
        If ``rows`` is not a DataFrame, or holds something other than numbers, booleans and text.
    ValueError
        If a column is missing or reserved, or if there is no row.
    """
    if not isinstance(rows, pd.DataFrame):
        raise TypeError(f"measure: got a {type(rows).__name__}, expected a pandas.DataFrame")
    _require(rows, "measure", ("quantity", "value"), _RESERVED)
    if rows.empty:
        raise ValueError("measure: got no rows, expected at least one")
    points: dict[str, Any] = {name: value for name, value in cell.parameters.items() if name not in rows}
    points |= {str(name): _plain(str(name), column) for name, column in rows.items()}
    replicate = pd.array([cell.replicate] * len(rows), dtype="Int64")
    engine = {"replicate": replicate, "quantity": points.pop("quantity"), "value": points.pop("value")}
    engine |= {"origin": "measured", "band": 0.0}
    # In the order of _TAIL, in which the table is built at once: there are thousands of cells.
    return pd.DataFrame({"study": study, "arm": cell.arm} | points | engine, index=pd.RangeIndex(len(rows)))


def predicted_rows(study: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Check what a prediction returned, and add the columns that the engine knows.

    Parameters
    ----------
    study : str
        Name of the study.
    rows : DataFrame
        At least the columns ``arm``, ``quantity`` and ``value``; ``band`` is 0 if absent.

    Returns
    -------
    DataFrame

    Raises
    ------
    ValueError
        If a column is missing or reserved, or if a band is negative or NaN.
    """
    _require(rows, "predict", ("arm", "quantity", "value"), _RESERVED - {"arm", "band"})
    band = rows["band"] if "band" in rows else pd.Series(0.0, index=rows.index)
    if not (band >= 0.0).all():
        raise ValueError("predict: a band is negative or NaN")
    replicate = pd.Series(pd.NA, index=rows.index, dtype="Int64")
    table = rows.assign(study=study, replicate=replicate, origin="predicted", band=band.astype(np.float64))
    return _ordered(table.astype({"value": np.float64}))


def join(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Stack tables of rows; a point column that an arm does not have is missing there.

    Examples
    --------
    >>> join([]).columns.tolist()
    ['study', 'arm', 'replicate', 'quantity', 'value', 'origin', 'band']
    """
    return _ordered(pd.concat(tables, ignore_index=True)) if tables else pd.DataFrame(columns=["study", "arm", *_TAIL])


def _require(rows: pd.DataFrame, who: str, needed: tuple[str, ...], reserved: frozenset[str]) -> None:
    if missing := [name for name in needed if name not in rows]:
        raise ValueError(f"{who}: the columns {missing} are missing, got {list(rows.columns)}")
    if written := sorted(reserved & set(rows)):
        raise ValueError(f"{who}: the columns {written} are written by the engine, expected other names")


def _plain(name: str, column: pd.Series) -> np.ndarray:
    if name == "value":
        return column.to_numpy(dtype=np.float64)
    values = column.to_numpy()
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    if values.dtype.kind == "b":
        return values
    if all(isinstance(value, str) for value in values):
        return values
    raise TypeError(f"measure: column {name!r} has dtype {column.dtype}, expected numbers, booleans or text")


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    points = [name for name in rows if name not in {"study", "arm", *_TAIL}]
    return rows[["study", "arm", *points, *_TAIL]]
