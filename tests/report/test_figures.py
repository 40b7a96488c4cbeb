from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import image
from matplotlib.figure import Figure as Canvas
from scipy import stats

from pyphenom.report import divergence, draw, measurement, save_figure, style, theory
from pyphenom.studies import Figure

FIGURE = Figure("risk", "Risk", "risk", "ratio", "parameters per sample", "excess risk", y_scale="log")


def rows(arms=("a",), diverges=False):
    ratios, table = (0.5, 1.0, 2.0), []
    for arm in arms:
        for ratio in ratios:
            value = np.inf if diverges and ratio == 1.0 else ratio
            table.append({"arm": arm, "ratio": ratio, "origin": "predicted", "value": value, "band": 0.1 * ratio})
            for replicate in range(4):
                place = {"arm": arm, "ratio": ratio, "origin": "measured", "replicate": replicate, "band": 0.0}
                table.append(place | {"value": ratio + 0.1 * replicate})
    return pd.DataFrame(table).assign(quantity="risk", study="s")


def legend(axes):
    (found,) = axes.figure.legends  # beside the curves
    return [text.get_text() for text in found.get_texts()]


def test_theory_is_a_line_and_measurement_is_points_with_intervals():
    (axes,) = draw(FIGURE, rows()).axes
    assert legend(axes) == ["theory", "measured, 4 replicates"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("parameters per sample", "excess risk")
    assert axes.get_yscale() == "log"
    line, points = axes.get_lines()[:2]
    np.testing.assert_allclose(line.get_ydata(), [0.5, 1.0, 2.0])
    np.testing.assert_allclose(points.get_ydata(orig=False), [0.65, 1.15, 2.15])
    assert points.get_linestyle() == "None"
    low, high = axes.collections[-1].get_segments()[0][:, 1]
    half = stats.t.isf(0.025, 3) * stats.sem([0.5, 0.6, 0.7, 0.8])
    np.testing.assert_allclose([low, high], [0.65 - half, 0.65 + half])


def test_a_divergence_breaks_the_line_and_is_marked_once():
    (axes,) = draw(FIGURE, rows(("a", "b"), diverges=True)).axes
    assert legend(axes).count("theory diverges") == 1
    assert np.isnan(axes.get_lines()[0].get_ydata()[1])
    assert [line.get_xdata() for line in axes.get_lines() if line.get_label() == "theory diverges"] == [[1.0, 1.0]]
    assert "b measured, 4 replicates" in legend(axes)


def test_the_median_stands_where_the_theory_has_no_mean():
    (axes,) = draw(FIGURE, rows(diverges=True)).axes
    assert legend(axes)[-1] == "median, quartiles"
    (both,) = draw(FIGURE, rows(("a", "b"), diverges=True)).axes
    assert legend(both).count("median, quartiles") == 1
    hollow = [line for line in axes.get_lines() if line.get_markerfacecolor() == "white"]
    assert [list(line.get_xdata(orig=False)) for line in hollow] == [[1.0]]
    np.testing.assert_allclose(hollow[0].get_ydata(orig=False), [1.15])


def test_arms_have_colours_of_their_own():
    (axes,) = draw(FIGURE, rows(("a", "b", "c"))).axes
    lines = [line for line in axes.get_lines() if line.get_label().endswith("theory")]
    assert len({line.get_color() for line in lines}) == 3


def test_a_figure_says_what_its_line_is():
    (axes,) = draw(replace(FIGURE, line="bound"), rows(("a", "b"))).axes
    assert legend(axes)[:2] == ["a bound", "b bound"]
    (axes,) = draw(replace(FIGURE, line=""), rows(("a", "b"))).axes
    assert legend(axes)[:2] == ["a", "b"]


def test_what_lies_outside_the_limits_is_left_out():
    (axes,) = draw(replace(FIGURE, x_limits=(0.5, 1.0)), rows()).axes
    line, points = axes.get_lines()[:2]
    for drawn in (line, points):
        np.testing.assert_array_equal(drawn.get_xdata(orig=False), [0.5, 1.0])


def test_names_stand_side_by_side_with_theory_a_bar_at_each():
    names = {"plain": 0.5, "dropout": 0.9, "all": 0.4}
    table = [
        {"arm": arm, "setting": name, "origin": "measured", "replicate": k, "value": value + 0.1 * k, "band": 0.0}
        for arm in "ab"
        for name, value in names.items()
        for k in range(3)
    ]
    table += [
        {"arm": "a", "setting": name, "origin": "predicted", "value": 0.9, "band": 0.0} for name in ("all", "plain")
    ]
    table += [{"arm": "a", "width": 3, "origin": "measured", "replicate": 0, "value": 7.0, "band": 0.0}]
    (axes,) = draw(replace(FIGURE, x="setting", y_scale="linear"), pd.DataFrame(table).assign(quantity="risk")).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == list(names)
    line, first, *_, second = (line for line in axes.get_lines() if len(line.get_xdata()) in (3, 6))
    np.testing.assert_allclose(line.get_ydata(), [0.9, 0.9, np.nan, 0.9, 0.9, np.nan])  # at "plain" and at "all"
    assert abs(line.get_xdata()[:2].mean() - first.get_xdata(orig=False)[0]) < 1e-12
    np.testing.assert_allclose(first.get_ydata(orig=False), [0.6, 1.0, 0.5])
    for points, sign in ((first, -1), (second, 1)):
        places = points.get_xdata(orig=False)
        assert np.array_equal(places.round(), [0, 1, 2])
        assert np.all(sign * (places - places.round()) > 0)


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="no rows of 'risk' over 'width'"):
        draw(Figure("f", "", "risk", "width", "x", "y"), rows())


