"""The decomposition paper's settings (Mathieu et al. 2019, arXiv:1812.02833, section 6 and appendix B; its code).

Its code minimises the sum over a batch, ours the mean: the same steps but for Adam's epsilon. Where the text leaves a
number open, it is the code's (https://github.com/iffsid/disentangling-disentanglement).
"""

import math
from collections.abc import Iterable
from functools import partial
from typing import Literal

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn
from torch.nn.functional import softplus

from guides import Amortized, Head, MeanField
from zoo import AnisotropicVAE, ClusteredVAE, SparseVAE, StudentTVAE
from zoo.decomposition import SIGMA_0
from zoo.elbos import BetaVAE, Decomposition
from zoo.lab.data import Dataset, Split
from zoo.lab.device import fork_random_state
from zoo.lab.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from zoo.lab.training.experiment import Experiment, Recipe
from zoo.likelihoods import laplace, normal_and_scale
from zoo.papers.decomposition.networks import NormedConvDecoder, NormedConvEncoder

PLACES = ((0.0, -1.0), (0.0, 1.0), (1.0, 0.0), (-1.0, 0.0))


class SoftplusNormal(Head):
    """Independent normals with standard deviations by softplus and a floor, as the paper's code has them."""

    floor = 1e-6

    def __init__(self, size: int) -> None:
        super().__init__(size, 2 * size, (), ())

    def forward(self, raw: Tensor) -> TorchDistribution:
        """[..., 2 size], means then raw deviations, to `size` independent normals."""
        loc, scale = raw.chunk(2, dim=-1)
        return dist.Normal(loc, softplus(scale) + self.floor).to_event(1)


def amsgrad(parameters: Iterable[nn.Parameter], *, lr: float) -> torch.optim.Optimizer:
    """Adam with AMSGrad (Reddi 2018, https://openreview.net/forum?id=ryQu7f-RZ), as in all of the paper's runs."""
    return torch.optim.Adam(parameters, lr=lr, amsgrad=True, fused=True)


def shapes(
    data: Split,
    *,
    prior: Literal["iso", "pca", "learnt", "student-t"] = "pca",
    beta: float = 1.0,
    nu: float = 9.0,
    z_dim: int = 10,
    first_component: int = 1,
    lr: float = 5e-4,
    steps: int = 230_400,
) -> Experiment:
    """Section 6.1: beta-VAE on 2D Shapes under a prior that tells its axes apart.

    Mathieu et al. 2019, arXiv:1812.02833; networks, steps and nu = 9 from its code, whose figure has other values of nu
    too. Deviations of the encoder are exp(h / 2), without the code's 1e-6 more.

    Args:
        data: binary images of 64 x 64.
        prior: unit variances; those of the principal components, scaled to average 1; these at first, and then
            learnt; or a product of Student-t.
        beta: weight of the KL.
        nu: degrees of freedom of the Student-t.
        z_dim: units of the code.
        first_component: the principal component to begin with; the code, which reads its singular values from the wrong
            end, has components 11 to 20, as 11 does here but for their order.
        lr: learning rate.
        steps: how long; 20 epochs of 11,520 batches.
    """
    trunk = ConvEncoder(data.train.shape, hidden=128)
    trunk.layers.pop(-1)  # the code has no activation on the 128 features
    decoder = ConvDecoder(z_dim, data.train.shape, channels=(64, 64, 64, 32), hidden=128)
    num_data = len(data.train)
    model: nn.Module
    if prior == "student-t":
        model = StudentTVAE(decoder, z_dim=z_dim, nu=nu, num_data=num_data)
    elif prior in ("iso", "pca", "learnt"):
        ones = torch.ones(z_dim)
        variances = ones if prior == "iso" else principal_variances(data.train, z_dim, first=first_component)
        model = AnisotropicVAE(decoder, variances=variances, learnt=prior == "learnt", num_data=num_data)
    else:
        raise ValueError(f"prior must be 'iso', 'pca', 'learnt' or 'student-t', got {prior!r}")
    guide = Amortized(trunk, z=MeanField(z_dim), num_data=num_data)
    elbo = BetaVAE(beta=beta, kl="sampled" if prior == "student-t" else "closed")
    return Experiment(model, guide, elbo, steps=steps, lr=lr, optimizer=amsgrad)


