"""Opens the backend that a name stands for: processes of this machine (loky), or a Dask or Ray cluster."""

from collections.abc import Iterator
from contextlib import contextmanager

from joblib import cpu_count

from zoo.arguments import between, checked, shown
from zoo.lab.trials import clusters
from zoo.lab.trials.processes import Backend, Loky, threads_per_trial

BACKENDS = ("loky", "dask", "ray")


@checked(jobs=between(1, 256))
@contextmanager
def open_backend(
    name: str = "loky", *, jobs: int | None = None, scheduler: str | None = None, device: str | None = "cpu"
) -> Iterator[Backend]:
    """The backend of this name, connected where it is a cluster, and closed at the end.

    Args:
        name: "loky" for processes of this machine, "dask" or "ray".
        jobs: number of trials at once. When not given: on a running cluster, as many as it has room for; else the
            number of cores divided by the threads of a trial, or 1 where the device is not a CPU.
        scheduler: the address of a Dask scheduler. When not given, Dask uses the current client or the address in its
            configuration (DASK_SCHEDULER_ADDRESS), and else starts workers on this machine. Ray reads RAY_ADDRESS.
        device: of the trials.

    Raises:
        ValueError: there is no such backend, jobs is not positive, or a scheduler is given for a backend other than
            Dask.
        ModuleNotFoundError: the backend's library is not installed; the message says how to install it.
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
    on = (
        clusters.dask(jobs, here, threads, scheduler)
        if name == "dask"
        else clusters.ray(jobs, here, threads, on_gpu=(device or "").startswith("cuda"))
    )
    with on as backend:
        yield backend
