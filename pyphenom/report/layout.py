"""Room for the labels, the title and the legend of a figure with one pair of axes."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import LayoutEngine
from matplotlib.transforms import Bbox

_PAD = 3.0  # points between the parts, as in matplotlib's constrained layout
_LINE = 13.0  # points above the axes, where the exponent of the ticks stands


class Snug(LayoutEngine):
    """The axes as large as they can be above the legend of the figure, which stands at its lower edge.

    Matplotlib's constrained layout comes to the same place by solving linear constraints, after two rounds of
    measuring. With one pair of axes one round is enough: labels along the horizontal axis are of the same height
    wherever its ticks are, and the vertical axis is measured once its length is known.
    """

    _adjust_compatible = True
    _colorbar_gridspec = True

    def execute(self, fig: Canvas) -> None:
        """Place the axes of a figure that has one pair of them and one legend."""
        (axes,), (legend,) = fig.axes, fig.legends
        point, right, top = fig.dpi / 72.0, fig.bbox.x1, fig.bbox.y1
        pad = _PAD * point
        box = _placed(axes, 0.12 * right, 0.3 * top, 0.98 * right, 0.9 * top)
        below = axes.xaxis.get_tightbbox(for_layout_only=True) or box
        above = max(axes.title.get_window_extent().y1 - box.y1, _LINE * point)
        low = legend.get_window_extent().y1 + pad + box.y0 - min(below.y0, box.y0)
        wide, left = right - pad - max(below.x1 - box.x1, 0.0), box.x0 - below.x0
        box = _placed(axes, box.x0, low, wide, top - pad - above)
        beside = axes.yaxis.get_tightbbox(for_layout_only=True) or box
        _placed(axes, pad + max(left, box.x0 - beside.x0), low, wide, box.y1)


def _placed(axes: Axes, left: float, low: float, right: float, high: float) -> Bbox:
    """Put axes where they are wanted in pixels, and return their place."""
    whole = axes.figure.bbox
    axes.set_position(Bbox.from_extents(left / whole.x1, low / whole.y1, right / whole.x1, high / whole.y1))
    return axes.bbox.frozen()
