"""How a certificate's networks are trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pyphenom._arrays import as_integer, as_real


@dataclass(frozen=True)
class Training:
    """Settings of the training of prior and posterior; none of them enters the proof of a certificate.

    Attributes
    ----------
    prior_epochs, epochs : int
        Of the prior, and of the posterior. 0 leaves what there is.
    prior_learning_rate : float
        Of Adam on the cross-entropy.
    learning_rate, momentum : float
        Of stochastic gradient descent on the surrogate of the bound.
    batch : int
        Points of a minibatch, in both.
    floor : float
        Least probability in the bounded cross-entropy of the surrogate.

    Raises
    ------
    ValueError, TypeError
        For numbers outside their ranges.

    Examples
    --------
    >>> Training(epochs=5).epochs
    5
    """

    prior_epochs: int = 50
    epochs: int = 20
    prior_learning_rate: float = 1e-3
    learning_rate: float = 5e-3
    momentum: float = 0.9
    batch: int = 100
    floor: float = 1e-5

    def __post_init__(self) -> None:
        for name, low in (("prior_epochs", 0), ("epochs", 0), ("batch", 2)):
            as_integer(name, getattr(self, name), low)
        for name in ("prior_learning_rate", "learning_rate", "momentum", "floor"):
            as_real(name, getattr(self, name))
        if not (self.momentum < 1.0 and 0.0 < self.floor < 1.0):
            raise ValueError(f"`momentum` is {self.momentum}, `floor` {self.floor}; expected them in [0, 1) and (0, 1)")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary."""
        return asdict(self)
