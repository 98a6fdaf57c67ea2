"""Data sets, one file per source, each a function from a folder to a `Split`."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.lab.data.dataset import Batch, Dataset, Split
from zoo.lab.data.digits import digits
from zoo.lab.data.mnist import fashion_mnist, mnist
from zoo.lab.naming import unknown

__all__ = ["SOURCES", "Batch", "Dataset", "Split", "data_folder", "load"]

SOURCES: dict[str, Callable[..., Split]] = {
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "mnist": mnist,
}


def data_folder(folder: str | Path | None = None) -> Path:
    """Where the files are: `folder`, else the environment's ZOO_DATA, else ./data."""
    return Path(folder or os.environ.get("ZOO_DATA") or "data").expanduser()


def load(name: str, *, folder: str | Path | None = None, download: bool = False, **options: Any) -> Split:
    """The data set called `name`, with the options of its function in `SOURCES`.

    Raises:
        LookupError: there is no such set; says which there are, and the nearest name.
        TypeError: the set has no such option.
        FileNotFoundError, ValueError: its files are missing or damaged.
    """
    if name not in SOURCES:
        raise LookupError(unknown("data set", name, SOURCES))
    source = SOURCES[name]
    known = set(inspect.signature(source).parameters) - {"folder", "download"}
    if wrong := set(options) - known:
        raise TypeError(f"data {name!r} has no option {sorted(wrong)}; it has {sorted(known)}")
    return source(data_folder(folder), download=download, **options)
