import io

import numpy as np
import pytest
from rich.console import Console

from pyphenom.curvature.spectrum import spectrum
from pyphenom.report import draw_spectrum, save_figure, spectrum_table


@pytest.fixture
def found():
    return spectrum(np.diag([-1.0, 0.0, 0.0, 1.0, 2.0]), k=2, probes=3)


def test_the_figure_marks_the_outliers_over_a_logarithmic_density(found, tmp_path):
    canvas = draw_spectrum(found, "a title", "Hessian")
    (axes,) = canvas.axes
    markers = next(line for line in axes.lines if line.get_marker() == "v")
    assert markers.get_xdata() == pytest.approx([2.0, 1.0])
    assert (axes.get_yscale(), axes.get_xlabel(), axes.get_title()) == ("log", "eigenvalue of the Hessian", "a title")
    low, high = axes.get_ylim()
    assert low < found.curve.values.max() < high
    save_figure(canvas, tmp_path / "density.png")


def test_the_table_holds_the_numbers(found):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(spectrum_table(found, "a title"))
    text = console.export_text()
    for word in ("a title", "eigenvalue 2", "25.000%", "standard error"):
        assert word in text
