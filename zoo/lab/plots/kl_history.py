"""KL per latent dimension over training (Joint-VAE's Figures 7 and 10)."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.lab.analysis.kl_history import THRESHOLD, WINDOW, Run, discovery_order, smooth
from zoo.lab.plots.style import COLOURS, FAINT, INK, figure, styled

FEW = 12  # curves with at most so many points have markers


@styled
def plot_kl_history(runs: Sequence[Run], *, threshold: float = THRESHOLD, window: int = WINDOW) -> Figure:
    """Above, the KL of every unit over training; below, the sum of each site and its capacity. A column for each run.

    Units that `discovery_order` lists have a colour and their name, the others are grey. Curves are means over `window`
    rows of units.csv, or over half of a short run's rows, so that a curve has at least two points.

    Raises:
        ValueError: a run has fewer than two rows.
    """
    for run in runs:
        if len(run.history.steps) < 2:
            raise ValueError(f"{run.title}: the KL of each unit was recorded once, and a curve needs two points")
    canvas = figure(5.6 * len(runs), 5.6)
    grid = canvas.subplots(2, len(runs), sharey="row", sharex="col", squeeze=False, height_ratios=[3, 2])
    for run, (units, sums) in zip(runs, grid.T, strict=True):
        found = [one.unit for one in discovery_order(run.history, threshold=threshold, window=window)]
        smoothing = min(window, math.ceil(len(run.history.steps) / 2))
        _draw_units(units, run, found, smoothing)
        _draw_sums(sums, run, smoothing)
        units.set_title(run.title)
        sums.set_xlabel("step")
    grid[0, 0].set_ylabel("KL of a unit, nats")
    grid[1, 0].set_ylabel("KL of a site, nats")
    return canvas


def _draw_units(axes: Axes, run: Run, found: Sequence[str], window: int) -> None:
    curves = {unit: smooth(kl, window) for unit, kl in run.history.kl.items()}
    steps = smooth(run.history.steps, window)  # the middle of each window
    marker = "." if len(steps) <= FEW else ""
    for unit in curves.keys() - set(found):
        axes.plot(steps, curves[unit], color=FAINT, linewidth=0.8, marker=marker)
    for place, unit in enumerate(found):
        line = "-" if place < len(COLOURS) else "--"
        axes.plot(steps, curves[unit], line, color=COLOURS[place % len(COLOURS)], marker=marker)
    top = max(curve.max() for curve in curves.values())
    ends = _apart([curves[unit][-1] for unit in found], 0.045 * top)
    for place, (unit, end) in enumerate(zip(found, ends, strict=True)):
        label = f"  {place + 1}. {unit}"
        axes.text(steps[-1], end, label, color=COLOURS[place % len(COLOURS)], va="center")


def _draw_sums(axes: Axes, run: Run, window: int) -> None:
    groups = list(run.capacity) or list(dict.fromkeys(unit.split("[")[0] for unit in run.history.kl))
    for place, group in enumerate(groups):
        colour = INK if place == 0 else COLOURS[place % len(COLOURS)]
        kl = smooth(run.history.of(group), window)
        steps = smooth(run.history.steps, window)
        axes.plot(steps, kl, color=colour, marker="." if len(steps) <= FEW else "", label=f"KL of {group}")
        if run.capacity:
            axes.plot(run.history.steps, run.capacity[group], ":", color=colour, label=f"its capacity, C of {group}")
    axes.legend()


def _apart(heights: Sequence[float], least: float) -> list[float]:
    """Label heights near the given ones, at least `least` apart."""
    placed = list(heights)
    last = -math.inf
    for n in np.argsort(heights):
        placed[n] = last = max(heights[n], last + least)
    return placed
