"""Whether a bad input was refused as it should be: by one clear line, of this project's own, before any work.

`complaint` returns what is wrong with the way in which an input was refused, and nothing if it held.
"""

import contextlib
import linecache
import math
import os
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Sized
from pathlib import Path
from typing import Any

import numpy as np
import torch

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent

OURS = (ValueError, TypeError, LookupError, OSError)
LIBRARY_WORDS = re.compile(
    r"Errno|object is not|objects? has no attribute|unexpected keyword argument|required positional|unsupported operand"
    r"|not supported between|not subscriptable|not iterable|not callable|could not be converted|cannot be interpreted"
    r"|can't be converted|expected str, bytes|Expected parameter|mat1 and mat2|must match the size|out of bounds"
    r"|codec can't decode|invalid literal|list indices|cannot unpack|math domain|Boolean value of Tensor|truth value"
)
"""How Python and libraries say it, without the argument's name or a remedy."""

MEND = re.compile(
    r"must |give |needs |need |takes |choose|use |make |put |draw|save |write |emove|name another|there (is|are|must)"
    r"|There (is|are) ?|did you mean|leave|has to|it has |has the|begin|resume|from \d|goes? from|at least|one of"
    r"|run the|see |labels are |instead|in place of|or \d|\d to \d|without|is for|are for|cannot be combined"
    r"|has no|is finished"
)
"""What a remedy, or the range of valid values, reads like."""


def spellings(value: Any) -> Iterator[str]:
    """The ways in which a message may show a value: as it is, as its type, or, of a class or function, its name."""
    if isinstance(value, str):
        yield value
        yield repr(value)[1:-1]
    yield repr(value)
    yield type(value).__name__
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield "()"  # the shape of what should have been an array
        yield f"{value:g}"
        if not math.isnan(value):
            yield f"{value:,}"
    if isinstance(value, (list, tuple, dict, set)):
        for member in value:
            yield from spellings(member)
    if isinstance(value, (list, tuple)):
        with contextlib.suppress(ValueError):  # of lists that are not of one length
            shape = np.shape(value)
            yield from (str(list(shape)), str(shape))
    if isinstance(value, dict):
        for member in value.values():
            yield from spellings(member)
    if isinstance(value, (torch.Tensor, np.ndarray)):
        yield from (str(value.dtype), str(list(value.shape)), str(tuple(value.shape)))
        for member in value.reshape(-1)[:8].tolist():
            yield from spellings(member)
        if "nan" in str(value):
            yield "not finite"
    if hasattr(value, "__name__"):
        yield value.__name__
    if value is None:
        yield "missing"
    if isinstance(value, Sized) and not isinstance(value, str) and len(value) == 0:
        yield from ("empty", "no ", "[]", "at least one", "left out")


def complaint(call: Callable[[], Any], places: tuple[str, ...], value: Any) -> str:
    """What is wrong with how `call` refuses `value`; "accepted" where it does not refuse it."""
    try:
        call()
    except Exception as error:
        return _of_error(error, places, value)
    return "accepted"


def _of_error(error: Exception, places: tuple[str, ...], value: Any) -> str:
    said = str(error)
    if not isinstance(error, OURS):
        return f"is a {type(error).__name__}: {said}"
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    file = frame.f_code.co_filename
    if not file.startswith(f"{ROOT}{os.sep}") or file.startswith(f"{TESTS}{os.sep}"):
        return f"is raised in {Path(file).name}:{line}, not here: {type(error).__name__}: {said}"
    if not linecache.getline(file, line).strip().startswith("raise"):
        return f"happens in {Path(file).name}:{line}, by accident: {type(error).__name__}: {said}"
    return of_message(said, places, spellings(value))


def of_message(said: str, places: tuple[str, ...], shown: Iterable[str]) -> str:
    """What a message lacks: one line, the place, the value, the remedy; and no library's words."""
    if "\n" in said.strip():
        return f"has several lines: {said}"
    if found := LIBRARY_WORDS.search(said):
        return f"says {found[0]!r}, which are a library's words: {said}"
    names = {written for place in places for written in (place, place.replace("_", " "), place.replace("_", "-"))}
    if not any(name in said for name in names):
        return f"does not name {' or '.join(places)}: {said}"
    if not any(spelling in said for spelling in shown):
        return f"does not show the value: {said}"
    if not MEND.search(said):
        return f"names no remedy: {said}"
    return ""
