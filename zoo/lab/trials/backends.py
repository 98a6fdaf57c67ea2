"""Where trials run: in processes of this machine (loky), or on a Dask or Ray cluster."""

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
from joblib import cpu_count
from joblib.externals.loky.process_executor import ProcessPoolExecutor, TerminatedWorkerError
from threadpoolctl import threadpool_limits

from zoo.arguments import between, checked, is_whole, shown
from zoo.lab.memory import keep_freed_memory, return_freed_memory
from zoo.lab.runs.interrupt import Stopped, stoppable, work_for

BACKENDS = ("loky", "dask", "ray")
Submit = Callable[[Callable[[Any], Any], Any], "Future[Any]"]
"""Begins a function of an item in a worker; the future's value is its outcome, or a `Stopped`."""


class Backend(ABC):
    """Where trials run.

    Attributes:
        at_once: the largest number of submitted trials; where infinite, the backend's own workers limit it.
        threads: of each trial.
        lost: the errors of a trial whose worker was killed and which the backend did not repeat.
        loss: what has happened then, in words.
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
        """Cancels an item that has not begun; one that has is left to save."""


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


@checked(jobs=between(1, 256))
@contextmanager
def open_backend(
    name: str = "loky", *, jobs: int | None = None, scheduler: str | None = None, device: str | None = "cpu"
) -> Iterator[Backend]:
    """The backend of this name, connected where it is a cluster, and closed at the end.

    Args:
        name: "loky" for processes of this machine, "dask" or "ray".
        jobs: trials at once. When not given: on a cluster that is running as many as it has place for; else one per
            core, divided by the threads of a trial, and one where the device is no CPU.
        scheduler: the address of a Dask scheduler. When not given, Dask uses the current client or the address in its
            configuration (DASK_SCHEDULER_ADDRESS), and else starts workers on this machine. Ray reads RAY_ADDRESS.
        device: of the trials.

    Raises:
        ValueError: there is no such backend, jobs is not positive, or a scheduler is given for another one than Dask.
        ModuleNotFoundError: its library is not installed; the message says how to install it.
        ConnectionError: the cluster does not answer.
    """
    if name == "threading":
        raise ValueError(
            "--backend threading cannot train: Pyro's handlers and parameters and PyTorch's random numbers belong to "
            f"the process, so that trials in threads would change each other; use {' or '.join(BACKENDS)}"
        )
    if name not in BACKENDS:
        raise ValueError(f"--backend must be {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}, got {shown(name)}")
    if scheduler is not None and name != "dask":
        remedy = "give RAY_ADDRESS instead" if name == "ray" else "give --backend dask, too, or leave it out"
        raise ValueError(
            f"--scheduler {scheduler} can only be given with --backend dask, got --backend {name}: {remedy}"
        )
    threads = threads_per_trial()
    here = jobs or (max(1, cpu_count() // threads) if device in (None, "cpu") else 1)
    if name == "loky":
        yield Loky(here, threads)
        return
    from zoo.lab.trials import clusters  # needs the others' libraries

    on = (
        clusters.dask(jobs, here, threads, scheduler)
        if name == "dask"
        else clusters.ray(jobs, here, threads, on_gpu=(device or "").startswith("cuda"))
    )
    with on as backend:
        yield backend


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
