"""A cache of decoded data on disk: a folder of .npy files per set and settings.

The folder is complete or absent. With the arrays it holds header.json: the settings, and the SHA-256 of each array,
which is checked whenever the array is read. A damaged cache is made again.
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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import platformdirs

from zoo.arguments import as_path
from zoo.lab.data.npy import read_array, read_header
from zoo.lab.files import readable

VERSION = 2  # of the cached contents; increase it whenever they change
MAPPED = 256 * 2**20  # bytes from which an array is mapped into memory instead of read
HEADER = "header.json"
DAY = 24 * 3600.0


class Stream(NamedTuple):
    """An array that is never in memory as a whole: its shape, its type, and an iterator over blocks of its rows."""

    shape: tuple[int, ...]
    dtype: np.dtype
    parts: Iterable[np.ndarray]


def cache_folder() -> Path:
    """The folder of caches: the environment variable ZOO_CACHE, else disentangled-zoo in the user's cache folder."""
    if here := os.environ.get("ZOO_CACHE"):
        return as_path(here)
    return platformdirs.user_cache_path("disentangled-zoo", appauthor=False)


@contextmanager
def caches_in(folder: Path) -> Iterator[None]:
    """A block in which ZOO_CACHE is this folder."""
    before = os.environ.get("ZOO_CACHE")
    os.environ["ZOO_CACHE"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("ZOO_CACHE")
        if before is not None:
            os.environ["ZOO_CACHE"] = before


def short(name: str) -> str:
    """The first 80 bytes of a name: file systems count bytes, and a letter may have four."""
    return readable(name).encode()[:80].decode(errors="ignore")


def fingerprint(root: Path, files: Iterable[Path]) -> str:
    """A short digest of `root` and the files below it, which changes whenever one of them is moved or written.

    It covers the resolved path of `root` and the files' names, sizes, and times of change (mtime and also ctime, which
    `touch` and `rsync --times` cannot set), so that no content has to be read.
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
    """The arrays that `make` returns, read from disk where this version has cached them with these settings.

    Args:
        name: of the data set; the folder is called after it, the version and the settings.
        settings: everything that the arrays depend on; has to be JSON-serialisable.
        make: returns the arrays by name; those of `MAPPED` bytes or more come back as memory maps.

    Raises:
        OSError: the cache cannot be written (no permission, no space), and then no partial cache remains; or the cache
            cannot be read.
    """
    header = json.loads(json.dumps({"data": name, "version": VERSION, **settings}))
    key = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache_folder() / f"{short(name)}-v{VERSION}-{key}"
    try:
        return _read(folder, header)
    except (FileNotFoundError, NotADirectoryError, RecursionError, ValueError):  # missing or damaged
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
    """Writes into a temporary folder, which is then renamed, so that the cache is always complete."""
    host, unique = socket.gethostname().replace(".", "-"), uuid.uuid4().hex[:8]
    part = folder.with_name(f".{folder.name}.{host}.{os.getpid()}.{unique}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_orphans(folder.parent, host)
        part.mkdir()
        try:
            digests = {key: _write_array(part / f"{key}.npy", array) for key, array in arrays.items()}
            (part / HEADER).write_text(json.dumps({"header": header, "sha256": digests}, indent=1), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)  # damaged: a good one would have been read
            try:
                part.rename(folder)
            except OSError:
                if not folder.is_dir():  # another process may have been quicker
                    raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise OSError(
            f"data {name!r}: the cache {folder} cannot be written: {error}. Free some space, or name another folder "
            "for caches with ZOO_CACHE"
        ) from error


def _write_array(path: Path, array: np.ndarray | Stream) -> str:
    """Writes an .npy and returns its SHA-256; not through a memory map, where a full disk would kill the process."""
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
    """Removes unfinished folders of processes of this host that were killed."""
    for part in folder.glob(".*.*.*.*"):
        *_, owner, pid, _ = part.name.rsplit(".", 3)
        if owner == host and pid.isdigit() and not _is_running(int(pid), part):
            part.unlink() if part.is_symlink() else shutil.rmtree(part, ignore_errors=True)


def _is_running(pid: int, part: Path) -> bool:
    """Whether the process that writes `part` still runs; where that is unknown, whether `part` was changed today."""
    if os.name != "posix":
        return time.time() - part.stat().st_mtime < DAY
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
