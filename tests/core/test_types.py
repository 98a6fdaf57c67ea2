"""Three heads for a type, one story and one objective: relaxed, straight through, summed out."""

import math
import warnings

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceEnum_ELBO

from guides import Amortized, Concrete, Exact, MeanField, StraightThrough
from guides.heads import OneHotStraightThrough
from tests.pairs import NUM_DATA, SHAPE, images
from tests.type_pairs import HEADS, pair
from zoo.elbos import HFVAE, BetaVAE, Capacity, PlainELBO
from zoo.estimators import closed_kl
from zoo.joint_vae import JointVAE
from zoo.lab.data import Batch
from zoo.lab.networks import MLPDecoder, MLPEncoder
from zoo.lab.training import compiled
from zoo.lab.training.fit import fit
from zoo.program import RelaxedOneHotCategorical


def by_hand(model, guide, x, seed):
    """E_q(c | x) [log p(x | z, c)] and the KLs, class by class in a loop, for one type and one draw of z."""
    features = guide.trunk(x)
    q = guide.posterior("c", features, {}).probs
    pyro.set_rng_seed(seed)
    q_z = guide.posterior("z", features, {})
    z = q_z.rsample()
    total = 0.0
    for k in range(3):
        c = torch.eye(3)[k].expand(len(x), 3)
        logits = model.decoder(z, c)
        log_p = -torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3))
        total = total + (q[:, k] * log_p).mean()
    kl_c = (q * (q.log() + math.log(3))).sum(-1).mean()
    loc, scale = q_z.base_dist.loc, q_z.base_dist.scale
    kl_z = (0.5 * (loc**2 + scale**2 - 1) - scale.log()).sum(-1).mean()
    return total, kl_c, kl_z


def test_a_type_that_is_summed_out_is_the_sum_over_its_classes():
    model, guide = pair(Exact)
    x = images().round()
    elbo = PlainELBO()
    pyro.set_rng_seed(5)
    elbo.loss(model, guide, x)
    reconstruction, kl_c, kl_z = by_hand(model, guide, x, seed=5)
    report = elbo.report()
    assert report.reconstruction["x"].item() == pytest.approx(reconstruction.item(), abs=1e-10)
    assert report.kl["c"].item() == pytest.approx(kl_c.item(), abs=1e-10)
    assert report.kl["z"].sum().item() == pytest.approx(kl_z.item(), abs=1e-10)


@pytest.mark.parametrize("num_particles", [1, 3])
def test_gradients_through_the_sum_are_those_of_the_loop(num_particles):
    model, guide = pair(Exact)
    x = images().round()
    # With z's scale near 0 a draw is its mean, so particles agree and the loop needs no noise of its own.
    with torch.no_grad():
        guide.layers["z"][0].weight[2:] = 0
        guide.layers["z"][0].bias[2:] = -60
    parameters = [*model.parameters(), *guide.parameters()]
    elbo = BetaVAE(beta=2.0, num_particles=num_particles)
    loss = elbo.differentiable_loss(model, guide, x)
    ours = torch.autograd.grad(loss, parameters)
    reconstruction, kl_c, kl_z = by_hand(model, guide, x, seed=0)
    theirs = torch.autograd.grad(-(reconstruction - 2 * (kl_c + kl_z)), parameters)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)


def test_two_types_given_one_another_are_summed_out_like_pyros_enumeration():
    # q(c2 | x, c1) and q(z | x, c1): Pyro's TraceEnum_ELBO sums the same terms, log q - log p at the draw of z.
    pyro.set_rng_seed(0)
    decoder = MLPDecoder(2 + 3 + 2, SHAPE, hidden=(8,))
    model = JointVAE(decoder, z_dim=2, c_dims=(3, 2), temperature=None, num_data=NUM_DATA)
    guide = Amortized(
        MLPEncoder(SHAPE, hidden=(8,)),
        num_data=NUM_DATA,
        c1=Exact(3),
        c2=Exact(2, given=("c1",)),
        z=MeanField(2, given=("c1",)),
    )
    x = images().round()
    pyro.set_rng_seed(3)
    ours = PlainELBO(kl="sampled").loss(model, guide, x)
    pyro.set_rng_seed(3)
    theirs = TraceEnum_ELBO(max_plate_nesting=4, strict_enumeration_warning=False).loss(model, guide, x)
    assert ours == pytest.approx(theirs / len(x), abs=1e-10)


