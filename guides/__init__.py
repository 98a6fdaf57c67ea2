"""Guides: a trunk, and one head per site. Swapping a family is swapping a head."""

from guides.amortized import Amortized
from guides.heads import (
    Concrete,
    ConjugateDirichlet,
    Delta,
    DirichletHead,
    Exact,
    Flow,
    FullRank,
    Head,
    Laplace,
    LowRank,
    MeanField,
    Mixture,
    Predicted,
    StraightThrough,
    StudentT,
)

__all__ = [
    "Amortized",
    "Concrete",
    "ConjugateDirichlet",
    "Delta",
    "DirichletHead",
    "Exact",
    "Flow",
    "FullRank",
    "Head",
    "Laplace",
    "LowRank",
    "MeanField",
    "Mixture",
    "Predicted",
    "StraightThrough",
    "StudentT",
]
