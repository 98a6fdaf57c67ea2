"""A wish to stop, which a loop grants after a whole step."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class DeferredInterrupt:
    """Makes Ctrl-C and SIGTERM a wish that the loop looks at; the second one has its usual effect.

    Attributes:
        inside: how many of these blocks the process is in.
        asked: which signal the process that this one works for passed on; 0 before.
    """

    inside = 0
    asked = 0

    def __init__(self) -> None:
        self.own = 0
        self.usual: dict[int, Any] = {}

    @property
    def signal(self) -> int:
        """Which of them came; 0 before."""
        return self.own or DeferredInterrupt.asked

    def __enter__(self) -> "DeferredInterrupt":
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
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
    """A run that was asked to stop, and did so with everything saved.

    No `Exception`, as `KeyboardInterrupt` is none: who leaves out a picture that fails must not leave out this.

    Attributes:
        signal: which signal asked.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message, number)
        self.signal = number

    def __str__(self) -> str:
        return str(self.args[0])


_in_work = False


def work_for(parent: int, stop_file: Path) -> None:
    """Makes this process one that works for another: it stops when the other asks for it, and ends when it ends.

    Ctrl-C is left to the parent, which a terminal asks as well.

    Args:
        parent: its process id.
        stop_file: what the parent makes to ask.
    """

    def watch() -> None:
        while os.getppid() == parent:
            if stop_file.exists():
                DeferredInterrupt.asked = signal.SIGTERM
                if not DeferredInterrupt.inside:
                    os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
        os._exit(1)  # at once, as the parent was killed; who goes on with its runs begins at their checkpoints

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_work)
    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def stoppable() -> Iterator[None]:
    """A block that `Stopped` ends at once when the parent asks, but for loops that first end their step.

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
