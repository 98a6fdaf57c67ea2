"""Every paper's recipes by name.

A recipe is a plain function from data and hyperparameters to an experiment. Outside notebooks and tests, models and
guides are combined only in files called recipes.py.
"""

from zoo.lab.training.experiment import Recipe
from zoo.papers.decomposition import recipes as decomposition
from zoo.papers.dip_vae import recipes as dip_vae
from zoo.papers.hfvae import recipes as hfvae
from zoo.papers.hfvae_topics import recipes as hfvae_topics
from zoo.papers.joint_vae import recipes as joint_vae
from zoo.papers.natural_clustering import recipes as natural_clustering
from zoo.papers.vae import recipes as vae

PAPERS = (vae, joint_vae, decomposition, dip_vae, hfvae, hfvae_topics, natural_clustering)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for paper in PAPERS for recipe in paper.RECIPES}
