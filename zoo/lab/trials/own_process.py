"""A call in a Python process of its own, for workers of a cluster: python -m zoo.lab.trials.own_process < call.

A worker of a cluster may run several tasks as threads of one process, and outlives the command that uses it. A process
per trial has its own random numbers, number of threads and signals, and is the same for every cluster. The workers
themselves do not import PyTorch.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from zoo.lab.runs.interrupt import Stopped, work_for
from zoo.lab.runs.lock import LOCK


class Place(NamedTuple):
    """Where the command runs.

    Attributes:
        folder: its working directory, for relative paths.
        stop_file: ends the process when it exists, in a folder that the command has locked.
        variables: of the environment, for the process; PYTHONPATH is added to the worker's.
    """

    folder: Path
    stop_file: Path
    variables: Mapping[str, str]


def in_own_process(place: Place, call: bytes, *, wanted: Callable[[], bool] = lambda: True) -> Any:
    """The value of a pickled call without arguments, or `Stopped`, from a process that ends with this one.

    Args:
        place: where the command runs.
        call: the call.
        wanted: whether the value is still wanted; if not, the process is killed.

    Raises:
        FileNotFoundError: the command's folder is not on this machine.
        ChildProcessError: the process was killed.
        Exception: what the call raised.
    """
    if place.stop_file.exists():
        return Stopped("stopped before it began", signal.SIGTERM)
    if not (place.stop_file.parent / LOCK).is_file() or not place.folder.is_dir():
        raise FileNotFoundError(
            f"{place.stop_file.parent} of the command is not on {socket.gethostname()}, where a worker runs: name an "
            "output folder on a file system that all workers share"
        )
    modules = [*sys.path, *place.variables.get("PYTHONPATH", "").split(os.pathsep)]
    path = os.pathsep.join(dict.fromkeys(filter(None, modules)))
    variables = {**os.environ, **place.variables, "PYTHONPATH": path}
    command = [sys.executable, "-m", "zoo.lab.trials.own_process"]
    with TemporaryFile() as given, TemporaryFile() as outcome:
        pickle.dump((os.getpid(), place.stop_file, call), given)
        given.seek(0)
        with subprocess.Popen(command, stdin=given, stdout=outcome, cwd=place.folder, env=variables) as process:
            try:
                while process.poll() is None:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(0.5)
                    if not wanted():
                        raise ChildProcessError(f"process {process.pid} is not wanted any more")
            finally:
                process.kill()
        if process.returncode:
            raise ChildProcessError(f"process {process.pid} on {socket.gethostname()} ended with {process.returncode}")
        outcome.seek(0)
        value, error = pickle.load(outcome)
    if error is not None:
        raise error
    return value


def in_own_process_on_dask(place: Place, call: bytes) -> Any:
    """As `in_own_process`, in a task of a Dask worker: when the command ends, the scheduler cancels the task there."""
    from distributed import get_worker

    worker = get_worker()
    tasks, key = worker.state.tasks, worker.get_current_task()

    def wanted() -> bool:
        return key in tasks and tasks[key].state == "executing"

    return in_own_process(place, call, wanted=wanted)


def dask_setup(worker: Any) -> None:
    """Ignores Ctrl-C in a Dask worker that the command has started: a terminal also sends it to the command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _main() -> None:
    outcome = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed does not get into the outcome
    parent, stop_file, call = pickle.load(sys.stdin.buffer)
    work_for(parent, stop_file)
    from joblib.externals.loky.backend.reduction import dump  # also pickles functions and errors that pickle cannot

    value, error = None, None
    try:
        value = pickle.loads(call)()
    except Exception as raised:
        error = raised
    with outcome:
        dump((value, error), outcome)


if __name__ == "__main__":
    _main()
