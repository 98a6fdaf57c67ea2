"""20 Newsgroups as bags of words, through scikit-learn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from zoo.lab.data.cache import cached, fingerprint
from zoo.lab.data.dataset import Dataset
from zoo.lab.data.download import check_digest, fetch
from zoo.lab.data.posts import Posts, read_archive, read_pickled
from zoo.lab.data.split import Split

POSTS = (11_314, 7_532)
REMOVABLE = ("headers", "footers", "quotes")
FILE = "scikit_learn_data/20news-bydate_py3.pkz"  # scikit-learn's cache
ARCHIVE = "scikit_learn_data/20news-bydate.tar.gz"  # as published
URL = "https://ndownloader.figshare.com/files/5975967"
DIGEST = "sha256:8f1b2514ca22a5ade8fbb9cfa5727df95fa587f4c87b786e15c759fa66d95610"  # the same as scikit-learn's


def newsgroups(
    folder: Path,
    *,
    download: bool = False,
    vocabulary: int = 2_000,
    remove: Sequence[str] = REMOVABLE,
    stop_words: bool = True,
    min_df: int | float = 20,
    max_df: int | float = 0.5,
    longest: int = 0,
) -> Split:
    """20 Newsgroups by date, 11,314 + 7,532 posts as counts of 2,000 words, [N, vocabulary]; labels are the groups.

    K. Lang, NewsWeeder, ICML 1995; http://qwone.com/~jason/20Newsgroups/; no licence is stated, the posts are their
    authors'. The split is by date, as distributed. The words are the training posts' most frequent ones. Posts
    without any of these words are dropped and counted in `Dataset.left_out`. Counts are stored as a sparse matrix, and
    batches are dense. The papers state neither vocabulary nor preprocessing: the number of 2,000 words is that of
    NVDM's code; stop words and document frequencies are those of Pyro's ProdLDA tutorial. Some fragments of encoded
    binaries remain.

    Args:
        folder: contains scikit_learn_data with 20news-bydate.tar.gz, as published; or with scikit-learn's own cache
            20news-bydate_py3.pkz, of which only texts, labels and names are read: no code in it is run.
        download: whether to fetch the archive (14 MB), if both are missing.
        vocabulary: number of words, V.
        remove: which parts of a post are removed: headers, footers (signatures) and quotes, as in scikit-learn.
        stop_words: whether to remove scikit-learn's list of English stop words.
        min_df: the smallest number (an int) or share (a float) of training posts that a word must be in.
        max_df: the largest.
        longest: posts of more words than this, stop words not counted, are dropped before words are chosen, and counted
            in `Dataset.left_out`; 0 drops none. 1,000 drops the encoded binaries, which have up to 12,000.

    Raises:
        FileNotFoundError: the posts are not in `folder`.
        ValueError: the file is damaged or not the published one; an option is invalid; or no words are left.
        OSError: the archive cannot be fetched.
    """
    if wrong := set(remove) - set(REMOVABLE):
        raise ValueError(f"data 'newsgroups': remove may hold {', '.join(REMOVABLE)}; got {sorted(wrong)}")
    archive, pickled = folder / ARCHIVE, folder / FILE
    if not archive.is_file() and not pickled.is_file():
        if not download:
            raise FileNotFoundError(
                f"data 'newsgroups': {pickled} not found, and no {archive.name} next to it. Name another folder with "
                "--data-dir or ZOO_DATA, or fetch it with --download"
            )
        fetch("newsgroups", URL, archive, DIGEST, most=2**25)
    file = archive if archive.is_file() else pickled
    options: dict[str, Any] = {
        "vocabulary": vocabulary,
        "remove": sorted(remove),
        "stop_words": stop_words,
        "min_df": min_df,
        "max_df": max_df,
        "longest": longest,
    }
    settings = {"files": fingerprint(file.parent, [file]), **options}
    arrays = cached("newsgroups", settings, lambda: _count(file, **options))
    words = tuple(arrays["words"].tolist())
    classes = tuple(arrays["classes"].tolist())
    parts = []
    for part in ("train", "test"):
        data, indices, indptr, y, empty, long = (
            arrays[f"{part}_{name}"] for name in ("data", "indices", "indptr", "y", "empty", "long")
        )
        x = sparse.csr_array((data, indices, indptr), shape=(len(y), len(words)))
        left_out = {"empty": int(empty)} | ({"long": int(long)} if longest else {})
        parts.append(Dataset("newsgroups", x, y, classes=classes, vocabulary=words, left_out=left_out))
    return Split(*parts)


def _count(
    file: Path,
    *,
    vocabulary: int,
    remove: Sequence[str],
    stop_words: bool,
    min_df: int | float,
    max_df: int | float,
    longest: int,
) -> dict[str, np.ndarray]:
    """The counts of both parts as separate arrays, for the cache."""
    from sklearn.datasets import _twenty_newsgroups as parts_of_posts
    from sklearn.feature_extraction.text import CountVectorizer

    strip = {
        "headers": parts_of_posts.strip_newsgroup_header,
        "footers": parts_of_posts.strip_newsgroup_footer,
        "quotes": parts_of_posts.strip_newsgroup_quoting,
    }
    vectorizer = CountVectorizer(
        max_features=vocabulary,
        stop_words="english" if stop_words else None,
        min_df=min_df,
        max_df=max_df,
        dtype=np.float32,
    )
    arrays: dict[str, np.ndarray] = {}
    both = _read(file)
    for part, count in zip(("train", "test"), POSTS, strict=True):
        posts = both[part]
        if not len(posts.texts) == len(posts.labels) == count:
            raise ValueError(
                f"data 'newsgroups': {file} has {len(posts.texts):,} posts for {part}, not {count:,}; remove it "
                "and fetch it again"
            )
        texts = posts.texts
        for what in REMOVABLE:
            if what in remove:
                texts = [strip[what](text) for text in texts]
        words_of = vectorizer.build_analyzer()
        short = [n for n, post in enumerate(texts) if not longest or len(words_of(post)) <= longest]
        posts_left, y = [texts[n] for n in short], posts.labels[short]
        try:
            x = vectorizer.fit_transform(posts_left) if part == "train" else vectorizer.transform(posts_left)
        except ValueError as error:
            raise ValueError(
                f"data 'newsgroups': vocabulary, min_df, max_df or longest leave no words: {error}"
            ) from error
        x.sort_indices()
        there = np.flatnonzero(np.diff(x.indptr))
        kept = x[there]
        arrays |= {
            f"{part}_data": kept.data,
            f"{part}_indices": kept.indices.astype(np.int32),
            f"{part}_indptr": kept.indptr.astype(np.int32),
            f"{part}_y": y[there].astype(np.int64),
            f"{part}_empty": np.array(x.shape[0] - len(there)),
            f"{part}_long": np.array(len(texts) - len(short)),
        }
    arrays["words"] = vectorizer.get_feature_names_out().astype(np.str_)
    arrays["classes"] = np.array(both["train"].names)
    return arrays


def _read(file: Path) -> dict[str, Posts]:
    try:
        if file.name == Path(ARCHIVE).name:
            check_digest("newsgroups", file, DIGEST)
            return read_archive(file)
        return read_pickled(file)
    except ValueError as error:
        why = str(error).removeprefix("data 'newsgroups': ")
        raise ValueError(f"data 'newsgroups': {file} cannot be read: {why}. Remove it and fetch it again") from error
