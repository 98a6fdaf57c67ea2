"""Guides: a trunk, and one head for each site. To change the family of a site's posterior, change its head."""

from typing import NoReturn

from guides.amortized import Amortized
from guides.automatic import Automatic
from guides.heads import (
    Concrete,
    ConjugateDirichlet,
    DirichletHead,
    Exact,
    Flow,
    FullRank,
    Head,
    LowRank,
    MeanField,
    MeanFieldLaplace,
    MeanFieldStudentT,
    Mixture,
    PointMass,
    Predicted,
    SoftplusNormal,
    StraightThrough,
)
from guides.per_datapoint import PerDatapoint
from guides.semi_amortized import Refined, SemiAmortized, refine

__all__ = [
    "Amortized",
    "Automatic",
    "Concrete",
    "ConjugateDirichlet",
    "DirichletHead",
    "Exact",
    "Flow",
    "FullRank",
    "Head",
    "LowRank",
    "MeanField",
    "MeanFieldLaplace",
    "MeanFieldStudentT",
    "Mixture",
    "PerDatapoint",
    "PointMass",
    "Predicted",
    "Refined",
    "SemiAmortized",
    "SoftplusNormal",
    "StraightThrough",
    "refine",
]

_RENAMED = {"Delta": "PointMass", "Laplace": "MeanFieldLaplace", "StudentT": "MeanFieldStudentT"}


def __getattr__(name: str) -> NoReturn:
    if name in _RENAMED:
        raise ImportError(f"guides.{name} is called guides.{_RENAMED[name]} since version 0.2")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
