"""Work in several processes that end with this one, stop when it is asked to stop, and stop when their time is up."""

import math
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from time import monotonic
from typing import TypeVar

from zoo.lab.runs.interrupt import DeferredInterrupt, Stopped
from zoo.lab.trials.processes import Backend

STOP = ".stop"  # written by the parent to stop its workers

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def in_parallel(
    task: Callable[[Item], Outcome], items: Sequence[Item], on: Backend, *, folder: Path, seconds: float = math.inf
) -> Iterator[tuple[Item, Outcome]]:
    """Yields each item with its outcome, as they end; each runs in a process of its own or of a pool.

    When the time is up, or this process is asked to stop, it asks its workers to stop and waits until each has saved.

    Args:
        task: function of an item; both are sent to other processes.
        items: in the order in which they are begun.
        on: the backend; see `zoo.lab.trials.backends.open_backend`.
        folder: for the file that stops the workers, on a file system that all of them share; no other process runs
            work of this folder.
        seconds: the time for all of it. When it is up the iteration ends, without the items that are not done.

    Raises:
        Stopped: this process or a worker was asked to stop.
        ChildProcessError: a worker was killed, and the backend did not repeat its item; other items were finished if
            the backend could go on.
        ConnectionError: the connection to the cluster is lost.
    """
    if not items:
        return
    stop_file = folder.absolute() / STOP
    stop_file.unlink(missing_ok=True)  # a command that was killed may have left it
    end, time_is_up = monotonic() + seconds, False
    stopped: Stopped | None = None
    lost: BaseException | None = None
    waiting = deque(items)
    pending: dict[Future[Outcome | Stopped], Item] = {}
    try:
        with on.workers(len(items), stop_file) as submit:
            with DeferredInterrupt() as interrupt:
                while waiting or pending:
                    while waiting and len(pending) < on.at_once:
                        item = waiting.popleft()
                        pending[submit(task, item)] = item
                    done, _ = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                    for future in done:
                        item = pending.pop(future)
                        stopping = stopped or time_is_up
                        if future.cancelled() and stopping:
                            continue
                        if future.cancelled():
                            raise ConnectionError(f"the connection to {on} is lost")
                        if isinstance(future.exception(), on.lost):
                            lost = lost or future.exception()
                            continue
                        outcome = future.result()
                        if not isinstance(outcome, Stopped):
                            yield item, outcome
                        elif not time_is_up:
                            stopped = stopped or outcome
                    if interrupt.signal:
                        name = signal.Signals(interrupt.signal).name
                        stopped = Stopped(f"stopped by {name}", interrupt.signal)
                    time_is_up = time_is_up or monotonic() >= end
                    if (stopped or time_is_up) and not stop_file.exists():
                        stop_file.touch()
                        waiting.clear()
                        for future in pending:
                            on.cancel(future)
            if stopped:
                raise stopped
            if lost:
                raise ChildProcessError(on.loss) from lost
    finally:
        stop_file.unlink(missing_ok=True)
