"""Pairs that are legitimate and rare: the right number, or an error that says why there is none."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import TraceEnum_ELBO
from pyro.infer.autoguide import AutoNormal
from torch import nn

from guides import Amortized, Concrete, DirichletHead, Exact, MeanField, Mixture, StraightThrough
from zoo import VAE
from zoo.aggregate import prior_kl, prior_mmd
from zoo.elbos import (
    DIPVAE,
    HFVAE,
    AnchoredCorEx,
    BetaTCVAE,
    BetaVAE,
    Capacity,
    Decomposition,
    InfoVAE,
    NaturalClusteringELBO,
    PlainELBO,
    TypeInformation,
)
from zoo.estimators import closed_kl
from zoo.handlers import DrawPriors, ScorePairs
from zoo.joint_vae import JointVAE
from zoo.likelihoods import Multinomial, normal
from zoo.natural_clustering import NaturalClustering
from zoo.pairing import SampledKLWarning
from zoo.termwise import TermwiseELBO

B, K = 4, 3
X = torch.linspace(-1.0, 1.0, 5 * B, dtype=torch.float64).reshape(B, 5)


def likelihood(loc):
    return normal(loc, scale=1.0)


def plate(x):
    return pyro.plate("data", len(x))


# A mask or a scale that depends on a class that is summed out.


@pytest.mark.parametrize("what", ["mask", "scale"])
def test_a_mask_or_a_scale_by_class_is_that_of_each_class(what):
    w = torch.linspace(-1.0, 1.0, 5 * K, dtype=torch.float64).reshape(K, 5)

    def model(x, *, index=None):
        with plate(x):
            c = pyro.sample("c", dist.OneHotCategorical(torch.ones(K) / K))
            pyro.sample("x", dist.Normal(c @ w, 1.0).to_event(1), obs=x)
            by_class = {"mask": c[..., 0] == 1} if what == "mask" else {"scale": 1 + c[..., 0]}
            with getattr(poutine, what)(**by_class):
                pyro.sample("more", dist.Normal(x.sum(-1), 1.0), obs=torch.zeros(len(x)))

    guide = Amortized(nn.Linear(5, 8), c=Exact(K))
    theirs = TraceEnum_ELBO(max_plate_nesting=4, strict_enumeration_warning=False).loss(model, guide, X)
    assert PlainELBO().loss(model, guide, X) == pytest.approx(theirs / B, abs=1e-10)


def test_a_latent_under_a_mask_by_class_counts_where_its_class_is():
    # KL(N(m, s) || N(0, 1)) of each unit times q(c = 0 | x)
    def masked(c):
        return poutine.mask(mask=c[..., 0] == 1)

    def model(x, *, index=None):
        with plate(x):
            c = pyro.sample("c", dist.OneHotCategorical(torch.ones(K) / K))
            with masked(c):
                pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(torch.zeros(5), 1.0).to_event(1), obs=x)

    heads = Amortized(nn.Linear(5, 8), c=Exact(K), z=MeanField(2))

    def guide(x, *, index=None):
        features = heads.trunk(x)
        with plate(x):
            c = pyro.sample("c", heads.posterior("c", features, {}), infer={"enumerate": "parallel"})
            with masked(c):
                pyro.sample("z", heads.posterior("z", features, {}))

    elbo = PlainELBO()
    elbo.loss(model, guide, X)
    q_c, q_z = (heads.posterior(name, heads.trunk(X), {}) for name in ("c", "z"))
    kl = 0.5 * (q_z.mean**2 + q_z.variance - q_z.variance.log() - 1).sum(-1)
    assert elbo.report().kl["z"].sum().item() == pytest.approx((q_c.probs[:, 0] * kl).mean().item())


# Both ends of a chain c -> z -> w in one group, without the middle.


def chain():
    def model(x, *, index=None):
        with plate(x):
            pyro.sample("c", dist.OneHotCategorical(torch.ones(2) / 2))
            for name in "zw":
                pyro.sample(name, dist.Normal(torch.zeros(1), 5.0).to_event(1))
            pyro.sample("x", dist.Normal(torch.zeros(1), 1.0).to_event(1), obs=x)

    # z is -5 or 5 by c, and w is z.
    guide = Amortized(
        nn.Linear(1, 1),
        c=StraightThrough(2, temperature=0.5),
        z=MeanField(1, given=("c",)),
        w=MeanField(1, given=("z",)),
    )
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.zero_()
        guide.layers["z"][0].weight[0, 1:] = torch.tensor([-5.0, 5.0])
        guide.layers["w"][0].weight[0, -1] = 1.0
        for name in "zw":
            guide.layers[name][0].bias[1] = math.log(0.01)
    return model, guide


def test_the_ends_of_a_chain_in_one_group_need_its_middle():
    pair, x = chain(), torch.zeros(512, 1)
    options = {"alpha": 1.0, "beta": 1.0, "gamma": 1.0, "num_data": 512, "estimator": "batch"}
    with pytest.raises(ValueError, match="site 'w' depends on 'z', which depends on 'c', and 'w' and 'c' are"):
        HFVAE(groups=[["c", "w"], ["z"]], **options).loss(*pair, x)
    elbo = HFVAE(groups=[["c", "z"], ["w"]], **options)
    elbo.loss(*pair, x)
    within = [-nats.item() for name, nats in elbo.report().terms.items() if "within" in name]
    assert sum(within) == pytest.approx(math.log(2), abs=0.02)  # c fixes the sign of z


def test_a_divergence_of_the_ends_of_a_chain_needs_its_middle():
    class Penalised(TermwiseELBO):
        def messengers(self):
            return [DrawPriors(), ScorePairs("density")]

        def terms(self, model_trace, guide_trace):
            return {"D": prior_kl(model_trace, guide_trace, sites=["c", "w"])}

    with pytest.raises(ValueError, match="site 'w' depends on 'z', which depends on 'c'"):
        Penalised().loss(*chain(), torch.zeros(8, 1))


# Labels, masks, weights.


@pytest.mark.parametrize("size", [1, 3, 4])
def test_labels_that_are_integers_are_refused_whatever_the_size_of_the_batch(size):
    def model(x, y=None, *, index=None):
        with plate(x):
            pi = pyro.sample("pi", dist.Dirichlet(torch.ones(4)))
            pyro.sample("y", dist.Categorical(pi), obs=y)
            pyro.sample("z_c", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(torch.zeros(5), 1.0).to_event(1), obs=x)

    heads = Amortized(nn.Linear(5, 8), pi=DirichletHead(4), z_c=MeanField(2))
    with pytest.raises(ValueError, match=r"site 'y' is Categorical with events of shape \[\], .* OneHotCategorical"):
        NaturalClusteringELBO(beta_c=1.0).loss(
            model, lambda x, y=None, index=None: heads(x), X[:size], torch.arange(size)
        )


@pytest.mark.parametrize("masked", ["model", "guide", "both"])
def test_a_mask_in_a_distribution_is_in_both_or_refused(masked):
    keep = torch.tensor([True, False, True, True])
    linear = nn.Linear(5, 4)

    def of(fn, program):
        return fn.mask(keep) if masked in (program, "both") else fn

    def model(x, *, index=None):
        with plate(x):
            z = pyro.sample("z", of(dist.Normal(torch.zeros(B, 2), 1.0).to_event(1), "model"))
            pyro.sample("x", dist.Normal(z.sum(-1, keepdim=True).expand(B, 5), 1.0).to_event(1), obs=x)

    def guide(x, *, index=None):
        loc, log_var = linear(x).chunk(2, -1)
        with plate(x):
            pyro.sample("z", of(dist.Normal(loc, (0.5 * log_var).exp()).to_event(1), "guide"))

    elbo = PlainELBO(kl="sampled")
    if masked != "both":
        with pytest.raises(ValueError, match="site 'z': the mask of its distribution differs between model and guide"):
            elbo.loss(model, guide, X)
    else:
        elbo.loss(model, guide, X)


def test_a_weight_by_site_reaches_the_whole_kl_or_is_refused():
    model = VAE(nn.Linear(2, 5), z_dim=2, likelihood=likelihood)
    guide = AutoNormal(model, create_plates=lambda x, *, index=None: plate(x))
    guide(X)
    with pytest.raises(ValueError, match=r"a weight of site 'z' would leave out a part of its KL.*guides\.Automatic"):
        BetaVAE(beta={"z": 4.0}, kl="sampled").loss(model, guide, X)
    assert math.isfinite(BetaVAE(beta=4.0, kl="sampled").loss(model, guide, X))


def test_information_of_a_type_that_copies_a_draw_is_refused():
    class Decoder(nn.Module):
        def forward(self, z, c):
            return torch.zeros(*torch.broadcast_shapes(z.shape[:-1], c.shape[:-1]), 5)

    story = JointVAE(Decoder(), z_dim=1, c_dims=[2], temperature=0.5, likelihood=likelihood)
    guide = Amortized(nn.Linear(5, 4), z=MeanField(1), c=Concrete(2, temperature=0.5, given=("z",)))
    elbo = TypeInformation(gamma={}, capacity={}, information=1.0, balance=1.0, smoothness=0.0)
    with pytest.raises(ValueError, match=r"site 'c' depends on 'z', which is drawn, so q\(c \| x\) is unknown"):
        elbo.loss(story, guide, X)


@pytest.mark.parametrize("kernel", ["joint", "marginal"])
@pytest.mark.parametrize("num_particles", [1, 2, 10])
def test_the_mmd_is_0_on_average_where_q_z_is_the_prior(num_particles, kernel):
    class Penalised(TermwiseELBO):
        def messengers(self):
            return [DrawPriors()]

        def terms(self, model_trace, guide_trace):
            return {"MMD": prior_mmd(model_trace, guide_trace, kernel)}

    def guide(x, *, index=None):
        with plate(x):
            pyro.sample("z", dist.Normal(x, 0.01).to_event(1))

    model = VAE(nn.Linear(2, 2), z_dim=2, likelihood=likelihood)
    elbo = Penalised(num_particles=num_particles)
    found = []
    for _ in range(200):
        elbo.loss(model, guide, torch.randn(10, 2))
        found.append(elbo.report().terms["MMD"])
    found = torch.stack(found)
    assert abs(found.mean()) < 4 * found.std() / len(found) ** 0.5 + 1e-3
    with pytest.raises(ValueError, match="mmd takes two samples"):
        elbo.loss(model, guide, torch.randn(1, 2))


def new_zeros(a):
    return a.new_zeros(1)


def zeros_like(a):
    return torch.zeros_like(a)[..., :1]


def of_the_type(a):
    return torch.zeros(1).to(a) + torch.zeros(1).type_as(a)


@pytest.mark.parametrize("make", [new_zeros, zeros_like, of_the_type])
def test_a_prior_that_takes_only_the_shape_of_another_site_does_not_depend_on_it(make):
    def model(x, *, index=None):
        with plate(x):
            a = pyro.sample("a", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            b = pyro.sample("b", dist.Normal(make(a), 1.0).to_event(1))
            pyro.sample("x", dist.Normal((a + b).expand(*b.shape[:-1], 5), 1.0).to_event(1), obs=x)

    guide = Amortized(nn.Linear(5, 8), a=MeanField(1), b=MeanField(1))
    assert math.isfinite(BetaTCVAE(beta=1.0, num_data=10).loss(model, guide, X))


def test_a_value_that_is_filled_in_is_a_dependence():
    def model(x, *, index=None):
        with plate(x):
            a = pyro.sample("a", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            b = pyro.sample("b", dist.Normal(torch.zeros(1).to(a) + a.new_zeros(1).add(a), 1.0).to_event(1))
            pyro.sample("x", dist.Normal((a + b).expand(*b.shape[:-1], 5), 1.0).to_event(1), obs=x)

    guide = Amortized(nn.Linear(5, 8), a=MeanField(1), b=MeanField(1))
    with pytest.raises(ValueError, match="site 'b': its prior depends on 'a'"):
        BetaTCVAE(beta=1.0, num_data=10).loss(model, guide, X)


# Classes and words of probability 0.


def test_a_class_of_probability_0_costs_nothing_where_it_is_not_used_and_everything_where_it_is():
    logits = torch.tensor([0.0, 0.0, -math.inf], requires_grad=True)
    even = dist.OneHotCategorical(logits=torch.zeros(3))
    kl = closed_kl(dist.OneHotCategorical(logits=logits), even)
    assert kl.item() == pytest.approx(math.log(1.5))
    kl.sum().backward()
    torch.testing.assert_close(logits.grad, torch.zeros(3))  # even among the two, by symmetry
    both = dist.OneHotCategorical(torch.tensor([0.5, 0.5, 0.0]))
    assert closed_kl(even, both).item() == math.inf
    assert closed_kl(both, even).item() == pytest.approx(math.log(1.5))
    assert closed_kl(both, both).item() == pytest.approx(0.0, abs=1e-12)


def test_a_probability_that_is_rounded_to_0_is_not_a_class_that_is_excluded():
    # exp(-110) is 0 in float32: KL((1/2, 1/2) || (1, e^-110)) = -log 2 + 110 / 2
    even, steep = torch.zeros(2).float(), torch.tensor([0.0, -110.0], dtype=torch.float32, requires_grad=True)
    kl = closed_kl(dist.OneHotCategorical(logits=even), dist.OneHotCategorical(logits=steep))
    assert kl.item() == pytest.approx(55.0 - math.log(2), rel=1e-6)
    kl.sum().backward()
    torch.testing.assert_close(steep.grad.double(), torch.tensor([0.5, -0.5]))  # softmax - q
    assert closed_kl(dist.OneHotCategorical(logits=steep), dist.OneHotCategorical(logits=steep)).item() == 0.0


ONLY_TWO = torch.tensor([0.0, 0.0, -math.inf], dtype=torch.float64)


def of_two_classes(prior):
    """A type of 3 classes, of which the guide excludes the last one for every x."""
    w = torch.linspace(-1.0, 1.0, 5 * K, dtype=torch.float64).reshape(K, 5)
    linear = nn.Linear(5, K).double()

    def model(x, *, index=None):
        with plate(x):
            c = pyro.sample("c", dist.OneHotCategorical(prior))
            # For a class that the prior excludes, log p(x | c) is -inf.
            worth = torch.where(c @ prior > 0, 1.0, 0.0).unsqueeze(-1)
            pyro.sample("x", dist.Normal(c @ w, 1.0).to_event(1), obs=x)
            pyro.sample("may", dist.Binomial(1, worth).to_event(1), obs=torch.ones(len(x), 1, dtype=torch.float64))

    def guide(x, *, index=None):
        with plate(x):
            c = dist.OneHotCategorical(logits=linear(x) + ONLY_TWO)
            pyro.sample("c", c, infer={"enumerate": "parallel"})

    return model, guide, linear


@pytest.mark.parametrize("kl", ["closed", "sampled"])
@pytest.mark.parametrize("excluded", ["by the guide", "by both"])
def test_a_class_that_the_guide_excludes_does_not_count(kl, excluded):
    prior = [1.0, 1.0, 1.0] if excluded == "by the guide" else [0.3, 0.7, 0.0]
    model, guide, linear = of_two_classes(torch.tensor(prior, dtype=torch.float64) / sum(prior))
    loss = PlainELBO(kl=kl).loss_and_grads(model, guide, X)
    found = [parameter.grad for parameter in linear.parameters()]
    linear.zero_grad()
    theirs = TraceEnum_ELBO(max_plate_nesting=1, strict_enumeration_warning=False).differentiable_loss
    of_pyro = theirs(model, guide, X) / B
    assert loss == pytest.approx(of_pyro.item(), abs=1e-9)
    of_pyro.backward()
    torch.testing.assert_close(found, [parameter.grad for parameter in linear.parameters()])


def test_information_and_smoothness_of_a_class_that_is_excluded():
    prior = torch.tensor([0.25, 0.75, 0.0], dtype=torch.float64)
    model, guide, linear = of_two_classes(prior)
    weights = {"information": 1.0, "balance": 1.0, "smoothness": 1.0}
    elbo = TypeInformation(gamma={}, capacity={}, **weights)
    elbo.loss_and_grads(model, guide, X)
    q = (linear(X) + ONLY_TWO).softmax(-1)[:, :2].detach()
    q_c, p = q.mean(0), prior[:2]
    report = elbo.report().terms
    assert report["I(x; c)"].item() == pytest.approx((q * (q / q_c).log()).sum(-1).mean().item(), abs=1e-12)
    assert report["-KL(q(c) || p)"].item() == pytest.approx(-(q_c * (q_c / p).log()).sum().item(), abs=1e-12)
    assert report["-KL(q(c | x) || q(c | x + r))"].item() < 0
    assert all(parameter.grad.isfinite().all() for parameter in linear.parameters())


def test_types_that_the_prior_excludes_cost_everything_and_still_have_information():
    model, guide, linear = of_two_classes(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    model = poutine.block(model, hide=["may"])
    elbo = TypeInformation(gamma={}, capacity={}, information=1.0, balance=1.0, smoothness=0.0)
    assert elbo.loss(model, guide, X) == math.inf
    q = (linear(X) + ONLY_TWO).softmax(-1)[:, :2]
    assert elbo.report().terms["I(x; c)"].item() == pytest.approx((q * (q / q.mean(0)).log()).sum(-1).mean().item())


def test_a_class_that_a_classifier_excludes_has_no_gradient():
    head = Exact(K)
    head.forward = lambda raw: dist.OneHotCategorical(logits=raw + ONLY_TWO)
    guide = Amortized(nn.Linear(5, 8), pi=DirichletHead(K), y=head, z_c=MeanField(K), z_s=MeanField(1)).double()
    story = NaturalClustering(Sum(), classes=K, c_dim=1, s_dim=1, likelihood=likelihood).double()
    NaturalClusteringELBO(beta_c=1.0).loss_and_grads(story, guide, X)
    assert all(p.grad is None or p.grad.isfinite().all() for p in guide.parameters())


class Sum(nn.Module):
    def forward(self, z_cy, z_s):
        return (z_cy.sum(-1, keepdim=True) + z_s).expand(*z_s.shape[:-1], 5)


def test_a_word_of_probability_0_costs_nothing_where_it_does_not_occur():
    words = Multinomial(3, logits=torch.tensor([0.0, 0.0, -math.inf]))
    assert words.log_prob(torch.tensor([1.0, 2.0, 0.0])).item() == pytest.approx(3 * math.log(0.5))
    assert words.log_prob(torch.tensor([1.0, 1.0, 1.0])).item() == -math.inf


def test_the_capacity_of_a_type_of_the_whole_data_is_at_most_its_share_of_log_k():
    # The type is 0 or 1 for all B datapoints: each has KL / B, which is at most log(2) / B.
    def model(x, *, index=None):
        pyro.sample("c", dist.OneHotCategorical(torch.ones(2) / 2))
        with plate(x):
            pyro.sample("x", dist.Normal(torch.zeros(5), 1.0).to_event(1), obs=x)

    def guide(x, *, index=None):
        pyro.sample("c", dist.OneHotCategorical(torch.tensor([1.0, 0.0])), infer={"enumerate": "parallel"})

    elbo = Capacity(gamma={"c": 1.0}, capacity={"c": 0.5})
    with pytest.warns(UserWarning, match=r"0\.5 nats are asked of c, whose KL is at most 0\.1733"):
        elbo.loss(model, guide, X)
    assert elbo.report().terms["-gamma |KL(c) - C|"].item() == pytest.approx(0.0, abs=1e-6)


# What `__init__` refuses is refused later, too.


@pytest.mark.parametrize(
    ("make", "name", "value", "message"),
    [
        (lambda: DIPVAE(lambda_od=1.0, lambda_d=1.0, rate=0.5), "rate", -3.0, r"rate must be in \(0, 1\], got -3"),
        (
            lambda: AnchoredCorEx(lambda_=1.0, anchors={"z": [0]}, num_data=9),
            "anchors",
            {"z": [0, 0]},
            "more than once",
        ),
        (lambda: AnchoredCorEx(lambda_=1.0, anchors={"z": [0]}, num_data=9), "anchors", {"z": []}, "at least one unit"),
        (
            lambda: AnchoredCorEx(lambda_=1.0, anchors={"z": [0]}, num_data=9),
            "anchors",
            {},
            "anchors must be not empty",
        ),
        (lambda: BetaTCVAE(beta=1.0, num_data=9), "num_data", 0, "num_data must be from 1 to"),
        (lambda: Decomposition(alpha=1.0, beta=1.0, divergence="kl"), "sites", (), "sites must be not empty"),
    ],
)
def test_a_value_that_is_refused_at_first_is_refused_when_it_is_assigned(make, name, value, message):
    elbo = make()
    before = getattr(elbo, name)
    with pytest.raises(ValueError, match=message):
        setattr(elbo, name, value)
    assert getattr(elbo, name) == before


def test_another_divergence_needs_what_it_needs_from_the_start():
    model = VAE(nn.Linear(2, 5), z_dim=2, likelihood=likelihood)
    guide = Amortized(nn.Linear(5, 8), z=Mixture(2, components=2))
    elbo = InfoVAE(alpha=0.0, lambda_=1.0, divergence="kl", num_data=B)
    elbo.loss(model, guide, X)
    elbo.divergence = "mmd-joint"
    with pytest.warns(SampledKLWarning, match="no closed-form KL"):
        elbo.loss(model, guide, X)


def test_a_dirichlet_is_one_unit_of_the_codes_second_count():
    def model(x, *, index=None):
        with plate(x):
            pyro.sample("p", dist.Dirichlet(torch.full((3,), 2.0)))
            pyro.sample("x", dist.Normal(torch.zeros(5), 1.0).to_event(1), obs=x)

    elbo = Decomposition(alpha=0.0, beta=1.0, divergence="mmd-joint", log_p="per-unit")
    elbo.loss(model, Amortized(nn.Linear(5, 8), p=DirichletHead(3)), X)
    assert not [name for name in elbo.report().terms if name.startswith("(D - 1)")]
