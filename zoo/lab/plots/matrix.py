"""A matrix of numbers, such as correlations, as a picture."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from zoo.lab.plots.style import figure, styled

WRITTEN = 12  # columns up to which every cell has its number


@styled
def matrix(numbers: np.ndarray, *, title: str, rows: Sequence[str], columns: Sequence[str], signed: bool) -> Figure:
    """Numbers [R, C] as shades, with their values where there are few columns.

    Args:
        numbers: the matrix.
        title: of the picture.
        rows, columns: names.
        signed: correlations: blue for 1, white for 0, red for -1; else grey from 0 to the largest number.
    """
    top = 1.0 if signed else float(numbers.max(initial=1e-12, where=np.isfinite(numbers)))
    canvas = figure(max(4.2, 0.42 * len(columns) + 1.8), max(1.5, 0.3 * len(rows) + 1.3))
    axes = canvas.add_subplot()
    shades = axes.imshow(
        numbers, cmap="RdBu" if signed else "Greys", vmin=-top if signed else 0, vmax=top, aspect="auto"
    )
    if len(columns) <= WRITTEN:
        for row, column in np.ndindex(*numbers.shape):
            ink = "white" if abs(numbers[row, column]) > 0.6 * top else "black"
            axes.text(column, row, f"{numbers[row, column]:.2f}", ha="center", va="center", color=ink)
    else:
        canvas.colorbar(shades, ax=axes)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns, rotation=90 if max(map(len, columns)) > 3 else 0)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(True)
    axes.set_title(title)
    return canvas
