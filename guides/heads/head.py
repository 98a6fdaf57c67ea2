"""The base class of heads."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from guides.program import whole


class Head(nn.Module, ABC):
    """A family for one site.

    Attributes:
        size: number of units of the site's event, [size].
        num_raw: number of raw numbers that parameterise one distribution.
        given: earlier sites that the head depends on, q(z | x, c), in the order in which they are concatenated.
        hidden: widths of the head's ReLU layers between the features and the raw numbers.
        learnt: whether raw numbers come from layers on the features; if not, they are the values of `given`.
    """

    learnt = True

    def __init__(self, size: int, num_raw: int, given: Sequence[str], hidden: Sequence[int]) -> None:
        super().__init__()
        size = whole(f"{type(self).__name__}: the size of a site", size, least=0)
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
        """Pyro's `infer` dictionary of the head's site."""
        return {}


def positive(head: str, what: str, value: float) -> float:
    """Returns the value after checking that it is positive and finite."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{head}: {what} must be positive and finite, got {value:g}")
    return float(value)


def classes(head: str, size: int) -> int:
    """Returns the size after checking that it is enough for a categorical."""
    if size < 2:
        raise ValueError(f"{head}: a categorical needs at least 2 classes, got {size}")
    return size


def several(head: str, size: int) -> int:
    """Returns the size after checking that there are units to couple."""
    if size < 2:
        raise ValueError(f"{head}: the family couples units and needs at least 2, got {size}; use MeanField")
    return size