def test_a_one_hot_prior_with_straight_through_is_pyros_elbo():
    model, guide = pair(HEADS["straight-through"], temperature=None)
    x = images().round()
    pyro.set_rng_seed(3)
    ours = PlainELBO(kl="sampled").loss(model, guide, x)
    pyro.set_rng_seed(3)
    assert ours == pytest.approx(Trace_ELBO().loss(model, guide, x) / len(x), abs=1e-10)


@pytest.mark.parametrize("name", HEADS)
def test_the_kl_is_the_categoricals_whatever_the_head(name):
    model, guide = pair(HEADS[name])
    x = images()
    elbo = PlainELBO()
    elbo.loss(model, guide, x)
    probs = guide.posterior("c", guide.trunk(x), {}).probs
    expected = (probs * (probs.log() + math.log(3))).sum(-1).mean().item()
    assert elbo.report().kl["c"].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["straight-through", "exact"])
def test_a_mass_is_never_mixed_with_a_density(name):
    model, guide = pair(HEADS[name])
    with pytest.raises(ValueError, match=r"site 'c': log q - log p would mix a mass with a density.*kl='closed'"):
        PlainELBO(kl="sampled").loss(model, guide, images())


# Relaxed draws in float32.


def cold(temperature):
    """A pair in float32 with types that are nearly one-hot."""
    model, guide = pair(lambda size: Concrete(size, temperature=temperature), temperature=temperature)
    return model.float(), guide.float()


@pytest.mark.parametrize("temperature", [0.67, 0.1, 0.01, 0.001])
def test_relaxed_draws_have_a_density_in_float32_at_every_temperature(temperature):
    # Below about 0.2 some of torch's add up to 1 only within 1e-5, and underflow to 0, where the density is nan.
    model, guide = cold(temperature)
    head, logits = guide.heads["c"], 5 * torch.randn(10_000, 3, dtype=torch.float32)
    for family in (head(logits), model.prior_of_type(3).expand([10_000])):
        for drawn in (family.rsample(), family.sample(), family.expand([2, 10_000]).rsample()):
            assert family.support.check(drawn).all()
            assert family.log_prob(drawn).isfinite().all()
    x = images().float()
    elbo = PlainELBO(kl="sampled")
    pyro.set_rng_seed(0)
    elbo.loss(model, guide, x)
    pyro.set_rng_seed(0)
    guide_trace = pyro.poutine.trace(guide).get_trace(x)
    drawn, logits = guide_trace.nodes["c"]["value"].double(), guide_trace.nodes["c"]["fn"].logits.double()

    def log_density(logits):  # Maddison 2017, equation (2), without what q and p have in common
        scores = logits - temperature * drawn.log()
        return scores.sum(-1) - 3 * scores.logsumexp(-1)

    kl = (log_density(logits.log_softmax(-1)) - log_density(torch.full_like(logits, -math.log(3)))).mean()
    assert elbo.report().kl["c"].item() == pytest.approx(kl.item(), rel=1e-4, abs=1e-4)


def test_relaxed_draws_are_those_of_torch_up_to_rounding():
    logits = torch.randn(100, 3)
    draws = []
    for family in (RelaxedOneHotCategorical, dist.RelaxedOneHotCategorical):
        pyro.set_rng_seed(1)
        draws.append(family(torch.tensor(0.5), logits=logits).rsample())
    torch.testing.assert_close(*draws, rtol=1e-12, atol=1e-12)


def test_draws_that_do_not_add_up_to_one_are_refused_with_the_reason():
    model, guide = cold(0.01)
    x = images().float().repeat(100, 1, 1, 1)

    def with_torchs_draws(x, index=None):
        features = guide.trunk(x)
        with pyro.plate("data", len(x)):
            pyro.sample("c", dist.RelaxedOneHotCategorical(torch.tensor(0.01), logits=torch.zeros(len(x), 3).float()))
            pyro.sample("z", guide.posterior("z", features, {}))

    with pytest.raises(
        ValueError, match=r"site 'c': \d+ of \d+ draws do not add up to 1 .*: draw with the head Concrete"
    ):
        PlainELBO().loss(model, with_torchs_draws, x)


