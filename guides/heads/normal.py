"""Heads for codes: normals, from independent ones to mixtures."""

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.nn.functional import softplus

from guides.heads.head import Head, several, units
from guides.program import whole


class MeanField(Head):
    """Independent normals, q(z | x) = prod_d Normal(mu_d, sigma_d), from means and log variances.

    Example:
        >>> from guides import MeanField
        >>> q = MeanField(2)(torch.zeros(3, 4))  # 2 means and 2 log variances for each of 3 datapoints
        >>> q.batch_shape, q.event_shape, q.stddev[0]
        (torch.Size([3]), torch.Size([2]), tensor([1., 1.]))
    """

    def __init__(self, size: int, *, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, 2 * units(type(self).__name__, size), given, hidden)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """[..., 2 size], means then log variances, to `size` independent normals."""
        loc, log_var = raw.chunk(2, dim=-1)
        return dist.Normal(loc, (0.5 * log_var).exp()).to_event(1)


class FullRank(Head):
    """A multivariate normal, from its mean and the Cholesky factor of its covariance.

    The raw numbers of the factor are the log of its diagonal, then the entries below the diagonal, row by row.

    Example:
        >>> from guides import FullRank
        >>> q = FullRank(2)(torch.tensor([0.0, 0.0, 0.0, 0.0, 0.5]))  # mean, log diagonal of L, and below it
        >>> q.covariance_matrix  # L L^T, with L = [[1, 0], [0.5, 1]]
        tensor([[1.0000, 0.5000],
                [0.5000, 1.2500]])
    """

    rows: Tensor
    cols: Tensor

    def __init__(self, size: int, *, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, 2 * units("FullRank", size) + size * (size - 1) // 2, given, hidden)
        rows, cols = torch.tril_indices(size, size, offset=-1)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("cols", cols, persistent=False)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """[..., 2 size + size (size - 1) / 2] to one multivariate normal over `size` units."""
        loc, log_diagonal, below = raw.split([self.size, self.size, self.num_raw - 2 * self.size], dim=-1)
        scale_tril = log_diagonal.exp().diag_embed()
        scale_tril[..., self.rows, self.cols] = below
        return dist.MultivariateNormal(loc, scale_tril=scale_tril)


class LowRank(Head):
    """A multivariate normal with covariance F F^T + diag(d), where F has `rank` columns.

    Between MeanField (rank 0) and FullRank, with 2 size + rank size numbers instead of about size^2 / 2.

    Args:
        rank: columns of F.

    Raises:
        TypeError, ValueError: the rank is not from 1 to the number of units, or as `Head`.

    Example:
        >>> from guides import LowRank
        >>> q = LowRank(2, rank=1)(torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 2.0]))  # mean, log d, F = [1, 2]
        >>> q.covariance_matrix  # F F^T + I
        tensor([[2., 2.],
                [2., 5.]])
    """

    def __init__(self, size: int, *, rank: int, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        if not 1 <= whole("LowRank: rank", rank) <= units("LowRank", size):
            raise ValueError(f"LowRank: rank must be from 1 to {size}, the units, got {rank}")
        super().__init__(size, (2 + rank) * size, given, hidden)
        self.rank = rank

    def forward(self, raw: Tensor) -> TorchDistribution:
        """[..., (2 + rank) size], means, log d, then F row by row, to one multivariate normal over `size` units."""
        loc, log_diagonal, factor = raw.split([self.size, self.size, self.rank * self.size], dim=-1)
        factor = factor.unflatten(-1, (self.size, self.rank))
        return dist.LowRankMultivariateNormal(loc, factor, log_diagonal.exp())


class Mixture(Head):
    """A mixture of independent normals, for posteriors with several modes.

    The gradient of a draw with respect to means and scales is that of the component that it is from. The gradient with
    respect to the logits is implicit: it is computed unit by unit, from the distribution function of each unit given
    those before it (Figurnov et al. 2018, arXiv:1805.08498). Pyro's `MixtureOfDiagNormals` has a wrong gradient of the
    logits where the components' scales differ.

    .. warning::
        Its KL has no closed form, so it is computed from the draw, which is noisier.

    Args:
        components: the number of normals. Their means start at fixed draws of Normal(0, 1/2), so that they differ.

    Raises:
        TypeError, ValueError: there are fewer than two components or two units, or as `Head`.

    Example:
        >>> from guides import Mixture
        >>> head = Mixture(2, components=3)
        >>> head.num_raw  # 3 logits, and 3 x 2 means and log variances
        15
        >>> q = head(torch.zeros(5, 15))
        >>> q.rsample().shape
        torch.Size([5, 2])
    """

    apart: Tensor

    def __init__(self, size: int, *, components: int, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        if whole("Mixture: components", components, least=0) < 2:
            raise ValueError(f"Mixture: at least 2 components are needed, got {components}; with one, use MeanField")
        super().__init__(several("Mixture", size), components * (1 + 2 * size), given, hidden)
        self.components = components
        # Components that start equal stay equal: their gradients are the same.
        always = torch.Generator().manual_seed(0)
        self.register_buffer("apart", torch.randn(components, size, generator=always) / 2, persistent=False)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """Logits [..., K], then means and log variances, [..., K size] each, to one mixture over `size` units."""
        sizes = [self.components, self.components * self.size, self.components * self.size]
        logits, loc, log_var = raw.split(sizes, dim=-1)
        loc = loc.unflatten(-1, self.apart.shape) + self.apart
        scale = (0.5 * log_var).exp().unflatten(-1, self.apart.shape)
        return MixtureOfNormals(dist.Categorical(logits=logits), dist.Normal(loc, scale).to_event(1))


class MixtureOfNormals(dist.MixtureSameFamily):
    """A mixture of independent normals with reparameterised draws; the distribution of `Mixture`."""

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws [*sample_shape, *batch, size], with the gradient that `Mixture` describes."""
        normals, mixture = self.component_distribution.base_dist, self.mixture_distribution
        which = mixture.sample(sample_shape)[..., None, None]
        loc, scale = (p.expand(*which.shape[:-2], *p.shape[-2:]) for p in (normals.loc, normals.scale))
        index = which.expand(*which.shape[:-1], loc.shape[-1])
        loc, scale = (p.gather(-2, index).squeeze(-2) for p in (loc, scale))
        z: Tensor = loc + scale * torch.empty_like(loc).normal_()
        return z + self._by_logits(z.detach()) if torch.is_grad_enabled() else z

    def _by_logits(self, z: Tensor) -> Tensor:
        """Zeros, with the gradient of the mixture's draws z with respect to its logits, for fixed components."""
        normals, logits = self.component_distribution.base_dist, self.mixture_distribution.logits
        steps: list[Tensor] = []
        for value, loc, scale in zip(z.unbind(-1), normals.loc.unbind(-1), normals.scale.unbind(-1), strict=True):
            given, shares = dist.Normal(loc.detach(), scale.detach()), logits.softmax(-1)
            below = (shares * given.cdf(value.unsqueeze(-1))).sum(-1)
            density = (shares * given.log_prob(value.unsqueeze(-1)).exp()).sum(-1).detach()
            steps.append((below.detach() - below) / density)
            logits = logits + given.log_prob((value + steps[-1]).unsqueeze(-1))  # of the components, given this unit
        return torch.stack(steps, dim=-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws without gradient."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    @property
    def covariance_matrix(self) -> Tensor:
        """[*batch, size, size], by the law of total covariance: independent within a component, not between them."""
        normals, shares = self.component_distribution.base_dist, self.mixture_distribution.probs.unsqueeze(-1)
        centred = normals.loc - self.mean.unsqueeze(-2)
        within = (shares * normals.variance).sum(-2).diag_embed()
        between: Tensor = (shares * centred).mT @ centred
        return within + between


class SoftplusNormal(Head):
    """Independent normals with standard deviations softplus(raw) + 1e-6.

    As in the code of Mathieu et al. 2019, https://github.com/iffsid/disentangling-disentanglement.

    Example:
        >>> from guides import SoftplusNormal
        >>> SoftplusNormal(1)(torch.tensor([2.0, 0.0])).stddev  # log 2
        tensor([0.6931])
    """

    floor = 1e-6

    def __init__(self, size: int, *, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, 2 * units(type(self).__name__, size), given, hidden)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """[..., 2 size], means then raw standard deviations, to `size` independent normals."""
        loc, scale = raw.chunk(2, dim=-1)
        return dist.Normal(loc, softplus(scale) + self.floor).to_event(1)
