"""Caches: made once, whole or not there, and never taken for what they are not."""

import errno
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from zoo.lab.data import cache
from zoo.lab.data.cache import Stream, cached, fingerprint, read_npz, rows_of

NOBODY = 65534
ARRAYS = {"x": np.arange(30, dtype=np.uint8).reshape(5, 2, 3), "y": np.array([0.5, -1.0]), "n": np.array(7)}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test's caches go."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "caches"))
    return tmp_path / "caches"


def never() -> dict[str, np.ndarray]:
    raise AssertionError("made anew")


def file(folder: Path) -> Path:
    """The one thing that is there: nothing unfinished lies beside it."""
    (one,) = folder.iterdir()
    return one


def test_made_once_then_read(folder: Path) -> None:
    made, read = cached("set", {"size": 3}, lambda: ARRAYS), cached("set", {"size": 3}, never)
    for found in (made, read):
        assert set(found) == set(ARRAYS)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    with np.load(file(folder)) as archive:  # an ordinary .npz, that tells what it is
        assert '"size": 3' in str(archive["header"])


def test_parts_make_the_array() -> None:
    rows = np.arange(35, dtype=np.int16).reshape(5, 7)
    stream = Stream((5, 7), rows.dtype, (rows[i : i + 2] for i in (0, 2, 4)))
    np.testing.assert_array_equal(cached("set", {}, lambda: {"x": stream})["x"], rows)


@pytest.mark.parametrize("order", ["C", "F"])
def test_large_arrays_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    monkeypatch.setattr(cache, "MAPPED", 200)
    arrays = {"large": np.arange(35.0).reshape(5, 7).copy(order=order), "small": np.arange(3, dtype=np.uint8)}  # type: ignore[call-overload]
    np.savez(tmp_path / "plain.npz", **arrays)
    np.savez_compressed(tmp_path / "compressed.npz", **arrays)
    for name, mapped in (("plain", True), ("compressed", False)):
        found = read_npz(tmp_path / f"{name}.npz")
        assert isinstance(found["large"], np.memmap) == mapped
        assert not isinstance(found["small"], np.memmap)
        for key, array in arrays.items():
            np.testing.assert_array_equal(found[key], array)


def test_other_settings_and_versions_are_other_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached("set", {"size": 3}, lambda: ARRAYS)
    with pytest.raises(AssertionError, match=r"made anew"):
        cached("set", {"size": 4}, never)
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    with pytest.raises(AssertionError, match=r"made anew"):
        cached("set", {"size": 3}, never)
    cached("set", {"size": 3}, lambda: {"x": np.zeros(2)})
    assert len(list(folder.iterdir())) == 2


def test_a_cache_in_anothers_place_is_refused(folder: Path) -> None:
    cached("set", {"size": 3}, lambda: ARRAYS)
    old = file(folder)
    cached("set", {"size": 4}, lambda: ARRAYS)
    (new,) = set(folder.iterdir()) - {old}
    new.write_bytes(old.read_bytes())
    with pytest.raises(
        ValueError, match=rf"'set': the cache {new} is one of .* other settings .*\"size\": 3.*remove it"
    ):
        cached("set", {"size": 4}, never)
    np.savez(new, x=np.zeros(3))
    with pytest.raises(ValueError, match=rf"{new} .*no header at all"):
        cached("set", {"size": 4}, never)


def test_truncated_at_any_length(folder: Path) -> None:
    cached("set", {}, lambda: ARRAYS)
    whole = file(folder).read_bytes()
    for length in range(0, len(whole), 13):
        file(folder).write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"'set': {file(folder)} cannot be read; .*It is a cache: remove it"):
            cached("set", {}, never)


def test_a_changed_byte_is_found(folder: Path) -> None:
    cached("set", {}, lambda: ARRAYS)
    whole = bytearray(file(folder).read_bytes())
    whole[whole.index(ARRAYS["x"].tobytes()) + 11] ^= 1
    file(folder).write_bytes(whole)
    with pytest.raises(ValueError, match=f"{file(folder)} cannot be read.*CRC"):
        cached("set", {}, never)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"objects.npz cannot be read.*pickle"):
        read_npz(tmp_path / "objects.npz")


def test_a_source_that_fails_midway_leaves_nothing(folder: Path) -> None:
    def parts() -> Iterator[np.ndarray]:
        yield np.zeros((2, 3), np.uint8)
        raise ValueError("photo.png is damaged")

    with pytest.raises(ValueError, match=r"photo.png is damaged"):
        cached("set", {}, lambda: {"x": Stream((4, 3), np.dtype(np.uint8), parts())})
    assert not list(folder.iterdir())


def test_parts_that_do_not_add_up_leave_nothing(folder: Path) -> None:
    short = Stream((4, 3), np.dtype(np.uint8), [np.zeros((3, 3), np.uint8)])
    with pytest.raises(ValueError, match=r"9 bytes of 12"):
        cached("set", {}, lambda: {"x": short})
    assert not list(folder.iterdir())


def test_a_full_disk_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, left = zipfile._ZipWriteFile.write, [40]  # type: ignore[attr-defined]

    def no_room(self: object, data: bytes) -> int:
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(write(self, data))

    monkeypatch.setattr(zipfile._ZipWriteFile, "write", no_room)  # type: ignore[attr-defined]
    with pytest.raises(OSError, match=rf"'set': the cache {folder}.* cannot be written: .*No space left.* ZOO_CACHE"):
        cached("set", {}, lambda: ARRAYS)
    assert not list(folder.iterdir())


def test_a_place_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").write_text("")
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


@pytest.mark.skipif(os.name != "posix", reason="permissions are not the same elsewhere")
def test_no_permission(bound: Path) -> None:
    cached("set", {}, lambda: ARRAYS)
    file(bound).chmod(0)
    with pytest.raises(ValueError, match=r"cannot be read.*Permission denied"):
        cached("set", {}, never)
    bound.chmod(0o500)
    with pytest.raises(OSError, match=r"cannot be written.*Permission denied.*ZOO_CACHE"):
        cached("set", {"size": 1}, lambda: ARRAYS)
    bound.chmod(0o700)


def test_no_permission_as_the_system_says_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    cached("set", {}, lambda: ARRAYS)
    monkeypatch.setattr(zipfile, "ZipFile", denied)
    with pytest.raises(ValueError, match=f"{file(folder)} cannot be read.*Permission denied"):
        cached("set", {}, never)
    with pytest.raises(OSError, match=r"cannot be written.*Permission denied.*ZOO_CACHE"):
        cached("set", {"size": 1}, lambda: ARRAYS)


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


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_rows_come_part_by_part(tmp_path: Path, save: object) -> None:
    x = np.arange(77, dtype=np.int32).reshape(11, 7)
    save(tmp_path / "x.npz", x=x, other=np.array([None], dtype=object))  # type: ignore[operator]
    stream = rows_of(tmp_path / "x.npz", "x", 4)
    assert (stream.shape, stream.dtype) == (x.shape, x.dtype)
    parts = list(stream.parts)
    assert [len(part) for part in parts] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate(parts), x)
    with pytest.raises(ValueError, match=r"has no array 'y'"):
        rows_of(tmp_path / "x.npz", "y", 4)
    with pytest.raises(ValueError, match=r"plain numbers"):
        rows_of(tmp_path / "x.npz", "other", 4)
