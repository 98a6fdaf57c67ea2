"""What each paper reports and how we try for it, by name."""

from pathlib import Path

from zoo.lab.trials.reproduction import Reproduction
from zoo.papers.decomposition import reproduction as decomposition
from zoo.papers.dip_vae import reproduction as dip_vae
from zoo.papers.hfvae import reproduction as hfvae
from zoo.papers.hfvae_topics import reproduction as hfvae_topics
from zoo.papers.joint_vae import reproduction as joint_vae
from zoo.papers.natural_clustering import reproduction as natural_clustering

PAPERS = (decomposition, dip_vae, hfvae, hfvae_topics, joint_vae, natural_clustering)
REPRODUCTIONS: dict[str, Reproduction] = {
    name: reproduction for paper in PAPERS for name, reproduction in paper.REPRODUCTIONS.items()
}


def results_folder(name: str) -> Path:
    """Where the result of the reproduction called `name` belongs: its paper's own results/."""
    (room,) = (Path(str(paper.__file__)).parent for paper in PAPERS if name in paper.REPRODUCTIONS)
    return room / "results"
