"""The recipes, a file per paper: the only place outside notebooks and tests where a model meets a guide.

A recipe is a plain function from data and knobs to an experiment; a knob is a keyword with a default, and what the
paper leaves open is said beside it.
"""

from zoo.lab.training.experiment import Experiment, Recipe
from zoo.papers.decomposition import recipes as decomposition
from zoo.papers.dip_vae import recipes as dip_vae
from zoo.papers.hfvae import recipes as hfvae
from zoo.papers.hfvae_topics import recipes as hfvae_topics
from zoo.papers.joint_vae import recipes as joint_vae
from zoo.papers.natural_clustering import recipes as natural_clustering
from zoo.papers.vae import recipes as vae

__all__ = ["DEFAULT", "RECIPES", "Experiment", "Recipe"]

RECIPES: dict[str, Recipe] = {
    **vae.RECIPES,
    **joint_vae.RECIPES,
    **decomposition.RECIPES,
    **dip_vae.RECIPES,
    **hfvae.RECIPES,
    **hfvae_topics.RECIPES,
    **natural_clustering.RECIPES,
}

DEFAULT = "joint-vae/digits"
