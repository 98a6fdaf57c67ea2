"""20 Newsgroups: bags of words by hand from a small file in scikit-learn's own format, and the real posts."""

import codecs
import hashlib
import io
import pickle
import tarfile
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_files
from sklearn.utils import Bunch

from zoo.lab.data import data_folder, load
from zoo.lab.data.newsgroups import ARCHIVE, FILE
from zoo.lab.data.posts import read_archive

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
    with pytest.raises(ValueError, match=r"remove may hold headers, footers, quotes; got \['header'\]"):
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
    with pytest.raises(ValueError, match=rf"'newsgroups': {file} cannot be read: it is damaged, .*fetch it again"):
        few(tmp_path)
    assert capsys.readouterr().out == ""
    assert not caches.exists()


def test_wrong_counts_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path)
    monkeypatch.setattr("zoo.lab.data.newsgroups.POSTS", (4, 5))
    with pytest.raises(ValueError, match=rf"{file} has 3 posts for test, not 5; remove it"):
        few(tmp_path)


class Evil:
    """What runs when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.target, "code ran")


@pytest.mark.parametrize("place", ["top", "text", "labels", "state"])
def test_nothing_in_the_pickle_is_run(tmp_path: Path, place: str) -> None:
    file, target = write(tmp_path), tmp_path / "ran"
    bunches = pickle.loads(zlib.decompress(file.read_bytes()))
    evil: Any = Evil(target)
    if place == "top":
        bunches = evil
    elif place == "text":
        bunches["train"]["data"] = [evil] * 4
    elif place == "labels":
        bunches["train"]["target"] = evil
    else:
        bunches["train"].__dict__["more"] = evil
    file.write_bytes(zlib.compress(pickle.dumps(bunches)))
    with pytest.raises(ValueError, match=rf"{file} cannot be read: .*it asks for pathlib.*, which no posts need"):
        few(tmp_path)
    assert not target.exists()


@pytest.mark.parametrize(
    "asked", [b"cos\nsystem\n", b"cbuiltins\neval\n", b"cnumpy\nload\n", b"csklearn.utils\nshuffle\n"]
)
def test_no_function_is_found(tmp_path: Path, asked: bytes) -> None:
    file = write(tmp_path)
    file.write_bytes(zlib.compress(asked + b"(S'touch /tmp/never'\ntR."))
    with pytest.raises(ValueError, match=r"it asks for .*, which no posts need"):
        few(tmp_path)


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))  # Python 3 never wrote 2 by itself
def test_every_protocol_of_pickle(tmp_path: Path, protocol: int) -> None:
    file = write(tmp_path)
    bunches = pickle.loads(zlib.decompress(file.read_bytes()))
    for part in bunches.values():
        part["target"] = part["target"].astype(">i4" if protocol % 2 else "<i8")
    file.write_bytes(zlib.compress(pickle.dumps(bunches, protocol)))
    assert few(tmp_path).train.y.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target": np.array([0.0, 1.0, 1.0, 0.0])}, "its labels are not integers"),
        ({"target": np.array([0, 1, 2, 0])}, "labels that have no name"),
        ({"target": np.array([0, 1])}, "does not hold texts with a label each"),
        ({"data": [1, 2, 3, 4]}, "does not hold texts with a label each"),
        ({"target": np.array([None] * 4)}, "its labels are not integers"),
    ],
)
def test_other_contents_are_told(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    file = write(tmp_path)
    bunches = pickle.loads(zlib.decompress(file.read_bytes()))
    bunches["train"].update(changed)
    file.write_bytes(zlib.compress(pickle.dumps(bunches)))
    with pytest.raises(ValueError, match=rf"{file} cannot be read: .*{message}"):
        few(tmp_path)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.lab.data.posts.MOST", 10_000)
    file = write(tmp_path)
    file.write_bytes(zlib.compress(bytes(10**7)))
    with pytest.raises(ValueError, match=r"it is truncated, or too long"):
        few(tmp_path)


def archive(path: Path, **more: str) -> Path:
    """The published archive with our posts: a folder per part and group, a file per post."""
    path.parent.mkdir(parents=True, exist_ok=True)
    groups = ("rec.sport.hockey", "sci.space")
    with tarfile.open(path, "w:gz") as file:
        for part, posts in POSTS.items():
            names = [f"20news-bydate-{part}/{groups[c]}/{100 + n}" for n, c in enumerate(TARGETS[part])]
            for name, text in [*zip(names, posts, strict=True), *more.items()]:
                member = tarfile.TarInfo(name)
                member.size = len(text.encode("latin-1"))
                file.addfile(member, io.BytesIO(text.encode("latin-1")))
    return path


def known(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr("zoo.lab.data.newsgroups.DIGEST", "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest())


def test_the_archive_is_read_as_scikit_learn_reads_it(tmp_path: Path) -> None:
    with tarfile.open(archive(tmp_path / "a.tar.gz")) as file:
        file.extractall(tmp_path / "unpacked", filter="data")
    posts = read_archive(tmp_path / "a.tar.gz")
    for part in POSTS:
        theirs = load_files(tmp_path / "unpacked" / f"20news-bydate-{part}", encoding="latin1")
        assert posts[part].texts == theirs.data
        assert posts[part].labels.tolist() == theirs.target.tolist()
        assert posts[part].names == theirs.target_names


def test_the_archive_comes_first_and_must_be_the_published_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = archive(tmp_path / ARCHIVE)
    with pytest.raises(ValueError, match=rf"{file} cannot be read: .* is not the published file: its sha256 is"):
        few(tmp_path)
    known(monkeypatch, file)
    (tmp_path / FILE).write_bytes(b"no pickle, and not looked at")
    train = few(tmp_path).train
    assert train.vocabulary == ("hockey", "moon", "rocket")
    assert sorted(train.batch(torch.arange(3)).x.tolist()) == [[0, 1, 0], [0, 2, 1], [1, 0, 1]]


@pytest.mark.parametrize("name", ["../outside", "20news-bydate-train/sci.space/1/2", "elsewhere/sci.space/1"])
def test_other_archives_are_told_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    known(monkeypatch, file := archive(tmp_path / ARCHIVE, **{name: "text"}))
    with pytest.raises(ValueError, match=rf"{file} cannot be read: it is damaged, or another archive"):
        few(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scikit_learn_data"]


def test_the_archive_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    served = archive(tmp_path_factory.mktemp("served") / "a.tar.gz")
    asked = []

    def answer(_: object, url: str, timeout: float) -> object:
        asked.append(url)
        return io.BytesIO(served.read_bytes())

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", answer)
    with pytest.raises(
        OSError, match=r"not the published file.*not 8f1b2514ca22a5ade8fbb9cfa5727df95fa587f4c87b786e15"
    ):
        few(tmp_path, download=True)
    known(monkeypatch, served)
    assert few(tmp_path, download=True).train.vocabulary == ("hockey", "moon", "rocket")
    assert asked == ["https://ndownloader.figshare.com/files/5975967"] * 2
    assert [file.name for file in (tmp_path / "scikit_learn_data").iterdir()] == ["20news-bydate.tar.gz"]


@pytest.mark.skipif(
    not any((data_folder() / file).is_file() for file in (ARCHIVE, FILE)), reason=f"ZOO_DATA has no {ARCHIVE} or {FILE}"
)
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
