"""Labels of decoded images, by nearest neighbours among training images."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo.lab.data import Dataset
from zoo.seeds import stream

NUM = 5_000  # training points; with this many of MNIST, about 92 % of test digits get the right label
NEIGHBOURS = 5


@dataclass(frozen=True, eq=False)
class NearestNeighbours:
    """The most frequent label of the five nearest training points, by pixels; in a tie, that of the nearest.

    Attributes:
        x: training points, [M, pixels].
        y: their labels, [M].
    """

    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, data: Dataset, *, num: int = NUM, seed: int = 0) -> "NearestNeighbours":
        """From `num` datapoints drawn without replacement; all of a smaller set.

        Raises:
            ValueError: the set has no labels.
        """
        if data.y is None:
            raise ValueError(f"data {data.name!r} has no labels for its nearest neighbours")
        rows = np.sort(stream(seed).permutation(len(data))[:num])
        batch = data.batch(torch.from_numpy(rows), labels=True)
        assert batch.y is not None
        return cls(batch.x.flatten(1), batch.y)

    def __call__(self, images: Tensor) -> Tensor:
        """Labels of images [..., C, H, W], [...]."""
        flat = images.flatten(-3).to(self.x)
        # cdist's matrix product loses digits where points are far from 0, so they are centred; without the product it
        # takes 16 times as long
        centre = self.x.mean(0)
        distance = torch.cdist(flat.reshape(-1, flat.shape[-1]) - centre, self.x - centre)
        indices = distance.topk(min(NEIGHBOURS, len(self.y)), largest=False).indices
        nearest = self.y[indices]  # [n, neighbours], in order
        votes = (nearest[:, :, None] == nearest[:, None, :]).sum(2).double()
        votes -= 0.5 * torch.arange(nearest.shape[1]) / nearest.shape[1]
        return nearest.gather(1, votes.argmax(1, keepdim=True)).view(flat.shape[:-1])

    def label_consistency(self, images: Tensor) -> Tensor:
        """The share of each row's most frequent label, images [N, V, C, H, W] to [N]: 1 where a row has one label."""
        labels = self(images)
        return torch.stack([(row == row.mode().values).double().mean() for row in labels])
