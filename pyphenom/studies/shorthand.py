"""Short ways to write what most studies write: rows of some quantities, and claims and guards about one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from .relations import Relation
from .rows import Select
from .study import Claim, Guard


def tidy(quantities: Mapping[str, Any], **points: Any) -> pd.DataFrame:
    """Return the rows of some quantities, each at the same points.

    Parameters
    ----------
    quantities : mapping of str to number or sequence of numbers
        One value, or one for each point.
    **points : number or sequence
        Point columns by name, such as ``width=(1, 2, 3)``.

    Returns
    -------
    DataFrame
        With the point columns, ``quantity`` and ``value``.

    Raises
    ------
    ValueError
        If a quantity has neither one value nor one for each point.

    Examples
    --------
    >>> tidy({"train": [0.2, 0.1], "test": [0.4, 0.3]}, width=(8, 16))
       width quantity  value
    0      8    train    0.2
    1     16    train    0.1
    2      8     test    0.4
    3     16     test    0.3
    """
    length = max((np.size(place) for place in points.values()), default=1)
    values = [np.asarray(np.full(length, value) if np.ndim(value) == 0 else value) for value in quantities.values()]
    if any(np.ndim(place) for place in points.values()) and any(len(value) != length for value in values):
        sizes = {name: len(value) for name, value in zip(quantities, values, strict=True)}
        raise ValueError(f"quantities must have one value or one for each of {length} points, got {sizes}")
    names = np.repeat(np.array(list(quantities), dtype=object), [len(value) for value in values])
    # One frame: putting together one for each quantity costs more than most small cells.
    columns = {name: place if np.ndim(place) == 0 else np.tile(place, len(values)) for name, place in points.items()}
    return pd.DataFrame({**columns, "quantity": names, "value": np.concatenate(values)})


def claim_about(
    id: str,
    select: Select,
    relation: Relation,
    statement: str,
    *,
    theory: str = "",
    by: Callable[[pd.DataFrame], Any] | None = None,
    **options: Any,
) -> Claim:
    """Return a claim about one quantity, which reads its arm and no other rows.

    Parameters
    ----------
    id, statement : str
        Of the claim.
    select : Select
        The quantity, its arm and its points.
    relation : Relation
        What is said about it.
    theory : str, optional
        The predicted quantity that is the target, at the same points of the same arm.
    by : callable, optional
        What is done with the table of replicates by points before it is judged.
    **options
        Further fields of the claim. Without an arm in ``select``, ``arms`` says which are read.

    Returns
    -------
    Claim

    Examples
    --------
    >>> from pyphenom.studies import Greater
    >>> claim = claim_about("rises", Select("error", "noisy"), Greater(), "the error is positive", theory="bound")
    >>> claim.arms, claim.quantities
    (('noisy',), ('error', 'bound'))
    """

    def statistic(rows: pd.DataFrame) -> Any:
        table = select.measured(rows)
        return table if by is None else by(table)

    if theory:
        options["target"] = replace(select, quantity=theory).predicted
    fields: dict[str, Any] = {
        "arms": (select.arm,) if select.arm else (),
        "quantities": tuple(dict.fromkeys(name for name in (select.quantity, theory) if name)),
    }
    return Claim(id, statement, statistic, relation, **(fields | options))


def guard_values(
    id: str,
    statement: str,
    quantity: str,
    holds: Callable[[pd.Series], Any],
    claims: tuple[str, ...] = (),
    arms: tuple[str, ...] = (),
) -> Guard:
    """Return a guard on every value of a quantity.

    Parameters
    ----------
    id, statement : str
        Of the guard.
    quantity : str
        What it looks at.
    holds : callable
        Values to booleans, False for NaN.
    claims, arms : tuple of str, optional
        As for :class:`Guard`.

    Returns
    -------
    Guard

    Examples
    --------
    >>> guard = guard_values("fits", "no error is left", "error", lambda error: error <= 0.0)
    >>> guard.violation(tidy({"error": [0.0, 0.1, np.nan]}))
    'no error is left: violated in 2 rows, first at quantity=error, value=0.1'
    """

    def violated(rows: pd.DataFrame) -> pd.DataFrame:
        chosen = rows[rows["quantity"] == quantity]
        return pd.DataFrame(chosen[~holds(chosen["value"])])

    return Guard(id, statement, violated, claims, arms)
