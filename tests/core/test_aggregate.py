"""The aggregate posterior: every estimator against slow loops, exact small cases and exhaustive averages."""

import itertools
import math
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from guides import Amortized, Concrete, DirichletHead, Exact, FullRank, MeanField
from tests.pairs import NUM_DATA, StyleGivenType, images, vae_pair
from tests.type_pairs import pair as type_pair
from zoo import AnisotropicVAE, ClusteredVAE
from zoo.aggregate import _log_weights, anchor_information, dissect, prior_kl, prior_mmd
from zoo.elbos import HFVAE, Decomposition, TermwiseELBO
from zoo.estimators import (
    covariance,
    gaussian_total_correlation,
    log_marginals,
    log_weights,
    mmd,
    scores,
)
from zoo.handlers import DrawPriors, ScorePairs
from zoo.sites import partition
from zoo.terms import elbo_terms

# Weights of the minibatch estimators.


def test_weights_by_hand():
    B, N = 3, 10
    by_hand = {
        # own 1/N, others (N - 1) / (N (B - 1))
        "stratified": [[2 / 20, 9 / 20, 9 / 20], [9 / 20, 2 / 20, 9 / 20], [9 / 20, 9 / 20, 2 / 20]],
        "weighted": [[1 / 30] * 3] * 3,
        # own 1/N, the next (N - B + 1) / (N (B - 1)), others 1 / (B - 1)
        "minibatch-stratified": [[2 / 20, 8 / 20, 10 / 20], [10 / 20, 2 / 20, 8 / 20], [8 / 20, 10 / 20, 2 / 20]],
        "batch": [[1 / 3] * 3] * 3,
    }
    for estimator, rows in by_hand.items():
        torch.testing.assert_close(log_weights(B, N, estimator).exp(), torch.tensor(rows), msg=estimator)


@pytest.mark.parametrize(
    ("estimator", "total"), [("stratified", 1.0), ("minibatch-stratified", 1.0), ("weighted", 0.05)]
)
def test_every_row_has_the_same_weight_in_all(estimator, total):
    # The public matrix for the third has one row that does not sum to 1.
    torch.testing.assert_close(log_weights(7, 20, estimator).exp().sum(-1), torch.full((7,), total))


@pytest.mark.parametrize("estimator", ["stratified", "minibatch-stratified"])
def test_the_estimate_of_q_is_unbiased_over_all_batches(estimator):
    # q(z_0 | x_n) for N = 5 datapoints; all ordered batches of B = 3 that begin with datapoint 0
    density = torch.rand(5)
    weights = log_weights(3, 5, estimator).exp()[0]
    estimates = [(weights * density[[0, *others]]).sum() for others in itertools.permutations(range(1, 5), 2)]
    torch.testing.assert_close(torch.stack(estimates).mean(), density.mean())


@pytest.mark.parametrize("estimator", ["stratified", "batch"])
def test_a_batch_of_all_the_data_is_exact(estimator):
    torch.testing.assert_close(log_weights(6, 6, estimator).exp(), torch.full((6, 6), 1 / 6))


# Scores.


def test_scores_of_a_full_rank_normal_have_its_marginals():
    tril = torch.tensor([[0.5, 0.0], [0.8, 0.3]])
    q = dist.MultivariateNormal(torch.tensor([1.0, -1.0]), scale_tril=tril)
    z = torch.randn(4, 2)
    sd = torch.tensor([0.5, math.hypot(0.8, 0.3)])
    joint, units = scores(q, z)
    torch.testing.assert_close(joint, q.log_prob(z))
    torch.testing.assert_close(units, dist.Normal(q.loc, sd).log_prob(z))
    assert not torch.allclose(joint, units.sum(-1))


def test_a_concrete_value_scores_by_mass_or_by_density():
    logits = torch.randn(5, 3)
    q = dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=logits)
    c = q.sample()
    mass = scores(q, c, concrete="mass")
    by_hand = logits.log_softmax(-1)[torch.arange(5), c.argmax(-1)]
    torch.testing.assert_close(mass.joint, by_hand)
    torch.testing.assert_close(scores(q, c, concrete="density").joint, q.log_prob(c))
    # Pairwise: sample i under datapoint j
    pairs = scores(q, c.unsqueeze(-2))
    assert pairs.units.shape == (5, 5, 1)
    torch.testing.assert_close(pairs.joint[1, 3], logits.log_softmax(-1)[3, c[1].argmax()])


def test_a_point_has_no_density_whatever_its_wrapping():
    # log q of Delta(...).to_event(1) is 0 at the point, and log p is a density: their difference is no KL.
    for point in (dist.Delta(torch.zeros(4, 2), event_dim=1), dist.Delta(torch.zeros(4, 2)).to_event(1)):
        with pytest.raises(NotImplementedError):
            scores(point, torch.zeros(4, 2))


