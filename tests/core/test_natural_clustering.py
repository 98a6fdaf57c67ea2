"""N-VAE: its stories, the bound (3), the objectives (6) and (7) beside it, and labels, given, wrong and missing."""

import copy
import itertools
import math
import warnings

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO
from torch import nn
from torch.distributions import kl_divergence

from guides import Amortized, ConjugateDirichlet, DirichletHead, Exact, FullRank, MeanField, Predicted
from tests.pairs import INTEGERS, NUM_DATA, SHAPE, C, L, S, cvae_pair, images, nvae_pair
from zoo import ConditionalVAE, NaturalClustering
from zoo.elbos import NaturalClusteringELBO, PlainELBO
from zoo.lab.data import Batch
from zoo.lab.networks import MLPDecoder, MLPEncoder
from zoo.lab.story import docstring_lines, trace_lines
from zoo.lab.training import compiled
from zoo.lab.training.fit import fit


def labelled(num=11):
    return images(num), torch.arange(num) % L


def closed_terms(model, guide, x, y, seed=0):
    """By hand, [B, 5]: log p(x | y, z) at a draw, KL of z_c, of z_s, log q(y | x), KL(q(pi | x) || p(pi | y))."""
    pyro.set_rng_seed(seed)
    trace = poutine.trace(guide).get_trace(x, y)
    q = {name: trace.nodes[name]["fn"] for name in ("pi", "z_c", "z_s")}
    z_c, z_s = (trace.nodes[name]["value"] for name in ("z_c", "z_s"))
    rows = []
    for n, label in enumerate(y.tolist()):
        block = [torch.zeros(C + 1)] * L
        block[label] = torch.cat([torch.ones(1), z_c[n, label * C : (label + 1) * C]])
        logits = model.decoder(torch.cat(block), z_s[n])
        log_p = (x[n] * logits - nn.functional.softplus(logits)).sum()
        kl = [
            0.5 * (q[name].mean[n] ** 2 + q[name].variance[n] - q[name].variance[n].log() - 1).sum()
            for name in ("z_c", "z_s")
        ]
        concentration = q["pi"].concentration[n]
        exact = dist.Dirichlet(model.alpha + torch.eye(L)[label])
        kl_pi = kl_divergence(dist.Dirichlet(concentration), exact)
        rows.append(torch.stack([log_p, *kl, (concentration[label] / concentration.sum()).log(), kl_pi]))
    return torch.stack(rows)


@pytest.mark.parametrize(("story", "pair"), [(NaturalClustering, nvae_pair), (ConditionalVAE, cvae_pair)])
def test_the_docstring_tells_what_the_trace_shows(story, pair):
    model, _ = pair()
    for args in ((images(),), labelled()):
        shown = trace_lines(poutine.trace(model).get_trace(*args))
        lines = [(line.name, line.relation) for line in docstring_lines(story)]
        assert lines == [(line.name, line.relation) for line in shown]
        families = [line.family for line in docstring_lines(story) if line.relation == "~"]
        assert families == [line.expression for line in shown if line.relation == "~"]
    assert [line.shape for line in shown][:-1] == {
        NaturalClustering: ["[B, 3]", "[B, 3]", "[B, 6]", "[B, 4]", "[B, 9]"],
        ConditionalVAE: ["[B, 3]", "[B, 4]"],
    }[story]


@pytest.mark.parametrize("bias", [True, False])
def test_the_mask_keeps_the_row_of_the_class(bias):
    model, _ = nvae_pair(bias=bias)
    z_c = torch.arange(1.0, 7).unflatten(0, (1, 6))
    masked = model.mask(torch.eye(L), z_c).unflatten(-1, (L, C + bias))
    for y in range(L):
        for row in range(L):
            own = ([1.0] if bias else []) + [2.0 * y + 1, 2.0 * y + 2]
            assert masked[y, row].tolist() == (own if row == y else [0.0] * (C + bias))


