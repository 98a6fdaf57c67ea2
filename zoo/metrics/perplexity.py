"""Perplexity: among how many equally likely words a model of documents is as unsure as it is."""

from typing import Any, Literal

import numpy as np

from zoo.metrics.result import HALVES, Result, generators


def perplexity(
    nats: Any, words: Any, *, per: Literal["document", "word"] = "document", seed: int = 0, repeats: int = 10
) -> Result:
    """exp of the nats per word, of documents x_n with so many nats -log p(x_n), or a bound on them, and so many words.

    Per document, exp(1/N sum_n nats_n / words_n), each document counts alike, however short: so have it ProdLDA's and
    NVDM's papers and codes (Miao 2016, https://arxiv.org/abs/1511.06038, section 5.1), with a bound for the nats. Per
    word, exp(sum_n nats_n / sum_n words_n), each word counts alike. Where all of V words are as likely it is V.

    Args:
        nats: -log p of each document's words in their order, or minus its ELBO, [N].
        words: how many each has, [N].
        per: "document" or "word".
        seed: of the repeats.
        repeats: how many.

    Raises:
        ValueError: these are no two rows of one length, a document has no words, nats are not finite, or `per` is none
            of the two.
    """
    nats, words = np.asarray(nats, float), np.asarray(words, float)
    if nats.ndim != 1 or nats.shape != words.shape or len(nats) < 2:
        raise ValueError(f"perplexity takes nats and words, [N] each with N >= 2, got {nats.shape} and {words.shape}")
    if len(empty := np.flatnonzero(words <= 0)):
        raise ValueError(f"document {empty[0]} has no words ({len(empty)} have none): leave such documents out")
    if len(bad := np.flatnonzero(~np.isfinite(nats))):
        raise ValueError(f"document {bad[0]} has {nats[bad[0]]} nats: look at the model that gave them")
    if per not in ("document", "word"):
        raise ValueError(f"per must be 'document' or 'word', got {per!r}")

    def of(some: np.ndarray) -> float:
        each = nats[some] / words[some]
        return float(np.exp(np.average(each, weights=words[some] if per == "word" else None)))

    runs = [of(rng.permutation(len(nats))[: len(nats) // 2]) for rng in generators(seed, repeats)]
    protocol = {
        "documents": len(nats),
        "words": int(words.sum()),
        "per": per,
        "seed": seed,
        "a run": HALVES.replace("points", "documents"),
    }
    return Result.of("perplexity", runs, protocol, unit="words", value=of(np.arange(len(nats))))
