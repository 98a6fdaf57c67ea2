"""An .npz from elsewhere: read as NumPy reads it, or refused before anything is allocated."""

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.processes import processes
from zoo.lab.data import cache, load, npz
from zoo.lab.data.npz import names_in, read_npz, rows_of


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test's caches go."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "caches"))
    return tmp_path / "caches"


def npy(shape: Any, descr: str, content: bytes, *, fortran: bool = False, version: int = 1) -> bytes:
    """An .npy that may say anything of itself."""
    header = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(header)) + header + content


def archive(path: Path, compression: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@given(
    x=st.one_of(
        *(
            arrays(dtype, array_shapes(min_dims=0, min_side=0))
            for dtype in ("u1", ">i4", "<f8", "?", "<U3", "S2", "<c8", "<f2")
        )
    ),
    order=st.sampled_from("CF"),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_numpy_saved_is_read(tmp_path: Path, save: Callable[..., None], x: np.ndarray, order: Any) -> None:
    save(tmp_path / "x.npz", x=x.copy(order=order), n=np.array(3))
    found = read_npz(tmp_path / "x.npz")
    assert names_in(tmp_path / "x.npz") == ["n", "x"]
    np.testing.assert_array_equal(found["x"], x)
    assert (found["x"].dtype, found["x"].shape, int(found["n"])) == (x.dtype, x.shape, 3)
    assert found["x"].flags.writeable


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_large_files_are_unpacked_once_and_mapped(
    tmp_path: Path, caches: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[..., None]
) -> None:
    for module in (cache, npz):
        monkeypatch.setattr(module, "MAPPED", 200)
    x = np.arange(35.0).reshape(5, 7)
    save(tmp_path / "large.npz", x=x, names=np.array(["a", "b"]))
    for _ in range(2):
        found = read_npz(tmp_path / "large.npz")
        assert isinstance(found["x"], np.memmap)
        np.testing.assert_array_equal(found["x"], x)
        assert found["names"].tolist() == ["a", "b"]
    assert len(list(caches.iterdir())) == 1
    save(tmp_path / "turned.npz", x=x.copy(order="F"))
    with pytest.raises(ValueError, match=r"array 'x' is in Fortran order; save it with np.ascontiguousarray"):
        read_npz(tmp_path / "turned.npz")


OBJECTS = io.BytesIO()
np.save(OBJECTS, np.array([{"a": 1}], dtype=object), allow_pickle=True)

CRAFTED = {
    "objects": (npy((64,), "'|O'", bytes(512)), r"array 'x': it holds Python objects; save it with .astype\(str\)"),
    "pickled": (OBJECTS.getvalue(), r"array 'x': it holds Python objects"),
    "fields of objects": (npy((8,), "[('a', '|O')]", bytes(64)), r"it holds Python objects"),
    "terabytes": (npy((2**40, 64), "'<f8'", bytes(64)), r"says float64 of shape \(1099511627776, 64\), and 64 bytes"),
    "overflow": (npy((2**62, 2**62, 4), "'<f8'", b""), r"and 0 bytes follow"),
    "negative": (npy((-1,), "'<f8'", bytes(64)), r"of shape \(-1,\)"),
    "two negatives": (npy((-2, -4), "'<f8'", bytes(64)), r"of shape \(-2, -4\)"),
    "nothing, often": (npy((10**15,), "'<U0'", b""), r"of shape \(1000000000000000,\), and 0 bytes follow"),
    "short": (npy((9,), "'<f8'", bytes(64)), r"of shape \(9,\), and 64 bytes follow"),
    "long": (npy((7,), "'<f8'", bytes(64)), r"of shape \(7,\), and 64 bytes follow"),
    "no shape": (npy("'many'", "'<f8'", bytes(64)), r"its header cannot be read"),
    "deep": (npy("(" * 5000 + ")" * 5000, "'<f8'", b""), r"its header cannot be read"),
    "no dtype": (npy((8,), "'<z8'", bytes(64)), r"its header cannot be read"),
    "code": (npy((8,), "__import__('os').system('touch /tmp/never')", b""), r"its header cannot be read"),
    "version": (npy((8,), "'<f8'", bytes(64), version=9), r"version \(9, 0\) of the .npy format"),
    "empty": (b"", r"array 'x'"),
    "no npy": (b"hello" * 20, r"array 'x'"),
}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("kind", CRAFTED)
def test_crafted_headers_are_refused_in_a_line(tmp_path: Path, compression: int, kind: str) -> None:
    content, message = CRAFTED[kind]
    path = archive(tmp_path / "crafted.npz", compression, x=content)
    for read in (lambda: read_npz(path), lambda: rows_of(path, "x", 4)):
        with pytest.raises(ValueError, match=message) as caught:
            read()
        assert len(str(caught.value).splitlines()) == 1
        assert str(path) in str(caught.value)


def load_refused(path: Path, said: Path) -> None:
    """In a process of its own, which a fault would end; the reason is in the file `said`."""
    try:
        load(str(path))
    except ValueError as error:
        said.write_text(str(error), encoding="utf-8")


def test_objects_of_256_megabytes_do_not_end_the_process(tmp_path: Path) -> None:
    # Mapped, the bytes of the file would be pointers to objects, and the first look at one of them a fault
    path = tmp_path / "crafted.npz"
    count = 2**28 // 8 + 1
    with zipfile.ZipFile(path, "w") as file, file.open("x.npy", "w") as member:
        member.write(npy((count,), "'|O'", b"\x07" * 8))
        for _ in range(count // 2**16):
            member.write(b"\x07" * 2**19)
    process = processes.Process(target=load_refused, args=(path, tmp_path / "said"))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert "Python objects" in (tmp_path / "said").read_text(encoding="utf-8")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, caches: Path) -> None:
    # Its directory claims 100 GB in 1,000 bytes: more than any deflated stream can hold
    path = archive(tmp_path / "bomb.npz", zipfile.ZIP_DEFLATED, x=npy((10**11,), "'|u1'", bytes(2**20)))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    size = struct.unpack_from("<I", content, at + 20)[0]
    struct.pack_into("<I", content, at + 24, 2**32 - 2)
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"array 'x' claims 4,294,967,294 bytes out of {size:,}"):
        read_npz(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**24
    assert not caches.exists()


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path: Path, compression: int) -> None:
    path = archive(tmp_path / "x.npz", compression, x=npy((8,), "'<f8'", bytes(64)))
    with pytest.raises(ValueError, match=r"compressed in a way that np.savez does not use"):
        read_npz(path)


def test_two_arrays_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", npy((1,), "'<f8'", bytes(8)))
        file.writestr("x", npy((1,), "'<f8'", bytes(8)))
    with pytest.raises(ValueError, match=r"it has two arrays 'x'"):
        read_npz(path)


@given(st.data())
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_anywhere_is_a_line_or_does_no_harm(tmp_path: Path, data: st.DataObject) -> None:
    arrays = {"x": np.arange(40, dtype=np.float32).reshape(8, 5), "y": np.arange(8)}
    path = tmp_path / "x.npz"
    data.draw(st.sampled_from([np.savez, np.savez_compressed]))(path, **arrays)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])
    found, said = {}, f"{path}: "
    try:
        found = read_npz(path)
    except ValueError as error:
        said = str(error)
    assert str(path) in said
    assert len(said.splitlines()) == 1
    for name in set(found) & set(arrays):  # names and dates may change; pixels have a checksum
        assert found[name].nbytes == arrays[name].nbytes


