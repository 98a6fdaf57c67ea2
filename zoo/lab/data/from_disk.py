"""Your own data from disk: a folder of images, an .npz, or a .pt of tensors. From memory, `Dataset.from_arrays`."""

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.lab.data.array_like import as_array
from zoo.lab.data.conversion import as_labels, names_of
from zoo.lab.data.dataset import Dataset
from zoo.lab.data.factors import Factors
from zoo.lab.data.image_folder import image_folder
from zoo.lab.data.npz import DAMAGE, names_in, read_npz
from zoo.lab.data.rows import blocks
from zoo.lab.data.split import Split, split
from zoo.lab.errors import first_line
from zoo.lab.files import readable

KEYS = ("x", "y", "classes", "factors", "factor_names", "x_test", "y_test", "factors_test")


def yours(
    path: Path,
    *,
    size: int | None = None,
    x_max: float | None = None,
    background: str = "auto",
    held_out: float = 0.1,
    seed: int = 0,
) -> Split:
    """Loads a folder of images, an .npz or a .pt, with labels and factors where there are any.

    A folder of images: its sub-folders, if there are any, are the labels. Sub-folders train, val and test (or two of
    them, or valid, validation, eval, training, testing) split the set instead, and the labels are the folders in them;
    val is the test set where there is no test, else left out. Parts with other names, such as pets_train and pets_test,
    or at another depth, such as pets/train and pets/test, are refused. Hidden folders and files are skipped. Images are
    read as a viewer shows them: rotated by their EXIF data, on `background` where they are transparent. If all files
    are stored as grey images they become [N, 1, H, W], else [N, 3, H, W]. A file factors.csv with a column `file` (as
    in a/1.png) and one column per factor defines the factors, see `factors_table.read_factors`. The images are decoded
    once, into the cache, and memory-mapped where the set is large.

    An .npz or a .pt (a dictionary of tensors; or one tensor, which is x; or two, which are x and y): x [N, ...], and
    optionally y [N], classes (the labels' names), factors [N, F] with factor_names [F], and x_test, y_test,
    factors_test. x_train and so on are read as x and so on.

    Args:
        path: of the folder or file.
        size: to scale a folder's images to, in pixels; they must have one size when not given. At most 1024 x 1024.
        x_max: the byte that becomes 1.0, for a file; see `Dataset.from_arrays`.
        background: the colour behind a folder's transparent images, such as white, grey or #00ff00; auto is white, or
            black where an image would be invisible on white.
        held_out: the share to test on, where there is no test set; 0 to test on the training set.
        seed: of its random choice.

    Raises:
        FileNotFoundError: there is no such path, or nothing in it.
        PermissionError: a folder cannot be listed.
        ValueError: a file is damaged, is not an image, or differs in size; an array is missing, unknown or does not
            fit.
        OSError: the cache cannot be written.
    """
    if path.is_dir():
        if x_max is not None:
            raise ValueError(f"data {str(path)!r}: x_max is for an .npz or a .pt; in images 255 becomes 1")
        return image_folder(path, size=size, background=background, held_out=held_out, seed=seed)
    if not path.exists():
        raise FileNotFoundError(f"data {str(path)!r}: there is no such file or folder; `data` lists the data sets")
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".pt") or not path.is_file():
        raise ValueError(
            f"data {str(path)!r}: it must be a folder of images, an .npz or a .pt; np.savez('mine.npz', x=images, "
            "y=labels) writes an .npz"
        )
    if size is not None or background != "auto":
        raise ValueError(f"data {str(path)!r}: size and background are for a folder of images; this is a file")
    arrays = _npz(path) if suffix == ".npz" else _named(path, _tensors(path))
    parts = ("", "_test") if "x_test" in arrays else ("",)
    for part in parts:
        arrays[f"x{part}"] = as_array(path.stem, f"x{part}", arrays[f"x{part}"])
        if not arrays[f"x{part}"].ndim:
            raise ValueError(f"data {path.stem!r}: x{part} must be [N, ...], got ()")
    if x_max is not None and arrays["x"].dtype not in (np.uint8, np.bool_):
        raise ValueError(
            f"data {str(path)!r}: x_max is for bytes, and x holds {arrays['x'].dtype}; leave it out, and divide x by "
            f"{x_max:g}"
        )
    if len({arrays[f"x{part}"].dtype in (np.uint8, np.bool_) for part in parts}) > 1:
        raise ValueError(
            f"data {str(path)!r}: x holds {arrays['x'].dtype} and x_test {arrays['x_test'].dtype}, and only bytes are "
            "divided by x_max; save both with one type"
        )
    y, factors = _joined(path, arrays, "y", parts), _joined(path, arrays, "factors", parts)
    y, classes = as_labels(path.stem, y, names_of(f"data {str(path)!r}: classes", arrays.get("classes", [])))
    if factors is None and "factor_names" in arrays:
        raise ValueError(f"data {str(path)!r} has factor_names, but no factors")
    behind = None if factors is None else _factors(path, factors, arrays.get("factor_names"))
    sets: list[Dataset] = []
    start = 0
    for part in parts:
        x = arrays[f"x{part}"]
        rows = np.arange(start, start + len(x))
        start += len(x)
        if part and sets[0].x.dtype == np.uint8:
            _check_largest(path, x, sets[0].x_max, given=x_max is not None)
        sets.append(
            Dataset.from_arrays(
                x,
                None if y is None else y[rows],
                name=readable(path.stem),
                x_max=sets[0].x_max if part and sets[0].x.dtype == np.uint8 else x_max,
                classes=classes,
                factors=None if behind is None else behind.subset(rows),
            )
        )
    if len(sets) == 2 and sets[0].shape != sets[1].shape:
        raise ValueError(f"data {str(path)!r}: datapoints of x are {sets[0].shape} and of x_test {sets[1].shape}")
    return Split(*sets) if len(sets) == 2 else split(sets[0], held_out, seed=seed)