def test_one_hot_and_dirichlet_values_are_one_unit():
    y = dist.OneHotCategorical(logits=torch.randn(4, 3))
    value = y.sample()
    torch.testing.assert_close(scores(y, value).units.squeeze(-1), y.log_prob(value))
    pi = dist.Dirichlet(torch.rand(4, 3) + 0.5)
    value = pi.sample()
    torch.testing.assert_close(scores(pi, value).joint, pi.log_prob(value))


# Marginals.


class TwoSites:
    """Posteriors of two sites for B datapoints, z of 2 units and c a categorical of 3, scored as a guide's are."""

    def __init__(self, B):
        self.q = {
            "z": dist.Normal(torch.randn(B, 2), torch.rand(B, 2) + 0.3).to_event(1),
            "c": dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=torch.randn(B, 3)),
        }
        self.values = {site: q.sample().unsqueeze(-2) for site, q in self.q.items()}  # [B, 1, size]

    def score(self, site, values):
        return scores(self.q[site], values[site])

    def log_q(self, i, j):
        """Of sample i under datapoint j: each unit of z, then c."""
        z = self.q["z"].base_dist.log_prob(self.values["z"][i])[j]
        c = self.q["c"].logits.log_softmax(-1)[j, self.values["c"][i].argmax()]
        return [*z.tolist(), c.item()]


def test_marginals_against_a_triple_loop():
    B, N = 5, 17
    two = TwoSites(B)
    log_w = log_weights(B, N, "stratified")
    ours = log_marginals(two.score, two.values, log_w, [["z"], ["c"]])
    for i in range(B):
        joint, of_z, of_c, units = 0.0, 0.0, 0.0, [0.0, 0.0]
        for j in range(B):
            w = 1 / N if i == j else (N - 1) / (N * (B - 1))
            z0, z1, c = two.log_q(i, j)
            joint += w * math.exp(z0 + z1 + c)
            of_z += w * math.exp(z0 + z1)
            of_c += w * math.exp(c)
            units = [units[0] + w * math.exp(z0), units[1] + w * math.exp(z1)]
        assert ours.joint[i].item() == pytest.approx(math.log(joint))
        assert ours.groups[i].tolist() == pytest.approx([math.log(of_z), math.log(of_c)])
        assert ours.units["z"][i].tolist() == pytest.approx([math.log(u) for u in units])
        assert ours.units["c"][i].tolist() == pytest.approx([math.log(of_c)])


def test_marginals_stay_finite_where_densities_do_not():
    # 50 dimensions at sd .05: the density at the mean is (0.05 sqrt(2 pi))^-50, about e^104, and far away e^-(huge)
    q = dist.Normal(torch.randn(3, 50).float() * 10, torch.tensor(0.05)).to_event(1)
    values = {"z": q.mean.unsqueeze(-2)}
    marginals = log_marginals(lambda _, v: scores(q, v["z"]), values, log_weights(3, 3, "batch").float(), [["z"]])
    own = -50 * math.log(0.05 * math.sqrt(2 * math.pi)) - math.log(3)
    assert marginals.joint.tolist() == pytest.approx([own] * 3, rel=1e-5)
    assert marginals.units["z"].isfinite().all()


@pytest.mark.parametrize("max_elements", [1, 40, 10**6])
def test_chunks_change_neither_values_nor_gradients(max_elements):
    loc = torch.randn(7, 3).requires_grad_()
    q = dist.Normal(loc, 0.5).to_event(1)
    noise = torch.randn(7, 3)
    log_w = log_weights(7, 30, "stratified")

    def total(**options):
        values = {"z": (loc + 0.5 * noise).unsqueeze(-2)}
        marginals = log_marginals(lambda _, v: scores(q, v["z"]), values, log_w, [["z"]], **options)
        return marginals.joint.sum() + (marginals.units["z"] * torch.arange(3)).sum()

    whole, in_chunks = total(), total(max_elements=max_elements)
    torch.testing.assert_close(in_chunks, whole)
    torch.testing.assert_close(torch.autograd.grad(in_chunks, loc), torch.autograd.grad(whole, loc))


def test_chunks_keep_memory_for_one_of_them_alone():
    loc = torch.randn(64, 5).requires_grad_()
    q = dist.Normal(loc, 0.5).to_event(1)
    kept = []

    def bytes_kept(**options):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
            log_marginals(
                lambda _, v: scores(q, v["z"]),
                {"z": loc.unsqueeze(-2)},
                log_weights(64, 100, "stratified"),
                [["z"]],
                **options,
            )
        return sum(kept)

    one_matrix = 64 * 64 * 5 * 8
    assert bytes_kept() > one_matrix
    assert bytes_kept(max_elements=64 * 5 * 4) < one_matrix / 8  # 16 chunks


