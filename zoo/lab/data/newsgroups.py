"""20 Newsgroups as bags of words, through scikit-learn."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import sparse

from zoo.lab.data.cache import cached, fingerprint
from zoo.lab.data.dataset import Dataset, Split

POSTS = (11_314, 7_532)
REMOVABLE = ("headers", "footers", "quotes")
FILE = "scikit_learn_data/20news-bydate_py3.pkz"


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
    authors'. The split is by date, as distributed. The words are the training posts' most frequent ones. Posts that
    are left without any of them are dropped and counted in `Dataset.left_out`. Counts are kept sparse and come dense
    in a batch. The papers tell neither vocabulary nor preprocessing: 2,000 words are those of NVDM's code, stop words
    and document frequencies those of Pyro's ProdLDA tutorial. Some scraps of encoded binaries remain.

    Args:
        folder: has scikit_learn_data, scikit-learn's own cache.
        download: whether scikit-learn may fetch the posts (14 MB).
        vocabulary: how many words, V.
        remove: which parts of a post go: headers, footers (signatures) and quotes, as scikit-learn tells them.
        stop_words: whether scikit-learn's list of English stop words goes too.
        min_df: the least number (an int) or share (a float) of training posts that a word must be in.
        max_df: the most.
        longest: posts of more words than this, stop words not counted, are dropped before words are chosen, and counted
            in `Dataset.left_out`; 0 drops none. 1,000 leaves the encoded binaries out, of up to 12,000.

    Raises:
        FileNotFoundError: the posts are not in `folder`.
        ValueError: the file is damaged or holds other counts; an option is wrong; or no words are left.
    """
    if wrong := set(remove) - set(REMOVABLE):
        raise ValueError(f"data 'newsgroups': remove takes {', '.join(REMOVABLE)}; got {sorted(wrong)}")
    file = folder / FILE
    if not file.is_file():
        if not download:
            raise FileNotFoundError(
                f"data 'newsgroups': {file} not found. Name another folder with --data-dir or ZOO_DATA, or fetch it "
                "with --download"
            )
        _fetch(file, "train", [], True)
    settings = {
        "files": fingerprint(file.parent, [file]),
        "vocabulary": vocabulary,
        "remove": sorted(remove),
        "stop_words": stop_words,
        "min_df": min_df,
        "max_df": max_df,
        "longest": longest,
    }
    arrays = cached(
        "newsgroups", settings, lambda: _count(file, vocabulary, remove, stop_words, min_df, max_df, longest)
    )
    words, classes = (tuple(arrays[name].tolist()) for name in ("words", "classes"))
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
    vocabulary: int,
    remove: Sequence[str],
    stop_words: bool,
    min_df: int | float,
    max_df: int | float,
    longest: int,
) -> dict[str, np.ndarray]:
    """The counts of both parts, taken apart into arrays as a cache keeps them."""
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(
        max_features=vocabulary,
        stop_words="english" if stop_words else None,
        min_df=min_df,
        max_df=max_df,
        dtype=np.float32,
    )
    arrays: dict[str, np.ndarray] = {}
    for part, posts in zip(("train", "test"), POSTS, strict=True):
        bunch = _fetch(file, part, remove, False)
        if not len(bunch.data) == len(bunch.target) == posts:
            raise ValueError(
                f"data 'newsgroups': {file} has {len(bunch.data):,} posts to {part} with, not {posts:,}; remove it and "
                "fetch it anew"
            )
        words_of = vectorizer.build_analyzer()
        short = [n for n, post in enumerate(bunch.data) if not longest or len(words_of(post)) <= longest]
        posts_left, y = [bunch.data[n] for n in short], bunch.target[short]
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
            f"{part}_long": np.array(len(bunch.data) - len(short)),
        }
    arrays["words"] = vectorizer.get_feature_names_out().astype(np.str_)
    arrays["classes"] = np.array(bunch.target_names)
    return arrays


def _fetch(file: Path, part: str, remove: Sequence[str], download: bool):  # type: ignore[no-untyped-def]
    from sklearn.datasets import fetch_20newsgroups

    said = io.StringIO()  # scikit-learn prints why it could not read the file, and raises that it found none
    try:
        with contextlib.redirect_stdout(said):
            return fetch_20newsgroups(
                data_home=file.parent, subset=part, remove=tuple(remove), shuffle=False, download_if_missing=download
            )
    except (OSError, ValueError) as error:
        why = said.getvalue().strip("_\n").replace("\n", " ") or error
        raise ValueError(
            f"data 'newsgroups': {file} cannot be {'fetched' if download else 'read'}: {why}. "
            "Remove it and fetch it anew"
        ) from error