def test_without_the_bias_a_class_is_told_by_its_own_latents_alone():
    # Appendix B: at z_c = 0 all classes decode alike without the one-hot column, and not with it.
    for bias in (True, False):
        model, _ = nvae_pair(bias=bias)
        decoded = model.decoder(model.mask(torch.eye(L), torch.zeros(L, L * C)), torch.zeros(L, S))
        assert (decoded.std(0).max() < 1e-12) == (not bias)


def test_the_blocks_of_other_classes_do_not_reach_the_pixels():
    model, guide = nvae_pair()
    x, y = labelled()
    trace = poutine.trace(guide).get_trace(x, y)
    z_c = trace.nodes["z_c"]["value"].detach().requires_grad_()
    conditioned = poutine.condition(model, data={"z_c": z_c})
    (gradient,) = torch.autograd.grad(poutine.trace(conditioned).get_trace(x, y).nodes["x"]["fn"].mean.sum(), z_c)
    blocks = gradient.unflatten(-1, (L, C)).abs().sum(-1) > 0
    assert torch.equal(blocks, torch.eye(L, dtype=torch.bool)[y])


# Equation (3) is Pyro's own ELBO on the story.


def test_by_conjugacy_prior_times_class_is_posterior_times_evidence_at_every_pi():
    model, _ = nvae_pair(alpha=0.3)
    pi = dist.Dirichlet(torch.ones(L)).sample((50,))
    for y in torch.eye(L):
        joint = dist.Dirichlet(model.alpha).log_prob(pi) + dist.OneHotCategorical(pi).log_prob(y)
        torch.testing.assert_close(joint, model.posterior(y).log_prob(pi) - math.log(L))


def test_equation_3_is_pyros_elbo_draw_by_draw():
    # (3) with each of its expectations at the draw that Pyro takes: p(pi | y) p(y) in place of p(pi) p(y | pi).
    model, guide = nvae_pair()
    x, y = labelled()
    pyro.set_rng_seed(3)
    trace = poutine.trace(guide).get_trace(x, y)
    sites = {name: (trace.nodes[name]["fn"], trace.nodes[name]["value"]) for name in ("pi", "z_c", "z_s")}
    rows = closed_terms(model, guide, x, y, seed=3)
    of_z = torch.zeros(())
    for q, z in (sites["z_c"], sites["z_s"]):
        of_z = of_z + (q.log_prob(z) - dist.Normal(torch.zeros_like(z), 1.0).to_event(1).log_prob(z)).sum()
    q, pi = sites["pi"]
    of_pi = (q.log_prob(pi) - model.posterior(torch.eye(L)[y]).log_prob(pi)).sum()
    equation_3 = rows[:, 0].sum() - of_z - of_pi - len(x) * math.log(L)
    pyro.set_rng_seed(3)
    assert -Trace_ELBO().loss(model, guide, x, y) == pytest.approx(equation_3.item(), rel=1e-12)
    pyro.set_rng_seed(3)
    assert -PlainELBO(kl="sampled").loss(model, guide, x, y) == pytest.approx(equation_3.item() / len(x), rel=1e-12)


def test_equation_3_in_closed_form_is_what_pyros_elbo_averages_to():
    # Of Pyro's terms log p(y | pi) alone is drawn, where (3) has -KL(q(pi | x) || p(pi | y)) + log p(y).
    model, guide = nvae_pair()
    x, y = labelled(5)
    elbo = PlainELBO(num_particles=4000)
    elbo.loss(model, guide, x, y)
    report = elbo.report()
    kl_pi = closed_terms(model, guide, x, y)[:, 4]
    third = (-kl_pi - math.log(L)).mean().item()
    assert (report.reconstruction["y"] - report.kl["pi"].sum()).item() == pytest.approx(third, abs=0.05)


def test_the_exact_posterior_of_pi_leaves_the_evidence_without_any_spread():
    # q(pi) = p(pi | y): log p(y | pi) - log q(pi) + log p(pi) = log p(y) = -log L at every draw.
    model, _ = nvae_pair(alpha=0.2)
    guide = Amortized(
        MLPEncoder(SHAPE, hidden=(8,)),
        classes=L,
        pi=ConjugateDirichlet(L, alpha=0.2),
        z_c=MeanField(L * C),
        z_s=MeanField(S),
    )
    x, y = labelled()
    elbo = PlainELBO(kl="sampled")
    for _ in range(5):
        elbo.loss(model, guide, x, y)
        report = elbo.report()
        left = report.reconstruction["y"] - report.kl["pi"].sum()
        assert left.item() == pytest.approx(-math.log(L), rel=1e-9)


