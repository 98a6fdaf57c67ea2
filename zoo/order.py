"""Which values of a factor have an order: numbers, also those written as texts, and ordered categories of pandas."""

import re

import numpy as np

NUMBER = re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE | re.ASCII)


def are_numbers(column: np.ndarray) -> bool:
    """Whether these are texts, each of which is a number, as in a table that has names, too."""
    return column.dtype.kind == "U" and all(NUMBER.fullmatch(text.strip()) for text in column.tolist())
