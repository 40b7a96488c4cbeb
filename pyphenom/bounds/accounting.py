"""The formulas by which the value of a certificate follows from its entries."""

from __future__ import annotations

import math
from typing import Any

from pyphenom.bounds.disintegrated import rivasplata
from pyphenom.bounds.held_out import test_set
from pyphenom.bounds.ledger import DeltaTree, HeldOut, Layer, MonteCarlo, Union
from pyphenom.bounds.monte_carlo import independent_draws, shared_draws
from pyphenom.bounds.pac_bayes import maurer
from pyphenom.bounds.rows import Rows
from pyphenom.bounds.vote import vote_first_order

POINTS, DRAWS, BOTH = "draw of the points", "Monte Carlo", "draw of the points and of the network"


def test_set_value(held: HeldOut) -> float:
    """Return the test bound of a `HeldOut` from its own entries."""
    return float(test_set(held.errors, held.rows.count, held.delta))


test_set_value.__test__ = False  # type: ignore[attr-defined]


def risk_bound(draws: MonteCarlo, delta: DeltaTree, candidates: int = 1) -> float:
    """Return the upper bound on the empirical risk; it fails with the probability that `delta` sets aside for it."""
    if draws.scheme == "one network":  # its loss on the points is known
        return draws.mean
    share = delta.share(DRAWS) / candidates  # the draws of each may fail
    if draws.scheme == "independent":
        return float(independent_draws(draws.mean, draws.trials, share))
    return shared_draws([value / draws.n for value in draws.sums], share)


def price(unions: tuple[Union, ...]) -> float:
    """Return what all choices cost, in nats."""
    return math.fsum(union.nats for union in unions)


def values(
    predictor: str,
    layers: tuple[Layer, ...],
    rows: Rows,
    delta: DeltaTree,
    draws: MonteCarlo,
    unions: tuple[Union, ...],
) -> tuple[float, float, float]:
    """Return KL, bound on the empirical risk, and certificate."""
    kl = math.fsum(layer.kl for layer in layers)
    risk = risk_bound(draws, delta, math.prod(union.candidates for union in unions if union.draws))
    share = delta.share(BOTH if predictor == "sampled" else POINTS)
    bound: Any = {"gibbs": maurer, "vote": vote_first_order, "sampled": rivasplata}[predictor]
    return kl, risk, float(bound(risk, kl + price(unions), rows.count, share))


def budget(delta: float, predictor: str = "gibbs") -> DeltaTree:
    """Return a failure probability of which a tenth is set aside for the Monte-Carlo draws, where there are any."""
    DeltaTree("certificate", delta)  # what is wrong with delta is said of the whole, not of a share
    if predictor == "sampled":
        return DeltaTree("certificate", delta, (DeltaTree(BOTH, delta),))
    draws = 0.1 * delta
    return DeltaTree("certificate", delta, (DeltaTree(POINTS, delta - draws), DeltaTree(DRAWS, draws)))


def scaled(tree: DeltaTree, factor: float) -> DeltaTree:
    """Return the tree with every node times a factor."""
    return DeltaTree(tree.name, tree.delta * factor, tuple(scaled(part, factor) for part in tree.parts))