# Equations (6) and (7), which are no bounds.


@pytest.mark.parametrize("beta_c", [1.0, 2.0, 0.0])
def test_equations_6_and_7_against_a_loop(beta_c):
    model, guide = nvae_pair()
    x, y = labelled()
    log_p, kl_c, kl_s, log_q, _ = closed_terms(model, guide, x, y, seed=5).mean(0)
    elbo = NaturalClusteringELBO(beta_c=beta_c)
    pyro.set_rng_seed(5)
    loss = elbo.loss(model, guide, x, y)
    assert -loss == pytest.approx((log_p - kl_s - beta_c * kl_c + log_q).item(), rel=1e-12)
    assert elbo.report().terms.keys() == {"log p(x)", "-KL(z_c)", "-KL(z_s)", "log q(y | x)"}
    assert elbo.report().kl["z_c"].sum().item() == pytest.approx(kl_c.item())  # unweighted, whatever beta_c


def test_beta_c_weighs_every_block_the_masked_ones_too():
    model, guide = nvae_pair()
    x, y = labelled()
    loss = {}
    for beta_c in (1.0, 2.0):
        pyro.set_rng_seed(5)
        loss[beta_c] = NaturalClusteringELBO(beta_c=beta_c).loss(model, guide, x, y)
    kl_c = closed_terms(model, guide, x, y, seed=5)[:, 1].mean().item()
    assert loss[2.0] - loss[1.0] == pytest.approx(kl_c)


@pytest.mark.parametrize("concentration", [[5.0, 1.0, 0.5], [0.01, 3.0, 0.2], [40.0, 40.0, 40.0], [1.7, 0.7, 0.7]])
def test_equation_3_is_never_above_equation_6(concentration):
    # -KL(q || p(pi | y)) + log p(y) = E_q[log pi_y] - KL(q || p(pi)) <= E_q[log pi_y] <= log E_q[pi_y]
    model, _ = nvae_pair()
    q, prior = dist.Dirichlet(torch.tensor(concentration)), dist.Dirichlet(model.alpha)
    for y in range(L):
        third = -kl_divergence(q, model.posterior(torch.eye(L)[y])) - math.log(L)
        expected_log = torch.digamma(q.concentration[y]) - torch.digamma(q.concentration.sum())
        assert third.item() == pytest.approx((expected_log - kl_divergence(q, prior)).item())
        assert third < expected_log < q.mean[y].log()


def test_equation_6_exceeds_the_evidence():
    # A decoder that looks at y alone and a guide that knows y: z costs nothing, log p(x, y) = log p(x | y) - log L is
    # reached by (3) under the exact posterior of pi, and (6) lies log L above it: the paper's "bound" is none.
    model, guide = nvae_pair(pi=DirichletHead(L, total=1e9))
    for parameter in guide.layers.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        first = model.decoder.layers[0][0]
        first.weight[:, L * (C + 1) :] = 0  # z_s
        first.weight[:, : L * (C + 1)].unflatten(1, (L, C + 1))[..., 1:] = 0  # z_c
        guide.layers["pi"][-1].bias[1] = 50.0
    x, y = images(), torch.ones(11, dtype=torch.int64)
    log_p = closed_terms(model, guide, x, y)[:, 0].mean().item()
    sixth = -NaturalClusteringELBO(beta_c=1.0).loss(model, guide, x, y)
    assert sixth == pytest.approx(log_p, rel=1e-6)
    assert sixth - (log_p - math.log(L)) == pytest.approx(math.log(L), rel=1e-5)


