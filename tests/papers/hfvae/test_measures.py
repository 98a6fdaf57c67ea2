"""What is measured of HFVAE's runs, against closed forms and bounds; how long they are."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from zoo.lab.analysis.posterior import codes
from zoo.lab.data import Dataset
from zoo.lab.trials.trial import Trial
from zoo.papers.hfvae import measures
from zoo.papers.hfvae.measures import ink, unit_of, units_in_use, width
from zoo.papers.hfvae.quantities import QUANTITIES
from zoo.papers.recipes import RECIPES
from zoo.papers.reproductions import REPRODUCTIONS


def test_ink_and_width_of_drawn_images():
    image = torch.zeros(2, 1, 4, 7)
    image[0, 0, 1, [1, 5]] = 1.0  # two pixels 4 apart: deviation 2
    image[1, 0, :, 3] = 0.5  # one column
    torch.testing.assert_close(ink(image), torch.tensor([2 / 28, 4 * 0.5 / 28]))
    torch.testing.assert_close(width(image), torch.tensor([2.0, 0.0]))


class Means(nn.Module):
    """q(z | x) with means that are a function of x, and a standard deviation."""

    def __init__(self, function, sd=1.0):
        super().__init__()
        self.function, self.sd = function, sd
        self.anchor = nn.Parameter(torch.zeros(()))

    def forward(self, x, index=None):
        with pyro.plate("data", len(x)):
            return pyro.sample("z", dist.Normal(self.function(x), self.sd).to_event(1))


def stand_in(guide, train, test=None):
    """What of a run the figures look at."""
    data = SimpleNamespace(train=train, test=test or train)
    return SimpleNamespace(model=guide, guide=guide, data=data, codes=partial(codes, guide))


def labelled(num=200):
    """Images of two labels: the second has ten times the ink, and within a label the ink varies a little."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, num)
    x = (0.05 + 0.5 * y + 0.04 * rng.random(num))[:, None, None, None] * np.ones((1, 1, 3, 3))
    return Dataset.from_arrays(x.astype(np.float32), y)


def test_the_unit_of_a_feature_is_found_within_labels():
    # Unit 0 is the label, which the ink of all images together would choose; unit 1 falls with the ink of a label, up
    # to a little noise; unit 2 is constant, which correlates with nothing; unit 3 is the ink of a label itself, but
    # moves by a hundredth of its standard deviation: it holds 1e-5 nats, and is pruned.
    def means(x):
        level = ink(x)
        label = (level > 0.3).to(x)
        within = (level - 0.5 * label - 0.05) / 0.04
        noise = torch.sin(1000 * level)
        return torch.stack([5 * label + noise, -within + 0.1 * noise, 0 * level, 0.001 * within], dim=-1)

    run = stand_in(Means(means, sd=0.1), labelled())
    assert units_in_use(run, run.data.test) == [0, 1]
    found = unit_of(run, ink)
    assert found.unit == 1
    assert -1 < found.correlation < -0.9


def test_where_every_unit_is_pruned_the_unit_of_a_feature_is_one_of_all():
    run = stand_in(Means(lambda x: torch.stack([0 * ink(x), 0.001 * ink(x)], dim=-1)), labelled())
    assert units_in_use(run, run.data.test) == []
    assert unit_of(run, ink).unit == 1


def test_no_labels_are_an_error():
    data = Dataset.from_arrays(np.ones((20, 1, 3, 3), np.float32))
    with pytest.raises(ValueError, match="has no labels to compute correlations within"):
        unit_of(stand_in(Means(lambda x: x.flatten(1)[:, :2]), data), ink)


def test_the_short_budget_is_the_recipe_in_smaller_batches(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(Trial, "train", lambda trial, recipe, **settings: asked.append((recipe, settings)))
    for budget in ("short", "full"):
        measures.train(Trial(0, budget, tmp_path, recipes=RECIPES), "hfvae/mnist", beta=4.0)
    common = {"beta": 4.0}
    assert asked == [
        ("hfvae/mnist", {"epochs": 20, "batch_size": 128, "precision": "medium", **common}),
        ("hfvae/mnist", {"epochs": 200, **common}),
    ]


def test_what_is_measured_of_a_run_is_in_the_table_and_within_its_bounds(digits):
    figures = digits["images"].quantities()
    about = REPRODUCTIONS["hfvae/mnist"].quantities
    assert figures.keys() == about.keys()
    assert set(QUANTITIES) < set(about)
    assert -0.05 < figures["I(y; c)"] < math.log(10)
    assert figures["I(x; z, c)"] < math.log(297) + 1e-6
    # the whole test set is one batch, so that the paper's estimator is the plain mean, and bounded by its size
    assert figures["I(x; z, c), B = 512"] == pytest.approx(figures["I(x; z, c), 1/B"])
    assert figures["I(x; z, c), B = 512"] < math.log(297) + 1e-6
    assert figures["TC, B = 512"] == pytest.approx(figures["TC"], abs=0.3)  # other draws
    assert figures["MIG"] <= figures["I(y; c)"] - figures["max I(y; z_d)"] + 0.05  # a mean of gaps, of the same draws
    assert figures["TC between"] > -0.1  # not negative, but for the draws
    assert 10 <= figures["accuracy"] <= 100
    assert 0 <= figures["pruned"] <= 10


def test_without_labels_there_is_what_the_latents_hold(digits):
    trained = digits["images"].open()
    figures = measures.latent_quantities(trained, measures.encoded(trained))
    wanted = REPRODUCTIONS["hfvae/celeba"].quantities
    assert figures.keys() == wanted.keys()
    nats = measures.about_data(measures.encoded(trained))
    assert list(nats) == ["c", *(f"z[{unit}]" for unit in range(10))]
    assert figures["pruned"] == sum(nats[f"z[{unit}]"] < 0.1 for unit in range(10))
