"""Which values of a factor have an order: numbers, also those written as texts, and ordered categories of pandas."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

EXACT = 2**53  # up to which a float holds every integer
INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
NUMBER = re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE | re.ASCII)


def are_numbers(column: np.ndarray) -> bool:
    """Whether these are texts, each of which is a number, as in a table that has names, too."""
    return column.dtype.kind == "U" and all(NUMBER.fullmatch(text.strip()) for text in column.tolist())


def exact(texts: Sequence[str], numbers: np.ndarray) -> np.ndarray:
    """Texts as `numbers`, which are floats; as integers where some are so large that floats would make equals of them.

    Long identifiers are such integers. Beyond 64 bits they stay texts.
    """
    if (abs(numbers) < EXACT).all() or not all(INTEGER.fullmatch(text.strip()) for text in texts):
        return numbers
    integers = list(map(int, texts))
    return np.array(integers, np.int64) if max(map(abs, integers)) < 2**63 else np.array(list(texts))


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
