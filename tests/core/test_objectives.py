"""The objectives of the papers: identities among them, closed forms, and the theorems they rest on."""

import copy
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn

from guides import Amortized, Concrete, DirichletHead, Exact, FullRank, MeanField, StraightThrough
from tests.objectives import EVERY, N
from tests.pairs import StyleGivenType, cvae_pair, images, vae_pair
from zoo.elbos import (
    DIPVAE,
    DIPVAEI,
    DIPVAEII,
    HFVAE,
    AnchoredCorEx,
    BetaTCVAE,
    BetaVAE,
    Capacity,
    Decomposition,
    FactorVAE,
    InformationDropout,
    InfoVAE,
    PlainELBO,
)
from zoo.estimators import closed_kl, mmd, permute_units


def evaluate(elbo, pair, x, seed=1, **kwargs):
    """The loss and the named terms on one seed."""
    pyro.set_rng_seed(seed)
    loss = elbo.loss_and_grads(*pair, x, **kwargs)
    return loss, elbo.report()


def styled():
    """A pair with a class and a style that looks at it."""
    guide = Amortized(nn.Linear(5, 6), c=Concrete(3, temperature=0.5), z=MeanField(2, given=("c",)))
    return StyleGivenType(), guide


@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize("elbo", EVERY.values(), ids=EVERY)
def test_traces_are_bit_equal_under_every_objective(elbo, particles):
    pair, x = vae_pair(), images()

    def values(objective):
        seen = {}
        terms = objective.terms
        objective.terms = lambda m, g: seen.update(m=m, g=g) or terms(m, g)
        objective.num_particles = particles
        objective.vectorize_particles = particles > 1
        evaluate(objective, pair, x)
        return {
            (side, name): (site["value"], site["fn"].log_prob(site["value"]))
            for side, trace in seen.items()
            for name, site in trace.nodes.items()
            if site["type"] == "sample"
        }

    plain, ours = values(PlainELBO()), values(elbo())
    assert plain.keys() == ours.keys()
    for key, (value, log_prob) in plain.items():
        assert torch.equal(value, ours[key][0]), key
        assert torch.equal(log_prob, ours[key][1]), key


@pytest.mark.parametrize("elbo", EVERY.values(), ids=EVERY)
def test_every_objective_trains_with_plain_svi_and_its_terms_make_its_loss(elbo):
    objective, pair, x = elbo(), vae_pair(), images(20)
    svi = pyro.infer.SVI(*pair, pyro.optim.Adam({"lr": 1e-1}), loss=objective)
    losses = [svi.step(x) for _ in range(12)]
    assert sum(losses[-4:]) < sum(losses[:4])
    assert losses[-1] == pytest.approx(-sum(objective.report().terms.values()).item())


# HFVAE's Table 1: the rows that are linear in the anatomy.

LINEAR = {
    # (reconstruction, 2, A, i, ii)
    "VAE": (lambda: PlainELBO(kl="sampled"), (1, 1, 1, 1, 1)),
    "beta-VAE": (lambda: BetaVAE(beta=4.0, kl="sampled"), (1, 4, 4, 4, 4)),
    "beta-TCVAE": (lambda: BetaTCVAE(beta=6.0, num_data=N), (1, 1, 6, 6, 1)),
    "HFVAE": (lambda: HFVAE(alpha=2.0, beta=3.0, gamma=5.0, num_data=N), (1, 2, 3, 5, 1)),
    "InfoVAE": (lambda: InfoVAE(alpha=0.4, lambda_=3.0, divergence="kl", num_data=N), (1, 0.6, 3, 3, 3)),
    "InfoVAE, Table 1": (lambda: InfoVAE(alpha=1.0, lambda_=3.0, divergence="kl", num_data=N), (1, 0, 3, 3, 3)),
    "InfoVAE as beta-VAE": (lambda: InfoVAE(alpha=-3.0, lambda_=4.0, divergence="kl", num_data=N), (1, 4, 4, 4, 4)),
    "information dropout": (lambda: InformationDropout(beta=2.0, gamma=3.0, num_data=N), (1, 2, 3, 3, 0)),
}


@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize(("elbo", "weights"), LINEAR.values(), ids=LINEAR)
def test_linear_rows_of_table_1_are_weighted_sums_of_the_anatomy(elbo, weights, particles):
    pair, x = styled(), torch.randn(9, 5)
    options = {"num_particles": particles}
    objective = elbo()
    objective.num_particles, objective.vectorize_particles = particles, particles > 1
    if hasattr(objective, "concrete"):
        objective.concrete = "density"  # as the sampled ELBO scores a Concrete site
    loss, _ = evaluate(objective, pair, x)
    _, parts = evaluate(HFVAE(alpha=1, beta=1, gamma=1, num_data=N, concrete="density", **options), pair, x)
    by_hand = -sum(w * term.item() for w, term in zip(weights, parts.terms.values(), strict=True))
    assert loss == pytest.approx(by_hand, abs=1e-10)


