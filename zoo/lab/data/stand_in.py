"""Noise of the right shape in place of a set, to build a recipe and read its story without the set's files."""

from pathlib import Path
from typing import Any

import numpy as np

from zoo.lab.data import SOURCES, Dataset, Split, load

IMAGES = {
    "celeba": (3, 64, (162_770, 19_962), 0),
    "chairs": (1, 64, (40_114, 10_044), 809),
    "digits": (1, 8, (1_500, 297), 10),
    "dsprites": (1, 64, (737_280, 737_280), 3),
    "fashion-mnist": (1, 28, (60_000, 10_000), 10),
    "mnist": (1, 28, (60_000, 10_000), 10),
    "yale-b": (1, 64, (1_298, 144), 28),
}
"""Channels, pixels, training and test datapoints, and labels, for each set's default options."""
FACES = 202_599  # with those for validation, which held_out includes
POSTS = {0: (10_944, 7_254), 1_000: (10_812, 7_193)}
"""Newsgroups' posts that are not empty, for each `longest` that a recipe uses."""
GROUPS, WORDS = 20, 2_000


def load_or_stand_in(
    name: str, *, folder: str | Path | None = None, download: bool = False, **options: Any
) -> tuple[Split, str]:
    """Loads the set called `name`; or, where its files are missing, returns a stand-in and a sentence that says so.

    Raises:
        LookupError, TypeError, ValueError, OSError: as `zoo.lab.data.load`; FileNotFoundError for a path of your own.
    """
    try:
        return load(name, folder=folder, download=download, **options), ""
    except FileNotFoundError:
        if name not in SOURCES:
            raise
        note = f"the files of {name!r} are missing, so x is noise of its shape: the shapes are valid, the nats are not"
        return stand_in(name, **options), f"{note}; `python -m zoo data` says where they were looked for"


def stand_in(name: str, **options: Any) -> Split:
    """Noise with the shape, the size and the labels of a set: one datapoint, repeated without a copy in memory.

    Sets that are rendered are returned as they are. Nothing is read.
    """
    rng = np.random.default_rng(0)
    if name == "newsgroups":
        counts, classes, x_max = POSTS.get(options.get("longest", 0), POSTS[0]), GROUPS, 1.0
        one = rng.poisson(0.05, options.get("vocabulary", WORDS)).astype(np.float32)
    elif name not in IMAGES:
        return load(name, **options)
    else:
        channels, side, counts, classes = IMAGES[name]
        if name == "celeba" and "held_out" in options:
            tested = round(options["held_out"] * FACES)
            counts = FACES - tested, tested
        side, x_max = options.get("size", side), 16.0 if name == "digits" else 255.0
        one = rng.integers(0, 256, (channels, side, side), dtype=np.uint8)
        if options.get("binarise", "no") != "no" or name == "dsprites":
            one = np.where(one < 128, 0, 255).astype(np.uint8)
    return Split(*(_repeated(name, one, count, classes, x_max) for count in counts))


def _repeated(name: str, one: np.ndarray, count: int, classes: int, x_max: float) -> Dataset:
    return Dataset(
        name,
        np.broadcast_to(one, (count, *one.shape)),
        np.arange(count) % classes if classes else None,
        x_max,
        classes=tuple(map(str, range(classes))),
        vocabulary=tuple(map(str, range(len(one)))) if name == "newsgroups" else (),
    )
