"""ProdLDA and NVDM: told and traced alike, words by the multinomial, batch norm as in ProdLDA's code, bad documents."""

import itertools
import math
import re
import warnings
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from guides import Amortized, FullRank, MeanField
from zoo import NVDM, ProdLDA
from zoo.elbos import HFVAE, PlainELBO
from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.data import Batch, Dataset
from zoo.lab.networks import MLPDecoder, MLPEncoder
from zoo.lab.story import docstring_lines, trace_lines
from zoo.lab.story import story as view
from zoo.lab.training.experiment import Experiment
from zoo.lab.training.fit import fit, prepare
from zoo.likelihoods import Multinomial, multinomial
from zoo.papers.hfvae_topics.networks import TopicDecoder, batch_norm, normed
from zoo.studies.guide_gap.recipes import swap

V, N = 7, 30  # words, documents


def documents(num=N):
    """Counts of 7 words, no document without one, lengths that differ."""
    x = torch.poisson(torch.rand(num, V) * 2)
    x[:, 3] += 1
    return x


def prodlda_pair(groups=(2, 3), *, dropout=0.0, scale=False, head=MeanField):
    decoder = TopicDecoder(sum(groups), V, dropout=dropout, scale=scale)
    model = ProdLDA(decoder, groups=groups, num_data=N)
    trunk = nn.Sequential(MLPEncoder((V,), hidden=(8,), activation=nn.Softplus), nn.Dropout(dropout))
    heads = {name: head(size) for name, size in model.groups.items()}
    return model, Amortized(trunk, layers=partial(normed, scale=scale), num_data=N, **heads)


def nvdm_pair(groups=(2, 3)):
    model = NVDM(MLPDecoder(sum(groups), (V,), hidden=()), groups=groups, num_data=N)
    heads = {name: MeanField(size) for name, size in model.groups.items()}
    return model, Amortized(MLPEncoder((V,), hidden=(8,), activation=nn.Tanh), num_data=N, **heads)


# Stories.


@pytest.mark.parametrize(("pair", "story"), [(prodlda_pair, ProdLDA), (nvdm_pair, NVDM)])
def test_the_docstring_tells_what_the_trace_shows(pair, story):
    model, _ = pair(groups=(5,))
    shown = trace_lines(poutine.trace(model).get_trace(documents()))
    lines = docstring_lines(story)
    assert [(line.name, line.relation) for line in lines] == [(line.name, line.relation) for line in shown]
    assert [line.family for line in lines if line.relation == "~"] == [
        line.expression for line in shown if line.relation == "~"
    ]
    shapes = {"K": "5", "V": f"{V}"}
    assert [re.sub("[KV]", lambda m: shapes[m[0]], line.shape) for line in lines] == [line.shape for line in shown]


@pytest.mark.parametrize("pair", [prodlda_pair, nvdm_pair])
def test_groups_are_sites_of_their_own_and_the_same_model(pair):
    # One group of 5, or 2 and 3 under one softmax: the same z has the same log p(x), and the same log p(z).
    one, two = pair(groups=(5,))[0], pair(groups=(2, 3))[0]
    two.load_state_dict(one.state_dict())
    one.eval(), two.eval()
    assert list(one.groups.items()) == [("z", 5)]
    assert list(two.groups.items()) == [("z1", 2), ("z2", 3)]
    x, z = documents(), torch.randn(N, 5)
    in_one = poutine.trace(poutine.condition(one, {"z": z})).get_trace(x)
    in_two = poutine.trace(poutine.condition(two, {"z1": z[:, :2], "z2": z[:, 2:]})).get_trace(x)
    torch.testing.assert_close(in_one.log_prob_sum(), in_two.log_prob_sum())
    if "shares" in in_two:
        torch.testing.assert_close(in_two.nodes["shares"]["value"], z.softmax(-1))


