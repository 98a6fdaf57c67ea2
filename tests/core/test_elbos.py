"""The ELBO and beta-VAE: equal to Pyro's, with hand-derived gradients, under scales, masks, plates and particles."""

import importlib
import math
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from torch import nn

from guides import Amortized, Concrete, DirichletHead, FullRank, MeanField
from tests.pairs import NUM_DATA, SHAPE, images, vae_pair
from zoo import VAE
from zoo.elbos import BetaVAE, PlainELBO
from zoo.likelihoods import normal
from zoo.pairing import SampledKLWarning
from zoo.termwise import TermwiseELBO

TIGHT = {"rtol": 0, "atol": 1e-10}


def loss_and_grads(elbo, pair, *args, **kwargs):
    """The loss on seed 1, and every parameter's gradient."""
    pyro.set_rng_seed(1)
    loss = elbo.loss_and_grads(*pair, *args, **kwargs)
    parameters = [p for module in pair for p in module.parameters()]
    grads = [p.grad.clone() for p in parameters]
    for p in parameters:
        p.grad = None
    return loss, grads


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("particles", [1, 4])
@pytest.mark.parametrize("head", [MeanField(2), FullRank(2)], ids=["mean-field", "full-rank"])
@pytest.mark.parametrize(
    ("kl", "pyros"), [("closed", TraceMeanField_ELBO), ("sampled", Trace_ELBO)], ids=["closed", "sampled"]
)
def test_equals_pyros_own_in_loss_and_gradients(kl, pyros, head, particles, indexed):
    pair = vae_pair(head=head)
    x = images(11)
    kwargs = {"index": torch.randperm(NUM_DATA)[:11]} if indexed else {}
    plate_size = NUM_DATA if indexed else 11
    ours, our_grads = loss_and_grads(PlainELBO(kl=kl, num_particles=particles), pair, x, **kwargs)
    theirs, their_grads = loss_and_grads(
        pyros(num_particles=particles, vectorize_particles=particles > 1, max_plate_nesting=1), pair, x, **kwargs
    )
    assert ours * plate_size == pytest.approx(theirs, abs=1e-10)
    for our, their in zip(our_grads, their_grads, strict=True):
        torch.testing.assert_close(our * plate_size, their, **TIGHT)


def test_the_three_ways_to_ask_for_the_loss_agree():
    pair, x = vae_pair(), images()
    elbo = PlainELBO(kl="sampled", num_particles=3)
    losses = []
    for ask in (elbo.loss, elbo.loss_and_grads, lambda *a: elbo.differentiable_loss(*a).item()):
        pyro.set_rng_seed(1)
        losses.append(ask(*pair, x))
    assert losses[0] == losses[1] == losses[2] == elbo.report().loss.item()
    pyro.set_rng_seed(1)
    assert elbo(*pair)(x).item() == losses[0]


def linear_gaussian(w: float, s: float):
    """z ~ N(0, 1), x ~ N(w z, s^2); q = N(a x + b, exp(h x + k)): one weight each, no nonlinearity."""
    decoder = nn.Linear(1, 1, bias=False)
    nn.init.constant_(decoder.weight, w)
    trunk = nn.Identity()
    trunk.out_features = 1
    return VAE(decoder, z_dim=1, likelihood=partial(normal, scale=s)), Amortized(trunk, z=MeanField(1))


@pytest.mark.parametrize("kl", ["closed", "sampled"])
def test_gradients_against_hand_derived_ones_on_a_linear_gaussian_pair(kl):
    w, s = 0.7, 0.5
    model, guide = linear_gaussian(w, s)
    x = torch.randn(6, 1)
    _, grads = loss_and_grads(PlainELBO(kl=kl), (model, guide), x)
    with torch.no_grad():
        pyro.set_rng_seed(1)
        z = guide(x)["z"]
        loc, log_var = guide.layers["z"][0](x).chunk(2, dim=-1)
    sigma = (log_var / 2).exp()
    noise = (z - loc) / sigma
    # -ELBO(x) = (x - w z)^2 / (2 s^2) + KL + const, z = loc + sigma noise
    d_z = -w * (x - w * z) / s**2
    d_w = -z * (x - w * z) / s**2
    if kl == "closed":  # KL = (sigma^2 + loc^2 - 1 - log sigma^2) / 2
        d_loc, d_log_var = d_z + loc, d_z * sigma * noise / 2 + (sigma**2 - 1) / 2
    else:  # log q - log p = -noise^2 / 2 - log sigma + z^2 / 2
        d_loc, d_log_var = d_z + z, (d_z + z) * sigma * noise / 2 - 0.5
    by_hand = [
        d_w.mean().reshape(1, 1),
        torch.stack([(d_loc * x).mean(), (d_log_var * x).mean()]).unsqueeze(-1),
        torch.stack([d_loc.mean(), d_log_var.mean()]),
    ]
    for grad, expected in zip(grads, by_hand, strict=True):
        torch.testing.assert_close(grad, expected, **TIGHT)


