from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from toy_study import study

from pyphenom.report import draw, images, save
from pyphenom.report.figures import rendered
from pyphenom.studies import Figure, run


@pytest.fixture
def result(tmp_path):
    nothing = Figure("no", "Nothing", "nothing", "location", "x", "y")
    unlabelled = replace(study.figures[0], name="bare", y_label="")
    found = run(study, "smoke", store=tmp_path / "cells")
    return replace(found, study=replace(study, figures=(nothing, unlabelled, *study.figures)))


def test_an_image_is_the_figure_or_the_reason_why_not(result):
    nothing, unlabelled, image = images([result])["toy"]
    assert image.png == rendered(draw(image.figure, result.rows), "png")
    assert (nothing.png, nothing.problem) == (b"", "figure 'no': no rows of 'nothing' over 'location'")
    assert (unlabelled.png, unlabelled.problem) == (b"", "bare: an axis has no label")


def test_they_are_the_same_wherever_they_are_drawn(result):
    with ThreadPoolExecutor(1) as pool:
        assert images([result], pool) == images([result])


def test_what_cannot_be_drawn_stops_no_other_file(result, tmp_path):
    with pytest.raises(ValueError, match="no rows of 'nothing'"):
        save(result, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out" / "toy").iterdir()} == {"rows.csv", "verdicts.json", "mean.png"}


def test_without_rows_there_are_none(result):
    assert images([replace(result, rows=result.rows[:0])]) == {"toy": ()}
