"""Sweeps of one latent against the decoder called by hand, where they start, and what the command leaves."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn

from guides import Amortized, FullRank, MeanField
from tests.pairs import SHAPE, images, vae_pair
from tests.test_joint_vae import joint_pair
from zoo.lab import sweep
from zoo.lab.evaluate import posterior_means
from zoo.lab.sweep import Sites, Unit, across, changed, from_prior, inferred, quantiles, ranked, types, wide


def by_hand(model, z, *c):
    return model.decoder(z, *c).sigmoid().detach()


def test_a_sweep_changes_one_unit_of_every_setting_and_nothing_else():
    model, _ = joint_pair((3, 2))
    settings = from_prior(model, 4, seed=5)
    values = torch.tensor([-2.0, 0.5, 7.0])
    swept = sweep.sweep(model, settings, "z", 1, values)
    assert swept.shape == (4, 3, *SHAPE)
    for n in range(4):
        for v, value in enumerate(values):
            z = settings["z"][n].clone()
            z[1] = value
            expected = by_hand(model, z[None], settings["c1"][n : n + 1], settings["c2"][n : n + 1])
            torch.testing.assert_close(swept[n, v], expected[0])


def test_a_type_is_swept_over_its_corners():
    model, _ = joint_pair((3, 2))
    settings = from_prior(model, 2, seed=0)
    swept = across(model, settings, "c1")
    assert swept.shape == (2, 3, *SHAPE)
    for n in range(2):
        for k in range(3):
            expected = by_hand(model, settings["z"][n : n + 1], torch.eye(3)[k : k + 1], settings["c2"][n : n + 1])
            torch.testing.assert_close(swept[n, k], expected[0])


def test_every_combination_of_types_the_last_fastest():
    model, _ = joint_pair((2, 3))
    start = from_prior(model, 1, seed=0)
    many, names = types(Sites.of(model), start)
    assert names == ["c1=0 c2=0", "c1=0 c2=1", "c1=0 c2=2", "c1=1 c2=0", "c1=1 c2=1", "c1=1 c2=2"]
    assert many["c1"].argmax(1).tolist() == [0, 0, 0, 1, 1, 1]
    assert many["c2"].argmax(1).tolist() == [0, 1, 2, 0, 1, 2]
    assert torch.equal(many["z"], start["z"].expand(6, 2))
    few, names = types(Sites.of(model), start, at_most=4)
    assert (len(names), len(few["c1"]), len(few["z"])) == (4, 4, 4)


def test_what_is_decoded_at_once_does_not_matter(monkeypatch):
    model, _ = joint_pair()
    settings = from_prior(model, 5, seed=1)
    whole = sweep.sweep(model, settings, "z", 0, wide())
    monkeypatch.setattr(sweep, "AT_ONCE", 7)
    torch.testing.assert_close(sweep.sweep(model, settings, "z", 0, wide()), whole)


def test_draws_are_the_priors_with_types_at_corners_and_nobody_notices():
    model, _ = joint_pair((3, 2))
    state = torch.get_rng_state()
    with poutine.trace() as outside:
        settings = from_prior(model, 6, seed=3)
        again = from_prior(model, 6, seed=3)
    assert not outside.trace.nodes
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(3)
    first = poutine.trace(model).get_trace()
    assert torch.equal(settings["z"][:1], first.nodes["z"]["value"])
    assert torch.equal(settings["c1"][0], torch.eye(3)[first.nodes["c1"]["value"][0].argmax()])
    assert all(torch.equal(settings[name], again[name]) for name in ("z", "c1", "c2"))
    assert len(settings["z"].unique(dim=0)) == 6
    assert not torch.equal(from_prior(model, 6, seed=4)["z"], settings["z"])


def test_a_datapoint_starts_at_its_mean_and_its_most_probable_type():
    model, guide = joint_pair((3, 2), z=FullRank(2))
    x = images(4)
    centres, settings = posterior_means(guide, x), inferred(model, guide, x)
    assert torch.equal(settings["z"], centres["z"])
    for name, size in (("c1", 3), ("c2", 2)):
        assert torch.equal(settings[name], torch.eye(size)[centres[name].argmax(1)])


class Inherits(nn.Module):
    """a, and b that follows it closely; mix is a point of a simplex, and each unit has a switch in a plate."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.Linear(2, 15)

    def forward(self, x=None):
        with pyro.plate("data", 1 if x is None else len(x)):
            a = pyro.sample("a", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            b = pyro.sample("b", dist.Normal(10 * a, 1e-9).to_event(1))
            pyro.sample("mix", dist.Dirichlet(torch.ones(3)))
            with pyro.plate("units", 2, dim=-2):
                pyro.sample("on", dist.Bernoulli(0.5))
            logits = self.decoder(b).unflatten(-1, SHAPE)
            return pyro.sample("x", dist.Bernoulli(logits=logits, validate_args=False).to_event(3), obs=x)


def test_a_site_that_the_guide_lacks_follows_those_that_it_infers():
    model = Inherits()
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(15, 4))
    guide = Amortized(trunk, a=MeanField(2))
    x = images(3)
    settings = inferred(model, guide, x)
    torch.testing.assert_close(settings["a"], posterior_means(guide, x)["a"])
    torch.testing.assert_close(settings["b"], 10 * settings["a"])
    # points of a simplex and switches are no vectors of real numbers
    assert Sites.of(model) == Sites({"a": 2, "b": 2}, {})


