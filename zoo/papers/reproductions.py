"""What each paper reports and how we try for it, a file per paper."""

from zoo.lab.trials.reproduction import Reproduction
from zoo.papers.decomposition import reproduction as decomposition
from zoo.papers.dip_vae import reproduction as dip_vae
from zoo.papers.hfvae import reproduction as hfvae
from zoo.papers.hfvae_topics import reproduction as hfvae_topics
from zoo.papers.joint_vae import reproduction as joint_vae
from zoo.papers.natural_clustering import reproduction as natural_clustering

__all__ = ["REPRODUCTIONS"]

REPRODUCTIONS: dict[str, Reproduction] = {
    **decomposition.REPRODUCTIONS,
    **dip_vae.REPRODUCTIONS,
    **hfvae.REPRODUCTIONS,
    **hfvae_topics.REPRODUCTIONS,
    **joint_vae.REPRODUCTIONS,
    **natural_clustering.REPRODUCTIONS,
}
