import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import toy_study
from toy_study import study

from pyphenom.studies import Cell, Store, WorkerLost, begin, measure, process_pool, run

HERE = Path(__file__).parent


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def executed(log):
    return log.read_text().splitlines() if log.exists() else []


def judged(result):
    return [verdict.to_dict() for verdict in result.verdicts]


def equal(a, b):
    pd.testing.assert_frame_equal(a, b, check_exact=True)


def test_a_run_measures_once_and_replays(tmp_path, log):
    seen = []
    first = run(study, "smoke", store=tmp_path / "s", progress=lambda *step: seen.append(step))
    assert seen == [("toy", done, 12) for done in range(13)]
    assert (first.verdict, first.as_expected, first.failures) == ("CONFIRMED", True, ())
    assert len(executed(log)) == 12 == len(Store(tmp_path / "s"))
    again = run(study, "smoke", store=Store(tmp_path / "s"))
    assert len(executed(log)) == 12
    equal(first.rows, again.rows)
    assert judged(first) == judged(again)


def test_what_is_begun_is_measured_before_anyone_waits_for_it(tmp_path, log):
    seen = []
    with ThreadPoolExecutor(2) as pool:
        finish = begin(study, "smoke", pool, tmp_path / "s", progress=lambda *step: seen.append(step))
    assert len(executed(log)) == 12
    assert seen == []
    equal(finish().rows, measure(study, "smoke", store=tmp_path / "other").rows)
    assert seen == [("toy", done, 12) for done in range(13)]


def test_what_makes_a_cell_another_cell(tmp_path, log):
    store = tmp_path / "s"
    run(study, "smoke", store=store)
    run(replace(study, version="2", title="another"), "smoke", store=store)
    assert len(executed(log)) == 12
    run(replace(study, cell_version="2"), "smoke", store=store)
    run(replace(study, depends_on=("json",)), "smoke", store=store)
    run(replace(study, name="twin"), "smoke", store=store)
    run(study, "smoke", store=store, seed=1)
    assert len(executed(log)) == 5 * 12
    run(study, "quick", store=store)  # the cells of smoke are among those of quick
    assert len(executed(log)) == 5 * 12 + 24
    run(study, "smoke", store=store, fresh=True)
    assert len(executed(log)) == 5 * 12 + 24 + 12


def test_a_pool_finds_what_one_process_finds(tmp_path):
    alone = run(study, "quick", store=tmp_path / "alone")
    with process_pool(2) as pool:
        together = run(study, "quick", pool, tmp_path / "together")
    with ThreadPoolExecutor(2) as threads:
        threaded = run(study, "quick", threads, tmp_path / "threaded")
    for other in (together, threaded):
        equal(alone.rows, other.rows)
        assert judged(alone) == judged(other)


def test_a_failed_cell_is_reported_and_the_others_go_on(tmp_path, log, monkeypatch):
    monkeypatch.setenv("TOY_BEHAVIOUR", "fail")
    for executor in (None, ThreadPoolExecutor(2)):
        log.unlink(missing_ok=True)
        result = run(study, "smoke", executor, tmp_path / str(executor is None))
        assert len(executed(log)) == 11
        (failure,) = result.failures
        assert failure.cell == Cell("gaussian", {"location": 2.0}, 1)
        assert str(failure) == "gaussian location=2.0 replicate=1: ArithmeticError: the toy is broken"
        assert "toy_study.py" in failure.traceback
        assert result.verdict == "VOID"
        assert not result.as_expected
        assert {v.word for v in result.verdicts if v.role != "secondary"} == {"VOID"}
        assert all("a cell failed: gaussian location=2.0" in v.advice for v in result.verdicts)
        assert "failed: gaussian" in repr(result)
    monkeypatch.delenv("TOY_BEHAVIOUR")
    repaired = run(study, "smoke", store=tmp_path / "True")
    assert len(executed(log)) == 12
    assert repaired.as_expected


def test_only_claims_on_the_arm_of_a_failed_cell_are_void(tmp_path):
    def cells(preset):
        return [*toy_study.cells(preset), *(Cell("other", {"location": 1.0}, r) for r in range(3))]

    def measured(cell, streams):
        if cell.arm == "other":
            sys.exit("even so")
        return toy_study.measure(cell, streams)

    claims = [replace(c, arms=("gaussian",)) for c in study.claims]
    controls = [replace(c, arms=("gaussian",)) for c in study.controls]
    guards = [replace(g, arms=("gaussian",)) for g in study.guards]
    mixed = replace(study, cells=cells, measure=measured, claims=(*claims,), controls=(*controls,), guards=(*guards,))
    result = run(mixed, "smoke", store=tmp_path)
    assert len(result.failures) == 3
    assert (result.verdict, result.as_expected) == ("CONFIRMED", False)
    result = run(replace(mixed, guards=study.guards), "smoke", store=tmp_path)
    assert result.verdict == "VOID"
    assert "guard positive: a cell failed: other" in result.verdicts[0].advice


def test_all_cells_failing_is_still_a_result(tmp_path):
    result = run(replace(study, measure=lambda cell, streams: 1 / 0), "smoke", store=tmp_path)
    assert (len(result.failures), len(result.rows), result.verdict) == (12, 0, "VOID")


def test_what_cannot_be_sent_to_a_worker_is_a_failed_cell(tmp_path):
    with process_pool(1) as pool:
        result = run(replace(study, measure=lambda cell, streams: None), "smoke", pool, tmp_path)
    assert len(result.failures) == 12
    assert "pickle" in str(result.failures[0]).lower()


