"""The plain variational autoencoder: the story that beta-VAE, beta-TCVAE and DIP-VAE share.

Kingma & Welling 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114.

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
        z_dim: latent dimensions.
        likelihood: a function from the decoder's output to a distribution over x: one of `zoo.likelihoods`, such as
            `partial(laplace, scale=0.1)`, or your own. By default a Bernoulli, whose logits the decoder returns.
        num_data: how many datapoints there are in all; needed for a batch with `index`.

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
        """Samples the story: observes x [B, C, H, W]; without it, draws one datapoint from the prior. Returns x.

        For more draws than one: `pyro.infer.Predictive(story, num_samples=100)()`. `index` [B] holds the positions of
        the batch's datapoints in the data, from 0; the loss is then scaled from the batch to all num_data of them.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            z = pyro.sample("z", dist.Normal(self.loc, self.scale).to_event(1))
            pixels = as_event(self.likelihood(self.decoder(z)), like=z)
            check_data(x, pixels)
            return pyro.sample("x", pixels, obs=x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)
