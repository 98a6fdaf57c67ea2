"""Coherence and perplexity of words, and the most correlated latents: by loops and by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import sparse

from zoo.metrics import Encoded, latent_correlations, npmi, perplexity, strongest


def by_loops(words, documents):
    """NPMI pair by pair, document by document."""
    total, pairs = 0.0, 0
    for a, first in enumerate(words):
        for second in words[a + 1 :]:
            n = len(documents)
            p = sum(1 for d in documents if d[first] > 0) / n
            q = sum(1 for d in documents if d[second] > 0) / n
            both = sum(1 for d in documents if d[first] > 0 and d[second] > 0) / n
            pairs += 1
            if both == 0:
                total -= 1
            elif both < 1:
                total += math.log(both / (p * q)) / -math.log(both)
    return total / pairs


def test_npmi_is_what_loops_count():
    rng = np.random.default_rng(0)
    documents = rng.poisson(0.7, (41, 13)).astype(np.float32)
    documents[:, 5] = 1  # a word in every document
    documents[:, 6] = 0  # one in none
    topics = np.array([[0, 1, 2], [5, 6, 7], [11, 12, 5], [6, 3, 4]])
    found = npmi(topics, documents)
    assert found.value.tolist() == pytest.approx([by_loops(words, documents) for words in topics.tolist()])
    same = npmi(topics, sparse.csr_array(documents))
    assert (found.value == same.value).all()
    assert (found.runs == same.runs).all()
    assert found.axes == (("topic 0", "topic 1", "topic 2", "topic 3"),)
    assert found.protocol["reference_documents"] == 41


def test_npmi_of_words_that_come_together_by_chance_and_never():
    # 2^3 documents, each pattern of the words 0, 1, 2 once: independent. 3 comes as 0 does, 4 where 0 does not.
    patterns = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    documents = np.column_stack([patterns, patterns[:, 0], 1 - patterns[:, 0]])
    pairs = npmi([[0, 1], [1, 2], [0, 3], [0, 4]], documents)
    assert pairs.value.tolist() == pytest.approx([0, 0, 1, -1], abs=1e-12)
    three = npmi([[0, 3, 4]], documents)
    assert three.value.item() == pytest.approx((1 - 1 - 1) / 3)
    assert (npmi([[0, 1]], 7 * documents).value == pairs.value[0]).all()  # how often in a document does not matter


def test_npmi_over_halves_has_an_interval_that_holds_the_value():
    rng = np.random.default_rng(1)
    documents = rng.random((400, 6)) < 0.4
    found = npmi([[0, 1, 2, 3]], documents, repeats=5)
    assert found.runs.shape == (5, 1)
    assert found.low[0] < found.value[0] < found.high[0]
    assert found.low[0] < 0 < found.high[0]  # independent words


@pytest.mark.parametrize(
    ("topics", "message"),
    [
        ([[0.5, 1.0]], r"columns of words, integers \[K, n >= 2\], got float64"),
        ([[0], [1]], r"got int64 \(2, 1\)"),
        ([0, 1], r"got int64 \(2,\)"),
        ([[0, 9]], "topics name the words 0 to 9, but the documents have the columns 0 to 3"),
        ([[-1, 2]], "topics name the words -1 to 2"),
        ([[0, 1], [2, 2]], r"topic 1 names a word twice: \[2, 2\]"),
    ],
)
def test_topics_that_are_none_are_refused(topics, message):
    with pytest.raises(ValueError, match=message):
        npmi(topics, np.ones((5, 4)))


def test_one_document_is_no_corpus():
    with pytest.raises(ValueError, match="a reference corpus of 1 documents: give at least 2"):
        npmi([[0, 1]], np.ones((1, 4)))


def test_the_perplexity_of_equally_likely_words_is_how_many_there_are():
    words = np.array([1, 5, 40, 2])
    for per in ("document", "word"):
        found = perplexity(words * math.log(2000), words, per=per)
        assert float(found) == pytest.approx(2000)
        assert found.runs.tolist() == pytest.approx([2000.0] * 10)


def test_perplexity_by_document_and_by_word():
    # 4 nats for 1 word, 30 for 15: exp(mean(4, 2)) by document, exp(34 / 16) by word.
    nats, words = np.array([4.0, 30.0]), np.array([1, 15])
    assert float(perplexity(nats, words)) == pytest.approx(math.exp(3))
    assert float(perplexity(nats, words, per="word")) == pytest.approx(math.exp(34 / 16))
    assert perplexity(nats, words).protocol["words"] == 16


@pytest.mark.parametrize(
    ("nats", "words", "message"),
    [
        ([1.0, 2.0], [3, 0], r"document 1 has no words \(1 have none\): leave such documents out"),
        ([1.0, math.nan], [3, 1], "document 1 has nan nats"),
        ([1.0, 2.0], [3, math.nan], "document 1 has nan words"),
        ([1.0, 2.0], [math.inf, 1], "document 0 has inf words"),
        ([1.0], [3], r"got \(1,\) and \(1,\)"),
        ([1.0, 2.0], [3, 1, 2], r"got \(2,\) and \(3,\)"),
    ],
)
def test_a_perplexity_of_nothing_is_refused(nats, words, message):
    with pytest.raises(ValueError, match=message):
        perplexity(nats, words)


def test_a_perplexity_of_something_else_is_refused():
    with pytest.raises(ValueError, match="per must be 'document' or 'word', got 'letter'"):
        perplexity([1.0, 2.0], [1, 1], per="letter")


def test_the_most_correlated_latents_of_one_group_and_of_two():
    # z1_0 and z2_0 are one, z1_1 is its opposite with noise of its own size: correlation -1 / sqrt 2.
    u, v, w = np.linalg.qr(np.random.default_rng(0).standard_normal((500, 3)) - 0.0)[0].T
    u, v, w = (column - column.mean() for column in (u, v, w))
    codes = {"z1": np.column_stack([u, -u + v]), "z2": np.column_stack([2 * u, w])}
    table = latent_correlations(Encoded.of(codes))
    across = strongest(table, across=True)
    assert [(p.first, p.second) for p in across[:2]] == [("z1_0", "z2_0"), ("z1_1", "z2_0")]
    assert across[0].correlation == pytest.approx(1.0)
    assert across[1].correlation == pytest.approx(-1 / math.sqrt(2), abs=0.05)
    assert len(across) == 4
    within = strongest(table, across=False)
    assert {(p.first, p.second) for p in within} == {("z1_0", "z1_1"), ("z2_0", "z2_1")}
    assert within[0].correlation == across[1].correlation
    assert strongest(table, 1, across=True, among=["z1_0", "z1_1", "z2_1"])[0].second == "z2_1"
    assert strongest(table, across=True, among=["z1_0", "z1_1"]) == []


def test_two_words_in_every_document_say_nothing():
    # log P / -log P is 0 / 0 for P = 1: Bouma's limit is 1, but such words are no evidence of a topic, and count as 0
    documents = np.column_stack([np.ones((6, 2)), np.arange(6) % 2])
    assert npmi([[0, 1]], documents).value.tolist() == [0.0]
    # beside a third word, which is in half of them: of its two pairs each has log(1/2 / 1/2) = 0
    assert npmi([[0, 1, 2]], documents).value.tolist() == [0.0]
    # a pair of -1 beside one of 0: a word of no document
    documents = np.column_stack([documents, np.zeros(6)])
    assert npmi([[0, 1, 3]], documents).value.tolist() == pytest.approx([(0 - 1 - 1) / 3])


@pytest.mark.parametrize("documents", [np.array, torch.tensor, lambda counts: counts, sparse.coo_array])
def test_documents_and_topics_of_every_make(documents):
    counts = [[1, 1, 0, 0], [2, 1, 0, 0], [0, 0, 1, 1], [0, 0, 3, 1]]
    made = np.array(counts) if documents is sparse.coo_array else counts
    assert npmi([[0, 1], [0, 2]], documents(made), repeats=2).value.tolist() == [1.0, -1.0]


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([[1.0, math.nan], [1.0, 0.0]], "documents must be counts of words, from 0, got nan"),
        ([[1, 0], [-1, 0]], "documents must be counts of words, from 0, got -1"),
        ([1, 2], r"documents must be counts of words \[N, V\], got \[2\]"),
    ],
)
def test_documents_that_are_none_are_refused(documents, message):
    with pytest.raises(ValueError, match=message):
        npmi([[0, 1]], documents)


def test_a_perplexity_of_tensors_with_a_graph():
    words = torch.tensor([10.0, 20.0])
    nats = (words * math.log(50)).requires_grad_()
    assert float(perplexity(nats, words.int(), repeats=2)) == pytest.approx(50)
