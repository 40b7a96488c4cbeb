"""Whether a certificate was found again when everything was computed anew."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyphenom.bounds.certificate import Certificate


@dataclass(frozen=True)
class Check:
    """One entry of a certificate, recomputed.

    Attributes
    ----------
    name : str
    recorded, found : str
    passed : bool
    """

    name: str
    recorded: str
    found: str
    passed: bool


@dataclass(frozen=True, repr=False)
class Verification:
    """What `Certificate.verify` found.

    Attributes
    ----------
    checks : tuple of Check
    """

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every entry was found again."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary."""
        return {"passed": self.passed} | dataclasses.asdict(self)

    def __repr__(self) -> str:
        lines = [f"Verification: {'passed' if self.passed else 'FAILED'}"]
        for check in self.checks:
            mark = "ok    " if check.passed else "FAILED"
            change = check.recorded if check.recorded == check.found else f"{check.recorded}, found {check.found}"
            lines.append(f"  {mark} {check.name}: {change}")
        return "\n".join(lines)


def compared(first: Certificate, second: Certificate) -> Verification:
    """Compare the entries of a recorded certificate with those of one that was computed again.

    Parameters
    ----------
    first, second : Certificate

    Returns
    -------
    Verification
    """
    checks = [
        Check(name, _short(recorded), _short(found), recorded == found)
        for name, recorded, found in (
            ("rows of the bound", first.rows, second.rows),
            ("rows of the prior", first.prior.rows, second.prior.rows),
            ("prior's means", first.prior.means, second.prior.means),
            ("prior's scale", first.prior.scale, second.prior.scale),
            ("buffers", dict(first.prior.buffers), dict(second.prior.buffers)),
            ("posterior", first.posterior_digest, second.posterior_digest),
            ("saved weights", first.posterior_digest, first.posterior.digest() if first.posterior else "missing"),
            ("parameters", first.parameters, second.parameters),
        )
    ]
    # Sums of losses may differ by the rounding of another machine's matrix products.
    for name, recorded, found, tolerance in (
        ("KL", first.kl, second.kl, 1e-9 * max(1.0, first.kl)),
        ("mean loss of the draws", first.monte_carlo.mean, second.monte_carlo.mean, 1e-4),
        ("value", first.value, second.value, 1e-4),
        *(
            (f"test bound of {a.predictor}", a.value, b.value, 2.0 / a.rows.count)
            for a, b in zip(first.held_out, second.held_out, strict=True)
        ),
    ):
        checks.append(Check(name, f"{recorded:.9g}", f"{found:.9g}", bool(abs(recorded - found) <= tolerance)))
    return Verification(tuple(checks))


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) and len(value) == 64 else repr(value)
