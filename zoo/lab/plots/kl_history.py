"""KL per latent dimension over training (Joint-VAE's Figures 7 and 10)."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from zoo.lab.analysis.kl_history import THRESHOLD, WINDOW, Run, order, smooth
from zoo.lab.plots.style import COLOURS, FAINT, INK, figure, plain


def plot_kl_history(runs: Sequence[Run], path: Path, *, threshold: float = THRESHOLD, window: int = WINDOW) -> None:
    """KL of every unit over training, above; the sites' sums beside their capacities, below. A column for each run.

    Units that are found have a colour and their name, the others are grey.
    """
    canvas = figure(5.6 * len(runs), 5.6)
    grid = canvas.subplots(2, len(runs), sharey="row", sharex="col", squeeze=False, height_ratios=[3, 2])
    for run, (units, sums) in zip(runs, grid.T, strict=True):
        _draw_units(plain(units), run, threshold, window)
        _draw_sums(plain(sums), run, window)
        units.set_title(run.title, fontsize=9, loc="left")
        sums.set_xlabel("step", fontsize=8)
    grid[0, 0].set_ylabel("KL of a unit, nats", fontsize=8)
    grid[1, 0].set_ylabel("KL of a site, nats", fontsize=8)
    canvas.savefig(path, bbox_inches="tight")


def _draw_units(axes: Axes, run: Run, threshold: float, window: int) -> None:
    found = [discovery.unit for discovery in order(run.history, threshold=threshold, window=window)]
    curves = {unit: smooth(kl, window) for unit, kl in run.history.kl.items()}
    steps = smooth(run.history.steps, window)  # the middle of each window
    for unit in curves.keys() - set(found):
        axes.plot(steps, curves[unit], color=FAINT, linewidth=0.8)
    for place, unit in enumerate(found):
        line = "-" if place < len(COLOURS) else "--"
        axes.plot(steps, curves[unit], line, color=COLOURS[place % len(COLOURS)], linewidth=1.4)
    top = max(curve.max() for curve in curves.values())
    ends = _apart([curves[unit][-1] for unit in found], 0.045 * top)
    for place, (unit, end) in enumerate(zip(found, ends, strict=True)):
        label = f"  {place + 1}. {unit}"
        axes.text(steps[-1], end, label, color=COLOURS[place % len(COLOURS)], fontsize=7, va="center")


def _draw_sums(axes: Axes, run: Run, window: int) -> None:
    groups = list(run.capacity) or list(dict.fromkeys(unit.split("[")[0] for unit in run.history.kl))
    for place, group in enumerate(groups):
        colour = INK if place == 0 else COLOURS[place]
        kl = smooth(run.history.of(group), window)
        axes.plot(smooth(run.history.steps, window), kl, color=colour, linewidth=1.4, label=f"KL of {group}")
        if run.capacity:
            axes.plot(run.history.steps, run.capacity[group], ":", color=colour, label=f"its capacity, C of {group}")
    axes.legend(fontsize=7, frameon=False)


def _apart(heights: Sequence[float], least: float) -> list[float]:
    """Heights for labels near the given ones, none nearer to another than `least`."""
    placed = list(heights)
    last = -math.inf
    for n in np.argsort(heights):
        placed[n] = last = max(heights[n], last + least)
    return placed
