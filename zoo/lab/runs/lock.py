"""A lock for each folder, held by the operating system, so that it is released when the process ends in any way."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from zoo.lab.files import write_file

LOCK = ".lock"
OWNER = ".lock.owner"  # names the holder; a separate file, since Windows does not allow reading a locked file

_claims: dict[Path, BaseFileLock] = {}  # of folders that this process has claimed for runs that have not begun


def claim(folder: Path, *, wait: float = 0.0) -> None:
    """Locks the folder for a run that is about to begin; the next `locked` of it takes the claim over.

    Raises:
        BlockingIOError: it is in use; the message names the process and its host.
        OSError: the lock cannot be written.
    """
    _claims[folder.resolve()] = _acquire(folder, wait)


def unclaim(folder: Path) -> None:
    """Releases a claim, if there is one."""
    if lock := _claims.pop(folder.resolve(), None):
        _release(lock, folder)


@contextmanager
def locked(folder: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Keeps every other process out of the folder; makes the folder where it is missing.

    Args:
        folder: the folder to lock.
        wait: seconds to wait for another process.

    Raises:
        BlockingIOError: it is in use; the message names the process and its host.
        OSError: the lock cannot be written.
    """
    lock = _claims.pop(folder.resolve(), None) or _acquire(folder, wait)
    try:
        yield
    finally:
        _release(lock, folder)


def holds_only_locks(folder: Path) -> bool:
    """Whether nothing else is in the folder."""
    return all(path.name in (LOCK, OWNER) for path in folder.iterdir())


def _acquire(folder: Path, wait: float) -> BaseFileLock:
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=wait, poll_interval=0.05)
    except Timeout:
        raise BlockingIOError(
            f"the folder {folder} is in use by {_owner(folder)}: wait until it has ended, or stop it"
        ) from None
    try:
        write_file(folder / OWNER, f"process {os.getpid()} on {socket.gethostname()}".encode())
    except OSError:
        lock.release()
        raise
    return lock


def _release(lock: BaseFileLock, folder: Path) -> None:
    (folder / OWNER).unlink(missing_ok=True)
    lock.release()


def _owner(folder: Path) -> str:
    """The holder's process and host; waits up to two seconds for a holder that has not written them yet."""
    for _ in range(40):
        try:
            if owner := (folder / OWNER).read_text(encoding="utf-8", errors="replace").strip():
                return owner
        except OSError:
            pass
        time.sleep(0.05)
    return "another process"
