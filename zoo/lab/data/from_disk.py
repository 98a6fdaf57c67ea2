"""Your own data from disk: a folder of images, an .npz, or a .pt of tensors. From memory, `Dataset.from_arrays`."""

import contextlib
import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from zoo.lab.data.cache import Stream, cached, fingerprint, read_npz
from zoo.lab.data.dataset import Dataset, Split, split
from zoo.lab.data.factors import Factors

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow says of it
TABLE = "factors.csv"
KEYS = ("x", "y", "classes", "factors", "factor_names", "x_test", "y_test", "factors_test")


def yours(
    path: Path, *, size: int | None = None, x_max: float | None = None, held_out: float = 0.1, seed: int = 0
) -> Split:
    """A folder of images, an .npz or a .pt, with labels and factors where it has them.

    A folder of images: the folders in it, if there are any, are the labels; if they are just train and test, they are
    the split, and the labels lie in them. If all images are grey they become [N, 1, H, W], else [N, 3, H, W]. A file
    factors.csv with a column `file` (as in a/1.png) and one more per factor gives the factors. The images are decoded
    once, into a cache.

    An .npz or a .pt (a dictionary of tensors, or one tensor, which is x): x [N, ...], and if wanted y [N], classes
    (the labels' names), factors [N, F] with factor_names [F], and x_test, y_test, factors_test.

    Args:
        path: of the folder or file.
        size: to scale a folder's images to, in pixels; they must have one size when not given.
        x_max: the byte that counts as 1, in a file; see `Dataset.from_arrays`.
        held_out: the share that is for testing, where there is no x_test; 0 to test on the training set.
        seed: of its choice.

    Raises:
        FileNotFoundError: there is no such path, or nothing in it.
        PermissionError: a folder must not be listed.
        ValueError: a file is damaged, is no image, or differs in size; an array is missing, unknown or does not fit.
    """
    if path.is_dir():
        return _folder(path, size, held_out, seed)
    if not path.exists():
        raise FileNotFoundError(f"data {str(path)!r}: there is no such file or folder")
    if path.suffix not in (".npz", ".pt"):
        raise ValueError(f"data {str(path)!r}: expected a folder of images, an .npz or a .pt")
    arrays = read_npz(path) if path.suffix == ".npz" else _tensors(path)
    if "x" not in arrays or not set(arrays) <= set(KEYS):
        raise ValueError(
            f"data {str(path)!r} holds {sorted(arrays)}; it must have x, and may have {', '.join(KEYS[1:])}"
        )
    parts = ("", "_test") if "x_test" in arrays else ("",)
    y, factors = _joined(path, arrays, "y", parts), _joined(path, arrays, "factors", parts)
    classes = tuple(str(name) for name in arrays.get("classes", []))
    if y is not None and y.dtype.kind in "US":
        names, y = np.unique(y, return_inverse=True)
        classes = tuple(str(name) for name in names)
    behind = None if factors is None else _named(path, factors, arrays.get("factor_names"))
    sets: list[Dataset] = []
    start = 0
    for part in parts:
        x = arrays[f"x{part}"]
        rows = np.arange(start, start + len(x))
        start += len(x)
        sets.append(
            Dataset.from_arrays(
                x,
                None if y is None else y[rows],
                name=path.stem,
                x_max=sets[0].x_max if sets else x_max,
                classes=classes,
                factors=None if behind is None else behind.subset(rows),
            )
        )
    return Split(*sets) if len(sets) == 2 else split(sets[0], held_out, seed=seed)


def _joined(path: Path, arrays: dict[str, Any], key: str, parts: tuple[str, ...]) -> np.ndarray | None:
    """Training and test rows of one array in one, so that both number their labels or factors alike."""
    names = [f"{key}{part}" for part in parts]
    there = [name for name in names if name in arrays]
    if not there:
        return None
    if len(there) < len(names):
        raise ValueError(f"data {str(path)!r} has {there[0]} and x_test, but no {(set(names) - set(there)).pop()}")
    for name, part in zip(names, parts, strict=True):
        if (n := len(arrays[f"x{part}"])) != (m := len(arrays[name])):
            raise ValueError(f"data {str(path)!r}: x{part} has {n} datapoints and {name} {m}")
    return np.concatenate([np.asarray(arrays[name]) for name in names])


def _named(path: Path, factors: np.ndarray, names: Any) -> Factors:
    """From a table [N, F] of values; numbers are the names where there are none."""
    if factors.ndim != 2 or (names is not None and len(names) != factors.shape[1]):
        raise ValueError(
            f"data {str(path)!r}: factors must be [N, F] with F factor_names, got {factors.shape} and "
            f"{0 if names is None else len(names)} names"
        )
    columns = range(factors.shape[1])
    return Factors.of({str(names[f] if names is not None else f): factors[:, f] for f in columns})


