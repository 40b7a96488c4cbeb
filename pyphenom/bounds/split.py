"""How the rows of the data are shared out between prior, bound and test: at random, never by what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pyphenom._arrays import as_real
from pyphenom.bounds.rows import Indices, distinct


@dataclass(frozen=True, eq=False)
class Parts:
    """Row numbers, sorted, of which no two parts share one.

    Attributes
    ----------
    prior, bound, test : array of int
        Rows that the prior may see, that the bound is scored on, and that only a test bound uses.
    """

    prior: Indices
    bound: Indices
    test: Indices


def split(rows: int, prior: str, prior_rows: Any, prior_fraction: float, test_fraction: float, seed: int) -> Parts:
    """Share out the rows by a random permutation, not by class: a stratified sample is not independent.

    Parameters
    ----------
    rows : int
        How many there are.
    prior : {"train", "continue", "given"}
        With "given" the prior's part is `prior_rows`; otherwise rows are added to them up to `prior_fraction`.
    prior_rows : array of int or None
        Rows that the given weights have seen.
    prior_fraction, test_fraction : float
        Shares of all rows.
    seed : int

    Returns
    -------
    Parts

    Raises
    ------
    ValueError, TypeError
        For shares outside [0, 1), rows not named where they have to be, or fewer than two rows left for the bound.

    Examples
    --------
    >>> parts = split(10, "train", None, 0.5, 0.2, 0)
    >>> len(parts.prior), len(parts.bound), len(parts.test)
    (5, 3, 2)
    """
    for name, value in (("prior_fraction", prior_fraction), ("test_fraction", test_fraction)):
        if not as_real(name, value) < 1.0:
            raise ValueError(f"`{name}` is {value}; expected a share of the rows in [0, 1)")
    if prior == "train" and prior_rows is not None:
        raise ValueError(
            "`prior_rows` names rows that the given weights have seen, but prior='train' draws new ones; expected "
            "None. Pass prior='continue' or 'given' to use the weights"
        )
    if prior != "train" and prior_rows is None:
        raise ValueError(
            f"prior={prior!r} uses the weights of `model`, and `prior_rows` does not say which rows of X they have "
            "seen, in training or in any choice; expected their numbers, [] if none"
        )
    seen = distinct("prior_rows", () if prior_rows is None else prior_rows, rows)
    if len(seen) == rows:
        raise ValueError(
            f"`prior_rows` names all {rows} rows: a prior that has seen them all leaves none for the bound. "
            "Pass prior='train', for one that is trained on some of them"
        )
    rest = np.setdiff1d(np.arange(rows), seen)
    shuffled = np.random.default_rng(seed).permutation(rest)
    tested = round(test_fraction * rows)
    more = 0 if prior == "given" else max(0, round(prior_fraction * rows) - len(seen))
    test, added, bound = np.split(shuffled, [tested, tested + more]) if tested + more < len(rest) else (rest[:0],) * 3
    taken = len(seen) + more + tested
    if len(bound) < 2:
        raise ValueError(
            f"of {rows} rows, prior and test take {min(taken, rows)}; expected 2 or more that are left for the bound. "
            "Give more rows, or lower `prior_fraction` or `test_fraction`"
        )
    return Parts(np.sort(np.concatenate([seen, added])), np.sort(bound), np.sort(test))
