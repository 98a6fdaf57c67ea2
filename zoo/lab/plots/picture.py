"""A picture with its caption, and writing pictures to files."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from zoo.lab.plots.image_grid import Animation, ImageGrid


class Picture(NamedTuple):
    """A picture and its caption.

    Attributes:
        drawn: a figure, a grid of images, an animation, or text such as a table in Markdown.
        caption: a description of what it shows.
    """

    drawn: Figure | ImageGrid | Animation | str
    caption: str


def save_pictures(pictures: Mapping[str, Picture], folder: Path, *, format: str = "png") -> dict[str, str]:
    """Writes pictures into a folder, which is created if necessary.

    Args:
        pictures: by file name.
        folder: the destination.
        format: of the figures and grids: "png", "svg" or "pdf", which replaces the ending .png.

    Returns:
        Captions by file name, as written.

    Raises:
        OSError: a file cannot be written.
        ValueError: matplotlib has no such format.
    """
    folder.mkdir(parents=True, exist_ok=True)
    captions = {}
    for name, (drawn, caption) in pictures.items():
        path = folder / name
        if path.suffix == ".png":
            path = path.with_suffix(f".{format}")
        if isinstance(drawn, str):
            path.write_text(drawn)
        elif isinstance(drawn, Figure):
            drawn.savefig(path)
        else:
            drawn.save(path)
        captions[path.name] = caption
    return captions
