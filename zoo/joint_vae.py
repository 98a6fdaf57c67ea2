"""Joint-VAE: images from a continuous style and a discrete type. HFVAE trains the same story on images.

Dupont 2018, Learning Disentangled Joint Continuous and Discrete Representations, https://arxiv.org/abs/1804.00104.
Esmaeili et al. 2019, Structured Disentangled Representations (HFVAE), https://arxiv.org/abs/1804.02086. The papers'
objectives are `Capacity` and `HFVAE` in `zoo.elbos`.

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
- `check_data` refuses data that do not fit the likelihood: of a shape other than that of the decoder's output, integers
  (pixels are floats), or values outside its support. The default Bernoulli's support is [0, 1], grey values included.
- The constants of the priors are buffers, so that they move to a device with the module. persistent=False keeps them
  out of its state_dict, since the arguments of the constructor determine them.
- `picklable_state` makes a trained story picklable: it leaves out what Pyro attaches to each parameter in training.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from zoo.arguments import POSITIVE, checked, number_from
from zoo.likelihoods import as_event, bernoulli, check_data
from zoo.program import RelaxedOneHotCategorical, data_plate, picklable_state, register, whole


class JointVAE(nn.Module):
    """A style and a type, together (Dupont 2018, arXiv:1804.00104).

        z ~ Normal(0, I)                                      style   [B, z_dim]
        c ~ RelaxedOneHotCategorical(temperature, uniform)    type    [B, c_dim]
        x ~ Bernoulli(decoder(z, c))                          pixels  [B, C, H, W]

    The style is what varies within a type, such as the slant of a digit. The type is one of c_dim classes, such as
    which digit it is; it is relaxed to a vector of c_dim positive numbers that add up to 1, so that gradients pass
    through its draws. With several types, their sites are c1, c2, ..., one for each entry of c_dims. The types are
    latent, and no label is ever observed.

    Args:
        decoder: called as decoder(z, c), or decoder(z, c1, c2, ...), with z [..., z_dim] and each type [..., c_dim];
            returns the likelihood's parameters, [..., C, H, W]. Where an objective sums out a type, the type has a
            leading dimension that z lacks. A decoder of your own has to broadcast the two, as the decoders of
            `zoo.lab.networks` do.
        z_dim: the number of latent dimensions of the style.
        c_dims: the number of classes of each type.
        temperature: of the types' prior: the lower it is, the closer are its draws to one-hot. With None the types are
            one-hot, c ~ OneHotCategorical(uniform). Choose by the type's head, the part of the guide that draws it
            (`guides.heads`). `Concrete` draws relaxed types, so it needs a temperature. `StraightThrough` draws one-hot
            types, and with `Exact` an objective sums the classes out: they work with a temperature and with None under
            the objectives of `zoo.elbos`. Pyro's own ELBOs need None for them, since a one-hot vector has no density
            under a relaxed prior.
        likelihood: any function from the decoder's output to a Pyro distribution over x, whose pixels may be
            independent (part of its batch shape) or already one event: one of `zoo.likelihoods`, such as
            `partial(laplace, scale=0.1)`, or your own. By default a Bernoulli, whose logits the decoder returns.
        num_data: the number of datapoints in the training set; needed for batches with `index`.

    Raises:
        TypeError, ValueError: a size or the temperature is out of range; and as `zoo.likelihoods.check_data` and
            `zoo.program.data_plate` do.

    Example:
        >>> model = JointVAE(nn.Bilinear(2, 3, 5), z_dim=2, c_dims=[3], temperature=0.67)
        >>> model().shape, model.types
        (torch.Size([1, 5]), {'c': 3})
    """

    loc: Tensor
    scale: Tensor
    temperature: Tensor | None

    @checked(temperature=POSITIVE, num_data=number_from(1))
    def __init__(
        self,
        decoder: nn.Module,
        *,
        z_dim: int,
        c_dims: Sequence[int],
        temperature: float | None,
        likelihood: Callable[[Tensor], TorchDistribution] = bernoulli,
        num_data: int | None = None,
    ) -> None:
        super().__init__()
        z_dim, c_dims = whole("z_dim", z_dim), [whole("c_dims: a size", size, least=0) for size in c_dims]
        if not c_dims or min(c_dims) < 2:
            raise ValueError(f"c_dims: a type needs at least 2 classes, got {list(c_dims)}")
        self.decoder = decoder
        self.likelihood = likelihood
        self.num_data = num_data
        self.types = {"c": c_dims[0]} if len(c_dims) == 1 else {f"c{i}": size for i, size in enumerate(c_dims, start=1)}
        self.register_buffer("loc", torch.zeros(z_dim), persistent=False)
        self.register_buffer("scale", torch.ones(z_dim), persistent=False)
        tensor = None if temperature is None else torch.tensor(float(temperature))
        self.register_buffer("temperature", tensor, persistent=False)

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
            z = pyro.sample("z", dist.Normal(self.loc, self.scale).to_event(1))
            c = [pyro.sample(name, self.prior_of_type(size)) for name, size in self.types.items()]
            widest = max((z, *c), key=lambda latent: latent.dim())  # a type that is summed out has a leading dimension
            pixels = as_event(self.likelihood(self.decoder(z, *c)), like=widest)
            check_data(x, pixels)
            return pyro.sample("x", pixels, obs=x)

    def prior_of_type(self, size: int) -> TorchDistribution:
        """The prior of a type with `size` equally probable classes."""
        logits = self.loc.new_zeros(size)
        if self.temperature is None:
            return dist.OneHotCategorical(logits=logits)
        return RelaxedOneHotCategorical(self.temperature, logits=logits)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)