def test_the_kl_of_the_dirichlets_has_no_bound_in_the_class_likelihood():
    # The paper: KL(q(pi | x) || p(pi | y)) <= -log q(y | x) + k. The difference outgrows every k as alpha_y -> 0,
    # at the rate of digamma: about alpha_p / alpha_y.
    model, _ = nvae_pair()
    exact = model.posterior(torch.eye(L)[0])
    gaps = []
    for alpha_y in (1e-1, 1e-2, 1e-3, 1e-4):
        q = dist.Dirichlet(torch.tensor([alpha_y, 1.0, 1.0]))
        gaps.append((kl_divergence(q, exact) + q.mean[0].log()).item())
    assert gaps[-1] > 10_000
    assert all(later > 5 * earlier for earlier, later in itertools.pairwise(gaps[1:]))


def test_the_dirichlet_head_with_a_total_holds_the_exact_posterior():
    head = DirichletHead(L, total=1.0, floor=0.7)
    raw = torch.tensor([0.0, 1000.0, 0.0])
    model, _ = nvae_pair(alpha=0.7)
    torch.testing.assert_close(head(raw).concentration, model.posterior(torch.eye(L)[1]).concentration)
    torch.testing.assert_close(
        DirichletHead(L, total=5.0)(torch.randn(4, L)).concentration.sum(-1), torch.full((4,), 5.003)
    )


# At run time y is latent: the guide says it.


def test_the_predicted_class_is_the_mean_of_the_dirichlet():
    _, guide = nvae_pair()
    trace = poutine.trace(guide).get_trace(images(2))
    pi, y = trace.nodes["pi"]["fn"], trace.nodes["y"]["fn"]
    assert type(y).__name__ == "OneHotCategorical"
    torch.testing.assert_close(y.probs, pi.concentration / pi.concentration.sum(-1, keepdim=True))
    # ... which is what pi ~ q(pi | x), y ~ Categorical(pi) leave of y
    torch.testing.assert_close(y.probs, pi.sample((200_000,)).mean(0), atol=5e-3, rtol=0)


def test_labels_leave_the_guides_class_out_and_change_nothing_else():
    _, guide = nvae_pair()
    x, y = labelled()
    with_y, without = (poutine.trace(guide).get_trace(*args) for args in ((x, y), (x,)))
    assert [n for n, s in with_y.nodes.items() if s["type"] == "sample"] == ["data", "pi", "z_c", "z_s"]
    assert [n for n, s in without.nodes.items() if s["type"] == "sample"] == ["data", "pi", "y", "z_c", "z_s"]
    for name in ("pi", "z_c", "z_s"):  # q does not see y
        torch.testing.assert_close(with_y.nodes[name]["fn"].mean, without.nodes[name]["fn"].mean)


def test_the_conditional_vaes_recognition_sees_the_label():
    _, guide = cvae_pair()
    x = images()
    means = [guide_means(guide, x, torch.full((11,), label)) for label in range(L)]
    assert (means[0] - means[1]).abs().min() > 0
    trunk = guide.trunk(x)
    by_hand = guide.layers["z"](torch.cat([trunk, torch.eye(L)[1].expand(11, L)], -1))[:, :S]
    torch.testing.assert_close(means[1], by_hand)


def guide_means(guide, x, y):
    return poutine.trace(guide).get_trace(x, y).nodes["z"]["fn"].mean


@pytest.mark.parametrize("pair", [nvae_pair, cvae_pair])
def test_pairs_train_under_plain_svi_and_two_do_not_share(pair):
    x, y = labelled(30)
    falls = []
    for _ in range(2):
        model, guide = pair(num_data=NUM_DATA)
        svi = SVI(model, guide, pyro.optim.Adam({"lr": 4e-2}), loss=Trace_ELBO())
        losses = [svi.step(x, y, index=torch.arange(30)) for _ in range(20)]
        falls.append(sum(losses[:5]) - sum(losses[-5:]))
    assert min(falls) > 5 * NUM_DATA / 30


@pytest.mark.parametrize(
    "head", [lambda: MeanField(L * C), lambda: FullRank(L * C), lambda: MeanField(L * C, hidden=(4,))]
)
def test_swapping_the_head_of_z_c_changes_nothing_else(head):
    model, guide = nvae_pair(z_c=head())
    assert math.isfinite(NaturalClusteringELBO(beta_c=2.0).loss_and_grads(model, guide, *labelled()))


