"""One latent changed at a time, against the decoder called by hand; what guides infer; which datapoints are shown."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn

from guides import Amortized, FullRank, MeanField
from tests.pairs import SHAPE, by_hand, images, joint_pair, nvae_pair, vae_pair
from zoo.lab.analysis import (
    RANGE_3,
    LatentSites,
    Unit,
    encode_modes,
    from_prior,
    intervene,
    posterior_means,
    quantiles,
    ranked,
    traverse_classes,
    traverse_unit,
    types,
)
from zoo.lab.analysis.knn_labels import NearestNeighbours
from zoo.lab.analysis.selection import spread
from zoo.lab.data import Dataset


def test_traversing_changes_one_unit_of_every_datapoint_and_nothing_else():
    model, _ = joint_pair((3, 2))
    latents = from_prior(model, 4, seed=5)
    values = torch.tensor([-2.0, 0.5, 7.0])
    images_ = traverse_unit(model, latents, "z", 1, values)
    assert images_.shape == (4, 3, *SHAPE)
    for n in range(4):
        for v, value in enumerate(values):
            z = latents["z"][n].clone()
            z[1] = value
            expected = by_hand(model, z[None], latents["c1"][n : n + 1], latents["c2"][n : n + 1])
            torch.testing.assert_close(images_[n, v], expected[0])


def test_a_type_is_set_to_each_of_its_classes():
    model, _ = joint_pair((3, 2))
    latents = from_prior(model, 2, seed=0)
    images_ = traverse_classes(model, latents, "c1")
    assert images_.shape == (2, 3, *SHAPE)
    for n in range(2):
        for k in range(3):
            expected = by_hand(model, latents["z"][n : n + 1], torch.eye(3)[k : k + 1], latents["c2"][n : n + 1])
            torch.testing.assert_close(images_[n, k], expected[0])


def test_every_combination_of_types_the_last_fastest():
    model, _ = joint_pair((2, 3))
    start = from_prior(model, 1, seed=0)
    many, names = types(LatentSites.of(model), start)
    assert names == ["c1=0 c2=0", "c1=0 c2=1", "c1=0 c2=2", "c1=1 c2=0", "c1=1 c2=1", "c1=1 c2=2"]
    assert many["c1"].argmax(1).tolist() == [0, 0, 0, 1, 1, 1]
    assert many["c2"].argmax(1).tolist() == [0, 1, 2, 0, 1, 2]
    assert torch.equal(many["z"], start["z"].expand(6, 2))
    few, names = types(LatentSites.of(model), start, at_most=4)
    assert (len(names), len(few["c1"]), len(few["z"])) == (4, 4, 4)


def test_what_is_decoded_at_once_does_not_matter(monkeypatch):
    model, _ = joint_pair()
    latents = from_prior(model, 5, seed=1)
    whole = traverse_unit(model, latents, "z", 0, RANGE_3)
    monkeypatch.setattr("zoo.lab.analysis.interventions.AT_ONCE", 7)
    torch.testing.assert_close(traverse_unit(model, latents, "z", 0, RANGE_3), whole)


def test_draws_are_the_priors_with_one_hot_types_and_leave_no_trace():
    model, _ = joint_pair((3, 2))
    state = torch.get_rng_state()
    with poutine.trace() as outside:
        latents = from_prior(model, 6, seed=3)
        again = from_prior(model, 6, seed=3)
    assert not outside.trace.nodes
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(3)
    first = poutine.trace(model).get_trace()
    assert torch.equal(latents["z"][:1], first.nodes["z"]["value"])
    assert torch.equal(latents["c1"][0], torch.eye(3)[first.nodes["c1"]["value"][0].argmax()])
    assert all(torch.equal(latents[name], again[name]) for name in ("z", "c1", "c2"))
    assert len(latents["z"].unique(dim=0)) == 6
    assert not torch.equal(from_prior(model, 6, seed=4)["z"], latents["z"])


def test_a_datapoint_starts_at_its_mean_and_its_most_probable_type():
    model, guide = joint_pair((3, 2), z=FullRank(2))
    x = images(4)
    centres, latents = posterior_means(guide, x), encode_modes(model, guide, x)
    assert torch.equal(latents["z"], centres["z"])
    for name, size in (("c1", 3), ("c2", 2)):
        assert torch.equal(latents[name], torch.eye(size)[centres[name].argmax(1)])


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


def mixed(mixture):
    """A story with this prior of z."""

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x=None):
            with pyro.plate("data", 1 if x is None else len(x)):
                pyro.sample("z", mixture())

    return Mixed()


def whole():
    """Two clusters of vectors."""
    normals = dist.Normal(torch.zeros(2, 2), 1.0).to_event(1)
    return dist.MixtureSameFamily(dist.Categorical(torch.ones(2)), normals)


def unitwise():
    """Each unit wide or narrow."""
    normals = dist.Normal(torch.zeros(2, 2), torch.tensor([1.0, 0.05]))
    return dist.MixtureSameFamily(dist.Categorical(torch.ones(2, 2)), normals).to_event(1)


def test_a_site_that_the_guide_lacks_follows_those_that_it_infers():
    model = Inherits()
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(15, 4))
    guide = Amortized(trunk, a=MeanField(2))
    x = images(3)
    latents = encode_modes(model, guide, x)
    torch.testing.assert_close(latents["a"], posterior_means(guide, x)["a"])
    torch.testing.assert_close(latents["b"], 10 * latents["a"])
    # points of a simplex and switches are no vectors of real numbers
    assert LatentSites.of(model) == LatentSites({"a": 2, "b": 2}, {})


@pytest.mark.parametrize("mixture", [whole, unitwise])
def test_units_under_a_mixture_are_real(mixture):
    assert LatentSites.of(mixed(mixture)) == LatentSites({"z": 2}, {})


def test_a_type_that_the_guide_lacks_is_the_most_probable_one():
    class Typed(nn.Module):
        def forward(self, x=None, y=None):
            with pyro.plate("data", 1 if x is None else len(x)):
                z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
                y = None if y is None else torch.eye(3)[y]
                y = pyro.sample("y", dist.OneHotCategorical(logits=z), obs=y)
                return pyro.sample(
                    "x", dist.Normal(y.repeat_interleave(5, -1).unflatten(-1, SHAPE), 1.0).to_event(3), obs=x
                )

    model, x = Typed(), images(6)
    model.scale = nn.Parameter(torch.ones(()))  # whose device is asked for
    guide = Amortized(nn.Sequential(nn.Flatten(), nn.Linear(15, 4)), z=MeanField(3))
    latents = encode_modes(model, guide, x)
    assert torch.equal(latents["y"].argmax(1), latents["z"].argmax(1))
    # what a label says is not inferred
    guide.forward = lambda x, y=None: Amortized.forward(guide, x)
    y = torch.tensor([2, 1, 0, 0, 1, 2])
    assert torch.equal(encode_modes(model, guide, x, y)["y"].argmax(1), y)


def test_units_are_ranked_by_their_kl_and_coupled_ones_come_last():
    sites = LatentSites({"z": 3, "w": 2}, {"c": 4})
    units = ranked(sites, {"z": torch.tensor([0.1, 2.0, 0.5]), "w": torch.tensor([9.0]), "c": torch.tensor([1.0])})
    assert [str(unit) for unit in units] == ["z[1]", "z[2]", "z[0]", "w[0]", "w[1]"]
    assert [unit.nats for unit in units] == [2.0, 0.5, pytest.approx(0.1), None, None]
    assert [unit.label for unit in units[2:4]] == ["z[0]  0.10 nats", "w[0]"]
    # a site of one unit is not coupled with anything
    assert ranked(LatentSites({"z": 1}, {}), {"z": torch.tensor([0.25])}) == [Unit("z", 0, 0.25)]


def test_values_are_three_deviations_or_even_in_probability():
    assert RANGE_3.tolist() == [v / 2 for v in range(-6, 7)]
    found = quantiles(4)
    shares = [(1 + math.erf(v / math.sqrt(2))) / 2 for v in found.tolist()]
    assert shares == pytest.approx([0.05, 0.35, 0.65, 0.95])


def test_changes_are_made_to_a_copy():
    model, _ = joint_pair((3, 2))
    sites, latents = LatentSites.of(model), from_prior(model, 2, seed=0)
    before = {name: value.clone() for name, value in latents.items()}
    new = intervene(sites, latents, [("z", 1, 2.5), ("c1", 2, 0.0)])
    assert new["z"][:, 1].tolist() == [2.5, 2.5]
    assert torch.equal(new["z"][:, 0], before["z"][:, 0])
    assert new["c1"].argmax(1).tolist() == [2, 2]
    assert all(torch.equal(latents[name], before[name]) for name in before)


def test_sites_and_units_that_are_not_there_are_named():
    sites = LatentSites.of(vae_pair()[0])
    with pytest.raises(LookupError, match="unknown site 'zz'; did you mean 'z'"):
        sites.check("zz")
    with pytest.raises(ValueError, match=r"site 'z' has the units 0 to 1, got 2"):
        sites.check("z", 2)
    with pytest.raises(ValueError, match=r"site 'c1' has the classes 0 to 2, got -1"):
        LatentSites.of(joint_pair((3, 2))[0]).check("c1", -1)


def test_labels_are_those_of_the_nearest_training_images():
    x = torch.tensor([0.0, 0.1, 0.2, 1.0, 1.1, 5.0])[:, None, None, None]
    data = Dataset("line", x.numpy())
    y = torch.tensor([0, 0, 1, 1, 1, 2])
    five = NearestNeighbours(x.flatten(1), y)
    # of 0: three of its five nearest are of 1, two of 0; of 9 as well, with 2 once
    assert five(torch.tensor([0.0, 9.0])[:, None, None, None]).tolist() == [1, 1]
    near = NearestNeighbours(x.flatten(1)[[0, 3]], y[[0, 3]])
    rows = torch.tensor([[0.0, 0.1, 0.2, 0.9], [0.9, 2.0, 3.0, 4.0]])[:, :, None, None, None]
    assert near(rows).tolist() == [[0, 0, 0, 1], [1, 1, 1, 1]]  # the nearer of a tie
    assert near(rows[0, 0]).tolist() == 0  # one image
    assert near.label_consistency(rows).tolist() == [0.75, 1.0]
    with pytest.raises(ValueError, match="'line' has no labels for its nearest neighbours"):
        NearestNeighbours.of(data)


def test_neighbours_far_from_0_are_as_exact_as_near_it():
    # 300.5 and its like are exact in single precision, but their squares are not: 300.5^2 has 17 digits
    torch.set_default_dtype(torch.float32)
    x = torch.randint(256, (60, 1, 6, 4)) / 256
    y = torch.arange(60) % 7
    queries = torch.randint(256, (40, 1, 6, 4)) / 256
    near, far = NearestNeighbours(x.flatten(1), y), NearestNeighbours(300 + x.flatten(1), y)
    exact = [(x.double() - query.double()).square().sum((1, 2, 3)).argsort(stable=True)[:5] for query in queries]
    expected = [
        max(y[five].tolist(), key=lambda label: (y[five] == label).sum()) for five in exact
    ]  # the nearest of a tie
    assert near(queries).tolist() == expected
    assert far(300 + queries).tolist() == expected


def test_shown_datapoints_are_spread_over_the_classes_by_a_seed():
    # A folder in class order, as many sets are: 90 of class 0, 6 of class 1, 4 of class 2.
    y = np.array([0] * 90 + [1] * 6 + [2] * 4)
    data = Dataset("sorted", np.zeros((100, 2), np.float32), y)
    chosen = spread(data, 9)
    assert y[chosen].tolist() == [0, 1, 2] * 3
    assert len(set(chosen)) == 9
    assert spread(data, 9) == chosen
    assert spread(data, 9, seed=1) != chosen
    assert y[spread(data, 20)].tolist()[12:] == [0, 1, 0, 1, 0, 0, 0, 0]  # classes run out
    assert sorted(spread(data, 1000)) == list(range(100))
    without = Dataset("unlabelled", np.zeros((100, 2), np.float32))
    assert sorted(spread(without, 1000)) == list(range(100))
    assert spread(without, 5) != list(range(5))


def test_a_deterministic_site_follows_the_type_and_the_units_that_it_is_computed_from():
    # N-VAE's decoder sees y and z_c only in z_cy = vec(y [1, z_c]); a z_cy that is kept would hide every change.
    model, guide = nvae_pair()
    sites = LatentSites.of(model)
    assert (sites.units, sites.classes) == ({"z_c": 6, "z_s": 4}, {"y": 3})
    start = encode_modes(model, guide, images(2))
    assert "z_cy" not in start
    by_class = traverse_classes(model, start, "y")
    for k in range(3):
        y = torch.eye(3)[[k, k]]
        by_hand = model.decoder(model.mask(y, start["z_c"]), start["z_s"]).sigmoid()
        torch.testing.assert_close(by_class[:, k], by_hand)
    own = int(start["y"][0].argmax())
    for unit in range(6):  # two units for each class: only those of the datapoint's own class change its image
        changed = traverse_unit(model, {name: value[:1] for name, value in start.items()}, "z_c", unit, RANGE_3)
        assert ((changed - changed[:, :1]).abs().max() > 1e-9) == (unit // 2 == own)
