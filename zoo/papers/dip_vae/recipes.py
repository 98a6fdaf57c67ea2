"""DIP-VAE's settings, and those of the beta-VAE it is compared with (Kumar et al. 2018, arXiv:1711.00848v1, section 3).

The text has the grids, the data and "the same CNN network architectures" as Higgins et al. 2017. It leaves open the
likelihood, the optimiser, the batch and the length, which are disentanglement_lib's here (Locatello et al. 2019,
arXiv:1811.12359): a Bernoulli, Adam at 1e-4, 300,000 batches of 64.

Nor does it say at what rate the covariance runs. At rate r the gradient reaches the share r of it, so the weights act
as r lambda, on an estimate that lags 1 / r steps behind: on digits, at r = 0.1 and lambda_od = 10, the codes swing
around what they are drawn to. So ours is r = 1, the batch's own, as disentanglement_lib has it.
"""

from collections.abc import Callable

from torch import nn

from guides import Amortized, MeanField
from zoo import VAE
from zoo.elbos import DIPVAE, BetaVAE, TermwiseELBO
from zoo.lab.data import Dataset, Split
from zoo.lab.networks import MLPDecoder, MLPEncoder
from zoo.lab.training.experiment import Experiment, Recipe, offering
from zoo.papers.vae.recipes import vae_pair

LAMBDAS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)  # the paper's lambda_od; lambda_d is ten times as much
BETAS = (1.0, 2.0, 4.0, 8.0, 16.0, 25.0, 32.0, 64.0, 100.0, 128.0, 200.0, 256.0)  # 1 is the VAE
BETAS_OUTSIDE = (20.0, 60.0)  # of Figure 11 and of Table 1, which the grid does not have

Pair = Callable[..., tuple[VAE, Amortized]]


def higgins_pair(data: Dataset, z_dim: int, network: str, *, width: int) -> tuple[VAE, Amortized]:
    """Higgins's networks (2017, Table 1): the fully connected one of 2D Shapes, or the convolutional one."""
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
    width: int = 1200,
    lr: float = 1e-4,
    steps: int = 300_000,
) -> Experiment:
    """DIP-VAE on 2D Shapes.

    Higgins's Table 1 has a fully connected network for this set, and not the "CNN" that the text names; the later
    literature takes the convolutional one.

    Args:
        data: images of 64 pixels.
        objective: `DIPVAE`, or `BetaVAE`, which it is compared with.
        lambda_od: weight of the squared covariances.
        ratio: lambda_d / lambda_od.
        rate: of the running covariance; 1 is the batch's own, which is DIP-VAE-I.
        beta: beta-VAE's weight of the KL.
        z_dim: units of the code.
        pair: model and guide from data, z_dim, network and width.
        network: "mlp", two hidden layers of ReLU and three of tanh, or "conv".
        width: of the hidden layers of "mlp".
        lr: learning rate of Adam.
        steps: how long.
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
    DIP-VAE on CelebA or chairs: the convolutional network, and 32 units.

    Args:
        As `dip-vae/shapes`.
    """
DIGITS_TEXT = """
    DIP-VAE on scikit-learn's digits, in half a minute: no paper's settings.

    Networks and optimiser are those of the recipes `vae` and `beta-vae`, which stand beside it.

    Args:
        As `dip-vae/shapes`.
    """
BETA_SHAPES_TEXT = """
    beta-VAE on 2D Shapes, which differs from `dip-vae/shapes` in the objective alone; beta = 1 is the VAE.

    Args:
        As `dip-vae/shapes`; beta weighs the KL, and the paper's tables have 4 and 60.
    """
BETA_IMAGES_TEXT = """
    beta-VAE on CelebA or chairs, which differs from DIP-VAE's recipe in the objective alone; beta = 1 is the VAE.

    Args:
        As `dip-vae/celeba`; beta weighs the KL, and the paper's tables have 2, 4 and 8 for CelebA, and 4 for chairs.
    """

_SHAPES = {"held_out": 0.02}  # the text has a test set and no split: 14,746 images by chance
_CELEBA = {"held_out": 0.1}
_CHAIRS = {"masks": True}
_PAPER = "Kumar et al. 2018"

RECIPES = (
    Recipe("dip-vae/digits", digits, "digits", f"after {_PAPER}", text=DIGITS_TEXT),
    Recipe("dip-vae/shapes", shapes, "shapes", _PAPER, _SHAPES, text=dip_vae.__doc__ or ""),
    Recipe("dip-vae/celeba", images, "celeba", _PAPER, _CELEBA, IMAGES_TEXT),
    Recipe("dip-vae/chairs", images, "chairs", _PAPER, _CHAIRS, IMAGES_TEXT),
    Recipe("beta-vae/shapes", beta_shapes, "shapes", f"beside {_PAPER}", _SHAPES, BETA_SHAPES_TEXT),
    Recipe("beta-vae/celeba", beta_images, "celeba", f"beside {_PAPER}", _CELEBA, BETA_IMAGES_TEXT),
    Recipe("beta-vae/chairs", beta_images, "chairs", f"beside {_PAPER}", _CHAIRS, BETA_IMAGES_TEXT),
)
