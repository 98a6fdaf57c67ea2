"""Decoded data kept on disk, so that it is decoded once: a folder of .npy files per set and settings.

The folder is there as a whole or not at all. Beside the arrays lies header.json: the settings, and the SHA-256 of each
array, which is checked whenever it is read. A cache that is damaged is made again.
"""

import hashlib
import io
import json
import math
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import platformdirs

from zoo.lab.data.npy import read_array, read_header

VERSION = 2  # of what the sources put into a cache; one more whenever that changes
MAPPED = 256 * 2**20  # bytes from which an array is mapped into memory instead of read
HEADER = "header.json"
DAY = 24 * 3600.0


class Stream(NamedTuple):
    """An array that is never in memory as a whole: its shape and type, and its rows part by part."""

    shape: tuple[int, ...]
    dtype: np.dtype
    parts: Iterable[np.ndarray]


def cache_folder() -> Path:
    """Where caches are: the environment's ZOO_CACHE, else disentangled-zoo in the user's folder for caches."""
    if here := os.environ.get("ZOO_CACHE"):
        return Path(here).expanduser()
    return platformdirs.user_cache_path("disentangled-zoo", appauthor=False)


def fingerprint(root: Path, files: Iterable[Path]) -> str:
    """One short text for `root` and the files below it; another one as soon as one of them moves or is written.

    It covers the resolved path of `root` and the files' names, sizes, and times of change (also the one that `touch`
    and `rsync --times` cannot set), so that no content has to be read.
    """
    digest = hashlib.sha256(f"{root.resolve()}\n".encode(errors="surrogateescape"))
    start = f"{root}{os.sep}"
    for file in files:
        stat = file.stat()
        line = f"{str(file).removeprefix(start)} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def cached(
    name: str, settings: Mapping[str, Any], make: Callable[[], Mapping[str, np.ndarray | Stream]]
) -> dict[str, np.ndarray]:
    """What `make` returns, from disk where this version made it before with these settings.

    Args:
        name: of the data set; the folder is called after it, the version and the settings.
        settings: everything that the arrays depend on, as JSON takes it.
        make: returns the arrays by name; those of `MAPPED` bytes or more come back as memory maps.

    Raises:
        OSError: the cache cannot be written (no permission, no room), and then nothing is left of it; or not be read.
    """
    header = json.loads(json.dumps({"data": name, "version": VERSION, **settings}))
    key = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache_folder() / f"{name[:80]}-v{VERSION}-{key}"
    try:
        return _read(folder, header)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # not there, or damaged
        pass
    except OSError as error:
        raise OSError(f"data {name!r}: the cache {folder} cannot be read: {error}") from error
    _write(name, folder, header, make())
    return _read(folder, header)


def _read(folder: Path, header: Mapping[str, Any]) -> dict[str, np.ndarray]:
    found = json.loads((folder / HEADER).read_text(encoding="utf-8"))
    if not isinstance(found, dict) or found.get("header") != header or not isinstance(found.get("sha256"), dict):
        raise ValueError(f"{folder} is damaged, or holds other settings")
    if strange := [name for name in found["sha256"] if Path(name).name != name]:
        raise ValueError(f"{folder} names a file elsewhere: {strange[0]}")
    return {name: _read_array(folder / f"{name}.npy", digest) for name, digest in found["sha256"].items()}


def _read_array(path: Path, expected: str) -> np.ndarray:
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while part := file.read(2**20):
            digest.update(part)
        if digest.hexdigest() != expected:
            raise ValueError(f"{path} is damaged")
        file.seek(0)
        if size < MAPPED:
            return read_array(file, size)
        shape, dtype, order, _ = read_header(file, size)
        return np.memmap(file, dtype, "r", file.tell(), shape, order)


def _write(name: str, folder: Path, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray | Stream]) -> None:
    """Writes into a folder of its own, which is then moved to the place, so that what is there is whole."""
    host, unique = socket.gethostname().replace(".", "-"), uuid.uuid4().hex[:8]
    part = folder.with_name(f".{folder.name}.{host}.{os.getpid()}.{unique}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_orphans(folder.parent, host)
        part.mkdir()
        try:
            digests = {key: _write_array(part / f"{key}.npy", array) for key, array in arrays.items()}
            (part / HEADER).write_text(json.dumps({"header": header, "sha256": digests}, indent=1), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)  # damaged, or it would have been read
            try:
                part.rename(folder)
            except OSError:
                if not folder.is_dir():  # another process may have been quicker
                    raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise OSError(
            f"data {name!r}: the cache {folder} cannot be written: {error}. Make room, or name another folder for "
            "caches with ZOO_CACHE"
        ) from error


def _write_array(path: Path, array: np.ndarray | Stream) -> str:
    """Writes an .npy and returns its SHA-256. Not through a memory map: there, a full disk ends the process."""
    if isinstance(array, np.ndarray):
        array = Stream(array.shape, array.dtype, [array])
    if array.dtype.hasobject:
        raise ValueError(f"a cache cannot hold Python objects, as in {path.stem!r}")
    digest = hashlib.sha256()
    expected, written = math.prod(array.shape) * array.dtype.itemsize, 0
    descr = np.lib.format.dtype_to_descr(array.dtype)
    start = io.BytesIO()
    np.lib.format.write_array_header_1_0(start, {"descr": descr, "fortran_order": False, "shape": array.shape})
    digest.update(start.getvalue())
    with path.open("xb") as file:
        file.write(start.getvalue())
        for part in array.parts:
            content = np.ascontiguousarray(part, array.dtype).tobytes()
            digest.update(content)
            written += file.write(content)
    if written != expected:
        raise ValueError(f"the parts of an array {array.shape} hold {written} bytes of {expected}")
    return digest.hexdigest()


def _remove_orphans(folder: Path, host: str) -> None:
    """Removes what killed processes of this host left unfinished."""
    for part in folder.glob(".*.*.*.*"):
        *_, owner, pid, _ = part.name.rsplit(".", 3)
        if owner == host and pid.isdigit() and not _is_running(int(pid), part):
            part.unlink() if part.is_symlink() else shutil.rmtree(part, ignore_errors=True)


def _is_running(pid: int, part: Path) -> bool:
    """Whether the process that writes `part` still runs; where that cannot be asked, whether `part` is of today."""
    if os.name != "posix":
        return time.time() - part.stat().st_mtime < DAY
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
