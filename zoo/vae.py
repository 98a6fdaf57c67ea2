"""The plain variational autoencoder: the story that beta-VAE, beta-TCVAE and DIP-VAE share.

Kingma & Welling 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114.

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

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from zoo.arguments import checked, number_from
from zoo.likelihoods import as_event, bernoulli, check_data
from zoo.program import data_plate, picklable_state, register, whole


class VAE(nn.Module):
    """A continuous code and the image that it decodes to (Kingma & Welling 2014, arXiv:1312.6114).

        z ~ Normal(0, I)             code    [B, z_dim]
        x ~ Bernoulli(decoder(z))    pixels  [B, C, H, W]

    Args:
        decoder: maps codes [..., z_dim] to the likelihood's parameters [..., C, H, W]; logits for a Bernoulli.
        z_dim: the number of latent dimensions.
        likelihood: any function from the decoder's output to a Pyro distribution over x, whose pixels may be
            independent (part of its batch shape) or already one event: one of `zoo.likelihoods`, such as
            `partial(laplace, scale=0.1)`, or your own. By default a Bernoulli, whose logits the decoder returns.
        num_data: the number of datapoints in the training set; needed for batches with `index`.

    Raises:
        TypeError, ValueError: as `zoo.likelihoods.check_data` and `zoo.program.data_plate` do.

    Example:
        >>> from pyro.infer import Predictive
        >>> model = VAE(nn.Linear(2, 5), z_dim=2)
        >>> model().shape  # one draw of the prior
        torch.Size([1, 5])
        >>> draws = Predictive(model, num_samples=100)()
        >>> {site: value.shape for site, value in draws.items()}
        {'z': torch.Size([100, 1, 2]), 'x': torch.Size([100, 1, 5])}
    """

    loc: Tensor
    scale: Tensor

    @checked(num_data=number_from(1))
    def __init__(
        self,
        decoder: nn.Module,
        *,
        z_dim: int,
        likelihood: Callable[[Tensor], TorchDistribution] = bernoulli,
        num_data: int | None = None,
    ) -> None:
        super().__init__()
        z_dim = whole("z_dim", z_dim)
        self.decoder = decoder
        self.likelihood = likelihood
        self.num_data = num_data
        self.register_buffer("loc", torch.zeros(z_dim), persistent=False)
        self.register_buffer("scale", torch.ones(z_dim), persistent=False)

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
            pixels = as_event(self.likelihood(self.decoder(z)), like=z)
            check_data(x, pixels)
            return pyro.sample("x", pixels, obs=x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)
