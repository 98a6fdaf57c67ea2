"""The decomposition paper's pictures."""

import math
from functools import partial

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from zoo import VAE
from zoo.lab.data import Dataset
from zoo.lab.plots.curves import two_errors
from zoo.likelihoods import normal
from zoo.papers.decomposition import plots


def num_parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_the_interpolated_unit_is_the_classes_largest_and_goes_outward(monkeypatch):
    # codes are the pixels themselves, and class k lights pixel k
    x = np.full((20, 1, 1, 3), 10, np.uint8)
    y = np.arange(20) % 2
    x[np.arange(20), 0, 0, 2 * y] = np.linspace(100, 200, 20)
    data = Dataset.from_arrays(x, y, classes=("a", "b"), x_max=255)

    class Guide(nn.Module):
        def forward(self, x, **_):
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(-x.flatten(1), 0.1).to_event(1))

    guide = Guide()

    model = VAE(nn.Unflatten(-1, (1, 1, 3)), z_dim=3, likelihood=partial(normal, scale=0.1))
    grid, units = plots.interpolations(model, guide, data, classes=(0, 1), steps=3)
    assert units == {"a": 0, "b": 2}
    # column 0 is the datapoint; unit 0 goes from z to z - 1 as z is negative, the other units stay
    moved = grid.images[0, 1:, 0, 0]
    torch.testing.assert_close(moved[:, 0] - moved[0, 0], torch.tensor([0.0, -0.5, -1.0]))
    torch.testing.assert_close(moved[:, 1], torch.full((3,), -10 / 255))
    assert moved[0, 0] <= -x[y == 0, 0, 0, 0].mean() / 255  # as large as the class's average at least


def test_two_standard_errors_as_the_paper_shades_them():
    assert two_errors([1.0, 2.0, 3.0, 4.0]) == pytest.approx(2 * math.sqrt(5 / 3) / 2)
    assert two_errors([1.0]) == 0.0
