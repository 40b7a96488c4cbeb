import os
import signal
import threading
import time
from functools import partial

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from pyphenom.studies import process_pool
from pyphenom.studies.executors import cores


def blas_threads():
    import numpy as np

    np.ones((2, 2)) @ np.ones((2, 2))
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def worker_state():
    blas = blas_threads()
    return os.getpid(), os.environ["OMP_NUM_THREADS"], blas, signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_workers_share_the_cores_and_ignore_interrupts():
    with process_pool(2) as pool:
        pid, threads, blas, ignores = pool.submit(worker_state).result()
    assert pid != os.getpid()
    assert int(threads) == max(1, cores() // 2)
    assert blas
    assert all(n <= int(threads) for n in blas)
    assert ignores
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_this_process_takes_no_more_than_its_workers_and_gets_its_threads_back():
    with threadpool_limits(2):
        with process_pool(2 * cores()):
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {2}


def test_giving_up_ends_the_workers_in_the_middle_of_their_work():
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), process_pool(1) as pool:  # noqa: PT012
        pid = pool.submit(os.getpid).result()
        pool.submit(time.sleep, 120)
        raise KeyboardInterrupt
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def sign(folder):
    (folder / str(os.getpid())).touch()
    time.sleep(1)
    raise ValueError("nobody hears this")


def test_every_worker_warms_up_first(tmp_path):
    with process_pool(2, partial(sign, tmp_path)) as pool:
        pool.submit(abs, -1).result()
        signed = {int(path.name) for path in tmp_path.iterdir()}
        assert signed == set(pool._processes)
    assert len(signed) == 2


def test_a_pool_may_be_made_in_any_thread():
    found = []

    def use():
        with process_pool(1) as pool:
            found.append(pool.submit(abs, -1).result())

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert found == [1]


def test_at_least_one_job():
    with pytest.raises(ValueError, match="jobs: got 0"), process_pool(0):
        pass
