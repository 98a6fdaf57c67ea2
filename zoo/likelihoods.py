"""How a decoder's output becomes a distribution over data: the last line of every story.

A likelihood is any function of one tensor, the decoder's output, that returns a Pyro distribution over a batch of
data. Its batch shape is that of the pixels, [B, C, H, W], or that of the datapoints, [B], with one event for each.
Stories call `as_event`, which turns the first form into the second. `functools.partial` binds further arguments, as in
`partial(laplace, scale=0.1)`.
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

    For a grey value it is the expected log probability of a pixel that is 1 with probability x; the codes of the five
    papers train on grey images with it. Outside [0, 1] it is -inf, so that wrong data is noticed also where validation
    is off.

    .. warning::
        For grey values it is not a normalised density: log p(x) cannot be compared with that of another likelihood.
    """

    support = constraints.unit_interval

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats per pixel, in the shape of `value` broadcast with the logits."""
        if self._validate_args:
            self._validate_sample(value)
        logits: Tensor = self.logits
        # log(1 + e^l) by exp and log: log1p is ten times slower on a CPU, and the difference is below 1e-7 nats. At
        # l = 0 the gradient of maximum is 1/2 and that of the other part is 0; their sum is right.
        tail = logits.abs().neg().exp().add(1).log()
        log_prob = value * logits - torch.maximum(logits, logits.new_zeros(())) - tail
        # Added rather than selected by torch.where, so that no gradient passes through it.
        return log_prob + torch.where(value == value.clamp(0, 1), 0.0, -torch.inf).to(log_prob.dtype)


class Multinomial(dist.Multinomial):
    """Pyro's multinomial for documents of any length: log p(x) = sum_w x_w log p_w for counts x of words.

    It is the log probability of the words in the document's order, given their number: over all sequences of n words
    these probabilities add up to 1. The multinomial coefficient, which counts the possible orders, is left out, as in
    ProdLDA's and NVDM's codes: it does not depend on any parameter, and perplexities are defined without it.
    """

    support = constraints.independent(constraints.nonnegative_integer, 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats per document, [...], for counts [..., V]."""
        if self._validate_args:
            self._validate_sample(value)
        # A word of probability 0 that does not occur: 0 log 0 is 0.
        logits = torch.where((value == 0) & (self.logits == -torch.inf), 0.0, self.logits)
        log_prob: Tensor = (logits * value).sum(-1)
        return log_prob


def bernoulli(logits: Tensor) -> TorchDistribution:
    """Binary or grey pixels in [0, 1]; the decoder returns logits."""
    return Bernoulli(logits=logits)


def normal(loc: Tensor, *, scale: float) -> TorchDistribution:
    """Normal distributions around the decoder's output, with one standard deviation for all."""
    return dist.Normal(loc, scale)


def normal_and_scale(raw: Tensor) -> TorchDistribution:
    """Normal distributions, each with a standard deviation: the decoder returns [..., 2 n], means, then raw scales.

    The standard deviations are softplus(raw), as in the decomposition paper's code for the pinwheel.

    .. warning::
        They have no lower limit, so log p(x) can grow without bound.

    Raises:
        ValueError: the last dimension is odd.
    """
    if raw.shape[-1] % 2:
        raise Misfit(
            f"normal_and_scale: the decoder returns [..., 2 n], n means and then n raw scales, got {list(raw.shape)}; "
            "give its last layer twice the width of the data"
        )
    loc, scale = raw.chunk(2, dim=-1)
    return dist.Normal(loc, softplus(scale))


def laplace(loc: Tensor, *, scale: float) -> TorchDistribution:
    """Laplace distributions around the decoder's output; the decomposition paper uses scale = 0.1 for Fashion-MNIST."""
    return dist.Laplace(loc, scale)


def multinomial(logits: Tensor, *, num_words: int = 100) -> TorchDistribution:
    """Word counts, one event per document; the decoder returns logits [..., V].

    An observed document may have any number of words; a document that is drawn has `num_words`.
    """
    return Multinomial(num_words, logits=logits)


def as_event(likelihood: TorchDistribution, *, like: Tensor) -> TorchDistribution:
    """The likelihood with one event per datapoint: its batch dimensions become those of `like`, a latent [..., size].

    A likelihood of pixels [B, C, H, W] has four batch dimensions. For codes [B, z_dim] its last three become event
    dimensions. Leading dimensions, of particles and of classes that are summed out, stay batch dimensions.
    """
    return likelihood.to_event(len(likelihood.batch_shape) - (like.dim() - 1))


def check_finite(x: Tensor, site: str = "x") -> None:
    """Refuses data x [B, *event] with NaN or infinite values.

    Raises:
        ValueError: x has such values; the message names the site, their number, and the first one's position.
    """
    if len(wrong := (~x.isfinite()).nonzero()):
        raise Misfit(
            f"site {site!r}: {len(wrong):,} of {x.numel():,} values are NaN or infinite, the first at "
            f"{wrong[0].tolist()}; leave out these datapoints, or replace the values"
        )


def check_data(x: Tensor | None, likelihood: TorchDistribution, site: str = "x") -> None:
    """Refuses data that the likelihood cannot generate, before a broadcast or a cast hides the mistake.

    Args:
        x: the data [B, *event]; where it is None, the value that `poutine.condition` holds for the site.
        likelihood: its distribution, one event per datapoint.
        site: its name, for the message.

    Raises:
        TypeError: x is not of a floating-point type.
        ValueError: the event shape of x differs from the decoder's, or x has values outside the support (checked where
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
            f"site {site!r}: the decoder returns events of shape {event_shape}, got data of shape {tuple(x.shape)}; "
            f"expected (B, {', '.join(map(str, event_shape))})"
        )
    support: Any = likelihood.support
    if is_validation_enabled() and not support.check(x).all():
        check_finite(x, site)
        low, high = x.min().item(), x.max().item()
        mends = {
            Bernoulli: "; scale the images to [0, 1]",
            dist.Bernoulli: ", 0 and 1 only; for grey pixels use zoo.likelihoods.bernoulli",
            Multinomial: "; word counts must be whole numbers from 0",
        }
        raise Misfit(
            f"site {site!r}: values in [{low:g}, {high:g}] are outside the likelihood's support"
            + mends.get(type(getattr(likelihood, "base_dist", likelihood)), "")
        )
