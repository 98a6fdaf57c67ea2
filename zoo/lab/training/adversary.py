"""FactorVAE's discriminator, which learns the density ratio that the objective reads."""

from collections.abc import Sequence
from typing import Any

import torch
from pyro import poutine
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.arguments import POSITIVE, checked
from zoo.estimators import permute_units
from zoo.sites import latent, on_simplex


class Adversary:
    """Learns log D(z) - log(1 - D(z)), where D is the probability that z is a sample of q(z), not of prod_d q(z_d).

        log_ratio = Discriminator(z_dim)
        elbo = FactorVAE(gamma=10.0, log_ratio=log_ratio)
        fit(model, guide, elbo, batches, lr=1e-4, adversary=Adversary(log_ratio, lr=1e-4))

    Algorithm 2 of Kim & Mnih 2018, https://arxiv.org/abs/1802.05983: D minimises the cross-entropy of telling samples
    for the second half of each batch from a copy in which each unit is permuted over the datapoints. A categorical site
    is one unit. Their Adam has lr = 1e-4, betas (0.5, 0.9).

    Args:
        log_ratio: maps the concatenated values [B, D] of all latent sites to the logit of D, [B].
        lr, betas: of the Adam that trains it.

    Raises:
        ValueError: lr is not positive and finite, or betas are not two numbers from 0 to below 1.
    """

    @checked(lr=POSITIVE)
    def __init__(self, log_ratio: nn.Module, *, lr: float, betas: tuple[float, float] = (0.5, 0.9)) -> None:
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"Adversary: betas must be two numbers from 0 to below 1, got {betas}")
        self.log_ratio = log_ratio
        self.optimizer = torch.optim.Adam(log_ratio.parameters(), lr=lr, betas=betas)

    def step(self, z: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
        """One step on samples z [B, D] of q(z); returns D's cross-entropy, nats per sample, 0-dim, detached.

        Args:
            z: the samples.
            sizes: the number of entries of each unit, as `sample` returns it; 1 each when not given.
        """
        z = z.detach()
        with torch.enable_grad():
            loss = 0.5 * (F.softplus(-self.log_ratio(z)) + F.softplus(self.log_ratio(permute_units(z, sizes)))).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def sample(guide: nn.Module, *args: Any, **kwargs: Any) -> tuple[Tensor, list[int]]:
    """One draw of all latent sites for a batch, without gradients, and the number of entries of each unit.

    The draw is concatenated in the guide's order, [B, D]. A site on the simplex, such as a categorical, is one unit:
    its entries add up to 1. Permuted one by one they would not, and D would tell the copies by this alone.
    """
    with torch.no_grad(), poutine.block():
        trace = poutine.util.prune_subsample_sites(poutine.trace(guide).get_trace(*args, **kwargs))
    values, sizes = [], []
    for _, site in latent(trace):
        value, D = site["value"], site["value"].shape[-1]
        values.append(value)
        sizes += [D] if on_simplex(site["fn"]) else [1] * D
    return torch.cat(values, dim=-1), sizes
