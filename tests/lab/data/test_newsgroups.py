"""20 Newsgroups: bags of words by hand from a small file in scikit-learn's own format, and the real posts."""

import codecs
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.utils import Bunch

from zoo.lab.data import data_folder, load
from zoo.lab.data.newsgroups import FILE

POSTS = {
    "train": [
        "From: a\n\nmoon moon rocket\n",
        "From: moon\n\nhockey rocket\n",  # a header's moon does not count
        "From: b\n\nthe the the\n",  # stop words alone: left empty
        "From: c\n\nx wrote:\n> hockey hockey\nmoon\n",  # a quote's hockey does not count
    ],
    "test": ["From: d\n\nhockey comet\n", "From: e\n\ncomet\n", "From: f\n\nmoon\n\n--\nhockey\n"],
}
TARGETS = {"train": [1, 0, 0, 1], "test": [0, 1, 1]}


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Where the test's caches go; and how many posts there are, but for the real ones."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "caches"))
    if "real" not in request.node.name:
        monkeypatch.setattr("zoo.lab.data.newsgroups.POSTS", (4, 3))
    return tmp_path / "caches"


def write(folder: Path, **changed: list[str]) -> Path:
    """A file as scikit-learn keeps the posts."""
    bunches = {
        part: Bunch(
            data=changed.get(part, posts),
            target=np.array(TARGETS[part]),
            target_names=["rec.sport.hockey", "sci.space"],
            filenames=np.array([str(n) for n in range(len(posts))]),
        )
        for part, posts in POSTS.items()
    }
    file = folder / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(codecs.encode(pickle.dumps(bunches), "zlib_codec"))
    return file


def few(folder: Path, **options: Any) -> Any:
    return load("newsgroups", folder=folder, **({"min_df": 1, "max_df": 1.0} | options))


def test_counted_by_hand(tmp_path: Path) -> None:
    write(tmp_path)
    for _ in range(2):  # made, and from the cache
        train, test = few(tmp_path)
        assert train.vocabulary == ("hockey", "moon", "rocket")  # comet is in no training post
        assert sparse.issparse(train.x)
        assert train.batch(torch.arange(3)).x.tolist() == [[0, 2, 1], [1, 0, 1], [0, 1, 0]]
        assert train.y.tolist() == [1, 0, 1]
        assert train.left_out == {"empty": 1}
        assert test.batch(torch.arange(2)).x.tolist() == [[1, 0, 0], [0, 1, 0]]  # a signature's hockey does not count
        assert test.y.tolist() == [0, 1]
        assert test.left_out == {"empty": 1}
        assert train.classes == ("rec.sport.hockey", "sci.space")


def test_options(tmp_path: Path) -> None:
    write(tmp_path)
    assert few(tmp_path, vocabulary=1).train.vocabulary == ("moon",)  # 3, before rocket's 2
    assert few(tmp_path, vocabulary=1).train.left_out == {"empty": 2}
    assert "the" in few(tmp_path, stop_words=False).train.vocabulary
    assert few(tmp_path, min_df=2).train.vocabulary == ("moon", "rocket")
    assert few(tmp_path, max_df=1).train.vocabulary == ("hockey",)
    for remove, moons in ((("headers",), 0), ((), 1)):
        kept = few(tmp_path, remove=remove).train
        x = kept.batch(torch.arange(3)).x
        assert x[1, kept.vocabulary.index("moon")] == moons
        assert x[2, kept.vocabulary.index("hockey")] == 2
    with pytest.raises(ValueError, match=r"remove takes headers, footers, quotes; got \['header'\]"):
        few(tmp_path, remove=("header",))
    with pytest.raises(ValueError, match=r"vocabulary, min_df, max_df or longest leave no words"):
        few(tmp_path, min_df=4)


def test_long_posts_are_dropped_before_words_are_chosen(tmp_path: Path) -> None:
    write(tmp_path)  # train: 3, 2, 0 and 1 words that are no stop words; test: 2, 1 and 1
    train, test = few(tmp_path, longest=2)
    assert train.batch(torch.arange(2)).x.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert train.y.tolist() == [0, 1]
    assert train.left_out == {"empty": 1, "long": 1}
    assert test.left_out == {"empty": 1, "long": 0}
    shorter = few(tmp_path, longest=1)
    assert shorter.train.vocabulary == ("moon",)  # hockey and rocket were in longer ones alone
    assert [part.left_out for part in shorter] == [{"empty": 1, "long": 2}, {"empty": 1, "long": 1}]


def test_missing_says_where(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/{FILE} not found.*ZOO_DATA.*--download"):
        few(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_truncated_file_is_named(
    tmp_path: Path, caches: Path, share: float, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=rf"'newsgroups': {file} cannot be read: Cache loading failed.* fetch it anew"):
        few(tmp_path)
    assert capsys.readouterr().out == ""
    assert not caches.exists()


def test_wrong_counts_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path)
    monkeypatch.setattr("zoo.lab.data.newsgroups.POSTS", (4, 5))
    with pytest.raises(ValueError, match=rf"{file} has 3 posts to test with, not 5; remove it"):
        few(tmp_path)


@pytest.mark.skipif(not (data_folder() / FILE).is_file(), reason="ZOO_DATA has no scikit_learn_data")
def test_the_real_ones() -> None:
    train, test = load("newsgroups")
    assert len(train) + train.left_out["empty"] == 11_314
    assert len(test) + test.left_out["empty"] == 7_532
    assert len(train.vocabulary) == 2_000
    assert len(train.classes) == 20
    for part in (train, test):
        assert part.x.sum(axis=1).min() >= 1
        assert part.x.nnz < 0.05 * len(part) * 2_000
    # every group talks of itself more than the others do
    for word, group in (("hockey", "rec.sport.hockey"), ("orbit", "sci.space"), ("encryption", "sci.crypt")):
        counts = train.x[:, [train.vocabulary.index(word)]].toarray()[:, 0]
        per_group = np.bincount(train.y, counts)
        assert train.classes[per_group.argmax()] == group
