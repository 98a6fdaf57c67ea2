"""dSprites as published: the 737,280 images of 2D Shapes from the public file."""

from pathlib import Path

import numpy as np

from zoo.lab.data import bit_packing as bits
from zoo.lab.data.cache import Stream, cached, fingerprint
from zoo.lab.data.dataset import Dataset
from zoo.lab.data.download import check_digest, fetch
from zoo.lab.data.factors import Factors
from zoo.lab.data.npz import rows_of
from zoo.lab.data.shapes import FACTORS, SHAPES
from zoo.lab.data.split import Split, split

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
URL = f"https://github.com/google-deepmind/dsprites-dataset/raw/master/{FILE}"
DIGEST = "md5:7da33b31b13a06f4b04a70402ce90c2e"  # the only published digest


def dsprites(folder: Path, *, download: bool = False, held_out: float = 0.0, seed: int = 0) -> Split:
    """dSprites as published, 737,280 binary images of 64 x 64; labels are the shapes.

    Matthey, Higgins, Hassabis, Lerchner: dSprites, https://github.com/google-deepmind/dsprites-dataset (2017), zlib
    licence. The set is the one that `shapes` renders. The papers train and evaluate on all images, so training
    and test set are the same unless some are held out. The first call packs the images into a cache, one bit per pixel
    (377 MB), which is then mapped into memory.

    Args:
        folder: contains the .npz, 26 MB.
        download: whether to fetch it.
        held_out: the share of the images that are used for testing only.
        seed: of their random choice.

    Raises:
        FileNotFoundError: the file is not in `folder`.
        OSError: it cannot be fetched.
        ValueError: it is not the published file, or its arrays are not those of dSprites.
    """
    file = folder / FILE
    if not file.is_file():
        if not download:
            raise FileNotFoundError(
                f"data 'dsprites': {file} not found. Put it there, name another folder with --data-dir or ZOO_DATA, or "
                "fetch it with --download; --data shapes renders the same set"
            )
        fetch("dsprites", URL, file, DIGEST, most=2**25)
    return split(read(file, FACTORS, DIGEST), held_out, seed=seed)


def read(file: Path, factors: Factors, digest: str) -> Dataset:
    """The images of a file in dSprites' layout, checked against its digest and the grid that it should hold."""

    def make() -> dict[str, Stream]:
        check_digest("dsprites", file, digest)
        return {"x": _checked(file, factors)}

    x = cached("dsprites", {"files": fingerprint(file.parent, [file])}, make)["x"]
    y = factors.at(np.arange(len(factors)))[:, 0]
    return Dataset("dsprites", x, y, classes=SHAPES, factors=factors)


def _checked(file: Path, factors: Factors) -> Stream:
    """The images as words [N, 1, 64, 1], after checking classes and values against the grid."""
    index = np.arange(len(factors))
    # A column for the colour, which is always white, comes first
    expected = {
        "latents_classes": np.insert(factors.at(index), 0, 0, axis=1),
        "latents_values": np.insert(factors.values_at(index), 0, 1.0, axis=1),
    }
    for name, array in expected.items():
        stream = rows_of(file, name, len(factors))
        if stream.shape != array.shape:
            raise ValueError(f"data 'dsprites': {name} in {file} must be {array.shape}, got {stream.shape}")
        found = np.concatenate(list(stream.parts))
        if wrong := np.flatnonzero(~np.isclose(found, array, rtol=0, atol=1e-6).all(axis=1)).tolist():
            raise ValueError(
                f"data 'dsprites': {name} in {file} are not dSprites', first at image {wrong[0]}: expected "
                f"{array[wrong[0]].tolist()}, got {found[wrong[0]].tolist()}"
            )
    images = rows_of(file, "imgs", 8192)
    if images.shape != (len(factors), 64, 64) or images.dtype != np.uint8:
        raise ValueError(
            f"data 'dsprites': imgs in {file} must be bytes [{len(factors)}, 64, 64], got {images.dtype} of shape "
            f"{images.shape}"
        )
    return Stream((len(factors), 1, 64, 1), bits.WORD, (_packed(file, part) for part in images.parts))


def _packed(file: Path, images: np.ndarray) -> np.ndarray:
    if images.max() > 1:
        raise ValueError(f"data 'dsprites': imgs in {file} must be 0 and 1, and has {images.max()}")
    return bits.pack(images)[:, None]