@pytest.mark.parametrize("max_elements", [1, 60, 10**6])
def test_chunks_of_a_conditional_head_score_each_sample_at_its_own_values(max_elements):
    # q(z | x_j, c_i): in a chunk, the samples' own c, and not those of the first rows.
    B = 7
    c, move = torch.randn(B, 1, 1), torch.randn(B, 2)
    z = torch.randn(B, 1, 2).requires_grad_()

    def score(site, values):
        if site == "c":
            return scores(dist.Normal(torch.zeros(B, 1), 1.0).to_event(1), values["c"])
        at = values.get("c", c.squeeze(1).unsqueeze(0))  # where it is not among the values, each datapoint's own
        return scores(dist.Normal(at * move, 1.0).to_event(1), values["z"])

    log_w = log_weights(B, 30, "stratified")
    ours = log_marginals(
        score, {"c": c, "z": z}, log_w, [["c", "z"]], looks_at={"z": ("c",)}, max_elements=max_elements
    )
    for i in range(B):
        together = [
            log_w[i, j] + dist.Normal(0, 1).log_prob(c[i]).sum() + dist.Normal(c[i] * move[j], 1).log_prob(z[i]).sum()
            for j in range(B)
        ]
        alone = [log_w[i, j] + dist.Normal(c[j] * move[j], 1).log_prob(z[i]).squeeze(0) for j in range(B)]
        torch.testing.assert_close(ours.joint[i], torch.stack(together).logsumexp(0))
        torch.testing.assert_close(ours.units["z"][i], torch.stack(alone).logsumexp(0))
    (slope,) = torch.autograd.grad(ours.joint.sum(), z)
    assert slope.isfinite().all()


@pytest.mark.parametrize("max_elements", [1, 10**6])
def test_own_scores_replace_what_is_scored_at_a_samples_own_posterior(max_elements):
    # `score` is wrong by 100 nats where a sample meets its own posterior, at columns 1, 2, ..., and 0 for the last.
    B = 5
    q = dist.Normal(torch.randn(B, 2), 1.0).to_event(1)
    z = torch.randn(B, 2)
    order = torch.arange(1, B + 1) % B
    is_own = torch.eye(B, dtype=torch.bool)[order]
    exact = scores(q, z.unsqueeze(1))

    def score(_, values):
        scored = scores(q, values["z"])
        rows = (values["z"] == z).all(-1).float().argmax(-1)  # which samples are in this chunk
        wrong = 100.0 * is_own[rows]
        return type(scored)(scored.joint + wrong, scored.units - wrong.unsqueeze(-1))

    own = {"z": type(exact)(exact.joint[is_own], exact.units[is_own])}
    log_w = log_weights(B, 30, "stratified")
    options = {"max_elements": max_elements, "looks_at": {}}
    ours = log_marginals(score, {"z": z.unsqueeze(1)}, log_w, [["z"]], own=own, is_own=is_own, **options)
    torch.testing.assert_close(ours.joint, (exact.joint + log_w).logsumexp(-1))
    torch.testing.assert_close(ours.units["z"], (exact.units + log_w.unsqueeze(-1)).logsumexp(-2))
    with pytest.raises(ValueError, match="own needs is_own"):
        log_marginals(score, {"z": z.unsqueeze(1)}, log_w, [["z"]], own=own, **options)


# The whole way from a guide.


class RoundsByShape(MeanField):
    """Means that differ by 0.01 between a batch and all its pairs, as a network's in lower precision do."""

    def forward(self, raw):
        loc, log_var = raw.chunk(2, dim=-1)
        shift = 0.01 * (raw.dim() > 2)
        return dist.Normal(loc + shift, (0.5 * log_var - 9.0).exp()).to_event(1)  # deviations of about e^-9


@pytest.mark.parametrize("sites", [None, ["c", "z"]])
def test_information_is_at_most_log_n_whatever_the_rounding_of_pairs(sites):
    # q(z_i) contains q(z_i | x_i) / N. Scored at means that are off by 0.01 / e^-9 = 81 deviations, it would not, and
    # I(x; z) would be of the order of 81^2 / 2 nats.
    guide = Amortized(nn.Linear(5, 6), c=Concrete(3, temperature=0.5), z=RoundsByShape(2, given=("c",)))
    model_trace, guide_trace = traces(StyleGivenType(), guide, torch.randn(4, 5))
    parts = dissect(model_trace, guide_trace, num_data=NUM_DATA, estimator="stratified", sites=sites)
    assert 0 < parts.mutual_information <= math.log(NUM_DATA)
    anchored = anchor_information(
        model_trace, guide_trace, {"c": [0], "z": [0, 1]}, num_data=NUM_DATA, estimator="stratified"
    )
    torch.testing.assert_close(anchored, parts.mutual_information)


def traces(model, guide, x, concrete="mass", particles=None):
    scoring = ScorePairs(concrete)
    guide, model = scoring(guide), scoring(model)
    if particles:
        guide, model = (
            pyro.plate("num_particles_vectorized", particles, dim=-2)(program) for program in (guide, model)
        )
    guide_trace = poutine.trace(guide).get_trace(x)
    model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(x)
    return [poutine.util.prune_subsample_sites(trace) for trace in (model_trace, guide_trace)]


