"""The plain VAE and beta-VAE, beside which the papers put their own."""

from guides import Amortized, MeanField
from zoo import VAE
from zoo.elbos import ELBO, BetaVAE
from zoo.lab.data import Dataset, Split
from zoo.lab.networks import networks
from zoo.lab.training.experiment import Experiment, Recipe


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


RECIPES = (
    Recipe("vae", vae, data="digits", paper="Kingma & Welling 2014"),
    Recipe("beta-vae", beta_vae, data="digits", paper="Higgins et al. 2017"),
)


def vae_pair(data: Dataset, z_dim: int, network: str, *, width: int = 400) -> tuple[VAE, Amortized]:
    """The plain VAE and its mean-field guide; `width` is that of the two hidden layers of an "mlp"."""
    trunk, decoder = networks(data.shape, z_dim, network, width=width)
    num_data = len(data)
    return VAE(decoder, z_dim=z_dim, num_data=num_data), Amortized(trunk, z=MeanField(z_dim), num_data=num_data)
