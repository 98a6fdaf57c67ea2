"""Locks of folders, held by the operating system, so that they are released when the process ends in any way."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from zoo.lab.files import make_folder, write_file

LOCK = ".lock"
TRIAL_LOCK = ".trial.lock"  # of a trial, whose folder may also be its run's: held until the trial is measured, too
OWNER = ".owner"  # LOCK.owner names the holder; a separate file, since Windows does not allow reading a locked file

_claims: dict[Path, BaseFileLock] = {}  # of folders that this process has claimed for runs that have not begun


def claim(folder: Path, *, wait: float = 0.0) -> None:
    """Locks the folder for a run that is about to begin; the next `locked` of it takes the claim over.

    Raises:
        BlockingIOError: it is in use; the message names the process and its host.
        OSError: the lock cannot be written.
    """
    _claims[folder.resolve()] = _acquire(folder / LOCK, wait)


def unclaim(folder: Path) -> None:
    """Releases a claim, if there is one."""
    if lock := _claims.pop(folder.resolve(), None):
        _release(lock)


@contextmanager
def locked(folder: Path, *, wait: float = 0.0, lock: str = LOCK) -> Iterator[None]:
    """Keeps every other process out of the folder; makes the folder where it is missing.

    Args:
        folder: the folder to lock.
        wait: seconds to wait for another process.
        lock: the lock's file in the folder. Locks of different names are independent.

    Raises:
        BlockingIOError: it is in use; the message names the process and its host.
        OSError: the lock cannot be written.
    """
    held = (_claims.pop(folder.resolve(), None) if lock == LOCK else None) or _acquire(folder / lock, wait)
    try:
        yield
    finally:
        _release(held)


def is_lock(path: Path) -> bool:
    """Whether the file is a lock, names the holder of one, or was to become such a file when its process was killed."""
    return path.name.removesuffix(".part").removesuffix(OWNER) in (LOCK, TRIAL_LOCK)


def _acquire(path: Path, wait: float) -> BaseFileLock:
    make_folder(path.parent)
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=wait, poll_interval=0.05)
    except Timeout:
        raise BlockingIOError(
            f"the folder {path.parent} is in use by {_owner(path)}: wait until it has ended, or stop it"
        ) from None
    try:
        write_file(_owner_file(path), f"process {os.getpid()} on {socket.gethostname()}")
    except OSError:
        lock.release()
        raise
    return lock


def _release(lock: BaseFileLock) -> None:
    _owner_file(Path(lock.lock_file)).unlink(missing_ok=True)
    lock.release()


def _owner_file(lock: Path) -> Path:
    return lock.with_name(lock.name + OWNER)


def _owner(lock: Path) -> str:
    """The holder's process and host; waits up to two seconds for a holder that has not written them yet."""
    for _ in range(40):
        try:
            if owner := _owner_file(lock).read_text(encoding="utf-8", errors="replace").strip():
                return owner
        except OSError:
            pass
        time.sleep(0.05)
    return "another process"
