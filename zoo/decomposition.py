"""Priors that carry the structure: one story for each, which differ in the line of z only.

Mathieu, Rainforth, Siddharth & Teh 2019, Disentangling Disentanglement in Variational Autoencoders,
https://arxiv.org/abs/1812.02833, section 6. Each mixture has two stories: one with the indicator summed out, to be
trained with a guide for z alone, and one with the indicator as a site, which `pyro.infer.TraceEnum_ELBO` sums out.

How the code reads, here and in every story:

- `register(self)` offers the decoder's parameters to SVI, as `pyro.module` does, but under names that no other instance
  has: with `pyro.module`, a second instance would read the first one's weights under the same name.
- `data_plate` is `pyro.plate("data", ...)`, whose size is the batch's, or num_data where the batch has an index.
- `as_event` makes the pixels of a datapoint one event, as `.to_event(3)` does for [B, C, H, W], so that log p(x) is one
  number per datapoint. Particles and summed-out classes add batch dimensions on the left, which it leaves as they are.
- `_decode`, at the end of the file, is the line of x: `as_event`, `check_data`, and the site.
- `check_data` refuses data that the likelihood cannot generate.
- The priors' constants are buffers, which move to a device with the module, and are not part of its state_dict.
- `picklable_state` lets a story be copied and pickled after training: it drops what Pyro attaches to parameters.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from zoo.arguments import checked, number_from, shown
from zoo.likelihoods import as_event, bernoulli, check_data
from zoo.program import data_plate, picklable_state, register, whole

Likelihood = Callable[[Tensor], TorchDistribution]

# Of a unit that is off: in the paper's text 0.05 is the variance, in its code the standard deviation.
SIGMA_0 = {"paper": math.sqrt(0.05), "code": 0.05}


class AnisotropicVAE(nn.Module):
    """A code with a different prior variance for each unit, so that rotating it changes its prior (section 6.1).

        z ~ Normal(0, sqrt(variances))    code    [B, z_dim]
        x ~ Bernoulli(decoder(z))         pixels  [B, C, H, W]

    Args:
        decoder: maps codes [..., z_dim] to the likelihood's parameters [..., C, H, W]; logits for a Bernoulli.
        variances: prior variances of the units, [z_dim]; the initial ones where they are learnt.
        learnt: whether the variances are trained. Their sum is kept fixed, as in the paper's code.
        likelihood: a function from the decoder's output to a distribution over x: one of `zoo.likelihoods`, such as
            `partial(laplace, scale=0.1)`, or your own. By default a Bernoulli, whose logits the decoder returns.
            The paper has `normal_and_scale` for the pinwheel, and `partial(laplace, scale=0.1)` for Fashion-MNIST.
        num_data: how many datapoints there are in all; needed for a batch with `index`.

    Raises:
        TypeError, ValueError: a variance is not positive; and as `zoo.likelihoods.check_data` and
            `zoo.program.data_plate` do.

    Example:
        >>> model = AnisotropicVAE(nn.Linear(2, 5), variances=[4.0, 1.0])
        >>> model().shape  # one draw of the prior
        torch.Size([1, 5])
    """

    loc: Tensor
    total: Tensor
    log_variances: Tensor

    @checked(num_data=number_from(1))
    def __init__(
        self,
        decoder: nn.Module,
        *,
        variances: Sequence[float] | Tensor,
        learnt: bool = False,
        likelihood: Likelihood = bernoulli,
        num_data: int | None = None,
    ) -> None:
        super().__init__()
        first = _positive("variances", variances)
        self.decoder = decoder
        self.likelihood = likelihood
        self.num_data = num_data
        self.register_buffer("loc", torch.zeros_like(first), persistent=False)
        self.register_buffer("total", first.sum(), persistent=False)
        if learnt:
            self.log_variances = nn.Parameter(first.log())
        else:
            self.register_buffer("log_variances", first.log(), persistent=False)

    @property
    def variances(self) -> Tensor:
        """The prior's variances, [z_dim]."""
        return self.total * self.log_variances.softmax(-1)

    def forward(self, x: Tensor | None = None, *, index: Tensor | None = None) -> Tensor:
        """Samples the story: observes x [B, C, H, W]; without it, draws one datapoint from the prior. Returns x.

        For more draws than one: `pyro.infer.Predictive(story, num_samples=100)()`. `index` [B] holds the positions of
        the batch's datapoints in the data, from 0; the loss is then scaled from the batch to all num_data of them.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            z = pyro.sample("z", dist.Normal(self.loc, self.variances.sqrt()).to_event(1))
            return _decode(self.likelihood(self.decoder(z)), z, x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class StudentTVAE(nn.Module):
    """A code of independent heavy-tailed units: all are equal, but the prior is not rotation-invariant (section 6.1).

        z ~ StudentT(nu, 0, 1)       code    [B, z_dim]
        x ~ Bernoulli(decoder(z))    pixels  [B, C, H, W]

    Args:
        decoder, likelihood, num_data: as in `AnisotropicVAE`.
        z_dim: latent dimensions.
        nu: degrees of freedom; as they grow the prior tends to Normal(0, I).

    Raises:
        TypeError, ValueError: nu is not positive; and as `AnisotropicVAE`.

    Example:
        >>> model = StudentTVAE(nn.Linear(2, 5), z_dim=2, nu=3.0)
        >>> model().shape  # one draw of the prior
        torch.Size([1, 5])
    """

    nu: Tensor

    @checked(num_data=number_from(1))
    def __init__(
        self,
        decoder: nn.Module,
        *,
        z_dim: int,
        nu: float,
        likelihood: Likelihood = bernoulli,
        num_data: int | None = None,
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.likelihood = likelihood
        self.num_data = num_data
        self.register_buffer("nu", _positive("nu", [nu]).repeat(whole("z_dim", z_dim)), persistent=False)

    def forward(self, x: Tensor | None = None, *, index: Tensor | None = None) -> Tensor:
        """Samples the story: observes x [B, C, H, W]; without it, draws one datapoint from the prior. Returns x.

        For more draws than one: `pyro.infer.Predictive(story, num_samples=100)()`. `index` [B] holds the positions of
        the batch's datapoints in the data, from 0; the loss is then scaled from the batch to all num_data of them.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            z = pyro.sample("z", dist.StudentT(self.nu).to_event(1))
            return _decode(self.likelihood(self.decoder(z)), z, x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class ClusteredVAE(nn.Module):
    """A code that lies in clusters (section 6.2).

        z ~ MixtureSameFamily(uniform, Normal(places, scale))    code  [B, z_dim]
        x ~ Normal(decoder(z))                                   data  [B, ...]

    Args:
        decoder, likelihood, num_data: as in `AnisotropicVAE`.
        places: the clusters' centres, [K, z_dim].
        scale: their standard deviation in each unit.

    Raises:
        TypeError, ValueError: the scale is not positive, or places is not a matrix; and as `AnisotropicVAE`.

    Example:
        >>> from functools import partial
        >>> from zoo.likelihoods import normal
        >>> places = [[-1.0, 0.0], [1.0, 0.0]]
        >>> likelihood = partial(normal, scale=1.0)
        >>> model = ClusteredVAE(nn.Linear(2, 5), places=places, scale=0.1, likelihood=likelihood)
        >>> model().shape  # one draw of the prior
        torch.Size([1, 5])
    """

    places: Tensor
    scale: Tensor
    log_weights: Tensor

    @checked(num_data=number_from(1), places=None)
    def __init__(
        self,
        decoder: nn.Module,
        *,
        places: Sequence[Sequence[float]] | Tensor,
        scale: float,
        likelihood: Likelihood = bernoulli,
        num_data: int | None = None,
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.likelihood = likelihood
        self.num_data = num_data
        self.register_buffer("places", _places(places), persistent=False)
        self.register_buffer("scale", _positive("scale", [scale]).squeeze(), persistent=False)
        self.register_buffer("log_weights", self.places.new_zeros(len(self.places)), persistent=False)

    def forward(self, x: Tensor | None = None, *, index: Tensor | None = None) -> Tensor:
        """Samples the story: observes x [B, ...]; without it, draws one datapoint from the prior. Returns x.

        For more draws than one: `pyro.infer.Predictive(story, num_samples=100)()`. `index` [B] holds the positions of
        the batch's datapoints in the data, from 0; the loss is then scaled from the batch to all num_data of them.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            cluster = dist.Categorical(logits=self.log_weights)
            z = pyro.sample("z", dist.MixtureSameFamily(cluster, dist.Normal(self.places, self.scale).to_event(1)))
            return _decode(self.likelihood(self.decoder(z)), z, x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class ClusterIndicatorVAE(nn.Module):
    """`ClusteredVAE` with the cluster as a site: the same density of z and x once the cluster is summed out.

        k ~ Categorical(uniform)         which cluster  [B]
        z ~ Normal(places[k], scale)     code           [B, z_dim]
        x ~ Normal(decoder(z))           data           [B, ...]

    The site k is marked for enumeration: `TraceEnum_ELBO` sums it out, with any guide for z.

    Args:
        decoder, places, scale, likelihood, num_data: as in `ClusteredVAE`.

    Raises:
        TypeError, ValueError: as `ClusteredVAE`.

    Example:
        >>> from functools import partial
        >>> from zoo.likelihoods import normal
        >>> places = [[-1.0, 0.0], [1.0, 0.0]]
        >>> likelihood = partial(normal, scale=1.0)
        >>> model = ClusterIndicatorVAE(nn.Linear(2, 5), places=places, scale=0.1, likelihood=likelihood)
        >>> model().shape  # one draw of the prior
        torch.Size([1, 5])
    """

    places: Tensor
    scale: Tensor
    log_weights: Tensor

    @checked(num_data=number_from(1), places=None)
    def __init__(
        self,
        decoder: nn.Module,
        *,
        places: Sequence[Sequence[float]] | Tensor,
        scale: float,
        likelihood: Likelihood = bernoulli,
        num_data: int | None = None,
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.likelihood = likelihood
        self.num_data = num_data
        self.register_buffer("places", _places(places), persistent=False)
        self.register_buffer("scale", _positive("scale", [scale]).squeeze(), persistent=False)
        self.register_buffer("log_weights", self.places.new_zeros(len(self.places)), persistent=False)

    def forward(self, x: Tensor | None = None, *, index: Tensor | None = None) -> Tensor:
        """Samples the story: observes x [B, ...]; without it, draws one datapoint from the prior. Returns x.

        For more draws than one: `pyro.infer.Predictive(story, num_samples=100)()`. `index` [B] holds the positions of
        the batch's datapoints in the data, from 0; the loss is then scaled from the batch to all num_data of them.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            k = pyro.sample("k", dist.Categorical(logits=self.log_weights), infer={"enumerate": "parallel"})
            z = pyro.sample("z", dist.Normal(self.places[k], self.scale).to_event(1))
            return _decode(self.likelihood(self.decoder(z)), z, x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class SparseVAE(nn.Module):
    """A code of which only few units are on at a time (section 6.3).

        z ~ MixtureSameFamily([1 - gamma, gamma], Normal(0, [1, sigma_0]))    code    [B, z_dim]
        x ~ Laplace(decoder(z), 0.1)                                          pixels  [B, C, H, W]

    Each unit is off or on by itself: the mixture is over the two widths of one unit, for every datapoint.

    Args:
        decoder, likelihood, num_data: as in `AnisotropicVAE`.
        z_dim: latent dimensions.
        gamma: the share of units that are off, in [0, 1]; at 0 the prior is Normal(0, I).
        sigma_0: the standard deviation of a unit that is off; `SIGMA_0` holds the paper's value and its code's.

    Raises:
        TypeError, ValueError: gamma is outside [0, 1], or sigma_0 not positive; and as `AnisotropicVAE`.

    Example:
        >>> model = SparseVAE(nn.Linear(2, 5), z_dim=2, gamma=0.8, sigma_0=0.05)
        >>> model().shape  # one draw of the prior
        torch.Size([1, 5])
    """

    log_weights: Tensor
    scales: Tensor

    @checked(num_data=number_from(1))
    def __init__(
        self,
        decoder: nn.Module,
        *,
        z_dim: int,
        gamma: float,
        sigma_0: float,
        likelihood: Likelihood = bernoulli,
        num_data: int | None = None,
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.likelihood = likelihood
        self.num_data = num_data
        z_dim = whole("z_dim", z_dim)
        on, off = 1 - _share(gamma), _share(gamma)
        self.register_buffer("log_weights", torch.tensor([on, off]).log().repeat(z_dim, 1), persistent=False)
        self.register_buffer("scales", _positive("sigma_0", [1.0, sigma_0]).repeat(z_dim, 1), persistent=False)

    def forward(self, x: Tensor | None = None, *, index: Tensor | None = None) -> Tensor:
        """Samples the story: observes x [B, C, H, W]; without it, draws one datapoint from the prior. Returns x.

        For more draws than one: `pyro.infer.Predictive(story, num_samples=100)()`. `index` [B] holds the positions of
        the batch's datapoints in the data, from 0; the loss is then scaled from the batch to all num_data of them.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            on_or_off = dist.Categorical(logits=self.log_weights)
            z = pyro.sample("z", dist.MixtureSameFamily(on_or_off, dist.Normal(0.0, self.scales)).to_event(1))
            return _decode(self.likelihood(self.decoder(z)), z, x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class SparseIndicatorVAE(nn.Module):
    """`SparseVAE` with each unit's switch as a site: the same density of z and x once the switches are summed out.

        on ~ Bernoulli(1 - gamma)               switches  [z_dim, B]
        z ~ Normal(0, 1 if on else sigma_0)     code      [z_dim, B]
        x ~ Laplace(decoder(z), 0.1)            pixels    [B, C, H, W]

    The units are in a second plate, outside the plate "data", so that `TraceEnum_ELBO` sums out 2 z_dim states and
    not 2^z_dim. A guide for z needs the same plates; that of `AutoNormal(poutine.block(model, hide=["on"]))` has them.

    Args:
        decoder, z_dim, gamma, sigma_0, likelihood, num_data: as in `SparseVAE`.

    Raises:
        TypeError, ValueError: as `SparseVAE`.

    Example:
        >>> model = SparseIndicatorVAE(nn.Linear(2, 5), z_dim=2, gamma=0.8, sigma_0=0.05)
        >>> model().shape  # one draw of the prior
        torch.Size([1, 5])
    """

    share_on: Tensor
    sigma_0: Tensor

    @checked(num_data=number_from(1))
    def __init__(
        self,
        decoder: nn.Module,
        *,
        z_dim: int,
        gamma: float,
        sigma_0: float,
        likelihood: Likelihood = bernoulli,
        num_data: int | None = None,
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.z_dim = whole("z_dim", z_dim)
        self.likelihood = likelihood
        self.num_data = num_data
        self.register_buffer("share_on", torch.tensor(1 - _share(gamma)), persistent=False)
        self.register_buffer("sigma_0", _positive("sigma_0", [sigma_0]).squeeze(), persistent=False)

    def forward(self, x: Tensor | None = None, *, index: Tensor | None = None) -> Tensor:
        """Samples the story: observes x [B, C, H, W]; without it, draws one datapoint from the prior. Returns x.

        For more draws than one: `pyro.infer.Predictive(story, num_samples=100)()`. `index` [B] holds the positions of
        the batch's datapoints in the data, from 0; the loss is then scaled from the batch to all num_data of them.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            with pyro.plate("units", self.z_dim):
                on = pyro.sample("on", dist.Bernoulli(self.share_on), infer={"enumerate": "parallel"})
                z = pyro.sample("z", dist.Normal(0.0, torch.where(on == 1, 1.0, self.sigma_0)))
            code = z.movedim(-2, -1)  # leaves dimension -2 free for an outer plate
            code = code.unsqueeze(-3) if code.dim() > 2 else code
            return _decode(self.likelihood(self.decoder(code)), code, x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


def _decode(data: TorchDistribution, z: Tensor, x: Tensor | None) -> Tensor:
    """The last line of every story here: samples x, observed where given; z [..., z_dim] has the batch dimensions."""
    data = as_event(data, like=z)
    check_data(x, data)
    sampled: Tensor = pyro.sample("x", data, obs=x)
    return sampled


def _positive(what: str, values: Sequence[float] | Tensor) -> Tensor:
    """Returns the values as a vector, after checking that they are positive and finite."""
    tensor = torch.as_tensor(values, dtype=torch.get_default_dtype())
    if tensor.dim() != 1 or not len(tensor) or not (tensor.isfinite() & (tensor > 0)).all():
        raise ValueError(f"{what} must be positive and finite, got {tensor.tolist()}")
    return tensor


def _share(gamma: float) -> float:
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma, the share of units that are off, must be in [0, 1], got {gamma:g}")
    return gamma


def _places(places: Sequence[Sequence[float]] | Tensor) -> Tensor:
    try:
        tensor = torch.as_tensor(places, dtype=torch.get_default_dtype())
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"places must be centres [K, z_dim], as [[0, 1], [2, 3]], got {shown(places)}") from error
    if tensor.dim() != 2 or not tensor.numel() or not tensor.isfinite().all():
        raise ValueError(
            f"places must be centres [K, z_dim], finite, as [[0, 1], [2, 3]], got {shown(places)} of shape "
            f"{list(tensor.shape)}"
        )
    return tensor
