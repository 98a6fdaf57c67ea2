"""Two-dimensional codes: the prior and the aggregate posterior on a grid, and their divergences."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from pyro import poutine
from torch import Tensor, nn

from zoo.arguments import POSITIVE, check_fields, checked, number_from, shown
from zoo.lab.errors import unknown_name
from zoo.lab.isolation import evaluating
from zoo.sites import nodes_of


@dataclass(frozen=True)
class Grid2D:
    """A grid of num x num cells on [-reach, reach]^2."""

    reach: float = 3.0
    num: int = 600

    def __post_init__(self) -> None:
        check_fields(self, reach=POSITIVE, num=number_from(1))

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
    """Divergences of two densities on a grid, in nats, and the mass of each on the grid, 1 if nothing lies outside."""

    p_from_q: float
    q_from_p: float
    mass_p: float
    mass_q: float


@checked()
def divergences(log_p: Tensor, log_q: Tensor, grid: Grid2D) -> Divergences:
    """KL(p || q) and KL(q || p) as sums over the cells. 0 log 0 counts as 0, as where a density is 0."""
    p, q = log_p.exp() * grid.cell, log_q.exp() * grid.cell
    return Divergences(
        p_from_q=torch.where(p > 0, p * (log_p - log_q), 0.0).sum().item(),
        q_from_p=torch.where(q > 0, q * (log_q - log_p), 0.0).sum().item(),
        mass_p=p.sum().item(),
        mass_q=q.sum().item(),
    )


@checked(max_elements=number_from(1))
def log_aggregate(q: Any, points: Tensor, *, max_elements: int = 2**20) -> Tensor:
    """log q(z) = log 1/N sum_n q(z | x_n) at points [S, D], for q with batch shape [N]: [S].

    `max_elements` coordinates are scored at once; a processor's cache holds the default, which is fastest.
    """
    _check(q, points)
    (num,) = q.batch_shape
    size = max(1, max_elements // (num * points.shape[-1]))
    return torch.cat([q.log_prob(some.unsqueeze(1)).logsumexp(1) for some in points.split(size)]) - math.log(num)


@checked()
def log_prior(model: nn.Module, points: Tensor, *, site: str = "z") -> Tensor:
    """log p(z) at points [S, D], from the story's trace: [S]. The random state is left as it was.

    Raises:
        LookupError, ValueError: the story has no such site, or the points have another number of units.
    """
    p = prior(model, site)
    _check(p, points)
    log_p: Tensor = p.log_prob(points.unsqueeze(1))
    return log_p.squeeze(1)


def prior(model: nn.Module, site: str = "z") -> Any:
    """The story's distribution of a site that depends on no other, for one datapoint: batch shape [1].

    Raises:
        LookupError: the story has no such site.
    """
    with torch.random.fork_rng(), evaluating(model):
        nodes = nodes_of(poutine.trace(model).get_trace())
    if site not in nodes or "fn" not in nodes[site]:
        raise LookupError(unknown_name("site", site, [name for name, n in nodes.items() if n["type"] == "sample"]))
    return nodes[site]["fn"]


@checked(draws=number_from(1))
def information(q: Any, *, draws: int = 10, seed: int = 0) -> float:
    """I(x; z) = E[log q(z | x) - log q(z)], with q(z) summed over all N datapoints; log N if no posteriors overlap.

    Args:
        q: the posteriors, batch shape [N].
        draws: number of draws of each.
        seed: of the draws.
    """
    _check(q)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        z = q.sample((draws,))
    return (q.log_prob(z).flatten() - log_aggregate(q, z.flatten(0, 1))).mean().item()


def _check(q: Any, points: Tensor | None = None) -> None:
    """Checks that q is the distribution of N datapoints, and that points have its number of units.

    Raises:
        TypeError, ValueError: q or the points are something else; the message says what to pass.
    """
    if len(getattr(q, "batch_shape", ())) != 1:
        raise TypeError(
            f"q must be a distribution with batch shape [N], as in posteriors(guide, x)['z'], got {shown(q)}"
        )
    if points is not None and (points.dim() != 2 or points.shape[1:] != q.event_shape):
        raise ValueError(f"points must be [S, {', '.join(map(str, q.event_shape))}], got {list(points.shape)}")