def _tensors(path: Path) -> dict[str, Any]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the unpickler does
        raise ValueError(f"data {str(path)!r}: no tensors can be read from it: {error}") from error
    return loaded if isinstance(loaded, dict) else {"x": loaded}


def _folder(root: Path, size: int | None, held_out: float, seed: int) -> Split:
    name = root.resolve().name
    files = sorted(file for file in _walk(root) if not file.name.startswith(".") and file != root / TABLE)
    if not files:
        raise FileNotFoundError(f"data {str(root)!r}: there are no images in this folder")
    if others := [f for f in files if f.suffix.lower() not in IMAGES]:
        raise ValueError(
            f"data {str(root)!r}: {others[0]} is no image, one of {len(others)} such files; move them elsewhere "
            f"(images end in {' '.join(IMAGES)})"
        )
    x = cached(name, {"files": fingerprint(root, files), "size": size}, lambda: {"x": _decode(files, size)})["x"]
    places = [file.relative_to(root) for file in files]
    parts = np.array([place.parts[0] for place in places])
    divided = set(parts) == {"train", "test"} and all((root / part).is_dir() for part in parts)
    labels = [(place.relative_to(place.parts[0]) if divided else place).parent.as_posix() for place in places]
    data = Dataset.from_arrays(
        x,
        labels if len(set(labels)) > 1 else None,
        name=name,
        x_max=255.0,
        factors=_factors(root / TABLE, [place.as_posix() for place in places]),
    )
    if divided:
        return Split(*(data.subset(np.flatnonzero(parts == part)) for part in ("train", "test")))
    return split(data, held_out, seed=seed)


def _walk(root: Path) -> Iterator[Path]:
    """Every file below; a folder that must not be listed is an error, where `Path.rglob` would skip it in silence."""

    def refuse(error: OSError) -> None:
        raise PermissionError(f"data {str(root)!r}: {error.filename} cannot be listed: {error.strerror}") from error

    for folder, _, names in os.walk(root, onerror=refuse, followlinks=True):
        yield from (Path(folder) / name for name in names)


def _decode(files: list[Path], size: int | None) -> Stream:
    """Bytes [N, C, H, W]; looks at all headers first, so that a stranger among the files is found before the work."""
    modes, sizes = set(), dict[tuple[int, int], Path]()
    for file in files:
        with _opened(file) as image:
            modes.add(image.mode)
            sizes.setdefault(image.size, file)
            if image.mode[0] in "IF":
                raise ValueError(f"{file} has mode {image.mode}; save it with 8 bits a channel")
    if size is None and len(sizes) > 1:
        (one, first), (other, second) = list(sizes.items())[:2]
        raise ValueError(f"{first} has {one} pixels and {second} {other}; scale them to one size with size=64")
    mode = "L" if modes <= {"1", "L"} else "RGB"
    width, height = (size, size) if size else next(iter(sizes))

    def parts() -> Iterator[np.ndarray]:
        for file in files:
            with _opened(file) as image:
                try:
                    pixels = np.asarray(image.convert(mode).resize((width, height), Image.Resampling.BILINEAR))
                except DAMAGE as error:
                    raise ValueError(f"{file} cannot be read: {error}; mend or remove it") from error
            yield pixels.reshape(1, height, width, -1).transpose(0, 3, 1, 2)

    return Stream((len(files), len(mode), height, width), np.dtype(np.uint8), parts())


def _opened(file: Path) -> Image.Image:
    try:
        return Image.open(file)
    except DAMAGE as error:
        raise ValueError(f"{file} cannot be read as an image: {error}; mend or remove it") from error


def _factors(file: Path, images: list[str]) -> dict[str, np.ndarray] | None:
    """The columns of factors.csv in the images' order; numbers where all of a column are."""
    if not file.is_file():
        return None
    with file.open(newline="") as lines:
        table = {row.pop("file", ""): row for row in csv.DictReader(lines)}
    if missing := [image for image in images if image not in table]:
        raise ValueError(
            f"{file} has no line for {missing[0]}, one of {len(missing)} such images; its column `file` must name them "
            "as seen from its folder"
        )
    if ragged := [image for image in images if None in table[image] or None in table[image].values()]:
        raise ValueError(f"{file}: the line for {ragged[0]} has not as many values as the first line has names")
    columns = {name: np.array([table[image][name] for image in images]) for name in table[images[0]]}
    for name, column in columns.items():
        with contextlib.suppress(ValueError):
            columns[name] = column.astype(np.float64)
    return columns