def test_at_the_exact_posterior_the_sampled_elbo_is_the_evidence_without_variance():
    w, s = 0.7, 0.5
    model, guide = linear_gaussian(w, s)
    # p(z | x) = N(w x / (w^2 + s^2), s^2 / (w^2 + s^2)); log p(x) = log N(x; 0, w^2 + s^2)
    evidence_var = w**2 + s**2
    with torch.no_grad():
        guide.layers["z"][0].weight.copy_(torch.tensor([[w / evidence_var], [0.0]]))
        guide.layers["z"][0].bias.copy_(torch.tensor([0.0, math.log(s**2 / evidence_var)]))
    x = torch.randn(5, 1)
    evidence = dist.Normal(0, math.sqrt(evidence_var)).log_prob(x).mean().item()
    for seed in range(3):
        pyro.set_rng_seed(seed)
        assert -PlainELBO(kl="sampled").loss(model, guide, x) == pytest.approx(evidence, abs=1e-12)


def test_beta_one_is_the_elbo_and_beta_zero_the_reconstruction():
    pair, x = vae_pair(), images()
    elbo, grads = loss_and_grads(PlainELBO(), pair, x)
    one, one_grads = loss_and_grads(BetaVAE(beta=1.0), pair, x)
    assert one == elbo
    torch.testing.assert_close(one_grads, grads, rtol=0, atol=0)
    nothing = BetaVAE(beta=0.0)
    zero, _ = loss_and_grads(nothing, pair, x)
    assert zero == -nothing.report().reconstruction["x"].item()
    # The report is unweighted all the same.
    assert nothing.report().kl["z"].sum().item() > 0
    assert -nothing.report().elbo.item() == pytest.approx(elbo, abs=1e-12)


@pytest.mark.parametrize("kl", ["closed", "sampled"])
def test_beta_is_pyros_elbo_of_the_programs_scaled_on_both_sides(kl):
    model, guide = vae_pair()
    x, index = images(), torch.arange(11)
    pyros = {"closed": TraceMeanField_ELBO, "sampled": Trace_ELBO}[kl]()
    beta = torch.tensor(4.0)
    scaled = ScaleLatent(beta)(model), ScaleLatent(beta)(guide)
    pyro.set_rng_seed(1)
    theirs = pyros.loss(*scaled, x, index=index)
    for beta_vae in (BetaVAE(beta=4, kl=kl), BetaVAE(beta={"z": 4.0}, kl=kl)):
        pyro.set_rng_seed(1)
        assert beta_vae.loss(model, guide, x, index=index) * NUM_DATA == pytest.approx(theirs, abs=1e-9)


