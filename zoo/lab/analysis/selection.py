"""The choice of the datapoints that a picture shows: spread over the classes, by a seed."""

from itertools import chain, zip_longest

import numpy as np

from zoo.arguments import checked, number_from
from zoo.lab.data import Dataset
from zoo.seeds import stream


@checked(num=number_from(1))
def spread(data: Dataset, num: int, *, seed: int = 0) -> list[int]:
    """`num` different datapoints, or all of a smaller set: one of each class in turn, each class in random order.

    The classes are the labels y; a set without labels is one class. The random state is not used.
    """
    order = stream(seed).permutation(len(data))
    if data.y is None:
        return [int(n) for n in order[:num]]
    labels = np.asarray(data.y)
    classes = [order[labels[order] == label] for label in np.unique(labels)]
    in_turn = chain.from_iterable(zip_longest(*classes))
    return [int(n) for n in in_turn if n is not None][:num]
