"""Caches: made once, whole or not there, and never taken for what they are not."""

import errno
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.processes import processes
from zoo.lab.data import cache
from zoo.lab.data.cache import Stream, cache_folder, cached, fingerprint

NOBODY = 65534
ARRAYS = {
    "x": np.arange(30, dtype=np.uint8).reshape(5, 2, 3),
    "y": np.array([0.5, -1.0]),
    "n": np.array(7),
    "names": np.array(["a", "ö"]),
    "none": np.zeros((0, 3)),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test's caches go."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "caches"))
    return tmp_path / "caches"


def never() -> dict[str, np.ndarray]:
    raise AssertionError("made again")


def only(folder: Path) -> Path:
    """The one thing that is there: nothing unfinished lies beside it."""
    (one,) = folder.iterdir()
    return one


def check(found: dict[str, np.ndarray]) -> None:
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)


def test_made_once_then_read(folder: Path) -> None:
    for make in (lambda: ARRAYS, never):
        check(cached("set", {"size": 3}, make))
    assert json.loads((only(folder) / "header.json").read_text(encoding="utf-8"))["header"]["size"] == 3
    np.testing.assert_array_equal(np.load(only(folder) / "x.npy"), ARRAYS["x"])  # ordinary .npy files


def test_parts_make_the_array() -> None:
    rows = np.arange(35, dtype=np.int16).reshape(5, 7)
    stream = Stream((5, 7), rows.dtype, (rows[i : i + 2] for i in (0, 2, 4)))
    np.testing.assert_array_equal(cached("set", {}, lambda: {"x": stream})["x"], rows)


def test_large_arrays_are_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAPPED", 300)
    arrays = {"large": np.arange(35.0).reshape(5, 7).copy(order="F"), "small": np.arange(3, dtype=np.uint8)}
    found = cached("set", {}, lambda: arrays)
    assert isinstance(found["large"], np.memmap)
    assert not isinstance(found["small"], np.memmap)
    for key, array in arrays.items():
        np.testing.assert_array_equal(found[key], array)
    assert not found["large"].flags.writeable


def test_other_settings_and_versions_are_other_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached("set", {"size": 3}, lambda: ARRAYS)
    with pytest.raises(AssertionError, match=r"made again"):
        cached("set", {"size": 4}, never)
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    with pytest.raises(AssertionError, match=r"made again"):
        cached("set", {"size": 3}, never)
    cached("set", {"size": 3}, lambda: {"x": np.zeros(2)})
    assert len(list(folder.iterdir())) == 2


def test_what_older_versions_left_is_ignored(folder: Path) -> None:
    folder.mkdir()
    (folder / "set-v1-0123456789ab.npz").write_bytes(b"an archive")
    check(cached("set", {}, lambda: ARRAYS))
    assert (folder / "set-v1-0123456789ab.npz").read_bytes() == b"an archive"


def test_a_cache_in_anothers_place_is_not_taken_for_it(folder: Path) -> None:
    cached("set", {"size": 3}, lambda: {"x": np.zeros(3)})
    old = only(folder)
    cached("set", {"size": 4}, lambda: ARRAYS)
    (new,) = set(folder.iterdir()) - {old}
    for file in new.iterdir():
        file.unlink()
    for file in old.iterdir():
        (new / file.name).write_bytes(file.read_bytes())
    check(cached("set", {"size": 4}, lambda: ARRAYS))
    check(cached("set", {"size": 4}, never))


def test_a_cache_that_names_files_elsewhere_is_made_again(folder: Path, tmp_path: Path) -> None:
    cached("set", {}, lambda: ARRAYS)
    header = only(folder) / "header.json"
    content = json.loads(header.read_text(encoding="utf-8"))
    np.save(tmp_path / "other.npy", np.zeros(3))
    digest = hashlib.sha256((tmp_path / "other.npy").read_bytes()).hexdigest()
    header.write_text(json.dumps({**content, "sha256": {"../../other": digest}}), encoding="utf-8")
    check(cached("set", {}, lambda: ARRAYS))


def files() -> Iterator[tuple[str, int]]:
    """Each file of a cache, and places in it."""
    for name in ("header.json", *(f"{key}.npy" for key in ARRAYS)):
        for share in (0.0, 0.2, 0.5, 0.9, 0.999):
            yield name, int(share * 1000)


