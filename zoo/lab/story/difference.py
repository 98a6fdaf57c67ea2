"""The line-by-line difference of two stories."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Sign = Literal["+", "-", " "]
# Okabe and Ito's blue and vermilion: the nearest ANSI colours, and background colours for HTML.
_ANSI: dict[Sign, str] = {"+": "\x1b[34m", "-": "\x1b[33m", " ": ""}
_GROUND: dict[Sign, str] = {"+": "#cfe4f3", "-": "#fbdcc4", " ": "transparent"}


@dataclass(frozen=True)
class Row:
    """A line in cells, with its indent."""

    cells: tuple[str, ...]
    indent: int = 0

    @property
    def padded(self) -> tuple[str, ...]:
        """The cells, the first with its indent."""
        return ("    " * self.indent + self.cells[0], *self.cells[1:])

    def text(self, widths: Sequence[int]) -> str:
        """The cells in columns of these widths; a single cell takes the whole line."""
        if len(self.cells) == 1:
            return self.padded[0]
        return "  ".join(f"{cell:<{width}}" for cell, width in zip(self.padded, widths, strict=False)).rstrip()


@dataclass(frozen=True, repr=False)
class Difference:
    """Lines that only the first story has (-), that only the second has (+), and that both have.

    `str()` and `repr()` are its text, a notebook shows it in colour.

    Attributes:
        lines: sign and text.
    """

    lines: tuple[tuple[Sign, str], ...]

    def __repr__(self) -> str:
        return "\n".join(f"{sign} {line}".rstrip() for sign, line in self.lines)

    def coloured(self) -> str:
        """As text for a terminal with colours."""
        return "\n".join(
            f"{_ANSI[sign]}{sign} {line}\x1b[0m" if sign != " " else f"{sign} {line}".rstrip()
            for sign, line in self.lines
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<div style='background: {_GROUND[sign]}'>{html.escape(f'{sign} {line}')}</div>"
            for sign, line in self.lines
        )
        return f"<pre>{rows}</pre>"


def difference(before: Sequence[Sequence[Row]], after: Sequence[Sequence[Row]]) -> Difference:
    """The difference between the sections (model, guide, objective) of two stories, section by section."""
    rows = [row for section in (*before, *after) for row in section if len(row.cells) > 1]
    widths = [max((len(row.padded[i]) for row in rows if i < len(row.cells)), default=0) for i in range(3)]
    lines: list[tuple[Sign, str]] = []
    for old, new in zip(before, after, strict=True):
        for what, a, b, c, d in SequenceMatcher(a=list(old), b=list(new), autojunk=False).get_opcodes():
            if what == "equal":
                lines += [(" ", row.text(widths)) for row in new[c:d]]
            else:
                lines += [("-", row.text(widths)) for row in old[a:b]]
                lines += [("+", row.text(widths)) for row in new[c:d]]
    return Difference(tuple(lines))
