"""One style for every picture: the style sheet, colours, an empty figure, scatter plots by class, a shaded table."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from matplotlib import rc_context, rcParams, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

INK = "#1b4f72"  # one dark blue, which prints as dark grey
FAINT = "#b0b0b0"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "^", "s", "D")  # after seven classes the colours repeat, with the next marker
LINES = ("-", "--", ":", "-.")  # and after seven curves with the next line

SLIDE = (13.33, 7.5)  # inches
TEXT = ("font.size", "axes.titlesize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize")

_HERE = Path(__file__).parent
_sheets: ContextVar[tuple[Path, ...]] = ContextVar("sheets", default=(_HERE / "zoo.mplstyle",))
P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def projector() -> Iterator[None]:
    """A block in which every picture is drawn for a projector: thicker lines, and text of at least 14 points.

    The points are those on a slide of 13.33 x 7.5 inches that the picture fills.

    with projector():
        kl_bars(evaluation).savefig("kl.svg")
    """
    token = _sheets.set((_HERE / "zoo.mplstyle", _HERE / "projector.mplstyle"))
    try:
        yield
    finally:
        _sheets.reset(token)


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorates a drawing function: it runs under the style sheet, and matplotlib's settings are restored after it.

    Texts of a figure that it returns are `as_written`.
    """

    @wraps(draw)
    def under_the_sheet(*args: P.args, **kwargs: P.kwargs) -> R:
        with style.context(list(_sheets.get())):
            drawn = draw(*args, **kwargs)
            if isinstance(drawn, Figure):
                as_written(drawn)
            return drawn

    return under_the_sheet


def as_written(canvas: Figure) -> None:
    """Escapes the dollar signs in all texts of a figure: names of sites and factors are not formulas.

    Only the numbers along an axis keep matplotlib's formulas, such as powers of ten.
    """
    for text in canvas.findobj(Text):
        text.set_text(_without_formulas(text.get_text()))
    for axis in (axis for axes in canvas.axes for axis in (axes.xaxis, axes.yaxis)):
        if isinstance(axis.get_major_formatter(), (FixedFormatter, FuncFormatter)):  # names instead of numbers
            names = [label.get_text() for label in axis.get_ticklabels()]
            if any("$" in name for name in names):
                axis.set_ticklabels([_without_formulas(name) for name in names])


def _without_formulas(text: str) -> str:
    return re.sub(r"(?<!\\)\$", r"\\$", text)  # once: a figure may be returned by several functions


def line_of(place: int) -> dict[str, Any]:
    """The colour and the line of a picture's curve at this place; the first 28 differ."""
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": LINES[place // len(COLOURS) % len(LINES)]}


class StyledFigure(Figure):
    """A figure that is cropped when saved, in every format, and that a notebook shows without pyplot.

    Attributes:
        sizes: of its text, which matplotlib also needs when it is saved.
    """

    sizes: Any

    @styled
    def savefig(self, fname: Any, **options: Any) -> None:
        """Saves the figure as matplotlib does, under the style sheet."""
        with rc_context(self.sizes):
            super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def figure(width: float, height: float) -> Figure:
    """An empty figure of the given size in inches; for a projector, text is scaled to the size of the slide."""
    settings: Any = rcParams
    sizes = {size: settings[size] for size in TEXT}
    if _on_slides():
        on_slide = min(SLIDE[0] / width, SLIDE[1] / height)
        sizes = {size: points / on_slide for size, points in sizes.items()}
        settings.update(sizes)  # `styled` restores them
    canvas = StyledFigure(figsize=(width, height))
    canvas.sizes = sizes
    return canvas


def _on_slides() -> bool:
    return _HERE / "projector.mplstyle" in _sheets.get()


@styled
def shaded_table(
    numbers: np.ndarray,
    *,
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    shade: np.ndarray,
    x: str = "",
    y: str = "",
) -> Figure:
    """Numbers [R, C] as written; cells are shaded by `shade` [R, C], 0 to 1; x and y are what the axes show."""
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
    axes.set(title=title, xlabel=x, ylabel=y)
    return canvas


def scatter_by_class(axes: Axes, points: np.ndarray, y: np.ndarray | None, names: Sequence[str] = ()) -> None:
    """Points [N, 2], a colour and a marker for each class of y [N], and each class's name at its median."""
    if y is None:
        axes.scatter(points[:, 0], points[:, 1], s=5, color=INK, linewidths=0)
        return
    halo = [withStroke(linewidth=2.5, foreground="white")]
    classes = np.unique(y)
    low, span = points.min(0).astype(float), np.ptp(points, 0).astype(float)
    # In shares of the range: in a collapsed unit's own values, a step of 5 % of their range would be lost in rounding.
    shares = (np.array([np.median(points[y == k], 0) for k in classes]) - low) / np.where(span > 0, span, 1.0)
    centres = low + span * _apart(shares, np.where(span > 0, 0.05, 0.0))
    for k, (x, up) in zip(classes, centres.tolist(), strict=True):
        own, colour = points[y == k], COLOURS[k % len(COLOURS)]
        marker = MARKERS[k // len(COLOURS) % len(MARKERS)]
        axes.scatter(own[:, 0], own[:, 1], s=9, color=colour, marker=marker, linewidths=0, alpha=0.6)
        name = names[k] if names else str(k)
        axes.text(x, up, name, color=colour, weight="bold", ha="center", va="center", path_effects=halo)


def _apart(centres: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Places [K, 2] near the given ones, no two of them nearer than `least` [2] in both directions: moved up."""
    placed: list[np.ndarray] = []
    for n in np.argsort(centres[:, 1], kind="stable"):
        place = centres[n].copy()
        while near := [other for other in placed if (np.abs(place - other) < 0.999 * least).all()]:
            place[1] = max(other[1] for other in near) + least[1]
        placed.append(place)
    return np.array(placed)[np.argsort(np.argsort(centres[:, 1], kind="stable"))]


def legend_below(canvas: Figure, axes: Axes) -> None:
    """A legend of the axes' curves below all panels, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels))
