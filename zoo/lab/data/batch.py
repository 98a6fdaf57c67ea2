"""A batch: what model and guide are given, and how rows of a set become its floats."""

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
        y: labels [B], or None where the set has none or nobody asked.
        index: which datapoints of the set these are, [B]; or None where nobody knows, and then no guide may have
            parameters per datapoint.
    """

    x: Tensor
    y: Tensor | None
    index: Tensor = None  # type: ignore[assignment]  # instead of a tuple's method of this name; None is rare

    @classmethod
    def of(cls, batch: Any) -> "Batch":
        """The batch itself, if it is one.

        Raises:
            TypeError: it is something else, as a DataLoader's list of tensors; says how to make a batch of it.
        """
        if isinstance(batch, Batch) and isinstance(batch.x, Tensor) and isinstance(batch.y, (Tensor, NoneType)):
            return batch
        had = f"[{', '.join(type(t).__name__ for t in batch)}]" if isinstance(batch, (list, tuple)) else ""
        raise TypeError(
            f"a batch is Batch(x, y or None, index), with x and y tensors; got {type(batch).__name__} {had}".rstrip()
            + ": take Dataset.from_arrays(x, y).batches(batch_size, seed=0), or make each one with Batch(x, y, None)"
        )

    def arguments(self) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """How the batch is handed to model and guide: (x) or (x, y), and its index where it has one."""
        values = (self.x,) if self.y is None else (self.x, self.y)
        named = {"index": self.index}
        return values, {name: value for name, value in named.items() if value is not None}


def light(x: np.ndarray, x_max: float, rng: np.random.Generator) -> np.ndarray:
    """Lights each pixel with probability x / x_max; the stream is used alike however x is cut."""
    return (rng.random(x.shape, np.float32) * np.float32(x_max) < x).view(np.uint8)


def floats(x: Any, x_max: float, device: str | torch.device) -> Tensor:
    """Rows as they lie in the set to floats on the device."""
    dtype = torch.get_default_dtype()
    if sparse.issparse(x):
        return torch.from_numpy(x.toarray()).to(device, dtype)
    if x.dtype == bits.WORD:
        return bits.unpack(torch.from_numpy(x.view(np.int64)).to(device))
    if x.dtype == np.uint8:
        return torch.from_numpy(x).to(device).to(dtype).div_(x_max)
    return torch.from_numpy(x.astype(x.dtype.newbyteorder("="), copy=False)).to(device, dtype)
