"""Joint-VAE: a continuous style and a discrete type. HFVAE's image models use the same story.

Dupont 2018, Learning Disentangled Joint Continuous and Discrete Representations, https://arxiv.org/abs/1804.00104.

How the code reads, here and in every story:

- `register(self)` offers the decoder's parameters to SVI, as `pyro.module` does, but under names that no other instance
  has: with `pyro.module`, a second instance would read the first one's weights under the same name.
- `data_plate` is `pyro.plate("data", ...)`, whose size is the batch's, or num_data where the batch has an index.
- `as_event` makes the pixels of a datapoint one event, as `.to_event(3)` does for [B, C, H, W], so that log p(x) is one
  number per datapoint. Particles and summed-out classes add batch dimensions on the left, which it leaves as they are.
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

from zoo.arguments import POSITIVE, checked, number_from
from zoo.likelihoods import as_event, bernoulli, check_data
from zoo.program import data_plate, picklable_state, register, whole


class JointVAE(nn.Module):
    """A style and a type, together (Dupont 2018, arXiv:1804.00104).

        z ~ Normal(0, I)                                      style   [B, z_dim]
        c ~ RelaxedOneHotCategorical(temperature, uniform)    type    [B, c_dim]
        x ~ Bernoulli(decoder(z, c))                          pixels  [B, C, H, W]

    With several types, their sites are c1, c2, ..., one for each entry of c_dims. There are no labels: types are latent
    in training, too.

    Args:
        decoder: maps codes [..., z_dim] and types [..., c_dim], one argument each, to the likelihood's parameters.
        z_dim: latent dimensions of the style.
        c_dims: classes of each type.
        temperature: of the prior of relaxed types. A draw of c is a vector of c_dim positive numbers that add up to 1;
            the lower the temperature, the closer it is to one-hot. None makes the types one-hot, c ~
            OneHotCategorical(uniform). With the heads Exact and StraightThrough, Pyro's own ELBOs need one-hot types;
            the zoo's work with both.
        likelihood: a function from the decoder's output to a distribution over x: one of `zoo.likelihoods`, such as
            `partial(laplace, scale=0.1)`, or your own. By default a Bernoulli, whose logits the decoder returns.
        num_data: how many datapoints there are in all; needed for a batch with `index`.

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
        if temperature is not None and not 0 < temperature < math.inf:
            raise ValueError(f"temperature must be positive and finite, got {temperature:g}")
        self.decoder = decoder
        self.likelihood = likelihood
        self.num_data = num_data
        self.types = {"c": c_dims[0]} if len(c_dims) == 1 else {f"c{i}": size for i, size in enumerate(c_dims, start=1)}
        self.register_buffer("loc", torch.zeros(z_dim), persistent=False)
        self.register_buffer("scale", torch.ones(z_dim), persistent=False)
        tensor = None if temperature is None else torch.tensor(float(temperature))
        self.register_buffer("temperature", tensor, persistent=False)

    def forward(self, x: Tensor | None = None, *, index: Tensor | None = None) -> Tensor:
        """Samples the story: observes x [B, C, H, W]; without it, draws one datapoint from the prior. Returns x.

        For more draws than one: `pyro.infer.Predictive(story, num_samples=100)()`. `index` [B] holds the positions of
        the batch's datapoints in the data, from 0; the loss is then scaled from the batch to all num_data of them.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            z = pyro.sample("z", dist.Normal(self.loc, self.scale).to_event(1))
            c = [pyro.sample(name, self.prior_of_type(size)) for name, size in self.types.items()]
            widest = max((z, *c), key=lambda latent: latent.dim())  # a type that is summed out adds a dimension
            pixels = as_event(self.likelihood(self.decoder(z, *c)), like=widest)
            check_data(x, pixels)
            return pyro.sample("x", pixels, obs=x)

    def prior_of_type(self, size: int) -> TorchDistribution:
        """The prior of a type of `size` classes: uniform."""
        logits = self.loc.new_zeros(size)
        if self.temperature is None:
            return dist.OneHotCategorical(logits=logits)
        return dist.RelaxedOneHotCategorical(self.temperature, logits=logits)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)
