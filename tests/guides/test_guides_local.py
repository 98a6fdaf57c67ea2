"""Guides that are not one forward pass: a row per datapoint, a few steps per datapoint, Pyro's autoguides."""

import copy
import math
import pickle
from contextlib import nullcontext
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI
from pyro.infer.autoguide import (
    AutoDelta,
    AutoDiagonalNormal,
    AutoGaussian,
    AutoMultivariateNormal,
    AutoNormal,
    AutoStructured,
)
from torch import Tensor, nn

from guides import (
    Amortized,
    Automatic,
    Concrete,
    DirichletHead,
    Exact,
    FullRank,
    LowRank,
    MeanField,
    PerDatapoint,
    Predicted,
    Refined,
    SemiAmortized,
    refine,
)
from tests.pairs import INTEGERS, NUM_DATA, StyleGivenType, images, vae_pair
from zoo import VAE, ClusteredVAE, ConditionalVAE, NaturalClustering
from zoo.elbos import DIPVAE, HFVAE, BetaTCVAE, BetaVAE, Capacity, PlainELBO
from zoo.lab.analysis import posteriors
from zoo.lab.data import Batch
from zoo.lab.networks import MLPDecoder
from zoo.lab.training import compiled
from zoo.lab.training.fit import fit

LOCAL = {
    "per-datapoint": lambda model: PerDatapoint(NUM_DATA, z=MeanField(2)),
    "semi-amortised": lambda model: SemiAmortized(
        vae_pair()[1], partial(PlainELBO().differentiable_loss, model), steps=2, lr=0.1
    ),
    "through": lambda model: SemiAmortized(
        vae_pair()[1], partial(PlainELBO().differentiable_loss, model), steps=2, lr=0.1, through=True
    ),
    "automatic": lambda model: Automatic(model, num_data=NUM_DATA),
    "automatic point": lambda model: Automatic(model, AutoDelta, num_data=NUM_DATA),
}


def batches(x, steps, size=10):
    generator = torch.Generator().manual_seed(5)
    for _ in range(steps):
        index = torch.randperm(len(x), generator=generator)[:size]
        yield Batch(x[index], None, index)


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("convert", [Tensor.numpy, Tensor.tolist])
def test_each_names_what_is_no_tensor(name, convert):
    model, _ = vae_pair()
    guide, x, index = LOCAL[name](model), images(NUM_DATA), torch.arange(NUM_DATA)
    kind = type(convert(x)).__name__
    with pytest.raises(ValueError, match=rf"^x must be a tensor, got {kind}; torch.as_tensor\(x\) makes one"):
        PlainELBO().loss(model, guide, convert(x), index=index)
    with pytest.raises(ValueError, match=rf"^index must be a tensor, got {kind}; torch.as_tensor\(index\) makes one"):
        PlainELBO().loss(model, guide, x, index=convert(index))


@pytest.mark.parametrize("name", LOCAL)
def test_each_trains_by_batches_eager_and_traced_alike(name, monkeypatch):
    traced = []
    monkeypatch.setattr(compiled.torch, "compile", lambda graph, **options: traced.append(graph) or graph)
    model, _ = vae_pair()
    pair = (model, LOCAL[name](model))
    x, curves = images(NUM_DATA), []
    for compile, count in ((False, 20), (True, 60)):  # a traced step takes less time
        torch.manual_seed(3)
        steps = fit(*copy.deepcopy(pair), PlainELBO(), batches(x, count), lr=4e-2, compile=compile)
        curves.append([report.loss.item() for _, report in steps])
    eager, by_trace = curves
    assert traced
    assert by_trace[:20] == pytest.approx(eager, rel=1e-8)
    assert sum(by_trace[-10:]) < sum(by_trace[:10]) - 5


