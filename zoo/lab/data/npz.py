"""Reads an .npz from an unknown source without trusting its headers."""

import lzma
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zoo.lab.data.cache import MAPPED, Stream, cache_folder, cached, fingerprint
from zoo.lab.data.npy import read_array, read_header

DEFLATE = 1032  # the largest compression ratio: https://www.zlib.net/zlib_tech.html
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError)
REMEDY = "copy it again, or save it again with np.savez"


def names_in(path: Path) -> list[str]:
    """The names of the arrays in an .npz, sorted.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not readable, truncated, damaged, or not an .npz.
    """
    return sorted(_members(path))


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name; those of a large file (from `MAPPED` bytes on) are unpacked into the cache first.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not readable, truncated, damaged, not an .npz, or holds Python objects.
        OSError: there is not enough space in the cache to unpack it.
    """
    members = _members(path)
    if sum(info.file_size for info in members.values()) < MAPPED:
        return {name: _read(path, name, info) for name, info in members.items()}
    total, free = sum(info.file_size for info in members.values()), _free()
    if total > free:
        raise OSError(
            f"{path} has {total / 1e9:,.1f} GB of arrays, and only {free / 1e9:,.1f} GB are free in {cache_folder()}, "
            "where they are unpacked; free some space, or name another folder for caches with ZOO_CACHE"
        )
    settings = {"file": path.name, "files": fingerprint(path.parent, [path])}
    return cached(path.stem, settings, lambda: {name: rows_of(path, name) for name in members})


def rows_of(path: Path, name: str, rows: int | None = None) -> Stream:
    """One array of an .npz, compressed or not, as blocks of `rows` rows (about 16 MB when not given).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no array of this name, or one of Python objects or not in C order, or (while its parts are
            read) it is damaged.
    """
    info = _members(path).get(name)
    if info is None:
        raise ValueError(f"{path} has no array {name!r}; it has {', '.join(names_in(path))}")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as file:
            shape, dtype, order, nbytes = read_header(file, info.file_size)
    except DAMAGE as error:
        raise ValueError(f"{path} cannot be read: array {name!r}: {_said(error)}; {REMEDY}") from error
    if order != "C":
        raise ValueError(f"{path}: array {name!r} is in Fortran order; save it with np.ascontiguousarray")
    if not shape:
        return Stream(shape, dtype, [_read(path, name, info)])
    size = nbytes // max(shape[0], 1)
    step = rows or max(1, 2**24 // max(size, 1))

    def parts() -> Iterator[np.ndarray]:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(info) as file:
                read_header(file, info.file_size)
                for start in range(0, shape[0], step):
                    count = min(step, shape[0] - start)
                    yield np.frombuffer(file.read(count * size), dtype).reshape(count, *shape[1:])
        except DAMAGE as error:
            raise ValueError(f"{path} is truncated or damaged: array {name!r}: {_said(error)}; {REMEDY}") from error

    return Stream(shape, dtype, parts())


def _members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The members of the archive by the names of their arrays; their stated sizes are checked for plausibility."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except FileNotFoundError:
        raise
    except (*DAMAGE, NotImplementedError) as error:
        raise ValueError(
            f"{path} cannot be read; it is truncated, damaged, or not an .npz ({_said(error)}); {REMEDY}"
        ) from error
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.removesuffix(".npy")
        if name in members:
            raise ValueError(f"{path} cannot be read: it has two arrays {name!r}; {REMEDY}")
        most = info.compress_size * (1 if info.compress_type == zipfile.ZIP_STORED else DEFLATE)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(
                f"{path} cannot be read: array {name!r} is compressed in a way that np.savez does not use; {REMEDY}"
            )
        if info.compress_size > path.stat().st_size or info.file_size > most:
            raise ValueError(
                f"{path} cannot be read; it is damaged: array {name!r} claims {info.file_size:,} bytes out of "
                f"{info.compress_size:,} in a file of {path.stat().st_size:,}; {REMEDY}"
            )
        members[name] = info
    return members


def _free() -> int:
    """Free bytes in the file system of the cache folder."""
    place = cache_folder().absolute()
    return shutil.disk_usage(next(p for p in (place, *place.parents) if p.exists())).free


def _read(path: Path, name: str, info: zipfile.ZipInfo) -> np.ndarray:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as file:
            return read_array(file, info.file_size)
    except DAMAGE as error:
        raise ValueError(f"{path} cannot be read: array {name!r}: {_said(error)}; {REMEDY}") from error


def _said(error: Exception) -> str:
    """The message of an error; for an error of the operating system, without its number."""
    return (isinstance(error, OSError) and error.strerror) or str(error)
