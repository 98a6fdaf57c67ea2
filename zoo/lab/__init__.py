"""What it takes to run a specimen: data, networks, the loop, recipes, pictures. No paper's idea lives here."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.papers.weights import Pretrained

__all__ = ["pretrained"]


def pretrained(name: str) -> "Pretrained":
    """The pretrained pair called `name`, as its recipe is called; needs no data. See `zoo.papers.weights`.

    Raises:
        LookupError: there is none; says which there are.
    """
    from zoo.papers import weights  # which stands on all of the lab, where importing one part of it should not

    return weights.pretrained(name)
