"""The seam of the data: a set decoded once into an array, and batches drawn from it by index."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Batch(NamedTuple):
    """Some datapoints.

    Attributes:
        x: floats [B, ...]; images [B, C, H, W] in [0, 1].
        y: labels [B], or None where the set has none or nobody asked.
        index: which datapoints of the set these are, [B].
    """

    x: Tensor
    y: Tensor | None
    index: Tensor


@dataclass(frozen=True, eq=False)
class Dataset:
    """A set in memory, or mapped into it; nothing is decoded per image once it stands.

    Attributes:
        name: what pictures and messages call it.
        x: [N, ...], anything that an integer array indexes: uint8 images [N, C, H, W], a memory map of them, or floats.
        y: labels [N] from 0, or None.
        x_max: the value of x that counts as 1; 255 for bytes.

    Raises:
        ValueError: the set is empty, x is neither bytes nor finite floats, or y does not match x.
    """

    name: str
    x: Any
    y: np.ndarray | None = None
    x_max: float = 255.0

    def __post_init__(self) -> None:
        if len(self.x) == 0:
            raise ValueError(f"data {self.name!r}: x is empty, so there is nothing to train on")
        if self.x.dtype != np.uint8 and not np.issubdtype(self.x.dtype, np.floating):
            raise ValueError(f"data {self.name!r}: x must hold bytes or floats, got {self.x.dtype}")
        if self.y is not None and (self.y.shape != (len(self.x),) or not np.issubdtype(self.y.dtype, np.integer)):
            raise ValueError(
                f"data {self.name!r}: y must hold one integer per datapoint ({len(self.x)}), "
                f"got {self.y.dtype} of shape {self.y.shape}"
            )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one datapoint."""
        return tuple(self.x.shape[1:])

    def batch(self, index: Tensor, *, labels: bool = False, device: str | torch.device = "cpu") -> Batch:
        """The datapoints at `index` [B], as floats on `device`; bytes travel as bytes."""
        rows = index.numpy()
        x = torch.from_numpy(self.x[rows]).to(device)
        x = (
            x.to(torch.get_default_dtype()).div_(self.x_max)
            if x.dtype == torch.uint8
            else x.to(torch.get_default_dtype())
        )
        y = torch.from_numpy(self.y[rows]).to(device, torch.int64) if labels and self.y is not None else None
        return Batch(x, y, index.to(device))

    def batches(
        self,
        batch_size: int,
        *,
        seed: int,
        steps: int | None = None,
        start: int = 0,
        labels: bool = False,
        device: str | torch.device = "cpu",
    ) -> Iterator[Batch]:
        """Shuffled batches of one size, epoch after epoch; what is left over at an epoch's end is not drawn in it.

        The order is a function of seed and step alone, so a run that goes on at `start` sees what it would have seen.

        Args:
            batch_size: B.
            seed: of the order.
            steps: the step to stop before; endless without.
            start: the step to begin with.
            labels: whether a batch carries y.
            device: where the batches go.

        Raises:
            ValueError: the batch is larger than the data, or not positive.
        """
        self.check(batch_size)
        return self._shuffled(batch_size, seed, steps, start, labels, device)

    def _shuffled(
        self,
        batch_size: int,
        seed: int,
        steps: int | None,
        start: int,
        labels: bool,
        device: str | torch.device,
    ) -> Iterator[Batch]:
        per_epoch = len(self) // batch_size
        step, epoch = start, -1
        while steps is None or step < steps:
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
            at = (step % per_epoch) * batch_size
            yield self.batch(order[at : at + batch_size], labels=labels, device=device)
            step += 1

    def in_order(self, batch_size: int, *, labels: bool = False, device: str | torch.device = "cpu") -> Iterator[Batch]:
        """Every datapoint once, in order; the last batch may be smaller."""
        for index in torch.arange(len(self)).split(batch_size):
            yield self.batch(index, labels=labels, device=device)

    def check(self, batch_size: int) -> None:
        if not 1 <= batch_size <= len(self):
            raise ValueError(
                f"data {self.name!r}: a batch of {batch_size} out of {len(self)} datapoints; "
                f"take a batch size from 1 to {len(self)}"
            )


class Split(NamedTuple):
    """A set for training, and one that training never sees."""

    train: Dataset
    test: Dataset
