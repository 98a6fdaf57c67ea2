"""Training: the loop, its ramps and optimisers, experiments and recipes.

from zoo.lab.training import fit, ramp
"""

from zoo.lab.training.experiment import Experiment, Recipe
from zoo.lab.training.fit import adam, fit, prepare, ramp

__all__ = ["Experiment", "Recipe", "adam", "fit", "prepare", "ramp"]