def test_a_relaxed_head_does_not_fit_a_one_hot_prior():
    model, guide = pair(HEADS["concrete"], temperature=None)
    with pytest.raises(ValueError, match="site 'c': the model's values lie in OneHot"):
        PlainELBO().loss(model, guide, images())


def test_objectives_of_the_aggregate_posterior_say_that_they_need_draws():
    elbo = HFVAE(alpha=1, beta=4, gamma=3, groups=[["z"], ["c"]], num_data=NUM_DATA)
    with pytest.raises(ValueError, match="site 'c' is summed out, and q\\(z\\) needs draws: use Concrete"):
        elbo.loss(*pair(Exact), images(20))


def test_straight_through_draws_corners_by_their_chances_and_passes_the_relaxed_gradient():
    logits = torch.tensor([0.3, -1.0, 1.2], requires_grad=True)
    q = OneHotStraightThrough(torch.tensor(0.5), logits=logits)
    draws = q.rsample((40_000,))
    assert ((draws == 0) | (draws == 1)).all()  # to the last bit
    # Gumbel's trick: the arg max of logits + noise has the softmax's chances; four standard errors.
    torch.testing.assert_close(draws.detach().mean(0), logits.softmax(0).detach(), atol=0.01, rtol=0)
    torch.manual_seed(1)
    (ours,) = torch.autograd.grad(q.rsample().square().sum(), logits)
    torch.manual_seed(1)
    soft = torch.distributions.RelaxedOneHotCategorical(torch.tensor(0.5), logits=logits).rsample()
    corner = torch.eye(3)[soft.argmax()]
    (theirs,) = torch.autograd.grad((2 * corner * soft).sum(), logits)  # d(v^2)/dv at the corner, through the soft draw
    torch.testing.assert_close(ours, theirs)