def _check_largest(path: Path, x_test: np.ndarray, x_max: float, *, given: bool) -> None:
    """Refuses test bytes above what becomes 1.0 in training, which was given or found there."""
    if x_test.dtype != np.uint8 or x_max >= 255 or 0 in x_test.shape:
        return
    largest = max(int(block.max()) for _, block in blocks(x_test))
    if largest > x_max and given:
        raise ValueError(f"data {str(path)!r}: x_test has bytes up to {largest}, above x_max = {x_max:g}")
    if largest > x_max:
        raise ValueError(
            f"data {str(path)!r}: x has only the bytes 0 and 1, of which 1 becomes 1.0, and x_test has bytes up to "
            f"{largest}; save both on one scale, as with 255 * x, or give x_max=255 if they are on one"
        )


def _npz(path: Path) -> dict[str, Any]:
    _check_keys(path, names_in(path))  # before anything large is read
    return {_key(name): array for name, array in read_npz(path).items()}


def _named(path: Path, loaded: Any) -> dict[str, Any]:
    """The arrays in a .pt, by name."""
    if isinstance(loaded, Tensor):
        loaded = {"x": loaded}
    if isinstance(loaded, (tuple, list)) and 1 <= len(loaded) <= 2 and all(isinstance(t, Tensor) for t in loaded):
        loaded = dict(zip(("x", "y"), loaded, strict=False))
    if not isinstance(loaded, Mapping):
        raise ValueError(
            f"data {str(path)!r} holds a {type(loaded).__name__}; save a dictionary of tensors, "
            "torch.save({'x': images, 'y': labels}, path)"
        )
    _check_keys(path, [str(name) for name, value in loaded.items() if value is not None])
    return {_key(str(name)): value for name, value in loaded.items() if value is not None}


def _check_keys(path: Path, names: list[str]) -> None:
    keys = [_key(name) for name in names]
    if "x" not in keys or not set(keys) <= set(KEYS) or len(set(keys)) < len(keys):
        few = sorted(names)[:10]
        if len(names) > 10:
            few.append("...")
        raise ValueError(f"data {str(path)!r} holds {few}; it must have x, and may have {', '.join(KEYS[1:])}")


def _key(name: str) -> str:
    return name.removesuffix("_train")


def _joined(path: Path, arrays: Mapping[str, Any], key: str, parts: tuple[str, ...]) -> np.ndarray | None:
    """Training and test rows of one array concatenated, so that labels and factors are numbered consistently."""
    names = [f"{key}{part}" for part in parts]
    there = [name for name in names if name in arrays]
    if not there:
        if "x_test" not in arrays and f"{key}_test" in arrays:
            raise ValueError(f"data {str(path)!r} has {key}_test, but no x_test")
        return None
    if len(there) < len(names):
        raise ValueError(f"data {str(path)!r} has {there[0]} and x_test, but no {(set(names) - set(there)).pop()}")
    found = [np.atleast_1d(as_array(path.stem, name, arrays[name])) for name in names]
    for array, name, part in zip(found, names, parts, strict=True):
        n, m = len(arrays[f"x{part}"]), len(array)
        if n != m:
            raise ValueError(f"data {str(path)!r}: x{part} has {n} datapoints and {name} {m}")
    kinds = {array.dtype.names or ("names" if array.dtype.kind in "SU" else "numbers") for array in found}
    if len(kinds) > 1:  # of which NumPy would make names, those of numbers besides
        raise ValueError(
            f"data {str(path)!r}: {key} holds {found[0].dtype} and {key}_test {found[1].dtype}, and a name never "
            "equals a number; save both with one type"
        )
    return np.concatenate(found)


def _factors(path: Path, factors: np.ndarray, names: Any) -> Factors:
    """Factors from a table [N, F] of values; without names, the factors are numbered."""
    if factors.ndim == 1 and not factors.dtype.names:
        factors = factors[:, None]
    names = None if names is None else names_of(f"data {str(path)!r}: factor_names", names)
    if names is not None and len(set(names)) < len(names):
        raise ValueError(f"data {str(path)!r}: factor_names must be one name each, got {names}")
    if factors.ndim == 2 and names is not None and len(names) == factors.shape[1]:
        return Factors.of({name: factors[:, f] for f, name in enumerate(names)})
    if names is not None or (factors.ndim != 2 and not factors.dtype.names):
        raise ValueError(
            f"data {str(path)!r}: factors must be [N, F] with F factor_names, got {factors.shape} and "
            f"{0 if names is None else len(names)} names"
        )
    return Factors.of(factors)


def _check_sums(path: Path) -> None:
    """Verifies the checksums in the archive that `torch.save` writes, which `torch.load` does not verify."""
    if not zipfile.is_zipfile(path):  # of an older version, or damaged
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (*DAMAGE, NotImplementedError) as error:
        damaged = str(error)
    if damaged:
        raise ValueError(
            f"data {str(path)!r} is damaged: the checksum of {damaged} differs; copy it again, or save it again with "
            "torch.save"
        )


def _tensors(path: Path) -> Any:
    _check_sums(path)
    try:
        with warnings.catch_warnings():  # from the loader's own checks
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the unpickler does
        more = "Unsupported" in str(error)
        what = "more than tensors" if more else "no tensors that can be read"
        why = "as NumPy's arrays or objects" if more else first_line(error)[:160]
        raise ValueError(
            f"data {str(path)!r} holds {what} ({why}); save a dictionary of tensors, "
            "torch.save({'x': torch.from_numpy(images), 'y': torch.from_numpy(labels)}, path)"
        ) from error
