"""HFVAE's trials on scikit-learn's digits, small, that several tests look at."""

from functools import partial

import pytest
import torch

from tests.pictures import quick_pictures, without_pictures
from zoo.lab.trials.trial import Trial, run_trial
from zoo.papers.hfvae import measures, unseen
from zoo.papers.recipes import RECIPES


def small(trial, recipe, **settings):
    """MNIST's runs on scikit-learn's digits, which are always at hand, for a few steps on small batches."""
    return trial.train("hfvae/digits", steps=15, **{**settings, "batch_size": 64})


@pytest.fixture(scope="session")
def digits(made_once):
    """A trial each of `hfvae/mnist`'s HFVAE and of `hfvae/figure-7`, small."""
    what = {"images": partial(measures.on_digits, recipe="hfvae/mnist"), "unseen": unseen.on_unseen}

    def tried(folder):
        return {name: Trial(0, "short", folder / name, device="cpu", progress=False, recipes=RECIPES) for name in what}

    def make(folder):
        torch.set_default_dtype(torch.float64)  # as in the tests, which look again
        with pytest.MonkeyPatch.context() as patch, quick_pictures(), without_pictures():
            patch.setattr(measures, "train", small)
            patch.setattr(unseen, "train", small)
            for name, trial in tried(folder).items():
                assert run_trial(what[name], trial) is None

    return tried(made_once("hfvae", make))
