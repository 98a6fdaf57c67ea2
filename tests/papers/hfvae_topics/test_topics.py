"""Topics in the lab: the recipe setting by setting, what is read off a pair, its pictures, and the reproduction."""

import math
import re
from functools import partial

import numpy as np
import pyro
import pytest
import torch
from matplotlib.image import imread
from scipy import sparse
from torch import nn

from guides import Amortized, MeanField
from zoo import NVDM, ProdLDA
from zoo.elbos import ELBO, HFVAE
from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.data import Dataset, Split
from zoo.lab.networks import MLPDecoder
from zoo.lab.plots import save_pictures
from zoo.lab.runs import train as run
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.runs.folder import Settings, new_folder
from zoo.lab.training.experiment import Experiment
from zoo.lab.trials.reproduction import Results, collect
from zoo.lab.trials.trial import Trial, run_trial
from zoo.metrics import npmi, perplexity
from zoo.papers.hfvae_topics import plots as topic_plots
from zoo.papers.hfvae_topics.networks import TopicDecoder, UnitLength
from zoo.papers.hfvae_topics.recipes import from_unit_scales, newsgroups
from zoo.papers.hfvae_topics.reproduction import VARIANTS, measured
from zoo.papers.hfvae_topics.topics import Topics, document_nats, first_words, word_weights
from zoo.papers.recipes import RECIPES
from zoo.papers.reproductions import REPRODUCTIONS

VOCABULARY = ("moon", "rocket", "orbit", "puck", "goal", "ice", "team")


def posts(num=60, seed=0):
    """Documents of two kinds, by label, of 4 to 12 words; 1 in 5 words comes from anywhere."""
    rng = np.random.default_rng(seed)
    y = np.arange(num) % 2
    kinds = np.array([[1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1]])
    p = 0.8 * kinds / kinds.sum(1, keepdims=True) + 0.2 / 7
    x = np.stack([rng.multinomial(rng.integers(4, 13), p[kind]) for kind in y])
    counts = sparse.csr_array(x, dtype=np.float32)
    return Dataset("posts", counts, y, classes=("space", "hockey"), vocabulary=VOCABULARY)


def split(num=60):
    return Split(posts(num), posts(num // 2, seed=1))


# The recipe.


def test_prodldas_settings():
    data = split(600)
    experiment = newsgroups(data)
    model, guide = experiment.model, experiment.guide
    assert isinstance(model, ProdLDA)
    assert list(model.groups.items()) == [("z1", 25), ("z2", 25)]
    elbo = experiment.elbo
    assert isinstance(elbo, HFVAE)
    assert (elbo.alpha.item(), elbo.beta.item(), elbo.gamma.item(), elbo.num_data) == (
        1.0,
        pytest.approx(0.1),
        4.0,
        600,
    )
    assert experiment.batch_size == 512
    assert experiment.lr == pytest.approx(0.002 * 512 / 200)
    assert experiment.steps == 100 * (600 // 512)
    kinds = [type(m).__name__ for m in guide.trunk.modules() if not list(m.children())]
    assert kinds == ["UnitLength", "Linear", "Softplus", "Linear", "Softplus", "Dropout"]
    widths = [(m.in_features, m.out_features) for m in guide.trunk.modules() if isinstance(m, nn.Linear)]
    assert widths == [(7, 100), (100, 100)]
    for knobs, dropout, scale in (({}, 0.0, True), ({"dropout": 0.6, "scale": False}, 0.6, False)):
        made = newsgroups(data, **knobs)
        layers = [m for net in (made.model, made.guide) for m in net.modules()]
        assert [m.p for m in layers if isinstance(m, nn.Dropout)] == [dropout] * 2
        assert [m.weight.requires_grad for m in layers if isinstance(m, nn.BatchNorm1d)] == [scale] * 3
    optimizer = experiment.optimizer(guide.parameters(), lr=experiment.lr)
    assert (type(optimizer), optimizer.defaults["betas"]) == (torch.optim.Adam, (0.99, 0.999))


def test_the_vae_that_it_is_compared_with():
    experiment = newsgroups(split(600), objective="vae", groups="50")
    assert isinstance(experiment.elbo, ELBO)
    assert list(experiment.model.groups.items()) == [("z", 50)]
    assert (experiment.batch_size, experiment.lr, experiment.steps) == (200, 0.002, 300)


def test_nvdms_settings():
    experiment = newsgroups(split(600), model="nvdm", objective="vae", groups="50")
    model, guide = experiment.model, experiment.guide
    assert isinstance(model, NVDM)
    assert (experiment.batch_size, experiment.lr) == (64, 5e-5)
    (linear,) = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert (linear.in_features, linear.out_features, linear.bias is not None) == (50, 7, True)
    kinds = [type(m).__name__ for m in guide.trunk.modules() if not list(m.children())]
    assert kinds == ["UnitLength", "Linear", "Tanh"]
    q = guide.posterior("z", torch.randn(5, 500), {}).base_dist
    torch.testing.assert_close(q.scale, torch.ones(5, 50))
    assert (q.loc != 0).any()
    assert from_unit_scales([3, 4]).bias.abs().sum() == 0


def test_documents_enter_as_vectors_of_one_length():
    x = torch.tensor([[3.0, 4.0, 0.0, 0.0], [6.0, 8.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    by_hand = torch.tensor([[1.2, 1.6, 0.0, 0.0], [1.2, 1.6, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]])
    torch.testing.assert_close(UnitLength()(x), by_hand)


def rows(x, vocabulary=VOCABULARY):
    return Dataset("mine", np.asarray(x, np.float32), vocabulary=vocabulary)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (rows(np.ones((9, 7)), ()), "'mine' has no vocabulary, and topics are of words: take --data newsgroups"),
        (rows(np.ones((9, 5))), r"'mine': 7 words for datapoints of shape \(5,\)"),
        (rows(np.ones((9, 7)) * (np.arange(9) != 4)[:, None]), "'mine': document 4 has no words"),
        (
            rows(np.full((9, 7), 0.3)),
            "document 0 has no words, or counts that are not whole .* not weights such as tf-",
        ),
        (rows(np.full((9, 7), -1.0)), "document 0 has no words, or counts"),
    ],
)
def test_data_that_are_no_documents_are_refused_before_anything_is_trained(data, message):
    with pytest.raises(ValueError, match=message):
        newsgroups(Split(posts(), data))


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"groups": "25,25"}, "write the topics of each group as 50 or 25[+]25, got '25,25'"),
        ({"groups": "25+0"}, r"each needs at least 1 topic, got \[25, 0\]"),
        ({"model": "lda"}, "model must be 'prodlda' or 'nvdm' and objective 'vae' or 'hfvae', got 'lda'"),
        ({"objective": "elbo"}, "got 'prodlda' and 'elbo'"),
    ],
)
def test_knobs_that_make_no_sense_are_refused(knobs, message):
    with pytest.raises(ValueError, match=message):
        newsgroups(split(), **knobs)