def test_a_damaged_file_is_measured_again(tmp_path, log):
    first = run(study, "smoke", store=tmp_path / "s")
    path = sorted((tmp_path / "s").iterdir())[3]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(RuntimeWarning, match="damaged"):
        again = run(study, "smoke", store=tmp_path / "s")
    assert len(executed(log)) == 13
    equal(first.rows, again.rows)


def test_a_killed_worker_is_a_clear_error_and_loses_no_finished_cell(tmp_path, log, monkeypatch):
    monkeypatch.setenv("TOY_BEHAVIOUR", "kill")
    with pytest.raises(WorkerLost, match=r"lack of memory; \d+ of 12 cells .* kept .* resume, with fewer jobs"):  # noqa: SIM117
        with process_pool(2) as pool:
            run(study, "smoke", pool, tmp_path / "s")
    kept = len(Store(tmp_path / "s"))
    assert 5 <= kept <= 11  # the five cells before the deadly one are finished long before it
    monkeypatch.delenv("TOY_BEHAVIOUR")
    before = executed(log)
    result = run(study, "smoke", store=tmp_path / "s")
    assert result.as_expected
    assert len(executed(log)) - len(before) == 12 - kept


def test_an_interrupt_in_this_process_keeps_what_is_finished(tmp_path, log):
    def interrupted(cell, streams):
        if (cell.parameters["location"], cell.replicate) == (2.0, 1):
            raise KeyboardInterrupt
        return toy_study.measure(cell, streams)

    with pytest.raises(KeyboardInterrupt, match=r"5 of 12 cells of toy are kept in .*; run it again to resume"):
        run(replace(study, measure=interrupted), "smoke", store=tmp_path / "s")
    run(study, "smoke", store=tmp_path / "s")
    assert len(executed(log)) == len(set(executed(log))) == 12


def test_an_interrupt_while_storing_loses_nothing(tmp_path, log, monkeypatch):
    put, interrupts = Store.put, iter([KeyboardInterrupt])

    def interrupted(self, key, rows):
        for interrupt in interrupts:
            raise interrupt
        put(self, key, rows)

    monkeypatch.setattr(Store, "put", interrupted)
    with pytest.raises(KeyboardInterrupt, match="1 of 12"):
        run(study, "smoke", store=tmp_path / "s")
    run(study, "smoke", store=tmp_path / "s")
    assert len(executed(log)) == 12


def test_an_interrupt_keeps_what_the_workers_have_finished_meanwhile(tmp_path):
    def interrupt(name, done, total):
        if done == 1:
            deadline = time.monotonic() + 20.0  # the others finish, and nobody has looked at them
            while len(Store(tmp_path)) < 12 and time.monotonic() < deadline:
                time.sleep(0.01)
            raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool, pytest.raises(KeyboardInterrupt, match="12 of 12"):
        measure(study, "smoke", pool, tmp_path, progress=interrupt)


def test_a_measurement_of_the_wrong_type_is_a_failed_cell(tmp_path):
    result = run(replace(study, measure=lambda cell, streams: 1), "smoke", store=tmp_path)
    assert "expected a pandas.DataFrame" in str(result.failures[0])


def test_a_store_that_cannot_be_written_stops_the_run(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        run(study, "smoke", store=tmp_path / "file" / "cells")


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from toy_study import study
from pyphenom.studies import run, process_pool
if __name__ == "__main__":
    with process_pool(2) as pool:
        run(study, "quick", pool, sys.argv[2], progress=lambda name, done, total: print(done, flush=True))
"""


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Start a run with two workers in another process, and wait until some cells are kept."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def start(behaviour, finished):
        monkeypatch.setenv("TOY_BEHAVIOUR", behaviour)
        process = subprocess.Popen(
            [sys.executable, str(script), str(HERE), str(tmp_path / "s")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for line in process.stdout:
            if int(line) >= finished:
                break
        monkeypatch.delenv("TOY_BEHAVIOUR")
        return process

    return start


def workers_of(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def wait_for_the_end_of(pids):
    deadline = time.monotonic() + 20.0
    while any(Path(f"/proc/{pid}").exists() and "Z" not in state(pid) for pid in pids):
        assert time.monotonic() < deadline, f"{pids} are still there"
        time.sleep(0.05)


def state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ctrl_c_stops_a_run_cleanly_and_it_resumes(tmp_path, log, started):
    process = started("slow", finished=6)
    workers = workers_of(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: parent and workers alike
    _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1, errors
    wait_for_the_end_of(workers)
    kept = len(Store(tmp_path / "s"))
    said = re.search(r"KeyboardInterrupt: (\d+) of 36 cells of toy are kept in .*; run it again to resume", errors)
    assert 6 <= int(said[1]) <= kept < 36
    resumed_properly(tmp_path, log, kept)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_run_resumes_and_leaves_no_worker_behind(tmp_path, log, started):
    process = started("stuck", finished=4)
    workers = workers_of(process.pid)
    assert len(workers) >= 2
    process.kill()
    process.communicate(timeout=30)
    wait_for_the_end_of(workers)  # although they sleep in their cell
    kept = len(Store(tmp_path / "s"))
    assert 4 <= kept < 36
    resumed_properly(tmp_path, log, kept)


def resumed_properly(tmp_path, log, kept):
    """No cell that is kept is measured again, and the rows are those of a run that was never stopped."""
    before = executed(log)
    assert len(set(before)) == len(before) >= kept
    resumed = run(study, "quick", store=tmp_path / "s")
    after = executed(log)[len(before) :]
    assert len(after) == 36 - kept
    assert len({*before, *after}) == 36
    # A worker may be stopped between its last line in the log and the end of its write: one cell for each.
    assert len(before) - kept <= 2
    equal(resumed.rows, run(study, "quick", store=tmp_path / "untouched").rows)
