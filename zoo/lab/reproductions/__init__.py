"""What each paper reports and how we try for it, a file per paper."""

from zoo.lab.reproduce import Reproduction
from zoo.lab.reproductions import decomposition, dip_vae, hfvae, hfvae_topics, joint_vae, natural_clustering

__all__ = ["REPRODUCTIONS"]

REPRODUCTIONS: dict[str, Reproduction] = {
    **decomposition.REPRODUCTIONS,
    **dip_vae.REPRODUCTIONS,
    **hfvae.REPRODUCTIONS,
    **hfvae_topics.REPRODUCTIONS,
    **joint_vae.REPRODUCTIONS,
    **natural_clustering.REPRODUCTIONS,
}
