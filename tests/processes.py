"""The command line in processes of its own, to be stopped and killed."""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

from joblib.externals.loky.backend import fork_exec

NEW_PROGRAM = subprocess.Popen

# Where a process can be copied, as on POSIX, it need not import everything again: it starts at once, and a moment drawn
# at random is one of the run's. Elsewhere each is a new interpreter.
COPIES = hasattr(os, "fork")
# torch's optimisers import torch._dynamo, and the digits scikit-learn, when they are first used.
EVERYTHING = ("matplotlib.backends.backend_agg", "sklearn.datasets", "torch._dynamo", "zoo.__main__", "zoo.papers")


@contextmanager
def copying() -> Iterator[None]:
    """A block in which this process, which has everything imported, is copied."""
    for name in EVERYTHING:
        import_module(name)
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12's, of other threads: the copy needs none
        yield


class Process(multiprocessing.get_context("fork" if COPIES else "spawn").Process):  # type: ignore[name-defined, misc]
    """A copy of this process that begins as a new interpreter does: in single precision, and with no open files."""

    def start(self) -> None:
        self.others = open_files() if COPIES else set()
        with copying():
            super().start()

    def run(self) -> None:
        begin_anew(self.others)
        super().run()


def run_ranks(function: Callable[..., None], args: tuple[Any, ...], count: int) -> None:
    """Runs `function(rank, *args)` in `count` processes.

    Raises:
        torch.multiprocessing.ProcessRaisedException: one of them failed, and the others had 30 s to say so, too.
    """
    import torch.multiprocessing

    with copying():
        running = torch.multiprocessing.start_processes(
            partial(_as_rank, function, open_files() if COPIES else set()),
            args,
            nprocs=count,
            join=False,
            start_method="fork" if COPIES else "spawn",
        )
    while not running.join(grace_period=30):
        pass


def _as_rank(function: Callable[..., None], others: set[int], rank: int, *args: Any) -> None:
    begin_anew(others)
    function(rank, *args)


def open_files() -> set[int]:
    """The files of this process, other than standard input, output and errors."""
    return {int(name) for name in os.listdir("/dev/fd")} - {0, 1, 2}


def begin_anew(others: Iterable[int]) -> None:
    """Makes a copy what a new interpreter is, in what matters here.

    Args:
        others: files to leave, such as a lock's, which a new interpreter does not inherit.
    """
    import pyro
    import torch

    nothing = os.open(os.devnull, os.O_RDWR)
    for number in others:
        with suppress(OSError):  # of the listing itself
            os.fstat(number)
            os.dup2(nothing, number)
    warnings.simplefilter("default")  # in a test they are errors, and pytest collects them
    warnings.showwarning = _print_warning
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(1)
    pyro.clear_param_store()


def _print_warning(message, category, filename, lineno, file=None, line=None) -> None:
    (file or sys.stderr).write(warnings.formatwarning(message, category, filename, lineno, line))


def start(cwd: Path, *arguments: str, largest: int | None = None):
    """Begins the command in `cwd`; what it prints is in the file "said" there. Its workers are copies of its process.

    Args:
        largest: bytes of the largest file that it may write.
    """
    process = Process(target=_zoo, args=(cwd, list(arguments), largest))
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


def _zoo(cwd: Path, arguments: list[str], largest: int | None) -> None:
    """The command line as a process of its own sees it, with the small recipe among the others."""
    from tqdm import tqdm

    from tests import small_recipe
    from tests.pictures import quick_pictures
    from zoo.__main__ import main
    from zoo.papers.recipes import RECIPES

    RECIPES |= small_recipe.RECIPES

    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores
    os.chdir(cwd)
    os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1, 2)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
    tqdm.set_lock(threading.RLock())  # its own outlives a process that is killed
    if largest is not None:
        import resource  # which POSIX alone has

        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    sys.argv = ["zoo", *arguments]
    with quick_pictures(), copied_interpreters():
        main()


@contextmanager
def copied_interpreters() -> Iterator[None]:
    """A block in which `python -m MODULE` is a copy of this process, which need not import everything again.

    It holds for loky's workers and for what `subprocess` starts. Where a process cannot be copied, as on Windows, they
    are new interpreters as before.
    """
    if COPIES:
        with mock.patch.object(fork_exec, "fork_exec", _fork_exec), mock.patch.object(subprocess, "Popen", _popen):
            yield
    else:
        yield


def _fork_exec(command: list[str], keep: Iterable[int], env: Mapping[str, str] | None = None) -> int:
    """loky's `fork_exec`, whose `env` is added to this process's."""
    with copying():
        if pid := os.fork():
            return pid
    _become(command, keep, {**os.environ, **(env or {})})


def _popen(command: list[str], *, env: Mapping[str, str] | None = None, **options: Any) -> "subprocess.Popen[Any]":
    """`subprocess.Popen`; a copy does not come to the new program, before which it calls `preexec_fn`."""
    if command[:2] != [sys.executable, "-m"]:
        return NEW_PROGRAM(command, env=env, **options)
    become = partial(_become, command, (), os.environ if env is None else env)
    with copying():
        return NEW_PROGRAM(command, env=env, preexec_fn=become, **options)


def _become(command: Sequence[str], keep: Iterable[int], environment: Mapping[str, str]) -> NoReturn:
    """Runs the module of `python -m MODULE ...` in this copy of another process, and ends."""
    code = 1
    try:
        begin_anew(open_files() - set(keep))
        for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, usual)
        variables = dict(environment)
        os.environ.clear()
        os.environ.update(variables)
        before = sys.stdin, sys.stdout, sys.stderr  # noqa: F841  # at their end they would close files
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
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
