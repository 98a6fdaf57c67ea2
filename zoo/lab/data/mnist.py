"""MNIST and Fashion-MNIST, through torchvision."""

from pathlib import Path

import numpy as np

from zoo.lab.data.dataset import Dataset, Split


def mnist(folder: Path, *, size: int = 28, binarise: str = "no", seed: int = 0, download: bool = False) -> Split:
    """MNIST (LeCun 1998), 60,000 + 10,000 grey digits, CC BY-SA 3.0. Options as `_load`'s."""
    return _load("mnist", "MNIST", folder, size, binarise, seed, download)


def fashion_mnist(
    folder: Path, *, size: int = 28, binarise: str = "no", seed: int = 0, download: bool = False
) -> Split:
    """Fashion-MNIST (Xiao 2017, arXiv:1708.07747), 60,000 + 10,000 grey garments, MIT licence. Options as `_load`'s."""
    return _load("fashion-mnist", "FashionMNIST", folder, size, binarise, seed, download)


FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
COUNTS = (60_000, 10_000)


def _load(name: str, source: str, folder: Path, size: int, binarise: str, seed: int, download: bool) -> Split:
    """Reads torchvision's layout and its split, keeps bytes [N, 1, size, size].

    Args:
        name: of the set.
        source: the name of torchvision's class.
        folder: where torchvision's folder of this class is.
        size: of the images in pixels, 28 as they are; another is reached by bilinear scaling, as in the papers' codes.
        binarise: "no", "static" or "dynamic", as `Dataset.binarised`.
        seed: of the static draw.
        download: whether to fetch missing files.

    Raises:
        FileNotFoundError: files are missing in `folder`; says which, where they go and how to fetch them.
        ValueError: the files are damaged, hold other counts, or could not be fetched; or an option is wrong.
    """
    if size < 1:
        raise ValueError(f"data {name!r}: size must be at least 1 pixel, got {size}")
    raw = folder / source / "raw"
    missing = [file for file in FILES if not (raw / file).is_file()]
    if missing and not download:
        raise FileNotFoundError(
            f"data {name!r}: {', '.join(missing)} not found in {raw}. Put the unpacked IDX files there, name another "
            "folder with --data-dir or ZOO_DATA, or fetch them with --download"
        )
    # torchvision takes seconds to import, which other data should not wait for.
    from torchvision import datasets
    from torchvision.transforms.v2.functional import resize

    parts: list[Dataset] = []
    for train, count in zip((True, False), COUNTS, strict=True):
        try:
            part = getattr(datasets, source)(str(folder), train=train, download=download)
        except (OSError, RuntimeError, ValueError, AssertionError) as error:
            files = ", ".join(FILES[:2] if train else FILES[2:])
            raise ValueError(
                f"data {name!r}: {files} in {raw} cannot be {'fetched' if missing else 'read'}: {error}. "
                "Remove them and fetch them anew"
            ) from error
        if not len(part.data) == len(part.targets) == count:
            raise ValueError(
                f"data {name!r}: the {'training' if train else 'test'} files in {raw} hold {len(part.data):,} images "
                f"and {len(part.targets):,} labels, not {count:,}. Remove them and fetch them anew"
            )
        images = part.data[:, None]
        if size != images.shape[-1]:
            images = resize(images, [size, size], antialias=True)
        y = part.targets.numpy().astype(np.int64)
        classes = tuple(c.split(" - ")[0] for c in part.classes)  # torchvision says "0 - zero"
        parts.append(Dataset(name, images.numpy(), y, classes=classes).binarised(binarise, seed=[seed, len(parts)]))
    return Split(*parts)