@pytest.mark.parametrize(("story", "labels"), [("nvae", True), ("nvae", False), ("cvae", True)])
def test_a_traced_step_is_the_eager_one(story, labels, monkeypatch):
    traced = []
    monkeypatch.setattr(compiled.torch, "compile", lambda graph, **options: traced.append(graph) or graph)
    pair = (nvae_pair if story == "nvae" else cvae_pair)(num_data=NUM_DATA)
    x, y = labelled(12)
    batches = [Batch(x[index], y[index] if labels else None, index) for index in torch.arange(12).split(4)]
    runs = []
    for compile in (False, True):
        model, guide = copy.deepcopy(pair)
        pyro.set_rng_seed(7)
        elbo = NaturalClusteringELBO(beta_c=2.0) if story == "nvae" else PlainELBO()
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a pair that cannot be traced says so in a warning
            losses = [report.loss for _, report in fit(model, guide, elbo, batches, lr=1e-2, compile=compile)]
        runs.append((losses, [p.detach().clone() for p in (*model.parameters(), *guide.parameters())]))
    assert len(traced) == 1
    torch.testing.assert_close(runs[0], runs[1], rtol=0, atol=1e-9)


# Missing labels are summed out.


def test_missing_labels_are_summed_out_against_a_loop():
    model, guide = nvae_pair()
    x = images()
    elbo = NaturalClusteringELBO(beta_c=2.0)
    pyro.set_rng_seed(1)
    loss = elbo.loss(model, guide, x)
    by_class = torch.stack([closed_terms(model, guide, x, torch.full((11,), y), seed=1) for y in range(L)], -1)
    log_p, kl_c, kl_s, log_q = by_class[:, :4].unbind(1)
    q = log_q.exp()
    torch.testing.assert_close(q.sum(-1), torch.ones(11))
    kl_y = (q * (log_q + math.log(L))).sum(-1)
    # z_c and z_s are drawn after pi alone, so every class sees the draws that the enumerated pass takes.
    expected = ((q * log_p).sum(-1) - kl_s[:, 0] - 2.0 * kl_c[:, 0] - kl_y).mean()
    assert -loss == pytest.approx(expected.item(), rel=1e-9)
    assert elbo.report().terms.keys() == {"log p(x)", "-KL(z_c)", "-KL(z_s)", "-KL(q(y | x) || p)"}


def test_the_bound_without_labels_is_reached_where_nothing_is_left_to_infer():
    # x tells nothing of z, and q(y | x) is the exact p(y | x): then the objective is log p(x) itself.
    model, _ = nvae_pair()
    with torch.no_grad():
        first = model.decoder.layers[0][0]
        first.weight[:, L * (C + 1) :] = 0
        first.weight[:, : L * (C + 1)].unflatten(1, (L, C + 1))[..., 1:] = 0
    x = images().round()
    logits = model.decoder(model.mask(torch.eye(L), torch.zeros(L, L * C)), torch.zeros(L, S))
    log_p = dist.Bernoulli(logits=logits).to_event(3).log_prob(x.unsqueeze(1))  # [B, L]

    class Bayes(nn.Module):
        """The trunk that knows p(y | x)."""

        out_features = L

        def forward(self, x):
            return log_p.log_softmax(-1)

    guide = Amortized(
        Bayes(), pi=DirichletHead(L, total=1e3, floor=1e-12), y=Predicted(L, of="pi"), z_c=MeanField(L * C),
        z_s=MeanField(S),
    )  # fmt: skip
    with torch.no_grad():
        guide.layers["pi"][0].weight.copy_(torch.eye(L))
        guide.layers["pi"][0].bias.zero_()
        for name in ("z_c", "z_s"):
            for parameter in guide.layers[name].parameters():
                parameter.zero_()
    evidence = (log_p.logsumexp(-1) - math.log(L)).mean().item()
    assert -NaturalClusteringELBO(beta_c=1.0).loss(model, guide, x) == pytest.approx(evidence, rel=1e-9)


