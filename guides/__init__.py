"""Guides: a trunk, and one head per site. Swapping a family is swapping a head."""

from guides.amortized import Amortized
from guides.heads import (
    Concrete,
    ConjugateDirichlet,
    DirichletHead,
    Exact,
    FullRank,
    Head,
    MeanField,
    Predicted,
    StraightThrough,
)

__all__ = [
    "Amortized",
    "Concrete",
    "ConjugateDirichlet",
    "DirichletHead",
    "Exact",
    "FullRank",
    "Head",
    "MeanField",
    "Predicted",
    "StraightThrough",
]
