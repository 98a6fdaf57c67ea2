"""Many image files decoded once, on all cores, into one file of bytes that is then mapped into memory.

The file holds the images, and after them a mark per block of images: a digest of the settings and of the files that the
block was decoded from, and one of its pixels, written once the images are on the disk. A block whose mark does not fit
is decoded again, so a decoding that was killed goes on where it was, a picture that is replaced or a byte that is
damaged costs no more than its block, and nothing has to be cleaned up. Each block has a place of its own, so two
processes that decode at once write the same bytes twice.
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

from zoo.lab.data.cache import VERSION, cache_folder, fingerprint

BLOCK = 256  # images that are decoded and marked at once
MARK = 64  # bytes of two digests, of what a block was made from and of its pixels
SILENT = 2_048  # as many images are decoded without a bar
RESIDENT = 64 * 2**20  # bytes of a mapped file that may stay in memory
AROUND = 2 * 2**20  # bytes that the system may map around an image that is asked for: a large page


class Mapped:
    """Bytes [N, C, H, W] in a file; to whoever indexes it an array, of which `RESIDENT` bytes stay in memory."""

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._pixels = np.frombuffer(self._map, np.uint8, math.prod(shape)).reshape(shape)
        self._left = RESIDENT // AROUND  # images to read before memory is given back
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
                    self._map.madvise(mmap.MADV_DONTNEED)  # the system's own copy stays, so this costs little
                self._left = RESIDENT // AROUND
        return images.reshape(*rows.shape, *self.shape[1:])


def decoded_folder(folder: Path) -> Path:
    """Where decoded images are: the environment's ZOO_CACHE, else `decoded` in the data folder."""
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
    """The images of `files` [N, *shape], decoded where they were not before.

    Args:
        name: of the data set; the file in `into` is called after it and the settings.
        folder: the data folder, which the files lie in.
        files: one per image.
        shape: of an image, C, H, W.
        decode: makes bytes [C, H, W] of a file; called from several threads at once.
        settings: everything else that the images depend on, as JSON takes it.
        into: where the decoded images are kept; `decoded_folder(folder)` when not given.
        workers: how many threads; as many as this process may use cores when not given.

    Raises:
        OSError: the decoded images cannot be written.
        ValueError: what `decode` raises, and then the blocks that are there remain.
    """
    settings = {"version": VERSION, "folder": str(folder.resolve()), "images": len(files), "shape": shape, **settings}
    header = json.dumps(settings, sort_keys=True)
    key = hashlib.sha256(header.encode()).hexdigest()[:16]
    path = (into or decoded_folder(folder)) / f"{name[:80]}-v{VERSION}-{key}.images"
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
            f"data {name!r}: the decoded images {path} cannot be written or read: {error}. Make room and go on where "
            "it was, or name another folder for caches with ZOO_CACHE"
        ) from error


def _digest(*texts: str) -> bytes:
    return hashlib.sha256("\n".join(texts).encode()).digest()


def _make(path: Path, size: int) -> None:
    """Makes the file, of zeros, which are no block's mark; or gives a damaged one its size back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if file.tell() != size:
            file.truncate(size)


def _write(file: Any, at: int, content: bytes) -> None:
    file.seek(at)
    while content:  # a single write may stop short
        content = content[file.write(content) :]


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
