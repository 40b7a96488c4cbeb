"""The unit of execution, caching and resumption, and the random streams it draws from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

Parameter: TypeAlias = bool | int | float | str
"""What a cell may be parametrised by: the scalars that JSON holds exactly."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One independent piece of work: an arm, its parameters, and a replicate.

    Two cells are equal if and only if their canonical JSON forms are, so ``1``, ``1.0`` and ``True`` are three
    different parameters.

    Parameters
    ----------
    arm : str
        The experimental condition, such as ``"ridgeless"``.
    parameters : mapping of str to bool, int, float or str
        What distinguishes this cell from the others of its arm. NumPy scalars are converted.
    replicate : int
        Index of the full set of random streams; at least 0.

    Raises
    ------
    TypeError
        If a parameter is not one of these scalars.
    ValueError
        If a float is not finite, or the replicate is negative.

    Examples
    --------
    >>> cell = Cell("ridgeless", {"n": 40, "aspect_ratio": 0.5}, replicate=0)
    >>> cell.canonical()
    '{"arm":"ridgeless","parameters":{"aspect_ratio":0.5,"n":40},"replicate":0}'
    >>> cell == Cell("ridgeless", {"aspect_ratio": 0.5, "n": 40}, replicate=0)
    True
    """

    arm: str
    parameters: Mapping[str, Parameter]
    replicate: int

    def __post_init__(self) -> None:
        if self.replicate < 0:
            raise ValueError(f"replicate: got {self.replicate}, expected an integer of at least 0")
        plain = {name: _scalar(name, value) for name, value in sorted(self.parameters.items())}
        object.__setattr__(self, "parameters", MappingProxyType(plain))
        object.__setattr__(self, "replicate", int(self.replicate))

    def canonical(self) -> str:
        """Return the one JSON text of this cell: sorted keys, shortest exact floats."""
        content = {"arm": self.arm, "parameters": dict(self.parameters), "replicate": self.replicate}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def __eq__(self, other: object) -> bool:
        return self.canonical() == other.canonical() if isinstance(other, Cell) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.canonical())

    def __reduce__(self) -> tuple[type[Cell], tuple[str, dict[str, Parameter], int]]:
        # A mapping proxy keeps the parameters read-only, but cannot cross to a worker process.
        return Cell, (self.arm, dict(self.parameters), self.replicate)

    def __str__(self) -> str:
        point = "".join(f" {name}={value}" for name, value in self.parameters.items())
        return f"{self.arm}{point} replicate={self.replicate}"


@dataclass(frozen=True)
class Streams:
    """Named independent random streams of one replicate of one study.

    The stream called ``name`` is a function of (root seed, study, replicate, name) and of nothing else: every arm
    and every point of a replicate sees the same ``"data"`` stream, which makes their differences paired, and a
    draw from one stream never moves another. The usual names are ``data``, ``label noise``, ``init``, ``order``,
    ``mask`` and ``projection``.

    Parameters
    ----------
    root_seed : int
        Seed of the whole run.
    study : str
        Name of the study.
    replicate : int
        Index of the replicate.

    Examples
    --------
    >>> streams = Streams(root_seed=0, study="toy", replicate=3)
    >>> bool(streams.rng("data").normal() == streams.rng("data").normal())
    True
    >>> bool(streams.rng("data").normal() == streams.rng("init").normal())
    False
    """

    root_seed: int
    study: str
    replicate: int

    def rng(self, name: str) -> np.random.Generator:
        """Return a generator at the start of the stream; keep it to draw on, a second call starts again.

        Many independent repetitions inside a cell come from ``streams.rng("data").spawn(repetitions)``.
        """
        return np.random.default_rng(self._sequence("rng", name))

    def seed(self, name: str) -> int:
        """Return a 64-bit seed for a generator that is not NumPy's, independent of ``rng(name)``."""
        return int(self._sequence("seed", name).generate_state(1, np.uint64)[0])

    def _sequence(self, use: str, name: str) -> np.random.SeedSequence:
        identity = json.dumps([self.root_seed, self.study, self.replicate, use, name])
        return np.random.SeedSequence(int.from_bytes(hashlib.sha256(identity.encode()).digest(), "little"))


def _scalar(name: str, value: object) -> Parameter:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"parameter {name!r}: got {value}, expected a finite number")
        return float(value) + 0.0  # -0.0 and 0.0 are equal, so they may not have two texts
    if isinstance(value, bool | int | str):
        return value
    raise TypeError(f"parameter {name!r}: got a {type(value).__name__}, expected bool, int, float or str")