def pinwheel(
    data: Split,
    *,
    alpha: float = 0.0,
    beta: float = 1.0,
    log_p: Literal["once", "per-unit"] = "once",
    lr: float = 1e-3,
    steps: int = 500,
) -> Experiment:
    """Section 6.2: four clusters for a pinwheel's four arms.

    Mathieu et al. 2019, arXiv:1812.02833; variances 0.03, networks, 500 steps of all 400 points and one draw from its
    code.

    Args:
        data: points in the plane.
        alpha: weight of KL(p(z) || q(z)).
        beta: weight of the KL of z given x.
        log_p: "once", or "per-unit" as in the code, which may be behind the paper's Figure 3.
        lr: learning rate.
        steps: how long.
    """
    from zoo.papers.decomposition.plots import plane_pictures  # matplotlib, which a list of recipes does not need

    shape, num_data = data.train.shape, len(data.train)
    model = ClusteredVAE(
        MLPDecoder(2, (2 * shape[0],), hidden=(100,)),
        places=PLACES,
        scale=math.sqrt(0.03),
        likelihood=normal_and_scale,
        num_data=num_data,
    )
    guide = Amortized(MLPEncoder(shape, hidden=(100,)), z=SoftplusNormal(2), num_data=num_data)
    elbo = Decomposition(alpha=alpha, beta=beta, divergence="kl", log_p=log_p, kl="sampled")
    return Experiment(
        model, guide, elbo, steps=steps, batch_size=num_data, lr=lr, optimizer=amsgrad, pictures=plane_pictures
    )


def fashion_mnist(
    data: Split,
    *,
    alpha: float = 1000.0,
    beta: float = 1.0,
    gamma: float = 0.8,
    sigma_0: Literal["paper", "code"] = "paper",
    z_dim: int = 50,
    lr: float = 5e-4,
    steps: int = 9_600,
) -> Experiment:
    """Section 6.3: garments in few units each, of 50.

    Mathieu et al. 2019, arXiv:1812.02833; networks, Laplace scale and 80 epochs of 120 batches from its code. The code
    draws pixels of 0 and 1 in by 1e-6, ours does not.

    Args:
        data: images of 32 x 32.
        alpha: weight of the MMD between the marginals of q(z) and the prior.
        beta: weight of the KL.
        gamma: the share of units that are off; 0 is a standard normal.
        sigma_0: how far units that are off deviate: the paper's variance of 0.05, or the code's deviation of 0.05.
        z_dim: units of the code.
        lr: learning rate.
        steps: how long.
    """
    if sigma_0 not in SIGMA_0:
        raise ValueError(f"sigma_0 must be 'paper' or 'code', got {sigma_0!r}")
    shape, num_data = data.train.shape, len(data.train)
    model = SparseVAE(
        NormedConvDecoder(z_dim, shape),
        z_dim=z_dim,
        gamma=gamma,
        sigma_0=SIGMA_0[sigma_0],
        likelihood=partial(laplace, scale=0.1),
        num_data=num_data,
    )
    guide = Amortized(NormedConvEncoder(shape), z=SoftplusNormal(z_dim), num_data=num_data)
    for weight in (w for w in guide.layers.parameters() if w.dim() == 2):
        nn.init.normal_(weight, std=0.02)  # those of convolutions in the code
    elbo = Decomposition(alpha=alpha, beta=beta, divergence="mmd-marginal", kl="sampled")
    return Experiment(model, guide, elbo, steps=steps, batch_size=500, lr=lr, optimizer=amsgrad)


def principal_variances(data: Dataset, count: int, *, first: int = 1, sample: int = 10_000, seed: int = 0) -> Tensor:
    """Shares of `count` principal components in a data set, scaled to average 1, from the largest down: [count].

    Squared singular values of the data as they are, not centred, as in the paper's code. They are those of a sample of
    the data, by randomised iteration (Halko 2011, arXiv:0909.4061).

    Args:
        data: the set.
        count: how many.
        first: the component to begin with, from 1.
        sample: how many datapoints to look at.
        seed: of their choice.

    Raises:
        ValueError: there are not so many components.
    """
    pixels, last = math.prod(data.shape), first - 1 + count
    if first < 1 or count < 1 or last > min(len(data), pixels):
        raise ValueError(
            f"data {data.name!r}: principal components {first} to {last} of {len(data)} datapoints with {pixels} "
            f"numbers each; there are {min(len(data), pixels)} at most"
        )
    rows = np.random.default_rng(seed).permutation(len(data))[: max(last, sample)]
    x = data.batch(torch.from_numpy(np.sort(rows))).x.flatten(1)
    with fork_random_state(x.device):
        torch.manual_seed(seed)
        singular = torch.svd_lowrank(x, q=min(last + 10, *x.shape), niter=4)[1]
    squares = singular[first - 1 : last].square()
    return count * squares / squares.sum()


RECIPES = (
    Recipe("decomposition/shapes", shapes, data="shapes", paper="Mathieu et al. 2019, 6.1"),
    Recipe("decomposition/pinwheel", pinwheel, data="pinwheel", paper="Mathieu et al. 2019, 6.2"),
    Recipe(
        "decomposition/fashion-mnist",
        fashion_mnist,
        data="fashion-mnist",
        paper="Mathieu et al. 2019, 6.3",
        data_options={"size": 32},
    ),
)
