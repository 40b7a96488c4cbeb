"""The entries of a certificate: shares of delta, origin of the prior, Monte-Carlo draws. Each checks itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyphenom._arrays import one_of
from pyphenom.bounds.rows import Rows

SCHEMES = ("independent", "shared", "one network")
PREDICTORS = {
    "gibbs": (
        "Gibbs network: weights drawn anew for every prediction; neither its mean network nor its vote",
        "PAC-Bayes-kl with the exact moment",
        "Langford and Seeger 2001; Maurer 2004, Theorem 5",
    ),
    "vote": (
        "vote: the class that most networks of the posterior choose; not its mean network",
        "twice PAC-Bayes-kl with the exact moment",
        "Langford and Shawe-Taylor 2002; Maurer 2004, Theorem 5",
    ),
    "sampled": (
        "sampled network: the one that was drawn once from the posterior, and no other",
        "disintegrated PAC-Bayes-kl with the exact moment",
        "Rivasplata, Kuzborskij, Szepesvári and Shawe-Taylor 2020, Theorem 1",
    ),
}
"""Of whom a certificate speaks, what was proved, and by whom."""
ORIGINS = ("train", "continue", "given")
LOSSES = ("zero-one", "cross-entropy")


@dataclass(frozen=True)
class DeltaTree:
    """Where a failure probability goes: by the union bound the parts of a node sum to at most its own.

    Attributes
    ----------
    name : str
        What may fail.
    delta : float
        With which probability, in (0, 1).
    parts : tuple of DeltaTree
        What it is spent on.

    Raises
    ------
    ValueError
        For a delta outside (0, 1), two parts of one name, or parts that sum to more than their node.

    Examples
    --------
    >>> tree = DeltaTree("certificate", 0.05, (DeltaTree("points", 0.045), DeltaTree("draws", 0.005)))
    >>> tree.share("draws")
    0.005
    >>> print(tree)
    0.05 = 0.045 (points) + 0.005 (draws)
    """

    name: str
    delta: float
    parts: tuple[DeltaTree, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 < self.delta < 1.0:
            raise ValueError(
                f"`delta` of {self.name!r} is {self.delta}; expected a probability of failure strictly between 0 and 1"
            )
        spent = math.fsum(part.delta for part in self.parts)
        if not spent <= self.delta * (1 + 1e-12):
            raise ValueError(
                f"the parts of `delta` under {self.name!r} sum to {spent:.17g}; expected at most {self.delta:.17g}, "
                "which is what there is to spend"
            )
        if len({part.name for part in self.parts}) < len(self.parts):
            raise ValueError(f"two parts of `delta` under {self.name!r} have one name; expected each event once")

    def share(self, name: str) -> float:
        """Return the delta of the node of this name.

        Parameters
        ----------
        name : str

        Returns
        -------
        float

        Raises
        ------
        KeyError
            If there is none.
        """
        if name == self.name:
            return self.delta
        for part in self.parts:
            try:
                return part.share(name)
            except KeyError:
                continue
        raise KeyError(name)

    def __str__(self) -> str:
        parts = [f"{part.delta:g} ({part.name})" for part in self.parts]
        return f"{self.delta:g}" + (f" = {' + '.join(parts)}" if parts else "")


@dataclass(frozen=True)
class Union:
    """A choice made with the points in sight, and its price.

    Attributes
    ----------
    what : str
        Was chosen.
    candidates : int
        Of how many, fixed in advance and of equal weight. The price is its logarithm, added to the KL.
    draws : bool
        Whether each candidate had Monte-Carlo draws of its own, which get equal shares of their delta. Not so for
        priors that are compared for one posterior.
    """

    what: str
    candidates: int
    draws: bool = True

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ValueError(f"`candidates` is {self.candidates}; expected at least 1, the one that was taken")

    @property
    def nats(self) -> float:
        """What the choice costs."""
        return math.log(self.candidates)


@dataclass(frozen=True)
class Loss:
    r"""Which loss the certificate bounds.

    Attributes
    ----------
    kind : {"zero-one", "cross-entropy"}
        The latter bounded: :math:`\min(-\ln p_y, L)/L` with :math:`L=\ln(1/p_{min})`.
    floor : float or None
        :math:`p_{min}` of the bounded cross-entropy.
    """

    kind: str
    floor: float | None = None

    def __post_init__(self) -> None:
        one_of("loss", self.kind, LOSSES)
        if self.kind == "cross-entropy" and not (self.floor is not None and 0.0 < self.floor < 1.0):
            raise ValueError(f"`floor` is {self.floor}; expected the least probability of a class, in (0, 1)")

    def chance(self, classes: int) -> float:
        """Return the loss of a uniform guess among so many classes."""
        if self.floor is None or self.kind == "zero-one":
            return 1.0 - 1.0 / classes
        return min(1.0, math.log(classes) / -math.log(self.floor))

    def __str__(self) -> str:
        return "0-1 error" if self.kind == "zero-one" else f"cross-entropy bounded by probabilities >= {self.floor:g}"


@dataclass(frozen=True)
class Layer:
    """Share of one parameter tensor in the KL.

    Attributes
    ----------
    name : str
    parameters : int
        Number of its entries.
    kl : float
        In nats; for a sampled network the logarithm of the density ratio at it, which may be negative.
    """

    name: str
    parameters: int
    kl: float


@dataclass(frozen=True)
class Provenance:
    """Where the prior comes from.

    Attributes
    ----------
    origin : {"train", "continue", "given"}
        Its means were trained from a new initialisation, trained on from given weights, or are given weights.
    rows : Rows or None
        The rows of the data that its means and buffers have seen; none for a prior that saw no data.
    scale : float
        Standard deviation of every parameter.
    seed : int
        Of initialisation and training.
    means : str
        SHA-256 of its means.
    buffers : dict of str to str
        SHA-256 of each buffer: running statistics and other state outside the KL, fixed with the prior.
    """

    origin: str
    rows: Rows | None
    scale: float
    seed: int
    means: str
    buffers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("origin", self.origin, ORIGINS)
        if not (self.scale > 0.0 and math.isfinite(self.scale)):
            raise ValueError(f"`scale` is {self.scale}; expected a finite standard deviation > 0")


@dataclass(frozen=True)
class MonteCarlo:
    r"""The draws behind the empirical risk.

    Attributes
    ----------
    scheme : {"independent", "shared", "one network"}
        Fresh weights for every example of every pass; one network for a whole pass; or the single network that is
        certified itself, whose loss on the points is known.
    sums : tuple of float
        Sum of the loss over the n points, one for each pass.
    n : int
        Points of a pass.
    seed : int
        Of the stream, which training did not use.
    training_seed : int
        Of the stream that training used.
    generator : str
        What draws.
    """

    scheme: str
    sums: tuple[float, ...]
    n: int
    seed: int
    training_seed: int
    generator: str

    def __post_init__(self) -> None:
        one_of("scheme", self.scheme, SCHEMES)
        if not self.sums:
            raise ValueError("`sums` is empty; expected the summed loss of at least one pass")
        if not all(0.0 <= value <= self.n for value in self.sums):
            bad = next(value for value in self.sums if not 0.0 <= value <= self.n)
            raise ValueError(f"`sums` holds {bad}; expected numbers in [0, {self.n}], the points of a pass")
        if self.seed == self.training_seed:
            raise ValueError(
                f"`seed` is {self.seed}, which training used too; expected another stream, for weights that were "
                "fitted to their own noise score too well with it"
            )

    @property
    def passes(self) -> int:
        """Number of passes over the points."""
        return len(self.sums)

    @property
    def trials(self) -> int:
        """Number of independent trials: examples times passes, or passes where each has one network."""
        return self.n * self.passes if self.scheme == "independent" else self.passes

    @property
    def mean(self) -> float:
        """Mean loss."""
        return math.fsum(self.sums) / (self.n * self.passes)


@dataclass(frozen=True)
class HeldOut:
    """A test bound: for one network, on points that it has not seen.

    Attributes
    ----------
    predictor : str
        Which network.
    errors : int
        Points that it gets wrong.
    rows : Rows
        The points.
    delta : float
        Probability of failure of this bound alone.
    value : float
        Upper bound on its true error, by inversion of the binomial tail.
    """

    predictor: str
    errors: int
    rows: Rows
    delta: float
    value: float
