"""VAEs with structured priors of z, the latent code: the stories differ in how z is drawn.

Mathieu, Rainforth, Siddharth & Teh 2019, Disentangling Disentanglement in Variational Autoencoders,
https://arxiv.org/abs/1812.02833, section 6. Their objective is `zoo.elbos.Decomposition`.

Each of the two mixture priors is written in two ways, with the same joint density of z and x. `ClusteredVAE` and
`SparseVAE`, which the papers' objectives train, have the mixture's density as p(z). In `ClusterIndicatorVAE` and
`SparseIndicatorVAE` the component that z is drawn from is a discrete site of its own, which Pyro's `TraceEnum_ELBO`
sums out; so they show the mixture as a generative process, and are a check of the density. In all of them a guide has a
distribution of z and none of the component.

A story is a generative model, written as a Pyro program. The docstring of its class lists its sites. How the code
reads, here and in every story:

- `register(self)` makes the decoder's parameters known to Pyro, so that SVI trains them. `pyro.module("name", self)`
  does that too, but Pyro finds parameters by name: for a second instance with the same name, SVI would go on training
  the first one's, and the second one's would silently stay as they are. `register` chooses names that are unique.
- `data_plate` is `pyro.plate("data", B)`: the B datapoints of a batch are independent of each other, and each site
  inside the plate has one value for each of them. For a batch with `index` the plate's size is num_data, and Pyro
  multiplies log p by num_data / B; without `index`, log p is that of the batch alone.
- `as_event` makes all pixels of a datapoint one event, as `.to_event(3)` does for [B, C, H, W], so that log p(x | z)
  has one entry for each datapoint. Unlike `.to_event(3)`, it does so for data of any number of dimensions, and for
  likelihoods that have an event already.
- Latents may have more dimensions on the left, [..., B, size], and log p(x | z) then has them, too, [..., B]. They come
  from the objective: one for particles, which are several draws for each datapoint, and left of it one for each
  discrete site that it sums out, with an entry for each value of the site.
- `_decode`, at the end of the file, samples x: it calls `as_event`, `check_data` and `pyro.sample`.
- `check_data` refuses data that do not fit the likelihood: of a shape other than that of the decoder's output, integers
  (pixels are floats), or values outside its support. The default Bernoulli's support is [0, 1], grey values included.
- The constants of the priors are buffers, so that they move to a device with the module. persistent=False keeps them
  out of its state_dict, since the arguments of the constructor determine them.
- `picklable_state` makes a trained story picklable: it leaves out what Pyro attaches to each parameter in training.
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

# The standard deviation of a unit that is off. 0.05 is its variance in the paper's text, and its standard deviation in
# the paper's code.
SIGMA_0 = {"paper": math.sqrt(0.05), "code": 0.05}


class AnisotropicVAE(nn.Module):
    """Latent dimensions (units) with different prior variances (section 6.1).

        z ~ Normal(0, sqrt(variances))    code    [B, z_dim]
        x ~ Bernoulli(decoder(z))         pixels  [B, C, H, W]

    A rotation of z leaves the prior Normal(0, I) as it is, so a VAE with this prior does not prefer one choice of axes.
    It changes a prior whose variances are not all equal.

    Args:
        decoder: maps codes [..., z_dim] to the likelihood's parameters [..., C, H, W]; logits for a Bernoulli.
        variances: prior variances of the units, [z_dim]. If they are learnt, these are the initial ones.
        learnt: whether the variances are trained. Their sum keeps its initial value: they are this sum times a softmax,
            as in the paper's code.
        likelihood: any function from the decoder's output to a Pyro distribution over x, whose pixels may be
            independent (part of its batch shape) or already one event: one of `zoo.likelihoods`, such as
            `partial(laplace, scale=0.1)`, or your own. By default a Bernoulli, whose logits the decoder returns. The
            paper uses `normal_and_scale` for the pinwheel, its data in the plane, and `partial(laplace, scale=0.1)` for
            Fashion-MNIST.
        num_data: the number of datapoints in the training set; needed for batches with `index`.

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
        """Runs the story once. Returns x.

        With x [B, C, H, W], x is observed. Without it, `story()` draws one datapoint from the prior, [1, C, H, W];
        `pyro.infer.Predictive(story, num_samples=100)()` draws a hundred.

        Args:
            x: a batch.
            index: the positions [B] of the batch's datapoints in the training set, from 0. log p is then scaled from
                the batch to all num_data datapoints.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            z = pyro.sample("z", dist.Normal(self.loc, self.variances.sqrt()).to_event(1))
            return _decode(self.likelihood(self.decoder(z)), z, x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class StudentTVAE(nn.Module):
    """Independent latent dimensions (units) with heavy tails (section 6.1).

    All units have the same prior. Their joint density is not invariant under rotation: of independent units, only
    normal ones of equal variance have a density that depends on the length of z alone.

        z ~ StudentT(nu, 0, 1)       code    [B, z_dim]
        x ~ Bernoulli(decoder(z))    pixels  [B, C, H, W]

    Args:
        decoder, likelihood, num_data: as in `AnisotropicVAE`.
        z_dim: the number of latent dimensions.
        nu: degrees of freedom; as nu grows, the prior tends to Normal(0, I).

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
        """Runs the story once. Returns x.

        With x [B, C, H, W], x is observed. Without it, `story()` draws one datapoint from the prior, [1, C, H, W];
        `pyro.infer.Predictive(story, num_samples=100)()` draws a hundred.

        Args:
            x: a batch.
            index: the positions [B] of the batch's datapoints in the training set, from 0. log p is then scaled from
                the batch to all num_data datapoints.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            z = pyro.sample("z", dist.StudentT(self.nu).to_event(1))
            return _decode(self.likelihood(self.decoder(z)), z, x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class ClusteredVAE(nn.Module):
    """A code that lies in K clusters of equal weight (section 6.2).

        z ~ MixtureSameFamily(uniform, Normal(places, scale))    code  [B, z_dim]
        x ~ Normal(decoder(z))                                   data  [B, ...]

    Args:
        decoder, num_data: as in `AnisotropicVAE`.
        likelihood: as in `AnisotropicVAE`, by default a Bernoulli; for the line of x above, and in the paper's
            pinwheel, it is `normal_and_scale`.
        places: the centres of the K clusters, [K, z_dim]; not trained.
        scale: the standard deviation of every cluster in every latent dimension.

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
        """Runs the story once. Returns x.

        With x [B, ...], x is observed. Without it, `story()` draws one datapoint from the prior, [1, ...];
        `pyro.infer.Predictive(story, num_samples=100)()` draws a hundred.

        Args:
            x: a batch.
            index: the positions [B] of the batch's datapoints in the training set, from 0. log p is then scaled from
                the batch to all num_data datapoints.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            cluster = dist.Categorical(logits=self.log_weights)
            z = pyro.sample("z", dist.MixtureSameFamily(cluster, dist.Normal(self.places, self.scale).to_event(1)))
            return _decode(self.likelihood(self.decoder(z)), z, x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class ClusterIndicatorVAE(nn.Module):
    """`ClusteredVAE` with the cluster as a site of its own.

        k ~ Categorical(uniform)         which cluster  [B]
        z ~ Normal(places[k], scale)     code           [B, z_dim]
        x ~ Normal(decoder(z))           data           [B, ...]

    With `k` summed out, the density of z and x is that of `ClusteredVAE`. The site k is marked for enumeration, so
    `TraceEnum_ELBO` sums it out. A guide for `ClusteredVAE` fits, such as `Amortized(trunk, z=MeanField(z_dim))`.

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
        """Runs the story once. Returns x.

        With x [B, ...], x is observed. Without it, `story()` draws one datapoint from the prior, [1, ...];
        `pyro.infer.Predictive(story, num_samples=100)()` draws a hundred.

        Args:
            x: a batch.
            index: the positions [B] of the batch's datapoints in the training set, from 0. log p is then scaled from
                the batch to all num_data datapoints.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            k = pyro.sample("k", dist.Categorical(logits=self.log_weights), infer={"enumerate": "parallel"})
            z = pyro.sample("z", dist.Normal(self.places[k], self.scale).to_event(1))
            return _decode(self.likelihood(self.decoder(z)), z, x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class SparseVAE(nn.Module):
    """A sparse code: for each datapoint, few of the latent dimensions (units) are far from 0 (section 6.3).

        z ~ MixtureSameFamily([1 - gamma, gamma], Normal(0, [1, sigma_0]))    code    [B, z_dim]
        x ~ Laplace(decoder(z), 0.1)                                          pixels  [B, C, H, W]

    Each unit of each datapoint is on or off, independently of the others: on with probability 1 - gamma, and then it
    has the standard deviation 1; off with probability gamma, and then it has the standard deviation sigma_0.

    Args:
        decoder, num_data: as in `AnisotropicVAE`.
        likelihood: as in `AnisotropicVAE`, by default a Bernoulli; for the line of x above, and in the paper, it is
            `partial(laplace, scale=0.1)`.
        z_dim: latent dimensions.
        gamma: the probability that a unit is off, in [0, 1]; at 0 the prior is Normal(0, I).
        sigma_0: the standard deviation of a unit that is off, small in the paper. The paper's text and its program
            differ: `SIGMA_0` has both values.

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
        """Runs the story once. Returns x.

        With x [B, C, H, W], x is observed. Without it, `story()` draws one datapoint from the prior, [1, C, H, W];
        `pyro.infer.Predictive(story, num_samples=100)()` draws a hundred.

        Args:
            x: a batch.
            index: the positions [B] of the batch's datapoints in the training set, from 0. log p is then scaled from
                the batch to all num_data datapoints.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            on_or_off = dist.Categorical(logits=self.log_weights)
            z = pyro.sample("z", dist.MixtureSameFamily(on_or_off, dist.Normal(0.0, self.scales)).to_event(1))
            return _decode(self.likelihood(self.decoder(z)), z, x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class SparseIndicatorVAE(nn.Module):
    """`SparseVAE` with a site that says which units are on.

        on ~ Bernoulli(1 - gamma)               whether a unit is on  [z_dim, B]
        z ~ Normal(0, 1 if on else sigma_0)     code                  [z_dim, B]
        x ~ Laplace(decoder(z), 0.1)            pixels                [B, C, H, W]

    With `on` summed out, the density of z and x is that of `SparseVAE`. The units are in a plate of their own, inside
    the plate "data" and left of it in shapes, since Pyro's plates take the rightmost free dimension. Units in a plate
    are independent, so `TraceEnum_ELBO` sums out each unit by itself: two states for each of z_dim units, instead of
    the 2^z_dim states of all units together. A guide for z needs the same two plates, so one for `SparseVAE` does not
    fit; `AutoNormal(poutine.block(model, hide=["on"]))` does.

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
        """Runs the story once. Returns x.

        With x [B, C, H, W], x is observed. Without it, `story()` draws one datapoint from the prior, [1, C, H, W];
        `pyro.infer.Predictive(story, num_samples=100)()` draws a hundred.

        Args:
            x: a batch.
            index: the positions [B] of the batch's datapoints in the training set, from 0. log p is then scaled from
                the batch to all num_data datapoints.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            with pyro.plate("units", self.z_dim):
                on = pyro.sample("on", dist.Bernoulli(self.share_on), infer={"enumerate": "parallel"})
                z = pyro.sample("z", dist.Normal(0.0, torch.where(on == 1, 1.0, self.sigma_0)))
            code = z.movedim(-2, -1)  # [..., B, z_dim], for the decoder
            # Dimension -2 of a batch shape is the units' plate. x is outside of this plate, so its batch shape must
            # have size 1 there: [particles, 1, B]. The decoder's input also has an event dimension, hence -3.
            code = code.unsqueeze(-3) if code.dim() > 2 else code
            return _decode(self.likelihood(self.decoder(code)), code, x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


def _decode(data: TorchDistribution, z: Tensor, x: Tensor | None) -> Tensor:
    """Samples x from the likelihood `data`, or observes x if it is given. Its batch shape is z's without the last."""
    data = as_event(data, like=z)
    check_data(x, data)
    sampled: Tensor = pyro.sample("x", data, obs=x)
    return sampled


def _positive(what: str, values: Sequence[float] | Tensor) -> Tensor:
    """Returns the values as a vector after checking that they are positive and finite."""
    tensor = torch.as_tensor(values, dtype=torch.get_default_dtype())
    if tensor.dim() != 1 or not len(tensor) or not (tensor.isfinite() & (tensor > 0)).all():
        raise ValueError(f"{what} must be positive and finite, got {tensor.tolist()}")
    return tensor


def _share(gamma: float) -> float:
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma, the probability that a unit is off, must be in [0, 1], got {gamma:g}")
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
