"""Where trials run: what a backend is, and the processes of this machine (loky)."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import torch
from joblib.externals.loky.process_executor import ProcessPoolExecutor, TerminatedWorkerError
from threadpoolctl import threadpool_limits

from zoo.arguments import is_whole, shown
from zoo.lab.memory import keep_freed_memory, return_freed_memory
from zoo.lab.runs.interrupt import Stopped, stoppable, work_for

Submit = Callable[[Callable[[Any], Any], Any], "Future[Any]"]
"""Begins a function of an item in a worker; the future's value is its outcome, or a `Stopped`."""


class Backend(ABC):
    """Where trials run.

    Attributes:
        at_once: the largest number of submitted trials; where infinite, the backend's own workers limit it.
        threads: of each trial.
        lost: the errors of a trial whose worker was killed and which the backend did not repeat.
        loss: the message about such a loss.
    """

    at_once: float
    threads: int
    lost: tuple[type[BaseException], ...]
    loss: str

    @abstractmethod
    def workers(self, count: int, stop_file: Path) -> AbstractContextManager[Submit]:
        """Workers for `count` items, which save and stop when the file exists, and end with the block."""

    @abstractmethod
    def cancel(self, future: "Future[Any]") -> None:
        """Cancels an item that has not begun; an item that has begun may still save."""


@dataclass(frozen=True)
class Loky(Backend):
    """Processes of this machine that end with this one.

    Attributes:
        jobs: trials at once.
        threads: of each trial.

    Raises:
        ValueError: jobs is not a whole number from 1.
    """

    jobs: int = 1
    threads: int = field(default_factory=lambda: threads_per_trial())

    at_once = inf  # the pool begins no more than `jobs`
    lost = (TerminatedWorkerError,)
    loss = "a process was killed from outside, perhaps for lack of memory, and the others were stopped with it"

    def __post_init__(self) -> None:
        if not is_whole(self.jobs) or self.jobs < 1:
            raise ValueError(f"jobs must be a whole number from 1, got {shown(self.jobs)}")

    @contextmanager
    def workers(self, count: int, stop_file: Path) -> Iterator[Submit]:
        """Starts the processes, no more than there are items, since each imports everything."""
        pool = ProcessPoolExecutor(
            min(self.jobs, count),
            initializer=work_for,
            initargs=(os.getpid(), stop_file),
            env=thread_variables(self.threads),
        )
        try:
            yield partial(pool.submit, in_worker, self.threads)
        except BaseException:
            pool.shutdown(kill_workers=True)
            raise
        pool.shutdown()

    def cancel(self, future: "Future[Any]") -> None:
        """Cancels an item that has not begun."""
        future.cancel()


def in_worker(threads: int, task: Callable[[Any], Any], item: Any) -> Any:
    """The task's outcome in a process that `work_for` has prepared; a `Stopped` is returned."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    try:
        with stoppable():
            return task(item)
    except Stopped as stopped:
        return stopped
    finally:
        return_freed_memory()


def threads_per_trial() -> int:
    """The threads of each trial: OMP_NUM_THREADS, or 1.

    They do not follow from the number of trials at once, since sums in another number of threads have other last
    digits: a trial's numbers depend neither on --jobs nor on the backend.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return max(1, int(asked)) if asked.isdecimal() else 1


def thread_variables(threads: int) -> dict[str, str]:
    """Environment variables of a process with so many threads."""
    return {name: os.environ.get(name, str(threads)) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """A block in which this process computes as a worker does."""
    before = torch.get_num_threads()
    with threadpool_limits(threads):
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
