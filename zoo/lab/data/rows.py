"""Rows of an array that are looked up when they are indexed, and an array read block by block."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

BLOCK = 2**24  # bytes that `blocks` reads at once


class Rows:
    """Some rows of x in a given order, looked up on access and not copied.

    Args:
        x: anything that an integer array can index.
        index: positions of the rows, [n].
        checked: whether all of x is known to be finite: a subset of a `Dataset` is not read again to check it.
    """

    def __init__(self, x: Any, index: np.ndarray, *, checked: bool = False) -> None:
        self.x, self.index, self.checked = x, index, checked
        self.shape, self.dtype = (len(index), *x.shape[1:]), x.dtype

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: Any) -> Any:
        return self.x[self.index[rows]]


def blocks(x: Any) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of x in order, in arrays of about 16 MB, each with the position of its first row.

    So a large x that is memory-mapped or computed is never in memory as a whole.

    Args:
        x: [N, ...], anything that an integer array can index; it needs a shape and a dtype, and no length.
    """
    length, *shape = x.shape
    step = max(1, BLOCK // max(1, math.prod(shape) * np.dtype(x.dtype).itemsize))
    for start in range(0, length, step):
        stop = min(start + step, length)
        yield start, np.asarray(x[start:stop] if isinstance(x, np.ndarray) else x[np.arange(start, stop)])
