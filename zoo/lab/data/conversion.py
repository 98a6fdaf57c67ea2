"""Converts data of various types (tensors, lists, data frames, torch data sets) to arrays, or refuses them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import sparse
from torch import Tensor

from zoo.arguments import shown
from zoo.lab.data.array_like import TAKEN, as_array
from zoo.lab.data.rows import blocks
from zoo.order import EXACT, are_numbers, exact

LARGEST = float(np.finfo(np.float32).max)


def as_features(name: str, x: Any) -> Any:
    """x [N, ...] with images as [N, C, H, W]; see `Dataset.from_arrays`.

    Raises:
        TypeError, ValueError: as `as_array`; x has no axis but N; or its channels are last and not 1 or 3.
    """
    if sparse.issparse(x):
        if x.ndim != 2 or x.dtype.kind not in "biuf":
            raise ValueError(f"data {name!r}: a sparse x must be [N, V] of numbers, got {x.dtype} of shape {x.shape}")
        check_finite(name, x := sparse.csr_array(x))
        return x.astype(np.float32)
    if hasattr(x, "shape") and hasattr(x, "dtype") and not hasattr(x, "__array__"):
        return x  # computes its rows when indexed
    if isinstance(x, Image.Image):
        raise ValueError(f"data {name!r}: x is one image; [x] makes a set of it")
    x = as_array(name, "x", x)
    if x.dtype.names:
        raise ValueError(
            f"data {name!r}: x has the named columns {', '.join(x.dtype.names)}; structured_to_unstructured of "
            "numpy.lib.recfunctions makes a table [N, V] of them"
        )
    if x.dtype.kind in "SU":
        raise ValueError(
            f"data {name!r}: x holds texts, {x.dtype}, and must hold numbers: x.astype(float) makes them of texts that "
            "are numbers; load('pictures/') reads the images of a folder"
        )
    if x.ndim < 2:
        raise ValueError(f"data {name!r}: x must be [N, ...], got {x.shape}; x[:, None] makes one column")
    one_image = x.ndim == 3 and x.shape[2] in (3, 4)
    one_image &= x.shape[0] == x.shape[1] > 4 or (x.dtype == np.uint8 and min(x.shape[:2]) >= 16)
    if x.dtype == np.bool_:
        x = x.view(np.uint8)
    elif x.dtype.kind in "iu" and x.dtype != np.uint8:
        low, high = x.min(initial=0), x.max(initial=0)
        if low >= 0 and high <= 255:
            raise ValueError(
                f"data {name!r}: x holds {x.dtype}; .astype(np.uint8) makes bytes of it, .astype(np.float32) floats"
            )
        scaled = f", (x / {high}).astype(np.float32) floats from 0 to 1" if low == 0 else ""
        raise ValueError(
            f"data {name!r}: x holds {x.dtype} from {low} to {high}, which are not bytes; .astype(np.float32) makes "
            f"floats of it{scaled}"
        )
    elif x.dtype == np.longdouble:
        x = x.astype(np.float64)
    if x.ndim == 3:
        if one_image:
            raise ValueError(
                f"data {name!r}: x of shape {x.shape} looks like one image; x[None] makes a set of it, and "
                f"x[:, None] keeps {x.shape[0]} images of {x.shape[1]} x {x.shape[2]} pixels"
            )
        return x[:, None]
    if x.ndim == 4 and x.shape[1] > 4 and x.shape[2] > x.shape[3]:  # the last axis is small, so it holds the channels
        if x.shape[3] in (2, 4):
            raise ValueError(
                f"data {name!r}: x of shape {x.shape} looks like images with {x.shape[3]} channels last; "
                "x[..., :-1] leaves transparency out, x.transpose(0, 3, 1, 2) keeps all channels"
            )
        if x.shape[3] in (1, 3):
            return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return x


def as_labels(name: str, y: Any, classes: Sequence[str] = ()) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Labels as int64 from 0, or None, and the names of the classes: those given, else the labels' own names.

    Raises:
        TypeError, ValueError: as `as_array` and `names_of`; a label is missing or a real number; a name is not in
            `classes`; there are classes and no labels.
    """
    if y is None:
        if len(classes):
            raise ValueError(f"data {name!r}: classes are the names of labels, and there is no y; give y, too")
        return None, ()
    y, classes = as_text(as_array(name, "y", y)), names_of(f"data {name!r}: classes", classes)
    if y.dtype.kind in "U":
        names, numbers = np.unique(y, return_inverse=True)
        y = numbers.reshape(y.shape)  # which NumPy before 2.0 flattens
        found = tuple(map(str, names))
        if "" in found:
            raise ValueError(f"data {name!r}: y has {(y == 0).sum()} empty labels; {UNLABELLED}")
        if not classes:
            return y, found
        if strange := sorted(set(found) - set(classes)):
            raise ValueError(f"data {name!r}: y has the label {strange[0]!r}, which is not in classes {classes}")
        return np.array([classes.index(label) for label in found])[y], classes
    if y.dtype.kind == "f":
        if np.isnan(y).any():
            raise ValueError(f"data {name!r}: y has {np.isnan(y).sum()} missing labels (NaN); {UNLABELLED}")
        if (strange := (y != np.round(y)) | (abs(y) > EXACT)).any():
            raise ValueError(
                f"data {name!r}: y holds {y.dtype}; labels are integers or names, a measured quantity is a factor: "
                f"factors={{'quantity': y}}; got {y[strange][0]:g}"
            )
    return (y.astype(np.int64) if y.dtype.kind in "biuf" else y), classes