# What is read off a pair.


def hand_made(means=2.0, log_var=0.0):
    """NVDM with two topics: z_0 is +-means by kind and adds to the first three words, z_1 says nothing."""
    decoder = MLPDecoder(2, (7,), hidden=())
    with torch.no_grad():
        linear = decoder.layers[1]
        linear.weight.zero_()
        linear.bias.zero_()
        linear.weight[:3, 0] = torch.tensor([1.0, 3.0, 2.0])
        linear.weight[4, 1] = 1.0

    class Kind(nn.Module):
        out_features = 1

        def forward(self, x):
            return torch.where(x[:, :3].sum(1) > x[:, 3:].sum(1), 1.0, -1.0).unsqueeze(1)

    guide = Amortized(Kind(), z=MeanField(2))
    with torch.no_grad():
        layer = guide.layers["z"][0]
        layer.weight.copy_(torch.tensor([[means], [0.0], [0.0], [0.0]]))
        layer.bias.copy_(torch.tensor([0.0, 0.0, log_var, 0.0]))
    return NVDM(decoder, groups=(2,)), guide


def test_topics_are_read_off_a_pair_that_is_known():
    # q(z_0) is two narrow humps: I(x; z_0) is the entropy of the kind, of which there are as many; I(x; z_1) is 0.
    model, guide = hand_made(log_var=-8.0)
    data = posts(200)
    topics = Topics.of(model, guide, data)
    kind = (data.x.toarray()[:, :3].sum(1) > data.x.toarray()[:, 3:].sum(1)).mean()
    entropy = -(kind * math.log(kind) + (1 - kind) * math.log(1 - kind))
    assert topics.names == ("z_0", "z_1")
    # 500 of 200 datapoints, of which 200 more or less: the share of a kind is off by a few percent at most
    assert topics.information.value[0] == pytest.approx(entropy, abs=0.05)
    assert topics.information.value[1] == pytest.approx(0, abs=1e-9)
    assert topics.in_use == ["z_0"]
    assert topics.told("z_0", 3) == "rocket orbit moon"
    assert topics.told("z_1", 1) == "goal"
    assert topics.coherence.value.tolist() == npmi(topics.words, data.x, repeats=2).value.tolist()
    assert topics.pairs(across=False) == []  # of topics in use there is one


