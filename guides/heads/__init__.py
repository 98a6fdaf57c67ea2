"""Heads: a head is a family of distributions for one site, as a map from raw numbers to a distribution.

A head defines how many raw numbers it needs and what they mean. The guide computes them: by a linear layer on a trunk's
features, from a table with a row per datapoint, or by a few optimisation steps. The draws of all heads have gradients
(they are reparameterised), except those of Exact and Predicted, which objectives sum out.
"""

from guides.heads.categorical import Concrete, Exact, OneHotStraightThrough, Predicted, StraightThrough
from guides.heads.dirichlet import ConjugateDirichlet, DirichletHead
from guides.heads.flow import Flow, NormalFlow
from guides.heads.head import Head
from guides.heads.normal import FullRank, LowRank, MeanField, Mixture, MixtureOfNormals, SoftplusNormal
from guides.heads.real import MeanFieldLaplace, MeanFieldStudentT, PointMass

__all__ = [
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
    "MixtureOfNormals",
    "NormalFlow",
    "OneHotStraightThrough",
    "PointMass",
    "Predicted",
    "SoftplusNormal",
    "StraightThrough",
]
