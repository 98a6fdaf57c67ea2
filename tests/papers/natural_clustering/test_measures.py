"""What N-VAE's latents hold, against loops over datapoints and known shares."""

import numpy as np
import pytest
import torch
from pyro import poutine
from torch import nn
from torch.distributions import Normal

from guides import Amortized, MeanField
from tests.pairs import SHAPE, C, L, S, images, nvae_pair
from zoo.lab.analysis.grid import Grid2D, divergences, log_aggregate
from zoo.lab.analysis.posterior import posteriors
from zoo.lab.data import Dataset, Split
from zoo.lab.runs.finished import FinishedRun
from zoo.papers.natural_clustering.class_latents import effect, measure
from zoo.papers.natural_clustering.measures import latent_space
from zoo.papers.natural_clustering.plots import samples, sizes_of


def small_set(num=23, y=None, **options):
    return Dataset.from_arrays(images(num), np.arange(num) % L if y is None else y, **options)


def test_measures_against_a_loop_over_datapoints():
    _, guide = nvae_pair()
    data = small_set()
    found = measure(guide, data, classes=L, batch_size=7)
    by_class, shared, right = np.zeros((L, L, C)), np.zeros(S), 0
    counts = np.zeros(L)
    for n in range(len(data)):
        x = data.batch(torch.tensor([n])).x
        trace = poutine.trace(guide).get_trace(x)
        label = int(data.y[n])
        counts[label] += 1
        for name in ("z_c", "z_s"):
            q = trace.nodes[name]["fn"]
            kl = (0.5 * (q.mean**2 + q.variance - q.variance.log() - 1))[0].detach().numpy()
            if name == "z_s":
                shared += kl
            else:
                by_class[label] += kl.reshape(L, C)
        right += int(trace.nodes["pi"]["fn"].mean.argmax() == label)
    np.testing.assert_allclose(found.by_class, by_class / counts[:, None, None])
    np.testing.assert_allclose(found.shared, shared / len(data))
    assert found.accuracy == pytest.approx(right / len(data))
    own = sum(by_class[y, y] for y in range(L)) / len(data)
    others = sum(by_class[y, block] for y in range(L) for block in range(L) if block != y) / len(data) / (L - 1)
    np.testing.assert_allclose(found.own, own)
    np.testing.assert_allclose(found.others, others)


def test_a_class_that_does_not_occur_in_the_test_set_has_no_row():
    _, guide = nvae_pair()
    found = measure(guide, small_set(y=np.arange(23) % 2), classes=L)
    assert found.by_class[2].isnan().all()
    assert found.own.isfinite().all()


def test_the_effect_of_latents_that_the_decoder_ignores_is_nothing():
    model, guide = nvae_pair()
    with torch.no_grad():
        model.decoder.layers[0][0].weight[:, L * (C + 1) :] = 0  # z_s
    assert effect(model, guide, small_set(), site="z_s") == 0
    assert effect(model, guide, small_set(), site="z_c") > 1e-3


@pytest.mark.parametrize("seed", [np.int64(3), torch.tensor(3)])
def test_seeds_of_any_type_of_whole_number(seed):
    model, guide = nvae_pair()
    data = small_set()
    assert effect(model, guide, data, site="z_c", seed=seed) == effect(model, guide, data, site="z_c", seed=3)
    ours, theirs = (samples(model, sizes_of(model), columns=2, seed=s) for s in (seed, 3))
    assert torch.equal(torch.as_tensor(ours.images), torch.as_tensor(theirs.images))
    with pytest.raises(ValueError, match=r"effect: seed must be a whole number, got 3\.0"):
        effect(model, guide, data, site="z_c", seed=3.0)


def told_by_pixels(values):
    """A run whose encoder's means are the first pixels, plus biases, on points with these values [N, D]."""
    num, units = values.shape

    class Told(nn.Module):
        out_features = units

        def forward(self, x):
            return x.flatten(1)[:, :units]

    guide = Amortized(Told(), z=MeanField(units))
    nn.init.eye_(guide.layers["z"][0].weight)
    x = np.zeros((num, *SHAPE))
    x.reshape(num, -1)[:, :units] = values
    data = Dataset.from_arrays(x, np.arange(num) % 2)
    trained = FinishedRun.__new__(FinishedRun)
    object.__setattr__(trained, "data", Split(data, data))
    object.__setattr__(trained, "experiment", type("E", (), {"guide": guide}))
    return trained


def test_the_share_between_classes_of_points_on_their_class_and_of_noise():
    rng = np.random.default_rng(0)
    for values, expected in ((np.arange(2000) % 2, 1.0), (rng.standard_normal(2000), 0.0)):
        found = latent_space(told_by_pixels(values[:, None]), "z")
        assert found["between classes"] == pytest.approx(expected, abs=5e-3)


def test_the_divergence_of_q_z_from_the_prior_against_a_sum_on_a_grid():
    """Two clusters at (0, 0) and (2, 1), apart from the biases."""
    trained = told_by_pixels(np.array([[0.0, 0.0], [2.0, 1.0]])[np.arange(2000) % 2])
    with torch.no_grad():
        pair = posteriors(trained.guide, trained.data.test.batch(torch.arange(2)).x)["z"]
    plane = Grid2D(reach=10.0, num=800)
    log_p = Normal(0.0, 1.0).log_prob(plane.points).sum(-1)
    expected = divergences(log_p, log_aggregate(pair, plane.points), plane)
    assert expected.mass_q == pytest.approx(1, abs=1e-3)
    assert expected.q_from_p > 0.5
    assert latent_space(trained, "z")["KL(q(z) || p(z))"] == pytest.approx(expected.q_from_p, abs=0.05)
