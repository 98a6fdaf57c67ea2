"""A recipe so small that a step takes a millisecond, for tests of runs and trials."""

import time
from pathlib import Path

from torch import nn

from guides import Amortized, MeanField
from zoo import VAE
from zoo.elbos import BetaVAE
from zoo.lab.data import Split
from zoo.lab.training.experiment import Experiment, Recipe

STEPS = 300
HOLD = Path("hold")  # as long as the working directory has this file, no training ends


def small(split: Split, *, beta: float = 1.0, z_dim: int = 2, steps: int = STEPS) -> Experiment:
    """A VAE of linear layers, with a schedule that waits, so that a kill falls into the training."""
    shape = split.train.shape
    model = VAE(nn.Sequential(nn.Linear(z_dim, 64), nn.Unflatten(-1, shape)), z_dim=z_dim, num_data=len(split.train))
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    guide = Amortized(trunk, z=MeanField(z_dim), num_data=len(split.train))
    return Experiment(model, guide, BetaVAE(beta=beta), steps=steps, pictures=lambda *_: {}, schedule=wait)


def wait(*_: object) -> None:
    time.sleep(0.002)
    while HOLD.exists():
        time.sleep(0.01)


RECIPES = {"small": Recipe("small", small, data="digits", paper="")}
