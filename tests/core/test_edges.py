"""Values at the edges: defaults, the smallest batches, single particles, and refusals that differ by one step."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from guides import Amortized, MeanField
from tests.pairs import NUM_DATA
from zoo import VAE
from zoo.aggregate import aggregate_sites
from zoo.elbos import BetaTCVAE, PlainELBO, TermwiseELBO
from zoo.estimators import log_weights
from zoo.hyperparameters import Hyperparameter
from zoo.terms import dip_terms


def test_a_batch_of_two_has_weights():
    # own 1/N, the other (N - 1) / (N (B - 1)) = 4/5
    weights = log_weights(2, 5, "stratified").exp()
    torch.testing.assert_close(weights, torch.tensor([[0.2, 0.8], [0.8, 0.2]]))


class Weighted:
    """An owner of hyperparameters without anything else."""

    plain, at_least_one, free = Hyperparameter(), Hyperparameter(low=1.0), Hyperparameter(low=None)

    def assigned(self, name):
        pass


def test_a_hyperparameter_is_at_least_zero_unless_it_says_otherwise():
    owner = Weighted()
    owner.plain, owner.at_least_one, owner.free = 0.0, 1.0, -3.0
    assert [owner.plain.item(), owner.at_least_one.item(), owner.free.item()] == [0.0, 1.0, -3.0]
    for name, below in (("plain", -0.5), ("at_least_one", 0.5), ("free", math.inf), ("plain", math.nan)):
        with pytest.raises(ValueError, match=f"Weighted: {name} must be finite"):
            setattr(owner, name, below)
    assert owner.plain.item() == 0.0


def test_dips_penalties_by_hand():
    # [[3, 2], [2, 5]]: off the diagonal 2 x 2^2, on it (3 - 1)^2 + (5 - 1)^2
    terms = dip_terms(torch.tensor([[3.0, 2.0], [2.0, 5.0]]), torch.tensor(10.0), torch.tensor(100.0))
    assert [term.item() for term in terms.values()] == [-10.0 * 8, -100.0 * 20]


def test_with_one_particle_a_decoder_sees_the_batch_alone():
    # A decoder of one batch dimension, as convolutions are, has no room for a plate of particles.
    seen = []

    class Decoder(nn.Linear):
        def forward(self, z):
            seen.append(tuple(z.shape))
            return super().forward(z)

    model = VAE(Decoder(2, 15), z_dim=2, num_data=NUM_DATA)
    guide = Amortized(nn.Linear(15, 7), z=MeanField(2), num_data=NUM_DATA)
    x = torch.rand(11, 15)
    PlainELBO().loss(model, guide, x)
    assert set(seen) == {(11, 2)}
    PlainELBO(num_particles=3).loss(model, guide, x)
    assert seen[-1] == (3, 11, 2)


def test_a_class_argument_that_nobody_knows_is_refused():
    with pytest.raises(TypeError, match="takes no keyword arguments"):
        type("Mine", (TermwiseELBO,), {"terms": lambda self, m, g: {}}, wrong=1)


def test_a_hidden_dependence_on_a_class_that_is_summed_out_is_found_by_provenance():
    # c is enumerated and z computed from it, without infer["given"]: only the marks of zoo.parents know.
    class Hidden(nn.Module):
        def forward(self, x):
            with pyro.plate("data", len(x)):
                probs = torch.tensor([0.5, 0.5])
                c = pyro.sample("c", dist.OneHotCategorical(probs), infer={"enumerate": "parallel"})
                pyro.sample("z", dist.Normal(c * 3.0, 1.0).to_event(1))

    class Story(nn.Module):
        def forward(self, x):
            with pyro.plate("data", len(x)):
                c = pyro.sample("c", dist.OneHotCategorical(torch.ones(2) / 2))
                z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(c + z, 1.0).to_event(1), obs=x)

    class OnlyZ(TermwiseELBO):
        needs_kl = False

        def messengers(self):
            return BetaTCVAE(beta=1.0, num_data=4).messengers()

        def terms(self, model_trace, guide_trace):
            aggregate_sites(guide_trace, ["z"])
            return {}

    with pytest.raises(ValueError, match="site 'z' depends on 'c', which is summed out, and q"):
        OnlyZ().loss(Story(), Hidden(), torch.zeros(4, 2))
