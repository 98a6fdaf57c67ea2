"""DIP-VAE's settings, and those of the beta-VAE it is compared with (Kumar et al. 2018, arXiv:1711.00848v1, section 3).

The text states the grids, the data and "the same CNN network architectures" as Higgins et al. 2017. It does not state
the likelihood, the optimiser, the batch size and the length; here they are disentanglement_lib's (Locatello et al.
2019, arXiv:1811.12359): a Bernoulli, Adam at 1e-4, 300,000 batches of 64.

It does not state the rate of the running covariance either. At rate r the gradient reaches only the share r of it, so
the effective weight is r lambda, on an estimate that lags 1 / r steps behind: on digits, at r = 0.1 and lambda_od = 10,
the codes oscillate around the target. So the default here is r = 1, the batch's covariance, as in disentanglement_lib.
"""

from collections.abc import Callable

from torch import nn

from guides import Amortized, MeanField
from zoo import VAE
from zoo.elbos import DIPVAE, BetaVAE, TermwiseELBO
from zoo.lab.data import Dataset, Split
from zoo.lab.networks import MLPDecoder, MLPEncoder, check_width
from zoo.lab.training.experiment import Experiment, Recipe, offering
from zoo.papers.vae.recipes import vae_pair

LAMBDAS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)  # the paper's lambda_od; lambda_d is ten times lambda_od
BETAS = (1.0, 2.0, 4.0, 8.0, 16.0, 25.0, 32.0, 64.0, 100.0, 128.0, 200.0, 256.0)  # 1 is the VAE
BETAS_OUTSIDE = (20.0, 60.0)  # of Figure 11 and of Table 1, not in the grid
WIDTH = 1200  # of Higgins's hidden layers

Pair = Callable[..., tuple[VAE, Amortized]]


def higgins_pair(data: Dataset, z_dim: int, network: str, *, width: int) -> tuple[VAE, Amortized]:
    """Higgins's networks (2017, Table 1): the fully connected one of 2D Shapes, or the convolutional one."""
    check_width(network, width, WIDTH)
    if network != "mlp":
        return vae_pair(data, z_dim, network)
    trunk = MLPEncoder(data.shape, hidden=(width,) * 2)
    decoder = MLPDecoder(z_dim, data.shape, hidden=(width,) * 3, activation=nn.Tanh)
    num_data = len(data)
    return VAE(decoder, z_dim=z_dim, num_data=num_data), Amortized(trunk, z=MeanField(z_dim), num_data=num_data)


def dip_vae(
    data: Split,
    *,
    objective: type[TermwiseELBO] = DIPVAE,
    lambda_od: float = 10.0,
    ratio: float = 10.0,
    rate: float = 1.0,
    beta: float = 4.0,
    z_dim: int = 10,
    pair: Pair = higgins_pair,
    network: str = "mlp",
    width: int = WIDTH,
    lr: float = 1e-4,
    steps: int = 300_000,
) -> Experiment:
    """DIP-VAE on 2D Shapes.

    Higgins's Table 1 has a fully connected network for this set, not the "CNN" of the text; the later literature uses
    the convolutional one.

    Args:
        data: images of 64 pixels.
        objective: `DIPVAE`, or `BetaVAE`, which it is compared with.
        lambda_od: weight of the squared covariances.
        ratio: lambda_d / lambda_od.
        rate: of the running covariance; 1 uses only the current batch, which is DIP-VAE-I.
        beta: beta-VAE's weight of the KL.
        z_dim: latent dimensions.
        pair: function that returns model and guide, from data, z_dim, network and width.
        network: "mlp", two hidden layers of ReLU and three of tanh, or "conv".
        width: of the hidden layers of "mlp".
        lr: learning rate of Adam.
        steps: number of steps.
    """
    model, guide = pair(data.train, z_dim, network, width=width)
    elbo: TermwiseELBO
    if objective is DIPVAE:
        elbo = DIPVAE(lambda_od=lambda_od, lambda_d=ratio * lambda_od, rate=rate)
    else:
        elbo = BetaVAE(beta=beta)
    return Experiment(model, guide, elbo, steps=steps, lr=lr)


WEIGHTS, IMAGES = ("lambda_od", "ratio", "rate"), ("z_dim", "lr", "steps")
NETWORK = ("network", "width")

shapes = offering(dip_vae, *WEIGHTS, *IMAGES, *NETWORK)
images = offering(dip_vae, *WEIGHTS, *IMAGES, network="conv", z_dim=32)
digits = offering(dip_vae, *WEIGHTS, "z_dim", "steps", pair=vae_pair, width=400, lr=1e-3, steps=6_000)
beta_shapes = offering(shapes, "beta", *IMAGES, *NETWORK, objective=BetaVAE)
beta_images = offering(images, "beta", *IMAGES, objective=BetaVAE)

IMAGES_TEXT = """
    DIP-VAE on CelebA or chairs: the convolutional network, and 32 latent dimensions.

    Args:
        As `dip-vae/shapes`.
    """
DIGITS_TEXT = """
    DIP-VAE on scikit-learn's digits, in half a minute; the settings are not from the paper.

    Networks and optimiser are those of the recipes `vae` and `beta-vae`, for comparison.

    Args:
        As `dip-vae/shapes`.
    """
BETA_SHAPES_TEXT = """
    beta-VAE on 2D Shapes, which differs from `dip-vae/shapes` only in the objective; beta = 1 is the VAE.

    Args:
        As `dip-vae/shapes`; beta is the weight of the KL, 4 and 60 in the paper's tables.
    """
BETA_IMAGES_TEXT = """
    beta-VAE on CelebA or chairs, which differs from DIP-VAE's recipe only in the objective; beta = 1 is the VAE.

    Args:
        As `dip-vae/celeba`; beta is the weight of the KL, in the paper's tables 2, 4 and 8 for CelebA, 4 for chairs.
    """

_SHAPES = {"held_out": 0.02}  # the text does not state the split: 14,746 random images
_CELEBA = {"held_out": 0.1}
_CHAIRS = {"masks": True}
_PAPER = "Kumar et al. 2018"

RECIPES = (
    Recipe("dip-vae/digits", digits, "digits", f"after {_PAPER}", text=DIGITS_TEXT),
    Recipe("dip-vae/shapes", shapes, "shapes", _PAPER, _SHAPES, text=dip_vae.__doc__ or ""),
    Recipe("dip-vae/celeba", images, "celeba", _PAPER, _CELEBA, IMAGES_TEXT),
    Recipe("dip-vae/chairs", images, "chairs", _PAPER, _CHAIRS, IMAGES_TEXT),
    Recipe("beta-vae/shapes", beta_shapes, "shapes", f"compared with {_PAPER}", _SHAPES, BETA_SHAPES_TEXT),
    Recipe("beta-vae/celeba", beta_images, "celeba", f"compared with {_PAPER}", _CELEBA, BETA_IMAGES_TEXT),
    Recipe("beta-vae/chairs", beta_images, "chairs", f"compared with {_PAPER}", _CHAIRS, BETA_IMAGES_TEXT),
)
