"""Log evidence against exact ones; divergences and information on a grid against closed forms."""

import math
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from guides import Amortized, MeanField
from zoo import VAE, ClusteredVAE
from zoo.lab.analysis.grid import Grid2D, divergences, information, log_aggregate, log_prior
from zoo.lab.analysis.importance_sampling import importance, log_evidence
from zoo.likelihoods import normal
from zoo.papers.decomposition.recipes import PLACES


class Linear(nn.Module):
    """The exact posterior of z ~ N(0, I), x ~ N(W z, s^2 I), its deviations times `stretch`."""

    def __init__(self, weight, s, stretch):
        super().__init__()
        self.weight, self.s, self.stretch = weight, s, stretch

    def forward(self, x, *, index=None):
        precision = torch.eye(2) + self.weight.mT @ self.weight / self.s**2
        cov = torch.linalg.inv(precision)
        loc = x.flatten(1) @ self.weight @ cov / self.s**2
        with pyro.plate("data", len(x)):
            return pyro.sample("z", dist.MultivariateNormal(loc, self.stretch**2 * cov))


def linear_pair(stretch):
    weight, s = torch.randn(3, 2), 0.7
    decoder = nn.Linear(2, 3, bias=False)
    decoder.weight = nn.Parameter(weight)
    model = VAE(decoder, z_dim=2, likelihood=partial(normal, scale=s))
    x = torch.randn(6, 3)
    exact = dist.MultivariateNormal(torch.zeros(3), weight @ weight.mT + s**2 * torch.eye(3)).log_prob(x)
    return model, Linear(weight, s, stretch), x, exact


def test_under_the_exact_posterior_every_draw_gives_the_evidence():
    model, guide, x, exact = linear_pair(1.0)
    for num_samples, at_once in ((1, 1_000), (7, 12)):  # whole, and in chunks of two that leave one over
        estimate = log_evidence(model, guide, x, num_samples=num_samples, at_once=at_once)
        torch.testing.assert_close(estimate, exact, rtol=1e-10, atol=1e-10)


def test_under_a_wide_posterior_draws_come_up_to_the_evidence():
    model, guide, x, exact = linear_pair(1.5)
    single = torch.stack([log_evidence(model, guide, x, num_samples=1, seed=seed) for seed in range(200)]).mean(0)
    # E log w = log p(x) - KL(q || posterior), and the KL is 2 log 1/1.5 + 2 (1.5^2 - 1) / 2
    gap = -2 * math.log(1.5) + (1.5**2 - 1)
    assert (exact - single).mean().item() == pytest.approx(gap, abs=0.15)
    torch.testing.assert_close(log_evidence(model, guide, x, num_samples=20_000), exact, rtol=0, atol=0.03)
    state = torch.get_rng_state()
    log_evidence(model, guide, x, num_samples=2)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        log_evidence(model, guide, x, num_samples=0)


def test_divergences_on_a_grid_are_those_of_normals():
    plane = Grid2D(reach=6.0, num=400)
    p = dist.Normal(torch.tensor([0.2, -0.1]), torch.tensor([0.5, 0.8])).to_event(1)
    q = dist.Normal(torch.tensor([0.0, 0.3]), torch.tensor([0.7, 0.6])).to_event(1)
    found = divergences(p.log_prob(plane.points), q.log_prob(plane.points), plane)
    assert found.p_from_q == pytest.approx(torch.distributions.kl_divergence(p, q).item(), abs=1e-6)
    assert found.q_from_p == pytest.approx(torch.distributions.kl_divergence(q, p).item(), abs=1e-6)
    assert found.mass_p == pytest.approx(1, abs=1e-9)
    assert found.mass_q == pytest.approx(1, abs=1e-9)


def test_divergences_where_a_density_is_outside_of_its_support():
    # p is uniform on half of the square of q: KL(p || q) = log 2, and q has mass where p has none.
    plane = Grid2D(reach=1.0, num=20)
    inside = plane.points[:, 0] > 0
    log_p, log_q = torch.where(inside, -math.log(2), -torch.inf), torch.full((400,), -math.log(4))
    found = divergences(log_p, log_q, plane)
    assert found.p_from_q == pytest.approx(math.log(2))
    assert found.q_from_p == math.inf
    assert divergences(log_p, log_p, plane) == pytest.approx((0, 0, 1, 1))


def test_the_aggregate_and_the_prior_at_points():
    q = dist.Normal(torch.randn(7, 2), torch.rand(7, 2) + 0.1).to_event(1)
    points = torch.randn(9, 2)
    by_loop = [math.log(sum(math.exp(q.log_prob(point)[n]) for n in range(7)) / 7) for point in points]
    for max_elements in (2**24, 30):  # whole, and in chunks of two points
        found = log_aggregate(q, points, max_elements=max_elements)
        torch.testing.assert_close(found, torch.tensor(by_loop))
    model = ClusteredVAE(nn.Linear(2, 3), places=PLACES, scale=0.2, likelihood=partial(normal, scale=1.0))
    by_loop = [
        math.log(sum(math.exp(-(point - torch.tensor(m)).square().sum() / 0.08) for m in PLACES) / 4 / (0.08 * math.pi))
        for point in points
    ]
    torch.testing.assert_close(log_prior(model, points), torch.tensor(by_loop))


def test_information_is_nothing_where_all_encodings_are_one_and_log_n_where_none_overlap():
    together = dist.Normal(torch.zeros(8, 2), 1.0).to_event(1)
    apart = dist.Normal(torch.arange(16.0).reshape(8, 2) * 100, 1.0).to_event(1)
    assert information(together) == pytest.approx(0, abs=1e-12)
    assert information(apart) == pytest.approx(math.log(8))