@pytest.mark.parametrize("name", LOCAL)
def test_two_of_a_kind_and_a_copy_train_under_plain_svi_in_one_process(name):
    model, _ = vae_pair()
    x = images(NUM_DATA)
    first = LOCAL[name](model)
    first(x)  # an autoguide has no parameters before
    for guide in (first, LOCAL[name](model), copy.deepcopy(first)):
        fresh = copy.deepcopy(model)
        svi = SVI(fresh, guide, pyro.optim.Adam({"lr": 1e-1}), loss=PlainELBO())
        before = [p.detach().clone() for p in guide.parameters()]
        losses = [svi.step(batch.x, index=batch.index) for batch in batches(x, 10)]
        assert sum(losses[-3:]) < sum(losses[:3]) - 1.5
        after = list(guide.parameters())
        assert len(after) == len(before) or not before
        assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=False))


@pytest.mark.parametrize("name", ["per-datapoint", "automatic", "automatic point"])
def test_a_batch_touches_its_own_rows_alone(name):
    model, _ = vae_pair()
    guide, x = LOCAL[name](model), images(NUM_DATA)
    index = torch.tensor([3, 60, 7])
    PlainELBO().loss(model, guide, x[index], index=index)  # sets an autoguide up
    PlainELBO().loss_and_grads(model, guide, x[index], index=index)
    for parameter in guide.parameters():
        touched = parameter.grad.abs().flatten(1).sum(1).nonzero().squeeze(1)
        assert touched.tolist() == [3, 7, 60]


def test_the_index_says_which_row_belongs_to_which_datapoint():
    guide = PerDatapoint(NUM_DATA, c=Concrete(3, temperature=0.5), z=MeanField(2, given=("c",)))
    index = torch.tensor([3, 60, 7])
    with pyro.plate("particles", 4, dim=-2):
        trace = poutine.trace(guide).get_trace(images(3), index=index)
    torch.testing.assert_close(trace.nodes["c"]["fn"].logits, guide.tables["c"][index].log_softmax(-1).expand(4, 3, 3))
    c = trace.nodes["c"]["value"]
    moved = guide.tables["z"][index] + guide.layers["z"](c)
    torch.testing.assert_close(trace.nodes["z"]["fn"].mean, moved[..., :2])


@pytest.mark.parametrize("index", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 2, 0], [3, 1]])
@pytest.mark.parametrize("kind", [AutoNormal, AutoDelta])
def test_an_autoguides_rows_are_those_of_the_index_also_where_the_batch_is_all_of_the_data(kind, index):
    # Pyro selects rows only for a part of the data: in a batch of all 4, in any order, it took rows 0, 1, 2, 3.
    model = VAE(nn.Linear(2, 5), z_dim=2, num_data=4)
    guide, x, rows = Automatic(model, kind, num_data=4), torch.rand(4, 5), torch.arange(8.0).view(4, 2)
    guide(x)
    with torch.no_grad():
        for name, parameter in guide.named_parameters():
            parameter.copy_(rows) if "scales" not in name else parameter.fill_(-30.0)
    index = torch.tensor(index)
    torch.testing.assert_close(guide(x[index], index=index)["z"], rows[index], atol=1e-9, rtol=0)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_positions_may_be_integers_of_any_type(dtype):
    # uint8 was a mask: as many rows as there are datapoints, or the one row that is not 0, for all of them.
    guide, x = PerDatapoint(4, z=MeanField(2)), torch.rand(4, 5)
    for index in (torch.tensor([3, 2, 1, 1]), torch.tensor([0, 0, 2, 0])):
        trace = poutine.trace(guide).get_trace(x, index=index.to(dtype))
        torch.testing.assert_close(trace.nodes["z"]["fn"].mean, guide.tables["z"][index, :2])


def test_terms_of_q_run_a_per_datapoint_head_again_on_its_own_rows():
    # All weights 1 is the ELBO, which fails where samples are scored under the wrong rows.
    guide = PerDatapoint(9, c=Concrete(3, temperature=0.5), z=FullRank(2, given=("c",)))
    x, losses = torch.randn(9, 5), []
    for elbo in (HFVAE(alpha=1, beta=1, gamma=1, num_data=9, concrete="density"), PlainELBO(kl="sampled")):
        torch.manual_seed(1)
        losses.append(elbo.loss(StyleGivenType(), guide, x))
    assert losses[0] == pytest.approx(losses[1], abs=1e-9)


