"""The base class of heads."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Real
from typing import Any

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from guides.program import shown, whole


class Head(nn.Module, ABC):
    """A family of distributions for one site.

    Attributes:
        size: the number of units of the site, whose values are vectors [size].
        num_raw: the number of raw numbers that parameterise one distribution.
        given: the earlier sites that the head depends on, as c in q(z | x, c), in the order of their concatenation.
        hidden: the widths of the head's own ReLU layers, between the features and the raw numbers.
        learnt: whether layers compute the raw numbers from the features; if not, these are the values of `given`.

    Raises:
        TypeError, ValueError: the size or a width of `hidden` is not a whole number from 1, or `given` is not a
            sequence of names.
    """

    learnt = True

    def __init__(self, size: int, num_raw: int, given: Sequence[str], hidden: Sequence[int]) -> None:
        super().__init__()
        name = type(self).__name__
        self.size = units(name, size)
        self.num_raw = num_raw
        if isinstance(given, str):
            raise TypeError(f"{name}: given= takes a sequence of sites, as in given=({given!r},)")
        if not isinstance(given, Sequence) or not all(isinstance(site, str) and site for site in given):
            raise TypeError(f"{name}: given must be a sequence of the names of earlier sites, got {shown(given)}")
        if not isinstance(hidden, Sequence) or isinstance(hidden, (str, bytes)):
            raise TypeError(f"{name}: hidden must be a sequence of widths, as in hidden=(64,), got {shown(hidden)}")
        self.given = tuple(given)
        self.hidden = tuple(whole(f"{name}: a width of hidden", width) for width in hidden)

    @abstractmethod
    def forward(self, raw: Tensor) -> TorchDistribution:
        """Raw numbers [..., num_raw] to a distribution with batch shape [...] and event shape [size]."""

    def infer(self) -> dict[str, Any]:
        """Pyro's `infer` dictionary of the head's site."""
        return {}


def units(head: str, size: int) -> int:
    """Returns the size of a site after checking that it is a whole number from 1.

    Raises:
        ValueError: the size is not a whole number from 1.
    """
    size = whole(f"{head}: the size of a site", size, least=0)
    if size < 1:
        raise ValueError(f"{head}: a site needs at least one unit, got {size}")
    return size


def positive(head: str, what: str, value: Any) -> float:
    """Returns the value after checking that it is a positive and finite number.

    Raises:
        TypeError, ValueError: the value is not a number, or not positive and finite.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{head}: {what} must be a number, got {shown(value)}")
    if not 0 < float(value) < float("inf"):
        raise ValueError(f"{head}: {what} must be positive and finite, got {value:g}")
    return float(value)


def classes(head: str, size: int) -> int:
    """Returns the size after checking that it is enough for a categorical.

    Raises:
        ValueError: it is less than 2.
    """
    size = units(head, size)
    if size < 2:
        raise ValueError(f"{head}: a categorical needs at least 2 classes, got {size}")
    return size


def several(head: str, size: int) -> int:
    """Returns the size after checking that there are units to couple.

    Raises:
        ValueError: it is less than 2.
    """
    size = units(head, size)
    if size < 2:
        raise ValueError(f"{head}: the family couples units and needs at least 2, got {size}; use MeanField")
    return size
