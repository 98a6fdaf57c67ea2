"""Guides: a trunk, and one head per site. Swapping a family is swapping a head."""

from guides.amortized import Amortized
from guides.heads import Concrete, DirichletHead, FullRank, Head, MeanField

__all__ = ["Amortized", "Concrete", "DirichletHead", "FullRank", "Head", "MeanField"]
