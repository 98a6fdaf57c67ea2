"""Errors for names that do not exist and for optional libraries that are not installed; an error in one line."""

import difflib
import importlib
import traceback
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MEANT = (ValueError, TypeError, LookupError, OSError, ImportError, FloatingPointError, RuntimeError)
"""Errors whose messages say what is wrong."""


def in_a_line(error: Exception) -> str:
    """An error's message; with its type and the line that raised it where the message may not say what is wrong."""
    if isinstance(error, MEANT):
        return str(error)
    (*_, frame) = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__}: {error} ({Path(frame.filename).name}, line {frame.lineno})"


def first_line(error: BaseException) -> str:
    """The first line of an error's message that is not blank; the error's type where there is none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that does not exist: the nearest known name, and all of them."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return (
        f"unknown {what} {name!r}"
        + (f"; did you mean {nearest[0]!r}?" if nearest else ".")
        + (f" There are: {', '.join(names)}" if names else " There are none")
    )


def import_optional(name: str, what: str, extra: str = "notebooks") -> Any:
    """The module `name` of an extra of this package, which is needed for `what`.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # deprecation warnings raised while libraries are imported
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:  # the module is installed, but one of its dependencies is not
            raise
        raise ModuleNotFoundError(
            f'{what} needs {error.name}, which is not installed: pip install -e ".[{extra}]"', name=error.name
        ) from None
