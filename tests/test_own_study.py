"""The example of a package with a study of its own: installed by pip, then found, run and drawn by the command line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "own_study"


def finished(command, folder, environment=None):
    """Return what a command prints on standard output; fail with the rest if it fails."""
    done = subprocess.run([*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Install the example with pip, without the network, into a folder that nobody else sees."""
    folder = tmp_path_factory.mktemp("own_study")
    shutil.copytree(EXAMPLE, folder / "source")  # a build writes into its source
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--target", folder / "site"]
    finished([sys.executable, "-m", "pip", "install", *options, folder / "source"], folder)
    return folder / "site"


@pytest.fixture
def python(site, tmp_path):
    """Run Python in an empty folder, with the example among the installed packages."""
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    environment = {name: value for name, value in os.environ.items() if name != "PYPHENOM_STORE"}
    return lambda *arguments: finished([sys.executable, *arguments], tmp_path, environment | {"PYTHONPATH": path})


@pytest.fixture
def pyphenom(python):
    return lambda *arguments: python("-c", "from pyphenom.cli import app; app()", *arguments)


def test_the_study_is_found_in_the_installed_package(python, pyphenom, site):
    source = python("-c", "import ridgeless, pyphenom as ph; ph.studies.load('ridgeless'); print(ridgeless.__file__)")
    assert Path(source.strip()) == site / "ridgeless.py"
    assert "Minimum-norm regression" in pyphenom("list")


def test_the_study_runs_and_is_drawn(pyphenom, tmp_path):
    content = json.loads(pyphenom("run", "ridgeless", "--preset", "smoke", "--jobs", "1", "--json"))
    assert content["as_expected"] is True
    (study,) = content["studies"]
    assert study["verdict"] == "CONFIRMED"
    assert [verdict["word"] for verdict in study["verdicts"]] == ["CONFIRMED", "REFUTED"]
    output = tmp_path / "pyphenom-results"
    assert (output / "ridgeless" / "risk.png").read_bytes().startswith(b"\x89PNG")

    page = output / "report" / "index.html"
    page.unlink()  # the run wrote it too
    pyphenom("report", "ridgeless", "--preset", "smoke")
    assert "Minimum-norm regression" in page.read_text(encoding="utf-8")


def test_the_study_is_judged_with_all_others(python):
    # Validation without the minutes that the others take: the same steps on one study more than before.
    code = "import pyphenom as ph; print(len(ph.studies.available()), 'ridgeless' in ph.studies.available())"
    count, found = python("-c", code).split()
    assert (int(count) > 1, found) == (True, "True")


def test_the_example_is_left_as_it_was(site):
    assert {path.name for path in EXAMPLE.iterdir()} - {"__pycache__"} == {"pyproject.toml", "ridgeless.py"}
