"""Heads: a family of distributions for one site, as a map from raw numbers to a distribution.

A head says how many numbers it needs and what they mean; where they come from is the guide's affair (a linear layer
on a trunk's features, a table with a row per datapoint, a few steps of optimisation). All of them are reparameterised.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn
from torch.nn import functional as F


class Head(nn.Module, ABC):
    """A family for one site.

    Attributes:
        size: units of the site's event, [size].
        num_raw: how many raw numbers parameterise one distribution.
        given: earlier sites that the head looks at, q(z | x, c), in the order in which they are concatenated.
        hidden: widths of ReLU layers of the head's own, between the features and the raw numbers.
    """

    def __init__(self, size: int, num_raw: int, given: Sequence[str], hidden: Sequence[int]) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"{type(self).__name__}: a site needs at least one unit, got {size}")
        if isinstance(given, str):
            raise TypeError(f"{type(self).__name__}: given= takes a sequence of sites, as in given=({given!r},)")
        self.size = size
        self.num_raw = num_raw
        self.given = tuple(given)
        self.hidden = tuple(hidden)

    @abstractmethod
    def forward(self, raw: Tensor) -> TorchDistribution:
        """Raw numbers [..., num_raw] to a distribution with batch shape [...] and event shape [size]."""


class MeanField(Head):
    """Independent normals, q(z | x) = prod_d Normal(mu_d, sigma_d), from means and log variances."""

    def __init__(self, size: int, *, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, 2 * size, given, hidden)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """[..., 2 size], means then log variances, to `size` independent normals."""
        loc, log_var = raw.chunk(2, dim=-1)
        return dist.Normal(loc, (0.5 * log_var).exp()).to_event(1)


class FullRank(Head):
    """A multivariate normal, from its mean and the Cholesky factor of its covariance: log diagonal, then below it."""

    rows: Tensor
    cols: Tensor

    def __init__(self, size: int, *, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, 2 * size + size * (size - 1) // 2, given, hidden)
        rows, cols = torch.tril_indices(size, size, offset=-1)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("cols", cols, persistent=False)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """[..., 2 size + size (size - 1) / 2] to one multivariate normal over `size` units."""
        loc, log_diagonal, below = raw.split([self.size, self.size, self.num_raw - 2 * self.size], dim=-1)
        scale_tril = log_diagonal.exp().diag_embed()
        scale_tril[..., self.rows, self.cols] = below
        return dist.MultivariateNormal(loc, scale_tril=scale_tril)


class Concrete(Head):
    """A relaxed one-hot categorical (Maddison 2017, arXiv:1611.00712; Jang 2017, arXiv:1611.01144), from logits.

    Its density is not a mass: Pyro's own ELBOs use the density, while the zoo's closed KL is that of the underlying
    categoricals, which is at most log K.
    """

    temperature: Tensor

    def __init__(self, size: int, *, temperature: float, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, size, given, hidden)
        if size < 2:
            raise ValueError(f"Concrete: a categorical needs at least 2 classes, got {size}")
        if not 0 < temperature < float("inf"):
            raise ValueError(f"Concrete: temperature must be positive and finite, got {temperature}")
        self.register_buffer("temperature", torch.tensor(float(temperature)), persistent=False)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """Logits [..., size] to a point near a corner of the simplex."""
        return dist.RelaxedOneHotCategorical(self.temperature, logits=raw)


class DirichletHead(Head):
    """A Dirichlet over `size` classes, from softplus concentrations with a floor that keeps samples off the corners."""

    floor = 1e-3

    def __init__(self, size: int, *, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, size, given, hidden)
        if size < 2:
            raise ValueError(f"DirichletHead: a Dirichlet needs at least 2 classes, got {size}")

    def forward(self, raw: Tensor) -> TorchDistribution:
        """[..., size] to a Dirichlet with concentrations softplus(raw) + floor."""
        return dist.Dirichlet(F.softplus(raw) + self.floor)
