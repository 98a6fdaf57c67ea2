"""The decomposition paper's theorems 1 and 2, as identities."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn

from guides import Amortized, FullRank, MeanField
from tests.pairs import SHAPE, images
from zoo import AnisotropicVAE
from zoo.elbos import BetaVAE, PlainELBO
from zoo.lab.networks import MLPDecoder, MLPEncoder


def test_theorem_1_annealed_prior_and_maximum_entropy():
    # L_beta = L(prior p^beta / F) + (beta - 1) H[q] + log F, with F = prod_d (2 pi s_d^2)^((1 - beta) / 2) / sqrt(beta)
    beta, variances = 3.0, torch.tensor([1.5, 0.5])
    decoder = MLPDecoder(2, SHAPE, hidden=(7,))
    guide = Amortized(MLPEncoder(SHAPE, hidden=(7,)), z=MeanField(2))
    x, losses = images(11), []
    for prior, elbo in ((variances, BetaVAE(beta=beta)), (variances / beta, PlainELBO())):
        pyro.set_rng_seed(1)
        losses.append(elbo.loss(AnisotropicVAE(decoder, variances=prior), guide, x))
    entropy = poutine.trace(guide).get_trace(x).nodes["z"]["fn"].entropy().mean()
    log_f = (0.5 * (1 - beta) * (2 * math.pi * variances).log() - 0.5 * math.log(beta)).sum()
    assert -losses[0] == pytest.approx(-losses[1] + ((beta - 1) * entropy + log_f).item(), rel=1e-10)


def test_theorem_2_a_rotation_changes_nothing_under_an_isotropic_prior_and_much_under_another():
    turn = torch.tensor([[math.cos(1.0), -math.sin(1.0)], [math.sin(1.0), math.cos(1.0)]])
    decoder = MLPDecoder(2, SHAPE, hidden=(7,))
    turned_back = nn.Sequential(nn.Linear(2, 2, bias=False), decoder)
    turned_back[0].weight = nn.Parameter(turn.mT.contiguous())
    guide = Amortized(MLPEncoder(SHAPE, hidden=(7,)), z=FullRank(2))
    x = images(11)
    q = poutine.trace(guide).get_trace(x).nodes["z"]["fn"]
    noise = torch.randn(11, 2)
    losses = {}
    for name, variances in (("iso", [1.0, 1.0]), ("not", [1.8, 0.2])):
        for net, rotation in ((decoder, torch.eye(2)), (turned_back, turn)):
            z = (q.loc + (q.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)) @ rotation.mT
            turned = dist.MultivariateNormal(q.loc @ rotation.mT, rotation @ q.covariance_matrix @ rotation.mT)
            losses.setdefault(name, []).append(beta_vae_at(AnisotropicVAE(net, variances=variances), turned, z, x))
    assert losses["iso"][0] == pytest.approx(losses["iso"][1], rel=1e-9)
    assert abs(losses["not"][0] - losses["not"][1]) > 0.01


def beta_vae_at(model, q, z, x):
    """The objective with q's closed KL and log p(x | z) at given draws."""

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", q)

    elbo = BetaVAE(beta=4.0)
    elbo.loss(model, guide, x)
    log_x = poutine.trace(poutine.condition(model, {"z": z})).get_trace(x).nodes["x"]["fn"].log_prob(x).mean()
    return (4 * elbo.report().kl["z"].sum() - log_x).item()


def num_parameters(module):
    return sum(p.numel() for p in module.parameters())
