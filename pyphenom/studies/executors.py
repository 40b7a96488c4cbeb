"""Where cells are measured: a process pool whose workers behave as they should, or the workers of a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from threadpoolctl import threadpool_limits


@contextmanager
def process_pool(jobs: int, warm: Callable[[], object] = os.getpid) -> Iterator[ProcessPoolExecutor]:
    """Yield an executor with ``jobs`` worker processes, for the ``executor`` of :func:`~pyphenom.studies.run`.

    The workers are spawned, since a fork copies locks that threads hold. Each uses ``cores // jobs`` threads for
    BLAS and OpenMP, at least one, and so does this process inside the block. They ignore Ctrl-C, which the parent
    handles, and they end with the parent, whichever way it ends.

    Parameters
    ----------
    jobs : int
        Worker processes; at least 1.
    warm : callable, optional
        What each worker does first, such as importing what it will need while this process does the same. What it
        returns or raises is dropped.

    Yields
    ------
    ProcessPoolExecutor

    Raises
    ------
    ValueError
        If ``jobs`` is less than 1.
    """
    if jobs < 1:
        raise ValueError(f"jobs: got {jobs}, expected at least 1")
    context = multiprocessing.get_context("spawn")
    # Only this process holds the far end: it closes when the run is given up, and also when this process is killed.
    lifeline, far_end = context.Pipe(duplex=False)
    threads = max(1, cores() // jobs)
    executor = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker, initargs=(threads, lifeline))
    with _interrupts_ignored():  # the workers inherit it: a Ctrl-C while they start is not theirs either
        for _ in range(jobs):  # a worker starts when there is work and no other is idle
            executor.submit(warm)
    try:
        # The cores are taken: the threads of a BLAS here would spend more time waiting for one another than computing.
        with threadpool_limits(threads):
            yield executor
    except BaseException:
        # The pool first drops what it has not begun: were it broken before, its thread would stumble over the futures
        # that the run has cancelled, and print a traceback.
        threading.Timer(0.2, far_end.close).start()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        far_end.close()
        lifeline.close()


@contextmanager
def dask_cluster(address: str) -> Iterator[Executor]:
    """Yield an executor on a running Dask cluster, for the ``executor`` of :func:`~pyphenom.studies.run`.

    The workers need this package, the same study, and the folder of the store under the same path; a worker that is
    lost has its cells measured again by another. SLURM, Kubernetes and clouds come with the clusters of the Dask
    project: start one there and give its scheduler's address.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``"tcp://127.0.0.1:8786"``.

    Yields
    ------
    concurrent.futures.Executor

    Raises
    ------
    ModuleNotFoundError
        Without the extra ``pyphenom[distributed]``.
    ConnectionError
        If no scheduler answers at the address.
    """
    try:
        import distributed
    except ImportError:
        raise ModuleNotFoundError(
            "Dask is not installed; expected the extra: pip install 'pyphenom[distributed]'"
        ) from None
    connect: Any = distributed.Client
    try:
        client = connect(address, timeout=10)
    except (OSError, ValueError) as error:
        raise ConnectionError(f"no Dask scheduler answers at {address!r}: {error}; start one, or check it") from None
    with client:
        yield client.get_executor(pure=False)


def cores() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _start_worker(threads: int, lifeline: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    # Libraries already here take the limit; those that the measurement will import read the environment.
    threadpool_limits(threads)
    for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)


def _end_with(lifeline: Connection) -> None:
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