@pytest.mark.parametrize("particles", [1, 4])
@pytest.mark.parametrize("estimator", ["stratified", "weighted", "minibatch-stratified", "batch"])
def test_all_weights_one_is_the_elbo_for_every_estimator(estimator, particles):
    pair, x = styled(), torch.randn(9, 5)
    options = {"num_particles": particles}
    ones = HFVAE(alpha=1, beta=1, gamma=1, num_data=N, estimator=estimator, concrete="density", **options)
    loss, report = evaluate(ones, pair, x)
    assert loss == pytest.approx(evaluate(PlainELBO(kl="sampled", **options), pair, x)[0], abs=1e-10)
    assert len(report.terms) == 5


def test_all_weights_one_has_the_gradient_of_the_elbo():
    pair, x = vae_pair(), images(9)
    grads = []
    for elbo in (HFVAE(alpha=1, beta=1, gamma=1, num_data=N), PlainELBO(kl="sampled")):
        evaluate(elbo, pair, x)
        grads.append([p.grad.clone() for module in pair for p in module.parameters()])
        for module in pair:
            module.zero_grad()
    torch.testing.assert_close(grads[0], grads[1])


def test_one_group_with_beta_equal_gamma_is_beta_tcvae():
    pair, x = styled(), torch.randn(9, 5)
    tc, _ = evaluate(BetaTCVAE(beta=5.0, num_data=N), pair, x)
    for groups, beta in (([["c", "z"]], 17.0), (None, 5.0), ([["z"], ["c"]], 5.0)):
        # In one group nothing is between, so that beta does not matter.
        hf, _ = evaluate(HFVAE(alpha=1, beta=beta, gamma=5.0, groups=groups, num_data=N), pair, x)
        assert hf == pytest.approx(tc, abs=1e-10)


def test_zero_weights_leave_reconstruction_and_dimensions():
    pair, x = styled(), torch.randn(9, 5)
    loss, report = evaluate(HFVAE(alpha=0, beta=0, gamma=0, num_data=N), pair, x)
    kept = report.terms["log p(x)"] + report.terms["-KL(z_de)"]
    assert loss == pytest.approx(-kept.item())


# Capacity.


def test_capacity_zero_is_beta_vae():
    pair, x = vae_pair(), images()
    loss, _ = evaluate(Capacity(gamma=4.0, capacity=0.0), pair, x)
    assert loss == pytest.approx(evaluate(BetaVAE(beta=4.0), pair, x)[0])
    per_site, _ = evaluate(Capacity(gamma={"z": 4.0}, capacity={"z": 0.0}), pair, x)
    assert loss == pytest.approx(per_site)


@pytest.mark.parametrize("particles", [1, 6])
def test_the_distance_to_the_capacity_is_taken_of_the_mean(particles):
    # At C = the mean KL the penalty vanishes, though single datapoints and particles are off it.
    pair, x = styled(), torch.randn(9, 5)
    options = {"num_particles": particles}
    _, report = evaluate(PlainELBO(**options), pair, x)
    C = {site: kl.sum().item() for site, kl in report.kl.items()}
    _, held = evaluate(Capacity(gamma={"c": 9.0, "z": 9.0}, capacity=C, **options), pair, x)
    for site in C:
        assert held.terms[f"-gamma |KL({site}) - C|"].item() == pytest.approx(0, abs=1e-12)
    off = {"c": C["c"], "z": C["z"] + 0.5}
    _, report = evaluate(Capacity(gamma={"c": 9.0, "z": 2.0}, capacity=off, **options), pair, x)
    assert report.terms["-gamma |KL(z) - C|"].item() == pytest.approx(-1.0)


def test_a_categorical_holds_log_k_at_most():
    pair, x = styled(), torch.randn(9, 5)
    gamma = {"c": 1.0, "z": 1.0}
    at_ceiling, _ = evaluate(Capacity(gamma=gamma, capacity={"c": math.log(3), "z": 1.0}), pair, x)
    with pytest.warns(UserWarning, match="5 nats are asked of c, whose KL is at most 1.099"):
        beyond, _ = evaluate(Capacity(gamma=gamma, capacity={"c": 5.0, "z": 1.0}), pair, x)
    assert beyond == at_ceiling


def test_sites_share_a_capacity_where_their_names_are_added():
    pair, x = styled(), torch.randn(9, 5)
    _, plain = evaluate(PlainELBO(), pair, x)
    both = plain.kl["c"].sum() + plain.kl["z"].sum()
    _, shared = evaluate(Capacity(gamma={"c+z": 2.0}, capacity={"c+z": 0.1}), pair, x)
    assert shared.terms["-gamma |KL(c+z) - C|"].item() == pytest.approx(-2 * abs(both.item() - 0.1))
    _, numbers = evaluate(Capacity(gamma=2.0, capacity=0.1), pair, x)
    assert numbers.loss.item() == shared.loss.item()


