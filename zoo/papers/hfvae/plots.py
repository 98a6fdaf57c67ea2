"""HFVAE's pictures of image models: what each unit knows, what a sweep keeps, and what training never saw.

The figures are those of Esmaeili et al. 2019, https://arxiv.org/abs/1804.02086.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from zoo.lab.plots.curves import two_errors
from zoo.lab.plots.image_grid import draw_sheet
from zoo.lab.plots.style import COLOURS, FAINT, INK, figure, legend_below, plain


def information_bars(
    panels: Mapping[str, Mapping[str, float]], path: Path, *, label: str, threshold: float, dark: Sequence[str] = ()
) -> None:
    """Figure 4, right, and Figure 5, right: nats of each unit in ascending order, the type last.

    Args:
        panels: by title, nats by unit.
        path: where to.
        label: of the axis.
        threshold: nats below which a unit is drawn in grey, for pruned.
        dark: units of the panels that have another colour, as the type's.
    """
    canvas = figure(3.4 * len(panels), 2.8)
    grid = canvas.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, nats) in zip(grid, panels.items(), strict=True):
        names = sorted((name for name in nats if name not in dark), key=nats.__getitem__)
        names += [name for name in nats if name in dark]
        values = [nats[name] for name in names]
        colours = [COLOURS[1] if n in dark else FAINT if nats[n] < threshold else INK for n in names]
        bars = plain(axes).bar(range(len(names)), values, color=colours)
        axes.bar_label(bars, [f"{round(value, 1) + 0.0:.1f}" for value in values], fontsize=6)  # no -0.0
        axes.set_xticks(range(len(names)), names, fontsize=7, rotation=60)
        axes.set_title(title, fontsize=8, loc="left")
    grid[0].set_ylabel(label, fontsize=8)
    canvas.savefig(path, bbox_inches="tight")


def trade_off(runs: Mapping[str, Sequence[tuple[float, float]]], path: Path, *, x: str, y: str) -> None:
    """Figure 6, left: a point for every run, (I, TC), a colour for every setting; a cross at each setting's mean."""
    canvas = figure(4.6, 3.4)
    axes = plain(canvas.add_subplot())
    for colour, (name, points) in zip(COLOURS, runs.items(), strict=False):
        across, up = np.transpose(points)
        axes.scatter(across, up, s=18, color=colour, alpha=0.6, linewidths=0, label=name)
        axes.scatter(across.mean(), up.mean(), s=60, color=colour, marker="x")
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    legend_below(canvas, axes)
    canvas.savefig(path, bbox_inches="tight")


def over_beta(curves: Mapping[str, Mapping[float, Sequence[float]]], path: Path, *, x: str, y: str) -> None:
    """Figure 6, right, and appendix E: every run's value, and each setting's mean with two standard errors.

    Args:
        curves: by name, every seed's value at each number on the x axis.
        path: where to.
        x, y: what the axes show.
    """
    canvas = figure(4.2, 3.2)
    axes = plain(canvas.add_subplot())
    for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
        xs = sorted(values)
        means = [float(np.mean(values[at])) for at in xs]
        errors = [two_errors(values[at]) for at in xs]
        axes.errorbar(xs, means, errors, color=colour, marker="x", lw=1, capsize=2, label=name)
        for at in xs:
            axes.scatter([at] * len(values[at]), values[at], s=12, color=colour, alpha=0.5, linewidths=0)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    if len(curves) > 1:
        legend_below(canvas, axes)
    canvas.savefig(path, bbox_inches="tight")


def unseen(
    sheets: Mapping[str, Tensor],
    row_labels: Sequence[str],
    values: Mapping[str, tuple[np.ndarray, np.ndarray]],
    path: Path,
) -> None:
    """Figure 7: for each combination of factors a sheet of images, and the histogram of the feature's code.

    Args:
        sheets: by the combination's name images [rows, columns, C, H, W].
        row_labels: what the rows are.
        values: by the combination's name the codes of datapoints that were kept and of those that were pruned.
        path: where to.
    """
    rows, columns = next(iter(sheets.values())).shape[:2]
    canvas = figure(0.55 * columns + 5.0, (0.55 * rows + 0.9) * len(sheets))
    grid = canvas.subplots(len(sheets), 2, squeeze=False, width_ratios=[0.55 * columns + 1.4, 3.2])
    for (left, right), (name, images) in zip(grid, sheets.items(), strict=True):
        draw_sheet(left, images, f"{name}, which training never saw", row_labels)
        _histograms(right, *values[name])
    legend_below(canvas, grid[0, 1])
    canvas.savefig(path, bbox_inches="tight")


def _histograms(axes: Axes, kept: np.ndarray, pruned: np.ndarray) -> None:
    bins = np.histogram_bin_edges(np.concatenate([kept, pruned]), 40).tolist()
    plain(axes).hist(kept, bins, color=FAINT, density=True, label="kept")
    axes.hist(pruned, bins, color=COLOURS[1], density=True, alpha=0.6, label="never seen")
    axes.set_xlabel("mean of the feature's unit, towards the pruned end", fontsize=8)
    axes.set_yticks([])
