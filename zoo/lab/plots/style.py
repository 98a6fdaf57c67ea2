"""One style for every picture: the style sheet, colours, an empty figure, scatter plots by class, a shaded table."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

INK = "#1b4f72"  # one dark blue, which prints as dark grey
FAINT = "#b0b0b0"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "^", "s", "D")  # after seven classes the colours repeat, with the next marker

_HERE = Path(__file__).parent
_sheets: ContextVar[tuple[Path, ...]] = ContextVar("sheets", default=(_HERE / "zoo.mplstyle",))
P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def projector() -> Iterator[None]:
    """A block in which every picture is drawn for a projector: larger text, thicker lines.

    with projector():
        kl_bars(evaluation).savefig("kl.svg")
    """
    token = _sheets.set((_HERE / "zoo.mplstyle", _HERE / "projector.mplstyle"))
    try:
        yield
    finally:
        _sheets.reset(token)


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorates a drawing function: it runs under the style sheet, and matplotlib's settings are restored after it."""

    @wraps(draw)
    def under_the_sheet(*args: P.args, **kwargs: P.kwargs) -> R:
        with style.context(list(_sheets.get())):
            return draw(*args, **kwargs)

    return under_the_sheet


class StyledFigure(Figure):
    """A figure that is cropped when saved, in every format, and that a notebook shows without pyplot."""

    @styled
    def savefig(self, fname: Any, **options: Any) -> None:
        """As in matplotlib, under the style sheet."""
        super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def figure(width: float, height: float) -> Figure:
    """An empty figure of the given size in inches."""
    return StyledFigure(figsize=(width, height))


@styled
def shaded_table(
    numbers: np.ndarray, *, title: str, rows: Sequence[str], columns: Sequence[str], shade: np.ndarray
) -> Figure:
    """Numbers [R, C] as written; cells are shaded by `shade` [R, C], 0 to 1."""
    canvas = figure(0.5 * len(columns) + 2.2, 0.34 * len(rows) + 1.1)
    axes = canvas.add_subplot()
    axes.imshow(shade, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*numbers.shape):
        colour = "white" if shade[row, column] > 0.5 else "black"
        axes.text(column, row, f"{numbers[row, column]:g}", ha="center", va="center", color=colour)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns, rotation=0 if max(map(len, columns)) < 5 else 45)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(True)
    axes.set_title(title)
    return canvas


def scatter_by_class(axes: Axes, points: np.ndarray, y: np.ndarray | None, names: Sequence[str] = ()) -> None:
    """Points [N, 2], a colour and a marker for each class of y [N], and each class's name at its median."""
    if y is None:
        axes.scatter(points[:, 0], points[:, 1], s=5, color=INK, linewidths=0)
        return
    halo = [withStroke(linewidth=2.5, foreground="white")]
    for k in np.unique(y):
        own, colour = points[y == k], COLOURS[k % len(COLOURS)]
        marker = MARKERS[k // len(COLOURS) % len(MARKERS)]
        axes.scatter(own[:, 0], own[:, 1], s=9, color=colour, marker=marker, linewidths=0, alpha=0.6)
        name = names[k] if names else str(k)
        x, up = np.median(own, 0).tolist()
        axes.text(x, up, name, color=colour, weight="bold", ha="center", path_effects=halo)


def legend_below(canvas: Figure, axes: Axes) -> None:
    """A legend of the axes' curves below all panels, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels))
