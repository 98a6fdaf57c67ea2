"""Where posterior and evidence are known: what guides reach, and what they cannot.

Probabilistic PCA, x = W z + b + noise: the posterior is normal, with precision I + W^T W / s^2 and a mean linear in x;
the evidence is N(x; b, W W^T + s^2 I). The independent normals nearest to a normal with precision P have its mean and
the variances 1 / P_ii, and miss the evidence by (sum log P_ii - log |P|) / 2.

Dirichlet and counts: pi ~ Dirichlet(a), x ~ Multinomial(n, pi) has the posterior Dirichlet(a + x) and a
Dirichlet-multinomial for evidence.
"""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from guides import Amortized, ConjugateDirichlet, DirichletHead, Flow, FullRank, LowRank, MeanField, PerDatapoint
from tests.exact import NOISE, N, Pca, X, Z
from tests.traced import fit
from zoo import NaturalClustering
from zoo.elbos import PlainELBO
from zoo.lab.analysis.importance_sampling import log_evidence
from zoo.lab.data import Batch


def train(model, guide, x, *, steps=300, lr=1e-1, kl="closed", particles=100):
    """With a learning rate that falls to 0, so that it comes to rest."""
    elbo = PlainELBO(num_particles=particles, kl=kl)
    optimizer = torch.optim.Adam([p for p in guide.parameters() if p.requires_grad], lr=lr, fused=True)
    batches = (Batch(x, None, torch.arange(len(x))) for _ in range(steps))
    for step, _ in fit(model, guide, elbo, batches, optimizer=optimizer):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)


def posterior(guide, x, index=None):
    """q(z | x) as the guide has it."""
    return pyro.poutine.trace(guide).get_trace(x, index=index).nodes["z"]["fn"]


def test_at_the_exact_posterior_every_single_draw_gives_the_evidence():
    pca = Pca()
    guide, elbo = pca.at_the_optimum(), PlainELBO(kl="sampled")
    for _ in range(5):  # log p(x, z) - log q(z | x) = log p(x), whatever z
        assert -elbo.loss(pca.model, guide, pca.x) == pytest.approx(pca.log_evidence.mean().item(), abs=1e-9)
    torch.testing.assert_close(log_evidence(pca.model, guide, pca.x, num_samples=1), pca.log_evidence)


def test_the_full_rank_guide_is_trained_to_the_posterior_and_the_evidence():
    pca = Pca()
    guide = pca.guide(FullRank(Z))
    train(pca.model, guide, pca.x)
    q = posterior(guide, pca.x)
    torch.testing.assert_close(q.mean, pca.mean, atol=0.02, rtol=0)
    torch.testing.assert_close(q.covariance_matrix, pca.cov.expand(N, Z, Z), atol=0.01, rtol=0)
    gap = pca.log_evidence.mean().item() + PlainELBO(num_particles=500, kl="sampled").loss(pca.model, guide, pca.x)
    assert gap == pytest.approx(0, abs=0.005)


def test_the_mean_field_guide_is_trained_to_its_known_optimum_and_misses_by_the_known_gap():
    pca = Pca()
    guide = pca.guide(MeanField(Z))
    train(pca.model, guide, pca.x, steps=200)
    q = posterior(guide, pca.x)
    P = pca.precision
    torch.testing.assert_close(q.mean, pca.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(q.variance, (1 / P.diagonal()).expand(N, Z), atol=0.01, rtol=0)
    known = 0.5 * (P.diagonal().log().sum() - torch.linalg.slogdet(P).logabsdet).item()
    assert known > 0.2
    gap = pca.log_evidence.mean().item() + PlainELBO(num_particles=2_000).loss(pca.model, guide, pca.x)
    assert gap == pytest.approx(known, abs=0.01)
    # And importance sampling makes up for it: 2,000 draws, 5 standard errors of the mean of 40 datapoints.
    estimate = log_evidence(pca.model, guide, pca.x, num_samples=2_000)
    assert (estimate - pca.log_evidence).abs().mean() < 0.1
    assert estimate.mean().item() == pytest.approx(pca.log_evidence.mean().item(), abs=0.03)


HOLDING = {
    "low-rank": (lambda: LowRank(Z, rank=1), 0.2),
    "iaf": (lambda: Flow(Z, steps=1, context=1, width=4), 0.05),
}


@pytest.mark.parametrize(("head", "lr"), HOLDING.values(), ids=HOLDING)
def test_families_that_hold_the_posterior_reach_it_too(head, lr):
    # Two coupled units are of rank one beside a diagonal, and an affine autoregressive step of a normal.
    pca = Pca()
    guide = pca.guide(head())
    train(pca.model, guide, pca.x, lr=lr, kl="sampled")
    gap = pca.log_evidence.mean().item() + PlainELBO(num_particles=1_000, kl="sampled").loss(pca.model, guide, pca.x)
    assert gap == pytest.approx(0, abs=0.03)


def test_a_row_per_datapoint_reaches_every_posterior_at_once():
    pca = Pca()
    guide = PerDatapoint(N, z=FullRank(Z))
    train(pca.model, guide, pca.x, steps=150, lr=0.2)
    q = posterior(guide, pca.x)
    torch.testing.assert_close(q.mean, pca.mean, atol=0.06, rtol=0)
    torch.testing.assert_close(q.covariance_matrix, pca.cov.expand(N, Z, Z), atol=0.03, rtol=0)


# Dirichlet and counts.

ALPHA = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)


