"""The answer of a theory of regression: an excess risk in two parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._checks import Values


@dataclass(frozen=True, eq=False, repr=False)
class Risk:
    r"""Excess risk :math:`R = E(f - \hat f)^2 = B + V` on fresh points; the label noise itself is not inside.

    Attributes
    ----------
    bias : float or array
        The part that remains without label noise, :math:`B`. It is the whole noise-free risk, so it includes the
        fluctuation over samples and over random features, not only the squared mean error.
    variance : float or array
        The part proportional to the variance of the label noise, :math:`V`.
    residual : float or array
        Relative residual of the fixed point behind the numbers; 0 for closed forms. About 1e-15 when all is well.

    Notes
    -----
    Fields are Python floats for scalar parameters and float64 arrays of the broadcast shape otherwise.
    ``inf`` marks the points where the theory diverges. The mean squared prediction error on noisy labels is
    ``total + noise_variance``.

    Examples
    --------
    >>> Risk(bias=0.5, variance=0.25)
    Risk(total=0.75, bias=0.5, variance=0.25, residual=0)
    """

    bias: Values
    variance: Values
    residual: Values = 0.0

    @property
    def total(self) -> Values:
        """Bias plus variance."""
        return self.bias + self.variance

    def to_dict(self) -> dict[str, Values]:
        """Return the total and the fields by name, ready for a table."""
        return {"total": self.total, "bias": self.bias, "variance": self.variance, "residual": self.residual}

    def __repr__(self) -> str:
        return describe("Risk", self.to_dict())


def describe(name: str, fields: dict[str, Values]) -> str:
    """Write a result on one line, long arrays shortened."""
    parts = (f"{key}={_short(value)}" for key, value in fields.items())
    return f"{name}({', '.join(parts)})"


def _short(value: Values) -> str:
    if isinstance(value, float):
        return f"{value:.8g}"
    return np.array2string(value, precision=6, threshold=8, edgeitems=2, separator=", ").replace("\n", "")
