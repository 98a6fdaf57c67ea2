"""Perplexity of a model of documents: the number of equally likely words with the same uncertainty."""

from typing import Any, Literal

import numpy as np

from zoo.arguments import checked
from zoo.metrics.result import HALVES, Result, generators
from zoo.metrics.sites import to_numpy


@checked()
def perplexity(
    nats: Any, words: Any, *, per: Literal["document", "word"] = "document", seed: int = 0, repeats: int = 10
) -> Result:
    """exp of the nats per word, from each document's nats -log p(x_n), or a bound on them, and its number of words.

    Per document, exp(1/N sum_n nats_n / words_n), each document has the same weight, however short: this is the
    definition of ProdLDA's and NVDM's papers and codes (Miao 2016, https://arxiv.org/abs/1511.06038, section 5.1), with
    a bound for the nats. Per word, exp(sum_n nats_n / sum_n words_n), each word has the same weight. If V words are
    equally probable it is V.

    .. warning::
        From the ELBO, whose negative is an upper bound on the nats, it is an upper bound on the model's perplexity.

    Args:
        nats: -log p of each document's words in their order, or minus its ELBO, [N].
        words: number of words of each document, [N].
        per: "document" or "word".
        seed: of the repeats.
        repeats: how many.

    Raises:
        ValueError: nats and words differ in length, a document has no words, nats or words are not finite, or
            `per` is unknown.

    Example:
        >>> import numpy as np
        >>> words = np.array([10, 20])
        >>> round(float(perplexity(words * np.log(50), words, repeats=2)), 4)  # all of 50 words equally likely
        50.0
    """
    nats, words = to_numpy(nats).astype(float), to_numpy(words).astype(float)
    if nats.ndim != 1 or nats.shape != words.shape or len(nats) < 2:
        raise ValueError(f"perplexity needs nats and words, [N] each with N >= 2, got {nats.shape} and {words.shape}")
    if len(empty := np.flatnonzero(words <= 0)):
        raise ValueError(f"document {empty[0]} has no words ({len(empty)} have none): leave such documents out")
    if len(bad := np.flatnonzero(~np.isfinite(words))):
        raise ValueError(f"document {bad[0]} has {words[bad[0]]} words: give the number of words of each document")
    if len(bad := np.flatnonzero(~np.isfinite(nats))):
        raise ValueError(f"document {bad[0]} has {nats[bad[0]]} nats: check the model that they come from")
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
