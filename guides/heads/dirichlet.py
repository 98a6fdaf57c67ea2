"""Heads for probabilities: Dirichlets."""

from collections.abc import Sequence

import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.nn import functional as F

from guides.heads.head import Head, classes, positive


class DirichletHead(Head):
    """A Dirichlet over `size` classes. Its smallest concentration is `floor`, so that draws have no entries of 0.

    With total = 1 and floor = alpha, the prior's concentration, the family contains Dirichlet(alpha 1 + y) for every
    class y, which is the exact posterior after one observed class.

    .. warning::
        Without `total`, concentrations are not limited. Under `zoo.elbos.NaturalClusteringELBO`, those of the
        improbable classes then fall to the floor, and the ELBO of the same pair can be worse by thousands of nats.

    Args:
        total: the sum over classes of concentration - floor; not fixed when not given.
        floor: the smallest concentration.

    Raises:
        TypeError, ValueError: there are fewer than two classes, total or floor is not positive and finite, or as
            `Head`.

    Example:
        >>> import torch
        >>> from guides import DirichletHead
        >>> DirichletHead(2, total=1.0, floor=0.5)(torch.zeros(2)).concentration
        tensor([1., 1.])
    """

    def __init__(
        self,
        size: int,
        *,
        total: float | None = None,
        floor: float = 1e-3,
        given: Sequence[str] = (),
        hidden: Sequence[int] = (),
    ) -> None:
        super().__init__(size, size, given, hidden)
        classes("DirichletHead", size)
        self.total = None if total is None else positive("DirichletHead", "total", total)
        self.floor = positive("DirichletHead", "floor", floor)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """[..., size] to a Dirichlet with concentrations softplus(raw), or total softmax(raw), + floor."""
        free = F.softplus(raw) if self.total is None else self.total * raw.softmax(-1)
        return dist.Dirichlet(free + self.floor)


class ConjugateDirichlet(Head):
    """The exact posterior of a Dirichlet prior after one observed class, Dirichlet(alpha 1 + y). It depends on y only.

    Args:
        alpha: the prior's concentration.
        given: the name of the site of the class, in a tuple.

    Raises:
        TypeError, ValueError: there are fewer than two classes, alpha is not positive and finite, or as `Head`.

    Example:
        >>> import torch
        >>> from guides import ConjugateDirichlet
        >>> ConjugateDirichlet(3, alpha=0.5)(torch.tensor([0.0, 1.0, 0.0])).concentration
        tensor([0.5000, 1.5000, 0.5000])
    """

    learnt = False

    def __init__(self, size: int, *, alpha: float, given: Sequence[str] = ("y",)) -> None:
        super().__init__(size, size, given, ())
        classes("ConjugateDirichlet", size)
        self.alpha = positive("ConjugateDirichlet", "alpha", alpha)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """One-hot classes [..., size] to the Dirichlet."""
        return dist.Dirichlet(raw + self.alpha)
