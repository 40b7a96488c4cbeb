"""What the panels of all figures share."""

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter


def tidy(x, errors):
    """Return errors (replicates, points) as the rows that `measurement` draws."""
    replicates, points = errors.shape
    index = np.repeat(np.arange(replicates), points)
    return pd.DataFrame({"x": np.tile(x, replicates), "replicate": index, "value": errors.ravel()})


def finish(axes, title, x_label, y_label, x_scale="log", y_scale="log"):
    """Write titles, readable ticks, and the legend below the curves."""
    axes.set(title=title, xlabel=x_label, ylabel=y_label, xscale=x_scale, yscale=y_scale)
    for axis, scale, (low, high) in ((axes.xaxis, x_scale, axes.get_xlim()), (axes.yaxis, y_scale, axes.get_ylim())):
        if scale == "log" and high < 1000 * low:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=8)