def test_one_replicate_has_no_interval():
    axes = Canvas().add_subplot()
    measurement(axes, rows()[lambda r: r["replicate"] == 0], "ratio")
    assert not axes.collections
    assert axes.get_legend_handles_labels()[1] == ["measured, 1 replicate"]


def test_a_failed_cell_and_a_value_that_is_not_finite_are_no_obstacle():
    table = rows()
    table = table[~((table["replicate"] == 3) & (table["ratio"] == 1.0))]
    table.loc[(table["replicate"] == 0) & (table["ratio"] == 2.0), "value"] = np.nan
    (axes,) = draw(FIGURE, table).axes
    assert legend(axes)[1] == "measured, 3 to 4 replicates"
    np.testing.assert_allclose(axes.get_lines()[1].get_ydata(orig=False), [0.65, 1.1])


def test_points_that_are_not_told_apart_are_an_error():
    with pytest.raises(ValueError, match="several rows at the same 'ratio'"):
        draw(FIGURE, pd.concat([rows()[lambda r: r["origin"] == "measured"]] * 2))


def test_the_style_leaves_no_trace():
    before = dict(mpl.rcParams)
    draw(FIGURE, rows())
    with style():
        assert mpl.rcParams["savefig.dpi"] == 150
    assert dict(mpl.rcParams) == before


def test_files_are_reproducible_and_labelled(tmp_path):
    for suffix, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        first, second = tmp_path / f"1.{suffix}", tmp_path / f"2.{suffix}"
        for path in (first, second):
            save_figure(draw(FIGURE, rows()), path)
        assert first.read_bytes().startswith(start)
        assert first.read_bytes() == second.read_bytes()
    assert image.imread(tmp_path / "1.png").shape[:2] == (600, 900)  # 6 by 4 inches at 150 dots per inch
    canvas = Canvas()
    canvas.add_subplot().set_xlabel("x")
    with pytest.raises(ValueError, match=r"figure.png: an axis has no label"):
        save_figure(canvas, tmp_path / "figure.png")


def test_a_figure_is_saved_without_a_trace(tmp_path):
    canvas = draw(FIGURE, rows())
    shown, dpi = canvas.canvas, canvas.dpi
    save_figure(canvas, tmp_path / "figure.png")
    assert (canvas.canvas, canvas.dpi) == (shown, dpi)


def test_the_parts_draw_on_any_axes():
    axes = Canvas().add_subplot()
    theory(axes, [3, 1, 2], [9.0, 1.0, 4.0], label="square")
    divergence(axes, 5.0)
    np.testing.assert_allclose(axes.get_lines()[0].get_xdata(), [1, 2, 3])
    assert axes.get_legend_handles_labels()[1] == ["square theory", "theory diverges"]


@pytest.mark.parametrize(("last", "expected"), [(20.0, {"0.2", "0.5", "1", "2", "5", "10"}), (1e4, set())])
def test_ticks_of_a_logarithmic_axis_are_readable(last, expected):
    # 1-2-5 over two decades, and below one without rounding to 0; powers of ten where they would overlap
    x = np.geomspace(0.1, last, 5)
    rows = pd.DataFrame({"arm": "a", "x": x, "quantity": "q", "value": 1.0, "band": 0.0, "origin": "predicted"})
    canvas = draw(Figure("f", "", "q", "x", "", "", x_scale="log"), rows)
    canvas.draw_without_rendering()
    low, high = canvas.axes[0].get_xlim()
    labels = [label.get_text() for label in canvas.axes[0].get_xticklabels() if low <= label.get_position()[0] <= high]
    assert expected <= set(labels)
    assert "0" not in labels
    assert 4 < len(labels) < 10