@pytest.mark.parametrize(
    ("gamma", "capacity", "message"),
    [
        ({"z": 1.0}, {"z": 1.0, "w": 1.0}, "both as mappings from the same sites"),
        (1.0, {"z": 1.0}, "both as numbers, or both as mappings"),
        ({"z": 1.0, "w": 1.0}, {"z": 1.0, "w": 1.0}, r"latent sites \['z'\] once; unknown: \['w'\]"),
        ({"w": 1.0}, {"w": 1.0}, r"latent sites \['z'\] once; left out: \['z'\]"),
    ],
)
def test_capacities_of_other_sites_are_refused(gamma, capacity, message):
    with pytest.raises(ValueError, match=message):
        Capacity(gamma=gamma, capacity=capacity).loss(*vae_pair(), images())


# DIP-VAE.


def moments(guide, x):
    q = poutine.trace(guide).get_trace(x).nodes["z"]["fn"]
    return q.mean.detach(), q.variance.detach()


def penalty(cov, lambda_od, lambda_d):
    """Equation (6), entry by entry: ordered pairs, each twice."""
    D = len(cov)
    off = sum(cov[i, j].item() ** 2 for i in range(D) for j in range(D) if i != j)
    return lambda_od * off + lambda_d * sum((cov[i, i].item() - 1) ** 2 for i in range(D))


def cov_by_hand(mu):
    B, D = mu.shape
    mean = [sum(mu[b, d].item() for b in range(B)) / B for d in range(D)]
    return torch.tensor(
        [
            [sum((mu[b, i].item() - mean[i]) * (mu[b, j].item() - mean[j]) for b in range(B)) / B for j in range(D)]
            for i in range(D)
        ]
    )


@pytest.mark.parametrize("particles", [1, 3])
def test_dip_i_penalises_the_covariance_of_the_means_over_the_batch(particles):
    pair, x = vae_pair(z_dim=3, head=MeanField(3)), images(8)
    loss, _ = evaluate(DIPVAEI(lambda_od=2.0, lambda_d=20.0, num_particles=particles), pair, x)
    plain, _ = evaluate(PlainELBO(num_particles=particles), pair, x)
    mu, _ = moments(pair[1], x)
    assert loss - plain == pytest.approx(penalty(cov_by_hand(mu), 2.0, 20.0))


def test_dip_ii_adds_the_mean_posterior_covariance():
    pair, x = vae_pair(z_dim=3, head=MeanField(3)), images(8)
    loss, _ = evaluate(DIPVAEII(lambda_od=2.0, lambda_d=20.0), pair, x)
    mu, var = moments(pair[1], x)
    cov = cov_by_hand(mu) + var.mean(0).diag()
    assert loss - evaluate(PlainELBO(), pair, x)[0] == pytest.approx(penalty(cov, 2.0, 20.0))


def test_dip_ii_is_the_covariance_of_q_by_the_law_of_total_covariance():
    pair, x = vae_pair(head=FullRank(2)), images(8)
    elbo = DIPVAEII(lambda_od=1.0, lambda_d=0.0)
    _, report = evaluate(elbo, pair, x)
    with pyro.plate("draws", 4_000, dim=-2):
        draws = pair[1](x)["z"].detach()
    off = torch.cov(draws.flatten(0, 1).T)[0, 1].item()
    assert report.terms["-Cov_ij^2"].item() == pytest.approx(-2 * off**2, abs=0.02)


def test_dips_running_covariance_follows_its_rate_and_passes_gradient_through_the_batch_alone():
    pair = vae_pair()
    rate, lambda_od, lambda_d = 0.25, 2.0, 20.0
    elbo = DIPVAE(lambda_od=lambda_od, lambda_d=lambda_d, rate=rate)
    assert "covariance" not in elbo.state_dict()
    running = None
    for seed in range(3):
        torch.manual_seed(seed)
        x = images(8)
        loss, _ = evaluate(elbo, pair, x)
        cov = cov_by_hand(moments(pair[1], x)[0])
        running = cov if running is None else (1 - rate) * running + rate * cov
        torch.testing.assert_close(elbo.state_dict()["covariance"], running)
        assert loss - evaluate(PlainELBO(), pair, x)[0] == pytest.approx(penalty(running, lambda_od, lambda_d))
    assert not elbo.covariance.requires_grad
    # What DIP-VAE adds to the ELBO's gradient is that of the penalty with the running part held fixed.
    held, guide = elbo.covariance.clone(), pair[1]
    with_penalty, plain = (gradients(objective, pair, x) for objective in (elbo, PlainELBO()))
    loc = guide.posterior("z", guide.trunk(x), {}).mean
    centred = loc - loc.mean(0)
    mixed = (1 - rate) * held + rate * centred.T @ centred / len(loc)
    diagonal = mixed.diagonal()
    by_hand = lambda_od * (mixed.square().sum() - diagonal.square().sum()) + lambda_d * (diagonal - 1).square().sum()
    expected = torch.autograd.grad(by_hand, list(guide.parameters()))
    assert max(gradient.abs().max() for gradient in expected) > 0.1
    for ours, elbos, penaltys in zip(with_penalty, plain, expected, strict=True):
        torch.testing.assert_close(ours - elbos, penaltys)


