"""Reads the posts of 20 Newsgroups from the published archive or from scikit-learn's cache, without running code in it.

scikit-learn's cache is a pickle, and unpickling may run any code. Here the pickle gets four stand-in classes that only
store their arguments, and everything else that it asks for is refused.
"""

import io
import pickle
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

PARTS = {"train": "20news-bydate-train", "test": "20news-bydate-test"}
MOST = 2**27  # limit of the unpacked size in bytes; the posts have 36 million


class Posts(NamedTuple):
    """Texts, the number of the group of each [N], and the names of the groups."""

    texts: list[str]
    labels: np.ndarray
    names: list[str]


def read_archive(file: Path) -> dict[str, Posts]:
    """Both parts of 20news-bydate.tar.gz, in scikit-learn's order.

    Raises:
        ValueError: the archive is damaged, or a different one.
    """
    found: dict[str, dict[str, list[tuple[str, str]]]] = {part: {} for part in PARTS}
    try:
        with tarfile.open(file, "r:gz") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                top, *rest = PurePosixPath(member.name).parts
                part = next((part for part, folder in PARTS.items() if folder == top), "")
                if not part or len(rest) != 2 or member.size > MOST or (content := archive.extractfile(member)) is None:
                    raise ValueError(f"{member.name} is not a post")
                group, name = rest
                found[part].setdefault(group, []).append((name, content.read().decode("latin-1")))
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise ValueError(f"it is damaged, or another archive: {error}") from error
    return {part: _in_order(groups) for part, groups in found.items()}


def _in_order(groups: dict[str, list[tuple[str, str]]]) -> Posts:
    """Sorted by group and name, then shuffled as `sklearn.datasets.load_files` does."""
    names = sorted(groups)
    texts = [text for group in names for _, text in sorted(groups[group])]
    labels = np.repeat(np.arange(len(names)), [len(groups[group]) for group in names])
    order = np.arange(len(texts))
    np.random.RandomState(0).shuffle(order)
    return Posts([texts[n] for n in order], labels[order], names)


def read_pickled(file: Path) -> dict[str, Posts]:
    """Both parts of 20news-bydate_py3.pkz.

    Raises:
        ValueError: the file is damaged, or asks for more than lists, texts and arrays of numbers.
    """
    try:
        unzip = zlib.decompressobj()
        content = unzip.decompress(file.read_bytes(), MOST)
        if unzip.unconsumed_tail or not unzip.eof:
            raise ValueError("it is truncated, or too long")
        bunches = _Inert(io.BytesIO(content)).load()
        return {part: _posts(bunches[part]) for part in PARTS}
    except Exception as error:  # a damaged pickle may raise any error
        raise ValueError(f"it is damaged, or is not scikit-learn's cache: {error}") from error


def _posts(bunch: Any) -> Posts:
    texts, names = bunch["data"], bunch["target_names"]
    labels = _integers(bunch["target"])
    if not all(isinstance(text, str) for text in [*texts, *names]) or labels.shape != (len(texts),):
        raise ValueError("it does not hold texts with a label each")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
        raise ValueError("it holds labels that have no name")
    return Posts(list(texts), labels, list(names))


class _Bunch(dict):
    """Stands for scikit-learn's dictionary."""

    def __setstate__(self, state: Any) -> None:
        """Ignores the state: the content is in the dictionary."""


class _Array:
    """Stands for a NumPy array, and stores its arguments."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Dtype:
    """Stands for a NumPy dtype."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


def _integers(array: Any) -> np.ndarray:
    """The integers [N] stored in a stand-in."""
    _, shape, dtype, _, content = array.state
    if dtype.code not in ("i4", "i8") or dtype.order not in "<>|" or not isinstance(content, bytes):
        raise ValueError("its labels are not integers")
    return np.frombuffer(content, np.dtype(dtype.order + dtype.code)).astype(np.int64).reshape(shape)


def _buffer(content: Any, dtype: _Dtype, shape: tuple[int, ...], _order: str) -> _Array:
    """Stands for the function by which newer pickles make an array."""
    array = _Array()
    array.state = (1, shape, dtype, False, bytes(content))
    return array


class _Inert(pickle.Unpickler):
    """An unpickler that imports nothing."""

    stand_ins = {  # noqa: RUF012
        ("sklearn", "Bunch"): _Bunch,
        ("numpy", "ndarray"): _Array,
        ("numpy", "_reconstruct"): _Array,
        ("numpy", "dtype"): _Dtype,
        ("numpy", "_frombuffer"): _buffer,
    }

    def find_class(self, module: str, name: str) -> Any:
        stand_in = self.stand_ins.get((module.split(".")[0], name))
        if stand_in is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no posts need")
        return stand_in
