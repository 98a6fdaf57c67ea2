"""The recipes: the only place outside notebooks and tests where a model meets a guide.

A recipe is a plain function from data and knobs to an experiment; a knob is a keyword with a default, and what the
paper leaves open is said beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from guides import Amortized, MeanField
from zoo import VAE
from zoo.elbos import ELBO, BetaVAE, TermwiseELBO
from zoo.lab.data import Dataset, Split
from zoo.lab.fit import adam
from zoo.lab.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder


@dataclass(frozen=True)
class Experiment:
    """What `train` runs: a pair, an objective, and how long.

    Attributes:
        model, guide, elbo: as `fit` takes them.
        steps, batch_size, lr, optimizer: as `fit` and the data take them.
        schedule: called after each step with the step and the objective; changes hyperparameters.
    """

    model: nn.Module
    guide: nn.Module
    elbo: TermwiseELBO
    steps: int
    batch_size: int = 64
    lr: float = 1e-3
    optimizer: Callable[..., torch.optim.Optimizer] = adam
    schedule: Callable[[int, TermwiseELBO], None] | None = None


@dataclass(frozen=True)
class Recipe:
    """A recipe under its name.

    Attributes:
        build: the function.
        data: the data set it takes unless told otherwise.
        paper: where it comes from.
    """

    build: Callable[..., Experiment]
    data: str
    paper: str


def vae(data: Split, *, z_dim: int = 10, network: str = "mlp", steps: int = 6_000) -> Experiment:
    """The plain VAE under its evidence lower bound.

    Kingma & Welling 2014, arXiv:1312.6114, has one hidden layer of 500 tanh units, Adagrad and batches of 100; ours is
    a baseline with two of 400 ReLU units, Adam and batches of 64.

    Args:
        data: images.
        z_dim: units of the code.
        network: "mlp", or "conv" for 28, 32 or 64 pixels.
        steps: how long.
    """
    model, guide = vae_pair(data.train, z_dim, network)
    return Experiment(model, guide, ELBO(), steps=steps)


def beta_vae(
    data: Split, *, beta: float = 4.0, z_dim: int = 10, network: str = "mlp", steps: int = 6_000
) -> Experiment:
    """beta-VAE: the same pair with the KL of z weighed by beta.

    Higgins et al. 2017, https://openreview.net/forum?id=Sy2fzU9gl; beta = 4 is their value for 2D Shapes. Networks and
    optimiser as `vae`'s, so that the two differ in beta alone.

    Args:
        data: images.
        beta: weight of the KL.
        z_dim: units of the code.
        network: "mlp", or "conv" for 28, 32 or 64 pixels.
        steps: how long.
    """
    model, guide = vae_pair(data.train, z_dim, network)
    return Experiment(model, guide, BetaVAE(beta=beta), steps=steps)


def vae_pair(data: Dataset, z_dim: int, network: str, *, width: int = 400) -> tuple[VAE, Amortized]:
    """The plain VAE and its mean-field guide; `width` is that of the two hidden layers of an "mlp"."""
    trunk: nn.Module
    decoder: nn.Module
    if network == "mlp":
        trunk, decoder = (
            MLPEncoder(data.shape, hidden=(width, width)),
            MLPDecoder(z_dim, data.shape, hidden=(width, width)),
        )
    elif network == "conv":
        hidden = 1024 if data.shape[-1] == 28 else 256
        trunk, decoder = ConvEncoder(data.shape, hidden=hidden), ConvDecoder(z_dim, data.shape, hidden=hidden)
    else:
        raise ValueError(f"network must be 'mlp' or 'conv', got {network!r}")
    num_data = len(data)
    return VAE(decoder, z_dim=z_dim, num_data=num_data), Amortized(trunk, z=MeanField(z_dim), num_data=num_data)


RECIPES: dict[str, Recipe] = {
    "vae": Recipe(vae, data="digits", paper="Kingma & Welling 2014"),
    "beta-vae": Recipe(beta_vae, data="digits", paper="Higgins et al. 2017"),
}

DEFAULT = "vae"