def test_a_copy_or_a_reshape_of_a_draw_scores_as_the_draw():
    q = OneHotStraightThrough(torch.tensor(0.5), logits=torch.randn(5, 3))
    value = q.rsample()
    expected = q.logits.log_softmax(-1).gather(-1, value.argmax(-1, keepdim=True)).squeeze(-1)
    torch.testing.assert_close(q.log_prob(value), expected)
    torch.testing.assert_close(q.log_prob(value.clone().reshape(5, 3)), expected)
    assert q.expand((4, 5)).rsample().shape == (4, 5, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("head", [Concrete, StraightThrough])
def test_low_temperatures_and_many_classes_stay_finite(head, dtype):
    q = head(1000, temperature=0.1).to(dtype)
    p = Concrete(1000, temperature=0.1).to(dtype)(torch.zeros(1000, dtype=dtype))
    raw = (10 * torch.randn(64, 1000, dtype=dtype)).requires_grad_()
    distribution = q(raw)
    value = distribution.rsample()
    loss = closed_kl(distribution, p).sum() + value.square().sum()
    (gradient,) = torch.autograd.grad(loss, raw)
    assert value.isfinite().all()
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert closed_kl(distribution, p).max() <= math.log(1000)
    torch.testing.assert_close(value.sum(-1), torch.ones(64, dtype=dtype), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", HEADS)
def test_every_head_trains_under_the_same_objective_eager_and_traced(name, monkeypatch):
    # The graph is run as traced: what the compiler makes of it is tests/test_compiled.py's.
    monkeypatch.setattr(compiled.torch, "compile", lambda graph, **options: graph)
    x = torch.cat([images(35), 1 - images(35)])
    curves = {}
    for compile in (False, True):
        model, guide = pair(HEADS[name])
        elbo = Capacity(gamma={"z": 10.0, "c": 10.0}, capacity={"z": 1.0, "c": 1.0})
        batches = (Batch(x, None, torch.arange(70)) for _ in range(60))
        pyro.set_rng_seed(2)
        with warnings.catch_warnings():
            if compile:
                warnings.simplefilter("error", RuntimeWarning)  # which would say that it went on eagerly
            curves[compile] = [
                report.loss.item() for _, report in fit(model, guide, elbo, batches, lr=1e-2, compile=compile)
            ]
    assert curves[False][-1] < curves[False][0] - 5
    assert curves[True] == pytest.approx(curves[False], rel=1e-6)


def test_several_types_summed_out_hold_log_k_each():
    model, guide = pair(Exact, c_dims=(2, 2, 2))
    with torch.no_grad():
        for name in model.types:  # sure of a class
            guide.layers[name][0].weight.zero_()
            guide.layers[name][0].bias[:] = torch.tensor([40.0, 0.0])
    elbo = PlainELBO()
    elbo.loss(model, guide, images())
    for name in model.types:
        assert elbo.report().kl[name].item() == pytest.approx(math.log(2), abs=1e-9)
    assert math.isfinite(elbo.loss(model, guide, images()))


def test_a_capacity_beyond_the_ceiling_is_said_once():
    model, guide = pair(HEADS["concrete"])
    elbo = Capacity(gamma={"z": 1.0, "c": 1.0}, capacity={"z": 0.0, "c": 0.0})
    elbo.loss(model, guide, images())
    elbo.capacity = {"z": 9.0, "c": 1.09}  # log 3 = 1.0986
    with pytest.warns(UserWarning, match=r"Capacity: 1.2 nats are asked of c, whose KL is at most 1.099"):
        elbo.capacity = {"z": 9.0, "c": 1.2}
    elbo.capacity = {"z": 9.0, "c": 1.3}  # and a warning would be an error here
    elbo.loss(model, guide, images())


class TypeAlone(torch.nn.Module):
    """c ~ uniform over three classes, one-hot, x ~ N(c, 1)."""

    def forward(self, x):
        with pyro.plate("data", len(x)):
            c = pyro.sample("c", dist.OneHotCategorical(logits=torch.zeros(3)))
            return pyro.sample("x", dist.Normal(c, 1.0).to_event(1), obs=x)


def test_one_number_as_the_capacity_of_a_type_alone_is_limited_with_the_same_warning():
    # The KL of the only site is at most log 3, and gamma = 0.5 weighs |KL - log 3|, whether 2 or log 3 is asked for.
    model, guide, x = TypeAlone(), Amortized(torch.nn.Linear(3, 4), c=Exact(3)), torch.randn(5, 3)
    elbo = Capacity(gamma=0.5, capacity=math.log(3))
    at_most = elbo.loss(model, guide, x)
    with pytest.warns(UserWarning, match="2 nats are asked of c, whose KL is at most 1.099"):
        elbo.capacity = 2.0
    assert elbo.loss(model, guide, x) == at_most
    kl = elbo.report().kl["c"].item()
    assert elbo.report().terms["-gamma |KL(c) - C|"].item() == pytest.approx(-0.5 * (math.log(3) - kl))


class PriorOfItsClass(torch.nn.Module):
    """c ~ uniform, one-hot, z ~ N(c @ mu, 1), x ~ N(z, 1)."""

    def __init__(self):
        super().__init__()
        self.mu = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 5.0]])

    def forward(self, x):
        with pyro.plate("data", len(x)):
            c = pyro.sample("c", dist.OneHotCategorical(logits=torch.zeros(3)))
            z = pyro.sample("z", dist.Normal(c @ self.mu, 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


@pytest.mark.parametrize("num_particles", [1, 3])
def test_a_prior_that_looks_at_a_class_that_is_summed_out(num_particles):
    # q(z | x) does not look at c, the prior does: E_q(c)[KL(q(z | x) || N(mu_c, 1))], class by class.
    model, x = PriorOfItsClass(), torch.randn(7, 2)
    trunk = torch.nn.Linear(2, 4)
    guide = Amortized(trunk, c=Exact(3), z=MeanField(2))
    elbo = PlainELBO(num_particles=num_particles)
    elbo.loss(model, guide, x)
    features = trunk(x)
    chances = guide.posterior("c", features, {}).probs
    q = guide.posterior("z", features, {})
    kl = 0.5 * ((q.mean.unsqueeze(1) - model.mu).square() + (q.variance - 1 - q.variance.log()).unsqueeze(1))
    by_hand = (chances.unsqueeze(-1) * kl).sum(1).mean(0)
    torch.testing.assert_close(elbo.report().kl["z"], by_hand.detach())
