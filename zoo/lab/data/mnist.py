"""MNIST and Fashion-MNIST, as IDX files in torchvision's layout."""

import gzip
import io
from pathlib import Path

import numpy as np
import torch

from zoo.lab.data.dataset import Dataset
from zoo.lab.data.download import check_digest, fetch
from zoo.lab.data.split import Split

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
COUNTS = (60_000, 10_000)
SIDE = 28
URLS = {
    "MNIST": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "FashionMNIST": "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
}
SHA256 = {  # of the unpacked files, as in FILES
    "MNIST": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "FashionMNIST": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}
CLASSES = {
    "MNIST": tuple("0123456789"),
    "FashionMNIST": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
}


def mnist(folder: Path, *, size: int = 28, binarise: str = "no", seed: int = 0, download: bool = False) -> Split:
    """MNIST (LeCun 1998), 60,000 + 10,000 grey digits, CC BY-SA 3.0. Options as in `_load`."""
    return _load("mnist", "MNIST", folder, size, binarise, seed, download)


def fashion_mnist(
    folder: Path, *, size: int = 28, binarise: str = "no", seed: int = 0, download: bool = False
) -> Split:
    """Fashion-MNIST (Xiao 2017, arXiv:1708.07747), 60,000 + 10,000 grey images, MIT licence. Options as in `_load`."""
    return _load("fashion-mnist", "FashionMNIST", folder, size, binarise, seed, download)


def _load(name: str, source: str, folder: Path, size: int, binarise: str, seed: int, download: bool) -> Split:
    """Reads torchvision's layout into bytes [N, 1, size, size].

    Args:
        name: of the set.
        source: the name of torchvision's folder.
        folder: where it is.
        size: of the images in pixels; other sizes than 28 by bilinear scaling, as in the papers.
        binarise: "no", "static" or "dynamic", see `Dataset.binarised`.
        seed: of the static draw.
        download: whether to fetch missing files.

    Raises:
        FileNotFoundError: files are missing in `folder`; the message says which, where they belong and how to fetch
            them.
        ValueError: a file is not the published one; or an option is invalid.
        OSError: a file cannot be fetched.
    """
    if size < 1:
        raise ValueError(f"data {name!r}: size must be at least 1 pixel, got {size}")
    raw = folder / source / "raw"
    digests = dict(zip(FILES, (f"sha256:{value}" for value in SHA256[source]), strict=True))
    missing = [file for file in FILES if not (raw / file).is_file()]
    if missing and not download:
        raise FileNotFoundError(
            f"data {name!r}: {', '.join(missing)} not found in {raw}. Put the unpacked IDX files there, name another "
            "folder with --data-dir or ZOO_DATA, or fetch them with --download"
        )
    for file in missing:
        fetch(name, f"{URLS[source]}{file}.gz", raw / file, digests[file], most=2**25, unpack=_unpack)
    parts: list[Dataset] = []
    for images, labels, count in zip(FILES[::2], FILES[1::2], COUNTS, strict=True):
        for file in (images, labels):
            check_digest(name, raw / file, digests[file])
        x = np.fromfile(raw / images, np.uint8, offset=16).reshape(count, 1, SIDE, SIDE)
        y = np.fromfile(raw / labels, np.uint8, offset=8).astype(np.int64)
        data = Dataset(name, x if size == SIDE else _scaled(x, size), y, classes=CLASSES[source])
        parts.append(data.binarised(binarise, seed=[seed, len(parts)]))
    return Split(*parts)


def _unpack(content: bytes) -> bytes:
    """Decompresses gzip, up to the largest size of an MNIST file; a longer file then fails its digest."""
    with gzip.open(io.BytesIO(content)) as file:
        return file.read(2**26)


def _scaled(x: np.ndarray, size: int) -> np.ndarray:
    # Imported here because torchvision takes seconds to import.
    from torchvision.transforms.v2.functional import resize

    return np.asarray(resize(torch.from_numpy(x), [size, size], antialias=True))
