"""Decodes many image files once, on all cores, into one file of bytes that is then mapped into memory.

The file holds the images, and after them a mark per block of images: a digest of the settings and of the files that the
block was decoded from, and a digest of its pixels, written once the images are on the disk. A block whose mark does not
match is decoded again. So decoding resumes after an interruption; when an image is replaced or a byte is damaged, only
its block is decoded again; and nothing has to be cleaned up. Each block has a fixed place in the file, so two processes
that decode at the same time write the same bytes twice.
"""

import hashlib
import json
import math
import mmap
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from zoo.lab.data.cache import VERSION, cache_folder, fingerprint, short

BLOCK = 256  # images that are decoded and marked at once
MARK = 64  # bytes of two digests: of a block's settings and files, and of its pixels
SILENT = 2_048  # up to so many images are decoded without a progress bar
RESIDENT = 64 * 2**20  # bytes of a mapped file that may stay in memory
AROUND = 2 * 2**20  # bytes that the system may map around an image that is asked for: a large page


class Mapped:
    """Bytes [N, C, H, W] in a file; indexes like a uint8 array, and keeps at most `RESIDENT` bytes in memory."""

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._pixels = np.frombuffer(self._map, np.uint8, math.prod(shape)).reshape(shape)
        self._left = RESIDENT // AROUND  # images to read before memory is released
        self.shape = shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        rows = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        images = np.empty((rows.size, *self.shape[1:]), self.dtype)
        start = 0
        while start < rows.size:
            stop = min(start + self._left, rows.size)
            images[start:stop] = self._pixels[rows.ravel()[start:stop]]
            self._left -= stop - start
            start = stop
            if self._left == 0:
                if hasattr(mmap, "MADV_DONTNEED"):
                    self._map.madvise(mmap.MADV_DONTNEED)  # cheap: the system's page cache keeps the bytes
                self._left = RESIDENT // AROUND
        return images.reshape(*rows.shape, *self.shape[1:])


def decoded_folder(folder: Path) -> Path:
    """The folder of decoded images: the environment variable ZOO_CACHE, else `decoded` in the data folder."""
    return cache_folder() if os.environ.get("ZOO_CACHE") else folder / "decoded"


def decoded(
    name: str,
    folder: Path,
    files: Sequence[Path],
    shape: tuple[int, int, int],
    decode: Callable[[Path], np.ndarray],
    settings: Mapping[str, Any],
    *,
    into: Path | None = None,
    workers: int | None = None,
) -> Mapped:
    """The images of `files` [N, *shape]; those that were not decoded before are decoded.

    Args:
        name: of the data set; part of the name of the file in `into`, with the settings.
        folder: the data folder, which contains the files.
        files: one per image.
        shape: of an image, C, H, W.
        decode: returns the bytes [C, H, W] of a file; called from several threads at once.
        settings: everything else that the images depend on; has to be JSON-serialisable.
        into: where the decoded images are kept; `decoded_folder(folder)` when not given.
        workers: number of threads; the number of cores that this process may use when not given.

    Raises:
        OSError: the decoded images cannot be written.
        ValueError: raised by `decode`; finished blocks are kept.
    """
    settings = {"version": VERSION, "folder": str(folder.resolve()), "images": len(files), "shape": shape, **settings}
    header = json.dumps(settings, sort_keys=True)
    key = hashlib.sha256(header.encode()).hexdigest()[:16]
    path = (into or decoded_folder(folder)) / f"{short(name)}-v{VERSION}-{key}.images"
    size, starts = math.prod(shape), range(0, len(files), BLOCK)
    end = len(files) * size  # where the marks begin
    sources = [_digest(header, fingerprint(folder, files[at : at + BLOCK])) for at in starts]

    def is_there(block: int) -> bool:
        with path.open("rb") as file:
            file.seek(end + block * MARK)
            source, pixels = file.read(MARK // 2), file.read(MARK // 2)
            if source != sources[block]:
                return False
            file.seek(starts[block] * size)
            return hashlib.sha256(file.read(min(BLOCK * size, end - starts[block] * size))).digest() == pixels

    def fill(block: int) -> int:
        part = files[starts[block] : starts[block] + BLOCK]
        images = np.stack([decode(file) for file in part]).tobytes()
        with path.open("r+b", buffering=0) as file:
            _write(file, end + block * MARK, bytes(MARK))
            _write(file, starts[block] * size, images)
            os.fsync(file.fileno())  # the mark must not be there before the images
            _write(file, end + block * MARK, sources[block] + hashlib.sha256(images).digest())
        return len(part)

    try:
        _make(path, end + len(starts) * MARK)
        with ThreadPoolExecutor(workers or _cores()) as pool:  # Pillow and hashlib work without the interpreter's lock
            todo = [block for block, there in enumerate(pool.map(is_there, range(len(starts)))) if not there]
            left = sum(len(files[starts[block] : starts[block] + BLOCK]) for block in todo)
            with tqdm(
                total=len(files),
                initial=len(files) - left,
                desc=f"decoding {name}",
                unit=" images",
                disable=len(todo) * BLOCK <= SILENT,
            ) as bar:
                try:
                    for done in as_completed([pool.submit(fill, block) for block in todo]):
                        bar.update(done.result())
                finally:
                    pool.shutdown(cancel_futures=True)
        return Mapped(path, (len(files), *shape))
    except OSError as error:
        raise OSError(
            f"data {name!r}: the decoded images {path} cannot be written or read: {error}. Free some space and run it "
            "again to resume, or name another folder for caches with ZOO_CACHE"
        ) from error


def _digest(*texts: str) -> bytes:
    return hashlib.sha256("\n".join(texts).encode()).digest()


def _make(path: Path, size: int) -> None:
    """Creates the file, filled with zeros, which match no mark; or restores the size of a damaged file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if file.tell() != size:
            file.truncate(size)


def _write(file: Any, at: int, content: bytes) -> None:
    file.seek(at)
    while content:  # a single write may be incomplete
        content = content[file.write(content) :]


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
