"""Your own folder of images: which of them are for training, their labels, and their pixels."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
from PIL import ImageColor

from zoo.lab.data.cache import MAPPED, cache_folder, cached, fingerprint
from zoo.lab.data.dataset import Dataset, Split, split
from zoo.lab.data.decoded_images import decoded
from zoo.lab.data.factors_table import read_factors
from zoo.lab.data.image_files import Kind, kind, read

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TABLE = "factors.csv"
LEFT_BEHIND = ("__MACOSX", "desktop.ini", "Thumbs.db")  # by systems, beside what begins with a dot
PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


def image_folder(
    root: Path, *, size: int | None = None, background: str = "auto", held_out: float = 0.1, seed: int = 0
) -> Split:
    """The images of a folder, with labels, factors and a split where it has them; options as `from_disk.yours`'."""
    name = root.resolve().name
    if size is not None and size < 1:
        raise ValueError(f"data {str(root)!r}: size must be at least 1 pixel, got {size}")
    try:
        ImageColor.getrgb(background if background != "auto" else "white")
    except ValueError as error:
        raise ValueError(f"data {str(root)!r}: background must be a colour, as white or #808080: {error}") from error
    files = sorted(file for file in _walk(root) if file != root / TABLE)
    if not files:
        raise FileNotFoundError(f"data {str(root)!r}: there are no images in this folder")
    if others := [f for f in files if f.suffix.lower() not in IMAGES or not f.is_file()]:
        raise ValueError(
            f"data {str(root)!r}: {others[0]} is no image, one of {len(others)} such files; move them elsewhere "
            f"(images end in {' '.join(IMAGES)})"
        )
    places = [file.relative_to(root) for file in files]
    parts, labels = _arrange(root, places)
    data = Dataset.from_arrays(
        _pixels(name, root, files, size, background),
        labels if len(set(labels)) > 1 else None,
        name=name,
        x_max=255.0,
        factors=read_factors(root / TABLE, [p.as_posix() for p in places]) if (root / TABLE).is_file() else None,
    )
    if not parts:
        return split(data, held_out, seed=seed)
    test = "test" if "test" in parts else "val"
    left_out = {"val": parts.count("val")} if test == "test" and "val" in parts else {}
    rows = [np.flatnonzero(np.array(parts) == part) for part in ("train", test)]
    return Split(*(replace(data.subset(some), left_out=left_out) for some in rows))


def _walk(root: Path) -> Iterator[Path]:
    """Every file below that is not hidden.

    A folder that must not be listed is an error, where `Path.rglob` would skip it in silence.
    """

    def refuse(error: OSError) -> None:
        raise PermissionError(f"data {str(root)!r}: {error.filename} cannot be listed: {error.strerror}") from error

    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        folders[:] = filter(_is_meant, folders)
        for name in folders:
            link = Path(folder, name)
            if link.is_symlink() and Path(folder).resolve().is_relative_to(link.resolve()):
                raise ValueError(f"data {str(root)!r}: {link} leads back to a folder that it lies in; remove this link")
        yield from (Path(folder, name) for name in names if _is_meant(name))


def _is_meant(name: str) -> bool:
    return not name.startswith(".") and name not in LEFT_BEHIND


def _arrange(root: Path, places: Sequence[PurePath]) -> tuple[list[str], list[str]]:
    """Of each image, the part that it is in (none, where the folder is not divided into parts) and its label."""
    tops = {place.parts[0] for place in places if len(place.parts) > 1}
    role = {top: part for top in tops for part, names in PARTS.items() if top.lower() in names}
    divided = len(set(role.values())) > 1
    beside = [place for place in places if place.parts[0] not in role]
    if divided and beside:
        raise ValueError(
            f"data {str(root)!r}: {beside[0]} lies beside the folders {', '.join(sorted(role))}, which divide the set; "
            "move it into one of them or elsewhere"
        )
    if divided and "train" not in role.values():
        raise ValueError(f"data {str(root)!r} has the folders {', '.join(sorted(role))}, and none to train on: train")
    inner = divided or (not beside and set(role.values()) == {"train"})  # a single folder `train` is no class either
    labels = [(place.relative_to(place.parts[0]) if inner else place).parent.as_posix() for place in places]
    counts = Counter(labels)
    if len(counts) > 1 and (count := counts.get(".")):
        stray = places[labels.index(".")]
        raise ValueError(
            f"data {str(root)!r}: {stray} lies beside the folders of the classes, one of {count} such images; move it "
            "into one of them or elsewhere"
        )
    return [role[place.parts[0]] for place in places] if divided else [], labels


def _pixels(name: str, root: Path, files: Sequence[Path], size: int | None, background: str) -> np.ndarray:
    """Bytes [N, C, H, W], in memory where they are few, else mapped into it.

    The headers are looked at first, so that a stranger among the files is found before the work.
    """
    settings = {"files": fingerprint(root, files)}
    headers = cached(f"{name}-headers", settings, lambda: _headers(files))
    shapes = np.stack([headers["width"], headers["height"]], axis=1)
    if size is None and len(different := np.flatnonzero((shapes != shapes[0]).any(axis=1))):
        one, other = tuple(shapes[0].tolist()), tuple(shapes[different[0]].tolist())
        raise ValueError(
            f"{files[0]} has {one} pixels and {files[different[0]]} {other}; scale them to one size with size=64"
        )
    width, height = (size, size) if size else shapes[0].tolist()
    grey = bool(headers["grey"].all())
    background = _background(root, files, background, headers)

    def decode(file: Path) -> np.ndarray:
        return read(file, grey=grey, size=(width, height), background=background)

    shape = (1 if grey else 3, height, width)
    images = decoded(name, root, files, shape, decode, {"background": background}, into=cache_folder())
    few = len(files) * shape[0] * height * width < MAPPED
    return images[:] if few else images  # type: ignore[return-value]  # to whoever indexes it, an array


def _headers(files: Sequence[Path]) -> dict[str, np.ndarray]:
    parts = [files[start : start + 1024] for start in range(0, len(files), 1024)]
    with ThreadPoolExecutor() as pool:
        found = [one for part in pool.map(lambda part: [kind(file) for file in part], parts) for one in part]
    return {field: np.array(values) for field, values in zip(Kind._fields, zip(*found, strict=True), strict=True)}


def _background(root: Path, files: Sequence[Path], background: str, headers: Mapping[str, np.ndarray]) -> str:
    """One colour for the whole set: the one asked for; or white, or black where white hides an image."""
    fields = {"white": "on_white", "black": "on_black"}
    if background == "auto":
        background = "white" if headers["on_white"].all() or not headers["on_black"].all() else "black"
    hidden = np.flatnonzero(~headers[fields[background]]) if background in fields else np.array([], int)
    if len(hidden):
        other = "grey" if background == "white" else "white"
        raise ValueError(
            f"data {str(root)!r}: all that {files[hidden[0]]} shows is in its transparency, and cannot be seen on "
            f"{background}: take background={other}"
        )
    return background