def test_words_weigh_what_a_topic_adds_to_them_before_they_are_normed():
    decoder = TopicDecoder(3, 7, dropout=0.0)
    model = ProdLDA(decoder, groups=(1, 2))
    decoder.norm = nn.Identity()
    torch.testing.assert_close(word_weights(model), decoder(torch.eye(3)).detach())
    nvdm, _ = hand_made()
    added = nvdm.decoder(torch.eye(2)) - nvdm.decoder(torch.zeros(1, 2))
    torch.testing.assert_close(word_weights(nvdm), added.detach())
    deep = NVDM(MLPDecoder(2, (7,), hidden=(4,)), groups=(2,))
    with pytest.raises(ValueError, match="a decoder of one linear layer; MLPDecoder has 2"):
        word_weights(deep)
    assert first_words(torch.tensor([[0.0, 2.0, 1.0], [-1.0, -3.0, -2.0]]), 2).tolist() == [[1, 2], [0, 2]]


def test_the_nats_of_documents_are_those_of_the_set():
    model, guide = hand_made()
    data = posts(600)  # more than one batch
    nats, words = document_nats(model, guide, data, num_samples=200)
    assert words.tolist() == data.x.sum(1).tolist()
    evaluation = evaluate(model, guide, data)
    # one draw against 200: the mean of 600 documents' log p(x | z) varies by about 10 / sqrt 600
    assert nats.mean() == pytest.approx(-evaluation.elbo, abs=5 * 10 / math.sqrt(600))
    # A model that says nothing, with a posterior that is the prior: every word costs log 7.
    model, guide = hand_made(means=0.0)
    nn.init.zeros_(model.decoder.layers[1].weight)
    nats, words = document_nats(model, guide, data)
    assert float(perplexity(nats, words)) == pytest.approx(7, rel=1e-6)


def test_the_pictures_tell_the_topics_in_words(tmp_path):
    model, guide = hand_made(log_var=-8.0)
    data = posts(100)
    shows = save_pictures(topic_plots.pictures(model, guide, data, evaluate(model, guide, data)), tmp_path)
    assert set(shows) == {"topics.md", "topics.png", "correlations.png"}
    text = (tmp_path / "topics.md").read_text()
    assert "1 of 2 topics are in use" in text
    lines = [line for line in text.splitlines() if line.startswith("| z_")]
    assert [line.split(" | ")[0] for line in lines] == ["| z_0", "| z_1"]  # the one that tells most first
    assert "rocket orbit moon" in lines[0]
    assert text.count("There are none.") == 2
    for name in ("topics.png", "correlations.png"):
        assert imread(tmp_path / name).std() > 0.02


def test_correlated_topics_are_told_in_words():
    model, guide = hand_made(log_var=-8.0)
    with torch.no_grad():
        guide.layers["z"][0].weight[1] = -1.0  # the second topic is where the first is not
        guide.layers["z"][0].bias[3] = -8.0
    topics = Topics.of(model, guide, posts(100))
    (pair,) = topics.pairs(across=False)
    assert pair.correlation == pytest.approx(-1)
    written = topic_plots.pair_table(topics, [pair], 2)
    assert written.splitlines()[-1] == f"| -1.00 | rocket orbit | {topics.told('z_1', 2)} |"


# A run, and the reproduction.


def trained(tmp_path, **knobs):
    torch.set_default_dtype(torch.float32)
    pyro.set_rng_seed(0)
    data = split()
    experiment = newsgroups(data, **knobs)
    settings = Settings("hfvae/newsgroups", knobs, "posts", {}, 8, 20, experiment.lr, 0, "cpu")
    run.train(experiment, data, settings, new_folder(tmp_path / "run"), command="by hand", progress=False)
    return FinishedRun(settings, experiment, data, tmp_path / "run")


@pytest.mark.parametrize("model", ["prodlda", "nvdm"])
def test_a_run_leaves_its_topics_and_its_figures(tmp_path, model):
    done = trained(tmp_path, model=model, groups="3+2")
    summary = (tmp_path / "run" / "summary.md").read_text()
    listed = [line.split(" | ")[0].removeprefix("| ") for line in summary.splitlines() if line.startswith("| ")]
    files = {name for name in listed if "." in name} | set(re.findall(r"^!\[.*\]\((.*)\)$", summary, re.MULTILINE))
    assert files == {path.name for path in (tmp_path / "run").iterdir()} - {"summary.md"}
    figures = measured(done)
    evaluation = evaluate(done.model, done.guide, done.data.test)
    assert figures["elbo"] == evaluation.elbo
    assert figures["kl"] == pytest.approx(sum(kl.sum().item() for kl in evaluation.kl.values()))
    assert figures["in use"] <= 5
    assert figures["diversity"] == pytest.approx(7 / (5 * 7))  # all of 7 words in each of 5 topics


