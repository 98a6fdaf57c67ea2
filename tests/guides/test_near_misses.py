"""Guides at their edges: steps inside particles, layers of any kind, several given sites, half precision."""

import gc
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from guides import (
    Amortized,
    Concrete,
    DirichletHead,
    Flow,
    FullRank,
    LowRank,
    MeanField,
    MeanFieldLaplace,
    MeanFieldStudentT,
    Mixture,
    PerDatapoint,
    SemiAmortized,
    StraightThrough,
)
from tests.pairs import NUM_DATA, StyleGivenType, images, vae_pair
from tests.type_pairs import pair as type_pair
from zoo.elbos import HFVAE, AnchoredCorEx, BetaTCVAE, Decomposition, InformationDropout, InfoVAE, PlainELBO
from zoo.pairing import SampledKLWarning


@pytest.mark.parametrize("through", [False, True])
def test_steps_of_the_documented_loss_inside_particles(through):
    model, amortized = vae_pair()
    elbo = PlainELBO(num_particles=3)
    guide = SemiAmortized(amortized, partial(elbo.differentiable_loss, model), steps=3, lr=0.05, through=through)
    x = images(11)
    plain = elbo.loss(model, amortized, x)
    assert elbo.loss_and_grads(model, guide, x) < plain
    assert elbo.report().kl["z"].shape == (2,)
    # The steps are those that are taken outside of any plate.
    pyro.set_rng_seed(1)
    outside = guide.refined(x).offsets["z"]
    pyro.set_rng_seed(1)
    with pyro.plate("box", 4, dim=-2):
        inside = guide.refined(x).offsets["z"]
    torch.testing.assert_close(inside, outside)
    with pyro.plate("box", 4, dim=-2) as box:  # and the plates around are as before
        assert box is not None


class TwoThenOne(nn.Module):
    """c ~ uniform, w ~ N(0, 1), z ~ N(0, I), all of them independent."""

    def forward(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("c", dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=torch.zeros(3)))
            pyro.sample("w", dist.Normal(torch.zeros(1), 1).to_event(1))
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1).to_event(1))
            pyro.sample("x", dist.Normal(z, 1).to_event(1), obs=x)


def same_as_the_sampled_elbo(model, guide, x, **options):
    """All weights 1 is the ELBO, whatever is run again for the terms of q(z)."""
    losses = []
    for elbo in (
        HFVAE(alpha=1, beta=1, gamma=1, num_data=len(x), concrete="density", **options),
        PlainELBO(kl="sampled"),
    ):
        pyro.set_rng_seed(1)
        losses.append(elbo.loss(model, guide, x))
    assert losses[0] == pytest.approx(losses[1], abs=1e-9)


@pytest.mark.parametrize("groups", [None, [["c", "w", "z"]], [["c"], ["w", "z"]]])
def test_a_row_per_datapoint_that_is_given_two_sites(groups):
    heads = {"c": Concrete(3, temperature=0.5), "w": MeanField(1), "z": MeanField(2, given=("c", "w"))}
    same_as_the_sampled_elbo(TwoThenOne(), PerDatapoint(7, **heads), torch.randn(7, 2), groups=groups)


class Doubled(nn.Module):
    """Layers that are no Sequential."""

    def __init__(self, before, after):
        super().__init__()
        self.linear = nn.Linear(before, after)

    def forward(self, x):
        return 2 * self.linear(x.tanh())


LAYERS = {
    "without bias": lambda widths: nn.Sequential(nn.Linear(widths[0], widths[-1], bias=False)),
    "norm first": lambda widths: nn.Sequential(nn.LayerNorm(widths[0]), nn.Linear(widths[0], widths[-1])),
    "a module": lambda widths: Doubled(widths[0], widths[-1]),
    "a linear": lambda widths: nn.Linear(widths[0], widths[-1]),
}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("groups", [None, [["c", "z"]]])
def test_layers_of_any_kind_are_run_again_on_other_datapoints(layers, groups):
    guide = Amortized(nn.Linear(5, 6), layers=layers, c=Concrete(3, temperature=0.5), z=MeanField(2, given=("c",)))
    same_as_the_sampled_elbo(StyleGivenType(), guide, torch.randn(7, 5), groups=groups)
    features, c = torch.randn(7, 6), torch.rand(4, 1, 3)
    crossed = guide.posterior("z", features, {"c": c}).mean
    for i in range(4):
        torch.testing.assert_close(crossed[i], guide.posterior("z", features, {"c": c[i].expand(7, 3)}).mean)


