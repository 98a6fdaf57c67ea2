"""Training: the loop, its ramps and optimisers, experiments and recipes.

from zoo.lab.training import Member, fit, fit_restarts, ramp
"""

from zoo.lab.training.experiment import Experiment, Recipe
from zoo.lab.training.fit import adam, fit, prepare, ramp
from zoo.lab.training.members import Member
from zoo.lab.training.together import fit_restarts

__all__ = ["Experiment", "Member", "Recipe", "adam", "fit", "fit_restarts", "prepare", "ramp"]
