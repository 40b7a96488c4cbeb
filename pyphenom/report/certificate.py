"""The parts of a certificate as a figure."""

from __future__ import annotations

from matplotlib.figure import Figure as Canvas

from pyphenom.bounds import Certificate

from .figures import COLOURS, style

_LABELS = {
    "loss in the draws": "loss in the draws, on the bound's points",
    "draws": "not all networks were drawn",
    "points": "only n points",
    "KL": "the posterior differs from the prior",
    "choices": "choices made with the points in sight",
    "vote": "the vote may double it",
}


def draw_certificate(found: Certificate, title: str) -> Canvas:
    """Draw what a certificate consists of, with the plain test bounds and a uniform guess as lines across.

    Parameters
    ----------
    found : Certificate
        What was certified.
    title : str
        Of the figure.

    Returns
    -------
    matplotlib.figure.Figure
    """
    below = 0.0
    with style():
        canvas = Canvas(figsize=(7.0, 3.6))
        axes = canvas.add_subplot()
        for (name, height), colour in zip(found.parts(), COLOURS, strict=False):
            label = f"{_LABELS[name]}: {'+' if below else ''}{height - below:.4f}"
            axes.barh(0, height - below, left=below, height=0.5, color=colour, label=label)
            below = height
        axes.text(below, 0.28, f" {found.value:.4f}", ha="center", va="bottom")
        if found.loss.kind == "zero-one":
            for held, line in zip(found.held_out, ("--", "-."), strict=False):
                label = f"test bound, {held.predictor}: {held.value:.4f}"
                axes.axvline(held.value, color="0.2", linestyle=line, linewidth=1.2, label=label)
        chance = found.loss.chance(found.classes)
        if chance < 2.0 * below:
            axes.axvline(chance, color="0.5", linestyle=":", linewidth=1.2, label=f"uniform guess: {chance:.4f}")
        name = "0-1 error" if found.loss.kind == "zero-one" else "bounded cross-entropy"
        axes.set(
            title=title, xlabel=f"{name}, bounded with probability {1 - found.delta.delta:g}", ylabel="parts", yticks=[]
        )
        axes.set(xlim=(0.0, None), ylim=(-0.5, 0.6))
        axes.grid(False, axis="y")
        canvas.legend(loc="outside lower center", ncols=2, fontsize=8)
    return canvas
