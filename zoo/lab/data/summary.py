"""What a data set holds, in a few lines, for its text and its table in a notebook."""

from typing import Any

import numpy as np

from zoo.lab.data import bit_packing as bits

MOST = 10  # names that are listed


def summarise(data: Any) -> tuple[str, list[tuple[str, str]]]:
    """The title and the rows of a `Dataset`'s table: its size and shape, and only the fields that it has."""
    rows = [("values", _values(data))]
    if data.y is not None:
        names = f": {_listed(data.classes)}" if data.classes else ""
        rows.append(("labels", f"{len(data.classes) or int(data.y.max()) + 1} classes{names}"))
    if data.factors is not None:
        sizes = zip(data.factors.names, data.factors.sizes, strict=True)
        rows.append(("factors, and how many values each has", _listed([f"{name} {size}" for name, size in sizes])))
    if data.vocabulary:
        rows.append(("words", f"{len(data.vocabulary):,}: {_listed(data.vocabulary)}"))
    if data.left_out:
        rows.append(("left out", _listed([f"{count:,} {kind}" for kind, count in data.left_out.items()])))
    return f"{data.name}: {len(data):,} datapoints of shape {list(data.shape)}", rows


def _values(data: Any) -> str:
    if data.x.dtype == bits.WORD:
        return "0 and 1, stored as bits"
    if data.x.dtype != np.uint8:
        return f"{data.x.dtype}"
    if data.dynamic:
        return "bytes, binarised for each batch: 1 with probability x / x_max"
    return f"bytes, divided by {data.x_max:g} in a batch"


def _listed(names: Any) -> str:
    more = [f"and {len(names) - MOST:,} more"] if len(names) > MOST else []
    return ", ".join([*map(str, names[:MOST]), *more])
