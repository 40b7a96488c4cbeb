"""The notebooks run to their end: each holds assertions on its key numbers."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


@pytest.mark.slow
def test_a_notebook_runs(notebook, tmp_path, monkeypatch):
    monkeypatch.delenv("PYPHENOM_STORE", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # nobody's own start-up files and history
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    assert any("assert " in cell.source for cell in notebook.cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_stored_is_small_and_of_no_one_machine(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < 400_000
    content = json.loads(text)
    assert set(content["metadata"]) == {"kernelspec", "language_info"}
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    shown = "".join(str(output) for cell in content["cells"] for output in cell.get("outputs", ()))
    assert "image/png" in shown
    assert not re.search(r"/(home|tmp|Users)/", re.sub(r"'image/png': '[^']*'", "", shown))


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} >= {
        "certificate",
        "curvature",
        "double_descent",
        "max_margin",
        "memorization",
        "own_data",
    }
