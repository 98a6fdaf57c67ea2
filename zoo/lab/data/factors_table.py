"""factors.csv: the generative factors of a folder's images, in the formats of editors and spreadsheets."""

import csv
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from zoo.order import exact

MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}  # byte order marks

MISSING = ("na", "<na>", "n/a", "n.a.", "null", "none", "missing", "unknown", "-", "--", "\N{EN DASH}", ".", "?")
"""Written among numbers where one is missing, in lower case; so are errors of spreadsheets, which begin with #."""
MINUS = "\N{MINUS SIGN}"  # of spreadsheets in some languages


def read_factors(file: Path, images: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns of factors.csv in the images' order; numeric where every value of a column is a number.

    Values are separated by commas, semicolons or tabs, the first line has the names; with semicolons and tabs a number
    may have a decimal comma. A minus may be Unicode's. The text is UTF-8 or, with a byte order mark, UTF-16. The column
    `file` names an image from the folder that the table lies in, with slashes or backslashes.

    Args:
        file: the table.
        images: their names in the column `file`.

    Raises:
        ValueError: the file is not such a table; an image has no line, two lines, or a line with a missing value.
    """
    names, lines, separator = _table(file)
    table: dict[str, list[str]] = {}
    at = names.index("file")
    for number, cells in lines:
        if len(cells) != len(names):
            raise ValueError(
                f"{file}: line {number}, for {cells[0]}, has {len(cells)} values and the first line {len(names)} names"
                "; give each line as many"
            )
        image = _normal(cells[at])
        if image in table:
            raise ValueError(f"{file}: line {number} names {image} for the second time; keep one")
        table[image] = cells
    wanted = [_normal(image) for image in images]
    if missing := [image for image in wanted if image not in table]:
        raise ValueError(
            f"{file} has no line for {missing[0]}, one of {len(missing)} such images; its column `file` must name them "
            "as seen from its folder"
        )
    columns = {}
    for place, name in enumerate(names):
        if name == "file":
            continue
        column = [table[image][place] for image in wanted]
        if "" in column:
            raise ValueError(f"{file}: the line for {wanted[column.index('')]} has no value for {name!r}")
        columns[name] = _numbers(file, name, column, wanted, comma=separator != ",")
    return columns


def _table(file: Path) -> tuple[list[str], list[tuple[int, list[str]]], str]:
    """The names of the columns; each non-blank line with its number; and the separator."""
    content = file.read_bytes()
    encoding = next((encoding for mark, encoding in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 (byte {error.start}); save it as CSV UTF-8") from error
    lines = text.splitlines()
    skip = 1 if lines and lines[0].lower().startswith("sep=") else 0  # Excel's own hint
    first = lines[skip] if len(lines) > skip else ""
    separator = max(",;\t", key=first.count)
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator, skipinitialspace=True)]
    except csv.Error as error:
        raise ValueError(f"{file} cannot be read as a table: {error}") from error
    names = [name if name.lower() != "file" else "file" for name in (rows[skip] if len(rows) > skip else [])]
    width = len(names)
    while width and not any(row[width - 1 :][:1] != [""] for row in rows[skip:] if len(row) >= width):
        width -= 1  # an empty column at the end, as spreadsheets leave it
    numbered = [(n + 1, row) for n, row in enumerate(rows) if n > skip and any(row)]
    numbered = [(n, row[:width] if not any(row[width:]) else row) for n, row in numbered]
    names = names[:width]
    if names.count("file") != 1 or len(names) < 2 or "" in names or len(set(names)) < len(names):
        raise ValueError(
            f"{file}: the first line must name the columns, each once: `file` and one or more factors, separated by "
            f"commas, semicolons or tabs; got {first[:80]!r}"
        )
    return names, numbered, separator


def _normal(image: str) -> str:
    """One spelling of a path: slashes, no ./, and accented letters as one character (macOS uses two)."""
    return unicodedata.normalize("NFC", PurePosixPath(image.replace("\\", "/")).as_posix())


def _numbers(file: Path, name: str, column: list[str], images: list[str], *, comma: bool) -> np.ndarray:
    """The column as numbers if every value is a number, else unchanged.

    Raises:
        ValueError: a value in a column of numbers is missing or not finite; the message names the image.
    """
    if all(map(_is_missing, column)):
        return np.array(column)
    if any("_" in cell for cell in column):  # a name such as 1_0, which Python reads as 10
        return np.array(column)
    plain = [cell.replace(MINUS, "-") for cell in column]
    cells = ["nan" if _is_missing(cell) else cell.replace(",", ".") if comma else cell for cell in plain]
    try:
        values = np.array(list(map(float, cells)))
    except ValueError:
        return np.array(column)
    if not np.isfinite(values).all():
        image = images[int(np.flatnonzero(~np.isfinite(values))[0])]
        raise ValueError(f"{file}: the line for {image} has no number for {name!r}; fill it in or leave the column out")
    return exact(plain, values)


def _is_missing(cell: str) -> bool:
    return cell.lower() in MISSING or cell.startswith("#")
