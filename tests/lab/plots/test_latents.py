"""Pictures of codes and of an ELBO: what lies where, and that it is the numbers that are drawn."""

import math
import sys
from io import BytesIO
from itertools import combinations

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from guides import Flow, FullRank, MeanField
from tests.pairs import images, vae_pair
from zoo.lab.analysis import (
    LatentSites,
    Unit,
    elbo_anatomy,
    encode_modes,
    evaluate,
    from_prior,
    intervene,
    posterior_means,
    ranked,
)
from zoo.lab.analysis.interventions import decoded
from zoo.lab.data import Dataset
from zoo.lab.plots import COLOURS, aggregate, anatomy_bars, latent_scatter, scatter_by_class, sliders
from zoo.lab.plots.anatomy import parts
from zoo.lab.plots.latents import unit_densities
from zoo.studies.compatibility import recipes as small

UNITS = [Unit("z", 0, 0.5), Unit("z", 1, 0.2)]


def labelled() -> Dataset:
    return Dataset("eleven", images().numpy(), np.arange(11) % 9, classes=tuple("abcdefghi"))


def test_a_scatter_has_each_class_in_its_colour_and_marker_and_its_name_at_or_above_the_median():
    _, guide = vae_pair()
    data = labelled()
    (axes,) = latent_scatter(guide, data, UNITS).axes
    means = posterior_means(guide, data.batch(torch.arange(11)).x)["z"].numpy()
    assert len(axes.collections) == 9
    for k, (points, text) in enumerate(zip(axes.collections, axes.texts, strict=True)):
        drawn = np.asarray(points.get_offsets())
        np.testing.assert_allclose(drawn[np.argsort(drawn[:, 0])], sorted(means[data.y == k].tolist()))
        x, up = np.median(means[data.y == k], 0)
        assert text.get_position()[0] == pytest.approx(x)
        assert text.get_position()[1] >= up - 1e-9  # above the median where another name is there
        assert (text.get_text(), text.get_color()) == ("abcdefghi"[k], COLOURS[k % 7])
    # Colours come round after seven: classes 0 and 7 differ in their marker.
    vertices = [len(axes.collections[k].get_paths()[0].vertices) for k in (0, 7)]
    assert vertices[0] != vertices[1]


@pytest.mark.parametrize("head", [MeanField(2), FullRank(2)])
def test_the_density_of_a_unit_is_the_mean_of_its_posteriors(head):
    # For normals the mean over n of Normal(z; mu_n, sigma_n), by numpy; and it integrates to 1.
    _, guide = vae_pair(head=head)
    q = guide.posterior("z", guide.trunk(images()), {})
    grid = torch.linspace(-9.0, 9.0, 2001)
    found = unit_densities(q, grid).detach()
    mean, sd = q.mean.detach().numpy(), q.stddev.detach().numpy()
    z = grid.numpy()[:, None, None]
    exact = (np.exp(-0.5 * ((z - mean) / sd) ** 2) / (sd * math.sqrt(2 * math.pi))).mean(1)
    np.testing.assert_allclose(found.numpy(), exact)
    np.testing.assert_allclose(found.sum(0).numpy() * (18.0 / 2000), 1.0, rtol=1e-6)


def test_the_aggregate_lies_beside_the_prior_unit_by_unit():
    model, guide = vae_pair()
    *units, together = aggregate(model, guide, labelled(), UNITS).axes
    assert [axes.get_title("left") for axes in units] == ["z[0]  0.50 nats", "z[1]  0.20 nats"]
    for axes in units:
        prior, _ = axes.lines
        grid, density = prior.get_data()
        np.testing.assert_allclose(density, np.exp(dist.Normal(0.0, 1.0).log_prob(torch.tensor(grid)).numpy()))
    assert [len(points.get_offsets()) for points in together.collections] == [11, 11]


def test_a_flow_which_has_no_densities_of_units_is_drawn_from_its_draws():
    model, guide = vae_pair(head=Flow(2))
    (axes,) = aggregate(model, guide, labelled(), UNITS[:1]).axes
    outline = axes.patches[0].get_xy()
    width = np.diff(np.unique(outline[:, 0]))[0]
    assert outline[1:-1:2, 1].sum() * width == pytest.approx(1.0)  # a histogram of area 1


