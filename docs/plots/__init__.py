"""Figures of the theory pages: predictions as lines, small simulations as points; drawn anew in every build.

Each function that takes a canvas draws one figure on it, and the page of that figure shows its source.
"""

import inspect
from functools import partial

from matplotlib.figure import Figure

from pyphenom.report import save_figure, style
from pyphenom.studies.executors import cores, process_pool

from . import classification, interpolation, kernels, linear_regression, networks

CHAPTERS = (linear_regression, kernels, interpolation, classification, networks)


def save(folder, function):
    """Draw one figure into a folder."""
    with style():
        canvas = Figure(figsize=(10.0, 4.6))
        function(canvas)
        save_figure(canvas, folder / f"{function.__name__}.png")


def draw(folder):
    """Draw every figure into a folder, on all cores."""
    folder.mkdir(parents=True, exist_ok=True)
    functions = [function for chapter in CHAPTERS for _, function in inspect.getmembers(chapter, inspect.isfunction)]
    figures = [function for function in functions if list(inspect.signature(function).parameters) == ["canvas"]]
    with process_pool(min(cores(), len(figures))) as pool:
        list(pool.map(partial(save, folder), figures))
