"""Dask and Ray clusters as backends: each trial is a task of the cluster, in a process of its own.

When a worker is lost, both repeat its task on another one: the trial resumes from its checkpoint, or returns at once if
it was finished.
"""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from joblib.externals.loky.backend.reduction import dumps

from zoo.lab.errors import import_optional
from zoo.lab.trials.own_process import Place, in_own_process, in_own_process_on_dask
from zoo.lab.trials.processes import Backend, Submit, in_worker, thread_variables

PRELOAD = ["zoo.lab.trials.own_process"]  # imported at its start by each Dask worker that is started here
PASSED_ON = ("ZOO_DATA",)  # environment variables of the command that its trials read
RETRIES = 3  # of a trial whose worker was lost
TIMEOUT = 10.0  # seconds to wait for a scheduler's answer


@dataclass(frozen=True)
class Cluster(Backend):
    """A cluster that is connected.

    Attributes:
        name: what it is called in messages.
        at_once, threads, lost: see `zoo.lab.trials.processes.Backend`.
        begin: function from a `Place` to a context manager of a function that submits a pickled call.
    """

    name: str
    at_once: float
    threads: int
    lost: tuple[type[BaseException], ...]
    begin: Callable[[Place], AbstractContextManager[Callable[[bytes], "Future[Any]"]]]

    loss = f"a trial lost its worker {RETRIES + 1} times, perhaps for lack of memory; the others went on without it"

    def __str__(self) -> str:
        return self.name

    @contextmanager
    def workers(self, count: int, stop_file: Path) -> Iterator[Submit]:
        """The cluster's own workers, whatever `count` is."""
        own = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        own["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # a recipe may be in a module next to the command
        place = Place(Path.cwd(), stop_file, {**thread_variables(self.threads), **own})
        with self.begin(place) as submit:
            yield lambda task, item: submit(bytes(dumps(partial(in_worker, self.threads, task, item))))

    def cancel(self, future: "Future[Any]") -> None:
        """Does nothing: a task that has not begun sees the file that stops it, and ends."""


@contextmanager
def dask(jobs: int | None, here: int, threads: int, scheduler: str | None) -> Iterator[Cluster]:
    """The Dask cluster at the address, or the current client's, or `here` workers on this machine.

    Raises:
        ModuleNotFoundError: `distributed` is not installed.
        ConnectionError: no scheduler answers.
    """
    distributed = import_optional("distributed", "--backend dask", "dask")
    address = scheduler or distributed.config.get("scheduler-address", None)
    with _dask_client(distributed, address, here, threads) as client:
        found = client.scheduler.address
        if not client.scheduler_info()["workers"]:
            warnings.warn(
                f"the Dask cluster at {found} has no worker yet: trials begin when there is one, as by "
                f"`dask worker {found}`",
                stacklevel=4,
            )
        yield Cluster(
            f"the Dask scheduler at {found}",
            jobs or inf,
            threads,
            (distributed.KilledWorker, ChildProcessError),
            partial(_on_dask, client),
        )


@contextmanager
def _dask_client(distributed: Any, address: str | None, here: int, threads: int) -> Iterator[Any]:
    if address is None:
        try:
            current = distributed.Client.current()
        except ValueError:
            pass
        else:
            yield current
            return
        with (
            distributed.LocalCluster(
                n_workers=here,
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=logging.ERROR,
                preload=PRELOAD,
            ) as cluster,
            distributed.Client(cluster, set_as_default=False) as client,
        ):
            yield client
        return
    try:
        client = distributed.Client(address, timeout=TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ConnectionError(
            f"--scheduler {address}: no Dask scheduler answers there within {TIMEOUT:g} seconds ({error}): start one "
            "with `dask scheduler`, and give the address that it prints"
        ) from error
    with client:
        yield client


@contextmanager
def _on_dask(client: Any, place: Place) -> Iterator[Callable[[bytes], "Future[Any]"]]:
    executor = client.get_executor(pure=False, retries=RETRIES)
    try:
        yield partial(executor.submit, in_own_process_on_dask, place)
    except BaseException:
        executor.shutdown(wait=False)
        raise


@contextmanager
def ray(jobs: int | None, here: int, threads: int, *, on_gpu: bool) -> Iterator[Cluster]:
    """The Ray cluster of RAY_ADDRESS, or one that runs on this machine; else one is started.

    A trial reserves `threads` cores, and on GPUs its share of them where `jobs`, or else `here`, trials run at once.

    Raises:
        ModuleNotFoundError: `ray` is not installed.
        ConnectionError: the cluster does not answer.
    """
    library = import_optional("ray", "--backend ray", "ray")
    begun = not library.is_initialized()
    if begun:
        try:
            library.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        except Exception as error:  # Ray has no type of its own for a cluster that does not start
            raise ConnectionError(
                f"no Ray cluster answers ({error}): start one with `ray start --head`, or unset RAY_ADDRESS to start "
                "one on this machine"
            ) from error
    try:
        gpus = library.cluster_resources().get("GPU", 0) if on_gpu else 0
        most = max(node["Resources"].get("CPU", 0) for node in library.nodes() if node["Alive"])
        errors = library.exceptions
        lost = (
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.OutOfMemoryError,
            errors.LocalRayletDiedError,
            ChildProcessError,
        )
        options = {"num_cpus": min(threads, most), "num_gpus": min(1.0, gpus / (jobs or here))}
        yield Cluster("the Ray cluster", jobs or inf, threads, lost, partial(_on_ray, library, options))
    finally:
        if begun:
            library.shutdown()


@contextmanager
def _on_ray(library: Any, options: dict[str, Any], place: Place) -> Iterator[Callable[[bytes], "Future[Any]"]]:
    task = library.remote(max_retries=RETRIES, retry_exceptions=[ChildProcessError], **options)(in_own_process)
    begun = []

    def submit(call: bytes) -> "Future[Any]":
        begun.append(task.remote(place, call))
        future: Future[Any] = begun[-1].future()
        return future

    try:
        yield submit
    except BaseException:
        for reference in begun:
            library.cancel(reference, force=True)
        raise
