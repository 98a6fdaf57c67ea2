"""Heads for codes that are not normal: families with heavier tails, and a single point."""

from collections.abc import Sequence

import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from guides.heads.head import Head, positive, units


class MeanFieldLaplace(Head):
    """Independent Laplace distributions, from means and log scales; variance 2 scale^2.

    Example:
        >>> import torch
        >>> from guides import MeanFieldLaplace
        >>> MeanFieldLaplace(1)(torch.tensor([3.0, 0.0])).variance
        tensor([2.])
    """

    def __init__(self, size: int, *, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, 2 * units(type(self).__name__, size), given, hidden)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """[..., 2 size], means then log scales, to `size` independent Laplace distributions."""
        loc, log_scale = raw.chunk(2, dim=-1)
        return dist.Laplace(loc, log_scale.exp()).to_event(1)


class MeanFieldStudentT(Head):
    """Independent Student-t distributions, from means and log scales.

    .. warning::
        The KL from a normal has no closed form, so it is computed from the draw, which is noisier. Where a moment
        does not exist (the mean for df <= 1, the variance for df <= 2), a penalty that uses it, such as DIP-VAE's, is
        infinite or NaN. Metrics, reconstructions and pictures use the median, `loc`.

    Args:
        df: degrees of freedom; 1 is the Cauchy distribution.

    Raises:
        TypeError, ValueError: df is not positive and finite, or as `Head`.

    Example:
        >>> import torch
        >>> from guides import MeanFieldStudentT
        >>> MeanFieldStudentT(1, df=4.0)(torch.tensor([3.0, 0.0])).variance  # df / (df - 2)
        tensor([2.])
    """

    def __init__(self, size: int, *, df: float, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, 2 * units(type(self).__name__, size), given, hidden)
        self.df = positive("MeanFieldStudentT", "df", df)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """[..., 2 size], means then log scales, to `size` independent Student-t distributions."""
        loc, log_scale = raw.chunk(2, dim=-1)
        return dist.StudentT(self.df, loc, log_scale.exp()).to_event(1)


class PointMass(Head):
    """A point mass, for a site of real numbers: training it by the ELBO gives the maximum a posteriori value.

    .. warning::
        Its KL is computed as -log p(z) at the point, as if log q(z) were 0 there, so no objective is a bound on log
        p(x). It has no variance, and terms of q(z) refuse it.

    Example:
        >>> import torch
        >>> from guides import PointMass
        >>> PointMass(2)(torch.tensor([3.0, 4.0])).rsample()
        tensor([3., 4.])
    """

    def __init__(self, size: int, *, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, size, given, hidden)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """[..., size], the point, to the point mass there."""
        return dist.Delta(raw, event_dim=1)
