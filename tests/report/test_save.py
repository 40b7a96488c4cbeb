import json

import pandas as pd
from toy_study import study

from pyphenom.report import save
from pyphenom.studies import run


def test_the_files_hold_the_result(tmp_path):
    result = run(study, "smoke", store=tmp_path / "cells")
    files = save(result, tmp_path / "out")
    assert [str(path.relative_to(tmp_path)) for path in files] == [
        "out/toy/rows.csv",
        "out/toy/verdicts.json",
        "out/toy/mean.png",
    ]
    rows = pd.read_csv(files[0], dtype=str)
    assert list(rows) == list(result.rows)
    assert rows["value"].map(float).tolist() == result.rows["value"].tolist()
    assert rows["replicate"].dropna().map(int).tolist() == result.rows["replicate"].dropna().tolist()
    assert json.loads(files[1].read_text(), parse_constant=lambda name: 1 / 0) == result.to_dict()
    assert save(result, tmp_path / "out") == files
