"""Correlations with an angle against their closed forms and slow loops, and the unit that tells the azimuth."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from guides import Amortized, MeanField
from zoo import VAE
from zoo.lab.analysis.azimuth import azimuth, views
from zoo.lab.analysis.interventions import LatentSites
from zoo.lab.data import Dataset, load
from zoo.lab.data.factors import Factors
from zoo.lab.plots.azimuth import plot_azimuth
from zoo.lab.runs.traverse import _azimuth
from zoo.metrics.circular import as_angle, circular, linear

EVEN = 2 * np.pi * np.arange(1000) / 1000


def test_views_need_the_factor():
    """Before: a set without factors ended with an AssertionError, or with AttributeError under python -O."""
    with pytest.raises(ValueError, match="data 'digits' has no factor 'azimuth' to compare with; its factors: none"):
        views(load("digits").test, 0, "azimuth")


def test_linear_is_mardias_closed_form():
    rng = np.random.default_rng(0)
    angle, z = rng.uniform(0, 7, 200), rng.normal(size=(200, 2))
    z[:, 1] += np.cos(angle - 1)
    for d in range(2):
        xc, xs, cs = (
            np.corrcoef(a, b)[0, 1]
            for a, b in (
                (z[:, d], np.cos(angle)),
                (z[:, d], np.sin(angle)),
                (np.cos(angle), np.sin(angle)),
            )
        )
        assert linear(z, angle)[d] ** 2 == pytest.approx((xc**2 + xs**2 - 2 * xc * xs * cs) / (1 - cs**2))


def test_linear_knows_no_beginning_of_the_circle():
    z = np.stack([np.cos(EVEN - 2), EVEN, np.cos(2 * EVEN), np.full(1000, 0.3)], axis=1)
    found = linear(z, EVEN)
    # of the angle itself the first harmonic has 6 / pi^2 of the variance, the second a quarter as much
    assert found == pytest.approx([1, math.sqrt(6) / math.pi, 0, 0], abs=2e-3)
    assert linear(z, EVEN, harmonics=2) == pytest.approx([1, math.sqrt(7.5) / math.pi, 1, 0], abs=2e-3)
    np.testing.assert_allclose(linear(z, EVEN + 5), found, atol=1e-6)


def test_circular_is_the_ratio_over_pairs():
    rng = np.random.default_rng(1)
    a = rng.uniform(0, 7, 30)
    b = a + rng.normal(0, 0.5, 30)
    pairs = [(i, j) for i in range(30) for j in range(i)]
    sa, sb = (np.array([math.sin(t[i] - t[j]) for i, j in pairs]) for t in (a, b))
    expected = (sa * sb).sum() / math.sqrt((sa**2).sum() * (sb**2).sum())
    assert circular(a, b) == pytest.approx(expected)
    assert circular(a + 1, b - 2) == pytest.approx(expected)
    assert circular(-a, b) == pytest.approx(-expected)


def test_a_latent_that_winds_around_once_has_one_wherever_it_jumps_and_whatever_its_scale():
    wound = (EVEN + 2.5) % (2 * np.pi)
    assert circular(as_angle(wound), EVEN) == pytest.approx(1)
    assert circular(as_angle(-np.exp(wound)), EVEN) == pytest.approx(-1)
    assert circular(as_angle(np.cos(EVEN)), EVEN) == pytest.approx(0, abs=1e-4)  # left and right look the same


def test_angles_that_cannot_be_correlated_are_refused():
    with pytest.raises(ValueError, match="differ in length"):
        circular(EVEN, EVEN[1:])
    with pytest.raises(ValueError, match="whose values differ only by half a turn"):
        circular(np.array([1.0, 1 + np.pi, 1.0]), np.arange(3.0))
    with pytest.raises(ValueError, match="finite numbers"):
        linear(np.zeros((3, 1)), np.array([0.0, np.nan, 1.0]))
    with pytest.raises(ValueError, match=r"expected \[N, D\] and \[N\], N at least 4"):
        linear(np.zeros((3, 1)), np.zeros(3))


def dials(size=16):
    """Images of 1 x 1 x 4 whose pixels tell the size and the azimuth, as cosine and sine; and a guide that reads it."""
    factors = Factors.grid({"size": np.array([0.0, 1.0, 2.0]), "azimuth": np.arange(size) * 360 / size - 180})
    values = factors.values_at(np.arange(len(factors)))
    t = np.radians(values[:, 1])
    x = np.stack([values[:, 0] / 2, (1 + np.cos(t)) / 2, (1 + np.sin(t)) / 2, np.zeros(len(t))], axis=1)
    data = Dataset("dials", x[:, None, None], factors=factors)
    layer = nn.Linear(4, 3)
    trunk = nn.Sequential(nn.Flatten(), layer)
    guide = Amortized(trunk, z=MeanField(3))
    with torch.no_grad():
        layer.weight.zero_(), layer.bias.zero_()
        layer.weight[0, 0] = layer.weight[1, 2] = layer.weight[2, 1] = 1.0
        head = guide.layers["z"][0]
        head.weight.zero_(), head.bias.zero_()
        head.weight[:3] = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.0, 0.2], [0.0, 1.0, 0.0]])
    model = VAE(nn.Sequential(nn.Linear(3, 4), nn.Unflatten(-1, (1, 1, 4))), z_dim=3)
    return model, guide, data


def test_the_unit_most_correlated_with_the_azimuth_is_found():
    found = azimuth(*dials())
    assert found.units == ("z[0]", "z[1]", "z[2]")
    # the size is independent of the azimuth; z[1] mixes it, 0.25 var(size / 2) to 0.04 var(cos / 2); z[2] is the sine
    share = 0.04 * 0.125 / (0.04 * 0.125 + 0.25 * (1 / 6))
    assert found.linear == pytest.approx([0, math.sqrt(share), 1], abs=1e-6)
    assert found.best == 2
    assert "z[2] is most correlated with the azimuth of 48 test points: 1.00 with its cosine" in str(found)


def test_the_picture_shows_one_object_all_around_and_what_is_inferred_from_it():
    model, guide, data = dials()
    index = views(data, 20, "azimuth")
    assert index.tolist() == list(range(16, 32))  # the second size, by azimuth
    strip, axes = plot_azimuth(azimuth(model, guide, data), guide, data).axes
    assert len(strip.images) == 12
    line = axes.lines[-1]
    np.testing.assert_allclose(line.get_xdata(), np.arange(16) * 22.5 - 180)
    np.testing.assert_allclose(line.get_ydata(), (1 + np.sin(np.radians(line.get_xdata()))) / 2, atol=1e-12)


def test_a_set_without_the_factor_is_refused():
    model, guide, data = dials()
    with pytest.raises(ValueError, match="'dials' has no factor 'elevation' to compare with; its factors: size, azim"):
        azimuth(model, guide, data, factor="elevation")


def test_too_few_datapoints_are_refused_by_their_number():
    model, guide, data = dials()
    with pytest.raises(ValueError, match=r"'dials' with num_points = 5: a correlation with an angle needs at least 6"):
        azimuth(model, guide, data, num_points=5)
    with pytest.raises(ValueError, match=r"'dials' has 5 datapoints: a correlation with an angle needs at least 6"):
        azimuth(model, guide, data.subset(np.arange(5)))
    assert len(azimuth(model, guide, data, num_points=6).angles) == 6


@pytest.mark.parametrize(("site", "has"), [("c", "it has no site of real numbers"), ("w", "its real sites are w")])
def test_a_guide_without_a_real_unit_of_the_story_is_refused(site, has):
    class Story(nn.Module):
        def forward(self, x=None):
            with pyro.plate("data", 1 if x is None else len(x)):
                normal = dist.Normal(torch.zeros(3), 1.0).to_event(1)
                pyro.sample(site, normal if site == "w" else dist.OneHotCategorical(torch.ones(3)))

    class Guide(nn.Module):
        def forward(self, x, index=None):
            with pyro.plate("data", len(x)):
                pyro.sample("c", dist.OneHotCategorical(torch.ones(len(x), 3)))

    with pytest.raises(ValueError, match=rf"no real unit of the story .* 'azimuth': {has}, and the guide infers c"):
        azimuth(Story(), Guide(), dials()[2])


@pytest.mark.parametrize(
    ("angles", "reason"),
    [
        (["left", "right"], "an angle needs numbers, in degrees, and the factor 'azimuth' holds <U5 such as left"),
        ([0, 180], "values differ only by half a turn"),
    ],
)
def test_an_azimuth_that_has_no_correlation_is_refused_and_left_out_of_the_pictures(angles, reason):
    model, guide, data = dials()
    data = replace(data, factors=Factors.of({"azimuth": np.resize(angles, len(data))}))
    with pytest.raises(ValueError, match=reason):
        azimuth(model, guide, data)
    run = SimpleNamespace(model=model, guide=guide, data=SimpleNamespace(test=data))
    with pytest.warns(UserWarning, match=f"azimuth.png is left out: .*{reason}"):
        assert _azimuth(run, LatentSites.of(model)) == {}
