"""A batch, the input of model and guide, and the conversion of stored rows to floats."""

from collections.abc import Iterator
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from zoo.lab.data import bit_packing as bits


class Batch(NamedTuple):
    """Some datapoints.

    Attributes:
        x: floats [B, ...]; images [B, C, H, W] in [0, 1].
        y: labels [B], or None where there are none or they were not requested.
        index: positions of these datapoints in the set, [B]; None if unknown, which a guide with parameters for each
            datapoint does not accept.
    """

    x: Tensor
    y: Tensor | None
    index: Tensor = None  # type: ignore[assignment]  # overrides tuple.index; None is rare

    @classmethod
    def of(cls, batch: Any) -> "Batch":
        """Returns `batch` after checking that it is a `Batch`.

        Raises:
            TypeError: it is something else, such as a DataLoader's list of tensors; the message says what to do.
        """
        if isinstance(batch, Batch) and isinstance(batch.x, Tensor) and isinstance(batch.y, (Tensor, NoneType)):
            return batch
        had = f"[{', '.join(type(t).__name__ for t in batch)}]" if isinstance(batch, (list, tuple)) else ""
        raise TypeError(
            f"a batch is Batch(x, y or None, index), with x and y tensors; got {type(batch).__name__} {had}".rstrip()
            + ": use Dataset.from_arrays(x, y).batches(batch_size, seed=0), or make each one with Batch(x, y, None)"
        )

    def arguments(self) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """The arguments of model and guide: (x) or (x, y), and the keyword index where the batch has one."""
        values = (self.x,) if self.y is None else (self.x, self.y)
        named = {"index": self.index}
        return values, {name: value for name, value in named.items() if value is not None}


class Batches(Iterator[Batch]):
    """Batches one by one, and how many are left, which a progress bar shows."""

    def __init__(self, batches: Iterator[Batch], count: int | None) -> None:
        self.batches, self.left = batches, count

    def __next__(self) -> Batch:
        batch = next(self.batches)
        if self.left is not None:
            self.left -= 1
        return batch

    def __length_hint__(self) -> int:
        return NotImplemented if self.left is None else self.left


def light(x: np.ndarray, x_max: float, rng: np.random.Generator) -> np.ndarray:
    """Sets each pixel to 1 with probability x / x_max; the draws do not depend on how x is split into batches."""
    return (rng.random(x.shape, np.float32) * np.float32(x_max) < x).view(np.uint8)


def floats(x: Any, x_max: float, device: str | torch.device) -> Tensor:
    """Converts rows in the set's own format to floats on the device."""
    dtype = torch.get_default_dtype()
    if sparse.issparse(x):
        return torch.from_numpy(x.toarray()).to(device, dtype)
    if x.dtype == bits.WORD:
        return bits.unpack(torch.from_numpy(x.view(np.int64)).to(device))
    if x.dtype == np.uint8:
        return torch.from_numpy(x).to(device).to(dtype).div_(x_max)
    return torch.from_numpy(x.astype(x.dtype.newbyteorder("="), copy=False)).to(device, dtype)


def positions(name: str, rows: np.ndarray, length: int) -> np.ndarray:
    """The positions [n] of datapoints in a set, from integers [n] in range or a mask of all datapoints.

    Raises:
        IndexError: they are of another type or shape, or one is out of range.
    """
    if rows.dtype == np.bool_ and rows.shape == (length,):
        return np.flatnonzero(rows)
    integers = np.issubdtype(rows.dtype, np.integer) and rows.ndim == 1
    if not integers or (rows.size and not 0 <= rows.min() <= rows.max() < length):
        raise IndexError(
            f"data {name!r}: datapoints go from 0 to {length - 1}, got {rows.dtype} {rows.ravel()[:8].tolist()} of "
            f"shape {rows.shape}; give their positions [n] as integers"
        )
    return rows
