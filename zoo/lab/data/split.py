"""A training and a test set, and how a test set is held out."""

from typing import NamedTuple

import numpy as np

from zoo.arguments import checked
from zoo.lab.data.dataset import Dataset
from zoo.seeds import stream


class Split(NamedTuple):
    """A training set and a test set; the same set twice where a paper holds nothing out."""

    train: Dataset
    test: Dataset

    def __repr__(self) -> str:
        return f"train: {self.train}\ntest: {self.test}"

    def _repr_html_(self) -> str:
        return f"<p>train</p>{self.train._repr_html_()}<p>test</p>{self.test._repr_html_()}"


@checked()
def split(data: Dataset, held_out: float, *, seed: int = 0) -> Split:
    """Holds out a random share of the datapoints; with 0, train and test are the same set.

    Raises:
        ValueError: the share leaves one of the two empty.
    """
    if held_out == 0:
        return Split(data, data)
    count = round(held_out * len(data)) if 0 < held_out < 1 else 0
    if not 0 < count < len(data):
        raise ValueError(
            f"data {data.name!r}: held_out = {held_out:g} of {len(data)} datapoints leaves nothing to train on or to "
            "test on; choose a share between 0 and 1, or 0 to test on the training set"
        )
    order = stream(seed).permutation(len(data))
    return Split(data.subset(np.sort(order[count:])), data.subset(np.sort(order[:count])))
