"""Dimensions and plates: what no plate has is refused, and a class that is summed out counts where its plates are."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from torch import nn

from guides import Amortized, MeanField
from zoo.elbos import DIPVAEI, DIPVAEII, BetaTCVAE, FactorVAE, PlainELBO

B, F = 4, 3
PRIOR = dist.Normal(torch.zeros(2, dtype=torch.float64), 1.0).to_event(1)


def loss_of(elbo, model, guide, x):
    pyro.set_rng_seed(1)
    return elbo.loss(model, guide, x)


# A dimension that no plate has.


class Observing(nn.Module):
    """z ~ N(0, I), x ~ N(z_0, 1), with the data in some shape."""

    def __init__(self, shape, event_dim=0, inside=True):
        super().__init__()
        self.shape, self.event_dim, self.inside = shape, event_dim, inside

    def forward(self, x):
        with pyro.plate("data", len(x)) as index:
            z = pyro.sample("z", PRIOR)
            if self.inside:
                self.observe(z, x)
        if not self.inside:
            self.observe(z, x)
        return index

    def observe(self, z, x):
        loc = z[..., : self.event_dim] if self.event_dim else z[..., 0]
        pyro.sample("x", dist.Normal(loc, 1.0).to_event(self.event_dim), obs=x[:, 0].reshape(self.shape))


@pytest.mark.parametrize("num_particles", [1, 3])
@pytest.mark.parametrize(
    ("model", "message"),
    [
        # Each datapoint would be scored under all B distributions: B^2 entries instead of B, 10.1 nats instead of 2.5.
        (Observing((B, 1)), r"site 'x': its value has the shape \[4, 1\], in which \[\] is the event"),
        (Observing((B, 1, 1), event_dim=1), r"its value has the shape \[4, 1, 1\], in which \[1\] is the event"),
        # Outside of the plate the data would not be scaled from the batch to all of it.
        (Observing((B,), inside=False), r"its distribution has the shape .*its plates are (none|'num_particles_v)"),
    ],
)
def test_dimensions_that_no_plate_has_are_refused(model, message, num_particles):
    guide = Amortized(nn.Linear(2, 3), z=MeanField(2))
    with pytest.raises(ValueError, match=message + r".*give each dimension a plate, .* or reshape the data"):
        PlainELBO(num_particles=num_particles).loss(model, guide, torch.randn(B, 2))


def test_a_plate_that_the_likelihood_is_outside_of_is_refused_beside_particles_too():
    # Pyro's own check lets this dimension pass between two plates, and each pixel would count F times.
    class Units(nn.Module):
        def __init__(self, observe):
            super().__init__()
            self.observe = observe

        def forward(self, x):
            with pyro.plate("data", len(x)):
                with pyro.plate("units", F):
                    z = pyro.sample("z", dist.Normal(0.0, 1.0))
                if self.observe:
                    pyro.sample("x", dist.Normal(z, 1.0), obs=x[:, 0])

    with pytest.raises(ValueError, match=r"site 'x': its distribution has the shape \[2, 3, 4\].*so \[2, 3, 4\] does"):
        PlainELBO(num_particles=2).loss(Units(observe=True), Units(observe=False), torch.randn(B, 2))


# Events that are no vectors: [B, 2, 3] was read as 2 datapoints of 3 units, and [B, 1, D] as one datapoint.


class Placed(nn.Module):
    """z ~ N(0, I) of some event shape, at some dimension of the plate "data"."""

    def __init__(self, shape=(2,), dim=-1):
        super().__init__()
        self.shape, self.dim = shape, dim

    def forward(self, x):
        with pyro.plate("data", len(x), dim=self.dim):
            zero = torch.zeros(*[len(x)], *[1] * (-self.dim - 1), *self.shape)
            pyro.sample("z", dist.Normal(zero, 1.0).to_event(len(self.shape)))


@pytest.mark.parametrize(
    "elbo",
    [
        DIPVAEI(lambda_od=1.0, lambda_d=1.0),
        DIPVAEII(lambda_od=1.0, lambda_d=1.0),
        FactorVAE(gamma=1.0, log_ratio=lambda z: z.sum(-1)),
        BetaTCVAE(beta=1.0, num_data=B),
    ],
    ids=lambda elbo: type(elbo).__name__,
)
@pytest.mark.parametrize(
    ("program", "message"),
    [
        (Placed((2, 3)), r"has an event of shape \(2, 3\), not a vector.*give it the shape \[6\]"),
        (Placed(()), r"has an event of shape \(\), not a vector.*give it the shape \[1\]"),
        (Placed(dim=-2), "is not in the plate 'data' as its last dimension"),
    ],
)
def test_terms_of_vectors_refuse_other_events(elbo, program, message):
    with pytest.raises(ValueError, match="site 'z' " + message):
        elbo.loss(program, program, torch.zeros(B, 1))


# Classes that are summed out in a plate, beside sites that are outside of it.

LOGITS = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)


class OfAllData(nn.Module):
    """t ~ N(0, I) once; for each datapoint c ~ uniform one-hot of 3, x ~ N(t + c_0, 1)."""

    def forward(self, x):
        t = pyro.sample("t", PRIOR)
        with pyro.plate("data", len(x)):
            c = pyro.sample("c", dist.OneHotCategorical(logits=torch.zeros(3)))
            pyro.sample("x", dist.Normal(t + c[..., :1], 1.0).to_event(1), obs=x)


class GuideOfAllData(nn.Module):
    def forward(self, x):
        pyro.sample("t", dist.Normal(torch.ones(2), 1.0).to_event(1))
        with pyro.plate("data", len(x)):
            pyro.sample("c", dist.OneHotCategorical(logits=LOGITS), infer={"enumerate": "parallel"})


def test_a_latent_of_all_data_counts_once_beside_types_that_are_summed_out():
    # KL(N(1, I) || N(0, I)) = 1/2 of each of 2 units, once for B datapoints; it was counted B times.
    x = torch.randn(B, 2)
    elbo = PlainELBO()
    loss_of(elbo, OfAllData(), GuideOfAllData(), x)
    pyro.set_rng_seed(1)
    t = dist.Normal(torch.ones(2), 1.0).sample()
    q = LOGITS.softmax(-1)
    at = [dist.Normal(t + float(k == 0), 1.0).log_prob(x).sum() / B for k in range(3)]
    report = elbo.report()
    assert report.kl["t"].tolist() == pytest.approx([0.5 / B] * 2)
    assert report.kl["c"].item() == pytest.approx((q * (q.log() + math.log(3))).sum().item())
    assert report.reconstruction["x"].item() == pytest.approx(sum(q[k] * at[k] for k in range(3)).item())


class Marks(nn.Module):
    """For each datapoint z ~ N(0, I), x ~ N(z, 1), and F marks: c ~ uniform one-hot of 3, w ~ N(class of c, 1)."""

    def __init__(self, x_of_marks=False):
        super().__init__()
        self.x_of_marks = x_of_marks

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", PRIOR)
            with pyro.plate("marks", F, dim=-2):
                c = pyro.sample("c", dist.OneHotCategorical(logits=torch.zeros(3)))
                pyro.sample("w", dist.Normal(c @ torch.arange(3.0), 1.0), obs=torch.ones(F, len(x)))
            loc = z + c[..., :1].sum(-3, keepdim=True) if self.x_of_marks else z
            pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=x)


class GuideOfMarks(nn.Module):
    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x, 0.5).to_event(1))
            with pyro.plate("marks", F, dim=-2):
                pyro.sample("c", dist.OneHotCategorical(logits=LOGITS), infer={"enumerate": "parallel"})


@pytest.mark.parametrize("num_particles", [1, 2])
def test_sites_outside_of_a_plate_in_which_classes_are_summed_out_count_once(num_particles):
    # z and x were counted F times. Those in the plate are sums over it.
    x, elbo = torch.randn(B, 2), PlainELBO(num_particles=num_particles)
    loss_of(elbo, Marks(), GuideOfMarks(), x)
    pyro.set_rng_seed(1)
    z = dist.Normal(x.expand(num_particles, B, 2) if num_particles > 1 else x, 0.5).sample()
    q = LOGITS.softmax(-1)
    w = dist.Normal(torch.arange(3.0), 1.0).log_prob(torch.tensor(1.0))
    kl = torch.distributions.kl_divergence(dist.Normal(x, 0.5), dist.Normal(0.0, 1.0))
    report = elbo.report()
    assert report.reconstruction["x"].item() == pytest.approx(
        dist.Normal(z, 1.0).log_prob(x).sum().item() / B / num_particles
    )
    assert report.kl["z"].tolist() == pytest.approx(kl.mean(0).tolist())
    assert report.reconstruction["w"].item() == pytest.approx(F * (q * w).sum().item())
    assert report.kl["c"].item() == pytest.approx(F * (q * (q.log() + math.log(3))).sum().item())


def test_a_site_outside_of_the_plate_cannot_depend_on_its_classes():
    # x of a datapoint depends on all F marks together, of which there are 3^F combinations, not 3.
    with pytest.raises(
        ValueError, match=r"site 'x' depends on 'c', which is summed out in the plate 'marks', and 'x' is outside"
    ):
        PlainELBO().loss(Marks(x_of_marks=True), GuideOfMarks(), torch.randn(B, 2))


def test_some_draws_are_not_all_classes():
    # As Pyro's TraceEnum_ELBO takes them: they were weighted by their densities, 213 nats instead of 4.7.
    class Some(nn.Module):
        def forward(self, x):
            with pyro.plate("data", len(x)):
                infer = {"enumerate": "parallel", "num_samples": 5}
                pyro.sample("z", dist.Normal(x, 0.1).to_event(1), infer=infer)

    with pytest.raises(ValueError, match='site \'z\': with "num_samples" beside "enumerate"'):
        PlainELBO().loss(Observing((B,)), Some(), torch.randn(B, 2))


@pytest.mark.parametrize("how", ["sequential", "paralel"])
def test_another_way_to_sum_out_is_refused(how):
    """Before: the classes were drawn, so that a loss was 4.8, 5.7 or 6.6 nats, and of Pyro's TraceEnum_ELBO 5.2."""

    class Other(nn.Module):
        def forward(self, x):
            pyro.sample("t", dist.Normal(torch.ones(2), 1.0).to_event(1))
            with pyro.plate("data", len(x)):
                pyro.sample("c", dist.OneHotCategorical(logits=LOGITS), infer={"enumerate": how})

    with pytest.raises(ValueError, match=rf"site 'c': infer={{\"enumerate\": '{how}'}} in the guide would draw"):
        PlainELBO().loss(OfAllData(), Other(), torch.randn(B, 2))


