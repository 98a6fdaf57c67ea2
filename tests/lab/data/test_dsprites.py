"""dSprites as published: read from its own layout, checked against the grid, and the same as what we render."""

import hashlib
import io
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoo.lab.data import Dataset, Factors, data_folder, dsprites, load
from zoo.lab.data.dsprites import FILE
from zoo.lab.data.shapes import FACTORS, render

FEW = Factors(FACTORS.names, tuple(v[:n] for v, n in zip(FACTORS.values, (3, 2, 1, 3, 2), strict=True)))  # 36 images


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test's caches go."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "caches"))
    return tmp_path / "caches"


def published(path: Path, **changed: Any) -> Path:
    """A file as published, of 36 images: compressed, with a colour, and with metadata that has to be unpickled."""
    classes = FEW.classes
    words = render(FACTORS.index(classes))
    images = np.unpackbits(words.view(np.uint8).reshape(-1, 64, 8), axis=2, bitorder="little")
    arrays = {
        "metadata": np.array({"author": "somebody"}, dtype=object),
        "imgs": images,
        "latents_classes": np.column_stack([np.zeros(36, np.int64), classes]),
        "latents_values": np.column_stack([np.ones(36), FEW.values_at(np.arange(36))]),
    }
    np.savez_compressed(path, **{name: changed.get(name, array) for name, array in arrays.items()})
    return path


def digest(file: Path) -> str:
    return "md5:" + hashlib.md5(file.read_bytes()).hexdigest()


def read(file: Path, published: str | None = None) -> Dataset:
    """A file that is taken for the published one, of 36 images."""
    return dsprites.read(file, FEW, published or digest(file))


def test_read_as_published(tmp_path: Path) -> None:
    data = read(published(tmp_path / "few.npz"))
    assert isinstance(data, Dataset)
    assert data.shape == (1, 64, 64)
    np.testing.assert_array_equal(data.y, np.repeat([0, 1, 2], 12))
    np.testing.assert_array_equal(data.x.reshape(36, 64), render(FACTORS.index(FEW.classes)))
    with np.load(tmp_path / "few.npz") as file:
        assert torch.equal(data.batch(torch.arange(36)).x[:, 0], torch.from_numpy(file["imgs"]).double())
    again = read(tmp_path / "few.npz")  # from the cache
    np.testing.assert_array_equal(again.x, data.x)


def swapped(array: np.ndarray) -> np.ndarray:
    """The same with datapoints 7 and 8 exchanged."""
    array = array.copy()
    array[[7, 8]] = array[[8, 7]]
    return array


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("imgs", lambda a: a[:, :32], r"imgs in .*few.npz must be bytes \[36, 64, 64\], got uint8 of shape"),
        ("imgs", lambda a: a.astype(np.float32), r"imgs in .*, got float32"),
        ("imgs", lambda a: a * 255, r"imgs in .*few.npz must be 0 and 1, and has 255"),
        ("latents_classes", swapped, r"latents_classes in .*few.npz are not dSprites', first at image 7"),
        ("latents_values", swapped, r"latents_values in .*few.npz are not dSprites', first at image 7"),
        ("latents_values", lambda a: a[:-1], r"latents_values in .*few.npz must be \(36, 6\), got \(35, 6\)"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, caches: Path, name: str, change: Any, message: str) -> None:
    with np.load(published(tmp_path / "few.npz"), allow_pickle=True) as file:
        array = file[name]
    with pytest.raises(ValueError, match=f"data 'dsprites': {message}"):
        read(published(tmp_path / "few.npz", **{name: change(array)}))
    assert not caches.exists() or not list(caches.iterdir())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_named(tmp_path: Path, caches: Path, share: float) -> None:
    file = published(tmp_path / "few.npz")
    whole, known = file.read_bytes(), digest(file)
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=f"{file} is not the published file: its md5 is .*Remove it"):
        read(file, known)
    with pytest.raises(ValueError, match=f"{file} cannot be read"):  # nor would it be read if it were
        read(file)
    assert not caches.exists() or not list(caches.iterdir())


def test_missing_says_where_and_how(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/{FILE} not found.*--download.*--data shapes"):
        load("dsprites", folder=tmp_path)


def test_a_download_must_be_the_published_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(_: object, url: str, timeout: float) -> object:
        asked.append(url)
        return io.BytesIO(published(tmp_path / "served.npz").read_bytes())

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", answer)
    place = tmp_path / "new" / FILE
    with pytest.raises(OSError, match=rf"{FILE} cannot be fetched to {place}: .*its md5 is .*not 7da33b31b13a06f4b0"):
        load("dsprites", folder=tmp_path / "new", download=True)
    assert asked == [f"https://github.com/google-deepmind/dsprites-dataset/raw/master/{FILE}"]
    assert not list((tmp_path / "new").iterdir())
    monkeypatch.setattr(dsprites, "DIGEST", digest(tmp_path / "served.npz"))
    with pytest.raises(ValueError, match=r"must be \(737280, 6\), got \(36, 6\)"):  # ours has only 36 images
        load("dsprites", folder=tmp_path / "new", download=True)
    assert [file.name for file in (tmp_path / "new").iterdir()] == [FILE]


@pytest.mark.skipif(not (data_folder() / FILE).is_file(), reason=f"ZOO_DATA has no {FILE}")
def test_the_published_file_is_what_we_render() -> None:
    # The outlines were measured on an animation: 38 to 56 pixels are wrong over 46 to 110 frames of 4,096
    data = load("dsprites").train
    index = np.arange(0, 737_280, 37)
    differ = np.unpackbits((data.x[index].reshape(-1, 64) ^ render(index)).view(np.uint8)).sum() / len(index)
    assert differ < 3