@pytest.mark.parametrize("particles", [None, 2])
@pytest.mark.parametrize("style", [MeanField(2, given=("c",)), FullRank(2, given=("c",))], ids=["normal", "full"])
def test_a_conditional_head_is_scored_at_the_samples_own_class_on_the_others_features(style, particles):
    guide = Amortized(nn.Linear(5, 6), c=Concrete(3, temperature=0.5), z=style)
    with torch.no_grad():
        guide.layers["z"][0].weight[:2, 6:] *= 20  # the class moves the style a lot
    x = torch.randn(4, 5)
    model_trace, guide_trace = traces(StyleGivenType(), guide, x, particles=particles)
    P, B, N = particles or 1, 4, 4
    z = guide_trace.nodes["z"]["value"].reshape(P, B, 2)
    c = guide_trace.nodes["c"]["value"].reshape(P, B, 3)
    features = guide.trunk(x)
    mutual_information = 0.0
    for p in range(P):
        for i in range(B):

            def log_q(j, i=i, p=p):
                q_z = guide.posterior("z", features[j], {"c": c[p, i]})  # (z_i, c_i) on x_j
                q_c = guide.posterior("c", features[j], {})
                return q_z.log_prob(z[p, i]) + q_c.logits.log_softmax(-1)[c[p, i].argmax()]

            log_mixture = torch.stack([log_q(j) for j in range(B)]).logsumexp(0) - math.log(N)
            mutual_information += (log_q(i) - log_mixture).item() / (P * B)
    ours = dissect(model_trace, guide_trace, num_data=N, estimator="stratified")
    assert ours.mutual_information.item() == pytest.approx(mutual_information)
    # Reading the traced distributions, q(z_i | x_j, c_j), would give another number.
    for site in ("c", "z"):
        guide_trace.nodes[site]["infer"].pop("rerun", None)
    with pyro.validation_enabled(False):
        wrong = dissect(model_trace, guide_trace, num_data=N, estimator="stratified")
    assert abs(wrong.mutual_information.item() - mutual_information) > 1e-3


def test_a_style_that_only_copies_its_type_shares_all_of_it():
    # c is uniform over 3 whatever x is, and z a narrow normal at 10 times its class: TC between them is I(z; c) =
    # log 3, for q(z, c) = q(c) N(z; 10 k) and q(z) the mixture of the three. N(z; 10 k) under everybody's features,
    # the style at the sample's own class, would make q(z) of q(z | c), and the total correlation 0.
    guide = Amortized(nn.Linear(5, 6), c=Concrete(3, temperature=1e-6), z=MeanField(1, given=("c",)))
    with torch.no_grad():
        for parameter in guide.layers.parameters():
            parameter.zero_()
        guide.layers["z"][0].weight[0, 6:] = torch.tensor([0.0, 10.0, 20.0])
        guide.layers["z"][0].bias[1] = 2 * math.log(0.5)
    B = 600
    model_trace, guide_trace = traces(StyleGivenType(z_dim=1), guide, torch.randn(B, 5))
    counts = torch.bincount(guide_trace.nodes["c"]["value"].argmax(-1), minlength=3)
    shares = counts / B
    for groups in (None, [["c"], ["z"]]):
        ours = dissect(model_trace, guide_trace, num_data=B, groups=groups, estimator="batch")
        # The batch's own mixture of z has the classes' shares in the batch; q(c) is uniform.
        assert ours.between.item() == pytest.approx(-(shares * shares.log()).sum().item(), abs=1e-6)
        assert ours.mutual_information.item() == pytest.approx(0, abs=1e-9)


def test_a_marginal_scores_at_the_values_that_are_in_it_and_at_each_datapoints_own_otherwise():
    guide = Amortized(nn.Linear(5, 6), c=Concrete(3, temperature=0.5), z=MeanField(2, given=("c",)))
    with torch.no_grad():
        guide.layers["z"][0].weight[:2, 6:] *= 20
    x, B, N = torch.randn(5, 5), 5, 23
    model_trace, guide_trace = traces(StyleGivenType(), guide, x)
    z, c = (guide_trace.nodes[site]["value"] for site in ("z", "c"))
    features = guide.trunk(x)
    within, between, units = 0.0, 0.0, torch.zeros(2)
    for i in range(B):
        joint = of_c = of_z = 0.0
        of_units = torch.zeros(2)
        for j in range(B):
            w = 1 / N if i == j else (N - 1) / (N * (B - 1))
            log_c = guide.posterior("c", features[j], {}).logits.log_softmax(-1)[c[i].argmax()]
            together = guide.posterior("z", features[j], {"c": c[i]}).base_dist.log_prob(z[i])
            alone = guide.posterior("z", features[j], {"c": c[j]}).base_dist.log_prob(z[i])
            joint += w * (log_c + together.sum()).exp()
            of_c, of_z, of_units = of_c + w * log_c.exp(), of_z + w * alone.sum().exp(), of_units + w * alone.exp()
        between += (joint.log() - of_c.log() - of_z.log()).item() / B
        within += (of_z.log() - of_units.log().sum()).item() / B
        units += (of_units.log() - dist.Normal(0, 1).log_prob(z[i])) / B
    ours = dissect(model_trace, guide_trace, num_data=N, estimator="stratified")
    assert ours.between.item() == pytest.approx(between)
    assert ours.within.tolist() == pytest.approx([0.0, within])
    torch.testing.assert_close(ours.units["z"], units)


