"""The families: densities against the formula or another implementation, draws against moments, gradients, refusals."""

import copy
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.distributions import kl_divergence

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
    PointMass,
    SoftplusNormal,
)
from tests.pairs import NUM_DATA, images, vae_pair
from zoo.elbos import DIPVAEII, HFVAE, BetaTCVAE, BetaVAE, FactorVAE, PlainELBO
from zoo.estimators import closed_kl, scores
from zoo.lab.analysis.posterior import posterior_means
from zoo.lab.data import Batch
from zoo.lab.training.fit import fit
from zoo.pairing import SampledKLWarning

D = 3
HEADS = {
    "softplus": lambda **k: SoftplusNormal(D, **k),
    "full-rank": lambda **k: FullRank(D, **k),
    "low-rank": lambda **k: LowRank(D, rank=2, **k),
    "mixture": lambda **k: Mixture(D, components=3, **k),
    "laplace": lambda **k: MeanFieldLaplace(D, **k),
    "student-t": lambda **k: MeanFieldStudentT(D, df=5.0, **k),
    "iaf": lambda **k: Flow(D, kind="iaf", width=8, context=2, **k),
    "coupling": lambda **k: Flow(D, kind="coupling", width=8, context=2, **k),
}
SAMPLED = ("mixture", "student-t", "iaf", "coupling")  # no closed KL


def bent(head):
    """With transforms that are not the identity, as a flow has at first."""
    head = copy.deepcopy(head)
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.25)
    return head


def made(name, batch=()):
    head = bent(HEADS[name]())
    return head(0.5 * torch.randn(*batch, head.num_raw))


@pytest.mark.parametrize("name", HEADS)
def test_shapes_and_a_finite_gradient_to_every_number(name):
    head = bent(HEADS[name]())
    raw = torch.randn(4, 5, head.num_raw, requires_grad=True)
    q = head(raw)
    assert (q.batch_shape, q.event_shape, q.has_rsample) == ((4, 5), (D,), True)
    value = q.rsample()
    assert value.shape == (4, 5, D)
    gradient, *_ = torch.autograd.grad((value.square().sum(-1) - q.log_prob(value)).sum(), [raw, *head.parameters()])
    assert gradient.isfinite().all()
    assert (gradient.abs().flatten(0, 1).amax(0) > 0).all()


@pytest.mark.parametrize("name", HEADS)
def test_the_density_integrates_to_one_and_is_that_of_its_draws(name):
    # E_q[N(v; 0, 4 I) / q(v)] = 1 for a density that is the draws'; and the other way round, draws of N under q.
    q, wide = made(name), dist.Normal(0.0, 2.0).expand([D]).to_event(1)
    with torch.no_grad():
        draws = wide.sample((40_000,))
        ratio = (q.log_prob(draws) - wide.log_prob(draws)).exp()
        assert ratio.mean().item() == pytest.approx(1, abs=5 * ratio.std().item() / 200)
        own = q.rsample((40_000,))
        for power in (1, 2):  # the moments of its draws, beside those that its density gives the other draws
            weighed = ratio.unsqueeze(-1) * draws**power
            error = 5 * (weighed.std(0) + (own**power).std(0)) / 200
            assert ((weighed.mean(0) - (own**power).mean(0)).abs() < error).all()


@pytest.mark.parametrize("name", [*HEADS, "dirichlet", "concrete"])
def test_the_gradient_through_draws_is_that_of_the_expectation(name):
    """Against the score function's: grad E_q[f] = E_q[(f - b) grad log q], which needs no derivative of a draw."""
    others = {"dirichlet": lambda: DirichletHead(D), "concrete": lambda: Concrete(D, temperature=0.7)}
    head = bent((HEADS | others)[name]())
    raw = (0.5 * torch.randn(head.num_raw)).repeat(40, 1).requires_grad_()  # 40 estimates, for their standard error
    q = head(raw)
    z = q.rsample((4_000,))
    f = z[..., 0].sin() * z[..., 1].cos() + (2 * z[..., 2] * z[..., 0]).tanh()
    (through_draws,) = torch.autograd.grad(f.mean(0).sum(), raw, retain_graph=True)
    fixed = f.detach() - f.detach().mean()
    (of_scores,) = torch.autograd.grad((fixed * q.log_prob(z.detach())).mean(0).sum(), raw)
    difference = through_draws - of_scores
    error = difference.std(0) / len(raw) ** 0.5
    assert (difference.mean(0).abs() <= 5 * error + 1e-9).all()
    assert error.max() < 0.02


