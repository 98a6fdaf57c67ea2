"""How a decoder's output becomes a distribution over data: the last line of every story.

A likelihood is any function of one tensor, the decoder's output, that returns a Pyro distribution over data of the
shape of a batch. Pixels may be independent of each other, [B, C, H, W], or be one event for a datapoint; `as_event`
makes one event of what is left. Arguments are bound with `functools.partial(laplace, scale=0.1)`.
"""

from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.distributions.util import is_validation_enabled
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import softplus

from zoo.program import Misfit, conditioned_on


class Bernoulli(dist.Bernoulli):
    """Pyro's Bernoulli, which also scores grey values: log p(x) = x log p + (1 - x) log(1 - p) for x in [0, 1].

    Between 0 and 1 this is no normalised density. It is what the five papers' codes train grey images with: the
    expected log mass of a pixel that is lit with probability x. Outside [0, 1] it is -inf, as outside any support,
    so wrong data cannot train a model in silence where validation is off.
    """

    support = constraints.unit_interval

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats per pixel, in the shape of `value` broadcast with the logits."""
        if self._validate_args:
            self._validate_sample(value)
        logits: Tensor = self.logits
        # log(1 + e^l) by exp and log: log1p is ten times as slow on a CPU, for 1e-7 nats that no pixel misses. At l = 0
        # maximum has slope 1/2, and the rest none, as it should be.
        tail = logits.abs().neg().exp().add(1).log()
        log_prob = value * logits - torch.maximum(logits, logits.new_zeros(())) - tail
        # Added rather than chosen, so that no gradient has to pass it.
        return log_prob + torch.where(value == value.clamp(0, 1), 0.0, -torch.inf).to(log_prob.dtype)


class Multinomial(dist.Multinomial):
    """Pyro's multinomial, which scores documents of any length: log p(x) = sum_w x_w log p_w for counts x of words.

    It is the log mass of the words in the order in which they came, given how many they are. In how many orders they
    could have come, the multinomial coefficient, is left out, as ProdLDA's and NVDM's codes leave it out: no parameter
    changes it, and perplexities are without it. Over all orders of n words the mass adds up to 1.
    """

    support = constraints.independent(constraints.nonnegative_integer, 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats per document, [...], for counts [..., V]."""
        if self._validate_args:
            self._validate_sample(value)
        log_prob: Tensor = (self.logits * value).sum(-1)
        return log_prob


def bernoulli(logits: Tensor) -> TorchDistribution:
    """Binary or grey pixels in [0, 1]; the decoder gives logits."""
    return Bernoulli(logits=logits)


def normal(loc: Tensor, *, scale: float) -> TorchDistribution:
    """Real values around the decoder's output, with one standard deviation for all."""
    return dist.Normal(loc, scale)


def normal_and_scale(raw: Tensor) -> TorchDistribution:
    """Real values with a standard deviation each: the decoder gives [..., 2 n], means and then scales by softplus.

    As the decomposition paper's code has the pinwheel: no floor, so a density may grow without bound.
    """
    loc, scale = raw.chunk(2, dim=-1)
    return dist.Normal(loc, softplus(scale))


def laplace(loc: Tensor, *, scale: float) -> TorchDistribution:
    """Real values around the decoder's output; the decomposition paper takes scale = 0.1 for Fashion-MNIST."""
    return dist.Laplace(loc, scale)


def multinomial(logits: Tensor, *, num_words: int = 100) -> TorchDistribution:
    """Counts of words, one event for all of them; the decoder gives logits [..., V].

    A document that is given has as many words as it has, one that is drawn `num_words`.
    """
    return Multinomial(num_words, logits=logits)


def as_event(likelihood: TorchDistribution, *, like: Tensor) -> TorchDistribution:
    """The likelihood with one event for each datapoint; the batch is that of a latent's values, `like` [..., size].

    A likelihood of pixels [B, C, H, W] has four batch dimensions as PyTorch has it; beside codes [B, z_dim] the last
    three are a datapoint's. Particles and classes that are summed out stand to the left, in both alike.
    """
    return likelihood.to_event(len(likelihood.batch_shape) - (like.dim() - 1))


def check_data(x: Tensor | None, likelihood: TorchDistribution, site: str = "x") -> None:
    """Refuses data that the likelihood cannot have made, before a broadcast or a cast hides it.

    Args:
        x: the data [B, *event]; where it is None, what `poutine.condition` has for the site.
        likelihood: its distribution, one event per datapoint.
        site: its name, for the message.

    Raises:
        TypeError: x is not of a floating-point type.
        ValueError: x has another event shape than the decoder gives, or values outside the support (looked at where
            Pyro's validation is on).
    """
    x = conditioned_on(site) if x is None else x
    if x is None:
        return
    event_shape = tuple(likelihood.event_shape)
    if not x.is_floating_point():
        raise TypeError(f"site {site!r}: expected floats, got {x.dtype}; for bytes, x.float() / 255")
    if x.shape[1:] != event_shape:
        raise Misfit(
            f"site {site!r}: the decoder gives events of shape {event_shape}, got data of shape {tuple(x.shape)}; "
            f"expected (B, {', '.join(map(str, event_shape))})"
        )
    support: Any = likelihood.support
    if is_validation_enabled() and not support.check(x).all():
        low, high = x.min().item(), x.max().item()
        mends = {
            Bernoulli: "; scale the images to [0, 1]",
            dist.Bernoulli: ", 0 and 1 alone; for grey pixels take zoo.likelihoods.bernoulli",
            Multinomial: "; words are counted in whole numbers from 0",
        }
        raise Misfit(
            f"site {site!r}: values in [{low:g}, {high:g}] are outside the likelihood's support"
            + mends.get(type(getattr(likelihood, "base_dist", likelihood)), "")
        )