def test_a_guide_that_hides_a_dependence_is_refused():
    class Hiding(nn.Module):
        def __init__(self):
            super().__init__()
            self.c, self.z = nn.Linear(5, 3), nn.Linear(3, 2)

        def forward(self, x):
            with pyro.plate("data", len(x)):
                c = pyro.sample("c", dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=self.c(x)))
                pyro.sample("z", dist.Normal(self.z(c), 1).to_event(1))

    elbo = HFVAE(alpha=1, beta=1, gamma=1, num_data=9)
    with pytest.raises(ValueError, match=r"site 'z' depends on 'c' without infer\['rerun'\]"):
        elbo.loss_and_grads(StyleGivenType(), Hiding(), torch.randn(4, 5))


@pytest.mark.parametrize("concrete", ["mass", "density"])
@pytest.mark.parametrize("estimator", ["stratified", "weighted", "minibatch-stratified", "batch"])
def test_the_anatomy_sums_to_the_kl_whatever_the_estimator_and_groups(estimator, concrete):
    guide = Amortized(nn.Linear(5, 6), c=Concrete(3, temperature=0.5), z=MeanField(2, given=("c",)))
    model_trace, guide_trace = traces(StyleGivenType(), guide, torch.randn(7, 5), concrete, particles=3)
    own = {s: guide_trace.nodes[s]["score_own"]().joint for s in ("z", "c")}
    prior = {s: model_trace.nodes[s]["score_own"]().joint for s in ("z", "c")}
    kl = sum((own[s] - prior[s]).mean() for s in ("z", "c"))
    for groups in (None, [["z", "c"]], [["c"], ["z"]]):
        ours = dissect(model_trace, guide_trace, num_data=50, groups=groups, estimator=estimator)
        torch.testing.assert_close(ours.mutual_information + ours.marginal_kl, kl)
    if concrete == "mass":
        assert prior["c"].unique().tolist() == pytest.approx([-math.log(3)])


def test_full_rank_units_are_the_marginals_and_the_excess_is_total_correlation():
    model, guide = vae_pair(head=FullRank(2))
    x = images(6)
    model_trace, guide_trace = traces(model, guide, x)
    ours = dissect(model_trace, guide_trace, num_data=6, estimator="stratified")
    q, z = guide_trace.nodes["z"]["fn"], guide_trace.nodes["z"]["value"]
    joint = torch.stack([torch.logsumexp(q.log_prob(z[i]), 0) for i in range(6)]) - math.log(6)
    marginals = dist.Normal(q.loc, q.covariance_matrix.diagonal(dim1=-2, dim2=-1).sqrt())
    units = torch.stack([torch.logsumexp(marginals.log_prob(z[i]), 0) for i in range(6)]) - math.log(6)
    torch.testing.assert_close(ours.within, (joint - units.sum(-1)).mean().reshape(1))
    torch.testing.assert_close(ours.units["z"], (units - dist.Normal(0, 1).log_prob(z)).mean(0))


def test_a_prior_that_is_not_factorised_takes_its_total_correlation_out():
    # q(z) is exactly the prior, so KL(q(z) || p(z)) and the excess total correlation vanish, though TC(q) does not.
    tril = torch.tensor([[1.0, 0.0], [0.9, 0.4]])

    class Correlated(nn.Module):
        def forward(self, x):
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.MultivariateNormal(torch.zeros(2), scale_tril=tril))

    model_trace, guide_trace = traces(Correlated(), Correlated(), torch.zeros(50, 1))
    ours = dissect(model_trace, guide_trace, num_data=50, estimator="batch")
    assert ours.mutual_information.item() == pytest.approx(0, abs=1e-12)
    assert ours.within.item() == pytest.approx(0, abs=1e-12)
    assert ours.units["z"].tolist() == pytest.approx([0, 0], abs=1e-12)


# A penalty on some of the sites.


class Penalised(TermwiseELBO):
    """A user's objective: the ELBO, and a divergence of q(z) from p(z) for z alone."""

    def __init__(self, divergence, scoring=True):
        super().__init__()
        self.divergence, self.scoring = divergence, scoring

    def messengers(self):
        return [DrawPriors(), ScorePairs("mass")] if self.scoring else []

    def terms(self, model_trace, guide_trace):
        return elbo_terms(model_trace, guide_trace) | {"-D": -self.divergence(model_trace, guide_trace)}