class TwoLatents(nn.Module):
    """z ~ Normal(0, I), c ~ Concrete, pi ~ Dirichlet, x ~ Normal(decoder(z, c, pi))."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.Linear(2 + 3 + 4, 5)

    def forward(self, x=None):
        pyro.module("two", self)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1).to_event(1))
            c = pyro.sample("c", dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=torch.zeros(3)))
            pi = pyro.sample("pi", dist.Dirichlet(torch.full((4,), 2.0)))
            loc = self.decoder(torch.cat([z, c, pi], -1))
            return pyro.sample("x", dist.Normal(loc, 1).to_event(1), obs=x)


def three_headed(**options):
    return Amortized(nn.Linear(5, 6), z=MeanField(2), c=Concrete(3, temperature=0.5), pi=DirichletHead(4), **options)


def test_one_beta_per_site():
    model, guide, x = TwoLatents(), three_headed(), torch.randn(7, 5)
    elbo = BetaVAE(beta={"z": 3.0, "pi": 0.5})
    elbo.loss(model, guide, x)
    report = elbo.report()
    assert list(report.terms) == ["log p(x)", "-KL(z)", "-KL(c)", "-KL(pi)"]
    for site, beta in {"z": 3.0, "c": 1.0, "pi": 0.5}.items():
        assert report.terms[f"-KL({site})"].item() == pytest.approx(-beta * report.kl[site].sum().item())
    with pytest.raises(ValueError, match=r"beta names \['w'\].*latent sites \['z', 'c', 'pi'\]"):
        BetaVAE(beta={"w": 2.0}).loss(model, guide, x)


def test_the_closed_kl_of_a_concrete_head_is_that_of_the_categoricals_and_the_sampled_one_by_density():
    model, guide, x = TwoLatents(), three_headed(), torch.randn(7, 5)
    closed, sampled = PlainELBO(), PlainELBO(kl="sampled")
    pyro.set_rng_seed(1)
    closed.loss(model, guide, x)
    pyro.set_rng_seed(1)
    sampled.loss(model, guide, x)
    trace = poutine.trace(guide).get_trace(x)
    probs = trace.nodes["c"]["fn"].probs
    by_hand = (probs * (probs.log() + math.log(3))).sum(-1).mean()
    assert closed.report().kl["c"].item() == pytest.approx(by_hand.item())
    assert 0 <= by_hand < math.log(3)
    pyro.set_rng_seed(1)
    assert sampled.report().loss.item() * 7 == pytest.approx(Trace_ELBO().loss(model, guide, x), abs=1e-10)


def test_the_report_is_per_unit_where_units_are_independent():
    model, guide = vae_pair()
    x, elbo = images(), PlainELBO()
    elbo.loss(model, guide, x)
    q = poutine.trace(guide).get_trace(x).nodes["z"]["fn"].base_dist
    per_unit = torch.distributions.kl_divergence(q, dist.Normal(torch.zeros(2), 1)).mean(0)
    torch.testing.assert_close(elbo.report().kl["z"], per_unit.detach())
    full_rank = vae_pair(head=FullRank(2))
    elbo.loss(*full_rank, x)
    assert elbo.report().kl["z"].shape == (1,)
    assert not any(value.requires_grad for value in elbo.report().figures().values())


def test_a_mask_drops_datapoints_and_a_scale_weighs_them():
    model, guide = vae_pair()
    x = images(8)
    keep = torch.arange(8) < 5
    masked = poutine.mask(model, mask=keep), poutine.mask(guide, mask=keep)
    for ours, pyros in ((PlainELBO(), TraceMeanField_ELBO()), (PlainELBO(kl="sampled"), Trace_ELBO())):
        pyro.set_rng_seed(1)
        loss = ours.loss(*masked, x)
        pyro.set_rng_seed(1)
        assert loss * 8 == pytest.approx(pyros.loss(*masked, x), abs=1e-10)
    weight = torch.rand(8)
    weighted = poutine.scale(model, scale=weight), poutine.scale(guide, scale=weight)
    beta = BetaVAE(beta=2.0)
    beta.loss(*weighted, x)
    q = poutine.trace(guide).get_trace(x).nodes["z"]["fn"].base_dist
    kl = torch.distributions.kl_divergence(q, dist.Normal(torch.zeros(2), 1)).sum(-1)
    assert beta.report().kl["z"].sum().item() == pytest.approx((weight * kl).mean().item())
    assert beta.report().terms["-KL(z)"].item() == pytest.approx(-2 * (weight * kl).mean().item())


@pytest.mark.parametrize("kl", ["closed", "sampled"])
def test_a_scale_on_the_likelihood_alone_is_the_users_to_choose(kl):
    model, guide = vae_pair()
    x = images()
    tempered = ScaleObserved(0.25)(model)
    elbo = PlainELBO(kl=kl)
    pyro.set_rng_seed(3)
    elbo.loss(tempered, guide, x)
    cold = elbo.report().reconstruction["x"].item()
    pyro.set_rng_seed(3)
    elbo.loss(model, guide, x)
    assert cold == pytest.approx(elbo.report().reconstruction["x"].item() / 4)


class ScaleLatent(poutine.messenger.Messenger):
    """beta on what is latent, the plate's subsample aside."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def _pyro_sample(self, msg):
        if not msg["is_observed"] and not poutine.util.site_is_subsample(msg):
            msg["scale"] = self.scale * msg["scale"]


