"""The recipes, a file per paper: the only place outside notebooks and tests where a model meets a guide.

A recipe is a plain function from data and knobs to an experiment; a knob is a keyword with a default, and what the
paper leaves open is said beside it.
"""

from zoo.lab.recipes import decomposition, dip_vae, hfvae, hfvae_topics, joint_vae, natural_clustering, vae
from zoo.lab.recipes.experiment import Experiment, Recipe

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
