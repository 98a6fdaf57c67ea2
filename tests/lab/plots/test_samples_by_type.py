"""Samples by type of a story whose style depends on the type."""

import pyro
import pyro.distributions as dist
import torch
from torch import nn

from zoo.lab.plots.traversals import samples_by_type


class StyleByType(nn.Module):
    """z ~ Normal(-5 or 5, 0.1) by the type, and all pixels sigmoid(z)."""

    def forward(self, x=None, *, index=None):
        with pyro.plate("data", 1 if x is None else len(x)):
            c = pyro.sample("c", dist.OneHotCategorical(torch.ones(2) / 2))
            z = pyro.sample("z", dist.Normal(c @ torch.tensor([[-5.0], [5.0]]), 0.1).to_event(1))
            pixels = torch.sigmoid(z)[..., None, None].expand(*z.shape[:-1], 1, 4, 4)
            return pyro.sample("x", dist.Bernoulli(pixels, validate_args=False).to_event(3), obs=x)


def test_the_style_is_drawn_given_the_type_of_its_row():
    images = samples_by_type(StyleByType(), columns=20).images
    assert (images[0] < 0.05).all()
    assert (images[1] > 0.95).all()
