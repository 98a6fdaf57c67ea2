"""What label a decoded image would have: a judge that has seen the training labels and no latent."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo.lab.data import Dataset

NUM = 5_000  # training points that it knows; of MNIST's it gets about 92 % of test digits right
NEIGHBOURS = 5


@dataclass(frozen=True, eq=False)
class Judge:
    """The nearest neighbours in pixels; what most of five are, the nearest deciding a tie.

    Attributes:
        x: training points, [M, pixels].
        y: their labels, [M].
    """

    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, data: Dataset, *, num: int = NUM, seed: int = 0) -> "Judge":
        """From `num` datapoints drawn without replacement; all of a smaller set.

        Raises:
            ValueError: the set has no labels.
        """
        if data.y is None:
            raise ValueError(f"data {data.name!r} has no labels to judge by")
        rows = np.sort(np.random.default_rng(seed).permutation(len(data))[:num])
        batch = data.batch(torch.from_numpy(rows), labels=True)
        assert batch.y is not None
        return cls(batch.x.flatten(1), batch.y)

    def __call__(self, images: Tensor) -> Tensor:
        """Labels of images [..., C, H, W], [...]."""
        flat = images.flatten(-3).to(self.x)
        distance = torch.cdist(flat.flatten(0, -2), self.x)
        nearest = self.y[
            distance.topk(min(NEIGHBOURS, len(self.y)), largest=False).indices
        ]  # [n, neighbours], in order
        votes = (nearest[:, :, None] == nearest[:, None, :]).sum(2).double()
        votes -= 0.5 * torch.arange(nearest.shape[1]) / nearest.shape[1]
        return nearest.gather(1, votes.argmax(1, keepdim=True)).view(flat.shape[:-1])

    def steady(self, images: Tensor) -> Tensor:
        """Of each row of a sheet [N, V, C, H, W] the share of its most frequent label, [N]: 1 if it stays one label."""
        labels = self(images)
        return torch.stack([(row == row.mode().values).double().mean() for row in labels])
