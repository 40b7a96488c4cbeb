import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import pytest
from toy_study import study

from pyphenom.studies import Cell, Store, run
from pyphenom.studies.timings import note, timings


def cell(replicate=0, arm="a", **parameters):
    return Cell(arm, parameters, replicate)


def test_alike_is_what_differs_in_the_replicate_alone(tmp_path):
    for seconds, noted in ((1.0, cell(0, n=1)), (3.0, cell(1, n=1)), (8.0, cell(0, n=2)), (99.0, cell(arm="b"))):
        note(tmp_path, study, noted, seconds)
    known = timings(tmp_path, study)
    assert known.expected(cell(7, n=1)) == pytest.approx(2.0)
    assert known.expected(cell(7, n=2)) == pytest.approx(8.0)
    assert known.expected(cell(7, n=3)) == pytest.approx(4.0)  # the mean of the arm
    assert known.expected(cell(arm="c")) is None


def test_another_measurement_has_other_times(tmp_path):
    note(tmp_path, study, cell(), 1.0)
    for other in (replace(study, name="twin"), replace(study, cell_version="2")):
        assert timings(tmp_path, other).expected(cell()) is None
    assert timings(tmp_path, replace(study, version="2")).expected(cell()) == 1.0
    assert timings(tmp_path / "nowhere", study).expected(cell()) is None


def test_old_times_are_forgotten(tmp_path):
    for seconds in [100.0] * 10 + [2.0] * 50:
        note(tmp_path, study, cell(), seconds)
    assert timings(tmp_path, study).expected(cell()) == 2.0


def test_a_line_cut_off_by_a_kill_spoils_no_other(tmp_path):
    note(tmp_path, study, cell(), 1.0)
    path = tmp_path / "timings.jsonl"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole + whole[:length])
        note(tmp_path, study, cell(), 3.0)
        assert timings(tmp_path, study).expected(cell()) == 2.0
    path.write_bytes(b'\n{"study": 1}\n[]\n\xff\n7' + whole)
    assert timings(tmp_path, study).expected(cell()) == 1.0


def write_many(folder):
    for _ in range(200):
        note(folder, study, cell(os.getpid()), 1.0)


def test_lines_of_several_processes_do_not_mix(tmp_path):
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        list(pool.map(write_many, [tmp_path] * 4))
    lines = (tmp_path / "timings.jsonl").read_text().splitlines()[1:]
    assert len(lines) == 4 * 200
    assert all(json.loads(line)["seconds"] == 1.0 for line in lines)


def test_a_time_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "timings.jsonl").mkdir()
    assert run(study, "smoke", store=tmp_path).as_expected


def test_a_run_notes_each_cell_that_it_measures_once(tmp_path):
    run(study, "smoke", store=tmp_path)
    run(study, "smoke", store=tmp_path)
    assert len((tmp_path / "timings.jsonl").read_text().splitlines()) == 1 + 12
    assert len(Store(tmp_path)) == 12
    assert 0.0 < timings(tmp_path, study).expected(study.work("quick")[-1]) < 10.0


def test_a_failed_cell_has_no_time(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_BEHAVIOUR", "fail")
    run(study, "smoke", store=tmp_path)
    assert len((tmp_path / "timings.jsonl").read_text().splitlines()) == 1 + 11