@pytest.mark.parametrize("how", ["truncated", "changed", "removed"])
def test_whatever_is_damaged_is_made_again(folder: Path, how: str) -> None:
    for name, share in files():
        cached("set", {}, lambda: ARRAYS)
        file = only(folder) / name
        content = bytearray(file.read_bytes())
        at = share * len(content) // 1000
        if how == "truncated":
            file.write_bytes(content[:at])
        elif how == "changed":
            content[at] ^= 1
            file.write_bytes(content)
        else:
            file.unlink()
        with pytest.raises(AssertionError, match=r"made again"):
            cached("set", {}, never)
        check(cached("set", {}, lambda: ARRAYS))
        check(cached("set", {}, never))


def test_a_source_that_fails_midway_leaves_nothing(folder: Path) -> None:
    def parts() -> Iterator[np.ndarray]:
        yield np.zeros((2, 3), np.uint8)
        raise ValueError("photo.png is damaged")

    with pytest.raises(ValueError, match=r"photo.png is damaged"):
        cached("set", {}, lambda: {"x": Stream((4, 3), np.dtype(np.uint8), parts())})
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (Stream((4, 3), np.dtype(np.uint8), [np.zeros((3, 3), np.uint8)]), r"9 bytes of 12"),
        (np.array([None]), r"cannot hold Python objects, as in 'x'"),
    ],
)
def test_what_cannot_be_kept_leaves_nothing(folder: Path, array: np.ndarray | Stream, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cached("set", {}, lambda: {"x": array})
    assert not list(folder.iterdir())


def full(folder: Path, said: Path) -> None:
    """A process that may write files of 5,000 bytes at most; what the cache says is in the file `said`."""
    import resource  # which POSIX alone has

    os.environ["ZOO_CACHE"] = str(folder)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    try:
        cached("set", {}, lambda: {"small": np.zeros(10), "large": np.zeros(1000)})
    except OSError as error:
        said.write_text(str(error), encoding="utf-8")


@pytest.mark.skipif(os.name != "posix", reason="sets a POSIX limit on the size of files")
def test_a_full_disk_is_one_line_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    # The system itself refuses to write more than 5,000 bytes, in the middle of the second array
    process = processes.Process(target=full, args=(folder, tmp_path / "said"))
    process.start()
    process.join()
    assert process.exitcode == 0
    said = (tmp_path / "said").read_text(encoding="utf-8")
    assert len(said.splitlines()) == 1
    assert f"'set': the cache {folder}" in said
    assert "cannot be written" in said
    assert "ZOO_CACHE" in said
    assert not list(folder.iterdir())


def fill(folder: Path, go_on: Path) -> None:
    """Writes a cache of 1,000 rows, and waits in the middle until there is a file `go_on`."""

    def rows() -> Iterator[np.ndarray]:
        for n in range(1000):
            yield np.full((1, 4096), n % 256, np.uint8)
            while n == 500 and not go_on.exists():
                time.sleep(0.001)

    os.environ["ZOO_CACHE"] = str(folder)
    cached("set", {}, lambda: {"x": Stream((1000, 4096), np.dtype(np.uint8), rows())})


def two_that_fill(folder: Path, go_on: Path) -> list[Any]:
    """Two processes that make one cache, both in the middle of it."""
    both = [processes.Process(target=fill, args=(folder, go_on)) for _ in range(2)]
    for process in both:
        process.start()
    while not all(any(part.name.split(".")[-2] == str(p.pid) for part in parts(folder)) for p in both):
        assert all(process.is_alive() for process in both), "it ended by itself"
        time.sleep(0.01)
    return both


@pytest.mark.skipif(os.name != "posix", reason="removes files that a killed process had open: tried on POSIX only")
def test_what_a_killed_process_left_is_removed_by_the_next(folder: Path, tmp_path: Path) -> None:
    killed, runs = two_that_fill(folder, tmp_path / "go on")
    killed.kill()
    killed.join()
    assert len(parts(folder)) == 2
    cached("other", {}, lambda: ARRAYS)
    assert [part.name.split(".")[-2] for part in parts(folder)] == [str(runs.pid)]  # who still writes is left alone
    (tmp_path / "go on").touch()
    runs.join()
    assert runs.exitcode == 0
    assert not parts(folder)
    assert len(list(folder.iterdir())) == 2


def parts(folder: Path) -> list[Path]:
    """What is unfinished."""
    return list(folder.glob(".*")) if folder.exists() else []


def test_a_link_in_the_place_of_an_orphan_is_removed_and_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept", encoding="utf-8")
    folder.mkdir()
    host = cache.socket.gethostname().replace(".", "-")
    (folder / f".set.{host}.999999999.01234567").symlink_to(tmp_path / "precious")
    cached("set", {}, lambda: ARRAYS)
    assert not parts(folder)
    assert (tmp_path / "precious" / "file").read_text(encoding="utf-8") == "kept"


def test_two_processes_that_make_one_cache(folder: Path, tmp_path: Path) -> None:
    both = two_that_fill(folder, tmp_path / "go on")
    (tmp_path / "go on").touch()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert only(folder).name.startswith("set-v")
    np.testing.assert_array_equal(cached("set", {}, never)["x"][:, 0], np.arange(1000) % 256)


def test_a_place_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "taken" / "caches"))
    with pytest.raises(OSError, match=r"'set': the cache .*taken.* cannot be written"):
        cached("set", {}, lambda: ARRAYS)


