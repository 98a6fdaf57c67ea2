"""Your own folder of images: its split into training and test set, labels, and pixels."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np
from PIL import ImageColor

from zoo.lab.data.cache import MAPPED, cache_folder, cached, fingerprint
from zoo.lab.data.dataset import Dataset
from zoo.lab.data.decoded_images import decoded
from zoo.lab.data.factors_table import read_factors
from zoo.lab.data.image_files import Kind, kind, read
from zoo.lab.data.split import Split, split
from zoo.lab.files import readable

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TABLE = "factors.csv"
LEFT_BEHIND = (  # written by operating systems and storage devices, as are names with a leading dot
    "__macosx",
    "desktop.ini",
    "thumbs.db",
    "ehthumbs.db",
    "icon\r",
    "lost+found",
    "$recycle.bin",
    "system volume information",
    "@eadir",
    "#recycle",
    "#snapshot",
)
LARGEST = 1_024  # an image has at most LARGEST x LARGEST pixels: decoding a phone's photographs would fill the memory
PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing"),
}


def image_folder(
    root: Path, *, size: int | None = None, background: str = "auto", held_out: float = 0.1, seed: int = 0
) -> Split:
    """The images of a folder, with labels, factors and a split where it has them; options as in `from_disk.yours`."""
    name = readable(root.resolve().name)
    if size is not None and not 1 <= size <= LARGEST:
        raise ValueError(f"data {str(root)!r}: size must be from 1 to {LARGEST:,} pixels, got {size}")
    try:
        ImageColor.getrgb(background if background != "auto" else "white")
    except ValueError as error:
        raise ValueError(
            f"data {str(root)!r}: background must be a colour such as white or #808080: {error}"
        ) from error
    places = []
    others = []
    for place, is_file in _walk(root, root):
        if place != TABLE:
            places.append(place)
            if not is_file or os.path.splitext(place)[1].lower() not in IMAGES:
                others.append(place)
    if not places:
        raise FileNotFoundError(f"data {str(root)!r}: there are no images in this folder")
    if others:
        raise ValueError(
            f"data {str(root)!r}: {root / others[0]} is not an image, one of {len(others)} such files; move them "
            f"elsewhere (images end in {' '.join(IMAGES)})"
        )
    parts, labels = _arrange(root, places)
    data = Dataset.from_arrays(
        _pixels(name, root, Files(root, places), size, background),
        labels if len(set(labels)) > 1 else None,
        name=name,
        x_max=255.0,
        factors=read_factors(root / TABLE, places) if (root / TABLE).is_file() else None,
    )
    if not parts:
        return split(data, held_out, seed=seed)
    test = "test" if "test" in parts else "val"
    left_out = {"val": parts.count("val")} if test == "test" and "val" in parts else {}
    rows = [np.flatnonzero(np.array(parts) == part) for part in ("train", test)]
    return Split(*(replace(data.subset(some), left_out=left_out) for some in rows))


class Files(Sequence[Path]):
    """Files below `root` by their places, such as a/1.png: a million paths would take much more memory than names."""

    def __init__(self, root: Path, places: Sequence[str]) -> None:
        self.root, self.places = root, places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> list[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | list[Path]:
        if isinstance(index, slice):
            return [self.root / place for place in self.places[index]]
        return self.root / self.places[index]


def _walk(root: Path, folder: Path, start: str = "") -> Iterator[tuple[str, bool]]:
    """All that is not hidden below `folder`, in the order of paths: its place from `root`, and whether it is a file.

    A folder that cannot be listed, or is empty, raises an error; `Path.rglob` would silently skip it.
    """
    try:
        with os.scandir(folder) as entries:
            meant = sorted((e for e in entries if _is_meant(e.name)), key=lambda entry: os.path.normcase(entry.name))
    except OSError as error:
        raise PermissionError(f"data {str(root)!r}: {folder} cannot be listed: {error.strerror}") from error
    for entry in meant:
        place = f"{start}{entry.name}"
        if not _is(entry.is_dir):
            yield place, _is(entry.is_file)
            continue
        if entry.is_symlink() and folder.resolve().is_relative_to(Path(entry.path).resolve()):
            raise ValueError(f"data {str(root)!r}: {entry.path} links to a folder that contains it; remove this link")
        empty = True
        for found in _walk(root, Path(entry.path), f"{place}/"):
            empty = False
            yield found
        if empty:  # a class, or the test set, would be missing without a word
            raise FileNotFoundError(f"data {str(root)!r}: {entry.path} is empty; put its images there, or remove it")


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a link into a folder that may not be read
        return False


def _is_meant(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in LEFT_BEHIND


def _arrange(root: Path, places: Sequence[str]) -> tuple[list[str], list[str]]:
    """For each image, its part of the split (empty where the folder is not split) and its label."""
    tops = {place.partition("/")[0] for place in places if "/" in place}
    role = {top: part for top in tops for part, names in PARTS.items() if top.lower() in names}
    divided = len(set(role.values())) > 1
    outside = next((place for place in places if place.partition("/")[0] not in role), None)
    if divided and outside is not None:
        raise ValueError(
            f"data {str(root)!r}: {outside} is next to the folders {', '.join(sorted(role))}, which split the set; "
            "move it into one of them or elsewhere"
        )
    if divided and "train" not in role.values():
        raise ValueError(
            f"data {str(root)!r} has the folders {', '.join(sorted(role))}, but no folder train to train on"
        )
    if not divided and (part := _part_elsewhere(places)):
        raise ValueError(
            f"data {str(root)!r}: the folder {root / part} looks like one part of a set that is split, and would be a "
            "class; call the parts train, val and test, and put them at the top of the folder that you load, as in "
            "train/cat/1.png"
        )
    inner = divided or (outside is None and set(role.values()) == {"train"})  # a single folder `train` is not a class
    folders: dict[str, str] = {}  # so that images of a class share one string

    def label(place: str) -> str:
        folder = readable((place.partition("/")[2] if inner else place).rpartition("/")[0] or ".")
        return folders.setdefault(folder, folder)

    labels = [label(place) for place in places]
    counts = Counter(labels)
    if len(counts) > 1 and (count := counts.get(".")):
        stray = places[labels.index(".")]
        raise ValueError(
            f"data {str(root)!r}: {stray} is next to the folders of the classes, one of {count} such images; move it "
            "into one of them or elsewhere"
        )
    return [role[place.partition("/")[0]] for place in places] if divided else [], labels


def _part_elsewhere(places: Sequence[str]) -> str | None:
    """The first folder for training next to one for testing, as in pets/train and pets/test, or trainA and testA."""
    found: dict[str, dict[str, str]] = {}  # by the folder that they lie in: a folder for each part
    for folder in sorted({place.rpartition("/")[0] for place in places}):
        names = folder.split("/")
        for depth, name in enumerate(names):
            words = [word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", name)]
            for part in (part for part, known in PARTS.items() if any(word in known for word in words)):
                found.setdefault("/".join(names[:depth]), {}).setdefault(part, "/".join(names[: depth + 1]))
    return next((there["train"] for there in found.values() if "train" in there and len(there) > 1), None)


def _pixels(name: str, root: Path, files: Sequence[Path], size: int | None, background: str) -> np.ndarray:
    """Bytes [N, C, H, W], in memory where the set is small, else memory-mapped.

    The headers are read first, so that a file that is not an image is reported before any work.
    """
    settings = {"files": fingerprint(root, files)}
    headers = cached(f"{name}-headers", settings, lambda: _headers(files))
    shapes = np.stack([headers["width"], headers["height"]], axis=1)
    if size is None and len(different := np.flatnonzero((shapes != shapes[0]).any(axis=1))):
        one, other = tuple(shapes[0].tolist()), tuple(shapes[different[0]].tolist())
        raise ValueError(f"{files[0]} has {one} pixels and {files[different[0]]} {other}; scale them all with size=64")
    width, height = (size, size) if size else shapes[0].tolist()
    if width * height > LARGEST**2:
        raise ValueError(
            f"{files[0]} has {width:,} x {height:,} pixels, more than {LARGEST:,} x {LARGEST:,}; scale all with size=64"
        )
    grey = bool(headers["grey"].all())
    background = _background(root, files, background, headers)

    def decode(file: Path) -> np.ndarray:
        return read(file, grey=grey, size=(width, height), background=background)

    shape = (1 if grey else 3, height, width)
    images = decoded(name, root, files, shape, decode, {"background": background}, into=cache_folder())
    few = len(files) * shape[0] * height * width < MAPPED
    return images[:] if few else images  # type: ignore[return-value]  # indexes like an array


def _headers(files: Sequence[Path]) -> dict[str, np.ndarray]:
    parts = [files[start : start + 1024] for start in range(0, len(files), 1024)]
    with ThreadPoolExecutor() as pool:
        found = [one for part in pool.map(lambda part: [kind(file) for file in part], parts) for one in part]
    return {field: np.array(values) for field, values in zip(Kind._fields, zip(*found, strict=True), strict=True)}


def _background(root: Path, files: Sequence[Path], background: str, headers: Mapping[str, np.ndarray]) -> str:
    """The background of the whole set: the one asked for; or white, or black where an image is invisible on white."""
    fields = {"white": "on_white", "black": "on_black"}
    if background == "auto":
        background = "white" if headers["on_white"].all() or not headers["on_black"].all() else "black"
    hidden = np.flatnonzero(~headers[fields[background]]) if background in fields else np.array([], int)
    if len(hidden):
        other = "grey" if background == "white" else "white"
        raise ValueError(
            f"data {str(root)!r}: {files[hidden[0]]} has all of its content in the transparency, and is invisible on "
            f"{background}: use background={other}"
        )
    return background
