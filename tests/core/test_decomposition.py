"""The priors that carry structure: told and traced alike, their densities by hand, with and without the indicator."""

import copy
import math
import pickle
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO, TraceEnum_ELBO
from pyro.infer.autoguide import AutoNormal
from torch import nn

from guides import Amortized, MeanField
from tests.pairs import NUM_DATA, SHAPE, images
from zoo import (
    AnisotropicVAE,
    ClusteredVAE,
    ClusterIndicatorVAE,
    SparseIndicatorVAE,
    SparseVAE,
    StudentTVAE,
)
from zoo.decomposition import SIGMA_0
from zoo.elbos import BetaVAE, Decomposition, PlainELBO
from zoo.estimators import scores
from zoo.lab.networks import MLPDecoder, MLPEncoder
from zoo.lab.story import docstring_lines, trace_lines
from zoo.likelihoods import laplace, normal, normal_and_scale
from zoo.metrics import hoyer
from zoo.pairing import SampledKLWarning

PLACES = [[0.0, -1.0], [0.5, 1.0], [1.0, 0.0]]


def decoder():
    return MLPDecoder(2, SHAPE, hidden=(7,))


STORIES = {
    "anisotropic": lambda **k: AnisotropicVAE(decoder(), variances=[1.5, 0.5], num_data=NUM_DATA, **k),
    "learnt": lambda **k: AnisotropicVAE(decoder(), variances=[1.5, 0.5], learnt=True, num_data=NUM_DATA, **k),
    "student-t": lambda **k: StudentTVAE(decoder(), z_dim=2, nu=3.0, num_data=NUM_DATA, **k),
    "clustered": lambda **k: ClusteredVAE(decoder(), places=PLACES, scale=0.2, num_data=NUM_DATA, **k),
    "sparse": lambda **k: SparseVAE(decoder(), z_dim=2, gamma=0.8, sigma_0=0.05, num_data=NUM_DATA, **k),
    "which-cluster": lambda **k: ClusterIndicatorVAE(decoder(), places=PLACES, scale=0.2, num_data=NUM_DATA, **k),
    "on-or-off": lambda **k: SparseIndicatorVAE(decoder(), z_dim=2, gamma=0.8, sigma_0=0.05, num_data=NUM_DATA, **k),
}
ONE_SITE = list(STORIES)[:5]  # those whose only latent site is z
LIKELIHOODS = {
    "clustered": partial(normal, scale=0.3),
    "which-cluster": partial(normal, scale=0.3),
    "sparse": partial(laplace, scale=0.1),
    "on-or-off": partial(laplace, scale=0.1),
}


def pair(name, **options):
    guide = Amortized(MLPEncoder(SHAPE, hidden=(7,)), z=MeanField(2), num_data=NUM_DATA)
    return STORIES[name](**options), guide


@pytest.mark.parametrize("name", STORIES)
def test_the_docstring_tells_what_the_trace_shows(name):
    model = STORIES[name](**({"likelihood": LIKELIHOODS[name]} if name in LIKELIHOODS else {}))
    shown = trace_lines(poutine.trace(model).get_trace(images()))
    assert [(line.name, line.relation, line.family) for line in docstring_lines(type(model))] == [
        (line.name, line.relation, line.expression) for line in shown
    ]


@pytest.mark.parametrize("name", STORIES)
def test_without_data_it_draws_from_the_prior_and_with_an_index_it_stands_for_all_data(name):
    model = STORIES[name]()
    assert model().shape == (1, *SHAPE)
    trace = poutine.trace(model).get_trace(images(11), index=torch.arange(20, 31))
    assert trace.nodes["x"]["scale"] == pytest.approx(NUM_DATA / 11)
    assert trace.nodes["z"]["scale"] == pytest.approx(NUM_DATA / 11)


def log_normal(z, scale, loc=0.0):
    return -0.5 * ((z - loc) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)


def log_prior_by_hand(name, z):
    """log p(z) of one code, term by term."""
    if name in ("anisotropic", "learnt"):
        return sum(log_normal(u, math.sqrt(v)) for u, v in zip(z, [1.5, 0.5], strict=True))
    if name == "student-t":
        constant = math.lgamma(2) - math.lgamma(1.5) - 0.5 * math.log(3 * math.pi)
        return sum(constant - 2 * math.log1p(u * u / 3) for u in z)
    if name == "clustered":
        each = [math.exp(sum(log_normal(u, 0.2, m) for u, m in zip(z, place, strict=True))) for place in PLACES]
        return math.log(sum(each) / 3)
    return sum(math.log(0.2 * math.exp(log_normal(u, 1)) + 0.8 * math.exp(log_normal(u, 0.05))) for u in z)


