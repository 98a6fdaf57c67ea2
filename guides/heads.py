"""Heads: a family of distributions for one site, as a map from raw numbers to a distribution.

A head says how many numbers it needs and what they mean; where they come from is the guide's affair (a linear layer
on a trunk's features, a table with a row per datapoint, a few steps of optimisation). All of them but Exact, which is
summed over, are reparameterised.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

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
        learnt: whether raw numbers come from layers on the features; else they are the values of `given` themselves.
    """

    learnt = True

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

    def infer(self) -> dict[str, Any]:
        """What the head asks of whoever runs the guide: Pyro's `infer` of its site."""
        return {}


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
        _check_classes("Concrete", size)
        self.register_buffer("temperature", _temperature("Concrete", temperature), persistent=False)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """Logits [..., size] to a point near a corner of the simplex."""
        return dist.RelaxedOneHotCategorical(self.temperature, logits=raw)


class StraightThrough(Head):
    """A one-hot categorical whose draws are corners going forward and relaxed going backward (Jang 2017).

    Its probability is the categorical's mass at the corner, never the Concrete density, so its KL from a categorical
    or relaxed prior is that of the categoricals. Under Pyro's own ELBOs the prior has to be a OneHotCategorical. The
    gradient is biased, the less so the lower the temperature, and then the noisier.
    """

    temperature: Tensor

    def __init__(self, size: int, *, temperature: float, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, size, given, hidden)
        _check_classes("StraightThrough", size)
        self.register_buffer("temperature", _temperature("StraightThrough", temperature), persistent=False)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """Logits [..., size] to a corner of the simplex."""
        return OneHotStraightThrough(self.temperature, logits=raw)


class Exact(Head):
    """A one-hot categorical that is summed over instead of drawn: exact, at K times the decoder's work.

    The site says `enumerate: parallel`: the zoo's objectives and Pyro's `TraceEnum_ELBO` then run whatever comes after
    it once per class, and weigh by q(c | x). Its KL is that of the categoricals. Several such sites multiply.
    """

    def __init__(self, size: int, *, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, size, given, hidden)
        _check_classes("Exact", size)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """Logits [..., size] to a categorical over the corners."""
        return dist.OneHotCategorical(logits=raw)

    def infer(self) -> dict[str, Any]:
        """Asks to be enumerated."""
        return {"enumerate": "parallel"}


class DirichletHead(Head):
    """A Dirichlet over `size` classes, from concentrations with a floor that keeps samples off the corners.

    With total = 1 and the prior's concentration for a floor it holds the posterior of a prior Dirichlet(alpha 1) and
    one class that was seen, Dirichlet(alpha 1 + y), and what lies between two classes.

    Args:
        total: what the concentrations above the floor add up to; each is free when not given.
        floor: the least concentration.
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
        _check_classes("DirichletHead", size)
        for what, value in (("total", total), ("floor", floor)):
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"DirichletHead: {what} must be positive and finite, got {value:g}")
        self.total, self.floor = total, floor

    def forward(self, raw: Tensor) -> TorchDistribution:
        """[..., size] to a Dirichlet with concentrations softplus(raw), or total softmax(raw), + floor."""
        free = F.softplus(raw) if self.total is None else self.total * raw.softmax(-1)
        return dist.Dirichlet(free + self.floor)


class ConjugateDirichlet(Head):
    """The exact posterior of a Dirichlet whose class was seen, Dirichlet(alpha 1 + y): it looks at y alone.

    Args:
        alpha: the prior's concentration.
        given: the site of the class.
    """

    learnt = False

    def __init__(self, size: int, *, alpha: float, given: Sequence[str] = ("y",)) -> None:
        super().__init__(size, size, given, ())
        _check_classes("ConjugateDirichlet", size)
        if not 0 < alpha < float("inf"):
            raise ValueError(f"ConjugateDirichlet: alpha must be positive and finite, got {alpha:g}")
        self.alpha = alpha

    def forward(self, raw: Tensor) -> TorchDistribution:
        """One-hot classes [..., size] to the Dirichlet."""
        return dist.Dirichlet(raw + self.alpha)


class Predicted(Head):
    """The class that the posterior of its probabilities predicts: y ~ Categorical(E_q[pi | x]), one-hot.

    It is what pi ~ q(pi | x), y ~ Categorical(pi) leave of y once pi is integrated out, and has no layers of its own.
    Objectives sum over it, as over `Exact`.

    Args:
        of: the earlier site whose mean this is.
    """

    learnt = False

    def __init__(self, size: int, *, of: str) -> None:
        super().__init__(size, size, (), ())
        _check_classes("Predicted", size)
        self.of = of

    def forward(self, raw: Tensor) -> TorchDistribution:
        """Class probabilities [..., size] to a one-hot categorical."""
        return dist.OneHotCategorical(raw)

    def infer(self) -> dict[str, Any]:
        """Asks to be enumerated."""
        return {"enumerate": "parallel"}


class OneHotStraightThrough(dist.OneHotCategorical):  # type: ignore[misc]
    """A one-hot categorical with draws that pass the gradient of relaxed ones; what `StraightThrough` gives."""

    has_rsample = True

    def __init__(self, temperature: Tensor, *, logits: Tensor, validate_args: bool | None = None) -> None:
        self.temperature = temperature
        super().__init__(logits=logits, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "OneHotStraightThrough":
        """The same in a larger batch."""
        new = self._get_checked_instance(OneHotStraightThrough, _instance)
        new.temperature = self.temperature
        return super().expand(batch_shape, _instance=new)  # type: ignore[no-any-return]

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Corners [*sample_shape, *batch, size], with the gradient of Concrete draws."""
        relaxed = dist.RelaxedOneHotCategorical(self.temperature, logits=self.logits, validate_args=False)
        soft: Tensor = relaxed.rsample(sample_shape)
        corner = torch.zeros_like(soft).scatter_(-1, soft.argmax(-1, keepdim=True), 1.0)
        return corner + (soft - soft.detach())  # the bracket is exactly 0, so the value is a corner to the last bit


def _check_classes(head: str, size: int) -> None:
    if size < 2:
        raise ValueError(f"{head}: a categorical needs at least 2 classes, got {size}")


def _temperature(head: str, temperature: float) -> Tensor:
    if not 0 < temperature < float("inf"):
        raise ValueError(f"{head}: temperature must be positive and finite, got {temperature}")
    return torch.tensor(float(temperature))
