"""scikit-learn's handwritten digits: real data, bundled with the library, so always available."""

from functools import cache
from pathlib import Path

import numpy as np

from zoo.lab.data.dataset import Dataset
from zoo.lab.data.split import Split

NUM_TEST = 297


def digits(folder: Path, *, download: bool = False) -> Split:
    """1,797 digits of 8 x 8 pixels with 17 grey levels: 1,500 to train on, 297 to test on, split with seed 0.

    https://archive.ics.uci.edu/dataset/80 (its test part), CC BY 4.0. Nothing is read from `folder` or downloaded.
    """
    x, y = _read()
    order = np.random.default_rng(0).permutation(len(x))
    test, train = order[:NUM_TEST], order[NUM_TEST:]
    return Split(
        *(Dataset("digits", x[rows], y[rows], x_max=16.0, classes=tuple("0123456789")) for rows in (train, test))
    )


@cache  # the library parses a text file, which takes longer than a short training
def _read() -> tuple[np.ndarray, np.ndarray]:
    """The images [1797, 1, 8, 8], 0 to 16, and their labels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images.astype(np.uint8)[:, None], bunch.target.astype(np.int64)