def test_a_per_datapoint_guide_knows_no_other_data():
    model, guide = vae_pair()[0], PerDatapoint(NUM_DATA, z=MeanField(2))
    with pytest.raises(ValueError, match=r"which of its 70 datapoints these 11 are: give index=.*use Amortized"):
        PlainELBO().loss(model, guide, images(11))
    assert PlainELBO().loss(model, guide, images(NUM_DATA)) > 0  # all of it, in order


@pytest.mark.parametrize("per_datapoint", [False, True])
def test_a_datapoints_label_goes_with_it_where_its_posterior_is_run_again(per_datapoint):
    # q(z_i | x_j, y_j): the label is data. All weights 1 is the ELBO; and q(z) by hand, over all of the data.
    model = ConditionalVAE(MLPDecoder(2 + 3, (1, 3, 5), hidden=(8,)), classes=3, z_dim=2)
    head = MeanField(2, given=("y",))
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(15, 4))
    guide = PerDatapoint(6, classes=3, z=head) if per_datapoint else Amortized(trunk, classes=3, z=head)
    x, y = images(6), torch.tensor([0, 1, 2, 0, 1, 2])
    losses = []
    for elbo in (HFVAE(alpha=1, beta=1, gamma=1, num_data=6), PlainELBO(kl="sampled")):
        torch.manual_seed(1)
        losses.append(elbo.loss(model, guide, x, y))
    assert losses[0] == pytest.approx(losses[1], abs=1e-9)
    elbo = BetaTCVAE(beta=1.0, num_data=6, estimator="batch")
    torch.manual_seed(1)
    elbo.loss(model, guide, x, y)
    torch.manual_seed(1)
    node = poutine.trace(guide).get_trace(x, y).nodes["z"]
    z, base = node["value"], node["fn"].base_dist
    log_q = dist.Normal(base.loc, base.scale).log_prob(z.unsqueeze(1)).sum(-1)  # sample i under datapoint j
    information = (log_q.diagonal() - (log_q.logsumexp(1) - math.log(6))).mean()
    assert elbo.report().terms["-I(x; z)"].item() == pytest.approx(-information.item())


def test_an_autoguide_that_cannot_map_to_a_support_says_what_to_take():
    model = ClusteredVAE(MLPDecoder(2, (1, 3, 5), hidden=(8,)), places=[[0.0, 1.0], [1.0, 0.0]], scale=0.3)
    with pytest.raises(ValueError, match=r"AutoNormal cannot map the reals to a site's support.*use PerDatapoint"):
        PlainELBO().loss(model, Automatic(model), images(4))


def test_what_a_network_has_not_implemented_is_no_matter_of_a_support():
    with pytest.raises(NotImplementedError, match='missing the required "forward"'):
        PlainELBO().loss(model := VAE(nn.Module(), z_dim=2), Automatic(model), images(4))


@pytest.mark.parametrize("inference", [torch.inference_mode, torch.no_grad])
def test_refining_needs_gradients_which_inference_mode_excludes(inference):
    model, guide = vae_pair()
    refined = SemiAmortized(guide, partial(PlainELBO().differentiable_loss, model), steps=1, lr=0.1)
    excluded = pytest.raises(ValueError, match=r"inference_mode\(\) excludes: use torch.no_grad")
    with inference(), excluded if inference is torch.inference_mode else nullcontext():
        refined(images(3))


def test_labels_reach_a_per_datapoint_guide():
    decoder = MLPDecoder(3 * 2 + 2, (1, 3, 5), hidden=(8,))
    model = NaturalClustering(decoder, classes=3, c_dim=1, s_dim=2, num_data=NUM_DATA)
    heads = {"pi": DirichletHead(3), "y": Predicted(3, of="pi"), "z_c": MeanField(3), "z_s": LowRank(2, rank=1)}
    guide = PerDatapoint(NUM_DATA, **heads)
    x, y, index = images(6), torch.tensor([0, 1, 2, 0, 1, 2]), torch.arange(10, 16)
    labelled, unlabelled = PlainELBO(), PlainELBO()
    labelled.loss(model, guide, x, y, index=index)
    unlabelled.loss(model, guide, x, index=index)
    assert set(labelled.report().kl) == {"pi", "z_c", "z_s"}
    assert set(unlabelled.report().kl) == {"pi", "y", "z_c", "z_s"}


