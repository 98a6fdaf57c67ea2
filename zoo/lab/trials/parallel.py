"""Work in several processes that end with this one, stop when it is asked to stop, and stop when their time is up."""

import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path
from time import monotonic
from typing import TypeVar

import torch
from joblib.externals.loky.process_executor import ProcessPoolExecutor

from zoo.lab.runs.interrupt import DeferredInterrupt, Stopped, stoppable, work_for

STOP = ".stop"  # written by the parent to stop its workers

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def in_parallel(
    task: Callable[[Item], Outcome], items: Sequence[Item], *, jobs: int, folder: Path, seconds: float = math.inf
) -> Iterator[tuple[Item, Outcome]]:
    """Yields each item with its outcome, as they end; `jobs` at once, each in a process with its share of the threads.

    When the time is up, or this process is asked to stop, it asks its workers to stop and waits until each has saved.

    Args:
        task: function of an item; both are sent to other processes.
        items: in the order in which they are begun.
        jobs: number of processes.
        folder: for the file that stops the workers; no other process runs work of this folder.
        seconds: the time for all of it. When it is up the iteration ends, without the items that are not done.

    Raises:
        Stopped: this process or a worker was asked to stop.
        joblib.externals.loky.process_executor.TerminatedWorkerError: a worker was killed.
    """
    if not items:
        return
    threads = max(1, torch.get_num_threads() // jobs)
    env = {name: os.environ.get(name, str(threads)) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    stop_file, stopped = folder.absolute() / STOP, None
    stop_file.unlink(missing_ok=True)  # a command that was killed may have left it
    processes = min(jobs, len(items))  # each imports everything, and there may be fewer items
    workers = ProcessPoolExecutor(processes, initializer=work_for, initargs=(os.getpid(), stop_file), env=env)
    end, time_is_up = monotonic() + seconds, False
    try:
        with DeferredInterrupt() as interrupt:
            pending = {workers.submit(_in_process, task, item, threads): item for item in items}
            while pending:
                done, _ = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    item = pending.pop(future)
                    if future.cancelled():
                        continue
                    outcome = future.result()
                    if not isinstance(outcome, Stopped):
                        yield item, outcome
                    elif not time_is_up:
                        stopped = stopped or outcome
                if interrupt.signal:
                    name = signal.Signals(interrupt.signal).name
                    stopped = Stopped(f"stopped by {name}", interrupt.signal)
                time_is_up = time_is_up or monotonic() >= end
                if (stopped or time_is_up) and not stop_file.exists():
                    stop_file.touch()
                    for future in pending:
                        future.cancel()
        if stopped:
            raise stopped
    finally:
        workers.shutdown(kill_workers=bool(stopped) or sys.exc_info()[0] is not None)
        stop_file.unlink(missing_ok=True)


def _in_process(task: Callable[[Item], Outcome], item: Item, threads: int) -> Outcome | Stopped:
    torch.set_num_threads(threads)
    try:
        with stoppable():
            return task(item)
    except Stopped as stopped:
        return stopped