def as_text(array: np.ndarray) -> np.ndarray:
    r"""Bytes as names; what is not UTF-8 is kept as \xe9 and the like, so that two names stay two."""
    return np.char.decode(array, "utf-8", "backslashreplace") if array.dtype.kind == "S" else array


def names_of(where: str, names: Any) -> tuple[str, ...]:
    """Names of classes or factors in their order, some of which may be bytes or numbers, as texts.

    Raises:
        TypeError: they are not a list of names, but a set, whose order is not known, a mapping or something else.
    """
    values = names
    if hasattr(names, "dtype") or isinstance(names, str):
        values = np.atleast_1d(names).tolist()
    ordered = isinstance(values, Collection) and not isinstance(values, (Mapping, set, frozenset, bytes))
    if not ordered or any(isinstance(value, (list, Mapping)) or value is None for value in values):
        raise TypeError(f"{where} must be a list of names in their order, got {shown(names)}")
    return tuple(v.decode("utf-8", "backslashreplace") if isinstance(v, bytes) else str(v) for v in values)


UNLABELLED = "leave the unlabelled datapoints out, x[known], y[known], or leave y out"


def as_columns(factors: Any) -> dict[str, np.ndarray]:
    """Values of factors by name, [N] each: of a mapping, a data frame, or a table [N, F] (named 0, 1, ...).

    Raises:
        TypeError, ValueError: as `as_array`; two have one name, or a value is missing.
    """
    if isinstance(factors, Mapping):
        pairs = list(factors.items())
    elif hasattr(factors, "columns") and hasattr(factors, "__getitem__"):
        if len(set(factors.columns)) < len(factors.columns):  # factors[name] would be several columns
            raise ValueError(f"factors need one name each, got columns {list(map(str, factors.columns))}")
        pairs = [(name, factors[name]) for name in factors.columns]
    else:
        table = as_array("factors", "the table", factors)
        if table.dtype.names:
            pairs = [(name, table[name]) for name in table.dtype.names]
        elif table.ndim == 2:
            pairs = list(enumerate(table.T))
        else:
            raise ValueError(f"factors must be a mapping, a data frame or a table [N, F], got {table.shape}")
    names = [str(name) for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"factors need one name each, got {names}")
    columns = {name: as_array("factors", repr(name), column) for name, (_, column) in zip(names, pairs, strict=True)}
    for name, column in columns.items():
        if column.ndim != 1:
            raise ValueError(f"factor {name!r} needs one value per datapoint, got {column.shape}")
        columns[name] = column = _numbers(as_text(column))
        if column.dtype.kind in "fcmM" and not np.isfinite(column).all():
            raise ValueError(
                f"factor {name!r} has values that are not finite, the first in datapoint "
                f"{np.flatnonzero(~np.isfinite(column))[0]}; fill them in or leave their datapoints out"
            )
    return columns


def _numbers(column: np.ndarray) -> np.ndarray:
    """A column of texts as numbers where each is one, as in a table that has names, too: 2 comes before 10."""
    return exact(column.tolist(), column.astype(float)) if are_numbers(column) else column