def gradients(objective, pair, x):
    """Of the loss with respect to the guide, on one seed."""
    for module in pair:
        module.zero_grad()
    evaluate(objective, pair, x)
    return [p.grad.clone() for p in pair[1].parameters()]


def test_rate_one_is_dip_i():
    pair, x = vae_pair(), images()
    one = DIPVAE(lambda_od=2.0, lambda_d=20.0, rate=1.0)
    evaluate(one, pair, images(5))  # a memory that rate = 1 forgets
    assert evaluate(one, pair, x)[0] == pytest.approx(evaluate(DIPVAEI(lambda_od=2.0, lambda_d=20.0), pair, x)[0])


def test_dip_needs_a_family_with_moments_and_a_site_that_is_there():
    with pytest.raises(ValueError, match=r"site 'c': RelaxedOneHotCategorical has no mean.*MeanField"):
        DIPVAEI(lambda_od=1, lambda_d=1, site="c").loss(*styled(), torch.randn(4, 5))
    with pytest.raises(ValueError, match=r"site names \['w'\]; the guide has the latent sites \['z'\]"):
        DIPVAEI(lambda_od=1, lambda_d=1, site="w").loss(*vae_pair(), images())
    with pytest.raises(ValueError, match=r"rate must be in \(0, 1\], got 0"):
        DIPVAE(lambda_od=1, lambda_d=1, rate=0)


