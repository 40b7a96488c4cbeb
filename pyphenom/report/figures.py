"""Prediction and measurement on one pair of axes: theory is a line, measurement is points with intervals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike
from pandas.api.types import is_numeric_dtype

from pyphenom.studies import Figure, Select
from pyphenom.studies.inference import critical, summarise

from .files import write
from .layout import Snug

# Okabe and Ito's colours, told apart under every common form of colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

_STYLE: Any = {
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.grid": True,
    "figure.constrained_layout.use": True,
    "figure.figsize": (6.0, 4.0),
    "font.size": 10,
    "grid.alpha": 0.3,
    "legend.framealpha": 0.9,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "savefig.dpi": 150,
    "svg.hashsalt": "pyphenom",  # the same figure is the same file
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the house style inside the block; matplotlib's settings return to what they were after it."""
    with mpl.rc_context(_STYLE):
        yield


def theory(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    band: ArrayLike = 0.0,
    label: str = "",
    colour: str = "C0",
    line: str = "theory",
) -> None:
    """Draw a prediction as a line with its band, broken by a vertical line where it diverges.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    x, y : array_like of shape (K,)
        The curve, in any order; infinite where the theory diverges.
    band : array_like of shape (K,) or float, optional
        Stated error of the prediction.
    label : str, optional
        For the legend.
    colour : str, optional
        Of line and band.
    line : str, optional
        What the legend calls it, after the label.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    order = np.argsort(x)
    x, y, band = x[order], y[order], np.broadcast_to(np.asarray(band, dtype=np.float64), y.shape)[order]
    drawn = np.where(np.isfinite(y), y, np.nan)
    axes.plot(x, drawn, color=colour, label=f"{label} {line}".strip())
    if np.any(band > 0.0):
        axes.fill_between(x, drawn - band, drawn + band, color=colour, alpha=0.2, linewidth=0.0)
    for place in x[np.isinf(y)]:
        divergence(axes, float(place))


def measurement(
    axes: Axes, rows: pd.DataFrame, x: str, label: str = "", colour: str = "C0", diverges_at: ArrayLike = ()
) -> None:
    """Draw the mean over replicates at each point, with its 95 % interval if there are two replicates or more.

    A point with a value that is not finite is left out: a mean over the others would hide it.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    rows : DataFrame
        Measured rows of one quantity, one for each replicate at each point.
    x : str
        Point column of the horizontal axis.
    label : str, optional
        For the legend.
    colour : str, optional
        Of the points.
    diverges_at : array_like, optional
        Places where the theory is infinite. No mean exists there for the replicates to approach, so the median is
        drawn, hollow, with the quartiles.

    Raises
    ------
    ValueError
        If a replicate has several rows at a point.
    """
    if rows.duplicated([x, "replicate"]).any():
        raise ValueError(f"a replicate has several rows at the same {x!r}: the arm has other points to tell apart")
    groups = {place: group.to_numpy(np.float64)[:, None] for place, group in rows.groupby(x)["value"]}
    groups = {place: values for place, values in groups.items() if np.isfinite(values).all()}
    infinite = [place for place in groups if place in np.asarray(diverges_at)]
    style: Any = {"fmt": "o", "markersize": 4, "capsize": 2.5, "color": colour, "zorder": 3}

    samples = {place: summarise(values) for place, values in groups.items() if place not in infinite}
    counts = sorted({sample.n for sample in samples.values()})
    replicates = " to ".join(map(str, dict.fromkeys(counts[:1] + counts[-1:])))
    half = [critical(0.05, s.n) * s.standard_error[0] if s.n > 1 else np.nan for s in samples.values()]
    axes.errorbar(
        np.array(list(samples), dtype=np.float64),
        [sample.mean[0] for sample in samples.values()],
        yerr=None if np.isnan(half).all() else half,
        label=f"{label} measured, {replicates} {'replicate' if replicates == '1' else 'replicates'}".strip(),
        **style,
    )
    if infinite:
        quartiles = np.array([np.quantile(groups[place], [0.25, 0.5, 0.75]) for place in infinite]).T
        error = [quartiles[1] - quartiles[0], quartiles[2] - quartiles[1]]
        places = np.array(infinite, dtype=np.float64)
        name = "median, quartiles"
        known = name in axes.get_legend_handles_labels()[1]
        axes.errorbar(places, quartiles[1], yerr=error, markerfacecolor="white", label=None if known else name, **style)


def divergence(axes: Axes, x: float) -> None:
    """Mark a place where the theory diverges; the legend says so once.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    x : float
        The place.
    """
    known = "theory diverges" in axes.get_legend_handles_labels()[1]
    axes.axvline(x, color="0.4", linestyle="--", linewidth=1.0, label=None if known else "theory diverges")


def draw(figure: Figure, rows: pd.DataFrame) -> Canvas:
    """Draw a declared figure from the rows of a result.

    Where the horizontal axis holds names they stand side by side, in the order of the rows, with theory a bar at each.

    Parameters
    ----------
    figure : Figure
        What its study declares.
    rows : DataFrame
        Measured and predicted rows of that study.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is nothing to draw, or if several rows claim the same place.
    """
    rows, names = _placed(rows[rows["quantity"] == figure.quantity], figure.x)
    rows = rows[rows[figure.x].between(*figure.x_limits)] if figure.x in rows else rows[:0]  # a missing place is not
    arms = figure.arms or tuple(dict.fromkeys(rows["arm"]))
    if rows.empty:
        raise ValueError(f"figure {figure.name!r}: no rows of {figure.quantity!r} over {figure.x!r}")
    with style():
        canvas = Canvas(layout=Snug())
        axes = canvas.add_subplot()
        axes.set(title=figure.caption, xlabel=figure.x_label, ylabel=figure.y_label)
        axes.set(xscale=figure.x_scale, yscale=figure.y_scale)
        for index, arm in enumerate(arms):
            colour, label = COLOURS[index % len(COLOURS)], arm if len(arms) > 1 else ""
            here = rows[rows["arm"] == arm]
            if names:  # arms side by side, not one upon the other
                here = here.assign(**{figure.x: here[figure.x] + (index - (len(arms) - 1) / 2) * 0.5 / len(arms)})
            predicted, measured = here[here["origin"] == "predicted"], here[here["origin"] == "measured"]
            infinite: ArrayLike = ()
            if len(predicted):
                curve = Select(figure.quantity, over=figure.x).predicted(predicted)
                infinite = curve.index[np.isinf(curve["value"])]
                curve = _bars(curve, 0.2 / len(arms)) if names else curve
                theory(axes, curve.index, curve["value"], curve["band"], label, colour, figure.line)
            if len(measured):
                measurement(axes, measured, figure.x, label, colour, infinite)
        if names:
            axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
        low, high = axes.get_xlim()
        if figure.x_scale == "log" and high < 1000 * low:  # 50, 100, 200, ... are easier to read than powers of ten
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        entries = axes.get_legend_handles_labels()[1]
        # Inside it would cover points; two columns of more letters would not fit.
        columns = 2 if max(map(len, entries)) <= 36 else 1
        canvas.legend(loc="lower center", ncols=columns)
        more = -(-len(entries) // columns) - 3
        canvas.set_figheight(canvas.get_figheight() + 0.2 * max(0, more))  # inches a line: the axes keep their height
    return canvas


def _placed(rows: pd.DataFrame, x: str) -> tuple[pd.DataFrame, list[str]]:
    """Return rows with names in a column replaced by 0, 1, ..., and the names; rows with numbers as they are."""
    if x not in rows or rows.empty or is_numeric_dtype(rows[x]):
        return rows, []
    places, names = pd.factorize(rows[x])
    return rows.assign(**{x: np.where(places < 0, np.nan, places)}), [str(name) for name in names]


def _bars(curve: pd.DataFrame, half: float) -> pd.DataFrame:
    """Return a curve that is level around each point, and broken between them."""
    ends = [curve.set_index(curve.index + step) for step in (-half, half)]
    gaps = curve.assign(value=np.nan).set_index(curve.index + 2 * half)
    return pd.concat([*ends, gaps])


def save_figure(canvas: Canvas, path: Path) -> None:
    """Save a figure in the format that the suffix names: PNG at 150 dots per inch, SVG, or PDF.

    Parameters
    ----------
    canvas : matplotlib.figure.Figure
        With a label on every axis.
    path : Path
        Its folder is made if it does not exist.

    Raises
    ------
    ValueError
        If an axis has no label.
    """
    check_labels(canvas, path.name)
    write(path, rendered(canvas, path.suffix[1:]))


def check_labels(canvas: Canvas, name: str) -> None:
    """Raise ValueError if an axis has no label."""
    for axes in canvas.axes:
        if not (axes.get_xlabel() and axes.get_ylabel()):
            raise ValueError(f"{name}: an axis has no label")


def rendered(canvas: Canvas, format: str) -> bytes:
    """Return the content of a file in the format ``"png"``, ``"svg"`` or ``"pdf"``: of the same figure, the same."""
    buffer = BytesIO()
    with style():
        if format == "png":
            _print_png(canvas, buffer)
        else:
            # No date inside.
            metadata: Any = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(format)
            canvas.savefig(buffer, format=format, metadata=metadata)
    return buffer.getvalue()


def _print_png(canvas: Canvas, buffer: BytesIO) -> None:
    """Write what savefig would, which goes through all artists twice: once to place them, and once to draw them."""
    shown, dpi = canvas.canvas, canvas.get_dpi()
    try:
        canvas.set_dpi(mpl.rcParams["savefig.dpi"])
        png: Any = FigureCanvasAgg(canvas)
        png.print_png(buffer, pil_kwargs={"compress_level": 2})  # half the time of the default, 7 % larger
    finally:
        canvas.set_dpi(dpi)
        canvas.set_canvas(shown)
