"""Guides: a trunk, and one head per site. Swapping a family is swapping a head."""

from guides.amortized import Amortized
from guides.automatic import Automatic
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
    SoftplusNormal,
    StraightThrough,
    StudentT,
)
from guides.per_datapoint import PerDatapoint
from guides.semi_amortized import Refined, SemiAmortized, refine

__all__ = [
    "Amortized",
    "Automatic",
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
    "PerDatapoint",
    "Predicted",
    "Refined",
    "SemiAmortized",
    "SoftplusNormal",
    "StraightThrough",
    "StudentT",
    "refine",
]
