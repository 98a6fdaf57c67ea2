"""A picture with its caption, and writing pictures to files."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from zoo.lab.files import readable, write_file
from zoo.lab.plots.image_grid import Animation, ImageGrid
from zoo.lab.plots.style import projector


class Picture(NamedTuple):
    """A picture and its caption.

    Attributes:
        drawn: a figure, a grid of images, an animation, or text such as a table in Markdown.
        caption: a description of what it shows.
    """

    drawn: Figure | ImageGrid | Animation | str
    caption: str


FORMATS = ("png", "svg", "pdf")
_format: ContextVar[str] = ContextVar("format", default="png")


@contextmanager
def drawn_as(format: str = "png", *, slides: bool = False) -> Iterator[None]:
    """A block in which `save_pictures` writes another format, and pictures are drawn for a projector if `slides`.

    with drawn_as("pdf", slides=True):
        traverse(run, folder)

    Raises:
        ValueError: there is no such format.
    """
    if format not in FORMATS:
        raise ValueError(f"pictures have the format {', '.join(FORMATS)}, got {format!r}")
    token = _format.set(format)
    try:
        with projector() if slides else nullcontext():
            yield
    finally:
        _format.reset(token)


def save_pictures(pictures: Mapping[str, Picture], folder: Path) -> dict[str, str]:
    """Writes pictures into a folder, which is created if necessary.

    Within `drawn_as` its format replaces the ending .png of figures and grids. A slash, as in the site enc/z, and other
    signs that some systems do not allow in a name become hyphens. A name that is then already taken gets a number.

    Args:
        pictures: by file name.
        folder: the destination.

    Returns:
        Captions by file name, as written.

    Raises:
        OSError: a file cannot be written; the message names it, and its old content is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    captions: dict[str, str] = {}
    for name, (drawn, caption) in pictures.items():
        path = folder / re.sub(r'[\\/:*?"<>|]', "-", name)
        if path.suffix == ".png":
            path = path.with_suffix(f".{_format.get()}")
        stem, number = path.stem, 2
        while path.name.lower() in map(str.lower, captions):  # some systems do not tell Z.png from z.png
            path, number = path.with_stem(f"{stem}-{number}"), number + 1
        write_file(path, _content(drawn, path.suffix[1:]))
        captions[path.name] = caption
    return captions


def _content(drawn: Figure | ImageGrid | Animation | str, format: str) -> bytes:
    """The bytes of its file."""
    if isinstance(drawn, str):
        return readable(drawn).encode()
    if isinstance(drawn, Animation):
        return drawn.gif()
    file = BytesIO()
    (drawn.figure() if isinstance(drawn, ImageGrid) else drawn).savefig(file, format=format)
    return file.getvalue()
