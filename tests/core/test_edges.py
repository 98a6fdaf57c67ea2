"""Values at the edges: defaults, the smallest batches, single particles, and refusals that differ by one step."""

import contextlib
import inspect
import math
import re

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.distributions import transforms
from pyro.nn import ConditionalAutoRegressiveNN
from pyro.poutine.util import prune_subsample_sites
from torch import nn

from guides import Amortized, MeanField
from tests.objectives import EVERY
from tests.pairs import NUM_DATA, images, joint_pair, vae_pair
from zoo import VAE
from zoo.aggregate_sites import aggregate_sites
from zoo.elbos import BetaTCVAE, Capacity, FactorVAE, NaturalClusteringELBO, PlainELBO, TermwiseELBO
from zoo.estimators import log_weights
from zoo.handlers import DrawPriors, ScorePairs
from zoo.hyperparameters import Hyperparameter
from zoo.moments import posterior_moments
from zoo.pairing import check_room
from zoo.parents import MarkParents
from zoo.sites import mean_over_data, users_scale
from zoo.terms import dip_terms, elbo_terms


def test_a_batch_of_two_has_weights():
    # own 1/N, the other (N - 1) / (N (B - 1)) = 4/5
    weights = log_weights(2, 5, "stratified").exp()
    torch.testing.assert_close(weights, torch.tensor([[0.2, 0.8], [0.8, 0.2]]))


class Weighted:
    """An owner of hyperparameters without anything else."""

    plain, at_least_one, free = Hyperparameter(), Hyperparameter(low=1.0), Hyperparameter(low=None)
    checked: list[str]

    def assigned(self, name):
        self.checked = [*vars(self).get("checked", []), name]


def test_a_hyperparameter_is_at_least_zero_unless_it_says_otherwise():
    owner = Weighted()
    owner.plain, owner.at_least_one, owner.free = 0.0, 1.0, -3.0
    assert [owner.plain.item(), owner.at_least_one.item(), owner.free.item()] == [0.0, 1.0, -3.0]
    for name, below in (("plain", -0.5), ("at_least_one", 0.5), ("free", math.inf), ("plain", math.nan)):
        with pytest.raises(ValueError, match=f"Weighted: {name} must be finite"):
            setattr(owner, name, below)
    assert owner.plain.item() == 0.0


def test_numbers_are_checked_and_tensors_of_a_compiled_step_are_not():
    owner = Weighted()
    owner.plain = 1.0
    owner.plain = {"z": 1.0, "c": 2.0}
    assert owner.checked == ["plain", "plain"]
    owner.plain = torch.tensor(-1.0)
    owner.plain = {"z": torch.tensor(-1.0)}
    assert owner.checked == ["plain", "plain"]
    assert owner.plain["z"].item() == -1.0


def test_a_hyperparameter_is_found_on_the_class():
    assert isinstance(Weighted.free, Hyperparameter)
    assert (Weighted.plain.low, Weighted.free.low) == (0.0, None)


