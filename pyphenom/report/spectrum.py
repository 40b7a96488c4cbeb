"""A spectrum as a table for a terminal, and as a figure."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure as Canvas
from rich.table import Table

from pyphenom.curvature.spectrum import Spectrum

from .figures import style


def spectrum_table(found: Spectrum, title: str) -> Table:
    """Return the largest eigenvalues with their residuals, the trace, and the negative share.

    Parameters
    ----------
    found : Spectrum
        What was measured.
    title : str
        Of the table.

    Returns
    -------
    rich.table.Table
    """
    table = Table(title=title, header_style="bold")
    for heading in ("quantity", "value", "error", "kind of error", "products"):
        table.add_column(heading, justify="left" if heading in ("quantity", "kind of error") else "right")
    top = found.top
    for i, (value, residual) in enumerate(zip(top.values, top.residuals, strict=True)):
        products = str(top.matvecs) if i == 0 else ""
        table.add_row(f"eigenvalue {i + 1}", f"{value:.6g}", f"{residual:.1e}", "true residual", products)
    table.add_section()
    trace, share = found.trace, found.negative_share
    table.add_row(
        "trace", f"{trace.value:.5g}", f"{trace.standard_error:.1e}", "standard error", str(found.quadrature.matvecs)
    )
    table.add_row(
        "negative share of the magnitudes", f"{share.value:.3%}", f"{share.standard_error:.1%}", "standard error", ""
    )
    return table


def draw_spectrum(found: Spectrum, title: str, operator: str = "operator") -> Canvas:
    """Draw the density on a logarithmic axis, with the outliers marked.

    Parameters
    ----------
    found : Spectrum
        What was measured.
    title : str
        Of the figure.
    operator : str, optional
        Whose eigenvalues they are, for the horizontal axis.

    Returns
    -------
    matplotlib.figure.Figure
    """
    curve, size = found.curve, found.quadrature.size
    one = 1.0 / (size * found.width * np.sqrt(2.0 * np.pi))  # the height of a single eigenvalue
    floor = 0.1 * one
    low, high = (np.maximum(curve.values + sign * curve.standard_errors, 0.1 * floor) for sign in (-1.0, 1.0))
    with style():
        canvas = Canvas()
        axes = canvas.add_subplot()
        axes.fill_between(curve.grid, low, high, color="C0", alpha=0.25, linewidth=0.0, label="± one standard error")
        axes.plot(curve.grid, np.maximum(curve.values, 0.1 * floor), color="C0", label="density")
        marked = found.top.values
        height = np.interp(marked, curve.grid, curve.values)
        axes.plot(marked, 1.6 * height, "v", color="C1", markersize=6, label=f"largest eigenvalues ({len(marked)})")
        axes.axhline(one, color="0.4", linestyle=":", linewidth=1.0, label="one eigenvalue")
        axes.set(title=title, xlabel=f"eigenvalue of the {operator}", ylabel="density", yscale="log")
        axes.set_ylim(floor, 5.0 * float(max(high.max(), one)))
        canvas.legend(loc="outside lower center", ncols=2)
    return canvas
