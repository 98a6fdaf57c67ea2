"""Values that people hand in by mistake, and which of them an annotation allows.

`fits` is written without the project's own checks, so that it can find them wrong.
"""

import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import torch
from torch import Tensor, nn


def _function(x: Any) -> Any:
    return x


POOL: tuple[Any, ...] = (
    None,
    True,
    3,
    -1,
    2.5,
    math.nan,
    math.inf,
    10**22,
    "3",
    "",
    "nosuch",
    "\N{GREEK SMALL LETTER BETA}",
    b"z",
    [3],
    ["z", 3],
    {},
    {"z": -1},
    nn.Linear,
    _function,
    torch.ones(3),
    np.ones((3, 2)),
)


def fits(value: Any, annotation: Any) -> bool:
    """Whether an annotation allows the value; whole numbers are from 0, other numbers finite, texts not empty."""
    origin, members = get_origin(annotation), get_args(annotation)
    if annotation is Any or annotation is inspect.Parameter.empty or getattr(annotation, "_is_protocol", False):
        return True
    if annotation is np.ndarray:  # whatever makes an array is taken
        return True
    if annotation is None or annotation is type(None):
        return value is None
    if origin in (Union, types.UnionType):
        return any(fits(value, member) for member in members)
    if origin is Literal:
        return value in members if isinstance(value, str) else False
    if annotation is bool:
        return isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    if annotation is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if annotation is str:
        return isinstance(value, str) and bool(value.strip())
    if annotation is Path:
        return isinstance(value, (str, Path)) and bool(str(value).strip())
    if origin is Callable or annotation is Callable:
        return callable(value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(fits(member, members[1]) for member in value.values())
    if (isinstance(origin, type) and issubclass(origin, (Sequence, tuple))) or annotation in (Sequence, list, tuple):
        if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, Tensor, np.ndarray)):
            return False
        alike = members and (origin is not tuple or members[1:] == (...,))
        return np.ndim(value) > 0 and (not alike or all(fits(member, members[0]) for member in list(value)))
    return origin is None and isinstance(annotation, type) and isinstance(value, annotation)


def near_misses(annotation: Any) -> list[Any]:
    """The values of the pool that an annotation does not allow."""
    return [value for value in POOL if not fits(value, annotation)]


def named(value: Any) -> str:
    """A value as a test's name shows it."""
    text = getattr(value, "__name__", None) or (
        f"{type(value).__name__}{list(value.shape)}" if isinstance(value, (Tensor, np.ndarray)) else repr(value)
    )
    return text[:40]
