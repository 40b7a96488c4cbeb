from dataclasses import replace

import pytest
from toy_study import study

from pyphenom.studies import Cell, Claim, Greater, Guard


def test_ids_have_to_be_different_and_known():
    with pytest.raises(ValueError, match=r"\['mean'\] are used more than once"):
        replace(study, controls=(replace(study.controls[0], id="mean"),))
    with pytest.raises(ValueError, match=r"no claim has the id \['median'\]"):
        replace(study, guards=(Guard("g", "", lambda rows: True, claims=("median",)),))
    with pytest.raises(ValueError, match=r"no claim has the id \['median'\]"):
        replace(study, controls=(Claim("c", "", lambda rows: rows, Greater(), protects=("median",)),))


def test_work_is_checked():
    assert [len(study.work(preset)) for preset in ("smoke", "quick", "full")] == [12, 36, 120]
    with pytest.raises(ValueError, match=r"'tiny'.*smoke"):
        study.work("tiny")
    for cells in ((), (Cell("a", {}, 0),) * 2):
        with pytest.raises(ValueError, match="different cells, at least one"):
            replace(study, cells=lambda preset, cells=cells: cells).work("smoke")
