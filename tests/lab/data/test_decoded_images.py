"""Decoding that is killed, damaged and resumed; files here are decoded to one pixel, their only byte."""

import functools
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.processes import processes
from zoo.lab.data import decoded_images as decode
from zoo.lab.data.decoded_images import Mapped, decoded


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test's caches go."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "caches"))
    return tmp_path / "caches"


def tree(folder: Path, count: int) -> list[Path]:
    """Files that are decoded to one pixel, their number modulo 251."""
    folder.mkdir(exist_ok=True)
    files = [folder / f"{n:04d}" for n in range(count)]
    for n, file in enumerate(files):
        file.write_bytes(bytes([n % 251]))
    return files


def pixel(seen: list[Path], file: Path) -> np.ndarray:
    """What is decoded, noting of which file."""
    seen.append(file)
    content = file.read_bytes()
    if len(content) != 1:
        raise ValueError(f"{file} is damaged")
    return np.frombuffer(content, np.uint8).reshape(1, 1, 1)


def decode_tree(folder: Path, files: list[Path], seen: list[Path], **options: Any) -> np.ndarray:
    return decoded("set", folder, files, (1, 1, 1), functools.partial(pixel, seen), {}, **options)[:].ravel()


@pytest.fixture
def blocks_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "BLOCK", 10)
    monkeypatch.setattr(decode, "SILENT", 0)


@pytest.mark.usefixtures("blocks_of_ten")
def test_each_file_is_decoded_once_whatever_the_threads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = tree(tmp_path / "f", 95)
    for workers in (1, 7):
        seen: list[Path] = []
        for _ in range(2):
            found = decode_tree(tmp_path / "f", files[: 95 - workers], seen, workers=workers)
            np.testing.assert_array_equal(found, np.arange(95 - workers) % 251)
        assert sorted(seen) == files[: 95 - workers]
        bar = capsys.readouterr().err
        assert "decoding set: 100%" in bar
        assert bar.count("\n") == 1  # one bar, which the second time is not shown
        assert f"{95 - workers}/{95 - workers}" in bar


@pytest.mark.usefixtures("blocks_of_ten")
def test_a_damaged_file_costs_its_block_alone(tmp_path: Path) -> None:
    files = tree(tmp_path / "f", 95)
    files[42].write_bytes(b"")
    with pytest.raises(ValueError, match=r"0042 is damaged"):
        decode_tree(tmp_path / "f", files, [], workers=1)
    files[42].write_bytes(bytes([42]))
    seen: list[Path] = []
    np.testing.assert_array_equal(decode_tree(tmp_path / "f", files, seen, workers=1), np.arange(95) % 251)
    # With one thread the four blocks before it were there. More may be, by the time the pool hears of it
    assert set(files[40:50]) <= set(seen) <= set(files[40:])
    for changed in (files[3], files[90]):  # pictures that were replaced, one in the first block, one in the last
        changed.write_bytes(bytes([250]))
        os.utime(changed, ns=(1, 1))
    seen.clear()
    found = decode_tree(tmp_path / "f", files, seen)
    assert sorted(seen) == files[:10] + files[90:]
    assert np.flatnonzero(found == 250).tolist() == [3, 90]


@pytest.mark.usefixtures("blocks_of_ten")
def test_other_files_and_settings_are_other_images(tmp_path: Path, caches: Path) -> None:
    files = tree(tmp_path / "f", 30)
    decode_tree(tmp_path / "f", files, [])
    seen: list[Path] = []
    swapped = [files[1], files[0], *files[2:]]  # of the same names, sizes and times, in another order
    np.testing.assert_array_equal(decode_tree(tmp_path / "f", swapped, seen)[:3], [1, 0, 2])
    assert sorted(seen) == files[:10]
    decoded("set", tmp_path / "f", files, (1, 1, 1), functools.partial(pixel, seen), {"crop": 3})
    assert len(list(caches.iterdir())) == 2


@pytest.mark.usefixtures("blocks_of_ten")
def test_what_is_damaged_is_decoded_again_and_nothing_else(tmp_path: Path, caches: Path) -> None:
    files = tree(tmp_path / "f", 35)
    decode_tree(tmp_path / "f", files, [])
    (cache,) = caches.iterdir()
    whole = cache.read_bytes()
    assert len(whole) == 35 + 4 * 64
    for byte, block in ((0, 0), (9, 0), (10, 1), (34, 3), (35, 0), (35 + 63, 0), (35 + 64 + 32, 1), (35 + 255, 3)):
        damaged = bytearray(whole)
        damaged[byte] ^= 1
        cache.write_bytes(damaged)
        seen: list[Path] = []
        np.testing.assert_array_equal(decode_tree(tmp_path / "f", files, seen), np.arange(35))
        assert sorted(seen) == files[10 * block : 10 * block + 10]
        assert cache.read_bytes() == whole
    for length in (0, 1, 35, 100, len(whole) - 1, len(whole) + 4):
        cache.write_bytes((whole + b"more")[:length])
        np.testing.assert_array_equal(decode_tree(tmp_path / "f", files, []), np.arange(35))
        assert cache.read_bytes() == whole


@pytest.mark.usefixtures("blocks_of_ten")
def test_a_cache_of_other_settings_in_this_place_is_not_taken_for_it(tmp_path: Path, caches: Path) -> None:
    files, seen = tree(tmp_path / "f", 30), list[Path]()
    decode_tree(tmp_path / "f", files, seen)
    (one,) = caches.iterdir()
    decoded("set", tmp_path / "f", files, (1, 1, 1), functools.partial(pixel, seen), {"crop": 3})
    (other,) = set(caches.iterdir()) - {one}
    one.write_bytes(other.read_bytes())
    seen.clear()
    decode_tree(tmp_path / "f", files, seen)
    assert sorted(seen) == files


