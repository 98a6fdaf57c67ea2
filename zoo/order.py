"""Which values of a factor have an order: numbers, also those written as texts, and ordered categories of pandas."""

import re
from typing import Any

import numpy as np

NUMBER = re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE | re.ASCII)


def are_numbers(column: np.ndarray) -> bool:
    """Whether these are texts, each of which is a number, as in a table that has names, too."""
    return column.dtype.kind == "U" and all(NUMBER.fullmatch(text.strip()) for text in column.tolist())


def ordered_categories(column: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """The categories of an ordered column of pandas that occur, in their order, and each point's class among them.

    None for any other column, and where a value is missing.
    """
    dtype: Any = getattr(column, "dtype", None)
    if not (getattr(dtype, "ordered", False) and hasattr(dtype, "categories")):
        return None
    codes = np.asarray(getattr(column, "cat", column).codes)
    if not len(codes) or codes.min() < 0:
        return None
    there, classes = np.unique(codes, return_inverse=True)
    return np.asarray(dtype.categories)[there], classes.astype(np.int64)
