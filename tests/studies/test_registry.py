import pytest
from toy_study import study

from pyphenom.studies import BrokenStudy, UnknownStudy, available, load
from pyphenom.studies.registry import GROUP


@pytest.fixture(autouse=True)
def plug_ins(tmp_path, monkeypatch):
    """A distribution as pip would leave it."""
    folder = tmp_path / "plug_ins-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plug-ins\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        f"[{GROUP}]\ntoy = toy_study:study\nrenamed = toy_study:study\nnumber = toy_study:LOCATIONS\n"
        "missing = no_such_module:study\nraising = raising:study\n"
    )
    (tmp_path / "raising.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)


def test_studies_are_found_without_being_loaded():
    names = available()
    assert {"toy", "renamed", "number", "missing", "raising"} <= set(names)
    assert list(names) == sorted(names)
    assert load("toy") is study


def test_an_unknown_name_comes_with_those_that_are_close():
    with pytest.raises(UnknownStudy, match=r"no study is called 'toyy'; did you mean toy\? installed: .*renamed"):
        load("toyy")
    with pytest.raises(UnknownStudy, match=r"'zzzzz'; installed: "):
        load("zzzzz")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "from no_such_module:study: ModuleNotFoundError"),
        ("raising", "ZeroDivisionError"),
        ("number", r"toy_study:LOCATIONS is \(1.0, 2.0, 4.0\), expected a Study"),
        ("renamed", "expected a Study with the name 'renamed'"),
    ],
)
def test_a_broken_plug_in_is_named(name, message):
    with pytest.raises(BrokenStudy, match=message):
        load(name)
