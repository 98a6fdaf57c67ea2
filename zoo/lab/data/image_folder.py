"""Your own folder of images: its split into training and test set, labels, and pixels."""

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
LEFT_BEHIND = ("__MACOSX", "desktop.ini", "Thumbs.db")  # written by operating systems, as are names with a leading dot
PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


def image_folder(
    root: Path, *, size: int | None = None, background: str = "auto", held_out: float = 0.1, seed: int = 0
) -> Split:
    """The images of a folder, with labels, factors and a split where it has them; options as in `from_disk.yours`."""
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
            f"data {str(root)!r}: {others[0]} is not an image, one of {len(others)} such files; move them elsewhere "
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
    """Every file below `root` that is not hidden.

    A folder that cannot be listed raises an error; `Path.rglob` would silently skip it.
    """

    def refuse(error: OSError) -> None:
        raise PermissionError(f"data {str(root)!r}: {error.filename} cannot be listed: {error.strerror}") from error

    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        folders[:] = filter(_is_meant, folders)
        for name in folders:
            link = Path(folder, name)
            if link.is_symlink() and Path(folder).resolve().is_relative_to(link.resolve()):
                raise ValueError(f"data {str(root)!r}: {link} links to a folder that contains it; remove this link")
        yield from (Path(folder, name) for name in names if _is_meant(name))


def _is_meant(name: str) -> bool:
    return not name.startswith(".") and name not in LEFT_BEHIND


def _arrange(root: Path, places: Sequence[PurePath]) -> tuple[list[str], list[str]]:
    """For each image, its part of the split (empty where the folder is not split) and its label."""
    tops = {place.parts[0] for place in places if len(place.parts) > 1}
    role = {top: part for top in tops for part, names in PARTS.items() if top.lower() in names}
    divided = len(set(role.values())) > 1
    outside = [place for place in places if place.parts[0] not in role]
    if divided and outside:
        raise ValueError(
            f"data {str(root)!r}: {outside[0]} is next to the folders {', '.join(sorted(role))}, which split the set; "
            "move it into one of them or elsewhere"
        )
    if divided and "train" not in role.values():
        raise ValueError(
            f"data {str(root)!r} has the folders {', '.join(sorted(role))}, but no folder train to train on"
        )
    inner = divided or (not outside and set(role.values()) == {"train"})  # a single folder `train` is not a class
    labels = [(place.relative_to(place.parts[0]) if inner else place).parent.as_posix() for place in places]
    counts = Counter(labels)
    if len(counts) > 1 and (count := counts.get(".")):
        stray = places[labels.index(".")]
        raise ValueError(
            f"data {str(root)!r}: {stray} is next to the folders of the classes, one of {count} such images; move it "
            "into one of them or elsewhere"
        )
    return [role[place.parts[0]] for place in places] if divided else [], labels


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