DIVERGENCES = {
    "kl": lambda m, g: prior_kl(m, g, sites=["z"]),
    "mmd": lambda m, g: prior_mmd(m, g, "joint", sites=["z"]),
    "tc": lambda m, g: dissect(m, g, num_data=20, estimator="batch", sites=["z"]).within.sum(),
}


@pytest.mark.parametrize("divergence", DIVERGENCES.values(), ids=DIVERGENCES)
@pytest.mark.parametrize("num_particles", [1, 3])
def test_one_sites_q_is_penalised_beside_a_class_that_is_summed_out(divergence, num_particles):
    # z has the same draws whatever is done about c, since a class that is summed out takes no random numbers.
    x = images(20)
    joint, plain = type_pair(Exact), vae_pair()
    plain[1].trunk, plain[1].layers["z"] = joint[1].trunk, joint[1].layers["z"]
    values = []
    for pair in (joint, plain):
        elbo = Penalised(divergence)
        elbo.num_particles = num_particles
        pyro.set_rng_seed(1)
        elbo.loss_and_grads(*pair, x)
        values.append(elbo.report().terms["-D"].item())
    assert values[0] == pytest.approx(values[1])
    assert values[0] != 0


def test_decomposition_takes_the_sites_of_its_divergence():
    pair, x = type_pair(Exact), images(20)
    with pytest.raises(ValueError, match="site 'c' is summed out"):
        Decomposition(alpha=1.0, beta=1.0, divergence="kl").loss(*pair, x)
    for divergence in ("kl", "mmd-marginal"):
        elbo = Decomposition(alpha=2.0, beta=1.0, divergence=divergence, sites=["z"])
        pyro.set_rng_seed(1)
        elbo.loss(*pair, x)
        alone = Penalised(lambda m, g: prior_kl(m, g, sites=["z"]))
        if divergence == "mmd-marginal":
            alone = Penalised(lambda m, g: prior_mmd(m, g, "marginal", sites=["z"]))
        pyro.set_rng_seed(1)
        alone.loss(*pair, x)
        ours = [value.item() for name, value in elbo.report().terms.items() if name in ("-KL(p || q)", "-MMD(q, p)")]
        assert ours == pytest.approx([2 * alone.report().terms["-D"].item()])


@pytest.mark.parametrize(
    ("divergence", "head", "message"),
    [
        (lambda m, g: prior_mmd(m, g, "joint", sites=["w"]), Concrete, r"sites names \['w'\]"),
        (lambda m, g: prior_mmd(m, g, "joint", sites=["z"]), Exact, "site 'z' depends on 'c', which is summed out"),
        (
            lambda m, g: dissect(m, g, num_data=20, estimator="batch", sites=["z"]),
            Concrete,
            "site 'z' depends on 'c', which is not among the sites",
        ),
    ],
)
def test_sites_that_do_not_stand_by_themselves_are_refused(divergence, head, message):
    options = {"temperature": 0.67} if head is Concrete else {}
    pair = type_pair(partial(head, **options), z=MeanField(2, given=("c",)))
    with pytest.raises(ValueError, match=message):
        Penalised(divergence).loss(*pair, images(20))


@pytest.mark.parametrize("divergence", DIVERGENCES.values(), ids=DIVERGENCES)
def test_a_term_says_which_messenger_it_needs(divergence):
    with pytest.raises(ValueError, match=r"site 'z' .*return (ScorePairs|DrawPriors)\(.*from messengers\(\)"):
        Penalised(divergence, scoring=False).loss(*vae_pair(), images(20))


def test_mmd_is_the_mean_over_particles():
    # By hand, with the draws of the prior as they come. Over all draws together it would be biased: two draws of one
    # datapoint would count as a pair of different points.
    pair, x = vae_pair(), images(8)
    elbo = Penalised(lambda m, g: prior_mmd(m, g, "joint"))
    elbo.num_particles = 2
    seen = {}
    terms = elbo.terms
    elbo.terms = lambda m, g: seen.update(g=g, state=torch.get_rng_state()) or terms(m, g)
    pyro.set_rng_seed(1)
    elbo.loss(*pair, x)
    z = seen["g"].nodes["z"]["value"].detach().reshape(2, 8, 2)
    torch.set_rng_state(seen["state"])
    p = dist.Normal(torch.zeros(2, 8, 2), 1.0).sample().reshape(2, 8, 2)
    by_hand = sum(mmd(*draws, kernel="joint").item() for draws in zip(z, p, strict=True)) / 2
    assert elbo.report().terms["-D"].item() == pytest.approx(-by_hand)