def test_truncated_at_any_length(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.arange(30))
    whole = path.read_bytes()
    for length in range(0, len(whole), 13):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=f"{path} cannot be read; it is truncated, damaged, or not an .npz"):
            read_npz(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_npz(path)


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    path, x = tmp_path / "x.npz", np.arange(30)
    np.savez(path, x=x)
    whole = bytearray(path.read_bytes())
    whole[whole.index(x.tobytes()) + 11] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=f"{path} cannot be read: array 'x': .*CRC"):
        read_npz(path)
    with pytest.raises(ValueError, match=f"{path} .*array 'x': .*CRC"):
        list(rows_of(path, "x", 4).parts)


def test_no_room_to_unpack_is_said_before_the_work(
    tmp_path: Path, caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.zeros(10_000))
    monkeypatch.setattr(npz, "MAPPED", 200)
    monkeypatch.setattr(npz.shutil, "disk_usage", lambda _: SimpleNamespace(free=70_000))
    with pytest.raises(OSError, match=rf"{path} has 0.0 GB of arrays, and only 0.0 GB are free in {caches}"):
        read_npz(path)
    assert not caches.exists()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_rows_come_part_by_part(tmp_path: Path, save: Callable[..., None]) -> None:
    x = np.arange(77, dtype=np.int32).reshape(11, 7)
    save(tmp_path / "x.npz", x=x, other=np.array([None], dtype=object), none=np.zeros((0, 4)), n=np.array(5))
    stream = rows_of(tmp_path / "x.npz", "x", 4)
    assert (stream.shape, stream.dtype) == (x.shape, x.dtype)
    parts = list(stream.parts)
    assert [len(part) for part in parts] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate(parts), x)
    assert len(list(rows_of(tmp_path / "x.npz", "x").parts)) == 1
    assert not list(rows_of(tmp_path / "x.npz", "none").parts)
    assert [int(part) for part in rows_of(tmp_path / "x.npz", "n").parts] == [5]
    with pytest.raises(ValueError, match=r"has no array 'y'; it has n, none, other, x"):
        rows_of(tmp_path / "x.npz", "y", 4)
    with pytest.raises(ValueError, match=r"array 'other': it holds Python objects"):
        rows_of(tmp_path / "x.npz", "other", 4)