def num_parameters(module):
    return sum(p.numel() for p in module.parameters())


# A plate beside the data, and values that are missing.


class Marks(nn.Module):
    """z ~ N(0, 1), and F marks w ~ N(z, 1), of which those that are not a number are missing."""

    def forward(self, x):
        there = x.isfinite().T
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1)).squeeze(-1)
            with pyro.plate("marks", x.shape[1]), pyro.poutine.mask(mask=there.unsqueeze(1)):
                pyro.sample("w", dist.Normal(z.unsqueeze(0), 1.0), obs=x.T.nan_to_num().unsqueeze(1))


class Exactly(nn.Module):
    """The posterior: n marks that are there have N(sum / (n + 1), 1 / (n + 1))."""

    def forward(self, x):
        n = x.isfinite().sum(1, keepdim=True)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x.nansum(1, keepdim=True) / (n + 1), (n + 1.0).rsqrt()).to_event(1))


@pytest.mark.parametrize("missing", [False, True])
def test_weights_are_those_of_datapoints_under_masks_and_with_other_plates(missing):
    # Each draw gives log N(w; 0, I + 1 1^T) of the marks that are there: summed over them, and without the others.
    x = torch.randn(5, 3)
    if missing:
        x[0, 1:], x[3, 0] = math.nan, math.nan
    exact = []
    for row in x:
        w = row[row.isfinite()]
        exact.append(dist.MultivariateNormal(torch.zeros(len(w)), torch.eye(len(w)) + 1).log_prob(w))
    found = importance(Marks(), Exactly(), x, num_samples=7, at_once=15)
    torch.testing.assert_close(found.log_evidence, torch.stack(exact))
    torch.testing.assert_close(found.elbo, torch.stack(exact))


# Sites that only one of the two programs has.


class Idle(nn.Module):
    """x ~ N(0, 1), and latents on which it does not depend; the guide does not observe x."""

    def __init__(self, *sites, observes=False):
        super().__init__()
        self.sites, self.observes = sites, observes

    def forward(self, x):
        with pyro.plate("data", len(x)):
            for site in self.sites:
                pyro.sample(site, dist.Normal(torch.zeros(len(x)), 0.1), infer={"is_auxiliary": site == "u"})
            if self.observes:
                pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)


@pytest.mark.parametrize(
    ("of_model", "of_guide", "message"),
    [
        # A draw of c from the prior would be weighted with the prior once more: E p(c) = 1 / (2 sqrt(pi) 0.1) = 2.8.
        (["z", "c"], ["z"], r"the guide has no site \['c'\]"),
        # A draw that the model ignores would be divided by its density, of which E 1 / q is infinite.
        (["z"], ["z", "c"], r"the model has no latent site \['c'\]"),
        (["z"], ["z", "u"], r"site 'u': the guide draws it and the model does not have it"),
    ],
)
def test_a_latent_of_one_program_alone_has_no_weight(of_model, of_guide, message):
    x = torch.randn(4)
    exact = dist.Normal(0.0, 1.0).log_prob(x)  # of any sites, where both programs have them
    torch.testing.assert_close(log_evidence(Idle(*of_model, observes=True), Idle(*of_model), x, num_samples=3), exact)
    with pytest.raises(ValueError, match=message):
        log_evidence(Idle(*of_model, observes=True), Idle(*of_guide), x, num_samples=3)


def test_whole_numbers_are_weighted_like_the_same_floats():
    counts = torch.tensor([0, 1, -2])
    pair = Idle("z", observes=True), Idle("z")
    found = importance(*pair, counts, num_samples=5, at_once=6)
    for one, other in zip(
        vars(found).values(), vars(importance(*pair, counts * 1.0, num_samples=5)).values(), strict=True
    ):
        torch.testing.assert_close(one, other)


class Half(nn.Module):
    """z ~ N(0, 1), and x is impossible unless z has its sign; x = 0 is impossible. The guide is the prior."""

    def __init__(self, observes):
        super().__init__()
        self.observes = observes

    def forward(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x)), 1.0))
            if self.observes:
                pyro.factor("x", torch.where(z * x > 0, 0.0, -torch.inf))


def test_weights_of_0_count_as_draws_and_have_no_size():
    # w = 1 for a share n / K of the draws, and 0 for the others: the mean is n / K, and the effective size n.
    found = importance(Half(True), Half(False), torch.tensor([1.0, -2.0, 0.0]), num_samples=400, at_once=30)
    torch.testing.assert_close(found.log_effective, found.log_evidence + math.log(400))
    assert found.log_evidence.exp().tolist() == pytest.approx([0.5, 0.5, 0.0], abs=0.1)  # 4 standard errors
    assert found.log_effective[2] == -math.inf  # it was not a number


@pytest.mark.parametrize("prior", [dist.HalfNormal(torch.ones(2)).to_event(1), dist.Dirichlet(torch.ones(2))])
def test_draws_that_the_story_cannot_have_are_refused_by_name(prior):
    class Positive(nn.Module):
        def forward(self, x, *, index=None):
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", prior)
                pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    guide = Amortized(nn.Linear(2, 3), z=MeanField(2))
    with pytest.raises(ValueError, match=r"site 'z': the model's values lie in .* use a head for the model's support"):
        importance(Positive(), guide, torch.randn(5, 2), num_samples=10)
