"""The plain VAE and beta-VAE, the papers' baselines."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import numpy as np
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from guides import Amortized, MeanField
from zoo import VAE
from zoo.elbos import BetaVAE, PlainELBO
from zoo.lab.data import Dataset, Split
from zoo.lab.networks import networks
from zoo.lab.training.experiment import Experiment, Recipe
from zoo.likelihoods import bernoulli, normal

Likelihood = Literal["bernoulli", "normal"]
LIKELIHOODS: Mapping[str, Callable[[Tensor], TorchDistribution]] = {
    "bernoulli": bernoulli,
    "normal": partial(normal, scale=1.0),
}


def vae(
    data: Split, *, z_dim: int = 10, network: str = "mlp", likelihood: Likelihood = "bernoulli", steps: int = 6_000
) -> Experiment:
    """The plain VAE under its evidence lower bound.

    Kingma & Welling 2014, arXiv:1312.6114, has one hidden layer of 500 tanh units, Adagrad and batches of 100; this
    baseline has two of 400 ReLU units, Adam and batches of 64.

    Args:
        data: images.
        z_dim: latent dimensions.
        network: "mlp", or "conv" for 28, 32 or 64 pixels.
        likelihood: "bernoulli" for data in [0, 1], or "normal", with standard deviation 1, for real values.
        steps: number of steps.
    """
    model, guide = vae_pair(data.train, z_dim, network, likelihood=likelihood)
    return Experiment(model, guide, PlainELBO(), steps=steps)


def beta_vae(
    data: Split,
    *,
    beta: float = 4.0,
    z_dim: int = 10,
    network: str = "mlp",
    likelihood: Likelihood = "bernoulli",
    steps: int = 6_000,
) -> Experiment:
    """beta-VAE: the same pair with the KL of z weighted by beta.

    Higgins et al. 2017, https://openreview.net/forum?id=Sy2fzU9gl; beta = 4 is their value for 2D Shapes. Networks and
    optimiser are those of `vae`, so that the two differ only in beta.

    Args:
        data: images.
        beta: weight of the KL.
        z_dim: latent dimensions.
        network: "mlp", or "conv" for 28, 32 or 64 pixels.
        likelihood: "bernoulli" for data in [0, 1], or "normal", with standard deviation 1, for real values.
        steps: number of steps.
    """
    model, guide = vae_pair(data.train, z_dim, network, likelihood=likelihood)
    return Experiment(model, guide, BetaVAE(beta=beta), steps=steps)


RECIPES = (
    Recipe("vae", vae, data="digits", paper="Kingma & Welling 2014"),
    Recipe("beta-vae", beta_vae, data="digits", paper="Higgins et al. 2017"),
)


def vae_pair(
    data: Dataset, z_dim: int, network: str, *, width: int = 400, likelihood: Likelihood = "bernoulli"
) -> tuple[VAE, Amortized]:
    """The plain VAE and its mean-field guide; `width` is that of the two hidden layers of an "mlp".

    Raises:
        ValueError: there is no such network or likelihood, or the data are outside the likelihood's support.
    """
    if likelihood not in LIKELIHOODS:
        raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}, got {likelihood!r}")
    if likelihood == "bernoulli" and np.issubdtype(data.x.dtype, np.floating):
        low, high = data.batch(torch.arange(min(1_000, len(data)))).x.aminmax()
        if low < 0 or high > 1:
            raise ValueError(
                f"data {data.name!r}: values in [{low:g}, {high:g}] are outside [0, 1], the support of Bernoulli "
                "pixels; use --set likelihood=normal for real values, or scale the data to [0, 1]"
            )
    trunk, decoder = networks(data.shape, z_dim, network, width=width)
    num_data = len(data)
    model = VAE(decoder, z_dim=z_dim, likelihood=LIKELIHOODS[likelihood], num_data=num_data)
    return model, Amortized(trunk, z=MeanField(z_dim), num_data=num_data)
