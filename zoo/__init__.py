"""A zoo of probabilistic programs: five papers on disentangled representations as Pyro stories.

The stories are in this package, the objectives that train them in `zoo.elbos`, what it takes to run one in `zoo.lab`;
the guides are the package `guides`.
"""

from zoo.decomposition import (
    AnisotropicVAE,
    ClusteredVAE,
    ClusterIndicatorVAE,
    SparseIndicatorVAE,
    SparseVAE,
    StudentTVAE,
)
from zoo.joint_vae import JointVAE
from zoo.natural_clustering import ConditionalVAE, NaturalClustering
from zoo.topics import NVDM, ProdLDA
from zoo.vae import VAE

__all__ = [
    "NVDM",
    "VAE",
    "AnisotropicVAE",
    "ClusterIndicatorVAE",
    "ClusteredVAE",
    "ConditionalVAE",
    "JointVAE",
    "NaturalClustering",
    "ProdLDA",
    "SparseIndicatorVAE",
    "SparseVAE",
    "StudentTVAE",
]
