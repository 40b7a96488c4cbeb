import base64
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import toy_study
from toy_study import study

from pyphenom.report import command, html, to_dict, write_report
from pyphenom.studies import Figure, Guard, plan, run

HOSTILE = "<script>alert('x')</script> & \"quotes\" {{ 7 * 7 }}"
VOID_ELEMENTS = {"meta", "link", "img", "rect"}


class Page(HTMLParser):
    """What a page holds, and whether its elements close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.hidden = [], [], [], 0
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def result(tmp_path):
    return run(study, "smoke", store=tmp_path / "cells")


def test_everything_of_a_study_is_there(result):
    deviating = replace(result, study=replace(study, deviations=("Four draws instead of five.",)))
    page = Page(html([deviating]))
    for verdict in result.verdicts:
        assert verdict.statement in page.text
        assert verdict.id in page.text
        assert verdict.word is None or verdict.word in page.text
    square = next(v for v in result.verdicts if v.id == "square")
    for ends in (square.interval, square.adjusted):
        assert "({:.4g}, {:.4g})".format(*ends) in page.text
    assert f"{100 * (1 - square.level):.5g} %" in page.text
    for words in (
        study.title,
        study.summary,
        "Gauss 1809",
        "Four draws instead of five.",
        "squares are positive",
        "HOLDS",
        "smoke, 0",
        "12: 12 measured in this run, 0 replayed",
        "Version of numpy",
        "1 of 1 study came out as expected. Of 3 claims, 3 are CONFIRMED.",
        "worst of 3: location=",
        "How to read a verdict",
    ):
        assert words in page.text, words
    assert "Failed cells" not in page.text
    assert "Not judged" not in page.text


def test_claims_controls_and_secondary_claims_stand_apart(result):
    tables = html([result]).split("<table")[2:]
    ids = [re.findall(r'<code class="id">(\w+)</code>', table) for table in tables]
    assert ids == [["mean", "square", "twice"], ["wrong", "nothing"], ["order"]]
    assert '<th scope="col">verdict</th>' in tables[0]
    assert '<th scope="col">verdict</th>' not in tables[2]


def test_the_page_is_complete_in_itself(result):
    text = html([result])
    page = Page(text)
    sources = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "srcset")]
    assert sources
    assert all(source.startswith("data:") for source in sources)
    links = {link["href"] for link in page.all("a")}
    assert {link for link in links if not link.startswith("#")} == {
        "../toy/rows.csv",
        "../toy/verdicts.json",
        "results.json",
    }
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert not page.all("script")
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_the_same_result_is_the_same_page(tmp_path):
    first, second = (run(study, "smoke", store=tmp_path / name) for name in ("1", "2"))
    times = {"seconds": 0.0}
    assert html([replace(first, **times)]) == html([replace(second, **times)])


def test_figures_are_pictures_with_words(result):
    (image,) = Page(html([result])).all("img")
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    assert image["alt"].startswith("Mean. Mean against location")
    broken = replace(study, figures=(*study.figures, Figure("no", "Nothing", "nothing", "location", "x", "y")))
    page = Page(html([replace(result, study=broken)]))
    assert len(page.all("img")) == 1
    assert "Nothing could not be drawn: figure 'no': no rows of 'nothing'" in page.text


def test_what_people_write_is_text_and_no_markup(tmp_path, monkeypatch):
    hostile = replace(
        study,
        title=HOSTILE,
        summary=HOSTILE,
        references=(HOSTILE,),
        deviations=(HOSTILE,),
        claims=tuple(replace(claim, statement=HOSTILE) for claim in study.claims),
        guards=(Guard("never", HOSTILE, lambda rows: False),),
        figures=(replace(study.figures[0], caption=HOSTILE),),
    )

    def failing(cell, streams):
        if cell.replicate == 1:
            raise ArithmeticError(HOSTILE)
        return toy_study.measure(cell, streams)

    result = run(replace(hostile, measure=failing), "smoke", store=tmp_path)
    text = html([result], [plan(hostile, "smoke", tmp_path)], [HOSTILE])
    page = Page(text)
    assert not page.all("script")
    assert "<script" not in text
    assert page.text.count(HOSTILE) >= 10
    (image,) = page.all("img")
    assert image["alt"].startswith(HOSTILE)


def test_void_and_failures_are_told_with_their_reasons(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_BEHAVIOUR", "fail")
    result = run(study, "smoke", store=tmp_path)
    page = Page(html([result]))
    assert "0 of 1 study came out as expected. Of 3 claims, 3 are VOID." in page.text
    assert "a cell failed: gaussian location=2.0 replicate=1: ArithmeticError: the toy is broken" in page.text
    assert "FAILS squares are positive positive" in page.text
    assert "Failed cells" in page.text
    assert "Traceback (most recent call last)" in page.text
    (details,) = page.all("details")
    assert "open" not in details


def test_all_cells_failing_is_still_a_page(tmp_path):
    result = run(replace(study, measure=lambda cell, streams: 1 / 0), "smoke", store=tmp_path)
    page = Page(html([result]))
    assert len(page.all("details")) == 12
    assert not page.all("img")


def test_what_is_missing_and_what_went_wrong_come_with_the_summary(result, tmp_path):
    left = plan(replace(study, name="other study"), "quick", tmp_path / "cells", seed=3)
    page = Page(html([result], [left], ["the study 'bad' cannot be loaded"], output=Path("my results")))
    assert "0 of 36" in page.text
    assert "pyphenom run 'other study' --preset quick --seed 3 --output 'my results'" in page.text
    assert "the study 'bad' cannot be loaded" in page.text
    assert command(replace(left, seed=0), Path("pyphenom-results")) == "pyphenom run 'other study' --preset quick"
    assert "No study was judged" in Page(html([], [left])).text


def test_headings_and_tables_are_in_order(result):
    page = Page(html([result, replace(result, study=replace(study, name="twin"))]))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    assert all(header.get("scope") in ("row", "col") for header in page.all("th"))
    for drawing in page.all("svg"):
        assert drawing.get("aria-hidden") == "true" or drawing.get("aria-label")


def test_the_files_of_a_report(result, tmp_path):
    page = write_report([result], tmp_path / "out", [plan(study, "quick", tmp_path / "cells")], ["trouble"])
    assert page == tmp_path / "out" / "report" / "index.html"
    assert sorted(path.name for path in page.parent.iterdir()) == ["index.html", "results.json"]
    assert re.search(r'<time datetime="20\d\d-', page.read_text(encoding="utf-8"))
    content = json.loads((page.parent / "results.json").read_text(), parse_constant=lambda name: 1 / 0)
    assert content == to_dict([result], [plan(study, "quick", tmp_path / "cells")], ["trouble"])
    assert (content["as_expected"], content["family"], content["errors"]) == (False, ["toy"], ["trouble"])
    assert content["incomplete"][0]["stored"] == 12
    assert to_dict([result])["as_expected"] is True
