"""The printed account of a certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyphenom.bounds.ledger import PREDICTORS, MonteCarlo, Provenance
from pyphenom.bounds.rows import Rows

if TYPE_CHECKING:
    from pyphenom.bounds.certificate import Certificate

_SCHEMES = {
    "independent": "fresh weights for every example of every pass",
    "shared": "one network for all points of a pass; a pass is one trial",
    "one network": "the network itself",
}
_ORIGINS = {
    "train": "trained from a new initialisation",
    "continue": "trained on from given weights",
    "given": "given weights",
}


def account(found: Certificate) -> str:
    """Return everything that a certificate rests on, as lines of text.

    Parameters
    ----------
    found : Certificate

    Returns
    -------
    str
    """
    draws, width = found.monte_carlo, max(len(layer.name) for layer in found.layers)
    name = "density ratio" if found.predictor == "sampled" else "KL"
    unions = ", ".join(f"{u.what}, one of {u.candidates}: {u.nats:.3f} nats" for u in found.unions) or "none"
    entries = [
        ("theorem", f"{found.theorem} ({found.reference})"),
        ("predictor", PREDICTORS[found.predictor][0]),
        ("network", found.model),
        ("loss", f"{found.loss}, {found.classes} classes; a uniform guess has {found.loss.chance(found.classes):.4g}"),
        ("points", _rows(found.rows, "n = ")),
        ("risk", _risk(found)),
        ("Monte Carlo", _draws(draws)),
        (
            name,
            f"{found.kl:.4f} nats over {found.parameters} parameters",
        ),
        *(("", f"{layer.name:{width}}  {layer.parameters:>9}  {layer.kl:12.4f}") for layer in found.layers),
        ("unions", unions),
        ("delta", str(found.delta)),
        ("prior", _prior(found.prior)),
    ]
    head = f"Certificate: {found.loss.kind} loss <= {found.value:.6f} with probability >= {1 - found.delta.delta:g}"
    lines = [head + (", VACUOUS: no better than a uniform guess" if found.vacuous else "")]
    lines += [f"  {name:13} {text}" for name, text in entries]
    for held in found.held_out:
        lines.append(
            f"Test bound: 0-1 error <= {held.value:.6f} with probability >= {1 - held.delta:g}, for {held.predictor}"
        )
        lines.append(f"  {'points':13} {held.errors} errors in {_rows(held.rows)}")
    lines.append("Each bound holds by itself; best_valid() pays for the choice between them.")
    return "\n".join(lines)


def _risk(found: Certificate) -> str:
    if found.predictor == "sampled":
        return f"{found.risk_bound:.6f} on the points, exactly"
    return f"{found.monte_carlo.mean:.6f} in the draws, at most {found.risk_bound:.6f} on the points"


def _rows(rows: Rows, head: str = "") -> str:
    text = f"{head}{rows.count} rows, indices {rows.indices[:12]}, contents {rows.contents[:12]}"
    if rows.repeated:
        text += f"; {rows.repeated} occur more than once, and count only if the source repeats itself"
    return text


def _draws(draws: MonteCarlo) -> str:
    passes = "1 pass" if draws.passes == 1 else f"{draws.passes} passes"
    trials = "1 independent trial" if draws.trials == 1 else f"{draws.trials} independent trials"
    return f"{passes}, {trials}: {_SCHEMES[draws.scheme]}; {draws.generator}, stream {draws.seed}"


def _prior(prior: Provenance) -> str:
    if prior.rows is None:
        seen = "no row of these data"
        origin = "a new initialisation" if prior.origin == "train" else _ORIGINS[prior.origin]
    else:
        seen, origin = _rows(prior.rows), _ORIGINS[prior.origin]
    buffers = f"{len(prior.buffers)} buffers, frozen with it" if prior.buffers else "no buffers"
    return f"N(w0, {prior.scale:g}^2), w0 {origin}, {prior.means[:12]}; has seen {seen}; {buffers}"