@pytest.fixture
def bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Caches of a user whom permissions bind, who runs the test; where root does, nobody takes over."""
    for make in (lambda: ARRAYS, never):
        cached("set", {}, make)  # imports what is imported late, which nobody may not be able to read
    with tempfile.TemporaryDirectory() as home:  # pytest's own folders let nobody else in
        monkeypatch.setenv("ZOO_CACHE", f"{home}/caches")
        root = os.geteuid() == 0
        if root:
            os.chown(home, NOBODY, -1)
            os.seteuid(NOBODY)
        try:
            yield Path(home) / "caches"
        finally:
            if root:
                os.seteuid(0)


@pytest.mark.skipif(os.name != "posix", reason="sets POSIX permissions")
def test_no_permission(bound: Path) -> None:
    cached("set", {}, lambda: ARRAYS)
    (only(bound) / "x.npy").chmod(0)
    with pytest.raises(OSError, match=r"'set': the cache .* cannot be read.*Permission denied"):
        cached("set", {}, never)
    (only(bound) / "x.npy").chmod(0o600)
    bound.chmod(0o500)
    with pytest.raises(OSError, match=r"cannot be written.*Permission denied.*ZOO_CACHE"):
        cached("set", {"size": 1}, lambda: ARRAYS)
    bound.chmod(0o700)


def test_no_permission_as_the_system_says_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    cached("set", {}, lambda: ARRAYS)
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(OSError, match=f"the cache {only(folder)} cannot be read.*Permission denied"):
        cached("set", {}, never)


def test_fingerprints_follow_the_files(tmp_path: Path) -> None:
    one = tmp_path / "a" / "1.png"
    one.parent.mkdir()
    one.write_bytes(b"123")
    os.utime(one, ns=(0, 0))
    first = fingerprint(tmp_path, [one])
    assert fingerprint(tmp_path, [one]) == first
    assert fingerprint(tmp_path / "a", [one]) != first  # another label
    os.utime(one, ns=(0, 1))
    assert fingerprint(tmp_path, [one]) != first


def test_fingerprints_of_equal_files_elsewhere_differ(tmp_path: Path) -> None:
    # One name, size and time under two parents, as two unpacked archives have them
    prints = set()
    for parent in ("here", "there"):
        file = tmp_path / parent / "pets" / "1.png"
        file.parent.mkdir(parents=True)
        file.write_bytes(parent[:3].encode())
        os.utime(file, ns=(0, 0))
        prints.add(fingerprint(file.parent, [file]))
    assert len(prints) == 2
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "here")
    assert fingerprint(link / "pets", [link / "pets" / "1.png"]) in prints  # resolved, it is one and the same


@pytest.mark.skipif(os.name != "posix", reason="only POSIX records when a file was last changed (st_ctime)")
def test_fingerprints_see_what_was_replaced_under_the_same_time(tmp_path: Path) -> None:
    file = tmp_path / "1.png"
    file.write_bytes(b"123")
    os.utime(file, ns=(0, 0))
    first = fingerprint(tmp_path, [file])
    time.sleep(0.02)
    file.write_bytes(b"321")
    os.utime(file, ns=(0, 0))
    assert fingerprint(tmp_path, [file]) != first


def test_where_caches_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"
    monkeypatch.delenv("ZOO_CACHE")
    assert cache_folder().name == "disentangled-zoo"
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache_folder() == tmp_path / "disentangled-zoo"
