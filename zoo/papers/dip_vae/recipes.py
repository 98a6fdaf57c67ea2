"""DIP-VAE's settings, and the beta-VAE beside it (Kumar et al. 2018, arXiv:1711.00848v1, section 3).

The text gives the grids, the data and "the same CNN network architectures" as Higgins et al. 2017. It leaves open the
likelihood, the optimiser, the batch and the length, which are disentanglement_lib's here (Locatello et al. 2019,
arXiv:1811.12359): a Bernoulli, Adam at 1e-4, 300,000 batches of 64.

Nor does it say at what rate the covariance runs. At rate r the gradient reaches the share r of it, so the weights act
as r lambda, on an estimate that lags 1 / r steps behind: on digits, at r = 0.1 and lambda_od = 10, the codes swing
around what they are drawn to. So ours is r = 1, the batch's own, as disentanglement_lib has it.
"""

from torch import nn

from guides import Amortized, MeanField
from zoo import VAE
from zoo.elbos import DIPVAE, BetaVAE
from zoo.lab.data import Dataset, Split
from zoo.lab.networks import MLPDecoder, MLPEncoder
from zoo.lab.training.experiment import Experiment, Recipe
from zoo.papers.vae.recipes import vae_pair

LAMBDAS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)  # the paper's lambda_od; lambda_d is ten times as much
BETAS = (1.0, 2.0, 4.0, 8.0, 16.0, 25.0, 32.0, 64.0, 100.0, 128.0, 200.0, 256.0)  # 1 is the VAE
BETAS_OUTSIDE = (20.0, 60.0)  # of Figure 11 and of Table 1, which the grid does not have


def dip_shapes(
    data: Split,
    *,
    lambda_od: float = 10.0,
    ratio: float = 10.0,
    rate: float = 1.0,
    z_dim: int = 10,
    network: str = "mlp",
    width: int = 1200,
    lr: float = 1e-4,
    steps: int = 300_000,
) -> Experiment:
    """DIP-VAE on 2D Shapes.

    Higgins's Table 1 has a fully connected network for this set, and not the "CNN" that the text names; the later
    literature takes the convolutional one.

    Args:
        data: images of 64 pixels.
        lambda_od: weight of the squared covariances.
        ratio: lambda_d / lambda_od.
        rate: of the running covariance; 1 is the batch's own, which is DIP-VAE-I.
        z_dim: units of the code.
        network: "mlp", two hidden layers of ReLU and three of tanh, or "conv".
        width: of the hidden layers of "mlp".
        lr: learning rate of Adam.
        steps: how long.
    """
    pair = _pair(data.train, z_dim, network, width)
    return Experiment(*pair, _dip(lambda_od, ratio, rate), steps=steps, lr=lr)


def beta_shapes(
    data: Split,
    *,
    beta: float = 4.0,
    z_dim: int = 10,
    network: str = "mlp",
    width: int = 1200,
    lr: float = 1e-4,
    steps: int = 300_000,
) -> Experiment:
    """beta-VAE on 2D Shapes, which differs from `dip-vae/shapes` in the objective alone; beta = 1 is the VAE.

    Args:
        data, z_dim, network, width, lr, steps: as `dip-vae/shapes`.
        beta: weight of the KL; the paper's tables have 4 and 60.
    """
    pair = _pair(data.train, z_dim, network, width)
    return Experiment(*pair, BetaVAE(beta=beta), steps=steps, lr=lr)


def dip_images(
    data: Split,
    *,
    lambda_od: float = 10.0,
    ratio: float = 10.0,
    rate: float = 1.0,
    z_dim: int = 32,
    lr: float = 1e-4,
    steps: int = 300_000,
) -> Experiment:
    """DIP-VAE on CelebA or chairs: the convolutional network, and 32 units.

    Args:
        data: images of 64 pixels.
        lambda_od, ratio, rate, z_dim, lr, steps: as `dip-vae/shapes`.
    """
    pair = vae_pair(data.train, z_dim, "conv")
    return Experiment(*pair, _dip(lambda_od, ratio, rate), steps=steps, lr=lr)


def beta_images(
    data: Split, *, beta: float = 4.0, z_dim: int = 32, lr: float = 1e-4, steps: int = 300_000
) -> Experiment:
    """beta-VAE on CelebA or chairs, which differs from DIP-VAE's recipe in the objective alone; beta = 1 is the VAE.

    Args:
        data, z_dim, lr, steps: as `dip-vae/celeba`.
        beta: weight of the KL; the paper's tables have 2, 4 and 8 for CelebA, and 4 for chairs.
    """
    pair = vae_pair(data.train, z_dim, "conv")
    return Experiment(*pair, BetaVAE(beta=beta), steps=steps, lr=lr)


def dip_digits(
    data: Split,
    *,
    lambda_od: float = 10.0,
    ratio: float = 10.0,
    rate: float = 1.0,
    z_dim: int = 10,
    steps: int = 6_000,
) -> Experiment:
    """DIP-VAE on scikit-learn's digits, in half a minute: no paper's settings.

    Networks and optimiser are those of the recipes `vae` and `beta-vae`, which stand beside it.

    Args:
        data: images.
        lambda_od, ratio, rate, z_dim, steps: as `dip-vae/shapes`.
    """
    model, guide = vae_pair(data.train, z_dim, "mlp")
    return Experiment(model, guide, _dip(lambda_od, ratio, rate), steps=steps)


def _dip(lambda_od: float, ratio: float, rate: float) -> DIPVAE:
    return DIPVAE(lambda_od=lambda_od, lambda_d=ratio * lambda_od, rate=rate)


def _pair(data: Dataset, z_dim: int, network: str, width: int) -> tuple[VAE, Amortized]:
    """Higgins's networks (2017, Table 1): the fully connected one of 2D Shapes, or the convolutional one."""
    if network != "mlp":
        return vae_pair(data, z_dim, network)
    trunk = MLPEncoder(data.shape, hidden=(width,) * 2)
    decoder = MLPDecoder(z_dim, data.shape, hidden=(width,) * 3, activation=nn.Tanh)
    num_data = len(data)
    return VAE(decoder, z_dim=z_dim, num_data=num_data), Amortized(trunk, z=MeanField(z_dim), num_data=num_data)


_SHAPES = {"held_out": 0.02}  # the text has a test set and no split: 14,746 images by chance
_CELEBA = {"held_out": 0.1}
_CHAIRS = {"masks": True}

RECIPES = (
    Recipe("dip-vae/digits", dip_digits, data="digits", paper="after Kumar et al. 2018"),
    Recipe("dip-vae/shapes", dip_shapes, data="shapes", paper="Kumar et al. 2018", data_options=_SHAPES),
    Recipe("dip-vae/celeba", dip_images, data="celeba", paper="Kumar et al. 2018", data_options=_CELEBA),
    Recipe("dip-vae/chairs", dip_images, data="chairs", paper="Kumar et al. 2018", data_options=_CHAIRS),
    Recipe("beta-vae/shapes", beta_shapes, data="shapes", paper="beside Kumar et al. 2018", data_options=_SHAPES),
    Recipe("beta-vae/celeba", beta_images, data="celeba", paper="beside Kumar et al. 2018", data_options=_CELEBA),
    Recipe("beta-vae/chairs", beta_images, data="chairs", paper="beside Kumar et al. 2018", data_options=_CHAIRS),
)