@pytest.mark.parametrize("name", ONE_SITE)
def test_the_priors_density_is_the_papers(name):
    model, _ = pair(name)
    z = torch.randn(11, 2) * 0.5
    trace = poutine.trace(poutine.condition(model, {"z": z})).get_trace(images(11))
    by_hand = torch.tensor([log_prior_by_hand(name, code) for code in z.tolist()])
    torch.testing.assert_close(trace.nodes["z"]["fn"].log_prob(z), by_hand, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "second", "fourth"),
    [
        ("anisotropic", [1.5, 0.5], None),
        ("clustered", [0.04 + (0.25 + 1) / 3, 0.04 + 2 / 3], None),
        ("which-cluster", [0.04 + (0.25 + 1) / 3, 0.04 + 2 / 3], None),
        ("sparse", [0.2 + 0.8 * 0.05**2] * 2, 3 * (0.2 + 0.8 * 0.05**4)),
        ("on-or-off", [0.2 + 0.8 * 0.05**2] * 2, 3 * (0.2 + 0.8 * 0.05**4)),
    ],
)
def test_draws_have_the_priors_moments(name, second, fourth):
    # the indicator's story puts its units before the data
    z = Predictive(STORIES[name](), num_samples=20_000, parallel=True)()["z"].reshape(20_000, 2)
    for power, expected in ((2, second), (4, fourth and [fourth] * 2)):
        if expected:
            error = 5 * (z**power).std(0) / math.sqrt(20_000)
            assert ((z**power).mean(0) - torch.tensor(expected)).abs().lt(error).all()


# The indicator as a site: the same density.


def test_summing_out_the_cluster_gives_the_mixtures_density():
    mixture, indicator = STORIES["clustered"](), STORIES["which-cluster"]()
    z, x = torch.randn(11, 2), images(11)
    log_p = poutine.trace(poutine.condition(mixture, {"z": z})).get_trace(x).nodes["z"]["fn"].log_prob(z)
    joint = []
    for k in range(3):
        trace = poutine.trace(poutine.condition(indicator, {"z": z, "k": torch.full((11,), k)})).get_trace(x)
        joint.append(trace.nodes["k"]["fn"].log_prob(torch.full((11,), k)) + trace.nodes["z"]["fn"].log_prob(z))
    torch.testing.assert_close(torch.stack(joint).logsumexp(0), log_p, rtol=0, atol=1e-10)


@pytest.mark.parametrize("gamma", [0.3, 0.8])
def test_summing_out_all_switches_gives_the_mixtures_density(gamma):
    # every one of the 2^3 configurations, not unit by unit
    options = {"z_dim": 3, "gamma": gamma, "sigma_0": SIGMA_0["paper"]}
    net = MLPDecoder(3, SHAPE, hidden=(7,))
    mixture, indicator = SparseVAE(net, **options), SparseIndicatorVAE(net, **options)
    z, x = torch.randn(11, 3), images(11)
    log_p = poutine.trace(poutine.condition(mixture, {"z": z})).get_trace(x).nodes["z"]["fn"].log_prob(z)
    joint = []
    for on in torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3):
        switches = on.unsqueeze(-1).expand(3, 11)
        trace = poutine.trace(poutine.condition(indicator, {"z": z.mT, "on": switches})).get_trace(x)
        trace.compute_log_prob()
        joint.append(trace.nodes["on"]["log_prob"].sum(0) + trace.nodes["z"]["log_prob"].sum(0))
        torch.testing.assert_close(trace.nodes["x"]["log_prob"].shape, torch.Size([11]))
    torch.testing.assert_close(torch.stack(joint).logsumexp(0), log_p, rtol=0, atol=1e-10)


def test_trace_enum_elbo_of_the_cluster_is_trace_elbo_of_the_mixture():
    mixture, guide = pair("clustered")
    indicator = ClusterIndicatorVAE(mixture.decoder, places=PLACES, scale=0.2, num_data=NUM_DATA)
    x, index = images(11), torch.arange(11)
    losses = []
    for model, elbo in ((mixture, Trace_ELBO()), (indicator, TraceEnum_ELBO(max_plate_nesting=1))):
        pyro.set_rng_seed(1)
        losses.append(elbo.loss(model, guide, x, index=index))
    assert losses[0] == pytest.approx(losses[1], abs=1e-10 * abs(losses[0]))


