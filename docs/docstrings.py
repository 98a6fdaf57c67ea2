"""Docstrings in the project's form, as Sphinx reads them.

They are Markdown with Google's sections: single backticks are code, and an indented block is shown as it stands. In
reStructuredText `|KL - C|` and `z_` would be markup.
"""

import re
from typing import Any

SECTION = re.compile(r"(Args|Attributes|Example|Examples|Raises|Returns|Yields):$")
EXAMPLE = re.compile(r"Examples?:$")


def setup(app: Any) -> dict[str, bool]:
    """Registers the conversion."""
    app.connect("autodoc-process-docstring", _convert)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True}


def _skip(app: Any, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leaves out the fields of a NamedTuple: its docstring describes them, theirs only counts them."""
    return True if (getattr(thing, "__doc__", None) or "").startswith("Alias for field number") else None


def _convert(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    from sphinx.ext.napoleon import Config, GoogleDocstring  # here, so that a test needs no Sphinx

    # Arguments that belong together share a line, so names are shown as they are written, and have no types.
    form = Config(napoleon_use_param=False, napoleon_custom_sections=[("Attributes", "params_style")])
    # Napoleon would take the words before a colon in a property's first line as its type; in a function's it does not.
    told = str(GoogleDocstring(restructured(lines), form, what="function"))
    lines[:] = told.replace(" -- ", " \N{EN DASH} ").splitlines()


def restructured(lines: list[str]) -> list[str]:
    """A docstring's lines with reStructuredText in place of Markdown; sections keep their form."""
    out: list[str] = []
    in_section = in_block = in_example = False
    for line in lines:
        before = out[-1] if out else ""
        if line and not line.startswith(" "):
            in_section, in_block, in_example = bool(SECTION.match(line)), False, bool(EXAMPLE.match(line))
        if line.startswith("    ") and not in_section and not in_block and not before:
            out += [".. code-block:: text", ""]
            in_block = True
        if line.startswith("- ") and before and not before.startswith(("- ", "  ")):
            out.append("")  # a list needs an empty line before it
        # Napoleon would take the words before a colon in a section of what is returned as a type.
        out.append(line if in_block or in_example else ":returns:" if line == "Returns:" else escaped(line))
    return out


def escaped(line: str) -> str:
    """The line with a backslash before the characters outside backticks that would be markup."""
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(part if part[:1] == "`" else re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts)