@pytest.mark.parametrize("name", HEADS)
def test_a_larger_batch_of_it_draws_and_scores_alike(name):
    q = made(name, (5,))
    larger = q.expand((4, 5))
    value = larger.rsample()
    assert value.shape == (4, 5, D)
    torch.testing.assert_close(larger.log_prob(value), torch.stack([q.log_prob(v) for v in value]))
    assert larger.has_rsample


# Each family by hand.


def test_the_standard_deviation_of_softplus_normal_is_the_softplus_and_stays_above_its_floor():
    # log(1 + exp(log(e - 1))) = 1 and log(1 + exp(0)) = log 2; softplus(-1000) is 0 in doubles
    q = SoftplusNormal(D)(torch.tensor([1.0, 2.0, 3.0, math.log(math.e - 1), 0.0, -1000.0], dtype=torch.double))
    torch.testing.assert_close(q.mean, torch.tensor([1.0, 2.0, 3.0], dtype=torch.double))
    expected = torch.tensor([1 + 1e-6, math.log(2) + 1e-6, 1e-6], dtype=torch.double)
    torch.testing.assert_close(q.stddev, expected, rtol=1e-12, atol=0)


def test_low_rank_is_the_multivariate_normal_of_its_covariance():
    head = LowRank(D, rank=2)
    raw = torch.randn(4, head.num_raw)
    loc, d, F = raw[:, :D], raw[:, D : 2 * D].exp(), raw[:, 2 * D :].reshape(4, D, 2)
    by_hand = dist.MultivariateNormal(loc, F @ F.mT + d.diag_embed())
    value = torch.randn(4, D)
    torch.testing.assert_close(head(raw).log_prob(value), by_hand.log_prob(value))
    prior = dist.Normal(torch.randn(D), torch.rand(D) + 0.5).to_event(1)
    torch.testing.assert_close(closed_kl(head(raw), prior), closed_kl(by_hand, prior))
    both = scores(head(raw), value), scores(by_hand, value)
    torch.testing.assert_close(*both)


def test_the_kl_of_a_full_covariance_from_independent_normals_is_torchs_between_two_full_ones():
    for name in ("full-rank", "low-rank"):
        q = made(name, (4,))
        loc, scale = torch.randn(D), torch.rand(D) + 0.5
        theirs = kl_divergence(
            dist.MultivariateNormal(q.loc, q.covariance_matrix), dist.MultivariateNormal(loc, scale.square().diag())
        )
        ours = closed_kl(q, dist.Normal(loc, scale).to_event(1))
        torch.testing.assert_close(ours, theirs.unsqueeze(-1))


def test_a_mixture_by_hand_and_its_covariance():
    head = Mixture(D, components=2)
    raw = torch.randn(head.num_raw)
    q = head(raw)
    shares = raw[:2].softmax(0)
    loc = raw[2:8].reshape(2, D) + head.apart
    sd = (raw[8:].reshape(2, D) / 2).exp()
    v = torch.randn(D)
    densities = (-0.5 * ((v - loc) / sd) ** 2).exp() / (sd * math.sqrt(2 * math.pi))
    assert q.log_prob(v).item() == pytest.approx((shares * densities.prod(-1)).sum().log().item())
    torch.testing.assert_close(scores(q, v).units, (shares.unsqueeze(-1) * densities).sum(0).log())
    draws = q.rsample((200_000,))
    torch.testing.assert_close(q.covariance_matrix, torch.cov(draws.T), atol=0.1, rtol=0.05)
    torch.testing.assert_close(q.covariance_matrix.diagonal(), q.variance)


