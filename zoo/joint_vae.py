"""Joint-VAE: images from a continuous style and a discrete type. HFVAE's image models are this story, too.

Dupont 2018, Learning Disentangled Joint Continuous and Discrete Representations, https://arxiv.org/abs/1804.00104.

How the code reads, here and in every story:

- `register(self)` makes the decoder's parameters known to Pyro, so that SVI trains them. `pyro.module("name", self)`
  does that too, but Pyro finds parameters by name: a second instance with the same name would read the first one's
  weights, and its own would never be trained. `register` chooses names that no other instance has.
- `data_plate` is `pyro.plate("data", B)`: each site inside it has a value for each of the batch's B datapoints, which
  are independent of each other. For a batch with `index` the plate's size is num_data, and Pyro multiplies log p by
  num_data / B.
- `as_event` makes the pixels of a datapoint one event, as `.to_event(3)` does for [B, C, H, W], so that log p(x) has
  the shape [B]: one number per datapoint. Values may have leading dimensions on the left of B, written [..., B, size]:
  one for particles (several draws for each datapoint), and one for each type or class that an objective sums out.
  `as_event` leaves them as they are.
- `check_data` refuses data that the likelihood cannot generate: another shape than the decoder's, integers instead of
  floats, or values outside the likelihood's support.
- The constants of the priors are buffers, so that they move to a device with the module; persistent=False keeps them
  out of its state_dict.
- `picklable_state` is what is copied and pickled: after training with SVI, Pyro has attached to each parameter a
  reference that cannot be pickled, and this leaves it out.
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

    The style is what varies within a type, such as the slant of a digit; the type is one of c_dim classes, such as
    which digit it is. With several types, their sites are c1, c2, ..., one for each entry of c_dims. The types are
    latent, and no label is ever observed: a guide has a head for z and one for each type.

    Args:
        decoder: maps codes [..., z_dim] and types [..., c_dim], one argument each, to the likelihood's parameters. The
            leading dimensions of the two differ where a type is summed out, and have to be broadcast.
        z_dim: the number of latent dimensions of the style.
        c_dims: the number of classes of each type.
        temperature: of the types' prior, a relaxed categorical: a draw of c is a vector of c_dim positive numbers that
            add up to 1; the lower the temperature, the closer it is to one-hot. With None the types are one-hot,
            c ~ OneHotCategorical(uniform). The head Concrete needs relaxed types. The heads Exact and StraightThrough
            accept both under the zoo's objectives, and need one-hot types under Pyro's own ELBOs.
        likelihood: any function from the decoder's output to a Pyro distribution over x, with one entry for each pixel,
            or one event for each datapoint: one of `zoo.likelihoods`, such as `partial(laplace, scale=0.1)`, or your
            own. By default a Bernoulli, whose logits the decoder returns.
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
        return dist.RelaxedOneHotCategorical(self.temperature, logits=logits)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)
