"""A sweep's quantities against each hyperparameter of its grid."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.lab.plots.style import COLOURS, MARKERS, figure, styled
from zoo.tables import typed

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = 3


@styled
def plot_sweep(table: "pd.DataFrame", axes: Sequence[str], along: str | None = None) -> Figure:
    """A panel for each quantity: a dot for each seed, and the mean with one standard deviation at each value.

    Curves are the combinations of the other hyperparameters. Numbers on the x axis are to scale, other values are
    evenly spaced.

    Args:
        table: a row for each run: hyperparameters, seed, quantities; the `table` of a `zoo.lab.trials.sweep.Sweep`.
        axes: the hyperparameters on the grid.
        along: the one on the x axis; None where there is none, and the x axis has a single place for all seeds.

    Raises:
        LookupError: `along` is not on the grid.
        ValueError: the table has no quantity.
    """
    if along is not None and along not in axes:
        raise LookupError(f"the sweep has no hyperparameter {along!r}; it has {', '.join(axes) or 'none'}")
    names = [name for name in table.columns if name not in (*axes, "seed")]
    if not names:
        raise ValueError("the sweep's table has no quantity besides hyperparameters and seeds to draw")
    others = [name for name in axes if name != along]
    values = [] if along is None else [*{_text(value): _given(value) for value in table[along]}.values()]
    places = {_text(value): float(value) if _are_numbers(values) else float(n) for n, value in enumerate(values)}
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    canvas = figure(3.2 * columns, 2.1 * rows + 0.5)
    rest = [
        ", ".join(f"{n} = {_text(v)}" for n, v in zip(others, row, strict=True)) for row in table[others].to_numpy()
    ]
    groups = [*table.groupby(np.array(rest, dtype=object), sort=False)]
    for place, quantity in enumerate(names):
        panel = canvas.add_subplot(rows, columns, place + 1)
        for number, (label, runs) in enumerate(groups):
            at = [places[_text(v)] for v in runs[along]] if along else [0.0] * len(runs)
            _curve(panel, np.array(at), runs[quantity].to_numpy(float), number, label)
        panel.set_title(quantity)
        panel.set_xlabel(along or "")
        panel.set_xticks([*places.values()] or [0.0], [*places] or ["all seeds"])
        panel.margins(x=0.15)
    if others:
        handles, labels = panel.get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 3))
    return canvas


def _curve(panel: Axes, at: np.ndarray, values: np.ndarray, number: int, label: str) -> None:
    """One setting's seeds and their means; a quantity that a run lacks is NaN, and left out."""
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]
    at, values = at[np.isfinite(values)], values[np.isfinite(values)]
    panel.scatter(at, values, s=22, facecolors="white", edgecolors=colour, marker=marker, linewidths=0.8, zorder=3)
    centres = np.unique(at)
    means = [values[at == centre].mean() for centre in centres]
    deviations = [values[at == centre].std(ddof=1) if (at == centre).sum() > 1 else 0.0 for centre in centres]
    panel.errorbar(centres, means, deviations, color=colour, marker=marker, label=label)


def _given(value: Any) -> Any:
    """A hyperparameter as it was given: pandas turns a None beside numbers into NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _text(value: Any) -> str:
    """A hyperparameter as text, by which runs are grouped: a list has no hash, and True equals 1."""
    return typed(_given(value))


def _are_numbers(values: Sequence[Any]) -> bool:
    """Whether they have places on an axis."""
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in values)