@pytest.mark.parametrize("alpha", [1.0, None])
def test_a_single_topic_is_refused(alpha):
    # Its share is always 1, and (1 - 1 / K) / alpha, the prior's variance, would be 0.
    with pytest.raises(ValueError, match=r"ProdLDA needs at least 2 topics in all, .* got \[1\]"):
        ProdLDA(nn.Identity(), groups=[1], alpha=alpha)
    torch.testing.assert_close(ProdLDA(nn.Identity(), groups=[1, 1]).scale.square(), torch.full((2,), 0.5))


def test_the_prior_is_laplaces_approximation_of_a_dirichlet():
    # In the softmax's terms h, Dirichlet(alpha 1) has the density prod_k theta_k^alpha (MacKay 1998), flat along 1. The
    # approximation's precision is minus the Hessian at its mode, h = 0; across 1, the variance is its pseudo-inverse's.
    alpha, K = 0.4, 6

    def log_density(h):
        return alpha * h.log_softmax(-1).sum()

    hessian = torch.autograd.functional.hessian(log_density, torch.zeros(K))
    variance = torch.linalg.pinv(-hessian).diagonal()
    model = ProdLDA(nn.Identity(), groups=(2, 4), alpha=alpha)
    torch.testing.assert_close(model.scale.square(), variance)
    papers = (1 - 2 / K) / alpha + 1 / (alpha * K)
    torch.testing.assert_close(variance, torch.full((K,), papers))
    assert ProdLDA(nn.Identity(), groups=(50,)).scale.square()[0].item() == pytest.approx(0.98)
    torch.testing.assert_close(ProdLDA(nn.Identity(), groups=(K,), alpha=None).scale, torch.ones(K))


@pytest.mark.parametrize("pair", [prodlda_pair, nvdm_pair])
def test_hfvae_with_nothing_weighed_is_the_elbo_of_the_same_draws(pair):
    # -I - TC between - TC within - sum KL is E[log p(z) - log q(z | x)], term by term on the same draws.
    model, guide = pair()
    x = documents()
    hfvae = HFVAE(alpha=1, beta=1, gamma=1, num_data=N)
    losses = []
    for elbo in (hfvae, PlainELBO(kl="sampled")):
        pyro.set_rng_seed(3)
        losses.append(elbo.loss(model, guide, x))
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)
    assert set(hfvae.report().terms) == {"log p(x)", "-I(x; z)", "-TC between", "-TC within", "-KL(z_de)"}


def test_particles_and_draws_from_the_prior_have_their_shapes():
    model, guide = prodlda_pair()
    elbo = PlainELBO(num_particles=4)
    assert math.isfinite(elbo.loss_and_grads(model, guide, documents()))
    model.eval()
    drawn = model()
    assert drawn.shape == (1, V)
    assert drawn.sum().item() == 100  # words of a document that is drawn


# Words.


def test_the_mass_of_all_sequences_of_words_is_one():
    words = multinomial(torch.tensor([0.3, -1.0, 0.8]))
    sequences = torch.tensor(list(itertools.product(range(3), repeat=4)))
    counts = F.one_hot(sequences, 3).sum(1).double()
    assert words.log_prob(counts).exp().sum().item() == pytest.approx(1.0)


def test_documents_of_different_lengths_are_scored_word_by_word():
    logits, x = torch.randn(N, V), documents()
    assert len(set(x.sum(-1).tolist())) > 3
    found = multinomial(logits).log_prob(x)
    log_p = logits.log_softmax(-1)
    for n in range(N):
        by_hand = sum(log_p[n, word] for word in range(V) for _ in range(int(x[n, word])))
        torch.testing.assert_close(found[n], by_hand)
    # Pyro's own has the number of orders as well: n! / prod_w x_w!
    orders = torch.lgamma(x.sum(-1) + 1) - torch.lgamma(x + 1).sum(-1)
    torch.testing.assert_close(found + orders, dist.Multinomial(logits=logits, validate_args=False).log_prob(x))


