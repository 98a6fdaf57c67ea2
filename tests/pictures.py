"""What tests ask of pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib.image import imread

from zoo.lab.plots import style


def shown(path: Path) -> bool:
    """Whether a picture of some size has something on it."""
    pixels = imread(path)[..., :3]
    return bool(min(pixels.shape[:2]) > 100 and pixels.std() > 0.01)


@contextmanager
def quick_pictures() -> Iterator[None]:
    """Draws every picture without matplotlib's layout and with few pixels, where no test looks at it."""
    token = style._sheets.set((*style._sheets.get(), Path(__file__).with_name("quick.mplstyle")))
    try:
        yield
    finally:
        style._sheets.reset(token)
