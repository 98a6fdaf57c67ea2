"""Deferred SIGINT and SIGTERM: a training loop stops after the current step."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class DeferredInterrupt:
    """Records Ctrl-C and SIGTERM for a loop that checks them after each step; the second signal has its usual effect.

    Attributes:
        inside: the number of these blocks that the process is in.
        asked: the signal that the parent process passed on; 0 before.
    """

    inside = 0
    asked = 0

    def __init__(self) -> None:
        self.own = 0
        self.usual: dict[int, Any] = {}

    @property
    def signal(self) -> int:
        """The signal that was received; 0 before."""
        return self.own or DeferredInterrupt.asked

    def __enter__(self) -> "DeferredInterrupt":
        if threading.current_thread() is threading.main_thread():  # Python allows signal handlers only there
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self.usual[number] = signal.signal(number, self._wish)
        DeferredInterrupt.inside += 1
        return self

    def __exit__(self, *error: Any) -> None:
        DeferredInterrupt.inside -= 1
        self._restore()

    def _restore(self) -> None:
        for number, handler in self.usual.items():
            signal.signal(number, handler)

    def _wish(self, number: int, frame: Any) -> None:
        self.own = number
        self._restore()


class Stopped(BaseException):
    """Raised by a run that stopped on request, after everything was saved.

    Like `KeyboardInterrupt` it is not an `Exception`, so that code which skips failing pictures does not catch it.

    Attributes:
        signal: the signal that requested it.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message, number)
        self.signal = number

    def __str__(self) -> str:
        return str(self.args[0])


_in_work = False


def work_for(parent: int, stop_file: Path) -> None:
    """Makes this process a worker of another one: it stops when the parent asks for it, and ends when the parent ends.

    Ctrl-C is ignored here: a terminal also sends it to the parent.

    Args:
        parent: the parent's process id.
        stop_file: the file that the parent creates to stop its workers.
    """

    def watch() -> None:
        while os.getppid() == parent:
            if stop_file.exists():
                DeferredInterrupt.asked = signal.SIGTERM
                if not DeferredInterrupt.inside:
                    os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
        os._exit(1)  # immediately, since the parent was killed; its runs are resumed from their checkpoints

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_work)
    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def stoppable() -> Iterator[None]:
    """A block that `Stopped` ends immediately when the parent asks for it; training loops first end their step.

    Raises:
        Stopped: the parent has asked, or a SIGTERM has come.
    """
    global _in_work
    if DeferredInterrupt.asked:
        _end_work(DeferredInterrupt.asked, None, now=True)
    _in_work = True
    try:
        yield
    finally:
        _in_work = False


def _end_work(number: int, frame: Any, now: bool = False) -> None:
    DeferredInterrupt.asked = number
    if _in_work or now:
        raise Stopped(f"stopped by {signal.Signals(number).name}", number)
