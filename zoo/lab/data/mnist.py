"""MNIST and Fashion-MNIST, through torchvision."""

from pathlib import Path

import numpy as np
from torchvision import datasets
from torchvision.transforms.v2.functional import resize

from zoo.lab.data.dataset import Dataset, Split


def mnist(folder: Path, *, size: int = 28, download: bool = False) -> Split:
    """MNIST (LeCun 1998), 60,000 + 10,000 grey digits, CC BY-SA 3.0. Options as `_load`'s."""
    return _load("mnist", datasets.MNIST, folder, size, download)


def fashion_mnist(folder: Path, *, size: int = 28, download: bool = False) -> Split:
    """Fashion-MNIST (Xiao 2017, arXiv:1708.07747), 60,000 + 10,000 grey garments, MIT licence. Options as `_load`'s."""
    return _load("fashion-mnist", datasets.FashionMNIST, folder, size, download)


FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _load(name: str, source: type[datasets.MNIST], folder: Path, size: int, download: bool) -> Split:
    """Reads torchvision's layout, resizes once (bilinear, as the papers' code), keeps bytes [N, 1, size, size].

    Raises:
        FileNotFoundError: files are missing in `folder`; says which, where they go and how to fetch them.
        ValueError: the files are damaged, or could not be fetched.
    """
    raw = folder / source.__name__ / "raw"
    missing = [file for file in FILES if not (raw / file).is_file()]
    if missing and not download:
        raise FileNotFoundError(
            f"data {name!r}: {', '.join(missing)} not found in {raw}. Put the unpacked IDX files there, name another "
            "folder with --data-dir or ZOO_DATA, or fetch them with --download"
        )
    parts = []
    for train in (True, False):
        try:
            part = source(str(folder), train=train, download=download)
        except (OSError, RuntimeError, ValueError, AssertionError) as error:
            raise ValueError(
                f"data {name!r}: the files in {raw} cannot be {'fetched' if missing else 'read'}: {error}. "
                "Remove the folder and fetch them anew"
            ) from error
        images = part.data[:, None]
        if size != images.shape[-1]:
            images = resize(images, [size, size], antialias=True)
        parts.append(Dataset(name, images.numpy(), part.targets.numpy().astype(np.int64)))
    return Split(*parts)