def test_the_variants_are_two_models_under_two_objectives():
    reproduction = REPRODUCTIONS["hfvae/topics"]
    models = ["ProdLDA with dropout", "ProdLDA", "NVDM"]
    assert list(reproduction.variants) == [f"{model}, {how}" for model in models for how in ("VAE", "HFVAE")]
    for variant, measure in VARIANTS.items():
        assert isinstance(measure, partial)
        knobs = measure.keywords
        model, objective = variant.upper().split(", ")
        assert (knobs["model"].upper(), knobs["objective"].upper()) == (model.split()[0], objective)
        assert ("dropout" in knobs) == ("DROPOUT" in model)
        assert knobs["groups"] == ("50" if knobs["objective"] == "vae" else "25+25")
        RECIPES["hfvae/newsgroups"].build(split(), **knobs)  # each is one


def test_the_pictures_of_the_reproduction_tell_pairs_in_words(tmp_path):
    data = split(100)

    class Done:  # a finished trial
        def __init__(self, means):
            self.means = means

        def open(self):
            model, guide = hand_made(self.means, log_var=-8.0)
            with torch.no_grad():
                guide.layers["z"][0].weight[1] = 1.0
                guide.layers["z"][0].bias[3] = -8.0
            return FinishedRun(None, Experiment(model, guide, ELBO(), steps=1), data, tmp_path)

    pictures = REPRODUCTIONS["hfvae/topics"].pictures({"NVDM, VAE": [Done(2.0)], "NVDM, HFVAE": [Done(-2.0)]})
    captions = save_pictures(pictures, tmp_path)
    assert captions["words-nvdm-vae.png"].endswith("(+1.00)")
    assert captions["words-nvdm-hfvae.png"].endswith("(-1.00)")
    assert "of one group: rocket orbit moon" in captions["words-nvdm-vae.png"]
    for name in captions:
        assert name.endswith(".md") or imread(tmp_path / name).std() > 0.02
    assert "| -1.00 | rocket orbit moon" in (tmp_path / "words-nvdm-hfvae.md").read_text()


def claims(table):
    results = Results({variant: dict(enumerate(seeds)) for variant, seeds in table.items()})
    return {claim.text: claim.held(results) for claim in REPRODUCTIONS["hfvae/topics"].claims}


def test_the_claims_as_the_paper_has_them_hold_and_others_do_not():
    as_reported = {
        "ProdLDA with dropout, VAE": [{"in use": 50}],
        "ProdLDA, VAE": [{"in use": 50, "within": 0.1}, {"in use": 50, "within": 0.2}],
        "ProdLDA, HFVAE": [{"in use": 10, "within": 0.1, "across": 0.6}, {"in use": 12, "within": 0.1, "across": 0.7}],
    }
    held = claims(as_reported)
    assert [verdict for verdict, _ in held.values()] == [True, True, True, True, None, None, True, None, None]
    assert held["HFVAE has 11 topics with a significant I(x; z_d)."][1].startswith("Ours: 11.0")
    otherwise = {
        "ProdLDA with dropout, VAE": [{"in use": 49}],
        "ProdLDA with dropout, HFVAE": [{"in use": 40, "within": 0.9, "across": 0.8}],
        "ProdLDA, VAE": [{"in use": 49, "within": 0.9}],
        "ProdLDA, HFVAE": [{"in use": 50, "within": 0.8, "across": 0.6}],
        "NVDM, VAE": [{"in use": 20}],
        "NVDM, HFVAE": [{"in use": 8, "within": 0.1, "across": 0.6}],
    }
    assert [verdict for verdict, _ in claims(otherwise).values()] == [
        False,
        False,
        False,
        False,
        True,
        True,
        False,
        False,
        True,
    ]
    assert all(verdict is None for verdict, _ in claims({}).values())


def test_a_trial_that_cannot_be_run_says_why(tmp_path):
    trial = Trial(0, "short", tmp_path / "trial", data_dir=tmp_path, progress=False, device="cpu", recipes=RECIPES)
    assert "not found" in run_trial(VARIANTS["ProdLDA, VAE"], trial)
    with pytest.raises(FileNotFoundError, match="no trial of hfvae/topics is finished"):
        collect("hfvae/topics", REPRODUCTIONS["hfvae/topics"], {"ProdLDA, VAE": [trial]}, command="")