def test_a_drawn_document_has_as_many_words_as_it_is_told():
    logits = torch.randn(2, V)
    words = multinomial(logits, num_words=4_000)
    drawn = words.sample((50,))
    assert (drawn.sum(-1) == 4_000).all()
    torch.testing.assert_close(words.mean, 4_000 * logits.softmax(-1))
    # 5 standard errors of the mean of 50 draws
    spread = (4_000 * logits.softmax(-1) * (1 - logits.softmax(-1)) / 50).sqrt()
    assert ((drawn.mean(0) - words.mean).abs() < 5 * spread).all()


# Batch norm.


def test_the_decoder_multiplies_topics_into_normed_words():
    decoder = TopicDecoder(5, V, dropout=0.0)
    theta = torch.rand(4, 6, 5).softmax(-1)
    with torch.no_grad():
        decoder.norm.bias.uniform_()
    weights = decoder.words.weight
    assert decoder.words.bias is None
    assert weights.abs().max() <= math.sqrt(6 / (5 + V))  # Glorot's uniform
    logits = decoder(theta)
    assert logits.shape == (4, 6, V)
    flat = (theta @ weights.mT).flatten(0, 1)
    by_hand = (flat - flat.mean(0)) / (flat.var(0, correction=0) + 1e-5).sqrt() + decoder.norm.bias
    torch.testing.assert_close(logits.flatten(0, 1), by_hand)
    decoder.eval()
    running = 0.9 + 0.1 * flat.var(0)  # after one batch, from 1
    one = (theta[0, :1] @ weights.mT - 0.1 * flat.mean(0)) / (running + 1e-5).sqrt() + decoder.norm.bias
    torch.testing.assert_close(decoder(theta[0, :1]), one)


def test_dropout_leaves_out_shares_and_keeps_their_mean():
    decoder = TopicDecoder(5, V, dropout=0.6)
    decoder.norm = nn.Identity()
    theta = torch.full((20_000, 5), 0.2)
    kept = decoder.dropout(theta)
    assert set(kept.unique().tolist()) == {0.0, 0.2 / 0.4}
    assert kept.mean().item() == pytest.approx(0.2, abs=5 * 0.2 * math.sqrt(1.5 / 100_000))
    decoder.eval()
    torch.testing.assert_close(decoder(theta[:1]), theta[:1] @ decoder.words.weight.mT)


@pytest.mark.parametrize("scale", [False, True])
def test_a_centre_is_learnt_and_a_scale_if_asked_for(scale):
    model, guide = prodlda_pair(scale=scale)
    x = documents()
    for _ in fit(model, guide, PlainELBO(), [Batch(x, None, torch.arange(N))] * 3, lr=1e-2, device="cpu"):
        pass
    norms = [m for net in (model, guide) for m in net.modules() if isinstance(m, nn.BatchNorm1d)]
    assert len(norms) == 3  # the decoder, and the heads of z1 and z2
    for norm in norms:
        assert (norm.bias != 0).any()
        assert (norm.weight != 1).any() == scale


def test_without_a_scale_no_topics_kl_goes_away_in_training():
    # KL(Normal(m, s) || Normal(0, p)) >= m^2 / (2 p^2), and the mean of m^2 over the batch is 1 + centre^2, but for
    # epsilon, whatever the weights are.
    x = documents()
    for seed in range(5):
        pyro.set_rng_seed(seed)
        model, guide = prodlda_pair()
        trace = poutine.trace(guide).get_trace(x)
        for name in model.groups:
            q = trace.nodes[name]["fn"].base_dist
            torch.testing.assert_close(q.loc.var(0, correction=0), torch.ones(q.loc.shape[1]), atol=2e-2, rtol=0)
            kl = kl_divergence(q, Normal(0.0, model.scale[0])).mean(0)
            assert (kl >= 0.5 * 0.98 / model.scale[0] ** 2).all()
    # With one, it can: at a scale of 0 the posterior does not depend on x.
    model, guide = prodlda_pair(scale=True)
    for site in model.groups:
        nn.init.zeros_(guide.layers[site][-1].weight)
    q = poutine.trace(guide).get_trace(x).nodes["z1"]["fn"].base_dist
    assert kl_divergence(q, Normal(0.0, 1.0)).abs().max() == 0