def test_the_plain_elbo_without_labels_is_pyros_enumerated_one():
    model, guide = nvae_pair()
    x = images()
    pyro.set_rng_seed(2)
    ours = PlainELBO(kl="sampled").loss(model, guide, x)
    pyro.set_rng_seed(2)
    pyros = TraceEnum_ELBO(max_plate_nesting=1).loss(model, guide, x)
    assert ours == pytest.approx(pyros / len(x), rel=1e-9)


def test_missing_labels_teach_the_class():
    # Two classes of constant images. Six labels set which is which; the gradient of unlabelled batches does the rest.
    torch.manual_seed(0)
    y = torch.arange(60) % 2
    x = (0.25 + 0.5 * y).reshape(60, 1, 1, 1) * torch.ones(1, *SHAPE) + 0.05 * torch.randn(60, *SHAPE)
    x = x.clamp(0, 1)
    decoder = MLPDecoder(2 * 2 + 1, SHAPE, hidden=(8,))
    model = NaturalClustering(decoder, classes=2, c_dim=1, s_dim=1, alpha=0.01)
    guide = Amortized(
        MLPEncoder(SHAPE, hidden=(8,)), pi=DirichletHead(2, total=1.0, floor=0.01), y=Predicted(2, of="pi"),
        z_c=MeanField(2), z_s=MeanField(1),
    )  # fmt: skip
    elbo = NaturalClusteringELBO(beta_c=2.0)
    elbo.loss(model, guide, x)  # finds the plates
    optimizer = torch.optim.Adam(elbo(model, guide).parameters(), lr=4e-2)
    for step in range(40):
        optimizer.zero_grad()
        batch = (x[:2], y[:2]) if step % 2 else (x,)
        elbo.differentiable_loss(model, guide, *batch).backward()
        optimizer.step()
    q = poutine.trace(guide).get_trace(x).nodes["y"]["fn"].probs
    assert (q.argmax(-1) == y).double().mean() > 0.95


@pytest.mark.parametrize("pair", [nvae_pair, cvae_pair])
def test_without_data_the_story_draws_the_classes_asked_for_or_any(pair):
    model, _ = pair()
    asked = poutine.trace(model).get_trace(y=torch.tensor([2, 0]))
    assert asked.nodes["y"]["value"].argmax(-1).tolist() == [2, 0]
    assert asked.nodes["x"]["value"].shape == (2, *SHAPE)
    with pyro.plate("draws", 3000, dim=-2):
        classes = poutine.trace(model).get_trace().nodes["y"]["value"].squeeze(1).mean(0)
    torch.testing.assert_close(classes, torch.full((L,), 1 / L), atol=0.05, rtol=0)  # by symmetry


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("labels", [[1, 2, 1], [0, 1, 0]])
def test_labels_may_be_integers_of_any_type(labels, dtype):
    # uint8 was a mask, which fits where there are as many datapoints as classes: labels 0, 1, 2, and 1, 1, 1.
    assert len(labels) == L
    for program in cvae_pair():
        traces = []
        for y in (torch.tensor(labels), torch.tensor(labels).to(dtype)):
            pyro.set_rng_seed(0)
            traces.append(poutine.trace(program).get_trace(images(3), y))
        for name in ("y", "z"):
            if name in traces[0]:
                assert traces[0].nodes[name]["value"].equal(traces[1].nodes[name]["value"])


@pytest.mark.parametrize("pair", [nvae_pair, cvae_pair])
def test_labels_have_the_type_of_the_pairs_numbers_and_not_the_default(pair):
    model, guide = (program.float() for program in pair())
    assert torch.get_default_dtype() is torch.float64
    y = torch.tensor([2, 0, 1])
    assert math.isfinite(PlainELBO().loss(model, guide, images(3).float(), y))
    assert model(y=y).dtype is torch.float32


# Bad input.


