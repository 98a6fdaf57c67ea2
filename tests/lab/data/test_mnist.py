"""MNIST and Fashion-MNIST: from small files in their own format, and from the real ones where they are."""

import gzip
import hashlib
import io
import struct
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo.lab.data import data_folder, load
from zoo.lab.data.mnist import FILES, SHA256

IMAGES = np.random.default_rng(0).integers(256, size=(7, 28, 28), dtype=np.uint8)
LABELS = np.arange(7, dtype=np.uint8)


def write(folder: Path, name: str = "MNIST") -> Path:
    """Five training and two test images as IDX files."""
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    for part, rows in (("train", slice(0, 5)), ("t10k", slice(5, 7))):
        images, labels = IMAGES[rows], LABELS[rows]
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, *images.shape) + images.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, len(labels)) + labels.tobytes())
    return raw


def digests(folder: Path, name: str = "MNIST") -> tuple[str, ...]:
    """Of the files there."""
    return tuple(hashlib.sha256((folder / name / "raw" / file).read_bytes()).hexdigest() for file in FILES)


@pytest.fixture(autouse=True)
def _few(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The published files are those that the test writes."""
    if "real" not in request.node.name:
        monkeypatch.setattr("zoo.lab.data.mnist.COUNTS", (5, 2))
        published = tmp_path_factory.mktemp("published")
        for name in ("MNIST", "FashionMNIST"):
            write(published, name)
            monkeypatch.setitem(SHA256, name, digests(published, name))


@pytest.mark.parametrize(("name", "source"), [("MNIST", "mnist"), ("FashionMNIST", "fashion-mnist")])
def test_read_as_distributed(tmp_path: Path, name: str, source: str) -> None:
    write(tmp_path, name)
    train, test = load(source, folder=tmp_path)
    np.testing.assert_array_equal(train.x[:, 0], IMAGES[:5])
    np.testing.assert_array_equal(test.x[:, 0], IMAGES[5:])
    np.testing.assert_array_equal(test.y, [5, 6])
    assert len(train.classes) == 10
    assert train.classes[0] == ("0" if name == "MNIST" else "T-shirt/top")


def test_32_pixels_are_bilinear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A grey level is kept, and so is a ramp of 4 a pixel: pixel i of 32 lies at (i + 1/2) 28 / 32 - 1/2 of 28.
    raw = write(tmp_path)
    ramp = np.broadcast_to(4 * np.arange(28, dtype=np.uint8), (5, 28, 28)).copy()
    ramp[0] = 77
    (raw / FILES[0]).write_bytes(struct.pack(">4i", 0x803, 5, 28, 28) + ramp.tobytes())
    monkeypatch.setitem(SHA256, "MNIST", digests(tmp_path))
    x = load("mnist", folder=tmp_path, size=32).train.x
    assert x.shape == (5, 1, 32, 32)
    assert (x[0] == 77).all()
    where = ((np.arange(32) + 0.5) * 28 / 32 - 0.5).clip(0, 27)
    np.testing.assert_allclose(x[1, 0, 9], 4 * where, atol=1.0)  # bytes, rounded


def test_binarised_by_option(tmp_path: Path) -> None:
    write(tmp_path)
    static = load("mnist", folder=tmp_path, binarise="static", seed=1)
    again = load("mnist", folder=tmp_path, binarise="static", seed=1)
    for a, b in zip(static, again, strict=True):
        assert set(a.batch(torch.arange(2)).x.unique().tolist()) == {0.0, 1.0}
        np.testing.assert_array_equal(a.x, b.x)
    assert (load("mnist", folder=tmp_path, binarise="static", seed=2).train.x != static.train.x).any()
    dynamic = load("mnist", folder=tmp_path, binarise="dynamic").train
    first, second = (b.x[b.index.argsort()] for b in dynamic.batches(5, seed=0, steps=2))
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(first, second)


def test_missing_files_are_named(tmp_path: Path) -> None:
    raw = write(tmp_path)
    (raw / FILES[3]).unlink()
    with pytest.raises(FileNotFoundError, match=rf"'mnist': {FILES[3]} not found in {raw}.*ZOO_DATA.*--download"):
        load("mnist", folder=tmp_path)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("how", ["truncated", "changed", "others"])
def test_other_files_are_named(tmp_path: Path, file: str, how: str) -> None:
    path = write(tmp_path) / file
    content = bytearray(path.read_bytes())
    content[-1] ^= how == "changed"
    path.write_bytes(content[:-1] if how == "truncated" else bytes(len(content)) if how == "others" else content)
    with pytest.raises(ValueError, match=rf"'mnist': {path} is not the published file: its sha256 is .*fetch it again"):
        load("mnist", folder=tmp_path)


def test_what_is_missing_is_fetched_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    served, asked = write(tmp_path_factory.mktemp("served"), "FashionMNIST"), []

    def answer(_: object, url: str, timeout: float) -> object:
        asked.append(url)
        return io.BytesIO(gzip.compress((served / url.rsplit("/")[-1].removesuffix(".gz")).read_bytes()))

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", answer)
    train, _ = load("fashion-mnist", folder=tmp_path, download=True)
    np.testing.assert_array_equal(train.x[:, 0], IMAGES[:5])
    assert all(url.startswith("https://github.com/zalandoresearch/fashion-mnist/") for url in asked)
    raw = tmp_path / "FashionMNIST" / "raw"
    assert {file.name for file in raw.iterdir()} == set(FILES)
    (raw / FILES[1]).unlink()
    (served / FILES[1]).write_bytes(b"something else")
    with pytest.raises(
        OSError, match=rf"{FILES[1]}.gz cannot be fetched to {raw / FILES[1]}: .*not the published file"
    ):
        load("fashion-mnist", folder=tmp_path, download=True)
    assert {file.name for file in raw.iterdir()} == set(FILES) - {FILES[1]}


def test_wrong_options_are_told(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(ValueError, match=r"size must be at least 1 pixel, got 0"):
        load("mnist", folder=tmp_path, size=0)
    with pytest.raises(ValueError, match=r"'no', 'static' or 'dynamic', got 'yes'"):
        load("mnist", folder=tmp_path, binarise="yes")


@pytest.mark.parametrize(("name", "source"), [("MNIST", "mnist"), ("FashionMNIST", "fashion-mnist")])
def test_the_real_ones(name: str, source: str) -> None:
    if not (data_folder() / name / "raw" / FILES[0]).is_file():
        pytest.skip(f"ZOO_DATA has no {name}")
    train, test = load(source)
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.shape == (1, 28, 28)
    # as everybody normalises by: means 0.1307 and 0.2860
    assert train.x.mean() / 255 == pytest.approx({"MNIST": 0.1307, "FashionMNIST": 0.2860}[name], abs=5e-5)
    assert np.bincount(test.y).tolist() == (
        [1000] * 10 if name == "FashionMNIST" else [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    )