@pytest.mark.parametrize("log_var", [0.0, -1.4])
@pytest.mark.parametrize(("size", "components", "seed"), [(2, 2, 2), (3, 3, 0)])
def test_a_mixtures_gradient_through_its_draws_is_that_of_the_expectation(size, components, seed, log_var):
    """E[z_0^2 z_1 + sin z_0] has a closed form, (m_0^2 + s_0^2) m_1 + exp(-s_0^2 / 2) sin m_0 of each component."""
    torch.manual_seed(seed)
    head = Mixture(size, components=components)
    raw = 0.7 * torch.randn(head.num_raw)
    raw[-components * size :] += log_var
    raw.requires_grad_()
    q = head(raw)
    m, s = q.component_distribution.base_dist.loc, q.component_distribution.base_dist.scale
    of_each = (m[:, 0] ** 2 + s[:, 0] ** 2) * m[:, 1] + m[:, 0].sin() * (-(s[:, 0] ** 2) / 2).exp()
    (exact,) = torch.autograd.grad((q.mixture_distribution.probs * of_each).sum(), raw)
    rows = raw.detach().expand(200_000, -1).clone().requires_grad_()
    z = head(rows).rsample()
    (each,) = torch.autograd.grad((z[:, 0] ** 2 * z[:, 1] + z[:, 0].sin()).sum(), rows)
    error = each.std(0) / len(each) ** 0.5
    assert ((each.mean(0) - exact).abs() <= 4.5 * error + 1e-12).all()
    assert error[:components].max() < 0.02