def test_the_bars_of_an_elbo_add_up_to_it():
    models = {}
    for name in ("a", "b"):
        model, guide = small.pair("JointVAE", "mean-field", None)
        batch = small.data("JointVAE")
        data = Dataset(name, batch.x.numpy())
        models[name] = elbo_anatomy(model, guide, data, num_data=len(data), num_samples=40)
    for found in models.values():
        assert sum(parts(found).values()) == pytest.approx(-found.elbo.mean.item())
        assert sum(list(parts(found).values())[1:]) == pytest.approx(found.kl.mean.item())
    whole, kl = anatomy_bars(models).axes
    for axes, sums in (
        (whole, [-d.elbo.mean.item() for d in models.values()]),
        (kl, [d.kl.mean.item() for d in models.values()]),
    ):
        assert [text.get_text().strip() for text in axes.texts] == [f"{nats:.2f}" for nats in sums]
        for row, nats in enumerate(sums):
            bars = [bar for bar in axes.patches if round(bar.get_y() + bar.get_height() / 2) == row]
            assert sum(bar.get_width() for bar in bars) == pytest.approx(nats)
            # End to end: every bar but the first of its side begins where another one ends.
            ends = {0.0, *(round(bar.get_x() + bar.get_width(), 9) for bar in bars)}
            assert all(round(bar.get_x(), 9) in ends for bar in bars)


def shown_by(box) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(box.children[0].value)))


def test_sliders_show_what_is_decoded_where_they_stand():
    model, guide = small.pair("JointVAE", "mean-field", None)
    batch = small.data("JointVAE")
    data = Dataset("small", batch.x.numpy())
    kl = evaluate(model, guide, data).kl
    box = sliders(model, guide, data, kl=kl, datapoint=3, most=2)
    sites = LatentSites.of(model)
    first, second = ranked(sites, kl)[:2]
    assert list(box.controls) == [str(first), str(second), "c"]

    def expected(*changes):
        start = encode_modes(model, guide, data.batch(torch.tensor([3])).x)
        pixels = (decoded(model, intervene(sites, start, changes))[0, 0].clamp(0, 1) * 255).round().byte().numpy()
        height, width = pixels.shape
        return np.asarray(Image.fromarray(pixels).resize((64 * width, 64 * height), Image.Resampling.BICUBIC))

    start = encode_modes(model, guide, data.batch(torch.tensor([3])).x)
    assert box.controls[str(first)].value == pytest.approx(start[first.site][0, first.index].item())
    np.testing.assert_array_equal(shown_by(box), expected())
    box.controls[str(first)].value = -2.5
    box.controls["c"].value = 1
    np.testing.assert_array_equal(shown_by(box), expected((first.site, first.index, -2.5), ("c", 1, 0.0)))


def test_sliders_without_a_guide_start_from_the_prior_and_refuse_what_cannot_be(monkeypatch):
    model, guide = vae_pair()
    start = from_prior(model, 1, seed=5)
    assert sliders(model, seed=5).controls["z[1]"].value == pytest.approx(start["z"][0, 1].item())
    with pytest.raises(ValueError, match="give both guide and data"):
        sliders(model, guide)
    with pytest.raises(ValueError, match="data 'eleven' has the datapoints 0 to 10, got 11"):
        sliders(model, guide, labelled(), datapoint=11)
    with pytest.raises(ValueError, match="sliders: most must be from 1 to 1,000,000,000, got 0"):
        sliders(model, most=0)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(
        ModuleNotFoundError, match=r'sliders needs ipywidgets, which is not installed: pip install -e "\.'
    ):
        sliders(model)


def test_names_of_classes_that_lie_on_each_other_are_drawn_apart():
    points = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.01]])
    axes = Figure().add_subplot()
    scatter_by_class(axes, points, np.arange(4))
    places = {text.get_text(): np.array(text.get_position()) for text in axes.texts}
    np.testing.assert_allclose(places["0"], [0.0, 0.0])
    np.testing.assert_allclose(places["2"], [1.0, 1.0])  # alone, and therefore where it is
    for a, b in combinations(places.values(), 2):
        assert (abs(a - b) >= 0.05 * 0.998).any()  # a twentieth of the axes, across or up
