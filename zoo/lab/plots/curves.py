"""Means with error bars over seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zoo.lab.plots.style import COLOURS, figure, legend_below, plain


def curves(
    panels: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]], path: Path, *, label: str, log: bool = False
) -> None:
    """Figure 4: in each panel a curve per setting, with two standard errors over seeds, where there are two or more.

    Args:
        panels: by the panel's title and the curve's name, every seed's value at each number on the x axis.
        path: of the picture.
        label: of the x axis.
        log: whether the x axis is (symmetrically) logarithmic.
    """
    canvas = figure(3.1 * len(panels), 2.7)
    for i, (title, drawn) in enumerate(panels.items()):
        axes = plain(canvas.add_subplot(1, len(panels), i + 1))
        for colour, (name, values) in zip(COLOURS, drawn.items(), strict=False):
            xs = sorted(values)
            middle = [float(np.mean(values[x])) for x in xs]
            errors = [two_errors(values[x]) for x in xs]
            axes.errorbar(xs, middle, errors, color=colour, marker="o", ms=3, lw=1, capsize=2, label=name)
        if log:
            axes.set_xscale("symlog", linthresh=10)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel(label, fontsize=8)
    legend_below(canvas, axes)
    canvas.savefig(path, bbox_inches="tight")


def two_errors(values: Sequence[float]) -> float:
    """Two standard errors of the mean, the paper's shading; 0 for a single seed, which has none."""
    return 2 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