def test_a_mixtures_draws_have_its_distribution_with_and_without_gradient():
    head = Mixture(D, components=3)
    q = head(torch.randn(2, head.num_raw))
    assert q.rsample((5, 4)).shape == q.sample((5, 4)).shape == (5, 4, 2, D)
    torch.manual_seed(3)
    with_gradient = q.rsample((100_000,))
    torch.manual_seed(3)
    assert torch.equal(q.sample((100_000,)), with_gradient)
    torch.testing.assert_close(with_gradient.mean(0), q.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(with_gradient.var(0), q.variance, atol=0.1, rtol=0.05)


def test_laplace_and_student_t_are_scipys():
    from scipy import stats

    raw, v = torch.randn(2 * D), torch.randn(D)
    loc, scale = raw[:D].numpy(), raw[D:].exp().numpy()
    assert MeanFieldLaplace(D)(raw).log_prob(v).item() == pytest.approx(stats.laplace.logpdf(v, loc, scale).sum())
    assert MeanFieldStudentT(D, df=5.0)(raw).log_prob(v).item() == pytest.approx(
        stats.t.logpdf(v, 5.0, loc, scale).sum()
    )


def test_the_kl_of_a_laplace_is_the_integral():
    q = MeanFieldLaplace(1)(torch.tensor([0.3, -0.4]))
    p = dist.Normal(torch.tensor([-0.2]), torch.tensor([1.5])).to_event(1)
    grid = torch.linspace(-30, 30, 400_001).unsqueeze(-1)
    log_q = q.log_prob(grid)
    integral = torch.trapezoid(log_q.exp() * (log_q - p.log_prob(grid)), grid.squeeze(-1))
    assert closed_kl(q, p).item() == pytest.approx(integral.item(), abs=1e-6)


@pytest.mark.parametrize("kind", ["iaf", "coupling"])
def test_a_flow_starts_as_mean_field(kind):
    head = Flow(D, kind=kind, context=2)
    raw = torch.randn(7, head.num_raw)
    plain = MeanField(D)(raw[:, : 2 * D])
    value = torch.randn(7, D)
    if kind == "coupling":  # its units come out in another order, turned around twice
        assert len(head.transforms) == 2
    torch.testing.assert_close(head(raw).log_prob(value), plain.log_prob(value))


@pytest.mark.parametrize("kind", ["iaf", "coupling"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_flows_density_is_the_base_density_over_the_jacobian(kind, steps):
    head = bent(Flow(D, kind=kind, steps=steps, width=8, context=2))
    raw = torch.randn(head.num_raw)
    base = MeanField(D)(raw[: 2 * D])

    def push(noise):
        q = head(raw)
        for transform in q.transforms:
            noise = transform(noise)
        return noise

    noise = base.sample()
    jacobian = torch.autograd.functional.jacobian(push, noise)
    by_hand = base.log_prob(noise) - torch.linalg.slogdet(jacobian).logabsdet
    # Scored anew, by inverting the transforms, and as the draw that it is.
    torch.testing.assert_close(head(raw).log_prob(push(noise).detach()), by_hand)
    q = head(raw)
    drawn = q.rsample()
    torch.testing.assert_close(q.log_prob(drawn), head(raw).log_prob(drawn))
    off = jacobian - jacobian.diag().diag()
    assert (off.abs() > 1e-3).any()  # units are coupled


def test_a_point_is_the_maximum_a_posteriori():
    # One linear-Gaussian unit: log p(x, z) = -(x - w z)^2 / (2 s^2) - z^2 / 2, maximal at w x / (s^2 + w^2).
    q = PointMass(2)(torch.tensor([[0.3, -1.0]]))
    assert torch.equal(q.rsample(), torch.tensor([[0.3, -1.0]]))
    model, guide = vae_pair(head=PointMass(2))
    x = images()
    elbo = PlainELBO()
    elbo.loss(model, guide, x)
    z = guide.posterior("z", guide.trunk(x), {}).rsample()
    log_prior = (-0.5 * z.square() - 0.5 * math.log(2 * math.pi)).sum(-1).mean()
    assert elbo.report().kl["z"].sum().item() == pytest.approx(-log_prior.item())


# In the amortised guide, under objectives.


@pytest.mark.parametrize("name", [*HEADS, "delta"])
def test_every_head_trains_and_a_traced_step_is_the_eager_one(name, monkeypatch):
    from zoo.lab.training import compiled

    traced = []
    monkeypatch.setattr(compiled.torch, "compile", lambda graph, **options: traced.append(graph) or graph)
    pair = vae_pair(z_dim=D, head=PointMass(D) if name == "delta" else HEADS[name]())
    x, curves = images(70), []
    for compile, count in ((False, 15), (True, 60)):  # a traced step takes less time
        torch.manual_seed(3)
        batches = (Batch(x, None, torch.arange(70)) for _ in range(count))
        elbo = BetaVAE(beta=0.5, kl="sampled")
        steps = fit(*copy.deepcopy(pair), elbo, batches, lr=1e-2, compile=compile)
        curves.append([report.loss.item() for _, report in steps])
    assert traced
    eager, by_trace = curves
    assert by_trace[:15] == pytest.approx(eager, rel=1e-8)
    assert sum(by_trace[-5:]) < sum(by_trace[:5]) - 2


@pytest.mark.parametrize("name", HEADS)
def test_any_head_may_be_given_an_earlier_site(name):
    guide = Amortized(nn.Linear(5, 6), c=Concrete(3, temperature=0.5), z=HEADS[name](given=("c",)))
    features = torch.randn(7, 6)
    nn.init.normal_(guide.layers["z"][0].weight)
    z = [guide.posterior("z", features, {"c": torch.eye(3)[k].expand(7, 3)}) for k in (0, 1)]
    value = torch.randn(7, D)
    assert ((z[0].log_prob(value) - z[1].log_prob(value)).abs() > 1e-6).all()


@pytest.mark.parametrize("name", SAMPLED)
def test_a_head_without_a_closed_kl_trains_with_its_draws_and_says_so(name):
    pair, x = vae_pair(z_dim=D, head=HEADS[name]()), images()
    pyro.set_rng_seed(1)
    with pytest.warns(SampledKLWarning, match=r"site 'z': there is no closed-form KL of \w+ from Normal"):
        fallen_back = PlainELBO().loss(*pair, x)
    pyro.set_rng_seed(1)
    assert fallen_back == PlainELBO(kl="sampled").loss(*pair, x)


@pytest.mark.parametrize("name", ["iaf", "coupling"])
def test_a_flow_has_no_terms_of_q_and_no_moments(name):
    pair, x = vae_pair(z_dim=D, head=HEADS[name]()), images()
    for elbo in (BetaTCVAE(beta=2.0, num_data=NUM_DATA), HFVAE(alpha=1.0, beta=2.0, gamma=2.0, num_data=NUM_DATA)):
        elbo.kl = "sampled"
        with pytest.raises(ValueError, match=r"site 'z': NormalFlow has no marginals per unit.*MeanField, FullRank, L"):
            elbo.loss(*pair, x)
    with pytest.raises(ValueError, match="site 'z': NormalFlow has no mean in closed form; use a head"):
        DIPVAEII(lambda_od=1.0, lambda_d=1.0, kl="sampled").loss(*pair, x)


@pytest.mark.parametrize("name", ["low-rank", "mixture", "laplace", "student-t"])
def test_terms_of_q_add_up_to_the_kl(name):
    # Whatever the family: all weights 1 is the ELBO, draw by draw.
    pair, x = vae_pair(z_dim=D, head=HEADS[name]()), images()
    losses = []
    for elbo in (HFVAE(alpha=1.0, beta=1.0, gamma=1.0, num_data=NUM_DATA), PlainELBO()):
        elbo.kl = "sampled"
        torch.manual_seed(1)
        losses.append(elbo.loss(*pair, x))
    assert losses[0] == pytest.approx(losses[1], abs=1e-9)


def test_the_kl_is_taken_by_draws_at_the_sites_that_are_named_alone():
    from tests.type_pairs import HEADS as TYPES
    from tests.type_pairs import pair

    model, guide = pair(TYPES["straight-through"], z=Flow(2))
    x = images()
    with pytest.raises(ValueError, match=r"site 'c': log q - log p would mix a mass with a density"):
        PlainELBO(kl="sampled").loss(model, guide, x)
    elbo = PlainELBO(kl={"z": "sampled"})
    elbo.loss(model, guide, x)
    probs = guide.posterior("c", guide.trunk(x), {}).probs
    closed = (probs * (probs.log() + math.log(3))).sum(-1).mean().item()
    assert elbo.report().kl["c"].item() == pytest.approx(closed)
    with pytest.raises(ValueError, match="kl must be 'closed' or 'sampled'"):
        PlainELBO(kl={"z": "exactly"})


def test_a_flow_is_encoded_by_the_mean_of_its_draws():
    _, guide = vae_pair(z_dim=D, head=Flow(D, context=2))  # as mean field at first, whose mean is known
    x = images()
    mean = guide.layers["z"](guide.trunk(x))[:, :D]
    scale = (guide.layers["z"](guide.trunk(x))[:, D : 2 * D] / 2).exp()
    ours = posterior_means(guide, x)["z"]
    assert ((ours - mean).abs() < 5 * scale / 16).all()


def test_what_is_summed_out_has_no_density_ratio():
    from tests.type_pairs import HEADS as TYPES
    from tests.type_pairs import pair

    elbo = FactorVAE(gamma=1.0, log_ratio=lambda z: z.sum(-1))
    with pytest.raises(ValueError, match=r"site 'c' is summed out, and a density ratio needs draws: use Concrete"):
        elbo.loss(*pair(TYPES["exact"]), images())


def test_a_point_lies_where_the_prior_does_or_is_refused():
    from tests.type_pairs import HEADS as TYPES
    from tests.type_pairs import pair

    model, guide = pair(TYPES["concrete"])
    x = images()
    c = torch.rand(len(x), 3)

    def point(x, index=None):
        features = guide.trunk(x)
        with pyro.plate("data", len(x)):
            pyro.sample("c", dist.Delta(c, event_dim=1))
            pyro.sample("z", guide.posterior("z", features, {}))

    with pytest.raises(ValueError, match=r"site 'c': the model's values lie in Simplex"):
        PlainELBO().loss(model, point, x)
    c /= c.sum(-1, keepdim=True)
    elbo = PlainELBO()
    elbo.loss(model, point, x)
    prior = model.prior_of_type(3)
    assert elbo.report().kl["c"].item() == pytest.approx(-prior.log_prob(c).mean().item())


def test_the_covariance_of_a_mixture_reaches_dip():
    pair, x = vae_pair(z_dim=D, head=HEADS["mixture"]()), images(6)
    elbo = DIPVAEII(lambda_od=1.0, lambda_d=0.0, kl="sampled")
    elbo.loss(*pair, x)
    guide = pair[1]
    draws = guide.posterior("z", guide.trunk(x), {}).sample((20_000,))
    cov = torch.cov(draws.flatten(0, 1).T)
    off = (cov.square().sum() - cov.diagonal().square().sum()).item()
    assert elbo.report().terms["-Cov_ij^2"].item() == pytest.approx(-off, abs=0.02)


@pytest.mark.parametrize("name", HEADS)
def test_a_copy_and_a_pickle_score_alike(name):
    import pickle

    head = bent(HEADS[name]())
    raw, value = torch.randn(4, head.num_raw), torch.randn(4, D)
    again = pickle.loads(pickle.dumps(head))
    fresh = HEADS[name]()
    fresh.load_state_dict(head.state_dict())
    for other in (again, fresh):
        torch.testing.assert_close(other(raw).log_prob(value), head(raw).log_prob(value))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LowRank(3, rank=0), "LowRank: rank must be a whole number of at least 1, got 0"),
        (lambda: LowRank(3, rank=4), "got 4"),
        (lambda: Mixture(3, components=1), "at least 2 components are needed, got 1; with one, use MeanField"),
        (
            lambda: Mixture(1, components=2),
            "Mixture: the family couples units and needs at least 2, got 1; use MeanField",
        ),
        (lambda: Flow(1), "Flow: the family couples units and needs at least 2"),
        (lambda: Flow(3, kind="spline"), "Flow: kind must be 'iaf' or 'coupling', got 'spline'"),
        (
            lambda: Flow(3, width=2),
            "width, which is not smaller than the number of units, must be .* at least 3, got 2",
        ),
        (lambda: Flow(3, steps=0), "Flow: steps must be a whole number of at least 1, got 0"),
        (lambda: MeanFieldStudentT(3, df=0.0), "MeanFieldStudentT: df must be positive and finite, got 0"),
        (lambda: DirichletHead(3, total=-1.0), "DirichletHead: total must be positive and finite, got -1"),
    ],
)
def test_a_head_that_makes_no_sense_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# What a mutant of a flow, or of a guide's width, would get away with.


