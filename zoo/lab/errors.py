"""Names that people type, and what to say when there is no such thing."""

import difflib
from collections.abc import Iterable


def unknown(what: str, name: str, there_are: Iterable[str]) -> str:
    """The message for a name that is not there: the nearest one, and all there are."""
    names = sorted(there_are)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return (
        f"unknown {what} {name!r}"
        + (f"; did you mean {nearest[0]!r}?" if nearest else ".")
        + f" There are: {', '.join(names)}"
    )
