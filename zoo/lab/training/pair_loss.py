"""A pair's loss, as training computes it."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pyro
import torch
from torch import Tensor, nn

from zoo import ranks
from zoo.lab.isolation import OwnParameters
from zoo.lab.training.precision import Networks


class PairLoss(nn.Module):
    """The pair under its objective, batch to loss; to be run, and differentiated, within `as_in_training`."""

    def __init__(self, pair: nn.Module, shards: bool = False, networks: Networks | None = None) -> None:
        super().__init__()
        self.pair, self.shards, self.networks = pair, shards, networks

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        """The loss of a batch, which the program is called with."""
        loss: Tensor = self.pair(*args, **kwargs)
        return loss

    @contextmanager
    def as_in_training(self, device: torch.device) -> Iterator[None]:
        """Without validation and without the param store, with networks in their precision.

        For one pass, and for its gradients as well: where scores are computed in chunks, the backward pass computes
        them again. Each pass has a param store of its own.
        """
        sharing = ranks.sharing() if self.shards else nullcontext()
        short = self.networks.in_bf16(device) if self.networks else nullcontext()
        with pyro.validation_enabled(False), OwnParameters(), sharing, short:
            yield
