"""Data sets, one file per source, each a function from a folder to a `Split`."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.arguments import WrongType, as_path, checked, kind_of, shown
from zoo.lab.data import (
    celeba,
    chairs,
    digits,
    dsprites,
    mnist,
    newsgroups,
    pinwheel,
    procedural_chairs,
    shapes,
    yale,
)
from zoo.lab.data import (
    from_disk as yours,
)
from zoo.lab.data.batch import Batch
from zoo.lab.data.dataset import Dataset
from zoo.lab.data.factors import Factors
from zoo.lab.data.split import Split
from zoo.lab.errors import unknown_name

__all__ = ["SOURCES", "Batch", "Dataset", "Factors", "Split", "absolute", "data_folder", "load"]

SOURCES: dict[str, Callable[..., Split]] = {
    "celeba": celeba.celeba,
    "chairs": chairs.chairs,
    "digits": digits.digits,
    "dsprites": dsprites.dsprites,
    "fashion-mnist": mnist.fashion_mnist,
    "mnist": mnist.mnist,
    "newsgroups": newsgroups.newsgroups,
    "pinwheel": pinwheel.pinwheel,
    "procedural-chairs": procedural_chairs.procedural_chairs,
    "shapes": shapes.shapes,
    "yale-b": yale.yale_b,
}


@checked()
def data_folder(folder: str | Path | None = None) -> Path:
    """Where the files are: `folder`, else the environment's ZOO_DATA, else ./data."""
    return as_path(folder or os.environ.get("ZOO_DATA") or "data")


@checked()
def absolute(name: str) -> str:
    """A `name` that `load` understands in every working folder: a name of `SOURCES` as it is, a path made absolute.

    A run records it, so that the run can be opened from another folder.
    """
    path = as_path(name)
    return str(path.resolve()) if name not in SOURCES and _exists(path) else name


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # the name is longer than a file's can be
        return False


@checked()
def load(name: str, *, folder: str | Path | None = None, download: bool = False, **options: Any) -> Split:
    """Loads the data set called `name`, or your own data at the path `name`, with the options of its function.

    Args:
        name: one of `SOURCES`; or the path of a folder of images, an .npz or a .pt, see `from_disk.yours`.
        folder: where the files are, see `data_folder`; ignored for a path.
        download: whether to fetch files that are missing.
        options: of the function in `SOURCES`, or of `from_disk.yours`.

    Raises:
        LookupError: there is no such set; the message lists the sets, and the nearest name.
        TypeError: the set has no such option, or its value is of another type.
        FileNotFoundError, ValueError: its files are missing or damaged.
        OSError: its cache cannot be written.
    """
    path = as_path(name)
    if name not in SOURCES and not _exists(path) and not (path.suffix or path.name != name):
        raise LookupError(unknown_name("data set", name, SOURCES) + "; or give the path of your own data")
    source = SOURCES.get(name, yours.yours)
    parameters = inspect.signature(source).parameters
    known = set(parameters) - {"folder", "path", "download"}
    if wrong := set(options) - known:
        raise TypeError(f"data {name!r} has no option {sorted(wrong)}; it has {sorted(known)}")
    for option, value in options.items():  # before a file is looked for; the function checks ranges
        kind = kind_of(parameters[option].annotation)
        if kind and not kind.fits(value):
            raise WrongType(f"data {name!r}: {option} must be {kind.what}, got {shown(value)}")
    if name in SOURCES:
        return source(data_folder(folder), download=download, **options)
    return source(path, **options)
