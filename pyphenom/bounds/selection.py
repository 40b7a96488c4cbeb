r"""What a choice after a look at the data costs: unions over lists, and over several bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyphenom.bounds import _checks
from pyphenom.bounds._checks import Values


def index_cost(index: ArrayLike) -> Values:
    r"""Nats that the j-th entry of a list fixed in advance costs, :math:`2\ln j+\ln\frac{\pi^2}6`.

    The weights :math:`6/(\pi^2j^2)` sum to one over j = 1, 2, ..., so the list may be endless. Add it to the relative
    entropy, once for every independent choice.

    Parameters
    ----------
    index : int or array of int
        j >= 1.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError, TypeError
        For an index < 1 or not whole.

    Examples
    --------
    >>> index_cost([1, 100])
    array([0.49770... , 9.70804...])
    """
    j = _checks.whole("index", index, 1, "a place in a list that starts at 1")
    return _checks.unwrap(2 * np.log(j) + math.log(math.pi**2 / 6))


@dataclass(frozen=True)
class Selection:
    """The least of several bounds, valid because each was computed with its own share of the failure probability.

    Attributes
    ----------
    value : float
        The least bound.
    name : str
        Which one it is.
    shares : dict of str to float
        The failure probability that each candidate was given; they sum to at most `delta`.
    values : dict of str to float
        Every candidate's bound.
    delta : float
        Failure probability of the selection.
    """

    value: float
    name: str
    shares: dict[str, float]
    values: dict[str, float]
    delta: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary."""
        return asdict(self)


def best_valid(
    bounds: Mapping[str, Callable[[float], float]], delta: float, shares: Mapping[str, float] | None = None
) -> Selection:
    r"""Least of several upper bounds, each computed with its share of delta: a choice after a look at the data, paid.

    Bound i fails with probability at most :math:`\delta_i`, so all hold at once, and with them the least, with
    probability at least :math:`1-\sum_i\delta_i\ge1-\delta`.

    Parameters
    ----------
    bounds : mapping of str to function
        Each takes its failure probability and returns its value.
    delta : float
        In (0, 1), for all together.
    shares : mapping of str to float, optional
        Fractions of delta, positive and of sum at most 1, fixed before the points are seen; equal by default.

    Returns
    -------
    Selection

    Raises
    ------
    ValueError, TypeError
        For no bounds, delta outside (0, 1), shares of other names, not positive, or with a sum above 1.

    Examples
    --------
    >>> from pyphenom.bounds import maurer, test_set
    >>> candidates = {"posterior": lambda d: maurer(0.02, 20, 898, d), "held out": lambda d: test_set(18, 898, d)}
    >>> chosen = best_valid(candidates, 0.05)
    >>> chosen.name, chosen.value, chosen.shares
    ('held out', 0.03149..., {'posterior': 0.025, 'held out': 0.025})
    """
    total = float(_checks.confidence("delta", delta))
    if not bounds:
        raise ValueError("`bounds` is empty; expected at least one named function of delta")
    fractions = dict.fromkeys(bounds, 1 / len(bounds)) if shares is None else dict(shares)
    if set(fractions) != set(bounds):
        raise ValueError(f"`shares` has {sorted(fractions)}; expected one share for each of {sorted(bounds)}")
    given = _checks.positive("shares", list(fractions.values()))
    if math.fsum(given) > 1 + 1e-12:
        raise ValueError(f"`shares` sums to {math.fsum(given):.17g}; expected at most 1. Divide them by their sum")
    deltas = {name: total * fraction for name, fraction in fractions.items()}
    values = {name: float(bound(deltas[name])) for name, bound in bounds.items()}
    name = min(values, key=lambda key: values[key])
    return Selection(values[name], name, deltas, values, total)
