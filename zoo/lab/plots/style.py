"""One style for every picture: colours, an empty figure, scatter plots by class, a shaded table."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

INK = "#1b4f72"  # one dark blue, which prints as dark grey


COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


MARKERS = ("o", "^", "s", "D")  # the colours come round: classes of one colour have another marker


FAINT = "#b0b0b0"


def save_table(
    shares: np.ndarray, path: Path, *, title: str, rows: Sequence[str], columns: Sequence[str], shade: np.ndarray
) -> None:
    """Numbers [R, C], as written, each on a ground as dark as its `shade` in 0 ... 1."""
    canvas = figure(0.5 * len(columns) + 2.2, 0.34 * len(rows) + 1.1)
    axes = canvas.add_subplot()
    axes.imshow(shade, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*shares.shape):
        colour = "white" if shade[row, column] > 0.5 else "black"
        axes.text(column, row, f"{shares[row, column]:g}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_xticks(range(len(columns)), columns, fontsize=8, rotation=0 if max(map(len, columns)) < 5 else 45)
    axes.tick_params(length=0)
    axes.set_title(title, fontsize=9, loc="left")
    canvas.savefig(path, bbox_inches="tight")


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
        axes.text(x, up, name, color=colour, fontsize=9, weight="bold", ha="center", path_effects=halo)


def figure(width: float, height: float) -> Figure:
    """An empty one, in inches."""
    empty = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(empty)
    return empty


def plain(axes: Axes) -> Axes:
    """Without the lines above and to the right."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return axes


def legend_below(canvas: Figure, axes: Axes) -> None:
    """The names of the axes' curves under all panels, where they hide nothing."""
    handles, labels = axes.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=7, frameon=False)
