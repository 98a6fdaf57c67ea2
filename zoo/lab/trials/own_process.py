"""A call in a Python process of its own, for workers of a cluster: python -m zoo.lab.trials.own_process < call.

A worker of a cluster may run several tasks as threads of one process, and outlives the command that uses it. A process
per trial has its own random numbers, number of threads and signals, and is the same for every cluster.
"""

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from joblib.externals.loky.backend.reduction import dump

from zoo.lab.runs.interrupt import Stopped, work_for
from zoo.lab.runs.lock import LOCK
from zoo.lab.trials.backends import in_worker, thread_variables

PASSED_ON = ("ZOO_DATA",)  # environment variables of the command that its trials read


class Place(NamedTuple):
    """What a process of a cluster takes over from the command.

    Attributes:
        folder: the working directory, for relative paths.
        stop_file: ends the process when it exists, in a folder that the command has locked.
        threads: of the process.
        variables: of the environment.
    """

    folder: Path
    stop_file: Path
    threads: int
    variables: dict[str, str]

    @classmethod
    def here(cls, stop_file: Path, threads: int) -> "Place":
        """That of this process."""
        own = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return cls(Path.cwd(), stop_file, threads, {**thread_variables(threads), **own})


def in_own_process(
    place: Place, task: Callable[[Any], Any], item: Any, *, wanted: Callable[[], bool] = lambda: True
) -> Any:
    """The task's outcome, or `Stopped`, from a process that ends with this one.

    Args:
        place: where the command runs.
        task, item: the call.
        wanted: whether the outcome is still wanted; if not, the process is killed.

    Raises:
        FileNotFoundError: the command's folder is not on this machine.
        ChildProcessError: the process was killed.
        Exception: what the task raised.
    """
    if place.stop_file.exists():
        return Stopped("stopped before it began", SIGTERM)
    if not (place.stop_file.parent / LOCK).is_file() or not place.folder.is_dir():
        raise FileNotFoundError(
            f"{place.stop_file.parent} of the command is not on {socket.gethostname()}, where a worker runs: name an "
            "output folder on a file system that all workers share"
        )
    path = os.pathsep.join(dict.fromkeys(filter(None, sys.path)))
    variables = {**os.environ, **place.variables, "PYTHONPATH": path}
    with TemporaryFile() as call, TemporaryFile() as outcome:
        pickle.dump((os.getpid(), place.stop_file), call)
        dump((place.threads, task, item), call)
        call.seek(0)
        command = [sys.executable, "-m", "zoo.lab.trials.own_process"]
        with subprocess.Popen(command, stdin=call, stdout=outcome, cwd=place.folder, env=variables) as process:
            try:
                while process.poll() is None:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(0.5)
                    if not wanted():
                        raise ChildProcessError(f"process {process.pid} is not wanted any more")
            finally:
                process.kill()
        if process.returncode:
            raise ChildProcessError(
                f"process {process.pid} on {socket.gethostname()} ended with {process.returncode}, perhaps for lack of "
                "memory"
            )
        outcome.seek(0)
        found, error = pickle.load(outcome)
    if error is not None:
        raise error
    return found


def _main() -> None:
    outcome = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed does not get into the outcome
    parent, stop_file = pickle.load(sys.stdin.buffer)
    work_for(parent, stop_file)
    threads, task, item = pickle.load(sys.stdin.buffer)
    found, error = None, None
    try:
        found = in_worker(threads, task, item)
    except Exception as raised:
        error = raised
    with outcome:
        dump((found, error), outcome)


if __name__ == "__main__":
    _main()