class StyleOfAClass(nn.Module):
    """c ~ uniform, one-hot, z ~ N(0, I), x ~ N(decoder(z, c), 1)."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.Linear(5, 4)

    def forward(self, x):
        with pyro.plate("data", len(x)):
            c = pyro.sample("c", dist.OneHotCategorical(logits=torch.zeros(3)))
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            zc = torch.cat(
                [z, c.expand(*z.shape[:-1], 3)] if z.dim() >= c.dim() else [z.expand(*c.shape[:-1], 2), c], -1
            )
            pyro.sample("x", dist.Normal(self.decoder(zc), 1.0).to_event(1), obs=x)


def of_a_class(c):
    guide = Amortized(nn.Linear(4, 6), c=c, z=FullRank(2, given=("c",)))
    with torch.no_grad():
        guide.layers["z"][0].weight[:2, 6:] *= 10  # the class moves the style
    return StyleOfAClass(), guide


@pytest.mark.parametrize("particles", [1, 2])
def test_dip_takes_the_moments_of_a_style_over_the_classes_that_it_looks_at(particles):
    # E[z | x] = sum_c q(c | x) mu_c(x), and Cov(z) over x and c by a loop over all of the mixture's components.
    pair, x = of_a_class(Exact(3)), torch.randn(6, 4)
    guide = pair[1]
    features = guide.trunk(x)
    chances = guide.posterior("c", features, {}).probs
    q = [guide.posterior("z", features, {"c": torch.eye(3)[k].expand(6, 3)}) for k in range(3)]
    mu = sum(chances[:, [k]] * q[k].mean for k in range(3))
    second = torch.zeros(2, 2)
    for b in range(6):
        for k in range(3):
            m = q[k].mean[b]
            second += chances[b, k] / 6 * (q[k].covariance_matrix[b] + torch.outer(m, m))
    whole = second - torch.outer(mu.mean(0), mu.mean(0))
    plain, _ = evaluate(PlainELBO(num_particles=particles), pair, x)
    for build, cov in ((DIPVAEI, cov_by_hand(mu)), (DIPVAEII, whole.detach())):
        loss, _ = evaluate(build(lambda_od=2.0, lambda_d=20.0, num_particles=particles), pair, x)
        assert loss - plain == pytest.approx(penalty(cov, 2.0, 20.0)), build.__name__


def test_dip_refuses_means_over_a_class_that_is_drawn_and_dip_ii_takes_its_draws():
    pair, x = of_a_class(StraightThrough(3, temperature=0.5)), torch.randn(6, 4)
    for build in (DIPVAEI, lambda **options: DIPVAE(rate=0.5, **options)):
        with pytest.raises(ValueError, match=r"site 'z' depends on 'c', which is drawn.*Exact.*DIPVAEII"):
            build(lambda_od=2.0, lambda_d=20.0).loss(*pair, x)
    elbo = DIPVAEII(lambda_od=1.0, lambda_d=0.0, num_particles=3)
    pyro.set_rng_seed(1)
    elbo.loss(*pair, x)
    pyro.set_rng_seed(1)
    around = pyro.plate("num_particles_vectorized", 3, dim=-2)
    node = poutine.trace(around(pair[1])).get_trace(x).nodes["z"]["fn"]
    means, covs = node.mean.reshape(18, 2), node.covariance_matrix.expand(3, 6, 2, 2).reshape(18, 2, 2)
    whole = cov_by_hand(means) + covs.mean(0)
    assert elbo.report().terms["-Cov_ij^2"].item() == pytest.approx(-2 * whole[0, 1].item() ** 2)


def test_dip_ii_sees_how_the_entries_of_a_categorical_and_a_dirichlet_move_together():
    # Cov_ij = -p_i p_j of a one-hot categorical, -a_i a_j / (a^2 (a + 1)) of a Dirichlet with concentrations that sum
    # to a: by Monte Carlo over q(z).
    class Shares(nn.Module):
        def forward(self, x):
            with pyro.plate("data", len(x)):
                pyro.sample("pi", dist.Dirichlet(torch.ones(3)))
                pyro.sample("c", dist.OneHotCategorical(logits=torch.zeros(3)))

    guide = Amortized(nn.Linear(4, 6), pi=DirichletHead(3), c=StraightThrough(3, temperature=0.5))
    x = torch.randn(6, 4)
    for site in ("pi", "c"):
        elbo = DIPVAEII(lambda_od=1.0, lambda_d=0.0, site=site)
        elbo.loss(Shares(), guide, x)
        with torch.no_grad(), pyro.plate("draws", 20_000, dim=-2):
            draws = guide(x)[site].flatten(0, 1)
        cov = torch.cov(draws.T)
        off = (cov.square().sum() - cov.diagonal().square().sum()).item()
        assert elbo.report().terms["-Cov_ij^2"].item() == pytest.approx(-off, rel=0.03), site


def test_dip_refuses_a_family_whose_covariance_is_not_known():
    class Coupled(MeanField):
        def forward(self, raw):
            loc = raw[..., :2]
            components = dist.Normal(torch.stack([loc, loc + 1], -2), 1.0).to_event(1)
            return dist.MixtureSameFamily(dist.Categorical(logits=torch.zeros(*loc.shape[:-1], 2)), components)

    model, guide = vae_pair(head=Coupled(2))
    with pytest.raises(ValueError, match=r"site 'z': MixtureSameFamily has no known covariance"):
        DIPVAEII(lambda_od=1, lambda_d=1, kl="sampled").loss(model, guide, images())


# The decomposition paper.


@pytest.mark.parametrize("divergence", ["kl", "mmd-marginal", "mmd-joint"])
def test_without_alpha_it_is_beta_vae(divergence):
    pair, x = vae_pair(), images()
    ours, _ = evaluate(Decomposition(alpha=0.0, beta=3.0, divergence=divergence), pair, x)
    assert ours == pytest.approx(evaluate(BetaVAE(beta=3.0), pair, x)[0])


@pytest.mark.parametrize("particles", [1, 3])
def test_kl_from_the_prior_against_a_loop_over_the_same_draws(particles):
    pair, x = vae_pair(), images(6)
    elbo = Decomposition(alpha=2.0, beta=1.0, divergence="kl", num_particles=particles)
    _, report = evaluate(elbo, pair, x)
    pyro.set_rng_seed(1)
    trace = poutine.trace(pyro.plate("p", particles, dim=-2)(pair[1])).get_trace(x)
    q = trace.nodes["z"]["fn"].base_dist
    draws = torch.randn(particles, 6, 2)  # the next random numbers after the traces
    prior = dist.Normal(torch.zeros(2), 1.0)
    kl = 0.0
    for p in range(particles):
        for s in range(6):
            log_p = prior.log_prob(draws[p, s]).sum()
            log_q = [dist.Normal(q.loc[p, j], q.scale[p, j]).log_prob(draws[p, s]).sum() for j in range(6)]
            kl += (log_p - torch.stack(log_q).logsumexp(0) + math.log(6)).item() / (6 * particles)
    assert report.terms["-KL(p || q)"].item() == pytest.approx(-2 * kl)


def test_mmd_uses_the_samples_of_all_sites_side_by_side():
    pair, x = styled(), torch.randn(7, 5)
    _, report = evaluate(Decomposition(alpha=2.0, beta=1.0, divergence="mmd-joint"), pair, x)
    pyro.set_rng_seed(1)
    values = pair[1](x)
    # The draws of the priors are the next random numbers after the traces, site by site.
    c = dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=torch.zeros(3)).expand([7]).rsample()
    z = dist.Normal(torch.zeros(2), 1.0).to_event(1).expand([7]).rsample()
    by_hand = mmd(torch.cat([values["c"], values["z"]], -1), torch.cat([c, z], -1), kernel="joint")
    assert report.terms["-MMD(q, p)"].item() == pytest.approx(-2 * by_hand.item())


def test_mmd_of_two_samples_of_one_distribution_is_near_zero_on_average():
    # E = (2 / S) (E k(x, x') - E k): at most 2 (6 kernels) / S, from the cross part's full double sum
    draws = [torch.randn(40, 2) for _ in range(60)]
    mean = torch.stack([mmd(a, b, kernel="joint") for a, b in zip(draws[::2], draws[1::2], strict=True)]).mean()
    assert abs(mean) < 2 * 6 / 40


def test_a_prior_without_a_sampler_is_refused():
    class NoSampler(dist.Normal):
        has_rsample = False

        def sample(self, sample_shape=()):
            raise NotImplementedError

    class Story(nn.Module):
        def forward(self, x):
            with pyro.plate("data", len(x)):
                pyro.sample("z", NoSampler(torch.zeros(2), 1.0).to_event(1))

    guide = Amortized(nn.Linear(1, 4), z=MeanField(2))
    with pytest.raises(ValueError, match="site 'z': NoSampler has no sampler"):
        Decomposition(alpha=1, beta=1, divergence="kl").loss(Story(), guide, torch.randn(4, 1))


def test_an_unknown_divergence_is_refused():
    with pytest.raises(
        ValueError, match="Decomposition: divergence must be 'kl' or 'mmd-marginal' or 'mmd-joint', got 'js'"
    ):
        Decomposition(alpha=1, beta=1, divergence="js")


BETA, D = 3.0, 2
# F_beta = integral of p^beta for N(0, I) in D dimensions
LOG_F = D * ((1 - BETA) / 2 * math.log(2 * math.pi) - 0.5 * math.log(BETA))


def test_theorem_1_beta_vae_is_an_elbo_under_an_annealed_prior_plus_entropy():
    # L_beta = ELBO with prior p^beta / F_beta + (beta - 1) H(q) + log F_beta; N(0, I) annealed is N(0, I / beta)
    model, guide = vae_pair()
    x = images()
    L_beta = -evaluate(BetaVAE(beta=BETA), (model, guide), x)[0]
    annealed = copy.deepcopy(model)
    annealed.scale /= math.sqrt(BETA)
    elbo = -evaluate(PlainELBO(), (annealed, guide), x)[0]
    entropy = poutine.trace(guide).get_trace(x).nodes["z"]["fn"].entropy().mean().item()
    assert L_beta == pytest.approx(elbo + (BETA - 1) * entropy + LOG_F, abs=1e-10)


def test_corollary_1_beta_rescales_a_gaussian_code_and_rewards_its_volume():
    # L_beta(theta, phi) = L(theta', phi') + (beta - 1) / 2 log |S'| + c
    model, guide = vae_pair()
    x = images()
    L_beta = -evaluate(BetaVAE(beta=BETA), (model, guide), x)[0]
    model_, guide_ = copy.deepcopy(model), copy.deepcopy(guide)
    with torch.no_grad():
        model_.decoder[0].weight /= math.sqrt(BETA)  # p'(x | z) = p(x | z / sqrt(beta))
        head = guide_.layers["z"][0]
        head.weight[:D] *= math.sqrt(BETA)  # mu' = sqrt(beta) mu
        head.bias[:D] *= math.sqrt(BETA)
        head.bias[D:] += math.log(BETA)  # S' = beta S
    L = -evaluate(PlainELBO(), (model_, guide_), x)[0]
    log_det = poutine.trace(guide_).get_trace(x).nodes["z"]["fn"].variance.log().sum(-1).mean().item()
    c = D * (BETA - 1) / 2 * (1 + math.log(2 * math.pi / BETA)) + LOG_F
    assert L_beta == pytest.approx(L + (BETA - 1) / 2 * log_det + c, abs=1e-10)


def test_theorem_2_rotations_change_nothing_under_an_isotropic_prior():
    angle = 0.7
    R = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    model, guide = vae_pair(head=FullRank(2))
    x = images()
    q = guide.posterior("z", guide.trunk(x), {})
    turned = dist.MultivariateNormal(q.loc @ R.T, covariance_matrix=R @ q.covariance_matrix @ R.T)
    prior = dist.Normal(torch.zeros(2), 1.7).to_event(1).expand([len(x)])
    torch.testing.assert_close(closed_kl(turned, prior), closed_kl(q, prior))
    # The same draw, turned: the same reconstruction by the turned decoder, and the same density.
    z = q.sample()
    model_ = copy.deepcopy(model)
    with torch.no_grad():
        model_.decoder[0].weight.copy_(model.decoder[0].weight @ R.T)
    torch.testing.assert_close(model_.decoder(z @ R.T), model.decoder(z))
    torch.testing.assert_close(turned.log_prob(z @ R.T), q.log_prob(z))
    # Under an anisotropic prior it does change.
    uneven = dist.Normal(torch.zeros(2), torch.tensor([0.5, 2.0])).to_event(1).expand([len(x)])
    assert not torch.allclose(closed_kl(turned, uneven), closed_kl(q, uneven))


# InfoVAE, CorEx, FactorVAE.


def test_info_vae_by_mmd_weighs_the_kl_and_the_discrepancy():
    pair, x = vae_pair(), images()
    _, report = evaluate(InfoVAE(alpha=0.25, lambda_=2.0, divergence="mmd-marginal", num_data=N), pair, x)
    _, plain = evaluate(Decomposition(alpha=1.0, beta=1.0, divergence="mmd-marginal"), pair, x)
    assert report.terms["-KL"].item() == pytest.approx(0.75 * plain.terms["-KL(z)"].item())
    assert report.terms["-MMD(q, p)"].item() == pytest.approx(1.25 * plain.terms["-MMD(q, p)"].item())
    with pytest.raises(ValueError, match=r"alpha \+ lambda_ must be at least 1, got 0.2 \+ 0.5"):
        InfoVAE(alpha=0.2, lambda_=0.5, divergence="kl", num_data=N)
    with pytest.raises(ValueError, match="divergence must be"):
        InfoVAE(alpha=0.2, lambda_=2.0, divergence="js", num_data=N)


def test_all_units_anchored_is_the_whole_mutual_information():
    pair, x = styled(), torch.randn(9, 5)
    whole = AnchoredCorEx(lambda_=0.7, anchors={"z": [0, 1], "c": [0]}, num_data=N)
    _, report = evaluate(whole, pair, x)
    _, parts = evaluate(HFVAE(alpha=1, beta=1, gamma=1, num_data=N), pair, x)
    assert report.terms["I(x; z_a)"].item() == pytest.approx(-0.7 * parts.terms["-I(x; z)"].item())


def test_the_information_of_one_anchor_against_a_loop():
    pair, x = vae_pair(z_dim=3, head=MeanField(3)), images(6)
    _, report = evaluate(AnchoredCorEx(lambda_=2.0, anchors={"z": [0, 2]}, num_data=6), pair, x)
    pyro.set_rng_seed(1)
    trace = poutine.trace(pair[1]).get_trace(x)
    q, z = trace.nodes["z"]["fn"].base_dist, trace.nodes["z"]["value"]
    information = 0.0
    for i in range(6):
        log_q = [sum(dist.Normal(q.loc[j, d], q.scale[j, d]).log_prob(z[i, d]) for d in (0, 2)) for j in range(6)]
        information += (log_q[i] - torch.stack(log_q).logsumexp(0) + math.log(6)).item() / 6
    assert report.terms["I(x; z_a)"].item() == pytest.approx(2 * information)


@pytest.mark.parametrize(
    ("pair", "anchors", "message"),
    [
        (vae_pair, {"w": [0]}, r"anchors names \['w'\]"),
        (vae_pair, {"z": [0, 2]}, r"site 'z': there is no unit \[2\]; it has units 0 to 1"),
        (lambda: vae_pair(head=FullRank(2)), {"z": [0, 1]}, "couples its units; anchor one of them"),
    ],
)
def test_anchors_that_are_no_units_are_refused(pair, anchors, message):
    with pytest.raises(ValueError, match=message):
        AnchoredCorEx(lambda_=1.0, anchors=anchors, num_data=N).loss(*pair(), images())


def test_anchors_that_look_at_sites_that_are_none_are_refused():
    with pytest.raises(ValueError, match="site 'z' depends on 'c', which is not among the sites"):
        AnchoredCorEx(lambda_=1.0, anchors={"z": [0]}, num_data=N).loss(*styled(), torch.randn(4, 5))
    with pytest.raises(ValueError, match="must name at least one unit"):
        AnchoredCorEx(lambda_=1.0, anchors={"z": []}, num_data=N)


class CopiedNoise(nn.Module):
    """c ~ N(0, I) of two units, z ~ N(0, 1), x ~ N(z, 1)."""

    def forward(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("c", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


def test_a_site_that_an_anchor_depends_on_is_anchored_whole():
    # q(c | x) = N(0, I) and z = x + c_1 up to a sd of e^-6, so z ~ N(x, 1) and I(x; c_0, z) < x^2 / 2. At the c_1 of
    # the sample, which is no anchor, z would tell all 20 datapoints apart: log 20 = 3 nats.
    guide = Amortized(nn.Linear(1, 1), c=MeanField(2), z=MeanField(1, given=("c",)))
    with torch.no_grad():
        guide.trunk.weight.fill_(1.0)
        guide.trunk.bias.zero_()
        for site, bias in (("c", [0.0] * 4), ("z", [0.0, -12.0])):
            guide.layers[site][0].weight.zero_()
            guide.layers[site][0].bias.copy_(torch.tensor(bias))
        guide.layers["z"][0].weight[0] = torch.tensor([1.0, 0.0, 1.0])  # of x, c_0 and c_1
    x = torch.linspace(-0.5, 0.5, 20).unsqueeze(1)

    def information(anchors):
        elbo = AnchoredCorEx(lambda_=1.0, anchors=anchors, num_data=20, estimator="batch", num_particles=50)
        return evaluate(elbo, (CopiedNoise(), guide), x)[1].terms["I(x; z_a)"].item()

    with pytest.raises(ValueError, match="anchors of site 'c': site 'z', which is anchored too, depends on all of"):
        information({"c": [0], "z": [0]})
    assert information({"c": [0, 1], "z": [0]}) == pytest.approx(math.log(20), abs=1e-3)  # z - c_1 is x
    assert information({"c": [0]}) == pytest.approx(0, abs=1e-9)


def test_an_anchor_may_depend_on_a_label():
    # A label belongs to the datapoint, like x: z_i is scored at (x_j, y_j). It was refused beside any other latent.
    pair, x, y = cvae_pair(), images(6), torch.arange(6) % 3
    seen = {}
    elbo = AnchoredCorEx(lambda_=1.0, anchors={"z": [1]}, num_data=6, estimator="batch")
    terms = elbo.terms
    elbo.terms = lambda m, g: seen.update(g=g) or terms(m, g)

    class WithMore(nn.Module):
        def __init__(self, program):
            super().__init__()
            self.program = program

        def forward(self, x, y):
            self.program(x, y)
            with pyro.plate("more", 1):
                pyro.sample("w", dist.Normal(0.0, 1.0))

    elbo.loss(*(WithMore(program) for program in pair), x, y)
    z = seen["g"].nodes["z"]["value"][:, 1]
    q = seen["g"].nodes["z"]["fn"].base_dist
    scored = dist.Normal(q.loc[:, 1], q.scale[:, 1]).log_prob(z.unsqueeze(1))  # [sample, posterior]
    by_hand = (scored.diagonal() - scored.logsumexp(1) + math.log(6)).mean()
    assert elbo.report().terms["I(x; z_a)"].item() == pytest.approx(by_hand.item())


def test_factor_vae_with_the_exact_density_ratio_has_the_exact_total_correlation():
    # A guide that ignores x: q(z) = N(0, S) with correlation rho, whose TC is -1/2 log(1 - rho^2)
    rho = 0.8
    tril = torch.tensor([[1.0, 0.0], [rho, math.sqrt(1 - rho**2)]])
    whole = dist.MultivariateNormal(torch.zeros(2), scale_tril=tril)

    class Correlated(nn.Module):
        def forward(self, x):
            with pyro.plate("data", len(x)):
                pyro.sample("z", whole.expand([len(x)]))

    def log_ratio(z):
        return whole.log_prob(z) - dist.Normal(0, 1).log_prob(z).sum(-1)

    model, _ = vae_pair()
    elbo = FactorVAE(gamma=3.0, log_ratio=log_ratio)
    pyro.set_rng_seed(1)
    elbo.loss(model, Correlated(), images(20_000))
    exact = -0.5 * math.log(1 - rho**2)
    spread = log_ratio(whole.sample((20_000,))).std().item() / math.sqrt(20_000)
    assert elbo.report().terms["-TC"].item() == pytest.approx(-3 * exact, abs=3 * 5 * spread)


def test_a_density_ratio_is_not_trained_by_the_objective():
    network = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    elbo = FactorVAE(gamma=3.0, log_ratio=network)
    pair = vae_pair()
    trained = set(elbo(*pair).parameters())
    assert trained
    assert not trained & set(network.parameters())
    assert list(elbo.state_dict()) == ["gamma"]


def test_permuting_units_keeps_each_ones_values_and_breaks_their_ties():
    z = torch.randn(500, 1).repeat(1, 3) * torch.tensor([1.0, 2.0, 3.0])  # fully dependent units
    permuted = permute_units(z)
    torch.testing.assert_close(permuted.sort(0).values, z.sort(0).values)
    assert torch.corrcoef(permuted.T).triu(1).abs().max() < 5 / math.sqrt(500)


def test_every_objective_says_its_row_of_table_1():
    for build in EVERY.values():
        assert build().weights.startswith("(1 + 3)")


# State.


@pytest.mark.parametrize("elbo", EVERY.values(), ids=EVERY)
def test_state_makes_another_objective_go_on_alike(elbo):
    pair, x = vae_pair(), images()
    one, other = elbo(), elbo()
    evaluate(one, pair, images(5))
    other.load_state_dict(one.state_dict())
    assert evaluate(one, pair, x)[0] == evaluate(other, pair, x)[0]


@pytest.mark.parametrize(
    "build",
    [
        lambda w: BetaTCVAE(beta=w, num_data=9),
        lambda w: HFVAE(alpha=1, beta=1, gamma=w, num_data=9),
        lambda w: Capacity(gamma=1, capacity=w),
        lambda w: DIPVAE(lambda_od=w, lambda_d=1, rate=1),
        lambda w: Decomposition(alpha=w, beta=1, divergence="kl"),
        lambda w: InformationDropout(beta=w, gamma=1, num_data=9),
        lambda w: AnchoredCorEx(lambda_=w, anchors={"z": [0]}, num_data=9),
        lambda w: FactorVAE(gamma=w, log_ratio=torch.sum),
    ],
)
@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_weights_that_make_no_sense_are_refused(build, weight):
    with pytest.raises(ValueError, match=r"must be finite( and at least 0)?, got"):
        build(weight)


def test_num_data_is_never_guessed():
    with pytest.raises(TypeError, match="num_data"):
        HFVAE(alpha=1, beta=1, gamma=1)
    with pytest.raises(TypeError, match="num_data"):
        BetaTCVAE(beta=1)


def test_a_family_without_marginals_is_refused_with_the_heads_that_have_them():
    class Warped(MeanField):
        def forward(self, raw):
            return dist.TransformedDistribution(super().forward(raw), [dist.transforms.TanhTransform()])

    with pytest.raises(
        ValueError, match=r"site 'z': TransformedDistribution has no marginals per unit.*MeanField, FullRank"
    ):
        BetaTCVAE(beta=2, num_data=N).loss(*vae_pair(head=Warped(2)), images())
