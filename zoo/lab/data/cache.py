"""Decoded data kept on disk, so that it is decoded once: one .npz per set and settings, whole or not there."""

import contextlib
import hashlib
import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

VERSION = 1  # of what the sources put into a cache; one more whenever that changes
MAPPED = 256 * 2**20  # bytes from which an array is mapped into memory instead of read
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError)


class Stream(NamedTuple):
    """An array that is never in memory as a whole: its shape and type, and its rows part by part."""

    shape: tuple[int, ...]
    dtype: np.dtype
    parts: Iterable[np.ndarray]


def cache_folder() -> Path:
    """Where caches are: the environment's ZOO_CACHE, else its XDG_CACHE_HOME or ~/.cache, there disentangled-zoo."""
    if here := os.environ.get("ZOO_CACHE"):
        return Path(here).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "disentangled-zoo"


def fingerprint(root: Path, files: Iterable[Path]) -> str:
    """Names under `root`, sizes and times of files as one short text; another one as soon as any of them changes."""
    digest = hashlib.sha256()
    for file in files:
        stat = file.stat()
        digest.update(f"{file.relative_to(root).as_posix()} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def cached(
    name: str, settings: Mapping[str, Any], make: Callable[[], Mapping[str, np.ndarray | Stream]]
) -> dict[str, np.ndarray]:
    """What `make` makes, from disk where it was made before by this version and with these settings.

    Args:
        name: of the data set; the file is called after it, the version and the settings.
        settings: everything that the arrays depend on, as JSON takes it; goes into the file too.
        make: returns the arrays by name; large ones come back mapped into memory.

    Raises:
        OSError: the cache cannot be written (no permission, no room); nothing is left of it.
        ValueError: it cannot be read, or is one of another version or of other settings.
    """
    header = json.dumps({"data": name, "version": VERSION, **settings}, sort_keys=True)
    digest = hashlib.sha256(header.encode()).hexdigest()[:12]
    path = cache_folder() / f"{name}-v{VERSION}-{digest}.npz"
    if not path.exists():
        _write(name, path, {"header": np.array(header), **make()})
    try:
        arrays = read_npz(path)
    except ValueError as error:
        raise ValueError(f"data {name!r}: {error}. It is a cache: remove it, and it is made anew") from error
    found = str(arrays.pop("header", "no header at all"))
    if found != header:
        raise ValueError(
            f"data {name!r}: the cache {path} is one of another version or of other settings ({found}); remove it, "
            "and it is made anew"
        )
    return arrays


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz; uncompressed ones beyond `MAPPED` bytes as memory maps, all others read and checked.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it must not be read, is truncated or damaged, is no .npz, or holds Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {i.filename.removesuffix(".npy"): _read(path, archive, i) for i in archive.infolist()}
    except FileNotFoundError:
        raise
    except DAMAGE as error:
        raise ValueError(f"{path} cannot be read; it is truncated, damaged, or no .npz: {error}") from error


def rows_of(path: Path, name: str, rows: int) -> Stream:
    """One array of an .npz, compressed or not, some `rows` at a time.

    Raises:
        ValueError: there is none of this name, it is not in C order, or (while its parts are read) it is damaged.
    """
    member = f"{name}.npy"
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            shape, fortran_order, dtype = _read_header(file)
    except (*DAMAGE, KeyError) as error:
        raise ValueError(f"{path} cannot be read, is damaged, or has no array {name!r}: {error}") from error
    if fortran_order or dtype.hasobject:
        raise ValueError(f"{path}: the array {name!r} must hold plain numbers in C order")

    def parts() -> Iterator[np.ndarray]:
        size = math.prod(shape[1:]) * dtype.itemsize
        try:
            with zipfile.ZipFile(path) as archive, archive.open(member) as file:
                _read_header(file)
                for start in range(0, shape[0], rows):
                    count = min(rows, shape[0] - start)
                    yield np.frombuffer(file.read(count * size), dtype).reshape(count, *shape[1:])
        except DAMAGE as error:
            raise ValueError(f"{path} is truncated or damaged: {error}") from error

    return Stream(shape, dtype, parts())


def _write(name: str, path: Path, arrays: Mapping[str, np.ndarray | Stream]) -> None:
    """Writes beside the place and then moves there, so that what is there is whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for key, array in arrays.items():
                with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                    _write_array(member, array)
        part.replace(path)
    except OSError as error:
        raise OSError(
            f"data {name!r}: the cache {path} cannot be written: {error}. Make room, or name a folder for caches that "
            "can be written with ZOO_CACHE"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # where it could not be made it cannot be removed
            part.unlink()


def _write_array(file: Any, array: np.ndarray | Stream) -> None:
    if isinstance(array, np.ndarray):
        array = Stream(array.shape, array.dtype, [array])
    descr = np.lib.format.dtype_to_descr(array.dtype)
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": array.shape})
    expected, written = math.prod(array.shape) * array.dtype.itemsize, 0
    for part in array.parts:
        written += file.write(np.ascontiguousarray(part, array.dtype).tobytes())
    if written != expected:
        raise ValueError(f"the parts of an array {array.shape} hold {written} bytes of {expected}")


def _read(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as member:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size < MAPPED:
            return np.lib.format.read_array(member, allow_pickle=False)
        shape, fortran_order, dtype = _read_header(member)
        with path.open("rb") as file:  # a member's bytes follow its local header, whose last two lengths vary
            file.seek(info.header_offset)
            start = info.header_offset + 30 + sum(struct.unpack("<26x2H", file.read(30)))
        return np.memmap(path, dtype, "r", start + member.tell(), shape, "F" if fortran_order else "C")


def _read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)
