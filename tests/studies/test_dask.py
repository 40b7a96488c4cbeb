"""A real local cluster of two worker processes; skipped only where Dask is not installed."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import toy_study

from pyphenom.studies import BudgetSpent, Store, run
from pyphenom.studies.executors import dask_cluster

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'pyphenom[distributed]'")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def started():
    # The workers find the toy study as a user's package would be found.
    folder = str(Path(toy_study.__file__).parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH", "")])))
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster:
            yield cluster


@pytest.fixture
def cluster(started):
    """Give the cluster with two workers that behave."""
    with distributed.Client(started.scheduler_address) as client:
        client.wait_for_workers(2, timeout=60)  # one may have been killed
        client.run(lambda: os.environ.pop("TOY_BEHAVIOUR", None))
    return started


def table(result):
    return result.rows.to_csv(index=False)


def test_rows_are_those_of_one_process_to_the_byte(cluster, tmp_path):
    here = run(toy_study.study, preset="quick", store=tmp_path / "here")
    with dask_cluster(cluster.scheduler_address) as executor:
        there = run(toy_study.study, preset="quick", executor=executor, store=tmp_path / "there")
    assert table(there) == table(here)


def test_a_worker_that_is_killed_costs_no_cell(cluster, tmp_path, monkeypatch):
    here = run(toy_study.study, preset="quick", store=tmp_path / "here")
    with distributed.Client(cluster.scheduler_address) as client:
        client.run(lambda: os.environ.update(TOY_BEHAVIOUR="slow"))
        victim = next(iter(client.run(os.getpid).values()))
    killer = threading.Timer(0.7, os.kill, (victim, signal.SIGKILL))
    killer.start()
    with dask_cluster(cluster.scheduler_address) as executor:
        there = run(toy_study.study, preset="quick", executor=executor, store=tmp_path / "there")
    killer.join()
    assert not there.failures
    assert table(there) == table(here)


def test_a_stopped_run_is_finished_on_the_cluster(cluster, tmp_path, monkeypatch):
    here = run(toy_study.study, preset="quick", store=tmp_path / "here")
    started = time.monotonic()

    def stop(*progress):
        if progress[-2] >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(toy_study.study, preset="quick", store=tmp_path / "there", progress=stop)
    kept = len(list((tmp_path / "there").rglob("*.*")))
    assert kept >= 10
    with dask_cluster(cluster.scheduler_address) as executor:
        there = run(toy_study.study, preset="quick", executor=executor, store=tmp_path / "there")
    assert table(there) == table(here)
    assert time.monotonic() - started < 60


def test_a_budget_ends_the_run_and_keeps_what_is_finished(cluster, tmp_path):
    here = run(toy_study.study, preset="quick", store=tmp_path / "here")
    with distributed.Client(cluster.scheduler_address) as client:
        client.run(lambda: os.environ.update(TOY_BEHAVIOUR="slow"))
    with dask_cluster(cluster.scheduler_address) as executor:
        with pytest.raises(BudgetSpent, match="of 36 cells of toy are kept"):
            run(toy_study.study, preset="quick", executor=executor, store=tmp_path / "there", budget=1.0)
        assert len(Store(tmp_path / "there")) <= 2 * 8
        there = run(toy_study.study, preset="quick", executor=executor, store=tmp_path / "there")
    assert table(there) == table(here)


def test_no_scheduler_is_a_clear_error(monkeypatch):
    connect = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda address, timeout: connect(address, timeout=timeout / 20))
    with (
        pytest.raises(ConnectionError, match="no Dask scheduler answers"),
        dask_cluster("tcp://127.0.0.1:9"),
    ):
        pass