@pytest.mark.parametrize("divergence", ["kl", "mmd-joint"])
def test_a_learnt_prior_gets_a_gradient_from_its_draws(divergence):
    # Of the whole loss, by central differences on the same draws: a draw without gradient would lack a part.
    model, guide, x = AnisotropicVAE(vae_pair()[0].decoder, variances=[2.0, 0.5], learnt=True), vae_pair()[1], images(8)
    elbo = Decomposition(alpha=3.0, beta=1.0, divergence=divergence)

    def loss():
        pyro.set_rng_seed(1)
        return elbo.differentiable_loss(model, guide, x)

    (ours,) = torch.autograd.grad(loss(), model.log_variances)
    start, h = model.log_variances.detach().clone(), 1e-5
    for d in range(2):
        with torch.no_grad():
            around = []
            for sign in (1, -1):
                model.log_variances.copy_(start + sign * h * torch.eye(2)[d])
                around.append(loss().item())
        assert ours[d].item() == pytest.approx((around[0] - around[1]) / (2 * h), abs=1e-6)


@pytest.mark.parametrize("divergence", ["kl", "mmd-joint"])
def test_a_learnt_prior_whose_draws_have_no_gradient_is_refused(divergence):
    # The MMD gave its parameters no gradient at all, and the KL only that of log p, whose mean is 0.
    model, guide = ClusteredVAE(vae_pair()[0].decoder, places=[[0.0, 1.0], [1.0, 0.0]], scale=0.3), vae_pair()[1]
    elbo = Decomposition(alpha=1.0, beta=1.0, divergence=divergence, kl="sampled")
    elbo.loss_and_grads(model, guide, images(8))  # fixed places need no gradient
    model.places.requires_grad_()
    with pytest.raises(ValueError, match="site 'z': its prior is trained, and draws of MixtureSameFamily have no grad"):
        elbo.loss_and_grads(model, guide, images(8))
    elbo.loss(model, guide, images(8))  # the value is right


# Divergences from samples.


@pytest.mark.parametrize("kernel", ["marginal", "joint"])
def test_mmd_against_loops(kernel):
    x, y = torch.randn(4, 3), torch.randn(4, 3)
    scales = (0.1, 2.0)

    def k(a, b):
        if kernel == "joint":
            return sum(2 * 3 * s / (2 * 3 * s + ((a - b) ** 2).sum().item()) for s in scales)
        return sum(2 * s / (2 * s + (u - v).item() ** 2) for s in scales for u, v in zip(a, b, strict=True))

    pairs = [(i, j) for i in range(4) for j in range(4)]
    within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs if i != j) / (4 * 3)
    across = sum(k(x[i], y[j]) for i, j in pairs) / 4**2
    assert mmd(x, y, kernel=kernel, scales=scales).item() == pytest.approx(within - 2 * across)


@pytest.mark.parametrize("kernel", ["marginal", "joint"])
def test_the_derivatives_of_mmd_are_those_of_finite_differences_and_of_each_member_of_a_batch(kernel):
    x, y = torch.randn(2, 4, 3, requires_grad=True), torch.randn(2, 4, 3, requires_grad=True)
    one = partial(mmd, kernel=kernel)
    assert torch.autograd.gradcheck(one, (x[0], y[0]))
    assert torch.autograd.gradgradcheck(one, (x[0], y[0]))
    by_vmap = torch.vmap(torch.func.grad(one))(x, y)
    torch.testing.assert_close(by_vmap, torch.stack([torch.autograd.grad(one(x[k], y[k]), x)[0][k] for k in (0, 1)]))


def test_mmd_of_two_points_by_hand():
    # one scale 1/2, so C = 1: k(0, 1) = 1/2; within (1/2 + 1/2), across (1 + 1/2 + 1/2 + 1) / 4
    x = torch.tensor([[0.0], [1.0]])
    assert mmd(x, x, kernel="marginal", scales=(0.5,)).item() == pytest.approx(1.0 - 2 * 0.75)


def test_mmd_tells_shifted_samples_apart_and_the_marginal_kernel_ignores_correlation():
    x, y = torch.randn(200, 2), torch.randn(200, 2)
    assert abs(mmd(x, y, kernel="joint")) < 0.1 < mmd(x, y + 2, kernel="joint")
    correlated = torch.randn(200, 1).expand(200, 2)
    assert abs(mmd(x, correlated, kernel="marginal")) < 0.1
    assert mmd(x, correlated, kernel="joint") > 2 * abs(mmd(x, y, kernel="joint"))


def test_covariance_is_over_the_batch_and_divides_by_it():
    values = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 7.0]])
    # means (2, 3); deviations (-2, -2), (0, -2), (2, 4); products averaged over 3
    torch.testing.assert_close(covariance(values), torch.tensor([[8 / 3, 4.0], [4.0, 8.0]]))


def test_gaussian_total_correlation_of_two_units_is_their_mutual_information():
    rho = 0.8
    cov = torch.tensor([[4.0, 2 * rho], [2 * rho, 1.0]])
    assert gaussian_total_correlation(cov).item() == pytest.approx(-0.5 * math.log(1 - rho**2))


