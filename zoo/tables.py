"""Small tables of names and values: how data sets, reports and evaluations print, as text and in a notebook."""

import html
from collections.abc import Sequence
from typing import Any

Rows = Sequence[tuple[str, str]]


def as_text(title: str, rows: Rows) -> str:
    """The title, and below it a line for each name and its value."""
    return "\n".join([title, *(f"  {name} {value}" for name, value in rows)])


def as_html(title: str, rows: Rows) -> str:
    """The title and the rows as an HTML table, which a notebook shows."""
    cells = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in rows)
    return f"<table><tr><th colspan=2>{html.escape(title)}</th></tr>{cells}</table>"


def typed(value: Any) -> str:
    """A hyperparameter or a count in the form of the command line."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


class Tabulated:
    """An object that prints as a small table; a subclass defines `_table`, and a dataclass also has repr=False."""

    def _table(self) -> tuple[str, Rows]:
        """The title, and the rows."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return as_text(*self._table())

    def _repr_html_(self) -> str:
        return as_html(*self._table())
