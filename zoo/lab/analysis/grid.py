"""Two-dimensional codes: the prior and the aggregate posterior on a grid, and their divergences."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from pyro import poutine
from torch import Tensor, nn

from zoo.lab.isolation import OwnParameters
from zoo.sites import nodes_of


@dataclass(frozen=True)
class Grid2D:
    """A grid of num x num cells on [-reach, reach]^2."""

    reach: float = 3.0
    num: int = 600

    @property
    def points(self) -> Tensor:
        """The centres of the cells, [num^2, 2], the first unit changing slowest."""
        edge = self.reach * (1 - 1 / self.num)
        axis = torch.linspace(-edge, edge, self.num)
        return torch.cartesian_prod(axis, axis)

    @property
    def cell(self) -> float:
        """The area of a cell."""
        return (2 * self.reach / self.num) ** 2


class Divergences(NamedTuple):
    """Divergences of two densities on a grid, in nats, and the mass of each on the grid, 1 where it covers all."""

    p_from_q: float
    q_from_p: float
    mass_p: float
    mass_q: float


def divergences(log_p: Tensor, log_q: Tensor, grid: Grid2D) -> Divergences:
    """KL(p || q) and KL(q || p) as sums over the cells."""
    p, q = log_p.exp() * grid.cell, log_q.exp() * grid.cell
    return Divergences(
        p_from_q=(p * (log_p - log_q)).sum().item(),
        q_from_p=(q * (log_q - log_p)).sum().item(),
        mass_p=p.sum().item(),
        mass_q=q.sum().item(),
    )


def log_aggregate(q: Any, points: Tensor, *, max_elements: int = 2**24) -> Tensor:
    """log q(z) = log 1/N sum_n q(z | x_n) at points [S, D], for q with batch shape [N]: [S]."""
    (num,) = q.batch_shape
    size = max(1, max_elements // (num * points.shape[-1]))
    return torch.cat([q.log_prob(some.unsqueeze(1)).logsumexp(1) for some in points.split(size)]) - math.log(num)


def log_prior(model: nn.Module, points: Tensor, *, site: str = "z") -> Tensor:
    """log p(z) at points [S, D], from the story's trace: [S]. The random state is left as it was."""
    log_p: Tensor = prior(model, site).log_prob(points.unsqueeze(1))
    return log_p.squeeze(1)


def prior(model: nn.Module, site: str = "z") -> Any:
    """The story's distribution of a site that depends on no other, for one datapoint: batch shape [1]."""
    with torch.random.fork_rng(), torch.no_grad(), poutine.block(), OwnParameters():
        return nodes_of(poutine.trace(model).get_trace())[site]["fn"]


def information(q: Any, *, draws: int = 10, seed: int = 0) -> float:
    """I(x; z) = E[log q(z | x) - log q(z)] over all N datapoints, q(z) summed over them; log N without overlap.

    Args:
        q: the posteriors, batch shape [N].
        draws: number of draws of each.
        seed: of the draws.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        z = q.sample((draws,))
    return (q.log_prob(z).flatten() - log_aggregate(q, z.flatten(0, 1))).mean().item()
