import json
from dataclasses import FrozenInstanceError

import pytest
from toy_study import study

from pyphenom.studies import run


@pytest.fixture
def result(tmp_path):
    return run(study, "smoke", store=tmp_path, seed=3)


def test_a_result_is_strict_json(result):
    content = result.to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert (content["study"], content["preset"], content["seed"]) == ("toy", "smoke", 3)
    assert content["verdict"] == result.verdict
    assert [v["id"] for v in content["verdicts"]] == ["mean", "square", "twice", "order", "wrong", "nothing"]
    assert {"study", "cells", "pyphenom", "python", "numpy", "scipy", "pandas"} == set(content["versions"])


def test_a_result_reads_as_a_summary(result):
    lines = repr(result).splitlines()
    assert lines[0] == f"toy (smoke, seed 3): {result.verdict}"
    assert len(lines) == 7
    assert "measured" in lines[1]
    assert "predicted" in lines[1]


def test_rows_hold_both_origins(result):
    assert list(result.rows) == ["study", "arm", "location", "replicate", "quantity", "value", "origin", "band"]
    assert result.rows["origin"].value_counts().to_dict() == {"measured": 36, "predicted": 12}
    assert result.rows["replicate"].notna().sum() == 36


def test_a_result_cannot_be_changed(result):
    with pytest.raises(FrozenInstanceError):
        result.seed = 4