# Bad input.


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([["z"]], r"left out: \['c'\]"),
        ([["z"], ["c", "z"]], r"in two groups: \['z'\]"),
        ([["z"], ["c"], ["w"]], r"unknown: \['w'\]"),
    ],
)
def test_groups_that_are_no_partition_are_refused(groups, message):
    with pytest.raises(ValueError, match=r"each of the latent sites \['z', 'c'\] once; " + message):
        partition(groups, ["z", "c"])


@pytest.mark.parametrize(
    ("B", "num_data", "message"),
    [
        (1, NUM_DATA, "cannot be estimated from a batch of one"),
        (11, 10, "num_data = 10 is less than the batch of 11"),
    ],
)
def test_batches_that_say_nothing_are_refused(B, num_data, message):
    with pytest.raises(ValueError, match=message):
        HFVAE(alpha=1, beta=1, gamma=1, num_data=num_data).loss(*vae_pair(), images(B))


def test_a_plate_of_another_size_than_num_data_is_refused():
    with pytest.raises(ValueError, match=f"num_data = 99, but the plate 'data' has {NUM_DATA}"):
        HFVAE(alpha=1, beta=1, gamma=1, num_data=99).loss(*vae_pair(), images(11), index=torch.arange(11))


def test_an_unknown_estimator_is_refused():
    with pytest.raises(ValueError, match="estimator must be one of stratified, weighted, minibatch-stratified, batch"):
        log_weights(3, 9, "mws")


def test_a_mask_is_refused_where_the_aggregate_posterior_is_asked_for():
    model, guide = vae_pair()
    keep = torch.arange(11) < 5
    with pytest.raises(ValueError, match="site 'z' has a mask"):
        HFVAE(alpha=1, beta=1, gamma=1, num_data=NUM_DATA).loss(
            poutine.mask(model, mask=keep), poutine.mask(guide, mask=keep), images(11)
        )


def test_dirichlet_heads_score_pairwise():
    class Shares(nn.Module):
        def forward(self, x):
            with pyro.plate("data", len(x)):
                pyro.sample("pi", dist.Dirichlet(torch.ones(3)))

    guide = Amortized(nn.Linear(2, 4), pi=DirichletHead(3))
    x = torch.randn(5, 2)
    model_trace, guide_trace = traces(Shares(), guide, x)
    q, pi = guide_trace.nodes["pi"]["fn"], guide_trace.nodes["pi"]["value"]
    by_hand = [
        q.log_prob(pi)[i] - torch.stack([q.log_prob(pi[i])[j] for j in range(5)]).logsumexp(0) + math.log(5)
        for i in range(5)
    ]
    ours = dissect(model_trace, guide_trace, num_data=5, estimator="stratified")
    torch.testing.assert_close(ours.mutual_information, torch.stack(by_hand).mean())


class Placed(nn.Module):
    """z ~ N(0, I) of some event shape, in the plate "data" at some dimension."""

    def __init__(self, shape=(2,), dim=-1, plate="data"):
        super().__init__()
        self.shape, self.dim, self.plate = shape, dim, plate

    def forward(self, x):
        with pyro.plate(self.plate, len(x), dim=self.dim):
            batch = (len(x), *[1] * (-self.dim - 1))
            pyro.sample("z", dist.Normal(torch.zeros(*batch, *self.shape), 1.0).to_event(len(self.shape)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": -2}, "is not in the plate 'data' as its last dimension"),
        ({"shape": (2, 3)}, r"has an event of shape \(2, 3\), not a vector"),
        ({"shape": ()}, r"has an event of shape \(\), not a vector"),
    ],
)
def test_sites_that_are_no_vectors_of_datapoints_are_refused(options, message):
    program = Placed(**options)
    with pytest.raises(ValueError, match="site 'z' " + message):
        HFVAE(alpha=1, beta=1, gamma=1, num_data=4).loss(program, program, torch.zeros(4, 1))


def test_kept_weights_are_neither_those_of_another_size_nor_without_values():
    """What an evaluation without values, or in inference mode, leaves behind must not reach a training step."""
    like = torch.zeros(3, 1)

    def weights(B, N, estimator="stratified"):
        return _log_weights(B, N, estimator, like.dtype, like.device)

    with FakeTensorMode():
        assert isinstance(weights(3, 77), FakeTensor)
    with torch.inference_mode():
        assert weights(3, 77).is_inference()
    assert not weights(3, 77).is_inference()
    for B, N, estimator in [(3, 77, "stratified"), (3, 9, "stratified"), (3, 9, "weighted"), (4, 9, "weighted")] * 2:
        torch.testing.assert_close(weights(B, N, estimator), log_weights(B, N, estimator, like=like))
    for N in range(10, 40):
        assert weights(3, N).data_ptr() == weights(3, N).data_ptr()  # kept
