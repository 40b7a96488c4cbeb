from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pyphenom.report import draw
from pyphenom.studies import Figure

PLAIN = Figure("f", "Title", "q", "x", "parameters per sample", "excess risk")


def rows(x, values, arms=("a",)):
    return pd.concat(
        pd.DataFrame({"arm": arm, "x": x, "value": values, "quantity": "q", "origin": "predicted", "band": 0.0})
        for arm in arms
    )


NUMBERS = [1.0, 2.0, 3.0]
CASES = {
    "plain": (PLAIN, rows(NUMBERS, NUMBERS)),
    "many arms": (PLAIN, rows(NUMBERS, NUMBERS, [f"the arm number {k} with a long name" for k in range(7)])),
    "wide numbers": (PLAIN, rows([1e6 + 1, 1e6 + 2, 1e6 + 3], [0.123456, 0.1234561, 0.1234562])),
    "an exponent": (replace(PLAIN, caption=""), rows([1e-9, 2e-9], [1e-12, 3e-12])),
    "logarithmic": (replace(PLAIN, x_scale="log", y_scale="log"), rows([1e-3, 1.0, 1e3], [1e-9, 1.0, 1e9])),
    "names": (PLAIN, rows(["plain descent", "with a very long name", "weight decay"], NUMBERS)),
}


@pytest.mark.parametrize("dpi", [72, 150])
@pytest.mark.parametrize("case", CASES)
def test_every_label_is_inside_and_touches_no_other_part(case, dpi):
    canvas = draw(*CASES[case])
    canvas.set_dpi(dpi)
    canvas.draw_without_rendering()
    (axes,), (legend,), point = canvas.axes, canvas.legends, dpi / 72
    labels = [axes.xaxis.get_tightbbox(), axes.yaxis.get_tightbbox(), axes.bbox]
    if axes.get_title():
        labels.append(axes.title.get_window_extent())
    left, low = np.min([box.min for box in labels], axis=0)
    right, high = np.max([box.max for box in labels], axis=0)
    for room in (left, canvas.bbox.x1 - right, canvas.bbox.y1 - high, low - legend.get_window_extent().y1):
        assert room > 1.0 * point
    assert min(left, canvas.bbox.x1 - right) < 8.0 * point  # no room is wasted
    assert low - legend.get_window_extent().y1 < 4.0 * point


def test_axes_fill_what_their_labels_leave():
    # four digits at 10 points take more than 0.3 of 6 inches
    def width(values):
        canvas = draw(PLAIN, rows(NUMBERS, values))
        canvas.draw_without_rendering()
        return canvas.axes[0].get_position().width

    assert width([1.0, 5.0, 9.0]) > width([10000.0, 50000.0, 90000.0]) + 0.05
