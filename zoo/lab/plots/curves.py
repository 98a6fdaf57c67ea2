"""Values of several seeds: means with error bars along an axis, and one quantity against another."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import BboxBase

from zoo.lab.plots.style import figure, legend_below, line_of, styled


@styled
def curves(
    panels: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]],
    *,
    x: str,
    y: str = "",
    log: bool = False,
    levels: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """In each panel one curve per setting: a dot for each seed, and the mean with two standard errors.

    Args:
        panels: by the panel's title and the curve's name, the values of all seeds at each number on the x axis.
        x, y: what the axes show.
        log: whether the x axis is logarithmic; linear from 0 to the smallest positive number, where there is a 0.
        levels: dashed lines across a panel, by the panel's title and the line's name.
    """
    canvas = figure(3.4 * max(len(panels), 1.25), 2.9)
    named: dict[str, Artist] = {}
    grid = canvas.subplots(1, len(panels), squeeze=False)[0]
    every = list(
        dict.fromkeys(name for drawn in panels.values() for name in drawn)
    )  # a name has one line in all panels
    for axes, (title, drawn) in zip(grid, panels.items(), strict=True):
        for name, values in drawn.items():
            line = line_of(every.index(name))
            at = sorted(values)
            means = [float(np.mean(values[number])) for number in at]
            errors = _errors([values[number] for number in at])
            axes.errorbar(at, means, errors, marker="o", label=name, **line)
            for number in at:
                if len(values[number]) > 1:
                    dots = values[number]
                    axes.scatter([number] * len(dots), dots, s=8, color=line["color"], alpha=0.4, linewidths=0)
        for name, height in (levels or {}).get(title, {}).items():
            axes.axhline(height, color="black", lw=1, ls="--", label=name)
        if log:
            numbers = {number for values in drawn.values() for number in values}
            positive = [number for number in numbers if number > 0]
            if len(positive) == len(numbers):
                axes.set_xscale("log")
            elif positive:
                axes.set_xscale("symlog", linthresh=min(positive))
        axes.set_title(title)
        axes.set_xlabel(x)
        handles, names = axes.get_legend_handles_labels()
        named |= dict(zip(names, handles, strict=True))
    grid[0].set_ylabel(y)
    if len(named) > 1:
        canvas.legend(list(named.values()), list(named), loc="outside lower center", ncols=min(len(named), 4))
    return canvas


class Setting(NamedTuple):
    """One setting of a trade-off: the label of its point, and the values of all seeds on both axes."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


@styled
def trade_off(families: Mapping[str, Sequence[Setting]], *, x: str, y: str) -> Figure:
    """One quantity against another: a dot for each seed, a cross at each setting's mean, a line along each family.

    Bars are two standard errors of the mean of y.

    Args:
        families: by name, each in a different colour or line; its settings in the order in which the line joins them.
        x, y: what the axes show.
    """
    canvas = figure(5.0, 3.8)
    axes = canvas.add_subplot()
    for place, (name, settings) in enumerate(families.items()):
        line = line_of(place)
        across = [float(np.mean(setting.x)) for setting in settings]
        up = [float(np.mean(setting.y)) for setting in settings]
        errors = _errors([setting.y for setting in settings])
        axes.errorbar(across, up, errors, marker="x", label=name, **line)
        for setting, mean in zip(settings, zip(across, up, strict=True), strict=True):
            axes.scatter(setting.x, setting.y, s=12, color=line["color"], alpha=0.5, linewidths=0)
            axes.annotate(setting.label, mean, xytext=(4, 4), textcoords="offset points", color=line["color"])
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    legend_below(canvas, axes)
    _spread_labels(canvas, axes)
    return canvas


def _spread_labels(canvas: Figure, axes: Axes) -> None:
    """Moves each label to the corner of its point, upper right, lower right, ..., where it covers the fewest earlier
    labels, and of these corners to the one where it covers the fewest dots.
    """
    canvas.draw_without_rendering()  # a label's place in pixels depends on the layout
    seeds = [drawn for drawn in axes.collections if isinstance(drawn, PathCollection)]
    dots = np.concatenate([drawn.get_offset_transform().transform(drawn.get_offsets()) for drawn in seeds])
    placed: list[BboxBase] = []

    def put(label: Text, side: str, height: str) -> BboxBase:
        label.set(x=4 if side == "left" else -4, y=4 if height == "bottom" else -4, ha=side, va=height)
        return label.get_window_extent()

    for label in axes.texts:
        covered = {}
        for side, height in itertools.product(("left", "right"), ("bottom", "top")):
            box = put(label, side, height)
            covered[side, height] = (box.count_overlaps(placed), sum(box.contains(*dot) for dot in dots))
        placed.append(put(label, *min(covered, key=covered.__getitem__)))


def two_errors(values: Sequence[float]) -> float:
    """Two standard errors of the mean; 0 for a single seed, which has none."""
    return 2 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0


def _errors(values: Sequence[Sequence[float]]) -> list[float] | None:
    """The error bar of each point; None where every point has a single seed."""
    errors = [two_errors(of_point) for of_point in values]
    return errors if any(errors) else None
