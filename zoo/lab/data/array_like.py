"""Arrays of what is like one: tensors, lists, data frames, images of Pillow."""

from numbers import Number
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from scipy import sparse
from torch import Tensor

from zoo.lab.data.image_files import count_frames
from zoo.lab.errors import first_line

COLOURED = ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV")  # modes of Pillow that are read as RGB
ITEMS = (Tensor, Image.Image, np.ndarray)  # lists of them are stacked
TAKEN = "an array, a tensor, a list, a data frame or a torch Dataset of images (and labels)"


def as_array(name: str, what: str, value: Any) -> np.ndarray:
    """Any array-like as an array in native byte order; a memory map stays a memory map.

    Args:
        name: of the data set, for messages.
        what: which of its arrays this is, for messages.
        value: the array-like.

    Raises:
        TypeError: the value is not array-like.
        ValueError: the value is ragged, masked, sparse, or holds other objects than names or numbers.
    """
    try:
        array = _array(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise type(error)(f"data {name!r}: {what} cannot be taken as an array: {first_line(error)}") from error
    if array.dtype.hasobject:
        array = _without_objects(name, what, array)
    if np.ma.is_masked(array):
        raise ValueError(f"data {name!r}: {what} has masked values; fill them in or leave their datapoints out")
    if isinstance(array, np.memmap):
        return array
    array = np.asarray(array)
    return array if array.dtype.names else array.astype(array.dtype.newbyteorder("="), copy=False)


def _array(value: Any) -> np.ndarray:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        if value.layout != torch.strided:
            raise ValueError("it is a sparse tensor; .to_dense() makes an array of it")
        if value.is_floating_point() and value.dtype not in (torch.float16, torch.float32, torch.float64):
            value = value.float()  # NumPy has no bfloat16
        return value.resolve_conj().resolve_neg().numpy()
    if sparse.issparse(value):
        raise ValueError("it is a sparse matrix; .toarray() makes an array of it")
    if isinstance(value, (list, tuple)):
        if value and isinstance(value[0], ITEMS):
            return _stacked([_array(item) for item in value])
        array = np.asarray(value)
        return np.array(value, dtype=object) if array.dtype.kind == "U" else array  # NumPy makes names of numbers, too
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Image.Image):
        value = _shown(value)
    if isinstance(value, (str, bytes, int, float)) or not (hasattr(value, "__array__") or _has_interface(value)):
        raise TypeError(f"it is a {type(value).__name__}; give {TAKEN}")
    return np.asarray(value)


def _stacked(items: list[np.ndarray]) -> np.ndarray:
    """Items as one array, which has a mask where they have."""
    types = {item.dtype for item in items}
    if len(types) > 1 and types & {np.dtype(np.uint8), np.dtype(np.bool_)}:  # of which 255, True and 1.0 are one
        raise ValueError(f"its items hold {' and '.join(sorted(map(str, types)))}; give all of them one type and scale")
    return np.ma.stack(items) if any(map(np.ma.isMaskedArray, items)) else np.stack(items)


def _shown(image: Image.Image) -> Image.Image:
    """An image as a viewer shows it: rotated by its EXIF data; grey, in colours, or with transparency."""
    if (frames := count_frames(image)) > 1:
        raise ValueError(f"an image has {frames} frames; give each frame as an image")
    image.load()  # rotates a TIFF, which must not be rotated twice
    image = ImageOps.exif_transpose(image)
    if image.mode not in COLOURED:
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _has_interface(value: Any) -> bool:
    return hasattr(value, "__array_interface__") or hasattr(value, "__dlpack__") or isinstance(value, memoryview)


def _without_objects(name: str, what: str, array: np.ndarray) -> np.ndarray:
    """An array of Python objects as names or numbers."""
    values: list[Any] = array.ravel().tolist()
    if missing := [n for n, v in enumerate(values) if _is_missing(v)]:
        raise ValueError(
            f"data {name!r}: {what} has {len(missing)} missing values, the first in datapoint {missing[0]}; "
            "fill them in or leave their datapoints out"
        )
    if array.ndim == 1 and all(isinstance(value, (*ITEMS, list)) for value in values):  # a column of a data frame
        return as_array(name, what, values)
    if all(isinstance(value, str) for value in values):
        return array.astype(str)
    if all(isinstance(value, (bool, int, float, np.number, np.bool_)) for value in values):
        return np.array(list(values)).reshape(array.shape)
    kinds = sorted({type(value).__name__ for value in values})
    mend = ".astype(str) makes names of them, .astype(float) numbers"
    if what.startswith("x"):
        mend = ".astype(float) makes numbers of them; leave columns that hold none out"
    raise ValueError(f"data {name!r}: {what} holds Python objects ({', '.join(kinds)}); {mend}")


def _is_missing(value: Any) -> bool:
    nan = isinstance(value, Number) and value != value
    return value is None or nan or type(value).__name__ in ("NAType", "NaTType")
