"""What is measured of DIP-VAE's runs, against loops and closed forms; how lambda_od is chosen."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from guides import Amortized, MeanField
from zoo import VAE
from zoo.lab.data import Dataset
from zoo.lab.trials.trial import Trial
from zoo.papers.dip_vae import measures
from zoo.papers.dip_vae.measures import (
    SEARCHED,
    mean_correlation,
    off_diagonal,
    squared_error,
)
from zoo.papers.recipes import RECIPES
from zoo.papers.reproductions import REPRODUCTIONS

VAE_, BETA_4, BETA_60 = "VAE", "beta-VAE, beta = 4", "beta-VAE, beta = 60"


def test_the_squared_error_of_known_posteriors():
    # logits are a z for every pixel of value t, and q(z | x) = Normal(m, s): the error is E (t - sigmoid(a z))^2
    a, m, s, t = 1.5, 0.4, 0.7, 0.25
    decoder = nn.Sequential(nn.Linear(1, 6, bias=False), nn.Unflatten(-1, (1, 2, 3)))
    nn.init.constant_(decoder[0].weight, a)
    model = VAE(decoder, z_dim=1)
    guide = Amortized(nn.Sequential(nn.Flatten(), nn.Linear(6, 2)), z=MeanField(1))
    for parameter in guide.parameters():
        nn.init.zeros_(parameter)
    head = [p for p in guide.parameters() if p.shape == (2,)][-1]
    head.data = torch.tensor([m, 2 * math.log(s)])
    data = Dataset.from_arrays(np.full((4000, 1, 2, 3), t, np.float32))
    z = m + s * torch.linspace(-8, 8, 20_001)
    density = torch.exp(-0.5 * ((z - m) / s) ** 2)
    exact = ((t - torch.sigmoid(a * z)) ** 2 * density).sum() / density.sum()
    state = torch.get_rng_state()
    found = squared_error(model, guide, data)
    assert torch.equal(torch.get_rng_state(), state)
    # the 24,000 pixels share 4,000 draws; (t - sigmoid)^2 has a standard deviation below 0.2
    assert found == pytest.approx(exact.item(), abs=4 * 0.2 / math.sqrt(4000))
    assert found == squared_error(model, guide, data)


def test_the_squared_covariances_against_a_loop():
    codes = np.random.default_rng(0).normal(size=(50, 3)) @ np.array([[1, 0.5, 0], [0, 1, -2], [0, 0, 0.1]])
    total = 0.0
    for i in range(3):
        for j in range(3):
            if i != j:  # each pair twice
                total += np.mean((codes[:, i] - codes[:, i].mean()) * (codes[:, j] - codes[:, j].mean())) ** 2
    assert off_diagonal(codes) == pytest.approx(total)


def test_the_mean_correlation_leaves_the_diagonal_out():
    table = np.array([[1.0, -0.5, 0.1], [-0.5, 1.0, 0.3], [0.1, 0.3, 1.0]])
    assert mean_correlation(table) == pytest.approx(0.3)
    assert mean_correlation(np.ones((1, 1))) == 0.0


@pytest.mark.parametrize(("budget", "grid"), [("short", SEARCHED), ("full", (1, 2, 5, 10, 20, 50))])
def test_the_best_of_the_search_is_trained_at_the_budgets_length(budget, grid, tmp_path, monkeypatch):
    trained = []

    def train(trial, recipe, steps, *, within="", **hyperparameters):
        trained.append((recipe, steps, within, hyperparameters["lambda_od"]))
        return hyperparameters["lambda_od"], steps

    def measured(run):  # the metric is best at 10
        weight, steps = run
        return {"metric": -((weight - 10) ** 2) + steps, "squared_error": weight, "cross_entropy": 0.0}

    monkeypatch.setattr(measures, "train", train)
    monkeypatch.setattr(measures, "measured", measured)
    figures = measures.dip_vae(Trial(0, budget, tmp_path, recipes=RECIPES), data="shapes")
    length, steps = (1_500, 10_000) if budget == "short" else (300_000, 300_000)
    assert trained == [("dip-vae/shapes", length, f"lambda-{weight:g}-{length}", weight) for weight in grid] + [
        ("dip-vae/shapes", steps, f"lambda-10-{steps}", 10)
    ]
    assert figures["lambda_od"] == 10
    assert figures["metric"] == steps
    assert [figures[f"search_squared_error_{weight:g}"] for weight in grid] == list(grid)
    # whatever the search leaves is in the table
    assert figures.keys() <= REPRODUCTIONS["dip-vae/shapes"].quantities.keys()


def test_the_short_budget_is_the_recipe_at_another_rate(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(Trial, "train", lambda trial, recipe, **settings: asked.update({recipe: settings}))
    short, full = Trial(0, "short", tmp_path, recipes=RECIPES), Trial(0, "full", tmp_path, recipes=RECIPES)
    measures.train(short, "beta-vae/shapes", 7, beta=4.0)
    measures.train(short, "beta-vae/celeba", 7, beta=4.0)
    measures.train(full, "dip-vae/shapes", 9, lambda_od=5.0)
    assert asked == {
        "beta-vae/shapes": {"steps": 7, "lr": 3e-4, "precision": "medium", "within": "", "beta": 4.0},
        "beta-vae/celeba": {"steps": 7, "lr": 3e-4, "precision": "medium", "within": "", "beta": 4.0},
        "dip-vae/shapes": {"steps": 9, "within": "", "lambda_od": 5.0},
    }