# Semi-amortised.


def test_refining_goes_down_the_loss_and_touches_neither_networks_nor_the_random_site():
    model, guide = vae_pair()
    x = images(20)
    elbo = PlainELBO()

    def seeded(*args, **kwargs):
        torch.manual_seed(0)
        return elbo.differentiable_loss(*args, **kwargs)

    before = [p.detach().clone() for p in (*model.parameters(), *guide.parameters())]
    losses = [
        seeded(model, refine(guide, partial(seeded, model), x, steps=steps, lr=0.05), x).item()
        for steps in (1, 4, 16, 64)
    ]
    start = seeded(model, guide, x).item()
    assert losses == sorted(losses, reverse=True)
    assert losses[0] < start
    assert losses[-1] < start - 0.1
    for p, b in zip((*model.parameters(), *guide.parameters()), before, strict=True):
        assert torch.equal(p, b)
        assert p.grad is None


def test_the_first_step_is_as_long_for_every_number_of_every_datapoint():
    # Adam's first step is lr times the sign of the slope, however many datapoints share the loss's mean.
    model, guide = vae_pair()
    offsets = refine(guide, partial(PlainELBO().differentiable_loss, model), images(6), steps=1, lr=0.1).offsets["z"]
    torch.testing.assert_close(offsets.abs(), torch.full((6, 4), 0.1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("through", [False, True])
def test_gradients_pass_on_to_the_network(through):
    # The loss (raw - 3)^2 / 2 summed: slope raw - 3. Its one step of Adam moves by lr sign(slope): whatever passes
    # through the sign has no derivative, so both are the gradient at the end point.
    guide = Amortized(nn.Linear(2, 2), z=MeanField(1))
    x = torch.randn(5, 2)

    def loss(refined, x, index=None):
        raw = guide.raw(guide.trunk(x), refined.offsets, "z", {})
        return (0.5 * (raw - 3).square()).sum()

    refined = refine(guide, loss, x, steps=1, lr=0.1, through=through)
    weights = list(guide.layers["z"].parameters())
    ours = torch.autograd.grad(loss(refined, x), weights)
    raw = guide.raw(guide.trunk(x), {}, "z", {})
    moved = raw - 0.1 * (raw - 3).sign().detach()
    theirs = torch.autograd.grad((0.5 * (moved - 3).square()).sum(), weights)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_through_the_steps_the_gradient_is_that_of_finite_differences():
    guide = Amortized(nn.Linear(2, 2), z=MeanField(1))
    x, weight = torch.randn(5, 2), guide.layers["z"][0].weight

    def loss(refined, x, index=None):
        return (guide.raw(guide.trunk(x), refined.offsets, "z", {}) - 1).pow(4).sum()

    def end(through):
        return loss(refine(guide, loss, x, steps=3, lr=0.1, through=through), x)

    (exact,) = torch.autograd.grad(end(True), weight)
    (first_order,) = torch.autograd.grad(end(False), weight)
    with torch.no_grad():
        differences = torch.zeros_like(weight)
        for at in torch.cartesian_prod(torch.arange(weight.shape[0]), torch.arange(weight.shape[1])):
            values = []
            for sign in (1, -1):
                weight[tuple(at)] += sign * 1e-5
                values.append(end(False).item())
                weight[tuple(at)] -= sign * 1e-5
            differences[tuple(at)] = (values[0] - values[1]) / 2e-5
    torch.testing.assert_close(exact, differences, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(first_order, differences, rtol=1e-2)


def test_the_steps_are_hidden_from_whoever_runs_the_guide():
    model, amortized = vae_pair()
    guide = SemiAmortized(amortized, partial(PlainELBO().differentiable_loss, model), steps=3, lr=0.1)
    x = images()
    with pyro.plate("particles", 4, dim=-2):
        trace = poutine.trace(guide).get_trace(x)
    assert {name for name, site in trace.nodes.items() if site["type"] == "sample"} == {"data", "z"}
    assert trace.nodes["z"]["fn"].batch_shape == (4, len(x))
    refined = guide.refined(x)
    assert isinstance(refined, Refined)
    assert refined.offsets["z"].shape == (len(x), 4)


def test_a_class_that_is_summed_out_is_refined_too():
    pyro.set_rng_seed(0)
    from tests.type_pairs import pair

    model, amortized = pair(Exact)
    x = images().round()
    guide = SemiAmortized(amortized, partial(PlainELBO().differentiable_loss, model), steps=20, lr=0.1)
    plain, better = (PlainELBO(num_particles=5), PlainELBO(num_particles=5))
    torch.manual_seed(0)
    started = sum(plain.loss(model, amortized, x) for _ in range(4))
    ended = sum(better.loss(model, guide, x) for _ in range(4))  # each refines again
    assert ended < started - 0.4
    assert set(guide.refined(x).offsets) == {"c", "z"}


def test_a_running_statistic_is_left_alone_by_a_copy_of_the_objective():
    model, amortized = vae_pair()
    elbo = DIPVAE(lambda_od=2.0, lambda_d=20.0, rate=0.1)
    x = images()
    elbo.loss_and_grads(model, amortized, x)
    before = elbo.covariance.clone()
    loss = lambda *args, **kwargs: copy.copy(elbo).differentiable_loss(model, *args, **kwargs)  # noqa: E731
    refine(amortized, loss, x, steps=3, lr=0.1)
    assert torch.equal(elbo.covariance, before)
    refine(amortized, partial(elbo.differentiable_loss, model), x, steps=3, lr=0.1)
    assert not torch.equal(elbo.covariance, before)


# Pyro's autoguides.


class Chances(nn.Module):
    """pi ~ Dirichlet(1), x ~ Multinomial(pi): a latent that is not real."""

    def forward(self, x, *, index=None):
        with pyro.plate("data", NUM_DATA, subsample=index):
            pi = pyro.sample("pi", dist.Dirichlet(torch.ones(3)))
            pyro.sample("x", dist.Multinomial(int(x.sum(-1)[0]), pi), obs=x)


def test_auto_normals_two_statements_come_as_one_with_the_density_of_both():
    for model, x, site in (
        (vae_pair()[0], images(5), "z"),
        (Chances(), torch.multinomial(torch.ones(3), 20, replacement=True).bincount(minlength=3).expand(5, 3), "pi"),
    ):
        guide, index = Automatic(model, num_data=NUM_DATA), torch.arange(5, 10)
        guide(x, index=index)
        with torch.no_grad():
            for parameter in guide.parameters():
                parameter.add_(torch.randn_like(parameter))
        bare = poutine.trace(guide.autoguide).get_trace(x, index=index)
        theirs = sum(
            bare.nodes[name]["fn"].log_prob(bare.nodes[name]["value"]) for name in (f"{site}_unconstrained", site)
        )
        trace = poutine.trace(guide).get_trace(x, index=index)
        assert {n for n, s in trace.nodes.items() if s["type"] == "sample"} == {"data", site}
        q = trace.nodes[site]["fn"]
        assert q.batch_shape == (5,)
        torch.testing.assert_close(q.log_prob(bare.nodes[site]["value"]), theirs)
        elbo = PlainELBO(kl="sampled")
        assert abs(elbo.loss(model, guide, x, index=index)) < 1e4  # its support is the model's
        assert list(elbo.report().kl) == [site]


def test_objectives_see_an_autoguides_sites_as_any_others():
    model, _ = vae_pair()
    guide, x, index = Automatic(model, num_data=NUM_DATA), images(5), torch.arange(5, 10)
    one, four, tc = PlainELBO(), BetaVAE(beta={"z": 4.0}), BetaTCVAE(beta=1.0, num_data=NUM_DATA)
    elbos = (one, four, tc, Capacity(gamma={"z": 1.0}, capacity={"z": 0.0}))
    losses = []
    for elbo in elbos:
        elbo.loss(model, guide, x, index=index)  # the first sets it up
        torch.manual_seed(0)
        losses.append(elbo.loss(model, guide, x, index=index))
    kl = one.report().kl["z"].sum().item()
    assert losses[1] == pytest.approx(losses[0] + 3 * kl)
    assert losses[3] == pytest.approx(losses[0])
    # The closed KL of the rows, by hand.
    loc, scale = (getattr(guide.autoguide, part).z[index] for part in ("locs", "scales"))
    by_hand = (0.5 * (loc.square() + scale.square() - 1) - scale.log()).sum(-1).mean()
    assert kl == pytest.approx(by_hand.item())


@pytest.mark.parametrize("kind", [AutoNormal, AutoDelta, AutoMultivariateNormal])
@pytest.mark.parametrize("first", [6, 9])
def test_an_autoguide_refuses_data_that_have_no_rows(kind, first):
    model, _ = vae_pair()
    guide = Automatic(model, kind)
    PlainELBO().loss(model, guide, images(first))  # now it has as many rows
    message = (
        f"needs to know which of its {first} datapoints these 5 are: give index=, .*; for other data, .*, use Amort"
    )
    with pytest.raises(ValueError, match=message):
        guide(images(5))
    named = Automatic(model, kind, num_data=first)
    with pytest.raises(ValueError, match=message):
        posteriors(named, images(5))
    assert named(images(first))["z"].shape == (first, 2)


def test_an_autoguide_that_couples_the_data_takes_all_of_it_and_says_why_it_has_no_terms_of_q():
    model, _ = vae_pair()
    guide, x = Automatic(model, AutoMultivariateNormal), images(4)
    elbo = PlainELBO()
    elbo.loss(model, guide, x)
    coupled, z = elbo.report().kl
    assert (coupled.startswith("_AutoMultivariateNormal"), z) == (True, "z")
    with pytest.raises(ValueError, match=rf"site '{coupled}' is an auxiliary site"):
        BetaTCVAE(beta=2.0, num_data=4).loss(model, guide, x)


@pytest.mark.parametrize("kind", [AutoDiagonalNormal, AutoMultivariateNormal, AutoStructured, AutoGaussian])
def test_an_autoguide_that_couples_the_data_refuses_a_part_of_it_and_another_order(kind):
    # Its rows are those of the batch's order: with any other batch, a datapoint would get another one's parameters.
    model, _ = vae_pair()
    x, order = images(NUM_DATA), torch.arange(NUM_DATA)
    for index, message in ((order[5:10], f"this one is 5 of {NUM_DATA}"), (order.flip(0), "in another order")):
        with pytest.raises(ValueError, match=f"{kind.__name__} has one latent for all datapoints.*{message}"):
            PlainELBO().loss(model, Automatic(model, kind, num_data=NUM_DATA), x[index], index=index)
    guide = Automatic(model, kind, num_data=NUM_DATA)
    assert guide(x)["z"].shape == guide(x, index=order)["z"].shape


def test_a_pickled_autoguide_goes_by_a_name_of_its_own():
    model, _ = vae_pair()
    guide, x, index = Automatic(model, num_data=NUM_DATA), images(5), torch.arange(5)
    guide(x, index=index)
    again = pickle.loads(pickle.dumps(guide))
    names = [
        {n for n, s in poutine.trace(g).get_trace(x, index=index).nodes.items() if s["type"] == "param"}
        for g in (guide, again)
    ]
    assert len(names[0]) == 2
    assert not names[0] & names[1]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PerDatapoint(0, z=MeanField(2)), "num_data must be a whole number of at least 1, got 0"),
        (lambda: PerDatapoint(7), "needs at least one head"),
        (
            lambda: PerDatapoint(7, z=MeanField(2, given=("c",))),
            r"site 'z' is given \['c'\].*no such head comes before",
        ),
        (
            lambda: SemiAmortized(vae_pair()[1], len, steps=0, lr=0.1),
            "steps must be a whole number of at least 1, got 0",
        ),
        (lambda: SemiAmortized(vae_pair()[1], len, steps=1, lr=-1.0), "lr must be positive and finite, got -1"),
    ],
)
def test_what_makes_no_sense_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
