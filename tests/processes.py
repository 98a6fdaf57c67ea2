"""The command line in processes of its own, to be stopped and killed."""

import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import arbitrary_address
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

from joblib.externals.loky.backend import fork_exec

NEW_PROGRAM = subprocess.Popen

PRELOADED = [
    "pytest",
    "torch._dynamo",  # which torch's optimisers import when they are first used
    "sklearn.datasets",
    "matplotlib.backends.backend_agg",
    "distributed",
    "tabulate",
    "typer._adapters",  # which it imports when it reads the first command
    "zoo.__main__",
    "zoo.lab.trials.clusters",
    "zoo.lab.trials.sweep",
    "zoo.papers.recipes",
    "tests.processes",
    "tests.small_recipe",
    "tests.pictures",
]
SERVER = "ZOO_TESTS_FORK_SERVER"  # the environment variable with its address
SERVE = """
import gc, select, sys
from contextlib import suppress
from importlib import import_module
from multiprocessing.forkserver import main
sys.path[:] = {path!r}
ready, _, _ = select.select([{listener}, {alive}], [], [])
if {listener} in ready:
    gc.disable()  # which would go through all modules again and again
    for name in {preloaded!r}:
        with suppress(ImportError):
            import_module(name)
    gc.freeze()
    gc.enable()
    main({listener}, {alive}, [])
"""

# Windows has no fork server: there they are new interpreters.
processes = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")


@contextmanager
def one_fork_server() -> Iterator[None]:
    """A block in which one fork server starts the processes of all of pytest-xdist's workers.

    Its children have everything imported, so that they start at once and a moment drawn at random is one of the run's.
    The server imports it when it is first used, once, and not once per worker of pytest-xdist.
    """
    if os.name != "posix" or SERVER in os.environ or sys.version_info >= (3, 14):  # there it asks for a key
        yield
        return
    with socket.socket(socket.AF_UNIX) as listener:
        os.environ[SERVER] = arbitrary_address("AF_UNIX")
        listener.bind(os.environ[SERVER])
        listener.listen()
        alive, ours = os.pipe()  # it ends when this process has
        code = SERVE.format(path=sys.path, listener=listener.fileno(), alive=alive, preloaded=PRELOADED)
        command, inherited = [sys.executable, "-c", code], (listener.fileno(), alive)
        # Workers of Dask, too, are its children.
        environment = {**os.environ, "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD": "forkserver"}
        server = NEW_PROGRAM(command, pass_fds=inherited, env=environment)
        os.close(alive)
    _use_server()
    try:
        yield
    finally:
        del os.environ[SERVER]
        os.close(ours)
        server.wait()


def _use_server() -> None:
    """Lets `multiprocessing` use the server at the address, where it would start its own."""
    own = forkserver._forkserver
    own._forkserver_address = os.environ[SERVER]
    own._forkserver_alive_fd = os.open(os.devnull, os.O_RDONLY)
    own.ensure_running = resource_tracker.ensure_running


if SERVER in os.environ:
    _use_server()
elif os.name == "posix":
    processes.set_forkserver_preload(PRELOADED)


def start(cwd: Path, *arguments: str, largest: int | None = None, fresh: bool = False):
    """Begins the command in `cwd`; what it prints is in the file "said" there.

    Args:
        largest: bytes of the largest file that it may write.
        fresh: whether the workers of a sweep start as new interpreters, which import everything, or as copies of
            the command's process, which is quicker. For scripts/kills.py.
    """
    process = processes.Process(target=_zoo, args=(cwd, list(arguments), largest, fresh))
    process.start()
    return process


def workers(process) -> list[int]:
    """The processes in which loky runs trials, but for the one that looks after its resources; none if it has ended."""
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        named = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    except OSError:
        return []
    return [child for child, command in named.items() if b"resource_tracker" not in command]


def zoo(cwd: Path, *arguments: str, code: int = 0, largest: int | None = None) -> str:
    """Runs to its end; returns what was said."""
    process = start(cwd, *arguments, largest=largest)
    process.join(120)
    said = (cwd / "said").read_text()
    assert process.exitcode == code, said
    return said


def _zoo(cwd: Path, arguments: list[str], largest: int | None, fresh: bool) -> None:
    """The command line as a process of its own sees it, with the small recipe among the others."""
    import torch
    from tqdm import tqdm

    from tests import small_recipe
    from tests.pictures import quick_pictures
    from zoo.__main__ import main
    from zoo.lab.trials import clusters
    from zoo.papers.recipes import RECIPES

    RECIPES |= small_recipe.RECIPES
    clusters.PRELOAD.append("tests.lab.trials.copied_trials")

    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores
    os.chdir(cwd)
    os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1, 2)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
    tqdm.set_lock(threading.RLock())  # its own outlives a process that is killed
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    if largest is not None:
        import resource  # which POSIX alone has

        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    sys.argv = ["zoo", *arguments]
    with quick_pictures(), nullcontext() if fresh else copied_interpreters():
        main()


@contextmanager
def copied_interpreters() -> Iterator[None]:
    """A block in which `python -m MODULE` is a copy of this process, which need not import everything again.

    It holds for loky's workers and for what `subprocess` starts. Where a process cannot be copied, as on Windows, they
    are new interpreters as before.
    """
    if hasattr(os, "fork"):
        with mock.patch.object(fork_exec, "fork_exec", _fork_exec), mock.patch.object(subprocess, "Popen", _Popen):
            yield
    else:
        yield


def _fork_exec(command: list[str], keep: Iterable[int], env: Mapping[str, str] | None = None) -> int:
    """loky's `fork_exec`, whose `env` is added to this process's."""
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12's, of other threads: the copy needs none
        if pid := os.fork():
            return pid
    _become(command, keep, {**os.environ, **(env or {})})


class _Popen(subprocess.Popen):
    """A copy does not come to the new program, before which `subprocess` calls `preexec_fn`.

    A class, since Ray derives its own from it.
    """

    def __init__(self, command: Any, *arguments: Any, env: Mapping[str, str] | None = None, **options: Any) -> None:
        if command[:2] == [sys.executable, "-m"]:
            options["preexec_fn"] = partial(_become, command, (), os.environ if env is None else env)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            super().__init__(command, *arguments, env=env, **options)


def _become(command: Sequence[str], keep: Iterable[int], environment: Mapping[str, str]) -> NoReturn:
    """Runs the module of `python -m MODULE ...` in this copy of another process, and ends."""
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for name in os.listdir("/dev/fd"):
            if int(name) not in {0, 1, 2, nothing, *map(int, keep)}:
                with suppress(OSError):  # of the listing itself
                    os.fstat(int(name))
                    os.dup2(nothing, int(name))  # as a lock's, which a new interpreter does not inherit
        for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, usual)
        variables = dict(environment)
        os.environ.clear()
        os.environ.update(variables)
        before = sys.stdin, sys.stdout, sys.stderr  # noqa: F841  # at their end they would close files
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
        warnings.simplefilter("default")  # in a test they are errors
        warnings.filterwarnings("ignore", module="runpy")  # of a module that is imported already
        _, _, module, *arguments = command
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)