def test_trace_enum_elbo_of_the_switches_is_trace_elbo_of_the_mixture():
    # The same posterior over the two stories' z, whose plates lie the other way round, and the same draw of it.
    loc, scale = torch.randn(11, 2), torch.rand(11, 2) + 0.1
    drawn = dist.Normal(loc, scale).sample()

    def guide(x):
        with pyro.plate("data", 11):
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))

    def unit_guide(x):
        with pyro.plate("data", 11), pyro.plate("units", 2):
            pyro.sample("z", dist.Normal(loc.mT, scale.mT))

    def at_the_draw(program, z):
        given = poutine.trace(poutine.condition(program, {"z": z})).get_trace(None)
        given.nodes["z"]["is_observed"] = False
        return poutine.replay(program, trace=given)

    mixture = STORIES["sparse"]()
    indicator = SparseIndicatorVAE(mixture.decoder, z_dim=2, gamma=0.8, sigma_0=0.05)
    x = images(11)
    plain = Trace_ELBO().loss(mixture, at_the_draw(guide, drawn), x)
    summed = TraceEnum_ELBO(max_plate_nesting=2).loss(indicator, at_the_draw(unit_guide, drawn.mT), x)
    assert summed == pytest.approx(plain, abs=1e-10 * abs(plain))


@pytest.mark.parametrize(("name", "hidden"), [("which-cluster", "k"), ("on-or-off", "on")])
def test_the_indicators_story_trains_beside_an_autoguide(name, hidden):
    model = STORIES[name]()
    guide = AutoNormal(poutine.block(model, hide=[hidden]))
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.02}), loss=TraceEnum_ELBO(max_plate_nesting=2))
    x = images(11)
    with pyro.get_param_store().scope():  # two of Pyro's autoguides share entries in one store
        losses = [svi.step(x) for _ in range(150)]
    assert sum(losses[-20:]) < 0.9 * sum(losses[:20])


# Under the objectives.


@pytest.mark.parametrize("name", ONE_SITE)
def test_the_sampled_elbo_is_pyros(name):
    model, guide = pair(name)
    x, index = images(11), torch.arange(11)
    pyro.set_rng_seed(3)
    ours = PlainELBO(kl="sampled").loss(model, guide, x, index=index)
    pyro.set_rng_seed(3)
    assert ours == pytest.approx(Trace_ELBO().loss(model, guide, x, index=index) / NUM_DATA, rel=1e-10)


def test_only_normals_have_a_closed_kl():
    model, guide = pair("anisotropic")
    x, elbo = images(), PlainELBO()
    elbo.loss(model, guide, x)
    q = poutine.trace(guide).get_trace(x).nodes["z"]["fn"].base_dist
    variances = torch.tensor([1.5, 0.5])
    by_hand = 0.5 * ((q.variance + q.loc**2) / variances - 1 - q.variance.log() + variances.log())
    torch.testing.assert_close(elbo.report().kl["z"], by_hand.mean(0))
    for name in ("student-t", "clustered", "sparse"):
        with pytest.warns(SampledKLWarning, match=r"no closed-form KL of Normal from .*kl='sampled'"):
            PlainELBO().loss(*pair(name), images())


def test_learnt_variances_keep_their_sum_and_are_trained():
    model, guide = pair("learnt")
    torch.testing.assert_close(model.variances, torch.tensor([1.5, 0.5]))
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), loss=BetaVAE(beta=1.0))
    for _ in range(30):
        svi.step(images(), index=torch.arange(11))
    assert model.variances.sum().item() == pytest.approx(2.0)
    assert (model.variances - torch.tensor([1.5, 0.5])).abs().max() > 0.05
    assert "log_variances" in model.state_dict()
    assert not [name for name in STORIES["anisotropic"]().state_dict() if "decoder" not in name]


def test_the_codes_double_count_of_log_p_by_its_broadcast():
    # per-unit log q [..., D] less the mixture's log p [..., 1], summed over the last dimension
    model, guide = pair("clustered")
    x = images(11)
    elbo = Decomposition(alpha=0.0, beta=0.7, divergence="kl", log_p="per-unit", kl="sampled")
    pyro.set_rng_seed(2)
    elbo.loss(model, guide, x)
    pyro.set_rng_seed(2)
    site = poutine.trace(guide).get_trace(x).nodes["z"]
    log_q = site["fn"].base_dist.log_prob(site["value"])
    log_p = torch.tensor([log_prior_by_hand("clustered", z) for z in site["value"].tolist()]).unsqueeze(-1)
    theirs = 0.7 * (log_q - log_p).sum(-1).mean()
    terms = elbo.report().terms
    ours = -(terms["-KL(z)"] + terms["(D - 1) log p(z)"])
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    # what is reported as the KL is the KL
    torch.testing.assert_close(elbo.report().kl["z"].sum(), (log_q.sum(-1) - log_p.squeeze(-1)).mean())


