"""Topic models: ProdLDA and NVDM, with their topics in one group or in several, as HFVAE's section 5.2 has them.

Srivastava & Sutton 2017, Autoencoding Variational Inference for Topic Models, https://arxiv.org/abs/1703.01488; Miao,
Yu & Blunsom 2016, Neural Variational Inference for Text Processing, https://arxiv.org/abs/1511.06038; Esmaeili et al.
2019, Structured Disentangled Representations, https://arxiv.org/abs/1804.02086.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.distributions.util import is_validation_enabled
from torch import Tensor, nn

from zoo.likelihoods import check_data, multinomial
from zoo.program import Misfit, data_plate, picklable_state, register, whole

Likelihood = Callable[[Tensor], TorchDistribution]


class ProdLDA(nn.Module):
    """Topics whose distributions over words are multiplied (Srivastava & Sutton 2017, arXiv:1703.01488).

        z ~ Normal(0, sigma)                topics, before the softmax        [B, K]
        theta = softmax(z)                  shares of the topics              [B, K]
        x ~ Multinomial(decoder(theta))     how often each word is there      [B, V]

    The prior of theta is Laplace's approximation of Dirichlet(alpha 1) in the softmax's terms, sigma^2 = (1 - 1 / K) /
    alpha: 0.98 for 50 topics and alpha = 1. HFVAE's "softmax of a Gaussian" may as well be that of Normal(0, I).

    Several groups of topics are the sites z1, z2, ..., one for each size, under one softmax over all of them: how the
    topics are grouped matters to an objective alone. HFVAE's text leaves open whether each group has a softmax of its
    own; with one for all, its model is ProdLDA itself, and its objective at alpha = beta = gamma = 1 ProdLDA's.

    Args:
        decoder: shares [..., K] to logits of the words [..., V].
        groups: topics of each group; K in all.
        alpha: concentration of the Dirichlet; None for z ~ Normal(0, I), as Pyro's tutorial has it.
        likelihood: the decoder's output to a distribution over x; see `zoo.likelihoods`.
        num_data: how many documents there are in all; needed once batches come with their index.

    Raises:
        TypeError, ValueError: groups or an alpha that make no sense; a document without words; and as
            `zoo.likelihoods.check_data` and `zoo.program.data_plate` do.
    """

    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        decoder: nn.Module,
        *,
        groups: Sequence[int],
        alpha: float | None = 1.0,
        likelihood: Likelihood = multinomial,
        num_data: int | None = None,
    ) -> None:
        super().__init__()
        if alpha is not None and not 0 < alpha < math.inf:
            raise ValueError(f"alpha must be positive and finite, got {alpha:g}")
        self.groups = _sites(groups)
        num_topics = sum(groups)
        # (1 - 2 / K) / alpha + 1 / (alpha K) in the paper, for an alpha that is the same for all.
        variance = 1.0 if alpha is None else (1 - 1 / num_topics) / alpha
        self.decoder = decoder
        self.likelihood = likelihood
        self.num_data = num_data
        self.register_buffer("loc", torch.zeros(num_topics), persistent=False)
        self.register_buffer("scale", torch.full((num_topics,), math.sqrt(variance)), persistent=False)

    def forward(self, x: Tensor | None = None, *, index: Tensor | None = None) -> Tensor:
        """Samples the story: observes x [B, V]; without it, draws one datapoint from the prior. Returns x.

        For more draws than one: `pyro.infer.Predictive(story, num_samples=100)()`.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            z = _topics(self.groups, self.loc, self.scale)
            theta = pyro.deterministic("theta", z.softmax(-1), event_dim=1)
            words = self.likelihood(self.decoder(theta))
            check_words(x, words, index)
            return pyro.sample("x", words, obs=x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class NVDM(nn.Module):
    """The neural variational document model (Miao et al. 2016, arXiv:1511.06038): topics that need not be shares.

        z ~ Normal(0, I)                topics                        [B, K]
        x ~ Multinomial(decoder(z))     how often each word is there  [B, V]

    Several groups of topics are the sites z1, z2, ..., one for each size, side by side to the decoder.

    Args:
        decoder: topics [..., K] to logits of the words [..., V]; linear in the paper.
        groups, likelihood, num_data: as `ProdLDA` takes them.

    Raises:
        TypeError, ValueError: as `ProdLDA`.
    """

    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        decoder: nn.Module,
        *,
        groups: Sequence[int],
        likelihood: Likelihood = multinomial,
        num_data: int | None = None,
    ) -> None:
        super().__init__()
        self.groups = _sites(groups)
        self.decoder = decoder
        self.likelihood = likelihood
        self.num_data = num_data
        self.register_buffer("loc", torch.zeros(sum(groups)), persistent=False)
        self.register_buffer("scale", torch.ones(sum(groups)), persistent=False)

    def forward(self, x: Tensor | None = None, *, index: Tensor | None = None) -> Tensor:
        """Samples the story: observes x [B, V]; without it, draws one datapoint from the prior. Returns x.

        For more draws than one: `pyro.infer.Predictive(story, num_samples=100)()`.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            z = _topics(self.groups, self.loc, self.scale)
            words = self.likelihood(self.decoder(z))
            check_words(x, words, index)
            return pyro.sample("x", words, obs=x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


def check_words(x: Tensor | None, words: TorchDistribution, index: Tensor | None = None) -> None:
    """Refuses what is no batch of documents, each of some words; values are looked at where Pyro's validation is on.

    Args:
        x: counts [B, V].
        words: their distribution.
        index: which of all documents these are, [B].

    Raises:
        TypeError, ValueError: a document has no words, of which no topic can be told and no perplexity; or as
            `zoo.likelihoods.check_data`.
    """
    check_data(x, words)
    if x is None or not is_validation_enabled():
        return
    empty = (x.sum(-1) == 0).nonzero().flatten()
    if len(empty):
        at = int(empty[0])
        of_all = "" if index is None else f", number {int(index[at])} of all,"
        raise Misfit(
            f"site 'x': document {at} of the batch{of_all} has no words ({len(empty)} of {len(x)} have none): leave "
            "such documents out, x[x.sum(1) > 0], or count more words"
        )


def _sites(groups: Sequence[int]) -> dict[str, int]:
    """Groups of topics by site."""
    groups = [whole("groups: a size", size, least=0) for size in groups]
    if not groups or min(groups) < 1:
        raise ValueError(f"groups: each needs at least 1 topic, got {list(groups)}; [25, 25] makes two of 25")
    return {"z": groups[0]} if len(groups) == 1 else {f"z{i}": size for i, size in enumerate(groups, start=1)}


def _topics(groups: dict[str, int], loc: Tensor, scale: Tensor) -> Tensor:
    """Samples each group, and puts them side by side, [..., K]."""
    parts = zip(groups, loc.split(list(groups.values())), scale.split(list(groups.values())), strict=True)
    return torch.cat([pyro.sample(name, dist.Normal(m, s).to_event(1)) for name, m, s in parts], dim=-1)
