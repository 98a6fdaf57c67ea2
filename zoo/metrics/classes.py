"""The classes of each factor of N datapoints, read from the forms in which they are given."""

from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any, Protocol, TypeAlias

import numpy as np
from torch import Tensor

from zoo.metrics.sites import to_numpy
from zoo.order import are_numbers, exact, ordered_categories


class Data(Protocol):
    """The part of a data set that metrics use: batches in order, each with its x, and factors or labels."""

    def __len__(self) -> int: ...

    def in_order(self, batch_size: int, *, device: Any = ...) -> Iterator[Any]:
        """Batches of all datapoints, each with its `x`."""

    def subset(self, rows: np.ndarray) -> "Data":
        """The datapoints at these rows [n]."""

    @property
    def name(self) -> str:
        """What the set is called, for messages."""

    @property
    def y(self) -> np.ndarray | None:
        """Labels [N], where there are some."""

    @property
    def factors(self) -> Any:
        """Generative factors, where there are some."""


Classes: TypeAlias = "np.ndarray | Tensor | Mapping[str, Any] | Data | None"


class NotCategorical(ValueError):
    """A factor's values are not classes."""


def columns(factors: Any) -> dict[str, Any]:
    """Each factor's values by name: of a data set, a mapping, a data frame, a structured array, or a table.

    Raises:
        ValueError: a table is not [N, K].
    """
    if factors is None:
        return {}
    if is_data(factors):
        if factors.factors is not None:
            return dict(zip(factors.factors.names, factors.factors.classes.T, strict=True))
        return {} if factors.y is None else {"label": factors.y}
    if isinstance(factors, Mapping):
        return {str(name): column for name, column in factors.items()}
    if hasattr(factors, "columns"):  # a data frame
        return {str(name): factors[name] for name in factors.columns}
    table = to_numpy(factors)
    if table.dtype.names:
        return {name: table[name] for name in table.dtype.names}
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2:
        raise ValueError(f"factors must be class indices [N, K], got {table.shape}")
    return {f"factor {k}": column for k, column in enumerate(table.T)}


def is_data(factors: Any) -> bool:
    """Whether these are the factors of a data set."""
    return hasattr(factors, "in_order")


def classes_of(name: str, column: Any, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The values of a factor that occur, sorted, and each point's class among them, [N].

    Texts that are all numbers are sorted as numbers; two texts of one number are one class. Ordered categories of
    pandas keep their order.

    Raises:
        NotCategorical: values are neither whole numbers nor names, or there are about as many as points.
        ValueError: there is not one value per point.
    """
    categories = ordered_categories(column)
    column = to_numpy(column)
    if column.shape != (length,):
        raise ValueError(
            f"{name!r} has values of shape {column.shape} for codes of {length} points: give one class per point"
        )
    if column.dtype.kind == "O":
        column = _of_objects(name, column)
    if column.dtype.kind == "S":
        column = np.char.decode(column, "utf-8", "backslashreplace")
    advice = "np.unique(column, return_inverse=True)[1] numbers the values it has, np.digitize cuts into ranges"
    if column.dtype.kind not in "biufUS":
        raise NotCategorical(
            f"{name!r} is not categorical: expected class indices or names, got {column.dtype}; {advice}"
        )
    if column.dtype.kind == "f":
        whole = np.isfinite(column) & (column == np.round(column))
        if not whole.all():
            n = np.flatnonzero(~whole)[0]
            raise NotCategorical(
                f"{name!r} is not categorical: {column[n]} at point {n} is not a class index; {advice}"
            )
    # 2 comes before 10, also where both are texts
    numbers = exact(column.tolist(), column.astype(float)) if are_numbers(column) else column
    _, first, classes = np.unique(numbers, return_index=True, return_inverse=True)
    values, classes = categories or (column[first], classes)
    if 2 * len(values) > length:
        raise NotCategorical(
            f"{name!r} is not categorical: {len(values)} classes in {length} points, fewer than two points per class; "
            f"give more points, or {advice}"
        )
    return values, classes.astype(np.int64)


def has_order(name: str, factors: Any, values: np.ndarray) -> bool:
    """Whether the classes of a factor can stand for numbers: they are numbers, ordered categories, or only two.

    Args:
        name: of the factor.
        factors: all factors, as given.
        values: of the factor, from `classes_of`.
    """
    if len(values) <= 2:
        return True
    if is_data(factors):
        if factors.factors is None:
            return not len(getattr(factors, "classes", ()))  # a label whose classes have names
        return bool(factors.factors.has_order(name))
    if values.dtype.kind not in "OSU" or are_numbers(values):
        return True
    return ordered_categories(columns(factors)[name]) is not None


def _of_objects(name: str, column: np.ndarray) -> np.ndarray:
    """An array of names or of numbers, from one of Python objects."""
    names = np.array([isinstance(value, str) for value in column])
    numbers = np.array([isinstance(value, (Real, np.bool_)) for value in column])
    if names.all():
        return column.astype(str)
    if numbers.all():
        return np.array(column.tolist())
    n = np.flatnonzero(~names)[0] if names.any() else np.flatnonzero(~numbers)[0]
    raise NotCategorical(
        f"{name!r} is not categorical: {column[n]!r} at point {n}, where classes are all names or all numbers; leave "
        "points without a class out"
    )