def test_classes_that_are_summed_out_have_no_mask_of_their_own():
    # Under it log q(c) is 0 for each class of a masked datapoint, whose log p(x | c) would be added up K times.
    class Masked(GuideOfAllData):
        def forward(self, x):
            pyro.sample("t", dist.Normal(torch.ones(2), 1.0).to_event(1))
            with pyro.plate("data", len(x)):
                q = dist.OneHotCategorical(logits=LOGITS).mask(torch.arange(len(x)) < 2)
                pyro.sample("c", q, infer={"enumerate": "parallel"})

    with pytest.raises(ValueError, match="site 'c' is summed out and has a mask in its distribution"):
        PlainELBO().loss(OfAllData(), Masked(), torch.randn(B, 2))


def test_a_plate_that_is_a_loop_has_no_dimension():
    class Loop(nn.Module):
        def __init__(self, observe):
            super().__init__()
            self.observe = observe

        def forward(self, x):
            for i in pyro.plate("data", len(x)):
                z = pyro.sample(f"z{i}", PRIOR)
                if self.observe:
                    pyro.sample(f"x{i}", dist.Normal(z, 1.0).to_event(1), obs=x[i])

    x = torch.randn(B, 2)
    ours = loss_of(PlainELBO(kl="sampled"), Loop(observe=True), Loop(observe=False), x)
    pyro.set_rng_seed(1)
    assert B * ours == pytest.approx(Trace_ELBO().loss(Loop(observe=True), Loop(observe=False), x))
