"""All reproductions by name."""

from pathlib import Path

from zoo.lab.errors import unknown_name
from zoo.lab.trials.reproduction import Reproduction
from zoo.papers.decomposition import reproduction as decomposition
from zoo.papers.dip_vae import reproduction as dip_vae
from zoo.papers.hfvae import reproduction as hfvae
from zoo.papers.hfvae_topics import reproduction as hfvae_topics
from zoo.papers.joint_vae import reproduction as joint_vae
from zoo.papers.natural_clustering import reproduction as natural_clustering

__all__ = ["REPRODUCTIONS", "results_folder"]

PAPERS = (decomposition, dip_vae, hfvae, hfvae_topics, joint_vae, natural_clustering)
REPRODUCTIONS: dict[str, Reproduction] = {
    name: reproduction for paper in PAPERS for name, reproduction in paper.REPRODUCTIONS.items()
}


def results_folder(name: str) -> Path:
    """The folder of the result of the reproduction called `name`: results/ in its paper's package.

    Raises:
        LookupError: there is no such reproduction.
    """
    for paper in PAPERS:
        if name in paper.REPRODUCTIONS:
            return Path(str(paper.__file__)).parent / "results"
    raise LookupError(unknown_name("reproduction", name, REPRODUCTIONS))