def _moved(q, base, value):
    """By unit, whether a draw of the base differs from the flow's, and which units of the base each unit looks at."""
    jacobian = torch.autograd.functional.jacobian(lambda v: _forward(q, v), value)
    return (jacobian.diagonal() - 1).abs() > 1e-9, jacobian.abs() > 1e-9


def _forward(q, value):
    for transform in q.transforms:
        value = transform(value)
    return value


@pytest.mark.parametrize("size", [4, 5])
def test_coupling_transforms_every_unit_in_two_steps(size):
    # Without the turn after each step the first half would never be transformed.
    head = bent(Flow(size, kind="coupling", steps=2, width=8, context=2))
    q = head(torch.randn(head.num_raw))
    value = torch.randn(size)
    scaled, looks_at = _moved(q, None, value)
    # Two turns bring each unit back to its place; every one of them is scaled by a network.
    assert scaled.all()
    half = size // 2
    assert looks_at[half:, :half].any()  # the second half at the first, in the first step
    assert looks_at[:half, half:].any()  # and the first at the second, in the second


def test_iaf_looks_both_ways_in_two_steps():
    # One step looks at earlier units alone, the next one in the reverse order at later ones.
    for steps, later in ((1, False), (2, True)):
        head = bent(Flow(4, kind="iaf", steps=steps, width=16, context=2))
        q = head(torch.randn(head.num_raw))
        _, looks_at = _moved(q, None, torch.randn(4))
        assert looks_at.tril(-1).any()
        assert looks_at.triu(1).any().item() == later


def test_a_trunks_own_width_counts_before_its_layers():
    class Cut(nn.Module):
        """Gives the first 3 of its layer's 8 features."""

        def __init__(self, out_features):
            super().__init__()
            self.layer = nn.Linear(5, 8)
            if out_features:
                self.out_features = out_features

        def forward(self, x):
            return self.layer(x)[..., :3]

    guide = Amortized(Cut(3), z=MeanField(2))
    assert guide.layers["z"][0].in_features == 3
    assert guide(torch.randn(6, 5))["z"].shape == (6, 2)
    assert Amortized(Cut(None), z=MeanField(2)).layers["z"][0].in_features == 8  # the last layer's, for want of its own