def test_an_index_is_not_marked_by_what_is_written_with_it():
    def program():
        c = pyro.sample("c", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        index, into = torch.tensor([0]), torch.zeros(2)
        into[index] = c[:1]
        pyro.sample("written", dist.Normal(into, 1.0).to_event(1))
        pyro.sample("index", dist.Normal(index.double(), 1.0).to_event(1))

    nodes = poutine.trace(MarkParents()(program)).get_trace().nodes
    assert (set(nodes["written"]["parents"]), set(nodes["index"]["parents"])) == ({"c"}, set())


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


ALL = {**EVERY, "NaturalClusteringELBO": lambda: NaturalClusteringELBO(beta_c=2.0)}


@pytest.mark.parametrize("name", ALL)
def test_every_objective_passes_on_what_all_have(name):
    made = ALL[name]()
    cls, settings = type(made), dict(vars(made))
    takes = inspect.signature(cls).parameters
    own = {key: settings[key] for key in takes if key in settings}
    own = {key: value.item() if isinstance(value, torch.Tensor) else value for key, value in own.items()}
    assert cls(**own, num_particles=3).num_particles == 3
    assert cls(**own).num_particles == 1
    if "kl" in takes:
        assert cls(**own, kl="sampled").kl == "sampled"
        assert cls(**own).kl == "closed"


def test_a_pass_leaves_the_settings_as_they_were():
    # A compiled step is valid for one value of them, so nothing that a pass writes may be among them.
    elbo = BetaTCVAE(beta=2.0, num_data=NUM_DATA)
    before = elbo.settings()
    elbo.loss(*vae_pair(), images())
    assert elbo.settings() == before
    assert {"num_data": NUM_DATA, "estimator": "stratified", "concrete": "mass", "num_particles": 1}.items() <= (
        before.items()
    )
    assert not [name for name in before if name.startswith("_") or name == "beta"]


@pytest.mark.parametrize(("messenger", "left"), [(ScorePairs("mass"), "score_own"), (DrawPriors(), "draw_prior")])
def test_a_messenger_writes_on_latent_sites_alone(messenger, left):
    model, _ = vae_pair()
    trace = poutine.trace(messenger(model)).get_trace(images())
    assert [name for name, site in trace.nodes.items() if left in site] == ["z"]


def test_scores_are_by_mass_or_by_density():
    with pytest.raises(ValueError, match="concrete must be 'mass' or 'density', got 'mas'"):
        ScorePairs("mas")


def test_a_capacity_beyond_log_k_keeps_single_precision():
    # The maximum is computed in double precision; a double among the terms would make the loss one.
    torch.set_default_dtype(torch.float32)
    elbo = Capacity(gamma={"z": 30.0, "c": 30.0}, capacity={"z": 1.0, "c": 1.0})
    loss = elbo.differentiable_loss(*joint_pair(), images())
    assert loss.dtype == torch.float32
    assert {term.dtype for term in elbo.report().terms.values()} == {torch.float32}


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_nats_are_averaged_over_data_and_summed_over_other_plates(copies):
    def program():
        with pyro.plate("k", copies, dim=-2), pyro.plate("data", 5):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    values = torch.randn(copies, 5)
    site = poutine.trace(program).get_trace().nodes["z"]
    torch.testing.assert_close(mean_over_data(values, site), values.sum(0).mean())


@pytest.mark.parametrize(("full", "batch"), [(4, 4), (8, 4), (10, 4)])
def test_a_users_scale_is_what_the_plates_leave(full, batch):
    # Pyro multiplies a site's scale by full / batch; what a user scaled it by is the rest.
    def program():
        with pyro.plate("data", full, subsample=torch.arange(batch)):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    for scale in (1.0, 3.0, 0.25):
        site = poutine.trace(poutine.scale(program, scale=scale)).get_trace().nodes["z"]
        assert site["scale"] == pytest.approx(scale * full / batch)
        assert users_scale(site) == pytest.approx(scale)


def test_moments_over_a_class_that_all_datapoints_share():
    # c ~ (1/4, 3/4) for all, z | c ~ N(mu_c, I): E = (mu_1 + 3 mu_2) / 4, Cov = I + 3/16 (mu_1 - mu_2)(mu_1 - mu_2)^T
    mu = torch.tensor([[1.0, 2.0], [-1.0, 0.5]])

    def guide():
        probs = torch.tensor([0.25, 0.75])
        c = pyro.sample("c", dist.OneHotCategorical(probs), infer={"enumerate": "parallel"})
        with pyro.plate("data", 3):
            pyro.sample("z", dist.Normal(c @ mu, 1.0).to_event(1))

    trace = poutine.trace(poutine.enum(guide, first_available_dim=-2)).get_trace()
    means, covariances = posterior_moments(prune_subsample_sites(trace), "z")
    apart = mu[0] - mu[1]
    torch.testing.assert_close(means, ((mu[0] + 3 * mu[1]) / 4).expand(3, 2))
    torch.testing.assert_close(covariances, (torch.eye(2) + 3 / 16 * apart.outer(apart)).expand(3, 2, 2))


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_the_deepest_plate_counts_wherever_it_stands_in_the_program(order):
    # Dimensions left of -room belong to sites that are summed out; -1 and -2 fit, -3 does not.
    def guide():
        with contextlib.ExitStack() as plates:
            for depth in order:
                plates.enter_context(pyro.plate(f"p{depth}", 2, dim=-depth))
            pyro.sample("c", dist.OneHotCategorical(torch.ones(2) / 2), infer={"enumerate": "parallel"})

    trace = poutine.trace(poutine.enum(guide, first_available_dim=-4)).get_trace()
    check_room(trace, trace, 3)
    with pytest.raises(
        ValueError, match=r"plate 'p3' is at dimension -3, of 3 plates; a pair .* may nest 2, particles"
    ):
        check_room(trace, trace, 2)


def test_a_refused_call_shows_the_signature_without_its_types():
    model, guide = vae_pair()
    shown = re.escape("VAE.forward(x=None, *, index=None) cannot be called with ")
    with pytest.raises(TypeError, match=shown + re.escape("(x, y): too many positional arguments")):
        PlainELBO().loss(model, guide, images(), torch.zeros(11))
    with pytest.raises(TypeError, match=shown + re.escape("(x, z=...)")):
        PlainELBO().loss(model, guide, images(), z=1)


# Provenance.


class Through(nn.Module):
    """Adds a value that it holds."""

    def __init__(self, held):
        super().__init__()
        self.held = held

    def forward(self, x):
        return x + self.held


def _assigned(c):
    into = torch.zeros(2)
    into[:1] = c[:1]
    return into


@pytest.mark.parametrize(
    "compute",
    [
        lambda c: c * 2,
        lambda c: torch.add(torch.zeros(2), other=c),  # by keyword
        lambda c: torch.stack([torch.zeros(2), c]).sum(0),  # in a list
        lambda c: c.split(1)[0].expand(2),  # from a function with several results
        lambda c: Through(c)(torch.zeros(2)),
        lambda c: torch.exp(c).mean().expand(2),
        _assigned,
    ],
)
def test_a_value_is_marked_whichever_way_it_comes(compute):
    def program():
        c = pyro.sample("c", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        other = pyro.sample("other", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        seen = pyro.sample("seen", dist.Normal(c, 1.0).to_event(1), obs=torch.ones(2))
        pyro.sample("z", dist.Normal(compute(c), 1.0).to_event(1))
        pyro.sample("mixed", dist.Normal(compute(c) + other, 1.0).to_event(1))
        pyro.sample("alone", dist.Normal(seen, 1.0).to_event(1))  # an observed value is data, like x

    nodes = poutine.trace(MarkParents()(program)).get_trace().nodes
    assert {name: set(nodes[name]["parents"]) for name in ("c", "other", "seen", "z", "mixed", "alone")} == {
        "c": set(),
        "other": set(),
        "seen": {"c"},
        "z": {"c"},
        "mixed": {"c", "other"},
        "alone": set(),
    }


def test_a_distribution_is_marked_by_its_parts():
    # In the parameters of a transform, in what a conditional transform was given, and in a mixture's components.
    flow = transforms.ConditionalAffineAutoregressive(ConditionalAutoRegressiveNN(2, 2, [8]))

    def program():
        c = pyro.sample("c", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        normal = dist.Normal(torch.zeros(2), 1.0)
        pyro.sample("t", dist.TransformedDistribution(normal, [transforms.AffineTransform(c, 1.0)]).to_event(1))
        pyro.sample("f", dist.TransformedDistribution(normal.to_event(1), [flow.condition(c)]))
        parts = dist.Normal(c.unsqueeze(-1) + torch.zeros(2, 3), 1.0).to_event(1)
        pyro.sample("m", dist.MixtureSameFamily(dist.Categorical(torch.ones(2)), parts))

    nodes = poutine.trace(MarkParents()(program)).get_trace().nodes
    assert {name: set(nodes[name]["parents"]) for name in ("t", "f", "m")} == {"t": {"c"}, "f": {"c"}, "m": {"c"}}


@pytest.mark.parametrize("with_index", [False, True])
def test_two_sites_in_the_wrong_order_are_refused_with_an_index_too(with_index):
    # z2 -> z1 in the model, z1 then z2 | z1 in the guide.
    index = torch.arange(4) if with_index else None

    def plate():
        return pyro.plate("data", 4, subsample=index)

    def model(x):
        with plate():
            z2 = pyro.sample("z2", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            z1 = pyro.sample("z1", dist.Normal(z2, 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z1, 1.0).to_event(1), obs=x)

    def guide(x):
        with plate():
            z1 = pyro.sample("z1", dist.Normal(x, 1.0).to_event(1))
            pyro.sample("z2", dist.Normal(z1, 1.0).to_event(1))

    with pytest.raises(ValueError, match="site 'z1': its prior depends on 'z2', which the guide draws given 'z1'"):
        PlainELBO().loss(model, guide, torch.ones(4, 1))


@pytest.mark.parametrize(("pair", "marked"), [(vae_pair, False), (joint_pair, True)])
def test_a_model_is_marked_where_several_sites_could_depend_on_each_other(pair, marked):
    # A plate has a site of its own in the trace until it is pruned: it was counted, and every model was marked.
    seen = []

    class Look(TermwiseELBO):
        def terms(self, model_trace, guide_trace):
            seen.append("parents" in model_trace.nodes["z"])
            return elbo_terms(model_trace, guide_trace)

    Look().loss(*pair(), images())
    assert seen == [marked]


def test_a_discriminator_sees_all_units_of_all_sites_side_by_side():
    seen = []

    def log_ratio(z):
        seen.append(tuple(z.shape))
        return torch.zeros(z.shape[:-1])

    FactorVAE(gamma=1.0, log_ratio=log_ratio, num_particles=3).loss(*joint_pair(), images())
    assert seen == [(3, 11, 2 + 3)]  # particles, batch, z and c