OF_Q = {
    "BetaTCVAE": lambda: BetaTCVAE(beta=2.0, num_data=NUM_DATA),
    "HFVAE": lambda: HFVAE(alpha=1.0, beta=2.0, gamma=3.0, num_data=NUM_DATA),
    "InformationDropout": lambda: InformationDropout(beta=1.0, gamma=1.0, num_data=NUM_DATA),
    "InfoVAE": lambda: InfoVAE(alpha=0.5, lambda_=1.0, divergence="kl", num_data=NUM_DATA),
}
NO_CLOSED_KL = {"mixture": Mixture(2, components=3), "student-t": MeanFieldStudentT(2, df=5.0)}


@pytest.mark.parametrize("head", NO_CLOSED_KL.values(), ids=NO_CLOSED_KL)
@pytest.mark.parametrize("elbo", OF_Q.values(), ids=OF_Q)
def test_terms_of_q_need_no_closed_kl(elbo, head):
    pair, x = vae_pair(head=head), images()
    objective = elbo()
    pyro.set_rng_seed(1)
    objective.loss_and_grads(*pair, x)
    drawn = PlainELBO(kl="sampled")
    pyro.set_rng_seed(1)
    drawn.loss_and_grads(*pair, x)
    torch.testing.assert_close(objective.report().kl["z"], drawn.report().kl["z"])


@pytest.mark.parametrize(
    "elbo",
    [
        lambda **kl: InfoVAE(alpha=0.5, lambda_=1.0, divergence="mmd-joint", num_data=NUM_DATA, **kl),
        lambda **kl: AnchoredCorEx(lambda_=1.0, anchors={"z": [0]}, num_data=NUM_DATA, **kl),
    ],
    ids=["InfoVAE", "AnchoredCorEx"],
)
def test_what_the_warning_names_is_an_argument_of_the_objective(elbo):
    pair, x = vae_pair(head=MeanFieldStudentT(2, df=5.0)), images()
    with pytest.warns(SampledKLWarning, match="no closed-form KL of StudentT from Normal.*kl='sampled'"):
        elbo().loss(*pair, x)
    elbo(kl="sampled").loss(*pair, x)


@pytest.mark.parametrize(
    "elbo",
    [
        HFVAE(alpha=1, beta=2, gamma=2, num_data=NUM_DATA, concrete="density"),
        InfoVAE(alpha=0.5, lambda_=1.0, divergence="kl", num_data=NUM_DATA, concrete="density"),
        Decomposition(alpha=1.0, beta=1.0, divergence="kl"),
    ],
)
def test_a_corner_has_no_density(elbo):
    pair = type_pair(partial(StraightThrough, temperature=0.67))
    with pytest.raises(ValueError, match=r"site 'c': .*a density: q is OneHotStraightThrough.*concrete='mass'"):
        elbo.loss(*pair, images(20))
    one_hot = type_pair(partial(StraightThrough, temperature=0.67), temperature=None)  # two masses
    assert elbo.loss(*one_hot, images(20)) > 0


@pytest.mark.parametrize("elbo", [*OF_Q.values(), lambda: Decomposition(alpha=1.0, beta=1.0, divergence="kl")])
def test_a_pass_leaves_nothing_that_only_the_garbage_collector_frees(elbo):
    pair, x = type_pair(partial(Concrete, temperature=0.67)), images(20)
    objective = elbo()

    def step():
        objective.loss_and_grads(*pair, x)

    with pyro.validation_enabled(False):
        step()
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                step()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = [thing for thing in gc.garbage if isinstance(thing, torch.Tensor)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert not left


HEADS = {
    "mean-field": MeanField(3),
    "full-rank": FullRank(3),
    "low-rank": LowRank(3, rank=1),
    "mixture": Mixture(3, components=2),
    "laplace": MeanFieldLaplace(3),
    "student-t": MeanFieldStudentT(3, df=5.0),
    "iaf": Flow(3),
    "coupling": Flow(3, kind="coupling"),
    "concrete": Concrete(3, temperature=0.67),
    "straight-through": StraightThrough(3, temperature=0.67),
    "dirichlet": DirichletHead(3),
    "dirichlet, total": DirichletHead(3, total=1.0),
}


@pytest.mark.parametrize("name", HEADS)
def test_every_head_draws_within_its_support_under_autocast(name):
    # In bfloat16 the entries of a simplex add up to 1 within 1e-2 alone.
    torch.set_default_dtype(torch.float32)
    guide = Amortized(nn.Sequential(nn.Linear(5, 16), nn.ReLU()), z=HEADS[name])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = guide(torch.randn(200, 5))["z"]
        q = guide.posterior("z", guide.trunk(torch.randn(200, 5)), {})
        assert value.dtype == torch.float32
        assert q.support.check(value).all()
        assert q.log_prob(value).isfinite().all()
