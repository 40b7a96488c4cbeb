"""The report as people see it: in Chromium, without a window, from a file.

Skipped where Chromium, its driver or selenium is missing; with PYPHENOM_REQUIRE_BROWSER=1 that is a failure.
"""

import base64
import io
import itertools
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import image
from toy_study import study

from pyphenom.report import save, write_report
from pyphenom.studies import plan, run

BROWSER, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
WIDTHS = (400, 1400)


@pytest.fixture(scope="module")
def browser():
    missing = [name for name, path in (("chromium", BROWSER), ("chromedriver", DRIVER)) if path is None]
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        missing.append("selenium")
    if missing:
        reason = f"missing: {', '.join(missing)}"
        if os.environ.get("PYPHENOM_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SE_OFFLINE", "true")  # selenium fetches no driver, and reports nothing
        patch.setenv("SE_AVOID_STATS", "true")
        driver = webdriver.Chrome(options=options, service=Service(executable_path=DRIVER))
        try:
            yield driver
        finally:
            driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report with all of its parts: a study as expected, one with failed cells, and one that is incomplete."""
    folder = tmp_path_factory.mktemp("report")
    good = replace(run(study, "smoke", store=folder / "cells"), study=replace(study, deviations=("None of note.",)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY_BEHAVIOUR", "fail")
        void = run(
            replace(study, name="twin", title="A twin that fails " + "long" * 30), "smoke", store=folder / "cells"
        )
    for result in (good, void):
        save(result, folder)
    return write_report([good, void], folder, [plan(study, "full", folder / "cells")], ["a remark " + "x" * 200])


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in ("light", "dark")], ids=str)
def opened(request, browser, page):
    width, scheme = request.param
    scheme = [{"name": "prefers-color-scheme", "value": scheme}]
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    for log in ("browser", "performance"):
        browser.get_log(log)  # forget what was before
    browser.get(page.as_uri())
    return browser


def found(browser, script):
    return browser.execute_script(f"return {script}")


def test_it_opens_quietly_and_asks_for_nothing(opened, page):
    assert opened.title == "pyphenom report"
    assert opened.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    requests = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert page.as_uri() in requests
    assert {url.split(":")[0] for url in requests - {page.as_uri()}} <= {"data"}


def test_figures_are_drawn_inside_of_the_page(opened):
    sizes = found(opened, "[...document.images].map(i => [i.complete, i.naturalWidth, i.clientWidth, i.alt])")
    assert len(sizes) == 2
    for complete, natural, shown, alt in sizes:
        assert complete
        assert natural > 0
        assert 200 < shown <= found(opened, "innerWidth")
        assert alt.startswith("Mean.")


def test_nothing_is_wider_than_the_page(opened):
    assert found(opened, "document.documentElement.scrollWidth") <= found(opened, "innerWidth")
    # What does not fit scrolls inside of its own box, and the keyboard reaches it.
    script = "[...document.querySelectorAll('.box')].map(b => [b.scrollWidth, b.clientWidth, b.tabIndex])"
    boxes = found(opened, script)
    assert all(index == 0 for _, _, index in boxes)
    if found(opened, "innerWidth") == WIDTHS[0]:
        assert any(content > box for content, box, _ in boxes)
    outside = """[...document.querySelectorAll('main *')]
        .filter(e => !e.closest('.box, pre') && e.getBoundingClientRect().right > innerWidth + 1)
        .map(e => e.outerHTML)"""
    assert found(opened, outside) == []


def test_tables_have_a_row_for_each_claim(opened):
    script = """[...document.querySelectorAll('table')]
        .map(t => [t.caption?.innerText ?? '', [...t.tBodies[0].rows].map(r => r.cells[0].innerText)])"""
    summary, incomplete, *tables = found(opened, script)
    assert [len(rows) for _, rows in (summary, incomplete)] == [2, 1]
    assert [len(rows) for _, rows in tables] == 2 * [3, 2, 1]
    assert all(caption for caption, _ in tables)
    assert "the mean is the location" in tables[0][1][0]


def test_headings_are_seen_and_in_order(opened):
    script = "[...document.querySelectorAll('h1, h2, h3')].map(h => [+h.tagName[1], h.offsetHeight, h.innerText])"
    levels = [level for level, height, text in found(opened, script) if height > 0 and text]
    assert levels[:2] == [1, 2]
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    assert len(levels) == len(found(opened, script))


def test_links_lead_to_what_is_there(opened, page):
    script = "[...document.links].map(a => [a.getAttribute('href'), a.hash && !!document.querySelector(a.hash)])"
    for target, inside in found(opened, script):
        assert inside or (page.parent / target).exists(), target


def test_words_stand_out_from_their_ground(opened):
    script = """[...document.querySelectorAll('p, th, td, li, dd, dt, figcaption, caption, small, .badge')].map(e => {
        let ground = e;
        while (getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)') ground = ground.parentElement;
        return [getComputedStyle(e).color, getComputedStyle(ground).backgroundColor, e.innerText];
    })"""
    for colour, ground, text in found(opened, script):
        assert contrast(colour, ground) >= 4.5, (colour, ground, text)  # WCAG 2.1, level AA


def contrast(first, second):
    def luminance(colour):
        parts = np.array([float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]) / 255.0
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_guidelines():
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21.0)
    assert contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.005)  # the known #777


def test_a_picture_of_it_is_not_blank(opened):
    scheme = found(opened, "matchMedia('(prefers-color-scheme: dark)').matches")
    pixels = image.imread(io.BytesIO(base64.b64decode(opened.get_screenshot_as_base64())))[..., :3]
    ground = pixels[2, 2]
    assert (ground.mean() < 0.3) == scheme
    written = np.abs(pixels - ground).max(axis=2) > 0.2
    assert 0.005 < written.mean() < 0.6
    assert written.any(axis=1).mean() > 0.2  # from top to bottom


def test_it_prints_every_table_to_the_end(opened):
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 720, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        script = "[...document.querySelectorAll('.box')].map(b => [b.scrollWidth, b.clientWidth, b.innerText])"
        assert [box for box in found(opened, script) if box[0] > box[1] + 1] == []
        assert found(opened, "getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        printed = base64.b64decode(opened.execute_cdp_cmd("Page.printToPDF", {})["data"])
        assert printed.startswith(b"%PDF")
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
