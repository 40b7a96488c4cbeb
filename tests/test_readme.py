"""The examples of the README run as they stand, in its order and in one namespace, and print what it says."""

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(text):
    """Return the Python blocks, each with its line and the text block that follows it, if one does.

    >>> examples("a\\n```python\\nprint(1)\\n```\\n\\n```text\\n1\\n```\\n```python\\npass\\n```\\n")
    [(2, 'print(1)\\n', '1\\n'), (9, 'pass\\n', None)]
    """
    found = []
    for fence in FENCE.finditer(text):
        if fence[1] == "python":
            found.append((text[: fence.start()].count("\n") + 1, fence[2], None))
        elif fence[1] == "text":
            found[-1] = (*found[-1][:2], fence[2])
    return found


def test_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYPHENOM_STORE", raising=False)
    text = README.read_text(encoding="utf-8")
    namespace = {"__name__": "readme"}
    for line, code, expected in examples(text):
        exec(compile("\n" * line + code, str(README), "exec"), namespace)
        printed = capsys.readouterr().out
        if expected is not None:
            assert printed == expected, f"README.md:{line}"
    assert namespace["result"].as_expected


def test_there_are_examples_of_every_layer():
    code = "".join(block for _, block, _ in examples(README.read_text(encoding="utf-8")))
    for name in (
        "width_path",
        "isotropic_risk",
        "random_feature_regression",
        "networks.train",
        "curvature.eigsh",
        "studies.run",
    ):
        assert name in code


def test_the_study_of_your_own_is_the_example():
    source = README.parent / "examples" / "own_study"
    blocks = [code for _, code, _ in examples(README.read_text(encoding="utf-8"))]
    assert (source / "ridgeless.py").read_text(encoding="utf-8") in blocks
    declaration = (source / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points."pyphenom.studies"]\nridgeless = "ridgeless:study"\n' in declaration


def test_the_lines_that_continuous_integration_runs_are_there():
    lines = re.findall(r"^pip install -c constraints\.txt .*$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert lines[0].split(" #")[0].strip() == "pip install -c constraints.txt . && pyphenom validate"
    assert lines[1].split(" #")[0].strip() == 'pip install -c constraints.txt -e ".[test]" && pytest'


@pytest.mark.parametrize(
    "option", ["PYPHENOM_BLAS", "PYPHENOM_CUDA", "PYPHENOM_NATIVE", "PYPHENOM_SANITIZE", "PYPHENOM_WERROR"]
)
def test_options_of_the_build_exist(option):
    cmake = (README.parent / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(rf"^(option|set)\({option} ", cmake, re.MULTILINE)
    assert f"`{option}`" in README.read_text(encoding="utf-8")