@pytest.mark.parametrize("name", ["anisotropic", "student-t", "sparse"])
def test_independent_units_are_counted_once_in_the_code_too(name):
    model, guide = pair(name)
    losses = []
    for log_p in ("once", "per-unit"):
        pyro.set_rng_seed(2)
        elbo = Decomposition(alpha=0.0, beta=0.7, divergence="mmd-marginal", log_p=log_p, kl="sampled")
        losses.append(elbo.loss(model, guide, images()))
    assert losses[0] == losses[1]


def test_a_mixtures_marginals_integrate_the_other_units_out():
    mixture = poutine.trace(STORIES["clustered"]()).get_trace().nodes["z"]["fn"]
    axis = torch.linspace(-4, 4, 801)
    whole = mixture.log_prob(torch.cartesian_prod(axis, axis)).exp().reshape(801, 801)
    units = scores(mixture, torch.stack([axis, axis], dim=-1)).units
    torch.testing.assert_close(units[:, 0].exp(), whole.sum(1) * 0.01, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(units[:, 1].exp(), whole.sum(0) * 0.01, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("gamma", "scale"), [(0.0, 1.0), (1.0, 0.05)])
def test_all_on_and_all_off_are_normals_exactly_and_have_gradients(gamma, scale):
    model = SparseVAE(decoder(), z_dim=2, gamma=gamma, sigma_0=0.05)
    prior = poutine.trace(model).get_trace().nodes["z"]["fn"]
    z = torch.randn(11, 2, requires_grad=True)
    log_p = prior.log_prob(z)
    torch.testing.assert_close(log_p, dist.Normal(0.0, scale).log_prob(z).sum(-1), rtol=1e-12, atol=1e-12)
    (gradient,) = torch.autograd.grad(log_p.sum(), z)
    torch.testing.assert_close(gradient, -z.detach() / scale**2)


@pytest.mark.parametrize(("reading", "score"), [("paper", 0.42), ("code", 0.65)])
def test_what_draws_of_the_sparse_prior_score(reading, score):
    def sparsity(gamma):
        story = SparseVAE(nn.Identity(), z_dim=50, gamma=gamma, sigma_0=SIGMA_0[reading], likelihood=laplace_of_50)
        return float(hoyer(Predictive(story, num_samples=5_000, parallel=True)()["z"].squeeze(1), repeats=2))

    assert sparsity(0.8) == pytest.approx(score, abs=0.01)
    assert sparsity(0.0) == pytest.approx(0.23, abs=0.01)


def laplace_of_50(loc):
    return laplace(loc, scale=0.1)


def test_two_numbers_for_each_real_value():
    raw = torch.randn(5, 6)
    expected = dist.Normal(raw[:, :3], torch.log1p(raw[:, 3:].exp()))
    x = torch.randn(5, 3)
    torch.testing.assert_close(normal_and_scale(raw).log_prob(x), expected.log_prob(x))
    with pytest.raises(ValueError, match=r"normal_and_scale: .* n means and then n raw scales, got \[4, 5\]"):
        normal_and_scale(torch.zeros(4, 5))


@pytest.mark.parametrize("name", STORIES)
def test_copies_and_pickles(name):
    model = STORIES[name]()
    model(images(), index=torch.arange(11))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other().shape == (1, *SHAPE)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SparseVAE(decoder(), z_dim=2, gamma=1.1, sigma_0=0.1), r"gamma, .* must be in \[0, 1\], got 1.1"),
        (lambda: SparseIndicatorVAE(decoder(), z_dim=2, gamma=-0.1, sigma_0=0.1), r"in \[0, 1\], got -0.1"),
        (lambda: SparseVAE(decoder(), z_dim=2, gamma=math.nan, sigma_0=0.1), "gamma must be finite, got nan"),
        (lambda: SparseVAE(decoder(), z_dim=2, gamma=0.5, sigma_0=0.0), "sigma_0 must be positive and finite"),
        (lambda: StudentTVAE(decoder(), z_dim=2, nu=0.0), r"nu must be positive and finite, got \[0.0\]"),
        (
            lambda: ClusteredVAE(decoder(), places=PLACES, scale=-1.0),
            r"scale must be positive and finite, got \[-1.0\]",
        ),
        (lambda: ClusteredVAE(decoder(), places=[0.0, 1.0], scale=1.0), r"centres \[K, z_dim\].*shape \[2\]"),
        (lambda: AnisotropicVAE(decoder(), variances=[1.0, 0.0]), r"variances must be positive.*\[1.0, 0.0\]"),
        (lambda: Decomposition(alpha=1, beta=1, divergence="kl", log_p="twice"), "'once' or 'per-unit', got 'twice'"),
    ],
)
def test_priors_that_make_no_sense_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
