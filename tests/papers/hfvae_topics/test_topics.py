"""What topics are: their words, what they hold of a document, how documents are scored."""

import math
import re

import numpy as np
import pytest
import torch
from torch import nn

from tests.papers.hfvae_topics.posts import hand_made, posts
from zoo import NVDM, ProdLDA
from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.networks import MLPDecoder
from zoo.metrics import Encoded, information_about_data_by_latent, npmi, perplexity
from zoo.papers import pretrained
from zoo.papers.hfvae_topics.networks import TopicDecoder
from zoo.papers.hfvae_topics.topics import Topics, document_nats, first_words, word_weights
from zoo.papers.reproductions import REPRODUCTIONS


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
    assert topics.top_words("z_0", 3) == "rocket orbit moon"
    assert topics.top_words("z_1", 1) == "goal"
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


def test_how_many_topics_are_in_use_depends_on_the_threshold_as_the_card_states():
    pair = pretrained("hfvae/newsgroups")
    try:
        test = pair.data().test
    except FileNotFoundError:
        pytest.skip("the 20 Newsgroups are not in ZOO_DATA")
    (stated,) = (text for text in REPRODUCTIONS["hfvae/topics"].deviations if "depends on it" in text)
    found = re.findall(r"(\d+) (?:topics have )?more than (0\.\d)", stated)
    counts = {float(bound): int(count) for count, bound in found}
    assert counts.keys() == {0.1, 0.2, 0.3, 0.5}
    codes = Encoded.of(pair.codes, test.subset(np.arange(1_500)))  # a part: by other documents some cross a bound
    nats = np.asarray(information_about_data_by_latent(codes, num_samples=300, repeats=2).value)
    for bound, count in counts.items():
        assert (nats > bound).sum() == pytest.approx(count, abs=3)