def test_layers_make_what_stands_before_each_head():
    asked = []

    def layers(widths):
        asked.append(widths)
        return nn.Linear(widths[0], widths[-1])

    trunk = MLPEncoder((V,), hidden=(8,))
    guide = Amortized(trunk, layers=layers, a=MeanField(2), b=FullRank(3, given=("a",), hidden=(4,)))
    assert asked == [[8, 4], [8 + 2, 4, 9]]
    assert isinstance(guide.layers["b"], nn.Linear)
    normed_layers = normed([8, 4, 6])
    assert [type(m).__name__ for m in normed_layers.modules() if not list(m.children())] == [
        "Linear",
        "ReLU",
        "Linear",
        "BatchNorm1d",
    ]
    # A swapped head stands behind the same kind of layers.
    model, guide = prodlda_pair()
    swapped = swap(Experiment(model, guide, PlainELBO(), steps=1), "full-rank").guide
    assert isinstance(swapped.layers["z2"][-1], nn.BatchNorm1d)
    assert swapped.layers["z2"][-1].num_features == FullRank(3).num_raw


# Training.


@pytest.mark.parametrize("compile", [False, True])
def test_the_trial_run_leaves_batch_norm_as_it_was_and_training_moves_it(compile):
    batch = Batch(documents(), None, torch.arange(N))
    model, guide = prodlda_pair(dropout=0.5)
    before = [buffer.clone() for net in (model, guide) for buffer in net.buffers()]
    prepare(model, guide, PlainELBO(), batch, "cpu")
    for buffer, was in zip((b for net in (model, guide) for b in net.buffers()), before, strict=True):
        assert torch.equal(buffer, was)
    with torch.compiler.set_stance("force_eager"), warnings.catch_warnings():
        warnings.simplefilter("error")
        elbo = HFVAE(alpha=1, beta=0.1, gamma=4, num_data=N)
        list(fit(model, guide, elbo, [batch] * 4, lr=1e-3, device="cpu", compile=compile))
    assert model.decoder.norm.num_batches_tracked == 4
    assert guide.layers["z1"][-1].num_batches_tracked == 4


def test_a_traced_step_is_the_eager_one():
    batch = Batch(documents(), None, torch.arange(N))
    found = []
    for compile in (False, True):
        pyro.set_rng_seed(1)
        model, guide = prodlda_pair(dropout=0.5)
        elbo = HFVAE(alpha=1, beta=0.1, gamma=4, num_data=N)
        with torch.compiler.set_stance("force_eager"), warnings.catch_warnings():
            warnings.simplefilter("error")
            run = fit(model, guide, elbo, [batch] * 5, lr=1e-2, device="cpu", compile=compile)
            losses = [report.loss.item() for _, report in run]
        found.append((losses, [t for net in (model, guide) for t in net.state_dict().values()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-9)
    for eager, traced_ in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(eager, traced_)


def test_showing_a_story_takes_one_document_and_teaches_batch_norm_nothing():
    model, guide = prodlda_pair()
    text = str(view(model, guide, batch=Batch(documents(1), None, torch.arange(1))))
    assert "shares = f(z1, z2)" in text
    assert f"x ~ Multinomial(probs(shares; θ))  how often each word is there (observed)  [B, {V}]" in text
    assert model.decoder.norm.num_batches_tracked == 0
    assert model.training
    assert guide.training


def test_in_evaluation_a_documents_figures_are_its_own():
    # By running statistics: the ELBO of a set is the mean of those of its parts, with the same latents.
    model, guide = prodlda_pair(dropout=0.5)
    x = documents()
    list(fit(model, guide, PlainELBO(), [Batch(x, None, torch.arange(N))] * 3, lr=1e-2, device="cpu"))
    whole = evaluate(model, guide, Dataset("all", x.numpy()))
    parts = [evaluate(model, guide, Dataset("part", x[rows].numpy())) for rows in (slice(0, 10), slice(10, N))]
    for name in ("z1", "z2"):  # closed KLs, which no draw changes
        torch.testing.assert_close(whole.kl[name], (10 * parts[0].kl[name] + 20 * parts[1].kl[name]) / N)


def test_topics_of_two_kinds_of_documents_are_found_by_plain_pyro():
    # Half of the documents are of the words 0 to 2, half of 3 to 6, all alike within. A model that knows which is
    # which is as unsure as among 3 or 4 words: log 2 nats for the document, (log 3 + log 4) / 2 for each of its words.
    kinds = torch.tensor([[1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1]]) + 1e-12
    x = dist.Multinomial(40, probs=kinds[torch.arange(N) % 2].double()).sample()
    for _ in range(2):  # a second fresh pair in the same process trains as well
        model, guide = nvdm_pair(groups=(2,))
        elbo = PlainELBO()
        svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), loss=elbo)
        for _ in range(120):
            svi.step(x, index=torch.arange(N))
        report = elbo.report()
        assert -report.reconstruction["x"] / 40 < (math.log(3) + math.log(4)) / 2 + 0.1
        assert report.kl["z"].sum() > math.log(2) - 0.1  # it has to say which