def test_units_are_ranked_by_their_kl_and_coupled_ones_come_last():
    sites = Sites({"z": 3, "w": 2}, {"c": 4})
    units = ranked(sites, {"z": torch.tensor([0.1, 2.0, 0.5]), "w": torch.tensor([9.0]), "c": torch.tensor([1.0])})
    assert [str(unit) for unit in units] == ["z[1]", "z[2]", "z[0]", "w[0]", "w[1]"]
    assert [unit.nats for unit in units] == [2.0, 0.5, pytest.approx(0.1), None, None]
    assert [unit.label for unit in units[2:4]] == ["z[0]  0.10 nats", "w[0]"]
    # a site of one unit is not coupled with anything
    assert ranked(Sites({"z": 1}, {}), {"z": torch.tensor([0.25])}) == [Unit("z", 0, 0.25)]


def test_values_are_three_deviations_or_even_in_probability():
    assert wide().tolist() == [v / 2 for v in range(-6, 7)]
    found = quantiles(4)
    shares = [(1 + math.erf(v / math.sqrt(2))) / 2 for v in found.tolist()]
    assert shares == pytest.approx([0.05, 0.35, 0.65, 0.95])


def test_changes_are_made_to_a_copy():
    model, _ = joint_pair((3, 2))
    sites, settings = Sites.of(model), from_prior(model, 2, seed=0)
    before = {name: value.clone() for name, value in settings.items()}
    new = changed(sites, settings, [("z", 1, 2.5), ("c1", 2, 0.0)])
    assert new["z"][:, 1].tolist() == [2.5, 2.5]
    assert torch.equal(new["z"][:, 0], before["z"][:, 0])
    assert new["c1"].argmax(1).tolist() == [2, 2]
    assert all(torch.equal(settings[name], before[name]) for name in before)


def test_sites_and_units_that_are_not_there_are_named():
    sites = Sites.of(vae_pair()[0])
    with pytest.raises(LookupError, match="unknown site 'zz'; did you mean 'z'"):
        sites.check("zz")
    with pytest.raises(ValueError, match=r"site 'z' has the units 0 to 1, got 2"):
        sites.check("z", 2)
    with pytest.raises(ValueError, match=r"site 'c1' has the classes 0 to 2, got -1"):
        Sites.of(joint_pair((3, 2))[0]).check("c1", -1)
