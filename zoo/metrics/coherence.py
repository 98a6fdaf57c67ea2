"""Topic coherence by normalised pointwise mutual information.

Bouma 2009, Normalized (Pointwise) Mutual Information in Collocation Extraction, GSCL, defines it for a pair; Lau,
Newman & Baldwin 2014, https://aclanthology.org/E14-1056, use its mean over a topic's words as the topic's coherence;
Röder, Both & Hinneburg 2015, https://doi.org/10.1145/2684822.2685324, compare it with other measures.
"""

from itertools import combinations
from typing import Any

import numpy as np
from scipy import sparse

from zoo.arguments import checked
from zoo.metrics.result import HALVES, Result, generators
from zoo.metrics.sites import to_numpy


@checked()
def npmi(topics: Any, documents: Any, *, seed: int = 0, repeats: int = 10) -> Result:
    """The mean NPMI of each topic's pairs of words, [K]: 1 if they occur only together, 0 by chance, -1 if never.

    NPMI(v, w) = log P(v, w) / (P(v) P(w)) / -log P(v, w), with P the share of documents that contain a word, or
    both: the window is the whole document. Two words that never occur together count as -1. Two that are in every
    document, for which it is undefined, count as 0.

    .. warning::
        Values depend on the reference corpus: in a small one, rare words seldom occur together. Compare only values of
        the same corpus and number of words.

    Args:
        topics: the top words of each topic, as columns of `documents`, [K, n]; n = 10 in most of the literature.
        documents: the reference corpus: counts of words [N, V], as an array or a sparse matrix.
        seed: of the repeats.
        repeats: how many.

    Raises:
        ValueError: topics are not a table of at least two different words each, or not columns of the documents; or
            documents are not counts, or fewer than two.

    Example:
        >>> import numpy as np
        >>> documents = np.array([[1, 1, 0, 0], [2, 1, 0, 0], [0, 0, 1, 1], [0, 0, 3, 1]])
        >>> npmi([[0, 1], [0, 2]], documents, repeats=2).value  # always together; never
        array([ 1., -1.])
    """
    topics = to_numpy(topics)
    there = _occurrence(documents)
    _check(topics, there)
    runs = []
    for rng in generators(seed, repeats):
        half = rng.permutation(there.shape[0])[: there.shape[0] // 2]
        runs.append(_of_topics(topics, there[half]))
    protocol = {
        "reference_documents": there.shape[0],
        "vocabulary": there.shape[1],
        "words": topics.shape[1],
        "window": "a document",
        "seed": seed,
        "a run": HALVES.replace("points", "documents"),
    }
    names = tuple(f"topic {k}" for k in range(len(topics)))
    return Result.of("NPMI", runs, protocol, unit="correlation", value=_of_topics(topics, there), axes=(names,))


def _of_topics(topics: np.ndarray, there: Any) -> np.ndarray:
    """The coherence of each topic, [K], from the occurrence of words in documents, [N, V]."""
    return np.array([_of_words(there[:, words].toarray()) for words in topics])


def _of_words(there: np.ndarray) -> float:
    """The mean NPMI of all pairs of columns, [N, n]."""
    together = there.T @ there / len(there)
    alone = together.diagonal()
    pairs = np.array(list(combinations(range(there.shape[1]), 2))).T
    joint, chance = together[pairs[0], pairs[1]], alone[pairs[0]] * alone[pairs[1]]
    told = (joint > 0) & (joint < 1)
    values = np.where(joint > 0, 0.0, -1.0)
    values[told] = np.log(joint[told] / chance[told]) / -np.log(joint[told])
    return float(values.mean())


def _occurrence(documents: Any) -> Any:
    """1 where a document contains a word and 0 elsewhere, [N, V], sparse."""
    counts = documents if sparse.issparse(documents) else to_numpy(documents)
    if counts.ndim != 2:
        raise ValueError(f"documents must be counts of words [N, V], got {list(counts.shape)}")
    counts = sparse.csc_array(counts)
    if len(bad := counts.data[~(counts.data >= 0)]):  # NaN, too
        raise ValueError(f"documents must be counts of words, from 0, got {bad[0]}")
    return (counts > 0).astype(np.float64)


def _check(topics: np.ndarray, there: Any) -> None:
    if topics.ndim != 2 or topics.shape[1] < 2 or not np.issubdtype(topics.dtype, np.integer):
        raise ValueError(f"topics must be columns of words, integers [K, n >= 2], got {topics.dtype} {topics.shape}")
    if there.shape[0] < 2:
        raise ValueError(f"a reference corpus of {there.shape[0]} documents: give at least 2")
    if not ((topics >= 0) & (topics < there.shape[1])).all():
        raise ValueError(
            f"topics name the words {topics.min()} to {topics.max()}, but the documents have the columns 0 to "
            f"{there.shape[1] - 1}: count the same vocabulary in both"
        )
    for k, words in enumerate(topics):
        if len(set(words.tolist())) < len(words):
            raise ValueError(f"topic {k} names a word twice: {words.tolist()}")
