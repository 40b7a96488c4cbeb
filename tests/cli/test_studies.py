import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "studies"))

import toy_study

from pyphenom.cli import app
from pyphenom.cli import studies as cli_studies
from pyphenom.cli.studies import PresetName
from pyphenom.cli.terminal import package_version
from pyphenom.report import images
from pyphenom.studies import PRESETS, Store, WorkerLost, registry

GROUP = "pyphenom.studies"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYPHENOM_STORE", raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(toy_study, "twin", replace(toy_study.study, name="twin"), raising=False)
    return tmp_path


@pytest.fixture
def installed(monkeypatch):
    """Make these studies, and no others, the installed ones."""

    def install(**sources):
        points = EntryPoints(EntryPoint(name, source, GROUP) for name, source in sources.items())
        monkeypatch.setattr(registry, "entry_points", lambda group: points)

    install(toy="toy_study:study")
    return install


def pyphenom(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def smoke(*arguments):
    return pyphenom(*arguments, "--preset", "smoke", "--jobs", "1")


def strict(text):
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_a_run_prints_verdicts_and_writes_files(installed, place):
    result = smoke("run", "toy")
    assert result.exit_code == 0, result.output
    assert "CONFIRMED" in result.stdout
    assert "12/12" in result.stderr
    names = {"rows.csv", "verdicts.json", "mean.png"}
    assert {path.name for path in (place / "pyphenom-results" / "toy").iterdir()} == names
    assert "The mean of a Gaussian" in (place / "pyphenom-results" / "report" / "index.html").read_text()
    assert len(Store(place / "pyphenom-results" / "cells")) == 12


def test_json_is_all_there_is_on_stdout(installed):
    content = strict(smoke("run", "toy", "--json").stdout)
    assert content["as_expected"] is True
    assert [study["study"] for study in content["studies"]] == ["toy"]
    assert [v["word"] for v in content["studies"][0]["verdicts"]][:2] == ["CONFIRMED", "CONFIRMED"]


def test_a_run_replays_unless_it_is_fresh(installed, place, monkeypatch):
    monkeypatch.setenv("TOY_LOG", str(place / "log"))
    for arguments, lines in (((), 12), ((), 12), (("--fresh",), 24), (("--seed", "1"), 36), (("-o", "other"), 48)):
        smoke("run", "toy", *arguments)
        assert len((place / "log").read_text().splitlines()) == lines
    assert (place / "other" / "toy" / "rows.csv").exists()
    monkeypatch.setenv("PYPHENOM_STORE", str(place / "elsewhere"))
    smoke("run", "toy")
    assert len(Store(place / "elsewhere")) == 12


def test_validate_decides_all_studies_as_one_family(installed):
    alone = strict(smoke("run", "toy", "--json").stdout)["studies"][0]["verdicts"]
    installed(toy="toy_study:study", twin="toy_study:twin")
    result = smoke("validate", "--json")
    both = strict(result.stdout)["studies"]
    assert result.exit_code == 0
    assert [study["study"] for study in both] == ["toy", "twin"]
    # The claim is the last that Holm looks at: alone it has one rival, with the twin three.
    assert both[0]["verdicts"][0]["level"] == pytest.approx(alone[0]["level"] / 2)
    assert both[0]["verdicts"][0]["interval"] == alone[0]["interval"]


@pytest.fixture
def clock(installed, monkeypatch):
    """A clock for budgets that each measurement of a cell advances by one minute."""
    now = [0.0]

    def ticking(cell, streams):
        now[0] += 60.0
        return toy_study.measure(cell, streams)

    for name in ("study", "twin"):
        monkeypatch.setattr(toy_study, name, replace(getattr(toy_study, name), measure=ticking))
    monkeypatch.setattr(time, "time", lambda: 1e9 + now[0])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    installed(toy="toy_study:study", twin="toy_study:twin")
    return now


def test_a_study_that_is_incomplete_is_not_judged(clock, place):
    result = smoke("run", "toy", "--budget", "4.5")
    assert (result.exit_code, "CONFIRMED" in result.stdout) == (3, False)
    message = " ".join(result.stderr.split())
    assert "toy is not judged: 5 of 12 cells are stored, the rest is" in message
    assert "to go on: pyphenom run toy --preset smoke" in message
    assert not (place / "pyphenom-results" / "report").exists()
    assert len(Store(place / "pyphenom-results" / "cells")) == 5
    assert smoke("run", "toy", "--budget", "7").exit_code == 0


def test_the_others_of_a_budget_are_judged_as_a_family_of_their_own(clock, place):
    alone = strict(smoke("run", "toy", "--json").stdout)["studies"][0]["verdicts"]
    result = smoke("validate", "--json", "--budget", "3")
    content = strict(result.stdout)
    assert result.exit_code == 3
    assert (content["as_expected"], content["family"], content["errors"]) == (False, ["toy"], [])
    assert [(left["study"], left["stored"], left["cells"]) for left in content["incomplete"]] == [("twin", 3, 12)]
    assert content["studies"][0]["verdicts"] == alone
    text = smoke("validate", "--budget", "1").stdout
    assert "decided as one family: toy" in text
    assert "4 of 12" in (place / "pyphenom-results" / "report" / "index.html").read_text()
    # The budget is that of the whole run: what the first study takes, the second lacks.
    result = smoke("validate", "--budget", "13", "--seed", "1", "--json")
    assert [left["stored"] for left in strict(result.stdout)["incomplete"]] == [1]


def test_a_verdict_that_is_not_as_expected_outweighs_what_is_missing(clock, monkeypatch):
    wrong = replace(toy_study.study.controls[0], id="false")
    monkeypatch.setattr(toy_study, "study", replace(toy_study.study, claims=(wrong,), controls=(), guards=()))
    assert smoke("validate", "--budget", "12").exit_code == 1


def test_a_report_measures_nothing(installed, place, monkeypatch):
    monkeypatch.setenv("TOY_LOG", str(place / "log"))
    installed(toy="toy_study:study", twin="toy_study:twin")
    nothing = smoke_report()
    assert (nothing.exit_code, (place / "log").exists()) == (3, False)
    ran = strict(smoke("run", "toy", "--json").stdout)["studies"][0]["verdicts"]
    page = place / "pyphenom-results" / "report" / "index.html"
    page.unlink()
    result = smoke_report("--json")
    content = strict(result.stdout)
    assert (result.exit_code, page.exists(), len((place / "log").read_text().splitlines())) == (3, True, 12)
    assert (content["studies"][0]["verdicts"], content["studies"][0]["replayed"]) == (ran, 12)
    assert "pyphenom run twin --preset smoke" in page.read_text()
    assert smoke_report("toy").exit_code == 0
    assert "twin" not in page.read_text()
    assert pyphenom("report", "tooy").exit_code == 2


def smoke_report(*arguments):
    return pyphenom("report", *arguments, "--preset", "smoke")


def test_a_plan_counts_and_calibrates_when_asked(installed, place, monkeypatch):
    monkeypatch.setenv("TOY_LOG", str(place / "log"))
    result = smoke("plan", "toy")
    assert (result.exit_code, (place / "log").exists()) == (0, False)
    assert "--calibrate measures one of each arm" in result.stdout
    (unknown,) = strict(smoke("plan", "--json").stdout)
    assert (unknown["cells"], unknown["stored"], unknown["seconds"]) == (12, 0, None)
    (known,) = strict(smoke("plan", "toy", "--calibrate", "--json").stdout)
    assert (known["cells"], known["stored"], known["seconds"] > 0.0) == (12, 1, True)
    smoke("plan", "toy", "--calibrate")
    assert len((place / "log").read_text().splitlines()) == 1
    smoke("run", "toy")
    assert len((place / "log").read_text().splitlines()) == 12


def test_a_calibration_that_fails_is_exit_status_1(installed, monkeypatch):
    monkeypatch.setattr(toy_study, "study", replace(toy_study.study, measure=lambda cell, streams: 1 / 0))
    result = smoke("plan", "toy", "--calibrate")
    assert (result.exit_code, "ZeroDivisionError" in result.stderr) == (1, True)


def test_what_is_not_as_expected_is_exit_status_1(installed, monkeypatch):
    wrong = replace(toy_study.study, claims=(replace(toy_study.study.controls[0], id="false"),), controls=(), guards=())
    monkeypatch.setattr(toy_study, "study", wrong)
    result = smoke("run", "toy")
    assert result.exit_code == 1
    assert "REFUTED" in result.stdout
    monkeypatch.setenv("TOY_BEHAVIOUR", "fail")
    result = smoke("run", "toy", "--fresh")
    assert result.exit_code == 1
    assert "the toy is broken" in result.stdout


def test_one_bad_study_does_not_stop_the_others(installed, monkeypatch):
    bad = replace(toy_study.study, name="bad", predict=lambda cells, measured: 1 / 0)
    monkeypatch.setattr(toy_study, "bad", bad, raising=False)
    installed(bad="toy_study:bad", missing="nowhere:study", toy="toy_study:study")
    result = smoke("validate", "--json")
    assert result.exit_code == 1
    content = strict(result.stdout)
    assert [study["study"] for study in content["studies"]] == ["toy"]
    assert (content["as_expected"], len(content["errors"])) == (False, 2)
    assert "bad, predict: ZeroDivisionError" in result.stderr
    assert "'missing' cannot be loaded from nowhere:study" in result.stderr


def test_a_figure_that_cannot_be_drawn_comes_after_the_verdicts(installed, monkeypatch, place):
    empty = replace(toy_study.study.figures[0], quantity="nothing")
    monkeypatch.setattr(toy_study, "study", replace(toy_study.study, figures=(empty,)))
    result = smoke("run", "toy", "--json")
    assert strict(result.stdout)["as_expected"] is True
    assert (result.exit_code, "no rows of 'nothing'" in result.stderr) == (1, True)
    assert (place / "pyphenom-results" / "toy" / "verdicts.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "toi"), "did you mean toy?"),
        (("run",), "Missing argument"),
        (("run", "toy", "--preset", "huge"), "huge"),
        (("run", "toy", "--jobs", "-1"), "jobs"),
        (("run", "toy", "--budget", "-1"), "budget"),
        (("run", "toy", "--budget", "1", "--fresh"), "--fresh and --budget"),
        (("plan", "toi"), "did you mean toy?"),
        (("march",), "march"),
    ],
)
def test_wrong_usage_is_exit_status_2(installed, arguments, message):
    result = pyphenom(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_a_folder_that_cannot_be_written_to_is_said_before_the_work(installed, place, monkeypatch):
    (place / "file").touch()
    monkeypatch.setenv("TOY_LOG", str(place / "log"))
    result = smoke("run", "toy", "--output", "file/folder")
    message = " ".join(result.stderr.split())
    assert (result.exit_code, "is no folder; expected a folder to write to" in message) == (2, True), message
    assert not (place / "log").exists()
    monkeypatch.setenv("PYPHENOM_STORE", str(place / "file" / "cells"))
    for command in ("run", "plan"):
        result = smoke(command, "toy")
        assert (result.exit_code, "Not a directory" in result.stderr) == (1, True)


def test_nothing_to_validate_is_wrong_usage(installed):
    installed()
    result = smoke("validate")
    assert (result.exit_code, "no study is installed" in result.stderr) == (2, True)


def test_ctrl_c_is_exit_status_130_and_says_how_to_go_on(installed, monkeypatch):
    def interrupted(cell, streams):
        if cell.parameters["location"] == 4.0:
            raise KeyboardInterrupt
        return toy_study.measure(cell, streams)

    monkeypatch.setattr(toy_study, "study", replace(toy_study.study, measure=interrupted))
    result = smoke("run", "toy", "--json")
    assert (result.exit_code, result.stdout) == (130, "")
    message = " ".join(result.stderr.split())
    assert re.search("stopped: 8 of 12 cells of toy are kept in .*; run it again to resume", message)


def test_a_lost_worker_is_exit_status_1(installed, monkeypatch):
    def lost(*arguments):
        raise WorkerLost("a worker was lost")

    monkeypatch.setattr("pyphenom.studies.begin", lost)
    result = smoke("run", "toy")
    assert (result.exit_code, "a worker was lost" in result.stderr) == (1, True)


def test_a_worker_lost_while_drawing_costs_no_verdict(installed, monkeypatch):
    def on_workers(results, executor=None):
        if executor is not None:
            raise BrokenExecutor("a worker was lost")
        return images(results)

    monkeypatch.setattr("pyphenom.report.images", on_workers)
    result = pyphenom("run", "toy", "--preset", "smoke", "--jobs", "2")
    assert (result.exit_code, "CONFIRMED" in result.stdout) == (0, True)


def test_the_list_names_studies_and_broken_plug_ins(installed):
    installed(toy="toy_study:study", bad="nowhere:study")
    result = pyphenom("list")
    assert result.exit_code == 0
    assert "The mean of a Gaussian" in result.stdout
    assert "smoke 12 · quick 36 · full 120" in result.stdout
    assert "cannot be loaded" in result.stdout


@pytest.mark.parametrize("collects", [True, False])
def test_a_worker_warms_up_with_what_can_be_loaded(monkeypatch, collects):
    loaded = []

    def load(name):
        if name == "broken":
            raise registry.BrokenStudy(name)
        loaded.append(name)
        assert not gc.isenabled()

    monkeypatch.setattr("pyphenom.studies.load", load)
    monkeypatch.setattr(gc, "freeze", lambda: loaded.append("frozen"))
    enabled = gc.isenabled()
    try:
        (gc.enable if collects else gc.disable)()
        cli_studies._import(["toy", "broken", "twin"])
        assert gc.isenabled() == collects
    finally:
        (gc.enable if enabled else gc.disable)()
    assert loaded == ["toy", "twin", "frozen"]


def test_version_and_presets():
    result = pyphenom("--version")
    assert (result.exit_code, result.stdout.strip()) == (0, package_version())
    assert tuple(preset.value for preset in PresetName) == PRESETS


def test_the_command_line_starts_without_the_heavy_libraries():
    code = "import sys, pyphenom.cli; print([m for m in ('matplotlib', 'pandas', 'torch') if m in sys.modules])"
    # The package itself may import what it likes; the command line adds nothing heavy.
    package = subprocess.check_output([sys.executable, "-c", code.replace(".cli", "")], text=True)
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == package


@pytest.fixture
def process(place):
    """Start the command line in another process, with the toy study installed by its entry point."""
    folder = place / "toy-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{GROUP}]\ntoy = toy_study:study\n")
    paths = [str(place), str(Path(toy_study.__file__).parent), os.environ.get("PYTHONPATH", "")]

    def start(*arguments, **environment):
        return subprocess.Popen(
            [sys.executable, "-c", "from pyphenom.cli import app; app()", *arguments, "--json"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


def test_a_real_process_with_real_entry_points(process):
    run = process("run", "toy", "--preset", "smoke", "--jobs", "2")
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    assert strict(output)["as_expected"] is True
    assert "12/12" in errors


def test_ctrl_c_in_a_real_process(process, place):
    run = process("run", "toy", "--preset", "quick", "--jobs", "2", TOY_BEHAVIOUR="slow")
    store, deadline = Store(place / "pyphenom-results" / "cells"), time.monotonic() + 30.0
    while len(store) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGINT)
    output, errors = run.communicate(timeout=30)
    assert (run.returncode, output) == (130, ""), errors
    assert "Traceback" not in errors
    assert re.search("of 36 cells of toy are kept in .*; run it again to resume", " ".join(errors.split()))