def from_items(name: str, data: Any) -> tuple[Any, Any]:
    """x and y (or None) of a torch Dataset, whose items are datapoints or pairs of a datapoint and a label.

    Raises:
        TypeError: it has no length, or its items are something else.
    """
    iterable = isinstance(data, torch.utils.data.IterableDataset)
    if iterable or not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
        raise TypeError(f"data {name!r}: a {type(data).__name__} has no length and items; give {TAKEN}")
    items = [data[i] for i in range(len(data))]
    pairs = [tuple(item) if isinstance(item, (tuple, list)) else (item,) for item in items]
    if not items or isinstance(items[0], (Mapping, str)) or {len(pair) for pair in pairs} not in ({1}, {2}):
        kind = type(items[0]).__name__ if items else "nothing"
        raise TypeError(
            f"data {name!r}: the items of a {type(data).__name__} must be a datapoint, or a datapoint and its label; "
            f"got {kind}"
        )
    x, *labels = zip(*pairs, strict=True)
    y = (
        [label.item() if isinstance(label, Tensor) and label.ndim == 0 else label for label in labels[0]]
        if labels
        else None
    )
    return list(x), y


def is_torch_dataset(x: Any) -> bool:
    """Whether x is a torch Dataset or a DataLoader."""
    return isinstance(x, (torch.utils.data.Dataset, torch.utils.data.DataLoader))


def check_finite(name: str, x: Any) -> None:
    """Refuses values that are not finite, or too large for single precision; reads x block by block.

    Args:
        name: of the data set, for the message.
        x: its values [N, ...]: anything that an integer array can index, or a sparse matrix.

    Raises:
        ValueError: there are such values; the message counts them.
    """
    infinite, large = _Wrong("that are not finite"), _Wrong(f"beyond {LARGEST:.2g}, the largest float32")
    for start, values in blocks(x.data if sparse.issparse(x) else x):
        finite = np.isfinite(values)
        infinite.add(start, ~finite)
        if values.dtype.itemsize == 8:  # a batch is float32
            large.add(start, finite & (abs(values) > LARGEST))
    for wrong in (infinite, large):
        if wrong.count:
            where = "" if sparse.issparse(x) else f", the first in datapoint {wrong.first}"
            raise ValueError(
                f"data {name!r}: x has {wrong.count} values {wrong.what}{where}; leave these datapoints out"
            )


@dataclass
class _Wrong:
    """How many values of x are wrong, and the first datapoint that has one."""

    what: str
    count: int = 0
    first: int = 0

    def add(self, start: int, wrong: np.ndarray) -> None:
        """Adds a block, whose first datapoint is `start`."""
        if count := int(wrong.sum()):
            if not self.count:
                self.first = start + int(np.argwhere(wrong)[0, 0])
            self.count += count


def check_labels(name: str, y: np.ndarray, length: int, classes: Sequence[str]) -> None:
    """Checks that labels are one integer from 0 per datapoint.

    Raises:
        ValueError: the labels are something else; the message says how to number them.
    """
    if y.shape != (length,) or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"data {name!r}: y must hold one integer per datapoint ({length}), "
            f"got {y.dtype} of shape {y.shape}{_how(y)}"
        )
    if len(set(classes)) < len(classes):
        raise ValueError(f"data {name!r}: classes need one name each, got {classes}")
    if y.min() == -1:
        raise ValueError(
            f"data {name!r}: y has {(y == -1).sum()} labels of -1, which scikit-learn uses for datapoints "
            f"without a label; {UNLABELLED}"
        )
    if y.min() < 0 or (classes and y.max() >= len(classes)):
        above = f" to {len(classes) - 1}, one for each of the classes" if classes else ""
        raise ValueError(
            f"data {name!r}: labels go from 0{above}, got {y.min()} to {y.max()}; "
            "np.unique(y, return_inverse=True) numbers them from 0"
        )


def _how(y: np.ndarray) -> str:
    """A hint, for the message, how to convert labels of this shape or type; empty where there is none to give."""
    if y.ndim == 2:
        return "; y[:, 0] takes the column" if y.shape[1] == 1 else "; one-hot labels: y.argmax(1)"
    return "; .astype(str) makes names of them" if y.dtype.kind in "mM" else ""
