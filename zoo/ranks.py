"""Several processes (ranks), each with a shard of every batch: what their objectives need from one another.

    with sharing():
        loss = elbo.differentiable_loss(model, guide, x, index=index)  # x is this rank's shard; the loss, the batch's

Within `sharing`, terms and loss are those of the whole batch, and equal on all ranks. A gradient is this rank's share
of the whole batch's: the sum over ranks is the gradient that one process would have. Outside of it, and with one
process, every function here returns its argument.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor
from torch.autograd.function import once_differentiable

_sharing = False


@contextmanager
def sharing() -> Iterator[None]:
    """Inside, the ranks of the default process group hold shards of one batch, in order and equally large."""
    global _sharing
    before, _sharing = _sharing, distributed.is_available() and distributed.is_initialized()
    try:
        yield
    finally:
        _sharing = before


def count() -> int:
    """The number of ranks that share the batch; 1 outside of `sharing`."""
    return distributed.get_world_size() if _sharing else 1


def gather(shard: Tensor, dim: int = 0) -> Tensor:
    """The ranks' shards one after the other along `dim`, with gradients."""
    if count() == 1:
        return shard
    whole: Tensor = _Gather.apply(shard.movedim(dim, 0))
    return whole.movedim(0, dim)


def mean(value: Tensor) -> Tensor:
    """The mean of the ranks' values, with gradients."""
    return value if count() == 1 else gather(value.unsqueeze(0)).mean(0)


def logsumexp(value: Tensor) -> Tensor:
    """log of the sum of exp of the ranks' values, with gradients."""
    return value if count() == 1 else gather(value.unsqueeze(0)).logsumexp(0)


def own(whole: Tensor, dim: int) -> Tensor:
    """The part of a tensor that belongs to this rank; all ranks have the whole."""
    return whole if count() == 1 else whole.chunk(count(), dim)[distributed.get_rank()]


def share(loss: Tensor) -> Tensor:
    """The whole batch's loss, which every rank computes, with 1/R of its gradient: the sum over R ranks is right."""
    return loss if count() == 1 else loss.detach() + (loss - loss.detach()) / count()


class _Gather(torch.autograd.Function):
    """[b, ...] to [R b, ...]; the gradient of a shard is the sum of the ranks' gradients of the whole."""

    @staticmethod
    def forward(ctx: Any, shard: Tensor) -> Tensor:
        ctx.count = count()
        shards = [torch.empty_like(shard, memory_format=torch.contiguous_format) for _ in range(ctx.count)]
        distributed.all_gather(shards, shard.contiguous())
        return torch.cat(shards)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        distributed.all_reduce(gradient)
        return gradient.chunk(ctx.count)[distributed.get_rank()]
