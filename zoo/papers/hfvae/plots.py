"""HFVAE's pictures of image models: the information in each unit, and combinations left out of training.

The figures are those of Esmaeili et al. 2019, https://arxiv.org/abs/1804.02086.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from zoo.lab.plots.bars import bars_of_nats
from zoo.lab.plots.image_grid import CELL, ImageGrid
from zoo.lab.plots.style import COLOURS, FAINT, figure, legend_below, styled

TYPE = "c"  # drawn in another colour


def information_bars(panels: Mapping[str, Mapping[str, float]], *, label: str, threshold: float) -> Figure:
    """Figure 4, right, and Figure 5, right: nats of each unit in ascending order, the type last.

    Args:
        panels: by title, nats by unit.
        label: of the axis.
        threshold: nats below which a unit is drawn in grey, as pruned.
    """
    ordered = {}
    for title, nats in panels.items():
        names = sorted((name for name in nats if name != TYPE), key=nats.__getitem__)
        ordered[title] = {name: nats[name] for name in [*names, *(name for name in nats if name == TYPE)]}
    return bars_of_nats(ordered, label=label, threshold=threshold, highlighted=[TYPE])


@styled
def unseen(
    images: Mapping[str, Tensor], row_labels: Sequence[str], values: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> Figure:
    """Figure 7: for each combination of factors a grid of images, and the histogram of the feature's code.

    Args:
        images: by the combination's name, images [rows, columns, C, H, W].
        row_labels: of the rows.
        values: by the combination's name, the codes of kept and of pruned datapoints.
    """
    rows, columns = next(iter(images.values())).shape[:2]
    canvas = figure(CELL * columns + 5.0, (CELL * rows + 0.9) * len(images))
    grid = canvas.subplots(len(images), 2, squeeze=False, width_ratios=[CELL * columns + 1.4, 3.2])
    for (left, right), (name, of_combination) in zip(grid, images.items(), strict=True):
        ImageGrid(of_combination, f"{name}, left out of training", row_labels).draw(left)
        _histograms(right, *values[name])
    legend_below(canvas, grid[0, 1])
    return canvas


def _histograms(axes: Axes, kept: np.ndarray, pruned: np.ndarray) -> None:
    bins = np.histogram_bin_edges(np.concatenate([kept, pruned]), 40).tolist()
    axes.hist(kept, bins, color=FAINT, density=True, label="kept")
    axes.hist(pruned, bins, color=COLOURS[1], density=True, alpha=0.6, label="left out of training")
    axes.set_xlabel("mean of the feature's unit, towards the pruned end")
    axes.set_yticks([])
