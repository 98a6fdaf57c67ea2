"""What tests ask of pictures."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from zoo.lab.plots import Picture, style
from zoo.lab.runs import pictures as of_runs
from zoo.lab.runs import train
from zoo.lab.trials.reproduction import Reproduction
from zoo.lab.trials.trial import Trial


def drawn(reproduction: Reproduction, tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """All pictures of a reproduction, by file name."""
    return {name: picture for pictures in reproduction.pictures for name, picture in pictures(tried).items()}


def shown(path: Path) -> bool:
    """Whether a picture of some size has something on it."""
    pixels = imread(path)[..., :3]
    return bool(min(pixels.shape[:2]) > 100 and pixels.std() > 0.01)


@contextmanager
def quick_pictures() -> Iterator[None]:
    """Draws every picture without matplotlib's layout and ticks, and with few pixels, where no test looks at it.

    The two pictures of every run, curves.png and kl.png, are written empty: to draw them takes longer than a short
    training. What is on them is tested in `tests/lab/plots`, and that a run draws them in `tests/lab/runs`.
    """
    token = style._sheets.set((*style._sheets.get(), Path(__file__).with_name("quick.mplstyle")))
    try:
        with patch.object(of_runs, "plot_terms", _empty), patch.object(of_runs, "kl_bars", _empty):
            yield
    finally:
        style._sheets.reset(token)


def _empty(_: object) -> Figure:
    return Figure(figsize=(1, 1))


@contextmanager
def without_pictures() -> Iterator[None]:
    """Runs in this process draw nothing, which takes longer than a few steps; lab/runs/test_pictures.py draws."""
    with patch.object(train, "draw_run", return_value=({}, {})):
        yield


def overlapping_labels(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of labels of one axis, or of texts in one panel, that cover each other by more than a pixel."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # its layout, in less time
    found = []
    for axes in figure.axes:
        for texts in (axes.get_xticklabels(), axes.get_yticklabels(), axes.texts):
            boxes = [(t.get_text(), t.get_window_extent().padded(-0.5)) for t in texts if t.get_text().strip()]
            found += [(a, b) for (a, box), (b, other) in combinations(boxes, 2) if box.overlaps(other)]
    return found


def empty_panels(figure: Figure) -> list[str]:
    """Titles of the panels on which nothing is drawn."""
    return [a.get_title("left") for a in figure.axes if not (a.lines or a.images or a.collections or a.patches)]
