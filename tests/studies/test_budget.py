import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pandas as pd
import pytest
import toy_study
from toy_study import study

from pyphenom.studies import BudgetSpent, Store, process_pool, run


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    return lambda: (tmp_path / "log").read_text().splitlines() if (tmp_path / "log").exists() else []


@pytest.fixture
def clock(monkeypatch):
    """A clock that each measurement advances by one second."""
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])

    def ticking(cell, streams):
        now[0] += 1.0
        return toy_study.measure(cell, streams)

    return replace(study, measure=ticking)


def test_no_cell_is_begun_after_the_budget_and_none_that_is_begun_is_lost(tmp_path, log, clock):
    for kept in (5, 10):
        with pytest.raises(BudgetSpent, match=rf"{kept} of 12 cells of toy are kept in .*; run it again") as spent:
            run(clock, "smoke", store=tmp_path / "s", budget=4.5)
        assert len(log()) == len(Store(tmp_path / "s")) == spent.value.plan.stored == kept
        assert re.search(r"the rest takes .* of one worker", str(spent.value))
    result = run(clock, "smoke", store=tmp_path / "s", budget=4.5)
    assert len(log()) == 12
    assert (result.cells, result.replayed) == (12, 10)
    pd.testing.assert_frame_equal(result.rows, run(study, "smoke", store=tmp_path / "other").rows, check_exact=True)


def test_no_budget_replays_and_measures_nothing(tmp_path, log):
    with pytest.raises(BudgetSpent, match=r"0 of 12 .* the rest takes an unknown time"):
        run(study, "smoke", store=tmp_path / "s", budget=0.0)
    assert log() == []
    first = run(study, "smoke", store=tmp_path / "s", budget=float("inf"))
    again = run(study, "smoke", store=tmp_path / "s", budget=0.0)
    assert len(log()) == 12
    assert [v.to_dict() for v in first.verdicts] == [v.to_dict() for v in again.verdicts]


def test_a_budget_that_makes_no_sense(tmp_path):
    for budget in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="budget: got"):
            run(study, "smoke", store=tmp_path, budget=budget)
    with pytest.raises(ValueError, match="budget: got fresh too"):
        run(study, "smoke", store=tmp_path, budget=1.0, fresh=True)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_before_the_end_is_told(tmp_path, clock):
    def failing(cell, streams):
        rows = clock.measure(cell, streams)
        return 1 / 0 if cell.replicate == 1 else rows

    with pytest.raises(BudgetSpent, match=r"2 of 12 .*; 1 failed, first gaussian location=1.0 replicate=1: ZeroDiv"):
        run(replace(clock, measure=failing), "smoke", store=tmp_path, budget=2.5)


@pytest.mark.parametrize("executor", [lambda: process_pool(2), lambda: ThreadPoolExecutor(2)])
def test_workers_look_at_the_clock(tmp_path, log, monkeypatch, executor):
    # Two workers need 2.7 s for the 36 cells at .15 s; what they take in advance is not begun after the budget.
    monkeypatch.setenv("TOY_BEHAVIOUR", "slow")
    with pytest.raises(BudgetSpent, match="of 36 cells of toy are kept"), executor() as pool:
        run(study, "quick", pool, tmp_path / "s", budget=1.2)
    kept = len(Store(tmp_path / "s"))
    assert len(log()) == kept <= 2 * 9  # nine cells of a worker begin within 1.2 s
    monkeypatch.delenv("TOY_BEHAVIOUR")
    result = run(study, "quick", store=tmp_path / "s")
    assert len(log()) == 36
    assert result.replayed == kept
    pd.testing.assert_frame_equal(result.rows, run(study, "quick", store=tmp_path / "other").rows, check_exact=True)