@pytest.mark.parametrize("pair", [nvae_pair, cvae_pair])
@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (torch.tensor([0, 1, 3, 0]), ValueError, "labels y go from 0 to 2, got 3 for datapoint 2 of the batch"),
        (torch.tensor([0, -1, 2, 0]), ValueError, "got -1 for datapoint 1 .* a batch without labels comes without y"),
        (torch.tensor([0.0, 1, 2, 0]), TypeError, r"from 0 to 2, got torch.float32; for whole floats, y.long"),
        (torch.tensor([True, False, True, True]), TypeError, "got torch.bool"),
        (torch.tensor([0, 1]), ValueError, r"one integer per datapoint, \[4\], got shape \[2\]"),
        (torch.eye(4, dtype=torch.int64), ValueError, r"y.argmax\(-1\) makes labels of one-hot rows"),
    ],
)
def test_wrong_labels_are_refused_by_story_and_guide(pair, y, error, message):
    for program in pair():
        with pytest.raises(error, match=message):
            program(images(4), y)


def test_missing_labels_are_named_where_they_are_needed():
    model, guide = cvae_pair()
    with pytest.raises(ValueError, match=r"the guide needs labels y.*call guide\(x, y\).*labels=True"):
        PlainELBO().loss(model, guide, images())

    class Unlabelled(nn.Module):
        """The N-VAE's latents without a class."""

        def forward(self, x, y=None, *, index=None):
            with pyro.plate("data", len(x)):
                pyro.sample("pi", dist.Dirichlet(torch.ones(L)))
                z = pyro.sample("z_c", dist.Normal(torch.zeros(S), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    guide = Amortized(nn.Linear(S, 3), pi=DirichletHead(L), z_c=MeanField(S))
    message = r"no observed site .y..*batches with labels, data.batches\(..., labels=True\)"
    with pytest.raises(ValueError, match=message):
        NaturalClusteringELBO(beta_c=2.0).loss(Unlabelled(), guide, torch.randn(5, S))


def test_a_story_that_has_no_z_c_is_refused():
    model, guide = cvae_pair()
    with pytest.raises(
        ValueError, match=r"NaturalClusteringELBO names \['pi', 'z_c'\]; the guide has the latent sites \['z'\]"
    ):
        NaturalClusteringELBO(beta_c=2.0).loss(model, guide, *labelled())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: NaturalClustering(nn.Identity(), classes=1, c_dim=1, s_dim=1),
            "classes must be at least 2.*got classes = 1",
        ),
        (lambda: NaturalClustering(nn.Identity(), classes=2, c_dim=0, s_dim=1), "c_dim = 0"),
        (lambda: NaturalClustering(nn.Identity(), classes=2, c_dim=1, s_dim=1, alpha=0.0), "alpha must be positive"),
        (lambda: ConditionalVAE(nn.Identity(), classes=1, z_dim=2), "classes must be at least 2.*got classes = 1"),
        (lambda: NaturalClusteringELBO(beta_c=-1.0), "beta_c must be finite and at least 0, got -1"),
        (lambda: Amortized(nn.Linear(2, 3), z=MeanField(2, given=("y",))), "for labels, give classes="),
        (
            lambda: Amortized(nn.Linear(2, 3), y=Predicted(2, of="pi"), z=MeanField(2)),
            r"is given \[.pi.\], but no such head",
        ),
        (lambda: Amortized(nn.Linear(2, 3), classes=2, y=Exact(2)), "classes= or a head for y.*not both"),
        (lambda: DirichletHead(3, total=0.0), "total must be positive and finite, got 0"),
        (lambda: DirichletHead(3, floor=-1.0), "floor must be positive and finite, got -1"),
        (lambda: ConjugateDirichlet(3, alpha=float("nan")), "alpha must be positive and finite, got nan"),
        (lambda: Predicted(1, of="pi"), "Predicted: .*at least 2 classes, got 1"),
    ],
)
def test_what_makes_no_sense_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_numpy_is_not_needed_to_label():
    model, guide = nvae_pair()
    y = torch.from_numpy(np.arange(4, dtype=np.int32) % L)  # any integer type will do
    assert math.isfinite(PlainELBO().loss(model, guide, images(4), y))
