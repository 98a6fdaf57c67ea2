"""A zoo of probabilistic programs: five papers on disentangled representations as Pyro stories.

The stories are in this package, the objectives that train them in `zoo.elbos`, the shared machinery in `zoo.lab`, each
paper's recipes and reproductions in `zoo.papers`; the guides are the package `guides`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

__version__ = "0.2.0"  # setup.cfg reads it from here

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

_MODULES = {
    "NVDM": "topics",
    "VAE": "vae",
    "JointVAE": "joint_vae",
    "ConditionalVAE": "natural_clustering",
    "NaturalClustering": "natural_clustering",
    "ProdLDA": "topics",
}


def __getattr__(name: str) -> Any:
    """Imports a story on first use, so that `python -m zoo --help` needs neither Pyro nor PyTorch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"zoo.{_MODULES.get(name, 'decomposition')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