# Bad input.


def test_a_document_without_words_is_named():
    model, guide = prodlda_pair()
    x = documents()
    x[[4, 9]] = 0
    with pytest.raises(
        ValueError, match=r"document 4 of the batch has no words \(2 of 30 have none\): leave such docu"
    ):
        model(x)
    with pytest.raises(ValueError, match="document 4 of the batch, number 25 of all, has no words"):
        model(x, index=torch.arange(N).flip(0))
    with pytest.raises(ValueError, match="document 4 of the batch has no words"):
        poutine.condition(model, {"x": x})()
    with pytest.raises(ValueError, match="document 4 of the batch"):
        next(fit(model, guide, PlainELBO(), [Batch(x, None, torch.arange(N))], lr=1e-3))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            torch.full((3, V), 0.5),
            ValueError,
            r"values in \[0.5, 0.5\] are outside.*word counts must be whole numbers",
        ),
        (torch.full((3, V), -1.0), ValueError, r"values in \[-1, -1\] are outside the likelihood's support"),
        (
            torch.ones(3, V + 1),
            ValueError,
            rf"the decoder returns events of shape \({V},\), got data of shape \(3, 8\)",
        ),
        (torch.ones(3, V, dtype=torch.int64), TypeError, "expected floats, got torch.int64"),
    ],
)
def test_what_is_no_count_of_the_vocabulary_is_refused(x, error, message):
    for model in (prodlda_pair()[0], nvdm_pair()[0]):
        with pytest.raises(error, match=message):
            model(x)


@pytest.mark.parametrize("story", [ProdLDA, NVDM])
@pytest.mark.parametrize("groups", [(), (3, 0)])
def test_groups_that_make_no_sense_are_refused(story, groups):
    with pytest.raises(ValueError, match=re.escape(f"each needs at least 1 topic, got {list(groups)}")):
        story(nn.Identity(), groups=groups)


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.inf, math.nan])
def test_a_concentration_that_makes_no_sense_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha must be positive and finite"):
        ProdLDA(nn.Identity(), groups=(3,), alpha=alpha)


def test_an_objective_that_groups_unknown_sites_is_refused():
    model, guide = prodlda_pair()
    elbo = HFVAE(alpha=1, beta=1, gamma=1, groups=[["z1"], ["z3"]], num_data=N)
    message = r"the latent sites \['z1', 'z2'\] once; left out: \['z2'\]; unknown: \['z3'\]"
    with pytest.raises(ValueError, match=message):
        elbo.loss(model, guide, documents())


def test_a_decoder_without_topics_or_words_is_refused():
    with pytest.raises(ValueError, match="at least one topic and one word, got 5 and 0"):
        TopicDecoder(5, 0)
    assert batch_norm(3).weight.requires_grad is False
    assert isinstance(multinomial(torch.zeros(3)), Multinomial)
