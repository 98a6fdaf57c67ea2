"""The networks of ProdLDA and NVDM."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import normalize

from zoo.lab.networks import _dense


class UnitLength(nn.Module):
    """Scales each document's counts x to the length sqrt V, which keeps the proportions of words but not their number.

    The mean square of the entries is then 1, as for standardised data.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Counts [..., V] to vectors [..., V]."""
        return math.sqrt(x.shape[-1]) * normalize(x, dim=-1)


class TopicDecoder(nn.Module):
    """ProdLDA's decoder: dropout, then a row of word weights per topic, without biases, then batch norm.

    Weights have Glorot's uniform initialisation (Xavier). The batch norm learns a centre for each word, the part of its
    frequency that does not depend on the topic; see `batch_norm`.
    """

    def __init__(self, topics: int, vocabulary: int, *, dropout: float = 0.6, scale: bool = False) -> None:
        super().__init__()
        if topics < 1 or vocabulary < 1:
            raise ValueError(
                f"a decoder of topics needs at least one topic and one word, got {topics} and {vocabulary}"
            )
        self.dropout = nn.Dropout(dropout)
        self.words = nn.Linear(topics, vocabulary, bias=False)
        self.norm = batch_norm(vocabulary, scale=scale)
        nn.init.xavier_uniform_(self.words.weight)

    def forward(self, theta: Tensor) -> Tensor:
        """Shares of topics [..., K] to logits [..., V]."""
        weights: Tensor = self.words(self.dropout(theta))
        logits: Tensor = self.norm(weights.flatten(0, -2))
        return logits.unflatten(0, weights.shape[:-1])


def batch_norm(units: int, *, scale: bool = False) -> nn.BatchNorm1d:
    """Batch norm (Ioffe & Szegedy 2015, arXiv:1502.03167) with a learnt centre; its scale is 1, or learnt with `scale`.

    That is the default of tf.contrib.layers.batch_norm, which ProdLDA's code uses; Pyro's tutorial learns neither.
    Momentum and epsilon are PyTorch's.
    """
    norm = nn.BatchNorm1d(units)
    norm.weight.requires_grad_(scale)
    return norm


def normed(widths: Sequence[int], *, scale: bool = False) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them, and `batch_norm` after the last."""
    return nn.Sequential(
        _dense(widths[:-1], nn.ReLU), nn.Linear(widths[-2], widths[-1]), batch_norm(widths[-1], scale=scale)
    )
