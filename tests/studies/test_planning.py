import itertools
import json
from dataclasses import replace

import pytest
import toy_study
from toy_study import study

from pyphenom.studies import Cell, Plan, Store, measure, plan, run
from pyphenom.studies.timings import note


def two_arms(preset):
    return [*toy_study.cells(preset), *(Cell("other", {"location": 1.0}, r) for r in range(3))]


def planned(*durations):
    cells = tuple(Cell("a", {}, replicate) for replicate in range(len(durations)))
    return Plan(study, "quick", 0, (), cells, durations)


def test_a_plan_counts_and_measures_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    before = plan(study, "smoke", tmp_path / "s")
    assert [(arm.arm, arm.cells, arm.stored, arm.seconds) for arm in before.arms] == [("gaussian", 12, 0, None)]
    assert (before.untimed, before.seconds(), (tmp_path / "s").exists()) == (("gaussian",), None, False)
    assert not (tmp_path / "log").exists()
    run(study, "smoke", store=tmp_path / "s")
    after = plan(study, "smoke", tmp_path / "s")
    assert (after.cells, after.stored, after.missing, after.untimed, after.seconds()) == (12, 12, (), (), 0.0)
    assert plan(study, "smoke", tmp_path / "s", seed=1).stored == 0


def test_the_time_of_the_rest_comes_from_cells_measured_before(tmp_path):
    run(study, "smoke", store=tmp_path)
    (tmp_path / "timings.jsonl").unlink()
    assert plan(study, "smoke", tmp_path).seconds() == 0.0  # nothing is missing, so nothing has to be known
    for location, seconds in ((1.0, 2.0), (2.0, 3.0), (4.0, 5.0)):
        note(tmp_path, study, Cell("gaussian", {"location": location}, 0), seconds)
    quick = plan(study, "quick", tmp_path)
    assert (quick.cells, quick.stored) == (36, 12)
    assert quick.seconds() == pytest.approx(8 * (2.0 + 3.0 + 5.0))
    assert quick.arms[0].seconds == pytest.approx(quick.seconds())


@pytest.mark.parametrize(
    ("durations", "jobs", "expected"),
    [((), 3, 0.0), ((2.0,) * 6, 3, 4.0), ((2.0,) * 7, 3, 6.0), ((1.0, 1.0, 9.0), 2, 10.0), ((4.0,), 8, 4.0)],
)
def test_workers_take_the_next_cell_as_they_become_free(durations, jobs, expected):
    assert planned(*durations).seconds(jobs) == pytest.approx(expected)


def test_no_time_is_made_up(tmp_path):
    assert planned(1.0, None).seconds() is None
    with pytest.raises(ValueError, match="jobs: got 0"):
        planned(1.0).seconds(0)
    with pytest.raises(ValueError, match="'tiny'"):
        plan(study, "tiny", tmp_path)


def test_probes_time_each_unknown_arm_and_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    wide = replace(study, cells=two_arms)
    store = Store(tmp_path / "s")
    measure(plan(wide, "smoke", store).probes(), "smoke", store=store)
    timed = plan(wide, "smoke", store)
    assert [(arm.arm, arm.stored) for arm in timed.arms] == [("gaussian", 1), ("other", 1)]
    assert timed.untimed == ()
    assert timed.seconds() > 0.0
    measure(wide, "smoke", store=store)
    assert len((tmp_path / "log").read_text().splitlines()) == 15  # the probes were not measured again


def test_a_plan_is_strict_json(tmp_path):
    for jobs in (1, 2):
        content = plan(study, "smoke", tmp_path).to_dict(jobs)
        assert json.loads(json.dumps(content, allow_nan=False)) == content
        assert (content["cells"], content["stored"], content["jobs"], content["seconds"]) == (12, 0, jobs, None)


def test_more_workers_are_never_slower_in_equal_cells():
    times = [planned(*[1.5] * 20).seconds(jobs) for jobs in range(1, 25)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(times))
    assert times[-1] == 1.5
