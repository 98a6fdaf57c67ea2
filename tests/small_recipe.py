"""A recipe so small that a step takes a millisecond, for tests of runs and trials."""

import time

from torch import nn

from guides import Amortized, MeanField
from zoo import VAE
from zoo.elbos import PlainELBO
from zoo.lab.data import Split
from zoo.lab.training.experiment import Experiment, Recipe

STEPS = 300


def small(split: Split) -> Experiment:
    """A VAE of linear layers; the schedule waits, so that a kill falls into the training."""
    shape = split.train.shape
    model = VAE(nn.Sequential(nn.Linear(2, 64), nn.Unflatten(-1, shape)), z_dim=2, num_data=len(split.train))
    guide = Amortized(nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), z=MeanField(2), num_data=len(split.train))
    return Experiment(
        model, guide, PlainELBO(), steps=STEPS, pictures=lambda *_: {}, schedule=lambda *_: time.sleep(0.002)
    )


RECIPES = {"small": Recipe("small", small, data="digits", paper="")}