class ScaleObserved(poutine.messenger.Messenger):
    """A user's own tempering of the likelihood."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def _pyro_sample(self, msg):
        if msg["is_observed"]:
            msg["scale"] = self.scale * msg["scale"]


@pytest.mark.parametrize("side", ["model", "guide"])
@pytest.mark.parametrize(
    ("what", "handler"),
    [
        ("scale", partial(poutine.scale, scale=2.0)),
        ("scale", partial(poutine.scale, scale=torch.rand(11))),
        ("mask", partial(poutine.mask, mask=torch.arange(11) < 3)),
    ],
    ids=["scale", "scales", "mask"],
)
def test_a_scale_or_mask_on_one_side_of_a_latent_is_an_error(what, handler, side):
    model, guide = vae_pair()
    model, guide = (handler(model), guide) if side == "model" else (model, handler(guide))
    with pytest.raises(ValueError, match=f"site 'z': the {what} differs"):
        PlainELBO().loss(model, guide, images(11))


def test_plates_of_different_sizes_are_an_error():
    model, guide = vae_pair()
    guide.num_data = NUM_DATA + 1
    with pytest.raises(ValueError, match=r"site 'z': the scale differs.*both plates need num_data"):
        PlainELBO().loss(model, guide, images(11), index=torch.arange(11))


@pytest.mark.parametrize(
    ("guide", "message"),
    [
        (lambda t: Amortized(t, w=MeanField(2)), r"the guide has no site \['z'\].*model.*\['z'\].*guide \['w'\]"),
        (lambda t: Amortized(t, z=MeanField(2), w=MeanField(2)), r"the model has no latent site \['w'\]"),
        (lambda t: Amortized(t, z=MeanField(3)), r"site 'z': the model's event has shape \(2,\), the guide's \(3,\)"),
        (lambda t: Amortized(t, z=DirichletHead(2)), r"site 'z': the model's values lie in .*Real.*guide's in Simplex"),
    ],
)
def test_a_guide_that_does_not_fit_is_refused_by_site(guide, message):
    model, fitting = vae_pair()
    with pytest.raises(ValueError, match=message):
        PlainELBO().loss(model, guide(fitting.trunk), images())


class Discrete(nn.Module):
    """y ~ Categorical, which no gradient passes."""

    def forward(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.OneHotCategorical(logits=torch.zeros(len(x), 2)))


def test_a_guide_whose_values_fall_outside_the_models_support_is_refused():
    model = TwoLatents()
    guide = Amortized(nn.Linear(5, 6), z=MeanField(2), c=Concrete(3, temperature=0.5), pi=MeanField(4))
    with pytest.raises(ValueError, match=r"site 'pi': the model's values lie in Simplex\(\), the guide's in .*Real"):
        PlainELBO().loss(model, guide, torch.randn(7, 5))


def test_a_latent_that_is_not_reparameterised_is_refused_where_gradients_are_wanted():
    model = Discrete()
    with pytest.raises(ValueError, match=r"site 'z': OneHotCategorical is not reparameterised"):
        PlainELBO().loss_and_grads(model, Discrete(), torch.zeros(3, 1))
    assert PlainELBO().loss(model, Discrete(), torch.zeros(3, 1)) == 0.0  # q = p


class OneHot(Concrete):
    """A mass on the corners, where the model has a density on the simplex."""

    def forward(self, raw):
        return dist.OneHotCategorical(logits=raw)


def test_a_mass_is_never_mixed_with_a_density():
    guide = Amortized(nn.Linear(5, 6), z=MeanField(2), c=OneHot(3, temperature=1.0), pi=DirichletHead(4))
    with pytest.raises(ValueError, match=r"site 'c': log q - log p would mix a mass with a density"):
        PlainELBO(kl="sampled").loss(TwoLatents(), guide, torch.randn(7, 5))
    assert math.isfinite(PlainELBO().loss(TwoLatents(), guide, torch.randn(7, 5)))  # categorical against categorical


def test_a_family_without_a_closed_kl_is_scored_at_its_draw_with_one_warning_per_site():
    pair, x = vae_pair(head=Flowing(2)), images()
    elbo = PlainELBO()
    pyro.set_rng_seed(1)
    with pytest.warns(SampledKLWarning, match=r"site 'z': there is no closed-form KL of Transf.*'sampled'"):
        first = elbo.loss(*pair, x)
    second = elbo.loss(*pair, x)  # warnings are errors here, so this one is silent
    pyro.set_rng_seed(1)
    drawn = PlainELBO(kl="sampled")
    assert [first, second] == [drawn.loss(*pair, x), drawn.loss(*pair, x)]


class Flowing(MeanField):
    """A family that torch knows no KL of."""

    def forward(self, raw):
        return dist.TransformedDistribution(super().forward(raw), [dist.transforms.TanhTransform()])


def test_a_model_without_a_data_plate_is_refused():
    def program(x):
        pyro.sample("z", dist.Normal(0, 1))

    with pytest.raises(ValueError, match="no plate called 'data'"):
        PlainELBO().loss(program, program, None)


def test_a_global_latent_counts_once_for_all_datapoints():
    # w ~ N(0, 1) outside the plate: its KL is shared by the 10 datapoints, 3 of which are in the batch.
    def model(x):
        w = pyro.sample("w", dist.Normal(0, 1))
        with pyro.plate("data", 10, subsample_size=3):
            pyro.sample("x", dist.Normal(w, 1), obs=x)

    def guide(x):
        pyro.sample("w", dist.Normal(torch.tensor(1.0), 2.0))

    elbo = PlainELBO()
    elbo.loss(model, guide, torch.randn(3))
    kl = 0.5 * (4 + 1 - 1 - math.log(4))
    assert elbo.report().kl["w"].tolist() == pytest.approx([kl / 10])


def test_particles_are_one_plate_in_one_trace():
    seen = []

    class Counting(TermwiseELBO):
        def terms(self, model_trace, guide_trace):
            seen.append((guide_trace.nodes["z"]["value"].shape, model_trace.nodes["x"]["fn"].batch_shape))
            return {"x": model_trace.nodes["x"]["nats"]}

    pair = vae_pair()
    Counting(num_particles=5).loss(*pair, images(11))
    assert seen == [((5, 11, 2), (5, 11))]


def test_more_particles_average():
    pair, x = vae_pair(), images()
    many = PlainELBO(kl="sampled", num_particles=400).loss(*pair, x)
    singles = [PlainELBO(kl="sampled").loss(*pair, x) for _ in range(400)]
    mean, error = torch.tensor(singles).mean(), torch.tensor(singles).std() / 20
    assert abs(many - mean) < 5 * math.sqrt(2) * error  # two means of 400 draws each


def test_a_hyperparameter_is_replaced_not_filled_in():
    pair, x = vae_pair(), images()
    elbo = BetaVAE(beta=2.0)
    held = elbo.beta
    loss = elbo.differentiable_loss(*pair, x)
    elbo.beta = 3.0
    loss.backward()  # an in-place fill would break this
    assert (held.item(), elbo.beta.item()) == (2.0, 3.0)


def test_state_goes_out_and_comes_back():
    elbo = BetaVAE(beta={"z": 2.0, "c": 0.5})
    assert {name: value.item() for name, value in elbo.state_dict().items()} == {"beta.z": 2.0, "beta.c": 0.5}
    other = BetaVAE(beta=1.0)
    other.load_state_dict(elbo.state_dict())
    assert {site: beta.item() for site, beta in other.beta.items()} == {"z": 2.0, "c": 0.5}
    with pytest.raises(ValueError, match=r"BetaVAE has the state \['beta'\], but no 'gamma'"):
        other.load_state_dict({"gamma": torch.tensor(1.0)})
    with pytest.raises(ValueError, match="no 'beta', which BetaVAE needs"):
        other.load_state_dict({})


@pytest.mark.parametrize("beta", [-1.0, math.nan, math.inf, {"z": -0.5}])
def test_a_beta_that_makes_no_sense_is_refused(beta):
    with pytest.raises(ValueError, match=r"BetaVAE: beta.* must be finite( and at least 0)?, got"):
        BetaVAE(beta=beta)


def test_arguments_of_the_base_are_checked():
    with pytest.raises(ValueError, match="'closed' or 'sampled', got 'exact'"):
        PlainELBO(kl="exact")
    with pytest.raises(ValueError, match="num_particles must be a whole number of at least 1, got 0"):
        PlainELBO(num_particles=0)
    with pytest.raises(RuntimeError, match="no pass to report on yet"):
        PlainELBO().report()


def test_plain_svi_trains_under_beta():
    pair, x = vae_pair(), images()
    elbo = BetaVAE(beta=4.0, num_particles=2)
    svi = SVI(*pair, pyro.optim.Adam({"lr": 1e-2}), loss=elbo)
    losses = [svi.step(x, index=torch.arange(11)) for _ in range(80)]
    assert sum(losses[-10:]) < sum(losses[:10]) - 10
    assert pair[0]().shape[1:] == SHAPE


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("zoo.elbos", "ELBO", "PlainELBO"),
        ("zoo.elbos", "NVAE", "NaturalClusteringELBO"),
        ("guides", "Delta", "PointMass"),
        ("guides", "Laplace", "MeanFieldLaplace"),
        ("guides", "StudentT", "MeanFieldStudentT"),
    ],
)
def test_an_earlier_name_is_refused_with_the_current_one(module, old, new):
    with pytest.raises(ImportError, match=rf"{module}\.{old} is called {module}\.{new} since version 0\.2"):
        getattr(importlib.import_module(module), old)
    assert hasattr(importlib.import_module(module), new)