@pytest.mark.usefixtures("blocks_of_ten")
def test_two_folders_of_one_name_have_images_of_their_own(tmp_path: Path, caches: Path) -> None:
    # The same names, sizes and times under two parents
    for level, parent in ((3, "here"), (5, "there")):
        (tmp_path / parent).mkdir()
        for file in tree(tmp_path / parent / "f", 12):
            file.write_bytes(bytes([level]))
            os.utime(file, ns=(0, 0))
        files = sorted((tmp_path / parent / "f").iterdir())
        np.testing.assert_array_equal(decode_tree(tmp_path / parent / "f", files, []), np.full(12, level))
    assert len(list(caches.iterdir())) == 2


@pytest.mark.usefixtures("blocks_of_ten")
def test_no_mark_without_its_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The disk is full after so many bytes, wherever that falls: what is marked then is right, the rest is decoded again
    files, write = tree(tmp_path / "f", 30), decode._write
    for room in range(0, 3 * (10 + 2 * 64), 23):
        left = [room]

        def no_room(file: Any, at: int, content: bytes, left: list[int] = left) -> None:
            write(file, at, content[: left[0]])
            left[0] -= len(content)
            if left[0] < 0:
                left[0] = 0
                raise OSError(28, "No space left on device")

        folder = tmp_path / f"caches{room}"
        monkeypatch.setenv("ZOO_CACHE", str(folder))
        monkeypatch.setattr(decode, "_write", no_room)
        with pytest.raises(OSError, match=rf"'set': the decoded images {folder}.* cannot be written.*ZOO_CACHE"):
            decode_tree(tmp_path / "f", files, [], workers=1)
        monkeypatch.setattr(decode, "_write", write)
        seen: list[Path] = []
        np.testing.assert_array_equal(decode_tree(tmp_path / "f", files, seen), np.arange(30))
        assert len(seen) == 30 - 10 * (room // 138)  # a block takes 10 bytes, and its mark twice 64


def slowly(file: Path) -> np.ndarray:
    time.sleep(0.002)
    return np.frombuffer(file.read_bytes(), np.uint8).reshape(1, 1, 1)


def decode_slowly(folder: Path, caches: Path) -> None:
    """Decodes in blocks of ten, in a process of its own."""
    os.environ["ZOO_CACHE"] = str(caches)
    decode.BLOCK = 10
    with Path(os.devnull).open("w") as sys.stderr:  # the progress bar
        decode.decoded("set", folder, sorted(folder.iterdir()), (1, 1, 1), slowly, {}, workers=2)


@pytest.mark.skipif(os.name != "posix", reason="goes on with files that a killed process had open: tried on POSIX only")
@pytest.mark.usefixtures("blocks_of_ten")
def test_killed_in_the_middle_it_goes_on(tmp_path: Path, caches: Path) -> None:
    files = tree(tmp_path / "f", 3000)
    process = processes.Process(target=decode_slowly, args=(tmp_path / "f", caches))
    process.start()
    while marked(caches) < 40:
        assert process.is_alive(), "it ended by itself"
        time.sleep(0.01)
    process.kill()
    process.join()
    there = marked(caches)
    assert 40 <= there < 300
    seen: list[Path] = []
    np.testing.assert_array_equal(decode_tree(tmp_path / "f", files, seen), np.arange(3000) % 251)
    assert len(seen) == 3000 - 10 * there


def marked(caches: Path) -> int:
    """How many of the 300 blocks of a cache of 3,000 bytes are marked."""
    marks = [cache.read_bytes()[3000:] for cache in caches.glob("*.images")]
    return sum(marks[0][at : at + 64] != bytes(64) for at in range(0, len(marks[0]), 64)) if marks else 0


def test_mapped_images_look_like_an_array(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(256, size=(50, 3, 4, 5), dtype=np.uint8)
    (tmp_path / "x").write_bytes(x.tobytes())
    mapped = Mapped(tmp_path / "x", x.shape)
    assert (mapped.shape, mapped.dtype, len(mapped)) == (x.shape, x.dtype, 50)
    for rows in (7, slice(10, 20), np.array([3, 3, 49]), np.array([[0, 1], [2, 3]])):
        found = mapped[rows]
        np.testing.assert_array_equal(found, x[rows])
        assert found.flags.writeable  # a copy, and no part of the file


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="reads /proc, which only Linux has")
def test_little_of_it_stays_resident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (16_384, 1, 64, 64)  # 64 MB
    (tmp_path / "large").write_bytes(bytes(np.prod(shape)))
    order = np.random.default_rng(0).permutation(shape[0])[:4096].reshape(-1, 256)

    def most() -> int:
        """Megabytes of the file in this process's memory, at most, while batches are read."""
        mapped = Mapped(tmp_path / "large", shape)
        return max(resident(tmp_path / "large", mapped[batch]) for batch in order)

    monkeypatch.setattr(decode, "RESIDENT", 2**40)  # never given back
    assert most() > 48
    monkeypatch.setattr(decode, "RESIDENT", 8 * 2**20)
    assert most() <= 2 * 8  # an image may lie across two pages


def resident(path: Path, _: np.ndarray) -> int:
    """Megabytes of a mapped file in this process's memory, now that these images were read."""
    found = re.findall(
        rf"{re.escape(str(path))}\n(?:.*\n)*?Rss:\s+(\d+) kB", Path("/proc/self/smaps").read_text(encoding="utf-8")
    )
    return sum(map(int, found)) // 1024