class Counts(nn.Module):
    """pi ~ Dirichlet(alpha); x ~ Multinomial(pi): how often each class was seen, of 12."""

    def forward(self, x, *, index=None):
        with pyro.plate("data", len(x)):
            pi = pyro.sample("pi", dist.Dirichlet(ALPHA))
            pyro.sample("x", dist.Multinomial(12, pi), obs=x)


def counts():
    pyro.set_rng_seed(1)
    return dist.Multinomial(12, dist.Dirichlet(ALPHA).sample((20,))).sample()


def log_dirichlet_multinomial(x):
    """By its definition, a ratio of gamma functions: Johnson, Kotz & Balakrishnan 1997, chapter 35."""
    n, a = x.sum(-1), ALPHA.sum()
    ways = torch.lgamma(n + 1) - torch.lgamma(x + 1).sum(-1)
    return ways + torch.lgamma(a) - torch.lgamma(n + a) + (torch.lgamma(x + ALPHA) - torch.lgamma(ALPHA)).sum(-1)


def test_a_dirichlet_per_datapoint_is_trained_to_the_conjugate_posterior_and_the_evidence():
    x, model = counts(), Counts()
    guide = PerDatapoint(len(x), pi=DirichletHead(3))
    train(model, guide, x, steps=500, lr=1.5, particles=32)  # concentrations have a long way to go
    q = pyro.poutine.trace(guide).get_trace(x).nodes["pi"]["fn"]
    torch.testing.assert_close(q.concentration, x + ALPHA, atol=0.4, rtol=0.1)
    gap = log_dirichlet_multinomial(x).mean().item() + PlainELBO(num_particles=1_000, kl="sampled").loss(
        model, guide, x
    )
    assert gap == pytest.approx(0, abs=0.01)


def test_the_conjugate_head_is_exact_at_once():
    # N-VAE's pi and y alone: the class was seen, log p(y) = log 1/L, and every draw says so.
    class PiAndClass(nn.Module):
        def __init__(self):
            super().__init__()
            self.story = NaturalClustering(nn.Linear(1, 1), classes=4, c_dim=1, s_dim=1, alpha=0.7)

        def forward(self, x, y, *, index=None):
            with pyro.plate("data", len(y)):
                pi = pyro.sample("pi", dist.Dirichlet(self.story.alpha))
                pyro.sample("y", dist.OneHotCategorical(pi), obs=torch.eye(4)[y])

    trunk = nn.Linear(1, 1)
    guide = Amortized(trunk, classes=4, pi=ConjugateDirichlet(4, alpha=0.7))
    y, elbo = torch.tensor([0, 1, 2, 3, 3]), PlainELBO(kl="sampled")
    for _ in range(5):
        assert elbo.loss(PiAndClass(), guide, torch.zeros(5, 1), y) == pytest.approx(math.log(4), abs=1e-9)
    exact = PiAndClass().story.posterior(torch.eye(4)[y]).concentration
    q = pyro.poutine.trace(guide).get_trace(torch.zeros(5, 1), y).nodes["pi"]["fn"]
    torch.testing.assert_close(q.concentration, exact)


# Simulation-based calibration: Talts, Betancourt, Simpson, Vehtari & Gelman 2018, https://arxiv.org/abs/1804.06788.


def ranks(pca, guide, simulations=2_000, draws=19):
    """The rank of each true unit among draws of q(z | x), for x made of it: [simulations, Z], from 0 to `draws`."""
    z = torch.randn(simulations, Z)
    x = z @ pca.W.mT + pca.bias + NOISE * torch.randn(simulations, X)
    with torch.no_grad():
        ours = posterior(guide, x).sample((draws,))
    return (ours < z).sum(0)


def chi_squared(ranks, bins=20):
    """Of the ranks' counts against even ones: 19 degrees of freedom, of which 43.8 is passed once in a thousand."""
    expected = len(ranks) / bins
    return ((ranks.bincount(minlength=bins) - expected).square() / expected).sum().item()


def test_a_trained_full_rank_guide_is_calibrated_and_a_mean_field_one_too_narrow():
    pca = Pca()
    found = {}
    for name, head in {"full-rank": FullRank(Z), "mean-field": MeanField(Z)}.items():
        guide = pca.guide(head)
        # FinishedRun on data of the story's own, as amortised inference has it.
        x = pca.marginal.sample((400,))
        guide.num_data = pca.model.num_data = 400
        train(pca.model, guide, x, steps=200, particles=16)
        torch.manual_seed(1)
        found[name] = ranks(pca, guide)
    for unit in range(Z):
        assert chi_squared(found["full-rank"][:, unit]) < 43.8
        # Too narrow: the truth lies outside of all draws too often.
        assert chi_squared(found["mean-field"][:, unit]) > 100
        outside = ((found["mean-field"][:, unit] == 0) | (found["mean-field"][:, unit] == 19)).double().mean()
        assert outside > 0.12  # of even ranks 0.1
