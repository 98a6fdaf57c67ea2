"""A drawing with the words that say what it shows, under the name of the file that it is meant for."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from zoo.lab.plots.image_grid import Animation, ImageGrid


class Picture(NamedTuple):
    """Something drawn, and what it shows.

    Attributes:
        drawn: a figure, a grid of images, an animation, or text such as a table in Markdown.
        caption: what it shows, in words.
    """

    drawn: Figure | ImageGrid | Animation | str
    caption: str


def save_pictures(pictures: Mapping[str, Picture], folder: Path, *, format: str = "png") -> dict[str, str]:
    """Writes pictures into a folder, made if need be.

    Args:
        pictures: by file name.
        folder: where to.
        format: of the figures and grids, in place of the ending .png: "svg", "pdf".

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
